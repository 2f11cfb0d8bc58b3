"""The contextual adapter: every audio frame attends to the subwords of the listed names.

After Sathyendra et al., ICASSP 2022, and Dingliwal et al., SLT 2022, section 3: the query is
a learned weighted sum of the encoder's taps and its output, the keys and values come from
the names, and a learned *no-bias* key lets a frame attend to none. Two things differ from
the papers. Keys and values are one per *subword* of a name, not one per name, so that the
adapter can say which subword is due. And what is added to the encoder's output is a gated
function of state and context that is exactly zero where all attention is on no-bias:

.. math:: y_t = x_t + (1 - a_t) \\, W_2 \\, \\mathrm{SiLU}(W_1 [x_t ; c_t])

with x the output, a the attention on no-bias and c the context (mean value of what was
attended to).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from ctcbias_fst.acoustic.config import AdapterConfig, EncoderConfig
from ctcbias_fst.acoustic.encoder import Norm

__all__ = ["AdapterOutput", "ContextualAdapter", "EntityBatch", "EntityKeys"]


@dataclass(frozen=True)
class EntityBatch:
    """Subwords of E names.

    Attributes:
        tokens: ``(entity, position)`` int64, padded with the blank.
        lengths: ``(entity,)`` int64 on the CPU, each at least 1.
    """

    tokens: Tensor
    lengths: Tensor


@dataclass(frozen=True)
class EntityKeys:
    """What frames attend to: one row per subword of any name, in order of the names.

    The same for all utterances of a batch, or, with a leading dimension, one for each.

    Attributes:
        keys: ``(heads, row, size)``.
        values: ``(row, width)``.
        entity: ``(row,)`` int64: which name a row belongs to.
        position: ``(row,)`` int64: which subword of the name.
    """

    keys: Tensor
    values: Tensor
    entity: Tensor
    position: Tensor

    @classmethod
    def stack(cls, lists: Sequence[EntityKeys]) -> tuple[EntityKeys, Tensor]:
        """One list per utterance of a batch: all arrays with a leading dimension, padded.

        Returns:
            the lists, and a mask ``(batch, row)`` that is True inside them.
        """
        longest = max(len(one.entity) for one in lists)

        def padded(parts: Sequence[Tensor], dim: int) -> Tensor:
            whole = parts[0].new_zeros(
                (len(parts), *(longest if i == dim else n for i, n in enumerate(parts[0].shape)))
            )
            for row, part in zip(whole, parts):
                row.narrow(dim, 0, part.shape[dim]).copy_(part)
            return whole

        stacked = cls(
            keys=padded([one.keys for one in lists], 1),
            values=padded([one.values for one in lists], 0),
            entity=padded([one.entity for one in lists], 0),
            position=padded([one.position for one in lists], 0),
        )
        counts = torch.tensor([len(one.entity) for one in lists], device=stacked.entity.device)
        rows = torch.arange(longest, device=stacked.entity.device)
        return stacked, rows < counts[:, None]


@dataclass(frozen=True)
class AdapterOutput:
    """The adapted states and where each frame looked.

    Attributes:
        states: ``(batch, frame, width of the encoder)``.
        attention: ``(batch, frame, 1 + row)``, mean over heads; column 0 is no-bias.
    """

    states: Tensor
    attention: Tensor


class ContextualAdapter(nn.Module):
    """Biases the last layer's states towards a list of names."""

    def __init__(self, config: AdapterConfig, encoder: EncoderConfig, tokens: int) -> None:
        super().__init__()
        self.config = config
        sources = len(encoder.subword_taps) + 1
        inner = config.heads * config.head_size
        self.embedding = nn.Embedding(tokens, config.width)
        self.reader = nn.LSTM(config.width, config.width // 2, batch_first=True, bidirectional=True)
        self.source_norms = nn.ModuleList(Norm(encoder.width) for _ in range(sources))
        self.source_weights = nn.Parameter(torch.full((sources,), 1.0 / sources))
        self.queries = nn.Linear(encoder.width, inner)
        self.keys = nn.Linear(2 * config.width, inner, bias=False)
        self.values = nn.Linear(2 * config.width, config.width)
        self.no_bias = nn.Parameter(torch.zeros(config.heads, config.head_size))
        self.no_bias_score = nn.Parameter(torch.full((config.heads,), 2.0))
        self.state_norm = Norm(encoder.width)
        self.mix = nn.Linear(encoder.width + config.width, config.fusion)
        self.project = nn.Linear(config.fusion, encoder.width, bias=False)
        nn.init.zeros_(self.project.weight)

    def embed(self, entities: EntityBatch) -> EntityKeys:
        """Read names once; the result serves every utterance with the same list."""
        device = self.no_bias.device
        tokens = entities.tokens.to(device)
        embedded = self.embedding(tokens)
        packed = pack_padded_sequence(
            embedded, entities.lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        read, _ = pad_packed_sequence(
            self.reader(packed)[0], batch_first=True, total_length=tokens.shape[1]
        )
        valid = torch.arange(tokens.shape[1], device=device) < entities.lengths.to(device)[:, None]
        rows = torch.cat((read, embedded), dim=-1)[valid]
        entity, position = valid.nonzero(as_tuple=True)
        heads, size = self.config.heads, self.config.head_size
        return EntityKeys(
            keys=self.keys(rows).view(-1, heads, size).transpose(0, 1),
            values=self.values(rows),
            entity=entity,
            position=position,
        )

    def no_keys(self) -> EntityKeys:
        """An empty list."""
        weights = self.no_bias
        nothing = torch.zeros(0, dtype=torch.int64, device=weights.device)
        return EntityKeys(
            keys=weights.new_zeros((self.config.heads, 0, self.config.head_size)),
            values=weights.new_zeros((0, self.config.width)),
            entity=nothing,
            position=nothing,
        )

    def forward(
        self,
        states: Tensor,
        tap_states: tuple[Tensor, ...],
        names: EntityKeys,
        allowed: Tensor | None = None,
        scale: float = 1.0,
    ) -> AdapterOutput:
        """Add what the names suggest to the encoder's output.

        Args:
            states: the last layer's output ``(batch, frame, width)``.
            tap_states: the taps' outputs, as in :class:`ModelOutput`.
            names: from :meth:`embed`.
            allowed: ``(batch, row)``, True where an utterance's own list has the name of a
                row; ``None``: every utterance has all names.
            scale: factor on what is added.
        """
        batch, frames, _ = states.shape
        heads, size = self.config.heads, self.config.head_size
        sources = (*tap_states, states)
        mixed = torch.stack(
            [
                weight * norm(source)
                for weight, norm, source in zip(self.source_weights, self.source_norms, sources)
            ]
        ).sum(dim=0)
        queries = self.queries(mixed).view(batch, frames, heads, size).transpose(1, 2)
        queries = queries * size**-0.5
        scores = (queries @ names.keys.transpose(-1, -2).to(queries.dtype)).float()
        if allowed is not None:
            scores = scores.masked_fill(~allowed[:, None, None, :], -torch.inf)
        none = (queries @ self.no_bias[:, :, None].to(queries.dtype)).float()
        none = none + self.no_bias_score[:, None, None]
        attention = torch.cat((none, scores), dim=-1).softmax(dim=-1).mean(dim=1)
        context = attention[:, :, 1:].to(names.values.dtype) @ names.values
        normed = self.state_norm(states)
        fused = self.project(F.silu(self.mix(torch.cat((normed, context.float()), dim=-1))))
        gate = scale * (1.0 - attention[:, :, :1])
        return AdapterOutput(states + gate * fused.float(), attention)

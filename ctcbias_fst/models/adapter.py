"""The contextual adapter: every audio frame attends to the subwords of the listed names.

After Sathyendra et al., ICASSP 2022, and Dingliwal et al., SLT 2022, section 3: the query is
a learned weighted sum of the encoder's taps and its output, the keys and values come from
the names, and a learned *no-bias* key lets a frame attend to none. Four things differ from
the papers:

- Keys and values are one per *subword* of a name, not one per name, so that the adapter can
  say which subword is due.
- The score of a row (a subword of a name) at a frame is the product of query and key plus what
  the base model's own log-probs say: of the subword at this frame, of the name's previous
  subword a little before, of its next one a little after, and of all its subwords anywhere.
  Names that the model never heard are found soon this way; the rest is learned.
- A name counts as far as it was *covered*: with a_rt the attention of row r at frame t, and n
  the rows of a name,

  .. math:: c_n = \\frac1{|n|} \\sum_{r \\in n} \\max_t a_{rt}, \\quad
            a'_{rt} = a_{rt}\\,\\sigma(s (c_n - \\theta))

  so that a single subword that fits by chance changes nothing.
- What is added to the encoder's output is exactly zero where all attention is on no-bias:

  .. math:: y_t = x_t + \\Bigl(\\sum_r a'_{rt}\\Bigr) W_2\\,\\mathrm{SiLU}(W_1 [x_t ; c_t])
            + \\sum_r a'_{rt} p_r

  with x the output, c the context (mean value of what was attended to) and p_r the direction
  that raises the subword of row r, which begins as the subword head's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from ctcbias_fst.models.encoder_output import EncoderOutput
from ctcbias_fst.models.layers import Norm
from ctcbias_fst.models.masks import padding_mask
from ctcbias_fst.models.model_config import AdapterConfig, AdapterShape
from ctcbias_fst.shortlist.subword_index import FLOOR, floored_log_probs

_MAX_SCORES = 4_000_000
"""Scores (utterances x frames x rows) held at a time outside of training."""


class EntityBatch(NamedTuple):
    """Subwords of E names.

    Attributes:
        tokens: ``(entity, position)`` int64, padded with the blank.
        lengths: ``(entity,)`` int64 on the CPU, each at least 1.
    """

    tokens: Tensor
    lengths: Tensor


class EntityKeys(NamedTuple):
    """What frames attend to: one row per subword of any name, in order of the names.

    The same for all utterances of a batch, or, with a leading dimension, one for each.

    Attributes:
        keys: ``(row, heads, size)``.
        values: ``(row, width)``.
        token: ``(row,)`` int64: the subword.
        previous, following: ``(row,)`` int64: those beside it, the blank at the name's ends.
        entity: ``(row,)`` int64: which name a row belongs to.
        position: ``(row,)`` int64: which subword of the name.
    """

    keys: Tensor
    values: Tensor
    token: Tensor
    previous: Tensor
    following: Tensor
    entity: Tensor
    position: Tensor

    def each(self, change: Callable[[Tensor], Tensor]) -> EntityKeys:
        """The same change to every array."""
        return EntityKeys(*map(change, self))

    def apart(self) -> list[EntityKeys]:
        """One utterance each, of arrays with a leading dimension."""
        return [EntityKeys(*arrays) for arrays in zip(*(array.split(1) for array in self))]

    @classmethod
    def join(cls, parts: Sequence[EntityKeys]) -> EntityKeys:
        """All rows, one part after the other."""
        return cls(*map(torch.cat, zip(*parts)))

    @classmethod
    def stack(cls, lists: Sequence[EntityKeys]) -> tuple[EntityKeys, Tensor]:
        """One list per utterance of a batch: all arrays with a leading dimension, padded.

        Returns:
            the lists, and a mask ``(batch, row)`` that is True inside them.
        """
        stacked = cls(*(pad_sequence(list(arrays), batch_first=True) for arrays in zip(*lists)))
        counts = torch.tensor([len(one.entity) for one in lists])
        return stacked, padding_mask(counts, stacked.entity.shape[1], stacked.entity.device)


class AdapterOutput(NamedTuple):
    """The adapted states and where each frame looked.

    Attributes:
        states: ``(batch, frame, width of the encoder)``.
        glance: ``(batch, frame, 1 + row)``, the attention before names had to be covered, mean
            over heads; column 0 is no-bias.
        attention: the same afterwards.
    """

    states: Tensor
    glance: Tensor
    attention: Tensor


class ContextualAdapter(nn.Module):
    """Biases the last layer's states towards a list of names."""

    def __init__(self, config: AdapterConfig, shape: AdapterShape) -> None:
        super().__init__()
        self.config = config
        width, sources, tokens = shape.width, shape.taps + 1, shape.tokens
        inner = config.heads * config.head_size
        self.embedding = nn.Embedding(tokens, width)
        self.reader = nn.LSTM(width, config.width // 2, batch_first=True, bidirectional=True)
        self.source_norms = nn.ModuleList(Norm(width) for _ in range(sources))
        self.source_weights = nn.Parameter(torch.full((sources,), 1.0 / sources))
        self.queries = nn.Linear(width, inner)
        self.keys = nn.Linear(config.width + width, inner, bias=False)
        self.values = nn.Linear(config.width + width, config.width)
        self.no_bias = nn.Parameter(torch.zeros(config.heads, config.head_size))
        self.no_bias_score = nn.Parameter(torch.full((config.heads,), 2.0))
        # Of the subword itself, the one before, the one behind, and all of the name.
        self.evidence = nn.Parameter(torch.tensor([0.5, 0.3, 0.3, 0.5]))
        self.ends = nn.Parameter(torch.zeros(2))
        self.coverage = nn.Parameter(torch.tensor([12.0, 0.4]))
        self.state_norm = Norm(width)
        self.mix = nn.Linear(width + config.width, config.fusion)
        self.project = nn.Linear(config.fusion, width, bias=False)
        self.pointers = nn.Embedding(tokens, width)
        nn.init.zeros_(self.project.weight)
        nn.init.zeros_(self.pointers.weight)

    @torch.no_grad()
    def start_from(self, head: Tensor, push: float | None = None) -> None:
        """Begin with the subwords as the base model knows them.

        Args:
            head: weights of its subword head, ``(token, width of the encoder)``.
            push: what full attention on a row adds to the logit of its subword, on average, where
                the head takes the states as they are; by default ``head`` is added as it is.
        """
        gain = 1.0 if push is None else push / float(head.square().sum(dim=1).mean())
        self.pointers.weight.copy_(gain * head)
        # As large as the LSTM expects its input to be.
        self.embedding.weight.copy_(head * (0.3 * head.shape[1] ** 0.5 / head.norm(dim=1).mean()))

    def embed(self, entities: EntityBatch) -> EntityKeys:
        """Read names once; the result serves every utterance with the same list."""
        device = self.no_bias.device
        tokens, lengths = entities.tokens.to(device), entities.lengths.to(device)[:, None]
        embedded = self.embedding(tokens)
        packed = pack_padded_sequence(
            embedded, entities.lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        read, _ = pad_packed_sequence(
            self.reader(packed)[0], batch_first=True, total_length=tokens.shape[1]
        )
        places = torch.arange(tokens.shape[1], device=device)
        valid = places < lengths
        beside = F.pad(tokens.masked_fill(~valid, 0), (1, 1))
        rows = torch.cat((read, embedded), dim=-1)[valid]
        entity, position = valid.nonzero(as_tuple=True)
        return EntityKeys(
            keys=self.keys(rows).view(-1, self.config.heads, self.config.head_size),
            values=self.values(rows),
            token=tokens[valid],
            previous=beside[:, :-2][valid],
            following=beside[:, 2:][valid],
            entity=entity,
            position=position,
        )

    def no_keys(self) -> EntityKeys:
        """An empty list."""
        one = torch.ones(1, dtype=torch.int64)
        return self.embed(EntityBatch(one[:, None], one)).each(lambda array: array[:0])

    def forward(
        self,
        output: EncoderOutput,
        names: EntityKeys,
        allowed: Tensor | None = None,
        scale: float = 1.0,
        coverage_margin: float = 0.0,
    ) -> AdapterOutput:
        """Add what the names suggest to the encoder's output.

        Args:
            output: of the base model.
            names: from :meth:`embed`.
            allowed: ``(batch, row)``, True where an utterance's own list has the name of a
                row; ``None``: every utterance has all names.
            scale: factor on what is added.
            coverage_margin: added to the share of a name that must be covered, theta.
        """
        batch, frames, _ = output.states.shape
        scores = batch * frames * names.token.shape[-1]
        if not self.training and batch > 1 and scores > _MAX_SCORES:
            return self._in_parts(output, names, allowed, scale, coverage_margin)
        glance = self._raw_attention(output, names, allowed)
        covered = self._covered(glance[:, :, 1:], names, coverage_margin)
        on_names = glance[:, :, 1:] * covered[:, None]
        mass = on_names.sum(dim=-1, keepdim=True)
        states = output.states
        context = on_names.to(names.values.dtype) @ names.values
        pointed = on_names.to(names.values.dtype) @ self.pointers(names.token)
        mixed = torch.cat((self.state_norm(states), context.to(states.dtype)), dim=-1)
        fused = self.project(F.silu(self.mix(mixed)))
        added = mass * fused.float() + pointed.float()
        return AdapterOutput(
            states + scale * added, glance, torch.cat((1.0 - mass, on_names), dim=-1)
        )

    def _in_parts(
        self,
        output: EncoderOutput,
        names: EntityKeys,
        allowed: Tensor | None,
        scale: float,
        coverage_margin: float,
    ) -> AdapterOutput:
        """Utterance by utterance: as many scores as there are take memory."""
        parts = []
        each = names.apart() if names.token.dim() > 1 else [names] * len(output.states)
        for i, own in enumerate(each):
            mask = None if allowed is None else allowed[i : i + 1]
            parts.append(self(output.select([i]), own, mask, scale, coverage_margin))
        return AdapterOutput(*map(torch.cat, zip(*parts)))

    def _raw_attention(
        self, output: EncoderOutput, names: EntityKeys, allowed: Tensor | None
    ) -> Tensor:
        """``(batch, frame, 1 + row)``: where each frame looks by itself."""
        batch, frames, _ = output.states.shape
        heads, size = self.config.heads, self.config.head_size
        sources = (*output.tap_states, output.states)
        mixed = torch.stack(
            [
                weight * norm(source)
                for weight, norm, source in zip(self.source_weights, self.source_norms, sources)
            ]
        ).sum(dim=0)
        queries = self.queries(mixed).view(batch, frames, heads, size).transpose(1, 2)
        queries = queries * size**-0.5
        keys = names.keys.movedim(-2, -3).transpose(-1, -2).to(queries.dtype)
        evidence = self._evidence(output, names)
        inside = padding_mask(output.lengths, frames, evidence.device)
        possible = inside[:, :, None]
        if allowed is not None:
            possible = possible & allowed[:, None, :]
        evidence = evidence.masked_fill(~possible, -torch.inf)
        scores = (queries @ keys).float() + evidence[:, None]
        none = (queries @ self.no_bias[:, :, None].to(queries.dtype)).float()
        none = none + self.no_bias_score[:, None, None]
        glance: Tensor = torch.cat((none, scores), dim=-1).softmax(dim=-1).mean(dim=1)
        return glance

    def _evidence(self, output: EncoderOutput, names: EntityKeys) -> Tensor:
        """``(batch, frame, row)``: what the base model's log-probs say of each row."""
        reach = self.config.reach
        heard = floored_log_probs(output.log_probs, output.lengths)
        over_time = heard.transpose(1, 2)
        before = F.max_pool1d(F.pad(over_time, (reach, 0), value=FLOOR), reach + 1, 1)
        behind = F.max_pool1d(F.pad(over_time, (0, reach), value=FLOOR), reach + 1, 1)
        first = names.position == 0
        last = names.following == 0
        own, left, right, whole = self.evidence
        anywhere = _mean_of_names(_of_tokens(heard.amax(dim=1), names.token), names)
        bias = self.ends[0] * first + self.ends[1] * last + whole * anywhere
        previous = _of_tokens(before.transpose(1, 2), names.previous)
        following = _of_tokens(behind.transpose(1, 2), names.following)
        evidence: Tensor = own * _of_tokens(heard, names.token) + bias[:, None]
        evidence = evidence + left * previous.masked_fill(_at(first), 0.0)
        evidence = evidence + right * following.masked_fill(_at(last), 0.0)
        return evidence

    def _covered(self, attention: Tensor, names: EntityKeys, coverage_margin: float) -> Tensor:
        """``(batch, row)``: how far the name of a row counts, 0 to 1."""
        slope, threshold = self.coverage
        covered = _mean_of_names(attention.amax(dim=1), names)
        return torch.sigmoid(slope * (covered - threshold - coverage_margin))


def _of_tokens(table: Tensor, tokens: Tensor) -> Tensor:
    """``(batch, …, token)`` to ``(batch, …, row)``, for rows of all utterances or of each."""
    if tokens.dim() == 1:
        return table[..., tokens]
    middle = table.shape[1:-1]
    index = tokens.view(len(tokens), *(1 for _ in middle), -1)
    return table.gather(-1, index.expand(-1, *middle, -1))


def _at(rows: Tensor) -> Tensor:
    """``(row,)`` or ``(batch, row)`` to what fits beside ``(batch, frame, row)``."""
    return rows if rows.dim() == 1 else rows[:, None]


def _mean_of_names(values: Tensor, names: EntityKeys) -> Tensor:
    """``(batch, row)`` to the mean over the rows of the same spelling, ``(batch, row)``."""
    if not values.shape[1]:
        return values
    path = ((names.position == 0).cumsum(-1) - 1).expand(values.shape)
    total = torch.zeros_like(values).scatter_add_(1, path, values)
    count = torch.zeros_like(values).scatter_add_(1, path, torch.ones_like(values))
    return (total / count.clamp_min(1.0)).gather(1, path)

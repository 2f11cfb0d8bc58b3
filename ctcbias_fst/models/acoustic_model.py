"""The CTC model: encoder, subword heads on several layers, phone head on one.

Intermediate CTC: Lee and Watanabe, ICASSP 2021. Self-conditioning: Nozaki and Komatsu,
Interspeech 2021. Phone head on an intermediate layer: Dingliwal et al., SLT 2022, section 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ctcbias_fst.errors import ConfigError
from ctcbias_fst.models.encoder import ConformerBlock
from ctcbias_fst.models.encoder_output import EncoderOutput
from ctcbias_fst.models.layers import HalfRate, Norm, Subsampling, rotary_tables
from ctcbias_fst.models.masks import BlockCache, chunk_mask, padding_mask
from ctcbias_fst.models.model_config import Chunks, ModelConfig


@dataclass(frozen=True)
class ModelOutput(EncoderOutput):
    """What all heads say of a batch; ``tap_states`` are of every layer of ``subword_taps``.

    Attributes:
        tap_log_probs: subword log-probs after every layer of ``subword_taps``, in order.
        phone_log_probs: ``(batch, frame, 1 + phones)``; column 0 is the blank.
    """

    tap_log_probs: tuple[Tensor, ...]
    phone_log_probs: Tensor


class PhoneOutput(NamedTuple):
    """What the encoder says as far as its phone head.

    Attributes:
        tap_log_probs: subword log-probs after every layer of ``subword_taps`` so far, in order,
            ``(batch, frame, token)``.
        phone_log_probs, lengths: as of `ModelOutput`.
    """

    tap_log_probs: tuple[Tensor, ...]
    phone_log_probs: Tensor
    lengths: Tensor


@dataclass(frozen=True)
class StreamState:
    """What the model keeps of streams between two chunks; of one size however long they are.

    Attributes:
        front: the last input frame of each stage of the subsampling.
        blocks: the cache of every block.
        seen: output frames of each stream so far, ``(batch,)`` int64 on the CPU; -1 where a stream
            has ended.
        left: output frames before a chunk that are kept.
    """

    front: tuple[Tensor, ...]
    blocks: tuple[BlockCache, ...]
    seen: Tensor
    left: int

    @classmethod
    def join(cls, states: Sequence[StreamState]) -> StreamState:
        """Streams that go in step from now on, wherever each of them is.

        Raises:
            ConfigError: they look back by different numbers of frames.
        """
        lefts = sorted({state.left for state in states})
        if len(lefts) != 1:
            raise ConfigError(f"streams that see {lefts} frames back cannot go in step")
        return cls(
            front=tuple(map(torch.cat, zip(*(state.front for state in states)))),
            blocks=tuple(
                BlockCache(*map(torch.cat, zip(*caches)))
                for caches in zip(*(state.blocks for state in states))
            ),
            seen=torch.cat([state.seen for state in states]),
            left=lefts[0],
        )

    def select(self, which: list[int]) -> StreamState:
        """Some of the streams."""
        return StreamState(
            front=tuple(stage[which] for stage in self.front),
            blocks=tuple(BlockCache(*(one[which] for one in cache)) for cache in self.blocks),
            seen=self.seen[which],
            left=self.left,
        )

    @property
    def is_finite(self) -> Tensor:
        """Of each stream, ``(batch,)``, whether all that is kept are numbers: NaN would stay."""
        kept = [*self.front, *(one for cache in self.blocks for one in cache)]
        return torch.stack([one.flatten(1).isfinite().all(1) for one in kept]).all(0)


class CtcModel(nn.Module):
    """Log-mel features in, log-probs of subwords and phones out."""

    feature_mean: Tensor
    feature_scale: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        encoder = config.encoder
        self.config = config
        self.register_buffer("feature_mean", torch.zeros(encoder.mels))
        self.register_buffer("feature_scale", torch.ones(encoder.mels))
        self.subsampling = Subsampling(encoder)
        self.blocks = nn.ModuleList(
            ConformerBlock(encoder, layer) for layer in range(1, encoder.layers + 1)
        )
        self.subword_head = nn.Linear(encoder.width, config.tokens)
        self.phone_head = nn.Linear(encoder.width, 1 + len(config.phones))
        self.tap_norm = Norm(encoder.width)
        self.subword_feedback = nn.Linear(config.tokens, encoder.width, bias=False)
        self.phone_feedback = nn.Linear(1 + len(config.phones), encoder.width, bias=False)
        if not encoder.self_condition:
            del self.subword_feedback, self.phone_feedback
        self.rate = HalfRate(encoder.width) if encoder.half_rate[0] else None

    def token_log_probs(self, states: Tensor) -> Tensor:
        """The subword head: ``(batch, frame, width)`` to log-probs ``(batch, frame, token)``."""
        return _log_softmax(self.subword_head(self.tap_norm(states)))

    def normalise(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Scale log-mel features by the training data's mean and deviation; padding is 0."""
        scaled = (features - self.feature_mean) * self.feature_scale
        mask = padding_mask(lengths, features.shape[1], features.device)
        return scaled.masked_fill(~mask[:, :, None], 0.0)

    def forward(
        self, features: Tensor, lengths: Tensor, chunks: Chunks | None = None
    ) -> ModelOutput:
        """Run the whole model.

        Args:
            features: normalised log-mel frames ``(batch, frame, mel)``, zero behind the end.
            lengths: input frames per utterance, ``(batch,)``, int64.
            chunks: what a frame sees; ``None``: the whole utterance.

        Raises:
            ConfigError: the chunks do not fit the layers at half the frame rate.
        """
        if chunks is not None:
            self.check_chunks(chunks)
        states, lengths = self.subsampling(features, lengths)
        return self._walked(_Walk(self, states, lengths, chunks))

    def check_chunks(self, chunks: Chunks) -> None:
        """Refuse chunks whose borders fall inside of a frame of the layers at half rate.

        Raises:
            ConfigError: so it is.
        """
        if self.rate is not None and (chunks.size % 2 or chunks.left % 2):
            raise ConfigError(
                f"chunks of {chunks.size} frames that see {chunks.left} before them: this model "
                "has layers at half the frame rate, so both must be even"
            )

    def start_stream(self, left: int, batch: int = 1) -> StreamState:
        """The state before the first chunk.

        Args:
            left: output frames before a chunk that its frames attend to, in every layer.
            batch: so many streams go in step; :meth:`StreamState.join` puts others together.
        """
        self.check_chunks(Chunks(2, left))
        caches = []
        for layer, block in enumerate(self.blocks, start=1):
            assert isinstance(block, ConformerBlock)
            caches.append(block.start(batch, left // 2 if self._is_halved(layer) else left))
        seen = torch.zeros(batch, dtype=torch.int64)
        return StreamState(self.subsampling.start(batch), tuple(caches), seen, left)

    def step(
        self,
        features: Tensor,
        state: StreamState,
        lengths: Tensor | None = None,
        *,
        final: int | None = None,
    ) -> tuple[ModelOutput, StreamState]:
        """Run the model on the next chunk of streams.

        With chunks of one size and ``left`` as in :meth:`start_stream`, the outputs are those of
        :meth:`forward` with such :class:`Chunks`, piece by piece: nothing behind a chunk has been
        looked at. With ``final``, frames see those behind them that are given with them, and come
        again with the next call: what they have seen then stays in the caches.

        Args:
            features: normalised log-mel frames ``(batch, frame, mel)``, in number a multiple of
                ``subsampling`` (twice that if there are layers at half rate) unless the streams
                end here.
            state: as :meth:`start_stream` or the last step left it; it stays as it is.
            lengths: input frames of each stream ``(batch,)``, int64, where some end here;
                ``features`` are zero behind them.
            final: so many output frames are not given again; None: all of them. A stream ends
                here if it has no more.

        Returns:
            the output for these frames, and the next state.

        Raises:
            ConfigError: a stream goes on after frames that did not fill a chunk, or chunks would.
        """
        unit = self.config.encoder.subsampling * (1 if self.rate is None else 2)
        if lengths is None:
            lengths = torch.full((len(features),), features.shape[1], dtype=torch.int64)
        given = features.shape[1]
        if final is not None:
            given = final * self.config.encoder.subsampling
            if given % unit:
                raise ConfigError(
                    f"{final} frames are no whole number of those at half the rate: take an even "
                    "one"
                )
        if bool((state.seen < 0).any()):
            raise ConfigError(
                f"a stream goes on after its end: all chunks but the last must have a multiple of "
                f"{unit} feature frames"
            )
        states, counts, front = self.subsampling.step(features, lengths, state.front, final)
        walk = _Step(self, states, counts, state, final)
        output = self._walked(walk)
        ended = (lengths.clamp(max=given) % unit != 0) | (lengths < given)
        heard = output.lengths if final is None else output.lengths.clamp(max=final)
        seen = (state.seen + heard).masked_fill(ended.cpu(), -1)
        return output, StreamState(front, tuple(walk.kept), seen, state.left)

    def _is_halved(self, layer: int) -> bool:
        first, last = self.config.encoder.half_rate
        return first > 0 and first <= layer <= last

    def heard_phones(self, features: Tensor, lengths: Tensor) -> PhoneOutput:
        """Run the model as far as its phone head; what it hears is what :meth:`forward` hears.

        Args:
            features, lengths: see :meth:`forward`.
        """
        states, lengths = self.subsampling(features, lengths)
        walk = _Walk(self, states, lengths)
        taps = self._through(walk, self.config.encoder.phone_tap)
        assert taps.phone_log_probs is not None
        return PhoneOutput(tuple(taps.log_probs), taps.phone_log_probs, walk.lengths.cpu())

    def _walked(self, walk: _Walk) -> ModelOutput:
        """All layers and heads."""
        taps = self._through(walk, self.config.encoder.layers)
        states = walk.states
        assert taps.phone_log_probs is not None
        return ModelOutput(
            log_probs=self.token_log_probs(states),
            tap_log_probs=tuple(taps.log_probs),
            phone_log_probs=taps.phone_log_probs,
            lengths=walk.lengths.cpu(),
            states=states,
            tap_states=tuple(taps.states),
        )

    def _through(self, walk: _Walk, layers: int) -> _Taps:
        """The first layers, with the heads among them."""
        encoder = self.config.encoder
        taps = _Taps()
        for layer, block in enumerate(islice(self.blocks, layers), start=1):
            assert isinstance(block, ConformerBlock)
            if layer == encoder.half_rate[0]:
                walk.go_down()
            walk.apply(block, layer)
            feedback = None
            if layer in encoder.subword_taps:
                taps.states.append(walk.at_full_rate())
                log_probs = self.token_log_probs(taps.states[-1])
                taps.log_probs.append(log_probs)
                if encoder.self_condition:
                    feedback = self.subword_feedback(log_probs.exp())
            if layer == encoder.phone_tap:
                heard = walk.at_full_rate()
                taps.phone_log_probs = _log_softmax(self.phone_head(self.tap_norm(heard)))
                if encoder.self_condition and layer < layers:
                    phones = self.phone_feedback(taps.phone_log_probs.exp())
                    feedback = phones if feedback is None else feedback + phones
            if feedback is not None:
                walk.add(feedback)
            if layer == encoder.half_rate[1]:
                walk.go_up()
        return taps


@dataclass
class _Taps:
    """What heads among the layers said, and the states that subword heads saw."""

    log_probs: list[Tensor] = field(default_factory=list)
    states: list[Tensor] = field(default_factory=list)
    phone_log_probs: Tensor | None = None


class _Walk:
    """Where a forward pass is: its states, and their mask and positions at the present rate."""

    def __init__(
        self, model: CtcModel, states: Tensor, lengths: Tensor, chunks: Chunks | None = None
    ) -> None:
        self.states = states
        self.lengths = lengths
        self.head_size = model.config.encoder.width // model.config.encoder.heads
        self.rate = model.rate
        self.chunks = chunks
        self.full: tuple[Tensor, Tensor] | None = None
        self._measure(lengths)

    def _measure(self, lengths: Tensor) -> None:
        frames, device = self.states.shape[1], self.states.device
        self.mask = padding_mask(lengths, frames, device)
        self.tables = rotary_tables(frames, self.head_size, device)
        self.chunk, self.seen = 0, None
        if self.chunks is not None:
            halves = 1 if self.full is None else 2
            self.chunk, left = self.chunks.size // halves, self.chunks.left // halves
            self.seen = chunk_mask(frames, self.chunk, left, device)

    def apply(self, block: ConformerBlock, layer: int) -> None:
        """Go through a block."""
        self.states = block(self.states, self.mask, self.tables, self.seen, self.chunk)

    def go_down(self) -> None:
        """Continue at half the rate."""
        assert self.rate is not None
        self.full = (self.states, self.mask)
        self.states = self.rate.down(self.states, self.mask)
        self._measure(torch.div(self.lengths + 1, 2, rounding_mode="floor"))

    def at_full_rate(self) -> Tensor:
        """The states as a head sees them."""
        if self.full is None or self.rate is None:
            return self.states
        return self.rate.up(self.states, self.full[0])

    def add(self, feedback: Tensor) -> None:
        """Add what is given at the full rate to the states."""
        if self.full is not None and self.rate is not None:
            feedback = self.rate.down(feedback, self.full[1])
        self.states = self.states + feedback

    def go_up(self) -> None:
        """Continue at the full rate."""
        self.states = self.at_full_rate()
        self.full = None
        self._measure(self.lengths)


class _Step(_Walk):
    """A pass over one chunk of streams, with what came before it in caches."""

    def __init__(
        self,
        model: CtcModel,
        states: Tensor,
        lengths: Tensor,
        state: StreamState,
        final: int | None,
    ) -> None:
        self.state = state
        self.final = states.shape[1] if final is None else min(final, states.shape[1])
        self.kept: list[BlockCache] = []
        super().__init__(model, states, lengths)

    def _measure(self, lengths: Tensor) -> None:
        frames, device = self.states.shape[1], self.states.device
        halves = 1 if self.full is None else 2
        left = self.state.left // halves
        seen = torch.div(self.state.seen, halves, rounding_mode="floor").to(device)
        self.mask = padding_mask(lengths, frames, device)
        before = torch.arange(left, device=device)[None, :] >= left - seen[:, None]
        self.visible = torch.cat((before, self.mask), dim=1)
        self.tables = rotary_tables(left + frames, self.head_size, device)

    def apply(self, block: ConformerBlock, layer: int) -> None:
        cache = self.state.blocks[layer - 1]
        final = self.final if self.full is None else -(-self.final // 2)
        self.states, kept = block.step(
            self.states, self.mask, self.visible, self.tables, cache, final=final
        )
        self.kept.append(kept)


def _log_softmax(logits: Tensor) -> Tensor:
    return logits.float().log_softmax(dim=-1)

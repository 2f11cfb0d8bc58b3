"""Configurations of the acoustic model and of the adapter."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal, NamedTuple

from ctcbias_fst.bounds import at_least_one, at_most, finite, not_negative


@dataclass(frozen=True)
class EncoderConfig:
    """A Conformer over log-mel frames.

    Attributes:
        mels: log-mel channels of a frame.
        subsampling: input frames (10 ms) per output frame: 2, 4 or 8.
        subsampling_channels: channels of the strided convolutions.
        layers: Conformer blocks.
        width: size of the residual stream.
        heads: attention heads; ``width / heads`` must be even (rotary embedding).
        feedforward: inner size of each of a block's two feed-forward modules.
        half_rate: first and last of the layers (1-based) that run at half the frame rate,
            for two thirds of the time; ``(0, 0)``: none. Heads always see the full rate.
        kernel: width of the depthwise convolution in output frames, odd.
        branch_drop: probability with which the last block drops a residual branch for an
            utterance in training; earlier blocks less, in proportion to their depth.
        subword_taps: 1-based layers after which the subword head is applied during training
            (the last layer always is), and whose states the contextual adapter reads.
        phone_tap: 1-based layer after which the phone head is applied.
        self_condition: feed the posteriors of every tap but the last back into the stream
            (Nozaki and Komatsu, Interspeech 2021).
    """

    mels: int = 80
    subsampling: Literal[2, 4, 8] = 4
    subsampling_channels: int = 32
    layers: int = 14
    width: int = 192
    heads: int = 4
    feedforward: int = 448
    half_rate: tuple[int, int] = (0, 0)
    kernel: int = 15
    branch_drop: float = 0.1
    subword_taps: tuple[int, ...] = (6, 12)
    phone_tap: int = 9
    self_condition: bool = True

    def __post_init__(self) -> None:
        at_least_one(self, "mels", "subsampling_channels", "layers", "width", "heads")
        at_least_one(self, "feedforward", "kernel", "phone_tap")
        at_most(self, 1000, "mels", "layers")
        at_most(self, 100_000, "subsampling_channels", "width", "feedforward", "kernel")
        if not 0.0 <= self.branch_drop < 1.0:
            raise ValueError(
                f"branch_drop must be at least 0 and below 1, found {self.branch_drop}"
            )
        if self.width % self.heads or (self.width // self.heads) % 2:
            raise ValueError(f"width {self.width} must split into {self.heads} heads of even size")
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel must be odd, found {self.kernel}")
        taps = (*self.subword_taps, self.phone_tap)
        if any(not 1 <= tap <= self.layers for tap in taps):
            raise ValueError(f"taps {taps} must lie within 1..{self.layers}")
        first, last = self.half_rate
        if self.half_rate != (0, 0) and not 1 < first <= last < self.layers:
            raise ValueError(
                f"half_rate must be a range within 2..{self.layers - 1}, found {self.half_rate}"
            )
        if tuple(sorted(set(self.subword_taps))) != self.subword_taps:
            raise ValueError(f"subword_taps must increase, found {self.subword_taps}")
        if self.subword_taps and self.subword_taps[-1] >= self.layers:
            raise ValueError("the last layer has a head of its own: leave it out of subword_taps")


@dataclass(frozen=True)
class Chunks:
    """What a frame sees of its utterance: its chunk, and something before it.

    Attributes:
        size: output frames of a chunk (the last one may be shorter).
        left: output frames before the chunk, in every layer.
    """

    size: int
    left: int

    def __post_init__(self) -> None:
        at_least_one(self, "size")
        not_negative(self, "left")


class AdapterShape(NamedTuple):
    """What an adapter sits on.

    Attributes:
        width: of the states that it adds to, and of its taps.
        taps: how many layers below them it reads.
        tokens: of the model, the blank among them.
    """

    width: int
    taps: int
    tokens: int


@dataclass(frozen=True)
class ModelConfig:
    """What is stored beside the weights: enough to build the model again.

    Attributes:
        chunks: sizes of the chunks (output frames) that it was trained to run in, besides whole
            utterances; none: it was not.
        left: output frames before a chunk that it was trained to see, at most.
    """

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    sampling_rate: int = 16000
    tokens: int = 500
    phones: tuple[str, ...] = ()
    chunks: tuple[int, ...] = ()
    left: int = 0

    def __post_init__(self) -> None:
        if not 2000 <= self.sampling_rate <= 768_000:
            raise ValueError(f"sampling_rate must lie in 2000..768000, found {self.sampling_rate}")
        at_least_one(self, "tokens")
        not_negative(self, "left")
        if self.chunks and min(self.chunks) < 1:
            raise ValueError(f"chunks must be numbers of frames, found {self.chunks}")

    @property
    def adapter_shape(self) -> AdapterShape:
        """What its adapter sits on."""
        return AdapterShape(self.encoder.width, len(self.encoder.subword_taps), self.tokens)

    @property
    def least_weights(self) -> int:
        """Numbers that a model has at least: known before any memory is asked for."""
        encoder, channels = self.encoder, self.encoder.subsampling_channels
        block = 4 * encoder.width + 4 * encoder.feedforward + encoder.kernel
        heads = 1 + len(self.phones) + self.tokens
        front = channels * (encoder.mels // encoder.subsampling)
        convolutions = 9 * channels * (1 if encoder.subsampling == 2 else 1 + channels)
        return encoder.width * (encoder.layers * block + heads + front) + convolutions


@dataclass(frozen=True)
class AdapterConfig:
    """The contextual adapter.

    Attributes:
        width: size of what the reader says of a subword; even.
        heads, head_size: of the attention over names.
        fusion: inner size of the network that joins state and context.
        reach: frames within which a name's previous and next subword are looked for.
    """

    width: int = 192
    heads: int = 4
    head_size: int = 32
    fusion: int = 256
    reach: int = 8

    def __post_init__(self) -> None:
        at_least_one(self, "width", "heads", "head_size", "fusion")
        at_most(self, 100_000, "width", "heads", "head_size", "fusion")
        if self.width % 2:
            raise ValueError(f"width must be even, found {self.width}")
        not_negative(self, "reach")
        at_most(self, 1000, "reach")

    @property
    def least_weights(self) -> int:
        """Numbers that an adapter has at least: known before any memory is asked for."""
        return self.width * (self.width + 2 * self.heads * self.head_size + self.fusion)


@dataclass(frozen=True)
class AttentionConfig:
    """How an adapter is used.

    Attributes:
        scale: factor on what it adds to the encoder's output.
        names: of a longer list each utterance attends to so many spellings at most.
        coverage_margin: how much more of a name must be covered than in training; 0 to 1.
        margin: seconds before and after a written name where its log-probs count; where no name is
            written, those without it are decoded.
    """

    scale: float = 1.0
    names: int = 100
    coverage_margin: float = 0.3
    margin: float = 0.3

    RENAMED: ClassVar = {"caution": "coverage_margin"}

    def __post_init__(self) -> None:
        finite(self)
        not_negative(self, "margin")
        at_least_one(self, "names")
        if not 0.0 <= self.coverage_margin <= 1.0:
            raise ValueError(f"coverage_margin must lie in 0..1, found {self.coverage_margin}")

"""Configurations of training."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ctcbias_fst.bounds import at_least_one
from ctcbias_fst.models.model_config import AdapterConfig, EncoderConfig

Codec = Literal["mu-law", "a-law", "gsm", "g721", "adpcm", "opus", "vorbis", "mp3"]
"""Codecs of libsndfile for augmentation."""


@dataclass(frozen=True)
class AugmentConfig:
    """Augmentation while training; every probability is per utterance.

    Attributes:
        speed: factors, one of which is drawn for an utterance (1.0 leaves it alone).
        noise: CutSet of noises; ``None``: no noise.
        noise_snr: range of the signal-to-noise ratio in dB.
        rirs: RecordingSet of room impulse responses; ``None``: no reverberation.
        lowpass_hz: cut-off frequencies, one of which is drawn for a band limit. Round ones
            are cheap, as the signal is resampled to twice that and back.
        volume: range of the linear gain.
        telephone_probability: of a telephone's band and one of its codecs.
        codec_probability: of one of ``codecs`` where it is no telephone.
        codecs: real ones, of libsndfile; all up to ``g721`` run at 8 kHz.
        clip_probability: of a microphone that overloads.
        clip_share: range of the share of samples that are cut off then.
        quiet_probability: of a level far too low, rounded to 16 bits.
        quiet_db: range of that level, added to what it was.
        whisper_probability: of noise for a voice.
    """

    speed: tuple[float, ...] = (0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.15)
    noise: Path | None = None
    noise_probability: float = 0.4
    noise_snr: tuple[float, float] = (5.0, 25.0)
    rirs: Path | None = None
    rir_probability: float = 0.25
    lowpass_probability: float = 0.15
    lowpass_hz: tuple[int, ...] = (4000, 5000, 6000)
    volume: tuple[float, float] = (0.2, 2.0)
    volume_probability: float = 0.5
    telephone_probability: float = 0.0
    codec_probability: float = 0.0
    codecs: tuple[Codec, ...] = ("mu-law", "gsm", "adpcm", "opus", "vorbis", "mp3")
    clip_probability: float = 0.0
    clip_share: tuple[float, float] = (0.005, 0.08)
    quiet_probability: float = 0.0
    quiet_db: tuple[float, float] = (-45.0, -15.0)
    whisper_probability: float = 0.0
    specaugment_probability: float = 0.9
    frequency_masks: int = 2
    frequency_mask_bins: int = 27
    time_masks: int = 4
    time_mask_frames: int = 40
    time_mask_fraction: float = 0.15

    def __post_init__(self) -> None:
        if self.codec_probability and not self.codecs:
            raise ValueError("codec_probability needs codecs to draw from")
        _check_range(self, "clip_share", 0.0, 1.0)
        _check_range(self, "quiet_db", -120.0, 0.0)


@dataclass(frozen=True)
class JoinConfig:
    """Sentences joined for training, and where they begin, anew in every epoch.

    A model whose speech always begins as long after its recording reads what begins later worse.

    Attributes:
        share: of the cuts that may become part of a joined one.
        most: cuts in one, at most; the number is drawn.
        seconds: a joined one lasts, at most, before its speed is changed.
        pause: range of the silence between two, in seconds.
        same_voice: share of those to be joined that stay among cuts of one speaker.
        lead_share: of the items, joined or alone, that begin earlier or later.
        lead: range of the silence before these, in seconds; below 0, so much is cut away.
    """

    share: float = 0.0
    most: int = 6
    seconds: float = 30.0
    pause: tuple[float, float] = (0.0, 2.0)
    same_voice: float = 0.5
    lead_share: float = 0.0
    lead: tuple[float, float] = (-0.1, 0.8)

    def __post_init__(self) -> None:
        _check_range(self, "pause", 0.0, 60.0)
        _check_range(self, "lead", -1.0, 60.0)
        _check_shares(self, "share", "same_voice", "lead_share")
        if self.most < 2:
            raise ValueError(f"most must be at least 2, found {self.most}")


@dataclass(frozen=True)
class ChunkConfig:
    """Training in chunks of changing sizes, so that the model runs on streams, too.

    Attributes:
        probability: of a batch that is seen in chunks rather than whole; 0: no chunk training.
        sizes: output frames of a chunk, one of which is drawn for a batch.
        left: output frames before a chunk that are seen, one of which is drawn for a batch.
    """

    probability: float = 0.0
    sizes: tuple[int, ...] = (8, 16, 24, 32)
    left: tuple[int, ...] = (64, 128, 192)

    def __post_init__(self) -> None:
        _check_shares(self, "probability")
        if not self.sizes or min(self.sizes) < 1:
            raise ValueError(f"sizes must be frames of chunks, found {self.sizes}")
        if not self.left or min(self.left) < 0:
            raise ValueError(f"left must be numbers of frames, found {self.left}")


def _check_range(config: object, name: str, least: float, most: float) -> None:
    low, high = getattr(config, name)
    if not least <= low <= high <= most:
        raise ValueError(f"{name} must be a range within {least:g}..{most:g}, found {(low, high)}")


def _check_shares(config: object, *names: str) -> None:
    for name in names:
        if not 0.0 <= getattr(config, name) <= 1.0:
            raise ValueError(f"{name} must lie in 0..1, found {getattr(config, name)}")


@dataclass(frozen=True)
class LossConfig:
    """Weights of the losses; the CTC ones are means over utterances of loss per target token.

    Attributes:
        final, subword_tap, phone: CTC of the last layer, of every tap, and of the phones.
        consistency: two views of every utterance, masked in different ways, should be heard alike
            (CR-CTC: Yao et al., ICLR 2025): the divergence of each from the other, per target
            token. It doubles the work of a step; 0: one view.
    """

    final: float = 1.0
    subword_tap: float = 0.3
    phone: float = 0.3
    consistency: float = 0.0


@dataclass(frozen=True)
class OptimiserConfig:
    """Muon on the matrices, AdamW on the rest; warm-up, constant, then linear decay to zero.

    Attributes:
        peak: learning rate of AdamW between warm-up and decay.
        matrix_peak: learning rate of Muon (Jordan et al. 2024, scaled by
            0.2 * sqrt(max(rows, columns)) as in Liu et al. 2025); 0 trains the matrices
            with AdamW, too.
        warmup_steps: steps of linear warm-up.
        decay_fraction: share of all steps, at the end, in which the rate falls to zero.
        gradient_norm: larger gradients are scaled down to this norm.
    """

    peak: float = 1e-3
    matrix_peak: float = 2e-3
    weight_decay: float = 0.05
    warmup_steps: int = 300
    decay_fraction: float = 0.25
    gradient_norm: float = 2.0

    def __post_init__(self) -> None:
        _check_shares(self, "decay_fraction")


@dataclass(frozen=True)
class RunConfig:
    """What every training run has, whatever it trains.

    Attributes:
        train: CutSet files to train on; one that is named twice weighs twice.
        validation: CutSet files whose greedy error rates are logged.
        augment, join, optimiser: tables of their own.
        steps: optimiser steps of the whole run.
        batch_seconds: speech per optimiser step and process, padding included.
        max_seconds: longer cuts are left out.
        save_every: steps between checkpoints.
        keep: newest checkpoints that stay on disk.
        average: newest checkpoints whose weights are averaged for validation and export.
        precision: autocast type of matrix products.
        workers: processes that load and augment audio.
        trust_manifests: run the commands that recordings of the CutSets come from.
    """

    train: tuple[Path, ...]
    validation: tuple[Path, ...] = ()
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    join: JoinConfig = field(default_factory=JoinConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    steps: int = 10000
    batch_seconds: float = 150.0
    max_seconds: float = 20.0
    save_every: int = 500
    keep: int = 6
    average: int = 4
    log_every: int = 25
    validate_every: int = 1000
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    workers: int = 1
    seed: int = 1
    trust_manifests: bool = False


@dataclass(frozen=True)
class TrainConfig(RunConfig):
    """Training of a CTC model.

    Attributes:
        tokenizer: SentencePiece model.
        encoder, loss, chunks: tables of their own.
        initial: weights (safetensors) to start from instead of random ones.
        compile: let torch (2.2 or newer) compile the blocks: a minute of preparation for
            about 1.4 times the speed on a CPU.
    """

    tokenizer: Path = Path("tokenizer.model")
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    chunks: ChunkConfig = field(default_factory=ChunkConfig)
    initial: Path | None = None
    compile: bool = False


@dataclass(frozen=True)
class AdaptConfig(RunConfig):
    """Training of a contextual adapter on a frozen model.

    Attributes:
        model: the base model: a directory of ours, or of Hugging Face.
        head, taps: of a model of Hugging Face, the layer that makes logits, and those below it
            whose states the adapter reads, by their names in the model; by default they are found.
        language: of a model that has parts for several.
        adapter: table of its own.
        names: range of the number of names in a batch's list.
        empty: probability that an utterance's own names are not on its list.
        ordinary: how many words of an utterance besides its entities serve as names, too,
            on average.
        respell: probability that a listed name is spelled in another way that sounds alike, in
            the list and in the reference, so that only the list tells how it is written.
        spellings: most such spellings of a name.
        guide: weight of the attention loss (frames of a listed name's subword should attend
            to that subword, all others to no-bias).
        guide_names: in it a frame of a name counts as so many others.
        stay: weight of the divergence from the model's own log-probs where no name is spoken.
    """

    model: Path = Path("model")
    head: str = ""
    taps: tuple[str, ...] = ()
    language: str | None = None
    adapter: AdapterConfig = field(default_factory=AdapterConfig)
    names: tuple[int, int] = (10, 600)
    empty: float = 0.5
    ordinary: float = 0.8
    respell: float = 0.5
    spellings: int = 10
    guide: float = 0.5
    guide_names: float = 4.0
    stay: float = 2.0

    def __post_init__(self) -> None:
        if not 0 < self.names[0] <= self.names[1]:
            raise ValueError(f"names must be a range of counts, found {self.names}")
        _check_shares(self, "empty", "respell")
        at_least_one(self, "spellings")

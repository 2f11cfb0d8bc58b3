"""Speech for training: lhotse cuts to augmented batches of features and targets."""

from __future__ import annotations

import logging
import math
import random
import signal
from collections.abc import Callable, Iterable, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lhotse import CutSet, RecordingSet, SupervisionSegment
from lhotse.cut import Cut, MixedCut
from lhotse.dataset import SpecAugment
from lhotse.dataset.cut_transforms import (
    CutMix,
    PerturbVolume,
    ReverbWithImpulseResponse,
)
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset

from ctcbias_fst.cut_sets import one_line, read_cut_set, refuse_commands
from ctcbias_fst.errors import ManifestError
from ctcbias_fst.models.features import LogMel
from ctcbias_fst.models.model_config import ModelConfig
from ctcbias_fst.text.tokens import Tokenizer
from ctcbias_fst.training.distortions import Distortions
from ctcbias_fst.training.joining import join_cuts
from ctcbias_fst.training.training_config import AugmentConfig, JoinConfig

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Batch:
    """Utterances ready for the model.

    Attributes:
        features: what the model's `Front` makes: log-mel frames ``(batch, frame, mel)``, not yet
            normalised, or samples ``(batch, sample)``.
        lengths: frames or samples per utterance ``(batch,)``.
        tokens: subword targets of all utterances, one after another.
        token_lengths: targets per utterance ``(batch,)``.
        phones: phone targets likewise; utterances without a transcription have length 0.
        phone_lengths: ``(batch,)``.
        texts: references.
        entities: the rare names spoken in each utterance, as its manifest says.
        seconds: of speech, padding aside.
    """

    features: Tensor
    lengths: Tensor
    tokens: Tensor
    token_lengths: Tensor
    phones: Tensor
    phone_lengths: Tensor
    texts: tuple[str, ...]
    entities: tuple[tuple[str, ...], ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class Front:
    """What a model is given of speech.

    Attributes:
        sampling_rate: of the samples.
        extract: makes of samples, ``(sample,)`` each, the padded input of a batch and its lengths.
        phones: what phone targets are made of.
        masked: whether the input is frames of features, which SpecAugment may mask.
    """

    sampling_rate: int
    extract: Callable[[Sequence[Tensor]], tuple[Tensor, Tensor]]
    phones: tuple[str, ...] = ()
    masked: bool = True

    @classmethod
    def of(cls, model: ModelConfig) -> Front:
        """That of a model of ours: log-mel frames."""
        extract = LogMel(model.encoder.mels, model.sampling_rate)
        return cls(model.sampling_rate, extract, model.phones)

    @classmethod
    def of_waves(cls, sampling_rate: int) -> Front:
        """That of a model which is given samples as they are."""
        return cls(sampling_rate, _padded_waves, masked=False)


def _padded_waves(waves: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    return pad_sequence(list(waves), batch_first=True), counts(waves)


def load_cuts(paths: Sequence[Path], *, max_seconds: float, trusted: bool = False) -> CutSet:
    """Read and join CutSets; drop cuts without text or longer than ``max_seconds``.

    What is named twice is there twice, so that it weighs more. ``trusted`` says whether commands
    in manifests may be run.

    Raises:
        ManifestError: a file is missing or malformed, or names a command, or nothing is left.
    """
    cuts: list[Cut] = []
    for place, path in enumerate(paths):
        again = paths[:place].count(path)
        read = read_cut_set(path, trusted=trusted)
        cuts.extend(cut.with_id(f"{cut.id}-{1 + again}") if again else cut for cut in read)
    kept = [
        cut
        for cut in cuts
        if cut.duration <= max_seconds and cut.supervisions and cut.supervisions[0].text
    ]
    if not kept:
        names = ", ".join(map(str, paths))
        raise ManifestError(
            f"{names}: no cut with text of at most {max_seconds} s ({len(cuts)} cuts read)"
        )
    return CutSet.from_cuts(kept)


def _responses(path: Path) -> RecordingSet:
    """Room impulse responses, unless they would be the output of a command."""
    try:
        recordings = list(RecordingSet.from_file(path))
    except Exception as error:  # lhotse raises many types on a malformed manifest
        raise ManifestError(f"{path}: not a readable RecordingSet: {one_line(error)}") from error
    refuse_commands(recordings, path)
    return RecordingSet.from_recordings(recordings)


class Augmentation:
    """lhotse's waveform transforms, drawn anew for every cut."""

    def __init__(self, config: AugmentConfig, seed: int) -> None:
        self.config = config
        self.random = random.Random(seed)
        self.transforms: list[Any] = []
        if config.rirs is not None:
            self.transforms.append(
                ReverbWithImpulseResponse(
                    _responses(config.rirs),
                    p=config.rir_probability,
                    randgen=self.random,
                    preserve_id=True,
                )
            )
        if config.noise is not None:
            self.transforms.append(
                CutMix(
                    CutSet.from_cuts(read_cut_set(config.noise)),
                    snr=config.noise_snr,
                    p=config.noise_probability,
                    pad_to_longest=False,
                    random_mix_offset=True,
                    preserve_id=True,
                    seed=self.random,
                )
            )
        self.distort = Distortions(config, self.random)
        self.transforms.append(self._limit_bands)
        self.transforms.append(
            PerturbVolume(
                p=config.volume_probability,
                scale_low=config.volume[0],
                scale_high=config.volume[1],
                randgen=self.random,
                preserve_id=True,
            )
        )

    def __call__(self, cuts: CutSet) -> CutSet:
        """Transform each cut with the configured probabilities."""
        cuts = CutSet.from_cuts(self._at_new_speed(cut) for cut in cuts)
        for transform in self.transforms:
            cuts = transform(cuts)
        return cuts

    def _at_new_speed(self, cut: Cut) -> Cut:
        factor = self.random.choice(self.config.speed)
        return cut if factor == 1.0 else cut.perturb_speed(factor, affix_id=False)

    def _limit_bands(self, cuts: CutSet) -> CutSet:
        return CutSet.from_cuts(self._band_limited(cut) for cut in cuts)

    def _band_limited(self, cut: Cut) -> Cut:
        if self.random.random() >= self.config.lowpass_probability:
            return cut
        rate = 2 * self.random.choice(self.config.lowpass_hz)
        return cut.resample(rate).resample(cut.sampling_rate)


class SpeechDataset(Dataset):  # type: ignore[type-arg]
    """Map-style dataset whose index is a CutSet (one batch), as lhotse's samplers give it."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        front: Front,
        *,
        augment: AugmentConfig | None = None,
        seed: int = 0,
        views: int = 1,
    ) -> None:
        """``views``: so many times all utterances, each time masked in another way."""
        self.tokenizer = tokenizer
        self.phone_ids = {phone: i for i, phone in enumerate(front.phones, start=1)}
        self.sampling_rate = front.sampling_rate
        self.extract = front.extract
        self.augment_config = augment
        self.seed = seed
        self.views = views
        self.waves: Augmentation | None = None
        self.spectra: SpecAugment | None = None
        if augment is not None and front.masked:
            self.spectra = SpecAugment(
                time_warp_factor=None,
                num_feature_masks=augment.frequency_masks,
                features_mask_size=augment.frequency_mask_bins,
                num_frame_masks=augment.time_masks,
                frames_mask_size=augment.time_mask_frames,
                max_frames_mask_fraction=augment.time_mask_fraction,
                p=augment.specaugment_probability,
            )

    def __getitem__(self, cuts: CutSet) -> Batch:
        if self.augment_config is not None and self.waves is None:
            # built in the worker process, so that each has its own random numbers
            self.waves = Augmentation(self.augment_config, self.seed + torch.initial_seed() % 2**31)
        if self.waves is not None:
            cuts = self.waves(cuts)
        loaded = [(cut, self._samples(cut)) for cut in cuts]
        usable = [(cut, samples) for cut, samples in loaded if samples is not None]
        if not usable:
            raise ManifestError(
                f"none of the {len(loaded)} recordings of a batch can be read; the first: "
                f"{loaded[0][0].id}; see the warnings above, and make the manifest anew"
            )
        texts = tuple(_text(cut) for cut, _ in usable)
        spoken = [_spoken_phones(cut) for cut, _ in usable]
        entities = tuple(entities_of(cut) for cut, _ in usable)
        features, lengths = self.extract([samples for _, samples in usable])
        tokens = [self.tokenizer.encode(text) for text in texts] * self.views
        phones = [self._phones(line) for line in spoken] * self.views
        texts, entities = texts * self.views, entities * self.views
        features = features.repeat(self.views, *(1 for _ in features.shape[1:]))
        lengths = lengths.repeat(self.views)
        if self.spectra is not None:
            begins = [torch.arange(len(lengths)), torch.zeros_like(lengths), lengths]
            features = self.spectra(features, torch.stack(begins, dim=1).int())
        return Batch(
            features=features,
            lengths=lengths,
            tokens=flat(tokens),
            token_lengths=counts(tokens),
            phones=flat(phones),
            phone_lengths=counts(phones),
            texts=texts,
            entities=entities,
            seconds=self.views * sum(len(one) for _, one in usable) / self.sampling_rate,
        )

    def _samples(self, cut: Cut) -> Tensor | None:
        try:
            samples = _mono(cut, self.sampling_rate)
            if self.waves is not None:
                samples = self.waves.distort(samples, self.sampling_rate)
            return samples
        except Exception as error:  # each backend raises types of its own
            log.warning("%s is left out: %s", cut.id, str(error).splitlines()[0])
            return None

    def _phones(self, line: str | None) -> list[int]:
        if not line or not self.phone_ids:
            return []
        return [self.phone_ids[phone] for phone in line.split() if phone != "|"]


def _text(cut: Cut) -> str:
    return " ".join(str(span.text) for span in _spans(cut))


def _spoken_phones(cut: Cut) -> str | None:
    """Of all that is said, or nothing where a part has none."""
    lines = [str((span.custom or {}).get("phones") or "") for span in _spans(cut)]
    return " | ".join(lines) if all(lines) else None


def entities_of(cut: Cut) -> tuple[str, ...]:
    """The rare names spoken in a cut, as its manifest says."""
    spans = _spans(cut)
    return tuple(name for span in spans for name in (span.custom or {}).get("entities", ()))


def _spans(cut: Any) -> list[SupervisionSegment]:
    """What is said in a cut, in order: the first supervision of each of its parts."""
    if not isinstance(cut, MixedCut):
        return list(cut.supervisions[:1])
    # a track is a mixture itself where lhotse mixes noise with what had reverberation
    tracks = sorted(cut.tracks, key=lambda track: float(track.offset))
    return [span for track in tracks for span in _spans(track.cut)]


def _mono(cut: Cut, sampling_rate: int) -> Tensor:
    if cut.sampling_rate != sampling_rate:
        cut = cut.resample(sampling_rate)
    return torch.from_numpy(cut.load_audio().mean(axis=0))


def flat(sequences: Iterable[Sequence[int]]) -> Tensor:
    """All items, one sequence after another."""
    return torch.tensor([item for seq in sequences for item in seq], dtype=torch.int64)


def counts(sequences: Iterable[Sized]) -> Tensor:
    """How many items each sequence has."""
    return torch.tensor([len(sequence) for sequence in sequences], dtype=torch.int64)


def batches_of_epoch(
    cuts: CutSet,
    *,
    batch_seconds: float,
    epoch: int,
    seed: int,
    shuffle: bool = True,
    join: JoinConfig | None = None,
    rank: int = 0,
    world_size: int = 1,
) -> list[CutSet]:
    """All batches of an epoch, the same for the same seed and epoch.

    Some cuts are joined as ``join`` says. Items of similar durations go together: sorted by
    duration (with a tenth of jitter when ``shuffle``), cut where the padded batch would exceed
    ``batch_seconds``, then shuffled. Every rank gets as many batches as any other; the first ones
    serve twice where needed.
    (lhotse's bucketing sampler does not run under torch 1.13.)
    """
    generator = random.Random(f"{seed} {epoch}")

    def key(cut: Cut) -> float:
        jitter = generator.uniform(0.9, 1.1) if shuffle else 1.0
        return float(cut.duration) * jitter

    items = cuts
    if join is not None and (join.share or join.lead_share):
        items = join_cuts(cuts, join, generator)
    batches: list[list[Cut]] = []
    longest = math.inf
    for _, _, cut in sorted((key(cut), cut.id, cut) for cut in items):
        longest = max(longest, cut.duration)
        if not batches or longest * (len(batches[-1]) + 1) > batch_seconds:
            batches.append([])
            longest = cut.duration
        batches[-1].append(cut)
    if shuffle:
        generator.shuffle(batches)
    batches += batches[: -len(batches) % world_size]
    return [CutSet.from_cuts(batch) for batch in batches[rank::world_size]]


def loader(dataset: SpeechDataset, batches: Sequence[CutSet], workers: int) -> DataLoader[Batch]:
    """Load ``batches`` in the given order, ahead of time when ``workers > 0``."""
    return DataLoader(
        dataset,
        sampler=batches,  # an index is a CutSet
        batch_size=None,
        num_workers=workers,
        worker_init_fn=_begin_worker if workers else None,
    )


def _begin_worker(worker: int) -> None:
    torch.set_num_threads(1)
    # Ctrl-C is for the process that trains, which ends this one. One that ended by itself would be
    # taken for a crash.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def feature_statistics(cuts: CutSet, model: ModelConfig, most: int = 500) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation ``(mel,)`` of log-mel channels over some cuts."""
    extract = LogMel(model.encoder.mels, model.sampling_rate)
    picked = random.Random(0).sample(list(cuts), min(most, len(cuts)))
    frames = torch.cat([extract([_mono(cut, model.sampling_rate)])[0][0] for cut in picked])
    return frames.mean(dim=0), frames.std(dim=0)

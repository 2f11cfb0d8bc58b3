"""What there is to decode, cuts with audio or saved log-probs, and what decodes it."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from lhotse import CutSet
from lhotse.cut import Cut

from ctcbias_fst.audio.audio import AudioPart, Recording, declared_seconds, to_recording
from ctcbias_fst.compiled import CompiledEntities
from ctcbias_fst.config import to_mapping
from ctcbias_fst.corpus.cuts import load_recording, seconds_of
from ctcbias_fst.corpus.shar import SharCut, with_audio
from ctcbias_fst.cut_sets import named_files
from ctcbias_fst.decoder import FRAME_SECONDS, Decoder
from ctcbias_fst.devices import checked_device
from ctcbias_fst.errors import warn_caller
from ctcbias_fst.files import digest_of_arrays, fingerprint
from ctcbias_fst.graph.entity_tree import BoostGraph
from ctcbias_fst.models.adapted import adapter_file
from ctcbias_fst.models.find import identity_of, load_model
from ctcbias_fst.models.first_failures import FirstFailures, first_failures
from ctcbias_fst.models.phone_listener import AUTO, EMBEDDED
from ctcbias_fst.recognizer import Recognizer
from ctcbias_fst.records import LogProbs, Transcript
from ctcbias_fst.search.saved_log_probs import SavedLogProbs
from ctcbias_fst.settings import PipelineConfig
from ctcbias_fst.text.entities import EntityList
from ctcbias_fst.text.lexicon_tokenizer import LexiconTokenizer
from ctcbias_fst.text.tokens import Tokenizer

_UNKNOWN_SECONDS = 30.0
"""What recordings count for whose headers do not say how long they are."""


@dataclass(frozen=True)
class Utterance:
    """Something to decode: its name, its duration, and where to find it."""

    id: str
    seconds: float
    source: Any

    @property
    def place(self) -> Any:
        """Which audio or array it is, in plain values; what is said there is no part of it."""
        if isinstance(self.source, AudioPart):
            part = self.source
            return [str(part.path), part.start, part.seconds, part.command]
        if hasattr(self.source, "to_dict"):
            return {k: str(v) for k, v in self.source.to_dict().items() if k != "supervisions"}
        return None  # an array, which has the name of the utterance

    @property
    def files(self) -> Iterator[Path]:
        """Where it is, the audio first; none of an array, nor of what a command puts out."""
        if isinstance(self.source, SharCut):
            yield from (self.source.archive, self.source.manifest)
        elif isinstance(self.source, AudioPart):
            yield from () if self.source.command else (self.source.path,)
        elif isinstance(self.source, Cut):
            yield from named_files([self.source])


def shar_utterances(cuts: Sequence[Cut | SharCut]) -> list[Utterance]:
    """What there is to decode in a folder of lhotse Shar."""
    plain = (cut.cut if isinstance(cut, SharCut) else cut for cut in cuts)
    return [Utterance(one.id, seconds_of(one), cut) for one, cut in zip(plain, cuts)]


def cut_utterances(cuts: CutSet) -> list[Utterance]:
    """What there is to decode in a manifest of cuts."""
    return [Utterance(cut.id, seconds_of(cut), cut) for cut in cuts]


def part_utterances(parts: Sequence[AudioPart]) -> list[Utterance]:
    """What there is to decode in a folder or a list of paths."""
    seconds = [declared_seconds(part) for part in parts]
    return [
        Utterance(part.id, _UNKNOWN_SECONDS if one is None else one, part)
        for part, one in zip(parts, seconds)
    ]


def recording_batches(cuts: CutSet, rate: int, seconds: float = 120.0) -> list[list[Recording]]:
    """The audio of cuts in memory, similar durations together, the longest first.

    Args:
        cuts: all of them must be usable.
        rate: sampling rate of the recordings.
        seconds: audio per batch, padding included.

    Raises:
        AudioError: see :func:`load_recording`.
    """
    utterances = cut_utterances(cuts)
    return [
        [load_recording(utterance.source, rate) for utterance in batch]
        for batch in batches_by_duration(utterances, seconds)
    ]


def batches_by_duration(
    utterances: Sequence[Utterance], seconds: float
) -> Iterator[list[Utterance]]:
    """Utterances of similar duration together, long ones first; ``seconds`` with padding."""
    batch: list[Utterance] = []
    for utterance in sorted(utterances, key=lambda u: -u.seconds):
        if batch and (len(batch) + 1) * batch[0].seconds > seconds:
            yield batch
            batch = []
        batch.append(utterance)
    if batch:
        yield batch


class Backend(ABC):
    """What turns utterances into transcripts.

    Attributes:
        settings: all that its results depend on, in plain values.
        decoder: what decodes the log-probs.
    """

    settings: dict[str, Any]
    decoder: Decoder

    def compile(
        self, entities: EntityList, graph: BoostGraph | None = None, seconds: float | None = None
    ) -> CompiledEntities:
        """Prepare a list; ``names.entities.rejected`` tells what can have no effect.

        Args:
            graph: its boosting graph, if it was compiled before.
            seconds: of the longest utterance that it is for.
        """
        names = self.decoder.compile(entities, seconds, warn=False)  # the job tells
        boosts = "boost" in self.decoder.config.parts
        return replace(names, graph=graph) if boosts and graph is not None else names

    @abstractmethod
    def load(self, utterance: Utterance) -> Any:
        """The audio or log-probs of one utterance.

        Raises:
            InputError: it cannot be used.
        """

    @abstractmethod
    def decode(
        self, loaded: Sequence[Any], names: Sequence[CompiledEntities | None]
    ) -> list[Transcript]:
        """Decode a batch of what :meth:`load` gave.

        Raises:
            InputError: one of them cannot be used.
        """

    def first_failures(self, *, worked: bool) -> FirstFailures | None:
        """What tells, for one job, a model that fails on everything; None without a model.

        Args:
            worked: whether an utterance has worked before.
        """
        del worked
        return None


class SpeechBackend(Backend):
    """Decodes the audio of cuts.

    Args:
        model: its path, see :func:`ctcbias_fst.models.find.load_model`; or ``None`` for the model
            inside the package.
        phones: who hears phones, see `Recognizer`; of a model, its path.
        language: of a model that has parts for several languages.
        lexicon: of a model whose tokens are phones, see the same.
        adapter: its contextual adapter, see :func:`ctcbias_fst.models.find.load_model`.
    """

    def __init__(
        self,
        model: Path | None,
        config: PipelineConfig,
        device: str,
        phones: str | Path | None = AUTO,
        *,
        language: str | None = None,
        lexicon: Path | str | None = None,
        adapter: Path | None = None,
    ) -> None:
        loaded = load_model(model, device, language=language, lexicon=lexicon, adapter=adapter)
        self._recognizer = Recognizer(loaded, config, phones=phones)
        self.decoder = self._recognizer.decoder
        self.settings = {
            "model": identity_of(model),
            "vocabulary": self.decoder.vocabulary.digest,
            "config": to_mapping(config),
            "lm": fingerprint(config.lm or self._recognizer.model.lm),
            **({} if language is None else {"language": language}),
            **_words_of(self.decoder),
            **({} if adapter is None else {"adapter": fingerprint(adapter_file(adapter))}),
        }
        by_name = phones is not None and os.fspath(phones) in (AUTO, EMBEDDED)
        if self._recognizer.model.hears_phones and by_name:
            phones = None
        if phones is not None:
            self.settings["phones"] = identity_of(None if by_name else Path(phones))

    @property
    def phone_cost(self) -> tuple[object, float]:
        """Who listened to phones beside the model, and for how many seconds so far."""
        return self._recognizer.phones, self._recognizer.phone_seconds

    def first_failures(self, *, worked: bool) -> FirstFailures:
        return first_failures(self._recognizer.log_probs, self._recognizer.model, worked)

    def load(self, utterance: Utterance) -> Recording:
        rate = self._recognizer.model.sampling_rate
        if isinstance(utterance.source, AudioPart):
            return to_recording(utterance.source, rate)
        if isinstance(utterance.source, SharCut):
            return load_recording(with_audio(utterance.source), rate)
        return load_recording(utterance.source, rate)

    def decode(
        self, loaded: Sequence[Any], names: Sequence[CompiledEntities | None]
    ) -> list[Transcript]:
        return self._recognizer.transcribe_recordings(loaded, names)


def _words_of(decoder: Decoder) -> dict[str, str]:
    """Which words can be written, if a lexicon says."""
    if not isinstance(decoder.tokenizer, LexiconTokenizer):
        return {}
    arrays = decoder.tokenizer.lexicon.arrays()
    del arrays["source"]  # wherever it is from
    return {"lexicon": digest_of_arrays(arrays)}


def columns_of(path: Path, *, trusted: bool = False) -> int | None:
    """How many columns the first utterance of saved log-probs has, if that can be told."""
    return SavedLogProbs(path, trusted=trusted).columns


class LogProbsBackend(Backend):
    """Decodes log-probs that any CTC model made; ``decoder.parts`` says with which parts.

    Args:
        path: the file, see :mod:`ctcbias_fst.search.saved_log_probs`.
        frame_seconds: of the model, if the file does not say.
        softmax: the file has logits.
        trusted: whether commands in a manifest may be run.

    Attributes:
        frame_seconds: what the file says, or the argument, or else 0.04, with a warning.
    """

    def __init__(
        self,
        path: Path,
        tokenizer: Tokenizer,
        config: PipelineConfig,
        device: str,
        *,
        frame_seconds: float | None = None,
        softmax: bool = False,
        trusted: bool = False,
    ) -> None:
        checked_device(device)
        self._saved = SavedLogProbs(path, trusted=trusted)
        self._softmax = softmax
        if frame_seconds is None and self._saved.frame_seconds is None:
            warn_caller(
                f"{path}: does not say how long a frame is; {FRAME_SECONDS} s is assumed "
                "(--frame-seconds, or frame_seconds in the file)"
            )
        self.frame_seconds = frame_seconds or self._saved.frame_seconds or FRAME_SECONDS
        self.decoder = Decoder(tokenizer, config, frame_seconds=self.frame_seconds, device=device)
        self.settings = {
            "log_probs": [str(path), path.stat().st_size, softmax, self.frame_seconds],
            "vocabulary": tokenizer.vocabulary.digest,
            "config": to_mapping(config),
            "lm": fingerprint(config.lm),
            **_words_of(self.decoder),
        }

    @property
    def files(self) -> Iterator[Path]:
        """The files of arrays that a manifest names."""
        return self._saved.files

    def utterances(self) -> list[Utterance]:
        """What the file holds.

        Raises:
            LogProbsError: nothing that can be used.
        """
        self._saved.require_usable(self.decoder.vocabulary, self._softmax)
        return [
            Utterance(name, frames * self.frame_seconds, name)
            for name, frames in self._saved.frames.items()
        ]

    def load(self, utterance: Utterance) -> tuple[str, torch.Tensor]:
        return utterance.id, self._saved.read(
            utterance.source, self.decoder.vocabulary, self._softmax
        )

    def decode(
        self, loaded: Sequence[Any], names: Sequence[CompiledEntities | None]
    ) -> list[Transcript]:
        return self.decoder.decode_batch(self.batch(loaded), names)

    def batch(self, loaded: Sequence[tuple[str, torch.Tensor]]) -> LogProbs:
        """What :meth:`load` gave of several utterances, together."""
        ids, arrays = zip(*loaded)
        return self.decoder.batch(arrays, ids=ids)

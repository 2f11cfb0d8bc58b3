"""Development data that is transcribed again and again, with other settings each time.

What the encoder makes of the audio is computed once and kept in memory, unless a setting changes
that the encoder depends on; so are compiled lists.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ctcbias_fst.compiled import CompiledEntities
from ctcbias_fst.corpus.backends import LogProbsBackend, recording_batches
from ctcbias_fst.corpus.cuts import read_cuts
from ctcbias_fst.errors import ManifestError
from ctcbias_fst.recognizer import Recognizer
from ctcbias_fst.search.decode_config import DecodeConfig
from ctcbias_fst.settings import PipelineConfig
from ctcbias_fst.text.entities import EntityList
from ctcbias_fst.text.transcripts import read_transcripts
from ctcbias_fst.text.utterances import load_entities

if TYPE_CHECKING:
    from ctcbias_fst.models.embedded import AcousticModel
    from ctcbias_fst.records import LogProbs
    from ctcbias_fst.text.tokens import Tokenizer

__all__ = ["DevSet", "SavedSource", "Source", "SpeechSource", "open_sources"]

_BATCH = 32
_KEPT = 6
"""Settings of the adapter for which the encoder's output is kept, and as much memory of it."""


@dataclass(frozen=True)
class DevSet:
    """Development data: either cuts or saved log-probs, and a list of names to decode it with.

    Attributes:
      entities: one list for all utterances, or one for each.
      cuts: a manifest of cuts with audio.
      log_probs: saved log-probs (docs/own-model.md).
      references: what is said, as ``ctcbias score`` reads it; by default the cuts' texts.
      changed_tolerance: how many of the words may change where no name is spoken; where many words
        are wrong without a list, too, many of its changes do no harm.
    """

    entities: Path
    cuts: Path | None = None
    log_probs: Path | None = None
    references: Path | None = None
    changed_tolerance: float | None = None

    def __post_init__(self) -> None:
        if (self.cuts is None) == (self.log_probs is None):
            raise ValueError("a set has either cuts or log_probs")
        if self.references is None and self.cuts is None:
            raise ValueError("a set of log_probs needs references")


class Source(Protocol):
    """Development data that can be transcribed again and again."""

    @property
    def references(self) -> Mapping[str, str]: ...

    @property
    def entities(self) -> EntityList | Mapping[str, EntityList]: ...

    def transcribe(self, config: PipelineConfig, listed: bool = True) -> dict[str, str]:
        """The text of every utterance, with its list or without it."""
        ...


class _CompiledLists:
    """The lists of a set, compiled with the latest settings."""

    def __init__(self, entities: EntityList | Mapping[str, EntityList]) -> None:
        self._entities = entities
        self._latest: tuple[PipelineConfig | None, dict[str, CompiledEntities]] = (None, {})

    def of(
        self,
        config: PipelineConfig,
        compile_list: Callable[[EntityList], CompiledEntities],
        ids: Sequence[str],
    ) -> dict[str, CompiledEntities]:
        """The list of every utterance that has names; those of `ids`, always the same ones."""
        key = replace(config, decode=DecodeConfig())
        if self._latest[0] != key:
            self._latest = (key, self._compiled(compile_list, ids))
        return self._latest[1]

    def _compiled(
        self, compile_list: Callable[[EntityList], CompiledEntities], ids: Sequence[str]
    ) -> dict[str, CompiledEntities]:
        entities = self._entities
        if isinstance(entities, EntityList):
            return dict.fromkeys(ids, compile_list(entities))
        missing = next((name for name in ids if name not in entities), None)
        if missing is not None:
            raise ManifestError(f"utterance {missing!r} has no list of names")
        return {name: compile_list(entities[name]) for name in ids if len(entities[name])}


class SpeechSource:
    """Cuts, with a model of ours.

    Args:
      model: the model.
      cuts: the manifest.
      entities: one list, or one for each utterance.
      references: texts by the ids of the cuts.
    """

    def __init__(
        self,
        model: AcousticModel,
        cuts: Path,
        entities: EntityList | Mapping[str, EntityList],
        references: Mapping[str, str],
    ) -> None:
        self.references, self.entities = references, entities
        self._model = model
        self._batches = recording_batches(read_cuts(cuts), model.sampling_rate)
        self._names = _CompiledLists(entities)
        self._log_probs: dict[Any, list[LogProbs]] = {}

    def transcribe(self, config: PipelineConfig, listed: bool = True) -> dict[str, str]:
        """See :class:`Source`."""
        recognizer = Recognizer(self._model, config)
        ids = [recording.id for batch in self._batches for recording in batch]
        names = self._names.of(config, recognizer.compile, ids) if listed else {}
        per_batch = [[names.get(one.id) for one in batch] for batch in self._batches]
        # What the encoder's output depends on.
        key = config.adapter if listed and "adapter" in config.parts else None
        if key not in self._log_probs:
            if len(self._log_probs) == _KEPT:
                del self._log_probs[next(iter(self._log_probs))]
            self._log_probs[key] = list(map(recognizer.log_probs, self._batches, per_batch))
        return {
            transcript.id: transcript.best.text
            for log_probs, of_batch in zip(self._log_probs[key], per_batch)
            for transcript in recognizer.decoder.decode_batch(log_probs, of_batch)
        }


class SavedSource:
    """Saved log-probs of any model.

    Args:
      path: the file.
      tokenizer: of the model.
      entities: one list, or one for each utterance.
      references: texts by the ids of the utterances.
      device: where to search.
    """

    def __init__(
        self,
        path: Path,
        tokenizer: Tokenizer,
        entities: EntityList | Mapping[str, EntityList],
        references: Mapping[str, str],
        device: str = "cpu",
    ) -> None:
        self.references, self.entities = references, entities
        self._path, self._tokenizer, self._device = path, tokenizer, device
        self._frame_seconds: float | None = None
        backend = self._backend(PipelineConfig())
        # What it assumed is said once, not with every setting that is tried.
        self._frame_seconds = backend.frame_seconds
        by_length = sorted(backend.utterances(), key=lambda utterance: -utterance.seconds)
        self._loaded = [backend.load(utterance) for utterance in by_length]
        self._names = _CompiledLists(entities)

    def transcribe(self, config: PipelineConfig, listed: bool = True) -> dict[str, str]:
        """See :class:`Source`."""
        backend = self._backend(config)
        ids = [name for name, _ in self._loaded]
        names = self._names.of(config, backend.compile, ids) if listed else {}
        texts = {}
        for begin in range(0, len(self._loaded), _BATCH):
            batch = self._loaded[begin : begin + _BATCH]
            for transcript in backend.decode(batch, [names.get(name) for name, _ in batch]):
                texts[transcript.id] = transcript.best.text
        return texts

    def _backend(self, config: PipelineConfig) -> LogProbsBackend:
        return LogProbsBackend(
            self._path,
            self._tokenizer,
            config,
            self._device,
            frame_seconds=self._frame_seconds,
        )


def open_sources(
    sets: Sequence[DevSet],
    folder: Path,
    model: AcousticModel | None,
    tokenizer: Tokenizer,
    device: str = "cpu",
) -> list[Source]:
    """Read development data.

    Args:
      sets: name the files.
      folder: where relative paths start.
      model: for sets of cuts.
      tokenizer: for sets of log-probs.
      device: where these are searched.

    Raises:
      InputError: a file is missing or malformed, or a set cannot be used.
    """
    sources: list[Source] = []
    for one in sets:
        entities = load_entities(folder / one.entities)
        cuts = None if one.cuts is None else folder / one.cuts
        spoken = cuts if one.references is None else folder / one.references
        assert spoken is not None
        references = read_transcripts(spoken)
        if cuts is not None:
            assert model is not None
            sources.append(SpeechSource(model, cuts, entities, references))
        else:
            assert one.log_probs is not None
            sources.append(
                SavedSource(folder / one.log_probs, tokenizer, entities, references, device)
            )
    return sources

"""Development data that is transcribed again and again, with other settings each time.

What the encoder makes of the audio is computed once and kept in memory, unless a setting changes
that the encoder depends on; so are compiled lists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ctcbias_fst.compiled import CompiledEntities
from ctcbias_fst.corpus.backends import LogProbsBackend, recording_batches
from ctcbias_fst.corpus.cuts import read_cuts
from ctcbias_fst.decoder import Decoder
from ctcbias_fst.errors import ManifestError
from ctcbias_fst.recognizer import Recognizer
from ctcbias_fst.search.decode_config import DecodeConfig
from ctcbias_fst.settings import PipelineConfig
from ctcbias_fst.text.entities import EntityList
from ctcbias_fst.text.transcripts import read_transcripts
from ctcbias_fst.text.utterances import load_entities

if TYPE_CHECKING:
    from ctcbias_fst.models.plug import SpeechModel
    from ctcbias_fst.records import LogProbs
    from ctcbias_fst.text.tokens import Tokenizer

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
        changed_tolerance: how many of the words may change where no name is spoken; where many
            words are wrong without a list, too, many of its changes do no harm.
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


Lists = EntityList | Mapping[str, EntityList]
"""One list for all utterances, or one for each."""


def compiled_lists(
    entities: Lists, ids: Sequence[str], compile_list: Callable[[EntityList], CompiledEntities]
) -> dict[str, CompiledEntities]:
    """The compiled list of every utterance that has names; one for all is compiled once."""
    if isinstance(entities, EntityList):
        return dict.fromkeys(ids, compile_list(entities))
    missing = next((name for name in ids if name not in entities), None)
    if missing is not None:
        raise ManifestError(f"utterance {missing!r} has no list of names")
    return {name: compile_list(entities[name]) for name in ids if len(entities[name])}


class _WithLists:
    """Utterances whose lists are kept compiled with the latest settings."""

    def __init__(self, entities: Lists, references: Mapping[str, str]) -> None:
        self.references, self.entities = references, entities
        self._latest: tuple[PipelineConfig | None, dict[str, CompiledEntities]] = (None, {})

    def _compiled(
        self,
        config: PipelineConfig,
        ids: Sequence[str],
        compile_list: Callable[[EntityList], CompiledEntities],
    ) -> dict[str, CompiledEntities]:
        key = replace(config, decode=DecodeConfig())
        if self._latest[0] != key:
            self._latest = (key, compiled_lists(self.entities, ids, compile_list))
        return self._latest[1]


class SpeechSource(_WithLists):
    """Cuts, with a model that scores speech.

    Args:
        entities: one list, or one for each utterance.
        references: texts by the ids of the cuts.
    """

    def __init__(
        self, model: SpeechModel, cuts: Path, entities: Lists, references: Mapping[str, str]
    ) -> None:
        super().__init__(entities, references)
        self._model = model
        self._batches = recording_batches(read_cuts(cuts), model.sampling_rate)
        self._ids = [recording.id for batch in self._batches for recording in batch]
        self._log_probs: dict[Any, list[LogProbs]] = {}

    def transcribe(self, config: PipelineConfig, listed: bool = True) -> dict[str, str]:
        """See :class:`Source`."""
        recognizer = Recognizer(self._model, config)
        names = self._compiled(config, self._ids, recognizer.compile) if listed else {}
        # What the encoder's output depends on.
        attends = listed and self._model.attends and "adapter" in config.parts
        key = config.adapter if attends else None
        if key not in self._log_probs:
            if len(self._log_probs) == _KEPT:
                del self._log_probs[next(iter(self._log_probs))]
            per_batch = [[names.get(one.id) for one in batch] for batch in self._batches]
            self._log_probs[key] = list(map(recognizer.log_probs, self._batches, per_batch))
        return _texts(recognizer.decoder, self._log_probs[key], names)


class SavedSource(_WithLists):
    """Saved log-probs of any model.

    Args:
        entities: one list, or one for each utterance.
        references: texts by the ids of the utterances.
    """

    def __init__(
        self,
        path: Path,
        tokenizer: Tokenizer,
        entities: Lists,
        references: Mapping[str, str],
        device: str = "cpu",
    ) -> None:
        super().__init__(entities, references)
        backend = LogProbsBackend(path, tokenizer, PipelineConfig(), device)
        self._decoder = partial(
            Decoder, tokenizer, frame_seconds=backend.frame_seconds, device=device
        )
        by_length = sorted(backend.utterances(), key=lambda utterance: -utterance.seconds)
        self._ids = [utterance.id for utterance in by_length]
        self._batches = [
            backend.batch([backend.load(one) for one in by_length[begin : begin + _BATCH]])
            for begin in range(0, len(by_length), _BATCH)
        ]

    def transcribe(self, config: PipelineConfig, listed: bool = True) -> dict[str, str]:
        """See :class:`Source`."""
        decoder = self._decoder(config)
        compile_list = partial(decoder.compile, warn=False)
        names = self._compiled(config, self._ids, compile_list) if listed else {}
        return _texts(decoder, self._batches, names)


def _texts(
    decoder: Decoder, batches: Iterable[LogProbs], names: Mapping[str, CompiledEntities]
) -> dict[str, str]:
    return {
        transcript.id: transcript.best.text
        for batch in batches
        for transcript in decoder.decode_batch(batch, [names.get(one) for one in batch.ids])
    }


def open_sources(
    sets: Sequence[DevSet],
    folder: Path,
    model: SpeechModel | None,
    tokenizer: Tokenizer,
    device: str = "cpu",
) -> list[Source]:
    """Read development data.

    Args:
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

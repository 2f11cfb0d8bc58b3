"""The one place where the stages are wired together."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from numbers import Real
from pathlib import Path
from threading import Lock
from typing import Any

import torch

from ctcbias_fst.acoustic.audio import AudioPart, Recording, to_recording
from ctcbias_fst.acoustic.config import AttentionConfig
from ctcbias_fst.acoustic.listed import ListedNames
from ctcbias_fst.acoustic.package import DEFAULT
from ctcbias_fst.acoustic.recognise import AcousticModel
from ctcbias_fst.bounds import at_least_one, at_most, typed
from ctcbias_fst.config import load_config, read_toml
from ctcbias_fst.decode.config import DecodeConfig
from ctcbias_fst.decode.decoder import Decoder
from ctcbias_fst.decode.evidence import leave_out_unheard
from ctcbias_fst.decode.lookup import LookupConfig
from ctcbias_fst.decode.phonetic import RescoreConfig
from ctcbias_fst.decode.segments import cut_at_pauses, join_segments
from ctcbias_fst.decode.shortlists import ShortLists
from ctcbias_fst.decode.sounds import SoundStages
from ctcbias_fst.decode.times import place_words
from ctcbias_fst.decode.unbiased import unbiased_elsewhere
from ctcbias_fst.devices import checked_device, with_versions
from ctcbias_fst.errors import (
    AudioError,
    ConfigError,
    EntityListError,
    LanguageModelError,
    MissingDependencyError,
    ModelError,
    warn_caller,
)
from ctcbias_fst.fst.boost import BoostGraph, build_tree
from ctcbias_fst.lm.compose import LmComposer
from ctcbias_fst.lm.model import load_lm
from ctcbias_fst.records import LogProbs, Transcript, require_log_probs
from ctcbias_fst.sound.package import speak
from ctcbias_fst.sound.shortlist import PhoneIndex, ShortlistConfig
from ctcbias_fst.sound.spellings import SpellingsConfig, SpellingsOnDemand, encode_spellings
from ctcbias_fst.sound.spoken import SpokenNames
from ctcbias_fst.sound.words import NameSounds, load_word_sounds
from ctcbias_fst.text.encoded_entities import (
    EncodedEntities,
    check_entities,
    encode_entities,
    report_too_long,
)
from ctcbias_fst.text.entities import EntityList, entities_from_names, require_names
from ctcbias_fst.text.files import is_named_pipe, quoted
from ctcbias_fst.text.phones import PHONES
from ctcbias_fst.text.phrases import PhraseMatcher
from ctcbias_fst.text.tokens import Tokenizer
from ctcbias_fst.text.vocabulary import Vocabulary

__all__ = [
    "PARTS",
    "SETTINGS_FILE",
    "Failure",
    "Names",
    "PipelineConfig",
    "Recognizer",
    "compile_graph",
    "language_model",
    "parse_parts",
    "settings_of",
]

_BATCH_SECONDS = 120.0

_ROUNDS = 2
"""How often what an adapter changed where no name is written is decoded again: once, and where a
name is gone then, once more."""

SETTINGS_FILE = "settings.toml"
"""Of a model directory, or of a folder of lattices: how the parts work together there."""

PARTS = ("adapter", "boost", "g2g", "lm", "boost-class", "rescore", "lookup")
"""What biases towards the names of a list; each can be left out.

``g2g`` is part of the boosting graph: it does nothing without ``boost``. ``lm`` and ``rescore``
help other words as well, with a list or without; ``boost-class`` is how the names of the boosting
graph enter the language model.
"""


@dataclass(frozen=True)
class PipelineConfig:
    """How the parts work together.

    Attributes:
        decode: the search and the boost.
        parts: which of :data:`PARTS` act.
        adapter: how far the adapter is trusted.
        lm: the language model's file; by default the one in the model directory, if there is one.
        segmentations: how many segmentations of a name the boosting graph knows.
        spoken_forms: whether names with digits, symbols and initials are looked for as rules say
            that they are said; not those of an entry with `sounds_like`.
        shortlist: which names of a long list the decoder knows.
        spellings: the spelling variants that the boosting graph knows (part ``g2g``).
        rescore: phone scores of hypotheses.
        lookup: words that sound like a name.
    """

    decode: DecodeConfig = field(default_factory=DecodeConfig)
    parts: tuple[str, ...] = PARTS
    adapter: AttentionConfig = field(default_factory=AttentionConfig)
    lm: Path | None = None
    segmentations: int = 1
    spoken_forms: bool = True
    shortlist: ShortlistConfig = field(default_factory=ShortlistConfig)
    spellings: SpellingsConfig = field(default_factory=SpellingsConfig)
    rescore: RescoreConfig = field(default_factory=RescoreConfig)
    lookup: LookupConfig = field(default_factory=LookupConfig)

    def __post_init__(self) -> None:
        typed(self)
        if isinstance(self.parts, str) or not isinstance(self.parts, Iterable):
            raise ValueError(f"parts must be a list of names, found {quoted(self.parts)}")
        if isinstance(self.lm, str):
            object.__setattr__(self, "lm", Path(self.lm))
        unknown = sorted(set(self.parts) - set(PARTS))
        if unknown:
            raise ValueError(f"unknown part {unknown[0]!r}; there are: {', '.join(PARTS)}")
        at_least_one(self, "segmentations")
        at_most(self, 100, "segmentations")


def settings_of(model: Path | None = None) -> dict[str, Any]:
    """What a model directory says of how the parts work together with this model.

    That is its file ``settings.toml``, as ``ctcbias tune`` writes it; nothing if there is none.

    Raises:
        ConfigError: the file has wrong keys or values.
    """
    path = (DEFAULT if model is None else Path(model)) / SETTINGS_FILE
    if not path.is_file():
        return {}
    load_config(PipelineConfig, path)
    return read_toml(path)


def parse_parts(text: str) -> tuple[str, ...]:
    """Read ``all``, ``none`` or a comma-separated set of :data:`PARTS`.

    Raises:
        ConfigError: there is no such part.
    """
    if text == "none":
        return ()
    chosen = PARTS if text == "all" else tuple(part.strip() for part in text.split(","))
    unknown = [part for part in chosen if part not in PARTS]
    if unknown:
        raise ConfigError(
            f"unknown part {unknown[0]!r}: choose among {', '.join(PARTS)}, or all, or none"
        )
    return chosen


@dataclass(frozen=True, eq=False)
class Names:
    """A list of names, compiled for one model.

    Attributes:
        entities: the list; ``entities.rejected`` tells what has no effect, and why.
        graph: for the decoder, if it boosts.
        listed: for the adapter, if there is one.
        sounds: for rescoring and lookup, if there is one of them.
        shortlists: what takes the place of the graph and the sounds for each utterance, if the
            list is long; a graph that is there is searched all the same.
    """

    entities: EntityList
    graph: BoostGraph | None
    listed: ListedNames | None
    sounds: NameSounds | None = None
    shortlists: ShortLists | None = None

    @cached_property
    def matcher(self) -> PhraseMatcher:
        """Finds the names in what was written without a graph."""
        texts = (text for entity in self.entities for text in (entity.name, entity.display))
        return PhraseMatcher(dict.fromkeys(texts))


@with_versions
def compile_graph(
    entities: EntityList,
    tokenizer: Tokenizer,
    config: PipelineConfig,
    own: EncodedEntities | None = None,
) -> BoostGraph | None:
    """Build the boosting graph of a list, with the spelling variants if ``g2g`` is a part.

    Args:
        entities: names that passed :func:`ctcbias_fst.text.encoded_entities.check_entities`.
        tokenizer: the model's.
        config: without the part ``boost`` there is no graph.
        own: the names in the tokenizer's tokens, as many segmentations of each as ``config`` wants,
            if they are at hand.
    """
    if "boost" not in config.parts:
        return None
    encoded = encode_spellings(
        entities,
        tokenizer,
        segmentations=config.segmentations,
        config=config.spellings if "g2g" in config.parts else None,
        own=own,
    )
    return build_tree(encoded, tuple(entities), tokenizer.vocabulary)


@with_versions
def language_model(
    config: PipelineConfig,
    vocabulary: Vocabulary,
    device: torch.device | str,
    default: Path | None = None,
    tokenizer: Tokenizer | None = None,
) -> LmComposer | None:
    """Load the language model that acts, if there is one; a second time it is at hand.

    Args:
        config: names the file and the parts.
        vocabulary: of the acoustic model.
        device: where to decode.
        default: the file if ``config`` names none.
        tokenizer: of the acoustic model, which ``decode.lm.first_pass`` needs.

    Raises:
        LanguageModelError: it is missing, damaged or does not fit the vocabulary.
    """
    path = default if config.lm is None else config.lm
    if path is None or "lm" not in config.parts:
        return None
    try:
        status = path.stat()
    except OSError as error:
        raise LanguageModelError(f"{path}: {error.strerror}") from error
    if is_named_pipe(path):
        raise LanguageModelError(f"{path}: is a pipe; give a file")
    changed = (status.st_mtime_ns, status.st_size, status.st_ino)
    boost_class = "boost-class" in config.parts
    composer = _composer(path.resolve(), changed, vocabulary, torch.device(device), boost_class)
    return composer if tokenizer is None else composer.with_tokenizer(tokenizer)


@lru_cache(maxsize=2)
def _composer(
    path: Path,
    changed: tuple[int, int, int],
    vocabulary: Vocabulary,
    device: torch.device,
    boost_class: bool,
) -> LmComposer:
    return LmComposer(load_lm(path), vocabulary, device, boost_class=boost_class)


@dataclass(frozen=True)
class Failure:
    """A recording that could not be used, and why."""

    id: str
    error: AudioError


class Recognizer:
    """Speech in, transcripts out. Threads may share it, and what it compiles.

    >>> recognizer = Recognizer.from_pretrained()                             # doctest: +SKIP
    >>> entities = ["metformin", "Keisha Smith"]                              # doctest: +SKIP
    >>> print(recognizer.transcribe("talk.wav", entities=entities).best.text) # doctest: +SKIP
    """

    @with_versions
    def __init__(
        self,
        model: AcousticModel,
        config: PipelineConfig = PipelineConfig(),
    ) -> None:
        if not isinstance(config, PipelineConfig):
            raise ConfigError(
                f"config must be a PipelineConfig, found {quoted(config)}; "
                "ctcbias_fst.config.load_config(PipelineConfig, mapping) makes one"
            )
        self.model = model
        self.config = config
        self.sounds = _sound_stages(config, model)
        search = config.decode if self.sounds is None else self.sounds.search_config(config.decode)
        vocabulary = model.tokenizer.vocabulary
        lm = language_model(config, vocabulary, model.device, model.lm, model.tokenizer)
        self.decoder = Decoder(vocabulary, search, model.device, lm, check_blank=False)
        self._latest: tuple[EntityList | list[str | Mapping[str, Any]], Names] | None = None
        self.audio_seconds = 0.0
        """How much audio was transcribed so far."""
        self._lock = Lock()

    @classmethod
    def from_pretrained(
        cls,
        path: Path | None = None,
        *,
        device: torch.device | str = "cpu",
        config: PipelineConfig | None = None,
    ) -> Recognizer:
        """Load a model directory, by default the model inside the package.

        Args:
            path: the directory.
            device: where to compute.
            config: how the parts work together, by default as the model's own settings say.

        Raises:
            ModelError: a file of the model is missing, damaged or of another model.
            ConfigError: the model's settings are wrong, or there is no such device.
        """
        checked_device(device)
        if path is not None:
            if not isinstance(path, (str, os.PathLike)):
                raise ModelError(f"{quoted(path)} is no path of a model directory")
            path = Path(path)
        if config is None:
            config = load_config(PipelineConfig, settings_of(path))
        return cls(AcousticModel.load(path, device), config)

    @with_versions
    def compile(
        self,
        entities: EntityList | Iterable[str | Mapping[str, Any]],
        seconds: float | None = None,
        *,
        warn: bool = True,
    ) -> Names:
        """Prepare a list of names; do it once and use it for any number of recordings.

        Args:
            entities: a list as read from a file, or names or mappings in memory; see
                :mod:`ctcbias_fst.text.entities`.
            seconds: of the longest recording, if it is known: names that need more are among
                ``names.entities.rejected``.
            warn: warn (`CtcbiasWarning`) of entries that can have no effect; otherwise
                ``names.entities.report()`` is all that tells of them.

        Raises:
            EntityListError: it is no list (a string is none), a mapping is malformed, or no entry
                can have an effect.
        """
        if not isinstance(entities, EntityList):
            entities = entities_from_names(entities)
        checked = check_entities(entities, self.model.tokenizer, self.config.spoken_forms)
        checked = checked.require_any()
        if seconds is not None:
            if not isinstance(seconds, Real) or not 0 <= seconds < math.inf:
                raise ConfigError(f"seconds must be 0 or more and finite, found {quoted(seconds)}")
            frames = math.ceil(seconds / self.model.frame_seconds)
            checked = report_too_long(checked, self.model.tokenizer, frames)
        for line in checked.report() if warn else ():
            warn_caller(line)
        parts, tokenizer = self.config.parts, self.model.tokenizer
        spoken, order = None, checked
        if self._heard and len(checked) > self.config.shortlist.decoded_above:
            # What a shortlist has must not depend on the order that the user gave.
            order = replace(checked, entities=tuple(sorted(checked, key=lambda e: e.name)))
            spoken = speak(order)
        listed, own = None, None
        if "adapter" in parts and self.model.adapter is not None:
            encoded = encode_entities(order, tokenizer)
            listed = self.model.listed(encoded, self.config.adapter.names)
            own = encoded if self.config.segmentations == 1 else None
        if spoken is not None:
            return Names(checked, None, listed, None, self._shortlists(order, spoken, own))
        graph = compile_graph(checked, tokenizer, self.config, own)
        sounds = None if self.sounds is None else self.sounds.names(checked)
        return Names(checked, graph, listed, sounds)

    @property
    def _heard(self) -> bool:
        """Whether the model has a phone head that can be searched."""
        return self.model.config.phones == PHONES

    def _shortlists(
        self, entities: EntityList, spoken: SpokenNames, own: EncodedEntities | None
    ) -> ShortLists:
        """Prepare a long list, in the order of its index, for the decoder."""
        config, tokenizer = self.config, self.model.tokenizer
        spellings = None
        if "boost" in config.parts:
            spellings = SpellingsOnDemand(
                entities,
                tokenizer,
                segmentations=config.segmentations,
                config=config.spellings if "g2g" in config.parts else None,
                own=own,
            )
        return ShortLists(
            entities,
            PhoneIndex.build(spoken, config.shortlist, self.model.device),
            spoken,
            tokenizer.vocabulary,
            spellings=spellings,
            words=None if self.sounds is None else self.sounds.words,
            modelled=self.decoder.lm is not None,
        )

    def transcribe(
        self,
        audio: Any,
        names: Names | None = None,
        *,
        entities: EntityList | Iterable[str | Mapping[str, Any]] | None = None,
        sampling_rate: int | None = None,
    ) -> Transcript:
        """Transcribe one recording.

        Args:
            audio: a path; a file's content as bytes or a binary file object; samples with their
                ``sampling_rate`` (:func:`ctcbias_fst.acoustic.samples.mono_samples`); or a
                :class:`ctcbias_fst.acoustic.audio.Recording`.
            names: from :meth:`compile`, or
            entities: what :meth:`compile` takes; the latest list is kept compiled.
            sampling_rate: of samples, which do not say it themselves; of nothing else.

        Warns:
            CtcbiasWarning: only a part of the recording could be read.

        Raises:
            AudioError: the recording cannot be used.
            EntityListError: no entry can have an effect.
        """
        if entities is not None:
            if names is not None:
                raise ValueError("give names or entities, not both")
            names = self._compiled(entities)
        recording = to_recording(audio, self.model.sampling_rate, sampling_rate)
        if recording.warning:
            warn_caller(f"{recording.id}: {recording.warning}")
        return self.transcribe_batch([recording], [names])[0]

    def _compiled(self, entities: EntityList | Iterable[str | Mapping[str, Any]]) -> Names:
        wanted = entities if isinstance(entities, EntityList) else require_names(entities)
        latest = self._latest
        if latest is None or not _equal(latest[0], wanted):
            # First what tells wrong values; a copy, as the caller may change what is in the list.
            names = self.compile(wanted)
            latest = self._latest = copy.deepcopy(wanted), names
        return latest[1]

    @with_versions
    def transcribe_batch(
        self, recordings: Sequence[Recording], names: Sequence[Names | None] = ()
    ) -> list[Transcript]:
        """Transcribe recordings, all at once.

        Args:
            recordings: those at another rate than the model's are resampled.
            names: one list per recording, or none at all.

        Raises:
            AudioError: one of them cannot be used.
            EntityListError: there are not as many lists as recordings.
        """
        recordings = list(_several(recordings))
        _check_lists(names, len(recordings))
        if not recordings:
            return []
        usable = [to_recording(one, self.model.sampling_rate) for one in recordings]
        found = self.decode(self.log_probs(usable, names), names)
        with self._lock:
            self.audio_seconds += sum(recording.seconds for recording in usable)
        return [_warned(transcript, one.warning) for transcript, one in zip(found, usable)]

    def log_probs(
        self, recordings: Sequence[Recording], names: Sequence[Names | None] = ()
    ) -> LogProbs:
        """What the encoder makes of recordings, each with its list if the adapter acts."""
        recordings = list(_several(recordings))
        if not recordings:
            raise AudioError("no recordings: pass at least one")
        _check_lists(names, len(recordings))
        listed = [None if one is None else one.listed for one in names]
        return self.model.log_probs(recordings, listed, self.config.adapter)

    @with_versions
    def decode(self, log_probs: LogProbs, names: Sequence[Names | None] = ()) -> list[Transcript]:
        """Decode log-probs of this model; long utterances are cut at pauses."""
        require_log_probs(log_probs)
        _check_lists(names, log_probs.size)
        batch, segments = cut_at_pauses(log_probs)
        batch = batch.to(self.decoder.device)
        own = [names[s.utterance] if names else None for s in segments]
        lists = _for_utterances(batch, own)
        transcripts = self._decoded(batch, range(batch.size), lists)
        matchers = [
            one.matcher if one and not graph and batch.unbiased is not None else None
            for one, (graph, _) in zip(own, lists)
        ]
        for _ in range(_ROUNDS):
            margin = self.config.adapter.margin
            batch, rows = unbiased_elsewhere(batch, transcripts, margin, matchers)
            if not rows:
                break
            for row, transcript in zip(rows, self._decoded(batch, rows, lists)):
                transcripts[row] = transcript
        joined = join_segments(
            transcripts, segments, log_probs.frame_seconds, self.config.decode.nbest
        )
        return place_words(joined, log_probs, self.config.decode.times)

    def _decoded(
        self,
        batch: LogProbs,
        rows: Sequence[int],
        lists: Sequence[tuple[BoostGraph | None, NameSounds | None]],
    ) -> list[Transcript]:
        """Decode some rows of a batch, of each of which there is a graph and sounds."""
        found = self.decoder.decode(batch, [lists[row][0] for row in rows], rows)
        some = batch if len(rows) == batch.size else batch.select(rows)
        if self.sounds is not None:
            sounds = [lists[row][1] for row in rows]
            found = self.sounds.apply(found, some, sounds, self.config.decode.nbest)
        return leave_out_unheard(found, some, self.config.decode.evidence)

    def transcribe_files(
        self, paths: Iterable[Any], names: Names | None = None
    ) -> Iterator[Transcript | Failure]:
        """Transcribe recordings in batches, in their order; one that cannot be used is no error.

        Args:
            paths: of files, or what else :meth:`transcribe` takes without ``sampling_rate``.
            names: from :meth:`compile`.

        Raises:
            AudioError: ``paths`` is no list.
            EntityListError: ``names`` is no compiled list.
            GraphError: it was compiled for another model.
        """
        _check_lists([names], 1)
        if names is not None and names.graph is not None:
            names.graph.require_vocabulary(self.model.tokenizer.vocabulary)
        paths = _several(paths)
        batch: list[Recording | Failure] = []
        seconds = 0.0
        for number, source in enumerate(paths, start=1):
            item = self._read(source, f"recording {number}")
            batch.append(item)
            seconds += item.seconds if isinstance(item, Recording) else 0.0
            if seconds >= _BATCH_SECONDS:
                yield from self._transcribe_good(batch, names)
                batch, seconds = [], 0.0
        yield from self._transcribe_good(batch, names)

    def _read(self, source: Any, name: str) -> Recording | Failure:
        try:
            return to_recording(source, self.model.sampling_rate, name=name)
        except AudioError as error:
            known = os.fsdecode(source) if isinstance(source, (str, os.PathLike)) else name
            known = source.id if isinstance(source, AudioPart) else known
            return Failure(known, error)

    def _transcribe_good(
        self, batch: Sequence[Recording | Failure], names: Names | None
    ) -> Iterator[Transcript | Failure]:
        recordings = [item for item in batch if isinstance(item, Recording)]
        done = iter(self._transcribe_each(recordings, names) if recordings else [])
        for item in batch:
            yield item if isinstance(item, Failure) else next(done)

    def _transcribe_each(
        self, recordings: Sequence[Recording], names: Names | None
    ) -> list[Transcript | Failure]:
        """All at once; if something is wrong with one of them, each alone."""
        try:
            return list(self.transcribe_batch(recordings, [names] * len(recordings)))
        except (ConfigError, EntityListError, ModelError, MissingDependencyError):
            raise  # of none of them
        except Exception as error:  # whatever it is, it must not cost the others
            if len(recordings) > 1:
                return [out for one in recordings for out in self._transcribe_each([one], names)]
            name = recordings[0].id
            failed = AudioError(f"{name}: cannot be transcribed: {type(error).__name__}: {error}")
            failed.__cause__ = error
            return [Failure(name, error if isinstance(error, AudioError) else failed)]


def _equal(one: Any, other: Any) -> bool:
    """Whether two lists of names are the same; values that cannot be compared are not."""
    try:
        return bool(one == other)
    except Exception:  # whatever the user's values raise
        return False


def _several(recordings: Any) -> Iterable[Any]:
    """Refuse what is one recording, or none, where several are wanted."""
    one = isinstance(recordings, (str, bytes, bytearray, memoryview, os.PathLike, Recording))
    if one or not isinstance(recordings, Iterable):
        raise AudioError(
            f"{quoted(recordings, 100)} is no list of recordings: pass a list, or transcribe it"
        )
    return recordings


def _check_lists(names: Sequence[Names | None], recordings: int) -> None:
    """Refuse what is not one compiled list (or None) for each recording, or none at all."""
    if isinstance(names, Names):
        raise EntityListError(
            f"one list of names where each recording has its own: pass [names] * {recordings}"
        )
    if not isinstance(names, Sequence):
        raise EntityListError(
            f"{quoted(names)} is no list of compiled lists: pass one for each recording, or none"
        )
    if names and len(names) != recordings:
        raise EntityListError(
            f"{len(names)} lists of names for {recordings} recordings: pass one for each, None "
            "where there is none"
        )
    for one in names:
        if one is not None and not isinstance(one, Names):
            raise EntityListError(
                f"{quoted(one)} is no compiled list of names: pass what compile() returns"
            )


def _warned(transcript: Transcript, warning: str | None) -> Transcript:
    if not warning:
        return transcript
    told = warning if transcript.warning is None else f"{warning}; {transcript.warning}"
    return replace(transcript, warning=told)


def _for_utterances(
    batch: LogProbs, names: Sequence[Names | None]
) -> list[tuple[BoostGraph | None, NameSounds | None]]:
    """The graph and the sounds of each utterance, those of long lists shortened."""
    graphs = [None if one is None else one.graph for one in names]
    sounds = [None if one is None else one.sounds for one in names]
    lists = {id(one.shortlists): one.shortlists for one in names if one and one.shortlists}
    for key, shortlists in lists.items():
        which = [i for i, one in enumerate(names) if one and id(one.shortlists) == key]
        for i, short in zip(which, shortlists.of(batch, which)):
            graphs[i] = graphs[i] or short.graph
            sounds[i] = short.sounds
    return list(zip(graphs, sounds))


def _sound_stages(config: PipelineConfig, model: AcousticModel) -> SoundStages | None:
    """Rescoring and lookup, if they are parts and the model's phone head has our phones."""
    if not {"rescore", "lookup"} & set(config.parts) or model.config.phones != PHONES:
        return None
    return SoundStages(
        load_word_sounds(),
        config.rescore,
        config.lookup if "lookup" in config.parts else None,
        rescored="rescore" in config.parts,
    )

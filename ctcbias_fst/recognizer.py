"""The recognizer: a model and a decoder; audio and a list of names in, transcripts out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Lock
from time import perf_counter
from typing import Any, overload

import torch

from ctcbias_fst.audio.audio import Recording, to_recording
from ctcbias_fst.audio.blocks import joined_notes
from ctcbias_fst.compiled import CompiledEntities
from ctcbias_fst.config import to_mapping
from ctcbias_fst.decoder import Decoder
from ctcbias_fst.decoder_inputs import Entities, compiled_lists, language_model_path, one_list
from ctcbias_fst.devices import with_versions
from ctcbias_fst.errors import (
    AudioError,
    ConfigError,
    CtcbiasError,
    EntityListError,
    MissingDependencyError,
    cause_of,
    warn_caller,
)
from ctcbias_fst.models.find import load_model
from ctcbias_fst.models.first_failures import FirstFailures, first_failures
from ctcbias_fst.models.function import model_of
from ctcbias_fst.models.listed import ListedNames
from ctcbias_fst.models.outcomes import BATCH_SECONDS
from ctcbias_fst.models.phone_listener import AUTO, listener_of, of_language, phone_listener
from ctcbias_fst.models.plug import PhoneListener, SpeechModel, require_any
from ctcbias_fst.recognizer_inputs import (
    heard_phones,
    is_several,
    name_of,
    recordings_at,
    several_recordings,
)
from ctcbias_fst.recognizer_streams import OpensAudioStreams
from ctcbias_fst.records import Failure, LogProbs, Transcript
from ctcbias_fst.search.intersect import check_process
from ctcbias_fst.settings import PipelineConfig, changed, settings_of
from ctcbias_fst.text.encoded_entities import EncodedEntities
from ctcbias_fst.text.entity_sources import EntitySource


class Recognizer(OpensAudioStreams):
    """Speech in, transcripts out. Threads may share it, and what it compiles.

    A copy, pickled or not, is made anew of its model.

    >>> recognizer = Recognizer.from_pretrained()                             # doctest: +SKIP
    >>> entities = ["metformin", "Keisha Smith"]                              # doctest: +SKIP
    >>> print(recognizer.transcribe("talk.wav", entities=entities).best.text) # doctest: +SKIP

    Args:
        model: makes log-probs of audio: what :func:`ctcbias_fst.models.find.load_model` gives, or
            a function of yours, from float32 samples ``(sample,)`` to natural log-probs
            ``(frame, token)`` of numpy or torch.
        config: how the parts work together.
        tokens: of a function, what its columns are; see :meth:`Decoder.from_tokens`.
        settings: changes to ``config``, such as ``{"decode": {"nbest": 3}}``.
        lm: a language model instead of the model's own: ``.safetensors`` of ``ctcbias lm``, or an
            ARPA file.
        options: of a function, see :func:`ctcbias_fst.models.function.function_model`:
            ``frame_seconds`` (measured by default), ``sampling_rate`` (16000), ``batches``,
            ``blank``, ``boundary``, ``separator``, ``tokenizer``, ``lexicon``, ``device``.
        phones: who hears phones, for rescoring, lookup and long lists: what
            :func:`ctcbias_fst.models.phone_listener.phone_listener` takes. By default the phone
            head inside the package, beside a model that hears none and writes English; with
            ``embedded`` whatever it writes; None for nobody but the model.

    Raises:
        ModelError: ``model`` is none, or its tokens cannot be read.
        LanguageModelError: the language model cannot be read.
        ConfigError: there is no such setting, or a value is wrong.
    """

    @with_versions
    def __init__(
        self,
        model: SpeechModel | Callable[[Any], Any],
        config: PipelineConfig = PipelineConfig(),  # noqa: B008  (frozen)
        *,
        tokens: str | os.PathLike[str] | Sequence[str] | Mapping[str, int] | None = None,
        settings: Mapping[str, Any] | None = None,
        lm: str | os.PathLike[str] | None = None,
        phones: PhoneListener | SpeechModel | str | os.PathLike[str] | None = AUTO,
        **options: Any,
    ) -> None:
        model = model_of(model, tokens, options)
        if settings:
            config = changed(to_mapping(config), settings)
        if lm is not None:
            config = replace(config, lm=language_model_path(lm))
        self.model, self.config = model, config
        _tell_unused_lm(model, config)
        self._phones = self._listener = listener_of(phones, model)
        self.decoder = Decoder(
            model.tokenizer,
            config,
            frame_seconds=model.frame_seconds,
            device=model.device,
            lm=model.lm,
            phones=model.hears_phones or self._phones is not None,
            listed=self._listed if model.attends else None,
            check_blank=not model.blank_known,
        )
        self.audio_seconds = 0.0
        """Of all audio so far."""
        self.phone_seconds = 0.0
        """How long :attr:`phones` listened to it."""
        self._lock = Lock()
        self.decoder.warn_of_idle((settings or {}).get("parts", ()))

    @classmethod
    def from_pretrained(
        cls,
        path: str | os.PathLike[str] | None = None,
        *,
        device: torch.device | str = "cpu",
        language: str | None = None,
        adapter: str | os.PathLike[str] | None = None,
        lexicon: Any = None,
        settings: Mapping[str, Any] | None = None,
        lm: str | os.PathLike[str] | None = None,
        phones: PhoneListener | SpeechModel | str | os.PathLike[str] | None = AUTO,
    ) -> Recognizer:
        """Load a model, by default the one inside the package.

        Args:
            path: see :func:`ctcbias_fst.models.find.load_model`, of the next four, too.
            settings: changes to the model's own, such as ``{"decode": {"nbest": 3}}`` or
                ``{"decode.nbest": 3}``.
            lm: see `Recognizer`.
            phones: see `Recognizer`.

        Raises:
            ModelError: there is no model, or a file of it is missing, damaged or of another one.
            InputError: the lexicon cannot be read, or is of other phones; or the language model
                cannot.
            MissingDependencyError: it needs a package that is not installed.
            ConfigError: there is no such setting or device, or a value is wrong, here or in the
                model's ``settings.toml``.
        """
        model = load_model(path, device, language=language, adapter=adapter, lexicon=lexicon)
        own = settings_of(None if path is None else Path(path))
        phones = of_language(phones, language)
        return cls(model, changed(own, {}), settings=settings, lm=lm, phones=phones)

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), self.model, self.config, phones=self._phones), ()

    def __repr__(self) -> str:
        phones = "" if self._phones is None else f", phones by {self._phones}"
        return f"<Recognizer at {self.model.sampling_rate} Hz with {self.decoder!r}{phones}>"

    @property
    def phones(self) -> PhoneListener | None:
        """Who hears phones instead of the model; loaded once, when somebody asks."""
        with self._lock:
            if isinstance(self._listener, str):
                self._listener = phone_listener(self._listener, device=self.model.device)
            return self._listener

    @with_versions
    def compile(
        self,
        entities: EntitySource,
        seconds: float | None = None,
        *,
        warn: bool = True,
    ) -> CompiledEntities:
        """Prepare a list of names; do it once and use it for any number of recordings.

        Args:
            entities: the path of a list, a list as read from a file, or names or mappings in
                memory; see :mod:`ctcbias_fst.text.entities`.
            seconds: of the longest recording, if it is known: names that need more are among
                ``entities.rejected`` of the result.
            warn: warn (`CtcbiasWarning`) of entries that can have no effect; otherwise
                ``entities.report()`` of the result is all that tells of them.

        Raises:
            EntityListError: it is no list, a mapping is malformed, or no entry can have an effect.
        """
        return self.decoder.compile(entities, seconds, warn=warn)

    @overload
    def transcribe(
        self,
        audio: list[Any],
        *,
        entities: Entities = None,
        sampling_rate: int | None = None,
        nbest: int | None = None,
    ) -> list[Transcript]: ...

    @overload
    def transcribe(
        self,
        audio: Any,
        *,
        entities: Entities = None,
        sampling_rate: int | None = None,
        nbest: int | None = None,
    ) -> Transcript: ...

    def transcribe(
        self,
        audio: Any,
        *,
        entities: Entities = None,
        sampling_rate: int | None = None,
        nbest: int | None = None,
    ) -> Transcript | list[Transcript]:
        """Transcribe a recording, or several.

        Args:
            audio: a path; a file's content as bytes or a binary file object; samples with their
                ``sampling_rate`` (:func:`ctcbias_fst.audio.samples.mono_samples`), or a mapping
                of these as ``datasets`` of Hugging Face give it (``array``, ``sampling_rate``); a
                :class:`ctcbias_fst.audio.audio.Recording`; or a list of these.
            entities: a list of names, as :meth:`compile` takes it or returned it, for all
                recordings, or a list of these (or None), one for each, or a mapping of ids to
                these: the path of a file, the id of a `Recording`, ``samples 2``. The latest are
                kept compiled.
            sampling_rate: of samples, which do not say it themselves; of nothing else.
            nbest: hypotheses per recording, by default as the settings say.

        Returns:
            one transcript, or of a list a list of them.

        Warns:
            CtcbiasWarning: only a part of a recording could be read.

        Raises:
            AudioError: a recording cannot be used.
            EntityListError: a list is none, or there are not as many as recordings.
        """
        several = is_several(audio)
        sources = list(audio) if several else [audio]
        names = [f"samples {number}" for number in range(1, len(sources) + 1)]
        names = names if len(names) > 1 else ["samples"]
        ids = [name_of(one, name) for one, name in zip(sources, names)]
        lists = self.decoder.lists(entities, len(sources), ids)
        recordings = [
            to_recording(one, self.model.sampling_rate, sampling_rate, name)
            for one, name in zip(sources, names)
        ]
        for recording in recordings:
            if recording.warning:
                warn_caller(f"{recording.id}: {recording.warning}")
        found = self.transcribe_recordings(recordings, lists, nbest)
        return found if several else found[0]

    @with_versions
    def transcribe_recordings(
        self,
        recordings: Sequence[Recording],
        names: Sequence[CompiledEntities | None],
        nbest: int | None = None,
    ) -> list[Transcript]:
        """The same for recordings that are read.

        Args:
            recordings: at the model's rate.
            names: the compiled list of each, or None.
            nbest: hypotheses per recording, by default as the settings say.

        Raises:
            AudioError: one is no recording, or at another rate.
            EntityListError: there are not as many lists.
        """
        recordings = recordings_at(recordings, self.model.sampling_rate)
        if not recordings:
            return []
        names = compiled_lists(names, len(recordings), self.decoder.compiler, "recordings")
        log_probs = self._log_probs(recordings, names)
        if self.decoder.needs_phones(names):
            log_probs = self._with_phones(log_probs, recordings)
        found = self.decoder.decode_batch(log_probs, names, nbest)
        self._count(sum(recording.seconds for recording in recordings))
        return [
            replace(transcript, warning=joined_notes(one.warning, transcript.warning))
            for transcript, one in zip(found, recordings)
        ]

    def _listed(self, encoded: EncodedEntities) -> ListedNames | None:
        return self.model.listed(encoded, self.config.adapter.names)

    def log_probs(
        self,
        recordings: Sequence[Recording],
        names: Sequence[CompiledEntities | None] = (),
    ) -> LogProbs:
        """What the model makes of recordings; what :meth:`Decoder.decode` takes.

        Args:
            recordings: at the model's rate.
            names: the compiled list of each, or None, for the adapter, if it acts.

        Raises:
            AudioError: there are none, or one is none at the model's rate.
            EntityListError: there are not as many lists.
            GraphError: one was compiled for another model, or by a decoder of other parts.
        """
        recordings = recordings_at(recordings, self.model.sampling_rate)
        if names not in ((), []):
            names = compiled_lists(names, len(recordings), self.decoder.compiler, "recordings")
        return self._with_phones(self._log_probs(recordings, names), recordings)

    def _count(self, seconds: float) -> None:
        with self._lock:
            self.audio_seconds += seconds

    def _with_phones(self, log_probs: LogProbs, recordings: Sequence[Recording]) -> LogProbs:
        """The same with what the phone listener hears, if there is one."""
        if self.phones is None:
            return log_probs
        begin = perf_counter()
        phones = heard_phones(self.phones, recordings, log_probs.log_probs.device)
        with self._lock:
            self.phone_seconds += perf_counter() - begin
        return replace(log_probs, phones=phones)

    def _log_probs(
        self, recordings: Sequence[Recording], names: Sequence[CompiledEntities | None]
    ) -> LogProbs:
        check_process()
        require_any(recordings)
        return self._heard(recordings, [None if one is None else one.listed for one in names])

    def transcribe_files(
        self, sources: Iterable[Any], entities: CompiledEntities | EntitySource | None = None
    ) -> Iterator[Transcript | Failure]:
        """Transcribe recordings in batches, in their order; one that cannot be used is no error.

        Where the first three that are handed to the model fail, and noise of a second and of ten
        does, too, the model is to blame, and no more are tried.

        Args:
            sources: paths of files, or what else :meth:`transcribe` takes without
                ``sampling_rate``.
            entities: one list for all, as :meth:`transcribe` takes it.

        Raises:
            AudioError: ``sources`` is no list.
            EntityListError: ``entities`` is no list of names.
            GraphError: it was compiled for another model.
            ModelError: the model fails on everything.
        """
        wanted = "transcribe_files takes one list of names for all; transcribe takes one for each"
        names = one_list(self.decoder, entities, wanted)
        return self._transcribe_files(several_recordings(sources), names)

    def _transcribe_files(
        self, sources: Iterable[Any], names: CompiledEntities | None
    ) -> Iterator[Transcript | Failure]:
        batch: list[Recording | Failure] = []
        seconds = 0.0
        failures = first_failures(self.log_probs, self.model)
        for number, source in enumerate(sources, start=1):
            item = self._read(source, f"recording {number}")
            batch.append(item)
            seconds += item.seconds if isinstance(item, Recording) else 0.0
            if seconds >= BATCH_SECONDS:
                yield from self._transcribe_good(batch, names, failures)
                batch, seconds = [], 0.0
        yield from self._transcribe_good(batch, names, failures)

    def _read(self, source: Any, name: str) -> Recording | Failure:
        try:
            return to_recording(source, self.model.sampling_rate, name=name)
        except AudioError as error:
            return Failure(name_of(source, name), error)

    def _transcribe_good(
        self,
        batch: Sequence[Recording | Failure],
        names: CompiledEntities | None,
        failures: FirstFailures,
    ) -> Iterator[Transcript | Failure]:
        recordings = [item for item in batch if isinstance(item, Recording)]
        done = iter(self._transcribe_each(recordings, names, failures) if recordings else [])
        for item in batch:
            yield item if isinstance(item, Failure) else next(done)

    def _transcribe_each(
        self,
        recordings: Sequence[Recording],
        names: CompiledEntities | None,
        failures: FirstFailures,
    ) -> list[Transcript | Failure]:
        """All at once; if something is wrong with one of them, each alone."""
        try:
            found = self.transcribe_recordings(recordings, [names] * len(recordings))
        except (ConfigError, EntityListError, MissingDependencyError):
            raise  # of none of them
        except Exception as error:  # whatever it is, it must not cost the others
            if len(recordings) > 1:
                return [
                    out
                    for one in recordings
                    for out in self._transcribe_each([one], names, failures)
                ]
            failed = _of_recording(recordings[0].id, error)
            failures.add(failed)
            return [Failure(recordings[0].id, failed)]
        failures.passed()
        return list(found)


def _of_recording(name: str, error: Exception) -> AudioError:
    """What went wrong with a recording, as an error of its own."""
    if isinstance(error, AudioError):
        return error
    named = isinstance(error, CtcbiasError) and str(error).startswith((f"{name}:", f"{name} from "))
    said = str(error) if named else f"{name}: cannot be transcribed: {cause_of(error)}"
    failed = AudioError(said)
    failed.__cause__ = error
    return failed


def _tell_unused_lm(model: SpeechModel, config: PipelineConfig) -> None:
    """Warn of a language model in the folder of a model that nobody named."""
    path = getattr(model, "lm_beside", None)
    if path is not None and config.lm is None and "lm" in config.parts:
        warn_caller(
            f"{path}: this language model, which lies in the model's folder, is not used: name it "
            "(--lm, lm=...) or leave out the part lm"
        )

"""Streams of audio: samples in as they come, words out as soon as nothing can change them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from ctcbias_fst.audio.sample_stream import SampleStream
from ctcbias_fst.audio.samples import Samples
from ctcbias_fst.compiled import CompiledEntities
from ctcbias_fst.decoder import Decoder
from ctcbias_fst.decoder_inputs import one_list
from ctcbias_fst.devices import with_versions
from ctcbias_fst.errors import ModelError
from ctcbias_fst.models.heard_streams import Heard, HearsStreams
from ctcbias_fst.models.listed import ListedNames
from ctcbias_fst.records import LogProbs
from ctcbias_fst.search.intersect import check_process
from ctcbias_fst.streaming.stream import Stream
from ctcbias_fst.streaming.stream_checks import (
    refuse_late_phones,
    require_one_each,
    require_open,
    states_of,
)
from ctcbias_fst.streaming.streams import ONE_LIST
from ctcbias_fst.streaming.updates import Update


@dataclass
class _State:
    """How a stream stands: its name, its samples, what the model keeps of it, its words; whether
    phones are heard for it, whether all of it was heard, and whether all is committed."""

    name: str
    samples: SampleStream
    kept: Any
    words: Stream
    listens: bool
    ending: bool = False
    finished: bool = False


class AudioStream:
    """A stream of audio; :meth:`ctcbias_fst.recognizer.Recognizer.stream` opens one.

    What is heard and decided is so at times that are counted from the stream's beginning: the same
    audio gives the same text, whatever chunks it comes in. A stream is for one thread at a time;
    one that is not needed any more is dropped like any object, finished or not.
    """

    def __init__(self, advances: AudioStreams, state: _State) -> None:
        self._advances, self._state = advances, state

    def __repr__(self) -> str:
        state = self._state
        finished = ", finished" if state.finished else ""
        return f"<AudioStream {state.name}, {state.samples.seconds:.2f} s{finished}>"

    def __reduce__(self) -> tuple[Any, ...]:
        """A stream stays where it is: a copy would go on from the same audio.

        Raises:
            TypeError: always.
        """
        raise TypeError(f"{self!r} cannot be copied or pickled: open one where it is needed")

    def accept(self, samples: Any, *, sampling_rate: int | None = None) -> Update:
        """Take the next chunk.

        Args:
            samples: any number of them, of any type; see
                :func:`ctcbias_fst.audio.samples.mono_samples`. Which axis is that of channels, and
                how many there are, is told by the first chunk, or by ``channels`` of the stream.
            sampling_rate: if it is to be checked that it is that of the stream.

        Returns:
            what is known now.

        Raises:
            AudioError: they are no samples, or of another rate or other channels than those
                before; the chunk is left out, and the stream is as it was.
            ConfigError: the stream is finished.
            ModelError: the model has failed on all that it was given so far; what came is kept,
                and scored again with the next chunk; after ten seconds it is taken for silence.
        """
        return self._advances.accept_all([self], [samples], sampling_rate=sampling_rate)[0]

    def finish(self) -> Update:
        """Commit what is left; a second time it gives the same text, and nothing new.

        What the model fails on here is taken for silence, and the update's warnings tell.

        Returns:
            all that is known.
        """
        return self._advances.finish_all([self])[0]

    def update_entities(self, entities: Any) -> None:
        """Take another list for what is not committed yet.

        Args:
            entities: what :meth:`ctcbias_fst.recognizer.Recognizer.compile` takes or returned, or
                None.

        Raises:
            EntityListError: it is no list, or no entry of it can have an effect.
            GraphError: it was compiled for another model.
            ConfigError: the stream is finished, or the list needs phones, and the stream was
                opened without.
        """
        self._advances.update_entities(self, entities)

    def state_of(self, advances: AudioStreams) -> _State | None:
        """How it stands, for what advances it; None for another one."""
        return self._state if self._advances is advances else None


class AudioStreams:
    """Opens streams of a recogniser, and advances many at a time. Threads may share it, not their
    streams.

    Args:
        decoder: decodes what is heard.
        hears: makes log-probs of audio as it comes, with those of phones.
        without_phones: the same without, for streams that need none; ``hears`` itself where they
            come at no cost.
        count: is told how many seconds of audio were heard.
    """

    def __init__(
        self,
        decoder: Decoder,
        hears: HearsStreams[Any],
        without_phones: HearsStreams[Any],
        count: Callable[[float], None],
    ) -> None:
        self._decoder, self._count = decoder, count
        self._with_phones, self._without_phones = hears, without_phones

    def open(self, entities: Any, sampling_rate: Any, channels: Any, name: str) -> AudioStream:
        """See :meth:`ctcbias_fst.recognizer.Recognizer.stream`."""
        names = one_list(self._decoder, entities, ONE_LIST)
        rate = self._with_phones.sampling_rate
        samples = SampleStream(rate, sampling_rate, f"stream {name}", channels)
        listens = self._with_phones is self._without_phones or self._decoder.needs_phones([names])
        hears = self._with_phones if listens else self._without_phones
        words = self._decoder.stream(names, name=name, first_step=self._first_step(hears))
        kept = hears.open(f"stream {name}", _listed(names))
        return AudioStream(self, _State(str(name), samples, kept, words, listens))

    def _first_step(self, hears: HearsStreams[Any]) -> float:
        """Seconds until the first decision, so that decisions fall on the ends of what the model
        hears at once, where that takes as long as they do."""
        step, frame = self._decoder.config.stream.step, self._decoder.frame_seconds
        frames = max(1, round(step / frame))
        return min(step, (round(hears.first_seconds / frame) % frames or frames) * frame)

    @with_versions
    def accept_all(
        self, streams: Sequence[AudioStream], chunks: Sequence[Any], *, sampling_rate: Any = None
    ) -> list[Update]:
        """See :meth:`ctcbias_fst.recognizer.Recognizer.accept_all`."""
        check_process()
        states = self._states(streams)
        require_one_each(states, chunks=chunks)
        for state in states:
            require_open(state)
        # All are looked at before any is taken.
        read = [state.samples.read(one, sampling_rate) for state, one in zip(states, chunks)]
        self._count(sum(len(one.samples) / state.samples.rate for state, one in zip(states, read)))
        return self._heard(states, [state.samples.take(one) for state, one in zip(states, read)])

    @with_versions
    def finish_all(self, streams: Sequence[AudioStream]) -> list[Update]:
        """See :meth:`ctcbias_fst.recognizer.Recognizer.finish_all`."""
        check_process()
        states = self._states(streams)
        left = [state for state in states if not state.ending]
        before = self._heard(left, [state.samples.finish() for state in left], last=True)
        for state in left:
            state.ending = True
        last = self._decoder.finish_all([state.words for state in states])
        for state in states:
            state.finished = True
        told = {id(state): one for state, one in zip(left, before)}
        return [_both(told.get(id(state)), one) for state, one in zip(states, last)]

    def _heard(
        self, states: Sequence[_State], chunks: Sequence[Samples], *, last: bool = False
    ) -> list[Update]:
        """Take samples, and decode what can be heard by now.

        The model goes on where the decoder is: whatever failed before is told again.
        """
        for state in states:
            state.kept.frames, state.kept.phone_frames = state.words.heard
        heard = self._scored(states, chunks, last)
        log_probs = [one.log_probs for one in heard]
        updates = self._decoder.accept_all([state.words for state in states], log_probs)
        return [
            replace(update, warnings=(*state.samples.notices(), *one.warnings, *update.warnings))
            for state, one, update in zip(states, heard, updates)
        ]

    def _scored(
        self, states: Sequence[_State], chunks: Sequence[Samples], last: bool
    ) -> list[Heard]:
        """What is heard of each; one kind of streams does not wait for the other where the model
        fails on that.

        Raises:
            ModelError: it has failed on all streams, and never worked.
        """
        heard: dict[int, Heard] = {}
        failed: dict[int, ModelError] = {}
        unheard = set(range(len(states)))
        try:
            for listens, hears in ((True, self._with_phones), (False, self._without_phones)):
                rows = [i for i, state in enumerate(states) if state.listens == listens]
                unheard.difference_update(rows)
                try:
                    own = hears.score(
                        [states[i].kept for i in rows], [chunks[i] for i in rows], last=last
                    )
                    heard |= zip(rows, own)
                except ModelError as error:
                    failed |= dict.fromkeys(rows, error)
        finally:
            for i in unheard:  # somebody has interrupted: what came is kept
                states[i].kept.add(chunks[i])
        if failed and not heard:
            raise next(iter(failed.values()))
        heard |= {i: Heard(self._no_frames(), (str(error),)) for i, error in failed.items()}
        return [heard[i] for i in range(len(states))]

    def _no_frames(self) -> LogProbs:
        vocabulary = self._decoder.vocabulary
        none, frame = torch.zeros(1, 0, vocabulary.size), self._decoder.frame_seconds
        return LogProbs(none, torch.zeros(1, dtype=torch.int64), frame, ("",), vocabulary)

    def update_entities(self, stream: AudioStream, entities: Any) -> None:
        """See :meth:`AudioStream.update_entities`."""
        (state,) = self._states([stream])
        require_open(state)
        names = one_list(self._decoder, entities, ONE_LIST)
        if not state.listens and self._decoder.needs_phones([names]):
            why = "and it was opened without: open one with such a list, or with the part rescore"
            refuse_late_phones(state, why)
        state.words.update_entities(names)
        state.kept.names = _listed(names)

    def _states(self, streams: Sequence[AudioStream]) -> list[_State]:
        return states_of(streams, self, _State, "recogniser")


def _listed(names: CompiledEntities | None) -> ListedNames | None:
    return None if names is None else names.listed


def _both(first: Update | None, last: Update) -> Update:
    """One update of two that follow each other."""
    return last if first is None else first.followed_by(last)

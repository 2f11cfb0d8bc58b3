"""Streams of audio: samples in as they come, words out as soon as nothing can change them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

from ctcbias_fst.audio.audio import Recording
from ctcbias_fst.audio.sample_stream import SampleStream
from ctcbias_fst.compiled import CompiledEntities
from ctcbias_fst.decoder import Decoder
from ctcbias_fst.errors import ConfigError
from ctcbias_fst.models.listed import ListedNames
from ctcbias_fst.models.plug import SpeechModel
from ctcbias_fst.models.stream_windows import StreamWindows, WindowedStream
from ctcbias_fst.records import LogProbs
from ctcbias_fst.settings import PipelineConfig
from ctcbias_fst.streaming.stream import Stream
from ctcbias_fst.streaming.updates import Update

_LOCK = Lock()


@dataclass
class _State:
    """How a stream stands: its samples, the audio that windows need, and its words."""

    samples: SampleStream
    windows: WindowedStream
    words: Stream
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
        samples = self._state.samples
        finished = ", finished" if self._state.finished else ""
        return f"<AudioStream {samples.name}, {samples.seconds:.2f} s{finished}>"

    def accept(self, samples: Any, sampling_rate: int | None = None) -> Update:
        """Take the next chunk.

        Args:
            samples: any number of them, of any type; see
                :func:`ctcbias_fst.audio.samples.mono_samples`.
            sampling_rate: if it is to be checked that it is that of the stream.

        Returns:
            what is known now.

        Raises:
            AudioError: they are no samples, or of another rate; the chunk is left out, and the
                stream is as it was.
            ConfigError: the stream is finished.
        """
        return self._advances.accept_all([self], [samples], sampling_rate)[0]

    def finish(self) -> Update:
        """Commit what is left; a second time it gives the same text, and nothing new."""
        return self._advances.finish_all([self])[0]

    def update_entities(self, entities: Any) -> None:
        """Take another list for what is not committed yet.

        Args:
            entities: what :meth:`ctcbias_fst.recognizer.Recognizer.compile` takes or returned, or
                None.

        Raises:
            EntityListError: it is no list, or no entry of it can have an effect.
            GraphError: it was compiled for another model.
            ConfigError: the stream is finished.
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
        windows: makes log-probs of audio as it comes.
    """

    def __init__(self, decoder: Decoder, windows: StreamWindows) -> None:
        self._decoder, self._windows = decoder, windows

    def open(self, entities: Any, sampling_rate: Any, name: str) -> AudioStream:
        """See :meth:`ctcbias_fst.recognizer.Recognizer.stream`."""
        names = self._compiled(entities)
        samples = SampleStream(self._windows.sampling_rate, sampling_rate, f"stream {name}")
        windows = WindowedStream(f"stream {name}", _listed(names))
        words = self._decoder.stream(names, name=name)
        return AudioStream(self, _State(samples, windows, words))

    def accept_all(
        self, streams: Sequence[AudioStream], chunks: Sequence[Any], sampling_rate: Any = None
    ) -> list[Update]:
        """See :meth:`ctcbias_fst.recognizer.Recognizer.accept_all`."""
        states = self._states(streams)
        if len(states) != len(chunks):
            raise ConfigError(f"{len(states)} streams, {len(chunks)} chunks: pass one for each")
        for state in states:
            _require_open(state)
        # All are looked at before any is taken.
        read = [state.samples.read(one, sampling_rate) for state, one in zip(states, chunks)]
        taken = [state.samples.take(mono) for state, mono in zip(states, read)]
        heard = self._windows.score([state.windows for state in states], taken)
        return self._decoder.accept_all([state.words for state in states], heard)

    def finish_all(self, streams: Sequence[AudioStream]) -> list[Update]:
        """See :meth:`ctcbias_fst.recognizer.Recognizer.finish_all`."""
        states = self._states(streams)
        left = [state for state in states if not state.finished]
        taken = [state.samples.finish() for state in left]
        heard = self._windows.score([state.windows for state in left], taken, last=True)
        before = self._decoder.accept_all([state.words for state in left], heard)
        for state in left:
            state.finished = True
        told = {id(state): one for state, one in zip(left, before)}
        last = self._decoder.finish_all([state.words for state in states])
        return [_both(told.get(id(state)), one) for state, one in zip(states, last)]

    def update_entities(self, stream: AudioStream, entities: Any) -> None:
        """See :meth:`AudioStream.update_entities`."""
        (state,) = self._states([stream])
        _require_open(state)
        names = self._compiled(entities)
        state.words.update_entities(names)
        state.windows.names = _listed(names)

    def _compiled(self, entities: Any) -> CompiledEntities | None:
        """The compiled list of a stream, which decoder and model both use."""
        (names,) = self._decoder.lists(entities, 1)
        return names

    def _states(self, streams: Sequence[AudioStream]) -> list[_State]:
        """How streams stand.

        Raises:
            ConfigError: one is no stream of this recogniser.
        """
        states = []
        for stream in streams:
            state = stream.state_of(self) if isinstance(stream, AudioStream) else None
            if state is None:
                raise ConfigError(
                    f"{stream!r:.60} is no stream of this recogniser: its stream() opens one"
                )
            states.append(state)
        if len({id(state) for state in states}) < len(states):
            raise ConfigError("a stream comes twice in one call: pass its chunks one by one")
        return states


class OpensAudioStreams:
    """What a recogniser of recordings needs to be one of streams."""

    model: SpeechModel
    config: PipelineConfig
    decoder: Decoder
    _opened: AudioStreams | None = None

    def _heard(
        self, recordings: Sequence[Recording], listed: Sequence[ListedNames | None]
    ) -> LogProbs:
        """What the model makes of recordings, with the list of each for the adapter, if it acts."""
        acting = listed if "adapter" in self.config.parts else []
        return self.model.log_probs(recordings, acting, self.config.adapter, self.config.pieces)

    def _with_phones(self, log_probs: LogProbs, recordings: Sequence[Recording]) -> LogProbs:
        raise NotImplementedError

    def _heard_with_phones(
        self, recordings: Sequence[Recording], listed: Sequence[ListedNames | None]
    ) -> LogProbs:
        return self._with_phones(self._heard(recordings, listed), recordings)

    def stream(
        self, entities: Any = None, *, sampling_rate: int | None = None, name: str = "1"
    ) -> AudioStream:
        """Open a stream: audio in as it comes, words out as soon as nothing can change them.

        Args:
            entities: one list, as :meth:`transcribe` takes it; it may be changed later.
            sampling_rate: of the samples, by default that of the model.
            name: of the stream, for messages.

        Raises:
            EntityListError: it is no list, or no entry of it can have an effect.
            GraphError: it was compiled for another model.
            AudioError: the rate is none.
            ConfigError: tokens are phones, of which a lexicon makes words.
        """
        return self._audio_streams.open(entities, sampling_rate, name)

    def accept_all(
        self,
        streams: Sequence[AudioStream],
        chunks: Sequence[Any],
        sampling_rate: int | None = None,
    ) -> list[Update]:
        """Take the next chunk of each of many streams: faster than one after the other.

        Args:
            streams: of this recogniser, none of them twice.
            chunks: of samples, one for each; see :meth:`AudioStream.accept`.
            sampling_rate: of all of them, if it is to be checked.

        Raises:
            AudioError: a chunk is wrong; then none of them is taken.
            ConfigError: a stream is finished or of another recogniser, or there are not as many
                chunks.
        """
        return self._audio_streams.accept_all(streams, chunks, sampling_rate)

    def finish_all(self, streams: Sequence[AudioStream]) -> list[Update]:
        """Commit what is left of each of many streams; see :meth:`AudioStream.finish`.

        Raises:
            ConfigError: a stream is of another recogniser, or comes twice.
        """
        return self._audio_streams.finish_all(streams)

    @property
    def _audio_streams(self) -> AudioStreams:
        with _LOCK:
            if self._opened is None:
                windows = StreamWindows(
                    self._heard_with_phones,
                    self.model.tokenizer.vocabulary,
                    self.model.frame_seconds,
                    self.model.sampling_rate,
                    self.config.stream_window,
                )
                self._opened = AudioStreams(self.decoder, windows)
            return self._opened


def _require_open(state: _State) -> None:
    if state.finished:
        raise ConfigError(f"{state.samples.name} is finished: open another one")


def _listed(names: CompiledEntities | None) -> ListedNames | None:
    return None if names is None else names.listed


def _both(first: Update | None, last: Update) -> Update:
    """One update of two that follow each other."""
    return last if first is None else first.followed_by(last)

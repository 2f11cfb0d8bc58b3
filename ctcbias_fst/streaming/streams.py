"""Advances streams, many at a time: the first pass, commits, endpoints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ctcbias_fst.decoder_inputs import one_list
from ctcbias_fst.devices import with_versions
from ctcbias_fst.errors import ConfigError
from ctcbias_fst.search.intersect import check_process
from ctcbias_fst.streaming.chunks import Chunk, ChunkReader
from ctcbias_fst.streaming.first_pass import FirstPass
from ctcbias_fst.streaming.second_pass import (
    PART,
    WHOLE,
    Commit,
    PieceDecoder,
    SecondPass,
    windows_of,
    words_of,
)
from ctcbias_fst.streaming.state import StreamState
from ctcbias_fst.streaming.stream import Stream
from ctcbias_fst.streaming.stream_checks import (
    refuse_late_phones,
    require_one_each,
    require_open,
    states_of,
)
from ctcbias_fst.streaming.updates import Update
from ctcbias_fst.variants.phone_models import why_no_streams

ONE_LIST = "a stream has one list of names, not several"


class StreamDecoder:
    """Advances the streams of one decoder. Threads may share it, not their streams.

    Args:
        decoder: decodes what is committed.
    """

    def __init__(self, decoder: PieceDecoder) -> None:
        self._decoder = decoder
        vocabulary = decoder.tokenizer.vocabulary
        threshold = decoder.config.decode.blank_threshold
        self._reader = ChunkReader(vocabulary, decoder.frame_seconds, threshold, decoder.device)
        self._second_pass = SecondPass(decoder)
        self._first_pass = FirstPass(decoder.tokenizer, decoder.config, decoder.device)

    def open(self, entities: Any, name: str, first_step: float | None = None) -> Stream:
        """See :meth:`ctcbias_fst.decoder.Decoder.stream`."""
        decoder = self._decoder
        why = why_no_streams(decoder.tokenizer)
        if why is not None:
            raise ConfigError(why)
        names = one_list(decoder, entities, ONE_LIST)
        config = decoder.config.stream
        first = config.step if first_step is None else first_step
        if not 0 < first <= config.step:
            raise ConfigError(
                f"first_step must be above 0 and at most stream.step ({config.step:g}), found "
                f"{first_step}"
            )
        times = decoder.config.decode.times
        state = StreamState(
            config, decoder.frame_seconds, names, str(name), first_step=first, times=times
        )
        return Stream(self, state)

    def update_entities(self, stream: Stream, entities: Any) -> None:
        """See :meth:`ctcbias_fst.streaming.stream.Stream.update_entities`."""
        (state,) = self._states([stream])
        require_open(state)
        names = one_list(self._decoder, entities, ONE_LIST)
        lacking = state.frames.begun and state.frames.phones is None
        if lacking and self._decoder.needs_phones([names]):
            refuse_late_phones(state, "and none came so far: pass phones= with every chunk")
        state.names = names

    @with_versions
    def accept_all(
        self,
        streams: Sequence[Stream],
        chunks: Sequence[Any],
        *,
        phones: Sequence[Any] | None = None,
    ) -> list[Update]:
        """See :meth:`ctcbias_fst.decoder.Decoder.accept_all`."""
        check_process()
        states = self._states(streams)
        phones = [None] * len(states) if phones is None else phones
        require_one_each(states, chunks=chunks, phones=phones)
        read = [self._read(*one) for one in zip(states, chunks, phones)]
        for state, chunk in zip(states, read):
            state.frames.append(chunk)
        while ready := [state for state in states if state.ready]:
            self._step(ready)
        return [state.update() for state in states]

    @with_versions
    def finish_all(self, streams: Sequence[Stream]) -> list[Update]:
        """See :meth:`ctcbias_fst.decoder.Decoder.finish_all`."""
        check_process()
        states = self._states(streams)
        left = [state for state in states if not state.finished]
        for state in left:
            state.finish_frames()
        self._second_pass.commit([Commit(one, WHOLE) for one in left if one.end > one.begin])
        for state in left:  # what is interrupted before is committed the next time
            state.finished = True
        return [state.update() for state in states]

    def _states(self, streams: Sequence[Stream]) -> list[StreamState]:
        return states_of(streams, self, StreamState, "decoder")

    def _read(self, state: StreamState, log_probs: Any, phones: Any) -> Chunk:
        """Check a chunk, without changing anything."""
        require_open(state)
        where = f"stream {state.name}, chunk at frame {state.end}"
        needed = self._decoder.needs_phones([state.names])
        chunk = self._reader.read(log_probs, phones, where, needs_phones=needed)
        state.frames.check(chunk, where)
        return chunk

    def _step(self, streams: Sequence[StreamState]) -> None:
        """Look at one more step of each stream, all of which are ready."""
        for stream in streams:
            stream.advance()
        commits = [Commit(stream, WHOLE) for stream in streams if stream.at_pause]
        paused = {id(commit.stream) for commit in commits}
        rest = [stream for stream in streams if id(stream) not in paused and stream.has_news]
        if rest:
            self._search(rest)
        commits += [Commit(one, PART) for one in streams if id(one) not in paused and one.is_due]
        self._second_pass.commit(commits)
        ended = [(stream, rule) for stream in streams if (rule := stream.endpoint)]
        said = [(stream, rule) for stream, rule in ended if not stream.is_quiet]
        self._second_pass.commit([Commit(s, PART if r == "length" else WHOLE) for s, r in said])
        for stream, rule in ended:
            stream.end_utterance(rule)

    def _search(self, streams: Sequence[StreamState]) -> None:
        """Search what streams have open; and read it where nothing follows for now."""
        first_pass = self._first_pass
        ends = [stream.searched for stream in streams]
        windows = windows_of(streams, self._decoder.tokenizer.vocabulary, ends)
        graphs = [first_pass.graph(stream.names) for stream in streams]
        found, lattice = first_pass.search(windows, graphs)
        for stream, one in zip(streams, found):
            stream.found = one
        shown = [row for row, one in enumerate(streams) if not (one.news_pending or one.is_due)]
        if not shown:
            return
        read = first_pass.read(lattice, windows, graphs)
        words = words_of(read, windows, streams, self._decoder.config.decode.times)
        for row in shown:
            streams[row].show(words[row].placed, words[row].over)

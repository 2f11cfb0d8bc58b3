"""The second pass: what is committed is decoded with all parts.

With what is open behind it, so that a language model sees how it goes on; and with the words that
were committed before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

import torch

from ctcbias_fst.compiled import CompiledEntities, Compiler
from ctcbias_fst.phone_log_probs import PhoneLogProbs
from ctcbias_fst.records import LogProbs, Transcript, Word
from ctcbias_fst.search.stack import stack
from ctcbias_fst.search.times import TimesConfig, with_placed_words, written_frames
from ctcbias_fst.settings import PipelineConfig
from ctcbias_fst.streaming.cuts import agreed_cut, surest_blank, widest, word_gaps
from ctcbias_fst.streaming.state import StreamState
from ctcbias_fst.streaming.updates import later
from ctcbias_fst.text.tokens import Tokenizer
from ctcbias_fst.text.vocabulary import Vocabulary

WHOLE, PART = True, False

_LEAD_SECONDS = 2.0
"""Before what is open: no model writes words later than that."""


class PieceDecoder(Protocol):
    """Decodes with all parts: :class:`ctcbias_fst.decoder.Decoder`."""

    tokenizer: Tokenizer
    compiler: Compiler
    config: PipelineConfig
    frame_seconds: float
    device: torch.device

    def lists(self, entities: Any, count: int) -> list[CompiledEntities | None]: ...

    def needs_phones(self, names: Sequence[CompiledEntities | None]) -> bool: ...

    def decode_unplaced(
        self, log_probs: LogProbs, names: Sequence[CompiledEntities | None]
    ) -> list[Transcript]: ...


class Commit(NamedTuple):
    """What a stream commits: all that is open (``WHOLE``), or what is settled (``PART``)."""

    stream: StreamState
    whole: bool


class SecondPass:
    """Decodes what streams commit.

    Args:
        decoder: with all parts.
    """

    def __init__(self, decoder: PieceDecoder) -> None:
        self._decoder = decoder

    def commit(self, commits: Sequence[Commit]) -> None:
        """Commit what streams have open."""
        for stream, _ in commits:
            if stream.is_blank:
                stream.skip_blank()
        spoken = [commit for commit in commits if not commit.stream.is_blank]
        for kind in {commit.stream.frames.kind for commit in spoken}:
            self._decode([commit for commit in spoken if commit.stream.frames.kind == kind])

    def _decode(self, commits: Sequence[Commit]) -> None:
        """Commit what streams have open that can be one batch."""
        streams = [commit.stream for commit in commits]
        found, several = self._transcripts(streams, [stream.searched for stream in streams])
        for commit, one, words in zip(commits, found, several):
            stream = commit.stream
            cut = stream.whole_cut if commit.whole else self._cut(stream, one)
            if cut is None:
                stream.show(words.placed, words.over)
                continue
            begin, seconds = stream.begin, stream.seconds(cut - stream.begin)
            before = [word for word in one.best.words if commit.whole or word.start < seconds]
            if not commit.whole and before and before[-1].end > seconds:  # a word is cut in two
                (part,), (parted,) = self._transcripts([stream], [cut])
                stream.commit(parted.placed, cut, part.warning)
                continue
            stream.commit(words.placed[: len(before)], cut, one.warning)
            rest, moved = words.behind(len(before)), stream.seconds(begin - cut)
            placed = [later(word, moved) for word in rest.placed]
            stream.show(placed, [end + moved for end in rest.over])

    def _transcripts(
        self, streams: Sequence[StreamState], ends: Sequence[int]
    ) -> tuple[list[Transcript], list[OpenWords]]:
        """What is open before some frames, with the times of tokens; and its words, placed."""
        decoder = self._decoder
        batch = windows_of(streams, decoder.tokenizer.vocabulary, ends, whole=True)
        found = decoder.decode_unplaced(batch, [stream.names for stream in streams])
        return found, words_of(found, batch, streams, decoder.config.decode.times)

    def _cut(self, stream: StreamState, found: Transcript) -> int | None:
        """Where to cut what is settled, or else what has become too much."""
        gaps = word_gaps(found.best.words, stream.frame_seconds)
        settled = () if stream.found is None else stream.found.gaps
        cut = agreed_cut(settled, gaps)
        if cut is None and not found.best.words and settled:
            cut = settled[-1].cut  # nothing of it was heard
        length = stream.searched - stream.begin
        if cut is None and stream.is_full:
            cut = widest(gaps, 0, length)
            if cut is None:
                rows = stream.frames.tokens.rows(stream.begin, stream.searched)
                cut = surest_blank(rows[:, self._decoder.tokenizer.vocabulary.blank_id])
                at = stream.seconds(stream.begin + cut)
                stream.warn(f"cut at {at:.2f} s, where no word ends")
        return None if cut is None or not 0 < cut <= length else stream.begin + cut


class OpenWords(NamedTuple):
    """Words of what a stream has open; times are from its first frame on.

    Attributes:
        placed: where they sound, which may be before what is open.
        over: of each, when its tokens are over, which a model may write late; in seconds.
    """

    placed: tuple[Word, ...]
    over: tuple[float, ...]

    def behind(self, count: int) -> OpenWords:
        """All but the first ones."""
        return OpenWords(self.placed[count:], self.over[count:])


def words_of(
    transcripts: Sequence[Transcript],
    windows: LogProbs,
    streams: Sequence[StreamState],
    config: TimesConfig,
) -> list[OpenWords]:
    """The words of what streams have open, of transcripts with the times of tokens.

    A model may write the first words of all before they sound, but none in the middle of a stream.
    """
    seconds, found = windows.frame_seconds, []
    lengths = windows.lengths.tolist()
    for one, marks, length, stream in zip(transcripts, written_frames(windows), lengths, streams):
        lead = min(stream.begin, round(_LEAD_SECONDS / seconds))
        moved = [later(word, lead * seconds) for word in one.best.words]
        best = replace(one.best, words=tuple(moved))
        unplaced = replace(one, best=best, nbest=(), left_out=())
        late, over = (
            with_placed_words(
                unplaced,
                [mark + lead for mark in marks],
                length + lead,
                seconds,
                lag=lag,
                widen=config.widen,
                burst=0.0 if stream.begin else config.burst,
            ).best.words
            for lag in (stream.lag, 0.0)
        )
        before = -lead * seconds
        words = tuple([later(word, before) for word in late])
        found.append(OpenWords(words, tuple([round(word.end + before, 6) for word in over])))
    return found


def windows_of(
    streams: Sequence[StreamState],
    vocabulary: Vocabulary,
    ends: Sequence[int],
    *,
    whole: bool = False,
) -> LogProbs:
    """What streams have open, as a batch.

    Args:
        streams: with frames of one kind, if ``whole``.
        vocabulary: of the model.
        ends: the frame of each that is behind the last one.
        whole: with all that is known of them: phones, unbiased log-probs, the words before.
    """
    rows = [one.frames.tokens.rows(one.begin, end) for one, end in zip(streams, ends)]
    ids = tuple([stream.name for stream in streams])
    batch = stack(rows, ids, vocabulary, streams[0].frame_seconds)
    first = streams[0].frames
    batch = replace(batch, lag=first.lag)
    if not whole:
        return batch
    context = tuple([stream.context() for stream in streams])
    unbiased = phones = None
    if any(stream.frames.biased for stream in streams):
        pairs = zip(streams, ends)
        unbiased = _padded([one.frames.unbiased.rows(one.begin, end) for one, end in pairs])
    if first.phones is not None:
        heard = [one.open_phones(end) for one, end in zip(streams, ends)]
        lengths = torch.tensor([len(one) for one in heard])
        phones = PhoneLogProbs(_padded(heard), lengths, first.phone_seconds, first.phone_lag)
    return replace(batch, context=context, unbiased=unbiased, phones=phones)


def _padded(rows: Sequence[torch.Tensor]) -> torch.Tensor:
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True)

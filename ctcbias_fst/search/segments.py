"""Cutting long log-probs at pauses, and joining what was decoded from the pieces."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from typing import NamedTuple

import numpy as np
from torch import Tensor

from ctcbias_fst.pauses import Pause, find_pauses
from ctcbias_fst.phone_log_probs import PhoneLogProbs, seconds_later
from ctcbias_fst.records import Hypothesis, LogProbs, Transcript, Word


@dataclass(frozen=True)
class Segment:
    """Frames ``[begin, end)`` of an utterance of a batch.

    ``warning`` tells of a cut at its end that is not in a pause.
    """

    utterance: int
    begin: int
    end: int
    warning: str | None = None


def cut_at_pauses(
    log_probs: LogProbs, *, longest_seconds: float = 30.0
) -> tuple[LogProbs, tuple[Segment, ...]]:
    """Split every utterance longer than ``longest_seconds`` at pauses between words.

    The cut falls in the middle of the longest pause (:func:`ctcbias_fst.pauses.find_pauses`)
    in the second half of each stretch of ``longest_seconds``. Where no word ends there, it falls
    earlier in the stretch, or behind its end, up to as long again. Where nothing but one word is
    said for so long, it falls where the blank is surest; the segment has a ``warning`` then, and
    also where the words have no frame between them.

    Returns:
        the segments as a batch of their own (ids repeat), and where each came from, in
        order of utterance and time. Utterances without frames keep one empty segment.
    """
    most = max(2, round(longest_seconds / log_probs.frame_seconds))
    segments = []
    for index, length in enumerate(log_probs.lengths.tolist()):
        begin = 0
        values = log_probs.log_probs[index, :length]
        pauses = find_pauses(values, log_probs.vocabulary) if length > most else []
        while length - begin > most:
            end, fault = _cut(pauses, begin, most, length)
            if end is None:
                blank = values[begin : begin + most, log_probs.vocabulary.blank_id]
                end = begin + _surest_blank(blank, round(0.4 / log_probs.frame_seconds))
            if fault is not None:
                fault = f"cut at {end * log_probs.frame_seconds:.2f} s, where {fault}"
            segments.append(Segment(index, begin, end, fault))
            begin = end
        segments.append(Segment(index, begin, length))
    if len(segments) == log_probs.size:
        return log_probs, tuple(segments)
    spans = [(segment.utterance, segment.begin, segment.end) for segment in segments]
    phones = log_probs.phones
    if phones is not None:
        phones = phones.slices(_phone_spans(segments, log_probs, phones))
    return log_probs.slices(spans, phones), tuple(segments)


def _phone_spans(
    segments: Sequence[Segment], log_probs: LogProbs, phones: PhoneLogProbs
) -> list[tuple[int, int, int]]:
    """The phone frames of segments, cut at the same times; the last segment has all the rest.

    Where phones are written later than tokens are, they are cut as much later.
    """
    ratio = log_probs.frame_seconds / phones.frame_seconds
    later = seconds_later(phones.lag, log_probs.lag) / phones.frame_seconds
    ends, lengths = log_probs.lengths.tolist(), phones.lengths.tolist()
    spans = []
    for one in segments:
        length = lengths[one.utterance]
        begin, end = (min(max(round(at * ratio + later), 0), length) for at in (one.begin, one.end))
        begin, end = (begin if one.begin else 0, end if one.end < ends[one.utterance] else length)
        spans.append((one.utterance, begin, end))
    return spans


def join_segments(
    transcripts: Sequence[Transcript],
    segments: Sequence[Segment],
    frame_seconds: float,
    nbest: int = 1,
) -> list[Transcript]:
    """The inverse for results: one transcript per utterance, words at their true times.

    Scores add. Segments were decoded independently of one another, so the n best readings of an
    utterance are the n best combinations of its segments' readings, exactly as far as these go.

    Args:
        transcripts: of the segments.
        segments: as :func:`cut_at_pauses` gave them.
        frame_seconds: of the model.
        nbest: readings of an utterance of several segments, at most.
    """
    pieces: dict[int, list[tuple[Segment, Transcript]]] = {}
    for segment, transcript in zip(segments, transcripts):
        pieces.setdefault(segment.utterance, []).append((segment, transcript))
    return [_join(pieces[index], frame_seconds, nbest) for index in sorted(pieces)]


def _join(
    pieces: Sequence[tuple[Segment, Transcript]], frame_seconds: float, nbest: int
) -> Transcript:
    first = pieces[0][1]
    if len(pieces) == 1 and pieces[0][0].warning is None:
        return first
    shifted = [
        [_later(one, segment.begin * frame_seconds) for one in (t.best, *t.nbest[1:])]
        for segment, t in pieces
    ]
    found = tuple(_together(several) for several in _combinations(shifted, nbest))
    warnings = [w for segment, t in pieces for w in (t.warning, segment.warning) if w]
    warning = "; ".join(dict.fromkeys(warnings)) or None
    left_out = tuple(
        _moved(word, segment.begin * frame_seconds)
        for segment, transcript in pieces
        for word in transcript.left_out
    )
    return Transcript(first.id, found[0], found, warning, left_out)


def _later(hypothesis: Hypothesis, seconds: float) -> Hypothesis:
    return replace(hypothesis, words=tuple(_moved(word, seconds) for word in hypothesis.words))


def _moved(word: Word, seconds: float) -> Word:
    return replace(word, start=word.start + seconds, end=word.end + seconds)


def _combinations(
    lists: Sequence[Sequence[Hypothesis]], nbest: int
) -> list[tuple[Hypothesis, ...]]:
    """The best ways to take one hypothesis of each list, no two with the same words.

    The first of every list counts as its best, whatever its score (lookup may have changed it).
    The best of all lists are made of the best of the lists before and of the next one, and of
    beginnings with the same words only the best one matters.
    """
    beginnings: list[_Beginning] = [_Beginning(0.0, 0, ())]
    for several in lists:
        # Later ones may not overtake the one before them.
        scores = np.minimum.accumulate([hypothesis.score for hypothesis in several]).tolist()
        distinct: dict[int, _Beginning] = {}
        # Best first: after a pair come the next hypothesis and, once, the next beginning.
        pairs = [(-(beginnings[0].score + scores[0]), 0, 0)]
        while pairs and len(distinct) < nbest:
            lack, at, place = heappop(pairs)
            before, one = beginnings[at], several[place]
            words = _hash(before.words, one.text)
            distinct.setdefault(words, _Beginning(-lack, words, (*before.taken, one)))
            if place + 1 < len(scores):
                heappush(pairs, (-(before.score + scores[place + 1]), at, place + 1))
            if not place and at + 1 < len(beginnings):
                heappush(pairs, (-(beginnings[at + 1].score + scores[0]), at + 1, 0))
        beginnings = list(distinct.values())
    return [item.taken for item in beginnings]


class _Beginning(NamedTuple):
    """What was taken of some lists, and a hash of its words."""

    score: float
    words: int
    taken: tuple[Hypothesis, ...]


def _hash(before: int, text: str) -> int:
    for word in text.lower().split():
        before = hash((before, word))
    return before


def _together(pieces: Sequence[Hypothesis]) -> Hypothesis:
    phones = [piece.phone for piece in pieces]
    return Hypothesis(
        words=tuple(word for piece in pieces for word in piece.words),
        score=sum(piece.score for piece in pieces),
        token_ids=tuple(token for piece in pieces for token in piece.token_ids),
        boost=sum(piece.boost for piece in pieces),
        lm=sum(piece.lm for piece in pieces),
        phone=None if None in phones else sum(phone or 0.0 for phone in phones),
        phone_share=sum(piece.phone_share for piece in pieces),
    )


def _cut(
    pauses: Sequence[Pause], begin: int, most: int, length: int
) -> tuple[int | None, str | None]:
    """Where to end what begins at a frame, if there is a place, and what is wrong with it."""
    half = begin + most // 2
    for first, last in ((half, begin + most), (begin + 1, half), (begin + most, begin + 2 * most)):
        final = min(last, length - 1)
        low = bisect_left(pauses, first, key=lambda pause: pause.end)
        high = bisect_right(pauses, final, key=lambda pause: pause.begin)
        # What is left of a pause that was cut already is not cut again before something is said.
        left = [pause for pause in pauses[low:high] if pause.begin > begin or first == half]
        inside = [pause.within(first, final) for pause in left]
        usable = [pause for pause in inside if pause is not None]
        if usable:
            best = max(usable, key=lambda pause: pause.length)
            return best.middle, None if best.length else "no pause is between the words"
    return None, "no pause is, and no word ends"


def _surest_blank(blank: Tensor, width: int) -> int:
    half = len(blank) // 2
    width = max(1, min(width, len(blank) - half))
    sums = blank[half:].unfold(0, width, 1).sum(dim=1)
    return half + int(sums.argmax()) + width // 2

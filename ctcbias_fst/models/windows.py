"""What of long recordings another model is given: pieces, cut at pauses, and windows of these.

Pauses of the audio come first. What is too long all the same, as it is noisy, is scored, and cut
where nothing was read. A piece that is longer than the model takes is scored in windows that
overlap.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from typing import NamedTuple

from torch import Tensor

from ctcbias_fst.audio.audio import Recording
from ctcbias_fst.models.pieces import (
    CONTEXT_SECONDS,
    LATE_SECONDS,
    PiecesConfig,
    overlapping_pieces,
)
from ctcbias_fst.models.plug import Scorer
from ctcbias_fst.models.quiet import hop_of, quiet_pauses
from ctcbias_fst.pauses import find_pauses

_SHORT_PAUSE_SECONDS = 0.24
_CONTEXT_SECONDS = 4.0
"""Of a window at either end, where the audio goes on: heard, and scored in the next window."""


class Span(NamedTuple):
    """A piece of a recording: samples ``[begin, end)``, the first one that of frame ``frame``."""

    recording: int
    frame: int
    begin: int
    end: int


class Window(NamedTuple):
    """Frames ``[first, last)`` of a recording, the last of which may be its span's end (None),
    scored in samples ``[begin, end)``, whose first one is that of frame ``offset``."""

    span: int
    recording: int
    begin: int
    end: int
    offset: int
    first: int
    last: int | None


def spans_of(at: int, recording: Recording, scorer: Scorer, config: PiecesConfig) -> Iterator[Span]:
    """What of a recording is scored by itself: all of it, or where it is long, its pieces; nothing
    of long silence.

    Args:
        at: its number.
        scorer: of the model.
        config: what is long.
    """
    total, rate, hop = len(recording.samples), scorer.sampling_rate, hop_of(scorer.sampling_rate)
    most = min(config.longest(scorer.piece_seconds), scorer.longest_seconds)
    if not total:
        return
    if total <= most * rate:
        yield Span(at, 0, 0, total)
        return
    room = min(most, max(1.0, scorer.longest_seconds - CONTEXT_SECONDS))
    pauses = quiet_pauses(recording.samples, rate)
    for piece in overlapping_pieces(pauses, total // hop, hop / rate, room):
        frame = int(piece.begin * hop / (scorer.frame_seconds * rate))
        end = total if piece.end == total // hop else piece.end * hop
        yield Span(at, frame, _sample(frame, scorer), end)


def finer_spans(span: Span, scores: Tensor, scorer: Scorer, config: PiecesConfig) -> Iterator[Span]:
    """What is better scored of a span that is too long: pieces between runs of blank frames.

    Between words blank frames are usual, of the fewer tokens the more; so pauses are those that are
    twice as long as most.

    Args:
        span: a piece of the audio.
        scores: ``(frame, token)``, what was read in it.
        scorer: of the model.
        config: what is long.
    """
    most, frame = config.longest(scorer.piece_seconds), scorer.frame_seconds
    too_long = span.end - span.begin > (most + CONTEXT_SECONDS) * scorer.sampling_rate
    if not too_long or most >= scorer.longest_seconds:
        return
    pauses = find_pauses(scores, scorer.tokenizer.vocabulary)
    inner = [pause for pause in pauses if pause.begin > 0 and pause.end < len(scores)]
    usual = median([pause.length for pause in inner] or [0])
    least = max(_SHORT_PAUSE_SECONDS / frame, 2 * usual)
    pauses = [pause for pause in pauses if pause.length >= least or pause not in inner]
    pieces = overlapping_pieces(pauses, len(scores), frame, most, LATE_SECONDS)
    if len(pieces) < 2:
        return
    for piece in pieces:
        begin, end = span.frame + piece.begin, span.frame + piece.end
        last = span.end if piece.end == len(scores) else _sample(end, scorer)
        yield Span(span.recording, begin, _sample(begin, scorer), min(last, span.end))


def windows_of(at: int, span: Span, scorer: Scorer) -> Iterator[Window]:
    """What a span is scored in: as a whole, or where it is too long, in windows.

    Args:
        at: its number.
        scorer: of the model.
    """
    recording, frame, start, total = span
    if total - start <= scorer.longest_seconds * scorer.sampling_rate:
        yield Window(at, recording, start, total, frame, frame, None)
        return
    length = max(2, int(scorer.longest_seconds / scorer.frame_seconds))
    context = min(round(_CONTEXT_SECONDS / scorer.frame_seconds), length // 4)
    first = frame
    while True:
        offset = max(frame, first - context)
        begin, end = _sample(offset, scorer), _sample(offset + length, scorer)
        if end >= total:
            yield Window(at, recording, begin, total, offset, first, None)
            return
        yield Window(at, recording, begin, end, offset, first, offset + length - context)
        first = offset + length - context


def _sample(frame: int, scorer: Scorer) -> int:
    return round(frame * scorer.frame_seconds * scorer.sampling_rate)

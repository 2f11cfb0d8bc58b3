"""Where long audio is cut before a model.

A model that was trained on sentences reads a sentence among others worse than alone: attention
spreads over all there is. So audio that is longer than a sentence is scored piece by piece.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from ctcbias_fst.bounds import positive
from ctcbias_fst.pauses import Pause

_PAUSE_SHARE = 0.1
"""At a pause of this share of the longest piece is always cut."""

_SHORT_PAUSE_SECONDS = 0.24
"""At shorter ones only pieces over twice the longest are cut."""

_KEPT_SECONDS = 0.48
"""So much of a pause is heard with the piece before it."""

LEAD_SECONDS = 0.2
"""So much of a pause of the audio is heard with the piece after it."""

LATE_SECONDS = 0.48
"""The same of a pause between tokens, which may be written as late as this."""

CONTEXT_SECONDS = _KEPT_SECONDS + LATE_SECONDS
"""By so much a piece may be longer than what is said in it."""

_SHORTEST_SECONDS = 1.0
"""No piece of speech is made shorter than this, but by long pauses."""


SENTENCE_SECONDS = 6.0
"""The longest piece for a model of which no more is known than that it may have learnt from
sentences."""


LONG_SECONDS = 30.0
"""The same for one that is known to have learnt from long segments; other models of other people
are given no more at once either."""


@dataclass(frozen=True)
class PiecesConfig:
    """How long audio is cut at pauses before a model.

    Attributes:
        longest_seconds: what is longer is scored in pieces that are not, as far as there are pauses
            to cut at; a pause of a tenth of it always parts two. None: as the model is known to
            want it.
    """

    longest_seconds: float | None = None

    def __post_init__(self) -> None:
        if self.longest_seconds is not None:
            positive(self, "longest_seconds")

    def longest(self, own: float = SENTENCE_SECONDS) -> float:
        """Seconds of the longest piece, by default those that a model wants."""
        return own if self.longest_seconds is None else self.longest_seconds


@dataclass(frozen=True)
class Piece:
    """Frames ``[begin, end)`` that are scored together."""

    begin: int
    end: int


def pieces_of(
    pauses: Sequence[Pause], frames: int, frame_seconds: float, longest_seconds: float
) -> list[Piece]:
    """Cut a recording at its pauses, each of which is shared by the pieces on both sides.

    Pauses of a tenth of the longest piece or more part it; what is still longer than the longest
    piece is parted at its longest pause, and so on. No cut falls into a word. The middle of long
    pauses belongs to no piece.

    Args:
        pauses: of the recording, as :func:`ctcbias_fst.pauses.find_pauses` finds them.
        frames: of the recording.
        frame_seconds: how long a frame is.
        longest_seconds: see `PiecesConfig`.

    Returns:
        pieces in order of time; none if nothing is said.
    """
    kept = round(_KEPT_SECONDS / frame_seconds)
    cuts = _cuts(pauses, frames, frame_seconds, longest_seconds)
    pieces = []
    for left, right in itertools.pairwise(cuts):
        begin = max(0 if left is cuts[0] else left.middle, left.end - kept)
        end = min(frames if right is cuts[-1] else right.middle, right.begin + kept)
        pieces.append(Piece(begin, end))
    return pieces


def overlapping_pieces(
    pauses: Sequence[Pause],
    frames: int,
    frame_seconds: float,
    longest_seconds: float,
    lead_seconds: float = LEAD_SECONDS,
) -> list[Piece]:
    """Cut a recording at its pauses, which the pieces on both sides hear.

    Cut as by :func:`pieces_of`. A piece ends 0.48 s behind its speech, as models write late, and
    begins some time before it, or with the pause; so those around a short pause overlap in it.

    Args:
        pauses: of the audio, as :func:`ctcbias_fst.models.quiet.quiet_pauses` finds them, or
            between tokens.
        frames, frame_seconds, longest_seconds: see :func:`pieces_of`.
        lead_seconds: how long before its speech a piece begins.

    Returns:
        pieces in order of time; none if all is quiet.
    """
    kept, lead = round(_KEPT_SECONDS / frame_seconds), round(lead_seconds / frame_seconds)
    cuts = _cuts(pauses, frames, frame_seconds, longest_seconds)
    return [
        Piece(max(left.begin, left.end - lead), min(right.end, right.begin + kept))
        for left, right in itertools.pairwise(cuts)
    ]


def _cuts(
    pauses: Sequence[Pause], frames: int, frame_seconds: float, longest_seconds: float
) -> list[Pause]:
    """The pauses that part a recording, its beginning and its end among them; none if nothing is
    said."""
    silent = len(pauses) == 1 and pauses[0] == Pause(0, frames)
    if not frames or silent:
        return []
    inner = list(pauses)
    first, last = Pause(0, 0), Pause(frames, frames)
    if inner and inner[0].begin == 0:
        first = inner.pop(0)
    if inner and inner[-1].end == frames:
        last = inner.pop()
    long = [p for p in inner if p.length * frame_seconds >= _PAUSE_SHARE * longest_seconds]
    cuts = [first]
    for pause in [*long, last]:
        cuts += [*_cuts_between(cuts[-1], pause, inner, frame_seconds, longest_seconds), pause]
    return cuts


def _cuts_between(
    left: Pause, right: Pause, pauses: Sequence[Pause], frame_seconds: float, longest: float
) -> list[Pause]:
    """Where else to cut between two cuts: at some of the pauses, which are in order of time."""
    done: list[Pause] = []
    todo = [(left, right)]
    while todo:
        begin, end = todo.pop()
        seconds = (end.begin - begin.end) * frame_seconds
        if seconds <= longest:
            continue
        least = _SHORT_PAUSE_SECONDS if seconds <= 2 * longest else 0.0
        low = bisect_left(pauses, begin.end, key=lambda pause: pause.begin)
        high = bisect_right(pauses, end.begin, key=lambda pause: pause.end)
        inside = [
            pause
            for pause in pauses[low:high]
            if (pause.begin - begin.end) * frame_seconds >= _SHORTEST_SECONDS
            and (end.begin - pause.end) * frame_seconds >= _SHORTEST_SECONDS
            and pause.length * frame_seconds >= least
        ]
        if inside:
            middle = (begin.end + end.begin) / 2
            # Of pauses as long as each other the one nearest the middle.
            best = max(inside, key=lambda p: (p.length, -abs(p.middle - middle)))
            done.append(best)
            todo += [(begin, best), (best, end)]
    return sorted(done, key=lambda pause: pause.begin)

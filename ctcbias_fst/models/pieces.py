"""Where long audio is cut before the encoder.

An encoder that was trained on sentences reads a sentence among others worse than alone: attention
spreads over all there is. So audio that is longer than a sentence is encoded twice: as a whole, to
see where nothing is said, and then piece by piece.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from ctcbias_fst.pauses import Pause

LONGEST_SECONDS = 6.0
"""What is not longer is encoded as it is; pieces should not be longer either."""

_PAUSE_SECONDS = 0.6
"""At a pause of this length is always cut."""

_SHORT_PAUSE_SECONDS = 0.24
"""At shorter ones only pieces over twice the longest are cut."""

_KEPT_SECONDS = 0.48
"""So much of a pause is encoded with the piece before it, and with the one after it."""

_SHORTEST_SECONDS = 1.0
"""No piece of speech is made shorter than this, but by long pauses."""


@dataclass(frozen=True)
class Piece:
    """Frames ``[begin, end)`` that are encoded together."""

    begin: int
    end: int


def pieces_of(pauses: Sequence[Pause], frames: int, frame_seconds: float) -> list[Piece]:
    """Cut a recording at its pauses.

    Pauses of 0.6 s or more part it; what is still longer than 6 s is parted at its longest pause,
    and so on. No cut falls into a word. The middle of long pauses belongs to no piece.

    Args:
        pauses: of the recording, as :func:`ctcbias_fst.pauses.find_pauses` finds them.
        frames: of the recording.
        frame_seconds: how long a frame is.

    Returns:
        pieces in order of time; none if nothing is said.
    """
    silent = len(pauses) == 1 and pauses[0] == Pause(0, frames)
    if not frames or silent:
        return []
    inner = list(pauses)
    first, last = Pause(0, 0), Pause(frames, frames)
    if inner and inner[0].begin == 0:
        first = inner.pop(0)
    if inner and inner[-1].end == frames:
        last = inner.pop()
    long = [p for p in inner if p.length * frame_seconds >= _PAUSE_SECONDS]
    cuts = [first]
    for pause in [*long, last]:
        cuts += [*_cuts_between(cuts[-1], pause, inner, frame_seconds), pause]
    kept = round(_KEPT_SECONDS / frame_seconds)
    pieces = []
    for left, right in itertools.pairwise(cuts):
        begin = max(0 if left is first else left.middle, left.end - kept)
        end = min(frames if right is last else right.middle, right.begin + kept)
        pieces.append(Piece(begin, end))
    return pieces


def _cuts_between(
    left: Pause, right: Pause, pauses: Sequence[Pause], frame_seconds: float
) -> list[Pause]:
    """Where else to cut between two cuts: at some of the pauses, which are in order of time."""
    done: list[Pause] = []
    todo = [(left, right)]
    while todo:
        begin, end = todo.pop()
        seconds = (end.begin - begin.end) * frame_seconds
        if seconds <= LONGEST_SECONDS:
            continue
        least = _SHORT_PAUSE_SECONDS if seconds <= 2 * LONGEST_SECONDS else 0.0
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

"""Pauses: where the best reading of log-probs has nothing to say, between words."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

from ctcbias_fst.text.vocabulary import Vocabulary


@dataclass(frozen=True)
class Pause:
    """Frames ``[begin, end)`` before, between or after words.

    Between words that follow one another at once it is empty: they part at ``begin``.
    """

    begin: int
    end: int

    @property
    def length(self) -> int:
        """In frames."""
        return self.end - self.begin

    @property
    def middle(self) -> int:
        """The frame at which to cut."""
        return (self.begin + self.end) // 2

    def within(self, begin: int, end: int) -> Pause | None:
        """The part of it at which frames ``begin`` to ``end`` can be cut, if there is one."""
        first, last = max(self.begin, begin), min(self.end, end)
        return Pause(first, last) if first <= last else None


def find_pauses(
    log_probs: Tensor, vocabulary: Vocabulary, phones: Tensor | None = None
) -> list[Pause]:
    """Find the pauses of one utterance, in order of time.

    A frame is silent if its best token writes nothing: blank, the separator, or a special one.
    Between two words that is the longest run of such frames; before the first and after the last
    word all of them. Words begin where the vocabulary says so. Where it marks none, as in scripts
    without spaces, every token counts as a word.

    Args:
        log_probs: ``(frame, token)``.
        phones: ``(frame, phone)`` with blank 0, if the model has a phone head: where it hears a
            phone is no pause.
    """
    frames = len(log_probs)
    best = log_probs.argmax(dim=-1).cpu()
    writes = torch.tensor([bool(surface) for surface in vocabulary.surfaces])
    starts = torch.from_numpy(vocabulary.starts_word.copy())
    if vocabulary.separator_id is None and not bool(starts.any()):
        starts = writes
    sounds = writes[best]
    loud = sounds if phones is None else sounds | (phones[:frames].argmax(dim=-1) != 0).cpu()
    separated = torch.zeros_like(sounds)
    if vocabulary.separator_id is not None:
        separated = best == vocabulary.separator_id
    spoken = sounds.nonzero().flatten().tolist()
    if not spoken:
        return [Pause(0, frames)] if frames else []
    tokens, begins = best.tolist(), starts[best].tolist()
    first, last = spoken[0], spoken[-1]
    pauses = [Pause(0, first)] if first else []
    # How many separators there are before each frame.
    before = torch.cat([torch.zeros(1, dtype=torch.int64), separated.long().cumsum(0)]).tolist()
    quiet = (~loud).tolist()
    for left, right in itertools.pairwise(spoken):
        repeated = right == left + 1 and tokens[left] == tokens[right]
        word_ends = before[right] > before[left] or (begins[right] and not repeated)
        if word_ends:
            pauses.append(_longest_run(quiet, left + 1, right))
    if last + 1 < frames:
        pauses.append(Pause(last + 1, frames))
    return pauses


def _longest_run(quiet: list[bool], begin: int, end: int) -> Pause:
    """The longest quiet run in ``[begin, end)``; the middle of it all if there is none."""
    longest = Pause((begin + end) // 2, (begin + end) // 2)
    start = begin
    for frame in range(begin, end + 1):
        if frame < end and quiet[frame]:
            continue
        if frame - start > longest.length:
            longest = Pause(start, frame)
        start = frame + 1
    return longest

"""Where what is open can be cut: between words, never inside a name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from ctcbias_fst.records import Word
from ctcbias_fst.search.settled import PathToken
from ctcbias_fst.text.scripts import is_unspaced
from ctcbias_fst.text.vocabulary import Vocabulary


class Gap(NamedTuple):
    """Between two words.

    Attributes:
        begin: the frame behind the last one of the word before.
        end: the first frame of the word after.
    """

    begin: int
    end: int

    @property
    def cut(self) -> int:
        """The frame to cut before."""
        return (self.begin + self.end + 1) // 2


@dataclass(frozen=True)
class WordBreaks:
    """Tells where words begin.

    Attributes:
        vocabulary: whose blank is token 0.
    """

    vocabulary: Vocabulary

    def gaps(self, tokens: Sequence[PathToken]) -> tuple[Gap, ...]:
        """The gaps between the words of a path, in order; a name is one word.

        Args:
            tokens: of the path.
        """
        pairs = zip(tokens, tokens[1:])
        return tuple([Gap(b.end, one.begin) for b, one in pairs if self._part(b, one)])

    def _part(self, before: PathToken, one: PathToken) -> bool:
        """Whether a word ends with a token and one begins with the next."""
        if before.in_tree and not before.completes:
            return False
        vocabulary = self.vocabulary
        if vocabulary.separator_id is not None:
            return before.token == vocabulary.separator_id != one.token
        if one.in_tree:
            return True
        if not vocabulary.ends_word[one.token]:
            return False
        if not vocabulary.joins_letters:
            return True
        texts = (vocabulary.surfaces[before.token], vocabulary.surfaces[one.token])
        return is_unspaced(texts[0][-1:]) or is_unspaced(texts[1])


def word_gaps(words: Sequence[Word], frame_seconds: float) -> list[Gap]:
    """The gaps between words with the times of their tokens; a name is one word."""
    gaps = []
    for before, one in zip(words, words[1:]):
        if not any(mention is other for mention in before.mentions for other in one.mentions):
            gaps.append(Gap(round(before.end / frame_seconds), round(one.start / frame_seconds)))
    return gaps


def agreed_cut(settled: Sequence[Gap], gaps: Sequence[Gap]) -> int | None:
    """Where to cut: in the last of some gaps that is where one of the settled is.

    Args:
        settled: the gaps between settled words.
        gaps: those of the words that are committed.
    """
    for gap in reversed(gaps):
        if any(gap.begin <= one.end and one.begin <= gap.end for one in settled):
            return gap.cut
    return None


def widest(gaps: Sequence[Gap], begin: int, end: int) -> int | None:
    """Where words are furthest apart in the second half of frames ``[begin, end)``, or else in the
    first one; of gaps as wide the last."""
    half = (begin + end) // 2
    inside = [gap for gap in gaps if begin < gap.cut < end]
    several = [gap for gap in inside if gap.cut >= half] or inside
    if not several:
        return None
    return max(several, key=lambda gap: (gap.end - gap.begin, gap.cut)).cut


def surest_blank(blank: torch.Tensor) -> int:
    """The frame of the second half that is surest to be blank.

    Args:
        blank: (T,), its log-probs.
    """
    half = max(1, len(blank) // 2)
    if half == len(blank):
        return half
    return half + int(blank[half:].argmax())

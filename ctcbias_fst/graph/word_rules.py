"""Where words begin and end, as far as a graph of tokens has to know it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ctcbias_fst.text.letters import APOSTROPHES
from ctcbias_fst.text.vocabulary import Vocabulary

STARTS_WORD = "starts_word"
"""The attribute of arcs that start a word, if words are marked by separators."""

OPEN_END = "open_end"
"""The attribute of arcs to the final state out of an entity that may go on behind it."""


@dataclass(frozen=True)
class WordRules:
    """Where words begin, as the graph needs to know it. Tokens are blank-first columns.

    Attributes:
        ends_word: bool (V,): tokens that end the word before them.
        ends_name: bool (V,): tokens that may follow a name: those, punctuation, special tokens,
            and letters of scripts without spaces.
        parts_words: bool (V,): where separators mark words, what a name may follow all the same:
            special tokens, and letters of scripts without spaces.
        separator: the token between words, if words are marked by one.
        possessives: the token sequences that write 's at the end of a word.
    """

    ends_word: torch.Tensor
    ends_name: torch.Tensor
    parts_words: torch.Tensor
    separator: int | None
    possessives: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, vocabulary: Vocabulary, device: torch.device | str) -> WordRules:
        """The rules of a vocabulary whose blank is token 0."""
        assert vocabulary.blank_id == 0, "columns must be in blank-first order"
        inside = ~vocabulary.ends_word & ~vocabulary.special
        continuation = {vocabulary.surfaces[at]: at for at in inside.nonzero()[0].tolist()}
        letter = "S" if vocabulary.upper_case else "s"
        written = [apostrophe + letter for apostrophe in APOSTROPHES]
        pieces = [split for one in written for split in ((one,), tuple(one))]
        parts_words = vocabulary.silent | vocabulary.unspaced
        ends_name = vocabulary.ends_word | vocabulary.closes_word | vocabulary.silent
        if vocabulary.separator_id is not None:
            ends_name |= parts_words
        return cls(
            ends_word=torch.from_numpy(vocabulary.ends_word.copy()).to(device),
            ends_name=torch.from_numpy(ends_name).to(device),
            parts_words=torch.from_numpy(parts_words).to(device),
            separator=vocabulary.separator_id,
            possessives=tuple(
                tuple(continuation[piece] for piece in split)
                for split in pieces
                if all(piece in continuation for piece in split)
            ),
        )

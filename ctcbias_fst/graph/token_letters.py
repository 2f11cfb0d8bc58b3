"""How many letters tokens and the spellings of names write, for what they are paid."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ctcbias_fst.text.encoded_entities import EncodedEntities

if TYPE_CHECKING:
    from ctcbias_fst.text.vocabulary import Vocabulary

_FIRST_SYLLABLE = "\u2e80"
"""From here on letters are ideographs, kana and Hangul syllables."""

_LETTERS_OF_SYLLABLE = 3.0

_MAX_OF_TOKEN = 6.0


@lru_cache(maxsize=8)
def token_letters(vocabulary: Vocabulary) -> npt.NDArray[np.float32]:
    """float32 (V,), read-only: how many letters each token writes.

    Boosts and rewards are measured by them, so that a name earns about the same,
    whatever pieces a vocabulary cuts it into. A token counts for six letters at most: there is one
    place in the audio where it can be right or wrong, however much it writes.
    """
    letters = np.array(
        [min(letters_of(surface), _MAX_OF_TOKEN) for surface in vocabulary.surfaces],
        dtype=np.float32,
    )
    letters.setflags(write=False)
    return letters


def letters_of(surface: str) -> float:
    """The letters of a token, whatever the script.

    A character that stands for a syllable or a word (Chinese, kana, Hangul) counts as three;
    marks that change a letter (accents, length, stress) do not count.
    """
    total = 0.0
    for character in surface:
        kind = unicodedata.category(character)
        if kind == "Lo" and character >= _FIRST_SYLLABLE:
            total += _LETTERS_OF_SYLLABLE
        elif kind[0] in "LN" and kind != "Lm":
            total += 1
    return total


def row_letters(encoded: EncodedEntities, vocabulary: Vocabulary) -> npt.NDArray[np.float32]:
    """float32 (rows,): the letters that each segmentation writes."""
    if not len(encoded):
        return np.zeros(0, dtype=np.float32)
    of_token = token_letters(vocabulary)
    letters: npt.NDArray[np.float32] = np.add.reduceat(
        of_token[encoded.values], encoded.row_splits[:-1]
    )
    return letters

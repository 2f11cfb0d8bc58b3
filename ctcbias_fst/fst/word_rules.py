"""Where words begin and end, as far as a graph of tokens has to know it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ctcbias_fst.text.vocabulary import Vocabulary

__all__ = ["STARTS_WORD", "WordRules"]

STARTS_WORD = "starts_word"
"""The attribute of arcs that start a word, if words are marked by separators."""

_APOSTROPHE_S = "'s"


@dataclass(frozen=True)
class WordRules:
    """Where words begin, as the graph needs to know it. Tokens are blank-first columns.

    Attributes:
      ends_word: bool (V,): tokens that end the word before them.
      ends_name: bool (V,): tokens that may follow a name: those, and punctuation.
      separator: the token between words, if words are marked by one.
      possessives: the token sequences that write 's at the end of a word.
    """

    ends_word: torch.Tensor
    ends_name: torch.Tensor
    separator: int | None
    possessives: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, vocabulary: Vocabulary, device: torch.device | str) -> WordRules:
        """The rules of a vocabulary whose blank is token 0."""
        assert vocabulary.blank_id == 0, "columns must be in blank-first order"
        continuation = {
            surface: token
            for token, surface in enumerate(vocabulary.surfaces)
            if surface and not vocabulary.ends_word[token] and not vocabulary.special[token]
        }
        written = _APOSTROPHE_S.upper() if vocabulary.upper_case else _APOSTROPHE_S
        pieces = [(written,), tuple(written)]
        return cls(
            ends_word=torch.from_numpy(vocabulary.ends_word.copy()).to(device),
            ends_name=torch.from_numpy(vocabulary.ends_word | vocabulary.closes_word).to(device),
            separator=vocabulary.separator_id,
            possessives=tuple(
                tuple(continuation[piece] for piece in split)
                for split in pieces
                if all(piece in continuation for piece in split)
            ),
        )

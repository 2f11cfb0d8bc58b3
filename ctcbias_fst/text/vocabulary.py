"""What the columns of a CTC model's log-probs stand for, and how they join into words."""

from __future__ import annotations

import hashlib
import itertools
import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ctcbias_fst.errors import ModelError
from ctcbias_fst.text.letters import Case, case_of, letter_forms
from ctcbias_fst.text.normalise import CharacterTable
from ctcbias_fst.text.scripts import apart, is_unspaced
from ctcbias_fst.text.text_files import PathLike, quoted
from ctcbias_fst.text.token_lists import checked_tokens, column_of, read_tokens
from ctcbias_fst.text.token_marks import (
    CONTINUATION,
    PREFIX,
    SEPARATORS,
    Blank,
    WordBoundary,
    byte_of,
    checked_boundary,
    fitted_columns,
    guess_boundary,
    joined,
    look_like_phones,
    unknown_column,
    unnamed_column,
    write_nothing,
)


@dataclass(frozen=True)
class Vocabulary:
    """What the columns of a CTC model's log-probs stand for.

    Attributes:
        tokens: one string per column.
        blank_id: the column of the CTC blank.
        boundary: how tokens join into words.
        unk_id: the column of the unknown token, if there is one.
        separator: the token between words, if it is none of the usual ones.

    Raises:
        ModelError: a token occurs twice, an id is out of range, or a vocabulary with
            separators lacks one.
    """

    tokens: tuple[str, ...]
    blank_id: int
    boundary: WordBoundary
    unk_id: int | None = None
    separator: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "tokens", checked_tokens(self.tokens))
        object.__setattr__(self, "boundary", checked_boundary(self.boundary))
        for name, what in (("blank_id", "blank id"), ("unk_id", "unknown-token id")):
            column = getattr(self, name)
            if column is None and name == "unk_id":
                continue
            object.__setattr__(self, name, column_of(column, what, len(self.tokens)))
        if len(self.index) != len(self.tokens):
            twice = next(token for token, n in Counter(self.tokens).items() if n > 1)
            places = [str(at) for at, token in enumerate(self.tokens) if token == twice]
            raise ModelError(
                f"token {twice!r} occurs more than once in the vocabulary, as the columns "
                f"{' and '.join(places[:3])}: every column needs a token of its own, in the "
                "model's order; name one that is never used '<unused>', say"
            )
        separated = self.boundary is WordBoundary.SEPARATOR
        if self.separator is not None and self.separator not in self.index:
            raise ModelError(f"the separator {quoted(self.separator)} is not in the vocabulary.")
        if self.separator is not None and not separated:
            raise ModelError(
                f"a separator goes with boundary=separator, not {self.boundary.value}."
            )
        if separated and self.separator_id is None:
            raise ModelError(
                f"no word separator in the vocabulary: expected one of {SEPARATORS}; "
                f"say separator=TOKEN if it is another, or boundary=prefix, continuation or none "
                f"if words are marked in another way."
            )

    def __repr__(self) -> str:
        blank = f"the blank is {self.blank_id} ({quoted(self.tokens[self.blank_id])})"
        return f"<Vocabulary of {self.size} tokens, {blank}, boundary {self.boundary.value}>"

    @property
    def size(self) -> int:
        """Number of tokens, the blank included."""
        return len(self.tokens)

    @cached_property
    def index(self) -> dict[str, int]:
        """Token to id."""
        return {token: i for i, token in enumerate(self.tokens)}

    @cached_property
    def separator_id(self) -> int | None:
        """The id of the token between words; None unless boundary is SEPARATOR."""
        if self.boundary is not WordBoundary.SEPARATOR:
            return None
        names = SEPARATORS if self.separator is None else (self.separator,)
        return next((self.index[s] for s in names if s in self.index), None)

    @cached_property
    def special(self) -> npt.NDArray[np.bool_]:
        """(V,) True where a token writes no letters: blank, unknown, ``<s>``, ``[CLS]``, …"""
        mask = np.array(write_nothing(self.tokens, joining=self._joining))
        mask[[self.blank_id] if self.unk_id is None else [self.blank_id, self.unk_id]] = True
        if self.separator_id is not None:
            mask[self.separator_id] = False
        return _readonly(mask)

    def _mask(self, columns: Iterable[bool], unk_id: int | None = None) -> npt.NDArray[np.bool_]:
        """(V,) those of the columns that are no special tokens, and the unknown one."""
        mask: npt.NDArray[np.bool_] = np.array(list(columns)) & ~self.special
        mask[[] if unk_id is None else [unk_id]] = True
        return _readonly(mask)

    @cached_property
    def silent(self) -> npt.NDArray[np.bool_]:
        """(V,) True for special tokens that stand for nothing that is said: all but the unknown."""
        mask = self.special.copy()
        mask[[self.blank_id] if self.unk_id is None else [self.blank_id, self.unk_id]] = False
        return _readonly(mask)

    @cached_property
    def starts_word(self) -> npt.NDArray[np.bool_]:
        """(V,) True where the token itself begins a word.

        With separators no token does so by itself (any may, after a separator): all False. Of
        scripts without spaces every token is a word of its own. The unknown token has no mark.
        """
        if self.boundary is WordBoundary.PREFIX:
            return self._mask(t.startswith(PREFIX) or is_unspaced(t) for t in self.tokens)
        if self.boundary is WordBoundary.SEPARATOR:
            return self._mask([False] * self.size)
        mark = CONTINUATION if self.boundary is WordBoundary.CONTINUATION else None
        return self._mask((not (mark and t.startswith(mark)) for t in self.tokens), self.unk_id)

    @cached_property
    def unspaced(self) -> npt.NDArray[np.bool_]:
        """(V,) True where the token begins with a letter of a script without spaces."""
        return self._mask(map(is_unspaced, self.surfaces))

    @cached_property
    def joins_letters(self) -> bool:
        """Whether tokens of other scripts that follow one another are one word.

        So it is where nothing marks words, since most tokens are of scripts without spaces.
        """
        return self.boundary is WordBoundary.NONE and 2 * self.unspaced.sum() > sum(
            map(bool, self.surfaces)
        )

    @cached_property
    def ends_word(self) -> npt.NDArray[np.bool_]:
        """(V,) True where the token ends the word before it: it begins one, or is the separator."""
        if self.separator_id is None:
            return self.starts_word
        return _readonly(np.arange(self.size) == self.separator_id)

    @cached_property
    def surfaces(self) -> tuple[str, ...]:
        """What each token writes, without its boundary mark; of special ones the unknown alone."""
        written = []
        for token, special in zip(self.tokens, self.special.tolist()):
            text, byte = token, byte_of(token)
            if special:
                text = ""
            elif byte is not None:
                # Joined with its neighbours it becomes a character (`joined`).
                text = bytes([byte]).decode("utf-8", "surrogateescape")
            elif self.boundary is WordBoundary.PREFIX:
                text = token.replace(PREFIX, "")
            elif self.boundary is WordBoundary.CONTINUATION and token.startswith(CONTINUATION):
                text = token[len(CONTINUATION) :]
            written.append(text)
        if self.separator_id is not None:
            written[self.separator_id] = ""
        if self.unk_id is not None:
            written[self.unk_id] = "<unk>"
        return tuple(written)

    @cached_property
    def letters(self) -> frozenset[str]:
        """The characters that tokens write."""
        special = self.special.tolist()
        return frozenset(c for t, mute in zip(self.surfaces, special) if not mute for c in t)

    def writing(self, text: str) -> str:
        """Text in the characters that the tokens have.

        Capitals where there are no others; what no token writes as the parts that it is made of
        (accents, jamo), or with another apostrophe.
        """
        if self.upper_case:
            eszett = next((c for c in "\u1e9e\u00df" if c in self.letters), "SS")
            upper = eszett.join(part.upper() for part in text.split("\u00df"))
            text = unicodedata.normalize("NFC", upper)
        elif text.isascii() and "'" not in text:
            return text
        return text.translate(self._writings)

    @cached_property
    def _writings(self) -> CharacterTable[str]:
        return letter_forms(self.letters)

    @cached_property
    def case(self) -> Case:
        """Which letters it can write."""
        return case_of(self.letters)

    @property
    def upper_case(self) -> bool:
        """True if the vocabulary can only write capitals (text is upper-cased for it)."""
        return self.case is Case.UPPER

    @cached_property
    def closes_word(self) -> npt.NDArray[np.bool_]:
        """(V,) True where the token is punctuation, which may follow a word at once."""
        return self._mask(
            bool(t) and not any(c.isalnum() or c == "'" for c in t) and t.isprintable()
            for t in self.surfaces
        )

    @cached_property
    def unnamed(self) -> tuple[int, ...]:
        """The last columns, if the vocabulary had no tokens for them."""
        last = range(self.size - 1, -1, -1)
        ids = itertools.takewhile(lambda i: self.tokens[i] == unnamed_column(i), last)
        return tuple(ids)[::-1]

    @property
    def glues_phones(self) -> bool:
        """Whether tokens that look like phones are written as words."""
        return self.boundary is WordBoundary.SEPARATOR and self.has_phones

    @property
    def has_phones(self) -> bool:
        """Whether tokens look like phones (ARPAbet, IPA), and not like pieces of words."""
        return not self._joining and look_like_phones(self.surfaces)

    @property
    def _joining(self) -> bool:
        return self.boundary in (WordBoundary.PREFIX, WordBoundary.CONTINUATION)

    @property
    def splits_words(self) -> bool:
        """Whether every token is a word, whatever its script: then `split` is needed."""
        return self.boundary is WordBoundary.NONE and not self.joins_letters

    def split(self, text: str) -> list[str]:
        """The words of normalised text as the vocabulary tells them apart."""
        if self.splits_words:
            return [character for character in text if not character.isspace()]
        if self.boundary is WordBoundary.PREFIX or self.joins_letters:
            text = apart(text)
        return text.split()

    @cached_property
    def digest(self) -> str:
        """SHA-256 over tokens, blank and boundary: the same on every machine."""
        content: list[Any] = [list(self.tokens), self.blank_id, self.boundary.value]
        if self.separator is not None:
            content.append(self.separator)
        return hashlib.sha256(json.dumps(content).encode("ascii")).hexdigest()

    @cached_property
    def blank_first_order(self) -> npt.NDArray[np.int64]:
        """(V,) columns in the order that puts the blank first: ``log_probs[..., order]``."""
        rest = [i for i in range(self.size) if i != self.blank_id]
        return _readonly(np.array([self.blank_id, *rest], dtype=np.int64))

    def blank_first(self) -> Vocabulary:
        """Return the vocabulary of ``log_probs[..., blank_first_order]``."""
        if self.blank_id == 0:
            return self
        order = self.blank_first_order.tolist()
        return Vocabulary(
            tokens=tuple(self.tokens[i] for i in order),
            blank_id=0,
            boundary=self.boundary,
            unk_id=None if self.unk_id is None else order.index(self.unk_id),
            separator=self.separator,
        )

    def word_spans(self, ids: Sequence[int]) -> list[tuple[int, int, str]]:
        """Return (start, end, word) for each word that `ids` write; end is exclusive.

        `ids` are tokens after CTC collapsing; special ones but the unknown write nothing.
        A span runs from the token that begins the word to the last one that writes a
        part of it.
        """
        spans: list[tuple[int, int, str]] = []
        parts: list[str] = []
        start: int | None = None
        end = 0
        for position, token in enumerate(ids):
            if self.ends_word[token]:
                if parts and start is not None:
                    spans.append((start, end, joined(parts)))
                parts = []
                start = None if token == self.separator_id else position
            text = self.surfaces[token]
            if text:
                start = position if start is None else start
                end = position + 1
                parts.append(text)
        if parts and start is not None:
            spans.append((start, end, joined(parts)))
        return spans

    def ids_to_words(self, ids: Sequence[int]) -> list[str]:
        """Return the words that `ids` (after CTC collapsing) write.

        Raises:
            ModelError: one is no column.
        """
        columns = [column_of(i, "id", self.size) for i in ids]
        return [word for _, _, word in self.word_spans(columns)]

    @classmethod
    def from_tokens(
        cls,
        tokens: Sequence[str] | Mapping[str, int],
        blank: Blank = None,
        boundary: WordBoundary | str | None = None,
        *,
        separator: str | None = None,
        columns: int | None = None,
    ) -> Vocabulary:
        """Make a vocabulary of a list of tokens, finding out what was not said.

        Args:
            tokens: one per column of the log-probs, in their order, or a mapping of each to its
                column, as Hugging Face's ``tokenizer.get_vocab()`` returns it.
            blank: the blank's token or id; ``len(tokens)`` appends one after the last
                column (NeMo's layout). By default the first of the usual names is taken.
            boundary: how words begin; by default told by the tokens.
            separator: the token between words, if it is none of the usual ones.
            columns: of the log-probs, if they are known. One or two more columns than tokens are
                tokens that a tokenizer added (``<s>``, ``</s>``), which write nothing; special
                tokens behind the last column are dropped. Either is warned of.

        Raises:
            ModelError: no blank or no word boundary can be found.
        """
        tokens = checked_tokens(tokens)
        if not tokens:
            raise ModelError("the vocabulary is empty.")
        tokens, blank_id = fitted_columns(tokens, blank, columns)
        unk_id = unknown_column(tokens)
        if boundary is not None:
            edge = checked_boundary(boundary, tokens)
        else:
            edge = guess_boundary(tokens) if separator is None else WordBoundary.SEPARATOR
        return cls(tokens, blank_id, edge, None if unk_id == blank_id else unk_id, separator)

    @classmethod
    def from_file(
        cls,
        path: PathLike,
        blank: Blank = None,
        boundary: WordBoundary | str | None = None,
        *,
        separator: str | None = None,
        language: str | None = None,
        columns: int | None = None,
    ) -> Vocabulary:
        """Read ``*.model`` (SentencePiece), ``*.json`` (list, or token to id) or ``tokens.txt``.

        A JSON object may have a vocabulary for each of several languages (MMS), of which
        `language` names one; tokens of an ``added_tokens.json`` beside it are added. A text file
        has one token a line, or ``token id`` as Kaldi and icefall write them;
        trailing ``#0``, ``#1``, … (disambiguation symbols) are no columns and are dropped.

        Raises:
            ModelError: the file is missing or malformed, ids have gaps; see `from_tokens`.
        """
        try:
            path = Path(path)
        except TypeError:
            raise ModelError(f"{quoted(path)} is no path of a vocabulary.") from None
        tokens = read_tokens(path, language)
        if path.suffix == ".model" and boundary is None and separator is None:
            boundary = WordBoundary.PREFIX
        try:
            return cls.from_tokens(tokens, blank, boundary, separator=separator, columns=columns)
        except ModelError as fault:
            raise ModelError(f"{path}: {fault}") from None


def _readonly(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    array.setflags(write=False)
    return array

"""What the columns of a CTC model's log-probs stand for, and how they join into words."""

from __future__ import annotations

import hashlib
import itertools
import json
import operator
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from numbers import Integral
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from ctcbias_fst.errors import InputError, ModelError, warn_caller
from ctcbias_fst.text.phones import PHONES
from ctcbias_fst.text.scripts import apart, is_unspaced
from ctcbias_fst.text.text_files import PathLike, is_named_pipe, quoted, read_lines

__all__ = [
    "Case",
    "Vocabulary",
    "WordBoundary",
    "byte_of",
    "checked_tokens",
    "joined",
    "load_sentencepiece",
]

Blank = int | str | None
_Scalar = TypeVar("_Scalar", bound=np.generic)

PREFIX = "\u2581"
CONTINUATION = "##"
_SEPARATORS = ("|", "<wb>", "<space>", "<sp>", " ")
_BLANKS = ("<blk>", "<blank>", "[blank]", "<eps>", "<pad>", "[PAD]", "")
_UNKNOWNS = ("<unk>", "[UNK]", "<UNK>", "\u2047")
_SPECIAL = re.compile(r"<.+>|\[.+\]")
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_MAX_ADDED = 2
"""Columns of the log-probs that a vocabulary may lack: ``<s>`` and ``</s>``. Where more are missing
it is likely to be another model's."""
_PHONES = 5
"""So many tokens of several letters, and as many that are phones, are no letters."""

APOSTROPHES = "'\u2019\u02bc\u05f3"
"""Those that vocabularies have."""

_SURROGATES = re.compile("[\ud800-\udfff]")
_DISAMBIGUATION = re.compile(r"#\d+")
_TOKEN_AND_ID = re.compile(r"(.*?)[ \t]+(\d{1,9})")
_PIECE_AND_SCORE = re.compile(r".*\t-?\d+(\.\d+)?(e-?\d+)?")


class _Writings(dict[int, str]):
    """How a character is written in some letters, found when it is asked for."""

    def __init__(self, letters: frozenset[str]) -> None:
        super().__init__()
        self._letters = letters

    def __missing__(self, code: int) -> str:
        character = chr(code)
        self[code] = next(filter(self._letters.issuperset, _written_as(character)), character)
        return self[code]


def _written_as(character: str) -> Iterator[str]:
    """A character, and what stands for it where there is no such letter."""
    yield character
    if character == "'":
        yield from APOSTROPHES
    parts = unicodedata.normalize("NFD", character)
    if parts != character:
        yield parts
        yield "".join(map(_alone, parts))


def _alone(jamo: str) -> str:
    """A jamo that joins into syllables as the letter that stands alone; others as they are."""
    kind, _, name = unicodedata.name(jamo, "").rpartition("SEONG ")
    if not kind.startswith("HANGUL J") and not kind.startswith("HANGUL CHO"):
        return jamo
    try:
        return unicodedata.lookup(f"HANGUL LETTER {name}")
    except KeyError:
        return jamo


class WordBoundary(Enum):
    """How the tokens of a vocabulary tell where a word begins."""

    PREFIX = "prefix"
    """A token that starts with U+2581 begins a word (SentencePiece)."""
    CONTINUATION = "continuation"
    """A token that starts with ``##`` continues one, any other begins one (wordpiece)."""
    SEPARATOR = "separator"
    """A token of its own, ``|`` or a space, stands between words (characters)."""
    NONE = "none"
    """Nothing does: every token is a word of its own (Chinese characters, kana)."""


class Case(Enum):
    """Which letters a vocabulary can write."""

    LOWER = "lower"
    UPPER = "upper"
    BOTH = "both"


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
        object.__setattr__(self, "blank_id", _column(self.blank_id, "blank id"))
        if self.unk_id is not None:
            object.__setattr__(self, "unk_id", _column(self.unk_id, "unknown-token id"))
        object.__setattr__(self, "boundary", _checked_boundary(self.boundary))
        if not 0 <= self.blank_id < len(self.tokens):
            raise ModelError(
                f"blank id {self.blank_id} is outside the vocabulary of {len(self.tokens)} tokens."
            )
        if self.unk_id is not None and not 0 <= self.unk_id < len(self.tokens):
            raise ModelError(
                f"unknown-token id {self.unk_id} is outside the vocabulary of "
                f"{len(self.tokens)} tokens."
            )
        if len(self.index) != len(self.tokens):
            seen: set[str] = set()
            twice = next(t for t in self.tokens if t in seen or seen.add(t))  # type: ignore[func-returns-value]
            raise ModelError(f"token {twice!r} occurs more than once in the vocabulary.")
        if self.separator is not None and self.separator not in self.index:
            raise ModelError(f"the separator {quoted(self.separator)} is not in the vocabulary.")
        if self.separator is not None and self.boundary is not WordBoundary.SEPARATOR:
            raise ModelError(
                f"a separator goes with boundary=separator, not {self.boundary.value}."
            )
        if self.boundary is WordBoundary.SEPARATOR and self.separator_id is None:
            raise ModelError(
                f"no word separator in the vocabulary: expected one of {_SEPARATORS}; "
                f"say separator=TOKEN if it is another, or boundary=prefix, continuation or none "
                f"if words are marked in another way."
            )

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
        names = _SEPARATORS if self.separator is None else (self.separator,)
        return next((self.index[s] for s in names if s in self.index), None)

    @cached_property
    def special(self) -> npt.NDArray[np.bool_]:
        """(V,) True where a token writes no text: blank, unknown, ``<s>``, ``[CLS]``, …"""
        mask = np.array(
            [(bool(_SPECIAL.fullmatch(t)) and not _BYTE.fullmatch(t)) or not t for t in self.tokens]
        )
        mask[self.blank_id] = True
        if self.unk_id is not None:
            mask[self.unk_id] = True
        if self.separator_id is not None:
            mask[self.separator_id] = False
        return _readonly(mask)

    @cached_property
    def silent(self) -> npt.NDArray[np.bool_]:
        """(V,) True for special tokens that stand for nothing that is said: all but the unknown."""
        mask = self.special.copy()
        mask[self.blank_id] = False
        if self.unk_id is not None:
            mask[self.unk_id] = False
        return _readonly(mask)

    @cached_property
    def starts_word(self) -> npt.NDArray[np.bool_]:
        """(V,) True where the token itself begins a word.

        With separators no token does so by itself (any may, after a separator): all False. Of
        scripts without spaces every token is a word of its own.
        """
        if self.boundary is WordBoundary.PREFIX:
            mask = np.array([t.startswith(PREFIX) or is_unspaced(t) for t in self.tokens])
        elif self.boundary is WordBoundary.NONE:
            mask = np.ones(self.size, dtype=bool)
        elif self.boundary is WordBoundary.CONTINUATION:
            mask = np.array([not t.startswith(CONTINUATION) for t in self.tokens])
        else:
            mask = np.zeros(self.size, dtype=bool)
        mask[self.special] = False
        return _readonly(mask)

    @cached_property
    def unspaced(self) -> npt.NDArray[np.bool_]:
        """(V,) True where the token begins with a letter of a script without spaces."""
        mask = np.array([is_unspaced(text) for text in self.surfaces])
        mask[self.special] = False
        return _readonly(mask)

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
        """(V,) True where taking the token ends the word before it.

        These are the tokens that begin a word, or the separator.
        """
        if self.separator_id is None:
            return self.starts_word
        mask = np.zeros(self.size, dtype=bool)
        mask[self.separator_id] = True
        return _readonly(mask)

    @cached_property
    def surfaces(self) -> tuple[str, ...]:
        """What each token writes, without its boundary mark; empty for special tokens."""
        written = []
        for token, special in zip(self.tokens, self.special.tolist()):
            text = token
            byte = byte_of(token)
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
    def _writings(self) -> _Writings:
        return _Writings(self.letters)

    @cached_property
    def case(self) -> Case:
        """Which letters it can write; both only if small and capital ones of one alphabet are there
        (a capital or two among small letters are other signs, as in phone alphabets)."""
        # Eszett has no capital of its own in most fonts: it stands among capitals.
        small = {c for c in self.letters if c.upper() != c and len(c.upper()) == 1}
        capital = {c for c in self.letters if c.lower() != c}
        if capital and not small:
            return Case.UPPER
        pairs = sum(c.lower() in small for c in capital)
        return Case.BOTH if 2 * pairs >= min(len(small), 6) else Case.LOWER

    @property
    def upper_case(self) -> bool:
        """True if the vocabulary can only write capitals (text is upper-cased for it)."""
        return self.case is Case.UPPER

    @cached_property
    def closes_word(self) -> npt.NDArray[np.bool_]:
        """(V,) True where the token is punctuation, which may follow a word at once."""
        mask = np.array(
            [
                bool(t) and not any(c.isalnum() or c == "'" for c in t) and t.isprintable()
                for t in self.surfaces
            ]
        )
        if self.separator_id is not None:
            mask[self.separator_id] = False
        mask[self.special] = False
        return _readonly(mask)

    @cached_property
    def unnamed(self) -> tuple[int, ...]:
        """The last columns, if the vocabulary had no tokens for them."""
        ids = itertools.takewhile(
            lambda i: self.tokens[i] == _unnamed(i), range(self.size - 1, -1, -1)
        )
        return tuple(ids)[::-1]

    @property
    def glues_phones(self) -> bool:
        """Whether tokens that look like phones are written as words."""
        return self.boundary is WordBoundary.SEPARATOR and self.has_phones

    @property
    def has_phones(self) -> bool:
        """Whether tokens look like phones (ARPAbet, IPA), and not like pieces of words."""
        if self.boundary not in (WordBoundary.SEPARATOR, WordBoundary.NONE):
            return False
        long = [text for text in self.surfaces if len(text) > 1]
        arpabet = sum(text.upper().rstrip("012") in PHONES for text in long)
        ipa = sum("\u0250" <= text <= "\u02af" for text in self.surfaces if len(text) == 1)
        return min(len(long), max(arpabet, ipa)) >= _PHONES

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

        `ids` are tokens after CTC collapsing; blanks and special tokens write nothing.
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
        """Return the words that `ids` (after CTC collapsing) write."""
        return [word for _, _, word in self.word_spans(ids)]

    @classmethod
    def from_tokens(
        cls,
        tokens: Sequence[str] | Mapping[str, int],
        blank: Blank = None,
        boundary: WordBoundary | None = None,
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
        columns = None if columns is None else _column(columns, "columns")
        if not tokens:
            raise ModelError("the vocabulary is empty.")
        if columns is not None and len(tokens) > columns:
            tokens = _without_unused(tokens, columns)
        blank_id = _find_blank(tokens, blank, columns)
        if blank_id == len(tokens):
            tokens = (*tokens, "<blk>")
        if columns is not None and len(tokens) < columns <= len(tokens) + _MAX_ADDED:
            added = [_unnamed(i) for i in range(len(tokens), columns)]
            warn_caller(
                f"the vocabulary has {len(tokens)} tokens, the log-probs {columns} columns: the "
                f"last {len(added)} are taken for special tokens that write nothing; if texts are "
                "wrong, these are the tokens of another model"
            )
            tokens = (*tokens, *added)
        unk_id = next((tokens.index(u) for u in _UNKNOWNS if u in tokens), None)
        if boundary is None:
            boundary = _guess_boundary(tokens) if separator is None else WordBoundary.SEPARATOR
        else:
            boundary = _fitting_boundary(boundary, tokens)
        return cls(
            tokens=tokens,
            blank_id=blank_id,
            boundary=boundary,
            unk_id=None if unk_id == blank_id else unk_id,
            separator=separator,
        )

    @classmethod
    def from_file(
        cls,
        path: PathLike,
        blank: Blank = None,
        boundary: WordBoundary | None = None,
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
        if path.suffix == ".model":
            _warn_of_language(path, language)
            return cls.from_sentencepiece(path, blank=blank, boundary=boundary, columns=columns)
        lines = _model_lines(path)
        if path.suffix == ".json":
            tokens = _json_tokens(lines, path, language)
        else:
            tokens = _text_tokens(lines, path)
            _warn_of_language(path, language)
        try:
            return cls.from_tokens(
                tokens, blank=blank, boundary=boundary, separator=separator, columns=columns
            )
        except ModelError as fault:
            raise ModelError(f"{path}: {fault}") from None

    @classmethod
    def from_sentencepiece(
        cls,
        path: PathLike,
        blank: Blank = None,
        boundary: WordBoundary | None = None,
        *,
        columns: int | None = None,
    ) -> Vocabulary:
        """Read the pieces of a SentencePiece model.

        Raises:
            ModelError: the file is missing or no SentencePiece model; see `from_tokens`.
        """
        processor = load_sentencepiece(path)
        pieces = [processor.id_to_piece(i) for i in range(processor.get_piece_size())]
        try:
            return cls.from_tokens(
                pieces, blank=blank, boundary=boundary or WordBoundary.PREFIX, columns=columns
            )
        except ModelError as fault:
            raise ModelError(f"{path}: {fault}") from None


def _unnamed(column: int) -> str:
    return f"<column {column}>"


def byte_of(token: str) -> int | None:
    """The byte that a token such as ``<0xC3>`` writes; None if it is no such token."""
    found = _BYTE.fullmatch(token)
    return int(found[1], 16) if found else None


def joined(parts: Sequence[str]) -> str:
    """The text of tokens, whose bytes (``<0xC3>``) become characters; one that is none, U+FFFD."""
    text = "".join(parts)
    if text.isascii():
        return text
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _readonly(array: npt.NDArray[_Scalar]) -> npt.NDArray[_Scalar]:
    array.setflags(write=False)
    return array


def _without_unused(tokens: tuple[str, ...], columns: int) -> tuple[str, ...]:
    """The tokens without special ones behind the last column, if that is all that is there."""
    behind = tokens[columns:]
    if not all(_SPECIAL.fullmatch(token) and not _BYTE.fullmatch(token) for token in behind):
        return tokens
    warn_caller(
        f"the vocabulary has {len(tokens)} tokens, the log-probs {columns} columns: the last "
        f"({', '.join(behind[:4])}) are left out"
    )
    return tokens[:columns]


def checked_tokens(tokens: Any, what: str = "token") -> tuple[str, ...]:
    """Tokens in the order of their columns, if they are strings that a file can hold.

    Args:
        tokens: a list, or a mapping of each token to its column.
        what: one of them is called in messages.

    Raises:
        ModelError: they are something else, or have no order; a column is missing or given twice.
    """
    if isinstance(tokens, Mapping):
        tokens = _in_order([(_text(token, what), i) for token, i in tokens.items()])
    elif isinstance(tokens, (str, bytes)) or not isinstance(tokens, (Sequence, np.ndarray)):
        unordered = isinstance(tokens, (Set, Iterator))
        raise ModelError(
            f"{what}s must be a list of strings in the order of the columns, or a mapping of token "
            f"to column, found {'a ' + type(tokens).__name__ if unordered else quoted(tokens)}."
        )
    return tuple(_text(token, f"{what} {column}") for column, token in enumerate(tokens))


def _text(token: Any, what: str) -> str:
    """A token, if it is a string that a file can hold."""
    if not isinstance(token, str):
        raise ModelError(f"{what} must be a string, found {quoted(token)}.")
    if not token.isascii() and _SURROGATES.search(token):
        raise ModelError(
            f"{what}, {quoted(token)}, has half of a character (a lone surrogate), which no file "
            "can hold."
        )
    return str(token)


def _column(number: Any, what: str) -> int:
    """A column as Python's int, whatever kind of whole number it is."""
    try:
        return operator.index(number)
    except TypeError:
        raise ModelError(f"{what} must be a whole number, found {quoted(number)}.") from None


def _checked_boundary(boundary: Any) -> WordBoundary:
    """A boundary, or the one of that name."""
    try:
        return WordBoundary(boundary)
    except ValueError:
        known = ", ".join(one.value for one in WordBoundary)
        raise ModelError(f"boundary must be one of {known}, found {quoted(boundary)}.") from None


def _find_blank(tokens: tuple[str, ...], blank: Blank, columns: int | None = None) -> int:
    if blank is not None and not isinstance(blank, str):
        blank = _column(blank, "blank")
        if not 0 <= blank <= len(tokens):
            raise ModelError(
                f"blank {blank} is out of range: the vocabulary has {len(tokens)} tokens "
                f"(use {len(tokens)} for a blank column after the last)."
            )
        return blank
    names = _BLANKS if blank is None else (blank,)
    for name in names:
        if name in tokens:
            return tokens.index(name)
    if blank is not None:
        raise ModelError(f"the blank {blank!r} is not in the vocabulary.")
    if columns == len(tokens) + 1:
        warn_caller(
            f"no blank among the {len(tokens)} tokens, and one column more in the log-probs: the "
            "last column is taken for it, as in NeMo's models"
        )
        return len(tokens)
    raise ModelError(
        f"no CTC blank found among the {len(tokens)} tokens (looked for "
        f"{', '.join(repr(b) for b in _BLANKS)}); say which token or id it is, or "
        f"{len(tokens)} for a blank column after the last."
    )


def _fitting_boundary(boundary: Any, tokens: tuple[str, ...]) -> WordBoundary:
    """A boundary that was said, if any token has its mark."""
    known = _checked_boundary(boundary)
    marks = {WordBoundary.PREFIX: PREFIX, WordBoundary.CONTINUATION: CONTINUATION}
    mark = marks.get(known)
    if mark is None or any(token.startswith(mark) for token in tokens):
        return known
    if known is WordBoundary.PREFIX and any(map(is_unspaced, tokens)):
        return known
    separators = [separator for separator in _SEPARATORS if separator in tokens]
    remedy = (
        f"boundary=separator: {separators[0]!r} parts words"
        if separators
        else ("boundary=separator with the token between words, or boundary=none if each is a word")
    )
    raise ModelError(
        f"boundary={known.value}: none of the {len(tokens)} tokens begins with {mark!r}, so words "
        f"could not be told apart; say {remedy}."
    )


def _guess_boundary(tokens: tuple[str, ...]) -> WordBoundary:
    if any(token.startswith(PREFIX) for token in tokens):
        return WordBoundary.PREFIX
    if any(token.startswith(CONTINUATION) and len(token) > 2 for token in tokens):
        return WordBoundary.CONTINUATION
    if any(separator in tokens for separator in _SEPARATORS):
        return WordBoundary.SEPARATOR
    written = [token for token in tokens if token and not _SPECIAL.fullmatch(token)]
    if 2 * sum(is_unspaced(token) for token in written) > len(written):
        return WordBoundary.NONE
    raise ModelError(
        "cannot tell how words begin: no token starts with U+2581 or '##', none is "
        "'|', '<wb>' or a space, and the script has spaces; say which token the separator is, or "
        "boundary=none if each token is to be written by itself, as phones are."
    )


def _model_lines(path: Path) -> list[str]:
    if is_named_pipe(path):
        raise ModelError(f"{path}: is a pipe; give a file.")
    try:
        return read_lines(path)
    except InputError as fault:
        raise ModelError(str(fault)) from None


def _json_tokens(lines: list[str], path: Path, language: str | None) -> list[str]:
    content = _json("\n".join(lines), path)
    if isinstance(content, list) and all(isinstance(token, str) for token in content):
        _warn_of_language(path, language)
        return list(content)
    if isinstance(content, dict) and content and all(type(v) is dict for v in content.values()):
        content = _of_language(content, path, language)
    else:
        _warn_of_language(path, language)
    if isinstance(content, dict) and all(type(i) is int for i in content.values()):
        beside = path.with_name("added_tokens.json")
        if beside != path and beside.is_file():
            added = _json("\n".join(_model_lines(beside)), beside)
            if not (isinstance(added, dict) and all(type(i) is int for i in added.values())):
                raise ModelError(f"{beside}: expected a JSON object of token to id.")
            content = {**content, **added}
        return _in_order(list(content.items()), path)
    raise ModelError(
        f"{path}: expected a JSON list of tokens, an object of token to id, or one of these for "
        "each language."
    )


def _warn_of_language(path: Path, language: str | None) -> None:
    """Say that a language chooses nothing where there is one vocabulary."""
    if language is not None:
        warn_caller(
            f"{path}: has one vocabulary, not one for each language: {quoted(language)} "
            "(--language) has no effect"
        )


def _json(text: str, path: Path) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as fault:
        raise ModelError(f"{path}, line {fault.lineno}: not valid JSON: {fault.msg}.") from None
    except (RecursionError, ValueError) as fault:
        raise ModelError(f"{path}: JSON that cannot be read: {str(fault)[:100]}.") from None


def _of_language(content: dict[str, Any], path: Path, language: str | None) -> Any:
    """One of the vocabularies of several languages."""
    if language is None and len(content) == 1:
        return next(iter(content.values()))
    if language not in content:
        known = ", ".join(sorted(content)[:20])
        said = "say which" if language is None else f"{language!r} is none of them"
        raise ModelError(
            f"{path}: has the vocabularies of {len(content)} languages ({known}); {said} "
            "(--language)."
        )
    return content[language]


def _text_tokens(lines: list[str], path: Path) -> list[str]:
    lines = [line for line in lines if line]
    scored = bool(lines) and all(_PIECE_AND_SCORE.fullmatch(line) for line in lines)
    if scored and (path.suffix == ".vocab" or not all(map(_TOKEN_AND_ID.fullmatch, lines))):
        raise ModelError(
            f"{path}: this is a SentencePiece .vocab (pieces and scores, no ids); give the "
            ".model beside it, or a list of tokens in the order of the columns."
        )
    matches = [_TOKEN_AND_ID.fullmatch(line) for line in lines]
    if not any(matches):
        return lines
    pairs = []
    for line, match in zip(lines, matches):
        if match is None:
            raise ModelError(f"{path}: {quoted(line)} has no id, but other lines do ('token id').")
        # A line of only white space and an id stands for the space token.
        pairs.append((match[1] or " ", int(match[2])))
    return _in_order(pairs, path)


def _in_order(pairs: list[tuple[str, Any]], path: Path | None = None) -> list[str]:
    """The tokens of pairs (token, id), of a file or in memory, in the order of their ids."""
    where = "" if path is None else f"{path}: "
    for token, i in pairs:
        if isinstance(i, (bool, np.bool_)) or not isinstance(i, Integral):
            raise ModelError(
                f"{where}the id of {quoted(token)} must be a whole number, found {quoted(i)}."
            )
    pairs = sorted(pairs, key=lambda pair: int(pair[1]))
    while pairs and _DISAMBIGUATION.fullmatch(pairs[-1][0]):
        pairs.pop()
    for expected, (token, i) in enumerate(pairs):
        if i != expected:
            raise ModelError(
                f"{where}ids must run from 0 without gaps or repeats, "
                f"but {quoted(token)} has {quoted(i)} where {expected} was expected."
            )
    return [token for token, _ in pairs]


def load_sentencepiece(path: PathLike) -> Any:
    """Return the ``SentencePieceProcessor`` of a model file.

    Raises:
        ModelError: the file is missing or no SentencePiece model.
    """
    import sentencepiece  # noqa: PLC0415  (slow to import, not needed for token lists)

    path = Path(path)
    if not path.is_file():
        raise ModelError(f"{path}: no such tokenizer file.")
    try:
        processor = sentencepiece.SentencePieceProcessor(model_proto=path.read_bytes())
        for piece in range(processor.get_piece_size()):
            processor.id_to_piece(piece)  # damaged ones are no UTF-8
    except (RuntimeError, OSError, ValueError) as fault:
        said = (str(fault).strip().splitlines() or [type(fault).__name__])[0][:200]
        raise ModelError(f"{path}: not a SentencePiece model: {said}") from None
    return processor

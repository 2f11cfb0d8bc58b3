"""What the columns of a CTC model's log-probs stand for, and how they join into words."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Any, Optional, TypeVar, Union

import numpy as np
import numpy.typing as npt

from ctcbias_fst.errors import InputError, ModelError
from ctcbias_fst.text.files import PathLike, read_lines

__all__ = ["Vocabulary", "WordBoundary", "load_sentencepiece"]

Blank = Optional[Union[int, str]]
_Scalar = TypeVar("_Scalar", bound=np.generic)

PREFIX = "\u2581"
CONTINUATION = "##"
_SEPARATORS = ("|", " ", "<space>")
_BLANKS = ("<blk>", "<blank>", "[blank]", "<eps>", "<pad>", "[PAD]", "")
_UNKNOWNS = ("<unk>", "[UNK]", "<UNK>", "\u2047")
_SPECIAL = re.compile(r"<.+>|\[.+\]")
_DISAMBIGUATION = re.compile(r"#\d+")
_TOKEN_AND_ID = re.compile(r"(.*?)[ \t]+(\d+)")


class WordBoundary(Enum):
    """How the tokens of a vocabulary tell where a word begins."""

    PREFIX = "prefix"
    """A token that starts with U+2581 begins a word (SentencePiece)."""
    CONTINUATION = "continuation"
    """A token that starts with ``##`` continues one, any other begins one (wordpiece)."""
    SEPARATOR = "separator"
    """A token of its own, ``|`` or a space, stands between words (characters)."""


@dataclass(frozen=True)
class Vocabulary:
    """What the columns of a CTC model's log-probs stand for.

    Attributes:
        tokens: one string per column.
        blank_id: the column of the CTC blank.
        boundary: how tokens join into words.
        unk_id: the column of the unknown token, if there is one.

    Raises:
        ModelError: a token occurs twice, an id is out of range, or a vocabulary with
            separators lacks one.
    """

    tokens: tuple[str, ...]
    blank_id: int
    boundary: WordBoundary
    unk_id: int | None = None

    def __post_init__(self) -> None:
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
        if self.boundary is WordBoundary.SEPARATOR and self.separator_id is None:
            raise ModelError(
                f"no word separator in the vocabulary: expected one of {_SEPARATORS}; "
                f"say boundary=prefix or continuation if words are marked in another way."
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
        return next((self.index[s] for s in _SEPARATORS if s in self.index), None)

    @cached_property
    def special(self) -> npt.NDArray[np.bool_]:
        """(V,) True where a token writes no text: blank, unknown, ``<s>``, ``[CLS]``, …"""
        mask = np.array([bool(_SPECIAL.fullmatch(t)) or not t for t in self.tokens])
        mask[self.blank_id] = True
        if self.unk_id is not None:
            mask[self.unk_id] = True
        if self.separator_id is not None:
            mask[self.separator_id] = False
        return _readonly(mask)

    @cached_property
    def starts_word(self) -> npt.NDArray[np.bool_]:
        """(V,) True where the token itself begins a word.

        With separators no token does so by itself (any may, after a separator): all False.
        """
        if self.boundary is WordBoundary.PREFIX:
            mask = np.array([t.startswith(PREFIX) for t in self.tokens])
        elif self.boundary is WordBoundary.CONTINUATION:
            mask = np.array([not t.startswith(CONTINUATION) for t in self.tokens])
        else:
            mask = np.zeros(self.size, dtype=bool)
        mask[self.special] = False
        return _readonly(mask)

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
            if special:
                text = ""
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
    def upper_case(self) -> bool:
        """True if the vocabulary can only write capitals (text is upper-cased for it)."""
        letters = "".join(
            t for t, special in zip(self.surfaces, self.special.tolist()) if not special
        )
        return letters.upper() == letters and letters.lower() != letters

    @cached_property
    def digest(self) -> str:
        """SHA-256 over tokens, blank and boundary: the same on every machine."""
        content = [list(self.tokens), self.blank_id, self.boundary.value]
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
                    spans.append((start, end, "".join(parts)))
                parts = []
                start = None if token == self.separator_id else position
            text = self.surfaces[token]
            if text:
                start = position if start is None else start
                end = position + 1
                parts.append(text)
        if parts and start is not None:
            spans.append((start, end, "".join(parts)))
        return spans

    def ids_to_words(self, ids: Sequence[int]) -> list[str]:
        """Return the words that `ids` (after CTC collapsing) write."""
        return [word for _, _, word in self.word_spans(ids)]

    @classmethod
    def from_tokens(
        cls, tokens: Sequence[str], blank: Blank = None, boundary: WordBoundary | None = None
    ) -> Vocabulary:
        """Make a vocabulary of a list of tokens, finding out what was not said.

        Args:
            tokens: one per column of the log-probs.
            blank: the blank's token or id; ``len(tokens)`` appends one after the last
                column (NeMo's layout). By default the first of the usual names is taken.
            boundary: how words begin; by default told by the tokens.

        Raises:
            ModelError: no blank or no word boundary can be found.
        """
        tokens = tuple(tokens)
        if not tokens:
            raise ModelError("the vocabulary is empty.")
        blank_id = _find_blank(tokens, blank)
        if blank_id == len(tokens):
            tokens = (*tokens, "<blk>")
        unk_id = next((tokens.index(u) for u in _UNKNOWNS if u in tokens), None)
        return cls(
            tokens=tokens,
            blank_id=blank_id,
            boundary=boundary or _guess_boundary(tokens),
            unk_id=None if unk_id == blank_id else unk_id,
        )

    @classmethod
    def from_file(
        cls, path: PathLike, blank: Blank = None, boundary: WordBoundary | None = None
    ) -> Vocabulary:
        """Read ``*.model`` (SentencePiece), ``*.json`` (list, or token to id) or ``tokens.txt``.

        A text file has one token a line, or ``token id`` as Kaldi and icefall write them;
        trailing ``#0``, ``#1``, … (disambiguation symbols) are no columns and are dropped.

        Raises:
            ModelError: the file is missing or malformed, ids have gaps; see `from_tokens`.
        """
        path = Path(path)
        if path.suffix == ".model":
            return cls.from_sentencepiece(path, blank=blank, boundary=boundary)
        lines = _model_lines(path)
        tokens = _json_tokens(lines, path) if path.suffix == ".json" else _text_tokens(lines, path)
        try:
            return cls.from_tokens(tokens, blank=blank, boundary=boundary)
        except ModelError as fault:
            raise ModelError(f"{path}: {fault}") from None

    @classmethod
    def from_sentencepiece(
        cls, path: PathLike, blank: Blank = None, boundary: WordBoundary | None = None
    ) -> Vocabulary:
        """Read the pieces of a SentencePiece model.

        Raises:
            ModelError: the file is missing or no SentencePiece model; see `from_tokens`.
        """
        processor = load_sentencepiece(path)
        pieces = [processor.id_to_piece(i) for i in range(processor.get_piece_size())]
        try:
            return cls.from_tokens(pieces, blank=blank, boundary=boundary or WordBoundary.PREFIX)
        except ModelError as fault:
            raise ModelError(f"{path}: {fault}") from None


def _readonly(array: npt.NDArray[_Scalar]) -> npt.NDArray[_Scalar]:
    array.setflags(write=False)
    return array


def _find_blank(tokens: tuple[str, ...], blank: Blank) -> int:
    if isinstance(blank, int):
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
    raise ModelError(
        f"no CTC blank found among the {len(tokens)} tokens (looked for "
        f"{', '.join(repr(b) for b in _BLANKS)}); say which token or id it is, or "
        f"{len(tokens)} for a blank column after the last."
    )


def _guess_boundary(tokens: tuple[str, ...]) -> WordBoundary:
    if any(token.startswith(PREFIX) for token in tokens):
        return WordBoundary.PREFIX
    if any(token.startswith(CONTINUATION) and len(token) > 2 for token in tokens):
        return WordBoundary.CONTINUATION
    if any(separator in tokens for separator in _SEPARATORS):
        return WordBoundary.SEPARATOR
    raise ModelError(
        "cannot tell how words begin: no token starts with U+2581 or '##', and none is "
        "'|' or a space; say boundary=prefix, continuation or separator."
    )


def _model_lines(path: Path) -> list[str]:
    try:
        return read_lines(path)
    except InputError as fault:
        raise ModelError(str(fault)) from None


def _json_tokens(lines: list[str], path: Path) -> list[str]:
    try:
        content = json.loads("\n".join(lines))
    except json.JSONDecodeError as fault:
        raise ModelError(f"{path}, line {fault.lineno}: not valid JSON: {fault.msg}.") from None
    if isinstance(content, list) and all(isinstance(token, str) for token in content):
        return list(content)
    if isinstance(content, dict) and all(type(i) is int for i in content.values()):
        return _in_order([(token, i) for token, i in content.items()], path)
    raise ModelError(f"{path}: expected a JSON list of tokens or an object of token to id.")


def _text_tokens(lines: list[str], path: Path) -> list[str]:
    lines = [line for line in lines if line]
    matches = [_TOKEN_AND_ID.fullmatch(line) for line in lines]
    if not any(matches):
        return lines
    pairs = []
    for line, match in zip(lines, matches):
        if match is None:
            raise ModelError(f"{path}: {line!r} has no id, but other lines do ('token id').")
        # A line of only white space and an id stands for the space token.
        pairs.append((match[1] or " ", int(match[2])))
    return _in_order(pairs, path)


def _in_order(pairs: list[tuple[str, int]], path: Path) -> list[str]:
    pairs = sorted(pairs, key=lambda pair: pair[1])
    while pairs and _DISAMBIGUATION.fullmatch(pairs[-1][0]):
        pairs.pop()
    for expected, (token, i) in enumerate(pairs):
        if i != expected:
            raise ModelError(
                f"{path}: ids must run from 0 without gaps or repeats, "
                f"but {token!r} has {i} where {expected} was expected."
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
        return sentencepiece.SentencePieceProcessor(model_proto=path.read_bytes())
    except (RuntimeError, OSError, ValueError) as fault:
        raise ModelError(f"{path}: not a SentencePiece model: {fault}") from None

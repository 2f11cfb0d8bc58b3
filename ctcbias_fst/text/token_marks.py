"""What tokens tell by their form: the blank, special ones, bytes, and where words begin."""

from __future__ import annotations

import itertools
import operator
import re
from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Any

from ctcbias_fst.errors import ModelError, warn_caller
from ctcbias_fst.text.phones import PHONES
from ctcbias_fst.text.scripts import is_unspaced
from ctcbias_fst.text.text_files import counted, first_few, quoted
from ctcbias_fst.text.token_lists import column_of

Blank = int | str | None

PREFIX = "\u2581"
CONTINUATION = "##"
SEPARATORS = ("|", "<wb>", "<space>", "<sp>", " ")
_SILENCES = frozenset(
    {"|", PREFIX, " ", "_", "wb", "space", "sil", "ssil", "sp", "spn", "nsn", "pau", "h#", "#h"}
)
"""Symbols between words, of pauses and of noise, in the phone sets of toolkits, without brackets.
"""
_UNKNOWN = re.compile(r"[<\[]\|?unk(nown)?\|?[>\]]|\u2047", re.IGNORECASE)
_BLANKS = ("<blk>", "<blank>", "[blank]", "<eps>", "<pad>", "[PAD]", "")
_SURE_BLANKS = _BLANKS[:3]
"""Names of nothing else."""

_SPECIAL = re.compile(r"<.+>|\[.+\]")
BYTE_LEVEL = "\u0120"
"""Stands for the space before a word in byte-level BPE."""
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_PHONES = 5
"""So many tokens of several letters, and as many that are phones, are no letters."""

_MAX_ADDED = 2
"""Columns of the log-probs that a vocabulary may lack: ``<s>`` and ``</s>``. Where more are missing
it is likely to be another model's."""


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


def is_special(token: str) -> bool:
    """Whether a token has the form of those that write no text: ``<s>``, ``[CLS]``, …"""
    return not token or (bool(_SPECIAL.fullmatch(token)) and byte_of(token) is None)


def is_byte_level(tokens: Iterable[str]) -> bool:
    """Whether words begin with the mark of byte-level BPE."""
    return sum(len(token) > 1 and token.startswith(BYTE_LEVEL) for token in tokens) > 1


def unknown_column(tokens: Sequence[str]) -> int | None:
    """The first column of what a model writes for letters that no token writes: ``<unk>``,
    ``[UNK]``, U+2047, …"""
    return next((i for i, one in enumerate(tokens) if _UNKNOWN.fullmatch(one)), None)


def is_silence(token: str) -> bool:
    """Whether a token of a phone model stands for no phone, but for a pause or a word's end:
    ``<wb>``, ``SIL``, ``sp``, ``pau``, …"""
    bare = token[1:-1] if _SPECIAL.fullmatch(token) else token
    return bare.casefold() in _SILENCES


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


def look_like_phones(texts: Iterable[str]) -> bool:
    """Whether many tokens are phones (ARPAbet, IPA)."""
    texts = list(texts)
    long = [text for text in texts if len(text) > 1]
    arpabet = sum(text.upper().rstrip("012") in PHONES for text in long)
    ipa = sum("\u0250" <= text <= "\u02af" for text in texts if len(text) == 1)
    return min(len(long), max(arpabet, ipa)) >= _PHONES


def write_nothing(tokens: Sequence[str], *, joining: bool) -> list[bool]:
    """Which tokens have the form of those that write no text; of phones, those of silence, too.

    Args:
        tokens: of a vocabulary.
        joining: whether these are pieces of words, and so no phones.
    """
    special = list(map(is_special, tokens))
    if joining or not look_like_phones(itertools.compress(tokens, map(operator.not_, special))):
        return special
    return [mute or is_silence(token) for mute, token in zip(special, tokens)]


def unnamed_column(column: int) -> str:
    """The token of a column for which the vocabulary has none."""
    return f"<column {column}>"


def fitted_columns(
    tokens: tuple[str, ...], blank: Blank, columns: int | None = None
) -> tuple[tuple[str, ...], int]:
    """Return a token for each column of the log-probs, and which is the blank.

    Special tokens behind the last column are dropped, up to two columns more than tokens get
    names; either is warned of.

    Args:
        tokens: as they are known.
        blank: what was said of the blank; ``len(tokens)`` is a column after the last.
        columns: of the log-probs, if they are known.

    Raises:
        ModelError: there is no blank.
    """
    columns = len(tokens) if columns is None else column_of(columns, "columns")
    has = (
        f"the vocabulary has {counted(len(tokens), 'token')}, the log-probs "
        f"{counted(columns, 'column')}"
    )
    unused = tokens[columns:]
    if unused and all(token and is_special(token) for token in unused):
        are = "is" if len(unused) == 1 else "are"
        warn_caller(f"{has}: the last ({first_few(unused, 4)}) {are} left out")
        tokens = tokens[:columns]
    blank_id = _find_blank(tokens, blank, columns)
    if blank_id == len(tokens):
        tokens = (*tokens, "<blk>")
    added = [unnamed_column(i) for i in range(len(tokens), columns)]
    if 0 < len(added) <= _MAX_ADDED:
        last = "the last one is taken for a special token that writes"
        if len(added) > 1:
            last = f"the last {len(added)} are taken for special tokens that write"
        warn_caller(
            f"{has}: {last} nothing; if texts are wrong, "
            f"{behind_the_last(tokens, blank_id, len(added))}these are the tokens of another model"
        )
        tokens = (*tokens, *added)
    return tokens, blank_id


def behind_the_last(tokens: Sequence[str], blank_id: int, added: int) -> str:
    """A hint for one column more than tokens, whose blank may stand there as NeMo's does, though
    a token looks like one."""
    if added != 1 or tokens[blank_id] in _SURE_BLANKS:
        return ""
    return (
        f"that may be the blank, as of NeMo's models (blank={len(tokens)}, --blank "
        f"{len(tokens)}), and not {quoted(tokens[blank_id])}; or else "
    )


def _find_blank(tokens: tuple[str, ...], blank: Blank, columns: int) -> int:
    count = len(tokens)
    if blank is not None and not isinstance(blank, str):
        blank = column_of(blank, "blank")
        if not 0 <= blank <= count:
            raise ModelError(
                f"blank {blank} is out of range: the vocabulary has {count} tokens "
                f"(use {count} for a blank column after the last)."
            )
        _tell_other_blank(tokens, blank)
        return blank
    for name in _BLANKS if blank is None else (blank,):
        if name in tokens:
            found = tokens.index(name)
            _tell_other_blank(tokens, found)
            return found
    if blank is not None:
        raise ModelError(f"the blank {blank!r} is not in the vocabulary.")
    if columns == count + 1:
        warn_caller(
            f"no blank among the {count} tokens, and one column more in the log-probs: the "
            "last column is taken for it, as in NeMo's models"
        )
        return count
    raise ModelError(
        f"no CTC blank found among the {count} tokens (looked for "
        f"{', '.join(map(repr, _BLANKS))}); say which token or id it is, or "
        f"{count} for a blank column after the last."
    )


def _tell_other_blank(tokens: Sequence[str], blank: int) -> None:
    """Warn of a token that is the blank by its name, where one that writes something is taken."""
    named = next((i for i, one in enumerate(tokens) if one in _SURE_BLANKS), blank)
    if named == blank or (blank < len(tokens) and is_special(tokens[blank])):
        return
    column = f"{blank} ({quoted(tokens[blank])})" if blank < len(tokens) else f"{blank}, the last,"
    warn_caller(
        f"column {column} is taken for the blank, as was said, though column {named} is "
        f"{quoted(tokens[named])}: if that is the blank, leave it out or say {named} (blank=, "
        "--blank)"
    )


def checked_boundary(boundary: Any, tokens: Sequence[str] | None = None) -> WordBoundary:
    """A boundary, or the one of that name; if any of the tokens has its mark.

    Raises:
        ModelError: it is none, or tells no words of these tokens apart.
    """
    try:
        known = WordBoundary(boundary)
    except ValueError:
        names = ", ".join(one.value for one in WordBoundary)
        raise ModelError(f"boundary must be one of {names}, found {quoted(boundary)}.") from None
    marks = {WordBoundary.PREFIX: PREFIX, WordBoundary.CONTINUATION: CONTINUATION}
    mark = marks.get(known)
    if tokens is None or mark is None or any(token.startswith(mark) for token in tokens):
        return known
    if known is WordBoundary.PREFIX and any(map(is_unspaced, tokens)):
        return known
    separator = next((separator for separator in SEPARATORS if separator in tokens), None)
    remedy = (
        "boundary=separator with the token between words, or boundary=none if each is a word"
        if separator is None
        else f"boundary=separator: {separator!r} parts words"
    )
    raise ModelError(
        f"boundary={known.value}: none of the {len(tokens)} tokens begins with {mark!r}, so words "
        f"could not be told apart; say {remedy}."
    )


class UnknownBoundaryError(ModelError):
    """Tokens do not tell how words begin.

    Args:
        remedy: what can be done about it.
    """

    def __init__(self, remedy: str) -> None:
        super().__init__(
            "cannot tell how words begin: no token starts with U+2581 or '##', none is '|', "
            f"'<wb>' or a space, and the script has spaces; {remedy}"
        )


def boundary_of_model(tokens: Sequence[str]) -> WordBoundary:
    """How words begin, by the tokens of a model that says what they are; phones stand alone.

    Raises:
        ModelError: they do not tell.
    """
    try:
        return guess_boundary(tokens)
    except UnknownBoundaryError:
        if look_like_phones(tokens):
            return WordBoundary.NONE
        raise


def guess_boundary(tokens: Sequence[str]) -> WordBoundary:
    """How words begin, by the tokens.

    Raises:
        UnknownBoundaryError: they do not tell.
        ModelError: they tell it in a way that is not read.
    """
    if any(token.startswith(PREFIX) for token in tokens):
        return WordBoundary.PREFIX
    if any(token.startswith(CONTINUATION) and len(token) > 2 for token in tokens):
        return WordBoundary.CONTINUATION
    if is_byte_level(tokens):
        raise ModelError(
            f"words begin with {BYTE_LEVEL!r}, as in byte-level BPE: give the tokens as they are "
            f"read, with {PREFIX!r} in its place, which for ASCII are "
            f"[token.replace({BYTE_LEVEL!r}, {PREFIX!r}) for token in tokens]."
        )
    if any(separator in tokens for separator in SEPARATORS):
        return WordBoundary.SEPARATOR
    written = [token for token in tokens if token and not _SPECIAL.fullmatch(token)]
    if 2 * sum(map(is_unspaced, written)) > len(written):
        return WordBoundary.NONE
    raise UnknownBoundaryError(
        "say which token the separator is, or write | in its place, or say boundary=none if each "
        "token is to be written by itself, as phones are."
    )

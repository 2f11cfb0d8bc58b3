"""The tokens of a model in the order of its columns: of files, or as they are handed in."""

from __future__ import annotations

import json
import operator
import os
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

from ctcbias_fst.errors import InputError, MissingDependencyError, ModelError, warn_caller
from ctcbias_fst.packages import package_fault
from ctcbias_fst.text.text_files import SURROGATES, PathLike, is_named_pipe, quoted, read_lines

_DISAMBIGUATION = re.compile(r"#\d+")
_TOKEN_AND_ID = re.compile(r"(.*?)[ \t]+(\d{1,9})")
_PIECE_AND_SCORE = re.compile(r".*\t-?\d+(\.\d+)?(e-?\d+)?")


def checked_tokens(tokens: Any, what: str = "token") -> tuple[str, ...]:
    """Tokens in the order of their columns, if they are strings that a file can hold.

    Args:
        tokens: a list, or a mapping of each token to its column.
        what: one of them is called in messages.

    Raises:
        ModelError: they are something else, or have no order; a column is missing or given twice.
    """
    if isinstance(tokens, Mapping):
        if tokens and all(isinstance(i, Integral) for i in tokens):
            raise ModelError(
                f"{what}s are mapped the wrong way round, found {quoted(dict(tokens), 60)}: a "
                f"mapping is of {what} to column."
            )
        tokens = _in_order([(_text(token, what), i) for token, i in tokens.items()])
    elif isinstance(tokens, (str, bytes)) or not isinstance(tokens, (Sequence, np.ndarray)):
        unordered = isinstance(tokens, (Set, Iterator))
        file = isinstance(tokens, (str, os.PathLike))
        raise ModelError(
            f"{what}s must be a list of strings in the order of the columns, or a mapping of token "
            f"to column, found {'a ' + type(tokens).__name__ if unordered else quoted(tokens)}"
            + ("; a file is read by Vocabulary.from_file." if file else ".")
        )
    return tuple(_text(token, f"{what} {column}") for column, token in enumerate(tokens))


def _text(token: Any, what: str) -> str:
    """A token, if it is a string that a file can hold."""
    if not isinstance(token, str):
        raise ModelError(f"{what} must be a string, found {quoted(token)}.")
    if not token.isascii() and SURROGATES.search(token):
        raise ModelError(
            f"{what}, {quoted(token)}, has half of a character (a lone surrogate), which no file "
            "can hold."
        )
    return str(token)


def column_of(number: Any, what: str, size: int | None = None) -> int:
    """A column as Python's int, whatever kind of whole number it is; of ``size``, if that is said.

    Raises:
        ModelError: it is none.
    """
    try:
        if isinstance(number, bool):
            raise TypeError
        column = operator.index(number)
    except TypeError:
        raise ModelError(f"{what} must be a whole number, found {quoted(number)}.") from None
    if size is not None and not 0 <= column < size:
        raise ModelError(f"{what} {column} is outside the vocabulary of {size} tokens.")
    return column


def read_tokens(path: Path, language: str | None = None, *, warn: bool = True) -> list[str]:
    """The tokens of a file; see `Vocabulary.from_file` for its forms.

    Args:
        warn: of a language where there are not several.

    Raises:
        ModelError: the file is missing or malformed, ids have gaps, or no vocabulary in it is of
            this language.
    """
    chosen = False
    if path.suffix == ".model":
        tokens = load_sentencepiece(path)[1]
    elif path.suffix == ".json":
        content = _json(path)
        model = content.get("model") if isinstance(content, dict) else None
        if isinstance(model, dict) and "vocab" in model:
            raise ModelError(
                f"{path}: this is a tokenizer.json of Hugging Face; give the model's vocab.json, "
                "or in Python its tokens as tokenizer.get_vocab() returns them."
            )
        if isinstance(content, dict) and content and all(type(v) is dict for v in content.values()):
            content, chosen = _of_language(content, path, language), True
        tokens = _json_tokens(content, path)
    else:
        tokens = _text_tokens([line for line in _lines(path) if line], path)
    if warn and language is not None and not chosen:
        warn_caller(
            f"{path}: has one vocabulary, not one for each language: {quoted(language)} "
            "(--language) has no effect"
        )
    return tokens


def _lines(path: Path) -> list[str]:
    if is_named_pipe(path):
        raise ModelError(f"{path}: is a pipe; give a file.")
    try:
        return read_lines(path)
    except InputError as fault:
        raise ModelError(str(fault)) from None


def _json(path: Path) -> Any:
    try:
        return json.loads("\n".join(_lines(path)))
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


def _json_tokens(content: Any, path: Path) -> list[str]:
    if isinstance(content, list) and all(isinstance(token, str) for token in content):
        return content
    if not _has_ids(content):
        raise ModelError(
            f"{path}: expected a JSON list of tokens, an object of token to id, or one of these "
            "for each language."
        )
    beside = path.with_name("added_tokens.json")
    if beside != path and beside.is_file():
        added = _json(beside)
        if not _has_ids(added):
            raise ModelError(f"{beside}: expected a JSON object of token to id.")
        content = {**content, **added}
    return _in_order(list(content.items()), path)


def _has_ids(content: Any) -> bool:
    return isinstance(content, dict) and all(type(i) is int for i in content.values())


def _text_tokens(lines: list[str], path: Path) -> list[str]:
    scored = bool(lines) and all(map(_PIECE_AND_SCORE.fullmatch, lines))
    matches = list(map(_TOKEN_AND_ID.fullmatch, lines))
    if scored and (path.suffix == ".vocab" or not all(matches)):
        raise ModelError(
            f"{path}: this is a SentencePiece .vocab (pieces and scores, no ids); give the "
            ".model beside it, or a list of tokens in the order of the columns."
        )
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


def load_sentencepiece(path: PathLike) -> tuple[Any, list[str]]:
    """Return the ``SentencePieceProcessor`` of a model file, and its pieces.

    Raises:
        ModelError: the file is missing or no SentencePiece model.
        MissingDependencyError: sentencepiece is not installed.
    """
    try:
        import sentencepiece  # noqa: PLC0415  (slow to import, not needed for token lists)
    except ImportError as error:
        told = package_fault(error) or f"{error}: pip install sentencepiece"
        raise MissingDependencyError(told) from error
    path = Path(path)
    if not path.is_file():
        raise ModelError(f"{path}: no such tokenizer file.")
    try:
        processor = sentencepiece.SentencePieceProcessor(model_proto=path.read_bytes())
        # Damaged pieces are no UTF-8.
        return processor, [processor.id_to_piece(i) for i in range(processor.get_piece_size())]
    except (RuntimeError, OSError, ValueError) as fault:
        said = (str(fault).strip().splitlines() or [type(fault).__name__])[0][:200]
        raise ModelError(f"{path}: not a SentencePiece model: {said}") from None

"""ARPA files: reading any that is well formed, and writing them.

Log-probabilities in the file are decimal, here natural. A model may lack the context or the
suffix of an n-gram (pruned ones do); these are added with the probability that backing off
gives them, which changes no score.
"""

from __future__ import annotations

import gzip
import itertools
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ctcbias_fst.errors import LanguageModelError
from ctcbias_fst.files import atomic_path
from ctcbias_fst.ngram.ngram import BEGIN, END, FIRST_SYMBOL, Ngram, Order, find_rows
from ctcbias_fst.text.text_files import quoted, read_lines

BEGIN_WORD, END_WORD = "<s>", "</s>"

_LN10 = math.log(10.0)
_NEVER = -99.0
_BINARY = b"mmap lm http://kheafield.com/code"
"""How a binary model of kenlm begins."""
_COUNT = re.compile(r"ngram[ \t]+([0-9]{1,2})[ \t]*=[ \t]*([0-9]{1,12})")
_SECTION = re.compile(r"\\([0-9]{1,2})-grams:")
_SPACE = " \t\r"
_OTHER_SPACE = re.compile("[\x0b\x0c\x1c-\x1f]")

_Ints = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]
_Fail = Callable[[int, str], LanguageModelError]


@dataclass
class _Section:
    """The n-grams of one length, as the file has them."""

    grams: _Ints
    log_probability: _Floats
    log_backoff: _Floats


def read_arpa(path: Path) -> Ngram:
    """Read a model; ``.gz`` or not is told by the content.

    Raises:
        LanguageModelError: it cannot be read, is cut off, or a line is malformed; the message
            has file and line.
    """
    _refuse_binary(path)
    lines = read_lines(path, LanguageModelError)
    counts, at = _header(lines, path)
    words: dict[str, int] = {}
    sections: list[_Section] = []
    for n, count in enumerate(counts, start=1):
        begin = _section_start(lines, at, n, path, required=count > 0 or n == 1)
        if begin is None:
            continue
        at = begin
        section = _section(lines[at : at + count], (path, at), (n, count), words)
        sections.append(section)
        at += count
    at = _after_blank(lines, at)
    if at == len(lines) or lines[at].strip(_SPACE) != "\\end\\":
        raise LanguageModelError(
            f"{path}, line {min(at + 1, len(lines))}: expected \\end\\ here: the file is cut off, "
            "or has more n-grams than its header says"
        )
    while len(sections) > 1 and not len(sections[-1].grams):
        del sections[-1]
    symbols = tuple(word for word, number in words.items() if number >= FIRST_SYMBOL)
    names = [BEGIN_WORD, END_WORD, *symbols]
    return Ngram(_orders(sections, names, path), symbols)


def write_arpa(path: Path, ngram: Ngram) -> None:
    """Write a model; compressed if the name ends with ``.gz``."""
    names = [BEGIN_WORD, END_WORD, *ngram.symbols]
    parts = ["\\data\\\n"]
    parts += [f"ngram {n}={len(order.symbol)}\n" for n, order in enumerate(ngram.orders, start=1)]
    texts: list[str] = [""]
    for n, order in enumerate(ngram.orders, start=1):
        words = [names[symbol] for symbol in order.symbol.tolist()]
        if n > 1:
            above = [texts[row] for row in order.context.tolist()]
            words = [f"{before} {word}" for before, word in zip(above, words)]
        decimal = np.maximum(order.log_probability / _LN10, _NEVER).tolist()
        backoff = (order.log_backoff / _LN10).tolist()
        parts.append(f"\n\\{n}-grams:\n")
        parts += [
            f"{p:.7g}\t{text}\t{b:.7g}\n" if b else f"{p:.7g}\t{text}\n"
            for p, text, b in zip(decimal, words, backoff)
        ]
        texts = words
    parts.append("\n\\end\\\n")
    content = "".join(parts).encode("utf-8")
    with atomic_path(path) as temporary:
        # No time stamp: the same model is the same file.
        compressed = gzip.compress(content, mtime=0) if path.suffix == ".gz" else content
        temporary.write_bytes(compressed)


def _refuse_binary(path: Path) -> None:
    try:
        with path.open("rb") as stream:
            begins = stream.read(len(_BINARY))
    except OSError:
        return  # told by who reads it
    if begins == _BINARY:
        raise LanguageModelError(
            f"{path}: a binary model of kenlm, which does not hold the words in a form that can be "
            "read back: give the ARPA file that it was built from"
        )


def _after_blank(lines: Sequence[str], at: int) -> int:
    """The next line, from ``at`` on, that is not blank."""
    while at < len(lines) and not lines[at].strip(_SPACE):
        at += 1
    return at


def _header(lines: Sequence[str], path: Path) -> tuple[list[int], int]:
    """The numbers of n-grams, and the line after them."""
    at = 0
    while at < len(lines) and lines[at].strip(_SPACE) != "\\data\\":
        at += 1
    if at == len(lines):
        raise LanguageModelError(
            f"{path}: has no line \\data\\, so it is no ARPA file (a binary model of another "
            "toolkit must be written as ARPA by that toolkit)"
        )
    counts: list[int] = []
    at += 1
    while at < len(lines) and not lines[at].lstrip(_SPACE).startswith("\\"):
        text = lines[at].strip(_SPACE)
        at += 1
        if not text:
            continue
        found = _COUNT.fullmatch(text)
        if not found or int(found[1]) != len(counts) + 1:
            raise LanguageModelError(
                f"{path}, line {at}: expected 'ngram {len(counts) + 1}=NUMBER', found "
                f"{quoted(text)}"
            )
        counts.append(int(found[2]))
    if not counts:
        raise LanguageModelError(f"{path}: its header has no line 'ngram 1=NUMBER'")
    return counts, at


def _section_start(lines: Sequence[str], at: int, n: int, path: Path, required: bool) -> int | None:
    """The line after the heading of the n-grams; None if these have none, and need none."""
    at = _after_blank(lines, at)
    text = lines[at].strip(_SPACE) if at < len(lines) else "the end of the file"
    found = _SECTION.fullmatch(text)
    if found and int(found[1]) == n:
        return at + 1
    if required:
        raise LanguageModelError(
            f"{path}, line {at + 1}: expected '\\{n}-grams:', found {quoted(text)}; the numbers of "
            "n-grams in the header may be wrong, or the file is cut off"
        )
    return None


def _section(
    lines: Sequence[str], origin: tuple[Path, int], size: tuple[int, int], words: dict[str, int]
) -> _Section:
    """Parse the lines of one length; the first section fills ``words``.

    Args:
        origin: the file, and how many of its lines come before these.
        size: the length, and how many n-grams the header announces.
        words: to their symbols.
    """
    (path, before), (n, count) = origin, size
    rows = [_fields(line) for line in lines]

    def fail(row: int, what: str) -> LanguageModelError:
        return LanguageModelError(f"{path}, line {before + row + 1}: {what}")

    if len(rows) < count:
        raise fail(len(rows), f"the file is cut off: {count} {n}-grams were announced")
    lengths = np.fromiter(map(len, rows), dtype=np.int64, count=count)
    for row in _first((lengths != n + 1) & (lengths != n + 2)):
        expected = f"a log-probability, {n} words and perhaps a back-off weight"
        raise fail(row, f"expected {expected}, found {quoted(lines[row])}")
    probability = _floats([row[0] for row in rows], fail)
    for row in _first(~(probability <= 1e-4)):
        raise fail(row, f"a log-probability cannot be {rows[row][0][:40]}: it must be 0 or less")
    weighted = np.flatnonzero(lengths == n + 2)
    backoff = np.zeros(count)
    backoff[weighted] = _floats(
        [rows[row][-1] for row in weighted.tolist()], lambda i, what: fail(int(weighted[i]), what)
    )
    for row in _first(~np.isfinite(backoff)):
        raise fail(row, f"a back-off weight cannot be {rows[row][-1][:40]}")
    if n == 1:
        _number_words([row[1] for row in rows], words, fail, path)
    flat = [word for row in rows for word in row[1 : n + 1]]
    try:
        grams = np.array([words[word] for word in flat], dtype=np.int64).reshape(count, n)
    except KeyError as error:
        row = flat.index(error.args[0]) // n
        raise fail(row, f"{quoted(error.args[0])} is not among the 1-grams") from None
    for mark, misplaced in ((END_WORD, grams[:, :-1] == END), (BEGIN_WORD, grams[:, 1:] == BEGIN)):
        for row in _first(misplaced.any(axis=1)):
            where = "end" if mark == END_WORD else "begin"
            raise fail(row, f"{mark} can only {where} n-grams, found {quoted(lines[row])}")
    log_probability = np.minimum(probability, 0.0) * _LN10
    if n == 1:
        log_probability[grams[:, 0] == BEGIN] = -np.inf
    return _Section(grams, log_probability, backoff * _LN10)


def _first(wrong: npt.NDArray[np.bool_]) -> list[int]:
    """The first row in which something is wrong, if there is one."""
    return [int(row) for row in np.flatnonzero(wrong)[:1]]


def _fields(line: str) -> list[str]:
    """What tabs and spaces part; anything else is a part of words (as in U+00A0, U+2028)."""
    fields = line.split()
    if line.isascii() and not _OTHER_SPACE.search(line):
        return fields
    return [field for field in line.strip("\r").replace("\t", " ").split(" ") if field]


def _floats(texts: list[str], fail: _Fail) -> _Floats:
    try:
        values = np.array(texts, dtype=np.float64)
    except ValueError:
        values = np.full(len(texts), np.nan)
        for i, text in enumerate(texts):
            try:
                values[i] = float(text)
            except ValueError:
                break
    for row in _first(np.isnan(values)):
        raise fail(row, f"{quoted(texts[row])} is not a number")
    return values


def _number_words(texts: list[str], words: dict[str, int], fail: _Fail, path: Path) -> None:
    words.update({BEGIN_WORD: BEGIN, END_WORD: END})
    special = {"<S>": BEGIN_WORD, "</S>": END_WORD}
    seen: set[str] = set()
    free = itertools.count(FIRST_SYMBOL)
    for row, text in enumerate(texts):
        word = special.get(text, text)
        if word in seen:
            raise fail(row, f"the word {quoted(text)} occurs twice among the 1-grams")
        seen.add(word)
        if word != text:
            words[text] = words[word]
        elif word not in words:
            words[word] = next(free)
    for mark in (BEGIN_WORD, END_WORD):
        if mark not in seen:
            raise LanguageModelError(
                f"{path}: {mark} is not among the 1-grams: train the model with sentence ends"
            )


def _orders(sections: list[_Section], names: Sequence[str], path: Path) -> tuple[Order, ...]:
    """Sort the n-grams, find their contexts and suffixes, and add those that are missing."""
    for n in range(len(sections) - 1, 0, -1):
        _add_missing(sections[n - 1], sections[n].grams)
    n_symbols = int(sections[0].grams.max()) + 1
    orders: list[Order] = []
    keys: list[_Ints] = []
    for n, section in enumerate(sections, start=1):
        rows = len(section.grams)
        context = suffix = np.zeros(rows, dtype=np.int64)
        if n > 1:
            context, _ = find_rows(keys, section.grams[:, :-1], n_symbols)
            suffix, _ = find_rows(keys, section.grams[:, 1:], n_symbols)
        order = np.argsort(context * n_symbols + section.grams[:, -1], kind="stable")
        context, suffix = context[order], suffix[order]
        symbol = section.grams[order, -1]
        probability, backoff = section.log_probability[order], section.log_backoff[order]
        key = context * n_symbols + symbol
        for row in _first(key[1:] == key[:-1]):
            words = " ".join(names[at] for at in section.grams[order[row]].tolist())
            raise LanguageModelError(f"{path}: the {n}-gram {quoted(words)} is listed twice")
        added = np.flatnonzero(np.isnan(probability))
        if n > 1 and len(added):
            below = orders[-1]
            probability[added] = (
                below.log_backoff[context[added]] + below.log_probability[suffix[added]]
            )
        orders.append(Order(context, symbol, suffix, probability, backoff, np.zeros(rows)))
        keys.append(key)
    return tuple(orders)


def _add_missing(section: _Section, longer: _Ints) -> None:
    """Add the contexts and suffixes of ``longer`` n-grams, their probabilities to be found."""
    needed = np.concatenate([longer[:, :-1], longer[:, 1:]])
    both = np.concatenate([section.grams, needed])
    _, first = np.unique(_row_numbers(both), return_index=True)
    new = np.sort(first[first >= len(section.grams)])
    section.grams = np.concatenate([section.grams, both[new]])
    section.log_probability = np.concatenate([section.log_probability, np.full(len(new), np.nan)])
    section.log_backoff = np.concatenate([section.log_backoff, np.zeros(len(new))])


def _row_numbers(grams: _Ints) -> _Ints:
    """A number for each row, equal for equal rows only."""
    number = np.zeros(len(grams), dtype=np.int64)
    size = int(grams.max(initial=0)) + 1
    for column in grams.T:
        number = np.unique(number * size + column, return_inverse=True)[1].astype(np.int64)
    return number

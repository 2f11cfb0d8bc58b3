"""What a file of names holds: its lines without comments, and the entries that they are read as."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

from ctcbias_fst.errors import EntityListError
from ctcbias_fst.text.text_files import and_more, quoted

COLUMNS = ("name", "weight", "prior", "category", "display", "sounds_like", "pronunciations")

LONGEST_NAME = 1000
"""Characters. What is longer is no name, and takes minutes to look for."""

NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
IS_NUMBER = re.compile(NUMBER)
NUMBERED = re.compile(r"(\d+)(?:[.)]\s+|\t|\s+)")
BULLET = re.compile(r"[-*•·‣▪]\s+(?:\[[ xX]\]\s+)?")
_HASHTAG = re.compile(r"#(\w+)(?: *\t|[,;](?! )|$)")
_GLUED = re.compile(r"#[^\W_]")
_CELL_END = re.compile(r"[\t,;]|\s[:#@]")

ONE_PER_LINE = "Write one name per line"
WITH_HEADER = (
    f"begin the file with the names of its columns ({', '.join(COLUMNS)}), as in 'name,weight'"
)
_BROKEN = (
    "begins with a quotation mark that the next line closes, as in a cell of several lines; write "
    "each name on one line."
)


@dataclass(frozen=True)
class ListRows:
    """The entries of a file, not yet looked at.

    Attributes:
        numbers: of each entry, its line, or its place in a JSON document.
        rows: names, or mappings with keys of `COLUMNS`.
        notes: what was read otherwise than it was written.
        unit: what ``numbers`` count.
    """

    numbers: Sequence[int]
    rows: Sequence[str | Mapping[str, Any]]
    notes: tuple[str, ...] = ()
    unit: str = "line"


@dataclass(frozen=True)
class Lines:
    """What a file holds: lines that are neither blank nor comments, and their numbers.

    Attributes:
        source: what it is called.
        raw: all of its lines, as they are.
        numbers: of each of ``texts``, from 1.
        texts: without white space around them.
        comments: the numbers of lines that are comments.
    """

    source: str
    raw: Sequence[str]
    numbers: Sequence[int]
    texts: Sequence[str]
    comments: Set[int] = frozenset()

    def fault(self, place: int, message: str) -> EntityListError:
        """An error that names the line."""
        return EntityListError(f"{self.source}, line {self.numbers[place]}: {message}")

    def without(self, comments: Set[int]) -> Lines:
        """The other lines."""
        kept = [(i, text) for i, text in zip(self.numbers, self.texts) if i not in comments]
        numbers, texts = [i for i, _ in kept], [text for _, text in kept]
        return replace(self, numbers=numbers, texts=texts, comments=self.comments | comments)

    def require_whole_cells(self) -> None:
        """Refuse a cell in quotation marks that begins in a line and ends in the next one."""
        texts = self.texts
        if not any(text[0] == '"' or '\t"' in text for text in texts):
            return
        for place, (text, following) in enumerate(zip(texts, texts[1:])):
            last, first = text.split("\t")[-1].strip(), following.split("\t")[0].strip()
            odd = last.count('"') % 2 and first.count('"') % 2
            if odd and last.startswith('"') and first.endswith('"'):
                raise self.fault(place, _BROKEN)


def first_place(texts: Sequence[str], wanted: Callable[[str], Any]) -> int | None:
    """The place of the first text that is wanted, if one is."""
    return next((place for place, text in enumerate(texts) if wanted(text)), None)


def read_as(found: Sequence[tuple[int, str]], told: str) -> list[str]:
    """Tell of lines, by their numbers, that may be meant otherwise than they are read."""
    if not found:
        return []
    number, text = found[0]
    return [f"{quoted(text)} in line {number}{and_more(found)} is read as {told}"]


def cell_text(text: str) -> str:
    """Return what a cell holds, without the quotation marks that spreadsheets put around it."""
    text = text.strip()
    inner = text[1:-1].replace('""', "")
    if len(text) > 1 and text[0] == text[-1] == '"' and '"' not in inner:
        return text[1:-1].replace('""', '"').strip()
    return text


def without_comments(
    lines: Lines, is_json: Callable[[Lines], bool]
) -> tuple[Lines, tuple[str, ...]]:
    """Leave out lines that begin with '#', except hashtags that are not listed without it too.

    Args:
        lines: of a file.
        is_json: tells whether the others are.

    Returns:
        The other lines, and what is to be told: which hashtags are read as names, and which
        comments may be meant as names or as the head of columns.
    """
    marked = {i: text for i, text in zip(lines.numbers, lines.texts) if text[0] == "#"}
    if not marked:
        return lines, ()
    others = lines.without(marked.keys())
    bare = ["" if i in marked else line for i, line in enumerate(lines.raw, start=1)]
    as_json = bool(others.texts) and is_json(replace(others, raw=bare))
    names = set() if as_json else _hashtags(marked, others.texts)
    glued = [one for one in marked.items() if one[0] not in names and _GLUED.match(one[1])]
    heads = [one for one in glued if _is_head(one[1])]
    remedy = "as JSON" if as_json else "in quotation marks"
    notes = [
        *read_as([(i, marked[i]) for i in sorted(names)], "a name; begin comments with '# '"),
        *read_as(heads, "a comment; if it is the head of the columns, write it without '#'"),
        *read_as(
            [one for one in glued if one not in heads],
            f"a comment, which '# ' begins; if it is a name, write it {remedy}",
        ),
    ]
    if as_json:
        return replace(others, raw=bare), tuple(notes)
    return lines.without(marked.keys() - names), tuple(notes)


def _hashtags(marked: Mapping[int, str], others: Sequence[str]) -> set[int]:
    """Return the numbers of lines such as ``#MeToo`` or ``#1``, of one word; not ``#metformin``.

    Args:
        marked: the lines that begin with '#', by their numbers.
        others: the other lines. A name there is not to be displaced by one that was switched off.
    """
    first = "\t" + "".join(others[:1])
    words = {}
    for number, text in marked.items():
        found = _HASHTAG.match(text)
        if found is None:
            continue
        word = found[1]
        column = found.end() == len(text) or found[0][-1] in first
        inner = any(one.islower() and two.isupper() for one, two in zip(word, word[1:]))
        if column and (inner or (len(word) <= 3 and word.isdecimal())):
            words[number] = word.casefold()
    if not words:
        return set()
    listed = set()
    for text in others:
        bare = NUMBERED.sub("", BULLET.sub("", text, count=1), count=1)
        cells = (_CELL_END.split(one, maxsplit=1)[0] for one in (text, bare))
        listed |= {cell_text(cell).casefold() for cell in cells}
    return {number for number, word in words.items() if word not in listed}


def _is_head(text: str) -> bool:
    """Whether a line that begins with '#' has names of columns, and nothing else."""
    return {cell_text(cell).lower() for cell in re.split(r"[\t,;]", text[1:])} <= set(COLUMNS)

"""Lists with a name on every line: what is around the names, what is refused, what is doubtful."""

from __future__ import annotations

import html
import re
import string
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from ctcbias_fst.text.entity_fields import require_short
from ctcbias_fst.text.hotword_lists import are_alike, has_score, nemo_list, sherpa_list
from ctcbias_fst.text.list_lines import (
    BULLET,
    NUMBER,
    NUMBERED,
    WITH_HEADER,
    Lines,
    ListRows,
    cell_text,
    first_place,
    read_as,
)
from ctcbias_fst.text.refused_forms import refused_form, refused_key
from ctcbias_fst.text.text_files import quoted

_GLUED_SCORE = re.compile(rf"[^\W\d_]:{NUMBER}$")
_COUNT_LAST = re.compile(r"\S\s+\d+$")
_QUOTED_COMMA = re.compile(r'"[^"]*,[^"]*"')
_SEVERAL = re.compile(r", .* and ")
_COUNT_FIRST = re.compile(r"\d+\s+\D")
_QUOTED_MARK = re.compile(r'"#[^"]*"')
_LETTERED = re.compile(r"(?:\(([a-z])\)|([a-z])\))\s+", re.IGNORECASE)
_BRACKETED = re.compile(r"(?:\((\d+)\)|\[(\d+)\])\s+")
_MARKED = re.compile(r"(?:\d+[.)]|[(\[]\d+[)\]]|\(?[A-Za-z]\))\s+\S")
_KALDI = re.compile(r"(?:(?:\d+-)+\d+|[A-Za-z]+-?\d+)\s+\S")
_EXPLAINED = re.compile(r"[A-Z0-9][^:]*(?::| [-–—]) (?=[a-z])")
_SLASH = re.compile(r"([^\W\d_]{3,})\s?/\s?([^\W\d_]{3,})")
_HEADINGS = frozenset(
    "names entity entities phrase phrases word words term terms keyword keywords hotword hotwords "
    "vocabulary".split()
)
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z]{2,8});")
_QUOTES = {'"': '"', "'": "'", "“": "”", "”": "”", "„": "“”", "«": "»", "»": "«", "‘": "’"}

_MAX_CHANCE = 2
"""So many lines may begin with their number by chance."""


def plain_list(lines: Lines) -> ListRows:
    """One name per line, or a form of other tools that looks like it."""
    require_short(lines.numbers, lines.texts, f"{lines.source}, line", "name")
    texts, notes = _undecorated(lines.texts)
    block = "\n".join(texts)
    if "\t" in block:
        place = first_place(texts, lambda text: "\t" in text) or 0
        raise lines.fault(place, f"has a tab, but the list has no header line; {WITH_HEADER}.")
    lines.require_whole_cells()
    refused = refused_key(lines.texts) if ":" in block or "=" in block else None
    refused = refused or refused_form(lines.texts if texts[0] == lines.texts[0] else texts)
    if refused is not None:
        raise lines.fault(*refused)
    if (":" in block or "#" in block or "\u2581" in block) and any(map(has_score, lines.texts)):
        return sherpa_list(lines)
    glued = first_place(texts, _GLUED_SCORE.search) if ":" in block else None
    if glued is not None:
        raise lines.fault(
            glued,
            f"{quoted(texts[glued])} ends in a colon and a number, as Deepgram's keywords do "
            f"(name:weight); write weights in a column: {WITH_HEADER}.",
        )
    if "_" in block:
        return nemo_list(lines, texts)
    return ListRows(lines.numbers, texts, (*notes, *_doubts(texts), *_line_doubts(lines, texts)))


def _doubts(texts: Sequence[str]) -> list[str]:
    """Tell of what may be meant otherwise than it is read."""
    if len(texts) == 1:
        several = "its only line is read as one name; write one name per line if it has several"
        return [several] if _SEVERAL.search(texts[0]) else []
    notes = []
    first = quoted(texts[0].partition(" ")[0])
    if all(map(_COUNT_LAST.search, texts)):
        notes.append(
            "every line ends in a number, which is read as part of its name; if these are weights, "
            "as FunASR's lists have them, write them in a column 'weight'"
        )
    if all(map(_COUNT_FIRST.match, texts)):
        notes.append("every line begins with a number, which is read as part of its name")
    elif all(map(_MARKED.match, texts)):
        notes.append(
            f"every line begins with a mark such as {first}, which is read as part of its name"
        )
    if all(map(_KALDI.match, texts)) and len(set(map(_shape, texts))) == 1:
        notes.append(
            f"every line begins with something like an id, such as {first}, as in Kaldi's texts; "
            "it is read as part of its name"
        )
    if len(texts) > 2 and all(text.count(",") == 1 for text in texts):
        notes.append(
            "every line has a comma; what is listed must be in the order in which it is said"
        )
    return notes


def _shape(text: str) -> str:
    """The first word of a line, with 0 for every number."""
    return re.sub(r"\d+", "0", text.split(maxsplit=1)[0])


def _line_doubts(lines: Lines, texts: Sequence[str]) -> list[str]:
    """Tell of lines that may hold more than a name, of each kind the first.

    Args:
        lines: what the file holds.
        texts: the same lines, without list marks and the like.
    """
    numbered = list(zip(lines.numbers, texts))
    headed = len(texts) > 1 and texts[0].lower() in _HEADINGS
    notes = read_as(numbered[:headed], "a name; if it is the head of the column, write 'name'")
    block = "\n".join(texts)
    for hints, is_doubtful, told in (
        ("/", _has_alternatives, "alternatives on lines of their own, or as 'sounds_like'"),
        (":-–—", _EXPLAINED.match, "what explains a name in a comment, with '# ', above it"),
    ):
        if any(hint in block for hint in hints):
            doubtful = [one for one in numbered if is_doubtful(one[1])]
            notes += read_as(doubtful, f"one name; write {told}")
    return notes


def _has_alternatives(text: str) -> bool:
    """Whether a line has two spellings of a name: ``Kisha/Kesha``, but not ``AC/DC``."""
    return any(are_alike(one, other) for one, other in _SLASH.findall(text))


def unescaped(lines: Lines) -> tuple[Lines, tuple[str, ...]]:
    """Read ``&eacute;`` and the like as the characters that they stand for."""
    if not any(map(_ENTITY.search, lines.texts)):
        return lines, ()
    texts = [" ".join(html.unescape(text).split()) for text in lines.texts]
    blank = {number for number, text in zip(lines.numbers, texts) if not text}
    if len(blank) == len(texts):
        return lines, ()
    note = (
        "characters that are written as in HTML, such as '&amp;', are read as what they stand for"
    )
    return replace(lines, texts=texts).without(blank), (note,)


def _undecorated(texts: Sequence[str]) -> tuple[Sequence[str], list[str]]:
    """Drop what is around every line and part of no name: list marks, quotation marks, commas."""
    notes = []
    for strip, what in _DECORATIONS:
        several = len(texts) > 1 or what.startswith("quotation")
        if several and strip(texts[0], 1, len(texts)) is not None:
            bare = [strip(text, i, len(texts)) for i, text in enumerate(texts, start=1)]
            if None not in bare:
                texts = [text for text in bare if text is not None]
                notes.append(f"{what} of every line are no part of its name")
    if any('"' in text and _QUOTED_COMMA.fullmatch(text) for text in texts):
        # As a spreadsheet writes one column: only those with a comma are quoted.
        texts = [text[1:-1].strip() if _QUOTED_COMMA.fullmatch(text) else text for text in texts]
        notes.append("quotation marks around names with a comma are no part of them")
    if any('"' in text and _QUOTED_MARK.fullmatch(text) for text in texts):
        texts = [cell_text(text) if _QUOTED_MARK.fullmatch(text) else text for text in texts]
    return texts, notes


def _without_comma(text: str, place: int, count: int) -> str | None:
    if text.endswith((",", ";")):
        return text[:-1].rstrip()
    return text if place == count else None


def _without_mark(mark: re.Pattern[str], text: str, place: int, count: int) -> str | None:
    """A line without its bullet, or the number or letter that is its place; None if it has none."""
    found = mark.match(text)
    if found is None:
        return None
    if mark.groups:
        written = next(filter(None, found.groups())).lower()
        letter = string.ascii_lowercase[place - 1 : place]
        sure = found[0].rstrip()[-1] in ".)]" or count > _MAX_CHANCE
        if not sure or written != (str(place) if written.isdecimal() else letter):
            return None
    return text[found.end() :]


def _without_quotes(text: str, place: int, count: int) -> str | None:
    quotes = len(text) > 2 and text[-1] in _QUOTES.get(text[0], "")
    inner = text[1:-1]
    return inner.strip() if quotes and not {text[0], text[-1]} & set(inner) else None


_DECORATIONS: tuple[tuple[Callable[[str, int, int], str | None], str], ...] = (
    (_without_comma, "commas at the end"),
    (partial(_without_mark, BULLET), "list marks at the beginning"),
    (partial(_without_mark, NUMBERED), "list numbers at the beginning"),
    (partial(_without_mark, _BRACKETED), "list numbers at the beginning"),
    (partial(_without_mark, _LETTERED), "list letters at the beginning"),
    (_without_quotes, "quotation marks around the text"),
)

"""The forms that files of names have: ours, and those of other tools, told apart by their content.

A form that is not ours is read where its meaning is sure, which a note tells, and is refused by
its name where it is not. Weights of other tools are made factors on the boost: 1 is what is usual
there.
"""

from __future__ import annotations

import csv
import html
import json
import re
import statistics
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import Any

from ctcbias_fst.errors import EntityListError
from ctcbias_fst.text.common_words import is_common
from ctcbias_fst.text.foreign_lists import (
    document_items,
    foreign_entry,
    holds_names,
    scaled_weight,
)
from ctcbias_fst.text.refused_forms import refused_form
from ctcbias_fst.text.text_files import (
    Source,
    parse_json,
    parse_json_line,
    quoted,
    read_lines,
    require_object,
)

__all__ = ["COLUMNS", "LONGEST_NAME", "ListRows", "read_list"]

COLUMNS = ("name", "weight", "prior", "category", "display", "sounds_like", "pronunciations")

LONGEST_NAME = 1000
"""Characters. What is longer is no name, and takes minutes to look for."""

_NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
_IS_NUMBER = re.compile(_NUMBER)
_SCORE = re.compile(rf"\s:{_NUMBER}(?:\s|$)|\s#0?\.\d+(?:\s|$)|\u2581")
_GLUED_SCORE = re.compile(rf"[^\W\d_]:{_NUMBER}$")
_NUMBER_LAST = re.compile(rf"[,;]\s*\"?{_NUMBER}\"?\s*$")
_COUNT_LAST = re.compile(r"\S\s+\d+$")
_QUOTED_COMMA = re.compile(r'"[^"]*,[^"]*"')
_SEVERAL = re.compile(r", .* and ")
_COUNT_FIRST = re.compile(r"\d+\s+\D")
_HASHTAG = re.compile(r"#(\w+)(?: *\t|[,;](?! )|$)")
_GLUED = re.compile(r"#[^\W_]")
_QUOTED_MARK = re.compile(r'"#[^"]*"')
_CELL_END = re.compile(r"[\t,;]|\s[:#@]")
_NUMBERED = re.compile(r"(\d+)(?:[.)]\s+|\t|\s+)")
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
_BULLET = re.compile(r"[-*•·‣▪]\s+(?:\[[ xX]\]\s+)?")
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z]{2,8});")
_QUOTES = {'"': '"', "'": "'", "“": "”", "”": "”", "„": "“”", "«": "»", "»": "«", "‘": "’"}
_AWS = {"phrase", "soundslike", "ipa", "displayas"}
_CLASS = re.compile(r"\$(?:[A-Z][A-Z_]{3,}|\{[^}]*\})")
"""Of Google's phrases: numbers, addresses, custom classes."""

_MARKUP = re.compile(r"<\?xml|<!doctype|<html|<(\w+)[^>]*>.*</\1>|\{\\rtf|\|.*\|$", re.IGNORECASE)
_KEY_AND_VALUE = re.compile(
    r"(?:-\s+)?(?:\"(?!#[^\"]*\"\s+:\d)[^\"]+\"\s*:|'[^']+'\s*:\s|(?:name|names|phrases?|terms?|value|text|content|"
    r"entities|keywords|hotwords|vocabulary)\s*:(?:\s|$)|\w+\s*=\s*[\[\"'])"
)
_JSON_ARRAY = re.compile(r"\[\s*(?:$|[\"'{\[\]])")
_HAN_OR_KANA = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")

_SHERPA_USUAL = 1.5
_ALIKE = 0.6
"""Least likeness of a name and a spelling of it in NeMo's lists."""

_MAX_CHANCE = 2
"""So many lines may begin with their number by chance."""

_BROKEN = (
    "begins with a quotation mark that the next line closes, as in a cell of several lines; write "
    "each name on one line."
)
_ONE_PER_LINE = "Write one name per line"
_WITH_HEADER = (
    f"begin the file with the names of its columns ({', '.join(COLUMNS)}), as in 'name,weight'"
)

_OF_UTTERANCES = frozenset({"id", "path", "audio_filepath"})


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
    rows: Sequence[str] | Sequence[Mapping[str, Any]]
    notes: tuple[str, ...] = ()
    unit: str = "line"


@dataclass(frozen=True)
class _Lines:
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
        return EntityListError(f"{self.source}, line {self.numbers[place]}: {message}")


def read_list(path: Source) -> ListRows:
    """Read the entries of a list of names.

    Raises:
        EntityListError: it cannot be read, is malformed, or has a form that is not known.
    """
    raw = read_lines(path, EntityListError)
    kept = [(i, line) for i, line in enumerate(map(str.strip, raw), start=1) if line]
    lines = _Lines(str(path), raw, [i for i, _ in kept], [line for _, line in kept])
    notes: tuple[str, ...] = ()
    if any(text[0] == "#" for text in lines.texts):
        lines, notes = _without_comments(lines)
    if not lines.texts:
        return ListRows([], [], notes)
    found = _read(lines)
    return replace(found, notes=(*notes, *found.notes)) if notes else found


def _without_comments(lines: _Lines) -> tuple[_Lines, tuple[str, ...]]:
    """Leave out lines that begin with '#', except hashtags that are not listed without it too.

    Returns:
        The other lines, and what is to be told: which hashtags are read as names, and which
        comments may be meant as names or as the head of columns.
    """
    marked = {i: text for i, text in zip(lines.numbers, lines.texts) if text[0] == "#"}
    others = _leave_out(lines, marked.keys())
    bare = ["" if i in marked else line for i, line in enumerate(lines.raw, start=1)]
    as_json = bool(others.texts) and _is_json(replace(others, raw=bare))
    names = set() if as_json else _hashtags(marked, others.texts)
    glued = [i for i, text in marked.items() if i not in names and _GLUED.match(text)]
    heads = [i for i in glued if _is_head(marked[i])]
    remedy = "as JSON" if as_json else "in quotation marks"
    notes = []
    for places, told in (
        (sorted(names), "a name; begin comments with '# '"),
        (heads, "a comment; if it is the head of the columns, write it without '#'"),
        (
            [i for i in glued if i not in heads],
            f"a comment, which '# ' begins; if it is a name, write it {remedy}",
        ),
    ):
        if places:
            more = f" (and {len(places) - 1} more)" if len(places) > 1 else ""
            text = quoted(marked[places[0]])
            notes.append(f"{text} in line {places[0]}{more} is read as {told}")
    if as_json:
        return replace(others, raw=bare), tuple(notes)
    return _leave_out(lines, marked.keys() - names), tuple(notes)


def _leave_out(lines: _Lines, comments: Set[int]) -> _Lines:
    kept = [(i, text) for i, text in zip(lines.numbers, lines.texts) if i not in comments]
    return replace(
        lines, numbers=[i for i, _ in kept], texts=[text for _, text in kept], comments=comments
    )


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
        bare = _NUMBERED.sub("", _BULLET.sub("", text, count=1), count=1)
        listed |= {_cell(_CELL_END.split(one, maxsplit=1)[0]).casefold() for one in (text, bare)}
    return {number for number, word in words.items() if word not in listed}


def _is_head(text: str) -> bool:
    """Whether a line that begins with '#' has names of columns, and nothing else."""
    return {_cell(cell).lower() for cell in re.split(r"[\t,;]", text[1:])} <= set(COLUMNS)


def _is_json(lines: _Lines) -> bool:
    first = lines.texts[0]
    if first.startswith("{"):
        return not first.startswith("{\\rtf")
    return bool(_JSON_ARRAY.match(first)) or (first.startswith("[") and _is_document(lines))


def _read(lines: _Lines) -> ListRows:
    """Tell the form of lines of which there is one at least, and read it."""
    raw, first = lines.raw, lines.texts[0]
    if _is_json(lines):
        if first.startswith("{"):
            return _json_objects(lines)
        return _document(parse_json("\n".join(raw), lines.source, EntityListError), lines)
    alone = _cell(first).lower() in ("name", "phrase")
    if ("\t" in first and not _BULLET.match(first)) or alone:
        return _tabs(lines)
    written, notes = _unescaped(lines)
    separated = _with_commas(written)
    if separated is not None:
        return separated
    names = _plain(written)
    return replace(names, notes=(*notes, *names.notes))


def _json_objects(lines: _Lines) -> ListRows:
    """JSON lines, or one object that spans the file."""
    try:
        first = json.loads(lines.texts[0])
    except (ValueError, RecursionError):
        first = None
    if (first is None and _is_document(lines)) or (
        isinstance(first, dict) and len(lines.texts) == 1
    ):
        value = parse_json("\n".join(lines.raw), lines.source, EntityListError)
        if holds_names(value) or not {"name", "content", "value"} & set(value):
            return _document(value, lines)
    rows = []
    notes: dict[str, None] = {}
    for number, text in zip(lines.numbers, lines.texts):
        value = parse_json_line(text, lines.source, number, EntityListError)
        row = require_object(value, lines.source, number, EntityListError)
        _refuse_utterance(row, lines.source)
        rows.append(_own_keys(row, f"{lines.source}, line {number}", notes))
    return ListRows(lines.numbers, rows, tuple(notes))


def _is_document(lines: _Lines) -> bool:
    try:
        json.loads("\n".join(lines.raw))
    except (ValueError, RecursionError):
        return False
    return True


def _document(value: Any, lines: _Lines) -> ListRows:
    """Read a JSON array, or the object that a service takes."""
    _refuse_utterance(value, lines.source)
    items, notes = document_items(value, lines.source)
    found = dict.fromkeys(notes)
    told = any(note.startswith("read as ") for note in notes)
    if any("Google" in note for note in notes):
        items = _without_classes(items, found)
    rows: list[str | Mapping[str, Any]] = []
    for number, item in enumerate(items, start=1):
        where = f"{lines.source}, entry {number}"
        if isinstance(item, str):
            rows.append(item)
        elif isinstance(item, dict):
            rows.append(_own_keys(item, where, found, told))
        else:
            raise EntityListError(f"{where}: must be a name or an object, not {quoted(item)}.")
    numbers = range(1, len(rows) + 1)
    names = [row for row in rows if isinstance(row, str)]
    if len(names) == len(rows):
        return ListRows(numbers, names, tuple(found), "entry")
    mappings = [{"name": row} if isinstance(row, str) else row for row in rows]
    return ListRows(numbers, mappings, tuple(found), "entry")


def _refuse_utterance(value: Any, source: str) -> None:
    """Refuse what has a list of names for an utterance, where names are wanted."""
    if isinstance(value, dict) and "entities" in value and _OF_UTTERANCES & set(value):
        raise EntityListError(
            f"{source}: is a list for each utterance (keys 'id' and 'entities'), which ctcbias "
            f"decode takes; one list for all is wanted here."
        )


def _without_classes(items: Sequence[Any], notes: dict[str, None]) -> list[Any]:
    """Leave out phrases of Google's with a class, such as ``$FULLPHONENUM``."""
    kept = []
    for item in items:
        text = item.get("value", item.get("name")) if isinstance(item, dict) else item
        if isinstance(text, str) and _CLASS.search(text):
            notes[f"{quoted(text)} has a class of Google's, which is not looked for"] = None
        else:
            kept.append(item)
    return kept


def _own_keys(
    row: Mapping[str, Any], where: str, notes: dict[str, None], told: bool = False
) -> Mapping[str, Any]:
    """Return an object with our keys; those that belong to another tool are translated."""
    if "name" in row:
        return row
    entry = foreign_entry(row, where, told)
    if entry is None:
        return row  # its missing name is an error
    notes.update(dict.fromkeys(entry.notes))
    return entry.row


def _tabs(lines: _Lines) -> ListRows:
    """Columns separated by tabs, with a header or, of two columns, without."""
    header = [_cell(cell) for cell in lines.texts[0].split("\t")]
    broken = _broken_cell(lines.texts)
    if broken is not None:
        raise lines.fault(broken, _BROKEN)
    # An empty first cell must not vanish with the white space around the line.
    cells = [list(map(_cell, lines.raw[number - 1].split("\t"))) for number in lines.numbers]
    lower = [cell.lower() for cell in header]
    if set(lower) <= _AWS and "phrase" in lower:
        return _aws(lines, lower, cells)
    if not set(lower) & set(COLUMNS):
        if all(len(row) == 2 and _IS_NUMBER.fullmatch(row[1].strip()) for row in cells):
            return _with_scores(lines, [(row[0].strip(), float(row[1])) for row in cells])
        if len(lines.texts) > 1 and all(len(row) == 2 for row in cells):
            raise lines.fault(
                0,
                f"unknown column or key {quoted(lower[0])}: two columns without a header, as a "
                f"lexicon has them (word, tab, spelling); {_WITH_HEADER}, tab-separated.",
            )
    return _table(lines, header, cells, lines.numbers)


def _broken_cell(texts: Sequence[str]) -> int | None:
    """The line at which a cell in quotation marks begins that ends in the next one, if any does."""
    if not any(text[0] == '"' or '\t"' in text for text in texts):
        return None
    for place, (text, following) in enumerate(zip(texts, texts[1:])):
        last, first = text.split("\t")[-1].strip(), following.split("\t")[0].strip()
        odd = last.count('"') % 2 and first.count('"') % 2
        if odd and last.startswith('"') and first.endswith('"'):
            return place
    return None


def _cell(text: str) -> str:
    """Return what a cell holds, without the quotation marks that spreadsheets put around it."""
    text = text.strip()
    inner = text[1:-1].replace('""', "")
    if len(text) > 1 and text[0] == text[-1] == '"' and '"' not in inner:
        return text[1:-1].replace('""', '"').strip()
    return text


def _with_scores(lines: _Lines, scored: Sequence[tuple[str, float]]) -> ListRows:
    usual = statistics.median(score for _, score in scored)
    note = (
        "read as Flashlight's or Riva's list (word, tab, score); weights are the scores divided by "
        f"their median, {usual:g}"
    )
    rows = [{"name": name, "weight": scaled_weight(score, usual)} for name, score in scored]
    return ListRows(lines.numbers, rows, (note,))


def _aws(lines: _Lines, header: Sequence[str], cells: Sequence[Sequence[str]]) -> ListRows:
    """Read the table of Amazon Transcribe's custom vocabularies."""
    rows = []
    ipa = False
    for place in range(1, len(cells)):
        _require_width(lines, place, len(cells[place]), len(header))
        given = dict(zip(header, map(str.strip, cells[place])))
        name = given.get("phrase", "").replace("-", " ")
        row: dict[str, Any] = {"name": name}
        if given.get("displayas"):
            row["display"] = given["displayas"]
        if given.get("soundslike"):
            row["sounds_like"] = [given["soundslike"].replace("-", " ")]
        ipa = ipa or bool(given.get("ipa"))
        rows.append(row)
    notes = ["read as an Amazon Transcribe vocabulary (Phrase, SoundsLike, DisplayAs)"]
    if ipa:
        notes.append("its IPA is not used: 'pronunciations' take ARPAbet")
    return ListRows(lines.numbers[1:], rows, tuple(notes))


def _table(
    lines: _Lines, header: Sequence[str], cells: Sequence[Sequence[str]], numbers: Sequence[int]
) -> ListRows:
    """Rows under a header, which is the first of ``cells``."""
    columns = [column.strip().lower() for column in header]
    if len(set(columns)) < len(columns):
        raise lines.fault(0, "a column occurs twice in the header.")
    unknown = next((column for column in columns if column not in COLUMNS), None)
    if unknown is not None:
        raise lines.fault(
            0, f"unknown column or key {quoted(unknown)}; known are: {', '.join(COLUMNS)}."
        )
    if "name" not in columns:
        raise lines.fault(0, "'name' is missing.")
    rows = []
    for number, row in zip(numbers[1:], cells[1:]):
        if len(row) > len(columns):
            raise EntityListError(
                f"{lines.source}, line {number}: has {len(row)} columns, the header has "
                f"{len(columns)}."
            )
        filled = {column: cell.strip() for column, cell in zip(columns, row) if cell.strip()}
        rows.append({"name": "", **filled})
    return ListRows(numbers[1:], rows)


def _require_width(lines: _Lines, place: int, found: int, expected: int) -> None:
    if found > expected:
        raise lines.fault(place, f"has {found} columns, the header has {expected}.")


def _with_commas(lines: _Lines) -> ListRows | None:
    """Comma-separated values; None if the commas are but parts of names."""
    texts = lines.texts
    if texts[0].lower().startswith("sep=") and len(texts) > 1:
        rest = replace(lines, numbers=lines.numbers[1:], texts=texts[1:])
        return _with_commas(rest) or _plain(rest)
    for delimiter in ",;":
        header = [cell.strip().strip('"').strip().lower() for cell in texts[0].split(delimiter)]
        if len(header) > 1 and set(header) <= _AWS and "phrase" in header:
            places, cells = _csv_rows(lines, delimiter)
            return _aws(replace(lines, numbers=places), header, cells)
        if len(header) > 1 and ("name" in header or set(header) <= set(COLUMNS)):
            return _csv(lines, delimiter)
    if not any("," in text or ";" in text for text in texts):
        return None
    alike = [
        separator
        for separator in ",;"
        if len({text.count(separator) for text in texts}) == 1 and separator in texts[0]
    ]
    spaced = any(", " in text or "; " in text for text in texts)
    in_columns = len(texts) > 1 and bool(alike) and not spaced
    trailing = all(text.endswith((",", ";")) for text in texts[:-1]) and len(texts) > 1
    numbers = sum(bool(_NUMBER_LAST.search(text)) for text in texts)
    if 2 * numbers >= len(texts) or (in_columns and not trailing):
        place = next((i for i, text in enumerate(texts) if _NUMBER_LAST.search(text)), 0)
        raise lines.fault(
            place,
            f"comma-separated values without a header line; {_WITH_HEADER}, or write one name per "
            f"line.",
        )
    marks = max(texts[0].count(","), texts[0].count(";"))
    alone = len(texts) == 1 and (marks > 1 or not spaced or "; " in texts[0])
    if alone and not texts[0].endswith((",", ";")):
        raise lines.fault(
            0, f"is one string with commas, as Whisper's hot words are. {_ONE_PER_LINE}."
        )
    return None


def _csv(lines: _Lines, delimiter: str) -> ListRows:
    numbers, cells = _csv_rows(lines, delimiter)
    return _table(lines, cells[0], cells, numbers)


def _csv_rows(lines: _Lines, delimiter: str) -> tuple[list[int], list[list[str]]]:
    begin = lines.numbers[0] - 1
    numbers, cells = [], []
    try:
        reader = csv.reader(
            (f"{line}\n" for line in lines.raw[begin:]),  # of which a cell may have several
            delimiter=delimiter,
            skipinitialspace=True,
            strict=True,
        )
        end = 0
        for row in reader:
            comment = begin + end + 1 in lines.comments
            end = reader.line_num
            if any(cell.strip() for cell in row) and not comment:
                numbers.append(begin + end)
                cells.append(row)
    except csv.Error as fault:
        raise EntityListError(
            f"{lines.source}, line {begin + reader.line_num}: not valid CSV: {fault}."
        ) from None
    return numbers, cells


def _plain(lines: _Lines) -> ListRows:
    """One name per line, or a form of other tools that looks like it."""
    if max(map(len, lines.texts)) > LONGEST_NAME:
        place = next(i for i, text in enumerate(lines.texts) if len(text) > LONGEST_NAME)
        text = lines.texts[place]
        raise lines.fault(
            place,
            f"has {len(text)} characters, which begin with {quoted(text, 40)}; a name has at most "
            f"{LONGEST_NAME}. {_ONE_PER_LINE}.",
        )
    texts, notes = _undecorated(lines.texts)
    block = "\n".join(texts)
    _refuse_others(lines, texts, block)
    if (":" in block or "#" in block or "\u2581" in block) and any(map(_SCORE.search, lines.texts)):
        return _sherpa(lines)
    glued = next((i for i, text in enumerate(texts) if _GLUED_SCORE.search(text)), None)
    if glued is not None:
        raise lines.fault(
            glued,
            f"{quoted(texts[glued])} ends in a colon and a number, as Deepgram's keywords do "
            f"(name:weight); write weights in a column: {_WITH_HEADER}.",
        )
    if "_" in block:
        return _nemo(lines, texts)
    return ListRows(lines.numbers, texts, (*notes, *_doubts(texts), *_line_doubts(lines, texts)))


def _refuse_others(lines: _Lines, texts: Sequence[str], block: str) -> None:
    """Refuse what is no list of names: tables, markup, YAML and others.

    Args:
        lines: as they are.
        texts: without list marks and the like.
        block: these, joined.
    """
    if "\t" in block:
        place = next(i for i, text in enumerate(texts) if "\t" in text)
        raise lines.fault(place, f"has a tab, but the list has no header line; {_WITH_HEADER}.")
    if _MARKUP.match(texts[0]):
        raise lines.fault(0, f"is markup ({quoted(texts[0], 30)}), no name. {_ONE_PER_LINE}.")
    if ":" in block or "=" in block:
        keyed = next((i for i, text in enumerate(lines.texts) if _KEY_AND_VALUE.match(text)), None)
        if keyed is not None:
            raise lines.fault(
                keyed,
                f"{quoted(lines.texts[keyed], 30)} is a key and a value, as YAML, TOML and broken "
                f"JSON have them. Write a JSON array of names, or one name per line.",
            )
    broken = _broken_cell(lines.texts)
    if broken is not None:
        raise lines.fault(broken, _BROKEN)
    refused = refused_form(lines.texts if texts[0] == lines.texts[0] else texts)
    if refused is not None:
        raise lines.fault(*refused)


def _doubts(texts: Sequence[str]) -> list[str]:
    """Tell of what may be meant otherwise than it is read."""
    notes = []
    if len(texts) > 1 and all(map(_COUNT_LAST.search, texts)):
        notes.append(
            "every line ends in a number, which is read as part of its name; if these are weights, "
            "as FunASR's lists have them, write them in a column 'weight'"
        )
    if len(texts) > 1 and all(map(_COUNT_FIRST.match, texts)):
        notes.append("every line begins with a number, which is read as part of its name")
    elif len(texts) > 1 and all(map(_MARKED.match, texts)):
        notes.append(
            f"every line begins with a mark such as {quoted(texts[0].split()[0])}, which is read "
            "as part of its name"
        )
    if len(texts) > 1 and all(map(_KALDI.match, texts)) and len(set(map(_shape, texts))) == 1:
        notes.append(
            f"every line begins with something like an id, such as {quoted(texts[0].split()[0])}, "
            "as in Kaldi's texts; it is read as part of its name"
        )
    if len(texts) == 1 and _SEVERAL.search(texts[0]):
        notes.append("its only line is read as one name; write one name per line if it has several")
    if len(texts) > 2 and all(text.count(",") == 1 for text in texts):
        notes.append(
            "every line has a comma; what is listed must be in the order in which it is said"
        )
    return notes


def _shape(text: str) -> str:
    """The first word of a line, with 0 for every number."""
    return re.sub(r"\d+", "0", text.split(maxsplit=1)[0])


def _line_doubts(lines: _Lines, texts: Sequence[str]) -> list[str]:
    """Tell of lines that may hold more than a name, of each kind the first.

    Args:
        lines: what the file holds.
        texts: the same lines, without list marks and the like.
    """
    notes = []
    if len(texts) > 1 and texts[0].lower() in _HEADINGS:
        notes.append(
            f"{quoted(texts[0])} in line {lines.numbers[0]} is read as a name; if it is the head "
            "of the column, write 'name'"
        )
    block = "\n".join(texts)
    for hints, is_doubtful, told in (
        ("/", _has_alternatives, "alternatives on lines of their own, or as 'sounds_like'"),
        (":-–—", _EXPLAINED.match, "what explains a name in a comment, with '# ', above it"),
    ):
        if not any(hint in block for hint in hints):
            continue
        places = [i for i, text in enumerate(texts) if is_doubtful(text)]
        if places:
            more = f" (and {len(places) - 1} more)" if len(places) > 1 else ""
            notes.append(
                f"{quoted(texts[places[0]])} in line {lines.numbers[places[0]]}{more} is read as "
                f"one name; write {told}"
            )
    return notes


def _has_alternatives(text: str) -> bool:
    """Whether a line has two spellings of a name: ``Kisha/Kesha``, but not ``AC/DC``."""
    return any(_alike(one, other) for one, other in _SLASH.findall(text))


def _unescaped(lines: _Lines) -> tuple[_Lines, list[str]]:
    """Read ``&eacute;`` and the like as the characters that they stand for."""
    if not any(map(_ENTITY.search, lines.texts)):
        return lines, []
    texts = [" ".join(html.unescape(text).split()) for text in lines.texts]
    kept = [(number, text) for number, text in zip(lines.numbers, texts) if text]
    if not kept:
        return lines, []
    numbers, texts = [number for number, _ in kept], [text for _, text in kept]
    note = (
        "characters that are written as in HTML, such as '&amp;', are read as what they stand for"
    )
    return replace(lines, numbers=numbers, texts=texts), [note]


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
        texts = [_cell(text) if _QUOTED_MARK.fullmatch(text) else text for text in texts]
    return texts, notes


def _without_comma(text: str, place: int, count: int) -> str | None:
    if text.endswith((",", ";")):
        return text[:-1].rstrip()
    return text if place == count else None


def _without_quotes(text: str, place: int, count: int) -> str | None:
    quotes = len(text) > 2 and text[-1] in _QUOTES.get(text[0], "")
    inner = text[1:-1]
    return inner.strip() if quotes and not {text[0], text[-1]} & set(inner) else None


def _without_number(text: str, place: int, count: int) -> str | None:
    found = _NUMBERED.match(text)
    marked = found is not None and (found[0].rstrip()[-1] in ".)" or count > _MAX_CHANCE)
    return text[found.end() :] if found and marked and found[1] == str(place) else None


def _without_letter(text: str, place: int, count: int) -> str | None:
    found = _LETTERED.match(text)
    letter = found and (found[1] or found[2]).lower()
    return text[found.end() :] if found and letter == chr(ord("a") + place - 1) else None


def _without_bracketed_number(text: str, place: int, count: int) -> str | None:
    found = _BRACKETED.match(text)
    number = found and (found[1] or found[2])
    return text[found.end() :] if found and number == str(place) else None


def _without_bullet(text: str, place: int, count: int) -> str | None:
    found = _BULLET.match(text)
    return text[found.end() :] if found else None


_DECORATIONS: tuple[tuple[Callable[[str, int, int], str | None], str], ...] = (
    (_without_comma, "commas at the end"),
    (_without_bullet, "list marks at the beginning"),
    (_without_number, "list numbers at the beginning"),
    (_without_bracketed_number, "list numbers at the beginning"),
    (_without_letter, "list letters at the beginning"),
    (_without_quotes, "quotation marks around the text"),
)


def _sherpa(lines: _Lines) -> ListRows:
    """Read the hot words of sherpa-onnx and icefall: ``PHRASE :2.0``, pieces, ``@DISPLAY``."""
    rows = []
    scored = False
    for place, text in enumerate(lines.texts):
        tokens = text.split()
        row: dict[str, Any] = {}
        while len(tokens) > 1 and tokens[-1][0] in ":#@":
            mark, value = tokens[-1][0], tokens[-1][1:]
            if mark == "@" and value:
                row["display"] = value.replace("_", " ")
            elif _IS_NUMBER.fullmatch(value):
                if mark == ":":
                    scored = True
                    row["weight"] = scaled_weight(float(value), _SHERPA_USUAL)
            elif mark == ":" and value:
                raise lines.fault(
                    place,
                    f"{quoted(tokens[-1])} is no score of sherpa-onnx's hot words, which is a "
                    "number behind a colon.",
                )
            else:
                break
            tokens.pop()
        if any(_IS_NUMBER.fullmatch(token[1:]) for token in tokens if token[0] == ":"):
            raise lines.fault(
                place,
                f"a score of sherpa-onnx's hot words must be the last of {quoted(text)}.",
            )
        row["name"] = _cell(_joined_pieces(tokens))
        rows.append(row)
    note = "read as sherpa-onnx's hot words"
    if scored:
        note += f"; weights are its scores divided by {_SHERPA_USUAL:g}, the usual one there"
    return ListRows(lines.numbers, rows, (note,))


def _joined_pieces(tokens: Sequence[str]) -> str:
    if any("\u2581" in token for token in tokens):
        return " ".join("".join(tokens).replace("\u2581", " ").split())
    characters = all(len(token) == 1 and _HAN_OR_KANA.match(token) for token in tokens)
    return ("" if characters else " ").join(tokens)


def _nemo(lines: _Lines, texts: Sequence[str]) -> ListRows:
    """Read the lists of NeMo's word spotter, ``name_spelling_spelling``, if it is sure."""
    rows = []
    common: list[tuple[str, str]] = []
    alike = parts = 0
    for text in texts:
        name, *spellings = [part.strip() for part in text.split("_") if part.strip()] or [text]
        kept = [spelling for spelling in spellings if not is_common(spelling.lower())]
        common += [(name, spelling) for spelling in spellings if spelling not in kept]
        rows.append({"name": name, "sounds_like": kept})
        parts += len(spellings)
        alike += sum(_alike(name, spelling) for spelling in spellings)
    place = next(i for i, text in enumerate(texts) if "_" in text)
    if not parts or alike < 0.7 * parts:
        raise lines.fault(
            place,
            f"{quoted(texts[place])} has '_'. If it stands for a space, write a space; if "
            f"spellings follow the name, as in NeMo's lists, give them in a column 'sounds_like': "
            f"{_WITH_HEADER}.",
        )
    notes = ["read as the list of NeMo's word spotter (name_spelling_spelling)"]
    for name, spelling in common[:3]:
        word = quoted(spelling)
        notes.append(f"{word} for {quoted(name)} is a common word, which is not taken for it")
    if len(common) > 3:
        notes.append(f"{len(common) - 3} more spellings are common words")
    return ListRows(lines.numbers, rows, tuple(notes))


def _alike(name: str, spelling: str) -> bool:
    one, other = (re.sub(r"\W+", "", text).lower() for text in (name, spelling))
    return SequenceMatcher(None, one, other, autojunk=False).ratio() >= _ALIKE

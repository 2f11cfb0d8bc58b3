"""Lists of names in columns: ours, with a header, and those of Amazon, Flashlight and Riva."""

from __future__ import annotations

import csv
import re
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from ctcbias_fst.errors import EntityListError
from ctcbias_fst.text.entity_fields import check_keys
from ctcbias_fst.text.json_lists import scaled_weight
from ctcbias_fst.text.list_lines import (
    BULLET,
    COLUMNS,
    IS_NUMBER,
    NUMBER,
    ONE_PER_LINE,
    WITH_HEADER,
    Lines,
    ListRows,
    cell_text,
    first_place,
)
from ctcbias_fst.text.text_files import quoted

_NUMBER_LAST = re.compile(rf"[,;]\s*\"?{NUMBER}\"?\s*$")
_AWS = {"phrase", "soundslike", "ipa", "displayas"}


def tab_table(lines: Lines) -> ListRows | None:
    """Columns separated by tabs, with a header or, of two columns, without; None if it is none."""
    first = lines.texts[0]
    alone = cell_text(first).lower() in ("name", "phrase")
    if not alone and ("\t" not in first or BULLET.match(first)):
        return None
    lines.require_whole_cells()
    # An empty first cell must not vanish with the white space around the line.
    cells = [[cell_text(c) for c in lines.raw[number - 1].split("\t")] for number in lines.numbers]
    header = [cell_text(cell).lower() for cell in first.split("\t")]
    if not _is_amazon(header) and not set(header) & set(COLUMNS):
        pairs = all(len(row) == 2 for row in cells)
        if pairs and all(IS_NUMBER.fullmatch(row[1]) for row in cells):
            return _with_scores(lines, [(row[0], float(row[1])) for row in cells])
        if pairs and len(cells) > 1:
            raise lines.fault(
                0,
                f"unknown column or key {quoted(header[0])}: two columns without a header, as a "
                f"lexicon has them (word, tab, spelling); {WITH_HEADER}, tab-separated.",
            )
    return _table(lines, lines.numbers, [header, *cells[1:]])


def _with_scores(lines: Lines, scored: Sequence[tuple[str, float]]) -> ListRows:
    usual = statistics.median(score for _, score in scored)
    note = (
        "read as Flashlight's or Riva's list (word, tab, score); weights are the scores divided by "
        f"their median, {usual:g}"
    )
    rows = [{"name": name, "weight": scaled_weight(score, usual)} for name, score in scored]
    return ListRows(lines.numbers, rows, (note,))


def _is_amazon(header: Sequence[str]) -> bool:
    return "phrase" in header and set(header) <= _AWS


def _table(lines: Lines, numbers: Sequence[int], cells: Sequence[Sequence[str]]) -> ListRows:
    """Rows under a header, which is the first of ``cells``."""
    columns = [column.strip().lower() for column in cells[0]]
    amazon = _is_amazon(columns)
    if not amazon:
        if len(set(columns)) < len(columns):
            raise lines.fault(0, "a column occurs twice in the header.")
        check_keys(columns, f"{lines.source}, line {lines.numbers[0]}", " in the header")
    rows = []
    for number, row in zip(numbers[1:], cells[1:]):
        if len(row) > len(columns):
            raise EntityListError(
                f"{lines.source}, line {number}: has {len(row)} columns, the header has "
                f"{len(columns)}."
            )
        filled = {column: cell.strip() for column, cell in zip(columns, row) if cell.strip()}
        rows.append(_from_amazon(filled) if amazon else {"name": "", **filled})
    notes = []
    if amazon:
        notes.append("read as an Amazon Transcribe vocabulary (Phrase, SoundsLike, DisplayAs)")
        if "ipa" in columns and any(
            len(row) > columns.index("ipa") and row[columns.index("ipa")].strip()
            for row in cells[1:]
        ):
            notes.append("its IPA is not used: 'pronunciations' take ARPAbet")
    return ListRows(numbers[1:], rows, tuple(notes))


def _from_amazon(row: Mapping[str, str]) -> dict[str, Any]:
    """A row of Amazon Transcribe's custom vocabularies with our keys."""
    own: dict[str, Any] = {"name": row.get("phrase", "").replace("-", " ")}
    if "displayas" in row:
        own["display"] = row["displayas"]
    if "soundslike" in row:
        own["sounds_like"] = [row["soundslike"].replace("-", " ")]
    return own


def comma_table(lines: Lines) -> ListRows | None:
    """Comma-separated values; None if the commas are but parts of names."""
    texts = lines.texts
    for delimiter in ",;":
        header = [cell.strip().strip('"').strip().lower() for cell in texts[0].split(delimiter)]
        own = "name" in header or set(header) <= set(COLUMNS)
        if len(header) > 1 and (own or _is_amazon(header)):
            return _table(lines, *_csv_rows(lines, delimiter))
    if not any("," in text or ";" in text for text in texts):
        return None
    alike = any(
        separator in texts[0] and len({text.count(separator) for text in texts}) == 1
        for separator in ",;"
    )
    spaced = any(", " in text or "; " in text for text in texts)
    trailing = all(text.endswith((",", ";")) for text in texts[:-1])
    numbers = sum(bool(_NUMBER_LAST.search(text)) for text in texts)
    if 2 * numbers >= len(texts) or (len(texts) > 1 and alike and not spaced and not trailing):
        kind = "semicolon" if texts[0].count(";") > texts[0].count(",") else "comma"
        headed = len(texts) > 1 and not _NUMBER_LAST.search(texts[0])
        place = 0 if headed else first_place(texts, _NUMBER_LAST.search) or 0
        names_none = f" ({quoted(texts[0])} names no known column)" if headed else ""
        raise lines.fault(
            place,
            f"{kind}-separated values without a header line{names_none}; {WITH_HEADER}, or write "
            "one name per line.",
        )
    marks = max(texts[0].count(","), texts[0].count(";"))
    alone = len(texts) == 1 and (marks > 1 or not spaced or "; " in texts[0])
    if alone and not texts[0].endswith((",", ";")):
        raise lines.fault(
            0, f"is one string with commas, as Whisper's hot words are. {ONE_PER_LINE}."
        )
    return None


def _csv_rows(lines: Lines, delimiter: str) -> tuple[list[int], list[list[str]]]:
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

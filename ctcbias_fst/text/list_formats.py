"""The forms that files of names have: ours, and those of other tools, told apart by their content.

A form that is not ours is read where its meaning is sure, which a note tells, and is refused by
its name where it is not.
"""

from __future__ import annotations

from dataclasses import replace

from ctcbias_fst.errors import EntityListError
from ctcbias_fst.text.json_lists import is_json, json_list
from ctcbias_fst.text.list_lines import Lines, ListRows, without_comments
from ctcbias_fst.text.plain_lists import plain_list, unescaped
from ctcbias_fst.text.table_lists import comma_table, tab_table
from ctcbias_fst.text.text_files import Source, read_lines


def read_list(path: Source) -> ListRows:
    """Read the entries of a list of names.

    Raises:
        EntityListError: it cannot be read, is malformed, or has a form that is not known.
    """
    raw = read_lines(path, EntityListError)
    kept = [(i, line) for i, line in enumerate(map(str.strip, raw), start=1) if line]
    lines = Lines(str(path), raw, [i for i, _ in kept], [line for _, line in kept])
    lines, notes = without_comments(lines, is_json)
    if not lines.texts:
        return ListRows([], [], notes)
    found = json_list(lines) if is_json(lines) else tab_table(lines)
    if found is None:
        lines, told = unescaped(lines)
        if lines.texts[0].lower().startswith("sep=") and len(lines.texts) > 1:
            lines = lines.without({lines.numbers[0]})
        found = comma_table(lines)
        if found is None:
            found = plain_list(lines)
            notes += told
    return replace(found, notes=(*notes, *found.notes)) if notes else found

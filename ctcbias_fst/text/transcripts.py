"""Transcripts from files: what was said, or what a recogniser wrote, by utterance.

Told apart line by line:

- Kaldi's ``text``: ``id word word …`` (an id alone is an empty transcript); tabs are white space;
- the tab-separated references of Le et al. 2021: the second of four columns;
- JSONL with ``id`` (or ``path``) and ``text``; lhotse manifests of cuts or supervisions.

And NIST's CTM, if every line is of it: a word with its recording, channel and times.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ctcbias_fst.errors import ManifestError
from ctcbias_fst.text.manifests import Row, each_once, supervisions_of, utterance_id
from ctcbias_fst.text.text_files import PathLike, content_lines, json_object, quoted
from ctcbias_fst.text.utterances import is_biasing_row

_RECOGNISED = "pred_text"
_CTM = re.compile(r"\S+\s+\S+\s+\d*\.\d+\s+\d*\.\d+\s+\S+(\s+[01](\.\d*)?)?(\s+\S+)?")


def read_transcripts(
    path: PathLike, field: str = "text", *, written: bool = False
) -> dict[str, str]:
    """Return utterance id to text, in the order of the file.

    Args:
        path: the file.
        field: of JSON objects, the key that holds the text; of supervisions, a standard
            or custom field (``phones``). A list of strings is joined with spaces.
        written: of objects with both, the ``pred_text`` is read instead of the ``text``: NeMo adds
            what was recognised to the manifest of what was said.

    Raises:
        ManifestError: the file cannot be read, is empty or malformed, an id occurs twice,
            or an utterance lacks the field.
    """
    lines = _content(path)
    if all(_CTM.fullmatch(line) or line.startswith(";;") for _, line in lines):
        return _of_ctm(lines) or _collect(path, ())
    rows = ((n, *_transcript(line, path, n, field, written)) for n, line in lines)
    return _collect(path, rows)


def _of_ctm(lines: Sequence[tuple[int, str]]) -> dict[str, str]:
    """The words of each recording in order of time."""
    words: dict[str, list[tuple[float, str]]] = {}
    for _, line in lines:
        if not line.startswith(";;"):
            recording, _, start, _, word, *_ = line.split()
            words.setdefault(recording, []).append((float(start), word))
    return {
        recording: " ".join(word for _, word in sorted(found, key=lambda one: one[0]))
        for recording, found in words.items()
    }


def read_groups(path: PathLike, field: str) -> dict[str, str]:
    """Return utterance id to the value of a (custom) field, such as ``domain``.

    Raises:
        ManifestError: as `read_transcripts`; the file holds no JSON objects.
    """
    rows = []
    for number, line in _content(path):
        where = f"{path}, line {number}"
        if not line.startswith("{"):
            raise ManifestError(
                f"{where}: has no field {field!r} to group by: only JSON lines have "
                "fields; give the references as JSON lines, or leave the groups out"
            )
        row = json_object(line, path, number, ManifestError)
        parts = supervisions_of(row, where, ManifestError) or [row]
        values = dict.fromkeys(str(_field(part, field, where)) for part in parts)
        rows.append((number, utterance_id(row, where, ManifestError), "+".join(values)))
    return _collect(path, rows)


def _content(path: PathLike) -> list[tuple[int, str]]:
    return [(number, line.strip()) for number, line in content_lines(path, ManifestError)]


def _collect(path: PathLike, rows: Iterable[tuple[int, str, str]]) -> dict[str, str]:
    texts = {utterance: text for _, utterance, text in each_once(rows, path, ManifestError)}
    if not texts:
        raise ManifestError(f"{path}: holds no utterance.")
    return texts


def _transcript(
    line: str, path: PathLike, number: int, field: str, written: bool
) -> tuple[str, str]:
    if line.startswith("{"):
        row = json_object(line, path, number, ManifestError)
        where = f"{path}, line {number}"
        if written and field == "text" and _RECOGNISED in row:
            field = _RECOGNISED
        several = supervisions_of(row, where, ManifestError) or [row]
        parts = [_text(part, field, where) for part in several]
        return utterance_id(row, where, ManifestError), " ".join(parts)
    if is_biasing_row(line):
        utterance, text = line.split("\t")[:2]
        return utterance, text
    utterance, *rest = line.split(maxsplit=1)
    return utterance, rest[0] if rest else ""


def _text(row: Row, field: str, where: str) -> str:
    value = _field(row, field, where)
    if isinstance(value, list) and all(isinstance(token, str) for token in value):
        return " ".join(value)
    if not isinstance(value, str):
        raise ManifestError(f"{where}: {field!r} must be a string, not {quoted(value)}.")
    return value


def _field(row: Row, field: str, where: str) -> Any:
    custom = row.get("custom")
    if field in row:
        return row[field]
    if isinstance(custom, Mapping) and field in custom:
        return custom[field]
    raise ManifestError(f"{where}: has no field {field!r}.")

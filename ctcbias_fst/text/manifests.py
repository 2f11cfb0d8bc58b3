"""Objects of JSONL files that stand for utterances: lhotse cuts, supervisions, plain ones.

Read as plain JSON, so that scoring a manifest needs neither lhotse nor torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePath
from typing import Any, TypeVar

from ctcbias_fst.errors import InputError
from ctcbias_fst.text.text_files import SURROGATES, Source, as_number, quoted

Row = Mapping[str, Any]
_Value = TypeVar("_Value")


def utterance_id(row: Row, where: str, error: type[InputError]) -> str:
    """Return the object's ``id``, or else its ``path`` without directory and suffix.

    So ``{"path": "clips/a.flac", …}``, as `ctcbias transcribe` writes it, is utterance ``a``, and
    so is NeMo's ``{"audio_filepath": "clips/a.flac", …}``; with an ``offset`` of 2.5 seconds the
    latter is ``a-2.5``.

    Raises:
        error: the object has neither (`where` names file and line), or it is no text that a
            file can hold.
    """
    for key in ("id", "path", "audio_filepath"):
        value = row.get(key)
        if isinstance(value, (str, int)) and not isinstance(value, bool) and value != "":
            found = str(value) if key == "id" else PurePath(str(value)).stem
            if SURROGATES.search(found):
                raise error(f"{where}: {key!r} has half of a character (a lone surrogate).")
            if key == "audio_filepath" and row.get("offset") is not None:
                offset = seconds_of_row(row, "offset", where, error)
                return f"{found}-{offset:g}" if offset else found
            return found
    raise error(f"{where}: neither 'id' nor 'path' (or NeMo's 'audio_filepath') is given.")


def supervisions_of(
    row: Row, where: str = "manifest", error: type[InputError] = InputError
) -> list[Row] | None:
    """Return the supervisions of a lhotse cut (or supervision) in order of time, else None.

    The tracks of a mixed cut are joined; their order respects the tracks' offsets.

    Raises:
        error: something of it has a wrong type (`where` names file and line).
    """
    if "recording_id" in row and "start" in row:
        return [row]
    if "supervisions" in row:
        return _by_start(_objects(row, "supervisions", where, error), where, error)
    if "tracks" not in row:
        return None
    moved: list[Row] = []
    for track in _objects(row, "tracks", where, error):
        offset = seconds_of_row(track, "offset", where, error)
        cut = track.get("cut")
        if cut is not None and not isinstance(cut, Mapping):
            raise error(f"{where}: 'cut' must be an object, not {quoted(cut)}.")
        for supervision in _objects(cut or {}, "supervisions", where, error):
            start = seconds_of_row(supervision, "start", where, error)
            moved.append({**supervision, "start": start + offset})
    return _by_start(moved, where, error)


def each_once(
    rows: Iterable[tuple[int, str, _Value]], path: Source, error: type[InputError]
) -> Iterator[tuple[int, str, _Value]]:
    """Yield rows (line number, utterance id, value), no two of the same utterance.

    Raises:
        error: an id occurs twice.
    """
    lines: dict[str, int] = {}
    for number, utterance, value in rows:
        if utterance in lines:
            raise error(
                f"{path}, line {number}: utterance {quoted(utterance)} was given in line "
                f"{lines[utterance]} already."
            )
        lines[utterance] = number
        yield number, utterance, value


def _by_start(supervisions: Iterable[Row], where: str, error: type[InputError]) -> list[Row]:
    return sorted(supervisions, key=lambda s: seconds_of_row(s, "start", where, error))


def _objects(row: Row, key: str, where: str, error: type[InputError]) -> list[Row]:
    value = row.get(key)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(one, Mapping) for one in value):
        raise error(f"{where}: {key!r} must be a list of objects, not {quoted(value)}.")
    return value


def seconds_of_row(row: Row, key: str, where: str, error: type[InputError]) -> float:
    """A time of a row, 0 where it is not given.

    Raises:
        error: it is no finite number (`where` names file and line).
    """
    value = row.get(key, 0.0)
    number = as_number(value)
    if not math.isfinite(number):
        raise error(f"{where}: {key!r} must be a number, not {quoted(value)}.")
    return number

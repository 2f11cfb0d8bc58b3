"""Objects of JSONL files that stand for utterances: lhotse cuts, supervisions, plain ones.

Read as plain JSON, so that scoring a manifest needs neither lhotse nor torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any

from ctcbias_fst.errors import InputError

__all__ = ["supervisions_of", "utterance_id"]

Row = Mapping[str, Any]


def utterance_id(row: Row, where: str, error: type[InputError]) -> str:
    """Return the object's ``id``, or else its ``path`` without directory and suffix.

    So ``{"path": "clips/a.flac", …}``, as `ctcbias transcribe` writes it, is utterance ``a``.

    Raises:
        error: the object has neither (`where` names file and line).
    """
    for key in ("id", "path"):
        value = row.get(key)
        if isinstance(value, (str, int)) and not isinstance(value, bool) and value != "":
            return str(value) if key == "id" else PurePath(str(value)).stem
    raise error(f"{where}: neither 'id' nor 'path' is given.")


def supervisions_of(row: Row) -> list[Row] | None:
    """Return the supervisions of a lhotse cut (or supervision) in order of time, else None.

    The tracks of a mixed cut are joined; their order respects the tracks' offsets.
    """
    if "recording_id" in row and "start" in row:
        return [row]
    if "supervisions" in row:
        return _by_start(row["supervisions"])
    if "tracks" in row:
        return _by_start(
            {**supervision, "start": float(supervision["start"]) + float(track.get("offset", 0.0))}
            for track in row["tracks"]
            for supervision in track.get("cut", {}).get("supervisions", [])
        )
    return None


def _by_start(supervisions: Iterable[Row]) -> list[Row]:
    return sorted(supervisions, key=lambda s: float(s.get("start", 0.0)))

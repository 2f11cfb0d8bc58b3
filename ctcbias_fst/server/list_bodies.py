"""What requests say of lists that are to be stored, and how these are packed."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from email.message import Message
from typing import Any

from ctcbias_fst.errors import EntityListError
from ctcbias_fst.server.api_errors import ApiError
from ctcbias_fst.server.list_store import Content
from ctcbias_fst.text.entities import entities_from_names
from ctcbias_fst.text.entity_fields import is_texts, without_controls
from ctcbias_fst.text.json_lists import json_document
from ctcbias_fst.text.list_formats import read_list
from ctcbias_fst.text.list_lines import ListRows
from ctcbias_fst.text.normalise import normalise_lines
from ctcbias_fst.text.text_files import Held, as_number, parse_json, quoted, read_lines

Rows = Sequence[str | Mapping[str, Any]]
"""Entries as they were written."""

TOLD = frozenset({"id", "version", "created", "updated", "entries"})
"""What the server says of a list beside its entities, so that it takes what it gave."""

_MARKS = 20
"""Commas, brackets and line ends of an entry, at most: of more, what is read would fill memory."""

_FORMS = frozenset(
    f"application/{kind}"
    for kind in ("gzip", "json-lines", "jsonl", "octet-stream", "x-gzip", "x-ndjson")
)
_FASTEST = 1


@dataclass(frozen=True)
class Body:
    """What a request sent.

    Attributes:
        content: its bytes.
        kind: its content type.
        coding: its content encoding.
        list_id: of the list that it is about; for messages, too.
        most_bytes, most_entries: of a list.
    """

    content: bytes
    kind: str
    coding: str
    list_id: str
    most_bytes: int
    most_entries: int

    @property
    def is_json(self) -> bool:
        """Whether it says that it is JSON."""
        kind, _ = _kind_of(self.kind)
        return kind == "application/json" or kind.endswith("+json")

    def rows(self) -> ListRows:
        """The entries of a list.

        Raises:
            ApiError: its type is not taken, or it is too long.
            EntityListError: it is malformed.
        """
        held = self._held()
        if self.is_json:
            found = self._of_json(self._json(held))
        else:
            found = read_list(held)
            if not found.rows:
                raise EntityListError(f"{self.list_id}: there is no name in it: write one per line")
        self.require_few(len(found.rows))
        return replace(found, rows=[_with_numbers(row) for row in found.rows])

    def changes(self) -> Changes:
        """What is to be changed of a list.

        Raises:
            ApiError: it is not JSON, or too long.
            EntityListError: it is malformed.
        """
        if not self.is_json:
            raise ApiError(
                415,
                'send application/json: {"add": [...], "remove": [...]}; PUT takes other forms',
            )
        value = self._json(self._held())
        if not isinstance(value, dict) or not value or set(value) - {"add", "remove"}:
            raise ApiError(
                400, f'send {{"add": [...], "remove": [...]}}, or one of them, not {quoted(value)}'
            )
        add, remove = (value.get(key, []) for key in ("add", "remove"))
        if not isinstance(add, list):
            raise ApiError(400, f"add is an array of names, not {quoted(add)}", param="add")
        if not is_texts(remove):
            raise ApiError(
                400, f"remove is an array of names, not {quoted(remove)}", param="remove"
            )
        rows = json_document(add, "add").rows
        entities_from_names(rows, "add", "entry")  # what is malformed is told by its place there
        return Changes([_with_numbers(row) for row in rows], remove)

    def require_few(self, entries: int) -> None:
        """Refuse a list that is too long.

        Raises:
            ApiError: it is.
        """
        if entries > self.most_entries:
            raise ApiError(
                413,
                f"{self.list_id}: {entries} names, and a list has at most {self.most_entries}",
                code="too_many_names",
            )

    def _held(self) -> Held:
        kind, charset = _kind_of(self.kind)
        if kind and not (self.is_json or kind.startswith("text/") or kind in _FORMS):
            raise ApiError(
                415,
                f"{quoted(kind)} is not taken: send a list as application/json, text/plain or "
                "text/csv",
            )
        if charset not in ("", "utf-8", "utf8", "us-ascii"):
            raise ApiError(415, f"{quoted(charset)} is not taken: send UTF-8")
        content = self.content
        if self.coding not in ("", "identity", "gzip"):
            raise ApiError(415, f"content-encoding {quoted(self.coding)} is not taken: gzip is")
        if content.startswith(b"\x1f\x8b"):
            content = self._unpacked(content)
        elif self.coding == "gzip":
            raise ApiError(400, f"{self.list_id}: is not gzip, as its content-encoding says")
        if not content.strip():
            raise ApiError(400, f'{self.list_id}: the body is empty: send {{"entities": [...]}}')
        if sum(map(content.count, (b",", b"[", b"{", b"\n", b"\r"))) > _MARKS * self.most_entries:
            raise ApiError(
                413,
                f"{self.list_id}: has more commas, brackets and lines than {self.most_entries} "
                "names have, as many as a list may have",
                code="too_many_names",
            )
        return Held(self.list_id, content)

    def _unpacked(self, content: bytes) -> bytes:
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(content)) as stream:
                found = stream.read(self.most_bytes + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise ApiError(400, f"{self.list_id}: damaged gzip: {error}") from None
        if len(found) > self.most_bytes:
            raise ApiError(
                413,
                f"{self.list_id}: unpacks to more than {self.most_bytes / 1e6:g} MB",
                code="request_too_large",
            )
        return found

    def _json(self, held: Held) -> Any:
        return parse_json(
            "\n".join(read_lines(held, EntityListError)), self.list_id, EntityListError
        )

    def _of_json(self, value: Any) -> ListRows:
        if not isinstance(value, dict) or not isinstance(value.get("entities"), list):
            return json_document(value, self.list_id)
        if value.get("id", self.list_id) != self.list_id:
            raise ApiError(
                400, f"{self.list_id}: the body is the list {quoted(value['id'])}", param="id"
            )
        others = {key: one for key, one in value.items() if key not in TOLD}
        # What has no other key is our own form, of which nothing is to be told.
        return json_document(others if len(others) > 1 else others["entities"], self.list_id)


@dataclass(frozen=True)
class Changes:
    """What is to be changed of a list: first what goes, then what comes.

    Attributes:
        add: entries; those that are there by the same name are replaced.
        remove: names, in any writing.
    """

    add: Rows
    remove: Sequence[str]

    def of(self, rows: Rows) -> tuple[Rows, list[str]]:
        """The list afterwards, and the names to remove that were not in it."""
        names, gone = names_of(rows), names_of(self.remove)
        there, going = set(names), set(gone)
        kept = {i: row for i, (name, row) in enumerate(zip(names, rows)) if name not in going}
        places: dict[str, int] = {}
        for i in kept:
            places.setdefault(names[i], i)
        for i, (name, row) in enumerate(zip(names_of(self.add), self.add), start=len(rows)):
            kept[places.setdefault(name, i)] = row
        missing = [text for text, name in zip(self.remove, gone) if name not in there]
        return list(kept.values()), missing


def names_of(rows: Rows) -> list[str]:
    """By what entries are the same: their normal form, or what has none."""
    texts = [row if isinstance(row, str) else str(row["name"]) for row in rows]
    return [name or text for name, text in zip(normalise_lines(without_controls(texts)), texts)]


def packed(rows: Rows, list_id: str) -> Content:
    """A list as it is stored.

    Raises:
        EntityListError: it has a number that JSON has not.
    """
    try:
        text = json.dumps(rows, allow_nan=False, separators=(",", ":")).encode("ascii")
    except (ValueError, RecursionError):
        raise EntityListError(
            f"{list_id}: has a number that is not finite, which JSON has not, or is nested too "
            "deeply"
        ) from None
    return Content(len(rows), hashlib.sha256(text).hexdigest(), zlib.compress(text, _FASTEST))


def unpacked(content: bytes) -> list[str | dict[str, Any]]:
    """The entries of a list that was stored."""
    rows: list[str | dict[str, Any]] = json.loads(zlib.decompress(content))
    return rows


def _with_numbers(row: str | Mapping[str, Any]) -> str | Mapping[str, Any]:
    """An entry whose numbers are such, also if it comes of a table."""
    if isinstance(row, str):
        return row
    texts = {key: row[key] for key in ("weight", "prior") if isinstance(row.get(key), str)}
    numbers = {key: as_number(value) for key, value in texts.items()}
    finite = {key: number for key, number in numbers.items() if math.isfinite(number)}
    return {**row, **finite} if finite else row


def _kind_of(header: str) -> tuple[str, str]:
    """A content type and its charset."""
    message = Message()
    if header:
        message["content-type"] = header
        return message.get_content_type(), str(message.get_param("charset", "")).lower()
    return "", ""

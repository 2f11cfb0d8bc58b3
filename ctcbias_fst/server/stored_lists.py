"""Lists that are kept on a server: stored, changed, and compiled when they are first used."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from anyio import CapacityLimiter, fail_after, to_thread

from ctcbias_fst.compiled import CompiledEntities
from ctcbias_fst.errors import CtcbiasError
from ctcbias_fst.server.api_errors import ApiError
from ctcbias_fst.server.list_bodies import Body, Rows, packed, unpacked
from ctcbias_fst.server.list_store import LONGEST_ID, Content, ListRow, ListStore, StoreError
from ctcbias_fst.server.service import Service
from ctcbias_fst.text.encoded_entities import nothing_collected
from ctcbias_fst.text.entities import EntityList, entities_from_names, entities_from_rows
from ctcbias_fst.text.list_lines import ListRows
from ctcbias_fst.text.text_files import first_few, quoted

_log = logging.getLogger(__name__)

_ID = re.compile(r"[A-Za-z0-9._-]+")
_TRIES = 100
_QUERIES, _UPLOADS = 4, 2
"""Side by side. A list of a million names takes some seconds and a gigabyte to be read."""

_PLACE_SECONDS = 30.0
"""Until one is free; then the client is to come again."""

_COUNT_SECONDS = 1.0
"""Whoever asks for all numbers of a server does not wait longer for that of names."""

T = TypeVar("T")


@dataclass(frozen=True)
class Condition:
    """What a writer wants to have been there.

    Attributes:
        versions: one of these (``If-Match``), if it is not None.
        present: any (``If-Match: *``).
        absent: none (``If-None-Match: *``).
    """

    versions: frozenset[int] | None = None
    present: bool = False
    absent: bool = False

    @property
    def is_wanted(self) -> bool:
        """Whether a list must be there."""
        return self.present or self.versions is not None

    def _has(self, version: int) -> bool:
        return self.versions is None or version in self.versions

    def check(self, list_id: str, row: ListRow | None) -> None:
        """Refuse to go on.

        Raises:
            ApiError: another version is there, or one at all (412).
        """
        there = row is not None and row.is_there
        version = row.version if row is not None and there else 0
        if self.absent and there:
            told = f"{list_id}: there is a list of this name, version {version}"
        elif self.is_wanted and not (there and self._has(version)):
            now = f"version {version} is there" if there else "there is none"
            told = f"{list_id}: {now}: it was changed meanwhile; read it again"
        else:
            return
        headers = {"ETag": f'"{version}"'} if there else {}
        raise ApiError(412, told, code="other_version", headers=headers)


@dataclass(frozen=True)
class Written:
    """What came of a list that was written.

    Attributes:
        row: as it is now.
        is_new: whether there was none of its name.
        entities: its names, those that have an effect and those that have not.
        warnings: what was changed otherwise than it was asked for.
    """

    row: ListRow
    is_new: bool
    entities: EntityList
    warnings: tuple[str, ...] = ()


class _MovedError(Exception):
    """A list is not any more what it was."""


class StoredLists:
    """The lists of a server. Used in the event loop of its service.

    Args:
        service: compiles them.
        store: keeps them; it is closed with this.
        place_seconds: how long a request waits for others to be done.
    """

    def __init__(
        self, service: Service, store: ListStore, place_seconds: float = _PLACE_SECONDS
    ) -> None:
        self._service, self._store, self._place_seconds = service, store, place_seconds
        self._queries, self._uploads = CapacityLimiter(_QUERIES), CapacityLimiter(_UPLOADS)
        self._threads = CapacityLimiter(_QUERIES + _UPLOADS)  # whoever has a place has a thread
        self._counting: asyncio.Task[int] | None = None

    async def compiled(self, list_id: str) -> CompiledEntities:
        """A list, compiled: now, if it was not used since it was changed.

        Raises:
            ApiError: there is none of this name (404), or it cannot be read now (503).
        """
        while True:
            row = await self.find(list_id)
            key = _key(row)

            def make(row: ListRow = row) -> CompiledEntities:
                _, rows = self._read(row.id, row.digest)
                with nothing_collected():
                    entities = entities_from_names(rows, row.id, "entry")
                return self._service.recognizer.compile(entities, warn=False)

            try:
                return await self._service.compiled(key, make, row.entries)
            except _MovedError:
                continue
            except StoreError as error:
                raise _unavailable(error) from error

    async def find(self, list_id: str) -> ListRow:
        """What is known of a list.

        Raises:
            ApiError: there is none of this name (404), none can have it (400).
        """
        require_id(list_id)
        row = await self._query(self._store.find, list_id)
        if row is None or not row.is_there:
            raise _missing(list_id)
        return row

    async def read(self, list_id: str) -> tuple[ListRow, Rows]:
        """A list and its entries, as they were written. It needs a `place`.

        Raises:
            ApiError: as `find`.
        """
        require_id(list_id)
        return await self.aside(self._read, list_id)

    async def page(self, after: str, most: int) -> list[ListRow]:
        """Lists in the order of their names, from behind one on.

        Raises:
            ApiError: none can have such a name (400), or they cannot be read now (503).
        """
        if after:
            require_id(after, "after")
        return await self._query(self._store.page, after, most)

    async def count_entries(self) -> int:
        """Of all lists in sum.

        Raises:
            ApiError: it is not known within a second (503).
        """
        if self._counting is None or self._counting.done():
            self._counting = asyncio.create_task(self._query(self._store.entries))
            self._counting.add_done_callback(lambda done: done.cancelled() or done.exception())
        done, _ = await asyncio.wait([self._counting], timeout=_COUNT_SECONDS)
        if not done:
            raise _unanswered()
        return self._counting.result()

    async def put(self, list_id: str, body: Body, condition: Condition) -> Written:
        """Store a list in the place of what was there. It needs a `place`.

        Raises:
            ApiError: it is no list, or none of its entries can have an effect (400); it is too long
                (413); another version is there (412).
        """
        require_id(list_id)
        return await self.aside(self._put, list_id, body, condition)

    async def patch(self, list_id: str, body: Body, condition: Condition) -> Written:
        """Add names to a list, and remove others, all or none of them. It needs a `place`.

        Raises:
            ApiError: as `put`, or there is no such list (404).
        """
        require_id(list_id)
        return await self.aside(self._patch, list_id, body, condition)

    async def delete(self, list_id: str, condition: Condition) -> None:
        """Delete a list.

        Raises:
            ApiError: there is none of this name (404), another version is there (412).
        """
        require_id(list_id)
        await self._query(self._delete, list_id, condition)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """One of a few for what takes as much memory as a list has names, or its body bytes.

        Raises:
            ApiError: others have them all, and keep them (429).
        """
        async with self._place(self._uploads, _crowded):
            yield

    async def aside(self, work: Callable[..., T], *args: Any) -> T:
        """Do what takes as long as a list is. It needs a `place`."""
        try:
            return await to_thread.run_sync(work, *args, limiter=self._threads)
        except StoreError as error:
            raise _unavailable(error) from error
        except CtcbiasError as error:
            raise ApiError.of(error, param="entities") from error

    async def close(self) -> None:
        """Let go of the database."""
        await to_thread.run_sync(self._store.close)

    async def _query(self, work: Callable[..., T], *args: Any) -> T:
        """Ask the database, in the place of one of a few that do."""
        async with self._place(self._queries, _unanswered):
            return await self.aside(work, *args)

    @asynccontextmanager
    async def _place(
        self, places: CapacityLimiter, refused: Callable[[], ApiError]
    ) -> AsyncIterator[None]:
        mine = object()
        try:
            with fail_after(self._place_seconds):
                await places.acquire_on_behalf_of(mine)
        except TimeoutError:
            raise refused() from None
        try:
            yield
        finally:
            places.release_on_behalf_of(mine)

    def _read(self, list_id: str, digest: str | None = None) -> tuple[ListRow, Rows]:
        found = self._store.read(list_id)
        if digest is not None and (found is None or found[0].digest != digest):
            raise _MovedError
        if found is None:
            raise _missing(list_id)
        row, content = found
        return row, unpacked(content)

    def _put(self, list_id: str, body: Body, condition: Condition) -> Written:
        condition.check(list_id, self._store.find(list_id))  # before what takes long
        found = body.rows()
        entities = self._checked(found, list_id)
        content = packed(found.rows, list_id)
        for _ in range(_TRIES):
            before = self._store.find(list_id)
            condition.check(list_id, before)
            row = self._swapped(list_id, before, content)
            if row is not None:
                return Written(row, before is None or not before.is_there, entities)
        raise _contended(list_id)

    def _patch(self, list_id: str, body: Body, condition: Condition) -> Written:
        changes = body.changes()
        for _ in range(_TRIES):
            before, rows = self._read(list_id)
            condition.check(list_id, before)
            rows, missing = changes.of(rows)
            body.require_few(len(rows))
            entities = self._checked(ListRows(range(1, len(rows) + 1), rows, (), "entry"), list_id)
            row = self._swapped(list_id, before, packed(rows, list_id))
            if row is not None:
                told = first_few([quoted(text) for text in missing], 3)
                lost = (f"{list_id}: not in it, so not removed: {told}",) if missing else ()
                return Written(row, False, entities, lost)
        raise _contended(list_id)

    def _delete(self, list_id: str, condition: Condition) -> None:
        for _ in range(_TRIES):
            before = self._store.find(list_id)
            if before is None or not before.is_there:
                raise _missing(list_id)
            condition.check(list_id, before)
            if self._swapped(list_id, before, None) is not None:
                return
        raise _contended(list_id)

    def _swapped(
        self, list_id: str, before: ListRow | None, content: Content | None
    ) -> ListRow | None:
        row = self._store.swap(list_id, before, content)
        if row is not None and before is not None and before.digest != row.digest:
            self._service.cache.drop(_key(before))
        return row

    def _checked(self, found: ListRows, list_id: str) -> EntityList:
        """What a model makes of the entries, before they are stored."""
        with nothing_collected():
            entities = entities_from_rows(found, list_id)
        return self._service.recognizer.decoder.compiler.checked(entities, warn=False)


def require_id(list_id: str, param: str = "id") -> None:
    """Refuse what is no name of a list.

    Args:
        list_id: the name.
        param: where it was said.

    Raises:
        ApiError: it is none.
    """
    good = len(list_id) <= LONGEST_ID and _ID.fullmatch(list_id) and list_id not in (".", "..")
    if not good:
        raise ApiError(
            400,
            f"a list's id is 1 to {LONGEST_ID} of A-Z, a-z, 0-9, '.', '_' and '-', not "
            f"{quoted(list_id)}",
            param=param,
        )


def _key(row: ListRow) -> tuple[str, str]:
    return row.id, row.digest


def _missing(list_id: str) -> ApiError:
    return ApiError(
        404, f"there is no list {list_id}: store it (PUT /v1/lists/{list_id})", param="list_id"
    )


def _contended(list_id: str) -> ApiError:
    return ApiError(
        409, f"{list_id}: others change it all the time ({_TRIES} tries): try again later"
    )


def _crowded() -> ApiError:
    return ApiError(
        429,
        f"{_UPLOADS} lists are written or read already, as many as may: try again in 10 s",
        code="too_many_requests",
        headers={"Retry-After": "10", "Connection": "close"},  # a body may not be read yet
    )


def _unanswered() -> ApiError:
    return _unavailable(StoreError("the database does not answer"))


def _unavailable(error: StoreError) -> ApiError:
    _log.error("lists: %s", error)
    return ApiError(
        503,
        "lists cannot be read or written now: try again later; the server's log has why",
        code="lists_unavailable",
        headers={"Retry-After": "5"},
    )

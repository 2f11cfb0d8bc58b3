"""Where lists are kept: a table of SQLite or PostgreSQL, a row for each list.

Whoever writes names the version that was there, so that of several writers, in any processes, one
comes through and the others look again. What was written is on disk when `ListStore.swap` returns.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    create_engine,
    event,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, IntegrityError, SQLAlchemyError
from sqlalchemy.schema import CreateTable

from ctcbias_fst.errors import ConfigError, MissingDependencyError
from ctcbias_fst.files import check_output, naming

LONGEST_ID = 128
_WAIT_SECONDS = 30
"""For another writer of SQLite."""

_ANSWERS = {"connect_timeout": 10, "keepalives_idle": 10, "keepalives_interval": 5}
_ANSWERS |= {"keepalives_count": 3, "tcp_user_timeout": 20_000}
"""When a PostgreSQL that does not answer is given up: seconds, the last one milliseconds."""

_BOUNDS = "-c lock_timeout=5s -c statement_timeout=20s -c idle_in_transaction_session_timeout=60s"
"""How long PostgreSQL lets a statement wait for others, and work."""

_SQLITE, _POSTGRES = "sqlite", "postgresql"

_LISTS = Table(
    "ctcbias_lists",
    MetaData(),
    # In the order of its letters' numbers, in any country.
    Column(
        "id",
        String(LONGEST_ID).with_variant(String(LONGEST_ID, collation="C"), _POSTGRES),
        primary_key=True,
    ),
    Column("version", Integer, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("updated", BigInteger, nullable=False),
    Column("entries", Integer, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("content", LargeBinary, nullable=False),
)
_KNOWN = [column for column in _LISTS.c if column.name != "content"]
_THERE = _LISTS.c.digest != ""


class StoreError(Exception):
    """The database does not do what it is asked for; the message is for the log."""


class ListRow(NamedTuple):
    """What is known of a list without reading it.

    Attributes:
        id: its name.
        version: 1, and one more with every change; it counts on where a list was deleted.
        created, updated: seconds since 1970.
        entries: how many there are.
        digest: of its content; empty if it was deleted.
    """

    id: str
    version: int
    created: int
    updated: int
    entries: int
    digest: str

    @property
    def is_there(self) -> bool:
        """Whether it was not deleted."""
        return bool(self.digest)


class Content(NamedTuple):
    """What a list says.

    Attributes:
        entries: how many there are.
        digest: of what is packed.
        packed: them.
    """

    entries: int
    digest: str
    packed: bytes


_DELETED = Content(0, "", b"")


class ListStore:
    """Lists in a database. Threads may share it, and processes the database.

    Args:
        where: the path of SQLite's file, which is made if it is missing, or a URL of PostgreSQL
            (``postgresql://user:password@host/name``).

    Raises:
        ConfigError: it cannot be opened, or is of another kind.
        OSError: the file cannot be made.
        MissingDependencyError: the driver is not installed.
    """

    def __init__(self, where: str | Path) -> None:
        url = _url_of(where)
        self.where = url.database if url.drivername == _SQLITE else _shown(url)
        try:
            self._engine = _engine_of(url)
            _make_table(self._engine)
        except SQLAlchemyError as error:
            raise ConfigError(
                f"--lists {self.where}: cannot be used: {_reason(error)}; name another file or "
                "database, or give --no-lists"
            ) from None
        except ImportError as error:
            raise MissingDependencyError(
                "lists in PostgreSQL need psycopg: pip install 'ctcbias_fst[postgres]'"
            ) from error

    def find(self, list_id: str) -> ListRow | None:
        """What is known of a list, also of one that was deleted."""
        with self._reading() as connection:
            found = connection.execute(select(*_KNOWN).where(_LISTS.c.id == list_id)).first()
        return None if found is None else ListRow(*found)

    def read(self, list_id: str) -> tuple[ListRow, bytes] | None:
        """A list and what is packed of it, both of the same version; None if it is not there."""
        wanted = select(_LISTS).where(_LISTS.c.id == list_id, _THERE)
        with self._reading() as connection:
            found = connection.execute(wanted).mappings().first()
        if found is None:
            return None
        row = ListRow(*(found[name] for name in ListRow._fields))
        return row, bytes(found["content"])

    def page(self, after: str, most: int) -> list[ListRow]:
        """Lists in the order of their names, from behind one on."""
        wanted = select(*_KNOWN).where(_LISTS.c.id > after, _THERE).order_by(_LISTS.c.id)
        with self._reading() as connection:
            return [ListRow(*found) for found in connection.execute(wanted.limit(most))]

    def entries(self) -> int:
        """Of all lists in sum."""
        with self._reading() as connection:
            return int(connection.execute(select(func.sum(_LISTS.c.entries))).scalar() or 0)

    def swap(self, list_id: str, before: ListRow | None, content: Content | None) -> ListRow | None:
        """Write a list, or delete it, if it still is what it was.

        Args:
            list_id: its name.
            before: what `find` told.
            content: None deletes it.

        Returns:
            the list as it is now, on disk; None if another writer was there before.
        """
        now = int(time.time())
        version, created = 0, now
        if before is not None:
            version, created = before.version, before.created if before.is_there else now
        entries, digest, packed = content or _DELETED
        after = ListRow(list_id, version + 1, created, now, entries, digest)
        values = {**after._asdict(), "content": packed}
        try:
            with self._writing() as connection:
                if before is None:
                    connection.execute(insert(_LISTS).values(values))
                    return after
                same = (_LISTS.c.id == list_id) & (_LISTS.c.version == version)
                done = connection.execute(update(_LISTS).where(same).values(values))
                return after if done.rowcount else None
        except IntegrityError:  # another one has made it
            return None

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        try:
            with self._engine.connect() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise StoreError(_reason(error)) from error

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """What is written is on disk at the end, whatever the database does otherwise."""
        try:
            with self._engine.begin() as connection:
                if connection.dialect.name == _POSTGRES:
                    connection.execute(text("SET LOCAL synchronous_commit TO on"))
                yield connection
        except IntegrityError:
            raise
        except SQLAlchemyError as error:
            raise StoreError(_reason(error)) from error


def default_path() -> Path:
    """The file of lists in the user's data folder.

    Raises:
        ConfigError: the user has none.
    """
    try:
        home = Path.home()
    except RuntimeError:
        raise ConfigError(
            "there is no home folder to keep lists in: name a file with --lists, or give --no-lists"
        ) from None
    if sys.platform == "darwin":
        folder = home / "Library" / "Application Support"
    elif sys.platform == "win32":
        folder = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    else:
        folder = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    return folder / "ctcbias" / "lists.sqlite"


def _url_of(where: str | Path) -> URL:
    """A path or a URL as SQLAlchemy has it, with the driver that is tested."""
    if isinstance(where, Path) or "://" not in where:
        return URL.create(_SQLITE, database=str(where))
    try:
        url = make_url(where)
    except (ArgumentError, ValueError):
        raise ConfigError(
            "--lists: this is no URL; one is postgresql://user:password@host/name"
        ) from None
    kind = url.drivername.partition("+")[0]
    if kind in ("postgres", _POSTGRES):
        return url.set(drivername="postgresql+psycopg")
    if kind == _SQLITE and url.database and url.database != ":memory:" and not url.query:
        return URL.create(_SQLITE, database=url.database)
    raise ConfigError(f"--lists: {_shown(url)} is neither the path of a file nor postgresql://…")


def _shown(url: URL) -> str:
    """Without its password."""
    return url.set(query={}).render_as_string()


def _engine_of(url: URL) -> Engine:
    if url.drivername != _SQLITE:
        # What a URL says of them comes behind, and counts.
        bounds = {"options": " ".join((_BOUNDS, *url.normalized_query.get("options", ())))}
        waits = {name: most for name, most in _ANSWERS.items() if name not in url.query}
        return create_engine(url, pool_pre_ping=True, connect_args={**waits, **bounds})
    assert url.database is not None
    _make_file(Path(url.database))
    engine = create_engine(url, connect_args={"timeout": _WAIT_SECONDS})

    @event.listens_for(engine, "connect")
    def durable(connection: Any, record: object) -> None:
        del record
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")

    return engine


def _make_file(path: Path) -> None:
    """A file that nobody else may read: lists are of customers, and of patients."""
    check_output(path)
    with naming(path):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))


def _make_table(engine: Engine) -> None:
    for last in (False, True):
        try:
            with engine.begin() as connection:
                connection.execute(CreateTable(_LISTS, if_not_exists=True))
            return
        except IntegrityError:  # PostgreSQL's, where another server makes it at the same time
            if last:
                raise


def _reason(error: SQLAlchemyError) -> str:
    """What the database says, in one line, without what was asked of it."""
    return " ".join(str(getattr(error, "orig", None) or error).split())

"""What is acknowledged is there, whoever writes at the same time and whatever dies."""

from __future__ import annotations

import os
import random
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy", reason="the extra serve is not installed")

import sqlalchemy

from ctcbias_fst.errors import ConfigError, MissingDependencyError
from ctcbias_fst.server.list_store import Content, ListRow, ListStore, StoreError, default_path
from tests.server.list_writer import WRITERS, content
from tests.server.postgres import Cluster, cluster

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def postgres() -> Iterator[Cluster]:
    with cluster() as one:
        yield one


@pytest.fixture(params=["sqlite", "postgres"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Of an empty store."""
    if request.param == "sqlite":
        yield str(tmp_path / "new" / "lists.sqlite")
        return
    url = request.getfixturevalue("postgres").url
    yield url
    store = ListStore(url)
    with store._writing() as connection:
        connection.execute(sqlalchemy.text("DROP TABLE ctcbias_lists"))
    store.close()


@pytest.fixture
def store(where: str) -> Iterator[ListStore]:
    one = ListStore(where)
    yield one
    one.close()


def test_it_is_what_a_dictionary_with_versions_is(store: ListStore) -> None:
    rng = random.Random(0)
    known: dict[str, ListRow] = {}
    packed: dict[str, bytes] = {}
    for number in range(200):
        list_id = rng.choice(["a", "B", "b", "c.d", "x" * 128])
        before = store.find(list_id)
        assert before == known.get(list_id)
        text = f"{list_id} {number}".encode()
        new = None if rng.random() < 0.3 else Content(number, f"digest {number}", text)
        stale = before is not None and rng.random() < 0.3
        if stale:
            assert before is not None
            assert store.swap(list_id, before._replace(version=before.version - 1), new) is None
            continue
        row = store.swap(list_id, before, new)
        assert row is not None and row.version == (1 if before is None else before.version + 1)
        assert row.is_there == (new is not None)
        if before is not None and before.is_there:
            assert row.created == before.created
        known[list_id], packed[list_id] = row, b"" if new is None else new.packed
        assert store.read(list_id) == ((row, packed[list_id]) if row.is_there else None)
        assert store.swap(list_id, None, new) is None, "it is there already"
        there = sorted(one for one in known if known[one].is_there)
        assert [one.id for one in store.page("", 100)] == there
        assert [one.id for one in store.page("a", 2)] == [one for one in there if one > "a"][:2]
        assert store.entries() == sum(one.entries for one in known.values())


def test_of_writers_at_the_same_time_none_is_lost(where: str, store: ListStore) -> None:
    other = ListStore(where)
    stores = (store, other)

    def add(number: int) -> int:
        mine, tries = stores[number % 2], 0
        while True:
            tries += 1
            found = mine.read("all")
            row, old = (None, b"") if found is None else found
            packed = old + f" {number}".encode()
            if mine.swap("all", row, Content(len(packed.split()), "digest", packed)):
                return tries

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(add, range(64)))
    found = store.read("all")
    assert found is not None
    assert sorted(map(int, found[1].split())) == list(range(64))
    assert found[0].version == found[0].entries == 64
    other.close()


def test_what_is_written_is_on_disk(where: str, store: ListStore) -> None:
    with store._writing() as connection:
        if where.startswith("postgresql"):
            connection.execute(sqlalchemy.text("SET synchronous_commit TO off"))
            shown = sqlalchemy.text("SHOW synchronous_commit")
        else:
            assert connection.execute(sqlalchemy.text("PRAGMA journal_mode")).scalar() == "wal"
            assert connection.execute(sqlalchemy.text("PRAGMA synchronous")).scalar() == 2  # FULL
            return
    with store._writing() as connection:
        assert connection.execute(shown).scalar() == "on"


def killed(where: str, seed: int) -> None:
    """Kill a writer after some lists, and look for all that it was told of."""
    rng = random.Random(seed)
    first = 1 + 10_000 * seed
    arguments = [sys.executable, str(ROOT / "tests" / "server" / "list_writer.py"), where]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [*arguments, str(first)], stdout=subprocess.PIPE, env=environment, text=True
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(rng.randint(3, 40))]
        process.kill()
        lines += process.stdout.readlines()
    told = {}
    for line in lines:
        list_id, number, version = line.split()
        told[list_id] = int(number), int(version)
    store = ListStore(where)
    for list_id in WRITERS:
        found = store.read(list_id)
        number, version = told.get(list_id, (first - 1, 0))
        if found is None:
            assert list_id not in told
            continue
        row, packed = found
        ahead = row.version - version if version else row.entries - number
        if list_id in told:
            assert ahead in (0, 1), "what was acknowledged is there, and what was begun at most"
            assert row.entries == number + ahead
        assert Content(row.entries, row.digest, packed) == content(list_id, row.entries)
    store.close()


def test_a_writer_that_is_killed_leaves_what_was_acknowledged(where: str) -> None:
    for seed in range(3):
        killed(where, seed)


@pytest.mark.slow
def test_one_that_is_killed_fifty_times(where: str) -> None:
    for seed in range(50):
        killed(where, seed)


def test_a_database_that_crashes_keeps_what_was_acknowledged(postgres: Cluster) -> None:
    store = ListStore(postgres.url)
    row = None
    for number in range(20):
        row = store.swap("crashed", row, content("crashed", number))
    postgres.stop("immediate")
    with pytest.raises(StoreError):
        store.find("crashed")
    postgres.start()
    assert store.read("crashed") == (row, content("crashed", 19).packed)
    store.close()


def test_a_table_that_another_one_holds_is_given_up(postgres: Cluster) -> None:
    store = ListStore(f"{postgres.url}&options=-c%20lock_timeout%3D20ms")
    row = store.swap("held", None, content("held", 1))
    other = ListStore(postgres.url)
    with other._writing() as connection:
        connection.execute(sqlalchemy.text("LOCK TABLE ctcbias_lists IN ACCESS EXCLUSIVE MODE"))
        for ask in (
            lambda: store.find("held"),
            lambda: store.read("held"),
            lambda: store.page("", 1),
            store.entries,
            lambda: store.swap("held", row, None),
        ):
            with pytest.raises(StoreError, match="lock timeout"):
                ask()
    assert store.find("held") == row
    for one in (store, other):
        one.close()


def test_no_statement_of_postgres_lasts_without_end(postgres: Cluster) -> None:
    store = ListStore(f"{postgres.url}&connect_timeout=7&options=-c%20work_mem%3D3MB")
    wanted = ("lock_timeout", "statement_timeout", "work_mem")
    with store._reading() as connection:
        shown = [connection.execute(sqlalchemy.text(f"SHOW {name}")).scalar() for name in wanted]
        told = connection.connection.driver_connection.info.get_parameters()  # type: ignore[union-attr]
    assert shown == ["5s", "20s", "3MB"]
    assert told["connect_timeout"] == "7" and told["tcp_user_timeout"] == "20000"
    store.close()


def test_a_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "data" / "lists.sqlite"
    store = ListStore(path)
    store.swap("a", None, content("a", 1))
    assert {stat.S_IMODE(one.stat().st_mode) for one in path.parent.iterdir()} == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    store.close()


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("{folder}", "it is a folder, and a file is wanted"),
        ("{folder}/text/lists", "text is a file, not a folder"),
        ("{folder}/text", "file is not a database"),
        ("sqlite://", "neither the path of a file nor postgresql://"),
        ("mysql://me:secret@host/db", "neither the path of a file nor postgresql://"),
        ("postgresql://me:secret@host:port/db", "this is no URL"),
        ("postgresql://me:secret@127.0.0.1:1/db?password=secret", "cannot be used: conn"),
    ],
)
def test_what_cannot_be_used_is_told_without_its_password(
    tmp_path: Path, where: str, told: str
) -> None:
    if where.startswith("postgresql://"):
        pytest.importorskip("psycopg", reason="the extra postgres is not installed")
    (tmp_path / "text").write_text("no database\n" * 1000)
    with pytest.raises(ConfigError) as caught:
        ListStore(where.format(folder=tmp_path))
    message = str(caught.value)
    assert told in message and "secret" not in message and "\n" not in message


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingDependencyError, match="pip install 'ctcbias_fst\\[postgres\\]'"):
        ListStore("postgres://host/db")


def test_lists_are_in_the_folder_of_the_users_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert default_path() == tmp_path / ".local" / "share" / "ctcbias" / "lists.sqlite"
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert default_path() == tmp_path / "data" / "ctcbias" / "lists.sqlite"

"""Whatever others do with lists, a request is answered: those who wait are told to come again."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from http.client import HTTPResponse
from pathlib import Path
from socket import create_connection, socket

import pytest

pytest.importorskip("sqlalchemy", reason="the extra serve is not installed")

import httpx
import sqlalchemy

from ctcbias_fst.models.package import DEFAULT
from ctcbias_fst.server.list_store import ListStore
from ctcbias_fst.server.stored_lists import StoredLists
from tests.server.conftest import Serves
from tests.server.postgres import Cluster, cluster

BODY = json.dumps({"entities": ["Zurich"]}).encode()


@pytest.fixture(scope="module")
def postgres() -> Iterator[Cluster]:
    with cluster() as one:
        yield one


def begun(port: int, method: str, list_id: str) -> tuple[socket, bytes]:
    """A request whose body is sent when it is asked for, and the first line that is answered."""
    one = create_connection(("127.0.0.1", port), timeout=60)
    head = f"{method} /v1/lists/{list_id} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n"
    one.sendall(head.encode())
    return one, one.recv(25)


def test_no_more_bodies_are_read_than_memory_has_room_for(runs: Serves, tmp_path: Path) -> None:
    with runs() as (service, port), ExitStack() as sockets:
        store = ListStore(tmp_path / "lists")
        service.lists = StoredLists(service, store, place_seconds=0.2)
        slow = [begun(port, "PUT", f"slow-{i}") for i in range(2)]
        assert [line for _, line in slow] == [b"HTTP/1.1 100 Continue\r\n\r\n"] * 2
        for one, _ in slow:
            sockets.enter_context(closing(one))
        for method in ("PUT", "PATCH"):
            other, line = begun(port, method, "other")
            assert line == b"HTTP/1.1 429 Too Many Req"
            other.close()
        read = httpx.get(f"http://127.0.0.1:{port}/v1/lists/other")
        assert read.status_code == 429 and read.headers["retry-after"] == "10"
        assert httpx.get(f"http://127.0.0.1:{port}/v1/lists").status_code == 200
        for one, _ in slow:
            one.sendall(BODY)
            response = HTTPResponse(one)
            response.begin()
            assert response.status == 201
        for _ in range(3):  # whoever goes leaves the place free
            written = httpx.put(f"http://127.0.0.1:{port}/v1/lists/other", content=BODY)
            assert written.status_code in (200, 201)


def test_a_database_that_does_not_answer_holds_nobody(runs: Serves, postgres: Cluster) -> None:
    forever = "options=-c%20lock_timeout%3D0%20-c%20statement_timeout%3D0"
    clip = (DEFAULT.parent / "clips" / "medical-2.flac").read_bytes()
    watcher = sqlalchemy.create_engine(postgres.url.replace("ql://", "ql+psycopg://"))
    with runs() as (service, port), watcher.connect() as holder, watcher.connect() as seen:
        lists = StoredLists(service, ListStore(f"{postgres.url}&{forever}"), place_seconds=0.2)
        service.lists = lists
        server = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)
        assert server.put("/v1/lists/held", content=BODY).status_code == 201
        assert server.get("/v1/lists?after=%00").json()["error"]["param"] == "after"
        number = "ctcbias_list_entries 1.0\n"
        assert number in server.get("/metrics").text
        holder.execute(sqlalchemy.text("LOCK TABLE ctcbias_lists IN ACCESS EXCLUSIVE MODE"))
        assert number in server.get("/metrics").text, "what was known last; its query waits"
        waiting = sqlalchemy.text("SELECT count(*) FROM pg_locks WHERE NOT granted")
        with ThreadPoolExecutor(3) as threads:
            asked = [threads.submit(server.get, "/v1/lists") for _ in range(3)]
            while seen.execute(waiting).scalar_one() < 4:
                time.sleep(0.01)
            fields = {"data": {"list_id": "held"}, "files": {"file": clip}}
            for response in (
                server.get("/v1/lists"),
                server.post("/v1/audio/transcriptions", **fields),
            ):
                assert response.status_code == 503 and response.headers["retry-after"] == "5"
                assert "lists cannot be read or written now" in response.json()["error"]["message"]
            assert number in server.get("/metrics").text
            holder.rollback()
            assert [one.result().status_code for one in asked] == [200] * 3
        assert server.post("/v1/audio/transcriptions", **fields).status_code == 200
        server.close()
    watcher.dispose()

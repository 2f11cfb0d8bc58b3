"""A server that is killed while lists are written has every one that it acknowledged."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="the extra serve is not installed")

from tests.server.postgres import cluster

ROOT = Path(__file__).parents[2]
WRITERS = 4


@contextmanager
def server(lists: str, model: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """One in a process of its own, and its port; it is gone at the end, however that comes."""
    command = ["serve", "--port", "0", "--lists", lists, "--model", str(model)]
    with subprocess.Popen(
        [sys.executable, "-m", "ctcbias_fst", *command],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        assert process.stderr is not None
        try:
            lines = iter(process.stderr.readline, "")
            told = next((one for one in lines if one.startswith("listening on ")), "")
            assert told, "it has not begun"
            Thread(target=process.stderr.read, daemon=True).start()
            yield process, int(told.rpartition(":")[2])
        finally:
            process.kill()


def asked(port: int, method: str, list_id: str, content: Any = None) -> tuple[int, Any]:
    """What a server answers: the status, and its JSON."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        body = None if content is None else json.dumps(content)
        headers = {"Content-Type": "application/json"} if body else {}
        connection.request(method, f"/v1/lists/{list_id}", body, headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def names_of(number: int) -> list[str]:
    """A list that tells whether all of it is there: up to some thousand names."""
    return [f"bado {number}", *(f"dale {number} {i}" for i in range(number * 7919 % 13 * 200))]


class Writer:
    """Writes one list again and again, in the place of what was there, or by adding a name.

    Attributes:
        wanted: all that was sent, by version.
        version: the latest that was acknowledged.
    """

    def __init__(self, list_id: str) -> None:
        self.list_id = list_id
        self.version = 0
        self.wanted: dict[int, list[str]] = {0: []}

    def write(self, port: int, told: Event, count: int) -> None:
        """Until the server is gone; tells when it has acknowledged so many."""
        done = 0
        while True:
            number = self.version + 1
            before = self.wanted[self.version]
            more = number % 3 == 0
            self.wanted[number] = [*before, f"zuna {number}"] if more else names_of(number)
            content = {"add": [f"zuna {number}"]} if more else {"entities": names_of(number)}
            try:
                status, found = asked(port, "PATCH" if more else "PUT", self.list_id, content)
            except (OSError, HTTPException, ValueError):
                return
            assert status in (200, 201) and found["version"] == number, found
            self.version, done = number, done + 1
            if done == count:
                told.set()

    def check(self, port: int) -> None:
        """All that was acknowledged is there, or what came after it; and all of that."""
        status, found = asked(port, "GET", self.list_id)
        if status == 404:
            assert self.version == 0
            return
        assert found["version"] in (self.version, self.version + 1), found["version"]
        self.version = found["version"]
        assert found["entities"] == self.wanted[self.version]
        assert found["entries"] == len(found["entities"])


def killed(lists: str, model: Path, times: int) -> None:
    rng = random.Random(times)
    writers = [Writer(f"list-{i}") for i in range(WRITERS)]
    for _ in range(times):
        with server(lists, model) as (process, port), ThreadPoolExecutor(WRITERS) as threads:
            for writer in writers:
                writer.check(port)
            told = Event()
            count = rng.randint(1, 8)
            going = [threads.submit(writer.write, port, told, count) for writer in writers]
            assert told.wait(120)
            process.send_signal(signal.SIGKILL)
            for one in going:
                one.result()
    with server(lists, model) as (_, port):
        for writer in writers:
            writer.check(port)
    written = sum(writer.version for writer in writers)
    print(f"{written} lists written, the server killed {times} times")
    assert written >= times


@pytest.mark.slow
def test_a_server_that_is_killed_fifty_times(tmp_path: Path, model_without_adapter: Path) -> None:
    killed(str(tmp_path / "lists.sqlite"), model_without_adapter, 50)


@pytest.mark.slow
def test_one_with_lists_in_postgresql_that_is_killed_ten_times(model_without_adapter: Path) -> None:
    with cluster() as one:
        killed(one.url, model_without_adapter, 10)

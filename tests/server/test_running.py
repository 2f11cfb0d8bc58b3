"""A server on a port: clients that go, that are slow, that stay when it stops."""

from __future__ import annotations

import gc
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ctcbias_fst.audio.blocks import Part
from ctcbias_fst.cli import main
from ctcbias_fst.models.package import DEFAULT
from ctcbias_fst.server.run import hosts_of, listen
from ctcbias_fst.wanted import require_wanted

CLIP = (DEFAULT.parent / "clips" / "medical-2.flac").read_bytes()
PATH = "/v1/audio/transcriptions"
HEAD = (
    b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.flac"\r\n'
    b"Content-Type: audio/flac\r\n\r\n"
)
BODY = HEAD + CLIP + b"\r\n--x--\r\n"
KIND = {"content-type": "multipart/form-data; boundary=x"}


def until(true: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def begun(
    port: int, sent: bytes = BODY, length: int | None = None, path: str = PATH
) -> socket.socket:
    """A request that was sent as far as it goes."""
    one = socket.create_connection(("127.0.0.1", port), timeout=20)
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: x",
        f"Content-Type: {KIND['content-type']}",
        f"Content-Length: {len(BODY) if length is None else length}",
    ]
    one.sendall("\r\n".join([*lines, "", ""]).encode() + sent)
    return one


def answer(one: socket.socket) -> tuple[int, Any]:
    found = http.client.HTTPResponse(one)
    found.begin()
    content = found.read()
    one.close()
    return found.status, json.loads(content)


class Held:
    """A recogniser that waits until it may go on; counts what it was given."""

    def __init__(self, service: Any, patch: pytest.MonkeyPatch) -> None:
        self.go, self.begun, self.seen = threading.Event(), threading.Event(), 0
        self._own = service.recognizer.transcribe_recordings
        patch.setattr(service.recognizer, "transcribe_recordings", self._waits)

    def _waits(self, recordings: Any, *more: Any) -> Any:
        self.seen += len(recordings)
        self.begun.set()
        assert self.go.wait(60)
        return self._own(recordings, *more)


def test_a_client_that_goes_before_its_turn_takes_no_time(
    runs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with runs(batch=1) as (service, port):
        held = Held(service, monkeypatch)
        first = begun(port)
        assert held.begun.wait(60)
        second = begun(port)
        until(lambda: service.waiting == 1)
        third = begun(port)
        until(lambda: service.waiting == 2)
        second.close()
        until(lambda: service.waiting == 1)
        held.go.set()
        texts = [answer(one)[1]["text"] for one in (first, third)]
        assert texts[0] == texts[1] != ""
        assert held.seen == 2
        until(lambda: service.waiting == 0)


@pytest.mark.parametrize("path", [PATH, "/v1/audio/explain"])
def test_a_client_that_goes_while_its_audio_is_decoded_is_waited_for_no_more(
    runs: Any, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """The decoder is told at its next block."""
    decoding, told = threading.Event(), threading.Event()

    def block(self: Part, block: Any, rate: int) -> bool:
        decoding.set()
        try:
            while True:
                require_wanted()
        finally:
            told.set()

    with runs() as (service, port):
        with monkeypatch.context() as patch:
            patch.setattr(Part, "add", block)
            one = begun(port, path=path)
            assert decoding.wait(60)
            one.close()
            assert told.wait(60)
            until(lambda: f'path="{path}",status="499"' in service.metrics.text().decode())
        assert answer(begun(port))[0] == 200


@pytest.mark.parametrize("line", ["GET http://host/health", "OPTIONS *", "GET *", "PUT http:"])
def test_paths_of_other_forms(runs: Any, line: str) -> None:
    with runs() as (_, port), socket.create_connection(("127.0.0.1", port), timeout=20) as one:
        one.sendall(f"{line} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
        found = http.client.HTTPResponse(one)
        found.begin()
        assert found.status < 500


def test_a_client_that_goes_while_names_are_read_is_no_failure(
    runs: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with runs() as (service, port):
        with socket.create_connection(("127.0.0.1", port), timeout=20) as one:
            one.sendall(b"POST /v1/names/check HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{")
        until(lambda: 'path="/v1/names/check",status="499"' in service.metrics.text().decode())
    assert not [one for one in caplog.records if one.levelname == "ERROR"]


def test_a_form_that_breaks_off_costs_nothing(runs: Any) -> None:
    with runs() as (service, port):
        for end in (0, 10, len(HEAD) + 500, len(BODY) - 3):
            begun(port, BODY[:end]).close()
        assert answer(begun(port))[0] == 200
        assert service.waiting == 0


def test_a_form_that_does_not_come_is_given_up(runs: Any) -> None:
    with runs(read_seconds=0.3) as (_, port):
        status, content = answer(begun(port, BODY[:300]))
        assert status == 408
        assert "did not come within 0.3 s" in content["error"]["message"]
        assert answer(begun(port))[0] == 200


def test_what_was_taken_is_done_when_the_server_stops(
    runs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with runs(batch=1) as (service, port):
        held = Held(service, monkeypatch)
        several = [begun(port) for _ in range(2)]
        assert held.begun.wait(60)
        until(lambda: service.waiting == 1)
        threading.Thread(target=lambda: (until(lambda: service.closing), held.go.set())).start()
    found = [answer(one) for one in several]
    assert [status for status, _ in found] == [200, 200]
    assert found[0][1]["text"] == found[1][1]["text"] != ""


def test_what_is_not_done_in_time_is_refused_when_the_server_stops(
    runs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ctcbias_fst.server.run._GRACE_SECONDS", 1)
    with runs(batch=1) as (service, port):
        held = Held(service, monkeypatch)
        one = begun(port)
        assert held.begun.wait(60)
        answered = Future[Any]()
        threading.Thread(target=lambda: (answered.set_result(answer(one)), held.go.set())).start()
    status, content = answered.result(60)
    assert status == 503
    assert content["error"]["code"] == "stopping"


def test_no_more_is_read_than_may_be_in_hand(runs: Any) -> None:
    """Nor does one who has gone keep others out."""
    with runs(max_waiting=1, batch=1) as (service, port):
        slow = [begun(port, BODY[:300]) for _ in range(2)]
        until(lambda: service.full)
        status, content = answer(begun(port))
        assert status == 429
        assert content["error"]["message"].startswith("2 recordings are in hand, 0 of them wait")
        for one in slow:
            one.close()
        until(lambda: not service.full)
        assert answer(begun(port))[0] == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost", "LOCALHOST", "0.0.0.0"])
def test_hosts_of_this_machine_alone(host: str) -> None:
    with listen(host, 0) as one:
        hosts = hosts_of(one, host)
    assert set(hosts) == (
        set() if host == "0.0.0.0" else {"localhost", "127.0.0.1", "::1", host.lower()}
    )


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux has it")
def test_who_reads_nothing_has_gone_at_some_time() -> None:
    with listen("127.0.0.1", 0) as one:
        assert one.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 120_000


def test_a_port_is_given_back_where_there_is_no_model(tmp_path: Path) -> None:
    """And the list store closed: nothing is left to the garbage collector, which would warn."""
    lists = str(tmp_path / "lists.db")
    for arguments, told in (
        (["--model", str(tmp_path / "none")], "none"),
        (["--port", "1", "--host", "192.0.2.1"], "cannot listen on 192.0.2.1 port 1"),
    ):
        found = CliRunner().invoke(main, ["serve", "--lists", lists, "--port", "0", *arguments])
        assert found.exit_code == 1
        (line,) = found.output.splitlines()
        assert line.startswith("Error: ")
        assert told in line
        gc.collect()

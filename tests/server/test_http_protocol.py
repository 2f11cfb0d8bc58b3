"""Connections that ask nothing, or too slowly, and too many of them."""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="the extra serve is not installed")

from ctcbias_fst.server import http_protocol
from ctcbias_fst.server.http_protocol import HttpProtocol, most_connections

HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"


def connected(port: int, sent: bytes = b"") -> socket.socket:
    one = socket.create_connection(("127.0.0.1", port), timeout=20)
    one.sendall(sent)
    return one


def answer(one: socket.socket) -> tuple[int, bytes]:
    with http.client.HTTPResponse(one) as found:
        found.begin()
        return found.status, found.read()


@pytest.mark.parametrize("begun", [b"", b"GET /hea", HEALTH + b"GET /hea"])
def test_what_asks_nothing_is_closed(
    runs: Any, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr(HttpProtocol, "head_seconds", 0.2)
    with runs() as (_, port), connected(port, begun) as one:
        if begun.startswith(HEALTH):
            assert answer(one)[0] == 200
        assert one.recv(1000) == b""


def test_a_request_may_take_longer_than_its_head(
    runs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HttpProtocol, "head_seconds", 0.2)
    body = json.dumps({"text": "Tobias"}).encode()
    head = "POST /v1/names/check HTTP/1.1\r\nHost: localhost\r\nContent-Length:"
    sent = f"{head} {len(body)}\r\n\r\n".encode()
    with runs() as (_, port), connected(port, sent) as one, connected(port) as other:
        assert other.recv(1000) == b""  # by now the first has waited as long
        one.sendall(body)
        status, content = answer(one)
        assert status == 200 and json.loads(content)["names"] == 1


def test_too_many_connections_are_told(runs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert 1 <= most_connections() <= 10_000
    monkeypatch.setattr(http_protocol, "most_connections", lambda: 2)
    with runs() as (_, port), connected(port, HEALTH) as first:
        with connected(port, HEALTH) as second:
            assert [answer(one)[0] for one in (first, second)] == [200, 200]
            with connected(port) as more:
                assert answer(more)[0] == 503 and more.recv(1000) == b""
        status = 503
        while status == 503:  # until it is seen that the second has gone
            with connected(port, HEALTH) as more:
                status, _ = answer(more)
        assert status == 200


def test_a_post_that_would_be_a_websocket_is_a_post(runs: Any) -> None:
    body = json.dumps({"text": "Tobias"}).encode()
    with runs() as (_, port):
        one = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        headers = {"Connection": "Upgrade", "Upgrade": "websocket"}
        one.request("POST", "/v1/names/check", body, headers)
        found = one.getresponse()
        assert found.status == 200 and json.loads(found.read())["names"] == 1
        one.close()

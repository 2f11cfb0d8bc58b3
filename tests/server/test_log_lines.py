"""The log: a line of JSON each, that has nothing of what clients sent."""

from __future__ import annotations

import http.client
import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("uvicorn", reason="the extra serve is not installed")

from ctcbias_fst.errors import EntityListError
from ctcbias_fst.server.log_lines import JsonLines

ROOT = Path(__file__).parents[2]


def line_of(record: logging.LogRecord) -> dict[str, object]:
    text = JsonLines().format(record)
    assert "\n" not in text
    found = json.loads(text)
    assert isinstance(found, dict)
    return found


def test_what_was_raised_is_told_without_names() -> None:
    try:
        try:
            raise EntityListError("'Imiglucerase' is none")
        except EntityListError as error:
            raise ValueError("wrong shape") from error
    except ValueError:
        record = logging.LogRecord("a", logging.ERROR, "x", 1, "failed\nhere", (), sys.exc_info())
    found = line_of(record)
    assert (found["level"], found["logger"], found["message"]) == ("error", "a", "failed")
    first, second = found["errors"]  # type: ignore[misc]
    assert (first["type"], first["text"]) == ("ValueError", "wrong shape")
    assert second["type"] == "EntityListError" and "text" not in second
    (frame,) = first["frames"]
    assert frame.startswith("test_log_lines.py:") and frame.endswith(
        " test_what_was_raised_is_told_without_names"
    )
    assert "Imiglucerase" not in json.dumps(found)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a.py:1: UserWarning: beware\n  code", "a.py:1: UserWarning: beware"),
        ("a.py:1: CtcbiasWarning: 'Tobias' has no effect\n  code", "a CtcbiasWarning"),
    ],
)
def test_warnings_are_lines(text: str, told: str) -> None:
    record = logging.LogRecord("py.warnings", logging.WARNING, "x", 1, "%s", (text,), None)
    assert line_of(record) == {"level": "warning", "logger": "py.warnings", "message": told}


def test_every_line_of_a_server_is_json(tmp_path: Path) -> None:
    """...once it listens: of what it answers, what it refuses, and what is no HTTP."""
    command = [sys.executable, "-m", "ctcbias_fst", "serve", "--port", "0", "--no-lists"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CTCBIAS_CACHE": str(tmp_path)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as server:
        assert server.stderr is not None
        first = server.stderr.readline()
        while "listening on" not in first:
            assert first
            first = server.stderr.readline()
        port = int(first.rpartition(":")[2])
        for method, path, body in (
            ("GET", "/health", None),
            ("POST", "/v1/names/check", b"{"),
            ("POST", "/v1/audio/transcriptions", b"no form"),
            ("GET", "/v1/lists/secret", None),
            ("GET", "/no\u0020such", None),
        ):
            one = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            one.request(method, path.replace(" ", "%20"), body)
            one.getresponse().read()
            one.close()
        one = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        one.connect()
        one.sock.sendall(b"\x16\x03\x01 no HTTP\r\n\r\n")
        assert b"400" in one.sock.recv(1000)
        one.close()
        server.send_signal(signal.SIGTERM)
        lines = server.stderr.read().splitlines()
    found = [json.loads(line) for line in lines]
    paths = [one["path"] for one in found if "path" in one]
    assert paths == [
        "/health",
        "/v1/names/check",
        "/v1/audio/transcriptions",
        "/v1/lists/{id:path}",
        "other",
    ]
    assert any(one.get("logger") == "uvicorn.error" for one in found)
    assert "secret" not in json.dumps(found)

"""Requests that no client should send: each is answered in one line, and the next one works."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from generated import TIMES
from starlette.testclient import TestClient

from ctcbias_fst.models.package import DEFAULT

CLIP = (DEFAULT.parent / "clips" / "medical-2.flac").read_bytes()
PATH = "/v1/audio/transcriptions"
BOUNDARY = b"xYzZY"
TEXTS = [
    "",
    "a",
    "true",
    "\x00",
    "é" * 40,
    "[" * 300,
    '{"a":',
    "-1",
    "1e999",
    "../..",
    "\ud83d\n",
    "x" * 9000,
]
FIELDS = [
    "file",
    "model",
    "keywords",
    "keywords[]",
    "hotwords",
    "entities",
    "list_id",
    "response_format",
    "timestamp_granularities[]",
    "include[]",
    "stream",
    "nbest",
    "language",
    "\x00",
    "a" * 300,
]


def form(chance: random.Random) -> bytes:
    """A form: fields with values of any kind, now and then a recording."""
    parts = []
    for _ in range(chance.randrange(6)):
        name, value = chance.choice(FIELDS), chance.choice(TEXTS).encode("utf-8", "replace")
        head = b'Content-Disposition: form-data; name="' + name.encode() + b'"'
        if chance.random() < 0.3:
            head += b'; filename="' + chance.choice(TEXTS).encode("utf-8", "replace") + b'"'
            value = CLIP[: chance.randrange(400)]
        parts.append(b"--" + BOUNDARY + b"\r\n" + head + b"\r\n\r\n" + value + b"\r\n")
    return b"".join(parts) + b"--" + BOUNDARY + b"--\r\n"


def damaged(content: bytes, chance: random.Random) -> bytes:
    """With a few bytes changed, cut out or put in."""
    changed = bytearray(content)
    for _ in range(chance.randrange(8)):
        at = chance.randrange(len(changed) + 1)
        kind = chance.randrange(3)
        if kind == 0:
            changed[at:at] = chance.randbytes(chance.randrange(9))
        elif kind == 1:
            del changed[at : at + chance.randrange(30)]
        else:
            changed[at : at + 1] = chance.randbytes(1)
    return bytes(changed)


def anything(chance: random.Random) -> tuple[str, str, bytes, dict[str, str]]:
    """Method, path, body and headers."""
    body: Callable[[], bytes] = chance.choice(
        [
            lambda: form(chance),
            lambda: damaged(form(chance), chance),
            lambda: chance.randbytes(chance.randrange(500)),
            lambda: json.dumps({"keywords": chance.choice(TEXTS)}).encode(),
            lambda: b"",
        ]
    )
    kind = chance.choice(
        [
            f"multipart/form-data; boundary={BOUNDARY.decode()}",
            "multipart/form-data",
            "multipart/form-data; boundary=" + "b" * 300,
            "application/json",
            "text/plain",
            "",
        ]
    )
    path = chance.choice([PATH] * 6 + ["/", "/v1/models/%00", "/v1/models/..", "/metrics", "/%ff"])
    method = chance.choice(["POST"] * 6 + ["GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
    return method, path, body(), {"content-type": kind}


# Starlette leaves the file of a form that breaks off to the garbage collector.
@pytest.mark.filterwarnings("ignore:.*SpooledTemporaryFile:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore:Unclosed file:ResourceWarning")
@pytest.mark.fuzz
def test_what_is_malformed_is_refused_in_one_line(client: TestClient) -> None:
    chance = random.Random(7)
    seen: set[int] = set()
    for _ in range(round(300 * TIMES)):
        method, path, body, headers = anything(chance)
        answer: Any = client.request(method, path, content=body, headers=headers)
        asked = f"{method} {path} {headers} {body[:2000]!r}"
        assert answer.status_code < 500, f"{asked}: {answer.text}"
        seen.add(answer.status_code)
        if answer.status_code >= 400 and method != "HEAD":
            error = answer.json()["error"]
            assert error["message"], asked
            assert "\n" not in error["message"], asked
            assert "Traceback" not in error["message"], asked
    assert {200, 400, 404, 405, 415} <= seen
    service: Any = client.service  # type: ignore[attr-defined]
    assert (service.waiting, service.streams) == (0, 0)
    good = client.post(PATH, files={"file": ("a.flac", CLIP)}, data={"keywords": "Imiglucerase"})
    assert "Imiglucerase" in good.json()["text"]

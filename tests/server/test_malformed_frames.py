"""Websockets that break their protocol, or that of what they carry: nobody else is hurt."""

from __future__ import annotations

import base64
import json
import logging
import random
import socket
import struct
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from generated import COUNTS, TIMES
from websockets.sync.client import connect

from tests.server.conftest import Serves
from tests.server.talk import PLAIN, cut, pcm_of, samples_of

KEY = base64.b64encode(bytes(16)).decode()
PATHS = ["/v1/stream", "/v1/stream", "/v1/realtime", "/vosk", "/", "/v1/nothing", "/v1/%00"]
TEXT, BINARY, CLOSE, PING = 1, 2, 8, 9
SERVER_FAILED = 1011
ENDS = [b'{"event_id": "the end"}', b'{"type": "finish"}', b'{"eof": 1}']
"""One of them is answered by the last message, in each protocol."""
VALUES: list[Any] = [
    None,
    True,
    0,
    -1,
    1e300,
    "",
    "a\x00\u202e",
    "x" * 5000,
    [],
    [[]],
    ["Ada", 3],
    {},
    {"Ada": -1},
    16000,
    "pcm16",
    {"text": "Ada", "weight": "nan"},
]
EVENTS: dict[str, list[str]] = {
    "start": ["sampling_rate", "encoding", "channels", "keywords", "entities", "list_id", "list"],
    "list": ["keywords", "entities", "list_id", "hotwords"],
    "finish": [],
    "input_audio_buffer.append": ["audio"],
    "input_audio_buffer.commit": ["event_id"],
    "input_audio_buffer.clear": [],
    "session.update": ["session"],
    "transcription_session.update": ["session"],
}


def event(chance: random.Random) -> Any:
    """What a client might say, with values of any kind."""
    kind = chance.choice(list(EVENTS))
    content: dict[str, Any] = {"type": kind}
    for key in chance.sample(EVENTS[kind], chance.randrange(len(EVENTS[kind]) + 1)):
        content[key] = chance.choice(VALUES)
    if kind.endswith("append") and chance.random() < 0.5:
        content["audio"] = base64.b64encode(chance.randbytes(chance.randrange(900))).decode()
    if kind.endswith("update") and chance.random() < 0.7:
        settings = {chance.choice(["type", "audio", "include", "keywords"]): chance.choice(VALUES)}
        content["session"] = {"type": "transcription", **settings}
    own = {chance.choice(["sample_rate", "words", "phrase_list"]): chance.choice(VALUES)}
    plain: list[Any] = [{"config": own}, {"eof": chance.choice(VALUES)}, chance.choice(VALUES)]
    return chance.choice([content, content, content, *plain])


def message(chance: random.Random) -> tuple[int, bytes]:
    """An opcode, and what is in the frame."""
    if chance.random() < 0.3:
        return BINARY, chance.randbytes(chance.randrange(3000))
    text = json.dumps(event(chance)).encode()
    if chance.random() < 0.2:
        text = text[: chance.randrange(len(text) + 1)]
    if chance.random() < 0.1:
        text += chance.randbytes(3)
    return TEXT, text


def frame(opcode: int, payload: bytes, first: int = 0x80, told: int | None = None) -> bytes:
    """A frame of a client; ``first`` has the other bits of its first byte, ``told`` its length."""
    size = len(payload) if told is None else told
    head = bytes([first | opcode])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 1 << 16:
        head += b"\xfe" + struct.pack(">H", size)
    else:
        head += b"\xff" + struct.pack(">Q", size)
    return head + bytes(4) + payload  # a mask of zeros changes nothing


def frames(chance: random.Random) -> tuple[bytes, bool]:
    """What one client sends behind its handshake, and whether it may wait for an answer."""
    sent, intact = b"", chance.random() < 0.6
    for _ in range(chance.randrange(12)):
        opcode, payload = message(chance)
        how = chance.random() * (0.85 if intact else 1.0)
        if how < 0.8:
            sent += frame(opcode, payload)
        elif how < 0.85:  # in parts, with a ping between them
            sent += frame(opcode, payload[:9], 0) + frame(PING, b"?") + frame(0, payload[9:])
        elif how < 0.9:
            sent += frame(chance.randrange(16), payload, chance.choice([0, 0x80, 0xC0, 0xF0]))
        elif how < 0.95:
            sent += frame(opcode, payload, told=chance.choice([0, 5, 70_000, 10**8, 2**63]))
        else:
            sent += chance.randbytes(chance.randrange(40))
    if intact:
        return sent + b"".join(frame(TEXT, one) for one in ENDS), True
    return sent + chance.choice([b"", frame(CLOSE, b""), frame(CLOSE, b"\x03"), b"\x88"]), False


def answers(received: bytes) -> Iterator[tuple[int, bytes]]:
    """Opcodes and contents of a server's frames; the last may be cut."""
    at = 0
    while at + 2 <= len(received):
        opcode, size = received[at] & 15, received[at + 1]
        at += 2
        if size >= 126:
            width = 2 if size == 126 else 8
            size = int.from_bytes(received[at : at + width], "big")
            at += width
        if at + size <= len(received):
            yield opcode, received[at : at + size]
        at += size


def ended(received: bytes) -> bool:
    """Whether the server closes, or has refused the handshake."""
    head, _, rest = received.partition(b"\r\n\r\n")
    refused = b" 101 " not in head[:13] and len(received) > len(head)
    return refused or any(opcode == CLOSE for opcode, _ in answers(rest))


def talk(port: int, path: str, sent: bytes, wait: bool) -> bytes:
    """What comes back until the server has closed, or has answered the end."""
    head = (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
    )
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=120) as client:
        try:
            client.sendall(head.encode())
            received = client.recv(1 << 16)
            if ended(received):
                return received
            client.sendall(sent)
            if not wait:
                client.shutdown(socket.SHUT_WR)
            while part := client.recv(1 << 16):
                received += part
                if b"the end" in received or ended(received):
                    break
        except ConnectionError:  # closed before it had read all
            pass
    return received


@pytest.mark.fuzz
def test_frames_that_no_client_should_send(runs: Serves, caplog: pytest.LogCaptureFixture) -> None:
    chance = random.Random(11)
    seen: Counter[str] = Counter()
    with runs() as (service, port):
        for _ in range(round(150 * TIMES)):
            path, (sent, wait) = chance.choice(PATHS), frames(chance)
            head, _, rest = talk(port, path, sent, wait).partition(b"\r\n\r\n")
            status = head[9:12].decode()
            assert status in ("101", "403", "404", "400", ""), (path, head)
            seen[status] += 1
            COUNTS["websocket frames"] += 1
            for opcode, content in answers(rest) if status == "101" else ():
                if opcode == TEXT:
                    told = json.loads(content)
                    seen["error" if "error" in told else "other"] += 1
                    assert "Traceback" not in content.decode()
                if opcode == CLOSE and len(content) >= 2:
                    code = int.from_bytes(content[:2], "big")
                    seen[str(code)] += 1
                    assert code != SERVER_FAILED, (path, sent[:2000], content)
        failed = [one.getMessage() for one in caplog.records if one.levelno >= logging.ERROR]
        assert not failed
        with connect(f"ws://127.0.0.1:{port}/v1/stream") as stream:
            stream.send(json.dumps({"type": "start"}))
            for part in cut(pcm_of(samples_of()), 60_000):
                stream.send(part)
            stream.send(json.dumps({"type": "finish"}))
            assert json.loads(list(stream)[-1])["text"] == PLAIN
    assert (service.waiting, service.streams) == (0, 0)
    assert seen["error"] > 10
    assert seen["other"] > 10
    assert {"101", "1007", "1002", "1003"} <= set(seen)

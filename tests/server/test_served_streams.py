"""Streams of a server in a process of its own, over real connections."""

from __future__ import annotations

import base64
import json
import re
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest

pytest.importorskip("uvicorn", reason="the extra serve is not installed")

from websockets.exceptions import ConnectionClosedError
from websockets.frames import Frame, Opcode
from websockets.sync.client import ClientConnection, connect

from tests.server.talk import FINISH, SAID, START, cut, heard, pcm_of, samples_of

ROOT = Path(__file__).parents[2]
PCM = pcm_of(samples_of())


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    data = str(tmp_path_factory.mktemp("data") / "lists.db")
    command = [sys.executable, "-m", "ctcbias_fst", "serve", "--port", "0", "--lists", data]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert line.startswith("listening on http://127.0.0.1:"), line
        drain = Thread(target=process.stderr.read, daemon=True)
        drain.start()
        try:
            yield int(line.rpartition(":")[2])
        finally:
            process.terminate()
            drain.join()


def opened(port: int, path: str = "/v1/stream") -> ClientConnection:
    return connect(f"ws://127.0.0.1:{port}{path}", max_size=None)


def transcript(port: int) -> Any:
    with opened(port) as one:
        for message in (START, *cut(PCM, 6400), FINISH):
            one.send(message if isinstance(message, bytes) else json.dumps(message))
        return [json.loads(answer) for answer in one][-1]["text"]


def open_streams(port: int) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        found = re.search(r"^ctcbias_streams (\d+)", answer.read().decode(), re.MULTILINE)
    assert found is not None
    return int(found[1])


def until_none_is_open(port: int) -> None:
    while open_streams(port):
        transcript(port)  # takes a while, and is one stream, which ends


def test_a_client_that_reads_nothing_costs_no_memory_and_nobody_else(port: int) -> None:
    """It may send some seconds of audio and what the sockets hold, and no more."""
    upgrade = (
        "GET /v1/stream HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    audio = Frame(Opcode.BINARY, PCM * 8).serialize(mask=True)
    with socket.create_connection(("127.0.0.1", port)) as greedy:
        greedy.sendall(upgrade.encode())
        assert greedy.recv(4096).startswith(b"HTTP/1.1 101 ")
        greedy.sendall(Frame(Opcode.TEXT, json.dumps(START).encode()).serialize(mask=True))
        greedy.settimeout(0.5)
        sent, most = 0, 100_000_000
        with suppress(TimeoutError, socket.timeout):
            while sent < most:
                sent += greedy.send(audio[sent % len(audio) :])
        assert sent < most
        assert transcript(port) == SAID
    until_none_is_open(port)


def test_clients_that_break_off_leave_nothing(port: int) -> None:
    for number in range(100):
        with opened(port) as one:
            one.send(json.dumps(START))
            one.send(PCM)
            if number % 2:
                one.socket.shutdown(socket.SHUT_RDWR)
    until_none_is_open(port)
    assert transcript(port) == SAID


def test_messages_that_are_too_long(port: int) -> None:
    names = json.dumps({"type": "start", "keywords": [f"name {i}" for i in range(10**6)]})
    for message in (b"\0" * 100_000_000, names):
        with opened(port) as one:
            with pytest.raises(ConnectionClosedError) as end:
                one.send(message)
                one.recv()
            assert end.value.rcvd is not None and end.value.rcvd.code == 1009
    assert transcript(port) == SAID


def test_a_server_that_stops_closes_streams(runs: Any) -> None:
    with ExitStack() as stack:
        with runs() as (service, at):
            one = stack.enter_context(opened(at))
            one.send(json.dumps(START))
            assert json.loads(one.recv())["type"] == "ready"
        with pytest.raises(ConnectionClosedError) as end:
            one.recv()
        assert end.value.rcvd is not None and end.value.rcvd.code == 1012
        assert service.streams == 0


@pytest.mark.filterwarnings("ignore:connect:DeprecationWarning")  # of the client itself
def test_openai_realtime_client(port: int) -> None:
    openai = pytest.importorskip("openai", reason="pip install openai, whose client is tried")
    soxr = pytest.importorskip("soxr")
    pcm = pcm_of(soxr.resample(heard(PCM), 16000, 24000).astype(np.float32))
    session: Any = {
        "type": "transcription",
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": 24000},
                "transcription": {"model": "ctcbias", "keywords": ["Imiglucerase"]},
                "turn_detection": None,
            }
        },
    }
    base = f"http://127.0.0.1:{port}/v1"
    found: list[Any] = []
    with (
        openai.OpenAI(base_url=base, api_key="-") as client,
        client.realtime.connect(extra_query={"intent": "transcription"}) as connection,
    ):
        connection.session.update(session=session)
        for chunk in cut(pcm, 48000):
            connection.input_audio_buffer.append(audio=base64.b64encode(chunk).decode())
        connection.input_audio_buffer.commit()
        for event in connection:
            found.append(event)
            if event.type == "conversation.item.input_audio_transcription.completed":
                break
    assert found[1].session.audio.input.transcription.model == "ctcbias"
    deltas = [one.delta for one in found if one.type.endswith("transcription.delta")]
    assert "".join(deltas) == found[-1].transcript == SAID
    assert all(type(one).__module__.startswith("openai.types") for one in found)

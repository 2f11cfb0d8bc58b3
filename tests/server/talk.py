"""Clients of streams, for the tests: audio of clips, and whole conversations."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from ctcbias_fst.audio.audio import read_audio
from ctcbias_fst.models.package import DEFAULT

CLIPS = DEFAULT.parent / "clips"
SAID = "my father takes Imiglucerase and feels fine"
PLAIN = "my father takes immiglucerase and feels fine"
"""The same without a list."""

START: dict[str, Any] = {"type": "start", "keywords": ["Imiglucerase"]}
FINISH = {"type": "finish"}


def samples_of(clip: str = "medical-2", rate: int = 16000) -> np.ndarray:
    return read_audio(CLIPS / f"{clip}.flac", rate).samples


def pcm_of(samples: np.ndarray) -> bytes:
    return np.round(samples.clip(-1, 1) * 32767).astype("<i2").tobytes()


def heard(pcm: bytes) -> np.ndarray:
    """What 16 bits are as samples."""
    return (np.frombuffer(pcm, "<i2") / 32768).astype(np.float32)


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def talk(
    client: TestClient, messages: Iterable[Any], path: str = "/v1/stream", **more: Any
) -> tuple[list[Any], int]:
    """Send objects, text and bytes; what has come until the server has closed, and its code."""
    found = []
    with client.websocket_connect(path, **more) as socket:
        for message in messages:
            if isinstance(message, bytes):
                socket.send_bytes(message)
            else:
                socket.send_text(message if isinstance(message, str) else json.dumps(message))
        try:
            while True:
                found.append(socket.receive_json())
        except WebSocketDisconnect as end:
            return found, end.code

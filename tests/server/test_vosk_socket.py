"""The protocol of vosk-server: each message of audio has one answer."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
import soundfile
from starlette.testclient import TestClient

from tests.server.talk import PLAIN, SAID, cut, heard, pcm_of, samples_of, talk

PCM = pcm_of(samples_of())
PAUSE = b"\0\0" * 32000
CONFIG = {"config": {"phrase_list": ["Imiglucerase"], "sample_rate": 16000.0}}
EOF = '{"eof" : 1}'


def spoken(answers: list[Any]) -> list[str]:
    return [one["text"] for one in answers if one.get("text")]


@pytest.mark.parametrize("path", ["/vosk", "/"])
def test_a_client_that_waits_for_each_answer(client: TestClient, path: str) -> None:
    with client.websocket_connect(path) as socket:
        socket.send_json(CONFIG)
        found = []
        for chunk in cut(PCM + PAUSE + PCM, 8000):
            socket.send_bytes(chunk)
            found.append(socket.receive_json())
        socket.send_text(EOF)
        found.append(socket.receive_json())
        assert socket.receive() == {"type": "websocket.close", "code": 1000, "reason": ""}
    assert spoken(found) == [SAID, SAID]
    first = next(one for one in found if "text" in one)
    assert [word["word"] for word in first["result"]] == SAID.split()
    assert set(first["result"][0]) == {"word", "start", "end", "conf"}
    assert [name["display"] for name in first["entities"]] == ["Imiglucerase"]
    partials = [one["partial"] for one in found[: found.index(first)]]
    assert partials[-1] == SAID and all(SAID.startswith(one) for one in partials)
    assert partials == sorted(partials, key=len)
    after = found[found.index(first) + 1]
    assert after == {"partial": ""}
    assert all(word["start"] > 5 for word in found[-1]["result"])


@pytest.mark.parametrize("size", [1999, 8000, 500_000])
def test_a_client_that_does_not_wait(client: TestClient, size: int) -> None:
    """Answers are as many as messages, and utterances are whole, however much comes at once."""
    chunks = cut(PCM + PAUSE + PCM + PAUSE, size)
    found, code = talk(client, [CONFIG, *chunks, EOF], "/vosk")
    assert len(found) == len(chunks) + 1
    assert " ".join(spoken(found)) == f"{SAID} {SAID}"
    assert all(one in (SAID, f"{SAID} {SAID}") for one in spoken(found))
    assert code == 1000
    assert "text" in found[-1]


def test_silence_is_no_utterance(client: TestClient) -> None:
    found, _ = talk(client, [CONFIG, *cut(3 * PAUSE, 8000), EOF], "/vosk")
    assert {one.get("partial") for one in found[:-1]} == {""}
    assert found[-1]["text"] == ""


def test_settings(client: TestClient) -> None:
    config = {"sample_rate": 16000, "words": 0, "max_alternatives": 3, "phrase_list": ["[unk]"]}
    found, _ = talk(client, [{"config": {**config, "colour": 1}}, PCM, EOF], "/vosk")
    assert found[0]["warnings"] == [
        "max_alternatives: there is one, the best",
        "phrase_list: [unk] has no effect: other words are heard anyway",
        "'colour' is no field that is known, and has no effect",
    ]
    (only,) = found[-1]["alternatives"]
    assert only["text"] == PLAIN and "result" not in only
    assert 0.5 < only["confidence"] < 1
    found, _ = talk(
        client, [{"config": {"sample_rate": 16000, "keywords": "Imiglucerase"}}, PCM, EOF], "/"
    )
    assert spoken(found) == [SAID]


def test_the_rate_is_8000_unless_the_client_says_other(client: TestClient) -> None:
    found, _ = talk(client, [pcm_of(samples_of(rate=8000)), b"\0", EOF], "/vosk")
    assert spoken(found)[0].startswith("my father takes")
    assert found[-1]["result"][-1]["end"] < 3.4
    assert found[-1]["warnings"][0].startswith("raw samples: left out at the end: 1 byte")


def test_a_list_changes_on_the_way(client: TestClient) -> None:
    late = {"config": {"phrase_list": ["Imiglucerase"]}}
    first = {"config": {"sample_rate": 16000}}
    found, _ = talk(client, [first, PCM[:20000], late, PCM[20000:], EOF], "/vosk")
    assert spoken(found) == [SAID]


def test_the_header_of_a_wav_file_is_no_audio(client: TestClient) -> None:
    file = io.BytesIO()
    soundfile.write(file, heard(PCM), 16000, "PCM_16", format="WAV")
    found, _ = talk(client, [CONFIG, *cut(file.getvalue(), 4000), EOF], "/vosk")
    assert spoken(found) == [SAID]
    assert found[0]["warnings"] == ["the header of a WAV file was left out: 16000 Hz are heard"]


@pytest.mark.parametrize(
    ("messages", "code", "why"),
    [
        (["{"], 1007, "not valid JSON"),
        ([{"reset": 1}], 1007, "a message is"),
        ([{"config": 5}], 1007, "a message is"),
        ([{"config": {"sample_rate": "fast"}}], 1007, "sample_rate"),
        ([{"config": {"sample_rate": 8000.5}}], 1007, "sample_rate"),
        ([{"config": {"max_alternatives": -1}}], 1007, "max_alternatives is a number, not -1"),
        ([{"config": {"phrase_list": "one two"}}], 1007, "phrase_list is an array"),
        ([{"config": {"phrase_list": ["x"] * 20_001}}], 1009, "20001 names"),
        ([PCM, {"config": {"sample_rate": 16000}}], 1008, "sample_rate comes before audio"),
        ([b"OggS" + PCM], 1007, "a file with a header"),
        ([EOF, PCM], 1008, "nothing may follow"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_wrong_ends_the_stream(
    client: TestClient, messages: list[Any], code: int, why: str
) -> None:
    found, closed = talk(client, messages, "/vosk")
    assert why in json.dumps(found[-1]["error"])
    assert closed == code
    assert client.service.streams == 0  # type: ignore[attr-defined]

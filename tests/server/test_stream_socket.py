"""The server's own protocol: the text does not hang on chunks or on other streams, and whatever is
wrong is told, and costs nobody else."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from ctcbias_fst import Recognizer
from ctcbias_fst.output import word_record
from ctcbias_fst.server.list_store import ListStore
from ctcbias_fst.server.stored_lists import StoredLists
from ctcbias_fst.server.stream_socket import StreamConversation
from tests.server.talk import (
    CLIPS,
    FINISH,
    PLAIN,
    SAID,
    START,
    cut,
    heard,
    pcm_of,
    samples_of,
    talk,
)

PCM = pcm_of(samples_of())


def text_of(messages: list[Any]) -> str:
    """All of it, after a look at what always holds."""
    assert [one["type"] for one in messages[:: len(messages) - 1]] == ["ready", "done"]
    updates = [one for one in messages if one["type"] == "update"]
    assert "".join(one["committed"] for one in updates) == messages[-1]["text"]
    assert [one["seconds"] for one in updates] == sorted(one["seconds"] for one in updates)
    before = [{"committed": "", "tentative": ""}, *updates]
    for one, last in zip(updates, before):  # something is new in each
        assert one["committed"] or one["endpoints"] or one["tentative"] != last["tentative"]
    return str(messages[-1]["text"])


@pytest.mark.parametrize("size", [641, 16000, len(PCM)])
def test_chunks_make_no_difference(client: TestClient, recognizer: Recognizer, size: int) -> None:
    found, code = talk(client, [START, *cut(PCM, size), FINISH])
    stream = recognizer.stream(START["keywords"])
    expected = stream.accept(heard(PCM)).followed_by(stream.finish())
    assert code == 1000
    assert text_of(found) == expected.committed == SAID
    words = [word for one in found if one["type"] == "update" for word in one["words"]]
    told = [(word["word"], word["start"], word["end"]) for word in words]
    records = [word_record(word) for word in expected.words]
    assert told == [(word["word"], word["start"], word["end"]) for word in records]
    assert [word["word"] for word in words if word.get("entity")] == ["Imiglucerase"]
    names = [name["display"] for one in found[1:-1] for name in one["entities"]]
    assert names == ["Imiglucerase"]


def test_streams_beside_each_other_are_streams_alone(client: TestClient) -> None:
    clips = ["medical-2", "general-1", "medical-2"]
    starts = [START, {"type": "start"}, {"type": "start", "keywords": []}]
    talks = [
        [start, *cut(pcm_of(samples_of(clip)), 20000), FINISH] for clip, start in zip(clips, starts)
    ]
    with ThreadPoolExecutor(len(talks)) as pool:
        found = [text_of(one) for one, _ in pool.map(lambda one: talk(client, one), talks)]
    assert found == [SAID, "the old bridge was repaired in february", PLAIN]
    assert client.service.streams == 0  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("encoding", "channels", "rate"),
    [("f32le", 1, 16000), ("s32le", 2, 22050), ("mulaw", 1, 16000), ("alaw", 2, 16000)],
)
def test_encodings(
    client: TestClient, tmp_path: Any, encoding: str, channels: int, rate: int
) -> None:
    kinds = {"f32le": "FLOAT", "s32le": "PCM_32", "mulaw": "ULAW", "alaw": "ALAW"}
    several = np.stack([samples_of(rate=rate)] * channels, axis=1)
    form: Any = {"format": "RAW", "endian": "LITTLE", "subtype": kinds[encoding]}
    soundfile.write(tmp_path / "a.raw", several, rate, **form)
    start = {**START, "encoding": encoding, "channels": channels, "sampling_rate": rate}
    found, _ = talk(client, [start, *cut((tmp_path / "a.raw").read_bytes(), 7777), FINISH])
    assert text_of(found) == SAID
    assert {**found[0], "warnings": []} == {
        "type": "ready",
        "sampling_rate": rate,
        "encoding": encoding,
        "channels": channels,
        "entries": 1,
        "warnings": [],
    }


def test_the_list_changes_on_the_way_in_its_place(client: TestClient) -> None:
    half = len(PCM) // 4 * 2
    change = {"type": "list", "entities": [{"name": "Imiglucerase"}, {"name": "Keisha"}]}
    found, _ = talk(client, [{"type": "start"}, PCM[: half // 2], change, PCM[half // 2 :], FINISH])
    assert text_of(found) == SAID
    (answer,) = [one for one in found if one["type"] == "list"]
    assert answer == {"type": "list", "entries": 2, "warnings": []}
    late = {"type": "list", "keywords": []}
    found, _ = talk(client, [START, *cut(PCM, 8000), late, FINISH])
    assert found[-1]["text"] == SAID  # what is committed stays
    assert [one["entries"] for one in found if one["type"] == "list"] == [0]


def test_lists_that_are_stored(serves: Any, tmp_path: Path) -> None:
    with serves() as client:
        client.service.lists = StoredLists(client.service, ListStore(tmp_path / "lists.sqlite"))
        client.put("/v1/lists/drugs", json={"entities": ["Imiglucerase", "Metformin"]})
        found, _ = talk(client, [{"type": "start", "list_id": "drugs"}, PCM, FINISH])
        assert (found[0]["entries"], found[-1]["text"]) == (2, SAID)
        (error,), code = talk(client, [{"type": "start", "list_id": "none"}])
        assert code == 1007 and error["error"]["param"] == "list_id"


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"keywords": 5}, "keywords is an array of names, not 5"),
        ({"entities": [{"nam": "x"}]}, "nam"),
        ({"keywords": ["x"] * 20_001}, "20001 names in a request, of at most 20000"),
        ({"list_id": "doctors"}, "stor|doctors"),
    ],
)
def test_a_list_that_is_refused_leaves_the_one_before(
    client: TestClient, fields: dict[str, Any], why: str
) -> None:
    found, code = talk(client, [START, {"type": "list", **fields, "colour": 1}, PCM, FINISH])
    assert (text_of(found), code) == (SAID, 1000)
    (answer,) = [one for one in found if one["type"] == "list"]
    assert answer["entries"] == 1
    assert answer["warnings"][0] == "'colour' is no field that is known, and has no effect"
    assert answer["warnings"][1] == f"the list before stays: {answer['error']['message']}"
    assert any(part in answer["error"]["message"] for part in why.split("|"))


def test_what_has_no_effect_is_told(client: TestClient) -> None:
    start = {**START, "keywords": ["Imiglucerase", "Imiglucerase"], "punctuate": True}
    found, _ = talk(client, [start, PCM, b"\0", FINISH])
    assert found[0]["warnings"][0] == "'punctuate' is no field that is known, and has no effect"
    assert len(found[0]["warnings"]) == 2
    (odd,) = found[-1]["warnings"]
    assert odd.startswith("raw samples: left out at the end: 1 byte")
    assert found[-1]["text"] == SAID


def test_silence_and_nothing(client: TestClient) -> None:
    for audio in ([], [b""], [b"\0"], [b"\0" * 200_000]):
        found, code = talk(client, [START, *audio, FINISH])
        assert (found[-1]["type"], found[-1]["text"], code) == ("done", "", 1000)
    endpoints = [end for one in found[1:-1] for end in one["endpoints"]]
    assert [(one["rule"], one["text_end"]) for one in endpoints] == [("silence", 0)]


NAN = np.array([0.0, np.nan] * 200, dtype="<f4").tobytes()
NO_WORD = {"type": "start", "keywords": ["\u4e2d\u6587"]}


@pytest.mark.parametrize(
    ("messages", "code", "why"),
    [
        ([b"\0" * 100], 1003, 'audio comes behind {"type": "start"}'),
        (["{"], 1007, "not valid JSON"),
        (["audio"], 1007, "not valid JSON"),
        (["[" * 100_000], 1007, "nested too deeply"),
        (["[]"], 1007, "a message is an object of JSON, not []"),
        (["{}"], 1007, "type is one of start, list, finish, not None"),
        ([{"type": ["start"]}], 1007, "type is one of start, list, finish, not ['start']"),
        ([FINISH], 1008, "finish comes behind start"),
        ([{"type": "list"}], 1008, "list comes behind start"),
        ([START, START], 1008, "start comes once, and first"),
        ([START, FINISH, b"\0\0"], 1008, "nothing may follow the end"),
        ([{**START, "sampling_rate": 0}], 1007, "sampling rate of 0 Hz"),
        ([{**START, "sampling_rate": "16000"}], 1007, "give a number, not a string"),
        (['{"type": "start", "sampling_rate": 1e999}'], 1007, "no whole number of Hz"),
        ([{**START, "encoding": "mp3"}], 1007, "encoding is one of s16le"),
        ([{**START, "encoding": ["s16le"]}], 1007, "encoding is one of s16le"),
        ([{**START, "channels": 0}], 1007, "channels=0"),
        ([{**START, "channels": True}], 1007, "channels=True"),
        ([{**START, "channels": 10**9}], 1007, "channels=1000000000"),
        ([{**START, "keywords": {}}], 1007, "keywords is an array of names"),
        ([{**START, "keywords": ["x"] * 20_001}], 1009, "20001 names in a request"),
        ([NO_WORD], 1007, "none of its 1 entries can have an effect"),
        ([{**START, "list_id": 7}], 1007, "list_id is the name of one list"),
        ([START, " " * 1_000_001], 1009, "longer than 1 MB"),
        ([START, b"\0" * 1_000_001], 1009, "longer than 1 MB"),
        ([START, (CLIPS / "medical-2.flac").read_bytes()], 1007, "a file with a header"),
        ([{**START, "encoding": "f32le"}, NAN], 1007, "sample 1 (0.000 s) is nan"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_wrong_is_told_and_ends_the_stream(
    client: TestClient, messages: list[Any], code: int, why: str
) -> None:
    found, closed = talk(client, messages)
    assert found[-1]["type"] == "error"
    error = found[-1]["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert why in error["message"] and "\n" not in error["message"]
    assert closed == code
    assert client.service.streams == 0  # type: ignore[attr-defined]


@pytest.mark.parametrize("size", [0, 1, 3])
def test_a_client_that_goes_leaves_nothing(client: TestClient, size: int) -> None:
    for message in ([], [START], [START, PCM], [START, PCM, FINISH], [START, {"type": "list"}]):
        with client.websocket_connect("/v1/stream") as socket:
            for one in message[:size]:
                send = socket.send_bytes if isinstance(one, bytes) else socket.send_json
                send(one)  # type: ignore[operator]
        assert client.service.streams == 0  # type: ignore[attr-defined]


def test_only_so_many_streams_are_open(serves: Any) -> None:
    with serves(max_streams=2) as client:
        with (
            client.websocket_connect("/v1/stream"),
            client.websocket_connect("/v1/stream") as other,
        ):
            other.send_json(START)
            assert other.receive_json()["type"] == "ready"
            (error,), code = talk(client, [])
            assert (error["error"]["code"], code) == ("too_many_streams", 1013)
            assert "2 streams are open" in error["error"]["message"]
        found, _ = talk(client, [START, PCM, FINISH])
        assert found[-1]["text"] == SAID
        client.service.closing = True
        (error,), code = talk(client, [])
        assert (error["error"]["code"], code) == ("stopping", 1013)


def test_a_stream_of_which_nothing_comes_is_closed(serves: Any) -> None:
    with serves(idle_seconds=0.05) as client:
        for messages in ([], [START]):
            found, code = talk(client, messages)
            assert (found[-1]["error"]["code"], code) == ("idle", 1008)
        assert client.service.streams == 0


def test_keys(serves: Any) -> None:
    with serves(keys=("secret",)) as client:
        for path, headers in [
            ("/v1/stream", {}),
            ("/v1/stream?key=wrong", {}),
            ("/v1/stream", {"Authorization": "Bearer wrong"}),
            ("/vosk", {}),
            ("/", {}),
            ("/v1/realtime", {}),
        ]:
            with pytest.raises(WebSocketDisconnect) as end:
                talk(client, [START], path, headers=headers)
            assert end.value.code == 1008
        for path, headers in [
            ("/v1/stream?key=secret", {}),
            ("/v1/stream", {"Authorization": "Bearer secret"}),
        ]:
            assert talk(client, [START, FINISH], path, headers=headers)[1] == 1000


def test_where_the_server_fails_the_stream_is_told(
    client: TestClient, recognizer: Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **more: Any) -> Any:
        raise RuntimeError("broken\nin two")

    monkeypatch.setattr(recognizer, "accept_all", fail)
    found, code = talk(client, [START, PCM])
    assert code == 1011
    assert found[-1]["error"]["message"].startswith("the server has failed on this stream")
    assert found[-1]["error"]["type"] == "server_error"
    assert client.service.streams == 0  # type: ignore[attr-defined]


def test_seconds_of_audio_are_counted(serves: Any) -> None:
    def counted(client: TestClient) -> float:
        lines: Iterable[str] = client.get("/metrics").text.splitlines()
        return next(float(one.split()[1]) for one in lines if one.startswith("ctcbias_audio_sec"))

    with serves() as client:
        talk(client, [START, *cut(PCM, 3201), FINISH])
        assert counted(client) == pytest.approx(len(PCM) / 2 / 16000)


def test_text_in_any_order_never_hurts(client: TestClient) -> None:
    """Each order of three messages ends with an answer and a code, and nothing is left open."""
    kinds = [START, FINISH, {"type": "list"}, PCM[:3201], "{"]
    for messages in itertools.product(kinds, repeat=2):
        found, code = talk(client, [*messages, FINISH, FINISH, "{"])
        assert json.dumps(found[-1]) and code in (1000, 1003, 1007, 1008)
    assert client.service.streams == 0  # type: ignore[attr-defined]


def test_what_is_null_was_not_said(client: TestClient) -> None:
    nothing = dict.fromkeys(["channels", "sampling_rate"])
    ready, *_, done = talk(client, [{**START, **nothing}, *cut(PCM, 3201), FINISH])[0]
    assert (ready["channels"], ready["sampling_rate"]) == (1, 16000)
    assert done["text"] == SAID


def test_what_comes_while_the_end_is_told(client: TestClient) -> None:
    service = client.service  # type: ignore[attr-defined]
    told, closing = [], asyncio.Event()

    async def talk_to_the_end() -> None:
        messages = [{"type": "websocket.connect"}]
        messages += [
            {"type": "websocket.receive", "text": json.dumps(one)} for one in (START, FINISH)
        ]

        async def receive() -> Any:
            if not messages:
                await closing.wait()
                return {"type": "websocket.receive", "text": json.dumps(FINISH)}
            return messages.pop(0)

        async def send(message: Any) -> None:
            told.append(message["type"])
            if message["type"] == "websocket.close":
                closing.set()
                await asyncio.sleep(60)  # until what came has ended it

        socket = WebSocket({"type": "websocket", "headers": []}, receive, send)
        await StreamConversation(service, socket).run()

    asyncio.run(talk_to_the_end())
    assert told.count("websocket.close") == 1
    assert told[-1] == "websocket.close"

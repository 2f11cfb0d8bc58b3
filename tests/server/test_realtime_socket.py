"""Transcription as OpenAI's realtime clients know it: what is sent fits the types of their
package."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from tests.server.talk import PLAIN, SAID, cut, pcm_of, samples_of, talk

pytest.importorskip("openai", reason="pip install openai, whose types are looked at")

from openai.types.beta.realtime import RealtimeServerEvent as BetaServerEvent
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter

PATH = "/v1/realtime?intent=transcription"
PCM = pcm_of(samples_of(rate=24000))
PAUSE = b"\0\0" * 48000
COMMIT = {"type": "input_audio_buffer.commit"}
CLEAR = {"type": "input_audio_buffer.clear"}
KEYWORDS = {"audio": {"input": {"transcription": {"keywords": ["Imiglucerase"]}}}}
MANUAL = {"audio": {"input": {"turn_detection": None}}}
EVENTS: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)
BETA_EVENTS: TypeAdapter[Any] = TypeAdapter(BetaServerEvent)
DELTA, COMPLETED = (
    f"conversation.item.input_audio_transcription.{one}" for one in ("delta", "completed")
)


def update(*sessions: dict[str, Any], **fields: Any) -> dict[str, Any]:
    merged: dict[str, Any] = {"type": "transcription", **fields}
    for session in sessions:
        given = merged.setdefault("audio", {}).setdefault("input", {})
        given.update(session["audio"]["input"])
    return {"type": "session.update", "session": merged}


def append(data: bytes, size: int = 9999) -> list[dict[str, Any]]:
    return [
        {"type": "input_audio_buffer.append", "audio": base64.b64encode(one).decode()}
        for one in cut(data, size)
    ]


def session(
    client: TestClient, messages: Iterable[Any], path: str = PATH, beta: bool = False
) -> list[dict[str, Any]]:
    """Send events, and one that is answered when all of them are; what has come before that."""
    headers = {"OpenAI-Beta": "realtime=v1"} if beta else {}
    messages = [*messages, CLEAR]
    with client.websocket_connect(path, headers=headers) as socket:
        for message in messages:
            socket.send_text(message if isinstance(message, str) else json.dumps(message))
        found: list[dict[str, Any]] = []
        while kinds(found).count("input_audio_buffer.cleared") < messages.count(CLEAR):
            found.append(socket.receive_json())
    assert len({one["event_id"] for one in found}) == len(found)
    for one in found:
        if not one["type"].startswith("transcription_session."):
            (BETA_EVENTS if beta else EVENTS).validate_python(one)
    return found[:-1]


def kinds(found: list[dict[str, Any]]) -> list[str]:
    return [one["type"] for one in found]


def transcripts(found: list[dict[str, Any]]) -> list[str]:
    """Of all items, after a look at what always holds."""
    done = [one for one in found if one["type"] == COMPLETED]
    for one in done:
        own = [other for other in found if other.get("item_id") == one["item_id"]]
        assert (
            "".join(other["delta"] for other in own if other["type"] == DELTA) == one["transcript"]
        )
        assert [other["type"] for other in own].count("input_audio_buffer.committed") == 1
        assert own[-1] is one
        assert [word["word"] for word in one["words"]] == one["transcript"].split()
    committed = [one for one in found if one["type"] == "input_audio_buffer.committed"]
    before = [None, *(one["item_id"] for one in committed)]
    assert [one["previous_item_id"] for one in committed] == before[:-1]
    return [one["transcript"] for one in done]


def test_an_id_of_an_event_is_text(client: TestClient) -> None:
    deep = '{"type": "none", "event_id": ' + "[" * 900 + "1e999" + "]" * 900 + "}"
    found = session(client, [deep, {"type": "none", "event_id": "an id"}])
    errors = [one["error"] for one in found if one["type"] == "error"]
    assert [one["event_id"] for one in errors] == [None, "an id"]
    assert errors[0]["param"] == "event_id"
    assert errors[0]["message"].startswith("event_id is text, not [[")
    odd = session(client, [{**update(KEYWORDS), "event_id": 7}])
    assert kinds(odd) == ["session.created", "error"]
    assert odd[1]["error"]["message"] == "event_id is text, not 7"
    assert kinds(session(client, [{**update(KEYWORDS), "event_id": None}]))[1] == "session.updated"


def test_a_rate_of_none_is_refused_and_what_a_format_has_beside_it_is_told(
    client: TestClient,
) -> None:
    for rate in (0, False, "", 1.5):
        form = {"audio": {"input": {"format": {"type": "audio/pcm", "rate": rate}}}}
        (error,) = session(client, [update(form)])[1:]
        assert error["type"] == "error", rate
        assert error["error"]["param"] == "format"
    form = {"audio": {"input": {"format": {"type": "audio/pcm", "rate": None, "bits": 8}}}}
    (updated,) = session(client, [update(form)])[1:]
    assert updated["session"]["audio"]["input"]["format"]["rate"] == 24000
    assert updated["session"]["warnings"] == [
        "'format.bits' is no field that is known, and has no effect"
    ]


def test_a_browser_has_its_key_and_the_beta_in_subprotocols(serves: Any) -> None:
    """As the JavaScript package of OpenAI opens it: there are no headers."""
    offered = ["realtime", "openai-insecure-api-key.secret"]
    with serves(keys=("secret",)) as client:
        with client.websocket_connect(PATH, subprotocols=offered) as socket:
            assert socket.accepted_subprotocol == "realtime"
            assert socket.receive_json()["type"] == "session.created"
        beta = [*offered, "openai-beta.realtime-v1"]
        with client.websocket_connect(PATH, subprotocols=beta) as socket:
            assert socket.receive_json()["type"] == "transcription_session.created"
        for wrong in (["realtime"], ["realtime", "openai-insecure-api-key.other"], ["secret"]):
            with (
                pytest.raises(WebSocketDisconnect),
                client.websocket_connect(PATH, subprotocols=wrong),
            ):
                pass
        both = {"authorization": "Bearer secret"}
        with client.websocket_connect("/v1/stream", subprotocols=["x"], headers=both) as socket:
            assert socket.accepted_subprotocol is None


def test_headers_of_the_javascript_package_may_come_from_other_pages(serves: Any) -> None:
    names = "authorization,content-type,openai-organization,x-stainless-arch,x-stainless-timeout"
    asks = {
        "origin": "http://page.test",
        "access-control-request-method": "POST",
        "access-control-request-headers": names,
    }
    with serves(origins=("http://page.test",)) as client:
        answer = client.options("/v1/audio/transcriptions", headers=asks)
        assert answer.status_code == 200
        assert set(names.split(",")) <= set(
            answer.headers["access-control-allow-headers"].lower().replace(" ", "").split(",")
        )
        other = client.options("/v1/audio/transcriptions", headers={**asks, "origin": "http://x"})
        assert "access-control-allow-origin" not in other.headers


def test_utterances_that_the_server_finds(client: TestClient) -> None:
    found = session(client, [update(KEYWORDS), *append(PCM + PAUSE + PCM), COMMIT])
    assert transcripts(found) == [SAID, SAID]
    assert kinds(found)[:2] == ["session.created", "session.updated"]
    started, stopped = (
        [one for one in found if one["type"] == f"input_audio_buffer.speech_{kind}"]
        for kind in ("started", "stopped")
    )
    assert [one["audio_start_ms"] for one in started] == [200, pytest.approx(5500, abs=100)]
    assert [one["audio_end_ms"] for one in stopped] == [pytest.approx(4560, abs=200), 8673]
    items = [one["item_id"] for one in found if one["type"] == COMPLETED]
    assert [one["item_id"] for one in started] == [one["item_id"] for one in stopped] == items
    assert [one["item"]["id"] for one in found if one["type"] == "conversation.item.done"] == items
    last = found[kinds(found).index(COMPLETED)]
    assert [name["display"] for name in last["entities"]] == ["Imiglucerase"]
    seconds = [one["usage"]["seconds"] for one in found if one["type"] == COMPLETED]
    assert sum(seconds) == pytest.approx(len(PCM + PAUSE + PCM) / 48000, abs=0.002)
    assert "logprobs" not in last


def test_utterances_that_the_client_ends(client: TestClient) -> None:
    """Each commit is an item of its own, whatever was said before; words go on in time."""
    messages = [update(KEYWORDS, MANUAL), *append(PCM), COMMIT, *append(PAUSE + PCM), COMMIT]
    found = session(client, [*messages, COMMIT])
    assert transcripts(found) == [SAID, SAID]
    assert not any("speech_" in kind for kind in kinds(found))
    begins = [one["words"][0]["start"] for one in found if one["type"] == COMPLETED]
    assert begins == [0.2, pytest.approx(5.5, abs=0.1)]
    (error,) = [one["error"] for one in found if one["type"] == "error"]
    assert error["code"] == "input_audio_buffer_commit_empty"


def test_what_is_cleared_is_not_transcribed(client: TestClient) -> None:
    messages = [update(KEYWORDS, MANUAL), *append(PCM[:60000]), CLEAR, *append(PCM), COMMIT]
    found = session(client, messages)
    assert transcripts(found) == [SAID]
    assert kinds(found).count("input_audio_buffer.cleared") == 1
    found = session(client, [*append(PCM[:60000]), CLEAR, COMMIT])
    assert transcripts(found) == []
    assert kinds(found).count("error") == 1


def test_the_list_changes_on_the_way_and_stays_where_none_is_named(client: TestClient) -> None:
    half = append(PCM[:60000]), append(PCM[60000:])
    found = session(client, [*half[0], update(KEYWORDS), *half[1], update(MANUAL), COMMIT])
    assert transcripts(found) == [SAID]
    entries = [one["session"]["entries"] for one in found if "session" in one]
    assert entries == [0, 1, 1]
    bad = update(keywords=[5])
    found = session(client, [update(KEYWORDS), {**bad, "event_id": "update"}, *append(PCM), COMMIT])
    assert transcripts(found) == [SAID]
    assert [one["error"]["event_id"] for one in found if one["type"] == "error"] == ["update"]


def test_what_is_in_effect_is_told(client: TestClient) -> None:
    given = {
        "format": {"type": "audio/pcm", "rate": 24000},
        "transcription": {"model": "whisper-1", "language": "de", "prompt": "x", "delay": "low"},
        "turn_detection": {"type": "semantic_vad", "threshold": 0.5, "eagerness": None},
        "noise_reduction": {"type": "near_field"},
        "gain": 2,
    }
    asked = update({"audio": {"input": given}}, include=["item.input_audio_transcription.logprobs"])
    found = session(client, [asked, *append(PCM), COMMIT], f"{PATH}&model=gpt-4o")
    assert found[0]["session"]["warnings"] == ["model 'gpt-4o' is not here: 'ctcbias' has answered"]
    effect = found[1]["session"]
    assert effect["audio"]["input"] == {
        "format": {"type": "audio/pcm", "rate": 24000},
        "transcription": {"model": "ctcbias", "language": "en"},
        "turn_detection": {"type": "server_vad", "silence_duration_ms": 1200},
        "noise_reduction": None,
    }
    assert effect["warnings"] == [
        "'gain' is no field that is known, and has no effect",
        "turn_detection 'semantic_vad' is not here: server_vad is in effect",
        "turn_detection.threshold has no effect: the server's endpoints are in effect",
        "noise_reduction has no effect: the audio is heard as it is",
        "model 'whisper-1' is not here: 'ctcbias' has answered",
        "language 'de' has no effect: the model's is english",
        "prompt has no effect: names to listen for go into keywords",
        "'delay' is no field that is known, and has no effect",
    ]
    assert transcripts(found) == [PLAIN]
    done = next(one for one in found if one["type"] == COMPLETED)
    assert [one["token"] for one in done["logprobs"]] == PLAIN.split()


def test_events_of_the_beta(client: TestClient) -> None:
    asked = {
        "input_audio_format": "g711_ulaw",
        "input_audio_transcription": {"model": "gpt-4o-transcribe", "keywords": ["Imiglucerase"]},
        "turn_detection": None,
        "include": None,
    }
    messages = [{"type": "transcription_session.update", "session": asked}]
    found = session(client, messages, beta=True)
    assert kinds(found)[:2] == ["transcription_session.created", "transcription_session.updated"]
    effect = found[1]["session"]
    assert effect["input_audio_format"] == "g711_ulaw" and effect["turn_detection"] is None
    silence = b"\xff" * 16000
    found = session(client, [*messages, *append(silence), COMMIT], beta=True)
    assert transcripts(found) == [""]
    assert found[-1]["usage"]["seconds"] == 2.0
    assert "conversation.item.created" in kinds(found)


@pytest.mark.parametrize(
    ("event", "why", "param"),
    [
        ("{", "not valid JSON", None),
        ("7", "a message is an object of JSON, not 7", None),
        ({"type": "response.create"}, "type is one of input_audio_buffer.append", "type"),
        ({"type": ["session.update"]}, "type is one of", "type"),
        ({"type": "input_audio_buffer.append"}, "audio is base64, not None", "audio"),
        ({"type": "input_audio_buffer.append", "audio": "a"}, "audio is base64", "audio"),
        (
            {"type": "input_audio_buffer.append", "audio": "\u00e9\u00e9\u00e9\u00e9"},
            "base64",
            "audio",
        ),
        (append(b"fLaC" * 4)[0], "a file with a header", "audio"),
        (COMMIT, "nothing has come to be committed", None),
        ({**update(), "session": 5}, "session is an object, not 5", "session"),
        (update(include=["everything"]), "include is an array of", "include"),
        ({**update(), "session": {"type": "realtime"}}, "transcription here", "session.type"),
        (
            update({"audio": {"input": {"format": {"type": "audio/opus"}}}}),
            "format is one",
            "format",
        ),
        (update({"audio": {"input": {"format": {"rate": 1}}}}), "sampling rate of 1 Hz", "format"),
        (update({"audio": {"input": {"format": ["pcm16"]}}}), "format is an object", "format"),
        (update({"audio": {"input": {"transcription": None}}}), "cannot be turned off", None),
        (update({"audio": {"input": {"turn_detection": "x"}}}), "is an object", "turn_detection"),
        (update(list_id="x"), "list", "list_id"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_wrong_is_told_and_the_session_goes_on(
    client: TestClient, event: Any, why: str, param: str | None
) -> None:
    message = event if isinstance(event, str) else {**event, "event_id": "update"}
    found = session(client, [message, *append(PCM[:9000]), COMMIT])
    (error,) = [one["error"] for one in found if one["type"] == "error"]
    assert why in error["message"] and error["param"] == param
    assert error["event_id"] == (None if isinstance(event, str) else "update")
    assert transcripts(found) == [""]
    assert client.service.streams == 0  # type: ignore[attr-defined]


def test_audio_that_is_open_has_its_format(client: TestClient) -> None:
    other = {
        **update({"audio": {"input": {"format": {"type": "audio/pcma"}}}}),
        "event_id": "update",
    }
    found = session(client, [*append(PCM[:9000]), other, CLEAR, other])
    assert [kind for kind in kinds(found) if "cleared" not in kind] == [
        "session.created",
        "error",
        "session.updated",
    ]
    assert found[-1]["session"]["audio"]["input"]["format"] == {"type": "audio/pcma"}


def test_what_ends_a_session(client: TestClient) -> None:
    (error,), code = talk(client, [], "/v1/realtime?intent=conversation")
    assert code == 1007
    assert error["error"]["message"] == "intent is transcription here, not 'conversation'"
    found, code = talk(client, [" " * 1_000_001], PATH)
    assert (found[-1]["error"]["code"], code) == ("message_too_large", 1009)
    with client.websocket_connect(PATH) as socket:
        socket.receive_json()
        socket.send_bytes(b"\0\0")
        assert socket.receive_json()["error"]["code"] == "binary"

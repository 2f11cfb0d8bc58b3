"""What the page asks the server for: lists as they are typed, why something was written, files."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import soundfile
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from ctcbias_fst import Recognizer
from ctcbias_fst.models.package import DEFAULT
from ctcbias_fst.server.app import make_app
from ctcbias_fst.server.config import ServerConfig
from ctcbias_fst.server.page import FILES
from ctcbias_fst.server.service import Service

CLIPS = DEFAULT.parent / "clips"


def checked(client: TestClient, text: str) -> Any:
    return client.post("/v1/names/check", json={"text": text}).json()


def explained(client: TestClient, clip: str = "medical-2", **fields: Any) -> Any:
    content = (CLIPS / f"{clip}.flac").read_bytes()
    return client.post("/v1/audio/explain", files={"file": (f"{clip}.flac", content)}, data=fields)


def test_lines_without_effect_are_told_by_their_lines(client: TestClient) -> None:
    found = checked(client, "# drugs\nImiglucerase\n\n東京\nimiglucerase\nB12")
    assert found["names"] == 2
    assert found["entries"] == ["Imiglucerase", "東京", "imiglucerase", "B12"]
    assert [(one["line"], one["text"]) for one in found["rejected"]] == [
        (4, "東京"),
        (5, "imiglucerase"),
    ]
    assert "same as line 2" in found["rejected"][1]["reason"]
    assert any("'B12'" in note for note in found["notes"])


@pytest.mark.parametrize("text", ["", " \n", "# nothing"])
def test_a_list_without_names_is_no_error(client: TestClient, text: str) -> None:
    assert checked(client, text)["names"] == 0


def test_what_none_of_can_have_an_effect_is_told_line_by_line(client: TestClient) -> None:
    found = checked(client, "東京\n!!!")
    assert (found["names"], [one["line"] for one in found["rejected"]]) == (0, [1, 2])


def test_what_was_checked_is_what_a_request_takes(client: TestClient) -> None:
    entries = checked(client, "name,weight\nImiglucerase,1.5\n")["entries"]
    found = explained(client, entities=json.dumps(entries)).json()
    (entity,) = found["with"]["entities"]
    assert (entity["display"], entity["weight"]) == ("Imiglucerase", 1.5)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"text": "a\\tb"}', "names, line 1: "),
        (b'{"text": 1}', '"text"'),
        (b"[]", '"text"'),
        (b"{", "the request: not valid JSON"),
        (b"\xff", "the request: not valid JSON"),
    ],
)
def test_what_is_no_list_is_refused(client: TestClient, body: bytes, told: str) -> None:
    answer = client.post("/v1/names/check", content=body)
    assert answer.status_code == 400
    assert told in answer.json()["error"]["message"]


def test_a_name_is_explained(client: TestClient) -> None:
    found = explained(client, keywords="Imiglucerase, Keisha Smith", start=1.1, end=2.1).json()
    assert "Imiglucerase" in found["with"]["text"]
    assert "Imiglucerase" not in found["without"]["text"]
    assert len(found["with"]["nbest"]) > 1
    assert found["with"]["entities"][0]["boost"] > 0
    first, second = found["attention"]["names"]
    assert (first["name"], first["written"]) == ("Imiglucerase", True)
    assert first["peak"] > 0.5 > second["peak"]
    assert 1.0 < first["at"] < 2.5
    assert len(first["weights"]) == len(found["attention"]["none"])
    assert found["no_attention"] is None


def test_a_part_has_the_times_of_the_whole(client: TestClient, tmp_path: Any) -> None:
    samples, rate = soundfile.read(CLIPS / "medical-2.flac", dtype="int16")
    silence = np.zeros(20 * rate, dtype=np.int16)
    soundfile.write(tmp_path / "long.wav", np.concatenate([silence, samples, silence]), rate)
    content = (tmp_path / "long.wav").read_bytes()
    fields = {"keywords": "Imiglucerase", "start": "21.1", "end": "22.1"}
    files = {"file": ("long.wav", content)}
    found = client.post("/v1/audio/explain", files=files, data=fields).json()
    assert (found["start"], found["end"]) == (17.1, 26.1)
    (name,) = (word for word in found["with"]["words"] if word.get("entity"))
    assert 20.9 < name["start"] < 21.4
    assert 21.0 < found["attention"]["names"][0]["at"] < 22.5
    whole = client.post("/v1/audio/explain", files=files).json()
    assert (whole["start"], whole["end"]) == (0.0, 30.0)


def test_without_a_list_there_is_one_transcript(client: TestClient) -> None:
    found = explained(client, colour="red").json()
    assert found["with"] is None
    assert found["attention"] is None
    assert found["without"]["text"].startswith("my father takes")
    assert found["warnings"] == ["'colour' is no field that is known, and has no effect"]


@pytest.mark.parametrize(
    ("times", "told"),
    [
        ({"start": "-1"}, "time in seconds"),
        ({"start": "soon"}, "time in seconds"),
        ({"start": "9"}, "3.3 s"),
        ({"start": "1e308"}, "time in seconds"),
        ({"end": "2"}, "end of what begins at start"),
        ({"start": "2", "end": "1"}, "end of what begins at start"),
    ],
)
def test_times_that_are_none_are_refused(
    client: TestClient, times: dict[str, str], told: str
) -> None:
    answer = explained(client, **times)
    assert answer.status_code == 400
    assert told in answer.json()["error"]["message"]


def test_without_an_adapter_it_is_told_why_there_is_no_attention() -> None:
    recognizer = Recognizer.from_pretrained(settings={"parts": ["boost"]})
    service = Service(recognizer, ServerConfig(), "ctcbias")
    with TestClient(make_app(service)) as client:
        found = explained(client, keywords="Imiglucerase").json()
    assert found["attention"] is None
    assert "adapter" in found["no_attention"]
    assert found["with"]["entities"]


def test_files_of_the_page_need_no_key_and_load_nothing_from_elsewhere(serves: Any) -> None:
    with serves(keys=("secret",)) as client:
        assert client.get("/v1/models").status_code == 401
        assert client.post("/v1/names/check", json={"text": "x"}).status_code == 401
        for path in FILES:
            answer = client.get(path)
            assert answer.status_code == 200
            policy = answer.headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'self';")
            assert "unsafe" not in policy
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert "set-cookie" not in answer.headers
            assert "https:" not in answer.text.replace('"https:"', "")
        # Streams of vosk's clients are at the path of the page.
        with pytest.raises(WebSocketDisconnect), client.websocket_connect("/"):
            pass
        assert client.get("/page/..%2Fapp.py").status_code in (401, 404)
    assert {"/", "/page/app.js", "/page/style.css", "/page/recorder.js"} <= set(FILES)

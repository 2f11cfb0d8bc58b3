"""Nothing is accepted and ignored: what has no effect is told, wherever there is an answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from starlette.testclient import TestClient

from ctcbias_fst import Recognizer
from ctcbias_fst.cli import main
from ctcbias_fst.errors import CtcbiasWarning
from ctcbias_fst.models.package import DEFAULT
from ctcbias_fst.server.app import make_app
from ctcbias_fst.server.config import ServerConfig
from ctcbias_fst.server.list_store import ListStore
from ctcbias_fst.server.service import Service
from ctcbias_fst.server.stored_lists import StoredLists
from ctcbias_fst.settings import PARTS

PATH = "/v1/audio/transcriptions"
CLIP = (DEFAULT.parent / "clips" / "medical-2.flac").read_bytes()
IDLE = [f"!{'!' * i}" for i in range(30)]


def send(client: TestClient, content: bytes = CLIP, **fields: Any) -> Any:
    return client.post(PATH, files={"file": ("x.flac", content)}, data=fields)


def last_event(answer: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answer.text.rstrip().rpartition("data: ")[2])
    return found


def idle(entry: int) -> str:
    why = "empty after normalisation (no letter, no digit)"
    return f"keywords, entry {entry}: '{IDLE[entry - 1]}' has no effect: {why}"


def test_a_stream_of_events_has_the_warnings_of_the_plain_answer(client: TestClient) -> None:
    fields = {"keywords[]": ["!!!", "Imiglucerase"], "colour": "red"}
    half = CLIP[: len(CLIP) // 2]
    plain = send(client, half, **fields).json()["warnings"]
    assert len(plain) == 3
    assert last_event(send(client, half, stream="true", **fields))["warnings"] == plain


def test_lists_of_warnings_that_are_cut_say_so(client: TestClient) -> None:
    fields = {"keywords[]": [*IDLE, "Imiglucerase"]}
    shown = [idle(i) for i in range(1, 21)]
    more = "keywords: 10 more have no effect: response_format verbose_json names all"
    for answer in (
        send(client, **fields).json(),
        last_event(send(client, stream="true", **fields)),
    ):
        assert answer["warnings"] == [*shown, f"{more}, as does /v1/names/check"]
    verbose = send(client, response_format="verbose_json", **fields).json()
    assert verbose["warnings"] == [idle(i) for i in range(1, 31)]
    for style in ("text", "srt", "vtt"):
        header = json.loads(send(client, response_format=style, **fields).headers["x-warnings"])
        assert header == [*shown[:10], "and 20 more: verbose_json has all"]


def test_a_warning_that_is_cut_in_a_header_says_so(client: TestClient) -> None:
    long = f"{'w' * 300}.flac"
    half = CLIP[: len(CLIP) // 2]
    told = json.loads(
        client.post(PATH, files={"file": (long, half)}, data={"response_format": "text"}).headers[
            "x-warnings"
        ]
    )
    assert [(len(one), one[-1]) for one in told] == [(200, "…")]


@pytest.mark.parametrize("style", ["json", "verbose_json"])
def test_entries_of_a_stored_list_are_told_beside_keywords(
    serves: Any, tmp_path: Path, style: str
) -> None:
    with serves() as client:
        service = client.service
        service.lists = StoredLists(service, ListStore(tmp_path / "lists.sqlite"))
        put = client.put("/v1/lists/drugs", json={"entities": ["???", "Imiglucerase"]})
        assert put.status_code == 201
        alone = send(client, list_id="drugs", response_format=style).json()["warnings"]
        both = send(client, list_id="drugs", response_format=style, **{"keywords[]": ["!", "Anna"]})
        assert len(alone) == 1
        assert both.json()["warnings"] == [idle(1), *alone]


def test_log_probs_that_have_no_room_are_told(client: TestClient) -> None:
    for style in ("text", "srt", "vtt"):
        answer = send(client, response_format=style, **{"include[]": "logprobs"})
        assert json.loads(answer.headers["x-warnings"]) == [
            f"include logprobs has no effect on {style}"
        ]
    for fields in ({}, {"response_format": "verbose_json"}, {"stream": "true"}):
        answer = send(client, **fields, **{"include[]": "logprobs"})
        found = last_event(answer) if "stream" in fields else answer.json()
        assert found["logprobs"]
        assert found["warnings"] == []


def test_fields_in_the_address_of_a_list_are_refused(serves: Any, tmp_path: Path) -> None:
    with serves() as client:
        service = client.service
        service.lists = StoredLists(service, ListStore(tmp_path / "lists.sqlite"))
        for method, content in (
            ("PUT", {"entities": ["Anna"]}),
            ("PATCH", {"add": ["Anna"]}),
            ("DELETE", None),
        ):
            answer = client.request(method, "/v1/lists/x?version=1", json=content)
            told = answer.json()["error"]["message"]
            assert (answer.status_code, told[:24]) == (400, "'version' is not known: "), method
        assert client.get("/v1/lists").json()["data"] == []


def test_unknown_keys_of_a_list_that_is_checked_are_told(client: TestClient) -> None:
    path = "/v1/names/check"
    found = client.post(f"{path}?list_id=x", json={"text": "Anna", "nmaes": 1}).json()
    assert found["warnings"] == [
        f"'{name}' is no field that is known, and has no effect" for name in ("nmaes", "?list_id")
    ]
    assert client.post(path, json={"text": "Anna"}).json()["warnings"] == []


def test_a_model_names_the_parts_that_act() -> None:
    with pytest.warns(CtcbiasWarning, match="g2g"):
        recognizer = Recognizer.from_pretrained(settings={"parts": ["g2g", "lm"]})
    with TestClient(make_app(Service(recognizer, ServerConfig(), "ctcbias"))) as client:
        (model,) = client.get("/v1/models").json()["data"]
    assert model["parts"] == ["lm"]
    assert model["idle_parts"]["g2g"] == "needs the part boost"
    assert {*model["parts"], *model["idle_parts"]} == set(PARTS)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            ["--key", "", "--key", "b"],
            ["Warning: --key takes the place of the keys in CTCBIAS_API_KEY"],
        ),
        (["--lists", "x", "--key", ""], ["CTCBIAS_API_KEY", "Warning: --lists takes the place of"]),
        (["--no-lists", "--key", ""], ["CTCBIAS_API_KEY", "Warning: --no-lists: CTCBIAS_LISTS ha"]),
        (
            ["--no-lists", "--lists", "x", "--key", ""],
            ["CTCBIAS_API_KEY", "Warning: --no-lists: --lists has no effect"],
        ),
        (["--host", "nowhere.invalid"], []),
    ],
)
def test_an_option_that_takes_the_place_of_the_environment_is_told(
    options: list[str], told: list[str]
) -> None:
    env = {"CTCBIAS_API_KEY": "secret", "CTCBIAS_LISTS": "elsewhere"}
    answer = CliRunner().invoke(main, ["serve", *options], env=env)
    assert answer.exit_code == 1
    lines = [line for line in answer.stderr.splitlines() if line.startswith("Warning: ")]
    assert len(lines) == len(told)
    assert all(text in line for text, line in zip(told, lines))
    assert "secret" not in answer.stderr
    assert "elsewhere" not in answer.stderr

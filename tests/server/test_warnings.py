"""Nothing is accepted and ignored: what has no effect is told, wherever there is an answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from ctcbias_fst.models.package import DEFAULT
from ctcbias_fst.server.list_store import ListStore
from ctcbias_fst.server.stored_lists import StoredLists

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

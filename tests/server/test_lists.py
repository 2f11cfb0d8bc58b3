"""Lists over HTTP: what is stored comes back, is changed as sets are, and is used by its id."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sqlalchemy", reason="the extra serve is not installed")

from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from ctcbias_fst.errors import EntityListError
from ctcbias_fst.models.package import DEFAULT
from ctcbias_fst.server.list_store import ListStore
from ctcbias_fst.server.stored_lists import StoredLists
from ctcbias_fst.text.normalise import normalise
from tests.server.conftest import Serves

NAMES = ("Imiglucerase", "Keisha Smith", "Norfenefrine", "Zurich", "Qaanaaq", "Tobias")
words = st.sampled_from(NAMES).flatmap(lambda name: st.sampled_from([name, name.upper()]))
entries = st.one_of(
    words,
    st.text(min_size=1, max_size=12).filter(lambda text: len(text.split()) > 0),
    st.fixed_dictionaries(
        {"name": words},
        optional={
            "weight": st.floats(0.5, 3) | st.integers(1, 3),
            "display": words,
            "sounds_like": st.lists(words, max_size=2),
            "category": st.none() | words,
        },
    ),
)


@pytest.fixture(scope="module")
def client(serves: Serves, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with serves(max_list_megabytes=1.0, max_list_names=2000) as one:
        store = ListStore(tmp_path_factory.mktemp("lists") / "lists.sqlite")
        one.service.lists = StoredLists(one.service, store)
        yield one


def put(client: TestClient, list_id: str, entities: Any, **headers: str) -> Any:
    return client.put(f"/v1/lists/{list_id}", json={"entities": entities}, headers=headers)


def message(response: Any) -> str:
    return str(response.json()["error"]["message"])


@settings(max_examples=50)
@given(names=st.lists(entries, max_size=6))
def test_what_is_stored_comes_back_as_it_was_written(client: TestClient, names: list[Any]) -> None:
    before = client.get("/v1/lists/back")
    written = put(client, "back", names)
    try:
        read = client.service.recognizer.compile(names, warn=False).entities  # type: ignore[attr-defined]
    except EntityListError:
        assert written.status_code == 400
        after = client.get("/v1/lists/back")
        assert (after.status_code, after.content) == (before.status_code, before.content)
        return
    assert written.status_code == (200 if before.status_code == 200 else 201)
    version = before.json()["version"] + 1 if before.status_code == 200 else 1
    told = written.json()
    assert (told["version"], told["entries"]) == (version, len(names))
    left = [(one["entry"], one["text"]) for one in told["without_effect"]]
    assert left == [(one.line, one.text) for one in read.rejected]
    got = client.get("/v1/lists/back")
    assert got.json()["entities"] == json.loads(json.dumps(names))
    assert got.headers["etag"] == written.headers["etag"] == f'"{version}"'
    again = client.put("/v1/lists/back", json=got.json())
    assert again.status_code == 200 and again.json()["warnings"] == told["warnings"]


@settings(max_examples=30)
@given(
    first=st.lists(st.sampled_from(NAMES), unique=True),
    add=st.lists(words, unique_by=normalise),
    remove=st.lists(words),
)
def test_changes_are_those_of_sets(
    client: TestClient, first: list[str], add: list[str], remove: list[str]
) -> None:
    version = put(client, "sets", first).json()["version"]
    changed = client.patch("/v1/lists/sets", json={"add": add, "remove": remove})
    assert changed.json()["version"] == version + 1
    found = client.get("/v1/lists/sets").json()["entities"]
    gone, old = {normalise(name) for name in remove}, {normalise(name) for name in first}
    assert len(found) == changed.json()["entries"]
    assert {normalise(name) for name in found} == (old - gone) | {normalise(name) for name in add}
    assert set(add) <= set(found)
    assert bool(gone - old) == any("not removed" in text for text in changed.json()["warnings"])


def test_an_entry_that_is_added_again_is_replaced_in_its_place(client: TestClient) -> None:
    put(client, "again", ["Zurich", {"name": "Tobias", "weight": 2}, "Qaanaaq"])
    client.patch("/v1/lists/again", json={"add": [{"name": "tobias", "weight": 1.5}]})
    entities = client.get("/v1/lists/again").json()["entities"]
    assert entities == ["Zurich", {"name": "tobias", "weight": 1.5}, "Qaanaaq"]


def test_a_patch_that_fails_changes_nothing(client: TestClient) -> None:
    put(client, "whole", ["Zurich"])
    before = client.get("/v1/lists/whole").json()
    for body, told in (
        ({"add": ["Tobias", {"nam": "x"}]}, "add, entry 2: unknown column or key 'nam'"),
        ({"add": ["Tobias", 5]}, "add, entry 2: must be a name or an object, not 5"),
        ({"add": "Tobias"}, "add is an array of names, not 'Tobias'"),
        ({"remove": ["Zurich", 5]}, "remove is an array of names"),
        ({"remove": 5}, "remove is an array of names, not 5"),
        ({"remove": ["Zurich"], "add": ["!!!"]}, "none of its 1 entries can have an effect"),
        ({"add": ["x"], "delete": []}, 'send {"add": [...], "remove": [...]}'),
        ({}, 'send {"add": [...], "remove": [...]}'),
    ):
        response = client.patch("/v1/lists/whole", json=body)
        assert response.status_code == 400 and told in message(response), message(response)
    assert client.get("/v1/lists/whole").json() == before
    text = client.patch("/v1/lists/whole", content="Tobias", headers={"content-type": "text/plain"})
    assert text.status_code == 415


def test_two_writers_do_not_overwrite_each_other_in_silence(client: TestClient) -> None:
    tag = put(client, "two", ["Zurich"]).headers["etag"]
    assert put(client, "two", ["Tobias"], **{"If-Match": tag}).status_code == 200
    for method, body in (("PUT", {"entities": ["x"]}), ("PATCH", {"add": ["x"]}), ("DELETE", None)):
        late = client.request(method, "/v1/lists/two", json=body, headers={"If-Match": tag})
        assert late.status_code == 412 and late.headers["etag"] == '"2"'
        assert message(late) == ("two: version 2 is there: it was changed meanwhile; read it again")
    assert client.get("/v1/lists/two").json()["entities"] == ["Tobias"]
    assert put(client, "two", ["x"], **{"If-None-Match": "*"}).status_code == 412
    assert put(client, "two", ["Zurich"], **{"If-Match": '"1", "2"'}).status_code == 200
    assert put(client, "two", ["Zurich"], **{"If-Match": "*"}).status_code == 200
    assert put(client, "new-one", ["x"], **{"If-Match": "*"}).status_code == 412
    assert put(client, "new-one", ["x"], **{"If-Match": '"0"'}).status_code == 412
    version = put(client, "two", ["Zurich"]).json()["version"]
    for other in (f"{version:019}", f"{version:018}1", "9" * 5000):
        assert put(client, "two", ["x"], **{"If-Match": f'"{other}"'}).status_code == 412, other
    weak = f'W/"{version}"'
    assert put(client, "two", ["Zurich"], **{"If-Match": weak}).status_code == 200
    assert put(client, "two", ["x"], **{"If-Match": weak}).status_code == 412
    assert put(client, "two", ["x"], **{"If-Match": "W/x"}).status_code == 400


def test_a_list_that_is_deleted_is_gone_and_its_versions_are_not_given_again(
    client: TestClient,
) -> None:
    tag = put(client, "gone", ["Zurich"]).headers["etag"]
    assert client.delete("/v1/lists/gone").status_code == 204
    for method in ("GET", "PATCH", "DELETE"):
        body = {"add": ["x"]} if method == "PATCH" else None
        assert client.request(method, "/v1/lists/gone", json=body).status_code == 404
    assert "gone" not in [one["id"] for one in client.get("/v1/lists").json()["data"]]
    back = put(client, "gone", ["Tobias"])
    assert (back.status_code, back.json()["version"]) == (201, 3)
    # Who knew the first one does not take the second for it.
    assert put(client, "gone", ["x"], **{"If-Match": tag}).status_code == 412


def test_all_lists_are_told_of_a_page_at_a_time(client: TestClient) -> None:
    for list_id in ("page-b", "page-C", "page-a"):
        put(client, list_id, ["Zurich", "Tobias"])
    seen: list[str] = []
    while True:
        after = {"after": seen[-1]} if seen else {}
        page = client.get("/v1/lists", params={"limit": "2", **after}).json()
        seen += [one["id"] for one in page["data"]]
        if not page["has_more"]:
            break
    every = client.get("/v1/lists").json()
    assert seen == [one["id"] for one in every["data"]] == sorted(seen)
    assert {"page-C", "page-a", "page-b"} <= set(seen) and not every["has_more"]
    assert f"ctcbias_list_entries {sum(one['entries'] for one in every['data'])}.0\n" in (
        client.get("/metrics").text
    )
    for query in ("limit=0", "limit=x", "limit=9999", "limit=0000000015000", "limt=1"):
        assert client.get(f"/v1/lists?{query}").status_code == 400


def test_a_stored_list_is_used_by_its_id_as_it_is_now(client: TestClient) -> None:
    clip = (DEFAULT.parent / "clips" / "medical-2.flac").read_bytes()

    def heard(**fields: str) -> dict[str, Any]:
        response = client.post("/v1/audio/transcriptions", data=fields, files={"file": clip})
        assert response.status_code == 200, response.text
        return dict(response.json())

    put(client, "drugs", ["Imiglucerase", "!!!"])
    for _ in range(2):
        found = heard(list_id="drugs")
        assert "Imiglucerase" in found["text"]
        assert found["warnings"] == [
            "drugs, entry 2: '!!!' has no effect: empty after normalisation (no letter, no digit)"
        ]
    client.patch("/v1/lists/drugs", json={"add": ["Qaanaaq"], "remove": ["imiglucerase"]})
    assert "Imiglucerase" not in heard(list_id="drugs")["text"]
    assert "Imiglucerase" in heard(list_id="drugs", keywords="Imiglucerase")["text"]
    client.patch("/v1/lists/drugs", json={"remove": ["!!!", "Qaanaaq"]})
    assert "Imiglucerase" not in heard(list_id="drugs")["text"]
    client.delete("/v1/lists/drugs")
    gone = client.post("/v1/audio/transcriptions", data={"list_id": "drugs"}, files={"file": clip})
    assert gone.status_code == 404 and message(gone).startswith("there is no list drugs")


@pytest.mark.parametrize(
    ("content", "kind", "entities"),
    [
        ("Zurich\n# no\nTobias\n", "text/plain", ["Zurich", "Tobias"]),
        ("Zurich\n", "", ["Zurich"]),
        ("name,weight\nZurich,2\n", "text/csv; charset=UTF-8", [{"name": "Zurich", "weight": 2.0}]),
        ('{"name": "Zurich"}\n{"name": "Tobias"}', "application/x-ndjson", None),
        ('["Zurich", "Tobias"]', "application/json", ["Zurich", "Tobias"]),
        ('{"phrases": [{"value": "Zurich", "boost": 20}]}', "application/json", None),
        (gzip.compress(b"Zurich\n", mtime=0), "application/gzip", ["Zurich"]),
    ],
)
def test_lists_come_in_many_forms(
    client: TestClient, content: str | bytes, kind: str, entities: list[Any] | None
) -> None:
    headers = {"content-type": kind} if kind else {}
    response = client.put("/v1/lists/forms", content=content, headers=headers)
    assert response.status_code in (200, 201), response.text
    found = client.get("/v1/lists/forms").json()["entities"]
    if entities is None:
        assert [normalise(one["name"]) for one in found][:1] == ["zurich"]
    else:
        assert found == entities


DEEP = "[" * 20_000
MANY = "[" + ",".join(["[]"] * 40_000) + "]"


@pytest.mark.parametrize(
    ("content", "kind", "status", "told"),
    [
        ("", "application/json", 400, "the body is empty"),
        (" \n", "text/plain", 400, "the body is empty"),
        ("# none\n", "text/plain", 400, "there is no name in it"),
        ("{", "application/json", 400, "not valid JSON"),
        ("5", "application/json", 400, "must hold a list of names, not 5"),
        (DEEP, "application/json", 400, "nested too deeply"),
        ('{"entities": ' + DEEP, "application/json", 400, "nested too deeply"),
        (DEEP * 3, "application/json", 413, "more commas, brackets and lines"),
        (MANY, "application/json", 413, "more commas, brackets and lines"),
        ("\n" * 50_000 + "x", "text/plain", 413, "more commas, brackets and lines"),
        ("9" * 10_000, "application/json", 400, "too many digits"),
        (b"\xff\xfeZ\0", "text/plain", 400, "is UTF-16, not UTF-8"),
        (b'["Z\xfcrich"]', "application/json", 400, "line 1: not UTF-8 (byte 0xfc, column 4)"),
        ('[{"name": "x", "weight": NaN}, "y"]', "application/json", 400, "not finite"),
        ('[{"name": "x", "name": "y"}]', "application/json", 400, "'name' occurs twice"),
        ('[{"nam": "x"}]', "application/json", 400, "entry 1: unknown column or key 'nam'"),
        ('{"entities": 5}', "application/json", 400, "must hold a list of names, not 5"),
        (
            '{"id": "other", "entities": []}',
            "application/json",
            400,
            "the body is the list 'other'",
        ),
        ('["!!!", ""]', "application/json", 400, "none of its 2 entries can have an effect"),
        (json.dumps(["x" * 2000]), "application/json", 400, "a name of 2000 characters"),
        (json.dumps(["x"] * 2001), "application/json", 413, "a list has at most 2000"),
        ("x=y", "application/x-www-form-urlencoded", 415, "is not taken"),
        ("x", "multipart/form-data", 415, "is not taken"),
        ("x", "text/plain; charset=latin-1", 415, "'latin-1' is not taken: send UTF-8"),
        (b"\x1f\x8bx", "text/plain", 400, "damaged gzip"),
        (gzip.compress(b" " * 2_000_000, mtime=0), "text/plain", 413, "unpacks to more than 1 MB"),
        (b"x" * 1_100_000, "text/plain", 413, "longer than 1 MB"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_is_no_list_is_one_line(
    client: TestClient, content: str | bytes, kind: str, status: int, told: str
) -> None:
    response = client.put("/v1/lists/bad", content=content, headers={"content-type": kind})
    assert (response.status_code, told in message(response)) == (status, True), message(response)
    assert "\n" not in message(response) and len(message(response)) < 500
    assert client.get("/v1/lists/bad").status_code == 404


def test_control_characters_are_kept_and_told(client: TestClient) -> None:
    content = json.dumps(["Zur\u0007ich", "\ud800x", "Tobias"])
    kind = {"content-type": "application/json"}
    written = client.put("/v1/lists/controls", content=content, headers=kind).json()
    assert written["warnings"] == [
        "controls: control characters of 'Zurich' in entry 1 are dropped"
    ]
    assert [one["entry"] for one in written["without_effect"]] == [2]
    got = client.get("/v1/lists/controls")
    assert got.json()["entities"] == ["Zur\u0007ich", "\ud800x", "Tobias"]


def test_an_empty_list_is_one_and_is_told(client: TestClient) -> None:
    assert put(client, "empty", []).json()["warnings"] == ["empty: there is no name in it"]
    assert client.get("/v1/lists/empty").json()["entities"] == []


def test_entries_without_effect_are_named_by_their_line(client: TestClient) -> None:
    response = client.put(
        "/v1/lists/lines",
        content="Zurich\n\nzurich\n" + "!!!\n" * 120,
        headers={"content-type": "text/plain"},
    ).json()
    assert response["without_effect"][0] == {
        "line": 3,
        "text": "zurich",
        "reason": "same as line 1 ('Zurich')",
    }
    assert len(response["without_effect"]) == 100
    assert "lines: 21 more have no effect" in response["warnings"]


@pytest.mark.parametrize("list_id", ["a/b", "a%2Fb", "x" * 129, "%20", "%00", "ü", "%2e%2e", ""])
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_ids_are_plain(client: TestClient, method: str, list_id: str) -> None:
    body = {"PUT": {"entities": ["x"]}, "PATCH": {"add": ["x"]}}.get(method)
    response = client.request(method, f"/v1/lists/{list_id}", json=body)
    assert response.status_code == 400 and message(response).startswith("a list's id is 1 to 128")


def test_what_is_asked_for_wrongly_is_told(client: TestClient) -> None:
    put(client, "asked", ["x"])
    assert client.get("/v1/lists/asked?version=1").status_code == 400
    assert client.post("/v1/lists/asked").status_code == 405
    assert client.head("/v1/lists/asked").status_code == 200
    stranger = client.post(
        "/v1/audio/transcriptions", data={"list_id": "a/b"}, files={"file": b"x"}
    )
    assert stranger.status_code == 400 and "a list's id" in message(stranger)


def test_a_server_without_lists_says_so(serves: Serves) -> None:
    with serves() as client:
        for method, path in (("GET", "/v1/lists"), ("PUT", "/v1/lists/x")):
            response = client.request(method, path)
            assert response.status_code == 404 and "--no-lists" in message(response)


def test_a_restart_finds_what_was_stored(serves: Serves, tmp_path: Path) -> None:
    told = []
    for _ in range(2):
        with serves() as client:
            client.service.lists = StoredLists(client.service, ListStore(tmp_path / "lists"))
            if not told:
                put(client, "kept", ["Zurich", {"name": "Tobias", "weight": 2}])
            told.append(client.get("/v1/lists/kept").json())
    assert told[0] == told[1]


def test_a_database_that_fails_is_told(serves: Serves, tmp_path: Path) -> None:
    with serves() as client:
        path = tmp_path / "lists"
        client.service.lists = StoredLists(client.service, ListStore(path))
        put(client, "x", ["Zurich"])
        client.service.lists._store._engine.dispose()
        for one in tmp_path.iterdir():
            one.write_bytes(b"no database" * 1000)
        response = client.get("/v1/lists/x")
        assert response.status_code == 503 and response.headers["retry-after"]
        assert message(response).startswith("lists cannot be read or written now")
        assert client.get("/metrics").status_code == 200

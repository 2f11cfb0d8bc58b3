"""Recordings over HTTP, as OpenAI's clients send them."""

from __future__ import annotations

import errno
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from ctcbias_fst import Recognizer
from ctcbias_fst.errors import AudioError, ConfigError, EntityListError
from ctcbias_fst.models.package import DEFAULT
from ctcbias_fst.server.api_errors import ApiError
from ctcbias_fst.server.config import ServerConfig
from ctcbias_fst.text.text_files import read_lines

CLIPS = DEFAULT.parent / "clips"
SAID = "my father takes Imiglucerase and feels fine"
PATH = "/v1/audio/transcriptions"


def send(client: TestClient, clip: str = "medical-2", **fields: Any) -> Any:
    content = (CLIPS / f"{clip}.flac").read_bytes()
    return client.post(PATH, files={"file": (f"{clip}.flac", content)}, data=fields)


def refused(answer: Any, status: int) -> str:
    """The message of an error, which has all that clients look at."""
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert "\n" not in error["message"]
    return str(error["message"])


@pytest.mark.parametrize(
    "fields",
    [
        {"keywords": "Imiglucerase"},
        {"keywords[]": ["Imiglucerase", "Keisha Smith"]},
        {"hotwords": "Keisha Smith, Imiglucerase"},
        {"keyterms": '["Imiglucerase", "Keisha Smith"]'},
        {"entities": '[{"name": "Imiglucerase", "weight": 1.5, "category": "drug"}]'},
        {"entities[]": ['["Imiglucerase"]', '{"name": "Keisha Smith"}']},
    ],
    ids=lambda value: str(value)[:40],
)
def test_names_come_in_the_fields_of_several_services(
    client: TestClient, fields: dict[str, Any]
) -> None:
    found = send(client, **fields).json()
    assert found["text"] == SAID
    (entity,) = found["entities"]
    assert entity["display"] == "Imiglucerase"
    assert 0.9 < entity["start"] < entity["end"] < 2.4
    assert ("weight" in str(fields)) == (entity.get("category") == "drug")
    split = "hotwords was split at commas into 2 names"
    assert found["warnings"] == ([split] if "hotwords" in fields else [])
    assert "Imiglucerase" not in send(client).json()["text"]


def test_formats(client: TestClient, recognizer: Recognizer) -> None:
    own = recognizer.transcribe(CLIPS / "medical-2.flac", entities=["Imiglucerase"])
    answers = {
        style: send(client, keywords="Imiglucerase", response_format=style)
        for style in ("text", "srt", "vtt", "json", "verbose_json")
    }
    assert answers["text"].text == f"{SAID}\n"
    assert answers["text"].headers["content-type"] == "text/plain; charset=utf-8"
    assert answers["srt"].text.startswith("1\n00:00:00,200 --> 00:00:03,")
    assert answers["vtt"].text.startswith("WEBVTT\n\n00:00:00.200 --> ")
    assert set(answers["json"].json()) == {"text", "entities", "warnings", "usage"}
    verbose = answers["verbose_json"].json()
    assert (verbose["task"], verbose["language"]) == ("transcribe", "english")
    assert verbose["duration"] == pytest.approx(3.337, abs=0.01)
    assert verbose["usage"] == {"type": "duration", "seconds": verbose["duration"]}
    assert "words" not in verbose
    assert " ".join(part["text"].strip() for part in verbose["segments"]) == SAID
    several = {"timestamp_granularities[]": ["word", "segment"], "include[]": "logprobs"}
    verbose = send(
        client, keywords="Imiglucerase", response_format="verbose_json", **several
    ).json()
    words = [(word["word"], word["start"], word["end"]) for word in verbose["words"]]
    assert words == [(word.word, word.start, word.end) for word in own.best.words]
    assert [word.get("entity", False) for word in verbose["words"]] == [
        word.entity for word in own.best.words
    ]
    assert [one["token"] for one in verbose["logprobs"]] == SAID.split()
    assert all(one["logprob"] <= 0 for one in verbose["logprobs"])


def test_n_best(client: TestClient) -> None:
    found = send(client, keywords="Imiglucerase", nbest="5").json()
    texts = [one["text"] for one in found["nbest"]]
    assert texts[0] == found["text"]
    assert 1 < len(set(texts)) == len(texts) <= 5


def test_events_are_told_as_the_text_is_known(client: TestClient) -> None:
    answer = send(client, keywords="Imiglucerase", stream="true")
    assert answer.headers["content-type"].startswith("text/event-stream")
    lines = [line for line in answer.text.split("\n") if line]
    events = [json.loads(line.removeprefix("data: ")) for line in lines]
    kinds = [event["type"] for event in events]
    assert kinds == ["transcript.text.delta"] * (len(events) - 1) + ["transcript.text.done"]
    assert len(events) > 2
    assert "".join(event["delta"] for event in events[:-1]) == events[-1]["text"] == SAID
    assert [one["display"] for one in events[-1]["entities"]] == ["Imiglucerase"]
    assert client.service.streams == 0  # type: ignore[attr-defined]


def test_what_has_no_effect_is_told(client: TestClient) -> None:
    fields = {
        "model": "whisper-1",
        "temperature": "0.3",
        "language": "de",
        "prompt": "Imiglucerase",
        "colour": "red",
        "keywords[]": ["!!!", "imiglucerase", "Imiglucerase"],
        "timestamp_granularities[]": "word",
        "include[]": "sense",
    }
    warnings = send(client, **fields).json()["warnings"]
    wanted = [
        "model 'whisper-1' is not here: 'ctcbias' has answered",
        "language 'de' has no effect: the model's is english",
        "temperature has no effect",
        "prompt has no effect: names to listen for go into keywords",
        "'colour' is no field that is known, and has no effect",
        "include 'sense' is not known",
        "timestamp_granularities[] has an effect with verbose_json only",
        "keywords, entry 1: '!!!' has no effect",
        "keywords, entry 3: 'Imiglucerase' has no effect: same as entry 2",
    ]
    assert len(warnings) == len(wanted)
    for text, begins in zip(sorted(warnings), sorted(wanted)):
        assert text.startswith(begins)
    for language in ("en", "English", "en-US", ""):
        assert send(client, model="ctcbias", language=language).json()["warnings"] == []
    told = send(client, response_format="text", colour="red")
    assert json.loads(told.headers["x-warnings"])[0].startswith("'colour' is no field")


@pytest.mark.parametrize(
    ("fields", "param", "message"),
    [
        ({"response_format": "xml"}, "response_format", "is one of json, verbose_json, text"),
        ({"nbest": "0"}, "nbest", "nbest is 1 to 100, not '0'"),
        ({"nbest": "0000000015000"}, "nbest", "nbest is 1 to 100"),
        ({"nbest": "0000000999"}, "nbest", "nbest is 1 to 100"),
        ({"nbest": "9" * 5000}, "nbest", "nbest is 1 to 100"),
        ({"stream": "maybe"}, "stream", "stream is true or false, not 'maybe'"),
        ({"timestamp_granularities[]": "day"}, "timestamp_granularities[]", "not 'day'"),
        ({"keywords": '["a",'}, "keywords", "keywords: not valid JSON"),
        ({"keywords": "[" * 100_000}, "keywords", "nested too deeply"),
        ({"entities": '"a"'}, "entities", "entities is a JSON array"),
        ({"entities": '[{"nom": "a"}]'}, None, "unknown column or key 'nom'"),
        ({"entities": "[7]"}, None, "7"),
        ({"keywords": "!!!"}, None, "none of its 1 entries can have an effect"),
        ({"list_id": "mine"}, "list_id", "list"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_wrong_field_is_one_line(
    client: TestClient, fields: dict[str, Any], param: str | None, message: str
) -> None:
    answer = send(client, **fields)
    assert message in refused(answer, 400)
    assert answer.json()["error"]["param"] == param


def test_files_that_are_none(client: TestClient, tmp_path: Path) -> None:
    good = (CLIPS / "medical-2.flac").read_bytes()
    for content, message in (
        (b"", "x.wav: the file is empty"),
        (b"no sound" * 100, "x.wav"),
        (good[:20], "x.wav"),
    ):
        answer = client.post(PATH, files={"file": ("x.wav", content)})
        assert message in refused(answer, 400)
    cut_off = client.post(PATH, files={"file": ("x.flac", good[: len(good) // 2])}).json()
    assert cut_off["text"].startswith("my father")
    assert any("x.flac" in text for text in cut_off["warnings"])
    assert "as file" in refused(client.post(PATH, data={"model": "x"}, files={}), 415)
    assert "as file" in refused(client.post(PATH, files={"audio": ("x.wav", good)}), 400)
    two = [("file", ("x.flac", good)), ("file", ("y.flac", good))]
    assert "one recording" in refused(client.post(PATH, files=two), 400)
    kind = {"content-type": "multipart/form-data"}
    assert "form" in refused(client.post(PATH, content=b"x", headers=kind), 400)
    assert "takes no GET" in refused(client.get(PATH), 405)
    assert "no such path" in refused(client.get("/v1/nothing"), 404)


def test_limits(serves: Any) -> None:
    with serves(max_megabytes=0.01, max_inline_names=3) as client:
        long = {"file": ("x.wav", bytes(1_100_000))}
        assert "longer than 1.01 MB" in refused(client.post(PATH, files=long), 413)
        chunks = (bytes(100_000) for _ in range(20))  # does not say how long it is
        head = {"content-type": "multipart/form-data; boundary=x"}
        assert "longer than" in refused(client.post(PATH, content=chunks, headers=head), 413)
        many = send(client, **{"keywords[]": ["anna", "berta", "carla", "dora"]})
        assert "4 names in a request, of at most 3" in refused(many, 413)
    with serves(max_seconds=3.2) as client:
        assert "longer than 3.2 s" in refused(send(client), 413)
        assert send(client, "general-1").status_code == 200


def test_keys(serves: Any) -> None:
    with serves(keys=("one", "zwei")) as client:
        for headers in ({}, {"authorization": "Bearer three"}, {"authorization": "one"}):
            answer = client.post(PATH, headers=headers, files={"file": ("x.wav", b"x")})
            assert "no such key" in refused(answer, 401)
            assert answer.headers["www-authenticate"] == "Bearer"
            assert client.get("/metrics", headers=headers).status_code == 401
        for key in ("one", "zwei"):
            known = {"authorization": f"Bearer {key}"}
            assert client.get("/v1/models", headers=known).json()["data"][0]["id"] == "ctcbias"
        assert client.get("/health").json()["status"] == "ok"
        assert client.get("/ready").json() == {"status": "ready", "waiting": 0}


def test_clients_beside_each_other_get_what_each_gets_alone(serves: Any) -> None:
    clips = sorted(path.stem for path in CLIPS.glob("*.flac"))
    lists = [[], ["Imiglucerase"], ["Imiglucerase", "Keisha Smith"]]
    wanted = [(clip, {"keywords[]": names}) for clip in clips for names in lists]
    with serves(workers=2, batch=4, batch_wait=0.05) as client:
        alone = [send(client, clip, **fields).json()["text"] for clip, fields in wanted]
        with ThreadPoolExecutor(8) as threads:
            found = threads.map(lambda one: send(client, one[0], **one[1]).json()["text"], wanted)
            assert list(found) == alone
        text = client.get("/metrics").text
        count = f'ctcbias_requests_total{{path="{PATH}",status="200"}} {2 * len(wanted)}.0'
        assert count in text
        assert "ctcbias_list_cache_misses_total 2.0" in text


def test_a_recording_that_fails_costs_no_other(
    serves: Any, monkeypatch: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with serves(batch_wait=0.3) as client:
        recognizer = client.service.recognizer
        own = recognizer.transcribe_recordings

        def fails(recordings: Any, *more: Any) -> Any:
            if any(one.id == "bad.flac" for one in recordings):
                raise RuntimeError("secret of the server")
            return own(recordings, *more)

        monkeypatch.setattr(recognizer, "transcribe_recordings", fails)
        content = (CLIPS / "medical-2.flac").read_bytes()

        def answer(name: str) -> Any:
            return client.post(PATH, files={"file": (name, content)})

        with ThreadPoolExecutor(3) as threads:
            one, bad, two = threads.map(answer, ["a.flac", "bad.flac", "b.flac"])
        assert one.json()["text"] == two.json()["text"] != ""
        assert refused(bad, 500) == "the server has failed on this request; its log has why"
        assert "RuntimeError: secret of the server" in caplog.text


def test_a_stream_of_events_that_fails_says_so(
    serves: Any, monkeypatch: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*arguments: Any) -> Any:
        raise RuntimeError("secret of the server")

    with serves() as client:
        monkeypatch.setattr(client.service.recognizer, "accept_all", fails)
        (event,) = send(client, stream="true").text.split("\n\n")[:-1]
    told = json.loads(event.removeprefix("data: "))
    assert told["type"] == "error"
    assert told["error"]["message"] == "the server has failed on this request; its log has why"
    assert "RuntimeError: secret of the server" in caplog.text


@pytest.mark.parametrize(
    ("why", "status"),
    [
        (OSError(errno.ENOSPC, "full"), 503),
        (OSError(errno.EFBIG, "too large"), 503),
        (MemoryError(), 503),
        (FileNotFoundError(errno.ENOENT, "gone", "/srv/lm.safetensors"), 500),
        (PermissionError(errno.EACCES, "closed", "/srv/lm.safetensors"), 500),
        (ValueError("no sound"), 400),
    ],
)
@pytest.mark.parametrize("deep", [False, True])
def test_what_fails_in_the_server_is_no_mistake_of_the_client(
    why: Exception, status: int, deep: bool
) -> None:
    try:
        try:
            if deep:
                raise RuntimeError("cannot be opened") from why
            raise why
        except Exception as cause:
            raise AudioError("/srv/a.flac: cannot be opened") from cause
    except AudioError as error:
        found = ApiError.of(error)
    assert (found.status, "/srv" in found.message) == (status, status == 400)


def test_a_file_of_the_package_that_is_gone_is_no_mistake_of_the_client(tmp_path: Path) -> None:
    """It is told without what it came from, as a user of the command line reads it."""
    with pytest.raises(EntityListError, match="no such file") as error:
        read_lines(tmp_path / "words.txt", EntityListError)
    found = ApiError.of(error.value)
    assert (found.status, str(tmp_path) in found.message) == (500, False)


def test_a_length_that_nobody_has(client: TestClient) -> None:
    for digits in (18, 19, 5000):
        answer = client.post(PATH, headers={"content-length": "9" * digits}, content=b"")
        assert "longer than" in refused(answer, 413)


def test_a_temporary_folder_without_room(client: TestClient, monkeypatch: Any) -> None:
    def full(*arguments: Any, **more: Any) -> Any:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patch:
        patch.setattr("starlette.formparsers.SpooledTemporaryFile", full)
        assert refused(send(client), 503).startswith("the server is short of ")
    assert send(client).status_code == 200


def test_a_full_queue_is_told_and_when_to_come_again(serves: Any, monkeypatch: Any) -> None:
    go, begun = threading.Event(), threading.Event()
    with serves(max_waiting=1, batch=1) as client:
        recognizer = client.service.recognizer
        own = recognizer.transcribe_recordings

        def waits(*args: Any) -> Any:
            begun.set()
            assert go.wait(60)
            return own(*args)

        monkeypatch.setattr(recognizer, "transcribe_recordings", waits)
        with ThreadPoolExecutor(2) as threads:
            first = threads.submit(send, client)
            assert begun.wait(60)
            second = threads.submit(send, client)
            while client.service.waiting < 1:
                time.sleep(0.01)
            answer = send(client)
            assert "2 recordings are in hand, 1 of them wait" in refused(answer, 429)
            assert int(answer.headers["retry-after"]) >= 1
            assert client.get("/ready").status_code == 503
            go.set()
            assert first.result(60).json()["text"] == second.result(60).json()["text"] != ""
        assert send(client).status_code == 200


def test_what_takes_too_long_is_given_up(serves: Any, monkeypatch: Any) -> None:
    go = threading.Event()
    with serves(request_seconds=0.1) as client:
        recognizer = client.service.recognizer
        own = recognizer.transcribe_recordings
        held = lambda *args: (go.wait(60), own(*args))[1]  # noqa: E731
        monkeypatch.setattr(recognizer, "transcribe_recordings", held)
        answer = send(client)
        go.set()
        assert "it took longer than 3.4" in refused(answer, 503)


def test_other_hosts_pages_are_let_in_by_name_only(serves: Any) -> None:
    asks = {"origin": "http://page.test", "access-control-request-method": "POST"}
    with serves() as client:
        assert "access-control-allow-origin" not in client.options(PATH, headers=asks).headers
    with serves(origins=("http://page.test",), keys=("k",)) as client:
        found = client.options(PATH, headers=asks)
        assert found.headers["access-control-allow-origin"] == "http://page.test"
        for header in ("Content-Encoding", "If-Match", "If-None-Match"):
            asked = {**asks, "access-control-request-headers": header}
            assert client.options(PATH, headers=asked).status_code == 200, header
        other = client.options(PATH, headers={**asks, "origin": "http://other.test"})
        assert "access-control-allow-origin" not in other.headers


def test_a_host_of_another_name_is_not_ours(serves: Any) -> None:
    """As of a page whose name was made to point to this machine."""
    ours = ("localhost", "127.0.0.1", "::1")
    with serves(hosts=ours, origins=("https://page.test",)) as client:
        for host in ("localhost", "LOCALHOST:8000", "127.0.0.1:1", "[::1]:8000", "page.test"):
            assert client.get("/v1/models", headers={"host": host}).status_code == 200, host
        for host in (
            "evil.test",
            "evil.test:8000",
            "localhost.evil.test",
            "[",
            "",
        ):
            answer = client.get("/v1/models", headers={"host": host})
            assert "only localhost is answered" in refused(answer, 403), host
            socket = client.websocket_connect("/v1/stream", headers={"host": host})
            with pytest.raises(WebSocketDisconnect), socket:
                pass


def test_a_key_that_is_empty_is_none() -> None:
    for keys in (("",), ("k", " ")):
        with pytest.raises(ConfigError, match="a key is empty"):
            ServerConfig(keys=keys)


def test_fields_that_come_twice_or_in_the_address_are_told(client: TestClient) -> None:
    content = (CLIPS / "medical-2.flac").read_bytes()
    data = {"nbest": ["2", "3"], "list_id[]": []}
    found = client.post(f"{PATH}?keywords=Imiglucerase", files={"file": content}, data=data).json()
    assert len(found["nbest"]) == 3
    assert found["warnings"][:2] == [
        "nbest is given 2 times: the last one counts",
        "'?keywords' is no field that is known, and has no effect",
    ]
    answer = send(client, **{"list_id[]": "none"})
    assert "stores no lists" in refused(answer, 400)


def test_what_other_hosts_pages_ask_in_a_browser_is_refused(serves: Any) -> None:
    """A form needs no leave of the server, nor does a websocket."""
    here, other = {"origin": "http://testserver"}, {"origin": "https://page.test"}
    with serves() as client:
        assert client.get("/v1/models", headers=here).status_code == 200
        for headers in (other, {"origin": "null"}, {"origin": "http://testserver:81"}):
            answer = client.post(PATH, headers=headers, files={"file": ("x.wav", b"x")})
            assert "name it with --origin" in refused(answer, 403)
            socket = client.websocket_connect("/v1/stream", headers=headers)
            with pytest.raises(WebSocketDisconnect) as error, socket:
                pass
            assert error.value.code == 1008
        with client.websocket_connect("/v1/stream", headers=here):
            pass
    for origins in (("https://page.test/",), ("*",)):
        with serves(origins=origins) as client:
            assert client.get("/v1/models", headers=other).status_code == 200
            with client.websocket_connect("/v1/stream", headers=other):
                pass


def test_raw_formats_of_other_clients(client: TestClient, tmp_path: Path) -> None:
    """Any that the package reads: other rates, channels and codecs."""
    samples, rate = soundfile.read(CLIPS / "medical-2.flac", dtype="float32")
    for name, written in (
        ("a.ogg", samples),
        ("a.mp3", samples),
        ("a.wav", np.stack([samples] * 2, 1)),
    ):
        soundfile.write(tmp_path / name, written, rate)
        content = (tmp_path / name).read_bytes()
        answer = client.post(
            PATH, files={"file": (name, content)}, data={"keywords": "Imiglucerase"}
        )
        assert answer.json()["text"] == SAID


@pytest.fixture(scope="module")
def openai(client: TestClient) -> Iterator[Any]:
    package = pytest.importorskip("openai")
    try:
        made = package.OpenAI(base_url="http://testserver/v1", api_key="-", http_client=client)
    except TypeError:
        pytest.skip("openai and starlette use different HTTP clients")
    yield made


def test_the_client_of_openai(openai: Any) -> None:
    path = CLIPS / "medical-2.flac"
    more = {"extra_body": {"keywords": ["Imiglucerase", "Keisha Smith"]}}
    brief = openai.audio.transcriptions.create(file=path, model="ctcbias", **more)
    assert brief.text == SAID
    verbose = openai.audio.transcriptions.create(
        file=path,
        model="ctcbias",
        response_format="verbose_json",
        timestamp_granularities=["word"],
        **more,
    )
    assert [word.word for word in verbose.words] == SAID.split()
    assert verbose.duration == pytest.approx(3.337, abs=0.01)
    text = openai.audio.transcriptions.create(
        file=path, model="ctcbias", response_format="text", **more
    )
    assert text == f"{SAID}\n"
    events = list(
        openai.audio.transcriptions.create(file=path, model="ctcbias", stream=True, **more)
    )
    assert events[-1].type == "transcript.text.done"
    assert events[-1].text == SAID
    assert [one.id for one in openai.models.list()] == ["ctcbias"]
    with pytest.raises(Exception, match="response_format is one of") as error:
        openai.audio.transcriptions.create(file=path, model="x", response_format="xml")
    assert type(error.value).__name__ == "BadRequestError"


def test_fields_have_bounds(client: TestClient) -> None:
    told = refused(send(client, keywords="x" * 4_000_001), 413)
    assert told.startswith("a field is longer than 4 MB: store the names of a longer list")
    found = send(client, include=",".join(f"x{i}" for i in range(1000))).json()
    assert found["warnings"] == [
        *(f"include 'x{i}' is not known" for i in range(3)),
        "include has 997 other values that are not known",
    ]


def test_audio_that_takes_long_to_decode_is_given_up(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seconds alone do not bound it: channels and rates multiply."""
    monkeypatch.setattr("ctcbias_fst.server.service._READ_SECONDS", 0.0)
    told = refused(send(client), 413)
    assert told == "decoding the audio took longer than 0 s: send fewer channels, at a lower rate"
    monkeypatch.undo()
    assert send(client).status_code == 200


def test_a_long_recording_has_more_time(serves: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted: list[float] = []
    with serves(request_seconds=100.0) as client:
        service = client.service
        own = service._done

        def done(work: Any, item: Any, seconds: float | None = None) -> Any:
            wanted.append(seconds or 0.0)
            return own(work, item, seconds)

        monkeypatch.setattr(service, "_done", done)
        assert send(client).status_code == 200
    assert wanted == [pytest.approx(103.337, abs=0.01)]


WEIGHTS = "weights have no effect here"


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("keywords", "Imiglucerase\nKeisha Smith;Tobias", "was split at commas into 3 names"),
        ("keywords", "Imiglucerase:2", f": {WEIGHTS} ('Imiglucerase:2'): give them in entities"),
        (
            "keyterms",
            ["Imiglucerase :1.5", "Ada:-2", "Bea:3", "Bob:4", "Gate 4:30"],
            f": {WEIGHTS} ('Imiglucerase :1.5', 'Ada:-2', 'Bea:3' and 1 more): give them in",
        ),
    ],
)
def test_names_as_other_services_write_them(
    client: TestClient, field: str, value: Any, told: str
) -> None:
    found = send(client, **{field: value}).json()
    assert found["text"] == SAID
    begins = field + told if told.startswith(":") else f"{field} {told}"
    assert any(warning.startswith(begins) for warning in found["warnings"])


def test_one_name_of_several_words_is_told(client: TestClient) -> None:
    """vLLM and faster-whisper part them with spaces, too."""
    found = send(client, hotwords="Imiglucerase Tobias").json()
    told = "hotwords is one name, 'Imiglucerase Tobias': put commas between several"
    assert found["warnings"] == [told]
    assert send(client, keywords="Keisha Smith").json()["warnings"] == []


def test_log_probs_that_have_no_place_are_told(client: TestClient) -> None:
    answer = send(client, **{"include[]": "logprobs", "response_format": "srt"})
    assert json.loads(answer.headers["x-warnings"]) == ["include logprobs has no effect on srt"]


def test_a_header_tells_how_many_warnings_it_leaves_out(client: TestClient) -> None:
    fields = {f"field{i}": "1" for i in range(14)}
    told = json.loads(send(client, response_format="srt", **fields).headers["x-warnings"])
    assert len(told) == 11 and told[-1] == "and 4 more: verbose_json has all"


def test_what_is_said_of_a_recording_is_said_in_events_too(
    client: TestClient, tmp_path: Path
) -> None:
    samples, rate = soundfile.read(CLIPS / "medical-2.flac")
    soundfile.write(tmp_path / "quiet.flac", samples / np.abs(samples).max() * 1e-3, rate, "PCM_24")
    content = (tmp_path / "quiet.flac").read_bytes()
    answers = [
        client.post(PATH, files={"file": ("quiet.flac", content)}, data={"stream": stream})
        for stream in ("false", "true")
    ]
    (whole,) = answers[0].json()["warnings"]
    assert whole.startswith("quiet.flac: ")
    last = [line for line in answers[1].text.split("\n") if line][-1]
    assert json.loads(last.removeprefix("data: "))["warnings"] == [whole]

"""The audio of cuts: pieces of any file, as far as it goes; and no command of a stranger."""

from __future__ import annotations

import json
from pathlib import Path
from threading import Event, Thread, current_thread
from time import sleep
from typing import Any

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner
from generated import many
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lhotse import AudioSource, CutSet, MonoCut, MultiCut, Recording, SupervisionSegment
from lhotse.audio.backend import get_current_audio_backend

from ctcbias_fst.audio.audio import read_channels
from ctcbias_fst.cli import main
from ctcbias_fst.corpus import cuts
from ctcbias_fst.corpus.cuts import load_recording, read_cuts, seconds_of
from ctcbias_fst.errors import AudioError, InputError, ManifestError
from tests.corpus.test_transcript_files import texts
from tests.tiny_models import speechlike

WAVE = speechlike(2.0, 0)


def recorded(path: Path, samples: np.ndarray = WAVE, rate: int = 16000) -> Recording:
    soundfile.write(path, samples, rate)
    return Recording.from_file(path)


def piece(recording: Recording, start: float, seconds: float, **changes: Any) -> MonoCut:
    values = {"id": "c", "start": start, "duration": seconds, "channel": 0, **changes}
    return MonoCut(recording=recording, **values)


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_pieces_of_a_file(tmp_path: Path, suffix: str) -> None:
    recording = recorded(tmp_path / f"a.{suffix}")
    for start, seconds in ((0.0, 2.0), (0.5, 0.75), (1.2, 0.8)):
        cut = piece(recording, start, seconds)
        loaded = load_recording(cut, 16000)
        np.testing.assert_array_equal(loaded.samples, cut.load_audio()[0])
        assert (loaded.id, loaded.warning) == ("c", None)
    assert load_recording(piece(recording, 0.5, 1.0), 8000).seconds == pytest.approx(1.0, abs=1e-3)


def test_channels(tmp_path: Path) -> None:
    left, right = WAVE, np.zeros_like(WAVE)
    both = recorded(tmp_path / "both.flac", np.stack([left, right], axis=1))
    np.testing.assert_allclose(load_recording(piece(both, 0, 2.0), 16000).samples, left, atol=1e-4)
    assert not load_recording(piece(both, 0, 2.0, channel=1), 16000).samples.any()
    cut = MultiCut("m", 0.0, 2.0, channel=[0, 1], recording=both)
    np.testing.assert_allclose(load_recording(cut, 16000).samples, left / 2, atol=1e-4)
    one, two = recorded(tmp_path / "l.flac", left), recorded(tmp_path / "r.flac", left[:16000])
    sources = [AudioSource("file", [0], one.sources[0].source)]
    sources += [AudioSource("file", [1], two.sources[0].source)]
    apart = Recording("r", sources, 16000, 32000, 2.0, channel_ids=[0, 1])
    cut = MultiCut("m", 0.0, 2.0, channel=[0, 1], recording=apart)
    samples = load_recording(cut, 16000).samples
    np.testing.assert_allclose(samples[:16000], left[:16000], atol=1e-4)
    np.testing.assert_allclose(samples[16000:], left[16000:] / 2, atol=1e-4)


def test_what_is_missing_is_told(tmp_path: Path) -> None:
    recording = recorded(tmp_path / "a.wav")
    content = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(content[: len(content) // 2])
    whole = load_recording(recording.to_cut(), 16000)
    assert whole.warning == "truncated: 1.00 of 2.00 s are there"
    late = load_recording(piece(recording, 0.5, 1.5), 16000)
    assert late.warning == "truncated: 1.00 of 2.00 s are there"
    soundfile.write(tmp_path / "a.wav", WAVE[:16000], 16000)  # shorter than the manifest says
    late = load_recording(piece(recording, 0.5, 1.5), 16000)
    assert late.warning == "truncated: 0.50 of 1.50 s are there"
    np.testing.assert_allclose(late.samples, WAVE[8000:16000], atol=1e-4)
    with pytest.raises(AudioError, match="too short"):
        load_recording(piece(recording, 1.5, 0.5), 16000)


def test_the_file_knows_its_rate_better(tmp_path: Path) -> None:
    recording = recorded(tmp_path / "a.wav", WAVE[::2], 8000)
    cut = piece(Recording("r", recording.sources, 16000, 32000, 2.0), 0.5, 1.0)
    assert load_recording(cut, 16000).seconds == pytest.approx(1.0, abs=1e-3)


def test_composed_cuts_are_read_by_the_same_reader(tmp_path: Path) -> None:
    path = tmp_path / "it's; touch it.sph"  # a name that lhotse would hand to a shell
    soundfile.write(tmp_path / "a.wav", WAVE, 16000)
    (tmp_path / "a.wav").rename(path)
    recording = Recording("r", [AudioSource("file", [0], str(path))], 16000, 32000, 2.0)
    in_memory = Recording("r", [AudioSource("memory", [0], path.read_bytes())], 16000, 32000, 2.0)
    before = get_current_audio_backend()
    for cut, seconds in (
        (recording.to_cut().pad(duration=3.0), 3.0),
        (recording.to_cut().append(recording.to_cut()), 4.0),
        (recording.resample(8000).to_cut(), 2.0),
        (recording.perturb_volume(0.5).to_cut(), 2.0),
        (in_memory.to_cut(), 2.0),
    ):
        assert load_recording(cut, 16000).seconds == pytest.approx(seconds, abs=1e-3)
    path.unlink()
    with pytest.raises(AudioError) as caught:
        load_recording(recording.to_cut().pad(duration=3.0), 16000)
    assert str(caught.value) == f"{path}: no such file"
    assert get_current_audio_backend() is before


def test_threads_leave_lhotse_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that begins first ends first."""
    cut = recorded(tmp_path / "a.wav").to_cut().pad(duration=3.0)
    before = get_current_audio_backend()
    second, first_done = Event(), Event()

    def read(*arguments: Any, **options: Any) -> Any:
        if current_thread().name == "first":
            second.wait(0.2)
        else:
            second.set()
            first_done.wait(5.0)
        return read_channels(*arguments, **options)

    def first() -> None:
        load_recording(cut, 16000)
        first_done.set()

    monkeypatch.setattr(cuts, "read_channels", read)
    threads = [Thread(target=first, name="first"), Thread(target=load_recording, args=(cut, 16000))]
    for thread in threads:
        thread.start()
        sleep(0.05)
    for thread in threads:
        thread.join()
    assert get_current_audio_backend() is before


@pytest.mark.parametrize("duration", [float("nan"), float("inf"), -1.0, 0.0, "2", None])
def test_durations_that_are_none(tmp_path: Path, duration: Any) -> None:
    cut = piece(recorded(tmp_path / "a.wav"), 0.0, 2.0)
    cut.duration = duration
    if duration == "2":
        assert seconds_of(cut) == 2.0
        return
    assert seconds_of(cut) == 0.0
    with pytest.raises(AudioError, match="its duration is"):
        load_recording(cut, 16000)


def rows(folder: Path) -> list[dict[str, Any]]:
    cuts = [recorded(folder / f"{name}.wav").to_cut().with_id(name) for name in "abc"]
    return [cut.to_dict() for cut in cuts]


def written(folder: Path, content: list[dict[str, Any]]) -> Path:
    path = folder / "cuts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in content))
    return path


def test_bad_rows_have_a_line(tmp_path: Path) -> None:
    good = rows(tmp_path)
    for bad in ("5", "{", "[]", '{"id": "x"}', "null", "[" * 100_000, '{"type": "MonoCut"}'):
        path = tmp_path / "bad.jsonl"
        path.write_text(json.dumps(good[0]) + "\n" + bad + "\n")
        with pytest.raises(ManifestError, match=r"bad\.jsonl, line 2: ") as caught:
            read_cuts(path)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 600
    with pytest.raises(ManifestError, match="the id 5 is no string"):
        read_cuts(written(tmp_path, [{**good[0], "id": 5}]))


def test_recordings_are_cuts_too(tmp_path: Path) -> None:
    path = written(tmp_path, [row["recording"] for row in rows(tmp_path)])
    assert [cut.duration for cut in read_cuts(path)] == [2.0, 2.0, 2.0]


def commanded(row: dict[str, Any], place: str, command: str) -> dict[str, Any]:
    """A row with a command somewhere."""
    row = json.loads(json.dumps(row))
    source = {"type": "command", "channels": [0], "source": command}
    if place == "recording":
        row["recording"]["sources"] = [source]
    elif place == "pipe":
        row["recording"]["sources"][0] = {**source, "type": "url", "source": f"pipe:{command}"}
    elif place == "custom":
        row["custom"] = {"target": {**row["recording"], "sources": [source]}}
    elif place == "mixed":
        track = {"cut": commanded({**row}, "recording", command), "type": "MonoCut", "offset": 0.0}
        return {"id": row["id"], "tracks": [track], "type": "MixedCut"}
    else:
        rir = {**row["recording"], "sources": [source]}
        row["recording"]["transforms"] = [
            {"name": "ReverbWithImpulseResponse", "kwargs": {"rir": rir}}
        ]
    return row


@pytest.mark.parametrize("place", ["recording", "pipe", "custom", "mixed", "transform"])
def test_commands_are_refused(tmp_path: Path, place: str) -> None:
    first, *others = rows(tmp_path)
    seen = tmp_path / "seen"
    path = written(tmp_path, [*others, commanded(first, place, f"touch {seen}")])
    out = tmp_path / "out"
    result = CliRunner().invoke(main, ["decode", "--cuts", str(path), "--out", str(out)])
    assert result.exit_code == 1
    assert "'a' would run a command: " in result.stderr
    assert "--trust-manifest" in result.stderr
    assert not seen.exists()
    with pytest.raises(ManifestError, match="would run a command"):
        read_cuts(path)
    assert len(read_cuts(path, trusted=True)) == 3
    assert not seen.exists()


def test_trusted_commands_are_run(tmp_path: Path, model_without_adapter: Path) -> None:
    first, *others = rows(tmp_path)
    path = written(tmp_path, [*others, commanded(first, "recording", f"cat {tmp_path}/a.wav")])
    out = tmp_path / "out"
    command = ["decode", "--cuts", str(path), "--out", str(out), "--trust-manifest"]
    result = CliRunner().invoke(main, [*command, "--model", str(model_without_adapter)])
    assert result.exit_code == 0
    assert len(set(texts(out).values())) == 1
    assert len(texts(out)) == 3


def test_every_kind_of_bad_recording_among_good_ones(
    tmp_path: Path, model_without_adapter: Path
) -> None:
    good = rows(tmp_path)
    bad = {}
    for name in ("missing", "slow", "loud", "empty", "text", "folder"):
        bad[name] = json.loads(json.dumps(good[0]).replace("a.wav", f"{name}.wav"))
        bad[name]["id"] = name
    soundfile.write(tmp_path / "slow.wav", WAVE, 1)
    soundfile.write(tmp_path / "loud.wav", WAVE * 1e19, 16000, subtype="FLOAT")
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("hello")
    (tmp_path / "folder.wav").mkdir()
    bad["endless"] = {**good[0], "id": "endless", "duration": float("nan")}
    path = written(tmp_path, [*bad.values(), *good])
    out = tmp_path / "out"
    command = ["decode", "--cuts", str(path), "--out", str(out)]
    result = CliRunner().invoke(main, [*command, "--model", str(model_without_adapter)])
    assert result.exit_code == 1
    assert sorted(texts(out)) == ["a", "b", "c"]
    assert f"3 utterances, {len(bad)} left out" in result.stderr
    for name in bad:
        assert f"Warning: {name} is left out: " in result.stderr
    assert "Traceback" not in result.output
    assert CutSet.from_file(path).to_eager()


_JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(10**20), 10**20),
        st.floats(),
        st.text(max_size=5),
        st.sampled_from([0, -1, 1e308, 2**63, "", "file", "memory", "url", "command", "pipe:x"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=4,
)


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a row."""
    keys: Any = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list):
        keys = enumerate(value)
    return [at, *(place for key, inner in keys for place in places(inner, (*at, key)))]


def changed(row: Any, place: tuple[Any, ...], value: Any, remove: bool) -> Any:
    if not place:
        return value
    row = json.loads(json.dumps(row))
    inside = row
    for key in place[:-1]:
        inside = inside[key]
    if remove:
        del inside[place[-1]]
    else:
        inside[place[-1]] = value
    return row


def check_row(path: Path, row: Any) -> None:
    path.write_text(json.dumps(row) + "\n")
    try:
        for cut in read_cuts(path):
            assert seconds_of(cut) >= 0
            assert len(load_recording(cut, 16000).samples) <= 32000
    except InputError as error:
        assert "\n" not in str(error)


@pytest.fixture(scope="module")
def row(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    recording = recorded(tmp_path_factory.mktemp("rows") / "a.wav")
    supervision = SupervisionSegment("s", recording.id, 0.0, 2.0, text="peace")
    cut = piece(recording, 0.0, 2.0, supervisions=[supervision], custom={"x": [1]})
    return cut.to_dict()


generated_changes = given(
    drawn=st.lists(st.tuples(st.integers(0, 10**6), _JSON, st.booleans()), min_size=1, max_size=3)
)


def check_changes(folder: Path, row: dict[str, Any], drawn: list[Any]) -> None:
    found: Any = row
    for number, value, remove in drawn:
        where = places(found)
        found = changed(found, where[number % len(where)], value, remove)
    check_row(folder / "generated.jsonl", found)


@settings(max_examples=100, suppress_health_check=list(HealthCheck))
@generated_changes
def test_some_rows(tmp_path: Path, row: dict[str, Any], drawn: list[Any]) -> None:
    check_changes(tmp_path, row, drawn)


@many("rows of manifests", 5000)
@generated_changes
def test_many_rows(tmp_path: Path, row: dict[str, Any], drawn: list[Any]) -> None:
    check_changes(tmp_path, row, drawn)

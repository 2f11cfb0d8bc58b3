"""Whole manifests: batches, bad utterances, resumed jobs, formats."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result
from lhotse import CutSet, MonoCut, Recording, SupervisionSegment, SupervisionSet
from strategies import VOCABULARIES

from ctcbias_fst.cli import main
from ctcbias_fst.corpus import (
    Summary,
    Utterance,
    decode_corpus,
    read_cuts,
    record_of,
    write_supervisions,
)
from ctcbias_fst.errors import AudioError, LogProbsError, ManifestError
from ctcbias_fst.fst.boost import BoostGraph
from ctcbias_fst.pipeline import Names, Recognizer
from ctcbias_fst.records import Hypothesis, Transcript, Word
from ctcbias_fst.text.entities import EntityList, entities_from_names
from ctcbias_fst.text.vocabulary import Vocabulary
from tests.acoustic.conftest import speechlike

VOCABULARY = VOCABULARIES[0]


class Echo:
    """A backend whose transcript is the utterance's source, and the names it was given."""

    settings: Mapping[str, Any] = {}
    vocabulary: Vocabulary = VOCABULARY

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.compiled: list[tuple[str, ...]] = []
        self.seconds: list[float | None] = []

    def compile(
        self, entities: EntityList, graph: BoostGraph | None = None, seconds: float | None = None
    ) -> Names:
        self.compiled.append(tuple(entity.name for entity in entities))
        self.seconds.append(seconds)
        return Names(entities, graph, None)

    def load(self, utterance: Utterance) -> Utterance:
        if utterance.source == "unreadable":
            raise AudioError("its audio cannot be read")
        return utterance

    def decode(
        self, loaded: Sequence[Utterance], names: Sequence[Names | None]
    ) -> list[Transcript]:
        if any(utterance.source == "poison" for utterance in loaded):
            raise LogProbsError("a frame is NaN")
        if any(utterance.source == "crash" for utterance in loaded):
            raise RuntimeError("power failure")
        self.batches.append([utterance.id for utterance in loaded])
        listed = [() if one is None else tuple(e.display for e in one.entities) for one in names]
        return [
            _transcript(utterance.id, " ".join([utterance.source, *names]))
            for utterance, names in zip(loaded, listed)
        ]


def _transcript(name: str, text: str) -> Transcript:
    words = tuple(Word(w, i + 0.1, i + 0.9, 0.5) for i, w in enumerate(text.split()))
    best = Hypothesis(words, -1.5, ())
    return Transcript(name, best, (best,))


def _utterances(*sources: str) -> list[Utterance]:
    return [Utterance(f"u{i}", 10.0 + i, source) for i, source in enumerate(sources)]


def _decode(
    utterances: Sequence[Utterance],
    out: Path,
    backend: Echo | None = None,
    report: Callable[[str], None] = lambda message: None,
    **options: Any,
) -> Summary:
    return decode_corpus(
        utterances,
        backend or Echo(),
        out,
        settings=options.pop("settings", {}),
        report=report,
        **options,
    )


def _texts(path: Path) -> dict[str, str]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {row["id"]: row["text"] for row in rows}


def test_results_are_in_the_manifests_order_and_batches_by_duration(tmp_path: Path) -> None:
    backend = Echo()
    summary = _decode(_utterances("a", "b", "c", "d"), tmp_path / "out", backend, batch_seconds=26)
    assert list(_texts(tmp_path / "out").items()) == [
        ("u0", "a"),
        ("u1", "b"),
        ("u2", "c"),
        ("u3", "d"),
    ]
    assert backend.batches == [["u3", "u2"], ["u1", "u0"]]
    assert summary.seconds == 46
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_utterance_longer_than_a_batch_is_a_batch(tmp_path: Path) -> None:
    backend = Echo()
    _decode(_utterances("a", "b"), tmp_path / "out", backend, batch_seconds=1)
    assert backend.batches == [["u1"], ["u0"]]


def test_bad_utterances_are_left_out_and_told(tmp_path: Path) -> None:
    told: list[str] = []
    utterances = _utterances("a", "unreadable", "poison", "d")
    summary = _decode(utterances, tmp_path / "out", report=told.append)
    assert _texts(tmp_path / "out") == {"u0": "a", "u3": "d"}
    assert list(summary.skipped) == ["u1", "u2"]
    assert told == [
        "u1 is left out: its audio cannot be read",
        "u2 is left out: a frame is NaN",
    ]
    assert summary.seconds == 23


def test_nothing_but_bad_utterances(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="none of 2 utterances can be used; the first: its"):
        _decode(_utterances("unreadable", "unreadable"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_job_that_was_stopped_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "out"
    utterances = _utterances("a", "crash", "c", "d")
    with pytest.raises(RuntimeError, match="power failure"):
        _decode(utterances, out, batch_seconds=1)
    assert not out.exists()
    part = tmp_path / "out.part"
    with part.open("a") as stream:  # a line that was being written
        stream.write('{"id": "u0", "te')
    backend = Echo()
    mended = [*utterances[:1], Utterance("u1", 11.0, "b"), *utterances[2:]]
    summary = _decode(mended, out, backend, batch_seconds=1)
    assert backend.batches == [["u1"], ["u0"]]
    assert summary.resumed == 2
    assert list(_texts(out).values()) == ["a", "b", "c", "d"]
    assert not part.exists()


def test_part_files_of_other_jobs_are_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(RuntimeError):
        _decode(_utterances("a", "crash"), out, batch_seconds=1, settings={"beta": 1})
    with pytest.raises(ManifestError, match="out.part: belongs to a job with another"):
        _decode(_utterances("a", "b"), out, settings={"beta": 2})
    with pytest.raises(ManifestError, match="out.part: belongs to a job with another"):
        _decode(_utterances("a"), out, settings={"beta": 1})
    (tmp_path / "out.part").write_text("nonsense\n")
    with pytest.raises(ManifestError, match="out.part: damaged"):
        _decode(_utterances("a", "b"), out, settings={"beta": 1})


def test_one_list_or_one_for_each(tmp_path: Path) -> None:
    backend = Echo()
    shared = entities_from_names(["Ada", "Bob"])
    _decode(_utterances("a", "b"), tmp_path / "shared", backend, lists=shared)
    assert _texts(tmp_path / "shared") == {"u0": "a Ada Bob", "u1": "b Ada Bob"}
    assert backend.compiled == [("ada", "bob")]
    assert backend.seconds == [11.0]
    lists = {"u1": entities_from_names(["Eve"]), "u0": entities_from_names([])}
    _decode(_utterances("a", "b"), tmp_path / "each", backend, lists=lists)
    assert _texts(tmp_path / "each") == {"u0": "a", "u1": "b Eve"}
    assert backend.seconds == [11.0, 11.0]
    with pytest.raises(ManifestError, match="'u2' has no list of names"):
        _decode(_utterances("a", "b", "c"), tmp_path / "few", backend, lists=lists)


def test_names_without_effect_are_told(tmp_path: Path) -> None:
    told: list[str] = []
    names = entities_from_names(["Ada", "!!!"], source="names.txt")
    _decode(_utterances("a"), tmp_path / "out", report=told.append, lists=names)
    assert len(told) == 1
    assert told[0].startswith("names.txt, line 2: '!!!' has no effect")


def test_records_say_what_there_is() -> None:
    best = Hypothesis((Word("Ada", 0.1, 0.5, 0.87654, entity=True),), -1.23456, (1,))
    other = Hypothesis((Word("ad", 0.1, 0.5, 0.1),), -3.0, (2,))
    record = record_of(Transcript("u", best, (best, other), "something happened"))
    assert record == {
        "id": "u",
        "text": "Ada",
        "words": [{"word": "Ada", "start": 0.1, "end": 0.5, "confidence": 0.8765, "entity": True}],
        "score": -1.2346,
        "nbest": [{"text": "Ada", "score": -1.2346}, {"text": "ad", "score": -3.0}],
        "warning": "something happened",
    }
    assert "nbest" not in record_of(Transcript("u", best, (best,)))


def _cut(name: str, start: float = 0.0) -> MonoCut:
    recording = Recording(f"r-{name}", [], 16000, 160_000, 10.0)
    supervision = SupervisionSegment(f"s-{name}", recording.id, 0, 2.0, text="x", speaker="ada")
    return MonoCut(name, start, 2.0, 0, supervisions=[supervision], recording=recording)


def test_supervisions_are_on_the_recordings_clock(tmp_path: Path) -> None:
    cuts = CutSet.from_cuts([_cut("a", start=3.0), _cut("b")])
    path = tmp_path / "supervisions.jsonl.gz"
    write_supervisions(cuts, {"a": record_of(_transcript("a", "two words"))}, path)
    (segment,) = SupervisionSet.from_file(path)
    assert (segment.id, segment.recording_id, segment.text) == ("a", "r-a", "two words")
    assert (segment.start, segment.duration, segment.speaker) == (3.0, 2.0, "ada")
    first, second = segment.alignment["word"]
    assert (first.symbol, first.start, first.duration, first.score) == ("two", 3.1, 0.8, 0.5)
    assert second.start == 4.1


def test_manifests_that_are_no_manifests(tmp_path: Path) -> None:
    path = tmp_path / "cuts.jsonl"
    with pytest.raises(ManifestError, match="no such file"):
        read_cuts(path)
    path.write_text("nonsense\n")
    with pytest.raises(ManifestError, match="not a readable manifest"):
        read_cuts(path)
    path.write_text("")
    with pytest.raises(ManifestError, match=r"not a readable manifest|has no cuts"):
        read_cuts(path)
    cut = json.dumps(_cut("a").to_dict())
    path.write_text(f"{cut}\n{cut}\n")
    with pytest.raises(ManifestError, match="the id 'a' occurs twice"):
        read_cuts(path)


# From the command line, on log-probs.


def _saved(folder: Path) -> list[str]:
    """Two utterances: ``a ab``, and one whose ``ab`` is beaten by ``c``."""
    best = {"sure": [0, 1, 0, 1, 2, 0], "beaten": [0, 1, 4, 0, 0, 0]}
    arrays = {}
    for name, tokens in best.items():
        rows = np.full((6, 5), 0.01)
        rows[np.arange(6), tokens] = 0.96
        if name == "beaten":
            rows[2] = [0.01, 0.01, 0.2, 0.01, 0.77]
        arrays[name] = np.log(rows).astype(np.float32)
    np.savez(folder / "saved.npz", frame_seconds=np.array(0.02), **arrays)
    (folder / "tokens.txt").write_text(
        "".join(f"{token} {i}\n" for i, token in enumerate(VOCABULARY.tokens)), encoding="utf-8"
    )
    (folder / "names.txt").write_text("AB\n", encoding="utf-8")
    return ["--log-probs", f"{folder}/saved.npz", "--tokens", f"{folder}/tokens.txt"]


# A name of two tokens cannot pay the price that names have by default.
_CHEAP = ["--set", "decode.boost.bonus=-2.0"]


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments), catch_exceptions=False)


def test_saved_log_probs_from_the_command_line(tmp_path: Path) -> None:
    saved, out = _saved(tmp_path), tmp_path / "out.jsonl"
    result = _run("decode", *saved, "--out", str(out))
    assert result.exit_code == 0
    assert "2 utterances, 0 s of audio" in result.output
    assert _texts(out) == {"sure": "a ab", "beaten": "a c"}
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [w["start"] for w in rows[0]["words"]] == [0.02, 0.06]
    names = ["--entities", f"{tmp_path}/names.txt"]
    _run("decode", *saved, "--out", str(out), *names)
    assert _texts(out) == {"sure": "a AB", "beaten": "a c"}
    _run("decode", *saved, "--out", str(out), *names, *_CHEAP)
    assert _texts(out) == {"sure": "a AB", "beaten": "AB"}
    _run("decode", *saved, "--out", str(out), *names, "--parts=none")
    assert _texts(out) == {"sure": "a ab", "beaten": "a c"}


def test_a_compiled_graph_is_as_good_as_its_list(tmp_path: Path) -> None:
    saved, out = _saved(tmp_path), tmp_path / "out.jsonl"
    graph, picture = tmp_path / "names.fst", tmp_path / "names.svg"
    result = _run(
        "compile", f"{tmp_path}/names.txt", "-o", str(graph), *saved[2:], "--draw", str(picture)
    )
    assert result.exit_code == 0
    assert "1 names, " in result.output
    assert picture.read_text(encoding="utf-8").startswith("<svg")
    _run("decode", *saved, "--out", str(out), "--graph", str(graph), *_CHEAP)
    assert _texts(out) == {"sure": "a AB", "beaten": "AB"}


def test_settings_from_the_command_line(tmp_path: Path) -> None:
    saved, out = _saved(tmp_path), tmp_path / "out.jsonl"
    names = ["--entities", f"{tmp_path}/names.txt"]
    config = tmp_path / "decode.toml"
    config.write_text("[decode.boost]\nalpha = 0.0\nbeta = 0.0\nrepeat_alpha = 0.0\n")
    _run("decode", *saved, *names, "--out", str(out), "--config", str(config), "--nbest", "3")
    assert _texts(out)["beaten"] == "a c"
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows[1]["nbest"]) == 3
    more = ["--config", str(config), "--set", "decode.boost.beta=4.0", *_CHEAP]
    _run("decode", *saved, *names, "--out", str(out), *more)
    assert _texts(out)["beaten"] == "AB"


def test_frames_may_be_said_to_be_longer(tmp_path: Path) -> None:
    saved, out = _saved(tmp_path), tmp_path / "out.jsonl"
    _run("decode", *saved, "--out", str(out), "--frame-seconds", "0.1")
    assert json.loads(out.read_text().splitlines()[0])["words"][1]["start"] == 0.3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "either --cuts or --log-probs"),
        (["--cuts", "a", "--log-probs", "b"], "either --cuts or --log-probs"),
        (["--log-probs", "a", "--entities", "b", "--graph", "c"], "either --entities or --graph"),
        (["--log-probs", "a", "--format", "lhotse"], "--format lhotse needs --cuts"),
        (["--cuts", "a", "--tokens", "t"], "belong to --log-probs"),
        (["--cuts", "a", "--softmax"], "belong to --log-probs"),
        (["--log-probs", "a", "--blank", "x"], "belong to --tokens"),
        (["--log-probs", "a", "--tokens", "t", "--model", "m"], "either --model or --tokens"),
        (["--log-probs", "a", "--set", "decode.boost.gamma=1"], "gamma"),
        (["--log-probs", "a", "--parts", "magic"], "magic"),
        (["--log-probs", "a", "--config", "missing.toml"], "missing.toml"),
    ],
)
def test_options_that_do_not_fit(tmp_path: Path, arguments: list[str], message: str) -> None:
    result = _run("decode", *arguments, "--out", str(tmp_path / "out"))
    assert result.exit_code == 1
    assert message in result.output
    assert "Traceback" not in result.output


def test_bad_log_probs_from_the_command_line(tmp_path: Path) -> None:
    saved, out = _saved(tmp_path), tmp_path / "out.jsonl"
    content = dict(np.load(tmp_path / "saved.npz"))
    content["sure"][2, 1] = np.nan
    np.savez(tmp_path / "saved.npz", **content)
    result = _run("decode", *saved, "--out", str(out))
    assert result.exit_code == 0
    assert "sure is left out: utterance sure, frame 2: the log-probs have NaN" in result.output
    assert "1 utterances, 1 left out" in result.output
    assert _texts(out) == {"beaten": "a c"}


# With audio, on a tiny model with random weights.


@pytest.fixture
def model(model_without_adapter: Path) -> Path:
    return model_without_adapter


def _spoken(folder: Path) -> tuple[Path, list[Path]]:
    """Cuts of two clips (of another rate, and of two channels), one missing and one too short."""
    paths = [folder / f"{name}.wav" for name in ("slow", "stereo", "missing", "short")]
    soundfile.write(paths[0], speechlike(1.0, 0), 8000)
    soundfile.write(paths[1], np.stack([speechlike(1.5, 1)] * 2, axis=1), 16000)
    soundfile.write(paths[2], speechlike(1.0, 2), 16000)
    soundfile.write(paths[3], np.zeros(50, dtype=np.float32), 16000)
    recordings = [Recording.from_file(path) for path in paths]
    cuts = [r.to_cut().with_id(path.stem) for r, path in zip(recordings, paths)]
    CutSet.from_cuts(cuts).to_file(folder / "cuts.jsonl.gz")
    paths[2].unlink()
    return folder / "cuts.jsonl.gz", paths


def test_cuts_are_transcribed_as_their_files(model: Path, tmp_path: Path) -> None:
    manifest, paths = _spoken(tmp_path)
    out = tmp_path / "out.jsonl"
    result = _run("decode", "--cuts", str(manifest), "--model", str(model), "--out", str(out))
    assert result.exit_code == 0
    assert "missing is left out: its audio cannot be read" in result.output
    assert "short is left out" in result.output
    assert "2 utterances, 2 left out" in result.output
    recognizer = Recognizer.from_pretrained(model)
    expected = {path.stem: recognizer.transcribe(path).best.text for path in paths[:2]}
    assert all(expected.values())
    assert _texts(out) == expected


def test_lhotse_in_and_out(model: Path, tmp_path: Path) -> None:
    manifest, _ = _spoken(tmp_path)
    out = tmp_path / "out.jsonl.gz"
    options = ["--model", str(model), "--format", "lhotse", "--out", str(out)]
    _run("decode", "--cuts", str(manifest), *options)
    segments = {segment.id: segment for segment in SupervisionSet.from_file(out)}
    assert sorted(segments) == ["slow", "stereo"]
    for segment in segments.values():
        assert segment.text == " ".join(item.symbol for item in segment.alignment["word"])

"""Whole corpora: batches, bad utterances, resumed jobs, lists of names."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import VOCABULARIES

from ctcbias_fst.audio.audio import AudioPart
from ctcbias_fst.compiled import CompiledEntities
from ctcbias_fst.corpus.backends import Utterance
from ctcbias_fst.corpus.job import Summary, decode_corpus
from ctcbias_fst.errors import AudioError, ConfigError, LogProbsError, ManifestError, ModelError
from ctcbias_fst.graph.entity_tree import BoostGraph
from ctcbias_fst.models.first_failures import FirstFailures
from ctcbias_fst.records import Transcript
from ctcbias_fst.text.entities import EntityList, entities_from_names
from ctcbias_fst.text.vocabulary import Vocabulary
from tests.corpus.test_transcript_files import texts, transcript
from tests.test_files import full_disk

VOCABULARY = VOCABULARIES[0]


class Echo:
    """A backend whose transcript is the utterance's source, and the names it was given."""

    settings: Mapping[str, Any] = {}
    vocabulary: Vocabulary = VOCABULARY
    decoder: Any = SimpleNamespace(listener=None, search=SimpleNamespace(lexicon=None))

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.compiled: list[tuple[str, ...]] = []
        self.seconds: list[float | None] = []

    def first_failures(self, *, worked: bool) -> FirstFailures | None:
        return FirstFailures(lambda: True, worked)

    def compile(
        self, entities: EntityList, graph: BoostGraph | None = None, seconds: float | None = None
    ) -> CompiledEntities:
        self.compiled.append(tuple(entity.name for entity in entities))
        self.seconds.append(seconds)
        return CompiledEntities(entities, graph, None)

    def load(self, utterance: Utterance) -> Utterance:
        if utterance.source == "unreadable":
            raise AudioError("its audio cannot be read")
        if utterance.source == "odd":
            raise ZeroDivisionError("a rate of 0")
        return utterance

    def decode(
        self, loaded: Sequence[Utterance], names: Sequence[CompiledEntities | None]
    ) -> list[Transcript]:
        if any(utterance.source == "poison" for utterance in loaded):
            raise LogProbsError("a frame is NaN")
        if any(utterance.source == "unscorable" for utterance in loaded):
            raise ModelError("the model gave no frames")
        if any(utterance.source == "bug" for utterance in loaded):
            raise RuntimeError("out of luck\nsecond line")
        if any(utterance.source == "full" for utterance in loaded):
            raise OSError(28, "No space left on device")
        if any(utterance.source == "crash" for utterance in loaded):
            raise KeyboardInterrupt("power failure")
        self.batches.append([utterance.id for utterance in loaded])
        listed = [() if one is None else tuple(e.display for e in one.entities) for one in names]
        return [
            transcript(utterance.id, " ".join([utterance.source, *names]))
            for utterance, names in zip(loaded, listed)
        ]


class Stopped(Echo):
    """Somebody stops it after so many batches."""

    def __init__(self, batches: int) -> None:
        super().__init__()
        self._left = batches

    def decode(
        self, loaded: Sequence[Utterance], names: Sequence[CompiledEntities | None]
    ) -> list[Transcript]:
        if not self._left:
            raise KeyboardInterrupt
        self._left -= 1
        return super().decode(loaded, names)


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


def test_results_are_in_the_manifests_order_and_batches_by_duration(tmp_path: Path) -> None:
    backend = Echo()
    summary = _decode(_utterances("a", "b", "c", "d"), tmp_path / "out", backend, batch_seconds=26)
    assert list(texts(tmp_path / "out").items()) == [
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
    assert texts(tmp_path / "out") == {"u0": "a", "u3": "d"}
    assert list(summary.skipped) == ["u1", "u2"]
    assert told == [
        "u1 is left out: its audio cannot be read",
        "u2 is left out: a frame is NaN",
    ]
    assert summary.seconds == 23


def test_whatever_happens_to_one_utterance_costs_that_one(tmp_path: Path) -> None:
    told: list[str] = []
    summary = _decode(_utterances("a", "bug", "c", "odd"), tmp_path / "out", report=told.append)
    assert texts(tmp_path / "out") == {"u0": "a", "u2": "c"}
    assert summary.skipped == {
        "u1": "it cannot be decoded: RuntimeError: out of luck",
        "u3": "it cannot be decoded: ZeroDivisionError: a rate of 0",
    }
    assert [line.split(" is ")[0] for line in told] == ["u3", "u1"]


@pytest.mark.parametrize("fault", ["unscorable", "bug", "poison"])
def test_a_model_that_fails_on_everything_stops_the_job(tmp_path: Path, fault: str) -> None:
    """And no other; what was done before counts, in this run or in one that was stopped."""
    out, told = tmp_path / "out", list[str]()
    utterances = _utterances("a", *[fault] * 5)
    with pytest.raises(ModelError, match="failed on the first 3 recordings and on noise"):
        _decode(utterances[1:], out, report=told.append)
    assert [line.split(" is ")[0] for line in told] == ["u5", "u4"]
    assert not out.exists()
    out.with_name("out.part").unlink()
    summary = _decode([replace(utterances[0], seconds=99.0), *utterances[1:]], out)
    assert list(summary.skipped) == ["u5", "u4", "u3", "u2", "u1"]
    job = [Utterance("a", 99.0, "a"), Utterance("b", 98.0, "crash"), *utterances[1:]]
    with pytest.raises(KeyboardInterrupt):
        _decode(job, out, batch_seconds=1)
    resumed = _decode([job[0], replace(job[1], source=fault), *job[2:]], out, batch_seconds=1)
    assert (resumed.resumed, len(resumed.skipped)) == (1, 6)


def test_a_full_disk_is_nobodys_fault(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left"):
        _decode(_utterances("a", "full"), tmp_path / "out")


def test_nothing_but_bad_utterances(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="none of 2 utterances can be used; the first: its"):
        _decode(_utterances("unreadable", "unreadable"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_job_that_was_stopped_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "out"
    utterances = _utterances("a", "crash", "c", "d")
    with pytest.raises(KeyboardInterrupt, match="power failure"):
        _decode(utterances, out, batch_seconds=1)
    assert not out.exists()
    part = tmp_path / "out.part"
    with part.open("a") as stream:  # a line that was being written
        stream.write('{"id": "u0", "te')
    mended = [*utterances[:1], Utterance("u1", 11.0, "b"), *utterances[2:]]
    with pytest.raises(KeyboardInterrupt):
        _decode(mended, out, Stopped(0), batch_seconds=1)
    assert all(map(json.loads, part.read_text().splitlines()))
    backend = Echo()
    summary = _decode(mended, out, backend, batch_seconds=1)
    assert backend.batches == [["u1"], ["u0"]]
    assert summary.resumed == 2
    assert list(texts(out).values()) == ["a", "b", "c", "d"]
    assert not part.exists()


def test_part_files_of_other_jobs_are_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        _decode(_utterances("crash", "b"), out, batch_seconds=1, settings={"beta": 1})
    with pytest.raises(ManifestError, match="out.part: belongs to a job with another"):
        _decode(_utterances("a", "b"), out, settings={"beta": 2})
    with pytest.raises(ManifestError, match="out.part: belongs to a job with another"):
        _decode(_utterances("a"), out, settings={"beta": 1})
    longer = [replace(one, seconds=one.seconds + 1) for one in _utterances("a", "b")]
    with pytest.raises(ManifestError, match="out.part: belongs to a job with another"):
        _decode(longer, out, settings={"beta": 1})
    (tmp_path / "out.part").write_text("nonsense\n{}\n")
    with pytest.raises(ManifestError, match="out.part: damaged in its first line; delete"):
        _decode(_utterances("a", "b"), out, settings={"beta": 1})


def test_lattices_of_a_job_are_in_one_folder(tmp_path: Path) -> None:
    for folder, wanted in (("one", "power failure"), ("two", "belongs to a job with another")):
        with pytest.raises((KeyboardInterrupt, ManifestError), match=wanted):
            _decode(
                _utterances("crash", "b"),
                tmp_path / "out",
                batch_seconds=1,
                lattice_dir=tmp_path / folder,
            )


@pytest.mark.parametrize("again", [0, 1])
def test_two_jobs_never_write_one_file(tmp_path: Path, again: int) -> None:
    """A job that begins while another is at work is refused, the same one or not."""
    refused: list[str] = []
    out = tmp_path / "out.jsonl"

    class Slow(Echo):
        def decode(
            self, loaded: Sequence[Utterance], names: Sequence[CompiledEntities | None]
        ) -> list[Transcript]:
            with pytest.raises(ConfigError) as raised:
                _decode(_utterances("good", "good")[again:], out)
            refused.append(str(raised.value))
            return super().decode(loaded, names)

    done = _decode(_utterances("good", "good"), out, Slow())
    assert len(done.records) == 2 and not list(tmp_path.glob("*.part"))
    assert set(refused) == {
        f"{out}.part: another job is writing it: let it end, or name another file"
    }


def test_two_jobs_never_write_lattices_into_one_folder(tmp_path: Path) -> None:
    folder = tmp_path / "new/lattices"
    refused: list[str] = []

    class Slow(Echo):
        def decode(
            self, loaded: Sequence[Utterance], names: Sequence[CompiledEntities | None]
        ) -> list[Transcript]:
            with pytest.raises(ConfigError) as raised:
                _decode(_utterances("good"), tmp_path / "b.jsonl", lattice_dir=folder)
            refused.append(str(raised.value))
            return super().decode(loaded, names)

    _decode(_utterances("good"), tmp_path / "a.jsonl", Slow(), lattice_dir=folder)
    assert refused == [f"{folder}: another job is writing in it: let it end, or name another"]
    assert not list(folder.iterdir())
    _decode(_utterances("good"), tmp_path / "b.jsonl", lattice_dir=folder)


@pytest.mark.parametrize("content", ["", '{"jo', '{"job": "another"}\n', '{"job": "x"}\n{"id'])
def test_a_part_file_without_results_never_blocks(tmp_path: Path, content: str) -> None:
    (tmp_path / "out.part").write_text(content)
    assert _decode(_utterances("a"), tmp_path / "out").resumed == 0
    assert texts(tmp_path / "out") == {"u0": "a"}
    assert not (tmp_path / "out.part").exists()


def test_what_is_written_when_the_disk_is_full(tmp_path: Path) -> None:
    """Nothing is half written, and the same command goes on when there is room."""
    out = tmp_path / "out"
    utterances = _utterances("a", "b " * 3000, "c")
    with full_disk(5000), pytest.raises(OSError, match="File too large") as caught:
        _decode(utterances, out, batch_seconds=1)
    assert caught.value.filename == str(tmp_path / "out.part")
    assert not out.exists()
    backend = Echo()
    assert _decode(utterances, out, backend, batch_seconds=1).resumed == 1
    assert backend.batches == [["u1"], ["u0"]]
    assert list(texts(out)) == ["u0", "u1", "u2"]
    with full_disk(5000), pytest.raises(OSError, match="File too large") as caught:
        _decode(_utterances(*["d " * 200] * 9), out, batch_seconds=1)
    assert list(texts(out)) == ["u0", "u1", "u2"]


def test_results_have_a_place_beside_the_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="pipe: is no file, and results are kept beside it"):
        _decode(_utterances("a"), tmp_path / "pipe")
    (tmp_path / "out.part").mkdir()
    with pytest.raises(ConfigError, match=r"out\.part: cannot be written: it is a folder"):
        _decode(_utterances("a"), tmp_path / "out")


_LINES = ("", "{", "null", "[1]", '{"id": 3}', '{"id": "u0", "text": 5}', "\x00\udc80", "9" * 5000)


@given(data=st.data())
def test_a_job_that_was_stopped_anywhere_goes_on(data: st.DataObject) -> None:
    """Part files that are cut, or have lines of others: the same result in the end."""
    letters = st.sampled_from("ab\n\r\x1c\x85\u2028\ud800\x00é😀 ")
    ids = data.draw(st.lists(st.text(letters, min_size=1), min_size=1, max_size=5, unique=True))
    utterances = [
        Utterance(one, data.draw(st.sampled_from([5.0, 10.0])), data.draw(st.text(letters)))
        for one in ids
    ]
    with tempfile.TemporaryDirectory() as name:
        whole, out = Path(name) / "whole", Path(name) / "out"
        part = Path(name) / "out.part"
        _decode(utterances, whole, batch_seconds=1)
        stop = data.draw(st.integers(0, len(ids)))
        with suppress(KeyboardInterrupt):
            _decode(utterances, out, Stopped(stop), batch_seconds=1)
        if part.exists():
            header, *lines = part.read_bytes().splitlines(keepends=True)
            for line in data.draw(st.lists(st.sampled_from(_LINES), max_size=3)):
                at = data.draw(st.integers(0, len(lines)))
                lines.insert(at, line.encode("utf-8", "surrogateescape") + b"\n")
            content = header + b"".join(lines)
            kept = data.draw(st.integers(0, len(content)))
            part.write_bytes(content[:kept])
        told: list[str] = []
        _decode(utterances, out, report=told.append, batch_seconds=1)
        assert out.read_bytes() == whole.read_bytes()
        assert not part.exists()
        assert all("lines are damaged; their utterances are decoded again" in t for t in told)


def test_one_list_or_one_for_each(tmp_path: Path) -> None:
    backend = Echo()
    shared = entities_from_names(["Ada", "Bob"])
    _decode(_utterances("a", "b"), tmp_path / "shared", backend, lists=shared)
    assert texts(tmp_path / "shared") == {"u0": "a Ada Bob", "u1": "b Ada Bob"}
    assert backend.compiled == [("ada", "bob")]
    assert backend.seconds == [11.0]
    lists = {"u1": entities_from_names(["Eve"]), "u0": entities_from_names([])}
    _decode(_utterances("a", "b"), tmp_path / "each", backend, lists=lists)
    assert texts(tmp_path / "each") == {"u0": "a", "u1": "b Eve"}
    assert backend.seconds == [11.0, 11.0]
    with pytest.raises(ManifestError, match="'u2' has no list of names"):
        _decode(_utterances("a", "b", "c"), tmp_path / "few", backend, lists=lists)


def test_lists_of_a_batch_that_is_tried_again_are_compiled_and_told_once(tmp_path: Path) -> None:
    told: list[str] = []
    lists = {
        f"u{i}": entities_from_names([f"Ada {i}", "!!!"], source=f"list{i}.txt") for i in range(3)
    }
    backend = Echo()
    _decode(_utterances("a", "poison", "c"), tmp_path / "out", backend, told.append, lists=lists)
    assert texts(tmp_path / "out") == {"u0": "a Ada 0", "u2": "c Ada 2"}
    assert sorted(backend.compiled) == [(f"ada {i}",) for i in range(3)]
    assert sum("has no effect" in line for line in told) == 3


def test_names_without_effect_are_told(tmp_path: Path) -> None:
    told: list[str] = []
    names = entities_from_names(["Ada", "!!!"], source="names.txt")
    _decode(_utterances("a"), tmp_path / "out", report=told.append, lists=names)
    assert len(told) == 1
    assert told[0].startswith("names.txt, line 2: '!!!' has no effect")


def test_where_an_utterance_is_tells_it_from_others() -> None:
    part = AudioPart("a", Path("a.wav"), 1.0, 2.0)
    others = [
        replace(part, start=2.0), replace(part, seconds=None), replace(part, path=Path("b.wav")),
        replace(part, command="sox a.wav -p |"),
    ]  # fmt: skip
    places = [str(Utterance("a", 2.0, one).place) for one in (part, *others)]
    assert len(set(places)) == 5
    assert Utterance("a", 2.0, replace(part, id="b")).place == Utterance("a", 2.0, part).place

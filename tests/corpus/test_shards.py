"""Corpora cut into shards: the same file in the end, whoever decodes them and however often."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcbias_fst.audio.audio import AudioPart
from ctcbias_fst.corpus.backends import Utterance
from ctcbias_fst.corpus.done import done_before
from ctcbias_fst.corpus.shard_decoder import ShardDecoder
from ctcbias_fst.corpus.sharded_job import WHOLE, Outcome, Share, decode_shards, in_this_process
from ctcbias_fst.corpus.shards import cut_shards
from ctcbias_fst.corpus.transcript_files import Write, write_records
from ctcbias_fst.errors import ConfigError, ManifestError, ModelError
from ctcbias_fst.text.entities import entities_from_names
from tests.corpus.test_job import Echo, Stopped
from tests.corpus.test_transcript_files import texts


def utterances(*sources: str) -> list[Utterance]:
    """Of ten seconds each."""
    return [Utterance(f"u{i}", 10.0, source) for i, source in enumerate(sources)]


def decode(
    todo: Sequence[Utterance],
    out: Path,
    backend: Echo | None = None,
    report: Callable[[str], None] = lambda message: None,
    *,
    lists: Any = None,
    seconds: float = 20.0,
    settings: Any = None,
    share: Share = WHOLE,
    write: Write = write_records,
) -> Outcome:
    """Decode in shards of two utterances, in this process."""
    decoder = ShardDecoder(backend or Echo(), lists, 10.0, batch_seconds=100.0)  # type: ignore[arg-type]
    return decode_shards(
        todo,
        in_this_process(decoder, report),
        out,
        settings=settings,
        job="the job",
        share=share,
        shard_seconds=seconds,
        write=write,
        report=report,
    )


def errors(out: Path) -> list[dict[str, Any]]:
    path = out.with_name(out.name + ".errors.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@given(st.lists(st.floats(0.0, 30.0)), st.floats(1.0, 50.0))
def test_shards_are_runs_that_are_full(lengths: list[float], seconds: float) -> None:
    todo = [Utterance(f"u{i}", length, None) for i, length in enumerate(lengths)]
    shards = cut_shards(todo, seconds)
    assert [one for shard in shards for one in shard.utterances] == todo
    assert [shard.number for shard in shards] == list(range(len(shards)))
    assert all(len(shard.utterances) == 1 or shard.seconds <= seconds for shard in shards)
    for shard, following in zip(shards, shards[1:]):
        assert shard.seconds + following.utterances[0].seconds > seconds


def test_shards_are_decoded_apart_and_joined_in_order(tmp_path: Path) -> None:
    backend, out = Echo(), tmp_path / "out"
    outcome = decode(utterances("a", "b", "c", "d", "e"), out, backend)
    assert backend.batches == [["u0", "u1"], ["u2", "u3"], ["u4"]]
    assert list(texts(out).values()) == ["a", "b", "c", "d", "e"]
    assert outcome.done is not None
    assert outcome.done.told == f"{out}: 5 utterances, 50 s of audio"
    assert done_before(out, "the job") == outcome.done
    assert sorted(path.name for path in tmp_path.iterdir()) == [".out.done", "out"]


def test_what_is_left_out_is_in_a_file(tmp_path: Path) -> None:
    told: list[str] = []
    out = tmp_path / "out"
    todo = utterances("a", "unreadable", "poison", "d", "e")
    outcome = decode(todo, out, report=told.append)
    assert outcome.done is not None
    assert (outcome.skipped, outcome.done.skipped, outcome.decoded) == (2, 2, 50.0)
    assert errors(out) == [
        {"id": "u1", "error": "its audio cannot be read", "path": None},
        {"id": "u2", "error": "a frame is NaN", "path": None},
    ]
    assert told == [f"{one['id']} is left out: {one['error']}" for one in errors(out)]
    decode(utterances("a"), out)
    assert errors(out) == []


def test_the_path_of_what_is_left_out_is_told(tmp_path: Path) -> None:
    class Deaf(Echo):
        def load(self, utterance: Utterance) -> Utterance:
            raise ZeroDivisionError("no ears")

    todo = [
        Utterance("a", 1.0, AudioPart("a", tmp_path / "a.wav")),
        Utterance("b", 1.0, AudioPart("b", Path("command of b"), command="cat b")),
    ]
    with pytest.raises(ManifestError, match="none of 2 utterances can be used; the first: it"):
        decode(todo, tmp_path / "out", Deaf())
    assert [one["path"] for one in errors(tmp_path / "out")] == [str(tmp_path / "a.wav"), None]
    assert not (tmp_path / "out").exists()


def test_the_last_of_several_joins(tmp_path: Path) -> None:
    todo, out = utterances(*"abcdefg"), tmp_path / "out"
    decode(todo, tmp_path / "whole")
    seen = []
    for index in (2, 0):
        backend = Echo()
        outcome = decode(todo, out, backend, share=Share(index, 3))
        assert outcome.done is None
        assert not out.exists()
        seen += backend.batches
    assert outcome.missing == 1
    assert seen == [["u4", "u5"], ["u0", "u1"], ["u6"]]
    assert decode(todo, out, share=Share(1, 3)).done is not None
    assert out.read_bytes() == (tmp_path / "whole").read_bytes()
    assert not out.with_name("out.shards").exists()


def test_whoever_comes_last_without_a_share_does_the_rest(tmp_path: Path) -> None:
    todo, out, backend = utterances(*"abcd"), tmp_path / "out", Echo()
    decode(todo, out, share=Share(1, 2))
    outcome = decode(todo, out, backend)
    assert backend.batches == [["u0", "u1"]]
    assert outcome.decoded == 20
    assert list(texts(out).values()) == ["a", "b", "c", "d"]


def test_two_who_join_at_once_write_it_once(tmp_path: Path) -> None:
    """Shards that another has removed in between: the job is done, as that one says."""
    todo, out = utterances(*"abcd"), tmp_path / "out"

    class Slow(Echo):
        def decode(self, *arguments: Any) -> Any:
            decode(todo, out, share=Share(1, 2))
            found = super().decode(*arguments)
            decode(todo, out)
            return found

    outcome = decode(todo, out, Slow(), share=Share(0, 2))
    assert outcome.done == done_before(out, "the job")
    assert list(texts(out).values()) == ["a", "b", "c", "d"]


def test_who_comes_while_another_joins_finds_it_done(tmp_path: Path) -> None:
    todo, out = utterances(*"abcd"), tmp_path / "out"

    def late(rows: Iterable[Any], path: Path) -> None:
        decode(todo, out, share=Share(0, 2))  # joins, and removes the shards
        write_records(rows, path)

    outcome = decode(todo, out, write=late)
    assert outcome.done == done_before(out, "the job")
    assert list(texts(out).values()) == ["a", "b", "c", "d"]


def test_long_ones_go_first_and_come_in_their_order(tmp_path: Path) -> None:
    todo = [Utterance(name, seconds, name) for name, seconds in zip("abc", (1.0, 3.0, 2.0))]
    backend = Echo()
    decode(todo, tmp_path / "out", backend)
    assert backend.batches == [["b", "c", "a"]]
    assert list(texts(tmp_path / "out")) == ["a", "b", "c"]


def test_a_file_in_which_something_was_changed_is_no_result(tmp_path: Path) -> None:
    told: list[str] = []
    todo, out = utterances(*"abcd"), tmp_path / "out"
    decode(todo, out, share=Share(1, 2))
    (path,) = tmp_path.glob("out.shards/*.jsonl")
    path.write_bytes(path.read_bytes().replace(b'"text": "c"', b'"text": "x"'))
    decode(todo, out, report=told.append)
    assert texts(out)["u2"] == "c"
    assert told == [f"{out}.shards: shards that are decoded again, as they are damaged: 1"]


def test_two_never_decode_the_same_share(tmp_path: Path) -> None:
    todo, out = utterances(*"abcd"), tmp_path / "out"

    class Slow(Echo):
        def decode(self, *arguments: Any) -> Any:
            with pytest.raises(ConfigError, match="another process decodes this share of it"):
                decode(todo, out)
            return super().decode(*arguments)

    assert decode(todo, out, Slow()).done is not None


@pytest.mark.parametrize(("index", "count"), [(-1, 2), (2, 2), (0, 0)])
def test_shares_that_are_none(index: int, count: int) -> None:
    with pytest.raises(ConfigError, match=f"shard index {index} of {count}: it must be 0 or more"):
        Share(index, count)


def test_shards_of_another_job_are_refused(tmp_path: Path) -> None:
    todo, out = utterances(*"abcd"), tmp_path / "out"
    decode(todo, out, share=Share(1, 2))
    others: list[dict[str, Any]] = [
        {"settings": {"beta": 2}},
        {"seconds": 30.0},
        {"todo": todo[:3]},
        {"todo": [*todo[:3], replace(todo[3], seconds=9.0)]},
    ]
    for other in others:
        with pytest.raises(ManifestError, match="out.shards: belongs to a job with another"):
            decode(**{"todo": todo, "out": out, **other})
    assert decode(todo, out).done is not None


def test_recordings_that_have_changed_are_decoded_again(tmp_path: Path) -> None:
    told: list[str] = []
    todo, out = utterances(*"abcd"), tmp_path / "out"
    audio = tmp_path / "u2.wav"
    audio.touch()
    todo[2] = replace(todo[2], source=AudioPart("u2", audio))
    decode(todo, out, share=Share(1, 4))
    os.utime(audio, ns=(1, 1))
    backend = Echo()
    backend.load = lambda one: replace(one, source=str(one.id))  # type: ignore[method-assign]
    decode(todo, out, backend, told.append)
    assert backend.batches == [["u0", "u1"], ["u2", "u3"]]
    assert told == [
        f"{out}.shards: shards that are decoded again, as their recordings have changed: 1"
    ]


def test_names_are_compiled_once_and_told_once(tmp_path: Path) -> None:
    told: list[str] = []
    backend = Echo()
    names = entities_from_names(["Ada", "!!!"], source="names.txt")
    decode(utterances(*"abcde"), tmp_path / "out", backend, told.append, lists=names)
    assert backend.compiled == [("ada",)]
    assert backend.seconds == [10.0]
    assert len(told) == 1
    assert texts(tmp_path / "out")["u4"] == "e Ada"
    told.clear()
    lists = {f"u{i}": entities_from_names(["Eve", "!!!"], source="l") for i in range(5)}
    decode(utterances(*"abcde"), tmp_path / "each", backend, told.append, lists=lists)
    assert len(told) == 5


def test_a_model_that_fails_on_everything_stops_the_job(tmp_path: Path) -> None:
    """Not where it has worked on another shard, now or before the job was stopped."""
    out = tmp_path / "out"
    todo = utterances(*["unscorable"] * 3, "a", "b", "c")
    with pytest.raises(ModelError, match="failed on the first 3 recordings and on noise"):
        decode(todo, out, seconds=30.0)
    decode(todo, out, seconds=30.0, share=Share(1, 2))
    assert decode(todo, out, seconds=30.0).skipped == 3
    turned = [replace(one, id=f"v{i}") for i, one in enumerate(reversed(todo))]
    assert decode(turned, tmp_path / "turned", seconds=30.0).skipped == 3


@given(data=st.data())
def test_a_job_that_was_stopped_anywhere_goes_on(data: st.DataObject) -> None:
    """With files that are cut or damaged, and other shares: the same result in the end."""
    letters = st.sampled_from("ab\n\r\x1c\u2028\ud800é😀 ")
    sources = data.draw(st.lists(st.text(letters) | st.just("poison"), min_size=1, max_size=7))
    todo = utterances("a", *sources)
    with tempfile.TemporaryDirectory() as name:
        whole, out = Path(name) / "whole", Path(name) / "out"
        folder = Path(name) / "out.shards"
        decode(todo, whole)
        for _ in range(data.draw(st.integers(0, 3))):
            if out.exists():
                break
            count = data.draw(st.integers(1, 3))
            share = Share(data.draw(st.integers(0, count - 1)), count)
            with suppress(KeyboardInterrupt):
                decode(todo, out, Stopped(data.draw(st.integers(0, 3))), share=share)
            for path in sorted(folder.glob("*.jsonl")):
                if data.draw(st.booleans()):
                    content = path.read_bytes()
                    at = data.draw(st.integers(0, max(len(content) - 1, 0)))
                    header = content.partition(b"\n")[0]
                    assert b"the job" not in header
                    path.write_bytes(data.draw(st.sampled_from((content[:at], content + b"{}\n"))))
        if not out.exists():
            decode(todo, out)
        assert out.read_bytes() == whole.read_bytes()
        assert errors(out) == errors(whole)
        assert not folder.exists()

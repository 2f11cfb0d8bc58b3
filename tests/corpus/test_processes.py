"""Shards decoded by several processes: as by one, also where some are killed."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ctcbias_fst.corpus.backends import LogProbsBackend
from ctcbias_fst.corpus.processes import in_processes
from ctcbias_fst.corpus.ray_actors import in_ray
from ctcbias_fst.corpus.shard_decoder import Plan
from ctcbias_fst.corpus.sharded_job import Outcome, decode_shards, in_this_process
from ctcbias_fst.errors import ConfigError, MissingDependencyError, ModelError
from ctcbias_fst.settings import PipelineConfig
from ctcbias_fst.text.text_files import hold
from ctcbias_fst.text.tokens import FewestPiecesTokenizer
from ctcbias_fst.text.vocabulary import Vocabulary

VOCABULARY = Vocabulary.from_tokens(["<blk>", "|", "a", "b", "c"])
UTTERANCES = 12


class Mortal(LogProbsBackend):
    """Dies, or fails, of utterances that files in a folder name: once for each file."""

    deaths = Path()

    def __init__(self, *arguments: Any, deaths: Path, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.deaths = deaths
        for path in sorted(deaths.glob("begin.*")):
            if int(path.read_text()) != os.getpid():
                path.unlink()
                os.kill(os.getpid(), signal.SIGKILL)

    def load(self, utterance: Any) -> Any:
        for path in sorted(self.deaths.glob(f"{utterance.id}.*")):
            path.unlink()
            if path.suffix == ".refused":
                raise ModelError("the model has had enough")
            os.kill(os.getpid(), signal.SIGKILL)
        return super().load(utterance)


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """How log-probs of some utterances are decoded; one of them has none that can be used."""
    random = np.random.default_rng(0)
    arrays = {
        f"u{i:02}": np.log(random.dirichlet(np.full(VOCABULARY.size, 0.2), 9) + 1e-6)
        for i in range(UTTERANCES)
    }
    arrays["u05"][3, 1] = np.nan
    path = tmp_path / "saved.npz"
    np.savez(path, frame_seconds=0.04, **{k: v.astype(np.float32) for k, v in arrays.items()})
    (tmp_path / "names.txt").write_text("ab c\ncab\n!!!\n", encoding="utf-8")
    (tmp_path / "deaths").mkdir()
    make = partial(
        Mortal,
        path,
        FewestPiecesTokenizer(VOCABULARY),
        PipelineConfig(parts=("boost",)),
        deaths=tmp_path / "deaths",
    )
    return Plan(make, hold(tmp_path / "names.txt"), None, 0.36, batch_seconds=0.8, threads=1)


def decode(
    plan: Plan, out: Path, jobs: int, told: list[str], address: str | None = None
) -> Outcome:
    """In shards of two utterances; by this process, if there are no jobs."""
    if address is not None:
        workers = in_ray(plan, address, jobs, "cpu", told.append)
    elif jobs:
        workers = in_processes(plan, ["cpu"] * jobs, told.append)
    else:
        workers = in_this_process(plan.decoder("cpu"), told.append)
    return decode_shards(
        plan.make(device="cpu").utterances(),  # type: ignore[attr-defined]
        workers,
        out,
        settings=None,
        job="the job",
        shard_seconds=0.8,
        report=told.append,
    )


def test_whoever_decodes_and_whoever_dies_the_results_are_the_same(
    plan: Plan, tmp_path: Path
) -> None:
    one: list[str] = []
    decode(plan, tmp_path / "one", 0, one)
    for name in ("u00", "u07", "u07", "u11"):
        (tmp_path / "deaths" / f"{name}.{len(list((tmp_path / 'deaths').iterdir()))}").touch()
    for jobs in (2, 3):
        told: list[str] = []
        outcome = decode(plan, tmp_path / "out", jobs, told)
        assert outcome.done is not None
        assert (outcome.skipped, outcome.done.skipped) == (1, 1)
        (tmp_path / ".out.done").unlink()
        for name in ("", ".errors.jsonl"):
            expected = tmp_path / f"one{name}"
            assert (tmp_path / f"out{name}").read_bytes() == expected.read_bytes()
        deaths = [line for line in told if "a worker died" in line]
        assert sorted(line for line in told if line not in deaths) == sorted(one)
        if jobs == 2:
            assert len(deaths) == 4
            assert (
                "a worker died (killed by signal 9) at shard 0 (u00 … u01): it is decoded again"
            ) in deaths
    rows = [json.loads(line) for line in (tmp_path / "one").read_text().splitlines()]
    assert [row["id"] for row in rows] == [f"u{i:02}" for i in range(UTTERANCES) if i != 5]


def test_a_shard_that_kills_again_and_again_is_told_when_all_others_are_done(
    plan: Plan, tmp_path: Path
) -> None:
    for number in range(3):
        (tmp_path / "deaths" / f"u02.{number}").touch()
    told: list[str] = []
    with pytest.raises(ConfigError, match=r"shard 1 \(u02 … u03\): 3 workers died of it"):
        decode(plan, tmp_path / "out", 1, told)
    deaths = [line.rpartition(": ")[2] for line in told if "a worker died" in line]
    assert deaths == ["it is decoded again", "it is decoded again", "it is left out for now"]
    assert len(list((tmp_path / "out.shards").glob("*.jsonl"))) == UTTERANCES // 2 - 1
    assert decode(plan, tmp_path / "out", 0, told).decoded == pytest.approx(0.72)


def test_processes_that_die_before_they_begin(plan: Plan, tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / "deaths" / f"begin.{number}").write_text(str(os.getpid()))
    with pytest.raises(ConfigError, match="3 worker processes died before they could begin"):
        decode(plan, tmp_path / "out", 1, [])
    (tmp_path / "deaths" / "begin.0").write_text(str(os.getpid()))
    told: list[str] = []
    assert decode(plan, tmp_path / "out", 2, told).done is not None
    assert "a worker died (killed by signal 9) between shards: another takes its place" in told


def test_what_a_process_fails_on_is_told_as_it_is(plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "deaths" / "u04.refused").touch()
    with pytest.raises(ModelError, match="^the model has had enough$"):
        decode(plan, tmp_path / "out", 2, [])


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # ray's own
def test_actors_of_ray(plan: Plan, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="pip install 'ctcbias_fst[ray]'")
    one: list[str] = []
    decode(plan, tmp_path / "one", 0, one)
    for number, name in enumerate(("u00", "u07", "u07", "u11")):
        (tmp_path / "deaths" / f"{name}.{number}").touch()
    told: list[str] = []
    assert decode(plan, tmp_path / "out", 2, told, "local").done is not None
    for name in ("", ".errors.jsonl"):
        assert (tmp_path / f"out{name}").read_bytes() == (tmp_path / f"one{name}").read_bytes()
    deaths = [line for line in told if "a worker died" in line]
    assert (len(deaths), sorted(set(told) - set(deaths))) == (4, sorted(one))
    (tmp_path / "deaths" / "u04.refused").touch()
    with pytest.raises(ModelError, match="^the model has had enough$"):
        decode(plan, tmp_path / "refused", 2, [], "local")
    assert decode(plan, tmp_path / "many", 5000, told, "local").done is not None
    assert (tmp_path / "many").read_bytes() == (tmp_path / "one").read_bytes()
    assert any(re.fullmatch(r"--ray local: \d+ actors, not 5000: so .*", line) for line in told)
    for number in range(3):
        (tmp_path / "deaths" / f"begin.{number}").write_text(str(os.getpid()))
    with pytest.raises(ConfigError, match="3 actors died before they could begin: "):
        decode(plan, tmp_path / "begin", 1, [], "local")
    for number in range(3):
        (tmp_path / "deaths" / f"u02.{number}").touch()
    with pytest.raises(ConfigError, match=r"shard 1 \(u02 … u03\): 3 workers died of it"):
        decode(plan, tmp_path / "given-up", 1, [], "local")
    with pytest.raises(ConfigError, match="--ray nowhere: "):
        decode(plan, tmp_path / "nowhere", 1, [], "nowhere")


def test_ray_that_is_not_there(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingDependencyError, match=r"--ray needs ray .*pip install 'ctcbias_fst"):
        in_ray(plan, "auto", None, "cpu", print)

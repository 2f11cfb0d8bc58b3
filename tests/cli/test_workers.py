"""``ctcbias decode`` with several workers, as a user meets it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from time import sleep

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from lhotse import CutSet, SupervisionSet

from ctcbias_fst.cli import main
from ctcbias_fst.cli.workers import WorkersOptions, devices, threads
from ctcbias_fst.corpus.backends import LogProbsBackend
from ctcbias_fst.corpus.sharded_job import Share
from ctcbias_fst.errors import ConfigError
from ctcbias_fst.files import sha256_of
from tests.corpus.test_transcript_files import texts

ROOT = Path(__file__).parents[2]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)))


def job_of(tmp_path: Path, utterances: int, frames: int) -> list[object]:
    """A command on log-probs, whose shards have about a minute; one utterance cannot be used."""
    random = np.random.default_rng(0)
    arrays = {f"u{i:02}": np.log(random.dirichlet(np.ones(5), frames)) for i in range(utterances)}
    arrays["u31"][2, 2] = np.nan
    saved = {name: array.astype(np.float32) for name, array in arrays.items()}
    np.savez(tmp_path / "lp.npz", frame_seconds=0.5, **saved)
    (tmp_path / "tokens.txt").write_text("\n".join(["<pad>", "|", *"abc"]))
    (tmp_path / "names.txt").write_text("abba\ncab\n!!!\n")
    command: list[object] = ["decode", "--log-probs", tmp_path / "lp.npz", "--parts", "boost"]
    command += ["--tokens", tmp_path / "tokens.txt", "--entities", tmp_path / "names.txt"]
    return [*command, "--batch-seconds", 20, "--shard-seconds", 60]


@pytest.fixture
def job(tmp_path: Path) -> list[object]:
    """The same of 60 utterances, six of which are in a shard."""
    return job_of(tmp_path, 60, 20)


@pytest.fixture
def whole(job: list[object], tmp_path: Path) -> bytes:
    """What the command writes in one process."""
    found = run(*job, "--jobs", 1, "--out", tmp_path / "whole.jsonl")
    assert found.exit_code == 1
    assert "whole.jsonl: 59 utterances, 1 left out, 590 s of audio; real-time" in found.output
    return (tmp_path / "whole.jsonl").read_bytes()


def test_one_or_two_jobs(job: list[object], whole: bytes, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    found = run(*job, "--jobs", 2, "--out", out)
    assert found.exit_code == 1
    names, *notes, total = found.stderr.splitlines()
    (left_out,) = (line for line in notes if " is left out: " in line)
    assert not any("no effect" in line for line in notes)
    assert "'!!!' has no effect" in names
    assert left_out.startswith("Warning: u31 is left out: ")
    assert total.startswith(f"{out}: 59 utterances, 1 left out, 590 s of audio; real-time factor ")
    assert out.read_bytes() == whole
    (error,) = map(json.loads, Path(f"{out}.errors.jsonl").read_text().splitlines())
    assert left_out.endswith(error["error"])
    assert error["id"] == "u31"
    for again in (run(*job, "--jobs", 2, "--out", out), run(*job[:-2], "--out", out)):
        assert again.exit_code == 1
        assert again.stderr.endswith("done before, nothing to do\n")


def test_several_machines(
    job: list[object], whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.jsonl"
    share = run(*job, "--out", out, "--shard-index", 1, "--shard-count", 2)
    assert share.exit_code == 1  # u31 is in it
    assert f"{out}: our share is done; real-time factor" in share.stderr
    assert "shards that others have not done yet: 5. Who does" in share.stderr
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert run(*job, "--out", out, "--shard-index", "auto").exit_code == 1
    assert out.read_bytes() == whole


def test_the_same_command_without_workers_does_the_rest(
    job: list[object], whole: bytes, tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    run(*job, "--out", out, "--shard-index", 3, "--shard-count", 4)
    refused = run(*job[:-2], "--out", out)
    assert "out.jsonl.shards: belongs to a job with another manifest" in refused.output
    (tmp_path / "names.txt").write_text("abba\ncab\n!!!\nab\n")
    refused = run(*job, "--out", out)
    assert "out.jsonl.shards: belongs to a job with another manifest" in refused.output
    (tmp_path / "names.txt").write_text("abba\ncab\n!!!\n")
    assert run(*job, "--out", out).exit_code == 1
    assert out.read_bytes() == whole


def test_log_probs_that_have_changed_are_another_job(job: list[object], tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    run(*job, "--out", out, "--shard-index", 0, "--shard-count", 2)
    os.utime(tmp_path / "lp.npz", ns=(1, 1))
    assert "belongs to a job with another" in run(*job, "--out", out).output


def test_what_was_begun_without_shards_ends_without(
    job: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(self: LogProbsBackend, *arguments: object) -> object:
        if calls:
            raise KeyboardInterrupt
        calls.append(1)
        return decode(self, *arguments)  # type: ignore[arg-type]

    calls: list[int] = []
    decode = LogProbsBackend.decode
    out = tmp_path / "out.jsonl"
    with monkeypatch.context() as patch:
        patch.setattr(LogProbsBackend, "decode", stopped)
        assert run(*job[:-2], "--out", out).exit_code == 130
    refused = run(*job, "--out", out)
    assert refused.exit_code == 1
    assert "out.jsonl.part: has results of a job without shards: finish that one" in refused.output
    assert not Path(f"{out}.shards").exists()
    assert "59 utterances (2 of them before)" in run(*job[:-2], "--out", out).output


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--shard-index", "1"], "--shard-index and --shard-count belong together"),
        (["--shard-count", "2"], "--shard-index and --shard-count belong together"),
        (["--shard-index", "2", "--shard-count", "2"], "shard index 2 of 2"),
        (["--shard-index", "auto", "--shard-count", "2"], "leave out --shard-count"),
        (["--shard-index", "auto"], "the environment has neither RANK and WORLD_SIZE nor"),
        (["--jobs", "2", "--lattice-dir", "lattices"], "--lattice-dir belongs to one process"),
        (["--jobs", "2", "--device", "cuda:77"], "device cuda:77"),
    ],
)
def test_what_does_not_go_together(
    job: list[object], options: list[str], told: str, tmp_path: Path
) -> None:
    found = run(*job, "--out", tmp_path / "out.jsonl", *options)
    assert found.exit_code == 1
    (line,) = (one for one in found.stderr.splitlines() if not one.startswith("Warning"))
    assert line.startswith("Error: ")
    assert told in line
    assert not list(tmp_path.glob("out*"))


def test_shares_that_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    auto = WorkersOptions(shard_index="auto")
    for name, value in {"ID": 14, "COUNT": 3, "MIN": 10, "STEP": 2}.items():
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", str(value))
    assert auto.share == Share(2, 3)
    monkeypatch.setenv("WORLD_SIZE", "8")
    with pytest.raises(ConfigError, match=r"\('RANK'\): pass --shard-index"):
        assert auto.share
    monkeypatch.setenv("RANK", "5")
    assert auto.share == Share(5, 8)
    assert WorkersOptions().share == Share(0, 1)


def test_gpus_and_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    assert devices("cpu", 2) == ["cpu", "cpu"]
    assert devices("cuda:1", 2) == ["cuda:1", "cuda:1"]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert devices("cuda", 4) == ["cuda:0", "cuda:1", "cuda:2", "cuda:0"]
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert devices("cuda", 2) == ["cuda:2", "cuda:0"]
    for told, number in {"": 1, "7": 7, "0": 1, "4,2": 1}.items():
        monkeypatch.setenv("OMP_NUM_THREADS", told)
        assert threads() == number


# lhotse leaves archives open.
@pytest.mark.filterwarnings("ignore:unclosed file", "ignore:Exception ignored in. <_io.FileIO")
def test_a_folder_of_shar(random_model: Path, tiny_cuts: Path, tmp_path: Path) -> None:
    """With the audio in archives: as from the manifest of the files."""
    shar, plain = tmp_path / "shar", tmp_path / "plain.jsonl"
    shar.mkdir()
    cuts = CutSet.from_file(tiny_cuts)
    cuts.to_shar(shar, {"recording": "wav"}, shard_size=2)
    common = ("decode", "--model", random_model, "--parts", "none")
    assert run(*common, "--cuts", tiny_cuts, "--out", plain).exit_code == 0
    found = run(*common, "--cuts", shar, "--out", tmp_path / "out.jsonl")
    assert found.exit_code == 0, found.output
    assert texts(tmp_path / "out.jsonl") == texts(plain)
    lhotse = tmp_path / "out.jsonl.gz"
    job = (*common, "--cuts", shar, "--out", lhotse, "--format", "lhotse")
    assert run(*job).exit_code == 0
    assert [one.id for one in SupervisionSet.from_file(lhotse)] == [cut.id for cut in cuts]
    digest = sha256_of(lhotse)
    archive = shar / "recording.000001.tar"
    archive.write_bytes(archive.read_bytes()[:20_000])
    found = run(*job)
    assert found.exit_code == 1
    assert f"{archive}: cannot be read to its end" in found.output
    assert sha256_of(lhotse) != digest
    rows = map(json.loads, Path(f"{lhotse}.errors.jsonl").read_text().splitlines())
    assert {row["path"] for row in rows} == {str(archive)}


def children(process: subprocess.Popen[bytes]) -> set[int]:
    """The workers of a process, as Linux tells them."""
    found = set()
    with suppress(FileNotFoundError):  # it has ended
        listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
        for one in listed.split():
            if b"spawn_main" in Path(f"/proc/{one}/cmdline").read_bytes():
                found.add(int(one))
    return found


def ended(pid: int) -> bool:
    """Whether it is no more, or only waits for who takes note of its end."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def start(job: list[object], out: Path) -> subprocess.Popen[bytes]:
    """The command with two jobs, in a process group of its own."""
    command = [sys.executable, "-m", "ctcbias_fst", *job, "--jobs", "2", "--out", out]
    return subprocess.Popen(
        [str(part) for part in command],
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
        # What a shell runs in the background ignores Ctrl-C, and so would all that it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )


@pytest.fixture
def long_job(tmp_path: Path) -> list[object]:
    """A command that takes seconds, in 100 shards."""
    return job_of(tmp_path, 200, 60)


@pytest.fixture
def started(long_job: list[object], tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The same, when it has done a shard, and both workers are there."""
    with start(long_job, tmp_path / "out.jsonl") as process:
        while process.poll() is None:
            if len(children(process)) == 2 and list(tmp_path.glob("out.jsonl.shards/*.jsonl")):
                break
            time.sleep(0.01)
        yield process
        process.kill()


@pytest.mark.slow  # one run in a dozen fails, and it is not known yet why
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_who_is_stopped_leaves_nobody_behind_and_goes_on(
    how: signal.Signals,
    long_job: list[object],
    started: subprocess.Popen[bytes],
    tmp_path: Path,
) -> None:
    out = tmp_path / "out.jsonl"
    workers = children(started)
    if how == signal.SIGINT:
        os.killpg(started.pid, how)  # as a terminal does
    else:
        started.kill()
    _, told = started.communicate()
    assert len(workers) == 2
    while not all(map(ended, workers)):
        pass
    if how == signal.SIGINT:
        assert started.returncode == 130, told
        assert told.endswith(b"Stopped: the same command goes on where it was\n")
        assert b"Traceback" not in told
    assert not out.exists()
    done = len(list(tmp_path.glob("out.jsonl.shards/*.jsonl")))
    assert 1 <= done < 100
    assert run(*long_job, "--out", out).exit_code == 1
    assert [json.loads(line)["id"] for line in out.read_text().splitlines()] == [
        f"u{i:02}" for i in range(200) if i != 31
    ]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_hundred_random_kills(tmp_path: Path) -> None:
    """Of workers, and of all: the same output, to the byte."""
    random = np.random.default_rng(0)
    job = job_of(tmp_path, 600, 300)
    whole, out = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    run(*job, "--jobs", 1, "--out", whole)
    folder = Path(f"{out}.shards")
    kills = 0
    while kills < 100 or not out.exists():
        if out.exists():
            assert out.read_bytes() == whole.read_bytes()
            out.unlink()
        with start(job, out) as process:
            while process.poll() is None and kills < 100:
                enough = len(list(folder.glob("*.jsonl"))) + random.integers(0, 10)
                while process.poll() is None and len(list(folder.glob("*.jsonl"))) < enough:
                    pass
                sleep(random.uniform(0.0, 0.2))
                everybody = [process.pid] if random.random() < 0.1 else [*children(process)]
                for pid in everybody[:1]:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                        kills += 1
                        print(kills, pid == process.pid, len(list(folder.glob("*.jsonl"))))
            process.communicate()
    assert out.read_bytes() == whole.read_bytes()
    assert Path(f"{out}.errors.jsonl").read_bytes() == Path(f"{whole}.errors.jsonl").read_bytes()

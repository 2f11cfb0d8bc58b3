"""Whatever a command writes is looked at before any work, and is whole or not there at all."""

from __future__ import annotations

import json
import os
import re
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result
from lhotse import CutSet, Recording
from lhotse.array import Array, TemporalArray

from ctcbias_fst.cli import COMMANDS, main
from ctcbias_fst.cli.options import output_folder
from ctcbias_fst.cli.places import given, writes
from ctcbias_fst.corpus.backends import LogProbsBackend
from ctcbias_fst.errors import ConfigError
from ctcbias_fst.recognizer import Recognizer
from ctcbias_fst.written import RECORD
from tests.test_files import full_disk
from tests.tiny_models import speechlike

READ = {
    "ablate": {"--adapter", "--config", "--data", "--lexicon", "--model", "--phones"},
    "adapt": {"--config", "--data", "--model"},
    "compare": {"--entities"},
    "compile": {"--config", "--lexicon", "--model", "--tokenizer", "--tokens"},
    "decode": {
        *("--adapter", "--config", "--cuts", "--entities", "--graph", "--lm", "--log-probs"),
        *("--lexicon", "--model", "--phones", "--tokenizer", "--tokens"),
    },
    "explain": {"--adapter", "--config", "--entities", "--lexicon", "--model"},
    "export": {"--run"},
    "figures": {"--model"},
    "lm info": {"--lexicon", "--model", "--tokenizer", "--tokens"},
    "lm train": {"--lexicon", "--model", "--tokenizer", "--tokens"},
    "recipe": {"--model", "--source"},
    "rescore": {"--config", "--lm"},
    "score": {"--bias-words", "--entities"},
    "serve": {"--adapter", "--config", "--lexicon", "--lm", "--model", "--phones"},
    "train": {"--config", "--data"},
    "model info": {"--adapter", "--lexicon"},
    "transcribe": {
        *("--adapter", "--config", "--entities", "--lexicon", "--lm", "--model", "--phones"),
    },
    "stream": {
        *("--adapter", "--config", "--entities", "--lexicon", "--lm", "--model", "--phones"),
    },
    "calibrate": {
        *("--config", "--decoys", "--lexicon", "--lm", "--log-probs", "--model", "--phones"),
        *("--tokenizer", "--tokens"),
    },
    "tune": {"--config", "--data", "--lexicon", "--model", "--tokenizer", "--tokens"},
}
"""The options that name what is read; all others that name a path are written to."""


def _commands() -> Iterator[tuple[str, click.Command]]:
    for name in COMMANDS:
        command = main.get_command(click.Context(main), name)
        assert command is not None
        if isinstance(command, click.Group):
            for inner, one in command.commands.items():
                yield f"{name} {inner}", one
        else:
            yield name, command


def _outputs() -> list[tuple[str, str, bool]]:
    """Command, option, and whether it names a folder."""
    found = []
    for name, command in _commands():
        for option in command.params:
            if isinstance(option, click.Option) and isinstance(option.type, click.Path):
                if option.opts[-1] in READ.get(name, set()):
                    continue
                given = option.callback is output_folder
                found.append((name, option.opts[-1], given))
    return found


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_every_option_that_names_a_path_is_read_or_written() -> None:
    for name, command in _commands():
        for option in command.params:
            if isinstance(option, click.Option) and isinstance(option.type, click.Path):
                reads = option.opts[-1] in READ.get(name, set())
                assert reads == (option.callback is None), (name, option.opts)
    assert len(_outputs()) >= 20


@pytest.mark.parametrize(("command", "option", "folder"), _outputs())
def test_what_cannot_be_written_is_told_before_any_work(
    command: str, option: str, folder: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing else is given: the fault is found before what is missing is missed."""
    (tmp_path / "file").write_text("")
    wrong = tmp_path / "file" if folder else tmp_path
    for path in (wrong, tmp_path / "file" / "x.arpa", tmp_path / ("n" * 256)):
        result = run(*command.split(), option, path)
        assert result.exit_code == 1, result.output
        (line,) = result.output.splitlines()
        assert line.startswith("Error: ")
        assert str(path)[:60] in line
        assert "cannot be written" in line
    monkeypatch.setattr(os, "access", lambda path, mode, **options: False)
    path = tmp_path / "new" / "out.arpa"
    result = run(*command.split(), option, path)
    assert result.output == (f"Error: {path}: cannot be written: {tmp_path} is write-protected\n")
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    "command",
    [
        "compile names.txt --tokens tokens.txt -o out/x.fst",
        "compile names.txt --tokens tokens.txt -o out/x.txt",
        "lm train text.txt --min-count 1 --out out/x.arpa",
        "lm train text.txt --min-count 1 --out out/x.arpa.gz",
        "lm train text.txt --min-count 1 --out out/x.safetensors",
        "tokenizer text.txt --size 40 --out out/x.model",
        "score said said --details out/x.jsonl",
        "compare said said said -o out/x.svg",
    ],
)
def test_a_full_disk_is_one_line_and_leaves_nothing(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = [f"name{chr(97 + i % 26)}{chr(97 + i // 26)}" for i in range(99)]
    Path("names.txt").write_text("\n".join(names))
    Path("tokens.txt").write_text("\n".join(["<pad>", "|", *string.ascii_lowercase]))
    Path("text.txt").write_text("\n".join(f"the quick {name} is a fox" for name in names))
    Path("said").write_text("\n".join(f"{name} some words" for name in names))
    with full_disk(500):
        result = run(*command.split())
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert re.fullmatch(r"Error: out/x\S+: File too large", line)
    assert not Path("out").exists() or list(Path("out").iterdir()) == []


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.wav"
    soundfile.write(path, speechlike(1.0, 1), 16000)
    return path


def test_transcripts_on_a_full_disk(clip: Path, random_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.txt"
    out.write_text("before")
    command = ["transcribe", clip, "--model", random_model, "--format", "json"]
    with full_disk(10):
        result = run(*command, "--out", out)
    assert result.exit_code == 1
    assert result.output == f"Error: {out}: File too large\n"
    assert out.read_text() == "before"
    with full_disk(10):
        result = run(*command, "--out-dir", tmp_path / "new")
    assert result.output == f"Error: {tmp_path / 'new' / 'clip.jsonl'}: File too large\n"
    assert list((tmp_path / "new").iterdir()) == []


def test_a_recording_is_not_overwritten(clip: Path, random_model: Path) -> None:
    before = clip.read_bytes()
    result = run("transcribe", clip, "--model", random_model, "--out", clip)
    assert result.exit_code == 1
    assert result.output.startswith(f"Error: --out {clip} would take the place of AUDIO {clip}")
    assert clip.read_bytes() == before


def test_long_names_of_recordings(clip: Path, random_model: Path, tmp_path: Path) -> None:
    long = [clip.rename(tmp_path / f"{'n' * 251}.wav")]
    long.append(tmp_path / f"{'n' * 250}o.wav")
    long[1].write_bytes(long[0].read_bytes())
    folder = tmp_path / "new"
    command = ["transcribe", *long, "--model", random_model, "--out-dir", folder]
    result = run(*command, "--format", "json")
    assert result.exit_code == 0, result.output
    assert result.stderr.count("too long a name; it is written to") == 2
    written = {json.loads(path.read_text())["path"] for path in folder.glob("n*")}
    assert written == set(map(str, long))


@pytest.fixture
def log_probs(tmp_path: Path) -> Path:
    """A folder with log-probs of two utterances, and their tokens."""
    (tmp_path / "tokens.txt").write_text("\n".join(["<pad>", "|", *"abc"]))
    array = np.log(np.random.default_rng(0).dirichlet(np.ones(5), 20)).astype(np.float32)
    np.savez(tmp_path / "lp.npz", frame_seconds=0.04, u0=array, u1=array[:10])
    return tmp_path


def test_lattices_on_a_full_disk(log_probs: Path) -> None:
    """The job stops, and does not take a full disk for a fault of the utterances."""
    out, folder = log_probs / "out.jsonl", log_probs / "lattices"
    command = ["decode", "--log-probs", log_probs / "lp.npz", "--tokens", log_probs / "tokens.txt"]
    command += ["--out", out, "--lattice-dir", folder]
    (log_probs / "out.jsonl.part").write_text("")  # of a disk that was full before
    with full_disk(3000):
        result = run(*command)
    assert result.exit_code == 1
    (line,) = result.output.splitlines()
    assert line.startswith(f"Error: {folder}/u0.0.lattice.safetensors: File too large")
    assert not out.exists()
    assert [path.name for path in folder.iterdir()] == ["settings.toml"]
    result = run(*command)
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in folder.iterdir()) == [
        "settings.toml",
        "u0.0.lattice.safetensors",
        "u1.0.lattice.safetensors",
    ]


def test_decode_is_stopped_and_goes_on(log_probs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ["decode", "--log-probs", log_probs / "lp.npz", "--tokens", log_probs / "tokens.txt"]
    command += ["--batch-seconds", 1]
    assert run(*command, "--out", log_probs / "whole").exit_code == 0
    decode, calls = LogProbsBackend.decode, iter(range(9))

    def interrupted(self: LogProbsBackend, *arguments: Any) -> Any:
        if next(calls):
            raise KeyboardInterrupt
        return decode(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(LogProbsBackend, "decode", interrupted)
        result = run(*command, "--out", log_probs / "out")
    assert result.exit_code == 130
    assert result.output == "Stopped: the same command goes on where it was\n"
    assert not (log_probs / "out").exists()
    result = run(*command, "--out", log_probs / "out")
    assert "2 utterances (1 of them before)" in result.output
    assert (log_probs / "out").read_bytes() == (log_probs / "whole").read_bytes()


def test_transcripts_that_are_done_are_kept(
    clip: Path, random_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.wav"
    other.write_bytes(clip.read_bytes())

    def interrupted(self: Recognizer, *arguments: Any) -> Iterator[Any]:
        yield next(files(self, *arguments))
        raise KeyboardInterrupt

    files = Recognizer.transcribe_files
    monkeypatch.setattr(Recognizer, "transcribe_files", interrupted)
    command = ["transcribe", clip, other, "--model", random_model]
    result = run(*command, "--out-dir", tmp_path / "new")
    assert result.exit_code == 130
    assert result.output.startswith("Stopped: what is in --out-dir, or in OUT.part, is complete")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [RECORD, "clip.txt"]
    result = run(*command, "--out-dir", tmp_path / "new")
    assert result.output.startswith("Stopped: what is in --out-dir, or in OUT.part, is complete")
    result = run(*command, "--out", tmp_path / "out.txt")
    assert result.exit_code == 130
    assert not (tmp_path / "out.txt").exists()
    part = tmp_path / "out.txt.part"
    assert [line.split("\t")[0] for line in part.read_text().splitlines()] == [str(clip)]
    monkeypatch.undo()
    result = run(*command, "--out", tmp_path / "out.txt")
    assert result.exit_code == 0
    assert not part.exists()
    printed = run(*command).output
    assert (tmp_path / "out.txt").read_text() == printed
    assert printed.count("\t") == 2


def test_transcripts_are_printed_as_they_are_there(
    clip: Path, random_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Named by their recordings, if there are several, whatever becomes of the others."""
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF")

    def interrupted(self: Recognizer, *arguments: Any) -> Iterator[Any]:
        yield next(files(self, *arguments))
        raise KeyboardInterrupt

    files = Recognizer.transcribe_files
    alone = run("transcribe", clip, "--model", random_model).stdout
    both = run("transcribe", clip, broken, "--model", random_model)
    assert both.exit_code == 1
    assert both.stdout == f"{clip}\t{alone}"
    monkeypatch.setattr(Recognizer, "transcribe_files", interrupted)
    assert run("transcribe", clip, broken, "--model", random_model).stdout == f"{clip}\t{alone}"
    monkeypatch.undo()
    for style, empty in (("text", ""), ("vtt", "WEBVTT\n\n"), ("json", "")):
        job = ("transcribe", broken, "--model", random_model, "--format", style)
        assert run(*job, "--out", tmp_path / f"none.{style}").exit_code == 1
        assert (tmp_path / f"none.{style}").read_text() == empty


def test_hypotheses_of_transcripts(clip: Path, random_model: Path) -> None:
    job = ("transcribe", clip, "--model", random_model, "--nbest", 3)
    record = json.loads(run(*job, "--format", "json").stdout)
    assert len(record["nbest"]) == 3
    assert record["nbest"][0]["text"] == record["text"]
    result = run(*job)
    assert result.output == (
        "Error: --nbest goes with --format json: other formats have the best one only\n"
    )


def _pairs() -> list[tuple[str, str, int | str]]:
    """Command, an option that names a file to write, and an option or argument that is read."""
    found = []
    for name, option, folder in _outputs():
        if folder:
            continue
        command = dict(_commands())[name]
        arguments = [one for one in command.params if isinstance(one, click.Argument)]
        files = [one for one in arguments if isinstance(one.type, click.Path)]
        found += [(name, option, arguments.index(one)) for one in files]
        found += [(name, option, read) for read in sorted(READ.get(name, set()) - {"--data"})]
    return found


@pytest.mark.parametrize(("command", "option", "read"), _pairs())
def test_what_is_read_is_not_written_over(
    command: str, option: str, read: int | str, tmp_path: Path
) -> None:
    """Not by its own name, nor by a link; told before any work, what else is missing."""
    path, links = tmp_path / "it.safetensors", [tmp_path / "a.safetensors", tmp_path / "b.arpa"]
    path.write_text("before")
    links[0].symlink_to(path)
    links[1].hardlink_to(path)
    for written in (path, Path(f"{tmp_path}/../{tmp_path.name}/{path.name}"), *links):
        if isinstance(read, str):
            given: list[object] = [read, path, option, written]
            result = run(*command.split(), *given[2:], *given[:2])
            assert "would take the place of" in result.output, result.output
        else:
            given = [*[tmp_path / f"other{i}" for i in range(read)], path, option, written]
        result = run(*command.split(), *given)
        assert result.exit_code == 1
        (line,) = result.output.splitlines()
        assert line.startswith(f"Error: {option} {written} would take the place of ")
        assert line.endswith(f" {path}: give another name")
    assert path.read_text() == "before"


@pytest.mark.parametrize("command", sorted({name for name, _, folder in _outputs() if not folder}))
def test_two_outputs_are_two_files(command: str, tmp_path: Path) -> None:
    options = [option for name, option, folder in _outputs() if name == command and not folder]
    for option in options[1:]:
        path = tmp_path / "x.safetensors"
        result = run(*command.split(), options[0], path, option, path)
        assert result.output == (
            f"Error: {option} {path} would take the place of {options[0]} {path}: give another "
            "name\n"
        )


def told_and_kept(folder: Path, *arguments: object) -> str:
    """Run what is refused in one line, before any work; returns that line."""
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    result = run(*arguments)
    assert result.exit_code == 1, result.output
    line = result.stderr.splitlines()[-1]
    assert line.startswith("Error: ")
    after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert after == before
    return line


@pytest.mark.parametrize(
    "more",
    [
        "--entities out.part",
        "--entities lattices/settings.toml",
        "--config lattices/settings.toml",
        "--set lm=out",
    ],
)
def test_what_is_written_besides_takes_the_place_of_nothing(
    log_probs: Path, monkeypatch: pytest.MonkeyPatch, more: str
) -> None:
    monkeypatch.chdir(log_probs)
    Path("lattices").mkdir()
    for name in ("out", "out.part", "lattices/settings.toml"):
        Path(name).write_text("")
    command = "decode --log-probs lp.npz --tokens tokens.txt --out out --lattice-dir lattices"
    line = told_and_kept(log_probs, *command.split(), *more.split())
    assert " would take the place of " in line


def test_files_in_folders_are_not_written_over(
    log_probs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(log_probs)
    command = "decode --log-probs lp.npz --tokens tokens.txt --out out --lattice-dir lattices"
    assert run(*command.split()).exit_code == 0
    lattice = "lattices/u0.0.lattice.safetensors"
    line = told_and_kept(log_probs, *f"rescore lattices --no-lm --out {lattice}".split())
    assert line == (
        f"Error: --out {lattice} would take the place of FOLDER {lattice}: give another name"
    )
    assert run(*"rescore lattices --no-lm --out lattices/new.jsonl".split()).exit_code == 0
    assert run(*"rescore lattices --no-lm --out lattices/new.jsonl".split()).exit_code == 0
    Path("arrays").mkdir()
    np.save("arrays/a.npy", np.log(np.full((4, 5), 0.2, np.float32)))
    Path("link").hardlink_to("arrays/a.npy")
    command = "decode --log-probs arrays --tokens tokens.txt --frame-seconds 0.04 --out"
    assert "place of --log-probs arrays/a.npy" in told_and_kept(log_probs, *command.split(), "link")


def test_a_folder_is_listed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [tmp_path / name for name in "abc"]
    for folder in folders:
        folder.mkdir()
        (folder / "x.npy").touch()
    for i in range(5):
        (tmp_path / f"{i}.txt").touch()
    listed = []
    scandir = os.scandir

    def counted(path: Path) -> Any:
        listed.append(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", counted)
    with click.Context(main) as context:
        argument = click.Argument(["folder"])
        for folder in folders[:2]:
            given(folder, argument, context, base=False)
        for i in range(5):
            writes(tmp_path / f"{i}.txt", "the transcript")
        given(folders[2], argument, context, base=False)
        assert listed == folders
        for folder in folders:
            (tmp_path / f"{folder.name}.link").hardlink_to(folder / "x.npy")
            for path in (folder / "x.npy", tmp_path / f"{folder.name}.link"):
                with pytest.raises(ConfigError, match=f"transcript {path} would take the place"):
                    writes(path, "the transcript")
        assert listed == folders


def test_a_folder_given_after_what_is_written(tmp_path: Path) -> None:
    (tmp_path / "x.npy").touch()
    with click.Context(main) as context:
        writes(tmp_path / "x.npy", "the transcript")
        with pytest.raises(ConfigError, match=r"transcript .* the place of FOLDER .*x\.npy"):
            given(tmp_path, click.Argument(["folder"]), context, base=False)


@pytest.mark.parametrize("option", ["--cuts", "--log-probs"])
def test_archives_of_cuts_are_not_written_over(
    clip: Path, random_model: Path, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    monkeypatch.chdir(clip.parent)
    Path("tokens.txt").write_text("\n".join(["<pad>", "|", *"abc"]))
    Path("lp.h5").write_bytes(b"arrays")
    cut = Recording.from_file(clip).to_cut()
    array = Array("numpy_hdf5", "lp.h5", "clip", [20, 5])
    cut.log_probs = TemporalArray(array, temporal_dim=0, frame_shift=0.05, start=0)
    CutSet.from_cuts([cut]).to_file("cuts.jsonl")
    command = ["decode", option, "cuts.jsonl", "--out", "lp.h5"]
    command += ["--model", str(random_model)] if option == "--cuts" else ["--tokens", "tokens.txt"]
    assert told_and_kept(clip.parent, *command).endswith(" lp.h5: give another name")


@pytest.mark.parametrize("option", ["--cuts", "--log-probs"])
def test_archives_of_kaldi_are_not_written_over(
    clip: Path, random_model: Path, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    monkeypatch.chdir(clip.parent)
    Path("tokens.txt").write_text("\n".join(["<pad>", "|", *"abc"]))
    Path("lp.ark").write_bytes(b"arrays")
    Path("lp.scp").write_text("other lp.ark:6\nclip lp.ark:3017\n")
    cut = Recording.from_file(clip).to_cut()
    array = Array("kaldiio", "lp.scp", "clip", [20, 5])
    cut.log_probs = TemporalArray(array, temporal_dim=0, frame_shift=0.05, start=0)
    CutSet.from_cuts([cut]).to_file("cuts.jsonl")
    command = ["decode", option, "cuts.jsonl", "--out", "lp.ark"]
    command += ["--model", str(random_model)] if option == "--cuts" else ["--tokens", "tokens.txt"]
    assert told_and_kept(clip.parent, *command).endswith(" lp.ark: give another name")


def test_recordings_of_lists_are_not_written_over(
    clip: Path, random_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(clip.parent)
    Path("wav.scp").write_text("a clip.wav\n")
    row = {"audio_filepath": "clip.wav", "duration": 1.0}
    Path("nemo.json").write_text(json.dumps(row))
    recording = Recording.from_file(clip)
    CutSet.from_cuts([recording.to_cut()]).to_file("cuts.jsonl")
    Path("folder").mkdir()
    Path("folder/b.wav").hardlink_to(clip)
    for manifest in ("wav.scp", "nemo.json", "folder", "cuts.jsonl"):
        command = ["decode", "--cuts", manifest, "--model", random_model, "--out", "clip.wav"]
        line = told_and_kept(clip.parent, *command)
        assert line.startswith("Error: --out clip.wav would take the place of the recording ")
        for name in ("transcribe", "calibrate") if manifest != "cuts.jsonl" else ():
            command = [name, manifest, "--model", random_model, "--out", "clip.wav"]
            assert "the place of the recording" in told_and_kept(clip.parent, *command)


def test_what_belongs_to_a_graph_is_not_written_over(log_probs: Path) -> None:
    names = log_probs / "x.fst.json"
    names.write_text("ab\nba\n")
    command = ["compile", names, "--tokens", log_probs / "tokens.txt", "-o", log_probs / "x.fst"]
    assert "would take the place of NAMES" in told_and_kept(log_probs, *command)
    (log_probs / "names.txt").write_text("ab\nba\n")
    command[1] = log_probs / "names.txt"
    line = told_and_kept(log_probs, *command, "--draw", names)
    assert f"the description of --out {names} would take the place of --draw" in line


@pytest.mark.parametrize("command", ["tune", "ablate"])
def test_what_a_study_names_is_not_written_over(command: str, tmp_path: Path) -> None:
    (tmp_path / "ablation.csv").write_text("ab\n")
    if command == "tune":
        out = tmp_path / "ablation.csv"
        study = '[[sets]]\nentities = "ablation.csv"\ncuts = "cuts.jsonl"\n'
        study = f'search = ["decode.boost.beta=0:1"]\n{study}'
    else:
        out = tmp_path
        study = '[[rows]]\nname = "a"\n[[sets]]\nname = "b"\ncuts = ["cuts.jsonl"]\n'
        study += '[[sets.lists]]\nname = "c"\nentities = "ablation.csv"\n'
    (tmp_path / "study.toml").write_text(study)
    line = told_and_kept(tmp_path, command, tmp_path / "study.toml", "--out", out)
    assert "ablation.csv would take the place of the study's " in line


def test_transcripts_of_others_are_not_replaced(
    clip: Path, random_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reference beside its recording is a usual layout of corpora."""
    own = clip.parent
    monkeypatch.chdir(own)
    Path("clip.txt").write_text("what was said\n")
    command = ["transcribe", ".", "--model", random_model, "--out-dir", "."]
    line = told_and_kept(own, *command)
    assert "clip.txt: would be replaced" in line
    assert "--overwrite" in line
    Path("clip.txt").rename("kept.txt")
    for _ in range(2):  # our own are
        assert run(*command).exit_code == 0
    with Path("clip.txt").open("a") as stream:
        stream.write("corrected by hand")
    assert "or was changed since" in told_and_kept(own, *command)
    result = run(*command, "--overwrite")
    assert result.exit_code == 0, result.output
    assert "by hand" not in Path("clip.txt").read_text()
    assert RECORD not in result.stderr
    assert len(Path(RECORD).read_text().splitlines()) == 1
    Path(RECORD).write_text("{\n[]\n")
    told_and_kept(own, *command)


def test_a_transcript_does_not_take_the_place_of_an_input(
    clip: Path, random_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(clip.parent)
    Path("clip.txt").write_text("ab\n")
    command = ["transcribe", clip, "--model", random_model, "--overwrite", "--out-dir", clip.parent]
    line = told_and_kept(clip.parent, *command, "--entities", "clip.txt")
    assert line.startswith(f"Error: the transcript {clip.with_suffix('.txt')} would take the place")


def test_settings_of_others_are_not_replaced_by_those_of_lattices(
    log_probs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(log_probs)
    Path("settings.toml").write_text("segmentations = 2\n")
    command = "decode --log-probs lp.npz --tokens tokens.txt --out out --lattice-dir ."
    line = run(*command.split()).output.splitlines()[-1]
    assert line.startswith("Error: settings.toml: would be replaced, and no lattices are beside it")
    assert Path("settings.toml").read_text() == "segmentations = 2\n"
    Path("settings.toml").write_bytes("é = 2\n".encode("latin-1"))
    assert told_and_kept(log_probs, *command.split()) == line
    Path("settings.toml").unlink()
    for more in ("", "--set segmentations=2"):
        assert run(*command.split(), *more.split()).exit_code == 0


def test_a_job_that_is_done_has_nothing_to_do(
    log_probs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless anything has changed: what is decoded, its settings, or the results."""
    out, names = log_probs / "out.jsonl", log_probs / "names.txt"
    names.write_text("ab\n")
    command = ["decode", "--log-probs", log_probs / "lp.npz", "--tokens", log_probs / "tokens.txt"]
    command += ["--out", out]
    decode, calls = LogProbsBackend.decode, []

    def counted(self: LogProbsBackend, *arguments: Any) -> Any:
        calls.append(1)
        return decode(self, *arguments)

    def works(*more: object, told: str = "") -> bool:
        calls.clear()
        before = out.read_bytes() if out.exists() else b""
        result = run(*command, *more)
        assert result.exit_code == 0, result.output
        goes = [line for line in result.output.splitlines() if line.endswith("and is replaced")]
        assert goes == ([f"Warning: {out}: {told}, and is replaced"] if told else [])
        assert result.output.endswith("done before, nothing to do\n") == (not calls)
        assert calls or out.read_bytes() == before
        return bool(calls)

    monkeypatch.setattr(LogProbsBackend, "decode", counted)
    assert works()
    assert not works()
    other = "is of another job (other settings, lists or recordings)"
    assert works("--entities", names, told=other)
    assert not works("--entities", names)
    names.write_text("ab\nba\n")
    assert works("--entities", names, told=other)
    out.write_text("changed by hand")
    assert works("--entities", names, told="was changed")
    assert works("--set", "decode.nbest=2", told=other)
    os.utime(log_probs / "lp.npz", ns=(1, 1))
    assert works("--set", "decode.nbest=2", told=other)
    (record,) = log_probs.glob(".*.done")
    record.write_text('{"job": 1')
    assert works("--set", "decode.nbest=2")
    assert not works("--set", "decode.nbest=2")


@pytest.mark.parametrize("nemo", [False, True])
def test_another_part_of_a_recording_is_another_job(tmp_path: Path, nemo: bool) -> None:
    """Of the same name and length: neither done nor begun."""
    soundfile.write(tmp_path / "a.wav", speechlike(4.0, 0), 16000)
    cuts = tmp_path / "cuts.jsonl"
    command = ["decode", "--cuts", cuts, "--out", tmp_path / "out.jsonl", "--parts", "none"]
    told = []
    for start in (0.0, 2.0, 2.0):
        if nemo:
            row = {"audio_filepath": str(tmp_path / "a.wav"), "offset": start, "duration": 2.0}
            cuts.write_text(json.dumps(row) + "\n")
        else:
            cut = Recording.from_file(tmp_path / "a.wav").to_cut()
            cut = cut.truncate(offset=start, duration=2.0).with_id("a")
            CutSet.from_cuts([cut]).to_file(cuts)
        result = run(*command)
        assert result.exit_code == 0, result.output
        told.append("done before" in result.output)
    assert told == [False, False, True]


def test_what_a_done_job_left_out_is_told_again(log_probs: Path) -> None:
    recordings = log_probs / "audio"
    recordings.mkdir()
    soundfile.write(recordings / "a.wav", speechlike(1.0, 0), 16000)
    (recordings / "b.wav").write_bytes(b"RIFF")
    command = ["decode", "--cuts", recordings, "--out", log_probs / "out.jsonl", "--parts", "none"]
    for told in ("1 utterance, 1 left out", "1 left out, 1 s of audio; done before, nothing"):
        result = run(*command)
        assert result.exit_code == 1
        assert told in result.output

"""The command line: help everywhere, quick start, one line per error."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result

import ctcbias_fst
from ctcbias_fst.cli import COMMANDS, main
from ctcbias_fst.cli.options import SettingsOptions
from ctcbias_fst.errors import CtcbiasError, ModelError
from ctcbias_fst.settings import PipelineConfig

DOCS = sorted((Path(__file__).parents[2] / "docs").glob("*.md"))
README = Path(__file__).parents[2] / "README.md"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def python(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], text=True, capture_output=True, check=False, **options
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"ctcbias {command}" in result.output.replace("Usage: main", "Usage: ctcbias")
    found = main.get_command(click.Context(main), command)
    assert found is not None
    assert found.help
    # A one-letter summary in the list of commands tells nobody anything.
    assert len(found.get_short_help_str(200)) > 10


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_has_help(command: str) -> None:
    found = main.get_command(click.Context(main), command)
    assert found is not None
    silent = [p.name for p in found.params if isinstance(p, click.Option) and not p.help]
    assert silent == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_documented(command: str) -> None:
    text = README.read_text() + "".join(path.read_text() for path in DOCS)
    assert f"ctcbias {command}" in text


def test_commands_are_listed() -> None:
    output = run("--help").output
    for command in COMMANDS:
        assert re.search(rf"^  {command} ", output, re.MULTILINE)


def test_no_such_command() -> None:
    result = run("transcibe")
    assert result.exit_code == 2
    assert "No such command" in result.output


def test_version() -> None:
    result = python("-m", "ctcbias_fst", "--version")
    assert (result.returncode, result.stdout) == (
        0,
        f"ctcbias, version {ctcbias_fst.__version__}\n",
    )


@pytest.mark.parametrize("arguments", [["--help"], *([command, "--help"] for command in COMMANDS)])
def test_help_loads_nothing_heavy(arguments: Sequence[str]) -> None:
    code = (
        "import sys; from ctcbias_fst.cli import main\n"
        f"try: main({list(arguments)!r})\n"
        "except SystemExit as end: code = end.code\n"
        "heavy = {'torch', 'k2', 'lhotse', 'numpy', 'sentencepiece'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else code)"
    )
    result = python("-c", code)
    assert (result.returncode, result.stderr) == (0, "")


@click.command()
@click.option("--kind")
def failing(kind: str) -> None:
    """Fail in the way that is asked for."""
    if kind == "ours":
        raise ModelError("weights.safetensors: no such file; run again with --model.")
    if kind == "file":
        Path("/nowhere/at/all").read_text()
    if kind == "stopped":
        raise KeyboardInterrupt
    if kind == "stopped in C++":
        raise RuntimeError("KeyboardInterrupt: <EMPTY MESSAGE>")
    if kind == "lines":
        raise ModelError("a\nb\x1b[31m: no such file")
    if kind == "bug":
        raise ZeroDivisionError("a bug")
    raise BrokenPipeError(32, "Broken pipe")


@pytest.fixture
def with_failing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        type(main), "get_command", lambda self, ctx, name: failing if name == "failing" else None
    )


@pytest.mark.usefixtures("with_failing")
def test_our_errors_are_one_line() -> None:
    result = run("failing", "--kind", "ours")
    assert result.exit_code == 1
    assert result.output == "Error: weights.safetensors: no such file; run again with --model.\n"


@pytest.mark.usefixtures("with_failing")
def test_errors_of_the_system_are_one_line() -> None:
    result = run("failing", "--kind", "file")
    assert result.exit_code == 1
    assert result.output == "Error: /nowhere/at/all: No such file or directory\n"


@pytest.mark.usefixtures("with_failing")
def test_messages_are_one_line_whatever_files_are_called() -> None:
    assert run("failing", "--kind", "lines").output == "Error: a b [31m: no such file\n"


@pytest.mark.usefixtures("with_failing")
def test_ctrl_c_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("stopped", "stopped in C++"):
        result = run("failing", "--kind", kind)
        assert (result.exit_code, result.output) == (130, "Stopped: the same command begins anew\n")
    monkeypatch.setitem(ctcbias_fst.cli._GO_ON, "failing", "it goes on")
    assert run("failing", "--kind", "stopped").output == "Stopped: it goes on\n"
    assert set(ctcbias_fst.cli._GO_ON) - {"failing"} <= set(COMMANDS)


def test_ctrl_c_while_modules_are_imported() -> None:
    """In the first tenths of a second there is no command yet."""
    code = """
import sys

class Interrupted:
    def find_spec(self, name, path=None, target=None):
        if name == "ctcbias_fst.cli":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupted())
from ctcbias_fst.__main__ import run
run()
"""
    found = python("-c", code)
    assert found.returncode == 130
    assert found.stderr == "Stopped: the same command begins anew\n"


def test_letters_that_the_terminal_cannot_show(tmp_path: Path) -> None:
    for name in ("reference", "hypothesis"):
        (tmp_path / name).write_text("a λόγος\n", encoding="utf-8")
    command = ["-m", "ctcbias_fst", "score", "--format", "pairs"]
    files = [str(tmp_path / "reference"), str(tmp_path / "hypothesis")]
    result = python(*command, *files, env={**os.environ, "PYTHONIOENCODING": "iso-8859-1"})
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert re.match(r"Error: standard output is iso-?8859-1, which cannot write ", line)


def test_numbers_are_finite() -> None:
    """Of every option that is a number: NaN is in no range, though click takes it for one."""
    waiting: list[tuple[str, click.Command]] = [("", main)]
    found = []
    while waiting:
        name, command = waiting.pop()
        if isinstance(command, click.Group):
            context = click.Context(command)
            for inner in command.list_commands(context):
                below = command.get_command(context, inner)
                assert below is not None
                waiting.append((f"{name} {inner}".strip(), below))
        for option in command.params:
            if isinstance(option.type, click.types.FloatParamType):
                found.append(f"{name} {option.name}")
                for value in ("nan", "inf", "-inf", "-nan", "1e999"):
                    with pytest.raises(click.BadParameter):
                        option.type.convert(value, option, None)
    assert len(found) >= 7, found


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_a_frame_of_no_length(tmp_path: Path, value: str) -> None:
    found = run("decode", "--log-probs", "a.npz", "--out", tmp_path / "o", "--frame-seconds", value)
    assert found.exit_code == 2
    assert f"{value} is not" in found.stderr or "is not in the range" in found.stderr


def test_a_tokenizer_of_another_kind(tmp_path: Path) -> None:
    """It was passed over in silence."""
    (tmp_path / "tokens.txt").write_text("<blk>\n|\na\n")
    (tmp_path / "names.txt").write_text("a\n")
    found = run(
        *("compile", tmp_path / "names.txt", "-o", tmp_path / "a.fst"),
        *("--tokens", tmp_path / "tokens.txt", "--tokenizer", tmp_path / "bpe.json"),
    )
    assert found.exit_code == 1
    assert found.stderr.endswith("bpe.json: must be a SentencePiece .model\n")


def test_names_of_files_that_openfst_cannot_have(tmp_path: Path) -> None:
    (tmp_path / "tokens.txt").write_text("<blk>\n|\na\n")
    (tmp_path / "names.txt").write_text("a\n")
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.fst"))
    common = (tmp_path / "names.txt", "--tokens", tmp_path / "tokens.txt")
    found = run("compile", *common, "-o", odd)
    assert found.exit_code == 1 and isinstance(found.exception, SystemExit)
    assert "OpenFst takes file names in UTF-8 only" in found.stderr
    assert run("compile", *common, "-o", tmp_path / "a.fst").exit_code == 0
    for ending in ("", ".json"):
        (tmp_path / f"a.fst{ending}").rename(f"{odd}{ending}")
    np.savez(tmp_path / "a.npz", a=np.log(np.full((4, 3), 1 / 3, np.float32)))
    found = run(
        *("decode", "--log-probs", tmp_path / "a.npz", "--tokens", tmp_path / "tokens.txt"),
        *("--graph", odd, "--out", tmp_path / "o"),
    )
    assert found.exit_code == 1 and isinstance(found.exception, SystemExit)
    assert "OpenFst takes file names in UTF-8 only" in found.stderr


@pytest.mark.usefixtures("with_failing")
def test_bugs_are_not_hidden() -> None:
    assert isinstance(run("failing", "--kind", "bug").exception, ZeroDivisionError)


@pytest.mark.usefixtures("with_failing")
def test_debug_shows_the_trace() -> None:
    assert isinstance(run("--debug", "failing", "--kind", "ours").exception, CtcbiasError)
    assert isinstance(run("--debug", "failing", "--kind", "file").exception, FileNotFoundError)


@pytest.mark.usefixtures("with_failing")
def test_wrong_usage_stays_wrong_usage() -> None:
    assert run("failing", "--unknown").exit_code == 2


def test_a_closed_pipe_ends_quietly(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("a x\n")
    read_end, write_end = os.pipe()
    os.close(read_end)
    result = subprocess.run(
        [sys.executable, "-m", "ctcbias_fst", "score", text, text],
        stdout=write_end,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write_end)
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["transcribe", "a.wav", "--entities", ""], "--entities"),
        (["transcribe", ""], "AUDIO"),
        (["decode", "--cuts", "", "--out", "x"], "--cuts"),
        (["score", "", "b"], "REFERENCE"),
        (["tune", "--config", ""], "--config"),
    ],
)
def test_an_empty_path_is_no_folder(arguments: list[str], name: str) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert result.stderr == f"Error: {name} is an empty path: name a file, or leave it out\n"


def test_a_dash_is_standard_input_or_output(tmp_path: Path, forked_python: str) -> None:
    clip = Path(ctcbias_fst.__file__).parent / "pretrained/clips/medical-2.flac"
    (tmp_path / "-").write_text("not this")
    command = ["-m", "ctcbias_fst", "transcribe"]
    environment = {**os.environ, "PYTHONPATH": str(Path(ctcbias_fst.__file__).parent.parent)}
    options: dict[str, Any] = {"cwd": tmp_path, "env": environment, "capture_output": True}
    heard = subprocess.run(
        [sys.executable, *command, "-", "--out", "-"],
        input=clip.read_bytes(),
        check=True,
        **options,
    )
    assert heard.stdout.startswith(b"my father takes ")
    listed = subprocess.run(
        [forked_python, *command, str(clip), "--entities", "-"],
        input=b"Imiglucerase\n",
        check=True,
        **options,
    )
    assert b"Imiglucerase" in listed.stdout


def test_the_settings_of_a_model_are_not_those_of_another() -> None:
    """What was tuned for the model inside the package is wrong for log-probs of others."""
    usual = PipelineConfig()
    assert SettingsOptions().load() != usual
    assert SettingsOptions().load(of_model=False) == usual


@pytest.mark.parametrize(
    ("words", "expected"),
    [("ctcbias tr", {"transcribe", "train"}), ("ctcbias transcribe --out-", {"--out-dir"})],
)
def test_shells_complete_it(words: str, expected: set[str]) -> None:
    count = str(len(words.split()) - 1)
    settings = {"_CTCBIAS_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": count}
    done = subprocess.run(
        [sys.executable, "-m", "ctcbias_fst"],
        env={**os.environ, **settings}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert {line.partition(",")[2] for line in done.stdout.split()} == expected


@pytest.mark.parametrize("command", [(), ("transcribe",), ("model",), ("model", "info")])
def test_help_has_a_short_name(command: tuple[str, ...]) -> None:
    runner = CliRunner()
    short, long = (runner.invoke(main, [*command, name]) for name in ("-h", "--help"))
    assert short.exit_code == 0
    assert short.output == long.output
    assert "-h, --help" in short.output

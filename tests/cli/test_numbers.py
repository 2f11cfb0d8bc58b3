"""Numbers of options, and names of arguments, that cannot be used."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner, Result

from ctcbias_fst.cli import COMMANDS, main


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def _commands() -> Iterator[tuple[str, click.Command]]:
    for name in COMMANDS:
        command = main.get_command(click.Context(main), name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from command.commands.items()
        else:
            yield name, command


def test_every_number_has_bounds() -> None:
    """What is counted takes memory and time: 10 thousand millions of anything is a mistake."""
    for name, command in _commands():
        for option in command.params:
            kind = option.type
            if isinstance(kind, (click.types.IntParamType, click.types.FloatParamType)):
                bounded = isinstance(kind, (click.IntRange, click.FloatRange))
                assert bounded, (name, option.opts)
                assert kind.min is not None, (name, option.opts)
                assert kind.max is not None, (name, option.opts)


@pytest.mark.parametrize("command", ["score x x --bootstrap", "tokenizer x --out y --size"])
def test_absurd_numbers_are_told(command: str) -> None:
    result = run(*command.split(), 10_000_000_000)
    assert result.exit_code == 2
    assert "10000000000 is not in the range" in result.stderr.splitlines()[-1]


def test_a_bad_name_does_not_cost_the_others() -> None:
    result = run("pronounce", "Kisha", "東京", "AT&T", "--format", "json")
    assert result.exit_code == 1
    names = [json.loads(line)["name"] for line in result.stdout.splitlines()]
    assert names == ["Kisha", "AT&T"]
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: '東京' cannot be pronounced")
    result = run("variants", "", "x", "Kisha", "-n", 1)
    assert result.exit_code == 1
    assert result.stdout.splitlines()[0] == "x  (none)"
    assert result.stdout.splitlines()[1] == "Kisha"
    assert result.stderr == "Error: '': the name is empty (no letter, no digit)\n"


@pytest.mark.parametrize("given", [None, "ACTIVE"])
def test_threads_wait_without_turning(monkeypatch: pytest.MonkeyPatch, given: str | None) -> None:
    """Set before torch is loaded, and not where the user has set it."""
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if given is not None:
        monkeypatch.setenv("OMP_WAIT_POLICY", given)
    code = "import sys; from ctcbias_fst.__main__ import run; assert 'torch' not in sys.modules\n"
    code += "import atexit, os; atexit.register(lambda: print(os.environ['OMP_WAIT_POLICY']))\n"
    code += "sys.argv[1:] = ['--version']; run()"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == (given or "PASSIVE")

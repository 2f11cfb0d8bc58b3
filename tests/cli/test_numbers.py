"""Numbers of options, and names of arguments, that cannot be used."""

from __future__ import annotations

import json
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

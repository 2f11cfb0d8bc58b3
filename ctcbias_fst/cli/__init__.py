"""The command ``ctcbias``.

To add a command: write a thin module beside this one (parse, call one library function,
print) that imports only click at the top, and name it in `COMMANDS`.
"""

from __future__ import annotations

import errno
import importlib
import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

import click

from ctcbias_fst import __version__
from ctcbias_fst.errors import CtcbiasError, CtcbiasWarning
from ctcbias_fst.packages import package_fault
from ctcbias_fst.text.printable import one_line

# Command to the module in ctcbias_fst.cli that holds a click command of the same name.
COMMANDS = {
    "transcribe": "transcribe",
    "stream": "stream",
    "serve": "serve",
    "compile": "compile",
    "decode": "decode",
    "train": "train",
    "adapt": "train",
    "export": "export",
    "explain": "explain",
    "tokenizer": "tokenizer",
    "calibrate": "calibrate",
    "tune": "tune",
    "ablate": "ablate",
    "figures": "figures",
    "recipe": "recipe",
    "score": "score",
    "compare": "compare",
    "lm": "lm",
    "rescore": "rescore",
    "pronounce": "variants",
    "variants": "variants",
    "model": "model",
    "doctor": "doctor",
}


_INTERRUPTED = 130
"""The exit status of what Ctrl-C has stopped, as shells have it."""

_GO_ON = {
    **dict.fromkeys(
        ("ablate", "adapt", "decode", "recipe", "train", "tune"),
        "the same command goes on where it was",
    ),
    "transcribe": "what is in --out-dir, or in OUT.part, is complete; the same command begins anew",
}


class _LazyGroup(click.Group):
    """A group whose commands are imported when they are needed, and whose errors are one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of `COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command's module and return the command; None if there is no such name."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"ctcbias_fst.cli.{COMMANDS[cmd_name]}")
        command = getattr(module, cmd_name.replace("-", "_"))
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run; turn an error that the user can mend into one line and exit status 1."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise _stopped(ctx) from None
        except Exception as error:
            # As libraries in C++ tell it, torch while it is loaded for one.
            if isinstance(error, RuntimeError) and str(error).startswith("KeyboardInterrupt"):
                raise _stopped(ctx) from None
            told = None if ctx.params.get("debug") else _told(error)
            if told is None:
                raise
            raise click.ClickException(one_line(told)) from error


def _told(error: Exception) -> str | None:
    """What an error says that the user can mend; None of any other."""
    if isinstance(error, CtcbiasError):
        return str(error)
    if isinstance(error, ImportError):
        unknown = f"{error}: a package is missing or does not fit; 'ctcbias doctor' tells which"
        return package_fault(error) or unknown
    # click itself ends quietly when nobody reads its output any more.
    if isinstance(error, OSError) and error.errno != errno.EPIPE:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}"
    if isinstance(error, UnicodeEncodeError) and sys.stdout.encoding.lower() != "utf-8":
        written = error.object[error.start : error.end][:20]
        return (
            f"standard output is {sys.stdout.encoding.lower()}, which cannot write {written!a}: "
            "write to a file, or set PYTHONIOENCODING=utf-8"
        )
    return None


def _stopped(ctx: click.Context) -> click.exceptions.Exit:
    """Say how to go on after Ctrl-C; returns what ends the command."""
    on = _GO_ON.get(str(ctx.invoked_subcommand), "the same command begins anew")
    click.echo(f"Stopped: {on}", err=True)
    return click.exceptions.Exit(_INTERRUPTED)


@click.group(
    cls=_LazyGroup, context_settings={"show_default": True, "help_option_names": ["-h", "--help"]}
)
@click.version_option(__version__, prog_name="ctcbias")
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    help="How much is told on standard error.",
)
@click.option("--debug", is_flag=True, help="Show the stack trace of an error.")
def main(log_level: str, debug: bool) -> None:
    """CTC speech recognition that writes the names on your list."""
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    # Only our own voice gets louder: libraries log a lot at this level.
    logging.getLogger("ctcbias_fst").setLevel(log_level.upper())
    click.get_current_context().with_resource(_warnings_in_one_line())


@contextmanager
def _warnings_in_one_line() -> Iterator[None]:
    """Show the package's warnings as the commands show their own."""
    with warnings.catch_warnings():
        usual = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if issubclass(category, CtcbiasWarning):
                click.echo(f"Warning: {one_line(str(message))}", err=True)
            else:
                usual(message, category, filename, lineno, file, line)

        warnings.showwarning = show
        for library in ("transformers", "huggingface_hub"):
            warnings.filterwarnings("ignore", module=rf"{library}\b")
        # What torch tells of how transformers calls it.
        warnings.filterwarnings("ignore", "Support for mismatched key_padding_mask")
        warnings.simplefilter("always", CtcbiasWarning)
        yield

"""Options that several commands share."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ctcbias_fst.cli.places import given, reads
from ctcbias_fst.text.printable import one_line

if TYPE_CHECKING:
    from ctcbias_fst.settings import PipelineConfig
    from ctcbias_fst.text.tokens import Tokenizer

__all__ = [
    "BASE",
    "FILE",
    "LM_OPTION",
    "PARTS_OPTION",
    "TRUST_OPTION",
    "Number",
    "load_settings",
    "load_tokens",
    "output_file",
    "output_folder",
    "refuse",
    "settings_options",
    "tokens_options",
    "warn",
]


_STDIN, _STDOUT = Path("/dev/stdin"), Path("/dev/stdout")


class _File(click.Path):
    """A path; ``-`` is standard input, or output where something is written.

    An empty one, of a variable that is not set, would be the working folder. Nothing that is read
    is written over: see `ctcbias_fst.cli.places`.

    Args:
        base: whether it is where relative paths of other files start.
    """

    def __init__(self, *, base: bool = False) -> None:
        super().__init__(path_type=Path)
        self._base = base

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Make it a Path, or say what is wrong."""
        from ctcbias_fst.errors import ConfigError  # noqa: PLC0415

        if value == "":
            name = "" if param is None else param.opts[0]
            name = name.upper() if isinstance(param, click.Argument) else name
            raise ConfigError(f"{name} is an empty path: name a file, or leave it out")
        callback = None if param is None else param.callback
        if value == "-" and callback is not output_folder:
            path = _STDIN if callback is None else _STDOUT
        else:
            path = Path(os.fsdecode(super().convert(value, param, ctx)))
        if param is not None and ctx is not None and not ctx.resilient_parsing:
            given(path, param, ctx, base=self._base)
        return path


FILE = _File()
BASE = _File(base=True)
"""Where relative paths of other files start."""


class Number(click.FloatRange):
    """A number in a range; click takes NaN for one in every range, and infinity in open ones."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read it, or say what is wrong."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


def warn(message: str) -> None:
    """Tell on standard error, in one line, what was dropped, cut or guessed."""
    click.echo(f"Warning: {one_line(message)}", err=True)


def refuse(faults: Sequence[str]) -> None:
    """Tell what could not be done of several things; if there is any, the exit status is 1."""
    for fault in faults:
        click.echo(f"Error: {one_line(fault)}", err=True)
    if faults:
        click.get_current_context().exit(1)


def output_file(context: click.Context, option: click.Parameter, path: Path | None) -> Path | None:
    """The callback of options that name a file to write: refuse before any work what cannot be."""
    return _checked(path, folder=False)


def output_folder(
    context: click.Context, option: click.Parameter, path: Path | None
) -> Path | None:
    """The same for a folder."""
    return _checked(path, folder=True)


def _checked(path: Path | None, folder: bool) -> Path | None:
    from ctcbias_fst.files import check_output  # noqa: PLC0415

    if path is not None:
        check_output(path, folder=folder)
    return path


Command = TypeVar("Command", bound=Callable[..., Any])

_TOKENS = (
    click.option("--model", type=FILE, help="Model directory [the model inside the package]."),
    click.option(
        "--tokens",
        type=FILE,
        help="What the columns of another model's output are: tokens.txt, vocab.json, or a "
        "SentencePiece .model.",
    ),
    click.option(
        "--tokenizer",
        type=FILE,
        help="The SentencePiece .model of those tokens [names are cut into few, long tokens].",
    ),
    click.option(
        "--blank",
        help="With --tokens: the blank's token or column [found by its usual names]; the number "
        "of tokens for a blank column after the last.",
    ),
    click.option(
        "--boundary",
        type=click.Choice(["prefix", "continuation", "separator", "none"]),
        help="With --tokens: how words are told apart [by the tokens].",
    ),
    click.option(
        "--separator",
        help="With --tokens: the token between words, if it is none of the usual ones.",
    ),
    click.option(
        "--language",
        help="With --tokens: which vocabulary, where the file has one for each of several "
        "languages.",
    ),
)


LM_OPTION = click.option(
    "--lm",
    type=FILE,
    help="Language model: .safetensors of ctcbias lm, or an ARPA file [the model directory's].",
)


PARTS_OPTION = click.option(
    "--parts",
    help="What acts: comma-separated parts (docs/transcribing.md), all or none [as --config "
    "says, or all].",
)

TRUST_OPTION = click.option(
    "--trust-manifest",
    is_flag=True,
    help="Run the commands that recordings of a manifest or wav.scp come from [it is refused].",
)

_SETTINGS = (
    click.option(
        "--config",
        type=FILE,
        help="TOML file of settings (docs/decoding.md), such as ctcbias tune writes.",
    ),
    click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="KEY=VALUE",
        help="A setting, such as decode.boost.beta=1.0 (repeatable).",
    ),
)


def settings_options(command: Command) -> Command:
    """The options that say how the parts work together."""
    for option in reversed(_SETTINGS):
        command = option(command)
    return command


def load_settings(
    config: Path | None,
    overrides: Sequence[str] = (),
    *,
    parts: str | None = None,
    lm: Path | None = None,
    model: Path | None = None,
    of_model: bool = True,
) -> PipelineConfig:
    """The model's own settings, those of a TOML file over them, those of other options on top.

    Args:
        config: the file.
        overrides: of ``--set``.
        parts, lm: of these options.
        model: the model directory, by default that of the model inside the package.
        of_model: whether its settings count.

    Raises:
        ConfigError: a file or a key is wrong, or there is no such part; or the language model
            would be read from a pipe.
    """
    from ctcbias_fst.config import load_config, merge, parse_overrides, read_toml  # noqa: PLC0415
    from ctcbias_fst.errors import ConfigError  # noqa: PLC0415
    from ctcbias_fst.files import is_stream  # noqa: PLC0415
    from ctcbias_fst.settings import PipelineConfig, parse_parts, settings_of  # noqa: PLC0415

    changes = parse_overrides(overrides)
    if lm is not None:
        changes["lm"] = str(lm)
    if parts is not None:
        changes["parts"] = list(parse_parts(parts))
    base = settings_of(model) if of_model else {}
    if config is not None:
        load_config(PipelineConfig, config)  # so that the message names the file
        base = merge(base, read_toml(config))
    settings = load_config(PipelineConfig, merge(base, changes))
    if settings.lm is not None and is_stream(settings.lm):
        raise ConfigError(
            f"{settings.lm}: is a pipe, a device or an open stream, and a language model is read "
            "more than once: save it as a file"
        )
    reads([settings.lm], "the language model")
    return settings


def tokens_options(command: Command) -> Command:
    """The options that say of which model the tokens are."""
    for option in reversed(_TOKENS):
        command = option(command)
    return command


def load_tokens(
    model: Path | None,
    tokens: Path | None,
    tokenizer: Path | None,
    blank: str | None,
    boundary: str | None,
    separator: str | None = None,
    language: str | None = None,
    columns: Callable[[], int | None] = lambda: None,
) -> Tokenizer:
    """The tokenizer, and with it the vocabulary, that the options name.

    `columns` tells those of the log-probs, if there are any.
    """
    from ctcbias_fst.errors import ConfigError  # noqa: PLC0415
    from ctcbias_fst.text.tokens import SentencePieceTokenizer, tokenizer_of  # noqa: PLC0415

    if tokens is None:
        if any(given is not None for given in (tokenizer, blank, boundary, separator, language)):
            raise ConfigError(
                "--tokenizer, --blank, --boundary, --separator and --language belong to --tokens"
            )
        from ctcbias_fst.models.package import DEFAULT  # noqa: PLC0415

        return SentencePieceTokenizer((model or DEFAULT) / "tokenizer.model")
    if model is not None:
        raise ConfigError("say either --model or --tokens")
    return tokenizer_of(
        tokens,
        tokenizer,
        blank=int(blank) if blank is not None and blank.isdecimal() else blank,
        boundary=boundary,
        separator=separator,
        language=language,
        columns=columns(),
    )

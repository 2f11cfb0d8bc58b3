"""Options that several commands share."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import click

from ctcbias_fst.bounds import MAX_HYPOTHESES
from ctcbias_fst.cli.places import given, reads
from ctcbias_fst.text.printable import one_line

if TYPE_CHECKING:
    from ctcbias_fst.settings import PipelineConfig
    from ctcbias_fst.text.tokens import Tokenizer

Command = Callable[..., Any]

STDIN, _STDOUT = Path("/dev/stdin"), Path("/dev/stdout")


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
            path = STDIN if callback is None else _STDOUT
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


def format_of(help_text: str, *formats: str) -> Callable[[Command], Command]:
    """How things are printed, as the argument ``style``; the first of the formats by default."""
    return click.option(
        "--format", "style", type=click.Choice(formats), default=formats[0], help=help_text
    )


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


reads_file = functools.partial(click.option, type=FILE)
writes_file = functools.partial(click.option, type=FILE, callback=output_file)
writes_folder = functools.partial(click.option, type=FILE, callback=output_folder)
"""Options that name what is read, or written."""


def with_options(command: Command, options: Sequence[Callable[[Command], Command]]) -> Command:
    """Give a command options, in this order."""
    for option in reversed(options):
        command = option(command)
    return command


def gathers(
    argument: str, kind: type[Any], *options: Callable[[Command], Command]
) -> Callable[[Command], Command]:
    """Give a command options whose values it takes as one argument, of a class of theirs."""

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def gathering(**given: Any) -> Any:
            own = {one.name: given.pop(one.name) for one in fields(kind) if one.name in given}
            return command(**given, **{argument: kind(**own)})

        return with_options(gathering, options)

    return decorate


DEVICE = click.option("--device", default="cpu", help="cpu, cuda or cuda:N.")

MODEL = reads_file(
    "--model",
    help="Model: a folder of ours or of Hugging Face, an ONNX file or a folder with one, or a name "
    "on the Hugging Face hub, or hama [the model inside the package].",
)

LANGUAGE = click.option(
    "--language", help="Which, of a model that has adapters or prompts for several languages."
)

ADAPTER = reads_file(
    "--adapter",
    help="Contextual adapter of a Hugging Face model: the file that ctcbias export wrote, or its "
    "folder [the one in the model's folder, if there is one].",
)


class _Lexicon(_File):
    """The path of a lexicon, or the name of one that comes with the package."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Leave names as they are."""
        return value if value in _LEXICONS else super().convert(value, param, ctx)


_LEXICONS = ("english", "none")

LEXICON = click.option(
    "--lexicon",
    type=_Lexicon(),
    help="Words and their phones, of a model whose tokens are phones: a file, or english "
    "(docs/own-model.md); none if phones are wanted, which hama cannot write.",
)


@dataclass(frozen=True)
class TokensOptions:
    """The options that say of which model the tokens are."""

    model: Path | None = None
    tokens: Path | None = None
    tokenizer: Path | None = None
    blank: str | None = None
    boundary: str | None = None
    separator: str | None = None
    language: str | None = None
    lexicon: Path | str | None = None

    def check(self) -> None:
        """Refuse options that do not go together.

        Raises:
            ConfigError: there are such.
        """
        from ctcbias_fst.errors import ConfigError  # noqa: PLC0415

        others = replace(self, model=None, language=None, lexicon=None)
        if self.tokens is None and others != TokensOptions():
            raise ConfigError("--tokenizer, --blank, --boundary and --separator belong to --tokens")
        if self.tokens is not None and self.model is not None:
            raise ConfigError("say either --model or --tokens")
        if self.lexicon is not None and self.tokenizer is not None:
            raise ConfigError(
                "--lexicon says how words are written, and so does --tokenizer: say either"
            )

    def load(self, columns: Callable[[], int | None] = lambda: None) -> Tokenizer:
        """The tokenizer, and with it the vocabulary, that the options name.

        `columns` tells those of the log-probs, if there are any.
        """
        self.check()
        if self.tokens is None:
            from ctcbias_fst.models.find import load_tokenizer  # noqa: PLC0415

            return load_tokenizer(self.model, language=self.language, lexicon=self.lexicon)
        from ctcbias_fst.variants.phone_models import tokenizer_for  # noqa: PLC0415

        return tokenizer_for(
            self.tokens,
            self.tokenizer,
            self.lexicon,
            blank=int(self.blank) if self.blank and self.blank.isdecimal() else self.blank,
            boundary=self.boundary,
            separator=self.separator,
            language=self.language,
            columns=columns(),
        )


with_tokens = gathers(
    "named",
    TokensOptions,
    MODEL,
    reads_file(
        "--tokens",
        help="What the columns of another model's output are: tokens.txt, vocab.json, or a "
        "SentencePiece .model.",
    ),
    reads_file(
        "--tokenizer",
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
        help="Of a model or a file of --tokens that has vocabularies for several languages, which.",
    ),
    LEXICON,
)


LM = reads_file(
    "--lm",
    help="Language model: .safetensors of ctcbias lm, or an ARPA file [the model directory's].",
)


PARTS = click.option(
    "--parts",
    help="What acts: comma-separated parts (docs/transcribing.md), all or none [as --config "
    "says, or all].",
)


FRAME_SECONDS = click.option(
    "--frame-seconds",
    type=Number(1e-4, 10),
    help="With --log-probs: how long a frame is [as the file says, or 0.04].",
)

SOFTMAX = click.option("--softmax", is_flag=True, help="With --log-probs: the file has logits.")

NBEST = click.option(
    "--nbest",
    type=click.IntRange(1, MAX_HYPOTHESES),
    help="Hypotheses per utterance; short for decode.nbest.",
)

TRUST_MANIFEST = click.option(
    "--trust-manifest",
    is_flag=True,
    help="Run the commands that recordings of a manifest or wav.scp come from [it is refused].",
)


@dataclass(frozen=True)
class SettingsOptions:
    """The options that say how the parts work together, those that a command has."""

    config: Path | None = None
    overrides: tuple[str, ...] = ()
    parts: str | None = None
    lm: Path | None = None
    nbest: int | None = None

    def load(
        self,
        model: Path | None = None,
        *,
        of_model: bool = True,
        short: Mapping[str, Any] = MappingProxyType({}),
    ) -> PipelineConfig:
        """The model's own settings, those of a TOML file over them, those of other options on top.

        Args:
            model: the model directory, by default that of the model inside the package.
            of_model: whether its settings count.
            short: of other options that are short for a key, if they were given.

        Raises:
            ConfigError: a file or a key is wrong, or there is no such part; or the language model
                would be read from a pipe.
        """
        from ctcbias_fst.config import load_config, merge, read_toml  # noqa: PLC0415
        from ctcbias_fst.errors import ConfigError  # noqa: PLC0415
        from ctcbias_fst.files import is_stream  # noqa: PLC0415
        from ctcbias_fst.settings import (  # noqa: PLC0415
            PipelineConfig,
            parse_parts,
            set_by,
            settings_of,
        )

        short = {**short, "decode.nbest": self.nbest}
        given = (f"{key}={value}" for key, value in short.items() if value is not None)
        changes = set_by([*self.overrides, *given])
        if self.lm is not None:
            changes["lm"] = str(self.lm)
        if self.parts is not None:
            changes["parts"] = list(parse_parts(self.parts))
        base = settings_of(model) if of_model else {}
        if self.config is not None:
            load_config(PipelineConfig, self.config)  # so that the message names the file
            base = merge(base, read_toml(self.config))
        settings = load_config(PipelineConfig, merge(base, changes))
        if settings.lm is not None and is_stream(settings.lm):
            raise ConfigError(
                f"{settings.lm}: is a pipe, a device or an open stream, and a language model is "
                "read more than once: save it as a file"
            )
        reads([settings.lm], "the language model")
        return settings


with_settings = gathers(
    "settings",
    SettingsOptions,
    reads_file(
        "--config", help="TOML file of settings (docs/decoding.md), such as ctcbias tune writes."
    ),
    click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="KEY=VALUE",
        help="A setting, such as decode.boost.beta=1.0 (repeatable).",
    ),
)

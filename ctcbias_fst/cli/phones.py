"""Options of commands in which somebody hears phones beside a model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from ctcbias_fst.cli.options import gathers, reads_file


@dataclass(frozen=True)
class PhonesOptions:
    """The options that say who hears phones beside a model that hears none."""

    phones: Path | None = None
    no_phones: bool = False

    def listener(self, language: str | None) -> Path | str | None:
        """As a recognizer takes it, beside a model of a language.

        Raises:
            ConfigError: both are given.
        """
        from ctcbias_fst.errors import ConfigError  # noqa: PLC0415
        from ctcbias_fst.models.phone_listener import AUTO, of_language  # noqa: PLC0415

        if self.no_phones and self.phones is not None:
            raise ConfigError("pass either --phones or --no-phones")
        chosen = None if self.no_phones else self.phones or AUTO
        return of_language(chosen, language)  # type: ignore[no-any-return]


with_phones = gathers(
    "listening",
    PhonesOptions,
    reads_file(
        "--phones",
        help="A phone model that is heard beside --model [the phone head inside the package, where "
        "the model hears no phones].",
    ),
    click.option(
        "--no-phones", is_flag=True, help="No phone model beside --model; it takes time, too."
    ),
)


def tell_phones(listener: object, seconds: float, total: float) -> None:
    """Tell once what listening to phones cost, of so many seconds in all."""
    if seconds:
        from ctcbias_fst.models.phone_listener import described  # noqa: PLC0415

        click.echo(
            f"phones by {described(listener)}: {seconds:.2f} of {total:.2f} s "
            f"({seconds / total:.0%}); without: --no-phones",
            err=True,
        )

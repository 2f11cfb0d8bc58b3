"""``ctcbias ablate``: which part helps how much."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import click

from ctcbias_fst.cli import options, phones
from ctcbias_fst.cli.places import reads, writes


@click.command()
@click.argument("study", type=options.FILE)
@options.writes_folder("--out", required=True, help="Folder of the results.")
@click.option(
    "--data", type=options.BASE, help="Where relative paths of STUDY start [the folder of STUDY]."
)
@options.MODEL
@options.LANGUAGE
@options.LEXICON
@options.ADAPTER
@phones.with_phones
@options.with_settings
@click.option("--title", default="Ablation", help="Heading of the page.")
@options.DEVICE
def ablate(
    study: Path,
    out: Path,
    data: Path | None,
    model: Path | None,
    language: str | None,
    lexicon: Path | str | None,
    adapter: Path | None,
    listening: phones.PhonesOptions,
    settings: options.SettingsOptions,
    title: str,
    device: str,
) -> None:
    """Decode the speech that the TOML file STUDY names with each of its rows, and compare.

    Prints a table, and writes it as OUT/ablation.csv and OUT/ablation.html. What was decoded
    is kept in OUT/cells: a run that was stopped goes on, and one that is done is scored anew
    at once.
    """
    from ctcbias_fst.config import load_config  # noqa: PLC0415
    from ctcbias_fst.files import fingerprint, write_text  # noqa: PLC0415
    from ctcbias_fst.models.find import identity_of, load_model  # noqa: PLC0415
    from ctcbias_fst.studies import ablation_report  # noqa: PLC0415
    from ctcbias_fst.studies.ablation import AblateConfig  # noqa: PLC0415
    from ctcbias_fst.studies.ablation import ablate as run  # noqa: PLC0415

    page, table = out / "ablation.html", out / "ablation.csv"
    for path in (page, table):
        writes(path, "the result")
    wanted = load_config(AblateConfig, study)
    start = data or study.parent
    for one in wanted.sets:
        named = (*one.cuts, *one.free, *(listed.entities for listed in one.lists))
        reads((start / path for path in named), "the study's")
    base = settings.load(model)
    loaded = load_model(model, device, language=language, adapter=adapter, lexicon=lexicon)
    others = [str(one) for one in (language, lexicon, listening.phones, listening.no_phones)]
    cells = run(
        wanted,
        base,
        loaded,
        start,
        out,
        identity=[identity_of(model), *fingerprint(adapter), *others],
        phones=listening.listener(language),
        report=lambda message: click.echo(message, err=True),
    )
    figures = ablation_report.score_cells(wanted, cells)
    click.echo(ablation_report.to_table(figures))
    command = shlex.join(["ctcbias", *sys.argv[1:]])
    for path, text in (
        (table, ablation_report.to_csv(figures)),
        (page, ablation_report.to_page(figures, title, command)),
    ):
        write_text(path, text)

"""``ctcbias tune``: the numbers of a configuration, on development data."""

from __future__ import annotations

import math
from pathlib import Path

import click

from ctcbias_fst.cli import options
from ctcbias_fst.cli.places import reads, writes


@click.command()
@click.argument("study", type=options.FILE)
@options.writes_file("--out", required=True, help="The best configuration, as TOML.")
@click.option(
    "--data", type=options.BASE, help="Where relative paths of STUDY start [the folder of STUDY]."
)
@options.writes_file("--journal", help="Where trials are kept [OUT.journal].")
@options.with_settings
@click.option(
    "--search",
    multiple=True,
    metavar="KEY=LOW:HIGH",
    help="A range, beside those of the study (repeatable).",
)
@click.option(
    "--trials", type=click.IntRange(1, 1_000_000), help="How many in all [as the study says]."
)
@options.with_tokens
@options.DEVICE
def tune(
    study: Path,
    out: Path,
    data: Path | None,
    journal: Path | None,
    settings: options.SettingsOptions,
    search: tuple[str, ...],
    trials: int | None,
    named: options.TokensOptions,
    device: str,
) -> None:
    """Tune settings on development data as the TOML file STUDY says (docs/tuning.md).

    A study that was stopped goes on when the same command is given again.
    """
    from ctcbias_fst.config import load_config, read_toml, write_config  # noqa: PLC0415
    from ctcbias_fst.files import check_output  # noqa: PLC0415
    from ctcbias_fst.models.find import load_model  # noqa: PLC0415
    from ctcbias_fst.studies import tuning  # noqa: PLC0415
    from ctcbias_fst.studies.dev_sets import open_sources  # noqa: PLC0415

    if journal is None:
        journal = out.with_name(out.name + ".journal")
        check_output(journal)
        writes(journal, "the journal of --out")
    table = read_toml(study)
    table["search"] = [*table.get("search", []), *search]
    if trials is not None:
        table["trials"] = trials
    wanted = load_config(tuning.TuneConfig, table)
    start = data or study.parent
    for one in wanted.sets:
        files = (one.entities, one.cuts, one.log_probs, one.references)
        reads((start / path for path in files if path is not None), "the study's")
    base = settings.load(named.model, of_model=named.tokens is None)
    known = named.load()
    speech = any(one.cuts is not None for one in wanted.sets)
    loaded = None
    if speech:
        loaded = load_model(named.model, device, language=named.language, lexicon=named.lexicon)
    tuned = tuning.tune(
        wanted,
        base,
        open_sources(wanted.sets, start, loaded, known, device),
        journal,
        report=lambda message: click.echo(message, err=True),
    )
    write_config(tuned.config, out)
    for one, found, plain in zip(wanted.sets, tuned.measures, tuned.plain):
        told = [f"WER {plain.wer:.2%} -> {found.wer:.2%}"]
        if not math.isnan(found.f1):
            told.insert(0, f"F1 {plain.f1:.1%} -> {found.f1:.1%}")
        if found.free_words:
            told.append(
                f"where no name is spoken WER {found.free_plain_wer:.2%} -> {found.free_wer:.2%}, "
                f"{found.changed:.2%} of words changed"
            )
        click.echo(f"{one.cuts or one.log_probs}, {one.entities.name}: {'; '.join(told)}")
    click.echo(f"{out}: {tuned.base_value:.4f} -> {tuned.value:.4f} in {tuned.trials} trials")

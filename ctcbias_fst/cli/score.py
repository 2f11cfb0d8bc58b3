"""``ctcbias score``: error rates and entity F1 of transcripts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ctcbias_fst.bounds import LARGEST, MAX_REPLICATIONS
from ctcbias_fst.cli import options


@click.command()
@click.argument("reference", type=options.FILE)
@click.argument("hypothesis", type=options.FILE)
@options.reads_file("--entities", help="Names: one list for all utterances, or one for each.")
@options.reads_file(
    "--bias-words", help="List that decides which words are biased (B-WER), if not --entities."
)
@click.option("--field", default="text", help="JSON field to score.")
@click.option("--by", "group_by", help="Reference field to group by, such as domain.")
@click.option(
    "--missing-as-deletions", is_flag=True, help="Score a missing hypothesis as an empty one."
)
@click.option("--raw", is_flag=True, help="Compare tokens as they stand, not normalised text.")
@click.option(
    "--published",
    is_flag=True,
    help="Count as the script of Le et al. 2021 does; REFERENCE (or --bias-words) is a file of "
    "theirs. Implies --raw.",
)
@click.option("--ignore", multiple=True, metavar="TOKEN", help="Leave a token out (repeatable).")
@click.option(
    "--possessive/--no-possessive",
    default=True,
    help="Whether a name followed by 's counts as the name.",
)
@click.option(
    "--bootstrap",
    "replications",
    type=click.IntRange(0, MAX_REPLICATIONS),
    default=1000,
    help="Replications for the 95% intervals; 0 for none.",
)
@click.option("--seed", type=click.IntRange(0, LARGEST), default=0, help="Of the bootstrap.")
@options.writes_file("--details", help="Write one JSON object per utterance here.")
@options.format_of(
    "Figures as a table or JSON; or each reference above its hypothesis.", "table", "json", "pairs"
)
def score(
    reference: Path,
    hypothesis: Path,
    entities: Path | None,
    raw: bool,
    details: Path | None,
    style: str,
    **given: Any,
) -> None:
    """Score HYPOTHESIS against REFERENCE: WER, CER, entity F1, B-WER and U-WER.

    Both are Kaldi text files (id, words), JSONL with id (or path) and text, or manifests of
    lhotse or NeMo (of a HYPOTHESIS its pred_text). Phone error rates: --field phones --raw
    --ignore '|'.
    """
    from ctcbias_fst.files import write_text  # noqa: PLC0415
    from ctcbias_fst.scoring import report as reports  # noqa: PLC0415

    report = reports.score_files(reference, hypothesis, entities, normalise_text=not raw, **given)
    for line in report.rejected[:20]:
        options.warn(line)
    if report.without_reference:
        ids = ", ".join(report.without_reference[:5])
        count = len(report.without_reference)
        noun = "hypothesis" if count == 1 else "hypotheses"
        options.warn(f"{count} {noun} without a reference: {ids}")
    if details is not None:
        write_text(details, "".join(f"{line}\n" for line in reports.to_details(report)))
    show = {"table": reports.to_table, "json": reports.to_json, "pairs": reports.to_pairs}[style]
    click.echo(show(report))

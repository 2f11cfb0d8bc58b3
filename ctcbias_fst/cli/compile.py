"""``ctcbias compile``: a list of names to a boosting FST."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from ctcbias_fst.cli import options
from ctcbias_fst.cli.places import writes


@click.command()
@click.argument("names", type=options.FILE)
@options.writes_file(
    "-o",
    "--out",
    required=True,
    help="The graph: OpenFst's text format if it ends in .txt, else binary. What it means is "
    "kept beside it, in OUT.json.",
)
@options.with_tokens
@click.option(
    "--segmentations",
    type=click.IntRange(1, 100),
    help="How many ways to cut a name into the model's tokens; short for segmentations.",
)
@click.option(
    "--variants",
    type=click.IntRange(0, 1000),
    help="How many other spellings that sound alike stand for a name; short for "
    "spellings.number. ctcbias variants shows them.",
)
@options.with_settings
@options.writes_file("--draw", help="Draw the graph here, as SVG.")
@click.option(
    "--max-paths", type=click.IntRange(1, 100_000), default=60, help="Draw at most so many names."
)
def compile(
    names: Path,
    out: Path,
    named: options.TokensOptions,
    segmentations: int | None,
    variants: int | None,
    settings: options.SettingsOptions,
    draw: Path | None,
    max_paths: int,
) -> None:
    """Compile NAMES, a list of names (docs/entity-lists.md), into a boosting FST.

    The graph is for one model: that of --model, or the one whose columns --tokens lists. Its names
    have the costs and spellings of that model's settings.
    Entries that can have no effect are reported with their line.
    """
    from ctcbias_fst.compiled import compile_graph, with_limits  # noqa: PLC0415
    from ctcbias_fst.files import check_output, write_text  # noqa: PLC0415
    from ctcbias_fst.graph.draw import draw_boost_graph  # noqa: PLC0415
    from ctcbias_fst.graph.openfst_files import sidecar_path, write_boost_graph  # noqa: PLC0415
    from ctcbias_fst.settings import fitting  # noqa: PLC0415
    from ctcbias_fst.text.checked_entities import check_entities  # noqa: PLC0415
    from ctcbias_fst.text.entities import read_entities  # noqa: PLC0415

    check_output(sidecar_path(out))
    writes(sidecar_path(out), "the description of --out")
    config = replace(settings, parts="boost,g2g").load(
        named.model,
        of_model=named.tokens is None,
        short={"segmentations": segmentations, "spellings.number": variants},
    )
    known = named.load()
    listed = read_entities(names)
    entities = check_entities(listed, known, config.spoken_forms).require_any()
    entities = with_limits(entities, fitting(config, known))
    for line in entities.report():
        options.warn(line)
    graph = compile_graph(entities, known, config)
    assert graph is not None
    for entity in graph.shadowed:
        options.warn(f"{entity.display!r} has no effect: another name has the same tokens")
    write_boost_graph(graph, out, known.vocabulary)
    if draw is not None:
        write_text(draw, draw_boost_graph(graph, known.vocabulary, max_paths))
    click.echo(
        f"{out}: {len(entities)} names, {graph.num_paths} paths, {graph.num_nodes} nodes", err=True
    )

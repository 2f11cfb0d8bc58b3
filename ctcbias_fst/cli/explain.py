"""``ctcbias explain``: which names were heard where, as a picture."""

from __future__ import annotations

from pathlib import Path

import click

from ctcbias_fst.cli import options
from ctcbias_fst.text.printable import one_line

_SECONDS = 30.0
"""What is shown where nothing is said; the adapter reads 32 s at once."""


@click.command()
@click.argument("audio", type=options.FILE)
@options.reads_file("--entities", required=True, help="List of names (docs/entity-lists.md).")
@options.writes_file("-o", "--out", required=True, help="Picture: .png, .svg or .html.")
@options.MODEL
@options.LANGUAGE
@options.ADAPTER
@options.LEXICON
@click.option(
    "--top", type=click.IntRange(1, 1000), default=15, help="Names with a row of their own."
)
@click.option("--start", type=options.Number(0, 86_400), default=0.0, help="First second.")
@click.option(
    "--duration", type=options.Number(0.1, 32.0), help="Seconds to show, 32 at most [30]."
)
@options.with_settings
@options.DEVICE
def explain(
    audio: Path,
    entities: Path,
    out: Path,
    model: Path | None,
    language: str | None,
    adapter: Path | None,
    lexicon: Path | str | None,
    top: int,
    start: float,
    duration: float | None,
    settings: options.SettingsOptions,
    device: str,
) -> None:
    """Show which names the adapter heard in AUDIO, when, and what they changed."""
    from ctcbias_fst.audio.audio import to_recording  # noqa: PLC0415
    from ctcbias_fst.explain import cut  # noqa: PLC0415
    from ctcbias_fst.explain import explain as explained  # noqa: PLC0415
    from ctcbias_fst.explain_picture import check_format, draw_explanation  # noqa: PLC0415
    from ctcbias_fst.models.find import load_model  # noqa: PLC0415
    from ctcbias_fst.recognizer import Recognizer  # noqa: PLC0415
    from ctcbias_fst.text.entities import read_entities  # noqa: PLC0415

    check_format(out)
    listed = read_entities(entities)
    config = settings.load(model)
    loaded = load_model(model, device, language=language, adapter=adapter, lexicon=lexicon)
    recognizer = Recognizer(loaded, config)
    whole = to_recording(audio, recognizer.model.sampling_rate)
    if whole.warning:
        options.warn(f"{audio}: {whole.warning}")
    recording = cut(whole, start, _SECONDS if duration is None else duration)
    if duration is None and start + _SECONDS < whole.seconds:
        options.warn(
            f"{audio}: only {start:g} to {start + _SECONDS:g} s of {whole.seconds:.1f} s are "
            "shown; --start and --duration choose another part"
        )
    explanation = explained(recognizer, recording, recognizer.compile(listed))
    draw_explanation(explanation, out, top)
    click.echo(f"without list: {one_line(' '.join(word.word for word in explanation.plain))}")
    click.echo(f"with list:    {one_line(' '.join(word.word for word in explanation.biased))}")
    for name in explanation.names[:top]:
        if name.peak >= 0.05:
            at = int(name.weights.argmax()) * explanation.frame_seconds + start
            click.echo(f"{name.peak:5.2f} at {at:6.2f} s  {one_line(name.name)}")

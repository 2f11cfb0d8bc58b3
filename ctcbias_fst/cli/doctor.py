"""``ctcbias doctor``: is everything there, and does it work together?"""

from __future__ import annotations

import click

from ctcbias_fst.cli import options


@click.command()
@options.format_of("A line for each check, or one JSON object.", "text", "json")
def doctor(style: str) -> None:
    """Look at what is installed, and say what to do where something is wrong.

    Versions of Python, torch, k2 (and what k2 was built for) and numpy, other packages, extras,
    CUDA, the cache; then a clip is transcribed. Exit status 1 if something that is needed is
    missing or does not work.
    """
    import json  # noqa: PLC0415
    from dataclasses import asdict  # noqa: PLC0415

    from ctcbias_fst.doctor import OK, WRONG, examine  # noqa: PLC0415

    checks = []
    for check in examine():
        checks.append(check)
        if style == "text":
            click.echo(f"{check.state:9} {check.name:12} {check.found}")
            if check.remedy:
                click.echo(f"{'':22} -> {check.remedy}")
    wrong = [check.name for check in checks if check.state == WRONG]
    if style == "json":
        made = {"ok": not wrong, "checks": [asdict(check) for check in checks]}
        click.echo(json.dumps(made, ensure_ascii=False, indent=2))
    elif wrong:
        click.echo(f"Something is wrong: {', '.join(wrong)}.")
    elif all(check.state == OK for check in checks):
        click.echo("All is well.")
    else:
        click.echo("All that is needed is there.")
    if wrong:
        click.get_current_context().exit(1)

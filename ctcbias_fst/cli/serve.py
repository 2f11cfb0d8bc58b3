"""``ctcbias serve``: transcripts over HTTP and websockets."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ctcbias_fst.cli import options, phones
from ctcbias_fst.cli.opening import opened

if TYPE_CHECKING:
    pass

_KEY, _LISTS = "CTCBIAS_API_KEY", "CTCBIAS_LISTS"


@click.command()
@options.MODEL
@options.LANGUAGE
@options.ADAPTER
@options.LEXICON
@phones.with_phones
@options.PARTS
@options.LM
@options.with_settings
@options.DEVICE
@click.option("--host", default="127.0.0.1", help="Where to listen [127.0.0.1].")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, help="[8000]")
@click.option(
    "--key",
    "keys",
    multiple=True,
    envvar=_KEY,
    help=f"A key that requests must have; several may be given, or in {_KEY}, parted by spaces, "
    "which --key takes the place of.",
)
@click.option(
    "--origin", "origins", multiple=True, help="Of other hosts' pages that may use it (CORS)."
)
@click.option(
    "--max-mb", type=options.Number(0.001, 10_000), default=25, help="Of a recording [25]."
)
@click.option(
    "--max-seconds", type=options.Number(0.1, 86_400), default=3600, help="Of a recording [3600]."
)
@click.option(
    "--max-waiting",
    type=click.IntRange(1, 100_000),
    default=64,
    help="Recordings that may wait; more are refused with 429 [64].",
)
@click.option(
    "--max-streams", type=click.IntRange(1, 10_000), default=64, help="Open at a time [64]."
)
@click.option(
    "--lists",
    envvar=_LISTS,
    metavar="FILE|URL",
    help=f"Where lists are kept, or in {_LISTS}: a file of SQLite, or postgresql://… [the user's "
    "data folder].",
)
@click.option("--no-lists", is_flag=True, help="Keep none.")
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    help="Batches that are transcribed side by side [the cores; 1 on a GPU].",
)
def serve(
    model: Path | None,
    language: str | None,
    adapter: Path | None,
    lexicon: Path | str | None,
    listening: phones.PhonesOptions,
    settings: options.SettingsOptions,
    device: str,
    host: str,
    port: int,
    keys: tuple[str, ...],
    origins: tuple[str, ...],
    max_mb: float,
    max_seconds: float,
    max_waiting: int,
    max_streams: int,
    lists: str | None,
    no_lists: bool,
    workers: int | None,
) -> None:
    """Transcribe for others: POST /v1/audio/transcriptions as OpenAI's clients send it, with the
    names to listen for as keywords.

    Without --key whoever reaches the port may use it, so it listens to this machine alone unless
    --host says other.
    """
    from ctcbias_fst.errors import MissingDependencyError  # noqa: PLC0415
    from ctcbias_fst.models.find import load_for_streams  # noqa: PLC0415

    try:
        from ctcbias_fst.server.config import ServerConfig  # noqa: PLC0415
        from ctcbias_fst.server.list_store import ListStore, default_path  # noqa: PLC0415
        from ctcbias_fst.server.run import hosts_of, listen, run, torch_threads  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"serve needs {error.name}: pip install 'ctcbias_fst[serve]'"
        ) from error

    _tell_replaced(no_lists=no_lists)
    several = workers or (1 if device != "cpu" else _cores())
    config = ServerConfig(
        keys=keys,
        origins=origins,
        max_megabytes=max_mb,
        max_seconds=max_seconds,
        max_waiting=max_waiting,
        max_streams=max_streams,
        workers=several,
    )
    with ExitStack() as stack:
        open_socket = stack.enter_context(listen(host, port))
        if not keys:
            config = replace(config, hosts=hosts_of(open_socket, host))
        store = None if no_lists else ListStore(lists or default_path())
        if store is not None:
            stack.callback(store.close)
        torch_threads(several)
        recognizer, _ = opened(
            load_for_streams,
            model,
            settings,
            listening,
            None,
            device=device,
            language=language,
            adapter=adapter,
            lexicon=lexicon,
        )
        name = "ctcbias" if model is None else model.name
        spoken = language or ("english" if model is None else None)
        run(recognizer, config, open_socket, name, spoken, store=store)


def _tell_replaced(*, no_lists: bool) -> None:
    """Tell which variables of the environment have no effect beside an option."""
    source = click.get_current_context().get_parameter_source
    by_hand = click.core.ParameterSource.COMMANDLINE
    if os.environ.get(_KEY) and source("keys") is by_hand:
        options.warn(f"--key takes the place of the keys in {_KEY}, which are not taken")
    if no_lists and source("lists") is by_hand:
        options.warn("--no-lists: --lists has no effect")
    elif no_lists and os.environ.get(_LISTS):
        options.warn(f"--no-lists: {_LISTS} has no effect")
    elif os.environ.get(_LISTS) and source("lists") is by_hand:
        options.warn(f"--lists takes the place of {_LISTS}")


def _cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

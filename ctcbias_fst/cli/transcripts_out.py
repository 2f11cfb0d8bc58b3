"""Where ``ctcbias transcribe`` writes, recording by recording."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

import click
from tqdm import tqdm

from ctcbias_fst.files import is_stream, naming, sole_writer
from ctcbias_fst.output import format_transcripts
from ctcbias_fst.records import Transcript
from ctcbias_fst.written import WrittenFolder


class TranscriptsOut:
    """Writes each transcript when it is there.

    Args:
        style: one of :data:`ctcbias_fst.output.FORMATS`.
        paths: of recordings whose ids are not their paths.
        count: how many recordings there are.
        out: the file; standard output if there is neither file nor folder. It is ``OUT.part`` until
            the end.
        folder: where each has a file of its own.
        targets: these files, by the ids of their recordings.
    """

    def __init__(
        self,
        style: str,
        paths: Mapping[str, str],
        count: int,
        out: Path | None,
        folder: WrittenFolder | None,
        targets: Mapping[str, Path],
    ) -> None:
        self._style, self._paths, self._count = style, paths, count
        self._out, self._folder, self._targets = out, folder, targets
        self._open = ExitStack()
        self._stream: TextIO | None = None
        self._written = 0

    def __enter__(self) -> TranscriptsOut:
        if self._out is not None:
            place = self._out if is_stream(self._out) else self._part
            self._open.enter_context(naming(self._out, place))
            if place == self._part:
                place.parent.mkdir(parents=True, exist_ok=True)
                self._open.enter_context(sole_writer(place))
            self._stream = self._open.enter_context(place.open("w", encoding="utf-8"))
        # What is written on a terminal shows by itself how far it is.
        shown = self._out is not None or self._folder is not None or not sys.stdout.isatty()
        alone = None if shown and self._count > 1 else True
        bar = tqdm(total=self._count, unit="file", desc="transcribe", disable=alone)
        self._bar = self._open.enter_context(bar)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None and not self._written:
                self._put(format_transcripts([], self._style))
        finally:
            self._open.close()
        if kind is None and self._out is not None and not is_stream(self._out):
            with naming(self._out, self._part):
                self._part.replace(self._out.resolve() if self._out.is_symlink() else self._out)

    @property
    def _part(self) -> Path:
        assert self._out is not None
        return self._out.with_name(f"{self._out.name}.part")

    def passed(self) -> None:
        """Count a recording, whatever became of it."""
        self._bar.update()

    def write(self, transcript: Transcript) -> None:
        """Write one."""
        several = self._folder is None and self._count > 1
        text = format_transcripts([transcript], self._style, self._paths, several=several)
        self._written += 1
        if self._folder is not None:
            self._folder.write(self._targets[transcript.id], text)
        else:
            self._put(text)

    def _put(self, text: str) -> None:
        if self._folder is not None:
            return
        if self._stream is None:
            click.echo(text, nl=False)
            sys.stdout.flush()
        else:
            self._stream.write(text)
            self._stream.flush()

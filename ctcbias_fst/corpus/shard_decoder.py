"""Decoding shards of a corpus: what a worker does, wherever it runs."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ctcbias_fst.corpus.backends import Backend, Utterance, batches_by_duration
from ctcbias_fst.corpus.batches import CompiledLists, Lists, decode_batch, read_lists, reason_of
from ctcbias_fst.corpus.transcript_files import record_of
from ctcbias_fst.errors import CtcbiasWarning
from ctcbias_fst.output import notes
from ctcbias_fst.text.printable import json_text
from ctcbias_fst.text.text_files import Source


@dataclass(frozen=True)
class Result:
    """What became of the utterances of a shard.

    Attributes:
        rows: a JSON object for each, in their order: its transcript, or ``id``, ``error`` and
            ``path`` of one that was left out.
        told: what there is to tell, in lines.
        warned: what there is to tell once, whoever finds it.
        skipped: how many were left out.
    """

    rows: list[str]
    told: list[str] = field(default_factory=list)
    warned: list[str] = field(default_factory=list)
    skipped: int = 0

    @property
    def worked(self) -> bool:
        """Whether there is a transcript."""
        return self.skipped < len(self.rows)


class ShardDecoder:
    """A model and its lists, loaded and compiled once for many shards.

    Args:
        backend: decodes.
        lists: names to boost.
        longest: seconds of the longest utterance of all shards.
        batch_seconds: audio per batch, padding included; batches are within a shard.

    Attributes:
        told: names without effect, in lines.
    """

    def __init__(
        self, backend: Backend, lists: Lists, longest: float | None, batch_seconds: float
    ) -> None:
        self._backend, self._batch_seconds = backend, batch_seconds
        self._lines = self.told = list[str]()
        self._names = CompiledLists(lists, backend, longest, self._tell)

    def decode(
        self,
        utterances: Sequence[Utterance],
        worked: bool,
        progress: Callable[[float], None] = lambda seconds: None,
    ) -> Result:
        """Decode the utterances of a shard.

        Args:
            utterances: distinct ids.
            worked: whether an utterance of another shard has worked.
            progress: told the seconds of each batch.

        Raises:
            ModelError: the model fails on everything, and did so before.
        """
        self._lines = told = list[str]()
        rows: dict[str, str] = {}
        skipped = 0

        def skip(utterance: Utterance, error: Exception) -> None:
            nonlocal skipped
            skipped += 1
            reason = reason_of(utterance, error)
            told.append(f"{utterance.id} is left out: {reason}")
            path = next((str(path) for path in utterance.files), None)
            rows[utterance.id] = json_text({"id": utterance.id, "error": reason, "path": path})

        failures = self._backend.first_failures(worked=worked)
        with _caught() as warned:
            for batch in batches_by_duration(utterances, self._batch_seconds):
                for transcript in decode_batch(batch, self._backend, self._names, skip, failures):
                    told += notes(transcript)
                    rows[transcript.id] = json_text(record_of(transcript))
                progress(sum(utterance.seconds for utterance in batch))
        return Result([rows[one.id] for one in utterances], told, warned, skipped)

    def _tell(self, line: str) -> None:
        self._lines.append(line)


@dataclass(frozen=True)
class Plan:
    """How a worker in another process makes its decoder; all of it can be pickled.

    Attributes:
        make: makes the backend on a device.
        lists: where lists of names are.
        graph: or a compiled one.
        longest, batch_seconds: see `ShardDecoder`.
        threads: that torch computes with; results may depend on it in their last digits.
    """

    make: Callable[..., Backend]
    lists: Source | None
    graph: Path | None
    longest: float | None
    batch_seconds: float
    threads: int

    def decoder(self, device: str) -> ShardDecoder:
        """Load the model and compile the list; who made the plan has told the warnings."""
        with _caught():
            backend = self.make(device=device)
        return self.with_backend(backend)

    def with_backend(self, backend: Backend) -> ShardDecoder:
        """Compile the list for a model that is loaded."""
        torch.set_num_threads(self.threads)
        lists = read_lists(self.lists, self.graph, backend.decoder.vocabulary)
        return ShardDecoder(backend, lists, self.longest, self.batch_seconds)


@contextmanager
def _caught() -> Iterator[list[str]]:
    """Collect the warnings of ours instead of showing them."""
    lines: list[str] = []
    with warnings.catch_warnings():
        usual = warnings.showwarning

        def show(message: Any, category: type[Warning], *others: Any, **more: Any) -> None:
            if issubclass(category, CtcbiasWarning):
                lines.append(str(message))
            else:
                usual(message, category, *others, **more)

        warnings.showwarning = show
        warnings.simplefilter("always", CtcbiasWarning)
        yield lines

"""Entity lists for real recordings, in which few names are spoken: their rare words."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .manifests import write_lines
from .names import Frequency, require, zipf
from .settings import Settings

__all__ = ["write_rare_lists"]

LISTED = {"dev_real": "real.dev", "test_real": "real.test", "test_librivox": "librivox.test"}
"""CutSets, and what their lists are called."""


def write_rare_lists(out: Path, settings: Settings, frequency: Frequency = zipf) -> None:
    """Write ``lists/real.<split>.txt`` and its kin for the CutSets of :data:`LISTED` that exist.

    As in Le et al. (Interspeech 2021) the rare words of a transcript are the names to find:
    those that are not among the most frequent words of English. ``<list>.<n>.txt`` has them
    and ``n`` rare words of the LM text that are not spoken in that set.
    """
    lhotse = require("lhotse", "lhotse")
    text = out / "text" / "general.txt"
    known = sorted(_rare(text.read_text(encoding="utf-8").split(), settings, frequency))
    for cuts, name in LISTED.items():
        path = out / f"cuts_{cuts}.jsonl.gz"
        if not path.is_file():
            continue
        said: list[Any] = [cut.supervisions[0].text for cut in lhotse.CutSet.from_file(path)]
        words = {word for sentence in said for word in sentence.split()}
        spoken = _rare(words, settings, frequency)
        write_lines(out / "lists" / f"{name}.txt", sorted(spoken))
        others = [word for word in known if word not in words]
        for size in settings.lists.sizes:
            if size <= len(others):
                drawn = random.Random(f"{settings.seed}/lists/{name}/{size}").sample(others, size)
                write_lines(out / "lists" / f"{name}.{size}.txt", sorted({*spoken, *drawn}))


def _rare(words: Iterable[str], settings: Settings, frequency: Frequency) -> set[str]:
    lists = settings.lists
    return {
        word
        for word in set(words)
        if word.isalpha() and len(word) >= lists.min_letters and frequency(word) < lists.common_zipf
    }

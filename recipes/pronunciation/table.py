"""The table of letters and phones, from an alignment of the dictionary."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from ctcbias_fst.files import atomic_path
from ctcbias_fst.variants.table import SILENT

from .align import TABLE_SIZES, Unit, align

__all__ = ["write_table"]

_LONGEST = max(letters for letters, _ in TABLE_SIZES)

_HEADER = """\
# Letters and the phones that they stand for in English, learnt from CMUdict.
# letters, phones (- for silence), cost, times seen, an example.
# cost = -log p(phones | letters) = log(times the letters stand in a word / times seen)
# Made by: python recipes/pronunciation/prepare.py --stage table
"""


def write_table(
    words: Mapping[str, Sequence[tuple[str, ...]]],
    target: Path,
    discount: float,
    least: int,
    least_probability: float,
) -> int:
    """Align, count, and write the units seen at least so often; return their number.

    Args:
        words: the dictionary.
        target: the TSV file.
        discount: of long units, see `align`.
        least: times that a unit must be seen.
        least_probability: of the phones, given the letters.
    """
    cuts, _ = align(words, TABLE_SIZES, discount=discount)
    seen: Counter[Unit] = Counter()
    examples: dict[Unit, str] = {}
    occurrences: Counter[str] = Counter()
    for cut in cuts:
        seen.update(cut)
        word = "".join(letters for letters, _ in cut)
        occurrences.update(
            word[start:end]
            for start in range(len(word))
            for end in range(start + 1, min(start + _LONGEST, len(word)) + 1)
        )
        for unit in cut:
            known = examples.get(unit)
            if known is None or (len(word), word) < (len(known), known):
                examples[unit] = word
    of_letters: dict[str, list[Unit]] = defaultdict(list)
    for (letters, phones), times in seen.items():
        if times >= least and times >= least_probability * occurrences[letters]:
            of_letters[letters].append((letters, phones))
    rows = []
    for letters, units in sorted(of_letters.items()):
        for unit in sorted(units, key=lambda u: (-seen[u], u[1])):
            cost = f"{math.log(occurrences[letters] / seen[unit]):.3f}"
            sounds = " ".join(unit[1]) or SILENT
            rows.append(f"{letters}\t{sounds}\t{cost}\t{seen[unit]}\t{examples[unit]}\n")
    with atomic_path(target) as temporary:
        temporary.write_text(_HEADER + "".join(rows), encoding="utf-8")
    return len(rows)

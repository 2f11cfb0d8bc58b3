"""The table of letters and phones, from an alignment of the dictionary."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from ctcbias_fst.files import atomic_path
from ctcbias_fst.sound.table import SILENT

from .align import TABLE_SIZES, Unit, align

__all__ = ["write_table"]

_HEADER = """\
# Letters and the phones that they stand for in English, learnt from CMUdict.
# letters, phones (- for silence), cost = -log p(phones | letters), times seen, an example.
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
        least_probability: of the phones, given the letters; what is left is scaled to 1.
    """
    cuts, _ = align(words, TABLE_SIZES, discount=discount)
    seen: Counter[Unit] = Counter()
    examples: dict[Unit, str] = {}
    for cut in cuts:
        seen.update(cut)
        word = "".join(letters for letters, _ in cut)
        for unit in cut:
            known = examples.get(unit)
            if known is None or (len(word), word) < (len(known), known):
                examples[unit] = word
    of_letters: dict[str, list[Unit]] = defaultdict(list)
    totals: Counter[str] = Counter()
    for (letters, phones), times in seen.items():
        totals[letters] += times
        if times >= least:
            of_letters[letters].append((letters, phones))
    rows = []
    for letters, units in sorted(of_letters.items()):
        kept = [u for u in units if seen[u] >= least_probability * totals[letters]]
        total = sum(seen[unit] for unit in kept)
        for unit in sorted(kept, key=lambda u: (-seen[u], u[1])):
            cost = f"{-math.log(seen[unit] / total) + 0.0:.3f}"
            phones = " ".join(unit[1]) or SILENT
            rows.append(f"{letters}\t{phones}\t{cost}\t{seen[unit]}\t{examples[unit]}\n")
    with atomic_path(target) as temporary:
        temporary.write_text(_HEADER + "".join(rows), encoding="utf-8")
    return len(rows)

"""What the system thinks of names, as text or JSON."""

from __future__ import annotations

from collections.abc import Sequence

from ctcbias_fst.sound.pronounce import Pronouncer, Pronunciation
from ctcbias_fst.sound.variants import SpellingVariants
from ctcbias_fst.text.entities import entities_from_names
from ctcbias_fst.text.printable import json_text, one_line
from ctcbias_fst.text.spoken_entities import add_spoken_forms

__all__ = ["pronunciations_report", "variants_report"]


def pronunciations_report(
    pronouncer: Pronouncer, names: Sequence[str], as_json: bool = False
) -> list[str]:
    """Return lines on how names sound: a table, or one JSON object per name.

    Raises:
        InputError: one of them cannot be pronounced.
    """
    rows = [(name, _said(pronouncer, name)) for name in names]
    if as_json:
        return [
            json_text(
                {
                    "name": name,
                    "pronunciations": [
                        {"phones": " ".join(p.phones), "cost": round(p.cost, 3), "source": p.source}
                        for p in found
                    ],
                },
            )
            for name, found in rows
        ]
    lines = []
    for name, found in rows:
        width = max(len(" ".join(p.phones)) for p in found)
        lines.append(one_line(name))
        lines += [f"  {p.cost:5.2f}  {' '.join(p.phones):<{width}}  {p.source}" for p in found]
    return lines


def _said(pronouncer: Pronouncer, name: str) -> list[Pronunciation]:
    """Pronounce a name as it would be on a list: with what its symbols and initials sound like."""
    listed = add_spoken_forms(entities_from_names([name]))
    found = pronouncer.pronounce_entities(listed)
    return found[0] if found and found[0] else pronouncer.pronounce(name)


def variants_report(
    variants: SpellingVariants, names: Sequence[str], n: int, as_json: bool = False
) -> list[str]:
    """Return lines on how else names may be written: a table, or one JSON object per name.

    Raises:
        InputError: one of them is empty.
    """
    rows = list(zip(names, variants.spelling_variants(names, n)))
    if as_json:
        return [
            json_text(
                {
                    "name": name,
                    "variants": [{"spelling": v.spelling, "cost": round(v.cost, 3)} for v in found],
                },
            )
            for name, found in rows
        ]
    lines = []
    for name, found in rows:
        lines.append(one_line(name) + ("" if found else "  (none)"))
        lines += [f"  {v.cost:5.2f}  {one_line(v.spelling)}" for v in found]
    return lines

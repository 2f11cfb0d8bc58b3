"""What the system thinks of names, as text or JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from ctcbias_fst.errors import InputError
from ctcbias_fst.pronunciation.pronounce import Pronouncer
from ctcbias_fst.pronunciation.pronunciation_table import Pronunciation
from ctcbias_fst.text.entities import entities_from_names
from ctcbias_fst.text.printable import json_text, one_line
from ctcbias_fst.text.spoken_entities import add_spoken_forms
from ctcbias_fst.variants.variants import SpellingVariants


def pronunciations_report(
    pronouncer: Pronouncer,
    names: Sequence[str],
    as_json: bool = False,
    report: Callable[[str], None] | None = None,
) -> list[str]:
    """Return lines on how names sound: a table, or one JSON object per name.

    Args:
        pronouncer: asked for each name.
        names: in any form.
        as_json: whether as JSON.
        report: told of each name that cannot be pronounced, which is left out then.

    Raises:
        InputError: one of them cannot be pronounced, and nobody is told.
    """
    rows = list(_each(names, lambda name: _said(pronouncer, name), report))
    if as_json:
        return [
            json_text(
                {
                    "name": name,
                    "pronunciations": [
                        {"phones": p.text, "cost": round(p.cost, 3), "source": p.source}
                        for p in found
                    ],
                },
            )
            for name, found in rows
        ]
    lines = []
    for name, found in rows:
        width = max(len(p.text) for p in found)
        lines.append(one_line(name))
        lines += [f"  {p.cost:5.2f}  {p.text:<{width}}  {p.source}" for p in found]
    return lines


def _said(pronouncer: Pronouncer, name: str) -> list[Pronunciation]:
    """Pronounce a name as it would be on a list: with what its symbols and initials sound like."""
    listed = add_spoken_forms(entities_from_names([name]))
    found = pronouncer.pronounce_entities(listed)
    return found[0] if found and found[0] else pronouncer.pronounce(name)


def variants_report(
    variants: SpellingVariants,
    names: Sequence[str],
    n: int,
    as_json: bool = False,
    report: Callable[[str], None] | None = None,
) -> list[str]:
    """Return lines on how else names may be written: a table, or one JSON object per name.

    Args:
        variants: asked for each name.
        names: in any form.
        n: most spellings of a name.
        as_json: whether as JSON.
        report: told of each name that is empty, which is left out then.

    Raises:
        InputError: one of them is empty, and nobody is told.
    """
    rows = list(_each(names, lambda name: variants.spelling_variants([name], n)[0], report))
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


Found = TypeVar("Found")


def _each(
    names: Iterable[str], find: Callable[[str], Found], report: Callable[[str], None] | None
) -> Iterator[tuple[str, Found]]:
    """Each name and what is found of it; without those that are reported."""
    for name in names:
        try:
            yield name, find(name)
        except InputError as error:
            if report is None:
                raise
            report(str(error))

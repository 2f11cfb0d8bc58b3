"""Names with digits, symbols and capitals on the shipped model: a table of what becomes of each.

``python -m tests.text.test_golden_names`` writes the table anew; read what has changed.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ctcbias_fst.models.package import DEFAULT
from ctcbias_fst.text.checked_entities import check_entities
from ctcbias_fst.text.entities import entities_from_names
from ctcbias_fst.text.tokens import SentencePieceTokenizer, Tokenizer

TABLE = Path(__file__).parents[1] / "golden" / "names.txt"


@pytest.fixture(scope="module")
def shipped() -> Tokenizer:
    return SentencePieceTokenizer(next(DEFAULT.glob("*.model")))


def described(name: str, tokenizer: Tokenizer) -> list[str]:
    """What is looked for, the likeliest first, and what is told; beside a name in small letters."""
    found = check_entities(entities_from_names(["metformin", name]), tokenizer)
    lines = [
        f"  {text}" + (f" {cost:.1f}" if cost else "")
        for entity in found.entities[1:]
        for text, cost in entity.spellings
    ]
    assert all(entity.display == name for entity in found.entities[1:])
    return [*lines, *(f"  ! {line.removeprefix('<list>')[2:]}" for line in found.report())]


def listed() -> list[str]:
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("  ")]


def test_what_becomes_of_each(shipped: Tokenizer) -> None:
    made = [line for name in listed() for line in (name, *described(name, shipped))]
    assert made == TABLE.read_text(encoding="utf-8").splitlines()


if __name__ == "__main__":
    model = SentencePieceTokenizer(next(DEFAULT.glob("*.model")))
    rows = [line for name in listed() for line in (name, *described(name, model))]
    TABLE.write_text("\n".join(rows) + "\n", encoding="utf-8")

"""The table of mutants keeps up with the code."""

from __future__ import annotations

import ast

import pytest
from mutants import ROOT, Mutant, mutated, read_mutants

MUTANTS = read_mutants()


@pytest.mark.parametrize("mutant", MUTANTS, ids=[f"{m.file}: {m.what}" for m in MUTANTS])
def test_a_mutant_applies(mutant: Mutant) -> None:
    text = (ROOT / mutant.path).read_text(encoding="utf-8")
    changed = mutated(mutant, text)
    if mutant.path.suffix == ".py":
        ast.parse(changed, mutant.file)
    assert mutant.old != mutant.new
    assert mutant.tests
    for name in mutant.tests:
        assert (ROOT / "tests" / name).is_file(), name


def test_there_are_enough_and_no_two_are_the_same() -> None:
    assert len(MUTANTS) >= 60
    assert len({(m.file, m.old, m.new) for m in MUTANTS}) == len(MUTANTS)


def test_a_mutant_without_its_text_is_told_in_one_line() -> None:
    mutant = Mutant("times.py", "a + b", "a - b", "a sign", ("test_times.py",))
    told = r"^ctcbias_fst/times.py has 'a \+ b' 2 times, once is needed: mend .*\(a sign\)$"
    with pytest.raises(ValueError, match=told):
        mutated(mutant, "a + b + a + b")

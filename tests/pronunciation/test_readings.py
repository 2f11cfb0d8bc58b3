"""What is said when names with digits, initials and capitals are read aloud."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcbias_fst.pronunciation.readings import number_words, readings
from ctcbias_fst.text.normalise import normalise


def said(name: str, display: str | None = None) -> list[str]:
    """Readings as text, letters in capitals."""
    return [
        " ".join(atom.text.upper() if atom.letter else atom.text for atom in reading.atoms)
        for reading in readings(name, display)
    ]


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("covid 19", "covid nineteen"),
        ("covid19", "covid nineteen"),
        ("b12", "B twelve"),
        ("h1n1", "H one N one"),
        ("j r smith", "J R smith"),
        ("vitamin a", "vitamin A"),
        ("1984", "nineteen eighty four"),
        ("2005", "twenty oh five"),
        ("2000", "two thousand"),
        ("1900", "nineteen hundred"),
        ("747", "seven hundred forty seven"),
        ("007", "zero zero seven"),
        ("500 mg", "five hundred milligrams"),
        ("42nd street", "forty second street"),
        ("90s", "nineties"),
        ("henry viii", "henry eight"),
        ("st louis", "saint louis"),
        ("bbc", "B B C"),
        ("o'neill", "o'neill"),
    ],
)
def test_first_reading(name: str, first: str) -> None:
    assert said(name)[0] == first


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("747", "seven forty seven"),
        ("747", "seven four seven"),
        ("1984", "one thousand nine hundred eighty four"),
        ("henry viii", "henry the eighth"),
        ("st louis", "street louis"),
        ("bbc", "bbc"),
    ],
)
def test_other_readings(name: str, other: str) -> None:
    assert other in said(name)[1:]


def test_capitals_are_letters_unless_everything_is() -> None:
    assert said("mmpi", "MMPI") == ["M M P I", "mmpi"]
    assert said("mmpi", "Mmpi") == ["mmpi"]
    assert said("ace inhibitor", "ACE inhibitor")[0] == "A C E inhibitor"
    assert said("ace inhibitor", "ACE INHIBITOR") == ["ace inhibitor"]


def test_a_long_number_is_read_by_digits() -> None:
    assert said("1234567890123")[0].startswith("one two three")


@given(st.text(max_size=20))
def test_any_name_has_a_reading(text: str) -> None:
    name = normalise(text)
    found = readings(name, text)
    costs = [reading.cost for reading in found]
    assert costs == sorted(costs)
    assert costs[0] == 0.0
    assert 1 <= len(found) <= 8


@given(st.integers(0, 10**12 - 1))
def test_numbers_can_be_understood(value: int) -> None:
    """Reading the words back gives the number."""
    small = {word: number for number in range(20) for word in number_words(number)}
    small |= {number_words(tens)[0]: tens for tens in range(20, 100, 10)}
    scales = {"thousand": 10**3, "million": 10**6, "billion": 10**9}
    total = part = 0
    for word in number_words(value):
        if word in scales:
            total, part = total + part * scales[word], 0
        else:
            part = part * 100 if word == "hundred" else part + small[word]
    assert total + part == value

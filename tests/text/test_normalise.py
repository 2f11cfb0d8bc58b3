"""The normal form is a fixed point, and the block path equals the line path."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ctcbias_fst.text.normalise import fold_diacritics, normalise, normalise_lines


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Metformin", "metformin"),
        ("  Coca-Cola,\tInc. ", "coca cola inc"),
        ("O\u2019Neill\u2019s", "o'neill's"),
        ("D`Arcy", "d'arcy"),
        ("D\u00b4Arcy", "d'arcy"),
        ("'tis the dogs' \"bone\"", "tis the dogs bone"),
        ("rock 'n' roll", "rock n roll"),
        ("o''neil", "oneil"),
        ("500 mg", "500 mg"),
        ("\uff21\uff22\uff23 \u2168", "abc ix"),
        ("Jose\u0301", "jos\u00e9"),
        ("zero\u200bwidth\u00adsoft", "zerowidthsoft"),
        ("AT&T 50%", "at and t 50"),
        ("Johnson & Johnson, R&amp;D \uff06 M&M's", "johnson and johnson r and d and m and m's"),
        ("C++ C# A+ 50+ +49 a+b C+", "c plus plus c sharp a plus 50 plus plus 49 a plus b c plus"),
        ("&, + # @ ... & .", ""),
        (".NET, not.net ...and 3.5", "dot net not net and 3 5"),
        ("mail@home.org @home", "mail at home org home"),
        ("#1 #MeToo F#m", "1 metoo f m"),
        ("Kindle\u2122 Fire\u2120 Xerox\u00ae", "kindle fire xerox"),
        ("---", ""),
        ("", ""),
        ("two\nlines", "two lines"),
        ("\u0130stanbul", "i\u0307stanbul"),
    ],
)
def test_examples(text: str, expected: str) -> None:
    assert normalise(text) == expected


@given(st.text())
@example("\u00df\u0130\u01c5")
@example("a'\u200b'b")
@example("e\u200d\u0301")
@example("\ufdfa'\u2024")
@example("a\u0149")
def test_normalising_twice_changes_nothing(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once


@given(st.text())
def test_form_holds_only_what_it_says(text: str) -> None:
    form = normalise(text)
    assert form == form.strip()
    assert "  " not in form
    for word in form.split(" "):
        assert word == word.strip("'")
        assert all(c == "'" or unicodedata.category(c)[0] in "LMN" for c in word)


@given(st.lists(st.text()))
@example(["\u00c9a", "b\n", "", "\r\n"])
def test_lines_are_normalised_as_one_by_one(lines: list[str]) -> None:
    assert normalise_lines(lines) == [normalise(line) for line in lines]


@given(st.text(alphabet=st.characters(categories=["L", "M", "Nd"])))
def test_folding_twice_changes_nothing(text: str) -> None:
    once = fold_diacritics(normalise(text))
    assert fold_diacritics(once) == once


@pytest.mark.parametrize(
    ("text", "expected"),
    [("josé müller", "jose muller"), ("łódź", "lodz"), ("ærøskøbing", "aeroskobing"), ("a", "a")],
)
def test_folding_examples(text: str, expected: str) -> None:
    assert fold_diacritics(text) == expected

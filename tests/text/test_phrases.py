"""Names in words: against a search of every stretch of letters, and what was found otherwise."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcbias_fst.text.normalise import normalise
from ctcbias_fst.text.phrases import Occurrence, PhraseMatcher
from ctcbias_fst.text.scripts import apart, is_unspaced

LETTERS = ("a", "b", "A", "é", "é", "s", "7", "北", "京", "が", "が", "ก", "ี", "각", "각")
words = st.text(st.sampled_from((*LETTERS, "'", "’", "-", ",", "\u200d")), min_size=1, max_size=5)
texts = st.lists(words, max_size=6)
names = st.lists(words, min_size=1, max_size=3).map(" ".join)


def _form(text: str) -> str:
    # Taken apart, a word may begin or end with an apostrophe, which it loses.
    return " ".join(apart(normalise(apart(normalise(text)))).split())


def _is_letter(character: str) -> bool:
    return unicodedata.category(character)[0] in "LMN"


def _joined(left: str, right: str) -> bool:
    """Whether a word goes on from its one part to the other."""
    left, right = left.rstrip("\u200d"), right.lstrip("\u200d")
    if right[:1] == "\u3099":
        return left[-1:] != "" and is_unspaced(left[-1])
    left, right = left.rstrip("'’\u200d"), right.lstrip("'’\u200d")
    if not left or not right or not (_is_letter(left[-1]) and _is_letter(right[0])):
        return False
    return not is_unspaced(left[-1]) and not is_unspaced(right[0])


def _stretches(text: Sequence[str]) -> list[tuple[int, int, int, int, str]]:
    """Whatever begins and ends with a letter where a name may: words, characters, normal form."""
    found = []
    for first in range(len(text)):
        for begin in range(len(text[first])):
            before, rest = text[first][:begin], text[first][begin:]
            if not _is_letter(rest[0]) or _joined(before, rest):
                continue
            # Within a word only between letters one of which needs no space.
            letters = [c for c in before if _is_letter(c)]
            if letters and not is_unspaced(letters[-1]) and not is_unspaced(rest[0]):
                continue
            for last in range(first, len(text)):
                for end in range(begin + 1 if last == first else 1, len(text[last]) + 1):
                    if _is_letter(text[last][end - 1]) and not _joined(
                        text[last][:end], text[last][end:]
                    ):
                        parts = [*text[first : last + 1]]
                        parts[-1] = parts[-1][:end]
                        parts[0] = parts[0][begin:]
                        # A word without letters parts a name; so does a letter without a sound.
                        if all(any(map(_is_letter, part)) for part in parts):
                            found.append((first, begin, last, end, _form(" ".join(parts))))
    return found


def _distinct(listed: Sequence[str]) -> list[str]:
    """Names whose words all have letters, the first of each form."""
    named = [name for name in listed if all(any(map(_is_letter, w)) for w in name.split())]
    return list({_form(name): name for name in reversed(named)}.values())


def _every(text: Sequence[str], listed: Sequence[str]) -> list[tuple[int, int, int, int, str]]:
    found = []
    for first, begin, last, end, form in _stretches(text):
        stretch = " ".join(text[first : last + 1])[begin:]
        commas = stretch[: len(stretch) - (len(text[last]) - end)].count(",")
        for name in listed:
            if form in (_form(name), _form(name) + "'s"):
                if commas in (0, name.strip(",").count(",")):
                    found.append((first, begin, last, end, _form(name)))
                break
    return sorted(found, key=lambda f: (f[0], f[1], -f[2], -f[3]))


def _extent(text: Sequence[str], one: Occurrence) -> tuple[int, int, int, int, str]:
    end = len(text[one.end - 1]) - len(one.after) + 2 * one.possessive
    return one.start, len(one.before), one.end - 1, end, _form(one.name)


@given(texts, st.lists(names, min_size=1, max_size=4))
def test_every_name(text: list[str], listed: list[str]) -> None:
    listed = _distinct(listed)
    found = [_extent(text, one) for one in PhraseMatcher(listed).every(text)]
    assert found == _every(text, listed)


@given(texts, st.lists(names, min_size=1, max_size=4))
def test_leftmost_and_longest(text: list[str], listed: list[str]) -> None:
    listed = _distinct(listed)
    expected: list[tuple[int, int, int, int, str]] = []
    for one in _every(text, listed):
        if not expected or one[:2] >= expected[-1][2:4]:
            expected.append(one)
    found = PhraseMatcher(listed).occurrences(text)
    assert [_extent(text, one) for one in found] == expected
    without = {one.name for one in found[:1]}
    others = PhraseMatcher(listed).occurrences(text, without=without)
    assert without.isdisjoint(one.name for one in others)


@given(texts, st.lists(names, min_size=1, max_size=4), st.randoms())
def test_any_spelling_of_a_list_finds_the_same(text: list[str], listed: list[str], random) -> None:
    def extents(given: list[str]) -> list[tuple[int, int]]:
        return [(one.start, one.end) for one in PhraseMatcher(given).every(text)]

    other = [unicodedata.normalize(random.choice(["NFC", "NFD"]), name.upper()) for name in listed]
    random.shuffle(other)
    assert extents(other) == extents(listed)


@pytest.mark.parametrize(
    ("text", "name", "before", "after"),
    [
        ("call (Anna), now", "anna", "(", "),"),
        ("ask O’Brien's wife", "O'Brien", "", "'s"),
        ("a coca-cola!", "Coca Cola", "", "!"),
        ("take Metformin-XR", "metformin", "", "-XR"),
        ("我们在北京背景", "北京", "我们在", "背景"),
        ("買iPhone手機吧", "iPhone 手機", "買", "吧"),
        ("AT&T's shops", "at and t", "", "'s"),
        ("use C++, please", "C++", "", ","),
        ("a .NET shop", "dot net", "", ""),
        ("call +49 now", "+49", "", ""),
        ("Smith, John's", "smith, john", "", "'s"),
        ("dogs' home", "Dogs", "", "'"),
        ("ｶﾞ", "ガ", "", ""),
        ("cafe\u0301s", "cafés", "", ""),
    ],
)
def test_extents(text: str, name: str, before: str, after: str) -> None:
    (found,) = PhraseMatcher([name]).occurrences(text.split())
    assert (found.before, found.after, found.name) == (before, after, name)


@pytest.mark.parametrize(
    "text", ["X-ray", "re-anna", "Annabel", "joanna", "ann a", "anna'b", "C", "John, Smith"]
)
def test_what_is_no_name(text: str) -> None:
    assert PhraseMatcher(["Ray", "Anna", "C++", "John Smith"]).occurrences(text.split()) == []


def test_of_two_alike_the_one_that_is_written() -> None:
    for listed in (["Coca-Cola", "coca cola"], ["coca cola", "Coca-Cola"]):
        for written in listed:
            (found,) = PhraseMatcher(listed).occurrences(f"({written}'s".split())
            assert found.name == written
        (found,) = PhraseMatcher(listed).occurrences(["COCA", "COLA"])
        assert found.name == listed[0]


def test_what_has_no_letter_is_found_as_it_is() -> None:
    (found,) = PhraseMatcher(["★ 1", "★"]).occurrences(["a", "★", "1"])
    assert (found.start, found.end, found.name) == (1, 3, "★ 1")
    assert not re.search(r"\w", PhraseMatcher(["★"]).occurrences(["★"])[0].name)


def test_names_do_not_overlap() -> None:
    matcher = PhraseMatcher(["new york", "york city", "city"])
    for words in (["in", "new", "york", "city"], ["in", "New", "York,", "City's"]):
        found = matcher.occurrences(words)
        assert [(one.name, one.start, one.end) for one in found] == [
            ("new york", 1, 3),
            ("city", 3, 4),
        ]

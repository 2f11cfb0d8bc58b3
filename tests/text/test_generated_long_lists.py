"""Generated long lists: what a list costs grows as the list does, whatever its names are like."""

from __future__ import annotations

import random
import string
import time
from collections.abc import Callable

import pytest
from generated import many
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ctcbias_fst.graph.entity_tree import boost_graph
from ctcbias_fst.text.checked_entities import check_entities
from ctcbias_fst.text.entities import entities_from_names
from ctcbias_fst.text.list_lines import LONGEST_NAME
from ctcbias_fst.text.tokens import FewestPiecesTokenizer, SentencePieceTokenizer
from ctcbias_fst.text.vocabulary import Vocabulary

LETTERS = FewestPiecesTokenizer(Vocabulary.from_tokens(["<pad>", "|", *string.ascii_lowercase]))

_SCRIPTS = (
    string.ascii_lowercase, string.ascii_uppercase, "éüßñçåø", "абвгдежз", "αβγδεζ", "אבגדה",
    "ابتثج", "กขคง", "日本語中文", "アイウエ", "한국말", string.digits, "&+#$%.,-'/@!™№½",
)  # fmt: skip
_ENDS = ("", " 15", "-19", " & Co.", " No. 7", "™", " 2.0", "+", " XIV", "'s", " Ltd.", " $5")

Draw = random.Random
Name = Callable[[Draw], str]


def _word(draw: Draw, letters: str = string.ascii_lowercase) -> str:
    return "".join(draw.choices(letters, k=draw.randint(2, 9)))


def _near(draw: Draw) -> str:
    """One of a few names, one letter of it another one."""
    word = list(("imiglucerase", "norfenefrine hydrochloride", "covid 19")[draw.randrange(3)])
    word[draw.randrange(len(word))] = draw.choice(string.ascii_letters)
    return "".join(word)


def _prefixed(draw: Draw) -> str:
    return "society for the protection of " * 4 + _word(draw)


NAMES: dict[str, Name] = {
    "words": lambda draw: " ".join(_word(draw) for _ in range(draw.randint(1, 4))),
    "repeated": lambda draw: f"name {'abcdefgh'[draw.randrange(8)]}",
    "near": _near,
    "prefixed": _prefixed,
    "scripts": lambda draw: " ".join(_word(draw, draw.choice(_SCRIPTS)) for _ in range(3)),
    "mixed": lambda draw: _word(draw, "".join(draw.sample(_SCRIPTS, 3))),
    "said": lambda draw: _word(draw).title() + draw.choice(_ENDS),
    "numbers": lambda draw: " ".join(str(draw.randrange(10**6)) for _ in range(draw.randint(1, 4))),
    "symbols": lambda draw: "".join(draw.choices("ab 19&+#$%.-'/", k=draw.randint(1, 20))),
    "capitals": lambda draw: _word(draw).upper() + draw.choice(_ENDS),
    "long": lambda draw: " ".join(_word(draw) for _ in range(90))[:LONGEST_NAME],
}

lists = st.tuples(
    st.lists(st.sampled_from(sorted(NAMES)), min_size=1, max_size=3), st.integers(0, 2**32 - 1)
)


def made(kinds: list[str], seed: int, count: int) -> list[str]:
    """So many names, or fewer if they are long: twenty letters each, in the mean."""
    draw = random.Random(seed)
    names: list[str] = []
    letters = 20 * count
    while len(names) < count and letters > 0:
        names.append(NAMES[draw.choice(kinds)](draw))
        letters -= len(names[-1])
    return names


def check(names: list[str], tokenizer: SentencePieceTokenizer) -> None:
    """A list is compiled in a time that its letters bound, for two vocabularies."""
    begin = time.process_time()
    for tokens in (tokenizer, LETTERS):
        found = check_entities(entities_from_names(names), tokens)
        assert len(found) == len({entity.name for entity in found})
        assert len(found.report()) < 40
        assert all(len(line) < 2000 and "\n" not in line for line in found.report())
        boost_graph(found, tokens)
    # Some 5 µs a letter on a free core, 100 µs for a name's forms.
    assert time.process_time() - begin < 2 + 60e-6 * sum(map(len, names)) + 1e-3 * len(names)


@settings(max_examples=8, suppress_health_check=list(HealthCheck))
@given(drawn=lists, count=st.integers(0, 500))
def test_some_lists(
    tokenizer: SentencePieceTokenizer, drawn: tuple[list[str], int], count: int
) -> None:
    check(made(*drawn, count), tokenizer)


@many("long lists", 60)
@given(drawn=lists, count=st.one_of(st.integers(0, 3_000), st.integers(10_000, 100_000)))
def test_many_long_lists(
    tokenizer: SentencePieceTokenizer, drawn: tuple[list[str], int], count: int
) -> None:
    check(made(*drawn, count), tokenizer)


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(set(NAMES) - {"repeated", "near"}))
def test_ten_times_as_many_names_take_ten_times_as_long(
    tokenizer: SentencePieceTokenizer, kind: str
) -> None:
    def seconds(count: int) -> float:
        names = made([kind], 1, count)
        begin = time.process_time()
        boost_graph(check_entities(entities_from_names(names), tokenizer), tokenizer)
        return time.process_time() - begin

    seconds(100)
    few = seconds(2_000)
    assert seconds(20_000) < 25 * few + 0.5

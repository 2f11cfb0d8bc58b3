"""Tokens as words, each path by itself and many that share them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import MIXED, VOCABULARIES

from ctcbias_fst.search.hypothesis_words import SharedWords, Token, joined_words
from ctcbias_fst.text.entity import Entity
from ctcbias_fst.text.token_marks import WordBoundary
from ctcbias_fst.text.vocabulary import Vocabulary

LETTERS = Vocabulary.from_tokens(["<blk>", "▁", "▁a", "b", "ก", "▁ก", "'s"])
SYLLABLES = Vocabulary.from_tokens(["<blk>", "a", "ก", "ข", "ค"])
NAMES = [Entity("a b", "A B"), Entity("ก", "ก"), Entity("b", "B")]


@st.composite
def tokens_and_paths(
    draw: st.DrawFn,
) -> tuple[Vocabulary, list[Token], list[list[int]]]:
    """Tokens, some of them names, and paths of their numbers in which no name is unfinished."""
    vocabulary = draw(st.sampled_from([*VOCABULARIES, MIXED, LETTERS, SYLLABLES]))
    probability = st.floats(0, 1)
    tokens = []
    for number in range(draw(st.integers(1, 8))):
        entity = draw(st.none() | st.sampled_from(NAMES))
        tokens.append(
            Token(
                draw(st.integers(1, vocabulary.size - 1)),
                entity,
                entity is not None,
                number,
                number + draw(st.integers(1, 3)),
                draw(probability),
                draw(probability),
                -draw(probability),
            )
        )
    path = st.lists(st.integers(0, len(tokens) - 1), max_size=10)
    return vocabulary, tokens, draw(st.lists(path, min_size=1, max_size=4))


@settings(deadline=None, max_examples=300)
@given(tokens_and_paths())
def test_what_paths_share_is_the_same_words(
    case: tuple[Vocabulary, list[Token], list[list[int]]],
) -> None:
    vocabulary, tokens, paths = case
    shared = SharedWords(tokens, vocabulary, 0.04)
    for path in paths:
        alone = joined_words([tokens[number] for number in path], vocabulary, 0.04)
        assert shared(path) == alone


def test_a_possessive_says_nothing_of_the_name_before_it() -> None:
    vocabulary = Vocabulary(
        ("<blk>", "\u2581keisha", "\u2581smith", "'s"), 0, WordBoundary.PREFIX, None
    )
    entity = Entity("keisha smith", "Keisha Smith")
    tokens = [
        Token(1, None, True, 0, 1, 0.9, 0.0, -0.1),
        Token(2, entity, True, 2, 3, 0.9, 0.0, -0.3),
        Token(3, None, False, 4, 5, 0.9, 0.0, -5.0),
    ]
    first, last = joined_words(tokens, vocabulary, 0.04)
    assert (first.word, last.word) == ("Keisha", "Smith's")
    assert first.log_prob == pytest.approx(-0.2)
    assert last.log_prob == pytest.approx(-5.4 / 3)


def test_what_may_come_before_a_name_makes_it_less_sure() -> None:
    """Something else may begin behind the separator before it."""
    letters = Vocabulary.from_tokens(["<blk>", "|", "a", "b"])
    separator = Token(1, None, False, 0, 1, 1.0, 0.4, 0.0)
    name = Token(2, Entity("a", "A"), True, 1, 2, 0.9, 0.2, 0.0)
    (word,) = joined_words([separator, name], letters, 0.04)
    assert (word.word, word.confidence) == ("A", pytest.approx(0.6))
    (alone,) = joined_words([name], letters, 0.04)
    assert alone.confidence == pytest.approx(0.8)

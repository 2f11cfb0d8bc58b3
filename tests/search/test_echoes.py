"""A token that sounds for several frames is not written beside the name that takes its place."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import batch

from ctcbias_fst.graph.entity_tree import boost_graph
from ctcbias_fst.search.hypotheses import _without_echoes
from ctcbias_fst.search.hypothesis_words import Token
from ctcbias_fst.search.lattice_decoder import LatticeDecoder
from ctcbias_fst.text.checked_entities import check_entities
from ctcbias_fst.text.entities import entities_from_names
from ctcbias_fst.text.entity import Entity
from ctcbias_fst.text.scripts import is_unspaced
from ctcbias_fst.text.tokens import FewestPiecesTokenizer
from ctcbias_fst.text.vocabulary import Vocabulary

SIGNS = Vocabulary.from_tokens(["<blank>", *"我要去北京找王小明铭打电话给张伟玮"])
PIECES = Vocabulary.from_tokens(
    ["<blk>", "\u2581call", "\u2581tom", "\u2581tam", "my", "\u2581now", "\u2581at", "tom", "e"]
)


def _heard(
    vocabulary: Vocabulary, said: list[str], other: dict[int, str], frames: int, gap: float
) -> np.ndarray:
    """Each token for some frames, in all of which another one is a gap behind, and a blank."""
    rows = []
    for at, token in enumerate(said):
        row = np.full(vocabulary.size, -9.0)
        row[vocabulary.index[token]] = 0.0
        if at in other:
            row[vocabulary.index[other[at]]] = -gap
        blank = np.full(vocabulary.size, -9.0)
        blank[0] = 0.0
        rows += [row] * frames + [blank]
    scores = np.array(rows)
    return (scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))).astype(np.float32)


def _text(vocabulary: Vocabulary, name: str, array: np.ndarray) -> str:
    tokenizer = FewestPiecesTokenizer(vocabulary)
    names = check_entities(entities_from_names([name]), tokenizer)
    graph = boost_graph(names, tokenizer)
    return LatticeDecoder(vocabulary).decode(batch([array], vocabulary), graph)[0].best.text


LETTERS = Vocabulary.from_tokens(["<blk>", "|", *"abcdefghijklmnopqrstuvwxyz"])

SAID = [
    (SIGNS, "我要找王小铭打电话", {5: "明"}, "王小明"),  # the last sign
    (SIGNS, "给张伟打电话", {1: "王"}, "王伟"),  # the first one
    (SIGNS, "给张伟打电话", {1: "王", 2: "玮"}, "王玮"),  # both
    (PIECES, "\u2581call \u2581tom my \u2581now", {1: "\u2581tam"}, "Tammy"),
    (PIECES, "\u2581call \u2581tom \u2581now", {1: "\u2581tam"}, "Tam"),
    (PIECES, "\u2581call \u2581tom my \u2581now", {1: "\u2581tam"}, "Tam"),
    (PIECES, "\u2581call \u2581at tom my \u2581now", {2: "\u2581tam"}, "Tammy"),
    (PIECES, "\u2581call \u2581tom my \u2581now", {1: "\u2581tam"}, "Call Tam"),
    (PIECES, "\u2581tom \u2581now e", {0: "\u2581tam", 1: "\u2581at"}, "Tam At"),
    (LETTERS, "t o l d | j o n | w a s", {5: "z"}, "Zon"),
    (LETTERS, "t o l d | j o n | w a s", {7: "m"}, "Jom"),
]


@pytest.mark.parametrize("case", SAID)
@given(frames=st.integers(1, 4), gap=st.floats(0.05, 6.0))
def test_nothing_is_written_twice(
    case: tuple[Vocabulary, str, dict[int, str], str], frames: int, gap: float
) -> None:
    vocabulary, said, other, name = case
    tokens = said.split() if " " in said else list(said)
    array = _heard(vocabulary, tokens, other, frames, gap)
    plain = vocabulary.ids_to_words([vocabulary.index[token] for token in tokens])
    changed = [other.get(at, token) for at, token in enumerate(tokens)]
    named = vocabulary.ids_to_words([vocabulary.index[token] for token in changed])
    text = _text(vocabulary, name, array).lower()
    assert text in {" ".join(plain), " ".join(named), _joined(plain), _joined(named)}


def _joined(words: list[str]) -> str:
    """Signs of a script without spaces, as they are written."""
    return "".join(words) if is_unspaced(words[0]) else " ".join(words)


def test_the_name_is_written_where_the_token_is_a_word() -> None:
    for frames in (1, 2, 3):
        array = _heard(SIGNS, list("我要找王小铭打电话"), {5: "明"}, frames, 1.0)
        assert _text(SIGNS, "王小明", array) == "我要找王小明打电话"
        array = _heard(PIECES, ["\u2581call", "\u2581tom", "my"], {1: "\u2581tam"}, frames, 0.3)
        assert _text(PIECES, "Tammy", array) == "call Tammy"


def test_a_name_is_not_written_for_the_beginning_of_a_word() -> None:
    """Behind the name the path has the token that was said, and what continues it."""
    tom, tam, my = (PIECES.index[text] for text in ("\u2581tom", "\u2581tam", "my"))
    name = Token(tam, Entity("tam", "Tam"), True, 0, 1, 1.0, 0.0, -1.0, run=1)
    said = Token(tom, None, False, 1, 2, 1.0, 0.0, -0.1, run=1, is_best=True)
    after = Token(my, None, False, 2, 3, 1.0, 0.0, -0.1, run=2, is_best=True)
    best: Any = SimpleNamespace(tokens=lambda *span: [said._replace(start=0)] * (span == (0, 1, 1)))
    assert _without_echoes([name, said, after], best, 0, PIECES) == [said._replace(start=0), after]
    ends = after._replace(token=PIECES.index["\u2581now"])
    assert _without_echoes([name, said, ends], best, 0, PIECES) == [name, ends]


def test_what_is_said_twice_is_written_twice() -> None:
    """With a blank between them, or another best token, they are two."""
    array = _heard(PIECES, ["\u2581tom", "\u2581tam", "my"], {0: "\u2581tam"}, 3, 2.0)
    assert _text(PIECES, "Tammy", array) == "tom Tammy"


def test_a_separator_is_no_echo() -> None:
    """A name's letter may be heard where the separator is; the words stay apart."""
    for frames in (2, 3, 4):
        for gap in (0.05, 0.5):
            array = _heard(LETTERS, list("told|jon|was"), {4: "z"}, frames, gap)
            assert _text(LETTERS, "Zjon", array) in {"told jon was", "told Zjon was"}


def test_tokens_that_are_nowhere_likely() -> None:
    """They have no column in the search."""
    array = _heard(SIGNS, list("伟玮打王小玮打"), {5: "明"}, 2, 1.0)
    tokenizer = FewestPiecesTokenizer(SIGNS)
    names = check_entities(entities_from_names(["伟玮", "王小明"]), tokenizer)
    graph = boost_graph(names, tokenizer)
    found = LatticeDecoder(SIGNS).decode(batch([array], SIGNS), graph)[0].best
    assert found.text == "伟玮打王小明打"

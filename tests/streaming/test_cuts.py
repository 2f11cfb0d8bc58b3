"""Where what is open may be cut."""

from __future__ import annotations

import pytest
import torch

from ctcbias_fst.records import Mention, Word
from ctcbias_fst.search.settled import PathToken
from ctcbias_fst.streaming.cuts import Gap, WordBreaks, agreed_cut, surest_blank, widest, word_gaps
from ctcbias_fst.text.entity import Entity
from ctcbias_fst.text.vocabulary import Vocabulary

PREFIX = ["<blk>", "▁new", "▁york", "er", "▁the", "'s", ",", "你", "好"]
SEPARATED = ["<blk>", "|", "a", "b", "'", "s"]
NONE = ["<blk>", "你", "好", "们", "ab", "c"]


def path(vocabulary: Vocabulary, text: str) -> list[PathToken]:
    """Tokens of two frames each, with one between; ``*`` marks those of a name, ``.`` its last."""
    found = []
    for at, item in enumerate(text.split()):
        token = vocabulary.index[item.rstrip("*.")]
        begin = 3 * at
        found.append(PathToken(token, begin, begin + 2, item[-1] in "*.", item[-1] == "."))
    return found


@pytest.mark.parametrize(
    ("tokens", "boundary", "text", "expected"),
    [
        (PREFIX, None, "▁new ▁york er ▁the", [0, 2]),
        (PREFIX, None, "▁new* ▁york. er ▁the", [2]),
        (PREFIX, None, "▁the ▁new* ▁york. 's ▁the", [0, 3]),
        (PREFIX, None, "▁the , ▁new ▁york* er.", [1, 2]),
        (PREFIX, None, "▁the 你 好 ▁new", [0, 1, 2]),
        (SEPARATED, None, "a b | a | | b", [2, 5]),
        (SEPARATED, None, "a* |* b. | a", [3]),
        (SEPARATED, None, "a b", []),
        (NONE, "none", "你 好 ab c 你", [0, 1, 3]),
        (["<blk>", "a", "b"], "none", "a b a", [0, 1]),
    ],
)
def test_gaps_are_between_words(
    tokens: list[str], boundary: str | None, text: str, expected: list[int]
) -> None:
    vocabulary = Vocabulary.from_tokens(tokens, boundary=boundary)
    gaps = WordBreaks(vocabulary).gaps(path(vocabulary, text))
    assert gaps == tuple(Gap(3 * at + 2, 3 * at + 3) for at in expected)


def word(text: str, start: float, end: float, *mentions: Mention) -> Word:
    return Word(text, start, end, 1.0, bool(mentions), mentions=mentions)


def test_the_words_of_a_name_are_one() -> None:
    one, other = (Mention(Entity(name, name), "boost") for name in ("x y", "z"))
    words = [
        word("a", 0.0, 0.2),
        word("X", 0.4, 0.6, one),
        word("Y", 0.8, 1.0, one),
        word("Z", 1.0, 1.2, other),
    ]
    assert word_gaps(words, 0.04) == [Gap(5, 10), Gap(25, 25)]


def test_cuts_are_where_both_passes_have_a_gap() -> None:
    settled = [Gap(4, 7), Gap(12, 14), Gap(20, 20)]
    assert agreed_cut(settled, [Gap(3, 5), Gap(13, 16), Gap(22, 25)]) == 15
    assert agreed_cut(settled, [Gap(20, 22)]) == 21
    assert agreed_cut(settled, [Gap(8, 11)]) is None
    assert agreed_cut([], [Gap(1, 2)]) is None


def test_what_is_too_long_is_cut_where_words_are_furthest_apart() -> None:
    gaps = [Gap(10, 30), Gap(55, 60), Gap(70, 75), Gap(80, 81)]
    assert widest(gaps, 0, 100) == 73  # of the second half, of equal ones the last
    assert widest(gaps[:1], 0, 100) == 20
    assert widest([], 0, 100) is None
    assert widest([Gap(0, 0), Gap(100, 100)], 0, 100) is None
    assert surest_blank(torch.tensor([0.0, -3.0, -2.0, -0.5, -1.0])) == 3
    assert surest_blank(torch.tensor([-1.0])) == 1

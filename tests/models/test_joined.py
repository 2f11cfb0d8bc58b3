"""Pieces of a recording as a whole: nothing that was read in one is lost, no words run together."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ctcbias_fst.models.joined import Part, joined
from ctcbias_fst.text.token_marks import WordBoundary
from ctcbias_fst.text.vocabulary import Vocabulary

LETTERS = Vocabulary(("<blk>", "|", "a", "b"), 0, WordBoundary.SEPARATOR, None)
WORDS = Vocabulary(("\u2581a", "b", "<blk>", "\u2581b"), 2, WordBoundary.PREFIX, None)


def scores(tokens: list[int], size: int, sure: float = 0.98) -> torch.Tensor:
    """Log-probs in which these are by far the likeliest."""
    rows = torch.full((len(tokens), size), (1 - sure) / (size - 1))
    rows[range(len(tokens)), tokens] = sure
    return rows.log()


def read(rows: torch.Tensor, vocabulary: Vocabulary) -> str:
    """The greedy reading, words parted by one space."""
    best = [token for token, _ in itertools.groupby(rows.argmax(-1).tolist())]
    return " ".join(vocabulary.ids_to_words([t for t in best if t != vocabulary.blank_id]))


@st.composite
def cut(draw: st.DrawFn) -> tuple[list[tuple[int, list[int]]], int, str]:
    """Parts of a recording as a model reads them, each a word of letters within silence, where
    neighbours share some of it: both hear nothing there, but that the first may write its last
    letters late."""
    parts: list[tuple[int, list[int]]] = []
    said = []
    begin, shared = draw(st.integers(0, 5)), 0
    for _ in range(draw(st.integers(1, 6))):
        late = draw(st.integers(0, shared)) if parts else 0
        word = draw(st.lists(st.sampled_from([2, 3]), min_size=1, max_size=4))
        letters = [token for letter in word for token in (letter, 0)]
        if parts:  # of what both have, the end is the first's to write in
            parts[-1] = (parts[-1][0], _late(parts[-1][1], late))
        lead, behind = draw(st.integers(0, 6)), draw(st.integers(0, 8))
        parts.append((begin, [*[0] * (shared + lead), *letters, *[0] * behind]))
        said.append("".join("ab"[letter - 2] for letter in word))
        shared = draw(st.integers(0, behind))
        end = begin + len(parts[-1][1])
        begin = end - shared if shared else end + draw(st.integers(0, 30))
    return parts, parts[-1][0] + len(parts[-1][1]) + draw(st.integers(0, 9)), " ".join(said)


def _late(tokens: list[int], frames: int) -> list[int]:
    """The same with the last letter so many frames later, as far as there are frames."""
    last = max(i for i, token in enumerate(tokens) if token)
    to = min(len(tokens) - 1, last + frames)
    moved = list(tokens)
    moved[last], moved[to] = 0, tokens[last]
    return moved


@given(cut())
def test_all_that_was_read_is_there_and_words_are_apart(
    drawn: tuple[list[tuple[int, list[int]]], int, str],
) -> None:
    parts, frames, expected = drawn
    (whole,) = joined([Part(begin, [scores(row, 4)]) for begin, row in parts], frames, LETTERS)
    assert whole.shape == (frames, 4)
    torch.testing.assert_close(whole.exp().sum(-1), torch.ones(frames))
    assert read(whole, LETTERS) == expected
    # A word is where its part has it.
    for begin, row in parts:
        places = [begin + i for i, token in enumerate(row) if token]
        assert [int(whole[at].argmax()) for at in places] == [token for token in row if token]


def test_words_that_begin_with_a_mark_need_no_separator() -> None:
    parts = [Part(2, [scores([2, 0, 1, 2, 2], 4)]), Part(6, [scores([2, 2, 3, 2], 4)])]
    (whole,) = joined(parts, 12, WORDS)
    assert whole.argmax(-1).tolist() == [2, 2, 2, 0, 1, 2, 2, 2, 3, 2, 2, 2]
    assert read(whole, WORDS) == "ab b"


def test_a_separator_that_was_read_is_not_said_twice() -> None:
    for row in ([0, 2, 0, 1, 0, 0], [0, 2, 0, 0, 0, 0]):
        (whole,) = joined([Part(0, [scores(row, 4)]), Part(6, [scores([0, 0, 3], 4)])], 9, LETTERS)
        assert whole.argmax(-1).tolist().count(1) == 1
    both = [Part(0, [scores([2, 0, 0, 0], 4)]), Part(3, [scores([0, 1, 0, 3], 4)])]
    assert joined(both, 7, LETTERS)[0].argmax(-1).tolist() == [2, 0, 0, 0, 1, 0, 3]


def test_nothing_is_parted_where_nothing_is_said() -> None:
    silent = [
        Part(0, [scores([0, 0], 4)]),
        Part(2, [scores([0, 3, 0], 4)]),
        Part(9, [scores([0], 4)]),
    ]
    assert joined(silent, 10, LETTERS)[0].argmax(-1).tolist() == [0, 0, 0, 3, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("middle", [[0, 0, 0], [0, 0]])
def test_words_around_a_piece_of_noise_are_apart(middle: list[int]) -> None:
    parts = [Part(0, [scores([2, 0], 4)]), Part(4, [scores(middle, 4)]), Part(9, [scores([3], 4)])]
    assert read(joined(parts, 10, LETTERS)[0], LETTERS) == "a b"


def test_kinds_of_scores_are_joined_at_the_same_frames() -> None:
    """A word that only the adapter hears is lost in neither."""
    biased = [scores([2, 0, 0, 3, 0, 0], 4), scores([0, 0, 0, 2], 4)]
    plain = [scores([2, 0, 0, 0, 0, 0], 4), scores([0, 0, 0, 2], 4)]
    parts = [Part(0, [biased[0], plain[0]]), Part(2, [biased[1], plain[1]])]
    first, second = joined(parts, 6, LETTERS)
    assert first.argmax(-1).tolist() == [2, 0, 0, 3, 1, 2]
    assert second.argmax(-1).tolist() == [2, 0, 0, 0, 1, 2]

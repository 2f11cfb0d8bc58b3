"""Pauses of log-probs, and the pieces that long audio is encoded in."""

from __future__ import annotations

import itertools
from random import Random
from time import process_time
from typing import Any
from unittest.mock import patch

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ctcbias_fst import Decoder
from ctcbias_fst.errors import ConfigError
from ctcbias_fst.models import pieces
from ctcbias_fst.models.pieces import CONTEXT_SECONDS, Piece, overlapping_pieces, pieces_of
from ctcbias_fst.pauses import Pause, find_pauses
from ctcbias_fst.text.token_marks import WordBoundary
from ctcbias_fst.text.vocabulary import Vocabulary

WORDS = Vocabulary(("<blk>", "\u2581a", "b", "<unk>"), 0, WordBoundary.PREFIX, 3)
LETTERS = Vocabulary(("a", "|", "b", "<blk>"), 3, WordBoundary.SEPARATOR, None)
SIGNS = Vocabulary(("<blk>", "\u6771", "\u4eac"), 0, WordBoundary.PREFIX, None)


def rows(tokens: list[int], size: int) -> torch.Tensor:
    return torch.eye(size)[tokens] if tokens else torch.zeros(0, size)


@pytest.mark.parametrize(
    ("vocabulary", "tokens", "expected"),
    [
        (WORDS, [], []),
        (WORDS, [0, 0], [(0, 2)]),
        (WORDS, [0, 1, 0, 2, 0, 0, 1, 0], [(0, 1), (4, 6), (7, 8)]),
        (WORDS, [1, 1, 0, 1, 2, 1], [(2, 3), (5, 5)]),
        (LETTERS, [0, 3, 2, 1, 1, 3, 0, 3, 0], [(3, 6)]),
        (LETTERS, [1, 3, 0, 3, 1, 2, 1], [(0, 2), (3, 5), (6, 7)]),
        (SIGNS, [1, 0, 2, 2, 0, 0, 2], [(1, 2), (4, 6)]),
    ],
)
def test_pauses(vocabulary: Vocabulary, tokens: list[int], expected: list[tuple[int, int]]) -> None:
    found = find_pauses(rows(tokens, vocabulary.size), vocabulary)
    assert [(pause.begin, pause.end) for pause in found] == expected


def test_where_a_phone_is_heard_is_no_pause() -> None:
    tokens, phones = [1, 0, 0, 0, 0, 0, 1], [1, 0, 1, 0, 0, 0, 1]
    (pause,) = find_pauses(rows(tokens, 4), WORDS, rows(phones, 2))
    assert (pause.begin, pause.end) == (3, 6)
    (pause,) = find_pauses(rows(tokens, 4), WORDS, rows([1] * 7, 2))
    assert pause.length == 0
    assert 1 <= pause.begin <= 6


def test_pieces_have_some_of_the_pauses_around_them() -> None:
    pauses = [Pause(0, 50), Pause(100, 105), Pause(140, 240), Pause(290, 306), Pause(350, 400)]
    pieces = pieces_of(pauses, 400, 0.04, 6.0)
    assert pieces == [Piece(38, 152), Piece(228, 298), Piece(298, 362)]
    assert pieces_of([Pause(0, 400)], 400, 0.04, 6.0) == []
    assert pieces_of([], 0, 0.04, 6.0) == []
    assert pieces_of([Pause(60, 63)], 130, 0.04, 6.0) == [Piece(0, 130)]


def test_without_long_pauses_the_longest_is_taken_and_at_last_any_end_of_a_word() -> None:
    assert pieces_of([Pause(80, 85), Pause(120, 128)], 200, 0.04, 6.0) == [
        Piece(0, 124),
        Piece(124, 200),
    ]
    # Of 8 s with hardly a pause is made one piece, of 16 s two.
    assert pieces_of([Pause(100, 101)], 200, 0.04, 6.0) == [Piece(0, 200)]
    assert pieces_of([Pause(200, 201)], 400, 0.04, 6.0) == [Piece(0, 200), Piece(200, 400)]
    # No word is cut, however long.
    assert pieces_of([], 1000, 0.04, 6.0) == [Piece(0, 1000)]


def test_what_sounds_is_in_one_piece_and_no_cut_in_a_word() -> None:
    random = Random(3)
    for _ in range(300):
        tokens: list[int] = []
        for _ in range(random.randrange(0, 60)):
            tokens += [1, *random.choices([0, 2], k=random.randrange(12))]
            tokens += [0] * random.choice([0, 0, 0, 2, 5, 15, 40])
        pauses = find_pauses(rows(tokens, 4), WORDS)
        covered: list[int] = []
        for piece in pieces_of(pauses, len(tokens), 0.04, 6.0):
            assert 0 <= piece.begin < piece.end <= len(tokens)
            covered += range(piece.begin, piece.end)
            first = next(token for token in tokens[piece.begin :] if token)
            assert first == 1
        assert len(set(covered)) == len(covered)
        assert {at for at, token in enumerate(tokens) if token} <= set(covered)


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 20)), max_size=40), st.booleans())
def test_pieces_are_those_of_a_search_through_all_pauses(
    spoken: list[tuple[int, int]], silent_end: bool
) -> None:
    pauses: list[Pause] = []
    for said, silent in spoken:
        start = said + (pauses[-1].end if pauses else -1)
        pauses.append(Pause(start, start + silent))
    frames = (pauses[-1].end if pauses else 0) + (0 if silent_end else 30)
    with (
        patch.object(pieces, "bisect_left", lambda *_, **__: 0),
        patch.object(pieces, "bisect_right", lambda found, *_, **__: len(found)),
    ):
        expected = pieces_of(pauses, frames, 0.04, 6.0)
    assert pieces_of(pauses, frames, 0.04, 6.0) == expected


def test_eight_hours_are_pieces_soon() -> None:
    """Every long pause once looked at all pauses."""
    pauses = [Pause(at, at + (0, 2, 1, 16)[at // 24 % 4]) for at in range(10, 30_000 * 24, 24)]
    started = process_time()
    assert len(pieces_of(pauses, 30_000 * 24, 0.04, 6.0)) == 7501
    assert process_time() - started < 5.0


@given(
    st.lists(st.tuples(st.integers(1, 900), st.integers(24, 300)), max_size=30),
    st.booleans(),
    st.booleans(),
    st.floats(2.0, 30.0),
)
def test_what_is_no_pause_is_in_an_overlapping_piece(
    spoken: list[tuple[int, int]], silent_begin: bool, silent_end: bool, longest: float
) -> None:
    """And pieces share pauses only, are in order, and longer than asked for only without pauses."""
    pauses: list[Pause] = []
    for said, silent in spoken:
        start = (pauses[-1].end if pauses else 0) + (0 if silent_begin and not pauses else said)
        pauses.append(Pause(start, start + silent))
    frames = (pauses[-1].end if pauses else 0) + (0 if silent_end else 30)
    found = overlapping_pieces(pauses, frames, 0.01, longest)
    if not frames or pauses == [Pause(0, frames)]:
        assert found == []
        return
    quiet = {at for pause in pauses for at in range(pause.begin, pause.end)}
    times = [0] * frames
    for piece in found:
        assert 0 <= piece.begin < piece.end <= frames
        for at in range(piece.begin, piece.end):
            times[at] += 1
        if (piece.end - piece.begin) / 100 > longest + CONTEXT_SECONDS + 0.01:
            # Only what a cut would make shorter than a second stays together.
            cuts = [p for p in pauses if piece.begin + 20 < p.begin and p.end < piece.end - 48]
            assert all(p.begin - piece.begin < 120 or piece.end - p.end < 148 for p in cuts)
    assert all(count == 1 for at, count in enumerate(times) if at not in quiet)
    assert all(count <= 2 for count in times)
    for one, other in itertools.pairwise(found):
        assert one.begin < other.begin and one.end < other.end
    for one, other in zip(found, found[1:]):
        between = next(p for p in pauses if p.begin < one.end <= p.end)
        assert one.end == min(between.end, between.begin + 48)
        assert other.begin == max(between.begin, between.end - 20)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf"), "6", True])
def test_a_longest_piece_that_cannot_be_is_told(value: Any) -> None:
    with pytest.raises(ConfigError, match=r"pieces.*longest_seconds must be .*found"):
        Decoder.from_tokens(["<blk>", "|", "a"], settings={"pieces.longest_seconds": value})

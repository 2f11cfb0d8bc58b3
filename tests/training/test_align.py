"""Forced alignment against all paths of small cases."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ctcbias_fst.training.align import BLANK_FRAME, forced_alignment


def brute_force(log_probs: torch.Tensor, targets: list[int]) -> float:
    """Best score over all frame labellings that reduce to the targets."""
    best = -float("inf")
    for path in itertools.product(range(log_probs.shape[1]), repeat=len(log_probs)):
        merged = [label for label, _ in itertools.groupby(path) if label]
        if merged == targets:
            best = max(best, sum(float(log_probs[t, label]) for t, label in enumerate(path)))
    return best


@given(
    st.integers(0, 2**31),
    st.lists(
        st.tuples(st.integers(0, 5), st.lists(st.integers(1, 2), max_size=4)),
        min_size=1,
        max_size=4,
    ),
)
def test_score_equals_brute_force(seed: int, cases: list[tuple[int, list[int]]]) -> None:
    torch.manual_seed(seed)
    frames = max(length for length, _ in cases)
    log_probs = torch.randn(len(cases), frames, 3).log_softmax(-1)
    lengths = torch.tensor([length for length, _ in cases])
    flat = torch.tensor([label for _, targets in cases for label in targets], dtype=torch.int64)
    counts = torch.tensor([len(targets) for _, targets in cases])
    positions, scores = forced_alignment(log_probs, lengths, flat, counts)
    for row, (length, targets) in enumerate(cases):
        expected = brute_force(log_probs[row, :length], targets)
        assert scores[row].item() == pytest.approx(expected, abs=1e-5)
        assert (positions[row, length:] == BLANK_FRAME).all()
        if expected == -float("inf"):
            assert (positions[row] == BLANK_FRAME).all()
            continue
        # the positions are a path of that score
        labels = [0 if p < 0 else targets[p] for p in positions[row, :length].tolist()]
        assert sum(
            float(log_probs[row, t, label]) for t, label in enumerate(labels)
        ) == pytest.approx(expected, abs=1e-5)
        visited = [p for p, _ in itertools.groupby(positions[row, :length].tolist()) if p >= 0]
        assert visited == list(range(len(targets)))


def test_equal_neighbours_need_a_blank() -> None:
    log_probs = torch.full((1, 3, 2), 0.5).log()
    positions, _ = forced_alignment(
        log_probs, torch.tensor([3]), torch.tensor([1, 1]), torch.tensor([2])
    )
    assert positions.tolist() == [[0, BLANK_FRAME, 1]]

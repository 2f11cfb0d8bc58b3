"""Log-probs that look like speech: peaks with blanks between, pauses, runners-up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ctcbias_fst.decoder import Decoder

TOKENS = ["<blk>", *(f"▁{letter}" for letter in "abcdefs"), *"abcdefrs", "'s"]
"""Pieces of words; the blank is first."""

WORDS = ["abba", "cab", "fade", "decade", "bead", "face", "scarf", "a", "be", "dab", "ef", "bards"]
NAMES = ["Cabba Fade", "Decaf", "Bea"]
FRAME_SECONDS = 0.04


def pieces(word: str) -> list[int]:
    """The columns of a word."""
    return [TOKENS.index(f"▁{word[0]}"), *(TOKENS.index(letter) for letter in word[1:])]


def speech(
    random: np.random.Generator, words: int = 12, *, pause: float = 0.2, noise: float = 0.15
) -> np.ndarray:
    """Log-probs (T, V) of some words.

    Args:
        random: draws them.
        words: how many.
        pause: how often a pause comes after one.
        noise: of frames, how many are hardly surer of a token than of another one.
    """
    labels: list[int] = [0] * int(random.integers(0, 20))
    for _ in range(words):
        said = random.choice([*WORDS, *(name.lower() for name in NAMES)])
        for word in str(said).split():
            for token in pieces(word):
                labels += [token] * int(random.integers(1, 3)) + [0] * int(random.integers(0, 4))
        labels += [0] * int(random.integers(1, 3))
        if random.random() < pause:
            labels += [0] * int(random.integers(8, 50))
    return frames(random, labels, noise)


def frames(random: np.random.Generator, labels: Sequence[int], noise: float) -> np.ndarray:
    """Log-probs that are best at some labels."""
    rows = np.full((len(labels), len(TOKENS)), 1e-5)
    for row, label in zip(rows, labels):
        row[label] += 1.0
        if random.random() < noise:
            other = int(random.integers(0, len(TOKENS)))
            row[other] += float(random.choice([0.3, 0.9, 1.2]))
    return np.log(rows / rows.sum(axis=1, keepdims=True)).astype(np.float32)


def silence(seconds: float) -> np.ndarray:
    """Log-probs of nothing."""
    return frames(np.random.default_rng(0), [0] * round(seconds / FRAME_SECONDS), 0.0)


def say(text: str, seed: int = 0) -> np.ndarray:
    """Log-probs of some words, clearly."""
    labels: list[int] = []
    for word in text.lower().split():
        for token in pieces(word):
            labels += [token, 0]
        labels += [0]
    return frames(np.random.default_rng(seed), labels, 0.0)


def decoder(**settings: Any) -> Decoder:
    """One of these tokens."""
    return Decoder.from_tokens(TOKENS, frame_seconds=FRAME_SECONDS, settings=settings)

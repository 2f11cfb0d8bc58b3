"""Log-probs as a CTC model with trouble over names would make them, without a model.

Every token of a sentence gets a spike of one to three frames, blanks around it, and a
tail of improbable tokens that differs from frame to frame. Where an entity is spoken, its
subwords (the first one less often) are beaten by a wrong one, or by blank, by one to five
nats, and now and then a wrong subword is put beside them. Other tokens suffer the same
rarely and mildly, so that a greedy reading has a realistic error rate outside names too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ctcbias_fst.records import LogProbs
from ctcbias_fst.text.tokens import Tokenizer

__all__ = ["Noise", "Utterance", "simulate"]


@dataclass(frozen=True)
class Utterance:
    """What is spoken: normalised text, and the entities in it."""

    id: str
    text: str
    entities: tuple[str, ...] = ()


@dataclass(frozen=True)
class Noise:
    """How often and how badly the model errs. Probabilities per token, nats elsewhere."""

    first_subword: float = 0.25
    later_subwords: float = 0.8
    other_tokens: float = 0.04
    beaten_by: tuple[float, float] = (1.0, 5.0)
    other_beaten_by: tuple[float, float] = (0.2, 2.0)
    by_blank: float = 0.1
    insertion: float = 0.05
    tail: float = -12.0
    silent_tail: float = -15.0
    frame_seconds: float = 0.04


def simulate(
    utterances: Sequence[Utterance],
    tokenizer: Tokenizer,
    noise: Noise = Noise(),
    seed: int = 0,
) -> LogProbs:
    """Make log-probs of sentences: the same seed, the same numbers.

    Each utterance has its own random stream, so its log-probs do not depend on the others.
    """
    frames = [
        _utterance(utterance, tokenizer, noise, np.random.default_rng([seed, i]))
        for i, utterance in enumerate(utterances)
    ]
    lengths = torch.tensor([len(f) for f in frames], dtype=torch.int64)
    vocabulary = tokenizer.vocabulary
    log_probs = torch.full((len(frames), int(lengths.max()), vocabulary.size), -100.0)
    log_probs[:, :, vocabulary.blank_id] = 0.0
    for row, logits in enumerate(frames):
        log_probs[row, : len(logits)] = torch.from_numpy(logits).log_softmax(-1)
    return LogProbs(
        log_probs=log_probs,
        lengths=lengths,
        frame_seconds=noise.frame_seconds,
        ids=tuple(u.id for u in utterances),
        vocabulary=vocabulary,
    )


def _utterance(
    utterance: Utterance, tokenizer: Tokenizer, noise: Noise, random: np.random.Generator
) -> np.ndarray:
    vocabulary = tokenizer.vocabulary
    blank, size = vocabulary.blank_id, vocabulary.size
    rows: list[np.ndarray] = []

    def frame(best: int) -> np.ndarray:
        tail = noise.silent_tail if best == blank else noise.tail
        row = np.minimum(tail + random.gumbel(size=size), -5.0)
        row[blank] = -random.uniform(2.0, 8.0)
        row[best] = 0.0
        rows.append(row.astype(np.float32))
        return rows[-1]

    for _ in range(random.integers(3, 8)):
        frame(blank)
    for token, kind in _labelled(utterance, tokenizer):
        rate = (noise.other_tokens, noise.first_subword, noise.later_subwords)[kind]
        low, high = noise.beaten_by if kind else noise.other_beaten_by
        rival = token
        margin = 0.0
        if random.random() < rate:
            margin = random.uniform(low, high)
            same = vocabulary.starts_word == vocabulary.starts_word[token]
            rivals = np.flatnonzero(same & ~vocabulary.special)
            rival = blank if random.random() < noise.by_blank else int(random.choice(rivals))
        for _ in range(1 + (random.random() < 0.25) + (random.random() < 0.08)):
            row = frame(rival)
            row[token] = -margin if rival != token else 0.0
        gap = 1 + random.poisson(0.5 * max(len(vocabulary.surfaces[token]), 1))
        for position in range(gap):
            row = frame(blank)
            if position == 0:
                row[token] = -random.uniform(3.0, 9.0)
            if kind and random.random() < noise.insertion:
                row[int(random.integers(1, size))] = random.uniform(-1.0, 1.0)
    for _ in range(random.integers(3, 8)):
        frame(blank)
    return np.stack(rows)


def _labelled(utterance: Utterance, tokenizer: Tokenizer) -> list[tuple[int, int]]:
    """Each token with 0 for an ordinary one, 1 for an entity's first, 2 for its later ones."""
    words = utterance.text.split()
    inside = [0] * len(words)
    for entity in utterance.entities:
        parts = entity.split()
        for start in range(len(words) - len(parts) + 1):
            if words[start : start + len(parts)] == parts:
                inside[start : start + len(parts)] = [1] + [2] * (len(parts) - 1)
    labelled: list[tuple[int, int]] = []
    for position, word in enumerate(words):
        separator = tokenizer.vocabulary.separator_id
        if separator is not None and position:
            labelled.append((separator, 0))
        kind = inside[position]
        for token in tokenizer.encode(word):
            labelled.append((token, kind))
            kind = 2 if kind else 0
    return labelled

"""What the fast code computes, spelled out: exponential, slow, and written from the definitions.

Nothing here knows of graphs. Frame labels are enumerated, collapsed, and read in every way
the rules allow; each reading is scored frame by frame.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ctcbias_fst.search.decode_config import DecodeConfig
from ctcbias_fst.text.scripts import is_unspaced
from ctcbias_fst.text.token_marks import WordBoundary
from ctcbias_fst.text.vocabulary import Vocabulary

PLAIN, FIRST, LATER = "plain", "first", "later"


@dataclass(frozen=True)
class Path:
    """A segmentation of an entity."""

    tokens: tuple[int, ...]
    entity: int
    cost: float = 0.0
    weight: float = 1.0


@dataclass(frozen=True)
class Reading:
    """One way to read one sequence of frame labels.

    ``output`` has an int for a plain token and ("entity", e) for an entity.
    """

    labels: tuple[int, ...]
    output: tuple[object, ...]
    score: float

    def text(self, vocabulary: Vocabulary) -> str:
        """The words; entity e is written ``e<e>``."""
        separator = vocabulary.separator_id
        text = ""
        for item in self.output:
            if isinstance(item, tuple):
                text += (" " if separator is None else "") + f"e{item[1]}"
            elif item == separator:
                text += " "
            else:
                starts = bool(vocabulary.starts_word[item])
                text += (" " if starts else "") + vocabulary.surfaces[item]
        return " ".join(text.split())


def collapse(labels: Sequence[int]) -> tuple[int, ...]:
    """Graves et al. 2006: merge runs, drop blanks (0)."""
    return tuple(label for label, _ in itertools.groupby(labels) if label != 0)


def emissions(labels: Sequence[int]) -> list[int]:
    """The frames at which tokens begin."""
    runs = zip([0, *labels], labels)
    return [frame for frame, (before, label) in enumerate(runs) if label not in (0, before)]


def parses(
    tokens: Sequence[int], paths: Sequence[Path], vocabulary: Vocabulary
) -> Iterator[list[tuple[str, Path | None]]]:
    """Every way to read tokens as plain ones and entities: per token its kind and its path."""
    separator = vocabulary.separator_id
    spellings = possessives(vocabulary)

    def ends(position: int) -> bool:
        return position == len(tokens) or bool(
            vocabulary.ends_word[tokens[position]] or parts(position)
        )

    def parts(position: int) -> bool:
        token = tokens[position]
        silent = vocabulary.tokens[token] == "<s>"
        return silent or (separator is not None and is_unspaced(vocabulary.surfaces[token]))

    def after_entity(position: int) -> Iterator[list[tuple[str, Path | None]]]:
        """An entity is complete before ``position``: what may follow."""
        if ends(position):
            yield from plain_or_end(position)
        if separator is None:
            yield from entity_at(position)

    def plain_or_end(position: int) -> Iterator[list[tuple[str, Path | None]]]:
        if position == len(tokens):
            yield []
            return
        for rest in free(position + 1):
            yield [(PLAIN, None), *rest]

    def entity_at(position: int) -> Iterator[list[tuple[str, Path | None]]]:
        for path in paths:
            end = position + len(path.tokens)
            if tuple(tokens[position:end]) != path.tokens:
                continue
            kinds: list[tuple[str, Path | None]] = [(LATER, path)] * len(path.tokens)
            kinds[0] = (FIRST, path)
            for rest in after_entity(end):
                yield [*kinds, *rest]
            for spelling in spellings:
                if tuple(tokens[end : end + len(spelling)]) == spelling:
                    for rest in after_entity(end + len(spelling)):
                        yield [*kinds, *[(PLAIN, None)] * len(spelling), *rest]

    def free(position: int) -> Iterator[list[tuple[str, Path | None]]]:
        """A plain token, or the beginning, is before ``position``."""
        yield from plain_or_end(position)
        if (
            separator is None
            or position == 0
            or tokens[position - 1] == separator
            or parts(position - 1)
        ):
            yield from entity_at(position)

    yield from free(0)


def possessives(vocabulary: Vocabulary) -> list[tuple[int, ...]]:
    """Token sequences that continue a word by 's."""
    mark = "##" if vocabulary.boundary is WordBoundary.CONTINUATION else ""
    found = []
    for pieces in (["'s"], ["'", "s"]):
        tokens = [mark + piece for piece in pieces]
        if all(token in vocabulary.tokens for token in tokens):
            found.append(tuple(vocabulary.tokens.index(token) for token in tokens))
    return found


class FrameScores:
    """What a token scores at a frame, after :mod:`ctcbias_fst.search.boosting`."""

    def __init__(self, log_probs: np.ndarray, config: DecodeConfig, vocabulary: Vocabulary) -> None:
        self.l, self.config = log_probs, config
        self.letters = [letters(surface) for surface in vocabulary.surfaces]
        # They are asked of each frame and token as often as there are readings.
        self.begin, self.stay = functools.cache(self.begin), functools.cache(self.stay)

    def surely_blank(self, t: int) -> bool:
        return self.config.blank_threshold < 1 and self.l[t, 0] > math.log(
            self.config.blank_threshold
        )

    def rank(self, t: int, v: int) -> int:
        return sum(self.l[t, u] > self.l[t, v] for u in range(1, self.l.shape[1]))

    def gap(self, t: int, v: int) -> float:
        return float(max(self.l[t]) - self.l[t, v])

    def among(self, t: int, v: int, k: int) -> bool:
        """Fewer than k tokens are better, and at most four more than k are at least as good."""
        equal = sum(self.l[t, u] == self.l[t, v] for u in range(1, self.l.shape[1]))
        better = self.rank(t, v)
        return better < k and (better + equal <= k + 4)

    def candidate(self, t: int, v: int, top_k: int, max_gap: float) -> bool:
        return self.among(t, v, top_k) and self.gap(t, v) <= max_gap

    def plausible(self, t: int, v: int) -> bool:
        if self.surely_blank(t):
            return False
        config, boost = self.config, self.config.boost
        near = self.l[t, v] >= max(self.l[t]) - config.token_beam
        return (
            (near and self.among(t, v, config.token_top_k))
            or self.candidate(t, v, boost.top_k, boost.max_gap)
            or self.candidate(t, v, boost.first_top_k, boost.first_max_gap)
        )

    def begin(self, t: int, v: int, kind: str, weight: float) -> float:
        """What a token scores at its first frame; -inf where it may not be taken."""
        boost = self.config.boost
        allowed, added = self.plausible(t, v), 0.0
        if kind == FIRST:
            allowed &= self.candidate(t, v, boost.first_top_k, boost.first_max_gap)
            added = boost.first_alpha * self.gap(t, v)
        elif kind == LATER:
            allowed &= self.candidate(t, v, boost.top_k, boost.max_gap)
            weight = min(weight, 1.5)
            added = min(1.0, weight * boost.alpha) * self.gap(t, v)
            added += weight * boost.free * self.letters[v]
            added = min(added, boost.max_gain, 0.97 * self.gap(t, v))
        return float(self.l[t, v]) + added if allowed else -math.inf

    def stay(self, t: int, v: int, inside: bool) -> float:
        """What a further frame of a token scores, or a blank (v = 0), inside an entity or not."""
        plain, boost = float(self.l[t, v]), self.config.boost
        better = 1 + int(np.argmax(self.l[t, 1:]))
        most = boost.max_wait if self.letters[better] > 1 else boost.max_wait_letter
        if inside and self.gap(t, v) > most:
            return -math.inf
        if v == 0:
            return plain + (inside * boost.blank_alpha * self.gap(t, v) if inside else 0.0)
        if not self.plausible(t, v):
            return -math.inf
        given = inside and self.candidate(t, v, boost.top_k, boost.max_gap)
        return plain + given * boost.repeat_alpha * self.gap(t, v)


def readings(
    log_probs: np.ndarray, paths: Sequence[Path], vocabulary: Vocabulary, config: DecodeConfig
) -> list[Reading]:
    """All readings of an utterance that have a score. ``log_probs`` is (T, V), blank first."""
    scores = FrameScores(log_probs, config, vocabulary)
    frames, columns = log_probs.shape
    found = []
    for labels in itertools.product(range(columns), repeat=frames):
        frame_of = emissions(labels)
        tokens = [labels[frame] for frame in frame_of]
        for parse in parses(tokens, paths, vocabulary):
            score = 0.0
            at = -1
            for t, v in enumerate(labels):
                if t in frame_of:
                    at += 1
                    kind, path = parse[at]
                    score += scores.begin(t, v, kind, path.weight if path else 1.0)
                else:
                    goes_on = at + 1 < len(parse) and parse[at + 1][0] == LATER
                    entity = at >= 0 and parse[at][0] != PLAIN
                    score += scores.stay(t, v, entity and (goes_on or v != 0))
            output: list[object] = []
            position = 0
            while position < len(parse):
                kind, path = parse[position]
                if path is None:
                    output.append(tokens[position])
                    position += 1
                else:
                    output.append(("entity", path.entity))
                    score += reward(path, vocabulary, config) - path.cost
                    position += len(path.tokens)
            if score > -math.inf:
                found.append(Reading(labels, tuple(output), score))
    return found


def letters(surface: str) -> float:
    """What a token writes, six letters at most; the vocabularies of the tests have Latin ones."""
    return float(min(6, sum(character.isalpha() for character in surface)))


def reward(path: Path, vocabulary: Vocabulary, config: DecodeConfig) -> float:
    """What a complete entity is paid."""
    boost = config.boost
    written = sum(letters(vocabulary.surfaces[token]) for token in path.tokens)
    earned = path.weight * (boost.beta * written + boost.bonus)
    return min(max(earned, boost.min_reward), boost.max_reward)


def best_texts(found: Sequence[Reading], vocabulary: Vocabulary) -> dict[str, float]:
    """The best score of every text."""
    best: dict[str, float] = {}
    for reading in found:
        text = reading.text(vocabulary)
        best[text] = max(best.get(text, -math.inf), reading.score)
    return best


def log_total(found: Sequence[Reading]) -> float:
    """The log of the sum over all readings."""
    return float(np.logaddexp.reduce([reading.score for reading in found]))


def greedy(log_probs: np.ndarray) -> tuple[tuple[int, ...], float]:
    """The best label of every frame, collapsed, and the sum of their log-probs."""
    return collapse(log_probs.argmax(axis=1).tolist()), float(log_probs.max(axis=1).sum())

"""Word, character and phone error rates, entity F1, B-WER and U-WER.

docs/scoring.md defines every figure.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import kaldialign
import numpy as np

from ctcbias_fst.errors import ManifestError
from ctcbias_fst.scoring.counts import EntityCounts, ErrorCounts, Score, ratio
from ctcbias_fst.scoring.matchers import (
    Cases,
    Lists,
    Matchers,
    lists_of,
    matchers_of,
    with_capitals,
)
from ctcbias_fst.scoring.published import align_published
from ctcbias_fst.text.normalise import normalise_lines
from ctcbias_fst.text.phrases import Occurrence, PhraseMatcher
from ctcbias_fst.text.text_files import quoted

_NO_WORD = -1
"""Stands for "no word" in an alignment, in which words are numbers: any text may be a word."""


@dataclass(frozen=True)
class UtteranceScore:
    """One utterance, with what is needed to see why it was scored so.

    Attributes:
        id: of the utterance.
        score: its counts.
        pairs: the alignment: (reference word, hypothesis word), None where one is missing.
        hits: names found, as often as they were.
        misses: names of the reference that were not found.
        false_alarms: names of the hypothesis that were not spoken.
        group: the utterance's value of the field that results are grouped by, if any.
    """

    id: str
    score: Score
    pairs: tuple[tuple[str | None, str | None], ...]
    hits: tuple[str, ...]
    misses: tuple[str, ...]
    false_alarms: tuple[str, ...]
    group: str | None = None


@dataclass(frozen=True)
class Interval:
    """A confidence interval of a rate."""

    low: float
    high: float


def align(
    reference: Sequence[str], hypothesis: Sequence[str]
) -> list[tuple[str | None, str | None]]:
    """Return an alignment with the fewest errors as (reference, hypothesis) pairs.

    None stands where there is no such word. Of several such alignments kaldialign's
    choice is taken.
    """
    words = list(dict.fromkeys((*reference, *hypothesis)))
    number = {word: i for i, word in enumerate(words)}
    pairs = kaldialign.align(
        [number[word] for word in reference], [number[word] for word in hypothesis], _NO_WORD
    )
    return [
        (None if r == _NO_WORD else words[r], None if h == _NO_WORD else words[h]) for r, h in pairs
    ]


def score_utterance(
    reference: Sequence[str],
    hypothesis: Sequence[str],
    names: Iterable[str] = (),
    possessive: bool = True,
) -> Score:
    """Score one utterance.

    Args:
        reference: words (or phones), in normal form.
        hypothesis: likewise.
        names: the list of names, in normal form; see `PhraseMatcher`.
        possessive: for the entity counts, whether ``obama's`` counts as ``obama``. For
            B-WER and U-WER it never does: theirs are the words of the list as they stand.

    Returns:
        Counts; with an empty list of names all words are unbiased.
    """
    names = frozenset(names)
    matchers = Matchers(PhraseMatcher(names, possessive), PhraseMatcher(names, False))
    return _score("", reference, hypothesis, matchers).score


def score_transcripts(
    references: Mapping[str, str],
    hypotheses: Mapping[str, str],
    entities: Lists = None,
    *,
    bias_words: Lists = None,
    missing_as_deletions: bool = False,
    normalise_text: bool = True,
    ignore: Iterable[str] = (),
    possessive: bool = True,
    groups: Mapping[str, str] | None = None,
    published: Mapping[str, Collection[str]] | None = None,
) -> list[UtteranceScore]:
    """Score transcripts against references, utterance by utterance.

    Args:
        references: utterance id to what was said.
        hypotheses: utterance id to what was written. Ids without a reference are ignored.
        entities: one list for all utterances (a path, a list as read, names in memory), or one for
            each, by its id; empty by default.
        bias_words: the list that decides which words are biased (B-WER), if it is not
            `entities`: with the rare words of each reference, the published scores of Le
            et al. 2021 come out.
        missing_as_deletions: score a missing hypothesis as an empty one.
        normalise_text: bring both texts to the normal form of
            `ctcbias_fst.text.normalise`; False for phones.
        ignore: tokens left out of both sides, such as the ``|`` between words of phones.
        possessive: see `score_utterance`.
        groups: utterance id to the group it belongs to, carried along.
        published: count as the script published by Le et al. 2021: the biased words of each
            utterance as they stand, instead of `bias_words`, and `align_published`. Its results
            are of texts that are not normalised.

    Returns:
        One result per reference, in their order.

    Raises:
        ManifestError: texts are no mapping of ids to texts; a reference has no hypothesis, list,
            biased words or group.
        EntityListError: a list is none.
    """
    _require_texts(references, "references")
    _require_texts(hypotheses, "hypotheses")
    _require_hypotheses(references, hypotheses, missing_as_deletions)
    entities, bias_words = lists_of(entities), lists_of(bias_words)
    ids = list(references)
    ignored = frozenset(ignore)
    said = _tokens([references[i] for i in ids], normalise_text, ignored)
    written = _tokens([hypotheses.get(i, "") for i in ids], normalise_text, ignored)
    cases = None
    if normalise_text and published is None:
        cases = Cases.of(references, hypotheses)
    found = matchers_of(ids, entities, possessive, cases)
    biased = matchers_of(ids, entities if bias_words is None else bias_words, False, cases)
    results = []
    for position, utterance in enumerate(ids):
        if groups is not None and utterance not in groups:
            raise ManifestError(f"utterance {utterance!r} has no group.")
        if published is not None and utterance not in published:
            raise ManifestError(f"utterance {utterance!r} has no list of rare words.")
        results.append(
            _score(
                utterance,
                said[position],
                written[position],
                Matchers(next(found), next(biased)),
                texts=None
                if cases is None
                else (references[utterance], hypotheses.get(utterance, "")),
                group=None if groups is None else groups[utterance],
                published=None if published is None else published[utterance],
            )
        )
    return results


def total(results: Iterable[UtteranceScore]) -> Score:
    """Return the sum of the scores."""
    return sum((result.score for result in results), start=Score.zero())


# Every rate is a ratio of two sums over utterances.
_RATES: dict[str, Callable[[Score], tuple[int, int]]] = {
    "WER": lambda s: (s.words.errors, s.words.reference),
    "CER": lambda s: (s.characters.errors, s.characters.reference),
    "SER": lambda s: (s.wrong, s.utterances),
    "B-WER": lambda s: (s.biased.errors, s.biased.reference),
    "U-WER": lambda s: (s.unbiased.errors, s.unbiased.reference),
    "precision": lambda s: (s.entities.hits, s.entities.hits + s.entities.false_alarms),
    "recall": lambda s: (s.entities.hits, s.entities.hits + s.entities.misses),
    "F1": lambda s: (
        2 * s.entities.hits,
        2 * s.entities.hits + s.entities.misses + s.entities.false_alarms,
    ),
}


def rates(score: Score) -> dict[str, float]:
    """Return every rate of a score by its name; NaN where there is nothing to divide by.

    The names: WER, CER, SER (utterances with an error), B-WER, U-WER, and the entities'
    precision, recall and F1.
    """
    return {name: ratio(*parts(score)) for name, parts in _RATES.items()}


def bootstrap(
    results: Sequence[UtteranceScore],
    replications: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Interval]:
    """Return a confidence interval for every rate, by resampling utterances.

    As many utterances as there are get drawn with replacement, and every rate is that of
    the drawn sum; the interval holds the central `level` of its replications (percentile
    bootstrap; Bisani and Ney, ICASSP 2004). Replications in which a rate is undefined
    are left out; if it is undefined in all of them, the interval is NaN.

    Args:
        results: one per utterance, at least one.
        seed: of the random numbers; the same seed gives the same intervals.
    """
    if not results or replications < 1 or not 0 < level < 1:
        raise ValueError("bootstrap needs results, replications >= 1 and 0 < level < 1.")
    parts = [[parts(result.score) for parts in _RATES.values()] for result in results]
    counts = np.array(parts, dtype=np.float64).reshape(len(results), -1)
    generator = np.random.default_rng(seed)
    share = np.full(len(results), 1 / len(results))
    # In blocks, so that a hundred thousand utterances need no matrix of gigabytes.
    block = max(1, 10_000_000 // len(results))
    sums = np.concatenate(
        [
            generator.multinomial(len(results), share, size=min(block, replications - done))
            @ counts
            for done in range(0, replications, block)
        ]
    ).reshape(replications, len(_RATES), 2)
    tails = [50 * (1 - level), 50 * (1 + level)]
    intervals = {}
    for index, name in enumerate(_RATES):
        defined = sums[sums[:, index, 1] > 0, index]
        low, high = math.nan, math.nan
        if len(defined):
            low, high = np.percentile(defined[:, 0] / defined[:, 1], tails).tolist()
        intervals[name] = Interval(low, high)
    return intervals


def _require_texts(texts: Any, what: str) -> None:
    """Refuse what is no mapping of ids to texts."""
    wrong = [texts]
    if isinstance(texts, Mapping):
        wrong = [text for text in texts.values() if not isinstance(text, str)]
    if not wrong:
        return
    raise ManifestError(
        f"{what} must be a mapping of utterance ids to texts, such as {{'1': 'call Kisha'}} (of a "
        f"Transcript the text is best.text), found {quoted(wrong[0])}."
    )


def _require_hypotheses(
    references: Mapping[str, str], hypotheses: Mapping[str, str], missing_as_deletions: bool
) -> None:
    missing = [utterance for utterance in references if utterance not in hypotheses]
    if len(missing) == len(references) and hypotheses:
        raise ManifestError(
            f"no utterance of the references is among the hypotheses: the ids differ "
            f"(for example {missing[0]!r} and {next(iter(hypotheses))!r})."
        )
    if missing and not missing_as_deletions:
        raise ManifestError(
            f"{len(missing)} of {len(references)} utterances have no hypothesis: "
            f"{', '.join(missing[:5])}{', …' if len(missing) > 5 else ''}. Score them as "
            f"empty with missing_as_deletions (--missing-as-deletions) if that is meant."
        )


def _tokens(texts: Sequence[str], normalise_text: bool, ignored: frozenset[str]) -> list[list[str]]:
    if normalise_text:
        texts = normalise_lines(texts)
    return [[token for token in text.split() if token not in ignored] for text in texts]


def _score(
    utterance: str,
    reference: Sequence[str],
    hypothesis: Sequence[str],
    matchers: Matchers,
    *,
    texts: tuple[str, str] | None = None,
    group: str | None = None,
    published: Collection[str] | None = None,
) -> UtteranceScore:
    sides = (reference, hypothesis)
    if texts is not None:
        sides = (
            with_capitals(reference, texts[0], matchers),
            with_capitals(hypothesis, texts[1], matchers),
        )
    if published is None:
        pairs = align(reference, hypothesis)
        masks = [mask_of(matchers.biased.occurrences(words), len(words)) for words in sides]
    else:
        pairs = align_published(reference, hypothesis)
        masks = [[word in published for word in words] for words in (reference, hypothesis)]
    biased, unbiased = _split_errors(pairs, *masks)
    words = biased + unbiased
    said, written = (Counter(o.name for o in matchers.entities.occurrences(s)) for s in sides)
    hits, misses, false_alarms = said & written, said - written, written - said
    return UtteranceScore(
        id=utterance,
        score=Score(
            utterances=1,
            wrong=int(words.errors > 0),
            words=words,
            characters=_character_errors(" ".join(reference), " ".join(hypothesis)),
            biased=biased,
            unbiased=unbiased,
            entities=EntityCounts(*(sum(c.values()) for c in (hits, misses, false_alarms))),
        ),
        pairs=tuple(pairs),
        hits=tuple(hits.elements()),
        misses=tuple(misses.elements()),
        false_alarms=tuple(false_alarms.elements()),
        group=group,
    )


def mask_of(occurrences: Iterable[Occurrence], length: int) -> list[bool]:
    """Mark the words that belong to an occurrence."""
    mask = [False] * length
    for occurrence in occurrences:
        mask[occurrence.start : occurrence.end] = [True] * (occurrence.end - occurrence.start)
    return mask


def _split_errors(
    pairs: Iterable[tuple[str | None, str | None]],
    reference_biased: Sequence[bool],
    hypothesis_biased: Sequence[bool],
) -> tuple[ErrorCounts, ErrorCounts]:
    """Count errors on biased and on other words (Le et al. 2021, section 4.2).

    An error belongs to its reference word; an insertion, which has none, to the inserted
    word.
    """
    # Rows: biased, unbiased. Columns: substitutions, deletions, insertions, reference.
    counts = [[0, 0, 0, 0], [0, 0, 0, 0]]
    said, written = iter(reference_biased), iter(hypothesis_biased)
    for reference, hypothesis in pairs:
        reference_side = reference is not None and next(said)
        hypothesis_side = hypothesis is not None and next(written)
        row = counts[not (hypothesis_side if reference is None else reference_side)]
        row[0] += reference is not None and hypothesis is not None and reference != hypothesis
        row[1] += hypothesis is None
        row[2] += reference is None
        row[3] += reference is not None
    return ErrorCounts(*counts[0]), ErrorCounts(*counts[1])


def _character_errors(reference: str, hypothesis: str) -> ErrorCounts:
    counts = kaldialign.edit_distance(reference, hypothesis)
    return ErrorCounts(counts["sub"], counts["del"], counts["ins"], len(reference))

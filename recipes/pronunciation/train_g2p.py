"""The G2P: units by alignment, their n-gram, and how often it errs on held-out words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kaldialign import edit_distance

from ctcbias_fst.ngram.estimate import estimate, prune
from ctcbias_fst.pronunciation import g2p_ngram as ngram_file
from ctcbias_fst.pronunciation.g2p import G2P, format_unit

from .align import G2P_SIZES, Unit, align
from .dictionary import Pronunciations

__all__ = ["PhoneErrors", "phone_errors", "train_g2p"]


@dataclass(frozen=True)
class PhoneErrors:
    """Counts over words; each is compared with the closest of its pronunciations.

    Attributes:
        words: compared.
        wrong: words whose best reading is none of their pronunciations.
        missed: words of which none of the readings asked for is a pronunciation.
        phones: of the pronunciations compared with.
        errors: substitutions, insertions and deletions.
    """

    words: int
    wrong: int
    missed: int
    phones: int
    errors: int

    def describe(self, n: int) -> str:
        """Return one line of figures."""
        return (
            f"{self.words} words: phone error rate {self.errors / self.phones:.2%}, "
            f"wrong words {self.wrong / self.words:.1%}, "
            f"right among {n}: {1 - self.missed / self.words:.1%}"
        )


def train_g2p(
    words: Mapping[str, Sequence[tuple[str, ...]]], target: Path, order: int, threshold: float
) -> list[int]:
    """Train on a dictionary and write the model; return how many n-grams of each length it has.

    Units seen once, most of them errors of the dictionary, are left out with their words.
    """
    cuts, _ = align(words, G2P_SIZES)
    seen: Counter[Unit] = Counter(unit for cut in cuts for unit in cut)
    units = sorted(unit for unit, times in seen.items() if times > 1)
    symbol = {unit: ngram_file.FIRST_SYMBOL + i for i, unit in enumerate(units)}
    sequences = [[symbol[u] for u in cut] for cut in cuts if all(u in symbol for u in cut)]
    orders = prune(estimate(sequences, order), threshold)
    ngram_file.save(target, orders, [format_unit(*unit) for unit in units])
    return [len(found.symbol) for found in orders]


def phone_errors(
    model: G2P, words: Sequence[str], dictionary: Pronunciations, n: int = 5
) -> PhoneErrors:
    """Compare the readings of `words` with the dictionary."""
    wrong = missed = phones = errors = 0
    for word in words:
        readings = [tuple(one.text.split()) for one in model.readings(word, n)]
        truths = dictionary[word]
        distance, closest = min(
            (edit_distance(truth, readings[0])["total"], truth) for truth in truths
        )
        errors += distance
        phones += len(closest)
        wrong += distance > 0
        missed += not any(reading in truths for reading in readings)
    return PhoneErrors(len(words), wrong, missed, phones, errors)

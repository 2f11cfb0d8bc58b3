"""Many-to-many alignment of letters and phones by expectation maximisation.

A word and its pronunciation are cut into *units*, pairs of a few letters and a few phones
(``x`` with ``K S``, ``ph`` with ``F``, a silent ``e`` with nothing). The probability of a
cut is the product of those of its units, that of a pronunciation the sum over all its
cuts. `align` finds the units' probabilities that make the dictionary most likely, then each
word's best cut (Jiampojamarn et al., NAACL 2007, eqs. 1-3; the sizes allowed are ours).

All words of one shape (so many letters, so many phones) are treated at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ctcbias_fst.text.phones import PHONE_ID, PHONES

__all__ = ["G2P_SIZES", "TABLE_SIZES", "Unit", "align"]

Unit = tuple[str, tuple[str, ...]]
"""Letters and the phones that they stand for; the phones may be none."""

Sizes = Sequence[tuple[int, int]]

# Letters and phones of a unit. Small units for the G2P: its n-gram sees the context.
G2P_SIZES: Sizes = ((1, 0), (1, 1), (1, 2), (2, 1))
# The table has no context, so its units are larger ("tio", "eau", "le").
TABLE_SIZES: Sizes = ((1, 0), (1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (3, 2))

_Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Bucket:
    """Words of one shape.

    Attributes:
        pairs: (N,) positions in the list of all pairs.
        units: (letters so far, phones so far, size) to (N,) unit ids of that next unit.
        letters, phones: the shape.
    """

    pairs: _Ids
    units: dict[tuple[int, int, tuple[int, int]], _Ids]
    letters: int
    phones: int


def align(
    words: Mapping[str, Sequence[tuple[str, ...]]],
    sizes: Sizes = G2P_SIZES,
    iterations: int = 10,
    discount: float = 1.0,
) -> tuple[list[list[Unit]], dict[Unit, float]]:
    """Cut every pronunciation into units.

    Args:
        words: each with its pronunciations; all of a word weigh 1 together.
        sizes: (letters, phones) that a unit may have.
        iterations: of expectation maximisation, from equal probabilities.
        discount: the probability of a unit is raised to ``1 + discount * (n - 1)``, n its
            letters or phones, whichever are more: without it, larger units would win for
            their being fewer.

    Returns:
        The best cut of each pronunciation that has one, in the order given; and how often
        each unit is expected in all of them.
    """
    pairs = [(word, phones) for word, found in words.items() for phones in found]
    weights = np.array([1.0 / len(found) for found in words.values() for _ in found])
    buckets, units = _buckets(pairs, sizes)
    power = 1.0 + discount * (np.array([max(len(g), len(p), 1) for g, p in units]) - 1.0)
    probability = np.full(len(units), 0.05)
    every_id = np.concatenate([ids for b in buckets for ids in reversed(list(b.units.values()))])
    counts: npt.NDArray[Any] = np.zeros(len(units))
    for _ in range(iterations):
        # One count for all buckets: a count per step would cost the number of units each.
        shares = [share for b in buckets for share in _expect(b, probability, weights)]
        counts = np.bincount(every_id, np.concatenate(shares), minlength=len(units))
        probability = (counts / counts.sum()) ** power
    cuts: dict[int, list[Unit]] = {}
    for bucket in buckets:
        for pair, ids in _best_cuts(bucket, probability):
            cuts[pair] = [units[index] for index in ids]
    return [cuts[pair] for pair in sorted(cuts)], dict(zip(units, counts.tolist()))


def _buckets(
    pairs: Sequence[tuple[str, tuple[str, ...]]], sizes: Sizes
) -> tuple[list[_Bucket], list[Unit]]:
    """Group the pairs by shape, and number every unit that any cut could have."""
    shapes: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index, (word, phones) in enumerate(pairs):
        shapes[len(word), len(phones)].append(index)
    keys: list[_Ids] = []
    places: list[tuple[int, tuple[int, int, tuple[int, int]]]] = []
    for number, ((n_letters, n_phones), members) in enumerate(shapes.items()):
        letter_ids = np.array([[ord(c) - 96 for c in pairs[m][0]] for m in members])
        phone_ids = np.array([[PHONE_ID[p] for p in pairs[m][1]] for m in members])
        for i in range(n_letters):
            for j in range(n_phones + 1):
                for size in sizes:
                    if _fits(i + size[0], j + size[1], n_letters, n_phones, sizes):
                        some = letter_ids[:, i : i + size[0]], phone_ids[:, j : j + size[1]]
                        keys.append(_key(*some))
                        places.append((number, (i, j, size)))
    known, ids = np.unique(np.concatenate(keys), return_inverse=True)
    bounds = np.cumsum([len(key) for key in keys])[:-1]
    grouped: list[dict[tuple[int, int, tuple[int, int]], _Ids]] = [{} for _ in shapes]
    for (number, place), part in zip(places, np.split(ids, bounds)):
        grouped[number][place] = part
    buckets = [
        _Bucket(np.array(members), found, *shape)
        for (shape, members), found in zip(shapes.items(), grouped)
    ]
    return buckets, [_unit(int(key)) for key in known]


def _fits(i: int, j: int, n_letters: int, n_phones: int, sizes: Sizes) -> bool:
    """Whether the rest of the phones can still be had from the rest of the letters."""
    most = max(p / g for g, p in sizes)
    return i <= n_letters and j <= n_phones and n_phones - j <= most * (n_letters - i)


def _key(letters: _Ids, phones: _Ids) -> _Ids:
    """One number for letters (N, a) and phones (N, b): letters to the base 27, phones 40."""
    key = np.zeros(len(letters), dtype=np.int64)
    for column in letters.T:
        key = key * 27 + column
    key *= 40**2
    phone_key = np.zeros(len(letters), dtype=np.int64)
    for column in phones.T:
        phone_key = phone_key * 40 + column
    return key + phone_key


def _unit(key: int) -> Unit:
    letters_key, phone_key = divmod(key, 40**2)
    letters = ""
    phones: list[str] = []
    while letters_key:
        letters_key, letter = divmod(letters_key, 27)
        letters = chr(96 + letter) + letters
    while phone_key:
        phone_key, phone = divmod(phone_key, 40)
        phones.insert(0, PHONES[phone - 1])
    return letters, tuple(phones)


def _expect(
    bucket: _Bucket, probability: npt.NDArray[np.float64], weights: npt.NDArray[np.float64]
) -> list[npt.NDArray[np.float64]]:
    """Return how often each step of each word is expected to be taken, last step first."""
    shape = (bucket.letters + 1, bucket.phones + 1, len(bucket.pairs))
    forward, backward = np.zeros(shape), np.zeros(shape)
    forward[0, 0] = 1.0
    for (i, j, (a, b)), ids in bucket.units.items():
        forward[i + a, j + b] += forward[i, j] * probability[ids]
    backward[-1, -1] = 1.0
    total = np.maximum(forward[-1, -1], 1e-300)
    scale = weights[bucket.pairs] / total
    shares = []
    for (i, j, (a, b)), ids in reversed(list(bucket.units.items())):
        after = backward[i + a, j + b] * probability[ids]
        backward[i, j] += after
        shares.append(forward[i, j] * after * scale)
    return shares


def _best_cuts(
    bucket: _Bucket, probability: npt.NDArray[np.float64]
) -> list[tuple[int, list[int]]]:
    """Return (pair, unit ids) of the most probable cut of each word that has one."""
    shape = (bucket.letters + 1, bucket.phones + 1, len(bucket.pairs))
    best = np.full(shape, -np.inf)
    best[0, 0] = 0.0
    came = np.full(shape, -1)
    with np.errstate(divide="ignore"):
        log_probability = np.log(probability)
    steps = list(bucket.units)
    for number, (i, j, (a, b)) in enumerate(steps):
        score = best[i, j] + log_probability[bucket.units[i, j, (a, b)]]
        better = score > best[i + a, j + b]
        best[i + a, j + b][better] = score[better]
        came[i + a, j + b][better] = number
    cuts = []
    for column in np.flatnonzero(np.isfinite(best[-1, -1])):
        i, j = bucket.letters, bucket.phones
        ids: list[int] = []
        while i or j:
            step = steps[came[i, j, column]]
            ids.insert(0, int(bucket.units[step][column]))
            i, j = step[0], step[1]
        cuts.append((int(bucket.pairs[column]), ids))
    return cuts

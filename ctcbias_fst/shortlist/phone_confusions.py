"""How alike phones are: classes that recognisers keep apart well, and costs within and across.

The table is written by hand from the places and manners of articulation, and from where
English spelling leaves a reader in doubt (``g`` before ``e``, a vowel without stress): what a
G2P gets wrong, a speaker may, too.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ctcbias_fst.text.phones import PHONES

CLASSES: tuple[str, ...] = (
    "AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW",
    "B P",
    "D T",
    "G K",
    "F V",
    "DH TH",
    "S Z",
    "CH JH SH ZH",
    "M",
    "N NG",
    "L",
    "R",
    "W",
    "Y",
    "HH",
)
"""Vowels, and classes of consonants; a class's phones are confused more than others."""

_WITHIN = 1.5
_ACROSS = 5.0
# fmt: off
_PAIRS = {
    "AA AO": 0.5, "AH IH": 0.5, "IH IY": 1.0, "AE EH": 1.0, "EH EY": 1.0, "ER R": 1.0,
    "N NG": 0.7, "S Z": 0.7, "T TH": 2.0, "D DH": 2.0, "M N": 2.0, "S SH": 2.0, "L OW": 3.0,
    "IY Y": 2.0, "UW W": 2.0, "F TH": 2.0, "HH K": 2.0, "CH T": 2.5, "CH K": 2.5, "D JH": 2.5,
    "G JH": 1.5, "G ZH": 2.0, "B V": 2.5, "V W": 2.5, "K S": 3.0,
}
# fmt: on


def phone_classes() -> npt.NDArray[np.int64]:
    """Class of every phone, ``(1 + phones,)``: 1-based, the first is the vowels'; blank is 0."""
    classes = np.zeros(1 + len(PHONES), dtype=np.int64)
    for number, members in enumerate(CLASSES, start=1):
        for phone in members.split():
            classes[1 + PHONES.index(phone)] = number
    return classes


def phone_distances() -> npt.NDArray[np.float32]:
    """Nats for hearing one phone where another was meant, ``(1 + phones, 1 + phones)``.

    Symmetric, zero on the diagonal; index 0, the blank, is as far from everything as the
    most distant phones are from each other.
    """
    classes = phone_classes()
    table = np.where(classes[:, None] == classes[None, :], _WITHIN, _ACROSS).astype(np.float32)
    table[0] = table[:, 0] = _ACROSS
    index = {phone: 1 + i for i, phone in enumerate(PHONES)}
    for vowel in CLASSES[0].split():
        table[index["AH"], index[vowel]] = table[index[vowel], index["AH"]] = 1.0
    for pair, cost in _PAIRS.items():
        a, b = (index[phone] for phone in pair.split())
        table[a, b] = table[b, a] = cost
    np.fill_diagonal(table, 0.0)
    return table

"""Roughly how names sound, by their letters alone: a few rules, no lexicon, one way for each name.

To pronounce a million names takes minutes, to write their letters as phones takes seconds. What
sounds like an utterance by these is pronounced properly then (:mod:`.shortlists`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from ctcbias_fst.pronunciation.pronunciation_table import PronunciationTable
from ctcbias_fst.text.entity import Entity
from ctcbias_fst.text.normalise import fold_diacritics
from ctcbias_fst.text.phones import PHONE_ID

# What is replaced, one after the other; capitals stand for phones (`_PHONE_OF`).
_GROUPS = (
    ("tch", "C"),
    ("sch", "S"),
    ("ch", "C"),
    ("sh", "S"),
    ("tion", "San"),
    ("th", "T"),
    ("ph", "f"),
    ("igh", "i"),
    ("ough", "o"),
    ("augh", "o"),
    ("gh", "g"),
    ("wh", "w"),
    (" kn", " n"),
    (" wr", " r"),
    (" ps", " s"),
    (" x", " z"),
    ("ck", "k"),
    ("qu", "kw"),
    ("x", "ks"),
    ("dge", "Je"),
    ("cc", "k"),
    ("ce", "se"),
    ("ci", "si"),
    ("cy", "si"),
    ("ge", "Je"),
    ("gi", "Ji"),
    ("gy", "Ji"),
    ("ng", "N"),
    (" y", " Y"),
)
_VOWELS = re.compile("([aeiou])[aeiouy]+")
_DOUBLE = re.compile(r"([b-df-hj-np-tv-z])\1+")
_MUTE_E = re.compile("(?<=[^aeiou ]{2})e(?= )|(?<=[aeiou][^aeiou ])e(?= )")
_PHONE_OF = dict(
    zip(
        "abcdefghijklmnopqrstuvwxyzCSTJNY",
        "AE B K D EH F G HH IH JH K L M N AA P K R S T AH V W K IY Z CH SH TH JH NG Y".split(),
    )
)
_TABLE = bytes(PHONE_ID.get(_PHONE_OF.get(chr(code), ""), 0) for code in range(256))
_UNKNOWN = PHONE_ID["AH"]
_LONGEST = 40
"""Letters of a name that are looked at, about."""
_BLOCK = 8192
"""Names at a time: nothing else runs in the process while a text is searched."""


def letter_sounds(entities: Sequence[Entity]) -> PronunciationTable:
    """One pronunciation of each name, never without a phone.

    Args:
        entities: names; one with digits is read as the first of its `Entity.spoken`.
    """
    blocks = range(0, len(entities), _BLOCK)
    text = "".join([_respelled(entities[at : at + _BLOCK]) for at in blocks])
    letters = np.frombuffer(text.encode("ascii", "replace"), dtype=np.uint8)
    phones = np.frombuffer(_TABLE, dtype=np.uint8)[letters]
    ends = letters == ord("\n")
    phones[ends] = _UNKNOWN  # in the place of a name without a letter
    owner = np.cumsum(ends) - ends
    counts = np.bincount(owner[(phones > 0) & ~ends], minlength=len(entities))
    kept = (phones > 0) & (~ends | (counts[owner] == 0))
    rows = np.zeros(len(entities) + 1, dtype=np.int64)
    np.cumsum(np.maximum(counts, 1), out=rows[1:])
    return PronunciationTable(
        names=np.arange(len(entities) + 1),
        rows=rows,
        phones=phones[kept],
        cost=np.zeros(len(entities), dtype=np.float32),
    )


def _respelled(entities: Sequence[Entity]) -> str:
    """Names with a letter for each phone, a line each."""
    text = "".join([f" {_text(entity)[:_LONGEST]} \n" for entity in entities])
    for group, by in _GROUPS:
        text = text.replace(group, by)
    return _VOWELS.sub(r"\1", _MUTE_E.sub("", _DOUBLE.sub(r"\1", text)))


def _text(entity: Entity) -> str:
    name = entity.name
    if entity.spoken and not name.isalpha() and any(map(str.isdecimal, name)):
        name = entity.spoken[0][0]
    return name if name.isascii() else fold_diacritics(name).lower()

"""Speech without labels as a test of names: its own words, spelled as nobody spells them.

A recogniser writes a name that it does not know as what it sounds like. Turned round: what it
wrote may be taken for such a name's mishearing. Rare words of its own transcripts are spelled
otherwise (by :mod:`ctcbias_fst.variants`), and these spellings are the names that are said; names
that nobody says, decoys, are beside them in the list.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ctcbias_fst.errors import InputError
from ctcbias_fst.pronunciation.pronounce import Pronouncer
from ctcbias_fst.text.normalise import normalise
from ctcbias_fst.text.phrases import PhraseMatcher
from ctcbias_fst.variants.shipped import load_pronouncer, spelling_variants

_MIN_LETTERS = 5
_MOST_OFTEN = 3
"""Names are words of so many letters that are said so often at most."""

_VARIANTS = 10
"""A spelling is drawn among so many."""

LEAST = 20
"""Words that have another spelling, at least: fewer tell nothing."""


@dataclass(frozen=True)
class PseudoNames:
    """What is to be found, and what not.

    Attributes:
        references: the transcripts with the names in the place of the words.
        names: spellings of words that are said.
        decoys: names that nobody says.
        words: how many words the transcripts have.
    """

    references: Mapping[str, str]
    names: tuple[str, ...]
    decoys: tuple[str, ...]
    words: int


def pseudo_names(
    transcripts: Mapping[str, str],
    *,
    names: int = 150,
    decoys: int | Sequence[str] = 850,
    seed: int = 0,
) -> PseudoNames:
    """Make names of transcripts.

    Args:
        transcripts: what a recogniser wrote without a list, by utterance.
        names: spellings, at most.
        decoys: names that nobody says, or how many of them are drawn from the lexicon inside the
            package. Those that are in the transcripts, or sound as a word of them, are left out.
        seed: of what is drawn.

    Raises:
        InputError: too few words have another spelling, or no decoy is left.
    """
    chance = random.Random(seed)
    plain = {name: normalise(text) for name, text in transcripts.items()}
    said = Counter(word for text in plain.values() for word in text.split())
    pronouncer = load_pronouncer()
    own = _respelled(said, pronouncer, names, chance)
    if len(own) < LEAST:
        raise InputError(
            f"only {len(own)} words of the transcripts can be spelled otherwise, {LEAST} are "
            "needed: give more speech (ten minutes), in the language of the shipped pronunciations"
        )
    others = decoys if isinstance(decoys, Sequence) else _lexicon_words(pronouncer, decoys, chance)
    left = _unsaid(others, plain, said, pronouncer, set(own.values()))
    if isinstance(decoys, int):
        left = left[:decoys]
    if not left:
        raise InputError("every decoy is in the transcripts, or sounds as a word of them")
    references = {
        name: " ".join(own.get(word, word) for word in text.split()) for name, text in plain.items()
    }
    return PseudoNames(references, tuple(own.values()), tuple(left), sum(said.values()))


def _respelled(
    said: Counter[str], pronouncer: Pronouncer, most: int, chance: random.Random
) -> dict[str, str]:
    """Rare words, each with a spelling that is no word."""
    rare = sorted(
        word
        for word, count in said.items()
        if len(word) >= _MIN_LETTERS and word.isalpha() and count <= _MOST_OFTEN
    )
    chance.shuffle(rare)
    rare = rare[: 3 * most]
    found: dict[str, str] = {}
    taken = set(said)
    for word, variants in zip(rare, spelling_variants(rare, _VARIANTS)):
        usable = [
            one.spelling
            for one in variants
            if one.spelling not in taken and not pronouncer.is_listed(one.spelling)
        ]
        if usable and len(found) < most:
            found[word] = chance.choice(usable)
            taken.add(found[word])
    return found


def _lexicon_words(pronouncer: Pronouncer, number: int, chance: random.Random) -> list[str]:
    """Words of the lexicon, more than are wanted."""
    words = [word for word in pronouncer.words if len(word) >= _MIN_LETTERS and word.isalpha()]
    return chance.sample(words, min(len(words), 3 * number))


def _unsaid(
    decoys: Sequence[str],
    plain: Mapping[str, str],
    said: Counter[str],
    pronouncer: Pronouncer,
    names: set[str],
) -> list[str]:
    """Decoys that are not in the transcripts, nor sound as a word of them."""
    sounds = {one.phones for several in pronouncer.pronounce_all(sorted(said)) for one in several}
    matcher = PhraseMatcher(decoys)
    heard = {
        occurrence.name
        for text in plain.values()
        for occurrence in matcher.occurrences(text.split())
    }
    spoken = pronouncer.pronounce_all([normalise(one) for one in decoys])
    return [
        decoy
        for decoy, several in zip(decoys, spoken)
        if decoy not in heard
        and normalise(decoy) not in names
        and not any(one.phones in sounds for one in several)
    ]

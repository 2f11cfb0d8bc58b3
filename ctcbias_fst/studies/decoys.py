"""Names that nobody says: what a list must not write into speech."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from ctcbias_fst.errors import InputError
from ctcbias_fst.pronunciation.pronounce import Pronouncer
from ctcbias_fst.text.normalise import normalise
from ctcbias_fst.text.phrases import PhraseMatcher
from ctcbias_fst.variants.shipped import common_words, load_pronouncer

_MIN_LETTERS = 6
"""Names are longer than other words."""

_AT_ONCE = 1000
"""Names that are pronounced before it is seen whether there are enough."""


def lexicon_decoys(
    transcripts: Sequence[str], number: int, lists: int, seed: int = 0
) -> list[tuple[str, ...]]:
    """Lists of rare words of the lexicon inside the package that are not in transcripts.

    Args:
        transcripts: what a recogniser wrote without a list.
        number: words of a list.
        lists: how many, no two with a word in common.
        seed: of what is drawn.

    Raises:
        InputError: so many words are not left.
    """
    pronouncer = load_pronouncer()
    chance = random.Random(seed)
    common = common_words()
    words = [
        word
        for word in pronouncer.lexicon
        if len(word) >= _MIN_LETTERS and word.isalpha() and word not in common
    ]
    left = _unsaid(chance.sample(words, len(words)), transcripts, pronouncer, number * lists)
    if len(left) < number * lists:
        raise InputError(
            f"{number * lists} decoys are wanted, and the lexicon has {len(left)} words that the "
            "transcripts have not"
        )
    return [tuple(left[i * number : (i + 1) * number]) for i in range(lists)]


def unsaid(names: Sequence[str], transcripts: Sequence[str]) -> tuple[str, ...]:
    """Those of some names that are not in transcripts, nor sound as a word of them.

    Args:
        names: in any spelling.
        transcripts: what a recogniser wrote without a list.

    Raises:
        InputError: none is left.
    """
    left = _unsaid(names, transcripts, load_pronouncer(), len(names))
    if not left:
        raise InputError("every decoy is in the transcripts, or sounds as a word of them")
    return tuple(left)


def _unsaid(
    names: Iterable[str], transcripts: Sequence[str], pronouncer: Pronouncer, most: int
) -> list[str]:
    texts = [normalise(text).split() for text in transcripts]
    names = list(names)
    said = sorted({word for text in texts for word in text})
    sounds = {one.phones for several in pronouncer.pronounce_all(said) for one in several}
    matcher = PhraseMatcher(names)
    heard = {found.name for text in texts for found in matcher.occurrences(text)}
    left: list[str] = []
    for begin in range(0, len(names), _AT_ONCE):
        some = [name for name in names[begin : begin + _AT_ONCE] if name not in heard]
        for name, spoken in zip(some, pronouncer.pronounce_all(list(map(normalise, some)))):
            if not any(one.phones in sounds for one in spoken):
                left.append(name)
        if len(left) >= most:
            break
    return left[:most]

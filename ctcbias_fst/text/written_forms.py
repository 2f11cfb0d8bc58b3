"""The ways in which a vocabulary may write a name: in capitals, with apostrophes, with marks."""

from __future__ import annotations

import re

from ctcbias_fst.text.letters import APOSTROPHES, Case
from ctcbias_fst.text.normalise import fold_diacritics, normalise
from ctcbias_fst.text.phrases import in_capitals_only
from ctcbias_fst.text.scripts import OPTIONAL_MARKS
from ctcbias_fst.text.token_marks import WordBoundary
from ctcbias_fst.text.vocabulary import Vocabulary

_TYPED = str.maketrans("\u2019\u2018\u02bc\u05f3\u2010\u2011\u05f4\u201d\u201c", "''''--\"\"\"")
_DOTLESS = frozenset("\u0130\u0131")
_SEVERAL_FORMS = _DOTLESS.union(
    APOSTROPHES[1:], "\u05d0", filter(OPTIONAL_MARKS.match, map(chr, range(0x591, 0x671)))
)
"""Letters of vocabularies that may write a name in one case in several ways."""

_PUNCTUATION = re.compile(r"[^\w\s']")


def written_forms(text: str, display: str, vocabulary: Vocabulary) -> list[str]:
    """The forms in which a vocabulary may write a spelling of a name, the spelling itself first.

    One with capitals and small letters may write it in small letters, with a capital at the
    beginning or at that of every word, as it is displayed, and in capitals if that is how its
    display is written; one with punctuation, also with that of the display (``coca-cola``).
    """
    bases = [text]
    shown = display.translate(_TYPED).strip()
    as_shown = fold_diacritics(normalise(shown)) == fold_diacritics(text)
    if as_shown and vocabulary.closes_word.any():
        bases.append(shown.lower())
    letters = vocabulary.letters
    turkish = not _DOTLESS.isdisjoint(letters)
    if turkish:
        if as_shown:
            bases.append(shown.replace("\u0130", "i").replace("I", "\u0131").lower())
        if vocabulary.upper_case:
            bases += [base.replace("i", "i\u0307") for base in bases]
    if "'" in text and _parts_apostrophes(vocabulary):
        bases.append(text.replace("'", " ' "))
    bases += [OPTIONAL_MARKS.sub("", base) for base in bases]
    if '"' in shown and as_shown and "\u05f4" in letters:
        bases.append(shown.replace('"', "\u05f4"))
    bases += [base.replace("'", c) for base in bases for c in APOSTROPHES if c in letters]
    if vocabulary.case is not Case.BOTH:
        return list(dict.fromkeys(bases))
    forms = []
    for base in bases:
        words = base.split(" ")
        forms += [base, _capitalised(base, turkish)]
        forms.append(" ".join(_capitalised(word, turkish) for word in words))
        forms.append("-".join(_capitalised(part, turkish) for part in forms[-1].split("-")))
        if display.isupper():
            forms.append(base.upper())
    if in_capitals_only(text, shown):
        forms.append(shown)  # US, which is no *us* where capitals are written
    if as_shown:
        forms += [shown, " ".join(_PUNCTUATION.sub(" ", shown).split())]
    return list(dict.fromkeys(forms))


def has_one_form(vocabulary: Vocabulary) -> bool:
    """Whether `written_forms` finds nothing beside a spelling itself."""
    return (
        vocabulary.case is not Case.BOTH
        and not vocabulary.closes_word.any()
        and not _parts_apostrophes(vocabulary)
        and _SEVERAL_FORMS.isdisjoint(vocabulary.letters)
    )


def _parts_apostrophes(vocabulary: Vocabulary) -> bool:
    """Whether an apostrophe may be a word of its own, as in BERT's wordpieces."""
    return vocabulary.boundary is WordBoundary.CONTINUATION and "'" in vocabulary.index


def _capitalised(text: str, turkish: bool) -> str:
    first = "\u0130" if turkish and text.startswith("i") else text[:1].upper()
    return first + text[1:]

"""The phones of English as the tokens of a model: ARPAbet, with stress or without, or IPA."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

from ctcbias_fst.errors import ModelError
from ctcbias_fst.text.phone_symbols import ipa_forms, is_arpabet, phones_of_symbol
from ctcbias_fst.text.phones import PHONES
from ctcbias_fst.text.token_lexicon import Tokens
from ctcbias_fst.text.vocabulary import Vocabulary

_MERGED = {"AH": ("ə", "ʌ")}
"""What ARPAbet without stress does not tell apart."""

_MAX_LACKING = 8

_SECOND = 0.5
"""Nats for what is written second."""


class PhoneTokens:
    """Writes phones of ARPAbet in the tokens of a model.

    Args:
        vocabulary: of the model.

    Attributes:
        lacking: phones that it has no token for; a few, of dialects, may be.
        tokens: those that write phones of English.

    Raises:
        ModelError: it lacks many phones of English.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        arpabet = is_arpabet(vocabulary.tokens)
        one_way = _arpabet_ways if arpabet else _ipa_ways
        self._ways: dict[tuple[str, ...], list[Tokens]] = {
            (phone,): one_way(phone, vocabulary) for phone in PHONES
        }
        lacking = [phone for phone in PHONES if not self._ways[(phone,)]]
        self.lacking = tuple(lacking)
        if not arpabet:
            self._ways.update(_pairs(vocabulary))
        self.tokens = frozenset(
            one for ways in self._ways.values() for tokens in ways for one in tokens
        )
        if len(lacking) > _MAX_LACKING:
            raise ModelError(
                f"the model has no token for the phones {', '.join(lacking[:5])} and others of "
                "English, in ARPAbet or IPA"
            )

    def write(self, phones: Sequence[str], most: int = 4) -> list[tuple[Tokens, float]]:
        """How phones are written, the likeliest way first; not at all if the model lacks one.

        Args:
            phones: of :data:`ctcbias_fst.text.phones.PHONES`.
            most: ways, at most.
        """
        best: list[list[tuple[Tokens, float]]] = [[((), 0.0)]]
        for end in range(1, len(phones) + 1):
            ways: list[tuple[Tokens, float]] = []
            for begin in range(max(0, end - 2), end):  # two phones that are one token go first
                if last := self._ways.get(tuple(phones[begin:end])):
                    ways += [
                        (before + tokens, cost + _SECOND * rank)
                        for before, cost in best[begin]
                        for rank, tokens in enumerate(last)
                    ]
            best.append(sorted(ways, key=itemgetter(1))[:most] if len(ways) > 1 else ways)
        return best[-1]


def _pairs(vocabulary: Vocabulary) -> dict[tuple[str, ...], list[Tokens]]:
    """Vowels and what follows them in one token of IPA, as espeak writes them: ``ɑːɹ``, ``əl``."""
    pairs: dict[tuple[str, ...], list[Tokens]] = {}
    for column, token in enumerate(vocabulary.tokens):
        phones = phones_of_symbol(token, arpabet=False) or ()
        if len(phones) == 2 and phones[0][0] in "AEIOU" and phones[1] in ("R", "L"):
            pairs.setdefault(phones, []).append((column,))
    return pairs


def _arpabet_ways(phone: str, vocabulary: Vocabulary) -> list[Tokens]:
    """The tokens of one phone; several ways where the model tells stress apart."""
    index = vocabulary.index
    for written in (phone, phone.lower()):
        stressed = [f"{written}{stress}" for stress in "102"]
        known = [one for one in (written, *stressed) if one in index]
        if known:
            return [(index[one],) for one in known]
    return []


def _ipa_ways(phone: str, vocabulary: Vocabulary) -> list[Tokens]:
    """The same in IPA; several ways where it tells more apart than ARPAbet does."""
    index = vocabulary.index
    known_forms = [form for form in ipa_forms(phone) if all(part in index for part in form)]
    if not known_forms:
        return []
    merged = [[one] for one in _MERGED.get(phone, ()) if one in index]
    return [tuple(index[part] for part in form) for form in merged or known_forms[:1]]

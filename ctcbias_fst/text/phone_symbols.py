"""Symbols that phone models write, IPA or ARPAbet, as the 39 phones of :mod:`.phones`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ctcbias_fst.text.phones import PHONE_ID, PHONES

# fmt: off
IPA: Mapping[str, str] = {
    "ɜɹ": "ER", "əɹ": "ER", "ᵊɹ": "ER", "ɐɹ": "ER", "ɚ": "ER", "ɝ": "ER", "ɜ": "ER",
    "e": "EY", "o": "OW", "ᵊ": "AH", "ə": "AH", "ɐ": "AH", "ʌ": "AH", "ᵻ": "IH", "ɨ": "IH",
    "ɪ": "IH", "i": "IY", "y": "IY", "ʊ": "UH", "u": "UW", "ʉ": "UW", "ɑ": "AA", "ɒ": "AA",
    "a": "AA", "æ": "AE", "ɔ": "AO", "ɛ": "EH", "b": "B", "ʧ": "CH", "tʃ": "CH", "d": "D",
    "ð": "DH", "f": "F", "ɡ": "G", "g": "G", "h": "HH", "ɦ": "HH", "ʤ": "JH", "dʒ": "JH",
    "k": "K", "c": "K", "q": "K", "x": "K", "l": "L", "ɫ": "L", "m": "M", "ɱ": "M", "n": "N",
    "ɲ": "N Y", "ŋ": "NG", "p": "P", "ɹ": "R", "r": "R", "s": "S", "ʃ": "SH", "t": "T", "ɾ": "T",
    "ʔ": "T", "θ": "TH", "v": "V", "w": "W", "ʍ": "W", "j": "Y", "z": "Z", "ʒ": "ZH",
    "ʦ": "T S", "ʣ": "D Z",
}
# fmt: on
"""How English is written in IPA: symbols to phones; the longest match wins."""

_DIPHTHONGS = {"eɪ": "EY", "aɪ": "AY", "oʊ": "OW", "əʊ": "OW", "aʊ": "AW", "ɔɪ": "OY"}
"""Only within one symbol: of several, ``ɔ`` and ``ɪ`` are two vowels, as in *drawing*."""

_MODIFIERS = frozenset("ˈˌ'ːˑ.‿̃͜͡ʰʲʷ̴̥̩̯̪̠̬ˠ˞‍▁")
"""What says how a sound is stressed, how long it is, or how it differs a little."""

_OTHERS = {"AX": "AH", "AXR": "ER", "IX": "IH", "UX": "UW", "DX": "T", "HV": "HH", "NX": "N",
           "EL": "AH L", "EM": "AH M", "EN": "AH N", "ENG": "NG"}  # fmt: skip
"""Phones of ARPAbet (TIMIT) beyond the 39."""


def phones_of_symbol(symbol: str, *, arpabet: bool) -> tuple[str, ...] | None:
    """The phones that a symbol stands for; None if it is no symbol of English phones.

    Args:
        symbol: one token of a phone model, such as ``AA1``, ``tʃ`` or ``ɑːɹ``.
        arpabet: whether the model writes ARPAbet, or IPA.
    """
    if arpabet:
        phone = symbol.strip("▁").upper().rstrip("0123456789")
        found = _OTHERS.get(phone, phone).split()
        return tuple(found) if found and set(found) <= set(PHONES) else None
    known = {**IPA, **_DIPHTHONGS}
    sounds = "".join(char for char in symbol if char not in _MODIFIERS)
    phones: list[str] = []
    while sounds:
        size = next((n for n in (2, 1) if sounds[:n] in known), 0)
        if not size:
            return None
        phones += known[sounds[:size]].split()
        sounds = sounds[size:]
    return tuple(phones) or None


def is_arpabet(symbols: Iterable[str]) -> bool:
    """Whether most vowels of ARPAbet are among the symbols."""
    bare = {symbol.strip("▁").upper().rstrip("0123456789") for symbol in symbols}
    vowels = [phone for phone in PHONES if phone[0] in "AEIOU"]
    return 2 * sum(phone in bare for phone in vowels) > len(vowels)


def columns_of_phones(phones: Iterable[str]) -> tuple[int, ...]:
    """Columns of a phone head, whose column 0 is the blank.

    Raises:
        ValueError: one is none of the 39.
    """
    found = tuple(phones)
    for phone in found:
        if phone not in PHONE_ID:
            raise ValueError(f"{phone!r} is none of the 39 phones {' '.join(PHONES)}")
    return tuple([PHONE_ID[phone] for phone in found])

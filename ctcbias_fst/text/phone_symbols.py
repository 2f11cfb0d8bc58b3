"""Symbols that phone models write, IPA or ARPAbet, as the 39 phones of :mod:`.phones`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ctcbias_fst.text.phones import PHONE_ID, PHONES

# fmt: off
IPA: Mapping[str, str] = {
    "AA": "ɑ,ɑː,a,ɒ", "AE": "æ,~a", "AH": "ə,ʌ,ɐ,ᵊ", "AO": "ɔ,ɔː,~ɒ", "AW": "aʊ,a ʊ",
    "AY": "aɪ,a ɪ", "B": "b", "CH": "t͡ʃ,tʃ,ʧ,t ʃ", "D": "d", "DH": "ð", "EH": "ɛ,~e",
    "ER": "ɝ,ɚ,ɜː,ɜ,ə ɹ,ɜ ɹ,ᵊ ɹ,ɐ ɹ", "EY": "eɪ,e ɪ,e", "F": "f", "G": "g,ɡ", "HH": "h,ɦ",
    "IH": "ɪ,ᵻ,ɨ", "IY": "i,iː,y", "JH": "d͡ʒ,dʒ,ʤ,d ʒ", "K": "k,c,q,x", "L": "l,ɫ", "M": "m,ɱ",
    "N": "n", "NG": "ŋ", "OW": "oʊ,əʊ,o ʊ,o", "OY": "ɔɪ,ɔ ɪ", "P": "p", "R": "ɹ,r", "S": "s",
    "SH": "ʃ", "T": "t,ɾ,ʔ", "TH": "θ", "UH": "ʊ", "UW": "u,uː,ʉ", "V": "v", "W": "w,ʍ", "Y": "j",
    "Z": "z", "ZH": "ʒ", "N Y": "ɲ", "T S": "ʦ", "D Z": "ʣ",
}
# fmt: on
"""How phones of English are written in IPA, the usual way first; a space parts what may be two
symbols. With ``~`` it is another phone that is usually written so, and read from it."""


_MODIFIERS = frozenset("ˈˌ'ːˑ.‿̃͜͡ʰʲʷ̴̥̩̯̪̠̬ˠ˞‍▁")
"""What says how a sound is stressed, how long it is, or how it differs a little."""


def _bare(form: str) -> str:
    """A symbol without its modifiers, of one or two characters."""
    return "".join(char for char in form if char not in _MODIFIERS and char != " ")


SYMBOLS = {
    _bare(form): phones
    for phones, forms in IPA.items()
    for form in forms.split(",")
    if not form.startswith("~")
}
"""The same the other way round: symbols to phones; the longest match wins."""

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
    sounds = _bare(symbol)
    phones: list[str] = []
    while sounds:
        size = next((n for n in (2, 1) if sounds[:n] in SYMBOLS), 0)
        if not size:
            return None
        phones += SYMBOLS[sounds[:size]].split()
        sounds = sounds[size:]
    return tuple(phones) or None


def ipa_forms(phone: str) -> list[list[str]]:
    """How one of the 39 phones is written in IPA, the usual way first: the symbols of each way."""
    return [form.lstrip("~").split(" ") for form in IPA[phone].split(",")]


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

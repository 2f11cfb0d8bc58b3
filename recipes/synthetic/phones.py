"""Phones of what was spoken: IPA or festival phones to 39 ARPAbet phones without stress.

A pronunciation is written as ARPAbet phones separated by spaces, with ``|`` between words
(``"DH AH | K AE T"``). The two tables below were reviewed by hand against CMUdict.
"""

from __future__ import annotations

from collections.abc import Sequence

from ctcbias_fst.text.phone_symbols import SYMBOLS

__all__ = ["ARPABET", "from_festival", "from_ipa", "join_words", "place_boundaries", "split_ipa"]

# fmt: off
ARPABET = (
    "AA", "AE", "AH", "AO", "AW", "AY", "B", "CH", "D", "DH", "EH", "ER", "EY", "F", "G", "HH",
    "IH", "IY", "JH", "K", "L", "M", "N", "NG", "OW", "OY", "P", "R", "S", "SH", "T", "TH", "UH",
    "UW", "V", "W", "Y", "Z", "ZH",
)
# fmt: on

# The alphabet of Kokoro and hibari (misaki): capital letters are diphthongs, and two vowels in a
# row are two, as in "drawing".
_DIPHTHONGS = {"AW", "AY", "EY", "OW", "OY"}
_IPA = {
    **{
        symbol: phones
        for symbol, phones in SYMBOLS.items()
        if len(symbol) == 1 or phones not in _DIPHTHONGS
    },
    "A": "EY",
    "I": "AY",
    "O": "OW",
    "Q": "OW",
    "W": "AW",
    "Y": "OY",
    "T": "T",  # the American flap: CMUdict has T (or D), and the letter is mostly t
}
_SILENT = frozenset("ˈˌː̃ʰʲ‍" + ";:,.!?—…\"()“”'’")

# Festival's and flite's radio phones (lower case) that differ from ARPAbet.
_FESTIVAL = {
    "ax": "AH",
    "ah": "AH",
    "ix": "IH",
    "axr": "ER",
    "el": "AH L",
    "em": "AH M",
    "en": "AH N",
    "dx": "T",
    "nx": "N",
    "hv": "HH",
}
_PAUSES = frozenset({"pau", "h#", "brth", "ssil", "sil", "#"})


def from_festival(symbols: Sequence[str]) -> list[str]:
    """Phones of festival or flite as ARPAbet; pauses vanish.

    Raises:
        ValueError: a symbol that is in no table.
    """
    phones: list[str] = []
    for symbol in symbols:
        if symbol in _PAUSES:
            continue
        mapped = _FESTIVAL.get(symbol, symbol.upper()).split()
        if any(phone not in ARPABET for phone in mapped):
            raise ValueError(f"unknown phone {symbol!r}")
        phones += mapped
    return phones


def from_ipa(word: str) -> list[str]:
    """One word of IPA as ARPAbet phones; stress marks and punctuation vanish.

    Raises:
        ValueError: a character that is in no table.
    """
    sounds = "".join(char for char in word if char not in _SILENT)
    phones: list[str] = []
    at = 0
    while at < len(sounds):
        for size in (2, 1):
            mapped = _IPA.get(sounds[at : at + size])
            if mapped is not None and at + size <= len(sounds):
                phones += mapped.split()
                at += size
                break
        else:
            raise ValueError(f"unknown IPA symbol {sounds[at]!r} in {word!r}")
    return _single_r(phones)


def _single_r(phones: Sequence[str]) -> list[str]:
    """The G2P writes R twice in "irrelevant" or "furry"; it is heard, and in CMUdict, once."""
    return [
        phone
        for index, phone in enumerate(phones)
        if not (phone == "R" and index and phones[index - 1] in ("R", "ER"))
    ]


def split_ipa(ipa: str) -> list[list[str]]:
    """A line of IPA as a list of words, each a list of ARPAbet phones."""
    words = [from_ipa(word) for word in ipa.split()]
    return [word for word in words if word]


def join_words(words: Sequence[Sequence[str]]) -> str:
    """``[["DH", "AH"], ["K", "AE", "T"]]`` as ``"DH AH | K AE T"``."""
    return " | ".join(" ".join(word) for word in words)


def place_boundaries(phones: Sequence[str], words: Sequence[Sequence[str]]) -> list[list[str]]:
    """Cut a line of phones into words, given how each word sounds on its own.

    The cheapest edit alignment (substitution, deletion and insertion cost 1) between
    ``phones`` and the words' own phones decides where the cuts go.

    Args:
        phones: what was spoken, without boundaries.
        words: one list of phones per word, spoken in isolation.

    Returns:
        As many lists as ``words``, whose concatenation is ``phones``; a list may be empty.
    """
    reference = [(phone, index) for index, word in enumerate(words) for phone in word]
    rows, columns = len(phones), len(reference)
    cost = [[0] * (columns + 1) for _ in range(rows + 1)]
    for row in range(rows + 1):
        for column in range(columns + 1):
            if not row or not column:
                cost[row][column] = row + column
                continue
            differs = phones[row - 1] != reference[column - 1][0]
            cost[row][column] = min(
                cost[row - 1][column - 1] + differs,
                cost[row - 1][column] + 1,
                cost[row][column - 1] + 1,
            )
    owner = [0] * rows
    row, column = rows, columns
    while row:
        differs = not column or phones[row - 1] != reference[column - 1][0]
        if column and cost[row][column] == cost[row - 1][column - 1] + differs:
            owner[row - 1] = reference[column - 1][1]
            row, column = row - 1, column - 1
        elif cost[row][column] == cost[row - 1][column] + 1:
            owner[row - 1] = reference[max(column - 1, 0)][1] if reference else 0
            row -= 1
        else:
            column -= 1
    cut: list[list[str]] = [[] for _ in words]
    for phone, word in zip(phones, owner):
        cut[word].append(phone)
    return cut

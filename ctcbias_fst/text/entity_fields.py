"""What an entry of a list may say of a name: texts, numbers, phones; and what is wrong in them."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ctcbias_fst.errors import EntityListError
from ctcbias_fst.text.list_lines import COLUMNS, LONGEST_NAME
from ctcbias_fst.text.phones import PHONES
from ctcbias_fst.text.text_files import SURROGATES, as_number, quoted

EMPTY = "empty after normalisation (no letter, no digit)"
REMEDY = "list it as it is said, and give what is to be shown as its 'display'"
MAX_WEIGHT = 100.0
"""A name of weight w earns w times what it earns otherwise, some ten nats. Scores are summed in 32
bits, which tell thousandths of a nat apart up to 2**14 nats: at this weight up to some fifteen
names in an utterance. Where they do not tell nats apart, at 1e5, k2 ends the process."""

_MAX_PRIOR = 1e9
_MEANING = {
    "weight": "a factor on what the name is worth, 1 where none is given",
    "prior": "how much more frequent it is than others, 1 where none is given",
}

# White space in an ASCII name that a display form does not keep as it is.
_ODD_SPACE = re.compile(r"[^\S ]|  ")

# What no output shows, and neither XML nor a terminal may be given: control characters, marks that
# turn the direction of text, code points that are no characters.
CONTROLS = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u200b\u2060\ufeff\u202a-\u202e\u2066-\u2069\ufdd0-\ufdef\ufffe\uffff]"
)
_ARPABET = frozenset(PHONES)


def is_name(name: str) -> bool:
    """Tell whether a normal form has a letter or a digit; a combining mark alone is no name."""
    return any(map(str.isalnum, name)) or any(unicodedata.category(c)[0] in "LN" for c in name)


def visible(text: str) -> bool:
    """Tell whether anything is to be seen of a text."""
    return any(unicodedata.category(c)[0] not in "ZC" for c in text)


def fault(name: str, display: str, weight: Any = 1.0, prior: Any = 1.0) -> str:
    """Say why an entry can have no effect; empty if it can."""
    if not is_name(name):
        symbols = any(unicodedata.category(c)[0] == "S" for c in display)
        return f"{EMPTY}; {REMEDY}" if symbols else EMPTY
    if SURROGATES.search(display):
        return "it has half of a character (a lone surrogate), which no file can hold"
    for what, value, most in (("weight", weight, MAX_WEIGHT), ("prior", prior, _MAX_PRIOR)):
        number = as_number(value)
        if not (number > 0 and math.isfinite(number)):
            return f"its {what} ({_MEANING[what]}) must be a positive number, not {quoted(value)}"
        if not 1 / _MAX_PRIOR <= number <= most:
            return (
                f"its {what} must be at most {most:g}, not {quoted(value)}"
                if number > 1
                else (f"its {what} must be at least {1 / _MAX_PRIOR:g}, not {quoted(value)}")
            )
    return ""


def require_short(numbers: Sequence[int], texts: Sequence[str], where: str, what: str) -> None:
    """Refuse what is far too long for a name."""
    if max(map(len, texts), default=0) <= LONGEST_NAME:
        return
    number, text = next((n, t) for n, t in zip(numbers, texts) if len(t) > LONGEST_NAME)
    raise EntityListError(
        f"{where} {number}: a {what} of {len(text)} characters, which begins with "
        f"{quoted(text, 40)}; the most is {LONGEST_NAME}. Write one name per line."
    )


def without_controls(texts: Sequence[str]) -> Sequence[str]:
    """Return the names without control characters; the very same list if there are none."""
    if not CONTROLS.search("".join(texts)):
        return texts
    return [CONTROLS.sub("", text) for text in texts]


def displays_of(texts: Sequence[str]) -> list[str]:
    """As written, but composed (NFC) and with single spaces."""
    block = "".join(texts)
    if block.isascii() and not _ODD_SPACE.search(block):
        return [text.strip() for text in texts]
    return [
        text.strip()
        if text.isascii() and not _ODD_SPACE.search(text)
        else " ".join(unicodedata.normalize("NFC", text).split())
        for text in texts
    ]


def check_keys(keys: Iterable[Any], where: str, place: str = "") -> None:
    """Refuse columns or keys that are not known, or without a name among them."""
    unknown = [key for key in keys if key not in COLUMNS]
    if unknown:
        raise EntityListError(
            f"{where}: unknown column or key {quoted(unknown[0])}{place}; known are: "
            f"{', '.join(COLUMNS)}."
        )
    if "name" not in keys:
        raise EntityListError(f"{where}: 'name' is missing{place}.")


def fields_of(row: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return the further fields of `Entity` that a row gives."""
    given = {key: value for key, value in row.items() if value is not None and key != "name"}
    for key in ("category", "display"):
        if key in given:
            given[key] = SURROGATES.sub("\ufffd", one_line(given[key], key, where))
    if "sounds_like" in given:
        given["sounds_like"] = _several(given["sounds_like"], "sounds_like", where)
    if "pronunciations" in given:
        phones = given["pronunciations"]
        if isinstance(phones, (list, tuple)):
            phones = [" ".join(p) if is_texts(p) else p for p in phones]
        several = _several(phones, "pronunciations", where)
        given["pronunciations"] = tuple(_phones(text) for text in several)
    return given


def _phones(text: str) -> tuple[str, ...]:
    """Return phones without stress; those that are not ARPAbet, as they are written."""
    written = text.split()
    phones = tuple([phone.upper().rstrip("012") for phone in written])
    return phones if _ARPABET.issuperset(phones) else tuple(written)


def one_line(value: Any, key: str, where: str) -> str:
    """Return a text with single spaces, if it is one."""
    if not isinstance(value, str):
        raise EntityListError(f"{where}: {key!r} must be a string, not {quoted(value)}.")
    if key != "name":
        value = CONTROLS.sub("", value)
        require_short([0], [value], f"{where}, {key!r}", "text")
    return " ".join(value.split())


def _several(value: Any, key: str, where: str) -> tuple[str, ...]:
    """Strings from a JSON list, or from one string in which ``;`` separates them."""
    texts = value.split(";") if isinstance(value, str) else value
    if not is_texts(texts):
        raise EntityListError(
            f"{where}: {key!r} must be strings (a list, or one string separated by ';'), "
            f"not {quoted(value)}."
        )
    cleaned = [SURROGATES.sub("", CONTROLS.sub("", text)).strip() for text in texts]
    require_short(range(1, len(cleaned) + 1), cleaned, f"{where}, {key!r}", "text")
    return tuple([text for text in cleaned if text])


def is_texts(value: Any) -> bool:
    """Whether a value is a list of strings."""
    return isinstance(value, (list, tuple)) and all(isinstance(text, str) for text in value)

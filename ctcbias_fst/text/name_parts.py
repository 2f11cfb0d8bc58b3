"""The parts of a name that are said one by one: runs of letters, runs of digits, symbols."""

from __future__ import annotations

import itertools
import re
import unicodedata
from typing import NamedTuple

from ctcbias_fst.text.numbers import SCALES, UNITS

_INSIDE_WORDS = {"$": "s", "!": "i"}
"""What stands for a letter between letters: Ke$ha, P!nk."""
_FOR_A_LETTER = re.compile(r"[^\W\d_](?:\$|!)[^\W\d_]")

_AND = re.compile(r"['’][Nn](?:['’]|(?!\w))|(?<!\w)[Nn]['’](?=\s)")
_SCHEME = re.compile(r"\b(?:https?|ftp)://", re.IGNORECASE)
_GLUED = re.compile(
    rf"(?<=\d) (?=°|(?:{'|'.join(sorted((*UNITS, *SCALES), key=len, reverse=True))})(?!\w))"
)
SLASHED_UNITS = {"km/h": "kmh", "m/s": "mps", "mg/ml": "mgml", "mg/dl": "mgdl"}
_SLASHED = re.compile(rf"(?<=\d)(\s?)({'|'.join(SLASHED_UNITS)})(?!\w)", re.IGNORECASE)
_ASCII_RUN = re.compile(r"(?P<letters>[A-Za-z']+)|(?P<digits>\d+)|(?P<symbol>.)", re.DOTALL)
_VULGAR = re.compile("(\\d?)([\u00bc-\u00be\u2150-\u215e])")
_POWERS = re.compile("(?<=[^\\W\\d_])[\u00b2\u00b3](?!\\w)")
_NUMERO = re.compile("\u2116 ?|\\b[Nn][\u00ba\u00b0] ?(?=\\d)")
_GREEK = re.compile("(?<![^\\W\\d_])[\u0391-\u03c9](?![^\\W\\d_])")


class Part(NamedTuple):
    """A run of letters, a run of digits, or one symbol, and whether white space is before it.

    Digits keep the comma between thousands, the point of a decimal, and endings as in ``21st``.
    """

    kind: str
    text: str
    apart: bool


def chunks_of(text: str) -> list[str]:
    """Part a name at white space; what is one to the ear is one chunk: ``$1.2 billion``."""
    if text.isascii() and text.replace(" ", "").isalnum():
        return (_GLUED.sub("", text) if " " in text else text).split()
    if not text.isascii():
        text = text.replace("™", " ").replace("℠", " ")
        text = _NUMERO.sub("No. ", text)
        text = _POWERS.sub(lambda found: " squared" if found[0] == "²" else " cubed", text)
        text = _VULGAR.sub(lambda found: f"{found[1]} & {found[2]}" if found[1] else found[2], text)
        text = unicodedata.normalize("NFKC", text)
    text = text.replace("&amp;", "&")
    if "://" in text:
        text = _SCHEME.sub("", text)
    if "'" in text or "’" in text:
        text = _AND.sub(" 'n' ", text)
    if not text.isascii():
        text = _GREEK.sub(_greek_letter, text)
    if "/" in text:
        text = _SLASHED.sub(lambda found: SLASHED_UNITS[found[2].lower()], text)
    return (_GLUED.sub("", text) if " " in text else text).split()


def _greek_letter(found: re.Match[str]) -> str:
    """``α``: alpha, apart from what is beside it."""
    name = unicodedata.name(found[0], "").split(" LETTER ")
    whole = found.string[: found.start()] + found.string[found.end() :]
    other = any("\u0370" <= character <= "\u03ff" for character in whole)
    return (
        f" {name[1].title()} " if len(name) == 2 and " " not in name[1] and not other else found[0]
    )


def stands_for_letters(text: str) -> bool:
    """Tell whether a symbol of a name stands for a letter: ``Ke$ha``, ``P!nk``."""
    return ("$" in text or "!" in text) and _FOR_A_LETTER.search(text) is not None


def parts_of(chunk: str) -> list[Part]:
    """Return the parts of a name that has no white space."""
    if chunk.isascii():
        found = _ASCII_RUN.finditer(chunk)
        parts = [Part(run.lastgroup or "", run[0], run.start() == 0) for run in found]
    else:
        parts = []
        for kind, several in itertools.groupby(chunk, _kind):
            text = "".join(several)
            for one in text if kind == "symbol" else [text]:
                parts.append(Part(kind, one, not parts))
    return _merged(parts) if len(parts) > 1 else parts


def _kind(character: str) -> str:
    if character.isdecimal():
        return "digits"
    letter = character.isalpha() or unicodedata.category(character)[0] == "M"
    return "letters" if letter or character in "'’ʼ" else "symbol"


def _merged(parts: list[Part]) -> list[Part]:
    """Join what is one: ``Ke$ha``, ``1,000``, ``2.5``, ``21st``."""
    merged: list[Part] = []
    position = 0
    while position < len(parts):
        part = parts[position]
        after = parts[position + 1] if position + 1 < len(parts) else None
        before = merged[-1] if merged else None
        if part.kind == "symbol" and before is not None and after is not None:
            both = before.kind, after.kind
            joint = None
            if both == ("letters", "letters"):
                joint = _INSIDE_WORDS.get(part.text)
            elif both == ("digits", "digits") and part.text in ",.":
                joint = part.text if part.text == "." or len(after.text) == 3 else None
            if joint is not None:
                merged[-1] = before._replace(text=before.text + joint + after.text)
                position += 2
                continue
        ending = part.text in ("st", "nd", "rd", "th", "s", "'s") and not part.apart
        if before is not None and before.kind == "digits" and ending and "." not in before.text:
            merged[-1] = before._replace(text=before.text + part.text.strip("'"))
        else:
            merged.append(part)
        position += 1
    return merged

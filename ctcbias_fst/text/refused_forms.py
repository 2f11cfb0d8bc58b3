"""Files that are no lists of names, though a line of them could be one: refused by their form.

A name is rarely mistaken for one of these; where it might be, most lines have to be alike.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ctcbias_fst.text.phones import PHONES
from ctcbias_fst.text.text_files import quoted

PHONES_REMEDY = (
    "give the phones of a name as its 'pronunciations', as in "
    '{"name": "Tobias", "pronunciations": ["T OW B AY AH S"]} (docs/own-model.md)'
)

_NUMBER = r"[-+]?\d+(?:[.,]\d+)?%?"
_ONE_PER_LINE = "write one name per line"

# One such line is enough; what it is, and what to do.
_LINES = (
    (r"<[^<>\s@]+@[^<>\s@]+>", "an address of mail", _ONE_PER_LINE),
    (r"<[^<>\s]+>\s+\d+$", "a table of symbols", _ONE_PER_LINE),
    (
        r"^<[A-Za-z][\w:-]*(?:\s[^<>]*)?/?>|</[A-Za-z][\w:-]*\s*>|<[A-Za-z][\w:-]*\s*/>"
        r"|<(?:br|hr|p|b|i|u|em|strong|li|ul|ol|t[drh]|div|span|a|h[1-6])(?:\s[^<>]*)?/?>"
        r"|<!--|<\?xml|<!(?i:doctype)|\{\\rtf|^\|.*\|$",
        "markup",
        _ONE_PER_LINE,
    ),
    (r"^[{\[]\s*[\"'].*[}\]],?$", "JSON", "write a JSON object on every line, or names alone"),
    (r"^(?://|;|--\s|%\s|/\*|REM\s)", "a comment", "begin comments with '#'"),
    (r"\S\s+#\s", "a name and a comment", "write comments, with '#', on lines of their own"),
    (r"^\\(?:data\\|\d+-grams:|end\\)", "of an ARPA language model", "give that with --lm"),
    (r"^\\[a-z]+(?:\W|$)", "TeX", _ONE_PER_LINE),
    (r"\d:\d\d[.,]\d+\s+-->|^WEBVTT", "of subtitles", _ONE_PER_LINE),
    (r"^\S+ [\dA-Z] \d+\.\d+ \d+\.\d+ \S+", "of a CTM file", _ONE_PER_LINE),
    (r"^(?:<{7}|>{7}|={7})(?:\s|$)|^@@ .* @@|^\+\+\+ ", "of a patch", _ONE_PER_LINE),
    (r"^(?:INSERT|SELECT|CREATE|UPDATE) (?:INTO|TABLE|DISTINCT|\*)\s", "SQL", _ONE_PER_LINE),
    (r"^(?:From|To|Subject|Date): ", "of a mail", _ONE_PER_LINE),
    (r"^BEGIN:V[A-Z]+", "of an address book", _ONE_PER_LINE),
    (r"^```|^~~~", "Markdown", _ONE_PER_LINE),
    (r"^\w+=\(", "code", _ONE_PER_LINE),
    (r"^---$", "YAML", "write a JSON array of names, or one name per line"),
    (r"^-\s+\w+:\s", "a key and a value, as in YAML", "write a JSON array of objects"),
    (
        r"^\[[^\"\[\]]+,[^\[\]]*\]$",
        "a list on one line",
        "write a JSON array, or one name per line",
    ),
    (r"\S\\[nrt](?:\S|$)", "one line with '\\n' in it", "end lines as your editor does"),
    (r"%(?:20|C[23]|E2%8)", "an encoded address", "write the characters themselves"),
    (
        r"[\u00c2\u00c3][\u0080-\u00bf]|\u00e2\u20ac",
        "UTF-8 that was read as another encoding",
        "export the list anew as UTF-8",
    ),
    (r"[\x0b\x0c\x85\u2028\u2029]", "more than one line to some programs", "end lines with LF"),
)
_KEY_AND_VALUE = re.compile(
    r"(?:-\s+)?(?:\"(?!#[^\"]*\"\s+:\d)[^\"]+\"\s*:|'[^']+'\s*:\s|(?:name|names|phrases?|terms?"
    r"|value|text|content|entities|keywords|hotwords|vocabulary)\s*:(?:\s|$)|\w+\s*=\s*[\[\"'])"
)
_ANY_LINE = re.compile("|".join(f"(?P<_{i}>{form})" for i, (form, _, _) in enumerate(_LINES)))
_HINT = re.compile(
    r"[<>;\\#%/=|`{@:\[\x0b\x0c\x85\u2028\u2029\u00c2\u00c3\u00e2]|--|[A-Z]{4}|\+\+\+|\d\.\d"
)

# So are most lines.
_MOST = (
    (rf"^[^=]*\w\s*=\s*{_NUMBER}$", "a key and a value", "write weights in a column 'weight'"),
    (rf"^[^:]*\w:\s+{_NUMBER}$", "a key and a value", "write weights in a column 'weight'"),
    (r"\S\s+[-=]>\s+\S|\S\s*[→⇒]\s*\S", "two texts and an arrow", "write the second as 'display'"),
    (r"[^|]\|[^|]", "columns with '|' between", "separate columns by tabs, below a header"),
    (r"^[^:]*\w:$|^-\s+\S", "YAML", "write a JSON array of names, or one name per line"),
)
_ARC = re.compile(r"\d+\s+\d+\s+\S")
_ARC_OR_FINAL = re.compile(rf"\d+(?:\s+\d+\s+\S+(?:\s+\S+)?)?(?:\s+{_NUMBER})?")
_SYMBOL = re.compile(r"\S+\s+(\d+)")
_WORD_AND_PHONES = re.compile(rf"\S+\s+(?:(?:{'|'.join(PHONES)})[012]?(?:\s+|$)){{2,}}")
_PHONES_ALONE = re.compile(rf"(?:(?:{'|'.join(PHONES)})[012]?(?:\s+|$)){{3,}}")
_OF_TWO_LETTERS = re.compile(r"(?<!\S)[A-Z]{2}[012]?(?!\S)")
_LOOKED_AT = 1000
"""Lines: a file has one form."""

_WORDS_OF_JSON = ("null", "true", "false")


def refused_key(texts: Sequence[str]) -> tuple[int, str] | None:
    """As `refused_form`, of lines as they are: what is in quotation marks may be a name."""
    for place, text in enumerate(texts):
        if _KEY_AND_VALUE.match(text):
            return place, (
                f"{quoted(text, 30)} is a key and a value, as YAML, TOML and broken JSON have "
                "them. Write a JSON array of names, or one name per line."
            )
    return None


def refused_form(texts: Sequence[str]) -> tuple[int, str] | None:
    """Say which form of other files lines have, and what to do; None if they may be names.

    Args:
        texts: lines without white space around them, none empty.

    Returns:
        The place of the line that tells, and the message.
    """
    texts = texts[:_LOOKED_AT]
    block = "\n".join(texts)
    if _HINT.search(block):
        for place, text in enumerate(texts):
            found = _ANY_LINE.search(text) if _HINT.search(text) else None
            if found is not None and found.lastgroup is not None:
                _, what, remedy = _LINES[int(found.lastgroup[1:])]
                return place, f"{quoted(text, 30)} is {what}, no name; {remedy}."
        for form, what, remedy in _MOST:
            places = [i for i, text in enumerate(texts) if re.search(form, text)]
            keyed = what != "YAML" or any(texts[i].endswith(":") for i in places)
            if 2 * len(places) > len(texts) and keyed:
                return places[0], f"{quoted(texts[places[0]], 30)} is {what}, no name; {remedy}."
    return _table(texts)


def _table(texts: Sequence[str]) -> tuple[int, str] | None:
    """Tell lexicons, tables of symbols and what JSON has beside lists."""
    if len(texts) == 1 and texts[0] in _WORDS_OF_JSON:
        return 0, f"{texts[0]} is JSON, but no list. Write a JSON array, or one name per line."
    for place, text in enumerate(texts):
        # Several of two letters: "M T V" are letters.
        if _PHONES_ALONE.fullmatch(text) and len(_OF_TWO_LETTERS.findall(text)) > 1:
            return place, f"{quoted(text, 30)} are phones, no name; {PHONES_REMEDY}."
    lexicon = _WORD_AND_PHONES.fullmatch(texts[0]) and all(map(_WORD_AND_PHONES.fullmatch, texts))
    if lexicon and any(map(_OF_TWO_LETTERS.search, texts)):
        return 0, (
            f"{quoted(texts[0], 30)} is a word and its phones, as in a lexicon; give them in the "
            f"columns 'name' and 'pronunciations'."
        )
    # OpenFst begins with the arcs of the start state, which is 0.
    arcs = [bool(_ARC.match(text)) for text in texts] if texts[0].startswith("0") else []
    if arcs and arcs[0] and not all(arcs) and all(map(_ARC_OR_FINAL.fullmatch, texts)):
        return 0, (
            f"{quoted(texts[0], 30)} is of a transducer as OpenFst prints it; give that with "
            f"--graph, compiled, or {_ONE_PER_LINE}."
        )
    if len(texts) > 2 and _SYMBOL.fullmatch(texts[0]) and _SYMBOL.fullmatch(texts[-1]):
        numbers = [found[1] for found in map(_SYMBOL.fullmatch, texts) if found]
        if numbers in ([*map(str, range(len(texts)))], [*map(str, range(1, len(texts) + 1))]):
            return 0, f"{quoted(texts[0], 30)} is of a table of symbols; {_ONE_PER_LINE}."
    return None

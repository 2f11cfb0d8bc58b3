"""Lists of hot words of other tools, a line each: sherpa-onnx, icefall and NeMo."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Any

from ctcbias_fst.text.common_words import is_common
from ctcbias_fst.text.json_lists import scaled_weight
from ctcbias_fst.text.list_lines import (
    IS_NUMBER,
    NUMBER,
    WITH_HEADER,
    Lines,
    ListRows,
    cell_text,
    first_place,
)
from ctcbias_fst.text.text_files import quoted

_SCORE = re.compile(rf"\s:{NUMBER}(?:\s|$)|\s#0?\.\d+(?:\s|$)|\u2581")
_HAN_OR_KANA = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")

_SHERPA_USUAL = 1.5
_ALIKE = 0.6
"""Least likeness of a name and a spelling of it in NeMo's lists."""


def has_score(text: str) -> bool:
    """Whether a line has a score or pieces as sherpa-onnx's hot words do."""
    return _SCORE.search(text) is not None


def sherpa_list(lines: Lines) -> ListRows:
    """Read the hot words of sherpa-onnx and icefall: ``PHRASE :2.0``, pieces, ``@DISPLAY``."""
    rows = []
    scored = False
    for place, text in enumerate(lines.texts):
        tokens = text.split()
        row: dict[str, Any] = {}
        while len(tokens) > 1 and tokens[-1][0] in ":#@":
            mark, value = tokens[-1][0], tokens[-1][1:]
            if mark == "@" and value:
                row["display"] = value.replace("_", " ")
            elif IS_NUMBER.fullmatch(value):
                if mark == ":":
                    scored = True
                    row["weight"] = scaled_weight(float(value), _SHERPA_USUAL)
            elif mark == ":" and value:
                raise lines.fault(
                    place,
                    f"{quoted(tokens[-1])} is no score of sherpa-onnx's hot words, which is a "
                    "number behind a colon.",
                )
            else:
                break
            tokens.pop()
        if any(IS_NUMBER.fullmatch(token[1:]) for token in tokens if token[0] == ":"):
            raise lines.fault(
                place, f"a score of sherpa-onnx's hot words must be the last of {quoted(text)}."
            )
        row["name"] = cell_text(_joined_pieces(tokens))
        rows.append(row)
    note = "read as sherpa-onnx's hot words"
    if scored:
        note += f"; weights are its scores divided by {_SHERPA_USUAL:g}, the usual one there"
    return ListRows(lines.numbers, rows, (note,))


def _joined_pieces(tokens: Sequence[str]) -> str:
    if any("\u2581" in token for token in tokens):
        return " ".join("".join(tokens).replace("\u2581", " ").split())
    characters = all(len(token) == 1 and _HAN_OR_KANA.match(token) for token in tokens)
    return ("" if characters else " ").join(tokens)


def nemo_list(lines: Lines, texts: Sequence[str]) -> ListRows:
    """Read the lists of NeMo's word spotter, ``name_spelling_spelling``, if it is sure."""
    rows = []
    common: list[tuple[str, str]] = []
    alike = parts = 0
    for text in texts:
        name, *spellings = [part.strip() for part in text.split("_") if part.strip()] or [text]
        kept = [spelling for spelling in spellings if not is_common(spelling.lower())]
        common += [(name, spelling) for spelling in spellings if spelling not in kept]
        rows.append({"name": name, "sounds_like": kept})
        parts += len(spellings)
        alike += sum(are_alike(name, spelling) for spelling in spellings)
    if not parts or alike < 0.7 * parts:
        place = first_place(texts, lambda text: "_" in text) or 0
        raise lines.fault(
            place,
            f"{quoted(texts[place])} has '_'. If it stands for a space, write a space; if "
            f"spellings follow the name, as in NeMo's lists, give them in a column 'sounds_like': "
            f"{WITH_HEADER}.",
        )
    notes = ["read as the list of NeMo's word spotter (name_spelling_spelling)"]
    for name, spelling in common[:3]:
        word = quoted(spelling)
        notes.append(f"{word} for {quoted(name)} is a common word, which is not taken for it")
    if len(common) > 3:
        notes.append(f"{len(common) - 3} more spellings are common words")
    return ListRows(lines.numbers, rows, tuple(notes))


def are_alike(name: str, spelling: str) -> bool:
    one, other = (re.sub(r"\W+", "", text).lower() for text in (name, spelling))
    return SequenceMatcher(None, one, other, autojunk=False).ratio() >= _ALIKE

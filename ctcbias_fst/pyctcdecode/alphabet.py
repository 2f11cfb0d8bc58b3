"""Labels as pyctcdecode takes them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ctcbias_fst.errors import ModelError
from ctcbias_fst.text.text_files import quoted
from ctcbias_fst.text.token_lists import checked_tokens

_PAD = re.compile(r"[<\[]pad[>\]]", re.IGNORECASE)
_OTHER_BLANK = re.compile(r"[<\[](blk|blank|eps)[>\]]", re.IGNORECASE)
_UNKNOWN = re.compile(r"[<\[]unk[>\]]", re.IGNORECASE)
_SPECIAL = re.compile(r"[<\[].+[>\]]|")
_PREFIX, _CONTINUATION = "\u2581", "##"
_UNKNOWN_LABEL = "\u2047"


@dataclass(frozen=True)
class Alphabet:
    """The columns of a model, as pyctcdecode names them.

    Attributes:
        labels: one per column: "" is the blank; a space parts words, or U+2581 begins one; U+2047
            is the unknown token.
        is_bpe: whether labels are pieces of words.
        blank: the column of the blank.
    """

    labels: tuple[str, ...]
    is_bpe: bool
    blank: int

    @classmethod
    def build_alphabet(cls, labels: Sequence[str] | Mapping[str, int]) -> Alphabet:
        """Find out what labels are; a blank that is not among them comes behind the last one.

        Raises:
            ModelError: they are no list of strings, nor a mapping of these to columns, or one
                occurs twice.
        """
        found = list(checked_tokens(labels, "label"))
        twice = next((one for at, one in enumerate(found) if one in found[:at]), None)
        if twice is not None:
            raise ModelError(f"label {quoted(twice)} occurs more than once")
        continued = any(one.startswith(_CONTINUATION) for one in found)
        is_bpe = continued or any(one.startswith(_PREFIX) for one in found)
        if continued:
            found = [_with_prefix(one) for one in found]
        elif not is_bpe and " " not in found:
            found = [" " if one == "|" else one for one in found]
        blank = _blank(found, is_bpe)
        if blank == len(found):
            found.append("")
        found = ["" if at == blank or _PAD.fullmatch(one) else one for at, one in enumerate(found)]
        unknown = f"{_PREFIX}{_UNKNOWN_LABEL}{_PREFIX}" if is_bpe else _UNKNOWN_LABEL
        found = [unknown if _UNKNOWN.fullmatch(one) else one for one in found]
        return cls(tuple(found), is_bpe, blank)

    @property
    def tokens(self) -> list[str]:
        """The labels as :meth:`ctcbias_fst.decoder.Decoder.from_tokens` takes them."""
        tokens = [one or f"<pad {at}>" for at, one in enumerate(self.labels)]
        tokens[self.blank] = "<pad>"
        return ["<unk>" if one.strip(_PREFIX) == _UNKNOWN_LABEL else one for one in tokens]

    @property
    def options(self) -> dict[str, Any]:
        """The blank, and how words are told apart, if that is known; likewise."""
        parted = not self.is_bpe and " " in self.labels
        boundary = "prefix" if self.is_bpe else "separator" if parted else None
        return {"blank": self.blank, "boundary": boundary, "separator": " " if parted else None}

    def dumps(self) -> str:
        """As JSON, as pyctcdecode reads it."""
        return json.dumps({"labels": list(self.labels), "is_bpe": self.is_bpe})

    @classmethod
    def loads(cls, text: str) -> Alphabet:
        """Read what :meth:`dumps` wrote, or pyctcdecode.

        Raises:
            ModelError: it is something else.
        """
        try:
            content: Any = json.loads(text)
            return cls.build_alphabet(content["labels"])
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(f"no alphabet of pyctcdecode: {error!r}") from None


def _with_prefix(label: str) -> str:
    """A label of the style ``##ing`` in that of U+2581."""
    if label.startswith(_CONTINUATION):
        return label[len(_CONTINUATION) :]
    return label if _SPECIAL.fullmatch(label) or label == _PREFIX else _PREFIX + label


def _blank(labels: Sequence[str], is_bpe: bool) -> int:
    """The column of the blank; one behind the last label if it is none of these."""
    if "" in labels:
        return labels.index("")
    columns = [at for at, one in enumerate(labels) if _PAD.fullmatch(one)]
    if not columns and not is_bpe and "_" in labels:
        columns = [labels.index("_")]
    columns += [at for at, one in enumerate(labels) if _OTHER_BLANK.fullmatch(one)]
    return columns[0] if columns else len(labels)

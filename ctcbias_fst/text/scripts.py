"""Scripts without spaces between words (Thai to Myanmar, Khmer, ideographs, kana); points."""

from __future__ import annotations

import re

_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u30ff\u3400-\u9fff\uf900-\ufaff\uff66-\uff9f"
    "\U00020000-\U0003ffff]"
)


OPTIONAL_MARKS = re.compile(
    "[\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0640\u064b-\u0652\u0670]"
)
"""Points of Hebrew and Arabic, which most texts leave out."""


def is_unspaced(text: str) -> bool:
    """Whether a text begins in such a script."""
    return bool(_UNSPACED.match(text))


def apart(text: str) -> str:
    """The text with spaces around every letter of such a script."""
    return _UNSPACED.sub(r" \g<0> ", text)

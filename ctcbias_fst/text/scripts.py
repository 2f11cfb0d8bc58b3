"""Scripts that put no space between words: Thai to Myanmar, Khmer, ideographs, kana."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["apart", "is_unspaced", "spaced"]

_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u30ff\u3400-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff]"
)


def is_unspaced(text: str) -> bool:
    """Whether a text begins in such a script."""
    return bool(_UNSPACED.match(text))


def apart(text: str) -> str:
    """The text with spaces around every letter of such a script."""
    return _UNSPACED.sub(r" \g<0> ", text)


def spaced(words: Sequence[str]) -> str:
    """The words with spaces between them, but none between two letters of such scripts."""
    text = ""
    for word in words:
        glued = text and word and is_unspaced(text[-1]) and is_unspaced(word)
        text += word if glued or not text else f" {word}"
    return text

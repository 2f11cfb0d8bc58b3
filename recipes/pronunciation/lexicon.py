"""The lexicon that is shipped: CMUdict without stress, without what rules say as well."""

from __future__ import annotations

from pathlib import Path

from ctcbias_fst.pronunciation.lexicon import possessive
from ctcbias_fst.text.normalise import normalise

from .dictionary import Pronunciations
from .texts import write_gzip

__all__ = ["write_lexicon"]

_HEADER = "# CMUdict without stress; see LICENSE.cmudict beside this file.\n"


def write_lexicon(words: Pronunciations, target: Path) -> int:
    """Write the words that a normalised name can have; return their number."""
    kept = []
    for word, pronunciations in sorted(words.items()):
        if normalise(word) != word or len(word) == 1:
            continue
        stem = words.get(word[:-2]) if word.endswith("'s") else None
        if stem is not None and tuple(map(possessive, stem)) == pronunciations:
            continue
        kept.append((word, pronunciations))
    lines = [f"{word}\t{' '.join(phones)}\n" for word, found in kept for phones in found]
    write_gzip(target, _HEADER + "".join(lines))
    return len(kept)

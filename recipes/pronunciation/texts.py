"""What the recogniser's training text tells: how its words are spelt, and which are common."""

from __future__ import annotations

import gzip
import math
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from ctcbias_fst.files import atomic_path
from ctcbias_fst.ngram.estimate import estimate, prune
from ctcbias_fst.pronunciation import g2p_ngram as ngram_file
from ctcbias_fst.text.normalise import normalise_lines
from ctcbias_fst.text.text_files import read_lines

__all__ = ["count_words", "write_gzip", "write_spelling_model", "write_word_costs"]

_WORD = re.compile(r"[a-z]+(?:'[a-z]+)*")


def count_words(paths: Iterable[Path]) -> Counter[str]:
    """Count the words of plain letters in texts of one sentence per line."""
    counts: Counter[str] = Counter()
    for path in paths:
        for line in normalise_lines(read_lines(path)):
            counts.update(_WORD.findall(line))
    return counts


def write_spelling_model(
    counts: Counter[str], target: Path, order: int, threshold: float
) -> list[int]:
    """Estimate the letters' n-gram over words; return how many n-grams of each length it has.

    A word counts ``1 + log(times)``: what is looked for is how words that were never seen
    look, not the frequent few.
    """
    symbols = sorted({letter for word in counts for letter in word})
    number = {letter: ngram_file.FIRST_SYMBOL + i for i, letter in enumerate(symbols)}
    words = sorted(counts)
    sequences = [[number[letter] for letter in word] for word in words]
    orders = estimate(sequences, order, [1.0 + math.log(counts[word]) for word in words])
    orders = prune(orders, threshold)
    ngram_file.save(target, orders, symbols)
    return [len(found.symbol) for found in orders]


def write_word_costs(counts: Counter[str], target: Path, least: int, most: int) -> int:
    """Write the most frequent words with their cost, -log of the relative frequency."""
    total = sum(counts.values())
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:most]
    lines = [f"{w}\t{-math.log(times / total):.2f}\n" for w, times in ranked if times >= least]
    write_gzip(target, "".join(sorted(lines)))
    return len(lines)


def write_gzip(target: Path, text: str) -> None:
    """Write compressed text without a time stamp, so that the same text is the same file."""
    with atomic_path(target) as temporary:
        temporary.write_bytes(gzip.compress(text.encode(), compresslevel=9, mtime=0))

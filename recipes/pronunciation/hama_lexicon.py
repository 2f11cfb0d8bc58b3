"""How the rules of the package hama write words: the lexicon of its phone model.

    pip install -e '.[hama]'
    python recipes/pronunciation/hama_lexicon.py OUT.tsv.gz

The words are those of the language model inside the package, or of a file with one in each line.
40,000 take 20 minutes on one core.
"""

from __future__ import annotations

import argparse
import gzip
from collections.abc import Iterable
from pathlib import Path

from ctcbias_fst.models.hama_model import pronouncer
from ctcbias_fst.models.package import DEFAULT
from ctcbias_fst.ngram.ngram_lm import load_lm

_VOWELS = frozenset("aeiouy")


def lexicon_lines(words: Iterable[str]) -> list[str]:
    """A line for each word that the rules can write, in the order of the alphabet.

    They do not know what words without a vowel (``mr``, ``nbc``) stand for.
    """
    say = pronouncer()
    ways = {word: say.by_rules(word) for word in words if _VOWELS & set(word)}
    tokens = say.vocabulary.tokens
    return sorted(
        f"{word}\t{' '.join(tokens[one] for one in way)}\n" for word, way in ways.items() if way
    )


def main() -> None:
    """Write the lexicon."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="lexicon to write, .tsv.gz")
    parser.add_argument("--words", type=Path, help="a file with a word in each line")
    arguments = parser.parse_args()
    if arguments.words is None:
        symbols = load_lm(DEFAULT / "lm.safetensors").ngram.symbols
        words = [word for word in symbols if not word.startswith("<")]
    else:
        words = arguments.words.read_text(encoding="utf-8").split()
    text = "".join(lexicon_lines(words))
    arguments.out.write_bytes(gzip.compress(text.encode(), mtime=0))


if __name__ == "__main__":
    main()

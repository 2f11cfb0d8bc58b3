"""Words with their pronunciations in a model's tokens: for models whose tokens are phones."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ctcbias_fst.errors import InputError, warn_caller
from ctcbias_fst.text.text_files import content_lines, quoted
from ctcbias_fst.text.token_marks import PREFIX, WordBoundary, is_silence, is_special
from ctcbias_fst.text.vocabulary import Vocabulary

Tokens = tuple[int, ...]
Ways = Sequence[tuple[Tokens, float]]
"""Ways to say something: tokens, and a cost in nats, at least 0."""

_COMMENTS = (";;;", "#")
_FORM = "write a word and its phones in each line, parted by spaces: CAT K AE T"


@dataclass(frozen=True, eq=False)
class TokenLexicon:
    """A lexicon of one model.

    Attributes:
        words: each once, in the order of the alphabet.
        values: int32 (P,), the tokens of all pronunciations, columns of the model.
        row_splits: int64 (R + 1,), pronunciation r is ``values[row_splits[r]:row_splits[r + 1]]``.
        word: int32 (R,), ascending, the word of each.
        cost: float32 (R,), nats: how much less likely than the likeliest one of the word.
        source: where it is from, for messages.
    """

    words: tuple[str, ...]
    values: npt.NDArray[np.int32]
    row_splits: npt.NDArray[np.int64]
    word: npt.NDArray[np.int32]
    cost: npt.NDArray[np.float32]
    source: str

    def __repr__(self) -> str:
        return f"<TokenLexicon of {len(self.words)} words, {len(self)} pronunciations>"

    def __len__(self) -> int:
        """How many pronunciations."""
        return len(self.word)

    @classmethod
    def of(cls, ways: Iterable[tuple[str, Tokens, float]], source: str) -> TokenLexicon:
        """Take words, each with its tokens and what they cost; of equal ones the cheapest.

        Raises:
            InputError: there are none.
        """
        best: dict[str, dict[Tokens, float]] = {}
        for word, tokens, cost in ways:
            known = best.setdefault(word, {})
            known[tokens] = min(cost, known.get(tokens, cost))
        if not best:
            raise InputError(f"{source}: has no words: {_FORM}")
        words = sorted(best)
        rows = [(i, *way) for i, word in enumerate(words) for way in _sorted(best[word])]
        lengths = np.array([len(tokens) for _, tokens, _ in rows], dtype=np.int64)
        return cls(
            words=tuple(words),
            values=np.array([one for _, tokens, _ in rows for one in tokens], dtype=np.int32),
            row_splits=np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)]),
            word=np.array([i for i, _, _ in rows], dtype=np.int32),
            cost=np.array([cost for _, _, cost in rows], dtype=np.float32),
            source=source,
        )

    @classmethod
    def read(cls, lexicon: Any, vocabulary: Vocabulary) -> TokenLexicon:
        """Read a lexicon, as it is made for other toolkits, or take one in memory.

        A file has a word and its phones in each line, parted by spaces or tabs; a number between
        the two is a probability (Kaldi's ``lexiconp.txt``). Further pronunciations have lines of
        their own, or are marked ``word(2)``, as in the CMU dictionary. Words that are all in
        capitals are read in small letters, and stress (``AH0``) is left out if the model has none.

        What is behind a ``#`` is a remark.

        Args:
            lexicon: a path, or words mapped to pronunciations: a string of phones, or several.
            vocabulary: of the model.

        Raises:
            InputError: it is none of these, or of phones that the model does not have, or has the
                blank as a phone.
        """
        if isinstance(lexicon, TokenLexicon):
            return lexicon
        if isinstance(lexicon, (str, os.PathLike)):
            source, entries = os.fsdecode(lexicon), _entries(lexicon, vocabulary)
        elif isinstance(lexicon, Mapping):
            source, entries = "the lexicon", _listed(lexicon)
        else:
            raise InputError(
                f"lexicon must be the path of a lexicon, or words mapped to their phones, found "
                f"{quoted(lexicon)}"
            )
        ways, lacking, first = [], 0, ""
        for place, word, phones, cost in entries:
            tokens = [_token(phone, vocabulary) for phone in phones]
            if vocabulary.blank_id in tokens:
                blank = phones[tokens.index(vocabulary.blank_id)]
                raise InputError(
                    f"{source}: {place}{quoted(word)}: {quoted(blank)} is the model's blank, no "
                    "phone: leave it out"
                )
            if -1 not in tokens:
                ways.append((word, tuple(tokens), cost))
                continue
            lacking += 1
            phone = phones[tokens.index(-1)]
            first = first or f"the model has no token {quoted(phone)} ({place}{quoted(word)})"
        if lacking and not ways:
            raise InputError(f"{source}: {first}: this is the lexicon of another model")
        if lacking:
            warn_caller(
                f"{source}: {lacking} of {lacking + len(ways)} pronunciations are left out: {first}"
            )
        if ways and not any(c.islower() for word, _, _ in ways for c in word):
            ways = [(word.lower(), tokens, cost) for word, tokens, cost in ways]
        return cls.of(ways, source)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """What it is made of, to be stored."""
        texts = {"words": "\n".join(self.words), "source": self.source}
        return {
            **{name: np.frombuffer(text.encode(), dtype=np.uint8) for name, text in texts.items()},
            "values": self.values,
            "row_splits": self.row_splits,
            "word": self.word,
            "cost": self.cost,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> TokenLexicon:
        """Undo `arrays`.

        Raises:
            ValueError, KeyError: they are not of this form.
        """
        texts = [arrays[name].tobytes().decode() for name in ("words", "source")]
        lexicon = cls(
            words=tuple(texts[0].split("\n")),
            values=arrays["values"],
            row_splits=arrays["row_splits"],
            word=arrays["word"],
            cost=arrays["cost"],
            source=texts[1],
        )
        rows = len(lexicon.word)
        fits = len(lexicon.row_splits) == rows + 1 == len(lexicon.cost) + 1
        if not fits or lexicon.row_splits[-1] != len(lexicon.values):
            raise ValueError("the rows of a lexicon do not fit together")
        return lexicon

    @cached_property
    def _index(self) -> dict[str, list[int]]:
        """In small letters; ``US`` and ``us`` are two words of one entry."""
        index: dict[str, list[int]] = {}
        for i, word in enumerate(self.words):
            index.setdefault(word.lower(), []).append(i)
        return index

    @cached_property
    def _first(self) -> npt.NDArray[np.int64]:
        return np.searchsorted(self.word, np.arange(len(self.words) + 1))

    def ways(self, word: str) -> Ways:
        """The pronunciations of a word in capitals or small letters, the likeliest first.

        None if it is not listed; where several that differ in these are, those of all.
        """
        found = self._index.get(word.lower(), ())
        if len(found) == 1:
            return list(self._of_word(found[0]))
        best: dict[Tokens, float] = {}
        for tokens, cost in itertools.chain.from_iterable(map(self._of_word, found)):
            best[tokens] = min(cost, best.get(tokens, cost))
        return _sorted(best) if best else ()

    def entries(self) -> Iterator[tuple[str, Tokens, float]]:
        """Each word as it is written, with a pronunciation and what that costs."""
        return ((word, *way) for i, word in enumerate(self.words) for way in self._of_word(i))

    def _of_word(self, at: int) -> Iterator[tuple[Tokens, float]]:
        splits = self.row_splits
        for row in range(int(self._first[at]), int(self._first[at + 1])):
            tokens = self.values[splits[row] : splits[row + 1]]
            yield tuple(tokens.tolist()), float(self.cost[row])

    def with_ways(self, ways: Iterable[tuple[str, Tokens, float]]) -> TokenLexicon:
        """The same with further pronunciations, or further words.

        A word that is listed in other capitals is written as it is listed.
        """
        own = set(self.words)
        known = {lower: self.words[found[0]] for lower, found in self._index.items()}
        further = (
            (word if word in own else known.get(word.lower(), word), tokens, cost)
            for word, tokens, cost in ways
        )
        return self.of(itertools.chain(self.entries(), further), self.source)

    def vocabulary(self, model: Vocabulary) -> Vocabulary:
        """What a decoder writes with it: the words, behind the model's own tokens.

        Args:
            model: the model's vocabulary; its tokens come in blank-first order, and write nothing.
        """
        own = [f"<{token.strip('<>')} {i}>" for i, token in enumerate(model.blank_first().tokens)]
        words = [PREFIX + word for word in self.words]
        return Vocabulary((*own, *words), 0, WordBoundary.PREFIX)


def _sorted(ways: Mapping[Tokens, float]) -> list[tuple[Tokens, float]]:
    """Ways, the likeliest first, which costs nothing."""
    if len(ways) == 1:
        return [(way, 0.0) for way in ways]
    least = min(ways.values())
    return sorted(((way, cost - least) for way, cost in ways.items()), key=lambda one: one[::-1])


def _token(phone: str, vocabulary: Vocabulary) -> int:
    """The column of a phone as a lexicon has it, or -1."""
    index = vocabulary.index
    plain = phone.rstrip("012")
    return next((index[one] for one in (phone, plain, plain.lower()) if one in index), -1)


def _entries(
    path: str | os.PathLike[str], vocabulary: Vocabulary
) -> Iterator[tuple[str, str, list[str], float]]:
    """The lines of a file: where it is, the word, its phones and their cost."""
    for number, line in content_lines(Path(path)):
        if line.startswith(_COMMENTS):
            continue
        word, *phones = line.split()
        phones = list(itertools.takewhile(lambda one: not _begins_comment(one, vocabulary), phones))
        cost = 0.0
        probability = _probability(phones[0]) if phones and phones[0] not in vocabulary.index else 0
        if probability:
            cost, phones = -math.log(probability), phones[1:]
        noise = is_special(word) or word.startswith("!")
        if noise or (phones and all(map(is_silence, phones))):
            continue
        if not phones:
            raise InputError(f"{path}, line {number}: {quoted(word)} has no phones; {_FORM}")
        if word.endswith(")") and word[:-1].rpartition("(")[2].isdecimal():
            word = word[:-1].rpartition("(")[0] or word
        yield f"line {number}, ", word, phones, cost


def _begins_comment(phone: str, vocabulary: Vocabulary) -> bool:
    """Whether it is a remark behind an entry, as in the CMU dictionary: ``# foreign french``."""
    return phone.startswith("#") and phone not in vocabulary.index


def _probability(text: str) -> float:
    """A number above 0 and at most 1, or 0."""
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if 0 < value <= 1 else 0.0


def _listed(lexicon: Mapping[Any, Any]) -> Iterator[tuple[str, str, list[str], float]]:
    """The entries of a lexicon in memory.

    Warns:
        CtcbiasWarning: the phones of words look like pronunciations of one phone each.
    """
    apart = []
    for word, several in lexicon.items():
        ways = [several] if isinstance(several, str) else several
        good = isinstance(word, str) and isinstance(ways, (list, tuple))
        if good and not ways:
            raise InputError(f"lexicon: {quoted(word)} has no phones; {_FORM}")
        if not good or not word.split() or not all(isinstance(way, str) for way in ways):
            raise InputError(
                f"lexicon: {quoted(word)}: {quoted(several)}: map each word to its phones, such as "
                "{'cat': 'K AE T'}, or to a list of these"
            )
        for way in ways:
            if not way.split():
                raise InputError(f"lexicon: {quoted(word)} has no phones; {_FORM}")
            yield "", word, way.split(), 0.0
        if len(word) > 1 < len(ways) and all(len(way.split()) == 1 for way in ways):
            apart.append(word)
    if apart:
        ways = lexicon[apart[0]]
        warn_caller(
            f"lexicon: {quoted(apart[0])}: {quoted(ways)} are {len(ways)} pronunciations of one "
            f"phone each ({len(apart)} such words); if they are the phones of one, write "
            f"{quoted(' '.join(ways))}"
        )

"""Tokenizers: normalised text to the ids of a model's vocabulary, alternatives included."""

from __future__ import annotations

import heapq
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ctcbias_fst.errors import ModelError, warn_caller
from ctcbias_fst.recent import Recent
from ctcbias_fst.text.scripts import is_unspaced
from ctcbias_fst.text.text_files import PathLike, quoted
from ctcbias_fst.text.token_lists import load_sentencepiece
from ctcbias_fst.text.token_marks import CONTINUATION, PREFIX, WordBoundary, byte_of
from ctcbias_fst.text.vocabulary import Vocabulary


class Tokenizer(ABC):
    """Writes normalised text in the ids of a vocabulary.

    Attributes:
        vocabulary: the one that the ids belong to.
        cuts_by: what says how names are cut into tokens, for people.
    """

    vocabulary: Vocabulary
    cuts_by: str = "a rule of its own"

    def encode(self, text: str) -> list[int]:
        """Return the best segmentation of `text`; [] where it has none (see `uncovered`)."""
        return self.encode_batch([text])[0]

    @abstractmethod
    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Return ``[encode(text) for text in texts]``, faster."""

    def encode_nbest(self, texts: Sequence[str], n: int) -> list[list[tuple[list[int], float]]]:
        """Return up to `n` different segmentations of each text with their costs, best first.

        A cost is at least 0, and 0 for the best: how much less likely the segmentation
        is (natural log), or how many more pieces it needs.
        """
        if n < 1:
            raise ValueError(f"n must be at least 1, not {n}.")
        return [self._nbest(self.vocabulary.writing(text), n) for text in texts]

    @abstractmethod
    def _nbest(self, text: str, n: int) -> list[tuple[list[int], float]]:
        """`encode_nbest` of one text, which is in letters of the vocabulary."""

    def phones(self, phones: Sequence[str]) -> list[list[int]]:
        """Return the ways in which a pronunciation is written, if these are the model's tokens."""
        index = self.vocabulary.index
        return [[index[phone] for phone in phones]] if all(p in index for p in phones) else []

    @abstractmethod
    def uncovered(self, text: str) -> str:
        """Return the characters that keep `text` from being written, each once.

        Empty exactly if `encode` finds a segmentation.
        """

    @abstractmethod
    def covers(self, characters: str) -> bool:
        """Tell whether every text over `characters` (and spaces) can be written."""


class SentencePieceTokenizer(Tokenizer):
    """The tokenizer of a SentencePiece model; of BPE one that knows one segmentation only.

    Args:
        path: the ``.model`` file.
        vocabulary: the columns of the acoustic model if they are not the pieces in their
            order (a blank appended or moved); pieces are matched by their text.

    Raises:
        ModelError: the file is missing, no SentencePiece model, or has no blank.
    """

    cuts_by = "its SentencePiece model"

    def __init__(self, path: PathLike, vocabulary: Vocabulary | None = None) -> None:
        self._processor, pieces = load_sentencepiece(path)
        self.vocabulary = vocabulary or Vocabulary.from_file(path)
        index = self.vocabulary.index
        self._columns = [index.get(piece, -1) for piece in pieces]
        of = self._processor
        mute = [of.is_unknown(i) or of.is_control(i) for i in range(len(pieces))]
        self._complete = all(c >= 0 or m for c, m in zip(self._columns, mute))
        self._columns = [-1 if m else c for c, m in zip(self._columns, mute)]
        if not any(column >= 0 for column in self._columns):
            raise ModelError(
                f"{path}: none of its {len(pieces)} pieces is a token of the vocabulary; "
                f"tokenizer and model do not belong together."
            )
        self._same_ids = all(column in (i, -1) for i, column in enumerate(self._columns))
        self._unwritable = frozenset(i for i, c in enumerate(self._columns) if c < 0)
        self._written: frozenset[str] = frozenset()
        self._unwritten: frozenset[str] = frozenset()

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        texts = [self.vocabulary.writing(text) for text in texts]
        return [self._to_columns(ids) for ids in self._processor.encode(texts)]

    def uncovered(self, text: str) -> str:
        missing = self._lacking(text)
        if missing or self.encode(text) or not text.strip():
            return missing
        # Each letter has a piece, but the tokenizer prefers one that the model lacks.
        ids = self._processor.encode(self.vocabulary.writing(text))
        lacking = [self._processor.id_to_piece(i) for i in ids if i in self._unwritable]
        return "".join(dict.fromkeys("".join(lacking).replace(PREFIX, "")))

    def covers(self, characters: str) -> bool:
        return self._complete and not self._lacking(characters)

    def _to_columns(self, ids: list[int]) -> list[int]:
        if not self._unwritable.isdisjoint(ids):
            return []
        return ids if self._same_ids else [self._columns[i] for i in ids]

    def _nbest(self, text: str, n: int) -> list[tuple[list[int], float]]:
        candidates: list[list[int]]
        try:
            candidates = self._processor.nbest_encode_as_ids(text, n)
        except RuntimeError:  # BPE, word and character models have no n-best
            candidates = [self._processor.encode(text)]
        scores = [sum(self._processor.get_score(i) for i in ids) for ids in candidates]
        found: dict[tuple[int, ...], float] = {}
        for ids, score in sorted(zip(candidates, scores), key=lambda item: -item[1]):
            columns = self._to_columns(ids)
            if columns:
                found.setdefault(tuple(columns), score)
        best = max(found.values(), default=0.0)
        return [(list(columns), best - score) for columns, score in found.items()]

    def _lacking(self, text: str) -> str:
        """Return the characters that no piece writes, each once."""
        if not self._written.issuperset(text):
            new = set(text).difference(self._written)
            rows = self.encode_batch(list(new))
            written = {c for c, ids in zip(new, rows) if ids or c.isspace()}
            # Threads may do this at the same time: what is known is replaced, the outcome first.
            self._unwritten = self._unwritten | (new - written)
            self._written = self._written | new
        if self._unwritten.isdisjoint(text):
            return ""
        return "".join([c for c in dict.fromkeys(text) if c in self._unwritten])


_KEPT = 100_000
"""Words whose segmentations are kept, at most."""


class FewestPiecesTokenizer(Tokenizer):
    """A tokenizer for a vocabulary that came without one: as few pieces a word as possible.

    Among segmentations with equally many pieces the one whose first pieces are longer
    wins. For characters there is only one; for BPE and wordpiece it is close to what the
    original tokenizer does, and n-best adds the others.
    """

    cuts_by = "the fewest tokens"

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self._longest = max(len(token) for token in vocabulary.tokens)
        special = vocabulary.special.tolist()
        self._pieces = {
            token: i
            for i, token in enumerate(vocabulary.tokens)
            if not special[i] and i != vocabulary.separator_id
        }
        columns = ((byte_of(token), i) for i, token in enumerate(vocabulary.tokens))
        self._bytes = {byte: i for byte, i in columns if byte is not None}
        self._words: Recent[tuple[str, int], list[tuple[tuple[int, ...], float]]] = Recent(_KEPT)

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        best = [self._nbest(self.vocabulary.writing(text), 1) for text in texts]
        return [found[0][0] if found else [] for found in best]

    def _nbest(self, text: str, n: int) -> list[tuple[list[int], float]]:
        separator = self.vocabulary.separator_id
        phrases: list[tuple[tuple[int, ...], float]] = [((), 0.0)]
        for position, word in enumerate(text.split()):
            between = () if separator is None or position == 0 else (separator,)
            phrases = heapq.nsmallest(
                n,
                [
                    (head + between + tail, head_cost + tail_cost)
                    for head, head_cost in phrases
                    for tail, tail_cost in self._segment(word, n)
                ],
                key=lambda item: item[1],
            )
        return [(list(ids), cost - phrases[0][1]) for ids, cost in phrases if ids]

    def uncovered(self, text: str) -> str:
        writing = self.vocabulary.writing
        words = [word for word in text.split() if not self._segment(writing(word), 1)]
        if self.vocabulary.upper_case:
            words = [word.upper() for word in words]
        loose = dict.fromkeys(c for word in words for c in word if not self._writes(c))
        return "".join(loose)

    def covers(self, characters: str) -> bool:
        return all(c.isspace() or self._writes(c) for c in characters)

    def _writes(self, character: str) -> bool:
        """Tell whether pieces write just this character, wherever in a word it stands."""
        character = self.vocabulary.writing(character)
        if len(character) > 1:
            return all(map(self._writes, character))
        boundary = self.vocabulary.boundary
        if self._spelt(character):
            return True
        if boundary is WordBoundary.CONTINUATION:
            return character in self._pieces and CONTINUATION + character in self._pieces
        if boundary is WordBoundary.PREFIX:
            begins = PREFIX + character in self._pieces or PREFIX in self._pieces
            begins |= is_unspaced(character)
            return begins and character in self._pieces
        return character in self._pieces

    def _spelt(self, character: str) -> tuple[int, ...]:
        """The byte tokens of a character that no token writes; none if it has no such tokens."""
        if not self._bytes or character in self._pieces:
            return ()
        columns = [self._bytes.get(byte, -1) for byte in character.encode("utf-8", "replace")]
        return () if -1 in columns else tuple(columns)

    def _segment(self, word: str, n: int) -> list[tuple[tuple[int, ...], float]]:
        """Return up to `n` segmentations of one word with their numbers of pieces."""
        known = self._words.get((word, n))
        return self._words.put((word, n), self._search(word, n)) if known is None else known

    def _search(self, word: str, n: int) -> list[tuple[tuple[int, ...], float]]:
        """n-best dynamic programme over the ends of the pieces, from right to left.

        Each candidate is (pieces, minus their lengths, ids): its order is the preference.
        """
        boundary = self.vocabulary.boundary
        marked = boundary is WordBoundary.PREFIX and not is_unspaced(word)
        text = PREFIX + word if marked else word
        best: list[list[tuple[int, tuple[int, ...], tuple[int, ...]]]] = [
            [] for _ in range(len(text) + 1)
        ]
        best[-1] = [(0, (), ())]
        for start in range(len(text) - 1, -1, -1):
            candidates = []
            mark = CONTINUATION if boundary is WordBoundary.CONTINUATION and start else ""
            for end in range(start + 1, min(len(text), start + self._longest) + 1):
                piece = self._pieces.get(mark + text[start:end])
                if piece is not None:
                    candidates += [
                        (count + 1, (start - end, *lengths), (piece, *ids))
                        for count, lengths, ids in best[end]
                    ]
            spelt = self._spelt(text[start])
            if spelt:
                candidates += [
                    (count + len(spelt), (-1, *lengths), (*spelt, *ids))
                    for count, lengths, ids in best[start + 1]
                ]
            best[start] = heapq.nsmallest(n, candidates)
        return [(ids, float(count)) for count, _, ids in best[0]]


def load_tokenizer(path: PathLike, vocabulary: Vocabulary | None = None) -> Tokenizer:
    """Return the tokenizer for a ``.model`` file, or for a list of tokens without one.

    Args:
        path: as for `Vocabulary.from_file`.
        vocabulary: the acoustic model's, if the file alone does not tell it.

    Raises:
        ModelError: as `Vocabulary.from_file`.
    """
    if Path(path).suffix == ".model":
        return SentencePieceTokenizer(path, vocabulary)
    return FewestPiecesTokenizer(vocabulary or Vocabulary.from_file(path))


def tokenizer_of(
    tokens: str | os.PathLike[str] | Sequence[str] | Mapping[str, int],
    tokenizer: str | os.PathLike[str] | None = None,
    *,
    language: str | None = None,
    **options: Any,
) -> Tokenizer:
    """Return what writes names in the tokens of a model.

    Args:
        tokens: as for `Vocabulary.from_file`, or as for `Vocabulary.from_tokens`.
        tokenizer: the SentencePiece ``.model`` of those tokens, if there is one.
        language: as for `Vocabulary.from_file`.
        options: ``blank``, ``boundary``, ``separator`` and ``columns`` of `Vocabulary.from_tokens`.

    Raises:
        ModelError: as `Vocabulary.from_file`, or there is no such boundary.
    """
    if tokenizer is not None and not isinstance(tokenizer, (str, os.PathLike)):
        raise ModelError(
            f"tokenizer {quoted(tokenizer)}: must be the path of a SentencePiece .model"
        )
    if tokenizer is not None and Path(tokenizer).suffix != ".model":
        raise ModelError(f"tokenizer {tokenizer}: must be a SentencePiece .model")
    if isinstance(tokens, (str, os.PathLike)):
        path, where = Path(tokens), f"{tokens}: "
        vocabulary = Vocabulary.from_file(path, language=language, **options)
    else:
        path, where = Path(), ""
        vocabulary = Vocabulary.from_tokens(tokens, **options)
        if language is not None:
            warn_caller(f"language={quoted(language)} has no effect: these tokens are of one")
    if vocabulary.glues_phones:
        warn_caller(
            f"{where}the tokens look like phones, and those of a word are written without a space "
            "between; with boundary none each stands alone"
        )
    return load_tokenizer(Path(tokenizer or path), vocabulary)

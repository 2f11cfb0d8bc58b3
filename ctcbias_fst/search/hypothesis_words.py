"""Tokens with their times as words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

from ctcbias_fst.records import Mention, Word
from ctcbias_fst.text.entity import Entity
from ctcbias_fst.text.scripts import is_unspaced
from ctcbias_fst.text.token_marks import joined
from ctcbias_fst.text.vocabulary import Vocabulary


class Token(NamedTuple):
    """A token of a path.

    Frames are the model's, ``end`` is exclusive. ``entity`` is complete with this token;
    ``in_tree`` is True for all tokens of an entity. ``boost`` is what it was given until the next
    token begins, in nats. ``run`` tells apart the stretches of frames with the same best token,
    ``is_best`` whether that is this one.
    """

    token: int
    entity: Entity | None
    in_tree: bool
    start: int
    end: int
    confidence: float
    followed: float
    log_prob: float
    boost: float = 0.0
    run: int = -1
    is_best: bool = False


@dataclass
class _Draft:
    """A word being put together."""

    text: str
    start: int
    end: int
    confidence: float
    entity: bool = False
    log_probs: list[float] = field(default_factory=list)
    glued: bool = False
    mentions: tuple[Mention, ...] = ()

    def add(self, token: Token, text: str) -> None:
        self.text += text
        self.log_probs.append(token.log_prob)
        self.end = token.end
        self.confidence = min(self.confidence, token.confidence)

    def followed(self, probability: float) -> None:
        self.confidence = min(self.confidence, 1.0 - probability)


def by_words(
    tokens: Sequence[Token], paths: Sequence[Sequence[int]], num_tokens: int
) -> tuple[list[Token], list[list[int]]]:
    """Make one token of each word of a lexicon, from its first phone on.

    Args:
        tokens: all that paths have; the last one of a word is the word.
        paths: the numbers of the tokens of each.
        num_tokens: of the model; words are numbered from there on.

    Returns:
        the same, with words in the place of their phones; names stay as they are.
    """
    found: list[Token] = []
    known: dict[tuple[int, ...], int] = {}

    def number(run: tuple[int, ...]) -> int:
        if run not in known:
            known[run] = len(found)
            found.append(_one([tokens[at] for at in run]))
        return known[run]

    whole: list[list[int]] = []
    for path in paths:
        row: list[int] = []
        begin = 0
        for at, one in enumerate(path, start=1):
            token = tokens[one]
            if token.in_tree or token.token >= num_tokens:
                row.append(number(tuple(path[begin:at])))
                begin = at
        whole.append(row)
    return found, whole


def _one(run: Sequence[Token]) -> Token:
    """The last of some tokens, which stands for all; how sure it is, is known of the word."""
    return run[-1]._replace(
        start=run[0].start,
        followed=0.0,
        log_prob=sum(token.log_prob for token in run) / len(run),
        boost=sum(token.boost for token in run),
    )


class SharedWords:
    """The words of paths that have tokens in common; a run of tokens is read once.

    Args:
        tokens: all that paths have.
        vocabulary: blank-first.
        seconds: how long a frame is.
    """

    def __init__(self, tokens: Sequence[Token], vocabulary: Vocabulary, seconds: float) -> None:
        self._tokens, self._vocabulary, self._seconds = tokens, vocabulary, seconds
        self._known: dict[tuple[int, ...], tuple[Word, ...]] = {}
        begins = _begins_anew(vocabulary)
        self._begins = [begins[token.token] and not token.in_tree for token in tokens]

    def __call__(self, path: Sequence[int]) -> tuple[Word, ...]:
        """The words of a path, which is given by the numbers of its tokens."""
        begins = [at for at, number in enumerate(path) if self._begins[number] or not at]
        words: list[Word] = []
        for begin, end in zip(begins, [*begins[1:], len(path)]):
            run = tuple(path[begin:end])
            known = self._known.get(run)
            if known is None:
                tokens = [self._tokens[number] for number in run]
                known = self._known[run] = joined_words(tokens, self._vocabulary, self._seconds)
            words += known
        return tuple(words)


@lru_cache(maxsize=8)
def _begins_anew(vocabulary: Vocabulary) -> tuple[bool, ...]:
    """Which tokens begin words that do not depend on what was before; see `joined_words`."""
    if vocabulary.separator_id is not None:
        return tuple(token == vocabulary.separator_id for token in range(vocabulary.size))
    if vocabulary.joins_letters:
        return (False,) * vocabulary.size
    return tuple(
        bool(ends and text and text.isascii())
        for ends, text in zip(vocabulary.ends_word, vocabulary.surfaces)
    )


def joined_words(
    tokens: Sequence[Token], vocabulary: Vocabulary, seconds: float
) -> tuple[Word, ...]:
    """Join tokens; an entity's become the words of its display form."""
    surfaces, separator = vocabulary.surfaces, vocabulary.separator_id
    ends_word = vocabulary.ends_word
    words: list[_Draft] = []
    open_word = False  # whether a token that continues a word goes to the last one
    separated = True  # whether a separator came after the last word
    before = 0.0  # what may have come between a separator and the word after it
    entity: list[Token] = []

    def glued(text: str) -> bool:
        if separator is not None:
            return not separated
        return not text.isascii() and unspaced_between(
            next((w.text for w in reversed(words) if w.text), ""), text
        )

    for token in tokens:
        if token.in_tree:
            entity.append(token)
            if token.entity is not None:
                shown = token.entity.display
                drafts = _entity_words(entity, token.entity, vocabulary, before)
                drafts[0].glued = glued(shown)
                words.extend(drafts)
                entity, open_word, separated, before = [], True, False, 0.0
            continue
        text = surfaces[token.token]
        if token.token == separator:
            before = token.followed
            open_word, separated = False, True
            continue
        if ends_word[token.token]:
            open_word = (
                open_word
                and vocabulary.joins_letters
                and not words[-1].entity
                and not _unspaced_beside(words[-1].text, text)
            )
        elif open_word and words[-1].entity and unspaced_between(words[-1].text, text):
            open_word = False
        if not open_word:
            words.append(_Draft("", token.start, token.end, 1.0 - before, glued=glued(text)))
            open_word, separated, before = True, False, 0.0
        words[-1].add(token, text)
        words[-1].followed(token.followed)
    return tuple(
        Word(
            joined([word.text]),
            round(word.start * seconds, 6),
            round(word.end * seconds, 6),
            max(0.0, word.confidence),
            word.entity,
            sum(word.log_probs) / len(word.log_probs),
            word.glued,
            word.mentions,
        )
        for word in words
        if word.text
    )


def unspaced_between(before: str, after: str) -> bool:
    """Whether letters of scripts without spaces meet."""
    if after.isascii():
        return False
    return bool(before and after) and is_unspaced(before[-1]) and is_unspaced(after)


def _unspaced_beside(before: str, after: str) -> bool:
    return bool(before and is_unspaced(before[-1])) or is_unspaced(after)


def _entity_words(
    tokens: Sequence[Token], entity: Entity, vocabulary: Vocabulary, before: float
) -> list[_Draft]:
    """The words of an entity's display form, each with the tokens that wrote it.

    Where the tokens were not as many words (a variant's spelling, ``St. John`` for
    ``saint john``) the entity's time is shared out by the letters of the display form.
    """
    names = entity.display.split()
    spans = vocabulary.word_spans([token.token for token in tokens])
    first, last = tokens[0], tokens[-1]
    sure = min(token.confidence for token in tokens)
    sure = min([sure, 1.0 - before, *(1.0 - token.followed for token in tokens)])
    clear = [token.log_prob for token in tokens]
    written = " ".join([text for _, _, text in spans]) or entity.name  # phones write nothing
    boost = sum(token.boost for token in tokens)
    mentions = (Mention.of(entity, "boost", written, boost=boost),)
    if len(spans) == len(names):
        times = [(tokens[begin].start, tokens[end - 1].end) for begin, end, _ in spans]
    else:
        shared = shared_by_letters(names, first.start, last.end - first.start)
        times = [(math.floor(begin), math.floor(end)) for begin, end in shared]
    return [
        _Draft(name, begin, end, sure, entity=True, log_probs=list(clear), mentions=mentions)
        for name, (begin, end) in zip(names, times)
    ]


def shared_by_letters(
    texts: Sequence[str], start: float, duration: float
) -> list[tuple[float, float]]:
    """The beginning and the end of each of some texts, one after another.

    Args:
        texts: which share the time, each by how many letters it has.
        start: of the first one.
        duration: of all of them.
    """
    done = [0, *accumulate(map(len, texts))]
    times = [start + duration * letters / max(1, done[-1]) for letters in done]
    return list(zip(times, times[1:]))

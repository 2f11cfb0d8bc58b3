"""Paths of a lattice as words with their times and confidences."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ctcbias_fst.graph.labels import PLAIN
from ctcbias_fst.graph.word_rules import WordRules
from ctcbias_fst.records import Hypothesis, LogProbs
from ctcbias_fst.search.hypothesis_words import SharedWords, Token, by_words, joined_words
from ctcbias_fst.search.lattice import Lattice, Paths
from ctcbias_fst.text.vocabulary import Vocabulary


def hypotheses(
    lattice: Lattice,
    paths: Paths,
    vocabulary: Vocabulary,
    frame_seconds: float,
    words: Vocabulary | None = None,
) -> list[Hypothesis]:
    """Read paths as words.

    A word begins with its first token and ends with the last frame of its last one. Its
    confidence is the least of the posteriors of its tokens and of nothing being said in
    between (:func:`token_confidences`).

    Args:
        lattice: the lattice.
        paths: paths through it.
        vocabulary: of the model; token ids of the results are its own.
        frame_seconds: of the model.
        words: with a lexicon, what its tokens and words write; see
            :class:`ctcbias_fst.search.lexicon_search.LexiconSearch`.
    """
    blank_first = words or vocabulary.blank_first()
    arcs, path = paths.arcs, paths.of_arc
    nothing = lattice.skipped_frame_score.new_zeros(len(paths.utterance))
    given = lattice.boost[arcs]
    boost = nothing.index_add(0, path, given)
    lm = nothing
    if lattice.lm is not None:
        lm = nothing.index_add(0, path, lattice.lm.share[arcs].double())

    # What comes before a path's first token is plain.
    begun = lattice.emits[arcs].cumsum(0)
    of_token = given.new_zeros(int(begun[-1]) + 1 if len(begun) else 1).index_add(0, begun, given)
    sounding = lattice.token[arcs] > 0
    arcs, path = arcs[sounding], path[sounding]
    frame = lattice.original[lattice.utterance[arcs], lattice.frame[arcs]]
    first = lattice.emits[arcs].nonzero().flatten()
    # Until the next one begins, only frames of the same token and blanks come.
    last = torch.cat([first[1:] - 1, first.new_full((min(1, len(first)),), len(arcs) - 1)])
    start, end = frame[first], frame[last] + 1
    arcs, path = arcs[first], path[first]
    rules = WordRules.of(blank_first, arcs.device)
    confidence, followed = token_confidences(lattice, arcs, path, rules)
    best = _BestTokens.of(lattice)
    run, is_best = best.of_arcs(lattice, arcs)
    in_tree = lattice.in_tree[arcs]
    aside = (path[1:] == path[:-1]) & (run[1:] == run[:-1]) & (in_tree[1:] != in_tree[:-1])
    with_echoes = set(path[1:][aside].tolist()) if words is None else set()
    numbers_of, which = _distinct_tokens(
        path, len(paths.utterance), (arcs, end, confidence, followed, of_token[1:])
    )
    columns = (
        *(lattice.written[arcs], lattice.aux[arcs], in_tree, start, end, confidence, followed),
        *(_log_probs(lattice, arcs), of_token[1:], run, is_best),
    )
    tokens: list[Token] = []
    size, entities = lattice.graph.vocabulary_size, lattice.graph.entities
    for token, aux, *others in zip(*(column[which].tolist() for column in columns)):
        entity = entities[aux - size] if aux >= size else None
        tokens.append(Token(token, entity, *others))
    order = vocabulary.blank_first_order.tolist()
    token_ids = [order[token] for token in lattice.token[arcs][which].tolist()]
    ids_of = [tuple([token_ids[at] for at in row]) for row in numbers_of]
    if words is not None:
        tokens, numbers_of = by_words(tokens, numbers_of, vocabulary.size)
    words_of = SharedWords(tokens, blank_first, frame_seconds)
    found = []
    rows = (column.tolist() for column in (paths.utterance, paths.score, boost, lm))
    for number, (utterance, *scores) in enumerate(zip(*rows)):
        if number in with_echoes:
            whole = [tokens[at] for at in numbers_of[number]]
            whole = _without_echoes(whole, best, utterance, blank_first)
            read = joined_words(whole, blank_first, frame_seconds)
        else:
            read = words_of(numbers_of[number])
        score, paid, said = scores
        found.append(Hypothesis(read, score, token_ids=ids_of[number], boost=paid, lm=said))
    return found


def _distinct_tokens(
    path: torch.Tensor, paths: int, columns: Sequence[torch.Tensor]
) -> tuple[list[list[int]], torch.Tensor]:
    """Number the tokens of some paths, those that are the same in all columns (K,) alike.

    Paths of an utterance differ in a few places: what they share is put together once.

    Returns:
        the numbers of the tokens of each path; int64, where a token of each number is in the
        columns.
    """
    known: dict[tuple[int | float, ...], int] = {}
    rows = zip(*(column.tolist() for column in columns))
    numbers = [known.setdefault(row, len(known)) for row in rows]
    _, first = np.unique(np.array(numbers, dtype=np.int64), return_index=True)
    ends = torch.bincount(path, minlength=paths).cumsum(0).tolist()
    of_path = [numbers[begin:end] for begin, end in zip([0, *ends], ends)]
    return of_path, torch.from_numpy(first).to(path.device)


def distinct(several: Iterable[Hypothesis]) -> tuple[Hypothesis, ...]:
    """The first of those that are the same words, whatever their capitals.

    A name and a word with its letters are not the same: *it* is not how ``IT`` is said.
    """
    found: dict[tuple[str, ...], Hypothesis] = {}
    for one in several:
        words = (word.word if word.entity else word.word.lower() for word in one.words)
        found.setdefault(tuple(words), one)
    return tuple(found.values())


def _log_probs(lattice: Lattice, arcs: torch.Tensor) -> torch.Tensor:
    """float32 (K,): the log-prob of the token that begins at each arc, without boosts."""
    plain = lattice.graph.columns.lookup(PLAIN, 1.0, lattice.graph.vocabulary_size)
    return lattice.scores[lattice.utterance[arcs], lattice.frame[arcs], plain[lattice.token[arcs]]]


@dataclass(frozen=True)
class _BestTokens:
    """What the frames of a batch say by themselves: (N, T) each.

    Attributes:
        token: int64, the best one, blank-first.
        log_prob: float32, its log-prob.
        run: int64, which stretch of frames with the same best token a frame is in.
        original: int64, which frame of the model it is.
    """

    token: torch.Tensor
    log_prob: torch.Tensor
    run: torch.Tensor
    original: torch.Tensor

    @classmethod
    def of(cls, lattice: Lattice) -> _BestTokens:
        columns = lattice.graph.columns
        plain = [block for block in columns.blocks if block.kind == PLAIN]
        which = [
            torch.arange(b.first, b.first + len(b.tokens), device=b.tokens.device) for b in plain
        ]
        index = torch.cat([lattice.skipped_frame_score.new_zeros(1, dtype=torch.int64), *which])
        log_prob, best = lattice.scores[:, :, index].max(dim=-1)
        token = columns.token[index][best]
        frames = lattice.original[:, : token.shape[1]]
        new = torch.ones_like(token, dtype=torch.bool)
        new[:, 1:] = (token[:, 1:] != token[:, :-1]) | (frames[:, 1:] != frames[:, :-1] + 1)
        return cls(token, log_prob, new.long().cumsum(dim=1), frames)

    def of_arcs(self, lattice: Lattice, arcs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(K,) twice, of the frame at which the token of each arc begins: int64, its run, and bool,
        whether the token is the best one."""
        at = (lattice.utterance[arcs], lattice.frame[arcs])
        return self.run[at], self.token[at] == lattice.token[arcs]

    def tokens(self, utterance: int, first: int, last: int) -> list[Token]:
        """What is written from one run to another, both included."""
        found: list[Token] = []
        rows = (self.token, self.run, self.original, self.log_prob)
        for token, run, frame, log_prob in zip(*(row[utterance].tolist() for row in rows)):
            if not first <= run <= last or not token:
                continue
            if found and found[-1].run == run:
                found[-1] = found[-1]._replace(end=frame + 1)
            else:
                sure = math.exp(log_prob)
                found.append(
                    Token(token, None, False, frame, frame + 1, sure, 0.0, log_prob, 0.0, run, True)
                )
        return found


def _without_echoes(
    tokens: list[Token], best: _BestTokens, utterance: int, vocabulary: Vocabulary
) -> list[Token]:
    """A path without what it wrote twice: a token, and beside it a name's token in its place.

    A token may sound for several frames, of which the name takes one and the token itself the
    next. If the token is a word by itself, the name stands for it; if it is part of a longer word,
    that was said, and not the name.
    """
    gone: set[int] = set()
    wrong: dict[int, range] = {}
    beside = [
        at
        for at, (one, other) in enumerate(zip(tokens, tokens[1:]))
        if one.run == other.run and one.in_tree != other.in_tree
    ]
    if not beside:
        return tokens
    apart = vocabulary.ends_word | vocabulary.unspaced
    for at in beside:
        other = tokens[at + 1]
        plain, named = (at, at + 1) if other.in_tree else (at + 1, at)
        token = tokens[plain].token
        if not tokens[plain].is_best or token in (tokens[named].token, vocabulary.separator_id):
            continue
        after = tokens[plain + 1] if plain + 1 < len(tokens) else None
        if apart[token] and (after is None or after.in_tree or apart[after.token]):
            gone.add(plain)
        else:
            name = _name_around(tokens, named)
            wrong[name.start] = name
    if not gone and not wrong:
        return tokens
    kept: list[Token] = []
    done = 0
    for name in wrong.values():
        first, last = tokens[name.start].run, tokens[name.stop - 1].run
        begin, end = name.start, name.stop
        while begin > done and tokens[begin - 1].run >= first:
            begin -= 1
        while end < len(tokens) and tokens[end].run <= last:
            end += 1
        kept += [token for at, token in enumerate(tokens[:begin]) if at >= done and at not in gone]
        kept += best.tokens(utterance, first, last)
        done = max(done, end)
    return kept + [token for at, token in enumerate(tokens) if at >= done and at not in gone]


def _name_around(tokens: Sequence[Token], at: int) -> range:
    """The tokens of the name that a token is of."""
    begin, end = at, at
    while begin and tokens[begin - 1].in_tree and tokens[begin - 1].entity is None:
        begin -= 1
    while tokens[end].entity is None:
        end += 1
    return range(begin, end + 1)


def greedy_hypothesis(log_probs: LogProbs) -> Hypothesis:
    """The best label of every frame of a single utterance, as words; see `greedy_reading`."""
    best, token = log_probs.log_probs[0, : int(log_probs.lengths[0])].max(dim=-1)
    return greedy_reading(token, best, log_probs.vocabulary, log_probs.frame_seconds)


def greedy_reading(
    best_tokens: torch.Tensor, log_probs: torch.Tensor, vocabulary: Vocabulary, frame_seconds: float
) -> Hypothesis:
    """The best label of every frame as words.

    Confidences are the least probability among the best labels of a word's frames.

    Args:
        best_tokens: int64 (T,), the best column of each frame.
        log_probs: float32 (T,), its log-prob.
        vocabulary: of the model.
        frame_seconds: how long a frame is.
    """
    order = vocabulary.blank_first_order.tolist()
    number = [0] * len(order)
    for position, column in enumerate(order):
        number[column] = position
    tokens: list[Token] = []
    before = 0
    columns, surely = best_tokens.tolist(), log_probs.exp().tolist()
    for frame, (column, sure) in enumerate(zip(columns, surely)):
        token = number[column]
        if token and token == before:
            last = tokens[-1]
            tokens[-1] = last._replace(end=frame + 1, confidence=min(last.confidence, sure))
        elif token:
            tokens.append(Token(token, None, False, frame, frame + 1, sure, 0.0, math.log(sure)))
        before = token
    return Hypothesis(
        words=joined_words(tokens, vocabulary.blank_first(), frame_seconds),
        score=float(log_probs.double().sum()),
        token_ids=tuple(order[token.token] for token in tokens),
    )


def token_confidences(
    lattice: Lattice, arcs: torch.Tensor, path: torch.Tensor, rules: WordRules
) -> tuple[torch.Tensor, torch.Tensor]:
    """How sure the lattice is of each token of some paths, and that its word ends or goes on
    as the path says.

    A token's window are the frames nearer to it than to its neighbours on the path. Its
    posterior is the sum of those of the lattice's arcs at which the same token begins
    within the window (Wessel et al. 2001 do so with words). The second result sums the
    arcs at which another token begins between this one and the next, of those that would
    make it another word: any token if the word goes on, else any that continues it.

    Args:
        lattice: the lattice.
        arcs: int64 (K,), the arcs at which the paths' tokens begin, path by path.
        path: int64 (K,), the path of each.
        rules: of the vocabulary.

    Returns:
        float64 (K,) twice, both in [0, 1].
    """
    if not len(arcs):
        return lattice.skipped_frame_score.new_zeros(0), lattice.skipped_frame_score.new_zeros(0)
    every = lattice.emits.nonzero().flatten()
    continues = every[~rules.ends_word[lattice.written[every]]]
    frames = int(lattice.original.max()) + 2
    utterance, token = lattice.utterance[arcs], lattice.written[arcs]
    frame = lattice.original[utterance, lattice.frame[arcs]]
    same = path[1:] == path[:-1]
    middle = (frame[1:] + frame[:-1] + 1) // 2
    low, high = torch.zeros_like(frame), torch.full_like(frame, frames)
    low[1:] = torch.where(same, middle, low[1:])
    high[:-1] = torch.where(same, middle, high[:-1])
    after, until = frame + 1, torch.full_like(frame, frames)
    until[:-1] = torch.where(same, frame[1:], until[:-1])

    by_token = _Mass(lattice, every, token=True)
    own = by_token.between(utterance, token, low, high)
    # The token's own arcs, and the next one's, are no other tokens.
    expected = by_token.between(utterance, token, after.minimum(high), high)
    goes_on = torch.zeros_like(same)
    goes_on |= same & ~rules.ends_word[token[1:]]
    if rules.separator is not None:
        goes_on |= same & (token[:-1] == rules.separator)
    goes_on = torch.cat([goes_on, goes_on.new_zeros(1)])
    counted = goes_on | ~rules.ends_word[token]
    expected = torch.where(counted, expected, torch.zeros_like(expected))
    next_own = by_token.between(utterance[1:], token[1:], low[1:], frame[1:])
    next_counted = same & (goes_on[:-1] | ~rules.ends_word[token[1:]])
    expected[:-1] += torch.where(next_counted, next_own, torch.zeros_like(next_own))
    anything = _Mass(lattice, every).between(utterance, None, after, until)
    continued = _Mass(lattice, continues).between(utterance, None, after, until)
    other = torch.where(goes_on, anything, continued) - expected
    return own.clamp(0, 1), other.clamp(0, 1)


class _Mass:
    """Sums of arc posteriors over frames of the model, optionally of one token only."""

    def __init__(self, lattice: Lattice, arcs: torch.Tensor, token: bool = False) -> None:
        self._frames = int(lattice.original.max()) + 3
        self._tokens = lattice.graph.vocabulary_size if token else 1
        frame = lattice.original[lattice.utterance[arcs], lattice.frame[arcs]]
        which = lattice.written[arcs] if token else torch.zeros_like(arcs)
        keys, order = self._key(lattice.utterance[arcs], which, frame).sort()
        self._keys = keys
        sums = lattice.posterior[arcs][order].cumsum(0)
        self._sums = torch.cat([sums.new_zeros(1), sums])

    def _key(
        self, utterance: torch.Tensor, token: torch.Tensor | None, frame: torch.Tensor
    ) -> torch.Tensor:
        row = utterance if token is None else utterance * self._tokens + token
        return row * self._frames + frame

    def between(
        self,
        utterance: torch.Tensor,
        token: torch.Tensor | None,
        begin: torch.Tensor,
        end: torch.Tensor,
    ) -> torch.Tensor:
        """The mass at frames from ``begin`` to ``end - 1``."""
        first = torch.searchsorted(self._keys, self._key(utterance, token, begin))
        last = torch.searchsorted(self._keys, self._key(utterance, token, end))
        return self._sums[last.maximum(first)] - self._sums[first]

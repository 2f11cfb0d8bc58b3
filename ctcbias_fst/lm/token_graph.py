r"""A language model as a graph over tokens: what the first pass knows of it.

Relation: sequences of tokens, read as words. States are a history of the model with the
beginning of the word that is being read after it: for each history a tree of only those words
that the model lists after it, for the empty history one of all words. A path's score is

- of a word that the model lists after the history, its log-prob, moved to the front as far as
  the words below agree (the first token has that of the best word it may begin, and so on);
- the back-off weights on the way to a shorter history. There are no epsilons: an arc that ends a
  word is there once for the history that it leads to and once for each shorter one, so backing
  off is one way among others, and the best one counts. That may be better than the model's own
  score, where backing off to a word that is listed is likelier; what the model says exactly
  comes in afterwards (:mod:`ctcbias_fst.lm.compose`);
- of any other word, which the empty history reads token by token, that of an unknown word.

Tropical semiring, natural log-probs (0 or less but for rounding, back-off weights of either
sign). With separators, a word leads to a *gap*, which a separator leaves for the next word. The
start state reads one frame of its own, which is put before the audio, to where a sentence
begins. Word bonus and costs of unknown words are not in the scores: each arc says by its kind
what is to be paid on it. Arcs are in no order; the graph is cyclic and not deterministic.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ctcbias_fst.lm.lexicon import written_words
from ctcbias_fst.lm.model import LanguageModel
from ctcbias_fst.lm.ngram import BEGIN, END, Order
from ctcbias_fst.text.tokens import Tokenizer
from ctcbias_fst.text.vocabulary import Vocabulary

__all__ = ["INSIDE", "LETTERS", "UNKNOWN", "WORD", "Segmented", "TokenGraph", "token_graph"]

INSIDE, WORD, UNKNOWN, LETTERS = 0, 1, 2, 4
"""What an arc pays for besides its log-prob, to be added up: a word, that it is unknown, and the
letters of its token."""

_Ints = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Segmented:
    """The symbols of a model, written in tokens.

    Attributes:
      symbol: int64 (W,), those that can be written.
      splits: int64 (W + 1,), where the tokens of each begin.
      tokens: int64, blank-first columns.
    """

    symbol: _Ints
    splits: _Ints
    tokens: _Ints

    @classmethod
    def of(cls, model: LanguageModel, tokenizer: Tokenizer) -> Segmented:
        """Write each word as the tokenizer does; of a model of tokens, each is itself."""
        vocabulary = tokenizer.vocabulary
        column = np.empty(vocabulary.size, dtype=np.int64)
        column[vocabulary.blank_first_order] = np.arange(vocabulary.size)
        if model.unit == "token":
            symbols = np.array(model.encode(vocabulary.tokens), dtype=np.int64)
            symbols[vocabulary.blank_id] = -1
            known = np.flatnonzero(symbols >= 0)
            return cls(symbols[known], np.arange(len(known) + 1), column[known])
        words, numbers, _ = written_words(model, vocabulary.blank_first())
        rows = tokenizer.encode_batch(words)
        lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
        tokens = np.array([token for row in rows for token in row], dtype=np.int64)
        kept = lengths > 0
        return cls(numbers[kept], np.append(0, np.cumsum(lengths[kept])), column[tokens])


@dataclass(frozen=True, eq=False)
class TokenGraph:
    """The graph. State 0 is the start, the last one the empty history.

    Attributes:
      source, target: int64 (A,).
      token: int64 (A,): blank-first; 0 on the start state's arcs.
      log_probability: float32 (A,).
      kind: uint8 (A,): ``WORD``, ``UNKNOWN`` and ``LETTERS``.
      num_states: all of them.
      final: int64 (F,): states where a sentence may end.
      final_log_probability: float32 (F,).
      starts_word: bool (num_states,): with separators, where a word has yet to begin.
      after_name: where the last token of a name leads, and the back-off weights of that.
      unknown: natural log-prob of an unknown word in the empty history.
    """

    source: _Ints
    target: _Ints
    token: _Ints
    log_probability: npt.NDArray[np.float32]
    kind: npt.NDArray[np.uint8]
    num_states: int
    final: _Ints
    final_log_probability: npt.NDArray[np.float32]
    starts_word: npt.NDArray[np.bool_]
    after_name: tuple[tuple[int, float], ...]
    unknown: float


def token_graph(
    model: LanguageModel,
    words: Segmented,
    vocabulary: Vocabulary,
    *,
    order: int,
    max_histories: int = 0,
) -> TokenGraph:
    """Build the graph.

    Args:
      model: of words, or of tokens.
      words: its symbols in tokens.
      vocabulary: blank first.
      order: n-grams up to this length are known to the graph.
      max_histories: only the most probable histories are known; 0 for all.
    """
    histories = _Histories.of(model.ngram.orders[:order], max_histories)
    draft = _Draft(histories.count, vocabulary)
    rows = _rows(model.ngram.orders[:order], histories, words)
    draft.words(rows, words, histories)
    begin, begin_weight = histories.begin
    starts = [(b, w + begin_weight) for b, w in histories.levels(begin)]
    after, after_weight = histories.after(model.unknown)
    levels = [(at, weight + after_weight) for at, weight in histories.levels(after)]
    unknown = _unknown_log_probability(model)
    draft.unknown(model.unit, unknown, levels, starts[-1][1])
    draft.starts(starts)
    return draft.finish(histories, levels, unknown)


@dataclass(frozen=True)
class _Histories:
    """The histories that are kept; number 0 is the empty one, longer ones come later.

    Attributes:
      own: for each length of n-grams, the history that each is; -1 for none.
      lead, lead_weight: for each length, the history that each leads to, and the back-off
        weights on the way.
      shorter, weight: (H,), where backing off leads, at which weight.
      begin: the history at the beginning of a sentence, and the weights on the way to it.
      end: float64 (H,), log-prob of the sentence's end.
    """

    own: list[_Ints]
    lead: list[_Ints]
    lead_weight: list[_Floats]
    shorter: _Ints
    weight: _Floats
    begin: tuple[int, float]
    end: _Floats
    first: Order

    @classmethod
    def of(cls, orders: Sequence[Order], most: int) -> _Histories:
        kept = _continued(orders, most)
        own: list[_Ints] = []
        lead: list[_Ints] = []
        lead_weight: list[_Floats] = []
        shorter = [np.zeros(1, dtype=np.int64)]
        weight = [np.zeros(1)]
        count = 1
        for n, order in enumerate(orders):
            rows = len(order.symbol)
            below = lead[-1][order.suffix] if n else np.zeros(rows, dtype=np.int64)
            on_the_way = lead_weight[-1][order.suffix] if n else np.zeros(rows)
            if n < len(orders) - 1:
                on_the_way = on_the_way + order.log_backoff
                own.append(np.where(kept[n], count - 1 + np.cumsum(kept[n]), -1))
                shorter.append(below[kept[n]])
                weight.append(on_the_way[kept[n]])
                count += int(kept[n].sum())
                below = np.where(kept[n], own[-1], below)
                on_the_way = np.where(kept[n], 0.0, on_the_way)
            lead.append(below)
            lead_weight.append(on_the_way)
        first = orders[0]
        at = np.flatnonzero(first.symbol == BEGIN)
        begin = (int(lead[0][at[0]]), float(lead_weight[0][at[0]])) if len(at) else (0, 0.0)
        histories = cls(
            own, lead, lead_weight, np.concatenate(shorter), np.concatenate(weight), begin,
            np.full(count, np.nan), first,
        )  # fmt: skip
        histories._ends(orders)
        return histories

    def _ends(self, orders: Sequence[Order]) -> None:
        for n, order in enumerate(orders):
            rows = np.flatnonzero(order.symbol == END)
            at = self.own[n - 1][order.context[rows]] if n else np.zeros(len(rows), dtype=np.int64)
            self.end[at[at >= 0]] = order.log_probability[rows][at >= 0]
        if np.isnan(self.end[0]):
            self.end[0] = 0.0
        while (open_ := np.flatnonzero(np.isnan(self.end))).size:
            self.end[open_] = self.weight[open_] + self.end[self.shorter[open_]]

    @property
    def count(self) -> int:
        return len(self.shorter)

    def after(self, symbol: int | None) -> tuple[int, float]:
        """Where a single symbol leads, and at which weight."""
        if symbol is None:
            return 0, 0.0
        row = int(np.flatnonzero(self.first.symbol == symbol)[0])
        return int(self.lead[0][row]), float(self.lead_weight[0][row])

    def levels(self, history: int) -> list[tuple[int, float]]:
        """A history and the shorter ones, with the weights on the way; the empty one is last."""
        found = [(history, 0.0)]
        while history:
            history, before = int(self.shorter[history]), float(self.weight[history])
            found.append((history, found[-1][1] + before))
        return found

    def backed_off(self, history: _Ints, weight: _Floats) -> Iterator[tuple[_Ints, _Ints, _Floats]]:
        """The same for many: which of them, the history, the weights; level by level."""
        which = np.arange(len(history))
        while len(which):
            yield which, history, weight
            longer = history > 0
            which, history, weight = which[longer], history[longer], weight[longer]
            weight, history = weight + self.weight[history], self.shorter[history]


def _continued(orders: Sequence[Order], most: int) -> list[npt.NDArray[np.bool_]]:
    """Which n-grams are histories: those that something follows, the most probable ones."""
    found = []
    scores: list[_Floats] = []
    for n, (order, longer) in enumerate(itertools.pairwise(orders)):
        follows = np.zeros(len(order.symbol), dtype=bool)
        follows[longer.context] = True
        found.append(follows & (order.symbol != END))
        # The beginning of a sentence has no probability of its own: it is certain.
        own = np.where(order.symbol == BEGIN, 0.0, order.log_probability)
        scores.append(own + (scores[-1][order.context] if n else 0.0))
    if most and sum(int(kept.sum()) for kept in found) > most:
        every = np.concatenate([score[kept] for score, kept in zip(scores, found)])
        least = np.partition(every, len(every) - most)[len(every) - most]
        found = [kept & (score >= least) for score, kept in zip(scores, found)]
    return found


@dataclass(frozen=True)
class _Rows:
    """The n-grams that end with a word: (R,) each."""

    history: _Ints
    word: _Ints
    log_probability: _Floats
    lead: _Ints
    lead_weight: _Floats


def _rows(orders: Sequence[Order], histories: _Histories, words: Segmented) -> _Rows:
    number = np.full(int(orders[0].symbol.max()) + 1, -1, dtype=np.int64)
    number[words.symbol] = np.arange(len(words.symbol))
    parts = []
    for n, order in enumerate(orders):
        word = number[order.symbol]
        history = histories.own[n - 1][order.context] if n else np.zeros_like(word)
        kept = (word >= 0) & (history >= 0) & np.isfinite(order.log_probability)
        parts.append(
            (
                history[kept],
                word[kept],
                order.log_probability[kept],
                histories.lead[n][kept],
                histories.lead_weight[n][kept],
            )
        )
    return _Rows(*(np.concatenate(column) for column in zip(*parts)))


def _unknown_log_probability(model: LanguageModel) -> float:
    first = model.ngram.orders[0]
    if model.unknown is None:
        return model.least_log_probability
    return float(first.log_probability[first.symbol == model.unknown][0])


class _Draft:
    """Collects states and arcs. States are numbered: first the histories, as they are."""

    def __init__(self, histories: int, vocabulary: Vocabulary) -> None:
        self._size = vocabulary.size
        self._separator = vocabulary.separator_id
        self._ends_word = vocabulary.ends_word
        self._histories = histories
        self._count = histories
        self._gap = np.arange(histories)
        if self._separator is not None:
            self._gap = self._states(histories)
        self._start = int(self._states(1)[0])
        self._open = int(self._states(1)[0])  # inside an unknown word
        self._arcs: list[tuple[npt.NDArray[np.generic], ...]] = []

    def _states(self, count: int) -> _Ints:
        self._count += count
        return np.arange(self._count - count, self._count)

    def _add(
        self,
        source: _Ints | int,
        target: _Ints | int,
        token: _Ints | int,
        log_probability: _Floats | float,
        kind: npt.NDArray[np.uint8] | int,
    ) -> None:
        columns = np.broadcast_arrays(
            np.atleast_1d(np.asarray(source, dtype=np.int64)),
            np.asarray(target, dtype=np.int64),
            np.asarray(token, dtype=np.int64),
            np.asarray(log_probability, dtype=np.float32),
            np.asarray(kind, dtype=np.uint8),
        )
        self._arcs.append(tuple(columns))

    def words(self, rows: _Rows, words: Segmented, histories: _Histories) -> None:
        """The trees of words after each history."""
        parent = rows.history.copy()
        active = np.arange(len(parent))
        ahead = np.zeros(len(parent))  # what the arcs so far have paid of each word
        depth = 0
        while len(active):
            token = words.tokens[words.splits[rows.word[active]] + depth]
            length = np.diff(words.splits)[rows.word[active]]
            kind = WORD if depth == 0 else INSIDE
            last = length == depth + 1
            self._ends(rows, active[last], parent, (token[last], ahead, kind), histories)
            active, token = active[~last], token[~last]
            key = parent[active] * self._size + token
            place, number = np.unique(key, return_inverse=True)
            node = self._states(len(place))
            best = np.full(len(place), -np.inf)
            np.maximum.at(best, number, rows.log_probability[active])
            before = np.empty(len(place))
            before[number] = ahead[active]
            self._add(place // self._size, node, place % self._size, best - before, kind)
            parent[active], ahead[active] = node[number], best[number]
            depth += 1

    def _ends(
        self,
        rows: _Rows,
        which: _Ints,
        parent: _Ints,
        paid: tuple[_Ints, _Floats, int],
        histories: _Histories,
    ) -> None:
        token, ahead, kind = paid
        rest = rows.log_probability[which] - ahead[which] + rows.lead_weight[which]
        if self._separator is not None:
            self._add(parent[which], self._gap[rows.lead[which]], token, rest, kind)
            return
        for at, history, weight in histories.backed_off(rows.lead[which], rest):
            self._add(parent[which[at]], history, token[at], weight, kind)

    def unknown(
        self, unit: str, log_probability: float, levels: list[tuple[int, float]], begin: float
    ) -> None:
        """Words that are not in the model, from the empty history.

        Args:
          unit: of the model.
          log_probability: of an unknown word.
          levels: where they lead.
          begin: the back-off weight from a sentence's beginning.
        """
        every = np.arange(1, self._size)
        if unit == "token":
            known = np.zeros(self._size, dtype=bool)
            for at_root, _, token, _, _ in self._arcs:
                known[token[at_root == 0]] = True
            for at, weight in levels:
                self._add(0, at, every[~known[1:]], log_probability + weight, WORD | UNKNOWN)
            return
        if self._separator is None:
            first, later = every[self._ends_word[1:]], every[~self._ends_word[1:]]
            # A word that began before the audio.
            self._add(self._start, self._open, 0, log_probability + begin, WORD | UNKNOWN | LETTERS)
        else:
            first = later = every[every != self._separator]
        for source, tokens, paid, kind in (
            (0, first, log_probability, WORD | UNKNOWN | LETTERS),
            (self._open, later, 0.0, LETTERS),
        ):
            self._add(source, self._open, tokens, paid, kind)
            for target, weight in self._exits(levels):
                self._add(source, target, tokens, paid + weight, kind)

    def _exits(self, levels: list[tuple[int, float]]) -> list[tuple[int, float]]:
        """Where a word leads, after which these histories come."""
        if self._separator is None:
            return levels
        return [(int(self._gap[levels[0][0]]), levels[0][1])]

    def starts(self, levels: list[tuple[int, float]]) -> None:
        """From the start to where a sentence begins."""
        for at, weight in levels:
            self._add(self._start, at, 0, weight, INSIDE)

    def _separators(self, histories: _Histories) -> None:
        """Separators: after a word, and any number where one has yet to begin."""
        assert self._separator is not None
        every = np.arange(histories.count)
        self._add(every, every, self._separator, 0.0, INSIDE)
        for which, history, weight in histories.backed_off(every, np.zeros(len(every))):
            self._add(self._gap[which], history, self._separator, weight, INSIDE)

    def finish(
        self, histories: _Histories, levels: list[tuple[int, float]], unknown: float
    ) -> TokenGraph:
        every = np.arange(histories.count)
        final, end = every, histories.end
        if self._separator is not None:
            self._separators(histories)
            final, end = np.concatenate([every, self._gap]), np.tile(end, 2)
        # The start comes first, the empty history last.
        number = np.arange(self._count)
        number[self._start + 1 :] -= 1
        number[self._start], number[0] = 0, self._count - 1
        source, target, token, log_probability, kind = map(np.concatenate, zip(*self._arcs))
        starts_word = np.zeros(self._count, dtype=bool)
        starts_word[number[every]] = self._separator is not None
        return TokenGraph(
            source=number[source],
            target=number[target],
            token=token,
            log_probability=log_probability,
            kind=kind,
            num_states=self._count,
            final=number[final],
            final_log_probability=end.astype(np.float32),
            starts_word=starts_word,
            after_name=tuple((int(number[at]), weight) for at, weight in self._exits(levels)),
            unknown=unknown,
        )

"""What tokens, words and names are to a language model, and what is counted on the way.

Readings of many arcs at a time: where each stands in the model and in the word being read, and
the counts that :mod:`ctcbias_fst.search.compose` weighs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from ctcbias_fst.errors import LanguageModelError
from ctcbias_fst.ngram.ngram_lm import LanguageModel
from ctcbias_fst.ngram.tables import NgramTables
from ctcbias_fst.records import PieceContext, Word
from ctcbias_fst.search.lattice import Lattice
from ctcbias_fst.search.word_lexicon import Lexicon
from ctcbias_fst.text.vocabulary import Vocabulary

_LM, _WORDS, _UNKNOWN, _LETTERS, _NAMES = range(5)
_Symbols = list[tuple[int, int]]
Contexts = Sequence[PieceContext | None] | None
"""What each utterance of a batch is a piece of, if one is."""


class ArcExpansion:
    """Readings on the way along arcs: their contexts and nodes, and what is counted."""

    def __init__(
        self, context: torch.Tensor, node: torch.Tensor, dtype: torch.dtype = torch.float32
    ) -> None:
        self.context, self.node = context, node
        self.counts = torch.zeros(len(node), 5, dtype=dtype, device=node.device)

    def word(self, tables: NgramTables, at: torch.Tensor, symbol: torch.Tensor) -> None:
        """Word ``symbol[i]`` ends at reading ``at[i]``; -1 for one that is not known."""
        self.context[at], score = tables.advance(self.context[at], symbol)
        self.count(_LM, at, score)
        self.count(_WORDS, at, torch.ones_like(score))
        self.count(_UNKNOWN, at, symbol < 0)

    def end(self, tables: NgramTables, at: torch.Tensor) -> None:
        """Readings ``at`` end here."""
        self.count(_LM, at, tables.end(self.context[at]))
        self.context[at] = 0

    def count(self, what: int, at: torch.Tensor, value: torch.Tensor) -> None:
        """Add ``value[i]`` to what reading ``at[i]`` counts, none twice."""
        self.counts[:, what].index_add_(0, at, value.to(self.counts.dtype))

    def whole(
        self, tables: NgramTables, symbols: Sequence[_Symbols], ends: torch.Tensor | None = None
    ) -> None:
        """All words of every reading, and its end where ``ends`` (N,), by default everywhere."""
        device = self.context.device
        longest = max(map(len, symbols), default=0)
        rows = [[*row, *[(-2, 0)] * (longest - len(row))] for row in symbols]
        every = torch.tensor(rows, device=device).view(len(rows), longest, 2)
        for symbol, letters in every.permute(1, 2, 0):
            at = (symbol > -2).nonzero().flatten()
            self.word(tables, at, symbol[at])
            self.count(_LETTERS, at, letters[at] * (symbol[at] < 0))
        at = torch.arange(len(rows), device=device)
        self.end(tables, at if ends is None else at[ends])


class Words:
    """A model of words: what a token does to the word being read."""

    def __init__(self, lexicon: Lexicon) -> None:
        self.lexicon = lexicon
        self.root, self.after_name = lexicon.root, lexicon.after_name
        self.num_nodes = lexicon.num_nodes

    def best_ahead(self, unknown: float) -> torch.Tensor:
        """float32 (nodes,): about what the model will say of the word being read."""
        best = self.lexicon.best.clone()
        best[self.root] = 0.0
        best[self.lexicon.outside] = unknown
        return best

    def symbols(self, tokens: Sequence[Sequence[int]], vocabulary: Vocabulary) -> list[_Symbols]:
        """The words that whole readings write: of each its symbol, -1 for none, and its letters."""
        texts = [_words(row, vocabulary) for row in tokens]
        distinct = list({word for row in texts for word in row})
        symbol = dict(zip(distinct, self.lexicon.find(distinct)))
        return [[(symbol[word], len(word)) for word in row] for row in texts]

    def before(
        self, contexts: Sequence[PieceContext | None], most: int, name: Callable[[Word], bool]
    ) -> list[list[int]]:
        """The symbols of what was said before pieces; see :func:`states_around`.

        Args:
            contexts: of the pieces.
            most: symbols that are asked for, of each.
            name: whether a word is part of a name that is one word to the model.
        """
        rows: list[list[str | None]] = []
        for context in contexts:
            words = () if context is None else context.words
            said: list[str | None] = []
            for at, word in enumerate(words):
                if not name(word):
                    said.append(word.word.lower() if word.entity else word.word)
                elif not (at and any(one in words[at - 1].mentions for one in word.mentions)):
                    said.append(None)
            rows.append(said[max(0, len(said) - most) :])
        known = [word for said in rows for word in said if word is not None]
        upper = self.lexicon.upper_case
        found = iter(self.lexicon.find([word.upper() if upper else word for word in known]))
        return [[-1 if word is None else next(found) for word in said] for said in rows]

    def close(self, moves: ArcExpansion, tables: NgramTables, closes: torch.Tensor) -> None:
        """The word being read, if there is one, ends at the readings that ``closes`` (K,)."""
        pending = closes & (moves.node != self.root) & (moves.node != self.after_name)
        at = pending.nonzero().flatten()
        node = moves.node[at]
        moves.node = torch.where(closes, self.root, moves.node)
        symbol = self.lexicon.symbol[node]
        moves.count(_LETTERS, at, self.lexicon.letters[node] * (symbol < 0))
        moves.word(tables, at, symbol)

    def extend(
        self, moves: ArcExpansion, tables: NgramTables, at: torch.Tensor, token: torch.Tensor
    ) -> None:
        """A token continues the word being read, or begins one."""
        before = moves.node[at]
        node = self.lexicon.extend(before, token)
        # Letters are paid when it is sure that the word is unknown: all so far, then each.
        outside = node == self.lexicon.outside
        letters = self.lexicon.letters[before] + self.lexicon.length[token]
        moves.count(_LETTERS, at, letters * outside)
        moves.node[at] = node


class Tokens:
    """A model of tokens: each is a word by itself."""

    root, after_name, num_nodes = 0, 1, 2

    def __init__(self, symbol: torch.Tensor) -> None:
        self._symbol = symbol

    @classmethod
    def of(cls, model: LanguageModel, vocabulary: Vocabulary, device: torch.device | str) -> Tokens:
        symbols = model.encode(vocabulary.tokens)
        known = sum(symbol >= 0 for symbol in symbols)
        if known * 2 < vocabulary.size:
            raise LanguageModelError(
                f"{model.source}: of the acoustic model's {vocabulary.size} tokens it knows only "
                f"{known}: train it with that model's tokenizer (ctcbias lm train --unit token)"
            )
        return cls(torch.tensor(symbols, device=device))

    def best_ahead(self, unknown: float) -> torch.Tensor:
        """No token is being read: zeros."""
        return torch.zeros(2, device=self._symbol.device)

    def symbols(self, tokens: Sequence[Sequence[int]], vocabulary: Vocabulary) -> list[_Symbols]:
        """The tokens of whole readings: of each its symbol, -1 for none. Letters do not count."""
        symbol = self._symbol.tolist()
        return [[(symbol[token], 0) for token in row] for row in tokens]

    def before(
        self, contexts: Sequence[PieceContext | None], most: int, name: Callable[[Word], bool]
    ) -> list[list[int]]:
        """Nothing: of words it is not known which tokens they were."""
        return [[] for _ in contexts]

    def close(self, moves: ArcExpansion, tables: NgramTables, closes: torch.Tensor) -> None:
        """A name ends at the readings that ``closes``; nothing else is pending."""
        moves.node = torch.where(closes, self.root, moves.node)

    def extend(
        self, moves: ArcExpansion, tables: NgramTables, at: torch.Tensor, token: torch.Tensor
    ) -> None:
        """A token is read, unless it continues a name."""
        plain = moves.node[at] != self.after_name
        moves.word(tables, at[plain], self._symbol[token[plain]])


def states_around(
    contexts: Contexts,
    size: int,
    units: Words | Tokens,
    tables: NgramTables,
    *,
    boost_class: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """How a model stands around some utterances.

    Args:
        contexts: of those that are pieces of something.
        size: of the utterances.
        units: of the model.
        tables: of the model.
        boost_class: whether a name is one word to it.

    Returns:
        int64 (N,), its state where each begins, and bool (N,), whether a sentence ends with it.
    """
    device = tables.key.device
    begin = torch.full((size,), tables.begin, device=device)
    ends = torch.ones_like(begin, dtype=torch.bool)
    if contexts is None:
        return begin, ends
    ends = torch.tensor([one is None or not one.goes_on for one in contexts], device=device)
    most = tables.order - 1
    symbols = units.before(contexts, most, _is_one_word if boost_class else lambda _: False)
    # All that the model looks back to is known of these.
    begin[torch.tensor([len(said) >= most > 0 for said in symbols], device=device)] = 0
    for at in range(max(map(len, symbols), default=0)):
        rows = [row for row, said in enumerate(symbols) if at < len(said)]
        some = torch.tensor(rows, device=device)
        symbol = torch.tensor([symbols[row][at] for row in rows], device=device)
        begin[some], _ = tables.advance(begin[some], symbol)
    return begin, ends


def _is_one_word(word: Word) -> bool:
    """Whether a word was read as part of a name, and not as ordinary words that are one."""
    return any(mention.found_by != "text" for mention in word.mentions)


@dataclass(frozen=True)
class LatticeEntities:
    """What the names that occur in a lattice are to the model.

    Attributes:
        entity: int64 (E,), ascending.
        words: float32 (E,), how many words each has.
        log_prior: float32 (E,), or None without the class BOOST.
        symbols: int64 (E, W): the words of each, without the class; -2 after the last.
        letters: int64 (E, W): the letters of the unknown ones.
    """

    entity: torch.Tensor
    words: torch.Tensor
    log_prior: torch.Tensor | None
    symbols: torch.Tensor
    letters: torch.Tensor

    @classmethod
    def of(
        cls, lattice: Lattice, units: Words | Tokens, *, boost_class: bool, upper_case: bool
    ) -> LatticeEntities:
        aux, size = lattice.aux, lattice.graph.vocabulary_size
        entity = torch.unique(aux[aux >= size]) - size
        entities = [lattice.graph.entities[i] for i in entity.tolist()]
        device = entity.device
        words = [name.name.split() for name in entities]
        log_prior = None
        symbols = torch.full((len(entities), 0), -2, device=device)
        letters = torch.zeros_like(symbols)
        if boost_class:
            log_prior = torch.tensor([math.log(name.prior) for name in entities], device=device)
        elif isinstance(units, Words):
            longest = max(map(len, words), default=0)
            rows = [[w.upper() if upper_case else w for w in of] for of in words]
            found = [units.lexicon.find(of) + [-2] * (longest - len(of)) for of in rows]
            symbols = torch.tensor(found, device=device).view(len(rows), longest)
            unknown = [[len(word) for word in of] + [0] * (longest - len(of)) for of in rows]
            letters = torch.tensor(unknown, device=device).view(len(rows), longest)
        return cls(
            entity,
            torch.tensor([len(of) for of in words], device=device).float(),
            log_prior,
            symbols,
            torch.where(symbols == -1, letters, torch.zeros_like(letters)),
        )

    def complete(
        self, moves: ArcExpansion, tables: NgramTables, at: torch.Tensor, entity: torch.Tensor
    ) -> None:
        """Name ``entity[i]`` ends at reading ``at[i]``."""
        row = torch.searchsorted(self.entity, entity)
        if self.log_prior is not None:
            moves.context[at], score = tables.advance(moves.context[at], torch.full_like(at, -1))
            moves.count(_LM, at, score + self.log_prior[row])
            moves.count(_WORDS, at, self.words[row])
            moves.count(_NAMES, at, torch.ones_like(score))
            return
        for symbols, letters in zip(self.symbols.t(), self.letters.t()):
            some = symbols[row] > -2
            moves.word(tables, at[some], symbols[row[some]])
            moves.count(_LETTERS, at, letters[row])


def _words(tokens: Sequence[int], vocabulary: Vocabulary) -> list[str]:
    """What tokens write between word boundaries."""
    words = [""]
    for token in tokens:
        if vocabulary.ends_word[token]:
            words.append("")
        words[-1] += vocabulary.surfaces[token]
    return [word for word in words if word]

"""The words of a language model as a tree over what the tokens of a vocabulary write.

A node is a beginning of a word, known by a 64-bit hash of its letters; a token leads from a node
to that of the longer beginning. So it does not matter how a word is cut into tokens, and nothing
depends on the vocabulary but its case.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from ctcbias_fst.errors import LanguageModelError
from ctcbias_fst.ngram.ngram import FIRST_SYMBOL
from ctcbias_fst.ngram.ngram_lm import LanguageModel
from ctcbias_fst.search.text_hashes import Hashes, extended, letter_codes, text_hashes
from ctcbias_fst.text.vocabulary import Vocabulary


@dataclass(frozen=True, eq=False)
class Lexicon:
    """Nodes 0 to P - 1 by hash; two more stand for a word outside the tree, and after a name.

    Attributes:
        hash: int64 (P,), ascending; the hash of no letters, 0, is among them.
        letters: int64 (P + 2,): how long each beginning is; 0 for the two others.
        symbol: int64 (P + 2,): the model's symbol of the word that ends here, -1 for none.
        best: float32 (P + 2,): natural log, of the most probable single word at or below.
        root: the node of no letters.
        factor, summand: int64 (V,): the hash h becomes ``h * factor + summand`` by a token.
        length: int64 (V,): letters that a token writes.
        upper_case: whether words are in capitals.
    """

    hash: torch.Tensor
    letters: torch.Tensor
    symbol: torch.Tensor
    best: torch.Tensor
    root: int
    factor: torch.Tensor
    summand: torch.Tensor
    length: torch.Tensor
    upper_case: bool = False

    @classmethod
    def of(
        cls, model: LanguageModel, vocabulary: Vocabulary, device: torch.device | str
    ) -> Lexicon:
        """Make the tree of a model of words.

        Words are brought to the case of the vocabulary, if it has only one; of words that are
        then equal the most probable one stays. The special words (``<s>``, ``<unk>``) are left
        out.

        Raises:
            LanguageModelError: no words are left.
        """
        words, symbols, scores = _written_words(model, vocabulary)
        if not words:
            raise LanguageModelError(f"{model.source}: knows no words")
        hashes, lengths, owner = _beginnings(words)
        node_hash, first = np.unique(hashes.view(np.int64), return_index=True)
        letters = lengths[first]
        node = np.searchsorted(node_hash, hashes.view(np.int64))
        assert bool((letters[node] == lengths).all()), "two beginnings have the same hash"
        best = np.full(len(node_hash) + 2, -np.inf, dtype=np.float32)
        np.maximum.at(best, node, scores[owner])
        best[len(node_hash) :] = 0.0
        symbol = np.full(len(node_hash) + 2, -1, dtype=np.int64)
        # The last beginning of each word is the word itself; the most probable comes last.
        whole = np.flatnonzero(np.append(owner[1:] != owner[:-1], True))
        whole = whole[lengths[whole] > 0]
        by_score = whole[np.argsort(scores[owner[whole]], kind="stable")]
        symbol[node[by_score]] = symbols[owner[by_score]]
        factor, summand = torch.from_numpy(text_hashes(vocabulary.surfaces)).to(device).unbind(-1)
        return cls(
            hash=torch.from_numpy(node_hash).to(device),
            letters=torch.from_numpy(np.append(letters, [0, 0])).to(device),
            symbol=torch.from_numpy(symbol).to(device),
            best=torch.from_numpy(best).to(device),
            root=int(np.searchsorted(node_hash, 0)),
            factor=factor,
            summand=summand,
            length=torch.tensor([len(s) for s in vocabulary.surfaces], device=device),
            upper_case=vocabulary.upper_case,
        )

    @property
    def outside(self) -> int:
        """The node of a word that is not in the tree."""
        return len(self.hash)

    @property
    def after_name(self) -> int:
        """The node of a word that is part of a name: what continues it is free."""
        return len(self.hash) + 1

    @property
    def num_nodes(self) -> int:
        """All of them."""
        return len(self.hash) + 2

    def find(self, words: Sequence[str]) -> list[int]:
        """Symbols of words in the vocabulary's case; -1 for those that are not in the tree."""
        wanted = torch.from_numpy(text_hashes(words)[:, 1].copy()).to(self.hash.device)
        at = torch.searchsorted(self.hash, wanted).clamp(max=len(self.hash) - 1)
        symbol = torch.where(self.hash[at] == wanted, self.symbol[at], torch.full_like(at, -1))
        found: list[int] = symbol.tolist()
        return found

    def extend(self, node: torch.Tensor, token: torch.Tensor) -> torch.Tensor:
        """Where a token leads that continues a word: int64 (K,)."""
        inside = node < self.outside
        before = self.hash[torch.where(inside, node, torch.zeros_like(node))]
        wanted = before * self.factor[token] + self.summand[token]
        at = torch.searchsorted(self.hash, wanted).clamp(max=len(self.hash) - 1)
        known = torch.where(self.hash[at] == wanted, at, torch.full_like(at, self.outside))
        return torch.where(inside, known, node)


def _written_words(
    model: LanguageModel, vocabulary: Vocabulary
) -> tuple[list[str], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Words in the vocabulary's case, their symbols and their single log-probs."""
    names: Sequence[str] = model.ngram.symbols
    order = model.ngram.orders[0]
    single = np.full(model.num_symbols, -np.inf)
    single[order.symbol] = order.log_probability
    written = "".join(vocabulary.surfaces)
    if vocabulary.upper_case:
        names = [name.upper() for name in names]
    elif written.lower() == written:
        names = [name.lower() for name in names]
    kept = [
        i for i, name in enumerate(model.ngram.symbols) if not (name[0] == "<" and name[-1] == ">")
    ]
    symbols = np.array(kept, dtype=np.int64) + FIRST_SYMBOL
    return [names[i] for i in kept], symbols, single[symbols]


def _beginnings(
    words: Sequence[str],
) -> tuple[Hashes, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Hash, length and word of every beginning, by word and length; the empty one included."""
    lengths = np.array([len(word) for word in words], dtype=np.int64)
    codes = letter_codes(words)
    first_letter = np.cumsum(lengths) - lengths
    first = first_letter + np.arange(len(words))
    hashes = np.zeros(int(lengths.sum()) + len(words), dtype=np.uint64)
    length = np.zeros(len(hashes), dtype=np.int64)
    owner = np.repeat(np.arange(len(words)), lengths + 1)
    for position in range(int(lengths.max(initial=0))):
        of = np.flatnonzero(lengths > position)
        at = first[of] + position
        hashes[at + 1] = extended(hashes[at], codes[first_letter[of] + position])
        length[at + 1] = position + 1
    return hashes, length, owner

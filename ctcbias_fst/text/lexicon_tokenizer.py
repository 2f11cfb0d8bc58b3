"""A tokenizer whose tokens are phones: it writes names as they are pronounced."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence

from ctcbias_fst.recent import Recent
from ctcbias_fst.text.phone_tokens import PhoneTokens
from ctcbias_fst.text.phones import PHONES
from ctcbias_fst.text.token_lexicon import TokenLexicon, Tokens, Ways
from ctcbias_fst.text.tokens import Tokenizer
from ctcbias_fst.text.vocabulary import Vocabulary

_KEPT = 100_000
"""Words whose pronunciations are kept, at most."""

_MOST = 6
"""Pronunciations of a word, at most."""


class LexiconTokenizer(Tokenizer):
    """Writes words as the lexicon says, others as they are likely to be pronounced.

    A decoder with it writes the words of the lexicon, and names, instead of the tokens.

    Args:
        vocabulary: of the model.
        lexicon: what it writes besides names.
        pronounce: the pronunciations of a word that is not in the lexicon, the likeliest first.
        phones: writes phones of ARPAbet in the model's tokens, if that can be done.
        asks_always: whether `pronounce` is asked about words of the lexicon, too.
    """

    cuts_by = "its lexicon of pronunciations"

    def __init__(
        self,
        vocabulary: Vocabulary,
        lexicon: TokenLexicon,
        pronounce: Callable[[str], Ways] | None = None,
        phones: PhoneTokens | None = None,
        *,
        asks_always: bool = False,
    ) -> None:
        self.vocabulary, self.lexicon = vocabulary, lexicon
        self.pronounce, self.phone_tokens = pronounce, phones
        self.asks_always = asks_always
        self._words: Recent[str, list[tuple[Tokens, float]]] = Recent(_KEPT)

    def with_lexicon(self, lexicon: TokenLexicon) -> LexiconTokenizer:
        """The same with another lexicon of the model."""
        return LexiconTokenizer(
            self.vocabulary,
            lexicon,
            self.pronounce,
            self.phone_tokens,
            asks_always=self.asks_always,
        )

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        best = [self._nbest(text, 1) for text in texts]
        return [found[0][0] if found else [] for found in best]

    def encode_nbest(self, texts: Sequence[str], n: int) -> list[list[tuple[list[int], float]]]:
        """Return up to `n` pronunciations of each text with their costs, best first."""
        if n < 1:
            raise ValueError(f"n must be at least 1, not {n}.")
        return [self._nbest(text, n) for text in texts]

    def _nbest(self, text: str, n: int) -> list[tuple[list[int], float]]:
        phrases: list[tuple[Tokens, float]] = [((), 0.0)]
        for word in text.split():
            phrases = heapq.nsmallest(
                n,
                [
                    (head + tail, cost + more)
                    for head, cost in phrases
                    for tail, more in self._of_word(word)
                ],
                key=lambda way: way[1],
            )
        return [(list(tokens), cost - phrases[0][1]) for tokens, cost in phrases if tokens]

    def _of_word(self, word: str) -> list[tuple[Tokens, float]]:
        word = word.lower()
        known = self._words.get(word)
        if known is not None:
            return known
        found = dict(self.lexicon.ways(word))
        if self.pronounce is not None and (self.asks_always or not found):
            for tokens, cost in self.pronounce(word):
                if tokens:
                    found[tokens] = min(cost, found.get(tokens, cost))
        likeliest = sorted(found.items(), key=lambda way: way[1])[:_MOST]
        return self._words.put(word, likeliest)

    def phones(self, phones: Sequence[str]) -> list[list[int]]:
        own = super().phones(phones)
        if own or self.phone_tokens is None or not all(phone in PHONES for phone in phones):
            return own
        return [list(tokens) for tokens, _ in self.phone_tokens.write(phones)]

    def uncovered(self, text: str) -> str:
        words = [word for word in text.split() if not self._of_word(word)]
        # Letters of which other words are pronounced are not what is missing.
        others = [c for c in "".join(words) if not self._of_word(c)]
        return "".join(dict.fromkeys(others or "".join(words)))

    def covers(self, characters: str) -> bool:
        return not characters.strip()

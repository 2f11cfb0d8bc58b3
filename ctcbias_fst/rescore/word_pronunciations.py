"""How the words of transcripts sound: looked up once, and kept while they are in use."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from functools import lru_cache
from typing import Any

from ctcbias_fst.pronunciation.pronounce import Pronouncer
from ctcbias_fst.pronunciation.pronunciation_table import Pronunciation
from ctcbias_fst.pronunciation.readings import LETTER_NAMES
from ctcbias_fst.text.entities import EntityList
from ctcbias_fst.text.entity import Entity
from ctcbias_fst.text.phrases import PhraseMatcher
from ctcbias_fst.variants.shipped import load_pronouncer

_KEPT = 50_000
"""Words whose pronunciations are kept, at most: some 0.5 kB each."""

_ARTICLE = Pronunciation.of(["AH"])
"""The word *a* is hardly ever said like the letter."""


class WordPronunciations:
    """The pronunciations of words.

    Args:
        pronouncer: what knows them.
        most: pronunciations of a word, at most.
        max_cost: pronunciations that cost more are left out.
    """

    def __init__(self, pronouncer: Pronouncer, most: int = 3, max_cost: float = 3.0) -> None:
        """Begin with nothing known."""
        self._pronouncer = pronouncer
        self._most, self._max_cost = most, max_cost
        # Asked for at every word of every hypothesis.
        self._word = lru_cache(maxsize=_KEPT)(self._look_up)
        self._listed = lru_cache(maxsize=_KEPT)(pronouncer.is_listed)

    def __reduce__(self) -> tuple[Any, ...]:
        """Those that are shipped are not copied, but shared by each process that has a copy."""
        if self is load_word_pronunciations():
            return load_word_pronunciations, ()
        return type(self), (self._pronouncer, self._most, self._max_cost)

    def word(self, word: str) -> tuple[Pronunciation, ...]:
        """Return the pronunciations of a word in normal form; none if it cannot be pronounced."""
        return self._word(word)

    def is_listed(self, word: str) -> bool:
        """Tell whether the lexicon has the word, so that it is more than a guess at a sound.

        Letters, among them the words *a* and *I*, sound as they are called.
        """
        return word in LETTER_NAMES or self._listed(word)

    def entity(self, entity: Entity) -> tuple[Pronunciation, ...]:
        """Return the pronunciations of a name: its own, if the list gives them."""
        return self.likely(self._pronouncer.pronounce_entities([entity])[0])

    def likely(self, found: Sequence[Pronunciation]) -> tuple[Pronunciation, ...]:
        """Leave out those of a name that would not be asked for here, and all sources."""
        return tuple(
            [Pronunciation(*one[:2]) for one in found[: self._most] if one.cost <= self._max_cost]
        )

    def _look_up(self, word: str) -> tuple[Pronunciation, ...]:
        # Most words that a recogniser makes up are never seen again: one guess must do.
        phones = () if self.is_listed(word) else self._pronouncer.guess(word)
        if phones:
            return (Pronunciation(phones, 0.0),)
        found = self.likely(self._pronouncer.pronounce_all([word])[0])
        return (_ARTICLE, *found) if word == "a" else found


class EntityPronunciations:
    """The pronunciations of a list of names, found when they are asked for.

    Args:
        entities: the list.
        words: what knows those of words.
        find: what knows those of the list's names, if it is not ``words``.
        looked_up: the names that may take the place of words that sound like them; by default
            all.
    """

    def __init__(
        self,
        entities: EntityList,
        words: WordPronunciations,
        find: Callable[[Entity], tuple[Pronunciation, ...]] | None = None,
        looked_up: Set[str] | None = None,
    ) -> None:
        """Index the list by what transcripts show."""
        self.entities = entities
        self.words = words
        self._by_display = {entity.display: entity for entity in entities}
        self._matcher: PhraseMatcher | None = None
        self._find = find or words.entity
        self._known: dict[str, tuple[Pronunciation, ...]] = {}
        self._looked_up = looked_up

    def of(self, entity: Entity) -> tuple[Pronunciation, ...]:
        """Return the pronunciations of an entity of the list."""
        known = self._known.get(entity.name)
        if known is None:
            known = self._known[entity.name] = self._find(entity)
        return known

    def lookup_candidates(self) -> list[tuple[Entity, tuple[Pronunciation, ...]]]:
        """Return the names that may take the place of words, with their pronunciations."""
        names = self._looked_up
        entities = [e for e in self.entities if names is None or e.name in names]
        return [(entity, self.of(entity)) for entity in entities]

    def read(self, words: Sequence[str]) -> list[tuple[int, tuple[Pronunciation, ...]]]:
        """Part a run of words that came out of the list into its names.

        Returns:
            For each name, or word that is part of none, how many words it has and how
            they sound. A possessive ``'s`` may follow a name.
        """
        if self._matcher is None:
            self._matcher = PhraseMatcher(self._by_display)
        parts: list[tuple[int, tuple[Pronunciation, ...]]] = []
        at = 0
        for found in self._matcher.occurrences(words):
            if found.start < at or found.within:
                continue
            if found.start > at:
                parts += [(1, self.words.word(word.lower())) for word in words[at : found.start]]
            own = self.of(self._by_display[found.name])
            if found.possessive:
                own = tuple([one.possessive() for one in own])
            parts.append((found.end - found.start, own))
            at = found.end
        parts += [(1, self.words.word(word.lower())) for word in words[at:]]
        return parts


def load_word_pronunciations() -> WordPronunciations:
    """Return those by the lexicon and G2P that are shipped, shared by the whole process.

    Raises:
        ModelError: a file of theirs is missing or damaged.
    """
    return _word_pronunciations(load_pronouncer())


@lru_cache(maxsize=1)
def _word_pronunciations(pronouncer: Pronouncer) -> WordPronunciations:
    # The first guess builds a graph: better now than while somebody waits for a transcript.
    pronouncer.guess("a")
    return WordPronunciations(pronouncer)

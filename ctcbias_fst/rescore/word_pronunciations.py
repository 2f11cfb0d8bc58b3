"""How the words of transcripts sound: looked up once, and kept while they are in use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence, Set
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple

from ctcbias_fst.pronunciation.lexicon import possessive
from ctcbias_fst.pronunciation.pronounce import Pronouncer, Pronunciation
from ctcbias_fst.pronunciation.readings import LETTER_NAMES
from ctcbias_fst.text.entities import EntityList
from ctcbias_fst.text.entity import Entity
from ctcbias_fst.text.phones import PHONES
from ctcbias_fst.text.phrases import PhraseMatcher
from ctcbias_fst.variants.shipped import load_pronouncer

__all__ = [
    "PHONE_ID",
    "EntityPronunciations",
    "Sound",
    "WordPronunciations",
    "load_word_pronunciations",
]

PHONE_ID = {phone: column for column, phone in enumerate(PHONES, start=1)}
"""Phones to columns of the phone head; column 0 is its blank."""

_KEPT = 50_000
"""Words whose sounds are kept, at most: some 0.5 kB each."""


class Sound(NamedTuple):
    """One way a word, or a name of several, may sound.

    Attributes:
        phones: columns of the phone head.
        cost: nats, at least 0: how much less likely than the word's best one.
    """

    phones: tuple[int, ...]
    cost: float


_ARTICLE = Sound((PHONE_ID["AH"],), 0.0)
"""The word *a* is hardly ever said like the letter."""


class WordPronunciations:
    """The sounds of words.

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

    def word(self, word: str) -> tuple[Sound, ...]:
        """Return the sounds of a word in normal form; none if it cannot be pronounced."""
        return self._word(word)

    def is_listed(self, word: str) -> bool:
        """Tell whether the lexicon has the word, so that it is more than a guess at a sound.

        Letters, among them the words *a* and *I*, sound as they are called.
        """
        return word in LETTER_NAMES or self._listed(word)

    def entity(self, entity: Entity) -> tuple[Sound, ...]:
        """Return the sounds of a name: its own, if the list gives them."""
        return self.entities([entity])[0]

    def entities(self, entities: Sequence[Entity]) -> list[tuple[Sound, ...]]:
        """Return the sounds of each of several names; together they take less time."""
        return [self._kept(found) for found in self._pronouncer.pronounce_entities(entities)]

    def likely(self, sounds: Iterable[Sound]) -> tuple[Sound, ...]:
        """Leave out those of a name that would not be asked for here."""
        return tuple(s for s in islice(sounds, self._most) if s.cost <= self._max_cost)

    def _look_up(self, word: str) -> tuple[Sound, ...]:
        # Most words that a recogniser makes up are never seen again: one guess must do.
        phones = () if self.is_listed(word) else self._pronouncer.guess(word)
        if phones:
            return (Sound(tuple(PHONE_ID[phone] for phone in phones), 0.0),)
        found = self._kept(self._pronouncer.pronounce_all([word])[0])
        return (_ARTICLE, *found) if word == "a" else found

    def _kept(self, found: Sequence[Pronunciation]) -> tuple[Sound, ...]:
        return self.likely(
            Sound(tuple([PHONE_ID[phone] for phone in p.phones]), p.cost) for p in found
        )


class EntityPronunciations:
    """The sounds of a list of names, found when they are asked for.

    Args:
        entities: the list.
        words: what knows sounds.
        sounds: what knows the sounds of the list's names, if it is not ``words``.
        looked_up: the names that may take the place of words that sound like them; by default
            all.
    """

    def __init__(
        self,
        entities: EntityList,
        words: WordPronunciations,
        sounds: Callable[[Entity], tuple[Sound, ...]] | None = None,
        looked_up: Set[str] | None = None,
    ) -> None:
        """Index the list by what transcripts show."""
        self.entities = entities
        self.words = words
        self._by_display = {entity.display: entity for entity in entities}
        self._matcher: PhraseMatcher | None = None
        self._sounds_of = sounds
        self._sounds: dict[str, tuple[Sound, ...]] = {}
        self._looked_up = looked_up

    def sounds(self, entity: Entity) -> tuple[Sound, ...]:
        """Return the sounds of an entity of the list."""
        known = self._sounds.get(entity.name)
        if known is None:
            known = self._sounds[entity.name] = (self._sounds_of or self.words.entity)(entity)
        return known

    def lookup_candidates(self) -> list[tuple[Entity, tuple[Sound, ...]]]:
        """Return the names that may take the place of words, with their sounds."""
        names = self._looked_up
        entities = [e for e in self.entities if names is None or e.name in names]
        if self._sounds_of is None:
            missing = [entity for entity in entities if entity.name not in self._sounds]
            found = self.words.entities(missing)
            self._sounds.update(zip((entity.name for entity in missing), found))
        return [(entity, self.sounds(entity)) for entity in entities]

    def read(self, words: Sequence[str]) -> list[tuple[int, tuple[Sound, ...]]]:
        """Part a run of words that came out of the list into its names.

        Returns:
            For each name, or word that is part of none, how many words it has and its sounds.
            A possessive ``'s`` may follow a name.
        """
        if self._matcher is None:
            self._matcher = PhraseMatcher(self._by_display)
        parts: list[tuple[int, tuple[Sound, ...]]] = []
        at = 0
        for found in self._matcher.occurrences(words):
            if found.start < at or found.within:
                continue
            if found.start > at:
                parts += [(1, self.words.word(word.lower())) for word in words[at : found.start]]
            sounds = self.sounds(self._by_display[found.name])
            if found.possessive:
                sounds = tuple(Sound(_possessive(s.phones), s.cost) for s in sounds)
            parts.append((found.end - found.start, sounds))
            at = found.end
        parts += [(1, self.words.word(word.lower())) for word in words[at:]]
        return parts


def load_word_pronunciations() -> WordPronunciations:
    """Return the sounds by the lexicon and G2P that are shipped, shared by the whole process.

    Raises:
        ModelError: a file of theirs is missing or damaged.
    """
    return _word_pronunciations(load_pronouncer())


@lru_cache(maxsize=1)
def _word_pronunciations(pronouncer: Pronouncer) -> WordPronunciations:
    # The first guess builds a graph: better now than while somebody waits for a transcript.
    pronouncer.guess("a")
    return WordPronunciations(pronouncer)


def _possessive(phones: tuple[int, ...]) -> tuple[int, ...]:
    with_s = possessive(tuple(PHONES[phone - 1] for phone in phones))
    return tuple(PHONE_ID[phone] for phone in with_s)

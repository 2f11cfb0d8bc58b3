"""Spelling variants as further paths of the entity tree.

A recogniser writes a name that it does not know as it sounds. So each variant of a name is
encoded in the model's tokens, like the name itself, and its path emits the name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence, Set
from dataclasses import dataclass, replace
from string import ascii_lowercase
from typing import ClassVar

import numpy as np

from ctcbias_fst.bounds import at_most, not_negative
from ctcbias_fst.recent import Recent
from ctcbias_fst.text.encoded_entities import EncodedEntities, encode_entities
from ctcbias_fst.text.entities import EntityList
from ctcbias_fst.text.entity import Entity
from ctcbias_fst.text.lexicon_tokenizer import LexiconTokenizer
from ctcbias_fst.text.tokens import Tokenizer
from ctcbias_fst.variants.phone_models import has_phones
from ctcbias_fst.variants.shipped import prepare_spelling_variants, spelling_variants
from ctcbias_fst.variants.variants import SpellingVariants

_KEPT = 20_000
"""Names whose rows are kept, at most: some 4 kB each."""


@dataclass(frozen=True)
class SpellingsConfig:
    """Which variants a list of names gets, and what they cost; costs are nats.

    Attributes:
        number: variants of each name, at most; 0 for none.
        cost: of any variant, whichever it is.
        scale: factor on the cost that the variant has by its sounds, its letters and its
            being a common word.
        max_names: lists with more names get no variants, which take some 2 ms a name.
    """

    number: int = 20
    cost: float = 2.5
    scale: float = 0.25
    max_names: int = 10_000

    RENAMED: ClassVar = {"most_names": "max_names"}

    def __post_init__(self) -> None:
        """Refuse negative values, and more variants than a name can have."""
        not_negative(self, *vars(self))
        at_most(self, 1000, "number")


def why_no_variants(tokenizer: Tokenizer) -> str | None:
    """Why names have no spelling variants in the tokens of a model; None if they have.

    Variants are spelt in the letters a to z. Where tokens are phones, what is spelt so would be
    heard as what the letters happen to stand for there.
    """
    vocabulary = tokenizer.vocabulary
    if isinstance(tokenizer, LexiconTokenizer) or has_phones(vocabulary):
        return "needs tokens that are letters"
    written = {letter.lower() for letter in vocabulary.letters}
    return None if written & set(ascii_lowercase) else "needs tokens of the letters a to z"


def encode_spellings(
    entities: EntityList,
    tokenizer: Tokenizer,
    *,
    segmentations: int = 1,
    config: SpellingsConfig | None = None,
    variants: SpellingVariants | None = None,
    own: EncodedEntities | None = None,
) -> EncodedEntities:
    """Encode names, their ``sounds_like`` spellings and, if there is a `config`, their variants.

    A list of more than ``config.max_names`` has none; whoever compiles it tells that.

    Args:
        entities: entries that passed `check_entities`.
        tokenizer: of the model.
        segmentations: how many ways to cut a spelling into tokens, at most.
        config: of the variants; without it there are none.
        variants: what makes them, by default the ones that are shipped.
        own: what `encode_entities` makes of the same names, if it is at hand.

    Returns:
        Rows by spelling: first those of `encode_entities`, then those of the variants. Their
        costs are those of their segmentation and of the variant together.
    """
    if own is None:
        own = encode_entities(entities, tokenizer, nbest=segmentations)
    if config is None or config.number == 0 or not 0 < len(entities) <= config.max_names:
        return own
    return EncodedEntities.joined([own, encode_variants(entities, tokenizer, config, variants)])


def encode_variants(
    entities: EntityList | Sequence[Entity],
    tokenizer: Tokenizer,
    config: SpellingsConfig,
    variants: SpellingVariants | None = None,
    known: Set[str] | None = None,
) -> EncodedEntities:
    """Encode the variants alone, each in its best segmentation.

    A variant that is a name of the list itself, or that the list spells out under
    ``sounds_like``, is left out. ``known`` are these if the entities are a part of the list.
    """
    if known is None:
        known = listed_spellings(entities)
    names = [entity.name for entity in entities]
    if variants is None:
        found = spelling_variants(names, config.number)
    else:
        found = variants.spelling_variants(names, config.number)
    spellings, owners, costs = [], [], []
    for owner, several in enumerate(found):
        for variant in several:
            if variant.spelling not in known:
                spellings.append(Entity(variant.spelling, variant.spelling))
                owners.append(owner)
                costs.append(config.cost + config.scale * variant.cost)
    encoded = encode_entities(spellings, tokenizer)
    cost = np.asarray(costs, dtype=np.float32)[encoded.entity_index]
    return EncodedEntities(
        values=encoded.values,
        row_splits=encoded.row_splits,
        entity_index=np.asarray(owners, dtype=np.int32)[encoded.entity_index],
        cost=cost + encoded.cost,
    )


def listed_spellings(entities: EntityList | Sequence[Entity]) -> frozenset[str]:
    """Return what a list spells out itself."""
    return frozenset(text for entity in entities for text, _ in entity.spellings)


class SpellingsOnDemand:
    """The rows of `encode_spellings` for parts of a long list; variants are made as they come up.

    Args:
        entities: the whole list.
        tokenizer: of the model.
        segmentations: how many ways to cut a spelling into tokens, at most.
        config: of the variants; without it there are none.
        variants: what makes them, by default the ones that are shipped.
        own: what `encode_entities` makes of the same names, if it is at hand.
    """

    def __init__(
        self,
        entities: EntityList,
        tokenizer: Tokenizer,
        *,
        segmentations: int = 1,
        config: SpellingsConfig | None = None,
        variants: SpellingVariants | None = None,
        own: EncodedEntities | None = None,
    ) -> None:
        """Encode the names."""
        if own is None:
            own = encode_entities(entities, tokenizer, nbest=segmentations)
        self.own = own
        self._entities, self._tokenizer, self._variants = entities.entities, tokenizer, variants
        self._config = None if config is None or config.number == 0 else config
        self._listed = listed_spellings(entities)
        self._known: Recent[int, EncodedEntities] = Recent(_KEPT)
        if self._config is not None and variants is None:
            prepare_spelling_variants()

    def prepare(self, names: Iterable[int]) -> None:
        """Make the variants of names; many together take less time than one by one."""
        if self._config is not None:
            self._made(names, self._config)

    def _made(self, names: Iterable[int], config: SpellingsConfig) -> dict[int, EncodedEntities]:
        """The rows of the variants of each name."""
        made: dict[int, EncodedEntities] = {}
        missing = []
        for name in sorted(set(names)):
            known = self._known.get(name)
            if known is None:
                missing.append(name)
            else:
                made[name] = known
        if not missing:
            return made
        found = encode_variants(
            [self._entities[name] for name in missing],
            self._tokenizer,
            config,
            self._variants,
            self._listed,
        )
        for place, name in enumerate(missing):
            made[name] = self._known.put(name, found.select(np.array([place])))
        return made

    def rows(self, names: Sequence[int], spelled: Collection[int]) -> EncodedEntities:
        """Return the rows of some names, those of ``spelled`` with their variants.

        Args:
            names: positions in the list, ascending; they become 0, 1, ….
            spelled: some of them.
        """
        own = self.own.select(np.asarray(names, dtype=np.int64))
        if self._config is None:
            return own
        made = self._made(spelled, self._config)
        parts = [
            replace(rows, entity_index=rows.entity_index + np.int32(place))
            for place, name in enumerate(names)
            if name in made
            for rows in (made[name],)
        ]
        return EncodedEntities.joined([own, *parts])

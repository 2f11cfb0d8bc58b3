"""Long lists: of each utterance only the names that sound like it are boosted and looked up.

A tree of 200,000 names, each with its variants, would take minutes to build, and would offer
every utterance thousands of names that sound like nothing in it; most of those that it took
would be wrong. So the phone head's output picks a few (:mod:`ctcbias_fst.shortlist.phone_index`),
and these get all that the names of a short list have: a tree of their own with spelling variants,
phone scores, and the lookup.

To pronounce a million names would take minutes, too. Of so long a list the letters are looked
for (:mod:`ctcbias_fst.shortlist.letter_sounds`), and only those names are pronounced, and picked
from, that may be heard by these.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ctcbias_fst.graph.entity_tree import BoostGraph, build_tree
from ctcbias_fst.pronunciation.pronunciation_table import Pronunciation, PronunciationTable
from ctcbias_fst.recent import Recent
from ctcbias_fst.records import LogProbs
from ctcbias_fst.rescore.word_pronunciations import EntityPronunciations, WordPronunciations
from ctcbias_fst.shortlist.phone_index import PhoneIndex
from ctcbias_fst.shortlist.subword_index import SubwordIndex
from ctcbias_fst.text.entities import EntityList
from ctcbias_fst.text.vocabulary import Vocabulary
from ctcbias_fst.variants.shipped import common_pronunciations, load_pronouncer
from ctcbias_fst.variants.spellings import SpellingsOnDemand

_KEPT = 50_000
"""Names of which is kept how they sound, at most."""


@dataclass(frozen=True)
class ShortList:
    """The names that an utterance may have.

    Attributes:
        graph: their tree, if the decoder boosts.
        pronunciations: for rescoring and lookup, if there is one of them.
    """

    graph: BoostGraph | None
    pronunciations: EntityPronunciations | None


class PronunciationsOnDemand:
    """How the names of a list sound, found as they come up. Threads may share it.

    Args:
        entities: the list.
    """

    def __init__(self, entities: EntityList) -> None:
        self._entities = entities.entities
        self._known: Recent[int, list[Pronunciation]] = Recent(_KEPT)

    def table(self, names: Sequence[int]) -> PronunciationTable:
        """How some names sound, which become the names 0, 1, … of the table."""
        found = {name: self._known.get(name) for name in names}
        new = [name for name, known in found.items() if known is None]
        several = load_pronouncer().pronounce_entities([self._entities[name] for name in new])
        found.update((name, self._known.put(name, one)) for name, one in zip(new, several))
        return PronunciationTable.of([found[name] or [] for name in names])

    def pronunciations(self, name: int) -> list[Pronunciation]:
        """Those of a name."""
        return self.table([name]).pronunciations(0)


class ShortLists:
    """Compiles the names of a long list that come up.

    Args:
        entities: the list, in an order that does not depend on the user's.
        index: of the same names, by their sounds or, if ``spoken`` is on demand, by their letters.
        spoken: how they sound.
        vocabulary: of the model.
        spellings: their rows for the tree, or None for no tree.
        words: how words sound, or None for no pronunciations.
        modelled: whether a language model acts, with which names have the price of a long list.
    """

    def __init__(
        self,
        entities: EntityList,
        index: PhoneIndex,
        spoken: PronunciationTable | PronunciationsOnDemand,
        vocabulary: Vocabulary,
        *,
        spellings: SpellingsOnDemand | None,
        words: WordPronunciations | None,
        modelled: bool = False,
    ) -> None:
        self._entities, self._index, self._spoken = entities, index, spoken
        self._vocabulary, self._spellings, self._words = vocabulary, spellings, words
        self._subwords = None
        if spellings is not None and index.config.n_by_subword:
            self._subwords = SubwordIndex.of(spellings.own, index.owner.device)
        self._known: Recent[str, tuple[Pronunciation, ...]] = Recent(_KEPT)
        self._homophones = np.full(len(entities), np.nan, dtype=np.float32)
        self._common = common_pronunciations() if index.config.homophone_cost else {}
        longer = len(entities) / max(1, index.config.shorten_above)
        self._size_cost = modelled * index.config.size_cost * math.log(max(longer, 1.0))

    def of(self, log_probs: LogProbs, which: Sequence[int]) -> list[ShortList]:
        """The names of some utterances of a batch, of each as if it were alone.

        Args:
            log_probs: with the phone head's.
            which: numbers of the utterances.
        """
        heard = log_probs.phones
        assert heard is not None, "a list is shortened only for a model with a phone head"
        lengths = heard.lengths.tolist()
        config = self._index.config
        by_subwords = self._by_subwords(log_probs, which)
        picked = []
        likely = self._by_phones([heard.log_probs[i, : lengths[i]] for i in which], by_subwords)
        for (names, unlike), others in zip(likely, by_subwords):
            first, costs = names.tolist(), unlike.cpu().numpy()
            known = set(first)
            more = [name for name in others if name not in known]
            # How unlike these are nobody measured: at least as much as the last of the others.
            costs = np.pad(costs, (0, len(more)), constant_values=costs.max(initial=0.0))
            picked.append((first + more, costs))
        if self._spellings is not None:
            self._spellings.prepare(
                name for names, _ in picked for name in names[: config.n_variants]
            )
        return [self._compile(*both) for both in picked]

    def _by_phones(
        self, heard: Sequence[Tensor], others: Sequence[Sequence[int]]
    ) -> list[tuple[Tensor, Tensor]]:
        """Of each utterance the names that sound most like it, and how unlike they are."""
        config, spoken = self._index.config, self._spoken
        if isinstance(spoken, PronunciationTable):
            return self._index.candidates_of(heard, config.n_by_phone)
        found = []
        by_letters = self._index.candidates_of(heard, config.n_by_letters)
        for phones, (first, _), more in zip(heard, by_letters, others):
            names = sorted({*first.tolist(), *more})
            index = PhoneIndex.build(spoken.table(names), config, phones.device)
            places, unlike = index.candidates(phones, config.n_by_phone)
            found.append((torch.tensor(names, device=places.device)[places], unlike))
        return found

    def _by_subwords(self, log_probs: LogProbs, which: Sequence[int]) -> list[list[int]]:
        """Of each utterance the names whose subwords are likeliest to be heard."""
        if self._subwords is None or self._spellings is None:
            return [[] for _ in which]
        rows = log_probs.select(list(which))
        found = self._subwords.likeliest(
            rows.log_probs, rows.lengths, self._index.config.n_by_subword
        )
        owner = self._spellings.own.entity_index
        return [list(dict.fromkeys(owner[row].tolist())) for row in found.cpu().numpy()]

    def _compile(self, names: Sequence[int], unlike: npt.NDArray[np.float32]) -> ShortList:
        if not names:
            return ShortList(None, None)
        config = self._index.config
        order = np.argsort(names)
        places = [names[i] for i in order.tolist()]
        entities = tuple([self._entities.entities[place] for place in places])
        graph = None
        if self._spellings is not None:
            rows = self._spellings.rows(places, names[: config.n_variants])
            price = config.unlike_cost * unlike[order] + self._size_cost
            if config.homophone_cost:
                price = price + config.homophone_cost * self._homophone(np.array(places))
            rows = replace(rows, cost=rows.cost + price[rows.entity_index].astype(np.float32))
            graph = build_tree(rows, entities, self._vocabulary)
        pronunciations = None
        if self._words is not None:
            at = {entity.name: place for entity, place in zip(entities, places)}
            listed = EntityList(entities, (), self._entities.source)
            top = {self._entities.entities[place].name for place in names[: config.n_lookup]}
            pronunciations = EntityPronunciations(
                listed,
                self._words,
                lambda entity: self._pronunciations_of(at[entity.name]),
                looked_up=top,
            )
        return ShortList(graph, pronunciations)

    def _homophone(self, places: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """By how many nats a word that sounds like a name is common."""
        for place in places[np.isnan(self._homophones[places])].tolist():
            nats = [
                self._common.get(own.phones, 0.0) - own.cost
                for own in self._spoken.pronunciations(place)
            ]
            self._homophones[place] = max([0.0, *nats])
        return self._homophones[places]

    def _pronunciations_of(self, place: int) -> tuple[Pronunciation, ...]:
        name = self._entities.entities[place].name
        known = self._known.get(name)
        if known is None:
            assert self._words is not None
            found = self._words.likely(self._spoken.pronunciations(place))
            known = self._known.put(name, found)
        return known

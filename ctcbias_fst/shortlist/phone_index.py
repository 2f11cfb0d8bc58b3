"""Which names of a large list can occur in an utterance, by how they sound.

A list of 200,000 names is too long to attend to at every frame, and all but a few of its
names sound like nothing that was said. So the phone head's output is searched for them in
two steps, both tensor operations on its device:

1. *Retrieval.* The utterance becomes a row of *slots*, one per phone heard, each with the
   probabilities of the phones. Every sequence of a few probable phones (with one slot left
   out, too) is looked up in an inverted index over the pronunciations of all names: pairs of
   phones, triples of phone classes, triples of consonant classes with the vowels left out. A
   pronunciation's score is the share of its own sequences that were found, each weighted by
   its rarity (inverse document frequency).
2. *Alignment.* The best few thousand pronunciations, or all if there are no more, are aligned to
   the slots, beginning and ending anywhere (:mod:`ctcbias_fst.shortlist.alignment`),
   with costs for a phone heard as another (:mod:`ctcbias_fst.shortlist.phone_confusions`), for one
   not heard, and for one too many.

The names with the least cost per phone are the shortlist.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ctcbias_fst.bounds import at_least_one, not_negative
from ctcbias_fst.pronunciation.pronunciation_table import PronunciationTable
from ctcbias_fst.shortlist.alignment import PrefixTree
from ctcbias_fst.shortlist.phone_confusions import CLASSES, phone_classes, phone_distances
from ctcbias_fst.shortlist.postings import Postings
from ctcbias_fst.text.phones import PHONES

_PHONES = 1 + len(PHONES)
_ALL_ALIGNED = 4
"""To choose those that are aligned pays for lists with so many times as many, not before."""

_SLOTS = 250
"""With so many slots, or a little more, a group of utterances is aligned."""


@dataclass(frozen=True)
class ShortlistConfig:
    """How long a shortlist is and what it may cost.

    Attributes:
        shorten_above: only lists with more names than this are shortened for the decoder, that
            is for boosting and lookup.
        pronounce_up_to: of lists with more names only those are pronounced that may be in an
            utterance by their letters.
        n_by_letters: so many of them.
        n_by_phone: so many names at the top of a shortlist are the decoder's.
        n_by_subword: besides, so many of those whose subwords are likeliest to be in the utterance.
        n_variants: so many at its top get spelling variants.
        n_lookup: so many at its top are looked up.
        unlike_cost: factor on the nats by which a name is unlike what is heard, in the decoder
            the price of the name.
        homophone_cost: likewise, factor on the nats by which a word that sounds like a name is
            more frequent than a word that is not common at all.
        size_cost: nats that every name costs the decoder more for each time that the list is e
            times longer than ``shorten_above``, if a language model acts: it prefers names to
            words that it does not know, and the more names, the likelier one fits by chance.
        n_aligned: pronunciations that are aligned, the likeliest ones of a list with more than
            four times as many.
        pronunciations: of a name that are indexed, the likeliest ones.
        slot_probability: a frame is part of a slot if anything but blank has this much.
        missing: nats for a phone of the name that is not heard.
        extra: most nats for a phone heard inside a name that does not have it.
        prior_cost, prior_phones: added to a name's cost and to its number of phones before
            one is divided by the other: short names fit by chance.
        rare: added to the sum of weights that a pronunciation's share is taken of, likewise.
    """

    shorten_above: int = 500
    pronounce_up_to: int = 25_000
    n_by_letters: int = 1000
    n_by_phone: int = 100
    n_by_subword: int = 100
    n_variants: int = 15
    n_lookup: int = 10
    unlike_cost: float = 0.2
    homophone_cost: float = 0.32
    size_cost: float = 0.87
    n_aligned: int = 2000
    pronunciations: int = 5
    slot_probability: float = 0.1
    missing: float = 3.0
    extra: float = 3.0
    prior_cost: float = 3.0
    prior_phones: float = 1.0
    rare: float = 20.0

    RENAMED: ClassVar = {
        "decoded_above": "shorten_above",
        "decoded": "n_by_phone",
        "heard": "n_by_subword",
        "spelled": "n_variants",
        "looked_up": "n_lookup",
        "retrieved": "n_aligned",
    }

    def __post_init__(self) -> None:
        at_least_one(self, "n_by_letters", "n_by_phone", "n_aligned", "pronunciations")
        if not 0.0 < self.slot_probability < 1.0:
            raise ValueError(f"slot_probability must lie in 0..1, found {self.slot_probability}")
        not_negative(
            self,
            "shorten_above",
            "pronounce_up_to",
            "n_by_subword",
            "n_variants",
            "n_lookup",
            "unlike_cost",
            "homophone_cost",
            "size_cost",
            "missing",
            "extra",
            "prior_cost",
            "prior_phones",
            "rare",
        )


@dataclass(frozen=True, eq=False)
class PhoneIndex:
    """The pronunciations of a list of names, ready to be looked for.

    Attributes:
        config: see :class:`ShortlistConfig`.
        names: how many names the list has.
        owner: ``(pronunciations,)`` the name of each.
        phones: ``(pronunciations, longest)`` 1-based phones, 0 behind the end.
        lengths: ``(pronunciations,)``.
        unpronounceable: names without any; they are on every shortlist.
    """

    config: ShortlistConfig
    names: int
    owner: Tensor
    phones: Tensor
    lengths: Tensor
    unpronounceable: Tensor
    _postings: tuple[Postings, Postings, Postings] = field(repr=False)
    _distances: Tensor = field(repr=False)
    _to_class: Tensor = field(repr=False)
    _to_consonant: Tensor = field(repr=False)

    @classmethod
    def build(
        cls,
        spoken: PronunciationTable,
        config: ShortlistConfig = ShortlistConfig(),
        device: torch.device | str = "cpu",
    ) -> PhoneIndex:
        """Index names.

        Args:
            spoken: how they sound.
            config: see :class:`ShortlistConfig`.
            device: where it is searched.
        """
        device = torch.device(device)
        likeliest = spoken.likeliest(config.pronunciations)
        lengths, flat = np.diff(likeliest.rows), likeliest.phones
        count = max(1, len(lengths))
        row_of = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
        silent = np.flatnonzero(np.diff(likeliest.names) == 0)
        classes = phone_classes()
        # The vowels' class is 1: what is left when it is dropped counts from 1 again.
        consonants = np.maximum(classes - 1, 0)
        consonants[1 + PHONES.index("ER")] = consonants[1 + PHONES.index("R")]
        class_of, consonant_of = classes.astype(np.uint8)[flat], consonants.astype(np.uint8)[flat]
        kept = consonant_of > 0
        postings = (
            Postings.build(flat, row_of, count, base=_PHONES, order=2, device=device),
            Postings.build(class_of, row_of, count, base=1 + len(CLASSES), order=3, device=device),
            Postings.build(
                consonant_of[kept], row_of[kept], count, base=len(CLASSES), order=3, device=device
            ),
        )
        return cls(
            config=config,
            names=len(spoken),
            owner=torch.from_numpy(likeliest.owner).to(device),
            phones=torch.from_numpy(likeliest.padded()).to(device),
            lengths=torch.from_numpy(lengths).to(device),
            unpronounceable=torch.from_numpy(silent).to(device),
            _postings=postings,
            _distances=torch.from_numpy(phone_distances()).to(device),
            _to_class=_indicator(classes, 1 + len(CLASSES), device),
            _to_consonant=_indicator(consonants, len(CLASSES), device),
        )

    def shortlist(self, phone_log_probs: Tensor, most: int) -> Tensor:
        """The names that may be in an utterance, likeliest first.

        Args:
            phone_log_probs: ``(frame, 1 + phones)``, column 0 blank, without padding.
            most: so many at most.

        Returns:
            int64 positions in the list, none twice. Names
            without a pronunciation come first.
        """
        return self.candidates(phone_log_probs, most)[0]

    def candidates(self, phone_log_probs: Tensor, most: int) -> tuple[Tensor, Tensor]:
        """The `shortlist`, and how unlike each of its names is to what is heard.

        Returns:
            positions, and float32 nats, 0 for what fits without a slip; nobody knows how names
            without a pronunciation sound, so they are at 0.
        """
        return self.candidates_of([phone_log_probs], most)[0]

    def candidates_of(self, several: Sequence[Tensor], most: int) -> list[tuple[Tensor, Tensor]]:
        """The same of several utterances; together they take less time."""
        slots = [self.slots(phone_log_probs) for phone_log_probs in several]
        silent = self.unpronounceable[:most]
        found = [(silent, heard.new_zeros(len(silent))) for heard in slots]
        audible = [at for at, heard in enumerate(slots) if len(heard) and len(self.owner)]
        if len(self.owner) > _ALL_ALIGNED * self.config.n_aligned:
            for at in audible:
                rows = self._retrieve(slots[at])
                found[at] = self._ranked(self._align([slots[at]], rows)[0], rows, most)
            return found
        every = torch.arange(len(self.owner), device=self.owner.device)
        for group in _groups(audible, [len(heard) for heard in slots]):
            costs = self._align([slots[at] for at in group], None)
            for at, cost in zip(group, costs):
                found[at] = self._ranked(cost, every, most)
        return found

    def _ranked(self, cost: Tensor, rows: Tensor, most: int) -> tuple[Tensor, Tensor]:
        """The names of pronunciations by their costs, and these."""
        owner, silent = self.owner[rows], self.unpronounceable[:most]
        rank = (cost + self.config.prior_cost) / (self.lengths[rows] + self.config.prior_phones)
        order = torch.argsort(rank, stable=True)
        order = order[_first_of_each(owner[order], self.names)]
        names = torch.cat([silent, owner[order]])[:most]
        return names, torch.cat([cost.new_zeros(len(silent)), cost[order]])[:most]

    def slots(self, phone_log_probs: Tensor) -> Tensor:
        """The phones heard: ``(slot, 1 + phones)`` probabilities.

        Neighbouring frames whose best phone is the same make one slot, with the highest
        probability of each phone among them; frames that are surely blank make none.
        """
        probabilities = phone_log_probs.exp()
        audible = 1.0 - probabilities[:, 0] > self.config.slot_probability
        frames = audible.nonzero()[:, 0]
        if not len(frames):
            return probabilities[:0]
        best = probabilities[frames, 1:].argmax(dim=1)
        begins = torch.ones_like(frames, dtype=torch.bool)
        begins[1:] = (frames[1:] != frames[:-1] + 1) | (best[1:] != best[:-1])
        slot = begins.long().cumsum(0) - 1
        # Slots are short: the highest over frames is taken one frame of each slot at a time.
        place = torch.arange(len(frames), device=frames.device)
        offset = place - place[begins][slot]
        slots = probabilities[frames[begins]]
        for step in range(1, int(offset.max()) + 1):
            here = offset == step
            rows = slot[here]
            slots[rows] = torch.maximum(slots[rows], probabilities[frames[here]])
        return slots

    def _retrieve(self, slots: Tensor) -> Tensor:
        pairs, triples, skeletons = self._postings
        classes = slots @ self._to_class
        consonants = slots @ self._to_consonant
        consonants = consonants[consonants[:, 1:].amax(dim=1) > self.config.slot_probability]
        found = pairs.found(slots) + triples.found(classes) + skeletons.found(consonants)
        share = found / (pairs.total + triples.total + skeletons.total + self.config.rare)
        best: Tensor = share.topk(self.config.n_aligned, sorted=False).indices
        return best

    def _align(self, several: Sequence[Tensor], rows: Tensor | None) -> Tensor:
        """Least cost in nats of each pronunciation, by default all, anywhere in the slots of each
        utterance: ``(utterances, rows)``."""
        config = self.config
        worst = float(self._distances.max())
        substitutions, skips = [], []
        for slots in several:
            heard = slots[:, 1:].clamp_min(1e-6).log()
            gap = (heard.amax(dim=1, keepdim=True) - heard).clamp(max=worst)
            # The cheapest way to hear a phone: as itself, or as one that is like it.
            heard_as = (gap[:, :, None] + self._distances[1:]).amin(dim=1).clamp(max=worst)
            substitutions.append(heard_as)
            skips.append((-slots[:, 0].clamp_min(1e-6).log()).clamp(0.1, config.extra))
        if rows is None:
            aligned = self._all
        else:
            aligned = PrefixTree.apart(self.phones[rows], self.lengths[rows])
        return aligned.align(substitutions, skips, config.missing)

    @cached_property
    def _all(self) -> PrefixTree:
        return PrefixTree.joined(self.phones, self.lengths)


def _indicator(group: npt.NDArray[np.int64], groups: int, device: torch.device) -> Tensor:
    table = np.zeros((len(group), groups), dtype=np.float32)
    table[np.arange(len(group)), group] = 1.0
    table[:, 0] = 0.0
    return torch.from_numpy(table).to(device)


def _groups(which: Iterable[int], lengths: Sequence[int]) -> list[list[int]]:
    """Utterances that are aligned together: of few slots, or large matrices would slow it down."""
    groups: list[list[int]] = []
    slots = _SLOTS
    for at in which:
        if slots >= _SLOTS:
            groups.append([])
            slots = 0
        groups[-1].append(at)
        slots += lengths[at]
    return groups


def _first_of_each(numbers: Tensor, count: int) -> Tensor:
    """bool: which of the numbers, all below ``count``, did not occur before."""
    place = torch.arange(len(numbers), device=numbers.device)
    first = torch.full((count,), len(numbers), dtype=torch.int64, device=numbers.device)
    first = first.scatter_reduce(0, numbers, place, "amin")
    return first[numbers] == place

"""Lists of names, compiled for one model."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Lock, RLock
from typing import Any

import numpy as np
import torch

from ctcbias_fst.bounds import LARGEST
from ctcbias_fst.errors import ConfigError, GraphError, warn_caller
from ctcbias_fst.graph.entity_tree import BoostGraph, build_tree
from ctcbias_fst.models.listed import ListedNames
from ctcbias_fst.pronunciation.pronunciation_table import PronunciationTable
from ctcbias_fst.rescore.rescorer import PhoneticRescorer
from ctcbias_fst.rescore.word_pronunciations import EntityPronunciations
from ctcbias_fst.settings import PipelineConfig, fitting
from ctcbias_fst.shortlist.letter_sounds import letter_sounds
from ctcbias_fst.shortlist.phone_index import PhoneIndex
from ctcbias_fst.shortlist.shortlists import PronunciationsOnDemand, ShortLists
from ctcbias_fst.text.checked_entities import check_entities, report_too_long
from ctcbias_fst.text.encoded_entities import EncodedEntities, encode_entities, nothing_collected
from ctcbias_fst.text.entities import EntityList
from ctcbias_fst.text.entity_sources import EntitySource, entities_of
from ctcbias_fst.text.lexicon_tokenizer import LexiconTokenizer
from ctcbias_fst.text.text_files import quoted
from ctcbias_fst.text.tokens import Tokenizer
from ctcbias_fst.variants.shipped import pronunciation_table
from ctcbias_fst.variants.spellings import SpellingsOnDemand, encode_spellings

_SEGMENTATIONS = 400_000
"""Of all names together, at most, if `PipelineConfig.segmentations` is above 1: some 1 kB each
while they are made."""

_BY_LETTERS = 4
"""So many times as many names are aligned where only their letters are known."""

_LATEST = 4
"""Lists in memory that are kept compiled, for the next call."""


PRONUNCIATIONS = 4
"""Of a spelling of a name, at least so many are searched where tokens are phones."""

SERVES = ("boosting", "spelling variants", "the adapter", "phone scores")
"""What a list is compiled for, where the decoder does it."""

_IN_GRAPH = SERVES[:2]
"""What a list does wherever it is used."""


@dataclass(frozen=True, eq=False)
class CompiledEntities:
    """A list of names, compiled for one model.

    Attributes:
        entities: the list; ``entities.rejected`` tells what has no effect, and why.
        graph: for the search, and of how names are written; None if ``shortlists`` have it.
        listed: for the adapter, if there is one; it names positions in ``entities``.
        pronunciations: for rescoring and lookup, if there is one of them.
        shortlists: what takes the place of the graph and the pronunciations for each
            utterance, if the list is long; a graph that is there is searched all the same.
        serves: what it was compiled for, of :data:`SERVES`.
        digest: of the vocabulary.
    """

    entities: EntityList
    graph: BoostGraph | None
    listed: ListedNames | None = None
    pronunciations: EntityPronunciations | None = None
    shortlists: ShortLists | None = None
    serves: frozenset[str] = frozenset()
    digest: str = ""

    def __repr__(self) -> str:
        return repr(self.entities).replace("EntityList", "CompiledEntities", 1)

    def __len__(self) -> int:
        """Number of names that can have an effect."""
        return len(self.entities)


def compile_graph(
    entities: EntityList,
    tokenizer: Tokenizer,
    config: PipelineConfig,
    own: EncodedEntities | None = None,
) -> BoostGraph | None:
    """Build the boosting graph of a list, with the spelling variants if ``g2g`` is a part.

    Args:
        entities: names that passed :func:`ctcbias_fst.text.checked_entities.check_entities`.
        tokenizer: the model's.
        config: without the part ``boost`` the graph has no arcs: it only tells how names are
            written that others find; if these do not act either, there is none.
        own: the names in the tokenizer's tokens, as many segmentations of each as ``config`` wants,
            if they are known.
    """
    if "boost" not in config.parts:
        others = {"adapter", "lookup"} & set(config.parts)
        none = EncodedEntities.joined([])
        return build_tree(none, tuple(entities), tokenizer.vocabulary) if others else None
    if isinstance(tokenizer, LexiconTokenizer):
        encoded = encode_entities(entities, tokenizer, max(PRONUNCIATIONS, config.segmentations))
        return build_tree(encoded, tuple(entities), tokenizer.vocabulary).of_phones()
    encoded = encode_spellings(
        entities,
        tokenizer,
        segmentations=_segmentations(len(entities), config),
        config=fitting(config, tokenizer).variants,
        own=own,
    )
    return build_tree(encoded, tuple(entities), tokenizer.vocabulary)


def _segmentations(count: int, config: PipelineConfig) -> int:
    """How many segmentations of each of so many names there is room for."""
    return min(config.segmentations, max(1, _SEGMENTATIONS // max(1, count)))


def with_limits(
    entities: EntityList,
    config: PipelineConfig,
    *,
    shortened: bool = False,
    looked_up: bool = False,
) -> EntityList:
    """The list with notes of what is not done for so many names.

    Args:
        entities: names that passed :func:`ctcbias_fst.text.checked_entities.check_entities`.
        config: which parts act, and their limits.
        shortened: whether each utterance has its shortlist.
        looked_up: whether words are looked up in the list by their sound.
    """
    count, notes = len(entities), []
    most = _segmentations(count, config)
    if "boost" in config.parts and most < config.segmentations:
        notes.append(
            f"{count} names are cut into tokens in {most} ways at most, not in "
            f"{config.segmentations}: set segmentations to {most}, or shorten the list"
        )
    spellings, lookup = config.spellings, config.lookup
    varied = {"boost", "g2g"} <= set(config.parts) and spellings.number and not shortened
    if varied and count > spellings.max_names:
        notes.append(
            f"{count} names get no spelling variants (spellings.max_names is {spellings.max_names})"
        )
    sought = config.shortlist.n_lookup if shortened else count
    if looked_up and sought > lookup.max_names:
        what = f"shortlists of {sought}" if shortened else str(sought)
        notes.append(
            f"{what} names are not looked up by their sound (lookup.max_names is "
            f"{lookup.max_names})"
        )
    notes = [note for note in notes if note not in entities.notes]
    return replace(entities, notes=(*entities.notes, *notes)) if notes else entities


class Compiler:
    """Compiles lists of names for one model. Threads may share it.

    Args:
        tokenizer: of the model.
        config: how the parts work together.
        device: where shortlists are searched.
        rescorer: rescoring and lookup, if there is one of them.
        heard: whether there are phone log-probs that a long list can be searched by.
        modelled: whether a language model acts.
        listed: makes of names in the model's tokens what its adapter attends to, if it has one.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        config: PipelineConfig,
        device: torch.device,
        *,
        rescorer: PhoneticRescorer | None,
        heard: bool,
        modelled: bool,
        listed: Callable[[EncodedEntities], ListedNames | None] | None = None,
    ) -> None:
        config = fitting(config, tokenizer)
        self._tokenizer, self._config, self._device = tokenizer, config, device
        self._rescorer, self._heard, self._modelled = rescorer, heard, modelled
        self._listed = listed if "adapter" in config.parts else None
        boosted = "boost" in config.parts
        varied = boosted and config.variants is not None
        does = (boosted, varied, self._listed is not None, rescorer is not None)
        self.serves = frozenset(name for name, done in zip(SERVES, does) if done)
        self._made_for = self.serves, tokenizer.vocabulary.digest

    def require(self, names: CompiledEntities) -> None:
        """Refuse a list that another decoder compiled, if this one needs more, or boosts less.

        Raises:
            GraphError: it is of another model, was compiled without something, or would boost what
                this decoder does not.
        """
        missing = [name for name in SERVES if name in self.serves - names.serves]
        surplus = [name for name in _IN_GRAPH if name in names.serves - self.serves]
        if missing or surplus:
            without = f"without {' and '.join(missing)}"
            beyond = f"with {' and '.join(surplus)}, which this one is without"
            raise GraphError(
                f"{names.entities.source}: was compiled by a decoder "
                f"{without if missing else beyond}: compile it with this one"
            )
        if names.shortlists is not None and not self._heard:
            raise GraphError(
                f"{names.entities.source}: was compiled by a decoder with phones, which shortens "
                "long lists by them: compile it with this one"
            )
        if names.digest not in ("", self._tokenizer.vocabulary.digest):
            raise GraphError(
                f"{names.entities.source}: was compiled for another model: compile it with this one"
            )

    @nothing_collected()
    def checked(
        self, entities: EntitySource, frames: float | None = None, *, warn: bool = True
    ) -> EntityList:
        """The entries of a list that can have an effect.

        Args:
            entities: see :data:`ctcbias_fst.text.entity_sources.EntitySource`.
            frames: names that need more are among ``rejected``.
            warn: tell (`CtcbiasWarning`) of entries that can have no effect.

        Raises:
            EntityListError: it is no list, is malformed, or no entry can have an effect.
        """
        checked = check_entities(entities_of(entities), self._tokenizer, self._config.spoken_forms)
        checked = checked.require_any()
        if frames is not None:
            checked = report_too_long(checked, self._tokenizer, math.ceil(frames))
        checked = with_limits(
            checked,
            self._config,
            shortened=self._shortened(checked),
            looked_up=self._rescorer is not None and "lookup" in self._config.parts,
        )
        for line in checked.report() if warn else ():
            warn_caller(line)
        return checked

    def _shortened(self, entities: EntityList) -> bool:
        """Whether the decoder knows a part of the list for each utterance."""
        if isinstance(self._tokenizer, LexiconTokenizer):  # a graph for each would cost more
            return False
        return self._heard and len(entities) > self._config.shortlist.shorten_above

    @nothing_collected()
    def compile(self, checked: EntityList) -> CompiledEntities:
        """Build the graphs and tables of a list that went through :meth:`checked`."""
        shortened = self._shortened(checked)
        order, places = checked, list(range(len(checked)))
        if shortened:
            # What a shortlist has must not depend on the order that the user gave.
            places.sort(key=lambda place: checked.entities[place].name)
            order = replace(checked, entities=tuple(checked.entities[place] for place in places))
        listed, own = None, None
        if self._listed is not None:
            encoded = encode_entities(order, self._tokenizer)
            index = np.array(places, dtype=np.int32)[encoded.entity_index]
            listed = self._listed(replace(encoded, entity_index=index))
            own = encoded if _segmentations(len(order), self._config) == 1 else None
        if shortened:
            shortlists, graph = self._shortlists(order, own), None
            if "boost" not in self._config.parts:
                graph = compile_graph(checked, self._tokenizer, self._config)
            return CompiledEntities(checked, graph, listed, None, shortlists, *self._made_for)
        graph = compile_graph(checked, self._tokenizer, self._config, own)
        pronunciations = None if self._rescorer is None else self._rescorer.names(checked)
        return CompiledEntities(checked, graph, listed, pronunciations, None, *self._made_for)

    def _shortlists(self, entities: EntityList, own: EncodedEntities | None) -> ShortLists:
        """Prepare a long list, in the order of its index, for the search."""
        config, tokenizer = self._config, self._tokenizer
        spellings = None
        if "boost" in config.parts:
            spellings = SpellingsOnDemand(
                entities,
                tokenizer,
                segmentations=_segmentations(len(entities), config),
                config=config.variants,
                own=own,
            )
        spoken: PronunciationTable | PronunciationsOnDemand
        limits = config.shortlist
        if len(entities) > limits.pronounce_up_to:
            spoken, sounds = PronunciationsOnDemand(entities), letter_sounds(entities.entities)
            limits = replace(limits, n_aligned=min(_BY_LETTERS * limits.n_aligned, LARGEST))
        else:
            spoken = sounds = pronunciation_table(entities)
        return ShortLists(
            entities,
            PhoneIndex.build(sounds, limits, self._device),
            spoken,
            tokenizer.vocabulary,
            spellings=spellings,
            words=None if self._rescorer is None else self._rescorer.words,
            modelled=self._modelled,
        )


class _Kept:
    """A list as it was handed in, and what becomes of it."""

    def __init__(self, wanted: Any, key: int) -> None:
        self.wanted, self.key = wanted, key
        self.lock = RLock()
        self.compiled: CompiledEntities | None = None


class Latest:
    """The lists that were used last, compiled once. Threads may share it."""

    def __init__(self) -> None:
        self._places = _LATEST
        self._begin()

    def _begin(self) -> None:
        self._kept: list[_Kept] = []
        self._lock = Lock()
        self._process = os.getpid()

    def make_room(self, lists: int) -> None:
        """Keep at least so many lists: those of one call, for the next one."""
        self._places = max(_LATEST, lists)

    def get(self, wanted: Any, make: Callable[[Any], CompiledEntities]) -> CompiledEntities:
        """A list that is known, or else compiled; a thread that wants one in the making waits.

        Args:
            wanted: the list, see :func:`ctcbias_fst.text.entity_sources.source_of`.
            make: compiles it.
        """
        if self._process != os.getpid():  # forked: threads that hold locks are not here
            self._begin()
        key = _key(wanted)
        found = self._find(wanted, key)
        if found is None:
            try:
                new = _Kept(copy.deepcopy(wanted), key)  # the caller may change what is in it
            except Exception:  # whatever the user's values raise
                return make(wanted)
            found = self._find(wanted, key, new)
            assert found is not None
        with found.lock:
            if found.compiled is None:
                found.compiled = make(found.wanted)
            return found.compiled

    def _find(self, wanted: Any, key: int, new: _Kept | None = None) -> _Kept | None:
        """The list, which is the latest then; ``new`` if it is not known."""
        with self._lock:
            alike = (one for one in self._kept if one.key == key)
            found = next((one for one in alike if _equal(one.wanted, wanted)), new)
            if found is not None:
                others = [one for one in self._kept if one is not found]
                self._kept = [found, *others][: self._places]
            return found


def _key(wanted: Any) -> int:
    """A number that equal lists share, and others hardly ever."""
    if isinstance(wanted, EntityList):
        return hash((wanted.source, len(wanted)))
    return hash(tuple([one if isinstance(one, str) else str(one) for one in wanted]))


def frames_of(seconds: Any, frame_seconds: float) -> float:
    """How many frames so many seconds are.

    Raises:
        ConfigError: it is no duration.
    """
    known = isinstance(seconds, (int, float, np.number)) and not isinstance(seconds, bool)
    if not known or not 0 <= seconds < math.inf:
        raise ConfigError(f"seconds must be 0 or more and finite, found {quoted(seconds)}")
    return float(seconds) / frame_seconds


def _equal(one: Any, other: Any) -> bool:
    """Whether two lists of names are the same; values that cannot be compared are not."""
    try:
        return bool(one == other)
    except Exception:  # whatever the user's values raise
        return False

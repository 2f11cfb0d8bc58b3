"""What a decoder is handed, checked: arrays, lists of names, the file of a language model."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from numbers import Real
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from ctcbias_fst.arrays import as_float32
from ctcbias_fst.compiled import CompiledEntities, Compiler
from ctcbias_fst.devices import with_versions
from ctcbias_fst.errors import (
    ConfigError,
    EntityListError,
    LanguageModelError,
    LogProbsError,
    ModelError,
)
from ctcbias_fst.graph.entity_tree import BoostGraph
from ctcbias_fst.ngram.ngram_lm import load_lm
from ctcbias_fst.records import LogProbs
from ctcbias_fst.rescore.rescorer import PhoneticRescorer
from ctcbias_fst.rescore.word_pronunciations import (
    EntityPronunciations,
    load_word_pronunciations,
)
from ctcbias_fst.search.compose import LmComposer
from ctcbias_fst.search.lexicon_search import LexiconSearch
from ctcbias_fst.search.stack import stack
from ctcbias_fst.settings import PipelineConfig
from ctcbias_fst.text.entities import EntityList
from ctcbias_fst.text.entity import Entity, read_once, with_weight
from ctcbias_fst.text.entity_sources import EntitySource
from ctcbias_fst.text.lexicon_tokenizer import LexiconTokenizer
from ctcbias_fst.text.text_files import and_more, is_named_pipe, quoted
from ctcbias_fst.text.tokens import Tokenizer
from ctcbias_fst.text.vocabulary import Vocabulary

OneList = CompiledEntities | EntitySource | None
Entities = OneList | Sequence[OneList] | Mapping[str, OneList]
"""One list for all utterances, or one (or None) for each, in their order or by their ids; or
none."""


def batch_of(
    log_probs: Any,
    lengths: Any,
    ids: Sequence[str] | None,
    vocabulary: Vocabulary,
    frame_seconds: float,
) -> LogProbs:
    """Log-probs as :meth:`ctcbias_fst.decoder.Decoder.decode` takes them, as a record.

    Raises:
        LogProbsError: shape, type or vocabulary are wrong, or the lengths do not fit.
    """
    if isinstance(log_probs, LogProbs):
        if lengths is not None or ids is not None:
            raise LogProbsError("a LogProbs has its own lengths and ids: leave them out")
        return log_probs
    if isinstance(log_probs, (list, tuple)) and not _of_numbers(log_probs):
        if lengths is not None:
            raise LogProbsError(
                "a list of arrays, each of its own length, needs no lengths: leave them out"
            )
        arrays = [_array(array) for array in log_probs]
        for number, array in enumerate(arrays):
            if array.ndim != 2:
                raise LogProbsError(
                    f"array {number} of the list has the shape {tuple(array.shape)}, expected "
                    "(frames, tokens)"
                )
        if not arrays:
            arrays = [torch.zeros((0, vocabulary.size))]
            return stack(arrays, ("",), vocabulary, frame_seconds).select([])
        return stack(arrays, _ids(ids, len(arrays)), vocabulary, frame_seconds)
    array = _array(log_probs)
    if array.ndim not in (2, 3):
        raise LogProbsError(
            f"log-probs have the shape {tuple(array.shape)}, expected (frames, tokens) of one "
            "utterance, or (utterances, frames, tokens)"
        )
    if array.ndim == 2:
        array = array[None]
    if lengths is None:
        if len(array) > 1:
            raise LogProbsError(
                f"{len(array)} utterances in one array need lengths, the frames of each "
                f"(all {array.shape[1]}, if nothing is padding)"
            )
        lengths = [array.shape[1]] * len(array)
    ids = _ids(ids, len(array))
    return LogProbs(array, lengths, frame_seconds, ids, vocabulary)


def _array(log_probs: Any) -> torch.Tensor:
    """One array; a hint for those who have a file, or several arrays that are not in a list."""
    wanted = ""
    if isinstance(log_probs, (str, bytes, os.PathLike)):
        wanted = "load the file (numpy.load, for example) and pass its arrays"
    elif isinstance(log_probs, Mapping):
        wanted = "pass list(it.values()), and ids=list(it)"
    elif isinstance(log_probs, Iterator):
        wanted = "pass a list"
    elif isinstance(log_probs, np.ndarray) and log_probs.dtype == object:
        wanted = "pass a list of arrays, or one array of floating-point numbers"
    elif isinstance(log_probs, LogProbs):
        wanted = "decode one LogProbs at a time"
    if wanted:
        shown = (
            "an array of objects" if isinstance(log_probs, np.ndarray) else quoted(log_probs, 60)
        )
        raise LogProbsError(f"{shown} is no array of log-probs: {wanted}")
    return as_float32(log_probs)


def _ids(ids: Sequence[str] | None, count: int) -> tuple[str, ...]:
    if ids is None:
        return tuple(str(number) for number in range(1, count + 1))
    if isinstance(ids, str) or not isinstance(ids, Iterable):
        raise LogProbsError(f"ids must be a list of strings, found {quoted(ids)}")
    return tuple(ids)


def _of_numbers(values: Sequence[Any]) -> bool:
    """Whether a list is one array, not several: nested lists of numbers, as JSON has them."""
    while isinstance(values, (list, tuple)) and len(values):
        values = values[0]
    return isinstance(values, Real)


def lists_of(
    entities: Any,
    count: int,
    compiled: Callable[[Any], CompiledEntities],
    make_room: Callable[[int], None],
    ids: Sequence[str] = (),
) -> list[CompiledEntities | None]:
    """The compiled list of each of ``count`` utterances.

    Args:
        entities: see :data:`Entities`.
        count: of the utterances.
        compiled: compiles a list that is not.
        make_room: told how many lists there are, before they are compiled.
        ids: of the utterances, for lists by id.

    Raises:
        EntityListError: there are not as many lists, an utterance has none, or names and lists are
            mixed.
    """
    if entities is None:
        return [None] * count
    entities = read_once(entities)
    if is_by_id(entities):
        entities = _in_order(entities, ids)
    each = is_lists(entities)
    make_room(count if each else 1)
    if not each:
        return [compiled(entities)] * count
    several: Sequence[Any] = entities
    _check_count(several, count)
    different = {id(one): one for one in several if one is not None}
    known = {key: compiled(one) for key, one in different.items()}
    return [known.get(id(one)) for one in several]


class ListsNames(Protocol):
    """What compiles lists: :class:`ctcbias_fst.decoder.Decoder`."""

    compiler: Compiler

    def lists(self, entities: Any, count: int) -> list[CompiledEntities | None]: ...


def one_list(decoder: ListsNames, entities: Any, wanted: str) -> CompiledEntities | None:
    """The compiled list of what has one alone.

    Args:
        decoder: compiles it.
        entities: a list of names, in whatever form, or None.
        wanted: what is said of several lists.

    Raises:
        EntityListError: it is no list, or several, or no entry of it can have an effect.
        GraphError: it was compiled for another model.
    """
    entities = read_once(entities)
    if is_lists(entities) or is_by_id(entities):
        raise EntityListError(wanted)
    (names,) = decoder.lists(entities, 1)
    if names is not None:
        decoder.compiler.require(names)
    return names


def compiled_lists(
    names: Any, count: int, compiler: Compiler, what: str = "utterances"
) -> list[CompiledEntities | None]:
    """What :func:`lists_of` gave, or a caller in its place.

    Args:
        names: one list, or None, for each.
        count: how many there must be.
        compiler: of the decoder that uses them.
        what: they are for.

    Raises:
        EntityListError: they are something else, or there are not as many.
        GraphError: one was compiled for another model, or by a decoder of other parts.
    """
    several = isinstance(names, Iterable) and not isinstance(
        names, (str, bytes, Mapping, CompiledEntities)
    )
    lists = list(names) if several else [names]
    for number, one in enumerate(lists, start=1):
        if not several or not isinstance(one, CompiledEntities | None):
            place = f" in the place of list {number}" if several else ""
            raise EntityListError(
                f"names must be a list of what compile() gave, or None, one for each of the "
                f"{what}, found {quoted(one)}{place}"
            )
    _check_count(lists, count, what)
    for one in {id(one): one for one in lists if one is not None}.values():
        compiler.require(one)
    return lists


def _check_count(lists: Sequence[Any], count: int, what: str = "utterances") -> None:
    if len(lists) != count:
        raise EntityListError(
            f"{len(lists)} lists of names for {count} {what}: pass one for each, None where there "
            "is none"
        )


def is_by_id(entities: Any) -> bool:
    """Whether ids are mapped to lists of names, and not what belongs to one name to its values."""
    if not isinstance(entities, Mapping) or not entities:
        return False
    one = (str, bytes, Mapping, Entity)
    lists = (CompiledEntities, os.PathLike, Iterable)
    return all(
        own is None or (isinstance(own, lists) and not isinstance(own, one))
        for own in entities.values()
    )


def _in_order(entities: Mapping[Any, Any], ids: Sequence[str]) -> list[Any]:
    """The lists of utterances out of a mapping, which may have those of others."""
    known = {
        os.fspath(key) if isinstance(key, os.PathLike) else key: own
        for key, own in entities.items()
    }
    for one in ids:
        if one not in known:
            raise EntityListError(
                f"{quoted(one)} has no list of names among those of {quoted(next(iter(known)))}"
                f"{and_more(list(known))}: map it to one, or to None"
            )
    return [known[one] for one in ids]


def is_lists(entities: Any) -> bool:
    """Whether there is a list of names for each utterance, and not one of all.

    Raises:
        EntityListError: names and lists are mixed.
    """
    if isinstance(entities, (EntityList, Entity)) or not isinstance(entities, (list, tuple)):
        return False
    names = [isinstance(one, (str, Mapping, Entity)) for one in entities]
    if all(names):
        return False
    weighted = with_weight(entities)
    if weighted:
        raise EntityListError(f"names with weights are mappings, not pairs: {weighted}")
    if any(names):
        at = names.index(not names[0])
        raise EntityListError(
            f"entry {at + 1}: {quoted(entities[at])} among {'names' if names[0] else 'lists'}: "
            "give names (strings or mappings), or for each utterance a list of names, the Path of "
            "a file, or None"
        )
    return True


def checked_tokenizer(tokenizer: Any) -> Tokenizer:
    """What a decoder is made of.

    Raises:
        ModelError: it is something else.
    """
    if not isinstance(tokenizer, Tokenizer):
        raise ModelError(
            f"a decoder is made of a Tokenizer, found {quoted(tokenizer)}: "
            "Decoder.from_tokens(tokens) makes one of a list of tokens or the path of their file"
        )
    return tokenizer


def lexicon_search(tokenizer: Tokenizer, device: torch.device) -> LexiconSearch | None:
    """What searches words, if the model's tokens are phones; a second time it is cached."""
    return _lexicon_search(tokenizer, device) if isinstance(tokenizer, LexiconTokenizer) else None


@lru_cache(maxsize=2)
def _lexicon_search(tokenizer: LexiconTokenizer, device: torch.device) -> LexiconSearch:
    return LexiconSearch(tokenizer.lexicon, tokenizer.vocabulary, device)


def language_model_path(lm: Any) -> Path:
    """The path of a language model's file, whether it is there or not.

    Raises:
        ConfigError: it is no path.
    """
    if not isinstance(lm, (str, os.PathLike)) or "\0" in str(lm):
        raise ConfigError(f"lm must be the path of a language model's file, found {quoted(lm)}")
    return Path(lm)


@with_versions
def language_model(
    config: PipelineConfig,
    vocabulary: Vocabulary,
    device: torch.device | str,
    default: Path | None = None,
) -> LmComposer | None:
    """Load the language model that acts, if there is one; a second time it is cached.

    Args:
        config: names the file and the parts.
        vocabulary: of the acoustic model.
        device: where to decode.
        default: the file if ``config`` names none.

    Raises:
        ConfigError: it is no path.
        LanguageModelError: it is missing, damaged or does not fit the vocabulary.
    """
    chosen = default if config.lm is None else config.lm
    path = None if chosen is None else language_model_path(chosen)
    if path is None or "lm" not in config.parts:
        return None
    try:
        status = path.stat()
    except OSError as error:
        raise LanguageModelError(f"{path}: {error.strerror}") from error
    if is_named_pipe(path):
        raise LanguageModelError(f"{path}: is a pipe; give a file")
    changed = (status.st_mtime_ns, status.st_size, status.st_ino)
    boost_class = "boost-class" in config.parts
    return _composer(path.resolve(), changed, vocabulary, torch.device(device), boost_class)


@lru_cache(maxsize=2)
def _composer(
    path: Path,
    changed: tuple[int, int, int],
    vocabulary: Vocabulary,
    device: torch.device,
    boost_class: bool,
) -> LmComposer:
    return LmComposer(load_lm(path), vocabulary, device, boost_class=boost_class)


def rescorer_of(config: PipelineConfig) -> PhoneticRescorer | None:
    """Rescoring and lookup, if they are parts."""
    if not {"rescore", "lookup"} & set(config.parts):
        return None
    return PhoneticRescorer(
        load_word_pronunciations(),
        config.rescore,
        config.lookup if "lookup" in config.parts else None,
        rescored="rescore" in config.parts,
    )


def lists_for_utterances(
    batch: LogProbs, names: Sequence[CompiledEntities | None]
) -> list[tuple[BoostGraph | None, EntityPronunciations | None]]:
    """The graph and the pronunciations of each utterance, those of long lists shortened."""
    graphs = [None if one is None else one.graph for one in names]
    pronunciations = [None if one is None else one.pronunciations for one in names]
    lists = {id(one.shortlists): one.shortlists for one in names if one and one.shortlists}
    for key, shortlists in lists.items():
        which = [i for i, one in enumerate(names) if one and id(one.shortlists) == key]
        for i, short in zip(which, shortlists.of(batch, which)):
            graphs[i] = graphs[i] or short.graph
            pronunciations[i] = short.pronunciations
    return list(zip(graphs, pronunciations))

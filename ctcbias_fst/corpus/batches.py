"""Decoding a batch of a corpus with lists of names: what is wrong with one costs no other."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from ctcbias_fst.compiled import CompiledEntities
from ctcbias_fst.corpus.backends import Backend, Utterance
from ctcbias_fst.cut_sets import one_line
from ctcbias_fst.errors import (
    ConfigError,
    CtcbiasError,
    ManifestError,
    MissingDependencyError,
    ModelError,
)
from ctcbias_fst.graph.entity_tree import BoostGraph
from ctcbias_fst.graph.openfst_files import read_boost_graph
from ctcbias_fst.models.first_failures import FirstFailures
from ctcbias_fst.recent import Recent
from ctcbias_fst.records import Transcript
from ctcbias_fst.text.entities import EntityList
from ctcbias_fst.text.text_files import Source
from ctcbias_fst.text.utterances import load_entities
from ctcbias_fst.text.vocabulary import Vocabulary

_log = logging.getLogger(__name__)

Lists = EntityList | BoostGraph | Mapping[str, EntityList] | None
"""One list for all utterances (compiled or not), one for each (by id), or none."""


def read_lists(entities: Source | None, graph: Path | None, vocabulary: Vocabulary) -> Lists:
    """Read lists of names, or a compiled graph."""
    if graph is not None:
        return read_boost_graph(graph, vocabulary)
    return None if entities is None else load_entities(entities)


def check_lists(lists: Lists, utterances: Sequence[Utterance]) -> None:
    """Refuse lists for each utterance of which one is missing.

    Raises:
        ManifestError: an utterance has no list although others do.
    """
    if isinstance(lists, Mapping):
        missing = next((u.id for u in utterances if u.id not in lists), None)
        if missing is not None:
            raise ManifestError(
                f"utterance {missing!r} has no list of names, though others do; give it one, "
                "which may be empty"
            )


def longest_of(utterances: Sequence[Utterance]) -> float | None:
    """The seconds of the longest; None if there is none."""
    return max((utterance.seconds for utterance in utterances), default=None)


def reason_of(utterance: Utterance, error: Exception) -> str:
    """Why an utterance is left out, in one line."""
    if isinstance(error, CtcbiasError):
        return str(error).removeprefix(f"{utterance.id}: ")
    _log.debug("%s is left out", utterance.id, exc_info=error)
    return f"it cannot be decoded: {type(error).__name__}: {one_line(error)}"


def decode_batch(
    batch: Sequence[Utterance],
    backend: Backend,
    names: CompiledLists,
    skip: Callable[[Utterance, Exception], None],
    failures: FirstFailures | None,
) -> Iterator[Transcript]:
    """Decode a batch; if something is wrong with it, each utterance alone.

    Whatever happens to one utterance must not cost the others, unless it is not of its making.
    """
    good, loaded, lists = [], [], []
    for utterance in batch:
        try:
            one = backend.load(utterance), names.of(utterance)
        except (*_OF_THE_JOB, ModelError):
            raise
        except Exception as error:
            skip(utterance, error)
            continue
        good.append(utterance)
        loaded.append(one[0])
        lists.append(one[1])
    if not good:
        return
    try:
        done = backend.decode(loaded, lists)
    except _OF_THE_JOB:
        raise
    except Exception as error:
        if len(good) == 1:
            if failures is not None:
                failures.add(error)
            skip(good[0], error)
            return
        for utterance in good:
            yield from decode_batch([utterance], backend, names, skip, failures)
        return
    if failures is not None:
        failures.passed()
    yield from done


_OF_THE_JOB = (ConfigError, MissingDependencyError, OSError)
"""What no utterance is to blame for: a full disk, for example."""


_KEPT = 64
"""Compiled lists of single utterances, for a batch that is tried again."""


class CompiledLists:
    """Lists of names, compiled when they are needed; the latest are kept.

    Args:
        lists: of all utterances, which passed `check_lists`.
        backend: compiles them.
        longest: seconds of the longest utterance that a list for all is for.
        report: told about names without effect.
    """

    def __init__(
        self,
        lists: Lists,
        backend: Backend,
        longest: float | None,
        report: Callable[[str], None],
    ) -> None:
        self._backend, self._report = backend, report
        self._lists = lists if isinstance(lists, Mapping) else None
        self._shared: CompiledEntities | None = None
        self._compiled: Recent[str, CompiledEntities] = Recent(_KEPT)
        self._told: set[str] = set()
        if isinstance(lists, EntityList):
            self._shared = self._compile(lists, longest)
        elif isinstance(lists, BoostGraph):
            self._shared = self._compile(EntityList(lists.entities), longest, lists)

    def of(self, utterance: Utterance) -> CompiledEntities | None:
        if self._lists is None:
            return self._shared
        entities = self._lists[utterance.id]
        if not len(entities):
            return None
        names = self._compiled.get(utterance.id)
        if names is None:
            told = utterance.id in self._told
            self._told.add(utterance.id)
            names = self._compile(entities, utterance.seconds, tell=not told)
            self._compiled.put(utterance.id, names)
        return names

    def _compile(
        self,
        entities: EntityList,
        seconds: float | None,
        graph: BoostGraph | None = None,
        tell: bool = True,
    ) -> CompiledEntities:
        names = self._backend.compile(entities, graph, seconds)
        for line in names.entities.report() if tell else ():
            self._report(line)
        return names

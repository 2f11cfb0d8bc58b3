"""Boosting graphs as OpenFst files, to look at, to keep, and to edit with other tools.

The transducer: tropical semiring, state 0 is the start, one final state. An arc's input
label is a token's column plus 1 (0 is OpenFst's epsilon, and column 0 may be a token), the
output label is an entity's position plus 1 on the last arc of a segmentation and 0 before,
the weight is a cost in nats (0 or more). Binary files carry both symbol tables.

Beside ``names.fst`` there is ``names.fst.json``: the vocabulary's digest, so that a graph made
for another model is refused, the entities with their weights, and whether tokens are phones. An
edited graph may have any shape as long as it is acyclic and has no epsilon inputs.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import kaldifst
import numpy as np
import numpy.typing as npt

from ctcbias_fst.errors import GraphError
from ctcbias_fst.files import atomic_path
from ctcbias_fst.graph.entity_tree import BoostGraph, build_tree
from ctcbias_fst.text.encoded_entities import EncodedEntities, expand
from ctcbias_fst.text.entity import Entity, entity_of
from ctcbias_fst.text.printable import json_text
from ctcbias_fst.text.text_files import quoted
from ctcbias_fst.text.vocabulary import Vocabulary

TEXT_SUFFIX = ".txt"
"""Files that end so are OpenFst's text format; any other ending is binary."""

_FORMAT = "ctcbias boosting graph"
_VERSION = 1
_MAX_PATHS = 20_000_000
_MAX_COST = 1_000_000
"""Nats: what costs are summed in can hold thousands of these, and no search takes such a path."""

# Of OpenFst's binary files.
_MAGIC, _SYMBOLS_MAGIC, _FILE_VERSION, _ALIGNED = 2_125_659_606, 2_125_658_996, 2, 4

Ints = npt.NDArray[np.int64]


class _Arcs(NamedTuple):
    """Arcs and final states of a transducer whose start is state 0."""

    source: Ints
    target: Ints
    token: Ints  # OpenFst's labels: 1 more than the column
    entity: Ints
    cost: npt.NDArray[np.float64]
    final: Ints
    final_cost: npt.NDArray[np.float64]


def sidecar_path(path: Path) -> Path:
    """Where the entities of a graph are kept."""
    return path.with_name(path.name + ".json")


def write_boost_graph(graph: BoostGraph, path: Path, vocabulary: Vocabulary) -> None:
    """Write a graph and its sidecar, both or neither half written.

    Args:
        graph: of this vocabulary.
        path: the file; text if it ends in ``.txt``, else binary.
        vocabulary: of the model, for the symbol table.

    Raises:
        GraphError: the graph is of another vocabulary, or OpenFst takes no such file name.
    """
    graph.require_vocabulary(vocabulary)
    if path.suffix != TEXT_SUFFIX:
        _check_name(path)
    text = _text(_arcs_of(graph))
    with atomic_path(sidecar_path(path)) as beside, atomic_path(path) as temporary:
        beside.write_text(_sidecar(graph), encoding="utf-8")
        if path.suffix == TEXT_SUFFIX:
            temporary.write_text(text, encoding="ascii")
            return
        fst = kaldifst.compile(text)
        fst.input_symbols = _symbols(vocabulary.tokens)
        fst.output_symbols = _symbols([entity.display for entity in graph.entities])
        if not fst.write(str(temporary)):
            raise GraphError(f"{path}: cannot be written")


def read_boost_graph(path: Path, vocabulary: Vocabulary) -> BoostGraph:
    """Read what :func:`write_boost_graph` wrote, edited or not.

    Raises:
        GraphError: a file is missing or damaged, the graph is of another vocabulary, has a
            cycle, an epsilon or an unknown label as input, an entity that the sidecar lacks, or
            a path that emits none or several.
    """
    entities, phones = _read_sidecar(sidecar_path(path), vocabulary)
    if not path.is_file():
        raise GraphError(f"{path}: no such file")
    arcs = _read_text(path) if path.suffix == TEXT_SUFFIX else _read_binary(path)
    _check(arcs, path, vocabulary, entities)
    graph = build_tree(_paths(arcs, path), entities, vocabulary)
    return graph.of_phones() if phones else graph


def _arcs_of(graph: BoostGraph) -> _Arcs:
    """Nodes with children are states; an entity ends with an arc to the one final state."""
    inner = np.diff(graph.first_child) > 0
    inner[0] = True
    state = np.cumsum(inner) - 1
    final = int(inner.sum())
    parent = state[graph.parent[1:]]
    goes_on, ends = inner[1:], graph.end[1:] >= 0
    token = graph.token[1:].astype(np.int64) + 1
    source = np.concatenate([parent[goes_on], parent[ends]])
    target = np.concatenate([state[1:][goes_on], np.full(int(ends.sum()), final)])
    label = np.concatenate([token[goes_on], token[ends]])
    entity = np.concatenate([np.zeros(int(goes_on.sum()), np.int64), graph.end[1:][ends] + 1])
    cost = np.concatenate([np.zeros(int(goes_on.sum())), graph.cost[1:][ends].astype(np.float64)])
    order = np.lexsort((target, label, source))
    return _Arcs(
        source[order],
        target[order],
        label[order],
        entity[order],
        cost[order],
        np.array([final]),
        np.zeros(1),
    )


def _text(arcs: _Arcs) -> str:
    """OpenFst's text format; nine digits give float32 back exactly."""
    rows = zip(*(field.tolist() for field in arcs[:5]))
    lines = ["%d\t%d\t%d\t%d\t%.9g" % row for row in rows]  # noqa: UP031  (twice as fast)
    lines += [f"{state}" for state in arcs.final.tolist()]
    return "\n".join(lines) + "\n"


def _symbols(symbols: Sequence[str]) -> Any:
    table = kaldifst.SymbolTable()
    table.add_symbol("<eps>", 0)
    for label, symbol in enumerate(symbols, start=1):
        table.add_symbol(symbol, label)
    return table


def _sidecar(graph: BoostGraph) -> str:
    content = {
        "format": _FORMAT,
        "version": _VERSION,
        "vocabulary": graph.digest,
        "entities": [entity._asdict() for entity in graph.entities],
    }
    if graph.phones:
        content["phones"] = True
    return json_text(content) + "\n"


def _read_sidecar(path: Path, vocabulary: Vocabulary) -> tuple[tuple[Entity, ...], bool]:
    """The entities of a graph, and whether its tokens are phones."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != _FORMAT or content["version"] != _VERSION:
            raise GraphError(
                f"{path}: format {quoted(content['format'])}, version "
                f"{quoted(content['version'])}; this "
                f"program reads {_FORMAT!r}, version {_VERSION}"
            )
        if content["vocabulary"] != vocabulary.digest:
            raise GraphError(
                f"{path}: the graph was compiled for another vocabulary (digest "
                f"{str(content['vocabulary'])[:12]}, the model's is {vocabulary.digest[:12]}): "
                "compile the list again with this model's tokenizer"
            )
        entities = tuple(entity_of(fields) for fields in content["entities"])
        if len({entity.name for entity in entities}) < len(entities):
            raise ValueError("two entities have the same name")
        phones = content.get("phones", False)
        if not isinstance(phones, bool):
            raise ValueError(f"phones must be true or false, found {quoted(phones)}")
        return entities, phones
    except OSError as error:
        raise GraphError(
            f"{path}: {error.strerror}; it holds the names of the graph and must lie beside it"
        ) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        why = quoted(error, 300)
        raise GraphError(f"{path}: not the description of a boosting graph: {why}") from error


def _check_name(path: Path) -> None:
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        raise GraphError(
            f"{path}: OpenFst takes file names in UTF-8 only; name it otherwise, or {TEXT_SUFFIX}"
        ) from None


def _read_binary(path: Path) -> _Arcs:
    """Read OpenFst's binary format; its own reader ends the process where a file is damaged."""
    _check_name(path)
    content = path.read_bytes()
    try:
        return _arcs_from(content)
    except (ValueError, struct.error) as error:
        raise GraphError(
            f"{path}: not a binary OpenFst file of type vector, standard arcs: {error}"
        ) from error


def _arcs_from(content: bytes) -> _Arcs:
    at = 0

    def number(form: str) -> int:
        nonlocal at
        (value,) = struct.unpack_from(form, content, at)
        at += struct.calcsize(form)
        return int(value)

    def text() -> bytes:
        nonlocal at
        length = number("<i")
        if not 0 <= length <= len(content) - at:
            raise ValueError("it is damaged")
        at += length
        return content[at - length : at]

    if number("<i") != _MAGIC or (text(), text()) != (b"vector", b"standard"):
        raise ValueError("it is of another kind")
    version, flags, _ = number("<i"), number("<i"), number("<Q")
    start, states, _ = number("<q"), number("<q"), number("<q")
    if version != _FILE_VERSION or flags & _ALIGNED:
        raise ValueError("it is of another version, or aligned")
    if start != 0:
        raise ValueError(f"the start state must be 0, found {start}")
    for _ in range((flags & 3).bit_count()):
        if number("<i") != _SYMBOLS_MAGIC:
            raise ValueError("its table of symbols is damaged")
        text(), number("<q")
        for _ in range(number("<q")):
            text(), number("<q")
    return _states_from(content[at:], states)


def _states_from(content: bytes, states: int) -> _Arcs:
    """Of each state its final cost and how many arcs it has, which follow it."""
    begins: list[int] = []
    at = 0
    arity = struct.Struct("<q").unpack_from
    for _ in range(states):
        begins.append(at // 4)
        (count,) = arity(content, at + 4)
        at += 12 + 16 * count
        if count < 0 or at > len(content):
            raise ValueError("it is damaged")
    if at != len(content):
        raise ValueError("there is more in it than its states")
    words = np.frombuffer(content, dtype="<i4")
    begin = np.array(begins, dtype=np.int64)
    final = _costs(words[begin])
    source, arc = expand(begin, (np.append(begin[1:], len(words)) - begin - 3) // 4)
    arc = begin[source] + 3 + 4 * (arc - begin[source])
    token, entity, target = (words[arc + i].astype(np.int64) for i in (0, 1, 3))
    if len(target) and not 0 <= target.min() <= target.max() < states:
        raise ValueError("an arc goes to no state")
    ends = np.flatnonzero(final != np.inf)
    return _Arcs(source, target, token, entity, _costs(words[arc + 2]), ends, final[ends])


def _costs(words: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
    with np.errstate(invalid="ignore"):  # there are NaNs of which a processor tells
        return words.view("<f4").astype(np.float64)


def _read_text(path: Path) -> _Arcs:
    try:
        return _parse(path.read_text(encoding="ascii").splitlines(), path)
    except UnicodeDecodeError as error:
        raise GraphError(f"{path}: not OpenFst's text format: {error}") from error


def _parse(lines: Sequence[str], path: Path) -> _Arcs:
    rows: list[list[str]] = []
    finals: list[list[str]] = []
    for number, line in enumerate(lines, start=1):
        fields = line.split()
        if len(fields) in (4, 5):
            rows.append([*fields, "0"][:5])
        elif len(fields) in (1, 2):
            finals.append([*fields, "0"][:2])
        elif fields:
            raise GraphError(
                f"{path}, line {number}: {len(fields)} columns; an arc has 'state state token "
                "entity [cost]', a final state 'state [cost]'"
            )
    try:
        table = np.array(rows or np.zeros((0, 5)), dtype=np.float64)
        final = np.array(finals or np.zeros((0, 2)), dtype=np.float64)
        if not (_small(table[:, :4]) and _small(final[:, 0])):
            raise ValueError("a state or label is too large")
        numbers = table[:, :4].astype(np.int64)
        states = final[:, 0].astype(np.int64)
        if not (np.array_equal(numbers, table[:, :4]) and np.array_equal(states, final[:, 0])):
            raise ValueError("states and labels must be whole numbers")
    except ValueError as error:
        why = quoted(error, 300)
        raise GraphError(f"{path}: not OpenFst's text format with numbers: {why}") from error
    source, target, token, entity = numbers.T
    return _Arcs(source, target, token, entity, table[:, 4], states, final[:, 1])


def _small(numbers: npt.NDArray[np.float64]) -> bool:
    """Tell whether they are states or labels as OpenFst has them."""
    return bool((np.abs(numbers) < 2**31).all())  # of NaN, too, it is not


def _check(arcs: _Arcs, path: Path, vocabulary: Vocabulary, entities: Sequence[Entity]) -> None:
    states = np.concatenate([arcs.source, arcs.target, arcs.final])
    if states.min(initial=0) < 0:
        raise GraphError(f"{path}: a state is negative")
    if (arcs.token == 0).any():
        raise GraphError(f"{path}: an arc has epsilon as input; remove epsilons (fstrmepsilon)")
    for what, label, most in (
        ("token", arcs.token, vocabulary.size),
        ("entity", arcs.entity, len(entities)),
    ):
        wrong = label[(label < 0) | (label > most)]
        if len(wrong):
            raise GraphError(f"{path}: {what} label {wrong.max()} is not one of 1 to {most}")
    if (arcs.token == vocabulary.blank_id + 1).any():
        raise GraphError(f"{path}: an arc takes the blank, label {vocabulary.blank_id + 1}")
    costs = np.concatenate([arcs.cost, arcs.final_cost])
    if not ((costs >= 0) & (costs <= _MAX_COST)).all():
        raise GraphError(f"{path}: a cost is negative, above {_MAX_COST:,} nats or not finite")


def _paths(arcs: _Arcs, path: Path) -> EncodedEntities:
    """Every path from the start to a final state, level by level from the start."""
    order = np.argsort(arcs.source, kind="stable")
    token, entity, cost = arcs.token[order], arcs.entity[order], arcs.cost[order]
    # Whatever their numbers are: the start stays 0.
    several = [np.zeros(1, np.int64), arcs.source[order], arcs.target[order], arcs.final]
    known, renumbered = np.unique(np.concatenate(several), return_inverse=True)
    states = len(known)
    source, target, final = np.split(renumbered[1:], np.cumsum(list(map(len, several[1:3]))))
    first = np.searchsorted(source, np.arange(states + 1))
    exit_cost = np.full(states, np.inf)
    np.minimum.at(exit_cost, final, arcs.final_cost)

    at, emitted, paid = np.zeros(1, np.int64), np.zeros(1, np.int64), np.zeros(1)
    levels: list[tuple[Ints, Ints]] = []
    found: list[tuple[list[Ints], Ints, npt.NDArray[np.float64]]] = []
    while len(at):
        if len(levels) > states or len(at) > _MAX_PATHS:
            raise GraphError(
                f"{path}: the graph has a cycle, or more than {_MAX_PATHS} paths; names must be "
                "finite sequences of tokens"
            )
        count = first[at + 1] - first[at]
        row = np.repeat(np.arange(len(at)), count)
        arc = np.arange(len(row)) + np.repeat(first[at] - (np.cumsum(count) - count), count)
        if (emitted[row] * entity[arc] != 0).any():
            raise GraphError(f"{path}: a path emits more than one entity")
        at, paid = target[arc], paid[row] + cost[arc]
        emitted = emitted[row] + entity[arc]
        levels.append((token[arc], row))
        done = np.flatnonzero(np.isfinite(exit_cost[at]))
        if (emitted[done] == 0).any():
            raise GraphError(f"{path}: a path to a final state emits no entity")
        if len(done):
            found.append((_back(levels, done), emitted[done], paid[done] + exit_cost[at[done]]))
    rows = [np.stack(tokens, axis=1) for tokens, _, _ in found]
    lengths = np.concatenate([np.zeros(1, np.int64)] + [np.full(len(r), r.shape[1]) for r in rows])
    return EncodedEntities(
        values=np.concatenate([np.zeros(0, np.int64)] + [r.ravel() for r in rows]).astype(np.int32),
        row_splits=np.cumsum(lengths),
        entity_index=np.concatenate([np.zeros(0, np.int64)] + [e - 1 for _, e, _ in found]).astype(
            np.int32
        ),
        cost=np.concatenate([np.zeros(0)] + [c for _, _, c in found]).astype(np.float32),
    )


def _back(levels: Sequence[tuple[Ints, Ints]], last: Ints) -> list[Ints]:
    """The tokens (columns) of the paths that end in rows ``last`` of the last level."""
    tokens: list[Ints] = []
    for token, above in reversed(levels):
        tokens.append(token[last] - 1)
        last = above[last]
    return tokens[::-1]

"""What no later frame can change: the beginning that all readings of a lattice share.

A Viterbi search keeps one best path to each state. Whatever comes after the last frame, the best
path of the whole goes through one of the states that are alive there, and up to it is the best path
to that state. So where the best paths to all of them are one, what it reads is settled (the partial
traceback of Brown, Spohrer, Hochschild and Baker 1982).

A name that may go on behind the last frame is alive in a lattice that was searched with
``goes_on``; without it, it would be settled too early that there is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from ctcbias_fst.search.heard import best_arcs, with_arcs
from ctcbias_fst.search.lattice import Lattice


class PathToken(NamedTuple):
    """A token on a path.

    Attributes:
        token: blank-first.
        begin, end: frames of the model; ``end`` is the one behind its last frame.
        in_tree: whether it is part of a name.
        completes: whether a name is complete with it.
    """

    token: int
    begin: int
    end: int
    in_tree: bool
    completes: bool


@dataclass(frozen=True)
class Settled:
    """What is known of an utterance that goes on.

    Attributes:
        tokens: those that no later frame can change, of which the last one may go on; all of the
            best path if there is no other.
        names_open: whether a name may be open.
        name: the frame at which the first one begins that is likely to be, if there is one.
    """

    tokens: tuple[PathToken, ...]
    names_open: bool
    name: int | None


def settled(lattice: Lattice, likely: float) -> list[Settled]:
    """What no later frame can change; nothing where an utterance was not found.

    Args:
        lattice: without a language model's scores, searched with ``goes_on``.
        likely: nats below the best path down to which an open name is likely.
    """
    into, _ = best_arcs(lattice)
    tokens = _tokens_to(lattice, into, _meeting_states(lattice, into))
    names_open = torch.zeros(lattice.size, dtype=torch.bool)
    names_open[lattice.utterance[lattice.open_end].cpu()] = True
    names = _open_names(lattice, into, likely)
    return [Settled(*one) for one in zip(tokens, names_open.tolist(), names)]


def closed(lattice: Lattice) -> Lattice:
    """The lattice as if nothing came after the last frame: names that are open are gone."""
    if not bool(lattice.open_end.any()):
        return lattice
    return with_arcs(lattice, ~lattice.open_end)


def _meeting_states(lattice: Lattice, into: torch.Tensor) -> list[int]:
    """The last state that the best paths to all states at the end have in common, or -1."""
    final = (lattice.label < 0) & lattice.found[lattice.utterance]
    state = torch.unique(lattice.source[final])
    meets = [-1] * lattice.size
    # All arcs take one frame: the states of an utterance are of one frame at a time.
    while len(state):
        owner = torch.searchsorted(lattice.first_state, state, right=True) - 1
        alone = torch.bincount(owner, minlength=lattice.size)[owner] == 1
        for row, at in zip(owner[alone].tolist(), state[alone].tolist()):
            meets[row] = at
        state = torch.unique(lattice.source[into[state[~alone]]])
    return meets


def _open_names(lattice: Lattice, into: torch.Tensor, likely: float) -> list[int | None]:
    """The frame of each utterance at which the first name begins that is likely to be open."""
    forward = lattice.fsa.get_forward_scores(use_double_scores=True, log_semiring=False)
    final = (lattice.label < 0) & lattice.found[lattice.utterance]
    score = forward[lattice.source] + lattice.score
    best = score.new_full((lattice.size,), -torch.inf)
    best = best.scatter_reduce(0, lattice.utterance[final], score[final], "amax")
    ends = final & lattice.open_end & (score >= best[lattice.utterance] - likely)
    first: list[int | None] = [None] * lattice.size
    arc = torch.unique(into[lattice.source[ends]])
    while len(arc):
        enters = lattice.enters_name[arc]
        row, at = lattice.utterance[arc[enters]], lattice.frame[arc[enters]]
        for utterance, frame in zip(row.tolist(), lattice.original[row, at].tolist()):
            known = first[utterance]
            first[utterance] = frame if known is None else min(frame, known)
        arc = torch.unique(into[lattice.source[arc[~enters]]])
    return first


def _tokens_to(
    lattice: Lattice, into: torch.Tensor, ends: Sequence[int]
) -> list[tuple[PathToken, ...]]:
    """What the best paths to some states read, one of each utterance, -1 for none."""
    back, before = into.tolist(), lattice.source.tolist()
    arcs: list[int] = []
    counts = []
    for at in ends:
        path: list[int] = []
        arc = -1 if at < 0 else back[at]
        while arc >= 0:
            path.append(arc)
            arc = back[before[arc]]
        arcs.extend(reversed(path))
        counts.append(len(path))
    chosen = torch.tensor(arcs, dtype=torch.int64, device=into.device)
    columns = (
        lattice.token[chosen],
        lattice.original[lattice.utterance[chosen], lattice.frame[chosen]],
        lattice.emits[chosen],
        lattice.in_tree[chosen],
        lattice.aux[chosen] >= lattice.graph.vocabulary_size,
    )
    rows = zip(*(column.tolist() for column in columns))
    found = []
    for count in counts:
        tokens: list[PathToken] = []
        for _, (token, at, emits, in_tree, completes) in zip(range(count), rows):
            if emits:
                tokens.append(PathToken(token, at, at + 1, in_tree, completes))
            elif token:
                tokens[-1] = tokens[-1]._replace(end=at + 1)
        found.append(tuple(tokens))
    return found

"""k2's FsaVecs, made from the states and arcs of a whole batch."""

from __future__ import annotations

import numpy as np
import torch

from ctcbias_fst.k2_import import k2

_LARGEST_KEY = 1 << 62


def assemble(
    owner: torch.Tensor,
    source: torch.Tensor,
    target: torch.Tensor,
    label: torch.Tensor,
    score: torch.Tensor,
    *,
    size: int,
) -> tuple[k2.Fsa, torch.Tensor]:
    """One graph per utterance: states in the order they were made, arcs sorted.

    The first state of an utterance is its start, the last one its final state.

    Args:
        owner: int64 (S,), the utterance of each state.
        source, target: int64 (A,), states.
        label: int64 (A,), -1 on arcs to a final state.
        score: float32 (A,).
        size: how many utterances there are.

    Returns:
        the FsaVec, and which of the given arcs each of its arcs is, int64 (A,).
    """
    num_states = torch.bincount(owner, minlength=size)
    first_state = torch.cumsum(num_states, 0) - num_states
    by_owner = torch.sort(owner, stable=True).indices
    number = torch.empty_like(owner)
    number[by_owner] = torch.arange(len(owner), device=owner.device)
    local = (number - first_state[owner]).int()
    # k2 sorts labels as if they were unsigned: the arcs to the final state come last.
    num_labels = int(label.max()) + 2
    rank = torch.where(label < 0, torch.full_like(label, num_labels - 1), label)
    by_label = number[source] * num_labels + rank
    order = _pair_order(by_label, number[target], (len(owner) * num_labels, len(owner)))
    fields = [local[source], local[target], label.int(), score.view(torch.int32)]
    arcs = torch.stack(fields, dim=1)[order]
    return fsa_vec(arcs, num_states, torch.bincount(owner[source], minlength=size)), order


def fsa_vec(arcs: torch.Tensor, num_states: torch.Tensor, num_arcs: torch.Tensor) -> k2.Fsa:
    """An FsaVec of arcs that are in order already.

    Args:
        arcs: int32 (A, 4): source and target, both counted from the utterance's first state,
            label, and the bits of the float32 score.
        num_states, num_arcs: int64 (N,), of each utterance.
    """
    size = len(num_states)
    # FsaVecToTensor's layout (k2/csrc/fsa.h): the number of graphs, unused, the first state and
    # the first arc of each, the arcs.
    head = arcs.new_zeros(2 + 2 * (size + 1))
    head[0] = size
    head[3 : 3 + size] = torch.cumsum(num_states, 0)
    head[4 + size :] = torch.cumsum(num_arcs, 0)
    return k2.Fsa(torch.cat([head, arcs.flatten()]))


def connected(
    good: torch.Tensor,
    source: torch.Tensor,
    target: torch.Tensor,
    begins: torch.Tensor,
    ends: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Leave out arcs that are on no whole path of good ones: rounding cuts some in two.

    Args:
        good: bool (A,), the arcs that are to be kept.
        source, target: int64 (A,), states.
        begins: bool (S,), the states that paths begin at.
        ends: bool (A,), the arcs that paths end with.

    Returns:
        which arcs are left, bool (A,), and which states they need, bool (S,).
    """
    while True:
        entered, left = begins.clone(), torch.zeros_like(begins)
        entered[target[good]] = True
        left[source[good]] = True
        left[target[good & ends]] = True
        whole = good & entered[source] & left[target]
        if torch.equal(whole, good):
            return good, entered
        good = whole


def _sorted_order(key: torch.Tensor) -> torch.Tensor:
    """The order of keys. They are a few ascending runs, and numpy's sort knows to use that."""
    order: torch.Tensor
    if key.device.type == "cpu":
        order = torch.from_numpy(np.argsort(key.numpy(), kind="stable"))
    else:
        order = key.sort(stable=True).indices
    return order


def _pair_order(first: torch.Tensor, second: torch.Tensor, limits: tuple[int, int]) -> torch.Tensor:
    """The order of pairs of numbers from 0 on, each below its limit."""
    if limits[0] * limits[1] <= _LARGEST_KEY:
        return _sorted_order(first * limits[1] + second)
    order = _sorted_order(second)
    return order[_sorted_order(first[order])]


def expand(begin: torch.Tensor, count: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """For ragged ranges ``begin[i]`` to ``begin[i] + count[i] - 1``: every i and element."""
    row = torch.repeat_interleave(count.long())
    offset = torch.arange(len(row), device=row.device)
    shift = begin.long() - (torch.cumsum(count, 0) - count)
    return row, offset + shift[row]

"""Costs of strings in a graph, by following every path."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pynini


def cheapest(fst: pynini.Fst, labels: Sequence[int]) -> float:
    """Cost of the best path that reads `labels`, by trying all of them."""
    costs = {fst.start(): 0.0}
    costs = close(fst, costs)
    for label in labels:
        after: dict[int, float] = {}
        for state, cost in costs.items():
            for arc in fst.arcs(state):
                if arc.ilabel == label:
                    total = cost + float(arc.weight)
                    after[arc.nextstate] = min(total, after.get(arc.nextstate, np.inf))
        costs = close(fst, after)
    return min(
        (cost + float(fst.final(state)) for state, cost in costs.items()),
        default=np.inf,
    )


def close(fst: pynini.Fst, costs: dict[int, float]) -> dict[int, float]:
    """Follow epsilon arcs until nothing gets cheaper."""
    queue = list(costs)
    while queue:
        state = queue.pop()
        for arc in fst.arcs(state):
            total = costs[state] + float(arc.weight)
            if arc.ilabel == 0 and total < costs.get(arc.nextstate, np.inf) - 1e-9:
                costs[arc.nextstate] = total
                queue.append(arc.nextstate)
    return costs

"""The best strings of a lattice."""

from __future__ import annotations

import pynini

_MANY_STATES = 400
"""Words of 20 letters have fewer."""


def best_strings(
    lattice: pynini.Fst, n: int, max_cost: float
) -> list[tuple[tuple[int, ...], float]]:
    """Return the `n` best output sequences of an acyclic transducer, each once.

    Semiring: tropical; a sequence costs what its cheapest path does. Epsilons are no part
    of a sequence. Of a large lattice there may be fewer sequences than it has.

    Args:
        lattice: acyclic; it is changed.
        n: at most so many.
        max_cost: how much worse than the best one a sequence may be.

    Returns:
        Labels and cost, by cost and then labels. Empty if the lattice is.
    """
    # Cut first: removing epsilons and telling paths apart costs most on what is cut away.
    lattice.prune(weight=f"{max_cost:.6f}")
    if lattice.start() == -1:
        return []
    lattice.project("output").rmepsilon()
    if lattice.num_states() > _MANY_STATES:
        found = _among_paths(lattice, n)
    else:
        found = dict(_strings(pynini.shortestpath(lattice, nshortest=n, unique=True)))
    return sorted(found.items(), key=lambda item: (item[1], item[0]))[:n]


def _among_paths(lattice: pynini.Fst, n: int) -> dict[tuple[int, ...], float]:
    """The strings of the best paths, fewer than there are at worst.

    To tell strings apart before paths are sought takes time that grows without bounds with the
    length of a word: minutes, and nobody else may run meanwhile.
    """
    for count in (4 * n, 16 * n, 64 * n):
        paths = _strings(pynini.shortestpath(lattice, nshortest=count))
        found: dict[tuple[int, ...], float] = {}
        for labels, cost in paths:
            found[labels] = min(cost, found.get(labels, cost))
        if len(found) >= n or len(paths) < count:
            break
    return found


def _strings(lattice: pynini.Fst) -> list[tuple[tuple[int, ...], float]]:
    """What each path has, and what it costs."""
    paths = lattice.paths()
    found = []
    while not paths.done():
        labels = tuple([label for label in paths.ilabels() if label])
        # Sums of the same costs differ in their last bits: ties must stay ties.
        found.append((labels, round(float(paths.weight()), 4)))
        paths.next()
    return found

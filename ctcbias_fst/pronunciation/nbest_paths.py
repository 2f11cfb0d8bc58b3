"""The best strings of a lattice."""

from __future__ import annotations

import pynini


def best_strings(
    lattice: pynini.Fst, n: int, max_cost: float
) -> list[tuple[tuple[int, ...], float]]:
    """Return the `n` best output sequences of an acyclic transducer, each once.

    Semiring: tropical; a sequence costs what its cheapest path does. Epsilons are no part
    of a sequence.

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
    paths = pynini.shortestpath(lattice, nshortest=n, unique=True).paths()
    found = []
    while not paths.done():
        labels = tuple([label for label in paths.ilabels() if label])
        # Sums of the same costs differ in their last bits: ties must stay ties.
        found.append((labels, round(float(paths.weight()), 4)))
        paths.next()
    return sorted(found, key=lambda item: (item[1], item[0]))

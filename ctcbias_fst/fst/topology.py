"""The CTC topology: frame labels to token sequences.

Relation: a sequence of frame labels is mapped to the tokens left when runs of an equal
label are merged and blanks dropped (Graves et al. 2006, the function B). Label 0 is the
blank on the input side and "nothing" on the output side; -1 marks final arcs. All scores
are 0.

The decoder does not search these graphs: with V tokens the standard topology has
(V + 1)^2 arcs and k2 expands V + 1 of them for every active state of every frame. It
searches :mod:`ctcbias_fst.fst.decoding`'s graph, which is this one without the arcs that
the utterance's log-probs rule out. These are the reference that it is tested against, and
what to compose with a graph of one's own.
"""

from __future__ import annotations

import torch

from ctcbias_fst.errors import GraphError
from ctcbias_fst.k2_import import k2

__all__ = ["ctc_topology"]


def ctc_topology(
    max_token: int, *, modified: bool = False, device: torch.device | str = "cpu"
) -> k2.Fsa:
    """The topology for tokens 1 to ``max_token`` as an arc-sorted FsaVec of one graph.

    Args:
      max_token: the greatest label; label 0 is the blank.
      modified: allow an equal token to follow without a blank between. A run of n equal
        labels then reads as 1 to n tokens, each reading with the same score; the graph
        has 4 V + 2 arcs instead of (V + 1)^2. Only useful under a grammar that ranks
        these readings.
      device: where the graph is to live.

    Raises:
      GraphError: there is no token besides the blank.
    """
    if max_token < 1:
        raise GraphError(f"a CTC topology needs at least one token besides blank: {max_token=}")
    topology = k2.ctc_topo(max_token, modified=modified, device=torch.device(device))
    return k2.create_fsa_vec([k2.arc_sort(topology)])

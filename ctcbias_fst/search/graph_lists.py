"""The list of names of each utterance of a batch, as a decoder is handed it."""

from __future__ import annotations

from collections.abc import Sequence

from ctcbias_fst.errors import GraphError
from ctcbias_fst.graph.entity_tree import BoostGraph
from ctcbias_fst.text.text_files import counted
from ctcbias_fst.text.vocabulary import Vocabulary

BoostGraphs = BoostGraph | Sequence[BoostGraph | None] | None
"""One list for all utterances, or one (or none) for each, or none at all."""


def per_utterance(
    graphs: BoostGraphs, count: int, vocabulary: Vocabulary
) -> Sequence[BoostGraph | None]:
    """The list of each of ``count`` utterances.

    Args:
        graphs: as they were handed in.
        count: of utterances.
        vocabulary: of the model.

    Raises:
        GraphError: they are no compiled lists, of another model, or not as many.
    """
    if graphs is None or isinstance(graphs, BoostGraph):
        graphs = [graphs] * count
    wrong = (
        next((one for one in graphs if not isinstance(one, BoostGraph | None)), None)
        if isinstance(graphs, (list, tuple))
        else graphs
    )
    if wrong is not None:
        raise GraphError(
            f"{wrong!r:.60} is no compiled list of names: give one for all utterances, or a "
            "list of one (or None) for each"
        )
    if len(graphs) != count:
        raise GraphError(
            f"{len(graphs)} lists of names for {counted(count, 'utterance')}: give one for all or "
            "one for each"
        )
    for graph in {id(graph): graph for graph in graphs}.values():
        if graph is not None:
            graph.require_vocabulary(vocabulary)
    return graphs

"""k2's pruned search behind a wrapper that checks what k2 takes for granted."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch

from ctcbias_fst.errors import ConfigError, GraphError, LogProbsError
from ctcbias_fst.k2_import import k2

FRAME = "frame"
"""The attribute of a lattice's arcs that holds their frame."""


_process: list[int] = []
"""The process in which k2 searched first; a forked one has the number of the one before."""


def search(
    scores: torch.Tensor,
    lengths: torch.Tensor,
    graph: k2.Fsa,
    *,
    search_beam: float,
    output_beam: float,
    max_active: int,
    ids: Sequence[str],
) -> k2.Fsa:
    """Intersect a batch of log-probs with a decoding graph, pruned.

    Relation: the paths of the graph whose labels are as many as the frames; a path's score
    is that of the graph plus ``scores[u, t, label]`` of its frames. Tropical while
    searching; the lattice has the paths within ``output_beam`` of the best that
    ``search_beam`` and ``max_active`` did not lose.

    Args:
        scores: float32 (N, T, C), natural log; -inf forbids a label at a frame.
        lengths: int64 (N,) on the CPU, 1 to T.
        graph: an arc-sorted FsaVec, one graph or one per utterance, no epsilons.
        search_beam, output_beam: nats.
        max_active: states per frame and utterance to aim at.
        ids: names of the utterances, for messages.

    Returns:
        An FsaVec, a lattice per utterance, top-sorted; without arcs where nothing was found.
        Arcs keep the attributes of the graph's and have their frame as ``FRAME``.

    Raises:
        GraphError: the graph is not arc-sorted, not on the device of the scores, has labels
            that are not columns, or there are neither one nor N graphs.
        LogProbsError: NaN or +inf, with utterance and frame, or a length out of range.
        ConfigError: the process was forked of one that had searched.
    """
    check_process()
    _check_graph(graph, scores)
    _check_scores(scores, lengths, ids)
    size = len(ids)
    segments = torch.stack(
        [torch.arange(size), torch.zeros(size, dtype=torch.int64), lengths], dim=1
    )
    return k2.intersect_dense_pruned(
        graph,
        k2.DenseFsaVec(scores.contiguous(), segments.to(torch.int32)),
        search_beam=search_beam,
        output_beam=output_beam,
        min_active_states=0,
        max_active_states=max_active,
        frame_idx_name=FRAME,
    )


_LARGEST = (1 << 31) - 1
"""Scores, the final frame and column of k2's included, that its 32-bit numbers can count."""


def check_process() -> None:
    """Refuse to wait for threads of k2 and torch, which a forked process does not have, for ever.

    Raises:
        ConfigError: the process was forked of one that had searched.
    """
    if not _process:
        _process.append(os.getpid())
    elif _process[0] != os.getpid():
        raise ConfigError(
            "this process was forked of one that had decoded, and k2 would wait for ever: start "
            "workers with multiprocessing's spawn or forkserver, or decode in them only"
        )


def _check_graph(graph: k2.Fsa, scores: torch.Tensor) -> None:
    if len(graph.shape) != 3 or graph.shape[0] not in (1, scores.shape[0]):
        raise GraphError(
            f"a batch of {scores.shape[0]} utterances needs an FsaVec of 1 or as many graphs, "
            f"found shape {graph.shape}; use k2.create_fsa_vec"
        )
    if graph.device != scores.device:
        raise GraphError(
            f"the graph is on {graph.device}, the log-probs are on {scores.device}: move one"
        )
    # The bit, not k2's text of it, which has quotation marks around the first and the last word.
    if not graph.properties & k2.fsa_properties.ARC_SORTED:
        raise GraphError("the decoding graph is not arc-sorted; use k2.arc_sort")
    lowest, highest = (int(label) for label in torch.aminmax(graph.labels))
    if lowest < -1 or highest >= scores.shape[2]:
        raise GraphError(
            f"the decoding graph has label {lowest if lowest < -1 else highest}, but the log-probs "
            f"have columns 0 to {scores.shape[2] - 1}: it was made for another model"
        )


def _check_scores(scores: torch.Tensor, lengths: torch.Tensor, ids: Sequence[str]) -> None:
    if len(lengths) != scores.shape[0] or len(ids) != scores.shape[0]:
        raise LogProbsError(
            f"{scores.shape[0]} utterances, but {len(lengths)} lengths and {len(ids)} ids"
        )
    if not 1 <= int(lengths.min()) <= int(lengths.max()) <= scores.shape[1]:
        raise LogProbsError(
            f"lengths must be 1 to {scores.shape[1]} frames, found {int(lengths.min())} to "
            f"{int(lengths.max())}"
        )
    if (int(lengths.sum()) + len(ids)) * (scores.shape[2] + 1) > _LARGEST:
        raise LogProbsError(
            f"{int(lengths.sum())} frames of {scores.shape[2]} columns are too many for one "
            "search: decode fewer utterances at a time"
        )
    good = (scores < torch.inf).all(dim=-1)
    good |= (
        torch.arange(scores.shape[1], device=scores.device) >= lengths.to(scores.device)[:, None]
    )
    if not bool(good.all()):
        row, frame = (~good).nonzero()[0].tolist()
        raise LogProbsError(f"utterance {ids[row]}, frame {frame}: the scores have NaN or +inf")

"""The wrapper refuses what k2 would take and crash on, or lose."""

from __future__ import annotations

import k2
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import ctc_topology

from ctcbias_fst.errors import GraphError, LogProbsError
from ctcbias_fst.search.intersect import FRAME, search


def _search(
    graph: k2.Fsa, scores: torch.Tensor, lengths: list[int] | None = None, ids: str = "ab"
) -> k2.Fsa:
    return search(
        scores,
        torch.tensor(lengths or [scores.shape[1]] * scores.shape[0]),
        graph,
        search_beam=20.0,
        output_beam=10.0,
        max_active=1000,
        ids=ids,
    )


def _scores(columns: int = 4, size: int = 2) -> torch.Tensor:
    return torch.randn(size, 6, columns, generator=torch.manual_seed(0)).log_softmax(-1)


def test_lattice_has_the_frame_of_every_arc(device: torch.device) -> None:
    lattice = _search(ctc_topology(3, device), _scores().to(device), [6, 4])
    frames = getattr(lattice, FRAME)
    last = [int(frames[lattice.arcs.row_ids(2) == state].max()) for state in (0,)]
    assert last == [0]
    assert int(frames.max()) == 6  # the arc to the final state comes after the last frame
    assert lattice.shape[0] == 2


def test_lengths_may_differ_and_need_no_order(device: torch.device) -> None:
    scores = _scores().to(device)
    graph = ctc_topology(3, device)
    both = _search(graph, scores, [2, 6]).get_tot_scores(True, False)
    for row, length in enumerate([2, 6]):
        alone = _search(graph, scores[row : row + 1, :length], ids="a").get_tot_scores(True, False)
        assert both[row].item() == pytest.approx(alone.item(), abs=1e-5)


def test_unsorted_graph() -> None:
    graph = k2.create_fsa_vec([k2.Fsa.from_str("0 0 2 0\n0 0 1 0\n0 1 -1 0\n1")])
    with pytest.raises(GraphError, match="not arc-sorted; use k2.arc_sort"):
        _search(graph, _scores())


@given(
    arcs=st.lists(
        st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)), max_size=8),
        min_size=1,
        max_size=3,
    )
)
def test_sorted_graphs_of_any_kind_are_taken(arcs: list[list[tuple[int, int, int]]]) -> None:
    """Also those that are not deterministic, or have states that lead nowhere or are not reached:
    the last of k2's properties may be that arcs are sorted."""
    graphs = []
    for one in arcs:
        rows = sorted({(s, label, t) for s, t, label in one} | {(3, 9, 4)})
        text = "".join(f"{s} {t} {-1 if t == 4 else label} 0\n" for s, label, t in rows)
        graphs.append(k2.Fsa.from_str(text + "4"))
    scores = _scores(size=len(graphs))
    lattice = _search(k2.create_fsa_vec(graphs), scores, ids="abc"[: len(graphs)])
    assert lattice.shape[0] == len(graphs)


def test_more_scores_than_k2_can_count() -> None:
    scores = torch.zeros(1, 1, 1).expand(3, 30_000, 30_000)
    with pytest.raises(LogProbsError, match="90000 frames of 30000 columns are too many"):
        _search(ctc_topology(3), scores, ids="abc")


@pytest.mark.parametrize("label", [4, 400_000])
def test_labels_that_are_no_columns(label: int) -> None:
    graph = k2.create_fsa_vec([k2.arc_sort(k2.Fsa.from_str(f"0 0 {label} 0\n0 1 -1 0\n1"))])
    with pytest.raises(GraphError, match=f"label {label}, but the log-probs have columns 0 to 3"):
        _search(graph, _scores())


def test_number_of_graphs() -> None:
    one = k2.ctc_topo(3)
    with pytest.raises(GraphError, match="needs an FsaVec"):
        _search(one, _scores())
    with pytest.raises(GraphError, match="1 or as many graphs"):
        _search(k2.create_fsa_vec([one] * 3), _scores())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_scores_that_are_no_numbers(value: float) -> None:
    scores = _scores()
    scores[1, 3, 2] = value
    with pytest.raises(LogProbsError, match="utterance b, frame 3"):
        _search(ctc_topology(3), scores)
    _search(ctc_topology(3), scores, [6, 3])  # padding may be anything


def test_forbidden_labels_are_no_error(device: torch.device) -> None:
    scores = _scores().to(device)
    scores[0, :, 3] = -torch.inf
    lattice = _search(ctc_topology(3, device), scores)
    first = lattice[0]
    assert 3 not in first.labels.tolist()
    assert 3 in lattice[1].labels.tolist()


@pytest.mark.parametrize("lengths", [[6, 0], [6, 7]])
def test_lengths_out_of_range(lengths: list[int]) -> None:
    with pytest.raises(LogProbsError, match="lengths must be 1 to 6 frames"):
        _search(ctc_topology(3), _scores(), lengths)


def test_number_of_lengths_and_ids() -> None:
    with pytest.raises(LogProbsError, match="2 utterances, but 1 lengths"):
        _search(ctc_topology(3), _scores(), [6])
    with pytest.raises(LogProbsError, match="3 ids"):
        _search(ctc_topology(3), _scores(), ids="abc")

"""The decoding graph accepts the readings of the definition, each once, at its score."""

from __future__ import annotations

import dataclasses

import k2
import numpy as np
import pytest
import reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import (
    ALL_STATES,
    EVERYTHING,
    VOCABULARIES,
    ctc_topology,
    decode_configs,
    every_vocabulary,
    log_prob_arrays,
    path_lists,
    tree,
)

from ctcbias_fst.graph import vectors
from ctcbias_fst.graph.decoding_graph import DecodingGraph, decoding_graph
from ctcbias_fst.graph.entity_tree import BoostGraph
from ctcbias_fst.graph.token_letters import token_letters
from ctcbias_fst.graph.word_rules import WordRules
from ctcbias_fst.search.boosting import find_candidates, reward, score_columns
from ctcbias_fst.search.decode_config import DecodeConfig
from ctcbias_fst.search.intersect import search
from ctcbias_fst.search.search_config import BoostConfig
from ctcbias_fst.text.vocabulary import Vocabulary


def _search(
    log_probs: np.ndarray,
    graphs: list[BoostGraph | None],
    vocabulary: Vocabulary,
    config: DecodeConfig,
    device: torch.device,
) -> tuple[k2.Fsa, DecodingGraph]:
    """Lattices of the same log-probs with each of the graphs; no frame is left out."""
    values = torch.from_numpy(log_probs).to(device).expand(len(graphs), -1, -1)
    is_open = torch.ones(values.shape[:2], dtype=torch.bool, device=device)
    candidates = find_candidates(values, is_open, config)
    graph = decoding_graph(
        candidates,
        graphs,
        torch.arange(vocabulary.size, device=device),
        WordRules.of(vocabulary, device),
        reward=lambda letters, weight: reward(letters, weight, config.boost),
    )
    lattice = search(
        score_columns(
            values[:, :, 0],
            candidates,
            graph.columns,
            torch.tensor(token_letters(vocabulary)).to(device),
            config,
        ),
        torch.full((len(graphs),), len(log_probs)),
        graph.fsa,
        search_beam=1e8,
        output_beam=1e8,
        max_active=ALL_STATES,
        ids=[str(i) for i in range(len(graphs))],
    )
    return lattice, graph


@settings(max_examples=25)
@given(data=st.data())
def test_best_and_total_score_equal_brute_force(data: st.DataObject, device: torch.device) -> None:
    """The total over all paths shows that no reading is lost and none is there twice."""
    vocabulary = data.draw(every_vocabulary)
    config = dataclasses.replace(data.draw(decode_configs), blank_threshold=1.0)
    log_probs = data.draw(log_prob_arrays(vocabulary.size, max_frames=4))
    lists = [data.draw(path_lists(vocabulary)) for _ in range(2)] + [[]]
    graphs = [tree(paths, vocabulary) if paths else None for paths in lists]
    lattice, _ = _search(log_probs, graphs, vocabulary, config, device)
    best = lattice.get_tot_scores(use_double_scores=True, log_semiring=False).tolist()
    total = lattice.get_tot_scores(use_double_scores=True, log_semiring=True).tolist()
    for row, paths in enumerate(lists):
        readings = reference.readings(log_probs, paths, vocabulary, config)
        assert best[row] == pytest.approx(max(r.score for r in readings), abs=1e-4)
        assert total[row] == pytest.approx(reference.log_total(readings), abs=1e-4)


def test_entities_are_read_at_all() -> None:
    """The test above would pass if neither side ever read an entity."""
    vocabulary = VOCABULARIES[0]
    paths = [reference.Path((1, 2), 0), reference.Path((4,), 1)]
    random = np.random.default_rng(0)
    log_probs = np.log(random.dirichlet(np.ones(5), size=5)).astype(np.float32)
    readings = reference.readings(log_probs, paths, vocabulary, EVERYTHING)
    outputs = {reading.output for reading in readings}
    a, b, s, c = 1, 2, 3, 4
    first, second = ("entity", 0), ("entity", 1)
    assert {(first,), (first, second), (second, second), (first, s), (second, s, first)} <= outputs
    assert {(a, b), (a, b, c), (c,)} <= outputs  # every one may be read as plain tokens too
    # Nothing but 's and a new word comes after an entity; b continues a word.
    assert not {(first, b), (second, b), (first, s, s), (second, s, b)} & outputs


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
def test_without_names_it_is_the_topology(vocabulary: Vocabulary, device: torch.device) -> None:
    """k2's topology on all columns gives the same best and total score."""
    random = np.random.default_rng(1)
    log_probs = np.log(random.dirichlet(np.full(5, 0.5), size=12) + 1e-6).astype(np.float32)
    lattice, _ = _search(log_probs, [None], vocabulary, EVERYTHING, device)
    whole = search(
        torch.from_numpy(log_probs).to(device)[None],
        torch.tensor([12]),
        ctc_topology(4, device),
        search_beam=1e8,
        output_beam=1e8,
        max_active=ALL_STATES,
        ids=["a"],
    )
    for log_semiring in (True, False):
        assert lattice.get_tot_scores(True, log_semiring).item() == pytest.approx(
            whole.get_tot_scores(True, log_semiring).item(), abs=1e-4
        )


def test_equals_the_composition_of_topology_and_tree(device: torch.device) -> None:
    """The naive construction: k2.compose of the topology and a graph of words and names.

    With the boosts at 0, labels of the tree score what the plain ones do, so the two can be
    compared although only one of them has extra columns.
    """
    vocabulary = VOCABULARIES[0]
    paths = [reference.Path((1, 2, 2), 0), reference.Path((1, 2), 1), reference.Path((4, 1), 2)]
    # State 0: any token; 1 to 5: inside a name; 6: a name is complete; 7: after its 's.
    names = """
        0 0 1 1 0
        0 0 2 2 0
        0 0 3 3 0
        0 0 4 4 0
        0 1 1 0 0
        0 3 4 0 0
        0 8 -1 -1 0
        1 2 2 0 0
        1 6 2 6 0
        2 6 2 5 0
        3 6 1 7 0
        6 0 1 1 0
        6 0 4 4 0
        6 1 1 0 0
        6 3 4 0 0
        6 7 3 3 0
        6 8 -1 -1 0
        7 0 1 1 0
        7 0 4 4 0
        7 1 1 0 0
        7 3 4 0 0
        7 8 -1 -1 0
        8
    """
    grammar = k2.arc_sort(
        k2.Fsa.from_str("\n".join(map(str.strip, names.strip().splitlines())), num_aux_labels=1)
    )
    naive = k2.compose(k2.arc_sort(k2.ctc_topo(4)), grammar, treat_epsilons_specially=True)
    naive = k2.create_fsa_vec([k2.arc_sort(k2.connect(naive))]).to(device)
    config = dataclasses.replace(EVERYTHING, boost=_unboosted())
    random = np.random.default_rng(2)
    for frames in (1, 2, 5, 9):
        log_probs = np.log(random.dirichlet(np.full(5, 0.7), size=frames)).astype(np.float32)
        lattice, _ = _search(log_probs, [tree(paths, vocabulary)], vocabulary, config, device)
        whole = search(
            torch.from_numpy(log_probs).to(device)[None],
            torch.tensor([frames]),
            naive,
            search_beam=1e8,
            output_beam=1e8,
            max_active=ALL_STATES,
            ids=["a"],
        )
        for log_semiring in (True, False):
            assert lattice.get_tot_scores(True, log_semiring).item() == pytest.approx(
                whole.get_tot_scores(True, log_semiring).item(), abs=1e-4
            )


def _unboosted() -> BoostConfig:
    return BoostConfig(
        alpha=0.0,
        free=0.0,
        beta=0.0,
        repeat_alpha=0.0,
        top_k=1000,
        max_gap=1e8,
        first_alpha=0.0,
        first_top_k=1000,
        first_max_gap=1e8,
        blank_alpha=0.0,
        max_wait=1e8,
        max_wait_letter=1e8,
        bonus=0.0,
        min_reward=0.0,
    )


def test_graph_does_not_grow_with_names_that_the_audio_rules_out() -> None:
    vocabulary = Vocabulary.from_tokens(["<blk>", *(f"\u2581{i}" for i in range(200))])
    paths = [reference.Path((1 + i // 100, 2 + i % 100), i) for i in range(10_000)]
    log_probs = np.full((4, 201), -30.0, dtype=np.float32)
    log_probs[:, 0] = -3.0
    log_probs[[0, 2], [1, 57]] = -0.1
    _, graph = _search(
        log_probs, [tree(paths, vocabulary)], vocabulary, DecodeConfig(), torch.device("cpu")
    )
    assert graph.fsa.num_arcs < 40
    aux = graph.fsa.aux_labels
    assert set(aux[aux >= 201].tolist()) == {201 + 55}  # token 1, then token 57


def test_states_and_labels_are_as_documented() -> None:
    """One name of two tokens, two frames: the graph is small enough to be read."""
    vocabulary = VOCABULARIES[0]
    log_probs = np.log(np.array([[0.1, 0.8, 0.05, 0.025, 0.025], [0.1, 0.05, 0.8, 0.025, 0.025]]))
    config = DecodeConfig(
        token_beam=1.0, boost=BoostConfig(top_k=1, first_top_k=1, beta=0.0, bonus=0.25)
    )
    _, graph = _search(
        log_probs.astype(np.float32),
        [tree([reference.Path((1, 2), 0)], vocabulary)],
        vocabulary,
        config,
        torch.device("cpu"),
    )
    columns = [(b.kind, b.weight, b.first, b.tokens.tolist()) for b in graph.columns.blocks]
    plain, entry, boosted, stay = (
        (0, 1.0, 1, [1, 2]),
        (1, 1.0, 3, [1]),
        (2, 1.0, 7, [2]),
        (3, 1.0, 4),
    )
    assert columns == [plain, entry, (*stay, [0, 1, 2]), boosted]
    assert len(graph.columns) == 8
    # 0 blank, 1 hub(1), 2 hub(2), 3 end(2), 4 its blank, 5 node(1), 6 its blank, 7 final
    assert k2.to_str_simple(graph.fsa[0]).split("\n")[:-1] == [
        "0 0 0 0 0",
        "0 1 1 1 0",
        "0 2 2 2 0",
        "0 5 3 0 0",
        "0 7 -1 -1 0",
        "1 0 0 0 0",
        "1 1 1 0 0",
        "1 2 2 2 0",
        "1 7 -1 -1 0",
        "2 0 0 0 0",
        "2 2 2 0 0",
        "2 7 -1 -1 0",
        "3 4 0 0 0",
        "3 3 6 0 0",
        "3 7 -1 -1 0",
        "4 4 0 0 0",
        "4 1 1 1 0",
        "4 5 3 0 0",
        "4 7 -1 -1 0",
        "5 6 4 0 0",
        "5 5 5 0 0",
        "5 3 7 5 0.25",
        "6 6 4 0 0",
        "6 3 7 5 0.25",
        "7",
    ]


def test_numbers_that_do_not_fit_one_key_are_sorted_by_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers of states and labels share a key of 64 bits; where they would not, there are two."""
    random = np.random.default_rng(0)
    log_probs = np.log(random.dirichlet(np.ones(5), size=5)).astype(np.float32)
    graph = tree([reference.Path((1, 2), 0), reference.Path((4,), 1)], VOCABULARIES[0])
    made = []
    for largest in (1 << 62, 0):
        monkeypatch.setattr(vectors, "_LARGEST_KEY", largest)
        _, found = _search(
            log_probs, [graph, None], VOCABULARIES[0], EVERYTHING, torch.device("cpu")
        )
        made.append(found.fsa.arcs.values())
    assert torch.equal(*made)

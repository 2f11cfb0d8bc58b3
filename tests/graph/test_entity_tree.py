"""The entity tree is the set of segmentations it was given."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reference import Path
from strategies import VOCABULARIES, encoded, tree

from ctcbias_fst.errors import GraphError
from ctcbias_fst.graph.entity_tree import BoostGraph, boost_graph, build_tree
from ctcbias_fst.graph.token_rows import sorted_rows
from ctcbias_fst.text.encoded_entities import EncodedEntities
from ctcbias_fst.text.entities import entities_from_names
from ctcbias_fst.text.entity import Entity
from ctcbias_fst.text.token_marks import WordBoundary
from ctcbias_fst.text.tokens import SentencePieceTokenizer
from ctcbias_fst.text.vocabulary import Vocabulary

WIDE = Vocabulary.from_tokens(["<blk>", *(f"\u2581{i}" for i in range(30))])

rows = st.lists(
    st.builds(
        Path,
        tokens=st.lists(st.integers(1, 5), min_size=1, max_size=8).map(tuple),
        entity=st.integers(0, 4),
        cost=st.sampled_from([0.0, 0.5, 1.5]),
    ),
    max_size=12,
)
weights = st.lists(st.sampled_from([0.5, 1.0, 2.0]), min_size=5, max_size=5)


def _build(paths: list[Path], weight: list[float]) -> BoostGraph:
    entities = tuple(Entity(f"n{i}", f"N{i}", w) for i, w in enumerate(weight))
    return build_tree(encoded(paths), entities, WIDE)


def _cheapest(paths: list[Path], weight: list[float]) -> dict[tuple[int, ...], tuple[int, float]]:
    """What the tree should hold: of equal segmentations the cheapest, greatest weight, name."""
    best: dict[tuple[int, ...], tuple[float, float, int]] = {}
    for path in paths:
        key = (path.cost, -weight[path.entity], path.entity)
        best[path.tokens] = min(best.get(path.tokens, key), key)
    return {tokens: (entity, cost) for tokens, (cost, _, entity) in best.items()}


@given(rows, weights)
def test_paths_are_the_segmentations(paths: list[Path], weight: list[float]) -> None:
    graph = _build(paths, weight)
    found = {tokens: (entity, cost) for tokens, entity, cost in graph.paths()}
    assert found == _cheapest(paths, weight)
    assert graph.num_paths == len(graph.paths()) == len(found)
    assert graph.depth == max(map(len, found), default=0)


@given(rows, weights)
def test_prefixes_are_shared_exactly_within_a_weight(
    paths: list[Path], weight: list[float]
) -> None:
    graph = _build(paths, weight)
    prefixes = {
        (weight[entity], tokens[:length])
        for tokens, (entity, _) in _cheapest(paths, weight).items()
        for length in range(1, len(tokens) + 1)
    }
    assert graph.num_nodes == 1 + len(prefixes)
    for node in range(1, graph.num_nodes):
        children = range(graph.first_child[node], graph.first_child[node + 1])
        assert all(graph.parent[child] == node for child in children)
        assert all(graph.weight[child] == graph.weight[node] for child in children)
    for node in range(graph.num_nodes):
        children = list(range(graph.first_child[node], graph.first_child[node + 1]))
        keys = [(-graph.weight[child], graph.token[child]) for child in children]
        assert keys == sorted(set(keys))


@given(rows, weights, st.randoms(use_true_random=False))
def test_order_of_the_rows_does_not_matter(
    paths: list[Path], weight: list[float], random: object
) -> None:
    shuffled = list(paths)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    first, second = _build(paths, weight), _build(shuffled, weight)
    for name in ("token", "first_child", "weight", "end", "cost"):
        assert np.array_equal(getattr(first, name), getattr(second, name)), name
    assert first.shadowed == second.shadowed


@given(rows, weights)
def test_shadowed_are_the_entities_without_a_path(paths: list[Path], weight: list[float]) -> None:
    graph = _build(paths, weight)
    given_rows = {path.entity for path in paths}
    kept = {entity for entity, _ in _cheapest(paths, weight).values()}
    assert {entity.name for entity in graph.shadowed} == {f"n{i}" for i in given_rows - kept}


def test_hash_collisions_do_not_merge_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "ctcbias_fst.graph.token_rows._row_hashes",
        lambda enc, lengths: np.zeros(len(enc), np.uint64),
    )
    paths = [Path((1, 2), 0), Path((1, 3), 1), Path((1, 2), 2, cost=1.0)]
    assert {p[:2] for p in tree(paths, VOCABULARIES[0]).paths()} == {((1, 2), 0), ((1, 3), 1)}


def test_what_a_name_is_said_never_takes_the_place_of_another() -> None:
    """Also where the vocabulary takes the words apart, and both are the same then."""
    letters = Vocabulary(("<blk>", "a", "b"), 0, WordBoundary.NONE, None)
    assert letters.splits_words
    listed = (Entity("ab", "Ab"), Entity("b", "B", spoken=(("a b", 0.0),)))
    graph = build_tree(encoded([]), listed, letters)
    assert graph.by_text == {"a b": listed[0], "b": listed[1]}


def test_many_tokens_in_a_name() -> None:
    long = tuple(itertools.islice(itertools.cycle([3, 1, 2]), 70))
    graph = _build([Path(long, 0), Path(long[:69], 1), Path((*long[:69], 4), 2)], [1.0] * 5)
    assert {p[0] for p in graph.paths()} == {long, long[:69], (*long[:69], 4)}
    assert graph.num_nodes == 72


def test_empty_list() -> None:
    graph = _build([], [1.0] * 5)
    assert (graph.num_nodes, graph.num_paths, graph.depth) == (1, 0, 0)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (Path((1, 99), 0), "token 99, the vocabulary has 31"),
        (Path((1, -1), 0), "token -1"),
        (Path((1, 0), 0), "written with the blank.*another column, which blank= says"),
        (Path((), 0), "has no tokens"),
        (Path((1,), 7), "out of range: there are 5 entities"),
        (Path((1,), 0, cost=-1.0), "negative"),
        (Path((1,), 0, cost=float("nan")), "not finite"),
    ],
)
def test_impossible_rows(path: Path, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        _build([path, Path((1,), 0)], [1.0] * 5)


def test_segmentations_of_a_list(tokenizer: SentencePieceTokenizer) -> None:
    entities = entities_from_names(["New York", "York", "Keisha"])
    one = boost_graph(entities, tokenizer)
    several = boost_graph(entities, tokenizer, segmentations=4)
    vocabulary = tokenizer.vocabulary
    for graph in (one, several):
        for tokens, entity, cost in graph.paths():
            assert " ".join(vocabulary.ids_to_words(tokens)) == graph.entities[entity].name
            assert cost >= 0
    assert one.num_paths == 3
    assert several.num_paths > 6
    assert {p[0] for p in one.paths()} <= {p[0] for p in several.paths() if p[2] == 0}


def test_graph_of_another_model_is_refused(tokenizer: SentencePieceTokenizer) -> None:
    graph = boost_graph(entities_from_names(["York"]), tokenizer)
    graph.require_vocabulary(tokenizer.vocabulary)
    with pytest.raises(GraphError, match="compiled for another vocabulary"):
        graph.require_vocabulary(WIDE)


def test_copies_to_a_device_are_kept(tokenizer: SentencePieceTokenizer) -> None:
    graph = boost_graph(entities_from_names(["York"]), tokenizer)
    device = torch.device("cpu")
    assert graph.tensors(device) is graph.tensors(device)


@pytest.mark.parametrize("weight", [1e6, 0.0, -1.0, float("nan"), float("inf")])
def test_weights_that_would_end_the_process_are_refused(weight: float) -> None:
    """Whoever made the entity: a list is bounded where it is read, an edited graph is not."""
    with pytest.raises(GraphError, match="the weight of 'A'"):
        build_tree(encoded([Path((1, 2), 0)]), (Entity("a", "A", weight),), VOCABULARIES[0])


@given(
    rows=st.lists(
        st.tuples(
            st.lists(
                st.sampled_from([0, 1, 2, 500, (1 << 21) - 2, (1 << 21) - 1, 1 << 21, 2**31 - 2]),
                min_size=1,
                max_size=8,
            ),
            st.integers(0, 2),
            st.sampled_from([0.0, 0.5]),
        ),
        max_size=12,
    )
)
def test_rows_of_any_vocabulary_are_sorted(rows: list[tuple[list[int], int, float]]) -> None:
    """By class, tokens, cost, whatever the numbers of the tokens are."""
    lengths = np.array([len(tokens) for tokens, _, _ in rows], dtype=np.int64)
    spellings = EncodedEntities(
        values=np.array([t for tokens, _, _ in rows for t in tokens], dtype=np.int32),
        row_splits=np.append(0, np.cumsum(lengths)),
        entity_index=np.zeros(len(rows), dtype=np.int32),
        cost=np.array([cost for _, _, cost in rows], dtype=np.float32),
    )
    classes = np.array([of for _, of, _ in rows], dtype=np.int64)
    order = sorted_rows(spellings, lengths, classes).tolist()
    found = [(rows[i][1], rows[i][0], rows[i][2]) for i in order]
    assert found == sorted((of, tokens, cost) for tokens, of, cost in rows)

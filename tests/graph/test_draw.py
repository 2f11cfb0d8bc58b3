"""The picture of a graph shows its tokens and its names."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from reference import Path
from strategies import VOCABULARIES, encoded, tree

from ctcbias_fst.errors import GraphError
from ctcbias_fst.graph.draw import draw_boost_graph
from ctcbias_fst.graph.entity_tree import build_tree
from ctcbias_fst.text.entity import Entity

VOCABULARY = VOCABULARIES[0]
A, B, S, C = VOCABULARY.tokens[1:]


def _texts(svg: str) -> list[str]:
    root = ElementTree.fromstring(svg)
    assert root.tag.endswith("svg")
    return sorted(node.text or "" for node in root.iter("{http://www.w3.org/2000/svg}text"))


def test_every_arc_and_every_end_is_there() -> None:
    graph = build_tree(
        encoded([Path((1, 2), 0), Path((1, 2, 3), 1), Path((4,), 2, cost=0.5)]),
        (Entity("ab", "A <b>"), Entity("ab's", "AB's"), Entity("c", "C & C", 2.0)),
        VOCABULARY,
    )
    svg = draw_boost_graph(graph, VOCABULARY)
    # One arc to the end of A <b>, and one beside it on the way to AB's.
    expected = [A, B, B, S, C, "A <b>", "AB's", "C & C  cost 0.5  weight 2"]
    assert _texts(svg) == sorted(expected)
    assert svg.count("marker-end") == 5


def test_large_graphs_are_cut() -> None:
    graph = tree([Path((1, 2), 0), Path((1, 3), 1), Path((4, 2), 2)], VOCABULARY)
    texts = _texts(draw_boost_graph(graph, VOCABULARY, max_paths=2))
    assert "and 1 more" in texts
    assert [text for text in texts if text.startswith("E")] == ["E0", "E1"]


def test_nothing_to_draw() -> None:
    assert _texts(draw_boost_graph(tree([], VOCABULARY), VOCABULARY)) == []


def test_graph_of_another_model() -> None:
    with pytest.raises(GraphError, match="another vocabulary"):
        draw_boost_graph(tree([], VOCABULARY), VOCABULARIES[1])


def test_names_longer_than_pythons_stack() -> None:
    graph = tree([Path((1, 2) * 1000, 0)], VOCABULARY)
    assert draw_boost_graph(graph, VOCABULARY).count("marker-end") == 2000


def test_what_xml_cannot_hold_is_replaced() -> None:
    entities = (Entity("ab", "A\x07\ud800\uffff"),)
    svg = draw_boost_graph(build_tree(encoded([Path((1, 2), 0)]), entities, VOCABULARY), VOCABULARY)
    assert "A \ufffd\ufffd" in _texts(svg)

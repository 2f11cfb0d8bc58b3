"""Graphs survive a file, in both formats, and broken files are explained."""

from __future__ import annotations

import json
from pathlib import Path

import kaldifst
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import VOCABULARIES, path_lists, tree

from ctcbias_fst.errors import GraphError
from ctcbias_fst.graph.entity_tree import BoostGraph, boost_graph
from ctcbias_fst.graph.openfst_files import read_boost_graph, sidecar_path, write_boost_graph
from ctcbias_fst.text.entities import entities_from_names
from ctcbias_fst.text.tokens import SentencePieceTokenizer

VOCABULARY = VOCABULARIES[0]
ENDINGS = ["names.fst", "names.txt"]


def _equal(first: BoostGraph, second: BoostGraph) -> bool:
    arrays = ("token", "first_child", "weight", "end")
    return (
        first.entities == second.entities
        and all(np.array_equal(getattr(first, name), getattr(second, name)) for name in arrays)
        and np.allclose(first.cost, second.cost, rtol=1e-5)
    )


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("graphs")


@pytest.mark.parametrize("name", ENDINGS)
@given(data=st.data())
def test_a_file_gives_the_graph_back(folder: Path, name: str, data: st.DataObject) -> None:
    graph = tree(data.draw(path_lists(VOCABULARY, max_paths=6)), VOCABULARY)
    write_boost_graph(graph, folder / name, VOCABULARY)
    assert _equal(read_boost_graph(folder / name, VOCABULARY), graph)


@pytest.mark.parametrize("name", ENDINGS)
def test_entities_keep_all_their_fields(
    tmp_path: Path, name: str, tokenizer: SentencePieceTokenizer
) -> None:
    names = [
        {"name": "New York", "weight": 2.5, "category": "city", "sounds_like": ["nu yawk"]},
        {"name": "Keisha", "pronunciations": ["K IY SH AH"], "display": "KEISHA"},
        "York",
    ]
    graph = boost_graph(entities_from_names(names), tokenizer, segmentations=3)
    write_boost_graph(graph, tmp_path / name, tokenizer.vocabulary)
    assert _equal(read_boost_graph(tmp_path / name, tokenizer.vocabulary), graph)


def test_other_tools_read_the_binary_file(tmp_path: Path) -> None:
    graph = boost_graph_of_two()
    write_boost_graph(graph, tmp_path / "names.fst", VOCABULARY)
    fst = kaldifst.StdVectorFst.read(str(tmp_path / "names.fst"))
    lines = [line.split() for line in fst.to_str().splitlines()]
    a, b, c = VOCABULARY.tokens[1], VOCABULARY.tokens[2], VOCABULARY.tokens[4]
    assert lines == [
        ["0", "1", a, "<eps>"],
        ["0", "2", c, "E0"],
        ["1", "2", b, "E1", "0.5"],
        ["2"],
    ]


def boost_graph_of_two() -> BoostGraph:
    from reference import Path as Segmentation  # noqa: PLC0415  (pathlib's Path is in scope)

    return tree([Segmentation((4,), 0), Segmentation((1, 2), 1, cost=0.5)], VOCABULARY)


def test_an_edited_graph_need_not_be_a_tree(tmp_path: Path) -> None:
    """Two spellings that join again: four paths."""
    path = tmp_path / "names.txt"
    write_boost_graph(boost_graph_of_two(), path, VOCABULARY)
    path.write_text("0 1 2 1\n0 1 3 1 0.25\n1 2 3 0\n1 2 5 0 1\n2 0.5\n")
    found = read_boost_graph(path, VOCABULARY).paths()
    assert set(found) == {
        ((1, 2), 0, 0.5),
        ((1, 4), 0, 1.5),
        ((2, 2), 0, 0.75),
        ((2, 4), 0, 1.75),
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("0 1 2\n1\n", "line 1: 3 columns"),
        ("0 1 x 1\n1\n", "with numbers"),
        ("0 1 1.5 1\n1\n", "whole numbers"),
        ("0 1 2 1\n1 1 2 0\n1\n", "has a cycle"),
        ("0 1 0 1\n1\n", "epsilon as input"),
        ("0 1 9 1\n1\n", "token label 9 is not one of 1 to 5"),
        ("0 1 2 3\n1\n", "entity label 3 is not one of 1 to 2"),
        ("0 1 1 1\n1\n", "takes the blank"),
        ("0 1 2 0\n1\n", "emits no entity"),
        ("0 1 2 1\n1 2 2 2\n2\n", "more than one entity"),
        ("0 1 2 1 -1\n1\n", "negative"),
        ("0 -1 2 1\n1\n", "a state is negative"),
        ("0 1 2 1 inf\n1\n", "not finite"),
        ("0 1 2 1 nan\n1\n", "not finite"),
        ("0 1 2 1 1e39\n1\n", "above 1,000,000 nats"),
        ("0 1 2 1\n1 1e9\n", "above 1,000,000 nats"),
        ("0 1 2 1 0\n99999999999 0\n", "too large"),
        ("0 1 2 1 0\nnan 0\n", "too large"),
        ("0 1 2 1 0\n-1 0\n", "a state is negative"),
        ("é", "not OpenFst's text format"),
    ],
)
def test_broken_text(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "names.txt"
    write_boost_graph(boost_graph_of_two(), path, VOCABULARY)
    path.write_text(content, encoding="utf-8")
    with pytest.raises(GraphError, match=message) as caught:
        read_boost_graph(path, VOCABULARY)
    assert str(path) in str(caught.value)


def test_broken_binary(tmp_path: Path) -> None:
    path = tmp_path / "names.fst"
    write_boost_graph(boost_graph_of_two(), path, VOCABULARY)
    good = path.read_bytes()
    nowhere = good[:-16] + b"\xff\xff\xff\x7f" + good[-12:]
    for content in (good[:60], good[:-2], good + b"\0", nowhere):
        path.write_bytes(content)  # OpenFst's own reader ends the process
        with pytest.raises(GraphError, match="not a binary OpenFst file"):
            read_boost_graph(path, VOCABULARY)
    path.write_bytes(b"no transducer")
    with pytest.raises(GraphError, match="not a binary OpenFst file"):
        read_boost_graph(path, VOCABULARY)
    path.unlink()
    with pytest.raises(GraphError, match="no such file"):
        read_boost_graph(path, VOCABULARY)


def test_graph_of_another_model(tmp_path: Path) -> None:
    path = tmp_path / "names.fst"
    write_boost_graph(boost_graph_of_two(), path, VOCABULARY)
    with pytest.raises(GraphError, match="compiled for another vocabulary"):
        read_boost_graph(path, VOCABULARIES[1])
    with pytest.raises(GraphError, match="compiled for another vocabulary"):
        write_boost_graph(boost_graph_of_two(), path, VOCABULARIES[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "version 2"),
        ({"entities": [{"nom": "x"}]}, "not the description"),
        ({"entities": [{"name": 1, "display": "x"}]}, "must be strings"),
        ({"entities": None}, "not the description"),
        ({"phones": "yes"}, "phones must be true or false, found 'yes'"),
        ({"entities": [{"name": "x", "display": "X"}] * 2}, "the same name"),
        ({"entities": [{"name": "x", "display": "X", "weight": 10**400}]}, "must be a positive"),
        ({"entities": [{"name": "x", "display": "X", "weight": 0}]}, "must be a positive"),
        ({"entities": [{"name": "x", "display": "\x07"}]}, "control characters"),
        ({"entities": [{"name": "x", "display": "X", "spoken": [["y", "inf"]]}]}, "no number"),
        ({"entities": [{"name": " x", "display": "X"}]}, "white space"),
        ({"entities": [{"name": "x", "display": "X", "sounds_like": [1]}]}, "must be strings"),
    ],
)
def test_broken_sidecar(tmp_path: Path, change: dict[str, object], message: str) -> None:
    path = tmp_path / "names.fst"
    write_boost_graph(boost_graph_of_two(), path, VOCABULARY)
    content = json.loads(sidecar_path(path).read_text())
    sidecar_path(path).write_text(json.dumps({**content, **change}))
    with pytest.raises(GraphError, match=message):
        read_boost_graph(path, VOCABULARY)


@pytest.mark.parametrize("name", ["names.fst", "names.txt"])
def test_names_in_phones_earn_their_letters_from_a_file_too(tmp_path: Path, name: str) -> None:
    graph = boost_graph_of_two().of_phones()
    write_boost_graph(graph, tmp_path / name, VOCABULARY)
    found = read_boost_graph(tmp_path / name, VOCABULARY)
    assert found.phones and found.letters.tolist() == graph.letters.tolist()
    assert found.letters.tolist() != boost_graph_of_two().letters.tolist()
    write_boost_graph(boost_graph_of_two(), tmp_path / name, VOCABULARY)
    assert not read_boost_graph(tmp_path / name, VOCABULARY).phones


def test_missing_sidecar(tmp_path: Path) -> None:
    path = tmp_path / "names.fst"
    write_boost_graph(boost_graph_of_two(), path, VOCABULARY)
    sidecar_path(path).unlink()
    with pytest.raises(GraphError, match="must lie beside it"):
        read_boost_graph(path, VOCABULARY)

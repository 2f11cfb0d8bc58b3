"""``IT``, which is said i t, is another reading than the word *it*."""

from __future__ import annotations

import numpy as np
import pytest
from strategies import batch

from ctcbias_fst.graph.entity_tree import boost_graph
from ctcbias_fst.search.decode_config import DecodeConfig
from ctcbias_fst.search.lattice_decoder import LatticeDecoder
from ctcbias_fst.text.checked_entities import check_entities
from ctcbias_fst.text.entities import entities_from_names
from ctcbias_fst.text.tokens import FewestPiecesTokenizer
from ctcbias_fst.text.vocabulary import Vocabulary

TOKENIZER = FewestPiecesTokenizer(
    Vocabulary.from_tokens(["<blk>", "|", *map(chr, range(97, 123)), "'"])
)


@pytest.mark.parametrize(("name", "word"), [("IT", "it"), ("US", "us"), ("WHO", "who")])
def test_both_are_among_the_n_best(name: str, word: str) -> None:
    tokens = TOKENIZER.encode(f"the {word} team")
    at = tokens.index(1) + 2
    array = np.full((2 * len(tokens) + 1, TOKENIZER.vocabulary.size), -9.0, dtype=np.float32)
    array[:, 0] = 0.0
    for place, token in enumerate(tokens):
        array[2 * place, [0, token]] = [-9.0, 0.0]
    for inside in range(at, at + len(word) - 1):  # a separator that is not quite heard
        array[2 * inside - 1, 1] = -5.5
    array -= np.log(np.exp(array).sum(axis=1, keepdims=True))
    names = check_entities(entities_from_names([name]), TOKENIZER)
    decoder = LatticeDecoder(TOKENIZER.vocabulary, DecodeConfig(nbest=20))
    (transcript,) = decoder.decode(
        batch([array], TOKENIZER.vocabulary), boost_graph(names, TOKENIZER)
    )
    texts = [hypothesis.text for hypothesis in transcript.nbest]
    assert {f"the {word} team", f"the {name} team"} <= set(texts)
    assert len(texts) == len(set(texts))

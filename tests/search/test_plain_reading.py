"""With a language model no result scores below the plain reading: the best label of each frame."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import reference
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from reference_lm import Names, Textbook, lm_score, words_of
from strategies import (
    Unchecked,
    batch,
    boost_configs,
    every_vocabulary,
    log_prob_arrays,
    path_lists,
    tree,
    vocabularies,
)

from ctcbias_fst.graph.entity_tree import BoostGraph, boost_graph
from ctcbias_fst.ngram.ngram_lm import LanguageModel
from ctcbias_fst.ngram.train import TrainLmConfig, train_lm
from ctcbias_fst.search.compose import LmComposer
from ctcbias_fst.search.decode_config import DecodeConfig
from ctcbias_fst.search.evidence import EvidenceConfig
from ctcbias_fst.search.lattice_decoder import LatticeDecoder
from ctcbias_fst.search.lm_config import LmConfig
from ctcbias_fst.search.rescore_lattices import rescore_lattices
from ctcbias_fst.search.saved_lattices import LatticeWriter
from ctcbias_fst.search.search_config import BoostConfig
from ctcbias_fst.text.entities import entities_from_names
from ctcbias_fst.text.tokens import FewestPiecesTokenizer
from ctcbias_fst.text.vocabulary import Vocabulary
from tests.search.test_compose import WORDS, lm_configs, models

CPU = torch.device("cpu")
NO_NAMES = Names({}, {})
ROUNDING = 0.06
generated = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


def plain(
    array: np.ndarray, vocabulary: Vocabulary, model: LanguageModel, config: LmConfig
) -> float:
    """What the plain reading scores, from the definitions."""
    labels = tuple(array.argmax(axis=1).tolist())
    reading = reference.Reading(labels, reference.collapse(labels), float(array.max(axis=1).sum()))
    words = words_of(reading, vocabulary)
    return reading.score + lm_score(words, Textbook(model), NO_NAMES, config, True)


@generated
@given(data=st.data())
def test_share_equals_brute_force(data: st.DataObject, device: torch.device) -> None:
    """Any tokens: pieces, characters, punctuation, special tokens, words begun before the audio."""
    vocabulary = data.draw(every_vocabulary)
    model, lm = data.draw(models(WORDS)), data.draw(lm_configs)
    tokens = st.lists(st.integers(1, vocabulary.size - 1), max_size=8)
    rows = data.draw(st.lists(tokens, max_size=4))
    found = LmComposer(model, vocabulary, device).share(rows, lm)
    expected = [
        lm_score(
            words_of(reference.Reading((), tuple(row), 0.0), vocabulary),
            Textbook(model),
            NO_NAMES,
            lm,
            True,
        )
        for row in rows
    ]
    assert found.tolist() == pytest.approx(expected, abs=1e-4)


@generated
@given(data=st.data())
def test_share_of_a_model_of_tokens(data: st.DataObject) -> None:
    vocabulary = data.draw(vocabularies)
    tokens = [token for i, token in enumerate(vocabulary.tokens) if i]
    model = dataclasses.replace(data.draw(models([*tokens, "a", "c"])), unit="token")
    assume(sum(symbol >= 0 for symbol in model.encode(vocabulary.tokens)) * 2 >= vocabulary.size)
    lm = dataclasses.replace(data.draw(lm_configs), letter_cost=0.0)
    rows = data.draw(st.lists(st.lists(st.integers(1, vocabulary.size - 1), max_size=6)))
    found = LmComposer(model, vocabulary).share(rows, lm)
    expected = [
        lm_score([vocabulary.tokens[i] for i in row], Textbook(model), NO_NAMES, lm, True)
        for row in rows
    ]
    assert found.tolist() == pytest.approx(expected, abs=1e-4)


@generated
@given(data=st.data())
def test_no_result_scores_below_it(data: st.DataObject) -> None:
    """However narrow the beams, whatever the lists: unless the result is read greedily."""
    vocabulary = data.draw(vocabularies)
    lm = dataclasses.replace(
        data.draw(lm_configs),
        lattice_beam=data.draw(st.sampled_from([0.5, 5.0])),
        beam=data.draw(st.sampled_from([0.1, 2.0])),
        max_active=data.draw(st.sampled_from([1, 10])),
    )
    config = Unchecked(
        boost=data.draw(boost_configs), lm=lm, search_beam=data.draw(st.sampled_from([1.0, 12.0]))
    )
    model = data.draw(models(WORDS))
    composer = LmComposer(model, vocabulary)
    arrays = [data.draw(log_prob_arrays(vocabulary.size, max_frames=9)) for _ in range(3)]
    one = tree(data.draw(path_lists(vocabulary)), vocabulary)
    other = tree(data.draw(path_lists(vocabulary)), vocabulary)
    decoder = LatticeDecoder(vocabulary, config, CPU, composer)
    log_probs = batch(arrays, vocabulary)
    for graphs in ([one, None, one], [one, other, None]):
        for array, transcript in zip(arrays, decoder.decode(log_probs, graphs)):
            bound = plain(array, vocabulary, model, lm)
            assert transcript.best.score >= bound - ROUNDING or "greedy" in str(transcript.warning)


# A beam that is too narrow: c is likelier than the ab that is said, until its b comes.

KINDS = (
    Vocabulary.from_tokens(["<blk>", "\u2581a", "b", "\u2581c"]),
    Vocabulary.from_tokens(["[PAD]", "a", "##b", "c"]),
    Vocabulary.from_tokens(["<blk>", "a", "b", "c", "|"]),
)
SAID = np.array([[1e-6, 0.6, 1e-6, 0.4], [0.01, 1e-6, 0.99, 1e-6]], dtype=np.float32)
NARROW = LmConfig(scale=1.0, beam=1.0)


class Garden:
    """A decoder whose language model leads it up the garden path."""

    def __init__(self, vocabulary: Vocabulary, lm: LmConfig) -> None:
        self.vocabulary = vocabulary
        self.tokenizer = FewestPiecesTokenizer(vocabulary)
        self.model = train_lm([["c"]] * 60 + [["ab"]], TrainLmConfig(order=1, min_count=1))
        self.composer = LmComposer(self.model, vocabulary)
        boost = BoostConfig(max_reward=0.5)  # below the beam
        evidence = EvidenceConfig(max_entropy=1.0)
        self.config = DecodeConfig(boost=boost, lm=lm, evidence=evidence)

    def decoder(self, listener: LatticeWriter | None = None) -> LatticeDecoder:
        return LatticeDecoder(self.vocabulary, self.config, CPU, self.composer, listener)

    def array(self, said: np.ndarray = SAID) -> np.ndarray:
        wide = np.full((len(said), self.vocabulary.size), 1e-6, dtype=np.float32)
        wide[:, : said.shape[1]] = said
        return np.asarray(np.log(wide / wide.sum(axis=1, keepdims=True)))

    def names(self, *names: str) -> BoostGraph:
        return boost_graph(entities_from_names(names), self.tokenizer)


@pytest.mark.parametrize("vocabulary", KINDS)
def test_what_a_narrow_beam_loses_is_searched_again(vocabulary: Vocabulary, tmp_path: Path) -> None:
    garden = Garden(vocabulary, NARROW)
    log_probs = batch([garden.array()], vocabulary)
    decoder = garden.decoder()
    lattice = decoder.lattice(log_probs)
    best = float(lattice.fsa.get_tot_scores(use_double_scores=True, log_semiring=False))
    bound = plain(garden.array(), vocabulary, garden.model, garden.config.lm)
    assert -math.inf < best < bound - 0.5  # there is a path, and it is not good enough
    assert not lattice.found.any()
    (transcript,) = garden.decoder(LatticeWriter(tmp_path)).decode(log_probs)
    assert transcript.best.text == "ab"
    assert transcript.warning == "the search was lost and repeated with wider beams"
    (again,) = rescore_lattices(tmp_path, lambda _: decoder)
    assert (again.best.text, again.warning) == (transcript.best.text, transcript.warning)


@pytest.mark.parametrize("vocabulary", KINDS)
def test_wide_beams_lose_nothing(vocabulary: Vocabulary) -> None:
    garden = Garden(vocabulary, LmConfig(scale=1.0))
    (transcript,) = garden.decoder().decode(batch([garden.array()], vocabulary))
    assert (transcript.best.text, transcript.warning) == ("ab", None)


@pytest.mark.parametrize("order", list(itertools.permutations(range(4), 3))[::5])
def test_of_a_batch_with_several_lists_only_what_is_lost_is_searched_again(
    order: Sequence[int],
) -> None:
    garden = Garden(KINDS[0], NARROW)
    clear = np.array([[1e-6, 1e-6, 1e-6, 0.99], [0.99, 1e-6, 1e-6, 1e-6]], dtype=np.float32)
    lists = [garden.names("ab c"), garden.names("c ab", "cab"), None, garden.names("abb")]
    arrays = [garden.array(), garden.array(clear), garden.array()]
    graphs = [lists[i] for i in order]
    found = garden.decoder().decode(batch(arrays, KINDS[0]), graphs)
    assert [transcript.best.text for transcript in found] == ["ab", "c", "ab"]
    assert [transcript.warning is None for transcript in found] == [False, True, False]

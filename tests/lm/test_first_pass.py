"""The language model in the first pass: against the other way, brute force, and the laws."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import k2
import pytest
import reference
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lm.test_compose import WORDS, lm_configs, models
from reference_lm import FirstPassBook, Names, Textbook
from strategies import (
    EVERYTHING,
    batch,
    boost_configs,
    decode_configs,
    log_prob_arrays,
    path_lists,
    tree,
    vocabularies,
)

from ctcbias_fst.decode.decoder import Decoder
from ctcbias_fst.decode.search import search
from ctcbias_fst.lm import first_pass as first_pass_module
from ctcbias_fst.lm.compose import LmComposer
from ctcbias_fst.lm.config import FirstPassConfig
from ctcbias_fst.text.tokens import FewestPiecesTokenizer

SCALES = ("scale", "word_bonus", "unknown_cost", "letter_cost", "class_cost")
CPU = torch.device("cpu")
with_cache = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def wide(tmp_path: Path) -> FirstPassConfig:
    """No pruning."""
    return FirstPassConfig(
        on=True, order=3, search_beam=1e8, max_active=10**6, lattice_beam=1e8, cache=tmp_path
    )


@with_cache
@given(data=st.data())
def test_without_limits_it_changes_nothing(
    data: st.DataObject, device: torch.device, wide: FirstPassConfig
) -> None:
    """All texts, their scores, times and confidences: those of the search without the model."""
    vocabulary = data.draw(vocabularies)
    lm = data.draw(lm_configs)
    boost_class = data.draw(st.booleans())
    first = dataclasses.replace(wide, order=data.draw(st.integers(1, 3)))
    config = dataclasses.replace(data.draw(decode_configs), lm=lm, nbest=12)
    model = data.draw(models(WORDS))
    composer = LmComposer(model, vocabulary, device, boost_class=boost_class)
    composer = composer.with_tokenizer(FewestPiecesTokenizer(vocabulary))
    arrays = [data.draw(log_prob_arrays(vocabulary.size)) for _ in range(3)]
    trees = [
        tree(data.draw(path_lists(vocabulary)), vocabulary),
        tree(data.draw(path_lists(vocabulary)), vocabulary),
        None,
    ]
    log_probs = batch(arrays, vocabulary)
    here = Decoder(
        vocabulary,
        dataclasses.replace(config, lm=dataclasses.replace(lm, first_pass=first)),
        device,
        composer,
    )
    there = Decoder(vocabulary, config, device, composer)
    for graphs in (trees, [trees[0]] * 3):
        for ours, theirs in zip(here.decode(log_probs, graphs), there.decode(log_probs, graphs)):
            assert ours.warning is None
            expected = {h.text.lower(): h for h in theirs.nbest}
            assert [h.score for h in ours.nbest] == pytest.approx(
                [h.score for h in theirs.nbest], abs=1e-3
            )
            for hypothesis in ours.nbest:
                other = expected[hypothesis.text.lower()]
                assert hypothesis.score == pytest.approx(other.score, abs=1e-3)


@with_cache
@given(data=st.data())
def test_search_equals_brute_force(data: st.DataObject, wide: FirstPassConfig) -> None:
    """The best path of the search: over all readings, and all ways to back off in each."""
    vocabulary = data.draw(vocabularies)
    first = dataclasses.replace(
        wide, order=data.draw(st.integers(1, 3)), scale=data.draw(st.sampled_from([1.0, 0.5]))
    )
    lm = dataclasses.replace(data.draw(lm_configs), first_pass=first)
    config = dataclasses.replace(
        EVERYTHING, boost=data.draw(boost_configs), lm=lm, modified_topology=True
    )
    model = data.draw(models(WORDS))
    tokenizer = FewestPiecesTokenizer(vocabulary)
    composer = LmComposer(model, vocabulary).with_tokenizer(tokenizer)
    array = data.draw(log_prob_arrays(vocabulary.size, max_frames=4))
    paths = data.draw(path_lists(vocabulary))
    graph = tree(paths, vocabulary)
    found = []

    def spy(*args: Any, **options: Any) -> k2.Fsa:
        found.append(search(*args, **options))
        return found[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(first_pass_module, "search", spy)
        Decoder(vocabulary, config, CPU, composer).lattice(batch([array], vocabulary), graph)
    names = Names(
        {i: entity.name.split() for i, entity in enumerate(graph.entities)},
        {i: entity.prior for i, entity in enumerate(graph.entities)},
    )
    segmentations = {word: tuple(tokenizer.encode(word)) for word in model.ngram.symbols}
    scaled = dataclasses.replace(lm, **{name: first.scale * getattr(lm, name) for name in SCALES})
    book = FirstPassBook(Textbook(model), segmentations, names, scaled, vocabulary)
    expected = max(
        reading.score + book.score(reading.output)
        for reading in reference.readings(array, paths, vocabulary, config)
    )
    best = found[0].get_tot_scores(use_double_scores=True, log_semiring=False)
    assert float(best) == pytest.approx(expected, abs=1e-3)

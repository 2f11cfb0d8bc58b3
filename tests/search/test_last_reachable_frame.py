"""How long an entity may wait for its next token, and that nothing is lost by it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
import reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import (
    ALL_STATES,
    VOCABULARIES,
    decode_configs,
    every_vocabulary,
    log_prob_arrays,
    path_lists,
    tree,
)

from ctcbias_fst.graph.candidates import Candidates
from ctcbias_fst.graph.decoding_graph import DecodingGraph, decoding_graph
from ctcbias_fst.graph.entity_tree import BoostGraph
from ctcbias_fst.graph.token_letters import token_letters
from ctcbias_fst.graph.word_rules import WordRules
from ctcbias_fst.search.boosting import find_candidates, last_reachable_frame, score_columns
from ctcbias_fst.search.decode_config import DecodeConfig
from ctcbias_fst.search.intersect import search
from ctcbias_fst.search.search_config import BoostConfig
from ctcbias_fst.text.vocabulary import Vocabulary


def _candidates(log_probs: np.ndarray, config: DecodeConfig, device: torch.device) -> Candidates:
    values = torch.from_numpy(log_probs).to(device)[None]
    return find_candidates(values, torch.ones_like(values[:, :, 0], dtype=torch.bool), config)


def _graph(
    candidates: Candidates,
    names: BoostGraph,
    vocabulary: Vocabulary,
    config: DecodeConfig,
    limit: torch.Tensor | None,
) -> DecodingGraph:
    device = candidates.token.device
    return decoding_graph(
        candidates,
        [names],
        torch.arange(vocabulary.size, device=device),
        WordRules.of(vocabulary, device),
        reach=limit,
    )


@given(data=st.data())
def test_reach_is_where_waiting_costs_more_than_the_beam(
    data: st.DataObject, device: torch.device
) -> None:
    vocabulary = data.draw(every_vocabulary)
    beam = data.draw(st.sampled_from([0.5, 3.0, 20.0]))
    config = dataclasses.replace(data.draw(decode_configs), search_beam=beam)
    log_probs = data.draw(log_prob_arrays(vocabulary.size, max_frames=8))
    candidates = _candidates(log_probs, config, device)
    blank = torch.from_numpy(log_probs[None, :, 0]).to(device)
    letters = torch.tensor(token_letters(vocabulary))
    found = last_reachable_frame(blank, candidates, letters.to(device), config)[0].tolist()
    behind = log_probs.max(axis=1) - log_probs[:, 0]
    costs = (1 - config.boost.blank_alpha) * behind
    short = letters.numpy()[1 + log_probs[:, 1:].argmax(axis=1)] <= 1
    limit = np.where(short, config.boost.max_wait_letter, config.boost.max_wait)
    costs[behind > limit] = np.inf
    for frame, last in enumerate(found):
        reachable = [
            later
            for later in range(frame + 1, len(log_probs))
            if costs[frame + 1 : later].sum() <= beam + 1e-4
        ]
        surely = [r for r in reachable if costs[frame + 1 : r].sum() <= beam - 1e-4]
        assert max(surely, default=last) <= last <= max(reachable, default=last)
        assert last < len(log_probs)


@settings(max_examples=50)
@given(data=st.data())
def test_no_best_path_is_lost(data: st.DataObject, device: torch.device) -> None:
    """A name falls behind by what it does not fit, and is never ahead before it is complete."""
    vocabulary = data.draw(every_vocabulary)
    config = data.draw(decode_configs)
    boost = dataclasses.replace(config.boost, beta=0.0, bonus=0.0, min_reward=0.0)
    beam = data.draw(st.sampled_from([1.0, 4.0]))
    config = dataclasses.replace(config, boost=boost, search_beam=beam)
    log_probs = data.draw(log_prob_arrays(vocabulary.size, max_frames=7, min_frames=3))
    names = tree(data.draw(path_lists(vocabulary, max_paths=4)), vocabulary)
    candidates = _candidates(log_probs, config, device)
    blank = torch.from_numpy(log_probs[None, :, 0]).to(device)
    best = []
    letters = torch.tensor(token_letters(vocabulary)).to(device)
    for limit in (None, last_reachable_frame(blank, candidates, letters, config)):
        graph = _graph(candidates, names, vocabulary, config, limit)
        lattice = search(
            score_columns(
                blank,
                candidates,
                graph.columns,
                letters,
                config,
            ),
            torch.tensor([len(log_probs)]),
            graph.fsa,
            search_beam=beam,
            output_beam=beam,
            max_active=ALL_STATES,
            ids=["u"],
        )
        best.append(lattice.get_tot_scores(use_double_scores=True, log_semiring=False).item())
    assert best[0] == pytest.approx(best[1], abs=1e-4)


@pytest.mark.parametrize(("gap", "kept"), [(1, True), (2, True), (3, False)])
def test_names_that_wait_too_long_are_not_in_the_graph(gap: int, kept: bool) -> None:
    """Token 1, frames of token 4, token 2: the name (1, 2) waits while 4 is heard."""
    vocabulary = VOCABULARIES[0]
    heard: Sequence[int] = [1, *[4] * gap, 2]
    log_probs = np.full((len(heard), vocabulary.size), -20.0, dtype=np.float32)
    log_probs[:, 0] = -4.0
    log_probs[range(len(heard)), heard] = -0.02
    boost = BoostConfig(blank_alpha=0.0, max_wait=100.0, max_wait_letter=100.0, max_reward=8.0)
    config = DecodeConfig(search_beam=9.0, boost=boost)
    candidates = _candidates(log_probs, config, torch.device("cpu"))
    blank = torch.from_numpy(log_probs[None, :, 0])
    names = tree([reference.Path((1, 2), 0)], vocabulary)
    letters = torch.tensor(token_letters(vocabulary))
    limit = last_reachable_frame(blank, candidates, letters, config)
    graph = _graph(candidates, names, vocabulary, config, limit)
    assert bool((graph.fsa.aux_labels >= vocabulary.size).any()) == kept

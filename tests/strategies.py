"""Small vocabularies, log-probs, lists of names and configurations for Hypothesis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import k2
import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from reference import Path

from ctcbias_fst.graph.entity_tree import BoostGraph, build_tree
from ctcbias_fst.records import LogProbs
from ctcbias_fst.search import hypotheses
from ctcbias_fst.search.decode_config import DecodeConfig
from ctcbias_fst.search.search_config import BoostConfig
from ctcbias_fst.text.encoded_entities import EncodedEntities
from ctcbias_fst.text.entity import Entity
from ctcbias_fst.text.vocabulary import Vocabulary

VOCABULARIES = (
    Vocabulary.from_tokens(["<blk>", "\u2581a", "b", "'s", "\u2581c"]),
    Vocabulary.from_tokens(["[PAD]", "a", "##b", "##'", "##s"]),
    Vocabulary.from_tokens(["<blk>", "|", "a", "'", "s"]),
)
"""One of each kind of word boundary, blank first, each able to write a possessive."""

MIXED = Vocabulary.from_tokens(["<blk>", "|", "a", "ก", "<s>"])
"""Letters of a script without spaces beside others, a separator, a special token."""

WIDE = Vocabulary.from_tokens(["<blk>", "\u2581abc", "b", "\u2581cd", "\u2581e"])
"""Tokens of several letters."""

ALL_STATES = 10_000
"""Many more than any graph here has: k2 makes a table four times as long for each utterance."""

EVERYTHING = DecodeConfig(
    search_beam=1e8,
    output_beam=1e8,
    max_active=ALL_STATES,
    token_beam=1e8,
    token_top_k=1000,
    blank_threshold=1.0,
)
"""No pruning of any kind."""


class Unchecked(DecodeConfig):
    """Settings that are refused to users."""

    def __post_init__(self) -> None:
        pass


vocabularies = st.sampled_from(VOCABULARIES)
every_vocabulary = st.sampled_from((*VOCABULARIES, MIXED, WIDE))


@st.composite
def log_prob_arrays(
    draw: st.DrawFn, columns: int, max_frames: int = 5, min_frames: int = 1
) -> np.ndarray:
    """Log-probs (T, V) without ties, some frames sharp and some flat."""
    frames = draw(st.integers(min_frames, max_frames))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sharpness = draw(st.sampled_from([0.2, 0.5, 2.0]))
    probabilities = random.dirichlet(np.full(columns, sharpness), size=frames) + 1e-6
    return np.log(probabilities / probabilities.sum(1, keepdims=True)).astype(np.float32)


@st.composite
def path_lists(draw: st.DrawFn, vocabulary: Vocabulary, max_paths: int = 3) -> list[Path]:
    """Distinct segmentations, one entity each; any token may come at any place."""
    tokens = st.lists(st.integers(1, vocabulary.size - 1), min_size=1, max_size=3).map(tuple)
    distinct = draw(st.lists(tokens, max_size=max_paths, unique=True))
    return [
        Path(
            path,
            entity,
            cost=draw(st.sampled_from([0.0, 0.7])),
            weight=draw(st.sampled_from([1.0, 0.5, 2.0])),
        )
        for entity, path in enumerate(distinct)
    ]


boost_configs = st.builds(
    BoostConfig,
    alpha=st.sampled_from([0.0, 0.6, 1.0]),
    max_gain=st.sampled_from([0.8, 100.0]),
    free=st.sampled_from([0.0, 0.5]),
    beta=st.sampled_from([0.0, 0.4]),
    top_k=st.sampled_from([1, 2, 4]),
    max_gap=st.sampled_from([1.0, 3.0, 100.0]),
    first_alpha=st.sampled_from([0.0, 0.3]),
    first_top_k=st.sampled_from([2, 4]),
    first_max_gap=st.sampled_from([2.0, 100.0]),
    repeat_alpha=st.sampled_from([0.0, 0.7]),
    blank_alpha=st.sampled_from([0.0, 0.3]),
    max_wait=st.sampled_from([1.0, 100.0]),
    max_wait_letter=st.sampled_from([2.0, 100.0]),
    bonus=st.sampled_from([-0.7, 0.5]),
    min_reward=st.sampled_from([-1.0, 0.1]),
    max_reward=st.sampled_from([0.6, 10.0]),
)

decode_configs = st.builds(
    Unchecked,
    boost=boost_configs,
    search_beam=st.just(1e8),
    output_beam=st.just(1e8),
    max_active=st.just(ALL_STATES),
    token_beam=st.sampled_from([2.0, 1e8]),
    token_top_k=st.sampled_from([2, 4]),
    blank_threshold=st.sampled_from([0.6, 0.9, 1.0]),
)
"""Every setting of what may be taken and what it scores; the search itself prunes nothing."""


def tree(paths: Sequence[Path], vocabulary: Vocabulary) -> BoostGraph:
    """The boosting graph of some segmentations; entity i is called ``e<i>``."""
    count = 1 + max((path.entity for path in paths), default=-1)
    weights = {path.entity: path.weight for path in paths}
    entities = tuple(Entity(f"e{i}", f"E{i}", weights.get(i, 1.0)) for i in range(count))
    return build_tree(encoded(paths), entities, vocabulary)


def encoded(paths: Sequence[Path]) -> EncodedEntities:
    """The segmentations as ragged rows."""
    return EncodedEntities(
        values=np.array([t for path in paths for t in path.tokens], dtype=np.int32),
        row_splits=np.cumsum([0] + [len(path.tokens) for path in paths], dtype=np.int64),
        entity_index=np.array([path.entity for path in paths], dtype=np.int32),
        cost=np.array([path.cost for path in paths], dtype=np.float32),
    )


def batch(arrays: Sequence[np.ndarray], vocabulary: Vocabulary, padding: float = -1.0) -> LogProbs:
    """Log-probs of several utterances, padded."""
    longest = max(map(len, arrays))
    values = torch.full((len(arrays), longest, vocabulary.size), padding)
    for row, array in enumerate(arrays):
        values[row, : len(array)] = torch.from_numpy(array)
    return LogProbs(
        log_probs=values,
        lengths=torch.tensor([len(array) for array in arrays]),
        frame_seconds=0.04,
        ids=tuple(f"utt{i}" for i in range(len(arrays))),
        vocabulary=vocabulary,
    )


@contextmanager
def echoes() -> Iterator[None]:
    """What a path wrote twice stays, so that its words are those of its tokens."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hypotheses, "_without_echoes", lambda tokens, *_: tokens)
        yield


def ctc_topology(max_token: int, device: torch.device | str = "cpu") -> k2.Fsa:
    """K2's own topology for tokens 1 to ``max_token``, as an arc-sorted FsaVec of one graph."""
    return k2.create_fsa_vec([k2.arc_sort(k2.ctc_topo(max_token, device=torch.device(device)))])

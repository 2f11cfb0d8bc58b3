"""What is settled stays: whatever comes after the last frame, the best path begins so."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import Path
from strategies import (
    VOCABULARIES,
    batch,
    decode_configs,
    log_prob_arrays,
    path_lists,
    tree,
    vocabularies,
)

from ctcbias_fst.search.decode_config import DecodeConfig
from ctcbias_fst.search.lattice_decoder import LatticeDecoder
from ctcbias_fst.search.search_config import BoostConfig
from ctcbias_fst.search.settled import closed, settled
from ctcbias_fst.text.vocabulary import Vocabulary

CPU = torch.device("cpu")


def spoken(vocabulary: Vocabulary, text: list[str], probability: float = 0.9) -> np.ndarray:
    """Log-probs (T, V) that say one token a frame, and its runner-up with what is left."""
    rows = np.full((len(text), vocabulary.size), 1e-4)
    for row, item in zip(rows, text):
        first, _, second = item.partition("~")
        row[vocabulary.index[first]] = probability
        if second:
            row[vocabulary.index[second]] = 1 - probability
    return np.log(rows / rows.sum(axis=1, keepdims=True)).astype(np.float32)


@settings(max_examples=40)
@given(data=st.data())
def test_no_later_frame_changes_what_is_settled(data: st.DataObject) -> None:
    vocabulary = data.draw(vocabularies)
    config = data.draw(decode_configs)
    whole = data.draw(log_prob_arrays(vocabulary.size, max_frames=10, min_frames=2))
    names = tree(data.draw(path_lists(vocabulary)), vocabulary)
    decoder = LatticeDecoder(vocabulary, config, CPU)
    (transcript,) = decoder.decode(batch([whole], vocabulary), names)
    taken = transcript.best.token_ids
    for frames in range(1, len(whole) + 1):
        lattice = decoder.lattice(batch([whole[:frames]], vocabulary), names, goes_on=True)
        (known,) = settled(lattice, 1e8)
        tokens = tuple(token.token for token in known.tokens)
        assert taken[: len(tokens)] == tokens


@settings(max_examples=25)
@given(data=st.data())
def test_utterances_of_a_batch_are_settled_as_alone(data: st.DataObject) -> None:
    vocabulary = data.draw(vocabularies)
    config = data.draw(decode_configs)
    arrays = [data.draw(log_prob_arrays(vocabulary.size, max_frames=9)) for _ in range(3)]
    lists = [tree(data.draw(path_lists(vocabulary)), vocabulary) for _ in arrays]
    decoder = LatticeDecoder(vocabulary, config, CPU)
    together = settled(decoder.lattice(batch(arrays, vocabulary), lists, goes_on=True), 4.0)
    for array, names, found in zip(arrays, lists, together):
        lattice = decoder.lattice(batch([array], vocabulary), names, goes_on=True)
        assert settled(lattice, 4.0) == [found]


@settings(max_examples=40)
@given(data=st.data())
def test_closed_is_what_is_searched_where_nothing_follows(data: st.DataObject) -> None:
    vocabulary = data.draw(vocabularies)
    config = data.draw(decode_configs)
    array = data.draw(log_prob_arrays(vocabulary.size, max_frames=7))
    names = tree(data.draw(path_lists(vocabulary)), vocabulary)
    decoder = LatticeDecoder(vocabulary, config, CPU)
    log_probs = batch([array], vocabulary)
    lattice = closed(decoder.lattice(log_probs, names, goes_on=True))
    usual = decoder.lattice(log_probs, names)
    totals = [
        one.fsa.get_tot_scores(use_double_scores=True, log_semiring=True)
        for one in (lattice, usual)
    ]
    assert float(totals[0]) == pytest.approx(float(totals[1]), abs=1e-4)


V = VOCABULARIES[0]
"""``▁a``, ``b``, ``'s``, ``▁c``."""
CONFIG = DecodeConfig(search_beam=12.0, output_beam=12.0, boost=BoostConfig(bonus=5.0))
NAME = tree([Path((1, 2, 4), 0)], V)
"""``▁a b ▁c``."""


def known(text: list[str], *, goes_on: bool = True) -> tuple[list[str], bool, int | None]:
    decoder = LatticeDecoder(V, CONFIG, CPU)
    lattice = decoder.lattice(batch([spoken(V, text)], V), NAME, goes_on=goes_on)
    (found,) = settled(lattice, 6.0)
    return [V.tokens[token.token] for token in found.tokens], found.names_open, found.name


def test_a_name_that_may_go_on_keeps_open_what_stands_in_its_place() -> None:
    text = ["▁c", "<blk>", "▁c~▁a", "<blk>~b", "<blk>"]
    assert known(text) == (["▁c"], True, 2)
    # The name wins if its last token comes, so that nothing may be settled before.
    decoder = LatticeDecoder(V, CONFIG, CPU)
    array = spoken(V, [*text, "▁c"])
    (transcript,) = decoder.decode(batch([array], V), NAME)
    assert [word.word for word in transcript.best.words] == ["c", "E0"]
    tokens, names_open, _ = known(text, goes_on=False)
    assert tokens[:2] == ["▁c", "▁c"]
    assert not names_open


def test_words_are_settled_without_names() -> None:
    tokens, names_open, name = known(["▁c", "b", "<blk>", "▁c", "b"])
    assert tokens[:2] == ["▁c", "b"]
    assert (names_open, name) == (False, None)

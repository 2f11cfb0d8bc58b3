"""Words, their times and their confidences."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import EVERYTHING, VOCABULARIES, batch, encoded, log_prob_arrays, path_lists, tree

from ctcbias_fst.graph.entity_tree import BoostGraph, build_tree
from ctcbias_fst.graph.word_rules import WordRules
from ctcbias_fst.records import Hypothesis, Word
from ctcbias_fst.search import hypotheses as hypotheses_module
from ctcbias_fst.search import nbest
from ctcbias_fst.search.decode_config import DecodeConfig
from ctcbias_fst.search.hypotheses import token_confidences
from ctcbias_fst.search.lattice import Lattice
from ctcbias_fst.search.lattice_decoder import LatticeDecoder
from ctcbias_fst.search.search_config import BoostConfig
from ctcbias_fst.text.entity import Entity
from ctcbias_fst.text.vocabulary import Vocabulary

PREFIX, CONTINUATION, SEPARATOR = VOCABULARIES
# A weak boost and no price: a name comes out of the tree where it is spoken, and only there.
SURE = DecodeConfig(
    blank_threshold=1.0, boost=BoostConfig(alpha=0.9, free=0.0, beta=0.2, bonus=0.0)
)


def _array(vocabulary: Vocabulary, frames: list[str], sure: float = 0.99) -> np.ndarray:
    """Log-probs in which each frame's token (by name) has most of the probability."""
    rest = (1 - sure) / (vocabulary.size - 1)
    rows = np.full((len(frames), vocabulary.size), rest)
    for row, token in enumerate(frames):
        rows[row, vocabulary.tokens.index(token)] = sure
    return np.log(rows).astype(np.float32)


def _words(
    vocabulary: Vocabulary, frames: list[str], graph: BoostGraph | None = None
) -> list[Word]:
    (transcript,) = LatticeDecoder(vocabulary, SURE).decode(
        batch([_array(vocabulary, frames)], vocabulary), graph
    )
    return list(transcript.best.words)


def _named(vocabulary: Vocabulary, names: dict[str, list[list[str]]]) -> BoostGraph:
    """A graph of display forms and their segmentations (tokens by name)."""
    paths = [
        reference.Path(tuple(vocabulary.tokens.index(token) for token in tokens), entity)
        for entity, segmentations in enumerate(names.values())
        for tokens in segmentations
    ]
    entities = tuple(Entity(name.lower(), name) for name in names)
    return build_tree(encoded(paths), entities, vocabulary)


def _spans(words: list[Word]) -> list[tuple[str, int, int]]:
    """Words with their frames."""
    return [(w.word, round(w.start / 0.04), round(w.end / 0.04)) for w in words]


BLK, A, B, S, C = PREFIX.tokens


def test_words_begin_at_their_first_token_and_end_with_their_last() -> None:
    words = _words(PREFIX, [BLK, A, BLK, B, B, B, BLK, BLK, C, BLK])
    assert _spans(words) == [("ab", 1, 6), ("c", 8, 9)]
    assert not any(word.entity for word in words)


def test_times_count_frames_that_were_left_out() -> None:
    array = _array(PREFIX, [BLK, BLK, A, BLK, BLK, BLK, A, BLK, C, BLK], sure=0.999)
    (transcript,) = LatticeDecoder(PREFIX, DecodeConfig()).decode(batch([array], PREFIX))
    assert _spans(list(transcript.best.words)) == [("a", 2, 3), ("a", 6, 7), ("c", 8, 9)]


def test_words_of_each_kind_of_vocabulary() -> None:
    pad, a, b = CONTINUATION.tokens[:3]
    assert _spans(_words(CONTINUATION, [pad, a, b, pad, a])) == [("ab", 1, 3), ("a", 4, 5)]
    blk, bar, a, _, s = SEPARATOR.tokens
    words = _words(SEPARATOR, [bar, a, s, bar, blk, bar, s, bar])
    assert _spans(words) == [("as", 1, 3), ("s", 6, 7)]


def test_an_entity_is_written_as_displayed() -> None:
    graph = _named(PREFIX, {"Ab": [[A, B]], "C A": [[C, A]]})
    words = _words(PREFIX, [A, B, BLK, C, BLK, A, A, BLK, C], graph)
    assert _spans(words) == [("Ab", 0, 2), ("C", 3, 4), ("A", 5, 7), ("c", 8, 9)]
    assert [word.entity for word in words] == [True, True, True, False]


def test_a_possessive_is_part_of_the_name() -> None:
    graph = _named(PREFIX, {"AB": [[A, B]]})
    words = _words(PREFIX, [A, B, S, BLK, C, S], graph)
    assert _spans(words) == [("AB's", 0, 3), ("c's", 4, 6)]
    assert [word.entity for word in words] == [True, False]
    pad, a, b, apostrophe, s = CONTINUATION.tokens
    graph = _named(CONTINUATION, {"AB": [[a, b]]})
    assert _spans(_words(CONTINUATION, [a, b, pad, apostrophe, s], graph)) == [("AB's", 0, 5)]


def test_a_longer_word_is_not_the_name() -> None:
    """``ab`` continued by ``b`` is no ``AB``."""
    graph = _named(PREFIX, {"AB": [[A, B]]})
    words = _words(PREFIX, [A, B, BLK, B, BLK, C], graph)
    assert [word.word for word in words] == ["abb", "c"]


def test_entities_of_a_separated_vocabulary_fill_words() -> None:
    blk, bar, a, apostrophe, s = SEPARATOR.tokens
    graph = _named(SEPARATOR, {"As": [[a, s]], "S A": [[s, bar, a]]})
    words = _words(SEPARATOR, [a, s, bar, s, a, s, bar, s, bar, a, apostrophe, s, bar, blk], graph)
    assert [word.word for word in words] == ["As", "sas", "S", "A's"]
    assert [word.entity for word in words] == [True, False, True, True]


def test_display_with_other_words_than_the_tokens_shares_the_time() -> None:
    graph = _named(PREFIX, {"Abc D": [[A, B]]})
    assert _spans(_words(PREFIX, [A, A, A, B], graph)) == [("Abc", 0, 3), ("D", 3, 4)]


def test_sure_words_are_sure() -> None:
    array = _array(PREFIX, [BLK, A, BLK, B, BLK, C], sure=0.99999)
    (transcript,) = LatticeDecoder(PREFIX, SURE).decode(batch([array], PREFIX))
    assert all(word.confidence > 0.999 for word in transcript.best.words)


def test_confidence_is_the_posterior_of_a_substitution() -> None:
    array = _array(PREFIX, [BLK, A, BLK, BLK, C, BLK], sure=0.99999)
    array[1] = np.log([1e-6, 0.7, 1e-6, 1e-6, 0.3])
    (transcript,) = LatticeDecoder(PREFIX, SURE).decode(batch([array], PREFIX))
    first, second = transcript.best.words
    assert first.confidence == pytest.approx(0.7, abs=0.01)
    assert second.confidence > 0.99


def test_confidence_knows_that_a_word_may_go_on() -> None:
    """``a`` is certain, but with probability 0.4 the word is ``ab``."""
    array = _array(PREFIX, [BLK, A, BLK, BLK, BLK, C, BLK], sure=0.99999)
    array[3] = np.log([0.6, 1e-6, 0.4, 1e-6, 1e-6])
    (transcript,) = LatticeDecoder(PREFIX, SURE).decode(batch([array], PREFIX))
    first, second = transcript.best.words
    assert first.confidence == pytest.approx(0.6, abs=0.01)
    assert second.confidence > 0.99


def test_moving_a_token_costs_no_confidence() -> None:
    """The token is at one of two frames: that it is there at all is certain."""
    array = _array(PREFIX, [BLK, A, A, BLK, C], sure=0.99999)
    array[1] = np.log([0.5, 0.5, 1e-6, 1e-6, 1e-6])
    array[2] = np.log([0.5, 0.5, 1e-6, 1e-6, 1e-6])
    (transcript,) = LatticeDecoder(PREFIX, SURE).decode(batch([array], PREFIX))
    assert transcript.best.words[0].confidence == pytest.approx(0.75, abs=0.01)


@settings(max_examples=40)
@given(data=st.data())
def test_a_tokens_window_ends_where_its_neighbours_begin(data: st.DataObject) -> None:
    """Its posterior is what the same token has at the frames nearer to it than to those beside
    it on its own path, one by one."""
    vocabulary = data.draw(st.sampled_from(VOCABULARIES))
    arrays = [data.draw(log_prob_arrays(vocabulary.size, max_frames=12)) for _ in range(2)]
    config = dataclasses.replace(EVERYTHING, output_beam=20.0, nbest=3)
    calls: list[tuple[Any, ...]] = []

    def noted(
        lattice: Lattice, arcs: torch.Tensor, path: torch.Tensor, rules: WordRules
    ) -> tuple[torch.Tensor, torch.Tensor]:
        calls.append((lattice, arcs, path, token_confidences(lattice, arcs, path, rules)[0]))
        return token_confidences(lattice, arcs, path, rules)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hypotheses_module, "token_confidences", noted)
        LatticeDecoder(vocabulary, config).decode(batch(arrays, vocabulary))
    ((lattice, arcs, path, found),) = calls
    emits = lattice.emits.nonzero().flatten().tolist()
    token, utterance = lattice.token.tolist(), lattice.utterance.tolist()
    read = lattice.frame.tolist()
    frame = {arc: int(lattice.original[utterance[arc], read[arc]]) for arc in emits}
    tokens = list(zip(arcs.tolist(), path.tolist(), found.tolist()))
    for k, (arc, own, confidence) in enumerate(tokens):
        beside = [frame[other] for other, its, _ in tokens[max(0, k - 1) : k + 2] if its == own]
        beside.remove(frame[arc])
        expected = sum(
            float(lattice.posterior[one])
            for one in emits
            if (utterance[one], token[one]) == (utterance[arc], token[arc])
            and all(
                # of frames as near to both, the later token's
                2 * frame[one] >= frame[arc] + at
                if at < frame[arc]
                else 2 * frame[one] < frame[arc] + at
                for at in beside
            )
        )
        assert confidence == pytest.approx(min(1.0, expected), abs=1e-4)


@given(data=st.data())
def test_confidences_are_probabilities_and_times_ascend(data: st.DataObject) -> None:
    vocabulary = data.draw(st.sampled_from(VOCABULARIES))
    array = data.draw(log_prob_arrays(vocabulary.size, max_frames=15))
    graph = tree(data.draw(path_lists(vocabulary)), vocabulary)
    boost = BoostConfig(alpha=1.0, beta=1.0)
    config = dataclasses.replace(EVERYTHING, boost=boost, output_beam=20.0, nbest=3)
    (transcript,) = LatticeDecoder(vocabulary, config).decode(batch([array], vocabulary), graph)
    for hypothesis in transcript.nbest:
        at = 0.0
        for word in hypothesis.words:
            assert 0 <= word.confidence <= 1
            assert math.isfinite(word.confidence)
            assert at <= word.start < word.end <= len(array) * 0.04 + 1e-9
            at = word.end
        assert " ".join(word.word for word in hypothesis.words) == hypothesis.text


def test_readings_differ_by_words_and_not_by_capitals_but_of_names() -> None:
    def reading(text: str, entity: bool = False) -> Hypothesis:
        return Hypothesis(tuple(Word(word, 0, 1, 1.0, entity) for word in text.split()), 0.0, ())

    first, same, name, other = (
        reading("It is"),
        reading("it IS"),
        reading("IT is", True),
        reading("it was"),
    )
    assert hypotheses_module.distinct([first, same, name, other]) == (first, name, other)


def test_a_score_is_the_sum_of_its_shares() -> None:
    one = Hypothesis((), -9.0, (), boost=2.0, lm=-3.0, phone=-4.0, phone_share=-0.8)
    assert one.shares == pytest.approx({"acoustic": -7.2, "boost": 2.0, "lm": -3.0, "phone": -0.8})
    assert sum(one.shares.values()) == pytest.approx(one.score)


def _noise(frames: int, seed: int = 0, vocabulary: Vocabulary = SEPARATOR) -> np.ndarray:
    scores = np.random.default_rng(seed).normal(0.0, 1.0, (frames, vocabulary.size))
    return (scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))).astype(np.float32)


@pytest.mark.parametrize("near", [0.0, 0.01, 1.0, 100.0])
def test_n_best_of_noise_are_those_of_a_search_of_everything(
    near: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether there are enough near the best path in all, some or none of the utterances."""
    letters = SEPARATOR.tokens[2:]
    arrays = [_noise(12), _noise(9, 1), _array(SEPARATOR, [letters[0]] * 5), _noise(0)]
    graph = _named(SEPARATOR, {"Ab": [list(letters[:2])]})
    decoder = LatticeDecoder(SEPARATOR, dataclasses.replace(EVERYTHING, nbest=20))
    expected = decoder.decode(batch(arrays, SEPARATOR), graph)
    assert [len(one.nbest) for one in expected] == [20, 20, 20, 1]
    monkeypatch.setattr(nbest, "_NEAR", near)
    monkeypatch.setattr(nbest, "_MANY", 0)
    monkeypatch.setattr(nbest, "_LARGE", 0)
    assert decoder.decode(batch(arrays, SEPARATOR), graph) == expected


def test_n_best_of_noise_are_found_among_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of some millions of texts of states, hardly any can be among the best ones."""
    vocabulary = Vocabulary.from_tokens(["<blk>", "|", *"abcdefghijklmnopqrstuvwxyz"])
    compared: list[int] = []
    distinct = nbest._best_distinct

    def counted(state: torch.Tensor, *others: Any) -> Any:
        compared.append(len(state))
        return distinct(state, *others)

    monkeypatch.setattr(nbest, "_best_distinct", counted)
    decoder = LatticeDecoder(vocabulary, DecodeConfig(nbest=100))
    for large, most in ((10**12, 400_000), (0, 150_000)):
        monkeypatch.setattr(nbest, "_LARGE", large)
        compared.clear()
        (found,) = decoder.decode(batch([_noise(60, 0, vocabulary)], vocabulary))
        assert len(found.nbest) == 100
        assert sum(compared) < most, sum(compared)


def test_the_best_of_equal_readings_is_the_same_however_many_are_asked_for() -> None:
    """In every frame two tokens have the same score, and all sums of them."""
    random = np.random.default_rng(0)
    scores = np.full((8, SEPARATOR.size), -4.0)
    scores[:, :2] = 0.0
    scores[:, 2:4] = -1.0
    rows = random.permuted(np.tile(scores, (20, 1)), axis=1).reshape(20, 8, -1)
    arrays = list((rows - np.log(np.exp(rows).sum(-1, keepdims=True))).astype(np.float32))
    graph = _named(SEPARATOR, {"Ab": [list(SEPARATOR.tokens[2:4])]})
    decoder = LatticeDecoder(SEPARATOR, DecodeConfig())
    most = decoder.decode(batch(arrays, SEPARATOR), graph, nbest=8)
    assert all(one.nbest[0].score == one.nbest[1].score for one in most)
    for n in (1, 2, 5):
        found = decoder.decode(batch(arrays, SEPARATOR), graph, nbest=n)
        assert [one.best for one in found] == [one.best for one in most]
        assert [one.nbest for one in found] == [one.nbest[:n] for one in most]

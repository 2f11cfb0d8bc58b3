"""Log-probs to transcripts: against brute force, and the laws of biasing."""

from __future__ import annotations

import dataclasses
import random
import warnings
from typing import Any

import numpy as np
import pytest
import reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import (
    EVERYTHING,
    VOCABULARIES,
    Unchecked,
    batch,
    decode_configs,
    echoes,
    log_prob_arrays,
    path_lists,
    tree,
    vocabularies,
)

from ctcbias_fst.errors import CtcbiasWarning, GraphError, LogProbsError
from ctcbias_fst.graph.entity_tree import BoostGraph, boost_graph
from ctcbias_fst.ngram.train import TrainLmConfig, train_lm
from ctcbias_fst.records import LogProbs, Transcript
from ctcbias_fst.search.compose import LmComposer
from ctcbias_fst.search.decode_config import DecodeConfig
from ctcbias_fst.search.lattice_decoder import LatticeDecoder
from ctcbias_fst.search.search_config import BoostConfig
from ctcbias_fst.text.entities import entities_from_names
from ctcbias_fst.text.phones import PHONES
from ctcbias_fst.text.tokens import FewestPiecesTokenizer, SentencePieceTokenizer
from ctcbias_fst.text.vocabulary import Vocabulary

CPU = torch.device("cpu")


@settings(max_examples=25)
@given(data=st.data())
def test_n_best_equals_brute_force(data: st.DataObject, device: torch.device) -> None:
    """All texts, their order and their scores, whichever frames were left out on the way."""
    vocabulary = data.draw(vocabularies)
    config = dataclasses.replace(data.draw(decode_configs), nbest=12)
    arrays = [data.draw(log_prob_arrays(vocabulary.size, max_frames=4)) for _ in range(2)]
    paths = data.draw(path_lists(vocabulary))
    decoder = LatticeDecoder(vocabulary, config, device)
    graph = tree(paths, vocabulary)
    log_probs = batch(arrays, vocabulary)
    totals = decoder.lattice(log_probs, graph)
    total = (
        totals.fsa.get_tot_scores(use_double_scores=True, log_semiring=True)
        + totals.skipped_frame_score
    ).tolist()
    with echoes():
        transcripts = decoder.decode(log_probs, graph)
    for row, transcript in enumerate(transcripts):
        readings = reference.readings(arrays[row], paths, vocabulary, config)
        assert total[row] == pytest.approx(reference.log_total(readings), abs=1e-4)
        expected = reference.best_texts(readings, vocabulary)
        ranked = sorted(expected.values(), reverse=True)[: len(transcript.nbest)]
        assert [h.score for h in transcript.nbest] == pytest.approx(ranked, abs=1e-4)
        assert len(transcript.nbest) == min(12, len(expected))
        for hypothesis in transcript.nbest:
            assert expected[hypothesis.text.lower()] == pytest.approx(hypothesis.score, abs=1e-4)
        assert transcript.warning is None


@given(data=st.data())
def test_best_is_the_first_of_the_n_best(data: st.DataObject) -> None:
    vocabulary = data.draw(vocabularies)
    config = data.draw(decode_configs)
    array = data.draw(log_prob_arrays(vocabulary.size, max_frames=12))
    graph = tree(data.draw(path_lists(vocabulary)), vocabulary)
    one = LatticeDecoder(vocabulary, config, CPU)
    several = LatticeDecoder(vocabulary, dataclasses.replace(config, nbest=5), CPU)
    (best,) = one.decode(batch([array], vocabulary), graph)
    (many,) = several.decode(batch([array], vocabulary), graph)
    assert best.best.score == pytest.approx(many.best.score, abs=1e-4)
    assert many.nbest[0] is many.best
    texts = [hypothesis.text.lower() for hypothesis in many.nbest]
    assert len(set(texts)) == len(texts)
    assert [h.score for h in many.nbest] == sorted([h.score for h in many.nbest], reverse=True)


@given(data=st.data())
def test_greedy_search_and_brute_force_agree(data: st.DataObject) -> None:
    """Without names the best path is the best label of every frame."""
    vocabulary = data.draw(vocabularies)
    array = data.draw(log_prob_arrays(vocabulary.size))
    (transcript,) = LatticeDecoder(vocabulary, EVERYTHING, CPU).decode(batch([array], vocabulary))
    tokens, score = reference.greedy(array)
    assert transcript.best.token_ids == tokens
    assert transcript.best.score == pytest.approx(score, abs=1e-4)
    assert transcript.best.boost == 0
    readings = reference.readings(array, [], vocabulary, EVERYTHING)
    assert max(r.score for r in readings) == pytest.approx(score, abs=1e-4)


@given(data=st.data())
def test_score_is_acoustic_plus_boost(data: st.DataObject) -> None:
    """The path's own log-probs, found by brute force, are what is left without the boost."""
    vocabulary = VOCABULARIES[0]
    config = data.draw(decode_configs)
    array = data.draw(log_prob_arrays(vocabulary.size))
    graph = tree(data.draw(path_lists(vocabulary)), vocabulary)
    with echoes():
        (transcript,) = LatticeDecoder(vocabulary, config, CPU).decode(
            batch([array], vocabulary), graph
        )
    plain = reference.readings(array, [], vocabulary, dataclasses.replace(EVERYTHING))
    acoustic = transcript.best.shares["acoustic"]
    same = [r.score for r in plain if reference.collapse(r.labels) == transcript.best.token_ids]
    assert any(acoustic == pytest.approx(score, abs=1e-4) for score in same)
    if not any(word.entity for word in transcript.best.words):
        assert transcript.best.boost == 0


# Laws. A simulated batch: names whose later subwords are mostly beaten by others.


def _simulated(tokenizer: SentencePieceTokenizer) -> LogProbs:
    texts = [
        ("u0", "she takes metformin in the morning"),
        ("u1", "the doctor saw keisha in new york"),
        ("u2", "the president spoke of peace"),
        ("u3", "york is not keisha's city"),
    ]
    vocabulary = tokenizer.vocabulary
    generator = np.random.default_rng(3)
    arrays = []
    for name, text in texts:
        rows = []
        for position, token in enumerate(tokenizer.encode(text)):
            for best in (0, token):
                row = -12.0 + generator.gumbel(size=vocabulary.size)
                row[0] = -4.0
                row[best] = 0.0
                # Of every three tokens one is beaten, by another or (at the end) by blank.
                if best and (position + len(name)) % 3 == 0:
                    row[int(generator.integers(2, vocabulary.size))] = generator.uniform(0.5, 3)
                rows.append(row - np.logaddexp.reduce(row))
        rows.append(rows[0])
        arrays.append(np.stack(rows).astype(np.float32))
    return batch(arrays, vocabulary, padding=float("nan"))


NAMES = ["metformin", "keisha", "new york", "york", "atorvastatin", "new orleans", "smith"]


def _graph(tokenizer: SentencePieceTokenizer, names: list[str]) -> BoostGraph:
    return boost_graph(entities_from_names([name.title() for name in names]), tokenizer)


def _same(first: Transcript, second: Transcript) -> bool:
    def timed(transcript: Transcript) -> list[tuple[object, ...]]:
        return [(w.word, w.start, w.end, w.entity) for w in transcript.best.words]

    return bool(
        timed(first) == timed(second)
        and first.best.token_ids == second.best.token_ids
        and first.best.score == pytest.approx(second.best.score, abs=1e-4)
    )


def test_names_are_found(tokenizer: SentencePieceTokenizer, device: torch.device) -> None:
    """The laws below would hold for a decoder that never finds a name."""
    log_probs = _simulated(tokenizer)
    decoder = LatticeDecoder(tokenizer.vocabulary, DecodeConfig(), device)
    without = [t.best.text for t in decoder.decode(log_probs)]
    boosted = decoder.decode(log_probs, _graph(tokenizer, NAMES))
    found = [" ".join(w.word for w in t.best.words if w.entity) for t in boosted]
    assert found == ["Metformin", "Keisha New York", "", "Keisha"]
    assert not any("metformin" in text or "keisha" in text for text in without)


def test_no_boost_changes_nothing(tokenizer: SentencePieceTokenizer) -> None:
    log_probs = _simulated(tokenizer)
    boost = BoostConfig(alpha=0.0, free=0.0, beta=0.0, bonus=-1.0, min_reward=-1.0)
    config = DecodeConfig(boost=boost)
    decoder = LatticeDecoder(tokenizer.vocabulary, config)
    for boosted, plain in zip(
        decoder.decode(log_probs, _graph(tokenizer, NAMES)), decoder.decode(log_probs)
    ):
        assert boosted.best.text.lower() == plain.best.text
        assert boosted.best.token_ids == plain.best.token_ids
        assert boosted.best.score == pytest.approx(plain.best.score, abs=1e-4)


def test_order_of_the_list_does_not_matter(tokenizer: SentencePieceTokenizer) -> None:
    log_probs = _simulated(tokenizer)
    decoder = LatticeDecoder(tokenizer.vocabulary, DecodeConfig(nbest=5))
    names = list(entities_from_names([name.title() for name in NAMES]))
    expected = decoder.decode(log_probs, boost_graph(names, tokenizer))
    for seed in range(3):
        random.Random(seed).shuffle(names)
        assert decoder.decode(log_probs, boost_graph(names, tokenizer)) == expected


def test_hopeless_names_change_nothing(tokenizer: SentencePieceTokenizer) -> None:
    log_probs = _simulated(tokenizer)
    decoder = LatticeDecoder(tokenizer.vocabulary, DecodeConfig(nbest=5))
    expected = decoder.decode(log_probs, _graph(tokenizer, NAMES))
    more = [*NAMES, "zzzxq", "jumpyknight", "quizzed bovine fjord"]
    for first, second in zip(decoder.decode(log_probs, _graph(tokenizer, more)), expected):
        assert _same(first, second)


def test_an_utterance_of_a_batch_decodes_as_alone(
    tokenizer: SentencePieceTokenizer, device: torch.device
) -> None:
    log_probs = _simulated(tokenizer)
    decoder = LatticeDecoder(tokenizer.vocabulary, DecodeConfig(nbest=3), device)
    graphs = [
        _graph(tokenizer, NAMES[:3]),
        _graph(tokenizer, NAMES),
        None,
        _graph(tokenizer, NAMES[1:2]),
    ]
    together = decoder.decode(log_probs, graphs)
    for row, transcript in enumerate(together):
        (alone,) = decoder.decode(log_probs.select([row]), graphs[row])
        assert _same(alone, transcript)
        for one, other in zip(alone.best.words, transcript.best.words):
            assert one.confidence == pytest.approx(other.confidence, abs=1e-6)
    shared = decoder.decode(log_probs, graphs[1])
    each = decoder.decode(log_probs, [graphs[1]] * 4)
    assert shared == each


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")
def test_cuda_equals_cpu(tokenizer: SentencePieceTokenizer) -> None:
    log_probs = _simulated(tokenizer)
    graph = _graph(tokenizer, NAMES)
    on_cpu = LatticeDecoder(tokenizer.vocabulary, DecodeConfig(nbest=3)).decode(log_probs, graph)
    on_cuda = LatticeDecoder(tokenizer.vocabulary, DecodeConfig(nbest=3), "cuda").decode(
        log_probs, graph
    )
    assert all(_same(one, other) for one, other in zip(on_cpu, on_cuda))


@given(data=st.data())
def test_a_partial_match_at_the_end_nets_nothing(data: st.DataObject) -> None:
    """Audio that ends inside a name scores what it does without the name."""
    vocabulary = VOCABULARIES[0]
    array = data.draw(log_prob_arrays(vocabulary.size, max_frames=4))
    paths = [reference.Path((1, 2, 1, 2, 1), 0)]  # longer than the audio
    config = dataclasses.replace(
        EVERYTHING, boost=BoostConfig(alpha=1.0, beta=5.0, max_reward=50.0)
    )
    decoder = LatticeDecoder(vocabulary, config, CPU)
    (with_name,) = decoder.decode(batch([array], vocabulary), tree(paths, vocabulary))
    (without,) = decoder.decode(batch([array], vocabulary))
    assert with_name.best == without.best


@given(data=st.data())
def test_blank_may_be_any_column(data: st.DataObject) -> None:
    """A vocabulary with its blank last decodes as the same one with its blank first."""
    first = VOCABULARIES[0]
    last = Vocabulary.from_tokens([*first.tokens[1:], first.tokens[0]])
    config = data.draw(decode_configs)
    array = data.draw(log_prob_arrays(first.size))
    paths = data.draw(path_lists(first))
    moved = [dataclasses.replace(p, tokens=tuple(t - 1 for t in p.tokens)) for p in paths]
    one = LatticeDecoder(first, config).decode(batch([array], first), tree(paths, first))[0]
    rolled = np.roll(array, -1, axis=1)
    other = LatticeDecoder(last, config).decode(batch([rolled], last), tree(moved, last))[0]
    assert one.best.words == other.best.words
    assert one.best.token_ids == tuple(t + 1 for t in other.best.token_ids)
    assert one.best.score == pytest.approx(other.best.score, abs=1e-5)


# What the search could lose.


def test_silence_and_nothing_at_all() -> None:
    vocabulary = VOCABULARIES[0]
    silence = np.log(np.array([[0.999, 2e-4, 3e-4, 4e-4, 1e-4]] * 7)).astype(np.float32)
    log_probs = batch([silence, silence[:1]], vocabulary, padding=float("nan"))
    log_probs = dataclasses.replace(log_probs, lengths=torch.tensor([7, 0]))
    graph = tree([reference.Path((1, 2), 0)], vocabulary)
    for nbest in (1, 3):
        decoder = LatticeDecoder(vocabulary, DecodeConfig(nbest=nbest))
        quiet, empty = decoder.decode(log_probs, graph)
        assert (quiet.best.words, quiet.best.token_ids) == ((), ())
        assert quiet.best.score == pytest.approx(7 * np.log(0.999), abs=1e-5)
        assert (empty.best.words, empty.best.score) == ((), 0.0)


def test_a_name_and_the_same_words_are_one_of_the_n_best() -> None:
    vocabulary = Vocabulary.from_tokens(["<blk>", "▁a", "▁c"])
    graph = boost_graph(entities_from_names(["A"]), FewestPiecesTokenizer(vocabulary))
    log_probs = batch([np.log(np.array([[0.01, 0.79, 0.2]], dtype=np.float32))], vocabulary)
    config = dataclasses.replace(EVERYTHING, boost=BoostConfig(bonus=0.1), nbest=2)
    (transcript,) = LatticeDecoder(vocabulary, config, CPU).decode(log_probs, graph)
    assert [one.text for one in transcript.nbest] == ["A", "c"]


def test_no_utterances() -> None:
    vocabulary = VOCABULARIES[0]
    none = LogProbs(torch.zeros(0, 3, 5), torch.zeros(0, dtype=torch.int64), 0.04, (), vocabulary)
    assert LatticeDecoder(vocabulary).decode(none) == []


def _dead_end() -> tuple[np.ndarray, BoostGraph]:
    """``a b`` is said, where a b is a name, and the word goes on: no name can be written."""
    said = [1, 2, 0, 2, 0, 2]
    array = np.full((len(said), 5), -60.0, dtype=np.float32)
    array[range(len(said)), said] = 0.0
    return array, tree([reference.Path((1, 2), 0)], VOCABULARIES[0])


def test_what_the_search_loses_is_searched_again() -> None:
    """A name that is paid more than the beam outscores every plain path, and can only swallow what
    follows: the search ends, but below the plain reading."""
    vocabulary = VOCABULARIES[0]
    array, graph = _dead_end()
    boost = BoostConfig(
        beta=20.0, bonus=0.0, max_reward=40.0, max_wait=100.0, max_wait_letter=100.0
    )
    lossy = Unchecked(boost=boost, search_beam=5.0)
    decoder = LatticeDecoder(vocabulary, lossy)
    log_probs = batch([array, array], vocabulary)
    assert decoder.lattice(log_probs, [graph, None]).found.tolist() == [False, True]
    heard: list[tuple[list[bool], str | None]] = []
    decoder.listener = lambda _, lattice, __, ___, told: heard.append(
        (lattice.found.tolist(), told)
    )
    lost, kept = decoder.decode(log_probs, [graph, None])
    wide, plain = (f"the search was lost and repeated {how}" for how in ("with wider beams", ""))
    assert heard == [([False, True], None), ([False], wide), ([True], f"{plain}without names")]
    assert "without names" in str(lost.warning)
    assert kept.warning is None
    assert lost.best.text == kept.best.text == "abbb"
    rescued, _ = LatticeDecoder(vocabulary, dataclasses.replace(lossy, search_beam=15.0)).decode(
        log_probs, graph
    )
    assert "wider beams" in str(rescued.warning)
    assert rescued.best.text == "abbb"


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("nbest", [1, 4])
@pytest.mark.parametrize("boost_class", [True, False])
def test_a_batch_that_is_lost_as_a_whole_recovers_with_a_language_model(
    count: int, nbest: int, boost_class: bool
) -> None:
    """Nothing is left to compose: every utterance is searched again."""
    vocabulary = VOCABULARIES[0]
    array, graph = _dead_end()
    boost = BoostConfig(
        beta=20.0, bonus=0.0, max_reward=40.0, max_wait=100.0, max_wait_letter=100.0
    )
    config = Unchecked(boost=boost, search_beam=5.0, nbest=nbest)
    model = train_lm([["abbb", "c"], ["a"], ["abbb"]], TrainLmConfig(order=2))
    composer = LmComposer(model, vocabulary, CPU, boost_class=boost_class)
    decoder = LatticeDecoder(vocabulary, config, CPU, composer)
    log_probs = batch([array] * count, vocabulary)
    lattice = decoder.lattice(log_probs, graph)
    assert (lattice.found.any(), lattice.fsa.num_arcs) == (False, 0)
    for transcript in decoder.decode(log_probs, graph):
        assert transcript.best.text == "abbb"
        assert "repeated" in str(transcript.warning)


def test_a_reward_of_the_beam_is_refused() -> None:
    for reward in (12.0, 40.0):
        with pytest.raises(ValueError, match=r"boost\.max_reward must be below search_beam, found"):
            DecodeConfig(boost=BoostConfig(max_reward=reward), search_beam=12.0)
    DecodeConfig(boost=BoostConfig(max_reward=11.9), search_beam=12.0)


def test_settings_as_they_come_lose_nothing_in_a_dead_end() -> None:
    array, graph = _dead_end()
    (transcript,) = LatticeDecoder(VOCABULARIES[0]).decode(batch([array], VOCABULARIES[0]), graph)
    assert (transcript.best.text, transcript.warning) == ("abbb", None)


def test_arcs_that_lead_nowhere_are_no_lattice() -> None:
    """K2 may leave some of an utterance whose search was lost before its end."""
    vocabulary = VOCABULARIES[0]
    array = np.log(np.array([[0.2, 0.5, 0.1, 0.1, 0.1]] * 6)).astype(np.float32)
    lattice = LatticeDecoder(vocabulary).lattice(batch([array, array], vocabulary))
    assert lattice.found.tolist() == [True, True]
    cut = dataclasses.replace(lattice)
    vars(cut)["label"] = lattice.label.masked_fill(lattice.utterance == 0, 1)
    assert cut.found.tolist() == [False, True]


def test_greedy_reading_is_the_last_resort(monkeypatch: pytest.MonkeyPatch) -> None:
    vocabulary = VOCABULARIES[0]
    array = np.log(np.array([[0.1, 0.6, 0.1, 0.1, 0.1]] * 2 + [[0.1, 0.1, 0.1, 0.1, 0.6]]))
    log_probs = batch([array.astype(np.float32)], vocabulary)
    monkeypatch.setattr(LatticeDecoder, "read", lambda *arguments, **options: iter(()))
    (transcript,) = LatticeDecoder(vocabulary).decode(log_probs)
    assert "greedy" in str(transcript.warning)
    assert transcript.best.text == "a c"
    first, second = transcript.best.words
    assert (first.start, first.end, second.start) == pytest.approx((0.0, 0.08, 0.08))
    assert first.confidence == pytest.approx(0.6)


# What it refuses.


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_broken_frames_are_named(value: float) -> None:
    vocabulary = VOCABULARIES[0]
    array = np.full((6, 5), np.log(0.2), dtype=np.float32)
    log_probs = batch([array, array], vocabulary)
    log_probs.log_probs[1, 4, 2] = value
    with pytest.raises(LogProbsError, match="utterance utt1, frame 4: the log-probs have"):
        LatticeDecoder(vocabulary).decode(log_probs)


@pytest.mark.parametrize("kind", ["logits", "probabilities"])
def test_what_is_no_distribution_is_refused(kind: str) -> None:
    vocabulary = VOCABULARIES[0]
    array = np.full((4, vocabulary.size), -np.log(vocabulary.size), dtype=np.float32)
    array[2] = [5.0, 1.0, 0.0, 2.0, 3.0] if kind == "logits" else [0.2] * 5
    with pytest.raises(
        LogProbsError, match=r"utt1, frame 2: .* sum to .* instead of 1: take the log-softmax"
    ):
        LatticeDecoder(vocabulary).decode(batch([array[:2], array], vocabulary))


def test_every_floating_type_is_read_and_integers_are_refused() -> None:
    vocabulary = VOCABULARIES[0]
    random = np.random.default_rng(0)
    array = np.log(random.dirichlet(np.ones(5), size=(1, 6)))

    def of(values: Any) -> LogProbs:
        return LogProbs(values, torch.tensor([6]), 0.04, ("u",), vocabulary)

    (best,) = LatticeDecoder(vocabulary).decode(of(array.astype(np.float32)))
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        found = of(torch.from_numpy(array).to(dtype))
        assert found.log_probs.dtype == torch.float32
        assert LatticeDecoder(vocabulary).decode(found)[0].best.text == best.best.text
    for integers in (np.zeros((1, 6, 5), np.int64), torch.zeros(1, 6, 5, dtype=torch.uint8)):
        with pytest.raises(LogProbsError, match="must be floating-point numbers, found .*int"):
            of(integers)
    with pytest.raises(LogProbsError, match=r"\(utterances, frames, tokens\), found \(6, 5\)"):
        of(array[0])


def test_phone_log_probs_of_other_frames_are_refused() -> None:
    values = torch.full((2, 6, 5), -np.log(5.0))
    for shape in ((2, 7, 3), (1, 6, 3), (6, 3)):
        with pytest.raises(
            LogProbsError,
            match=r"phone log-probs have the shape .*, expected \(2 utterances, 6 frames, phones\)",
        ):
            LogProbs(
                values,
                torch.tensor([6, 5]),
                0.04,
                ("a", "b"),
                VOCABULARIES[0],
                phones=torch.zeros(shape),
            )
    whole = LogProbs(
        values, torch.tensor([6, 5]), 0.04, ("a", "b"), VOCABULARIES[0], torch.zeros(2, 6, 3)
    )
    assert whole.select([1]).phones is not None


def test_frame_without_probability_is_named() -> None:
    vocabulary = VOCABULARIES[0]
    array = np.full((6, 5), np.log(0.2), dtype=np.float32)
    log_probs = batch([array], vocabulary)
    log_probs.log_probs[0, 2] = -torch.inf
    with pytest.raises(LogProbsError, match="utterance utt0, frame 2: .* only -inf"):
        LatticeDecoder(vocabulary).decode(log_probs)
    log_probs.log_probs[0, 2, 3] = 0.0  # impossible tokens are fine
    assert 3 in LatticeDecoder(vocabulary).decode(log_probs)[0].best.token_ids


def test_other_vocabularies_are_refused(tokenizer: SentencePieceTokenizer) -> None:
    vocabulary = VOCABULARIES[0]
    log_probs = batch([np.full((6, 5), np.log(0.2), dtype=np.float32)], vocabulary)
    with pytest.raises(LogProbsError, match="another vocabulary"):
        LatticeDecoder(tokenizer.vocabulary).decode(log_probs)
    with pytest.raises(GraphError, match="compiled for another vocabulary"):
        LatticeDecoder(vocabulary).decode(log_probs, _graph(tokenizer, NAMES))
    with pytest.raises(GraphError, match="2 lists of names for 1 utterance:"):
        LatticeDecoder(vocabulary).decode(log_probs, [None, None])


def test_utterances_without_frames_are_told() -> None:
    vocabulary = VOCABULARIES[0]
    arrays = [np.zeros((0, vocabulary.size), np.float32), _dead_end()[0]]
    for order in (arrays, arrays[:1], arrays[::-1]):
        found = LatticeDecoder(vocabulary, EVERYTHING, CPU).decode(batch(order, vocabulary))
        empty = [transcript for transcript in found if not transcript.best.words]
        assert [one.warning for one in empty] == ["has no frames, so there is nothing to read"]


def test_pauses_that_are_the_separator_are_no_blank() -> None:
    tokens = ["<pad>", "|", *"abc"]
    said = np.full((200, len(tokens)), -9.0)
    said[:, 1] = 0.0
    said[::10, 1], said[::10, 3] = -9.0, 0.0
    said -= np.log(np.exp(said).sum(1, keepdims=True))
    vocabulary = Vocabulary.from_tokens(tokens)
    decoder = LatticeDecoder(vocabulary, DecodeConfig(), CPU)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        decoder.decode(batch([said.astype(np.float32)], vocabulary))


@pytest.mark.parametrize("silence", ["sil", "SIL", "<sil>", "sp", "pau"])
def test_silence_of_a_phone_model_is_no_blank(silence: str) -> None:
    """It may be best in most frames, and the blank in none: between phones that differ such a model
    needs none. A phone that is best in as many is told."""
    tokens = ["<blk>", *PHONES, silence]
    vocabulary = Vocabulary.from_tokens(tokens, boundary="none")

    def decode(most: int) -> None:
        said = np.full((200, len(tokens)), -9.0)
        said[:, most] = 0.0
        said[::3, most], said[::3, 5] = -9.0, 0.0
        said -= np.log(np.exp(said).sum(1, keepdims=True))
        decoder = LatticeDecoder(vocabulary, DecodeConfig(), CPU)
        decoder.decode(batch([said.astype(np.float32)], vocabulary))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        decode(len(PHONES) + 1)
    with pytest.warns(CtcbiasWarning, match="say which is the blank"):
        decode(1)


@pytest.mark.parametrize("column", [0, 1, 2])
def test_a_blank_that_is_none_is_told(column: int) -> None:
    tokens = ["<pad>", "|", *"abc"]
    said = np.full((200, len(tokens)), -9.0)
    said[::2, 0] = said[1::4, 1] = said[3::4, 3] = 0.0
    said -= np.log(np.exp(said).sum(1, keepdims=True))
    vocabulary = Vocabulary.from_tokens(tokens, blank=column, separator="|" if column - 1 else "c")
    decoder = LatticeDecoder(vocabulary, DecodeConfig(), CPU)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for few in (said[:30], said[:170], said):
            decoder.decode(batch([few.astype(np.float32)], vocabulary))
    told = [str(one.message) for one in caught]
    assert told == (
        []
        if column < 2
        else [
            "the blank, column 2 ('a'), is the best one in 0 of 200 frames, column 0 ('<pad>') in "
            "100: say which is the blank (--blank)"
        ]
    )

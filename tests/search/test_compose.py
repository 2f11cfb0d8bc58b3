"""Lattices with a language model: against brute force, and the laws."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import k2
import numpy as np
import pytest
import reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_lm import NAME, Names, Textbook, lm_score, words_of
from strategies import (
    EVERYTHING,
    VOCABULARIES,
    WIDE,
    batch,
    boost_configs,
    echoes,
    log_prob_arrays,
    path_lists,
    tree,
    vocabularies,
)

from ctcbias_fst.errors import LanguageModelError
from ctcbias_fst.graph.entity_tree import boost_graph
from ctcbias_fst.ngram.ngram_lm import LanguageModel, load_lm
from ctcbias_fst.ngram.tables import NgramTables
from ctcbias_fst.ngram.train import TrainLmConfig, train_lm
from ctcbias_fst.records import Mention, PieceContext, Word
from ctcbias_fst.search.compose import LmComposer
from ctcbias_fst.search.decode_config import DecodeConfig
from ctcbias_fst.search.lattice_decoder import LatticeDecoder
from ctcbias_fst.search.lm_config import LmConfig
from ctcbias_fst.search.search_config import BoostConfig
from ctcbias_fst.search.word_lexicon import Lexicon
from ctcbias_fst.text.entities import entities_from_names
from ctcbias_fst.text.entity import Entity
from ctcbias_fst.text.tokens import FewestPiecesTokenizer
from ctcbias_fst.text.vocabulary import Vocabulary

CPU = torch.device("cpu")
WORDS = ["a", "ab", "a's", "c", "cb", "s", "'s", "as", "e0", "e1", "abba"]
ALL = LmConfig(
    word_bonus=0.0,
    unknown_cost=0.0,
    letter_cost=0.0,
    class_cost=0.0,
    lattice_beam=1e8,
    beam=1e8,
    max_active=10**6,
)
"""No pruning, and nothing but the model's own say."""

lm_configs = st.builds(
    LmConfig,
    scale=st.sampled_from([0.0, 0.5, 1.0]),
    word_bonus=st.sampled_from([0.0, 0.7, -0.3]),
    unknown_cost=st.sampled_from([0.0, 1.0]),
    letter_cost=st.sampled_from([0.0, 0.25]),
    class_cost=st.sampled_from([0.0, 1.5]),
    lattice_beam=st.just(1e8),
    beam=st.just(1e8),
    max_active=st.just(10**6),
)


@st.composite
def models(draw: st.DrawFn, words: list[str]) -> LanguageModel:
    sentence = st.lists(st.sampled_from(words), min_size=1, max_size=4)
    text = draw(st.lists(sentence, min_size=2, max_size=6))
    config = TrainLmConfig(
        order=draw(st.integers(1, 4)),
        min_count=draw(st.sampled_from([1, 2])),
        prune=draw(st.sampled_from([0.0, 0.05])),
    )
    return train_lm([*text, ["a", "c"], ["a"], ["c"]], config)


@settings(max_examples=25)
@given(data=st.data())
def test_n_best_equals_brute_force(data: st.DataObject, device: torch.device) -> None:
    """Words with names, unknown words, back-off: all texts, their order and their scores."""
    vocabulary = data.draw(vocabularies)
    lm = data.draw(lm_configs)
    config = dataclasses.replace(EVERYTHING, boost=data.draw(boost_configs), lm=lm, nbest=12)
    boost_class = data.draw(st.booleans())
    model = data.draw(models(WORDS))
    arrays = [data.draw(log_prob_arrays(vocabulary.size, max_frames=4)) for _ in range(2)]
    paths = data.draw(path_lists(vocabulary))
    composer = LmComposer(model, vocabulary, device, boost_class=boost_class)
    graph = tree(paths, vocabulary)
    decoder = LatticeDecoder(vocabulary, config, device, composer)
    names = Names(
        {i: entity.name.split() for i, entity in enumerate(graph.entities)},
        {i: entity.prior for i, entity in enumerate(graph.entities)},
    )
    book = Textbook(model)
    with echoes():
        transcripts = decoder.decode(batch(arrays, vocabulary), graph)
    for array, transcript in zip(arrays, transcripts):
        readings = [
            dataclasses.replace(
                reading,
                score=reading.score
                + lm_score(words_of(reading, vocabulary), book, names, lm, boost_class),
            )
            for reading in reference.readings(array, paths, vocabulary, config)
        ]
        expected = reference.best_texts(readings, vocabulary)
        ranked = sorted(expected.values(), reverse=True)[: len(transcript.nbest)]
        assert [h.score for h in transcript.nbest] == pytest.approx(ranked, abs=1e-3)
        assert len(transcript.nbest) == min(12, len(expected))
        for hypothesis in transcript.nbest:
            assert expected[hypothesis.text.lower()] == pytest.approx(hypothesis.score, abs=1e-3)
        assert transcript.warning is None


@settings(max_examples=15)
@given(data=st.data())
def test_models_of_tokens_equal_brute_force(data: st.DataObject) -> None:
    """Each token is a word, whether it is part of a name or not; or a name is one word."""
    vocabulary = data.draw(vocabularies)
    tokens = [token for i, token in enumerate(vocabulary.tokens) if i]
    model = dataclasses.replace(data.draw(models([*tokens, "a", "c"])), unit="token")
    known = sum(symbol >= 0 for symbol in model.encode(vocabulary.tokens))
    if known * 2 < vocabulary.size:
        with pytest.raises(LanguageModelError, match="of the acoustic model's 5 tokens it knows"):
            LmComposer(model, vocabulary)
        return
    lm = dataclasses.replace(data.draw(lm_configs), letter_cost=0.0)
    boost_class = data.draw(st.booleans())
    config = dataclasses.replace(EVERYTHING, lm=lm)
    array = data.draw(log_prob_arrays(vocabulary.size, max_frames=4))
    paths = data.draw(path_lists(vocabulary))
    composer = LmComposer(model, vocabulary, boost_class=boost_class)
    decoder = LatticeDecoder(vocabulary, config, CPU, composer)
    (transcript,) = decoder.decode(batch([array], vocabulary), tree(paths, vocabulary))
    book = Textbook(model)
    names = Names({path.entity: ["e"] for path in paths}, {path.entity: 1.0 for path in paths})

    def share(reading: reference.Reading) -> float:
        words: list[object] = []
        free = False
        for item in reading.output:
            if isinstance(item, tuple):
                (path,) = (path for path in paths if path.entity == item[1])
                words += (
                    [(NAME, item[1])]
                    if boost_class
                    else [vocabulary.tokens[i] for i in path.tokens]
                )
                free = True
            else:
                free &= not vocabulary.ends_word[item]
                words += [] if free else [vocabulary.tokens[item]]
        return lm_score(words, book, names, lm, True)

    readings = reference.readings(array, paths, vocabulary, config)
    assert transcript.best.score == pytest.approx(
        max(reading.score + share(reading) for reading in readings), abs=1e-3
    )


@settings(max_examples=15)
@given(data=st.data())
def test_scores_are_those_of_the_plain_model(data: st.DataObject) -> None:
    """Without a list: the share is the model's log-prob of the words, nothing else."""
    vocabulary = Vocabulary.from_tokens(["<blk>", "▁a", "b", "'s", "▁c"])
    model = data.draw(models(WORDS))
    config = dataclasses.replace(EVERYTHING, lm=dataclasses.replace(ALL, scale=1.0), nbest=5)
    array = data.draw(log_prob_arrays(vocabulary.size, max_frames=5))
    decoder = LatticeDecoder(vocabulary, config, CPU, LmComposer(model, vocabulary))
    (transcript,) = decoder.decode(batch([array], vocabulary))
    plain = LatticeDecoder(vocabulary, EVERYTHING, CPU).decode(batch([array], vocabulary))
    assert transcript.best.score <= plain[0].best.score + 1e-4
    for hypothesis in transcript.nbest:
        words = hypothesis.text.split()
        assert hypothesis.lm == pytest.approx(model.score(words), abs=1e-4)
        assert hypothesis.boost == 0


def test_unsorted_tables_are_told() -> None:
    model = train_lm([["a", "b"], ["b", "a"]], TrainLmConfig(order=2, min_count=1))
    first, second = model.ngram.orders
    second = dataclasses.replace(second, context=second.context[::-1], symbol=second.symbol[::-1])
    ngram = dataclasses.replace(model.ngram, orders=(first, second))
    broken = dataclasses.replace(model, ngram=ngram, source="x.lm")
    with pytest.raises(LanguageModelError, match=r"x\.lm: its n-grams are not sorted"):
        NgramTables.of(broken, CPU)


def test_scores_are_kenlms() -> None:
    """Many sentences, forced through the search: the share is kenlm's score, to 1e-4."""
    here = Path(__file__).parents[1] / "ngram"
    model = load_lm(here / "kenlm.arpa.gz")
    golden = json.loads((here / "kenlm.json").read_text())
    letters = sorted({letter for sentence in golden for letter in sentence if letter != " "})
    vocabulary = Vocabulary.from_tokens(["<blk>", "|", *letters])
    tables, lexicon = NgramTables.of(model, CPU), Lexicon.of(model, vocabulary, CPU)
    for sentence, expected in golden.items():
        state, total = torch.tensor([tables.begin]), 0.0
        for symbol in lexicon.find(sentence.split()):
            state, score = tables.advance(state, torch.tensor([symbol]))
            total += float(score)
        total += float(tables.end(state))
        assert total / math.log(10) == pytest.approx(expected, abs=1e-4)
    config = DecodeConfig(
        token_beam=5.0, lm=dataclasses.replace(ALL, scale=1.0, beam=12.0, lattice_beam=12.0)
    )
    decoder = LatticeDecoder(vocabulary, config, CPU, LmComposer(model, vocabulary))
    arrays = [spelled(sentence, vocabulary) for sentence in golden]
    for sentence, transcript in zip(golden, decoder.decode(batch(arrays, vocabulary))):
        assert transcript.best.text == sentence
        assert transcript.best.lm / math.log(10) == pytest.approx(golden[sentence], abs=1e-4)


def spelled(sentence: str, vocabulary: Vocabulary) -> np.ndarray:
    """Log-probs that are sure of a sentence's letters."""
    tokens = [vocabulary.index["|" if letter == " " else letter] for letter in sentence]
    labels = [label for token in tokens for label in (token, 0)]
    probabilities = np.full((len(labels), vocabulary.size), 1e-12)
    probabilities[np.arange(len(labels)), labels] = 1
    return np.log(probabilities / probabilities.sum(1, keepdims=True)).astype(np.float32)


@settings(max_examples=15)
@given(data=st.data())
def test_limits_only_lose(data: st.DataObject) -> None:
    """With beams there is still a reading, of its true score, never a better one."""
    vocabulary = data.draw(vocabularies)
    lm = data.draw(lm_configs)
    narrow = dataclasses.replace(
        lm, beam=data.draw(st.sampled_from([0.01, 1.0])), max_active=data.draw(st.integers(1, 3))
    )
    composer = LmComposer(data.draw(models(WORDS)), vocabulary)
    log_probs = batch([data.draw(log_prob_arrays(vocabulary.size, max_frames=4))] * 2, vocabulary)
    graph = tree(data.draw(path_lists(vocabulary)), vocabulary)
    full, cut = (
        LatticeDecoder(vocabulary, dataclasses.replace(EVERYTHING, lm=one, nbest=50), CPU, composer)
        for one in (lm, narrow)
    )
    expected = {h.text: h.score for h in full.decode(log_probs, graph)[0].nbest}
    for transcript in cut.decode(log_probs, graph):
        if "greedy" in str(transcript.warning):  # the model has no say in that
            continue
        for hypothesis in transcript.nbest:
            assert hypothesis.score <= expected.get(hypothesis.text, math.inf) + 1e-4


def test_no_beam_cuts_a_path_in_two(device: torch.device) -> None:
    """A path at the edge of the beam, where rounding decides, is kept as a whole or not at all."""
    vocabulary = Vocabulary.from_tokens(["<blk>", "▁a", "▁c", "b", "s"])
    sentences = [["a", "c"], ["ab", "a", "c"], ["c", "as"], ["c"]]
    model = train_lm(sentences, TrainLmConfig(min_count=1))
    composer = LmComposer(model, vocabulary, device)
    random = np.random.default_rng(7)
    for _ in range(5):
        scores = torch.from_numpy(random.normal(size=(8, vocabulary.size)).astype(np.float32))
        log_probs = batch([scores.log_softmax(1).numpy()], vocabulary)
        config = dataclasses.replace(EVERYTHING, lm=ALL, nbest=40)
        nbest = (
            LatticeDecoder(vocabulary, config, device, composer).decode(log_probs, None)[0].nbest
        )
        for other in nbest[1:]:
            edge = dataclasses.replace(config, output_beam=nbest[0].score - other.score)
            lattice = LatticeDecoder(vocabulary, edge, device, composer).lattice(log_probs, None)
            assert k2.connect(lattice.fsa).num_arcs == lattice.fsa.num_arcs


def test_a_narrow_result_has_the_best_path(device: torch.device) -> None:
    """Readings that meet go on with the better one's score."""
    vocabulary = Vocabulary.from_tokens(["<blk>", "▁a", "▁c", "b", "s"])
    model = train_lm([["a", "c"], ["ab", "a", "c"], ["c"]], TrainLmConfig(min_count=1))
    composer = LmComposer(model, vocabulary, device)
    random = np.random.default_rng(3)
    arrays = [random.normal(0, 2, size=(8, vocabulary.size)) for _ in range(5)]
    log_probs = batch(
        [torch.from_numpy(one).float().log_softmax(1).numpy() for one in arrays], vocabulary
    )
    wide, narrow = (
        LatticeDecoder(
            vocabulary, dataclasses.replace(EVERYTHING, lm=ALL, output_beam=beam), device, composer
        ).decode(log_probs)
        for beam in (EVERYTHING.output_beam, 0.1)
    )
    for one, other in zip(wide, narrow):
        assert (other.best.text, other.warning) == (one.best.text, None)
        assert other.best.score == pytest.approx(one.best.score, abs=1e-3)


@settings(max_examples=15)
@given(data=st.data())
def test_a_model_without_a_say_changes_nothing(data: st.DataObject) -> None:
    vocabulary = data.draw(vocabularies)
    config = dataclasses.replace(
        EVERYTHING, boost=data.draw(boost_configs), lm=dataclasses.replace(ALL, scale=0.0)
    )
    composer = LmComposer(data.draw(models(WORDS)), vocabulary)
    log_probs = batch([data.draw(log_prob_arrays(vocabulary.size, max_frames=4))], vocabulary)
    graph = tree(data.draw(path_lists(vocabulary)), vocabulary)
    (with_lm,) = LatticeDecoder(vocabulary, config, CPU, composer).decode(log_probs, graph)
    (without,) = LatticeDecoder(vocabulary, config, CPU).decode(log_probs, graph)
    assert with_lm.best.score == pytest.approx(without.best.score, abs=1e-4)
    assert with_lm.best.boost == pytest.approx(without.best.boost, abs=1e-4)
    assert with_lm.best.lm == 0


@pytest.mark.parametrize("boost_class", [False, True])
@pytest.mark.parametrize("name", ["c", "c a", "c a c"])
def test_every_word_of_a_name_has_its_bonus(name: str, boost_class: bool) -> None:
    """A name of several words counts as several, one word of the class BOOST or not."""
    vocabulary = VOCABULARIES[0]
    lm = dataclasses.replace(ALL, scale=0.0, word_bonus=1.5)
    boost = BoostConfig(beta=0.3, bonus=0.5)
    config = dataclasses.replace(EVERYTHING, boost=boost, lm=lm, nbest=8)
    graph = boost_graph(entities_from_names([name]), FewestPiecesTokenizer(vocabulary))
    model = train_lm([["a", "c", "ab"], ["a's", "c"], ["c", "cb"]] * 2)
    composer = LmComposer(model, vocabulary, boost_class=boost_class)
    spoken = np.full((5, vocabulary.size), 0.02)
    spoken[range(5), [4, 0, 1, 0, 4]] = 0.92
    log_probs = batch([np.log(spoken).astype(np.float32)], vocabulary)
    (transcript,) = LatticeDecoder(vocabulary, config, CPU, composer).decode(log_probs, graph)
    (plain,) = LatticeDecoder(vocabulary, config, CPU).decode(log_probs, graph)
    boosts = {one.text: one.boost for one in plain.nbest}
    assert any(word.entity for one in transcript.nbest for word in one.words)
    for hypothesis in transcript.nbest:
        boost = boosts.get(hypothesis.text, hypothesis.boost)
        assert hypothesis.boost == pytest.approx(boost, abs=1e-3)
        assert hypothesis.lm == pytest.approx(1.5 * len(hypothesis.text.split()), abs=1e-3)


def test_the_model_chooses_among_more_than_the_result_keeps() -> None:
    vocabulary = Vocabulary.from_tokens(["<blk>", "▁a", "▁b"])
    model = train_lm([["b"]] * 50 + [["b", "a"]], TrainLmConfig(min_count=1))
    log_probs = batch([np.log(np.array([[1e-4, 0.9899, 0.01]], dtype=np.float32))], vocabulary)
    texts = []
    for scale, lattice_beam, output_beam in (
        (3, 6, 2),
        (3, 6, 60),
        (3, 3, 2),
        (0, 6, 3),
        (0, 6, 5),
    ):
        lm = dataclasses.replace(ALL, scale=float(scale), lattice_beam=lattice_beam)
        config = DecodeConfig(token_beam=9.0, output_beam=output_beam, lm=lm, nbest=9)
        decoder = LatticeDecoder(vocabulary, config, CPU, LmComposer(model, vocabulary))
        (transcript,) = decoder.decode(log_probs)
        texts.append([one.text for one in transcript.nbest])
    assert texts == [["b"], ["b", "a"], ["a"], ["a"], ["a", "b"]]


def test_a_prior_makes_a_name_likelier() -> None:
    vocabulary = Vocabulary.from_tokens(["<blk>", "▁a", "▁b"])
    model = train_lm([["c"], ["c"], ["x"]])
    entities = entities_from_names([{"name": "a", "prior": 0.01}, {"name": "b"}])
    tokenizer = FewestPiecesTokenizer(vocabulary)
    log_probs = batch([np.log(np.array([[1e-4, 0.51, 0.4899]], dtype=np.float32))], vocabulary)
    lm = dataclasses.replace(ALL, scale=1.0, unknown_cost=5.0)
    config = dataclasses.replace(EVERYTHING, lm=lm, boost=BoostConfig(bonus=0.0))
    decoder = LatticeDecoder(vocabulary, config, CPU, LmComposer(model, vocabulary))
    (transcript,) = decoder.decode(log_probs, boost_graph(entities, tokenizer))
    assert [(word.word, word.entity) for word in transcript.best.words] == [("b", True)]


def test_words_in_the_case_of_the_tokens() -> None:
    model = train_lm([["THE", "The", "the", "Cat", "CAT"]] * 2)
    upper = Vocabulary.from_tokens(["<blk>", "|", *"ACEHT"])
    lower = Vocabulary.from_tokens(["<blk>", "|", *"aceht"])
    both = Vocabulary.from_tokens(["<blk>", "|", *"aceht", *"ACEHT"])
    symbols = [
        Lexicon.of(model, vocabulary, CPU).find([word])[0]
        for vocabulary, word in ((upper, "CAT"), (lower, "cat"), (both, "cat"), (both, "Cat"))
    ]
    assert symbols[2] == -1
    assert symbols[3] == model.index["Cat"]
    assert {symbols[0], symbols[1]} <= {model.index["Cat"], model.index["CAT"]}


@pytest.mark.parametrize("often", ["Cat", "CAT"])
def test_of_words_in_one_case_the_most_probable_stays(often: str) -> None:
    model = train_lm([["Cat", "CAT", often]] * 2)
    upper = Vocabulary.from_tokens(["<blk>", "|", *"ACT"])
    assert Lexicon.of(model, upper, CPU).find(["CAT"]) == [model.index[often]]


def test_a_model_without_words() -> None:
    model = train_lm([["a"], ["b"]], TrainLmConfig(min_count=2))
    with pytest.raises(LanguageModelError, match="knows no words"):
        LmComposer(model, Vocabulary.from_tokens(["<blk>", "|", "a"]))


@pytest.mark.parametrize("wrong", [{"scale": -1.0}, {"beam": 0.0}, {"max_active": 0}])
def test_impossible_settings(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="found"):
        LmConfig(**wrong)  # type: ignore[arg-type]


@given(data=st.data())
def test_a_piece_is_scored_in_its_context(data: st.DataObject) -> None:
    """The shares of a model in the pieces of a reading are together its share in the whole."""
    vocabulary = WIDE
    composer = LmComposer(data.draw(models(["abc", "abcb", "cd", "e"])), vocabulary, CPU)
    config = data.draw(lm_configs)
    said = data.draw(st.lists(st.sampled_from([(1,), (1, 2), (3,), (4,), (4, 2)]), max_size=6))
    cut = data.draw(st.integers(0, len(said)))
    before, after = said[:cut], said[cut:]
    texts = ["".join(vocabulary.surfaces[token] for token in tokens) for tokens in before]
    words = tuple([Word(text, 0.0, 0.0, 1.0) for text in texts])

    def share(part: list[tuple[int, ...]], context: PieceContext | None) -> float:
        return float(composer.share([[t for one in part for t in one]], config, [context]))

    pieces = share(before, PieceContext(goes_on=True)) + share(after, PieceContext(words))
    assert pieces == pytest.approx(share(said, None), abs=1e-5)


@settings(max_examples=30)
@given(data=st.data())
def test_composing_a_piece_gives_the_share_of_its_context(data: st.DataObject) -> None:
    vocabulary = WIDE
    composer = LmComposer(data.draw(models(["abc", "abcb", "cd", "e"])), vocabulary, CPU)
    config = dataclasses.replace(EVERYTHING, lm=data.draw(lm_configs))
    decoder = LatticeDecoder(vocabulary, config, CPU, composer)
    arrays = [data.draw(log_prob_arrays(vocabulary.size, max_frames=5)) for _ in range(3)]
    words = st.lists(st.sampled_from(["abc", "cd", "e", "unknown"]), max_size=4)
    contexts: list[PieceContext | None] = [
        PieceContext(
            tuple([Word(text, 0.0, 0.0, 1.0) for text in data.draw(words)]),
            data.draw(st.booleans()),
        )
        for _ in arrays[1:]
    ]
    contexts.append(None)
    log_probs = dataclasses.replace(batch(arrays, vocabulary), context=tuple(contexts))
    for transcript, context in zip(decoder.decode(log_probs), contexts):
        share = composer.share([list(transcript.best.token_ids)], config.lm, [context])
        assert transcript.best.lm == pytest.approx(float(share), abs=1e-4)


def test_names_in_a_context_are_of_the_class() -> None:
    model = train_lm([["a", "c"], ["a"], ["c", "c"]], TrainLmConfig(order=3))
    composer = LmComposer(model, VOCABULARIES[0], CPU)
    name = Mention(Entity("a", "A"), "boost")
    as_words = dataclasses.replace(name, found_by="text")
    begins = []
    for mentions in ((), (name,), (as_words,)):
        word = Word("A" if mentions else "a", 0.0, 0.0, 1.0, bool(mentions), mentions=mentions)
        share = composer.share([[4]], ALL, [PieceContext((word,))])
        begins.append(float(share))
    plain, named, read = begins
    assert plain == pytest.approx(read)
    assert abs(plain - named) > 0.01

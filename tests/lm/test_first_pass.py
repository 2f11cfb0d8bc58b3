"""The language model in the first pass: against the other way, brute force, and the laws."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import k2
import numpy as np
import pytest
import reference
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from lm.test_compose import ALL, WORDS, lm_configs, models
from reference_lm import FirstPassBook, Names, Textbook
from strategies import (
    EVERYTHING,
    VOCABULARIES,
    Unchecked,
    batch,
    boost_configs,
    decode_configs,
    log_prob_arrays,
    path_lists,
    tree,
    vocabularies,
)

from ctcbias_fst.cache import VARIABLE
from ctcbias_fst.decode.config import DecodeConfig
from ctcbias_fst.decode.decoder import Decoder
from ctcbias_fst.errors import ConfigError
from ctcbias_fst.fst import vectors as vectors_module
from ctcbias_fst.fst.boost import BoostGraph, boost_graph
from ctcbias_fst.lm import attach as attach_module
from ctcbias_fst.lm import first_pass as first_pass_module
from ctcbias_fst.lm import static_graph as static_graph_module
from ctcbias_fst.lm.compose import LmComposer
from ctcbias_fst.lm.config import FirstPassConfig
from ctcbias_fst.lm.model import LanguageModel
from ctcbias_fst.lm.ngram import Order
from ctcbias_fst.lm.static_graph import StaticGraph, compile_static, made_of
from ctcbias_fst.lm.train import train_lm
from ctcbias_fst.search.config import BoostConfig
from ctcbias_fst.search.intersect import search
from ctcbias_fst.text.entities import entities_from_names
from ctcbias_fst.text.tokens import FewestPiecesTokenizer
from ctcbias_fst.text.vocabulary import Vocabulary, WordBoundary

OFF = FirstPassConfig()
LISTS = (("ab", "c"), ("cab", "a's"), ("c", "cab", "bab", "ab ab ab"))
SCALES = ("scale", "word_bonus", "unknown_cost", "letter_cost", "class_cost")
CPU = torch.device("cpu")
with_cache = settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def wide() -> FirstPassConfig:
    """No pruning."""
    return FirstPassConfig(on=True, order=3, search_beam=1e8, max_active=10**6, lattice_beam=1e8)


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


def decoders(
    vocabulary: Vocabulary, config: DecodeConfig, composer: LmComposer, first: FirstPassConfig
) -> tuple[Decoder, Decoder]:
    """With the model in the first pass, and without."""
    here = dataclasses.replace(config.lm, first_pass=first)
    return (
        Decoder(vocabulary, dataclasses.replace(config, lm=here), CPU, composer),
        Decoder(vocabulary, config, CPU, composer),
    )


@with_cache
@given(data=st.data())
def test_models_of_tokens(data: st.DataObject, wide: FirstPassConfig) -> None:
    vocabulary = data.draw(st.sampled_from(VOCABULARIES[:2]))
    tokens = [token for i, token in enumerate(vocabulary.tokens) if i]
    text = [*tokens, "x"] if data.draw(st.booleans()) else tokens[1:] * 2
    model = dataclasses.replace(data.draw(models(text)), unit="token")
    known = sum(symbol >= 0 for symbol in model.encode(vocabulary.tokens))
    assume(known * 2 >= vocabulary.size)
    composer = LmComposer(model, vocabulary, boost_class=data.draw(st.booleans()))
    composer = composer.with_tokenizer(FewestPiecesTokenizer(vocabulary))
    config = dataclasses.replace(EVERYTHING, lm=data.draw(lm_configs), nbest=8)
    log_probs = batch([data.draw(log_prob_arrays(vocabulary.size))], vocabulary)
    graph = tree(data.draw(path_lists(vocabulary)), vocabulary)
    (ours,), (theirs,) = (
        decoder.decode(log_probs, graph) for decoder in decoders(vocabulary, config, composer, wide)
    )
    assert [h.score for h in ours.nbest] == pytest.approx([h.score for h in theirs.nbest], abs=1e-3)


@with_cache
@given(data=st.data())
def test_limits_only_lose(data: st.DataObject) -> None:
    """With beams there is still a reading, of its true score, never a better one."""
    vocabulary = data.draw(vocabularies)
    narrow = FirstPassConfig(
        on=True,
        scale=data.draw(st.sampled_from([0.0, 1.0, 3.0])),
        search_beam=data.draw(st.sampled_from([1.0, 5.0])),
        max_active=data.draw(st.sampled_from([5, 100])),
        max_histories=data.draw(st.integers(0, 3)),
        lattice_beam=data.draw(st.sampled_from([0.01, 2.0])),
    )
    composer = LmComposer(data.draw(models(WORDS)), vocabulary)
    composer = composer.with_tokenizer(FewestPiecesTokenizer(vocabulary))
    config = Unchecked(**{**vars(EVERYTHING), "lm": data.draw(lm_configs), "nbest": 200})
    log_probs = batch([data.draw(log_prob_arrays(vocabulary.size, max_frames=4))], vocabulary)
    graph = tree(data.draw(path_lists(vocabulary)), vocabulary)
    (cut,), (full,) = (
        decoder.decode(log_probs, graph)
        for decoder in decoders(vocabulary, config, composer, narrow)
    )
    expected = {h.text.lower(): h.score for h in full.nbest}
    for hypothesis in cut.nbest:
        assert hypothesis.score <= expected.get(hypothesis.text.lower(), math.inf) + 1e-3


class Bench:
    """A decoder with a small model, and what it is made of."""

    def __init__(self, first: FirstPassConfig) -> None:
        self.vocabulary = VOCABULARIES[0]
        self.tokenizer = FewestPiecesTokenizer(self.vocabulary)
        self.model = train_lm([["a", "c", "ab"], ["a's", "c"], ["c", "cb"]] * 2)
        self.composer = LmComposer(self.model, self.vocabulary).with_tokenizer(self.tokenizer)
        lm = dataclasses.replace(ALL, scale=1.0, first_pass=first)
        boost = BoostConfig(bonus=4.0)
        config = dataclasses.replace(EVERYTHING, boost=boost, lm=lm, nbest=3)
        self.decoder = Decoder(self.vocabulary, config, CPU, self.composer)
        random = np.random.default_rng(3)
        arrays = [np.log(random.dirichlet(np.ones(5), size=n)) for n in (6, 3, 9)]
        self.log_probs = batch([array.astype(np.float32) for array in arrays], self.vocabulary)

    def graph(self, *names: str) -> BoostGraph:
        return boost_graph(entities_from_names(names), self.tokenizer)

    def scores(self, graph: BoostGraph | None) -> list[float]:
        found = self.decoder.decode(self.log_probs, graph)
        return [h.score for transcript in found for h in transcript.nbest]


def test_lists_leave_the_static_part_alone(
    wide: FirstPassConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was attached before; and if there is no room, more is made."""
    fresh = {names: Bench(wide).scores(Bench(wide).graph(*names)) for names in LISTS}
    plain = Bench(wide).scores(None)
    monkeypatch.setattr(attach_module, "_ROOM", (1, 1))
    bench = Bench(wide)
    assert bench.scores(None) == pytest.approx(plain)
    workspace = bench.composer.first_pass(wide)._workspace
    assert workspace is not None
    count = len(bench.composer.first_pass(wide).static.arcs)
    before = workspace.fsa.arcs.values()[:count].clone()
    ended = before[:, 2] < 0
    for names in (*LISTS, *LISTS):
        assert bench.scores(bench.graph(*names)) == pytest.approx(fresh[names])
        after = workspace.fsa.arcs.values()[:count]
        assert torch.equal(after[~ended], before[~ended])
        assert torch.equal(after[ended][:, [0, 2, 3]], before[ended][:, [0, 2, 3]])
        assert "ArcSorted" in k2.Fsa(workspace.fsa.arcs).properties_str
    assert bench.scores(None) == pytest.approx(plain)
    assert fresh[LISTS[0]] != pytest.approx(plain)


def test_other_settings_take_effect(wide: FirstPassConfig) -> None:
    bench = Bench(wide)
    graph = bench.graph("cab")
    for scale, bonus in ((1.0, 0.0), (0.3, 0.0), (0.3, 4.0)):
        lm = dataclasses.replace(bench.decoder.config.lm, scale=scale)
        boost = BoostConfig(bonus=bonus)
        config = dataclasses.replace(bench.decoder.config, lm=lm, boost=boost)
        bench.decoder = Decoder(bench.vocabulary, config, CPU, bench.composer)
        without = dataclasses.replace(config, lm=dataclasses.replace(lm, first_pass=OFF))
        other = Decoder(bench.vocabulary, without, CPU, bench.composer)
        expected = other.decode(bench.log_probs, graph)
        found = bench.decoder.decode(bench.log_probs, graph)
        assert [t.best.score for t in found] == pytest.approx(
            [t.best.score for t in expected], abs=1e-3
        )


def test_compiled_graphs_are_kept(
    wide: FirstPassConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    expected = Bench(wide).scores(None)
    (path,) = tmp_path.glob("*.safetensors")
    size = path.stat().st_size
    with monkeypatch.context() as patch:
        patch.setattr(static_graph_module, "compile_static", None)  # it must not be needed
        assert Bench(wide).scores(None) == expected
    path.write_bytes(path.read_bytes()[: size // 2])
    assert Bench(wide).scores(None) == expected
    assert "made anew" in caplog.text
    assert path.stat().st_size == size

    with pytest.raises(ValueError, match="do not fit together"):
        StaticGraph.from_arrays(
            {
                **compile_static(Bench(wide).model, Bench(wide).tokenizer, wide).to_arrays(),
                "kind": np.zeros(1, dtype=np.uint8),
            }
        )


def test_what_a_graph_is_made_of(wide: FirstPassConfig) -> None:
    bench = Bench(wide)
    one = made_of(bench.model, bench.tokenizer, wide)
    other = train_lm([["a", "c", "ab"], ["a's", "c"], ["c", "cb"]] * 3)
    assert made_of(bench.model, bench.tokenizer, dataclasses.replace(wide, scale=3.0)) == one
    for different in (
        made_of(other, bench.tokenizer, wide),
        made_of(bench.model, FewestPiecesTokenizer(VOCABULARIES[1]), wide),
        made_of(bench.model, bench.tokenizer, dataclasses.replace(wide, order=1)),
        made_of(bench.model, bench.tokenizer, dataclasses.replace(wide, max_histories=1)),
    ):
        assert different != one


class Odd(FewestPiecesTokenizer):
    """Cuts one word into single letters."""

    odd = ""

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        return [
            [self._pieces[letter] for letter in text] if text == self.odd else found
            for text, found in zip(texts, super().encode_batch(texts))
        ]


def test_any_word_that_is_cut_otherwise_makes_another_graph(wide: FirstPassConfig) -> None:
    letters = "abcdefghij"
    vocabulary = Vocabulary.from_tokens(["<blk>", "|", *letters, "ab", "cd"])
    words = ["".join(w) for w in itertools.product(letters, repeat=3)]
    tokenizer = Odd(vocabulary)
    model = train_lm([words[i : i + 4] for i in range(0, len(words), 4)] * 2)
    assert len(model.ngram.symbols) == 1000
    one = made_of(model, tokenizer, wide)
    assert made_of(model, FewestPiecesTokenizer(vocabulary), wide) == one
    for word in words:
        if "ab" in word or "cd" in word:
            tokenizer.odd = word
            assert made_of(model, tokenizer, wide) != one


def test_any_field_that_changes_a_graph_changes_what_it_is_made_of(wide: FirstPassConfig) -> None:
    """Of the model's tables, the vocabulary and the settings: all fields there are."""
    bench = Bench(dataclasses.replace(wide, max_histories=4))
    first = bench.decoder.config.lm.first_pass
    model, ngram = bench.model, bench.model.ngram

    def changed(at: int, name: str) -> LanguageModel:
        """The model with one value of one table changed."""
        orders = list(ngram.orders)
        array = getattr(orders[at], name).copy()
        array[-1] = array[-1] - 1 if array[-1] else array[-1] + 1
        orders[at] = dataclasses.replace(orders[at], **{name: array})
        return dataclasses.replace(model, ngram=dataclasses.replace(ngram, orders=tuple(orders)))

    def key(model: LanguageModel, vocabulary: Vocabulary, config: FirstPassConfig) -> str:
        return json.dumps(made_of(model, FewestPiecesTokenizer(vocabulary), config))

    one = key(model, bench.vocabulary, first)
    for at in range(len(ngram.orders)):
        for field in dataclasses.fields(Order):
            same = field.name == "count"  # of the training
            assert (key(changed(at, field.name), bench.vocabulary, first) == one) is same
    renamed = dataclasses.replace(ngram, symbols=(*ngram.symbols[:-1], "cab"))
    assert key(dataclasses.replace(model, ngram=renamed), bench.vocabulary, first) != one
    assert key(dataclasses.replace(model, unit="token"), bench.vocabulary, first) != one

    others: dict[str, Any] = {
        "tokens": ("<blk>", "\u2581a", "b", "'s", "\u2581d"),
        "blank_id": 2,
        "boundary": WordBoundary.CONTINUATION,
        "unk_id": 4,
        "separator": "\u2581c",
    }
    assert others.keys() == {field.name for field in dataclasses.fields(Vocabulary)}
    for name, value in others.items():
        more = {"boundary": WordBoundary.SEPARATOR} if name == "separator" else {}
        other = dataclasses.replace(bench.vocabulary, **{name: value}, **more)
        base = dataclasses.replace(bench.vocabulary, separator="b", **more) if more else None
        beside = one if base is None else key(model, base, first)
        assert key(model, other, first) != beside

    structure = {"order": 2, "max_histories": 3}
    for field in dataclasses.fields(FirstPassConfig):
        value = structure.get(field.name, 0.5 if isinstance(field.default, float) else 1)
        other = dataclasses.replace(first, **{field.name: value})
        assert (key(model, bench.vocabulary, other) != one) is (field.name in structure)


@pytest.mark.parametrize("boost_class", [False, True])
@pytest.mark.parametrize("name", ["c", "c a", "c a c"])
def test_every_word_of_a_name_has_its_bonus_in_the_first_pass(
    wide: FirstPassConfig, name: str, boost_class: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or else long names are pruned: the search's own scores, not what is left of them later."""
    bench = Bench(wide)
    composer = LmComposer(bench.model, bench.vocabulary, boost_class=boost_class)
    composer = composer.with_tokenizer(bench.tokenizer)
    tokens = bench.tokenizer.encode(name)
    spoken = np.full((2 * len(tokens), bench.vocabulary.size), 1e-4)
    spoken[range(0, len(spoken), 2), tokens] = 1.0
    spoken[1::2, 0] = 1.0
    log_probs = batch([np.log(spoken).astype(np.float32)], bench.vocabulary)
    totals = []

    def noted(*arguments: Any, **options: Any) -> k2.Fsa:
        fsa = search(*arguments, **options)
        totals.append(float(fsa.get_tot_scores(use_double_scores=True, log_semiring=False)[0]))
        return fsa

    monkeypatch.setattr(first_pass_module, "search", noted)
    for bonus in (0.0, 2.0):
        lm = dataclasses.replace(ALL, scale=0.0, word_bonus=bonus, first_pass=wide)
        boost = BoostConfig(bonus=50.0, max_reward=50.0)
        config = dataclasses.replace(EVERYTHING, lm=lm, boost=boost)
        decoder = Decoder(bench.vocabulary, config, CPU, composer)
        (transcript,) = decoder.decode(log_probs, bench.graph(name))
        assert all(word.entity for word in transcript.best.words)
    assert totals[1] - totals[0] == pytest.approx(2.0 * len(name.split()), abs=1e-3)


def test_keys_that_do_not_fit_change_nothing(
    wide: FirstPassConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers of states and labels share a key of 64 bits; where they would not, there are two."""
    bench = Bench(wide)
    graph = bench.graph("cab", "c a")
    right = compile_static(bench.model, bench.tokenizer, wide)
    lists, plain = bench.scores(graph), bench.scores(None)
    distinct = torch.tensor([3, 1, 3, 0]), torch.tensor([1, 2, 1, 0])
    monkeypatch.setattr(static_graph_module, "_LARGEST_KEY", 0)
    monkeypatch.setattr(vectors_module, "_LARGEST_KEY", 0)
    monkeypatch.setattr(attach_module, "_LARGEST_KEY", 200)
    found = attach_module._distinct(*distinct, (1 << 40, 3))
    assert [part.tolist() for part in found] == [[0, 1, 3], [0, 2, 1]]
    other = Bench(wide)
    made = compile_static(other.model, other.tokenizer, wide)
    for name, array in right.to_arrays().items():
        np.testing.assert_array_equal(array, made.to_arrays()[name])
    monkeypatch.setattr(attach_module, "_LARGEST_KEY", 1 << 30)
    assert other.scores(graph) == lists
    assert other.scores(None) == plain
    without = dataclasses.replace(
        bench.decoder.config, lm=dataclasses.replace(bench.decoder.config.lm, first_pass=OFF)
    )
    two_keys = Decoder(bench.vocabulary, without, CPU).decode(bench.log_probs, graph)
    monkeypatch.setattr(vectors_module, "_LARGEST_KEY", 1 << 62)
    assert Decoder(bench.vocabulary, without, CPU).decode(bench.log_probs, graph) == two_keys


def test_what_cannot_be(wide: FirstPassConfig) -> None:
    bench = Bench(wide)
    composer = LmComposer(bench.model, bench.vocabulary)
    with pytest.raises(ConfigError, match="needs the tokenizer"):
        composer.first_pass(wide)
    separated = FewestPiecesTokenizer(VOCABULARIES[2])
    model = dataclasses.replace(train_lm([["|", "a", "'", "s"]] * 2), unit="token")
    with pytest.raises(ConfigError, match="by separators"):
        compile_static(model, separated, wide)
    for wrong in ({"scale": -1.0}, {"order": 0}, {"search_beam": 0.0}, {"max_histories": -1}):
        with pytest.raises(ValueError, match="found"):
            FirstPassConfig(**wrong)  # type: ignore[arg-type]


def test_an_utterance_that_is_lost_is_searched_the_other_way(wide: FirstPassConfig) -> None:
    """All that the first pass keeps are equal tokens without a blank between."""
    bench = Bench(dataclasses.replace(wide, lattice_beam=0.01))
    lm = dataclasses.replace(bench.decoder.config.lm, scale=0.0, word_bonus=3.0)
    config = dataclasses.replace(bench.decoder.config, lm=lm, nbest=2)
    array = np.log(np.array([[0.01, 0.96, 0.01, 0.01, 0.01]] * 2, dtype=np.float32))
    decoder = Decoder(bench.vocabulary, config, CPU, bench.composer)
    (transcript,) = decoder.decode(batch([array], bench.vocabulary))
    assert transcript.best.text == "a"
    assert "repeated" in str(transcript.warning)

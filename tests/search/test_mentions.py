"""What came out of the list, where, and why; and that scores are the sums of their shares."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path as File
from typing import Any

import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st
from reference import Path
from strategies import (
    VOCABULARIES,
    batch,
    decode_configs,
    echoes,
    encoded,
    log_prob_arrays,
    path_lists,
    vocabularies,
)

from ctcbias_fst.decoder import Decoder
from ctcbias_fst.graph.entity_tree import build_tree
from ctcbias_fst.ngram.ngram_lm import save_lm
from ctcbias_fst.ngram.train import train_lm
from ctcbias_fst.recognizer import Recognizer
from ctcbias_fst.records import Hypothesis, Transcript, Word
from ctcbias_fst.search.compose import LmComposer
from ctcbias_fst.search.decode_config import DecodeConfig
from ctcbias_fst.search.evidence import EvidenceConfig, leave_out_unheard
from ctcbias_fst.search.lattice_decoder import LatticeDecoder
from ctcbias_fst.search.lm_config import LmConfig
from ctcbias_fst.search.search_config import BoostConfig
from ctcbias_fst.search.segments import Segment, join_segments
from ctcbias_fst.search.spelling import Spellings, spell_names
from ctcbias_fst.search.times import TimesConfig, place_words
from ctcbias_fst.text.entity import Entity
from tests.test_decoder import FRAME, TOKENS, said

MODEL = train_lm([["a", "ab", "c"], ["a", "c"], ["ab"], ["c", "as"]])
LOSSLESS = LmConfig(lattice_beam=1e8, beam=1e8, max_active=10**6)
MODELS = {"none": None, "composed": LOSSLESS}


def consistent(hypothesis: Hypothesis) -> bool:
    """The shares add up, and the names' boosts to theirs; a name's words know what they are."""
    assert list(hypothesis.shares) == ["acoustic", "boost", "lm", "phone"]
    assert sum(hypothesis.shares.values()) == pytest.approx(hypothesis.score, abs=1e-9)
    assert [bool(word.mentions) for word in hypothesis.words] == [
        word.entity for word in hypothesis.words
    ]
    for mention, (begin, end), start, stop in hypothesis.mentions:
        words = hypothesis.words[begin:end]
        assert (words[0].start, words[-1].end) == (start, stop)
        written = " ".join(word.word for word in words)
        assert mention.entity.display in written
        assert all(any(one is mention for one in word.mentions) for word in words)
        assert (mention.boost == 0) or mention.found_by == "boost"
        assert (mention.lookup is None) != (mention.found_by == "lookup")
    return True


def boosts(hypothesis: Hypothesis) -> float:
    return sum(span.mention.boost for span in hypothesis.mentions)


@given(data=st.data())
def test_shares_are_what_they_say(data: st.DataObject) -> None:
    """What is left for the model is the log-prob of an alignment of the tokens, found by brute
    force; what was given for names is what each of them was given."""
    vocabulary = data.draw(vocabularies)
    array = data.draw(log_prob_arrays(vocabulary.size, max_frames=4))
    paths = data.draw(path_lists(vocabulary))
    entities = tuple(
        Entity(f"e{i}", data.draw(st.sampled_from([f"E{i}", f"Ee E{i}"])), line=i + 1)
        for i in range(len(paths))
    )
    graph = build_tree(encoded(paths), entities, vocabulary)
    model = MODELS[data.draw(st.sampled_from(sorted(MODELS)))]
    composer = None
    config = dataclasses.replace(data.draw(decode_configs), nbest=3)
    if model is not None:
        composer = LmComposer(MODEL, vocabulary)
        config = dataclasses.replace(config, lm=model)
    decoder = LatticeDecoder(vocabulary, config, lm=composer)
    with echoes():  # what an echo takes away was given all the same
        (transcript,) = decoder.decode(batch([array], vocabulary), graph)
    alignments: dict[tuple[int, ...], list[float]] = {}
    for labels in itertools.product(range(vocabulary.size), repeat=len(array)):
        score = float(sum(array[frame, label] for frame, label in enumerate(labels)))
        alignments.setdefault(reference.collapse(labels), []).append(score)
    for hypothesis in transcript.nbest:
        assert consistent(hypothesis)
        acoustic = hypothesis.shares["acoustic"]
        same = alignments[hypothesis.token_ids]
        assert any(acoustic == pytest.approx(score, abs=1e-4) for score in same)
        assert boosts(hypothesis) == pytest.approx(hypothesis.boost, abs=1e-6)
        assert {span.mention.entity for span in hypothesis.mentions} <= {*entities}
        assert (hypothesis.lm == 0.0) or model is not None


def test_the_same_name_twice_in_a_row_is_two() -> None:
    tokens = VOCABULARIES[0].tokens
    array = np.full((7, len(tokens)), 0.0025, dtype=np.float32)
    for frame, token in enumerate([1, 2, 0, 1, 2, 0, 4]):
        array[frame, token] = 0.99
    graph = build_tree(encoded([Path((1, 2), 0)]), (Entity("ab", "A B", line=4),), VOCABULARIES[0])
    boost = BoostConfig(alpha=0.9, free=0.0, beta=0.2, bonus=0.0)
    decoder = LatticeDecoder(VOCABULARIES[0], DecodeConfig(boost=boost))
    (found,) = decoder.decode(batch([np.log(array)], VOCABULARIES[0]), graph)
    assert found.best.text == "A B A B c"
    first, second = found.best.mentions
    assert (first.words, second.words) == ((0, 2), (2, 4))
    assert first.mention == second.mention and first.mention is not second.mention
    assert first.mention.entity.line == 4
    assert (first.mention.found_by, first.mention.heard) == ("boost", None)
    assert first.end <= second.start


KESHA = {"name": "Kesha Smith", "category": "person", "weight": 1.5}


@pytest.mark.parametrize(
    ("entry", "text", "heard"),
    [
        (KESHA, "tell kesha smith", None),
        ({**KESHA, "sounds_like": ["kisha smith"]}, "tell kisha smith", "kisha smith"),
        ({**KESHA, "display": "K. Smith"}, "tell kesha smith", None),
        ({**KESHA, "name": "Kesha-Smith"}, "tell kesha smith", None),
    ],
)
def test_an_entry_is_known_by_all_that_the_list_says(
    entry: dict[str, Any], text: str, heard: str | None
) -> None:
    decoder = Decoder.from_tokens(TOKENS, frame_seconds=FRAME)
    (found,) = decoder.decode(said(text), entities=["Hugo", entry])
    (span,) = found.best.mentions
    mention = span.mention
    assert (mention.entity.category, mention.entity.weight) == ("person", 1.5)
    assert (mention.entity.line, mention.found_by, mention.heard) == (2, "boost", heard)
    assert mention.boost == found.best.boost > 0
    assert (span.start, span.end) == (found.best.words[1].start, found.best.words[-1].end)
    assert found.best.words[0].mention is None
    assert found.best.words[1].mention is mention


LISTED = (
    Entity("smith", "Smith", category="person", line=1),
    Entity("iphone", "iPhone", line=2),
    Entity("keisha smith", "KeIsha Smith", line=3),
    Entity("fifty", "50", line=4, spoken=(("five o", 0.0),)),
    Entity("北京", "北京", line=5),
)
SPELLINGS = Spellings({text: one for one in LISTED for text, _ in one.spellings})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("keisha smith's", [(3, (0, 2), None)]),
        ("smith-jones said", [(1, (0, 1), None)]),
        ("买iphone北京吧", [(2, (0, 1), None), (5, (0, 1), None)]),
        ("Smith smith", [(1, (0, 1), None), (1, (1, 2), None)]),
        ("some five o", [(4, (1, 2), "five o")]),
        ("我在北京", [(5, (1, 2), None)]),
        ("nothing", []),
    ],
)
def test_names_that_were_read_as_words(
    text: str, found: list[tuple[int, tuple[int, int], str | None]]
) -> None:
    words = tuple(Word(word, i, i + 0.5, 0.9) for i, word in enumerate(text.split()))
    best = Hypothesis(words, -1.0, ())
    spelt = spell_names(Transcript("a", best, (best,)), SPELLINGS).best
    assert consistent(spelt)
    assert all(span.mention.found_by == "text" for span in spelt.mentions)
    assert [
        (span.mention.entity.line, span.words, span.mention.heard) for span in spelt.mentions
    ] == found


def test_a_name_goes_or_stays_as_a_whole() -> None:
    """Though its words have figures of their own, a possessive, or a pause between them."""
    flat = np.full((50, 5), np.log(0.2), dtype=np.float32)
    log_probs = dataclasses.replace(batch([flat], VOCABULARIES[0]), frame_seconds=0.1)
    for clear, kept in ((-0.7, 2), (-3.0, 0)):
        for start in (1.5, 2.5):
            words = (
                Word("keisha", 1.0, 1.4, 0.9, log_prob=-0.6),
                Word("smith's", start, start + 0.4, 0.01, log_prob=clear),
            )
            best = Hypothesis(words, -1.0, ())
            spelt = spell_names(Transcript("utt0", best, (best,)), SPELLINGS)
            (found,) = leave_out_unheard([spelt], log_probs, EvidenceConfig())
            assert len(found.best.words) == kept, (clear, start)
            assert len(found.left_out) == 2 - kept
            assert consistent(found.best)


def test_extents_are_those_of_the_words_wherever_these_are_moved() -> None:
    decoder = LatticeDecoder(VOCABULARIES[0])
    tokens = [1, 2, 0, 4, 0]
    array = np.full((len(tokens), VOCABULARIES[0].size), 0.0025, dtype=np.float32)
    array[range(len(tokens)), tokens] = 0.99
    graph = build_tree(encoded([Path((1, 2), 0)]), (Entity("ab", "AB"),), VOCABULARIES[0])
    log_probs = batch([np.log(array)] * 2, VOCABULARIES[0])
    pieces = decoder.decode(log_probs, graph, nbest=2)
    segments = [Segment(0, 0, 5), Segment(0, 5, 10)]
    (joined,) = join_segments(pieces, segments, 0.04, nbest=3)
    whole = batch([np.log(np.concatenate([array, array]))], VOCABULARIES[0])
    (placed,) = place_words([joined], whole, TimesConfig(lag=0.04))
    for transcript in (joined, placed):
        assert len(transcript.nbest) > 1
        assert all(consistent(hypothesis) for hypothesis in transcript.nbest)
        first, second = transcript.best.mentions
        assert (first.words, second.words) == ((0, 1), (2, 3))
        assert first.end <= second.start
        assert boosts(transcript.best) == pytest.approx(transcript.best.boost)


@pytest.fixture(scope="module")
def model_of_words(tmp_path_factory: pytest.TempPathFactory) -> File:
    path = tmp_path_factory.mktemp("lm") / "lm.safetensors"
    save_lm(path, train_lm([["she", "takes", "metformin"], ["she", "takes", "it"]]))
    return path


@pytest.mark.parametrize(
    "parts",
    [
        tuple(part for part, is_in in zip(("boost", "lm", "rescore", "lookup"), chosen) if is_in)
        for chosen in itertools.product((True, False), repeat=4)
    ],
    ids=lambda parts: "+".join(parts) or "none",
)
def test_shares_add_up_whatever_the_parts(
    parts: tuple[str, ...], random_model: File, model_of_words: File
) -> None:
    """With and without the adapter, and pauses to cut at."""
    generator = np.random.default_rng(0)
    audio = (0.1 * generator.normal(size=16000)).astype(np.float32)
    for adapter in (True, False):
        settings = {
            "parts": [*parts, *(["adapter"] if adapter else [])],
            "lm": str(model_of_words),
            "decode.lm.scale": 1.0,
            "decode.evidence.max_entropy": 1.0,
            "lookup.margin": 0.0,
            "lookup.unlisted_margin": 0.0,
            "lookup.max_distance": 0.9,
        }
        recognizer = Recognizer.from_pretrained(random_model, settings=settings)
        names = ["metformin", "Keisha", "new york", "a", "it"]
        found = recognizer.transcribe(audio, entities=names, sampling_rate=16000, nbest=4)
        assert found.best.words
        for hypothesis in found.nbest:
            assert consistent(hypothesis)
            shares = hypothesis.shares
            assert shares["acoustic"] <= 1e-4
            assert (shares["lm"] != 0) == ("lm" in parts)
            assert (shares["phone"] != 0) == ("rescore" in parts)
            phone = 0.0 if hypothesis.phone is None else hypothesis.phone
            assert shares["phone"] == pytest.approx(recognizer.config.rescore.phone_scale * phone)
            assert boosts(hypothesis) == pytest.approx(shares["boost"], abs=1e-5)
            assert shares["boost"] == 0 or "boost" in parts


def test_a_search_that_was_lost_has_its_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LatticeDecoder, "read", lambda *arguments, **options: iter(()))
    array = np.log(np.full((4, 5), 0.2, dtype=np.float32))
    (found,) = LatticeDecoder(VOCABULARIES[0]).decode(batch([array], VOCABULARIES[0]))
    assert "greedy" in str(found.warning)
    assert found.best.shares == {"acoustic": found.best.score, "boost": 0, "lm": 0, "phone": 0}
    assert found.best.score == pytest.approx(4 * np.log(0.2), abs=1e-4)

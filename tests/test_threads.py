"""A recognizer and what it compiles, used by many threads at once: as if by one."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import torch

from ctcbias_fst.audio.audio import Recording
from ctcbias_fst.cache import VARIABLE, load_or_build
from ctcbias_fst.models import listed
from ctcbias_fst.models.adapter import ContextualAdapter
from ctcbias_fst.models.embedded import AcousticModel
from ctcbias_fst.models.encoder_output import EncoderOutput
from ctcbias_fst.models.listed import ListedNames
from ctcbias_fst.models.model_config import AdapterConfig, AttentionConfig, ModelConfig
from ctcbias_fst.pronunciation import pronounce
from ctcbias_fst.pronunciation.g2p import G2P
from ctcbias_fst.pronunciation.g2p_ngram import Ngram
from ctcbias_fst.pronunciation.lexicon import Lexicon
from ctcbias_fst.pronunciation.pronounce import Pronouncer
from ctcbias_fst.recognizer import Recognizer
from ctcbias_fst.records import Transcript
from ctcbias_fst.rescore import word_pronunciations as words
from ctcbias_fst.rescore.word_pronunciations import WordPronunciations
from ctcbias_fst.settings import PipelineConfig
from ctcbias_fst.shortlist.phone_index import ShortlistConfig
from ctcbias_fst.streaming.updates import Update
from ctcbias_fst.text import tokens
from ctcbias_fst.text.encoded_entities import EncodedEntities
from ctcbias_fst.text.token_marks import WordBoundary
from ctcbias_fst.text.tokens import FewestPiecesTokenizer
from ctcbias_fst.text.vocabulary import Vocabulary
from ctcbias_fst.variants import spellings, variants
from ctcbias_fst.variants.variants import SpellingVariants
from tests.tiny_g2p import UNITS, tiny_model
from tests.tiny_models import TINY, speechlike
from tests.variants.test_variants import CONFIG, TABLE, spelling_model

THREADS = 8
Result = TypeVar("Result")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Threads take turns as often as they can; caches have hardly any room."""
    before, threads = sys.getswitchinterval(), torch.get_num_threads()
    sys.setswitchinterval(1e-6)
    torch.set_num_threads(1)
    for module in (pronounce, spellings, variants, words, tokens, listed):
        monkeypatch.setattr(module, "_KEPT", 6)
    yield
    sys.setswitchinterval(before)
    torch.set_num_threads(threads)


def at_once(work: Callable[[int], Result], count: int = THREADS) -> list[Result]:
    """What ``work`` returns in each of several threads that begin together."""
    begin = threading.Barrier(count)
    found: dict[int, Result] = {}
    failed: list[BaseException] = []

    def run(number: int) -> None:
        begin.wait()
        try:
            found[number] = work(number)
        except BaseException as error:
            failed.append(error)

    several = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in several:
        thread.start()
    for thread in several:
        thread.join()
    if failed:
        raise failed[0]
    return [found[number] for number in range(count)]


def made_up(seed: int, count: int) -> list[str]:
    generator = np.random.default_rng(seed)
    return [
        "".join(generator.choice(list("acektx"), generator.integers(2, 5))) for _ in range(count)
    ]


def pronouncer() -> Pronouncer:
    return Pronouncer(Lexicon({"ace": "EY S"}), G2P(Ngram(tuple(tiny_model()), UNITS)))


def test_pronunciations_and_spellings() -> None:
    spoken, said = pronouncer(), WordPronunciations(pronouncer())
    speller = SpellingVariants(pronouncer(), TABLE, spelling_model(), {}, CONFIG)
    alphabet = Vocabulary(("-", "ac", *"acektx", "|"), 0, WordBoundary.SEPARATOR)
    tokenizer = FewestPiecesTokenizer(alphabet)

    def work(number: int, own: bool) -> list[Any]:
        found: list[Any] = []
        for step in range(6):
            names = made_up(number % 3 + 10 * step, 7)
            if own:
                voice = pronouncer()
                others = SpellingVariants(pronouncer(), TABLE, spelling_model(), {}, CONFIG)
                found.append([voice.pronounce_all(names), others.spelling_variants(names, 2)])
                found.append([WordPronunciations(pronouncer()).word(name) for name in names])
                found.append([FewestPiecesTokenizer(alphabet).encode(name) for name in names])
            else:
                found.append([spoken.pronounce_all(names), speller.spelling_variants(names, 2)])
                found.append([said.word(name) for name in names])
                found.append([tokenizer.encode(name) for name in names])
        return found

    expected = [work(number, own=True) for number in range(3)]
    for number, found in enumerate(at_once(lambda number: work(number, own=False))):
        assert found == expected[number % 3]


def test_one_list_of_an_adapter() -> None:
    """What each thread is given is right, and what is kept stays right."""
    torch.manual_seed(0)
    config = AdapterConfig(width=8, heads=2, head_size=4, fusion=8)
    adapter = ContextualAdapter(config, ModelConfig(TINY, tokens=80).adapter_shape).eval()
    rows = [[2 + i, 3 + i % 7, 5 + i % 3][: 1 + i % 3] for i in range(60)]
    entities = EncodedEntities(
        values=np.concatenate([np.array(row, dtype=np.int32) for row in rows]),
        row_splits=np.cumsum([0, *map(len, rows)]),
        entity_index=np.arange(60, dtype=np.int32),
        cost=np.zeros(60, dtype=np.float32),
    )
    outputs = []
    for seed in range(12):
        torch.manual_seed(seed)
        log_probs, states = (4.0 * torch.randn(2, 6, 80)).log_softmax(-1), torch.randn(2, 6, 16)
        outputs.append(EncoderOutput(log_probs, torch.tensor([6, 5]), states, (states, states)))
    with torch.inference_mode():
        expected = [ListedNames(adapter, entities, 2).keys(output) for output in outputs]
        shared = ListedNames(adapter, entities, 2)

    @torch.inference_mode()
    def work(number: int) -> list[list[Any]]:
        order = np.random.default_rng(number).permutation(len(outputs) * 8) % len(outputs)
        return [[i, shared.keys(outputs[i])] for i in order.tolist()]

    for several in at_once(work):
        for i, found in several:
            for mine, right in zip(found, expected[i]):
                assert torch.equal(mine.token, right.token)
                assert torch.equal(mine.entity, right.entity)
                torch.testing.assert_close(mine.keys, right.keys)


def test_one_item_of_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))

    def work(number: int) -> list[int]:
        return [int(numbers[0]) for numbers in (item(step) for step in range(30))]

    def item(step: int) -> np.ndarray:
        return load_or_build(
            "numbers",
            step,
            lambda: np.full(2000, step),
            lambda made: {"numbers": made},
            lambda arrays: arrays["numbers"],
        )

    assert at_once(work) == [list(range(30))] * THREADS
    assert caplog.text == ""
    assert len(list(tmp_path.iterdir())) == 30


LISTS: tuple[list[Any], ...] = (
    ["metformin", "New York", "keisha"],
    ["john smith", "ibuprofen", {"name": "peace", "sounds_like": ["piece"]}],
    ["zeal", "lazy fox", "diabetes", "new orleans", "atorvastatin"],
)


def recordings(count: int) -> list[Recording]:
    return [
        Recording(f"clip{index}", speechlike(0.8 + 0.2 * index, index), 16000)
        for index in range(count)
    ]


def bare(transcript: Transcript) -> Transcript:
    """A transcript without what depends, in its last digits, on the company in which names are
    embedded: a matrix product rounds otherwise for other numbers of rows."""
    blank = dict.fromkeys(("score", "boost", "lm", "phone"), 0.0)
    several = []
    for one in transcript.nbest:
        sure = [replace(word, confidence=round(word.confidence, 3)) for word in one.words]
        several.append(replace(one, words=tuple(sure), **blank))
    return replace(transcript, best=several[0], nbest=tuple(several))


def same(found: Transcript, expected: Transcript) -> bool:
    scores = [[one.score for one in each.nbest] for each in (found, expected)]
    return bare(found) == bare(expected) and np.allclose(*scores, atol=1e-4)


def check(recognizer: Recognizer, fresh: Callable[[], Recognizer], rounds: int = 1) -> None:
    """Lists that every thread shares, and lists that each gives with its audio."""
    clips = recordings(3)
    alone = fresh()
    expected = {}
    for i, names in enumerate(LISTS):
        for j, clip in enumerate(clips):
            expected[i, j] = alone.transcribe(clip, entities=alone.compile(names, warn=False))
    plain = [alone.transcribe(clip) for clip in clips]
    shared = [recognizer.compile(names, warn=False) for names in LISTS]

    def work(number: int) -> None:
        generator = np.random.default_rng(number)
        for _ in range(rounds):
            for step in generator.permutation(len(LISTS) * len(clips)).tolist():
                i, j = divmod(step, len(clips))
                if generator.random() < 0.5:
                    found = recognizer.transcribe(clips[j], entities=shared[i])
                else:
                    found = recognizer.transcribe(clips[j], entities=LISTS[i])
                assert same(found, expected[i, j]), (number, i, j)
            j = number % len(clips)
            assert same(recognizer.transcribe(clips[j]), plain[j])

    before = recognizer.audio_seconds
    at_once(work)
    seconds = sum(clip.seconds for clip in clips) * len(LISTS) * rounds * THREADS
    seconds += sum(clips[number % len(clips)].seconds for number in range(THREADS)) * rounds
    assert recognizer.audio_seconds - before == pytest.approx(seconds)


@pytest.mark.parametrize("long", [False, True])
def test_a_recognizer(random_model: Path, long: bool) -> None:
    config = PipelineConfig()
    if long:
        config = replace(
            config,
            shortlist=ShortlistConfig(
                shorten_above=1, n_by_phone=2, n_by_subword=1, n_variants=1, n_lookup=1
            ),
            adapter=AttentionConfig(names=2),
        )
    check(
        Recognizer(AcousticModel.load(random_model), config),
        lambda: Recognizer(AcousticModel.load(random_model), config),
    )


def test_streams(random_model: Path) -> None:
    """Each thread has its own, of one recognizer and of its decoder; the first opens them anew."""
    clips = recordings(3)
    recognizer, alone = (Recognizer(AcousticModel.load(random_model)) for _ in range(2))
    heard = [alone.log_probs([clip]) for clip in clips]

    def of_audio(one: Recognizer, number: int, names: Any, other: Any) -> list[Any]:
        stream = one.stream(names, name=str(number))
        samples = np.array_split(clips[number % 3].samples, 5)
        found = [stream.accept(part) for part in samples[:3]]
        stream.update_entities(other)
        return told([*found, *map(stream.accept, samples[3:]), stream.finish()])

    def of_log_probs(one: Recognizer, number: int, names: Any, other: Any) -> list[Any]:
        stream = one.decoder.stream(names, name=str(number))
        found = stream.accept(heard[number % 3])
        stream.update_entities(other)
        return told([found, stream.accept(heard[number % 3]), stream.finish()])

    def told(updates: list[Update]) -> list[Any]:
        words = [word for update in updates for word in update.words]
        texts = [(update.committed, update.tentative) for update in updates]
        return [texts, [(word.word, word.start, word.end, word.entity) for word in words]]

    pairs = [(LISTS[i], LISTS[j] if j < 3 else None) for i in range(3) for j in range(4)]
    expected = {
        (kind, number, i): kind(alone, number, *pairs[i])
        for kind in (of_audio, of_log_probs)
        for number in range(3)
        for i in (number, number + 4)
    }
    assert any(words for _, words in expected.values())
    shared = {id(names): recognizer.compile(names, warn=False) for names in LISTS}

    def work(number: int) -> None:
        for kind, clip, i in list(expected)[number:] + list(expected)[:number]:
            given = [None if one is None else shared[id(one)] for one in pairs[i]]
            own = given if number % 2 else pairs[i]
            assert kind(recognizer, clip, *own) == expected[kind, clip, i], (number, clip, i)

    at_once(work, 4)
    seconds = sum(clips[clip].seconds for kind, clip, _ in expected if kind is of_audio)
    assert recognizer.audio_seconds == pytest.approx(4 * seconds)


def test_a_list_that_its_owner_changes(random_model: Path) -> None:
    """What is kept of the latest list is not the caller's own."""
    recognizer = Recognizer.from_pretrained(random_model)
    names: list[Any] = [{"name": "keisha"}]
    first = recognizer.decoder.lists(names, 1)[0]
    assert recognizer.decoder.lists([{"name": "keisha"}], 1)[0] is first
    names[0]["name"] = "peace"
    assert [entity.name for entity in recognizer.decoder.lists(names, 1)[0].entities] == ["peace"]

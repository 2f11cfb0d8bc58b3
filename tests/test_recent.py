"""What is kept of earlier lists: bounded, and without a say in the results."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ctcbias_fst.models import listed
from ctcbias_fst.models.adapter import ContextualAdapter
from ctcbias_fst.models.encoder_output import EncoderOutput
from ctcbias_fst.models.listed import ListedNames
from ctcbias_fst.models.model_config import AdapterConfig, ModelConfig
from ctcbias_fst.pronunciation import pronounce
from ctcbias_fst.pronunciation.g2p import G2P
from ctcbias_fst.pronunciation.g2p_ngram import Ngram
from ctcbias_fst.pronunciation.lexicon import Lexicon
from ctcbias_fst.pronunciation.pronounce import Pronouncer
from ctcbias_fst.recent import Recent
from ctcbias_fst.rescore import word_pronunciations as words
from ctcbias_fst.rescore.word_pronunciations import WordPronunciations
from ctcbias_fst.text import tokens
from ctcbias_fst.text.encoded_entities import EncodedEntities
from ctcbias_fst.text.entities import EntityList
from ctcbias_fst.text.entity import Entity
from ctcbias_fst.text.token_marks import WordBoundary
from ctcbias_fst.text.tokens import FewestPiecesTokenizer
from ctcbias_fst.text.vocabulary import Vocabulary
from ctcbias_fst.variants import spellings, variants
from ctcbias_fst.variants.spellings import SpellingsConfig, SpellingsOnDemand
from ctcbias_fst.variants.variants import SpellingVariants
from tests.tiny_g2p import UNITS, tiny_model
from tests.tiny_models import TINY
from tests.variants.test_variants import CONFIG, TABLE, spelling_model

FEW = 5
LISTS = st.lists(
    st.lists(st.text(alphabet="acektx", min_size=1, max_size=4), min_size=1, max_size=8),
    min_size=1,
    max_size=6,
)
with_patches = settings(
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@given(
    most=st.integers(1, 4),
    steps=st.lists(st.tuples(st.booleans(), st.integers(0, 6)), max_size=40),
)
def test_what_was_not_asked_for_longest_makes_room(
    most: int, steps: list[tuple[bool, int]]
) -> None:
    recent: Recent[int, str] = Recent(most)
    order: list[int] = []  # the model: the latest key is last
    for put, key in steps:
        if put:
            assert recent.put(key, str(key)) == str(key)
            order = [*(k for k in order if k != key), key][-most:]
        else:
            assert recent.get(key) == (str(key) if key in order else None)
            order = [*(k for k in order if k != key), *(k for k in order if k == key)]
        assert len(recent) == len(order)
    for key in list(order):
        assert recent.get(key) == str(key)


def test_no_room_at_all() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Recent(0)


def held(thing: Any, seen: set[int] | None = None) -> int:
    """How many elements the containers of an object hold, and those of its parts."""
    seen = set() if seen is None else seen
    if id(thing) in seen:
        return 0
    seen.add(id(thing))
    parts: list[Any] = []
    if isinstance(thing, dict):
        parts = list(thing.values())
    elif isinstance(thing, (list, tuple, set, frozenset)):
        parts = list(thing)
    elif type(thing).__module__.startswith("ctcbias_fst"):
        parts = list(getattr(thing, "__dict__", {}).values())
    elif isinstance(thing, np.ndarray):
        return thing.size
    return len(parts) + sum(held(part, seen) for part in parts)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hardly any room in every cache of names and words."""
    for module in (pronounce, spellings, variants, words, tokens, listed):
        monkeypatch.setattr(module, "_KEPT", FEW)


def pronouncer() -> Pronouncer:
    return Pronouncer(Lexicon({"ace": "EY S"}), G2P(Ngram(tuple(tiny_model()), UNITS)))


def speller() -> SpellingVariants:
    return SpellingVariants(pronouncer(), TABLE, spelling_model(), {}, CONFIG)


def changing(seed: int, lists: int) -> Iterator[list[str]]:
    generator = np.random.default_rng(seed)
    for _ in range(lists):
        sizes = generator.integers(3, 7, size=6)
        yield ["".join(generator.choice(list("acektx"), size)) for size in sizes]


def test_lists_that_change_take_no_more_room(few: None) -> None:
    """The bound of each is reached early; then nothing grows any more."""
    alphabet = Vocabulary(("-", *"acektx", "|"), 0, WordBoundary.SEPARATOR)
    said, spells = WordPronunciations(pronouncer()), speller()
    tokenizer = FewestPiecesTokenizer(alphabet)
    distinct = dict.fromkeys(name for names in changing(1, 60) for name in names)
    several = EntityList(tuple([Entity(name, name) for name in distinct]))
    demand = SpellingsOnDemand(
        several, tokenizer, config=SpellingsConfig(number=2), variants=speller()
    )
    bounds = {}
    at = 0
    for number, names in enumerate(changing(2, 50)):
        for name in names:
            said.word(name)
            said.entity(Entity(name, name))
            tokenizer.encode(name)
        spells.spelling_variants(names, 2)
        demand.prepare(range(at, at + 4))
        at = (at + 4) % (len(several) - 4)
        assert all(len(cache) <= FEW for cache in caches(said, spells, tokenizer, demand))
        assert said._word.cache_info().currsize <= FEW
        assert said._listed.cache_info().currsize <= FEW
        if number >= 10:
            # The entries of full caches differ in length, but by a little.
            for name, thing in (
                ("s", said),
                ("v", spells),
                ("t", tokenizer),
                ("d", demand),
            ):
                assert held(thing) <= 1.2 * bounds.setdefault(name, held(thing)) + 200


def caches(
    said: WordPronunciations,
    spells: SpellingVariants,
    tokenizer: FewestPiecesTokenizer,
    demand: SpellingsOnDemand,
) -> list[Recent[Any, Any]]:
    assert demand._variants is not None
    return [
        said._pronouncer._known,
        spells._known,
        spells._pronouncer._known,
        tokenizer._words,
        demand._known,
        demand._variants._known,
    ]


@with_patches
@given(lists=LISTS)
def test_what_is_kept_has_no_say(few: None, lists: list[list[str]]) -> None:
    """Every list gets what it would get if it were the first."""
    spoken, spells, said = pronouncer(), speller(), WordPronunciations(pronouncer())
    for names in lists:
        assert spoken.pronounce_all(names) == pronouncer().pronounce_all(names)
        entities = [Entity(name, name, sounds_like=(names[0],)) for name in names]
        assert spoken.pronounce_entities(entities) == pronouncer().pronounce_entities(entities)
        assert spells.spelling_variants(names, 3) == speller().spelling_variants(names, 3)
        assert [said.word(n) for n in names] == [
            WordPronunciations(pronouncer()).word(n) for n in names
        ]


@torch.inference_mode()
def test_an_adapter_keeps_few_spellings(few: None) -> None:
    """And those that were handed out stay as they are."""
    torch.manual_seed(0)
    config = AdapterConfig(width=8, heads=2, head_size=4, fusion=8)
    adapter = ContextualAdapter(config, ModelConfig(TINY, tokens=80).adapter_shape).eval()
    rows = [[2 + i, 3 + i, 5 + i % 3] for i in range(30)]
    entities = EncodedEntities(
        values=np.array(rows, dtype=np.int32).ravel(),
        row_splits=3 * np.arange(31),
        entity_index=np.arange(30, dtype=np.int32),
        cost=np.zeros(30, dtype=np.float32),
    )
    used = ListedNames(adapter, entities, 2)
    for step in range(40):
        logits = torch.randn(2, 6, 80)
        log_probs = (4.0 * logits).log_softmax(-1)
        states = torch.randn(2, 6, 16)
        output = EncoderOutput(log_probs, torch.tensor([6, 6 - step % 2]), states, (states, states))
        found = used.keys(output)
        expected = ListedNames(adapter, entities, 2).keys(output)
        for mine, right in zip(found, expected):
            for field in ("token", "entity"):
                assert torch.equal(getattr(mine, field), getattr(right, field))
        assert len(used._kept[0].token) <= 3 * max(FEW, 4)


def test_word_sounds_are_shared() -> None:
    assert words.load_word_pronunciations() is words.load_word_pronunciations()

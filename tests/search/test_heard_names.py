"""Every word of a name is heard by itself: the others do not pay for it."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest
from strategies import batch

from ctcbias_fst.graph.entity_tree import boost_graph
from ctcbias_fst.records import Transcript
from ctcbias_fst.search.lattice_decoder import LatticeDecoder
from ctcbias_fst.text.checked_entities import check_entities
from ctcbias_fst.text.entities import entities_from_names
from ctcbias_fst.text.numbers import tells_apart
from ctcbias_fst.text.tokens import FewestPiecesTokenizer, SentencePieceTokenizer, Tokenizer
from ctcbias_fst.text.vocabulary import Vocabulary

CHARACTERS = FewestPiecesTokenizer(
    Vocabulary.from_tokens(["<blk>", "|", *map(chr, range(97, 123)), "'"])
)
FILLER = (
    "the doctor asked whether she took it every morning and spoke of peace "
    "old boxes of quick brown dogs jumped over lazy nations in june for me"
).split()
HEADS = (
    "vitamin", "hepatitis", "influenza type", "plan", "windows", "king henry", "terminal",
    "the apollo", "galaxy", "formula",
)  # fmt: skip
TAILS = (
    [*"abcdeghkmnpstvxz"],
    ["ii", "iii", "iv", "vi", "ix", "xi"],
    ["one", "two", "three", "four", "five", "six", "seven", "nine", "ten"],
)
FIRST = "mary christopher robert linda anna keisha elizabeth jose victoria alexander".split()
LAST = "john smith lee brown poe jones garcia ann may".split()


def tokenizer_of(kind: str, pieces: SentencePieceTokenizer) -> Tokenizer:
    return pieces if kind == "pieces" else CHARACTERS


def heard(
    said: str,
    tokenizer: Tokenizer,
    rng: np.random.Generator,
    *,
    instead: str = "",
    behind: float = 0.0,
    blank: float = 0.03,
    spread: float = 1.5,
) -> np.ndarray:
    """Log-probs of clear speech: each token on a frame of its own and some blanks after it.

    Args:
        said: the words.
        tokenizer: of the model.
        rng: what else is a little likely, and how many blanks there are.
        instead: words of as many tokens, which are ``behind`` nats less likely.
        behind: see there.
        blank: how unlikely on average anything else is than the best token.
        spread: of the log-probs of all else, in nats.
    """
    none = tokenizer.vocabulary.blank_id
    tokens, others = tokenizer.encode(said), tokenizer.encode(instead or said)
    assert len(tokens) == len(others)
    frames: list[tuple[int, int]] = []
    for one, other in zip(tokens, others):
        again = frames and frames[-1][0] == one
        blanks = int(rng.integers(0, 5))
        frames += [(none, none)] * bool(again) + [(one, other)] + [(none, none)] * blanks
    array = rng.normal(0.0, spread, (len(frames), tokenizer.vocabulary.size))
    for at, (best, second) in enumerate(frames):
        array[at, [best, second]] = -np.inf
        rest = min(0.3, 1e-3 + rng.exponential(blank))
        array[at] += np.log(rest) - np.log(np.exp(array[at]).sum())
        array[at, best] = np.log(1.0 - rest)
        if second != best:
            array[at, second] = array[at, best] - behind
    array -= np.log(np.exp(array).sum(axis=1, keepdims=True))
    return array.astype(np.float32)


def transcribe(
    arrays: Sequence[np.ndarray], names: Sequence[Sequence[str]], tokenizer: Tokenizer
) -> list[Transcript]:
    graphs = [
        boost_graph(check_entities(entities_from_names(own), tokenizer), tokenizer) for own in names
    ]
    return LatticeDecoder(tokenizer.vocabulary).decode(batch(arrays, tokenizer.vocabulary), graphs)


@pytest.mark.parametrize(("behind", "text"), [(2.6, "told Mary Poe"), (2.8, "told mary tan")])
def test_a_word_may_lack_so_much_for_each_letter_but_the_first(behind: float, text: str) -> None:
    """Three letters may lack 8 nats: 7.8 they do, 8.4 are too much."""
    said, instead = "told mary tan", "told mary poe"
    array = heard(
        said, CHARACTERS, np.random.default_rng(0), instead=instead, behind=behind, blank=1e-6
    )
    (transcript,) = transcribe([array], [["Mary Poe"]], CHARACTERS)
    assert transcript.best.text == text


@pytest.mark.parametrize(("behind", "text"), [(3.0, "told Al Poe"), (6.0, "told xal poe")])
def test_what_is_heard_before_a_name_is_lacking_in_its_first_word(behind: float, text: str) -> None:
    vocabulary = CHARACTERS.vocabulary
    array = heard("told al poe", CHARACTERS, np.random.default_rng(0), blank=1e-6)
    said = array.argmax(axis=1).tolist()
    letter = np.full((1, vocabulary.size), -20.0, dtype=np.float32)
    letter[0, [vocabulary.index["x"], 0]] = 0.0, -behind
    letter -= np.log(np.exp(letter).sum())
    at = said.index(vocabulary.index["|"]) + 1
    both = np.concatenate([array[:at], letter, array[at:]])
    graph = boost_graph(entities_from_names([{"name": "Al Poe", "weight": 9.0}]), CHARACTERS)
    (transcript,) = LatticeDecoder(vocabulary).decode(batch([both], vocabulary), graph)
    assert transcript.best.text == text


@pytest.mark.parametrize("behind", [0.4, 2.3, 3.0, 5.0, 8.0])
@pytest.mark.parametrize(
    ("said", "name", "written"),
    [
        ("take vitamin c daily", "Vitamin D", "vitamin d"),
        ("hepatitis b was", "Hepatitis C", "hepatitis c"),
        ("the type a one", "type B", "type b"),
        ("go to plan a now", "Plan B", "plan b"),
        ("my windows x is", "Windows V", "windows v"),
        ("king henry v is", "Henry X", "henry x"),
        ("at terminal four now", "Terminal 5", "terminal five"),
        ("at terminal four now", "Terminal Five", "terminal five"),
    ],
)
def test_the_last_word_is_the_one_that_was_said(
    said: str, name: str, written: str, behind: float
) -> None:
    own = CHARACTERS
    words, shown = said.split(), written.split()
    at = words.index(shown[0])
    other = " ".join([*words[:at], *shown, *words[at + len(shown) :]])
    tokens = sum(a != b for a, b in zip(own.encode(said), own.encode(other)))
    array = heard(said, own, np.random.default_rng(0), instead=other, behind=behind, blank=1e-3)
    (transcript,) = transcribe([array], [[name]], own)
    assert transcript.warning is None
    if behind > 2:
        assert transcript.best.text == said
    elif tokens == 1:
        assert transcript.best.text == other.replace(written, name)


def test_where_it_was_said_a_name_stays() -> None:
    """Only what was not heard is left out, not all that has the same name."""
    said, other = "vitamin d or vitamin c", "vitamin d or vitamin d"
    array = heard(said, CHARACTERS, np.random.default_rng(0), instead=other, behind=4.0)
    (transcript,) = transcribe([array], [["Vitamin D"]], CHARACTERS)
    assert (transcript.best.text, transcript.warning) == ("Vitamin D or vitamin c", None)


def test_letters_beside_each_other_are_one_word() -> None:
    """One of several letters may be misheard, as one of a word may."""
    said, other = "call j a rowling", "call j k rowling"
    array = heard(said, CHARACTERS, np.random.default_rng(0), instead=other, behind=3.0, blank=1e-3)
    (transcript,) = transcribe([array], [["J. K. Rowling"]], CHARACTERS)
    assert transcript.best.text == "call J. K. Rowling"


def enumerated(count: int, seed: int, tokenizer: Tokenizer) -> list[str]:
    """What becomes of names that differ in a letter or a number from what is clearly said."""
    rng, noise = random.Random(seed), np.random.default_rng(seed)
    found, arrays, said, names = [], [], [], []
    while len(arrays) < count:
        head, tails = rng.choice(HEADS), rng.choice(TAILS)
        tail, other = rng.sample(tails, 2)
        before, after = (rng.choices(FILLER, k=rng.randint(1, 3)) for _ in range(2))
        words = " ".join([*before, head, tail, *after])
        wrong = " ".join([*before, head, other, *after])
        if len(tokenizer.encode(words)) != len(tokenizer.encode(wrong)):
            continue
        behind = rng.uniform(2.6, 9.0)
        arrays.append(heard(words, tokenizer, noise, instead=wrong, behind=behind, blank=0.01))
        said.append(words)
        names.append([f"{head} {other}".title()])
        if rng.random() < 0.3:
            names[-1].append(f"{head} {tail}")
    for words, transcript in zip(said, transcribe(arrays, names, tokenizer)):
        if transcript.best.text != words or transcript.warning:
            found.append(f"{words} -> {transcript.best.text} ({transcript.warning})")
    return found


def inserted(count: int, seed: int, tokenizer: Tokenizer) -> list[str]:
    """What becomes of names of which one word is said, and others in the place of the other."""
    rng, noise = random.Random(seed), np.random.default_rng(seed)
    arrays, said, names = [], [], []
    for _ in range(count):
        first, last = rng.choice(FIRST), rng.choice(LAST)
        heads = [first, last] if rng.random() < 0.8 else [last, first]
        others = [word for word in FILLER if word not in LAST]
        words = [*rng.choices(others, k=2), heads[0], *rng.choices(others, k=3)]
        said.append(" ".join(words))
        arrays.append(heard(said[-1], tokenizer, noise))
        names.append([f"{first} {last}".title()])
    found = []
    for words, transcript in zip(said, transcribe(arrays, names, tokenizer)):
        if transcript.best.text != words or transcript.warning:
            found.append(f"{words} -> {transcript.best.text} ({transcript.warning})")
    return found


@pytest.mark.parametrize("kind", ["pieces", "characters"])
def test_enumerated_names(kind: str, tokenizer: SentencePieceTokenizer) -> None:
    assert enumerated(60, 1, tokenizer_of(kind, tokenizer)) == []


@pytest.mark.parametrize("kind", ["pieces", "characters"])
def test_no_word_is_added(kind: str, tokenizer: SentencePieceTokenizer) -> None:
    assert inserted(60, 1, tokenizer_of(kind, tokenizer)) == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pieces", "characters"])
def test_thousands_of_names(kind: str, tokenizer: SentencePieceTokenizer) -> None:
    own = tokenizer_of(kind, tokenizer)
    # By chance a word sounds like the name's: "mary and" is "Mary Ann" where blanks hide an n.
    for what, most in ((enumerated, 0), (inserted, 20)):
        wrong = [one for seed in range(2, 22) for one in what(100, seed, own)]
        print(f"{what.__name__}, {kind}: {len(wrong)} of 2,000 wrong: {wrong[:5]}")
        assert len(wrong) <= most


@pytest.mark.parametrize(
    ("said", "shown", "found"),
    [
        ("vitamin d", "Vitamin D", [False, True]),
        ("terminal three", "Terminal 3", [False, True]),
        ("henry vii", "Henry VII", [False, True]),
        ("bank us", "Bank US", [False, True]),
        ("bank us", "bank us", [False, False]),
        ("ben jo", "BEN JO", [False, False]),
        ("the second sex", "The Second Sex", [False, True, False]),
        ("vitamin b twelve", "Vitamin B12", [False, True, True]),
    ],
)
def test_what_tells_names_apart(said: str, shown: str, found: list[bool]) -> None:
    assert tells_apart(said.split(), shown.split()) == found

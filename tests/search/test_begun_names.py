"""Names that are begun and not ended, repeat and overlap: nothing said is lost or changed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import (
    batch,
    decode_configs,
    every_vocabulary,
    log_prob_arrays,
    path_lists,
    tree,
)

from ctcbias_fst.graph.decoding_graph import decoding_graph
from ctcbias_fst.graph.entity_tree import BoostGraph, boost_graph
from ctcbias_fst.graph.labels import PLAIN
from ctcbias_fst.graph.token_letters import token_letters
from ctcbias_fst.graph.word_rules import WordRules
from ctcbias_fst.search.boosting import find_candidates, plain_reading, score_columns
from ctcbias_fst.search.decode_config import DecodeConfig
from ctcbias_fst.search.lattice_decoder import LatticeDecoder
from ctcbias_fst.text.entities import entities_from_names
from ctcbias_fst.text.tokens import FewestPiecesTokenizer, SentencePieceTokenizer, Tokenizer
from ctcbias_fst.text.vocabulary import Vocabulary

NAMES = (
    "new york city",
    "new york",
    "york minster",
    "new orleans",
    "keisha smith",
    "keisha",
    "smith and jones",
    "marigold finch",
    "gold finch meadow",
    "finchley road",
    "san jose",
    "san josemaria",
    "jose maria santos",
    "maria",
    "hypertension",
    "hyper active",
    "metformin hydrochloride",
    "met",
)
FILLER = (
    "the doctor asked whether she took it every morning and spoke of peace "
    "old boxes of quick brown dogs jumped over a lazy nation in june for me"
).split()


class Kind(NamedTuple):
    """A kind of vocabulary, and how low the floor of its log-probs lies."""

    name: str
    floor: float


KINDS = [Kind(name, floor) for name in ("words", "pieces", "characters") for floor in (9.0, 12.0)]


def utterances(count: int, seed: int) -> list[list[str]]:
    """Words in which names are begun and not ended, repeat, overlap, and have others inside."""
    rng = random.Random(seed)

    def filler(least: int, most: int) -> list[str]:
        return rng.choices(FILLER, k=rng.randint(least, most))

    said = []
    for _ in range(count):
        one, other = rng.choice(NAMES).split(), rng.choice(NAMES).split()
        begun = one[: rng.randint(1, len(one))]
        parted = [word for part in one for word in [part, *filler(0, 2)]]
        said.append(
            rng.choice(
                [
                    [*filler(0, 3), *begun, *filler(0, 4), *one, *filler(0, 3)],
                    [*filler(0, 3), *begun, *filler(1, 4)],
                    [*filler(0, 3), *parted, *filler(0, 2)],
                    [*filler(0, 2), *one, *begun, *one, *filler(0, 3)],
                    [*filler(0, 2), *begun, *other, *filler(0, 2), *one, *other[:1], *filler(0, 2)],
                    [*begun, *begun, *filler(0, 1), *one, *one],
                ]
            )
        )
    return said


def tokenizer_of(kind: str, pieces: SentencePieceTokenizer) -> Tokenizer:
    if kind == "pieces":
        return pieces
    if kind == "characters":
        return FewestPiecesTokenizer(
            Vocabulary.from_tokens(["<blk>", "|", *map(chr, range(97, 123))])
        )
    words = sorted({*FILLER, *" ".join(NAMES).split()})
    return FewestPiecesTokenizer(Vocabulary.from_tokens(["<blk>", *("\u2581" + w for w in words)]))


def clean_log_probs(
    words: Sequence[str], tokenizer: Tokenizer, floor: float, rng: np.random.Generator
) -> np.ndarray:
    """Each token on a frame of its own, sure, some blanks after it; all else at the floor."""
    blank = tokenizer.vocabulary.blank_id
    frames: list[int] = []
    for token in tokenizer.encode(" ".join(words)):
        again = bool(frames) and frames[-1] == token
        frames += [blank] * again + [token] + [blank] * int(rng.integers(0, 3))
    array = np.full((len(frames), tokenizer.vocabulary.size), -floor)
    array[range(len(frames)), frames] = 0.0
    array -= np.log(np.exp(array).sum(axis=1, keepdims=True))
    return array.astype(np.float32)


def wrong(kind: Kind, count: int, seed: int, pieces: SentencePieceTokenizer) -> list[str]:
    """The utterances that come out otherwise than they were said, or with a warning."""
    tokenizer = tokenizer_of(kind.name, pieces)
    graph = boost_graph(entities_from_names(NAMES), tokenizer)
    decoder = LatticeDecoder(tokenizer.vocabulary)
    rng = np.random.default_rng(seed)
    found = []
    said = utterances(count, seed)
    for begin in range(0, count, 100):
        part = said[begin : begin + 100]
        arrays = [clean_log_probs(words, tokenizer, kind.floor, rng) for words in part]
        transcripts = decoder.decode(batch(arrays, tokenizer.vocabulary), graph)
        for words, transcript in zip(part, transcripts):
            if transcript.best.text.split() != words or transcript.warning is not None:
                found.append(f"{' '.join(words)} -> {transcript.best.text} {transcript.warning}")
    return found


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_nothing_is_lost_or_changed(kind: Kind, tokenizer: SentencePieceTokenizer) -> None:
    assert wrong(kind, 60, 1, tokenizer) == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_nothing_is_lost_or_changed_in_ten_thousand(
    kind: Kind, tokenizer: SentencePieceTokenizer
) -> None:
    found = wrong(kind, 10_000, 2, tokenizer)
    print(f"{kind}: {len(found)} of 10,000 utterances wrong")
    assert found == []


@given(data=st.data())
def test_no_column_of_a_name_is_above_the_best_of_its_frame(
    data: st.DataObject, device: torch.device
) -> None:
    """So a name that is begun is never ahead of the plain reading."""
    vocabulary = data.draw(every_vocabulary)
    config = data.draw(decode_configs)
    values = torch.from_numpy(data.draw(log_prob_arrays(vocabulary.size))).to(device)[None]
    names = tree(data.draw(path_lists(vocabulary, max_paths=4)), vocabulary)
    candidates = find_candidates(values, torch.ones_like(values[:, :, 0], dtype=torch.bool), config)
    graph = decoding_graph(
        candidates,
        [names],
        torch.arange(vocabulary.size, device=device),
        WordRules.of(vocabulary, device),
    )
    letters = torch.tensor(token_letters(vocabulary)).to(device)
    scores = score_columns(values[:, :, 0], candidates, graph.columns, letters, config)
    best = values.amax(dim=-1, keepdim=True)
    assert bool((scores <= best + 1e-5).all())
    # The best plain reading takes the best column of every frame.
    labels, plain = plain_reading(
        values[:, :, 0], torch.tensor([values.shape[1]], device=device), candidates
    )
    assert torch.equal(labels, values.argmax(dim=-1))
    of_token = graph.columns.lookup(PLAIN, 1.0, vocabulary.size)
    columns = scores[:, :, of_token[of_token >= 0]].amax(dim=-1)
    assert plain.item() == pytest.approx(columns.double().sum().item(), abs=1e-4)


@given(data=st.data())
def test_the_best_path_is_never_below_the_plain_reading(data: st.DataObject) -> None:
    """Whatever the list: with a beam above the highest reward nothing is lost."""
    vocabulary = data.draw(every_vocabulary)
    config = data.draw(decode_configs)
    config = replace(config, search_beam=config.boost.max_reward + 6.0)
    arrays = [data.draw(log_prob_arrays(vocabulary.size, max_frames=8)) for _ in range(2)]
    names = tree(data.draw(path_lists(vocabulary, max_paths=5)), vocabulary)
    log_probs = batch(arrays, vocabulary)
    with_names = LatticeDecoder(vocabulary, config).decode(log_probs, names)
    without = LatticeDecoder(vocabulary, config).decode(log_probs)
    for one, other in zip(with_names, without):
        assert one.warning is None
        assert one.best.score >= other.best.score - 1e-3


def _graph_of(names: Sequence[str], tokens: Sequence[str]) -> tuple[Tokenizer, BoostGraph]:
    tokenizer = FewestPiecesTokenizer(Vocabulary.from_tokens(list(tokens)))
    return tokenizer, boost_graph(entities_from_names(names), tokenizer)


@pytest.mark.parametrize(
    ("name", "said"),
    [("New York City", "new york new york city"), ("Robertson", "doctor robert robertson called")],
)
def test_a_name_that_is_begun_twice(name: str, said: str) -> None:
    tokenizer, graph = _graph_of([name], ["<pad>", "|", *map(chr, range(97, 123)), "'"])
    array = clean_log_probs(said.split(), tokenizer, 9.0, np.random.default_rng(0))
    (transcript,) = LatticeDecoder(tokenizer.vocabulary).decode(
        batch([array], tokenizer.vocabulary), graph
    )
    assert transcript.best.text == said.replace(name.lower(), name)


@pytest.mark.parametrize("gap", [0.05, 0.5, 1.0])
def test_a_name_of_two_tokens_is_found(gap: float) -> None:
    tokenizer, graph = _graph_of(
        ["Kisha"],
        ["<blk>", "\u2581call", "\u2581ki", "she", "sha", "\u2581smith", "\u2581per", "s", "th"],
    )
    array = np.full((6, 9), -9.0, dtype=np.float32)
    array[range(6), [1, 0, 2, 0, 3, 0]] = 0.0
    array[4, 4] = -gap
    array -= np.log(np.exp(array).sum(axis=1, keepdims=True))
    (transcript,) = LatticeDecoder(tokenizer.vocabulary, DecodeConfig()).decode(
        batch([array], tokenizer.vocabulary), graph
    )
    assert transcript.best.text == "call Kisha"


@pytest.mark.parametrize("gap", [0.05, 0.5, 1.0, 6.0])
def test_a_name_that_is_a_token_is_found_where_it_is_nearly_heard(gap: float) -> None:
    tokenizer, graph = _graph_of(
        ["Barcelona"], ["<blk>", "\u2581in", "\u2581berlin", "\u2581barcelona"]
    )
    array = np.full((4, 4), -9.0, dtype=np.float32)
    array[range(4), [1, 0, 2, 0]] = 0.0
    array[2, 3] = -gap
    array -= np.log(np.exp(array).sum(axis=1, keepdims=True))
    (transcript,) = LatticeDecoder(tokenizer.vocabulary).decode(
        batch([array], tokenizer.vocabulary), graph
    )
    assert transcript.best.text == ("in Barcelona" if gap <= 1.0 else "in berlin")


@pytest.mark.parametrize("names", [["Kishe", "Kisha"], ["Kisha", "Kishe"]])
@pytest.mark.parametrize("share", [0.01, 0.3, 0.45, 0.55, 0.7, 0.99])
def test_of_two_names_the_one_that_fits_better_wins(names: list[str], share: float) -> None:
    tokenizer, graph = _graph_of(names, ["<blk>", "\u2581call", "\u2581ki", "she", "sha"])
    array = np.full((6, 5), np.log(1e-5), dtype=np.float32)
    array[range(4), [1, 0, 2, 0]] = 0.0
    array[4, [3, 4]] = np.log([1 - share, share])
    array[5, 0] = 0.0
    array -= np.log(np.exp(array).sum(axis=1, keepdims=True))
    (transcript,) = LatticeDecoder(tokenizer.vocabulary).decode(
        batch([array], tokenizer.vocabulary), graph
    )
    assert transcript.best.text == ("call Kisha" if share > 0.5 else "call Kishe")


def test_a_blank_of_probability_zero_is_no_nan() -> None:
    """Where blank is impossible inside a name, the name cannot wait there."""
    tokenizer, graph = _graph_of(["Anna"], ["<blk>", "|", *map(chr, range(97, 123))])
    array = clean_log_probs(["call", "anna"], tokenizer, 9.0, np.random.default_rng(0))
    array[array[:, 0] < -1, 0] = -np.inf
    (transcript,) = LatticeDecoder(tokenizer.vocabulary).decode(
        batch([array], tokenizer.vocabulary), graph
    )
    assert (transcript.best.text, transcript.warning) == ("call Anna", None)

"""Words of a lexicon: the search finds what enumeration finds, no path more and none twice."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import collapse
from strategies import EVERYTHING, batch, log_prob_arrays

from ctcbias_fst.errors import GraphError
from ctcbias_fst.graph.entity_tree import BoostGraph, build_tree
from ctcbias_fst.graph.lexicon_tree import LexiconTree
from ctcbias_fst.search.decode_config import DecodeConfig
from ctcbias_fst.search.lattice_decoder import LatticeDecoder
from ctcbias_fst.search.lexicon_search import LexiconSearch
from ctcbias_fst.search.search_config import BoostConfig
from ctcbias_fst.text.encoded_entities import encode_entities
from ctcbias_fst.text.entities import entities_from_names
from ctcbias_fst.text.lexicon_tokenizer import LexiconTokenizer
from ctcbias_fst.text.token_lexicon import TokenLexicon
from ctcbias_fst.text.vocabulary import Vocabulary

PLAIN = Vocabulary.from_tokens(["a", "<blk>", "b", "c"], boundary="none")
SEPARATED = Vocabulary.from_tokens(["a", "<blk>", "b", "<wb>"])
WIDE = replace(EVERYTHING, search_beam=1e3, output_beam=1e3, blank_threshold=1.0, nbest=30)

PRICE = BoostConfig(
    alpha=0.0,
    free=0.0,
    first_alpha=0.0,
    repeat_alpha=0.0,
    blank_alpha=0.0,
    max_gap=2.0,
    first_max_gap=2.0,
    beta=0.0,
)
"""Names whose tokens are the best ones are paid as a whole, and nothing else is."""

Row = tuple[str, tuple[int, ...], float]


def _lexicon(rows: Sequence[Row]) -> TokenLexicon:
    return TokenLexicon.of(rows, "<test>")


@st.composite
def _rows(draw: st.DrawFn, tokens: tuple[int, ...]) -> list[Row]:
    """Words of one to three tokens, some that sound alike, some said in several ways."""
    one = st.lists(st.sampled_from(tokens), min_size=1, max_size=3).map(tuple)
    word, cost = st.sampled_from(["u", "v", "w"]), st.sampled_from([0.0, 0.5, 2.0])
    return draw(st.lists(st.tuples(word, one, cost), min_size=1, max_size=4))


def _best(
    log_probs: np.ndarray, lexicon: TokenLexicon, vocabulary: Vocabulary, config: DecodeConfig
) -> dict[tuple[str, ...], float]:
    """The score of the best path of each sentence, by enumeration of all labels of frames."""
    blank, separator = vocabulary.blank_id, vocabulary.separator_id
    ways = [(word, *way) for word in lexicon.words for way in lexicon.ways(word)]
    found: dict[tuple[str, ...], float] = {}
    for labels in itertools.product(range(vocabulary.size), repeat=len(log_probs)):
        score = float(log_probs[np.arange(len(labels)), labels].sum())
        # Where the separator is, so many tokens were begun before; it parts equal ones.
        mute = [0 if one in (blank, separator) else one + 1 for one in labels]
        tokens = tuple(token - 1 for token in collapse(mute))
        begun = [len(collapse(mute[: at + 1])) for at in range(len(labels))]
        hints = [begun[at] for at, one in enumerate(labels) if one == separator]
        for words, cost in _costs(tokens, hints, ways, config.separator_cost):
            found[words] = max(score - cost, found.get(words, -math.inf))
    return found


def _costs(
    tokens: tuple[int, ...], hints: Sequence[int], ways: Sequence[Row], inside: float
) -> Iterator[tuple[tuple[str, ...], float]]:
    """All ways to read tokens as words; separators, after so many tokens, cost inside words."""

    def go(at: int) -> Iterator[tuple[tuple[str, ...], float]]:
        if at == len(tokens):
            yield (), 0.0
        for word, said, cost in ways:
            if tokens[at : at + len(said)] == said:
                broken = sum(at < hint < at + len(said) for hint in hints)
                for others, more in go(at + len(said)):
                    yield (word, *others), cost + more + inside * broken

    yield from go(0)


def _decoder(
    lexicon: TokenLexicon, vocabulary: Vocabulary, config: DecodeConfig = WIDE
) -> LatticeDecoder:
    search = LexiconSearch(lexicon, vocabulary)
    return LatticeDecoder(vocabulary, config, lexicon=search, check_blank=False)


@settings(max_examples=30)
@given(data=st.data())
@pytest.mark.parametrize("vocabulary", [PLAIN, SEPARATED], ids=["plain", "separated"])
def test_n_best_equals_enumeration(data: st.DataObject, vocabulary: Vocabulary) -> None:
    """All sentences, in their order, at their scores."""
    tokens = (0, 2) if vocabulary is SEPARATED else (0, 2, 3)
    lexicon = _lexicon(data.draw(_rows(tokens)))
    log_probs = data.draw(log_prob_arrays(vocabulary.size, max_frames=5))
    expected = _best(log_probs, lexicon, vocabulary, WIDE)
    (found,) = _decoder(lexicon, vocabulary).decode(batch([log_probs], vocabulary))
    scores = {tuple(one.text.split()): one.score for one in found.nbest}
    order = sorted(expected.values(), reverse=True)[: WIDE.nbest]
    assert [one.score for one in found.nbest] == pytest.approx(order, abs=1e-3)
    for words, score in scores.items():
        assert score == pytest.approx(expected[words], abs=1e-3)


def test_enumeration_reads_words_at_all() -> None:
    """The test above would pass if neither side ever read a word."""
    lexicon = _lexicon([("u", (0,), 0.0), ("v", (0, 2), 0.5), ("w", (2,), 0.0)])
    log_probs = np.log(np.random.default_rng(0).dirichlet(np.ones(4), size=5))
    plain = _best(log_probs, lexicon, PLAIN, WIDE)
    assert {(), ("u", "w"), ("v",), ("u", "u", "u"), ("v", "v")} <= set(plain)
    # A pause inside a word costs, one between words does not.
    separated = _best(_sure([0, 3, 2]), lexicon, SEPARATED, WIDE)
    assert separated[("v",)] == pytest.approx(separated[("u", "w")] - WIDE.separator_cost)


@settings(max_examples=20)
@given(data=st.data())
def test_frames_that_are_surely_blank_may_be_left_out(data: st.DataObject) -> None:
    """What is read, and its score, are the same without them."""
    lexicon = _lexicon(data.draw(_rows((0, 2))))
    random = np.random.default_rng(data.draw(st.integers(0, 1000)))
    values = np.full((12, 4), 0.001, dtype=np.float32)
    kind = random.choice([1, 1, 1, 0, 2, 3], size=12)
    values[np.arange(12), kind] = 0.997
    log_probs = np.log(values)
    for threshold in (1.0, 0.99):
        config = replace(WIDE, blank_threshold=threshold, nbest=1)
        (found,) = _decoder(lexicon, SEPARATED, config).decode(batch([log_probs], SEPARATED))
        # Nothing but blank is taken there.
        sure = values[:, 1] > threshold
        allowed = np.where(sure[:, None] & (np.arange(4) != 1), -np.inf, log_probs)
        expected = max(_by_dynamic_programme(allowed, lexicon, config), default=-math.inf)
        assert found.best.score == pytest.approx(expected, abs=1e-2)


def _by_dynamic_programme(
    log_probs: np.ndarray, lexicon: TokenLexicon, config: DecodeConfig
) -> list[float]:
    """The score of the best path: over (where in which word, the last label) frame by frame."""
    ways = [way for word in lexicon.words for way in lexicon.ways(word)]
    start = (-1, 0, -1)  # no word, tokens read, the last token if it may go on
    best = {start: 0.0}
    for frame in log_probs.tolist():
        new: dict[tuple[int, int, int], float] = {}

        def take(state: tuple[int, int, int], score: float, new: dict = new) -> None:  # type: ignore[type-arg]
            new[state] = max(score, new.get(state, -math.inf))

        for (way, at, last), score in best.items():
            inside = way >= 0
            take((way, at, -1), score + frame[1])
            take((way, at, -1), score + frame[3] - (config.separator_cost if inside else 0.0))
            if last >= 0:
                take((way, at, last), score + frame[last])
            begins = [(way, at)] if inside else [(one, 0) for one in range(len(ways))]
            for one, place in begins:
                said, cost = ways[one]
                token = said[place]
                if token != last:
                    done = place + 1 == len(said)
                    state = (-1, 0, token) if done else (one, place + 1, token)
                    take(state, score + frame[token] - (cost if done else 0.0))
        best = new
    return [score for (way, _, _), score in best.items() if way < 0]


@settings(max_examples=20)
@given(seed=st.integers(0, 10**6))
def test_words_that_are_letters_are_read_as_without_a_lexicon(seed: int) -> None:
    """A lexicon of single letters restricts nothing: tokens are words by themselves then."""
    random = np.random.default_rng(seed)
    log_probs = np.log(random.dirichlet(np.full(4, 0.4), size=14) + 1e-7).astype(np.float32)
    log_probs -= np.log(np.exp(log_probs).sum(axis=1, keepdims=True))
    lexicon = _lexicon([("a", (0,), 0.0), ("b", (2,), 0.0), ("c", (3,), 0.0)])
    utterance = batch([log_probs], PLAIN)
    config = replace(WIDE, nbest=5)
    (free,) = LatticeDecoder(PLAIN, config, check_blank=False).decode(utterance)
    (found,) = _decoder(lexicon, PLAIN, config).decode(utterance)
    assert [one.text for one in found.nbest] == [one.text for one in free.nbest]
    for one, other in zip(found.nbest, free.nbest):
        assert one.score == pytest.approx(other.score, abs=1e-3)
        assert one.token_ids == other.token_ids
        assert [(w.start, w.end) for w in one.words] == [(w.start, w.end) for w in other.words]
        assert [w.log_prob for w in one.words] == pytest.approx([w.log_prob for w in other.words])


def _sure(labels: Sequence[int], size: int = 4, sure: float = 0.97) -> np.ndarray:
    values = np.full((len(labels), size), (1 - sure) / (size - 1), dtype=np.float32)
    values[np.arange(len(labels)), list(labels)] = sure
    return np.log(values)


LEXICON = _lexicon([("ab", (0, 2), 0.0), ("ba", (2, 0), 0.0), ("a", (0,), 0.0)])


def test_a_word_lasts_from_its_first_token_to_its_last_one() -> None:
    log_probs = _sure([1, 0, 0, 1, 2, 2, 1, 3, 2, 0, 1])
    (found,) = _decoder(LEXICON, SEPARATED).decode(batch([log_probs], SEPARATED))
    assert found.best.text == "ab ba"
    first, second = found.best.words
    seconds = 1 / 25
    assert (first.start, first.end) == pytest.approx((1 * seconds, 6 * seconds))
    assert (second.start, second.end) == pytest.approx((8 * seconds, 10 * seconds))
    assert first.log_prob == pytest.approx(math.log(0.97), abs=1e-4)
    assert first.confidence > 0.9
    assert found.best.token_ids == (0, 2, 2, 0)


def test_words_that_sound_alike_share_their_confidence() -> None:
    """Half of it is each one's if they cost the same."""
    lexicon = _lexicon([("to", (0, 2), 0.0), ("two", (0, 2), 0.0)])
    (found,) = _decoder(lexicon, SEPARATED).decode(batch([_sure([0, 2, 1])], SEPARATED))
    assert {one.text for one in found.nbest[:2]} == {"to", "two"}
    assert found.best.words[0].confidence == pytest.approx(0.5, abs=0.05)


def test_what_costs_more_is_read_second() -> None:
    lexicon = _lexicon([("a", (0,), 0.0), ("aye", (0,), 0.1), ("aye", (0, 2), 0.0)])
    (found,) = _decoder(lexicon, SEPARATED).decode(batch([_sure([0, 1])], SEPARATED))
    assert [one.text for one in found.nbest[:2]] == ["a", "aye"]
    assert found.nbest[0].score - found.nbest[1].score == pytest.approx(0.1, abs=1e-4)


def _names(*names: str) -> BoostGraph:
    tokenizer = LexiconTokenizer(SEPARATED, LEXICON)
    entities = entities_from_names(list(names))
    encoded = encode_entities(entities, tokenizer, 4)
    return build_tree(encoded, tuple(entities), SEPARATED).of_phones()


def test_names_are_words_of_their_own() -> None:
    """A name of two words is read as one, with its price paid and its boost told."""
    config = replace(WIDE, boost=replace(PRICE, bonus=2.0))
    decoder = _decoder(LEXICON, SEPARATED, config)
    log_probs = batch([_sure([0, 2, 1, 3, 2, 0, 1, 1, 0, 1])], SEPARATED)
    (plain,) = decoder.decode(log_probs)
    (named,) = decoder.decode(log_probs, _names("Ab Ba"))
    assert (plain.best.text, named.best.text) == ("ab ba a", "Ab Ba a")
    assert [word.entity for word in named.best.words] == [True, True, False]
    assert named.best.score - plain.best.score == pytest.approx(2.0, abs=1e-4)
    assert named.best.boost == pytest.approx(2.0, abs=1e-4)
    (mention,) = named.best.words[0].mentions
    assert (mention.entity.name, mention.boost, mention.heard) == (
        "ab ba",
        pytest.approx(2.0, abs=1e-4),
        None,
    )


def test_a_name_that_is_begun_and_not_complete_changes_nothing() -> None:
    config = replace(WIDE, boost=replace(PRICE, bonus=5.0))
    decoder = _decoder(LEXICON, SEPARATED, config)
    log_probs = batch([_sure([0, 2, 1, 3, 0, 1])], SEPARATED)
    (plain,), (named,) = decoder.decode(log_probs), decoder.decode(log_probs, _names("Ab Ba"))
    assert (named.best.text, named.best.score) == (plain.best.text, pytest.approx(plain.best.score))


def test_every_utterance_may_have_its_own_list() -> None:
    config = replace(WIDE, boost=replace(PRICE, bonus=3.0))
    decoder = _decoder(LEXICON, SEPARATED, config)
    log_probs = batch([_sure([0, 2, 1, 2, 0]), _sure([2, 0, 1]), _sure([0, 2, 1])], SEPARATED)
    first, second = _names("AB"), _names("BA")
    found = decoder.decode(log_probs, [first, second, first])
    assert [one.best.text for one in found] == ["AB ba", "BA", "AB"]
    found = decoder.decode(log_probs, [None, first, second], rows=None)
    assert [one.best.text for one in found] == ["ab ba", "ba", "ab"]
    with pytest.raises(GraphError, match="one list"):
        decoder.lattice(log_probs, [first, second, first])


def test_what_no_word_sounds_like_is_told() -> None:
    lexicon = _lexicon([("bc", (2, 3), 0.0)])
    log_probs = _sure([2] * 9, sure=0.9999999)
    log_probs[:, 3] = -np.inf
    config = replace(DecodeConfig(), search_beam=10.5)
    (found,) = _decoder(lexicon, PLAIN, config).decode(batch([log_probs], PLAIN))
    assert found.best.text == ""
    assert found.warning is not None and "no words of the lexicon" in found.warning


def test_the_tree_has_each_pronunciation_once() -> None:
    """Whatever their order; of equal ones of a word the cheapest."""
    rows = [((1, 2), 0, 0.5), ((1, 2), 0, 0.25), ((1, 2), 1, 0.0), ((1,), 2, 0.0), ((3, 1), 0, 0.0)]
    for order in itertools.permutations(rows):
        tree = LexiconTree.of(
            np.array([token for tokens, _, _ in order for token in tokens]),
            np.cumsum([0, *(len(tokens) for tokens, _, _ in order)]),
            np.array([word for _, word, _ in order]),
            np.array([cost for _, _, cost in order]),
        )
        found = {}
        for end, word, cost in zip(tree.end.tolist(), tree.word.tolist(), tree.cost.tolist()):
            tokens: tuple[int, ...] = ()
            at = end
            while at >= 0:
                tokens, at = (int(tree.token[at]), *tokens), int(tree.parent[at])
            assert (tokens, word) not in found
            found[tokens, word] = cost
        assert found == {((1, 2), 0): 0.25, ((1, 2), 1): 0.0, ((1,), 2): 0.0, ((3, 1), 0): 0.0}
        assert len(tree.token) == 4
        assert tree.inner.tolist().count(True) == 2

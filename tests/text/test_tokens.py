"""Tokenizers: what they write reads back, alternatives are ordered, gaps are named."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import sentencepiece
from hypothesis import assume, given
from hypothesis import strategies as st

from ctcbias_fst.errors import ModelError
from ctcbias_fst.text.token_marks import WordBoundary
from ctcbias_fst.text.tokens import (
    FewestPiecesTokenizer,
    SentencePieceTokenizer,
    Tokenizer,
    load_tokenizer,
)
from ctcbias_fst.text.vocabulary import Vocabulary

LETTERS = "abcdefghijklmnopqrstuvwxyz'"
words = st.text(alphabet=LETTERS, min_size=1, max_size=8)
phrases = st.lists(words, min_size=1, max_size=3).map(" ".join)

PIECES = Vocabulary.from_tokens(["<blk>", "▁a", "a", "b", "▁ab", "ba", "▁", "aba"])
WORDPIECES = Vocabulary.from_tokens(["[PAD]", "a", "##a", "b", "##b", "ab", "##ab", "[MASK]"])
CHARACTERS = Vocabulary.from_tokens(["<pad>", "|", "A", "B", "<unk>"])


@given(text=phrases)
def test_sentencepiece_reads_back(tokenizer: SentencePieceTokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert " ".join(tokenizer.vocabulary.ids_to_words(ids)) == text
    assert tokenizer.vocabulary.starts_word[ids[0]]
    assert tokenizer.uncovered(text) == ""


@given(text=phrases, n=st.integers(1, 6))
def test_sentencepiece_alternatives(tokenizer: SentencePieceTokenizer, text: str, n: int) -> None:
    candidates = tokenizer.encode_nbest([text], n)[0]
    costs = [cost for _, cost in candidates]
    assert 1 <= len(candidates) <= n
    assert costs == sorted(costs)
    assert costs[0] == 0.0
    assert len({tuple(ids) for ids, _ in candidates}) == len(candidates)
    for ids, _ in candidates:
        assert " ".join(tokenizer.vocabulary.ids_to_words(ids)) == text


def test_sentencepiece_names_what_it_cannot_write(tokenizer: SentencePieceTokenizer) -> None:
    assert tokenizer.uncovered("josé 9 mg é") == "é9"
    assert tokenizer.encode("josé") == []
    assert tokenizer.encode_nbest(["josé"], 3) == [[]]
    assert tokenizer.encode_batch(["new york", "9"]) == [tokenizer.encode("new york"), []]
    assert tokenizer.covers(LETTERS)
    assert not tokenizer.covers(LETTERS + "9")


def test_sentencepiece_in_the_columns_of_another_order(tokenizer_path: Path) -> None:
    plain = SentencePieceTokenizer(tokenizer_path)
    tokens = plain.vocabulary.tokens
    moved = Vocabulary.from_tokens((*tokens[1:], tokens[0]), blank="<blk>")
    shifted = SentencePieceTokenizer(tokenizer_path, moved)
    assert shifted.encode("new york") == [i - 1 for i in plain.encode("new york")]
    again = SentencePieceTokenizer(tokenizer_path, moved.blank_first())
    assert again.encode("new york") == plain.encode("new york")


def test_sentencepiece_with_a_piece_that_the_model_lacks(tokenizer_path: Path) -> None:
    plain = SentencePieceTokenizer(tokenizer_path)
    best = plain.vocabulary.tokens[
        max(plain.encode("york"), key=lambda i: len(plain.vocabulary.tokens[i]))
    ]
    lacking = [token for token in plain.vocabulary.tokens if token != best]
    tokenizer = SentencePieceTokenizer(tokenizer_path, Vocabulary.from_tokens(lacking))
    assert len(best) > 1
    assert tokenizer.encode("york") == []
    assert set(tokenizer.uncovered("york")) == set(best) - {"▁"}
    assert not tokenizer.covers("york")


def test_sentencepiece_of_another_model(tokenizer_path: Path) -> None:
    with pytest.raises(ModelError, match="do not belong together"):
        SentencePieceTokenizer(tokenizer_path, CHARACTERS)


def test_bpe_has_one_segmentation(tmp_path: Path) -> None:
    with (tmp_path / "bpe.model").open("wb") as stream:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(["AB ABBA BAAB A B"] * 10),
            model_writer=stream,
            vocab_size=10,
            model_type="bpe",
            pad_id=0,
            pad_piece="<blk>",
            unk_id=1,
            bos_id=-1,
            eos_id=-1,
            minloglevel=2,
        )
    tokenizer = SentencePieceTokenizer(tmp_path / "bpe.model")
    assert tokenizer.vocabulary.upper_case
    assert tokenizer.encode_nbest(["abba ab"], 5) == [[(tokenizer.encode("abba ab"), 0.0)]]
    assert tokenizer.vocabulary.ids_to_words(tokenizer.encode("abba ab")) == ["ABBA", "AB"]


def all_segmentations(vocabulary: Vocabulary, word: str) -> list[tuple[int, ...]]:
    """Every way to write a word, by trying every place to cut it."""
    found = []
    text = "▁" + word if vocabulary.boundary is WordBoundary.PREFIX else word
    for cuts in itertools.product([False, True], repeat=len(text) - 1):
        pieces = [text[0]]
        for cut, letter in zip(cuts, text[1:]):
            if cut:
                pieces.append(letter)
            else:
                pieces[-1] += letter
        if vocabulary.boundary is WordBoundary.CONTINUATION:
            pieces[1:] = ["##" + piece for piece in pieces[1:]]
        if all(piece in vocabulary.index for piece in pieces):
            found.append(tuple(vocabulary.index[piece] for piece in pieces))
    return found


@given(
    vocabulary=st.sampled_from([PIECES, WORDPIECES]),
    word=st.text(alphabet="ab", min_size=1, max_size=7),
    n=st.integers(1, 8),
)
def test_fewest_pieces_are_those_of_the_exhaustive_search(
    vocabulary: Vocabulary, word: str, n: int
) -> None:
    expected = sorted(all_segmentations(vocabulary, word), key=len)
    assume(expected)
    found = FewestPiecesTokenizer(vocabulary).encode_nbest([word], n)[0]
    assert len({tuple(ids) for ids, _ in found}) == min(n, len(expected))
    assert {tuple(ids) for ids, _ in found} <= set(expected)
    assert [len(ids) for ids, _ in found] == [len(ids) for ids in expected[:n]]
    assert [cost for _, cost in found] == [len(ids) - len(expected[0]) for ids, _ in found]


@given(
    vocabulary=st.sampled_from([PIECES, WORDPIECES, CHARACTERS]),
    text=st.lists(st.text("abc", min_size=1, max_size=5), min_size=1, max_size=3).map(" ".join),
    n=st.integers(1, 4),
)
def test_fewest_pieces_read_back_or_name_the_gap(vocabulary: Vocabulary, text: str, n: int) -> None:
    tokenizer = FewestPiecesTokenizer(vocabulary)
    candidates = tokenizer.encode_nbest([text], n)[0]
    assert bool(candidates) is not bool(tokenizer.uncovered(text))
    if tokenizer.covers(text):
        assert candidates
    for ids, _ in candidates:
        assert " ".join(vocabulary.ids_to_words(ids)).lower() == text


def test_fewest_pieces_prefers_long_first_pieces() -> None:
    ids = FewestPiecesTokenizer(WORDPIECES).encode("aba")
    assert [WORDPIECES.tokens[i] for i in ids] == ["ab", "##a"]


def test_characters_with_a_separator() -> None:
    tokenizer = FewestPiecesTokenizer(CHARACTERS)
    assert tokenizer.encode("ab a") == [2, 3, 1, 2]
    assert tokenizer.uncovered("abc") == "C"


def test_special_tokens_are_never_written() -> None:
    tokenizer = FewestPiecesTokenizer(Vocabulary.from_tokens(["<pad>", "|", "<unk>", "<s>", "s"]))
    assert tokenizer.encode("<s>") == []
    assert tokenizer.uncovered("<s>") == "<>"


def test_no_text_no_tokens(tokenizer: SentencePieceTokenizer) -> None:
    for each in (tokenizer, FewestPiecesTokenizer(PIECES)):
        assert each.encode("") == []
        assert each.uncovered("") == ""


@pytest.mark.parametrize("n", [0, -1])
def test_n_must_be_positive(tokenizer: SentencePieceTokenizer, n: int) -> None:
    for each in (tokenizer, FewestPiecesTokenizer(PIECES)):
        with pytest.raises(ValueError, match="at least 1"):
            each.encode_nbest(["a"], n)


def test_load(tokenizer_path: Path, tmp_path: Path) -> None:
    (tmp_path / "tokens.txt").write_text("<blk> 0\n| 1\na 2\n")
    loaded: list[Tokenizer] = [
        load_tokenizer(tokenizer_path),
        load_tokenizer(tmp_path / "tokens.txt"),
    ]
    assert isinstance(loaded[0], SentencePieceTokenizer)
    assert loaded[1].encode("a a") == [2, 1, 2]

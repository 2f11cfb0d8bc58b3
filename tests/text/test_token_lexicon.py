"""Lexicons in a model's tokens: the forms of other toolkits, and what is told of bad ones."""

from __future__ import annotations

import gzip
import math
import warnings
from pathlib import Path
from typing import Any

import pytest

from ctcbias_fst.errors import CtcbiasWarning, InputError
from ctcbias_fst.text.token_lexicon import TokenLexicon
from ctcbias_fst.text.vocabulary import Vocabulary

PHONES = Vocabulary.from_tokens(["<blk>", "K", "AE", "T", "S", "AH", "1"], boundary="none")


def _read(folder: Path, text: str, vocabulary: Vocabulary = PHONES) -> TokenLexicon:
    path = folder / "lexicon.txt"
    path.write_text(text, encoding="utf-8")
    return TokenLexicon.read(path, vocabulary)


def _ways(lexicon: TokenLexicon, word: str) -> list[tuple[tuple[int, ...], float]]:
    return [(tokens, pytest.approx(cost, abs=1e-5)) for tokens, cost in lexicon.ways(word)]


def test_usual_form(tmp_path: Path) -> None:
    lexicon = _read(tmp_path, "cat K AE T\ncats\tK AE T S\n\ncat K AH T\n")
    assert lexicon.words == ("cat", "cats")
    assert lexicon.ways("cat") == [((1, 2, 3), 0.0), ((1, 5, 3), 0.0)]
    assert lexicon.ways("cats") == [((1, 2, 3, 4), 0.0)]
    assert lexicon.ways("dog") == ()
    assert len(lexicon) == 3
    assert repr(lexicon) == "<TokenLexicon of 2 words, 3 pronunciations>"


def test_probabilities_are_costs_beside_the_likeliest(tmp_path: Path) -> None:
    lexicon = _read(tmp_path, "cat 0.2 K AH T\ncat 0.8 K AE T\ncat 0.1 K AE T\n")
    assert _ways(lexicon, "cat") == [((1, 2, 3), 0.0), ((1, 5, 3), math.log(4))]


def test_a_number_that_is_a_token_is_one(tmp_path: Path) -> None:
    assert _read(tmp_path, "one 1 K\n").ways("one") == [((6, 1), 0.0)]


def test_cmu_dictionary(tmp_path: Path) -> None:
    """Capitals, stress, comments, numbered pronunciations, and silence."""
    text = ";;; a comment\n# another\nCAT  K AE1 T\nCAT(2)  K AH0 T\n<SIL> T\n!NOISE T\nS(X) S\n"
    lexicon = _read(tmp_path, text)
    assert lexicon.words == ("cat", "s(x)")
    assert lexicon.ways("cat") == [((1, 2, 3), 0.0), ((1, 5, 3), 0.0)]


def test_silence_is_no_word(tmp_path: Path) -> None:
    """As in Kaldi's lexicons, where each kind of it has a line."""
    tokens = Vocabulary.from_tokens(["<blk>", "K", "AE", "T", "SIL", "SPN"], boundary="none")
    lexicon = _read(tmp_path, "silence SIL\nunk SPN\ncat K AE T\n", tokens)
    assert lexicon.words == ("cat",)


def test_words_keep_their_capitals_beside_small_letters(tmp_path: Path) -> None:
    assert _read(tmp_path, "US K\nus T\n").words == ("US", "us")


def test_words_are_found_whatever_their_capitals(tmp_path: Path) -> None:
    """And written as the lexicon has them, also what is added to it."""
    lexicon = _read(tmp_path, "cat K AE T\nKate K AH T\nUS AH S\nus AH\n")
    assert lexicon.ways("kate") == lexicon.ways("KATE") == [((1, 5, 3), 0.0)]
    assert lexicon.ways("us") == lexicon.ways("US") == [((5,), 0.0), ((5, 4), 0.0)]
    more = lexicon.with_ways([("kate", (1, 2, 3), 0.5), ("us", (4,), 0.0), ("at", (2, 3), 0.0)])
    assert more.words == ("Kate", "US", "at", "cat", "us")
    assert list(more.entries()) == [
        ("Kate", (1, 5, 3), 0.0),
        ("Kate", (1, 2, 3), 0.5),
        ("US", (5, 4), 0.0),
        ("at", (2, 3), 0.0),
        ("cat", (1, 2, 3), 0.0),
        ("us", (4,), 0.0),
        ("us", (5,), 0.0),
    ]


def test_remarks_behind_an_entry(tmp_path: Path) -> None:
    """As in the CMU dictionary; a phone may have that form."""
    lexicon = _read(tmp_path, "cat K AE T # foreign french\ncat(2)\tK AH T\t#name\n")
    assert lexicon.ways("cat") == [((1, 2, 3), 0.0), ((1, 5, 3), 0.0)]
    tones = Vocabulary.from_tokens(["<blk>", "K", "#1"], boundary="none")
    assert _read(tmp_path, "cat K #1 # tone\n", tones).ways("cat") == [((1, 2), 0.0)]


def test_phones_given_as_pronunciations_are_told() -> None:
    with pytest.warns(CtcbiasWarning, match=r"'cat': .* are 3 pronunciations of one phone each "
                      r"\(1 such words\); if .* write 'K AE T'$"):  # fmt: skip
        TokenLexicon.read({"cat": ["K", "AE", "T"], "at": "AE T"}, PHONES)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        TokenLexicon.read({"a": ["AH", "AE"], "at": ["AE T", "AH"], "oh": ["AH"]}, PHONES)


def test_stress_counts_where_the_model_has_it(tmp_path: Path) -> None:
    stressed = Vocabulary.from_tokens(["<blk>", "AE0", "AE1", "t"], boundary="none")
    assert _read(tmp_path, "at AE1 T\n", stressed).ways("at") == [((2, 3), 0.0)]


def test_gzip(tmp_path: Path) -> None:
    path = tmp_path / "lexicon.gz"
    path.write_bytes(gzip.compress(b"cat K AE T\n"))
    assert TokenLexicon.read(path, PHONES).words == ("cat",)


def test_mapping() -> None:
    lexicon = TokenLexicon.read({"cat": ["K AE T", "K AH T"], "at": "AE T"}, PHONES)
    assert lexicon.words == ("at", "cat")
    assert len(lexicon.ways("cat")) == 2
    assert TokenLexicon.read(lexicon, PHONES) is lexicon


def test_further_ways() -> None:
    lexicon = TokenLexicon.read({"cat": "K AE T"}, PHONES)
    more = lexicon.with_ways([("cat", (1, 5, 3), 0.5), ("at", (2, 3), 0.0)])
    assert more.words == ("at", "cat")
    assert more.ways("cat") == [((1, 2, 3), 0.0), ((1, 5, 3), 0.5)]


def test_what_is_written_are_the_words() -> None:
    vocabulary = TokenLexicon.read({"cat": "K AE T"}, PHONES).vocabulary(PHONES)
    assert vocabulary.size == PHONES.size + 1
    assert vocabulary.ids_to_words([1, 2, 3, PHONES.size, PHONES.size]) == ["cat", "cat"]


def test_phones_that_the_model_lacks_are_told(tmp_path: Path) -> None:
    with pytest.warns(CtcbiasWarning, match=r"1 of 2 .* left out: .* token 'DH' \(line 2, 'the'\)"):
        lexicon = _read(tmp_path, "cat K AE T\nthe DH AH\n")
    assert lexicon.words == ("cat",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no words"),
        ("# nothing\n", "has no words"),
        ("cat\n", r"line 1: 'cat' has no phones; write a word and its phones"),
        ("cat K\ndog 0.5\n", r"line 2: 'dog' has no phones"),
        ("the DH AX\n", r"no token 'DH' \(line 1, 'the'\): this is the lexicon of another model"),
        ("cat 1.5 K AE T\n", r"no token '1.5'"),
        ("cat K AE <blk> T\n", r"line 1, 'cat': '<blk>' is the model's blank, no phone"),
        ("cat # K AE T\n", r"line 1: 'cat' has no phones"),
    ],
)
def test_bad_files(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        _read(tmp_path, text)


@pytest.mark.parametrize(
    ("lexicon", "message"),
    [
        (None, "must be the path"),
        (["cat"], "must be the path"),
        ({}, "has no words"),
        ({"cat": ""}, "'cat' has no phones"),
        ({"cat": "K AE T", "dog": []}, "'dog' has no phones"),
        ({"cat": 3}, "map each word to its phones"),
        ({3: "K"}, "map each word to its phones"),
        ({"cat": [["K", "AE", "T"]]}, "map each word to its phones"),
        ({" ": "K"}, "map each word to its phones"),
        ("missing.txt", "missing.txt"),
    ],
)
def test_bad_lexicons_in_memory(lexicon: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        TokenLexicon.read(lexicon, PHONES)

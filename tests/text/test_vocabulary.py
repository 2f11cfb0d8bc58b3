"""Vocabularies: reading them, finding blank and boundary, joining tokens into words."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcbias_fst import Decoder
from ctcbias_fst.errors import CtcbiasWarning, ModelError
from ctcbias_fst.text.token_marks import WordBoundary
from ctcbias_fst.text.vocabulary import Vocabulary

PIECES = Vocabulary.from_tokens(["<blk>", "<unk>", "▁", "▁new", "▁y", "or", "k", "▁york"])
WORDPIECES = Vocabulary.from_tokens(["[PAD]", "[UNK]", "[CLS]", "new", "##ton", "york", "##s"])
LETTERS = Vocabulary.from_tokens(["<pad>", "<s>", "</s>", "<unk>", "|", "E", "T", "A", "'"])


def test_guesses() -> None:
    assert (PIECES.boundary, PIECES.blank_id, PIECES.unk_id) == (WordBoundary.PREFIX, 0, 1)
    assert (WORDPIECES.boundary, WORDPIECES.unk_id) == (WordBoundary.CONTINUATION, 1)
    assert (LETTERS.boundary, LETTERS.separator_id, LETTERS.unk_id) == (
        WordBoundary.SEPARATOR,
        4,
        3,
    )
    assert not PIECES.upper_case
    assert LETTERS.upper_case


@pytest.mark.parametrize(
    ("vocabulary", "tokens", "spans"),
    [
        (PIECES, ["▁new", "▁y", "or", "k"], [(0, 1, "new"), (1, 4, "york")]),
        (PIECES, ["or", "k", "▁", "or"], [(0, 2, "ork"), (2, 4, "or")]),
        (PIECES, ["▁", "▁new", "▁"], [(1, 2, "new")]),
        (PIECES, ["▁new", "<unk>", "<blk>"], [(0, 2, "new<unk>")]),
        (PIECES, [], []),
        (WORDPIECES, ["new", "##ton", "york"], [(0, 2, "newton"), (2, 3, "york")]),
        (WORDPIECES, ["[CLS]", "##ton", "##s"], [(1, 3, "tons")]),
        (LETTERS, ["|", "T", "E", "|", "|", "A", "|"], [(1, 3, "TE"), (5, 6, "A")]),
        (LETTERS, ["<s>", "T", "<pad>", "E", "</s>"], [(1, 4, "TE")]),
    ],
)
def test_word_spans(
    vocabulary: Vocabulary, tokens: list[str], spans: list[tuple[int, int, str]]
) -> None:
    ids = [vocabulary.index[token] for token in tokens]
    assert vocabulary.word_spans(ids) == spans
    assert vocabulary.ids_to_words(ids) == [word for _, _, word in spans]


def test_word_starts() -> None:
    assert np.flatnonzero(PIECES.starts_word).tolist() == [2, 3, 4, 7]
    assert np.flatnonzero(PIECES.ends_word).tolist() == [2, 3, 4, 7]
    assert np.flatnonzero(WORDPIECES.starts_word).tolist() == [1, 3, 5]  # [UNK] has no mark
    assert not LETTERS.starts_word.any()
    assert np.flatnonzero(LETTERS.ends_word).tolist() == [4]
    with pytest.raises(ValueError, match="read-only"):
        PIECES.starts_word[0] = True


@given(st.lists(st.integers(0, LETTERS.size - 1)))
def test_words_are_the_separated_text(ids: list[int]) -> None:
    text = "".join(" " if i == LETTERS.separator_id else LETTERS.surfaces[i] for i in ids)
    assert LETTERS.ids_to_words(ids) == text.split()


@given(
    st.lists(st.integers(0, PIECES.size - 1)),
    st.sampled_from([PIECES, WORDPIECES]),
)
def test_spans_are_ordered_and_write_their_word(ids: list[int], vocabulary: Vocabulary) -> None:
    ids = [i for i in ids if i < vocabulary.size]
    end = 0
    for start, stop, word in vocabulary.word_spans(ids):
        assert end <= start < stop <= len(ids)
        assert "".join(vocabulary.surfaces[i] for i in ids[start:stop]) == word
        end = stop


def test_blank_moves_to_the_front() -> None:
    last = Vocabulary.from_tokens(["<unk>", "▁a", "b"], blank=3)
    assert last.tokens == ("<unk>", "▁a", "b", "<blk>")
    first = last.blank_first()
    assert first.tokens == ("<blk>", "<unk>", "▁a", "b")
    assert (first.blank_id, first.unk_id) == (0, 1)
    columns = np.arange(4)[last.blank_first_order]
    assert [last.tokens[i] for i in columns] == list(first.tokens)
    assert first.blank_first() is first


def test_digest_tells_vocabularies_apart() -> None:
    twin = Vocabulary(PIECES.tokens, PIECES.blank_id, PIECES.boundary, PIECES.unk_id)
    assert twin.digest == PIECES.digest
    digests = {PIECES.digest, WORDPIECES.digest, LETTERS.digest}
    digests.add(Vocabulary(PIECES.tokens, 2, PIECES.boundary).digest)
    digests.add(Vocabulary(PIECES.tokens[::-1], 0, PIECES.boundary).digest)
    assert len(digests) == 5
    # Frozen: a graph made last year must still be recognised.
    assert LETTERS.digest.startswith("21cf00ffacca95c3408612c5fa6a6b49")


@pytest.mark.parametrize(
    ("name", "text", "tokens"),
    [
        ("tokens.txt", "<blk> 0\n▁a 1\nb 2\n#0 3\n#1 4\n", ("<blk>", "▁a", "b")),
        ("tokens.txt", "▁a 1\r\n<blk> 0\r\n", ("<blk>", "▁a")),
        ("tokens.txt", "<blk>\n▁a\n5\n", ("<blk>", "▁a", "5")),
        ("tokens.txt", "<blk> 0\na 1\n  2\n", ("<blk>", "a", " ")),
        ("vocab.json", '{"<pad>": 0, "|": 2, "a": 1}', ("<pad>", "a", "|")),
        ("vocab.json", '["", " ", "a"]', ("", " ", "a")),
    ],
)
def test_files(tmp_path: Path, name: str, text: str, tokens: tuple[str, ...]) -> None:
    path = tmp_path / name
    path.write_bytes(text.encode())
    assert Vocabulary.from_file(path).tokens == tokens


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("tokens.txt", "", "empty"),
        ("tokens.txt", "▁a 0\nb 1\n", "no CTC blank found among the 2 tokens.*or 2 for"),
        ("tokens.txt", "<blk> 0\na 1\n", "cannot tell how words begin"),
        ("tokens.txt", "<blk> 0\n▁a 2\n", "without gaps.*'▁a' has 2 where 1"),
        ("tokens.txt", "<blk> 0\n▁a\n", "'▁a' has no id"),
        (
            "tokens.txt",
            "<blk> 0\n▁a 1\n▁a 2\n",
            "'▁a' occurs more than once.*columns 1 and 2: every column needs",
        ),
        ("vocab.json", '{"a": 0', "line 1: not valid JSON"),
        ("vocab.json", '{"a": "0"}', "expected a JSON list"),
        ("tokenizer.model", "no model", "not a SentencePiece model"),
    ],
)
def test_bad_files(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ModelError, match=message) as caught:
        Vocabulary.from_file(path)
    assert name in str(caught.value)


def test_missing_files(tmp_path: Path) -> None:
    for name in ("tokens.txt", "tokenizer.model"):
        with pytest.raises(ModelError, match=f"{name}: no such"):
            Vocabulary.from_file(tmp_path / name)


def test_what_the_user_says_wins() -> None:
    tokens = ["a", "b", "##c"]
    said = Vocabulary.from_tokens(tokens, blank="b", boundary=WordBoundary.CONTINUATION)
    assert (said.blank_id, said.boundary) == (1, WordBoundary.CONTINUATION)
    with pytest.raises(ModelError, match="'x' is not in the vocabulary"):
        Vocabulary.from_tokens(tokens, blank="x")
    with pytest.raises(ModelError, match="blank 4 is out of range.*use 3"):
        Vocabulary.from_tokens(tokens, blank=4)
    with pytest.raises(ModelError, match="no word separator"):
        Vocabulary.from_tokens(tokens, blank=0, boundary=WordBoundary.SEPARATOR)
    with pytest.raises(ModelError, match="unknown-token id 7"):
        Vocabulary(("a", "b"), 0, WordBoundary.PREFIX, unk_id=7)
    with pytest.raises(ModelError, match="blank id 2"):
        Vocabulary(("a", "b"), 2, WordBoundary.PREFIX)


def test_json_of_digest_is_ascii() -> None:
    # The digest must not depend on how a platform writes U+2581.
    assert json.dumps("▁").isascii()


@pytest.mark.parametrize("content", ['["<pad>", "|", "a"]', '{"<pad>": 0, "|": 1, "a": 2}'])
def test_a_language_of_a_vocabulary_that_has_none_is_told(tmp_path: Path, content: str) -> None:
    path = tmp_path / "vocab.json"
    path.write_text(content)
    with pytest.warns(
        CtcbiasWarning, match=r"json: has one vocabulary, not one .*: 'eng' .*no eff"
    ):
        assert Vocabulary.from_file(path, language="eng").size == 3
    text = tmp_path / "tokens.txt"
    text.write_text("<pad>\n|\na\n")
    with pytest.warns(CtcbiasWarning, match="has one vocabulary"):
        Vocabulary.from_file(text, language="eng")


@pytest.mark.parametrize("boundary", ["prefix", "continuation"])
def test_a_boundary_that_no_token_has(boundary: str) -> None:
    letters = ["<pad>", "|", "a", "b"]
    with pytest.raises(
        ModelError, match=rf"boundary={boundary}: none of the 4 .*: '\|' parts words"
    ):
        Vocabulary.from_tokens(letters, boundary=WordBoundary(boundary))
    with pytest.raises(
        ModelError, match="boundary=separator with the token between words, or bound"
    ):
        Vocabulary.from_tokens(["<pad>", "a", "b"], boundary=WordBoundary(boundary))
    marked = [*letters, "\u2581c", "##c"]
    assert Vocabulary.from_tokens(marked, boundary=WordBoundary(boundary)).size == 6


def test_phones_that_are_glued() -> None:
    phones = "AA AE AH B CH D SH NG".split()
    stressed = ["AA0", "AE1", "AH2", "EH0", "IY1"]
    ipa = ["ə", "ɪ", "ʃ", "ɹ", "ɡ", "oʊ", "aɪ", "aʊ", "eɪ", "tʃ"]
    for tokens in (phones, stressed, ipa):
        assert Vocabulary.from_tokens(["<pad>", "|", *tokens]).glues_phones
        alone = Vocabulary.from_tokens(["<pad>", "|", *tokens], boundary=WordBoundary.NONE)
        assert not alone.glues_phones
    for tokens in (list("abcdefgh"), ["th", "er", "on", "an", "in", "es", "a", "b"]):
        assert not Vocabulary.from_tokens(["<pad>", "|", *tokens]).glues_phones
    with pytest.raises(
        ModelError, match="boundary=none if each token is to be written by itself, a"
    ):
        Vocabulary.from_tokens(["<pad>", *phones])


def test_silence_beside_phones_writes_nothing() -> None:
    """So that it is a pause; in a vocabulary of words or letters it is a word or a letter."""
    phones = Vocabulary.from_tokens(["<blk>", "AA", "EH", "SH", "CH", "TH", "sil"], boundary="none")
    assert phones.surfaces == ("", "AA", "EH", "SH", "CH", "TH", "")
    assert phones.silent.tolist() == [False] * 6 + [True]
    words = Vocabulary.from_tokens(["<blk>", "▁sil", "▁SH", "▁AA", "EH", "TH", "CH", "AH", "sil"])
    assert words.surfaces[-1] == "sil"


CHARACTERS = ["<pad>", "|", *"abcdefghijklmnopqrstuvwxyz"]


@pytest.mark.parametrize(
    ("tokens", "options", "said", "words"),
    [
        (["<unk>", *CHARACTERS], {}, ["n", "a", "<unk>", "v", "e", "|", "i"], ["na<unk>ve", "i"]),
        (["[UNK]", *CHARACTERS], {}, ["n", "[UNK]", "|", "[UNK]"], ["n<unk>", "<unk>"]),
        (["<UNK>", *CHARACTERS], {}, ["<UNK>", "a"], ["<unk>a"]),
        (["<|unk|>", *CHARACTERS], {}, ["a", "<|unk|>"], ["a<unk>"]),
        (["<unknown>", *CHARACTERS], {}, ["a", "<unknown>", "b"], ["a<unk>b"]),
        (["\u2047", *CHARACTERS], {}, ["a", "\u2047", "b"], ["a<unk>b"]),
        (["<s>", "</s>", "[CLS]", *CHARACTERS], {}, ["<s>", "a", "[CLS]", "b", "</s>"], ["ab"]),
        (["<blk>", "<unk>", "▁", "▁na", "ve"], {}, ["▁na", "<unk>", "ve"], ["na<unk>ve"]),
        (["<blk>", "<unk>", "▁", "▁na", "ve"], {}, ["▁na", "▁", "<unk>", "▁na"],
         ["na", "<unk>", "na"]),
        (["[PAD]", "[UNK]", "na", "##ve", "i"], {}, ["na", "##ve", "[UNK]", "i", "na", "[UNK]"],
         ["nave", "<unk>", "i", "na", "<unk>"]),
        (["<blank>", "<unk>", *"我们在北京"], {}, ["我", "<unk>", "北", "京"],
         ["我", "<unk>", "北", "京"]),
        (["<pad>", "<unk>", "|", *"абвгд"], {}, ["а", "<unk>", "б"], ["а<unk>б"]),
        (["<blk>", "<unk>", *"AA AE AH B D K S T".split()], {"boundary": "none"},
         ["K", "<unk>", "T"], ["K", "<unk>", "T"]),
    ],
)  # fmt: skip
def test_what_no_token_writes_is_seen_in_the_text(
    tokens: list[str], options: dict, said: list[str], words: list[str]
) -> None:
    """In the word that it is a part of; as a word, where tokens without a mark begin one."""
    vocabulary = Vocabulary.from_tokens(tokens, **options)
    assert vocabulary.ids_to_words([vocabulary.index[one] for one in said]) == words
    rows = np.full((2 * len(said) + 1, len(tokens)), -12.0)
    rows[::2, vocabulary.blank_id] = 0.0
    rows[np.arange(len(said)) * 2 + 1, [vocabulary.index[one] for one in said]] = 0.0
    rows -= np.log(np.exp(rows).sum(axis=1, keepdims=True))
    decoder = Decoder.from_tokens(tokens, frame_seconds=0.04, **options)
    (found,) = decoder.decode(rows)
    assert [word.word for word in found.best.words] == words


CHARACTERS = ["<blank>", "|", *"abc"]


@pytest.mark.parametrize("blank", [3, "b", 5])
def test_another_blank_than_the_one_of_that_name_is_told(blank: int | str) -> None:
    with pytest.warns(CtcbiasWarning, match="though column 0 is '<blank>': if .* or say 0 "):
        vocabulary = Vocabulary.from_tokens(CHARACTERS, blank=blank)
    assert vocabulary.blank_id == (3 if blank == "b" else blank)


def test_a_blank_of_another_name_is_not_told() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Vocabulary.from_tokens(CHARACTERS, blank=0).blank_id == 0
        assert Vocabulary.from_tokens([*CHARACTERS, "<blk>"], blank="<blk>").blank_id == 5
        assert Vocabulary.from_tokens(["<pad>", *CHARACTERS[1:]], blank=5).blank_id == 5


def test_one_column_more_may_be_the_blank() -> None:
    told = (
        r"has 5 tokens, the log-probs 6 columns: the last one is taken for a special token that "
        r"writes nothing; if texts are wrong, that may be the blank, as of NeMo's models "
        r"\(blank=5, --blank 5\), and not '<pad>'; or else these are the tokens of another model$"
    )
    with pytest.warns(CtcbiasWarning, match=told):
        Vocabulary.from_tokens(["|", "a", "<pad>", "b", "c"], columns=6)
    with pytest.warns(CtcbiasWarning, match="if texts are wrong, these are the tokens"):
        Vocabulary.from_tokens(CHARACTERS, columns=6)

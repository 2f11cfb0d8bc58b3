"""Vocabularies of all kinds: names are found as each of them can write them."""

from __future__ import annotations

import json
import unicodedata
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import batch

from ctcbias_fst.cli import main
from ctcbias_fst.errors import CtcbiasWarning, ModelError
from ctcbias_fst.graph.entity_tree import boost_graph
from ctcbias_fst.records import Hypothesis
from ctcbias_fst.search.lattice_decoder import LatticeDecoder
from ctcbias_fst.text.checked_entities import check_entities
from ctcbias_fst.text.entities import entities_from_names
from ctcbias_fst.text.letters import Case
from ctcbias_fst.text.normalise import normalise
from ctcbias_fst.text.scripts import is_unspaced
from ctcbias_fst.text.token_marks import WordBoundary
from ctcbias_fst.text.tokens import FewestPiecesTokenizer
from ctcbias_fst.text.vocabulary import Vocabulary
from ctcbias_fst.text.written_forms import written_forms

SMALL = list("abcdefghijklmnopqrstuvwxyz'")
CAPITALS = list("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
CHARACTERS = ["<pad>", "|", *SMALL]
CASED = [*CHARACTERS, *CAPITALS, ".", ",", "-"]


def saved(
    folder: Path, frames: list[list[str]], tokens: list[str], columns: int | None = None
) -> Path:
    """Log-probs in which every frame's first token is the best, and its second 1 nat behind."""
    columns = columns or len(tokens)
    rows = np.full((2 * len(frames), columns), -9.0)
    blank = next((i for i, t in enumerate(tokens) if t in ("<pad>", "<blk>", "[PAD]", "<blank>")),
                 columns - 1)  # fmt: skip
    rows[1::2, blank] = 0.0
    for place, (best, *second) in enumerate(frames):
        for token in second:
            rows[2 * place, tokens.index(token)] = -1.0
        rows[2 * place, tokens.index(best)] = 0.0
    rows -= np.log(np.exp(rows).sum(axis=1, keepdims=True))
    np.savez(folder / "lp.npz", frame_seconds=np.array(0.02), u=rows.astype(np.float32))
    return folder / "lp.npz"


def spelt(text: str, wrong: int | None = None, other: str = "e") -> list[list[str]]:
    """A frame a character; at place ``wrong`` another one is a nat better."""
    found = [["|" if c == " " else c] for c in text]
    if wrong is not None:
        found[wrong] = [other, *found[wrong]]
    return found


def decoded(folder: Path, log_probs: Path, tokens: Path, names: str, *options: str) -> str:
    (folder / "names.tsv").write_text(names + "\n", encoding="utf-8")
    out = folder / "out.jsonl"
    out.unlink(missing_ok=True)
    arguments = ["decode", "--log-probs", str(log_probs), "--tokens", str(tokens)]
    arguments += ["--entities", str(folder / "names.tsv"), "--out", str(out), *options]
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    if not out.is_file():
        return result.output
    (line,) = out.read_text(encoding="utf-8").splitlines()
    return str(json.loads(line)["text"])


def written(folder: Path, tokens: object, name: str = "tokens.json") -> Path:
    (folder / name).write_text(json.dumps(tokens, ensure_ascii=False), encoding="utf-8")
    return folder / name


@pytest.mark.parametrize(
    ("said", "wrong", "name", "expected"),
    [
        ("call anna now", 8, "Anna", "call Anna now"),
        ("Call Anna now", 8, "Anna", "Call Anna now"),
        ("call anna, now", 8, "Anna", "call Anna, now"),
        ("call anna.", 8, "Anna", "call Anna."),
        ("call Anna Smith", 8, "anna smith", "call anna smith"),
        ("take Metformin-XR", 7, "metformin", "take metformin-XR"),
        ("drink coca-cola now", 9, "Coca-Cola", "drink Coca-Cola now"),
        ("drink Coca-Cola.", 9, "Coca-Cola", "drink Coca-Cola."),
        ("call O'Brien, now", 9, "O'Brien", "call O'Brien, now"),
        ("ask McDonald now", 8, "McDonald", "ask McDonald now"),
        ("anna's book", 3, "Anna", "Anna's book"),
    ],
)
def test_capitals_small_letters_and_punctuation(
    tmp_path: Path, said: str, wrong: int, name: str, expected: str
) -> None:
    other = "u" if said[wrong] in "eE" else "e"
    log_probs = saved(tmp_path, spelt(said, wrong, other), CASED)
    assert decoded(tmp_path, log_probs, written(tmp_path, CASED), name) == expected


def test_what_is_sure_is_spelt_and_marked_before_punctuation(tmp_path: Path) -> None:
    log_probs = saved(tmp_path, spelt("Ask kisha, or Kisha."), CASED)
    assert decoded(tmp_path, log_probs, written(tmp_path, CASED), "KiSha") == "Ask KiSha, or KiSha."


def test_bytes_are_characters(tmp_path: Path) -> None:
    tokens = ["<blk>", "<unk>", "<0xC3>", "<0xA9>", "\u2581caf", "\u2581an", "na", "ne"]
    frames = [["\u2581caf"], ["<0xC3>"], ["<0xA9>"], ["\u2581an"], ["ne", "na"]]
    log_probs = saved(tmp_path, frames, tokens)
    path = written(tmp_path, tokens)
    assert decoded(tmp_path, log_probs, path, "Anna") == "café Anna"
    assert decoded(tmp_path, log_probs, path, "Café Anna") == "Café Anna"


HAN_TOKENS = ["<blank>", "<unk>", *"我们在北京背景", "<sos/eos>"]
KANA_TOKENS = ["<blk>", "\u2581call", "\u2581now", *"たなかけ"]


@pytest.mark.parametrize(
    ("tokens", "said", "names", "expected"),
    [
        (HAN_TOKENS, "我 们 在 背/北 京", "北京", "我们在北京"),
        (HAN_TOKENS, "我 们 在 背/北 京", "name\tdisplay\n北 京\t北京", "我们在北京"),
        (KANA_TOKENS, "\u2581call た な け/か \u2581now", "たなか", "call たなか now"),
    ],
)
def test_a_script_without_spaces(
    tmp_path: Path, tokens: list[str], said: str, names: str, expected: str
) -> None:
    """By itself, and beside pieces of Latin letters."""
    log_probs = saved(tmp_path, [frame.split("/") for frame in said.split()], tokens)
    assert decoded(tmp_path, log_probs, written(tmp_path, tokens), names) == expected


PHONES = [
    "<pad>",
    "<sos>",
    "<eos>",
    "<unk>",
    " ",
    "k",
    "ɔ",
    "l",
    "t͡ɕʰa",
    "æ",
    "ʃ",
    "w",
    "d",
    "<wb>",
]


@pytest.mark.parametrize("second", ["", " ".join(["<wb>", "k", "ɔ", "l"])])
def test_phones_with_pronunciations_of_the_user(tmp_path: Path, second: str) -> None:
    frames = [["k"], ["ɔ"], ["l"], ["<wb>"], ["d"], ["æ", "t͡ɕʰa"], ["ʃ"], ["w"]]
    frames += [[phone] for phone in second.split()]
    log_probs = saved(tmp_path, frames, PHONES)
    names = f"name\tpronunciations\nDashwood{' Call' * bool(second)}\td t͡ɕʰa ʃ w {second}"
    found = decoded(tmp_path, log_probs, written(tmp_path, PHONES), names)
    assert found == "kɔl Dashwood" + " Call" * bool(second)


def test_any_token_separates_words(tmp_path: Path) -> None:
    tokens = ["<pad>", "#", *SMALL]
    frames = [["#"] if c == " " else [c] for c in "call anne"]
    frames[-1].append("a")
    log_probs, path = saved(tmp_path, frames, tokens), written(tmp_path, tokens)
    assert "cannot tell how words begin" in decoded(tmp_path, log_probs, path, "Anna")
    assert decoded(tmp_path, log_probs, path, "Anna", "--separator", "#") == "call Anna"
    assert "not in the vocabulary" in decoded(tmp_path, log_probs, path, "Anna", "--separator", "%")


# As models ship them.


def _ids(tokens: list[str]) -> dict[str, int]:
    return {token: i for i, token in enumerate(tokens)}


XLSR = ["|", *SMALL, "[UNK]", "[PAD]"]


def test_more_columns_than_tokens(tmp_path: Path) -> None:
    frames = spelt("call kishe", 9, "e")
    frames[-1] = ["e", "a"]
    log_probs = saved(tmp_path, frames, XLSR, len(XLSR) + 2)
    path = written(tmp_path, _ids(XLSR), "vocab.json")
    assert decoded(tmp_path, log_probs, path, "Kisha") == "call Kisha"
    with pytest.warns(CtcbiasWarning, match="the last 2 are taken for special tokens"):
        Vocabulary.from_file(path, columns=len(XLSR) + 2)
    written(tmp_path, {"<s>": len(XLSR), "</s>": len(XLSR) + 1}, "added_tokens.json")
    assert Vocabulary.from_file(path).tokens[-2:] == ("<s>", "</s>")


def test_tokens_of_another_model_are_refused(tmp_path: Path) -> None:
    frames = spelt("call kishe", 9, "e")
    path = written(tmp_path, _ids(XLSR), "vocab.json")
    for added in (3, 8):
        log_probs = saved(tmp_path, frames, XLSR, len(XLSR) + added)
        assert "one such as <unused1> for a col" in decoded(tmp_path, log_probs, path, "Kisha")
    # The last tokens of the right vocabulary are missing.
    log_probs = saved(tmp_path, spelt("zoozyzozzy", 9, "e"), XLSR, len(XLSR))
    path = written(tmp_path, [*XLSR[-2:], *XLSR[:-4]])
    said = decoded(tmp_path, log_probs, path, "Kisha")
    assert "what the last 2 columns stand for is not said, and they are the best in" in said


def test_more_tokens_than_columns(tmp_path: Path) -> None:
    path = written(tmp_path, [*XLSR, "<s>", "</s>"])
    with pytest.warns(CtcbiasWarning, match="<s>, </s>"):
        assert Vocabulary.from_file(path, columns=len(XLSR)).tokens == tuple(XLSR)
    assert Vocabulary.from_file(path, columns=20).size == len(XLSR) + 2  # told where it is read


def test_nemo_has_its_blank_behind_the_last_token(tmp_path: Path) -> None:
    tokens = [" ", *SMALL]
    frames = [[c] for c in "call kisha"]
    frames[-1] = ["e", "a"]
    log_probs = saved(tmp_path, frames, tokens, len(tokens) + 1)
    assert decoded(tmp_path, log_probs, written(tmp_path, tokens), "Kisha") == "call Kisha"
    with pytest.raises(ModelError, match="no CTC blank found"):
        Vocabulary.from_tokens(tokens)


def test_one_vocabulary_of_several_languages(tmp_path: Path) -> None:
    frames = spelt("call kisha", 9, "e")
    log_probs = saved(tmp_path, frames, XLSR)
    path = written(tmp_path, {"eng": _ids(XLSR), "fra": _ids(XLSR)})
    assert "2 languages (eng, fra)" in decoded(tmp_path, log_probs, path, "Kisha")
    assert "none of them" in decoded(tmp_path, log_probs, path, "Kisha", "--language", "deu")
    assert decoded(tmp_path, log_probs, path, "Kisha", "--language", "eng") == "call Kisha"
    only = written(tmp_path, {"eng": _ids(XLSR)}, "one.json")
    assert decoded(tmp_path, log_probs, only, "Kisha") == "call Kisha"


@pytest.mark.parametrize(
    "scores", ["0\n<s>\t0\n\u2581call\t-2.1\nna\t-3", "0\n\u2581call\t-0\nna\t-1"]
)
def test_a_vocab_of_sentencepiece_is_no_list_of_ids(tmp_path: Path, scores: str) -> None:
    (tmp_path / "bpe.vocab").write_text(f"<unk>\t{scores}\n", encoding="utf-8")
    with pytest.raises(ModelError, match=r"SentencePiece \.vocab .* give the \.model"):
        Vocabulary.from_file(tmp_path / "bpe.vocab")


@pytest.mark.parametrize(
    ("tokens", "case"),
    [(CHARACTERS, Case.LOWER), (["<pad>", "|", *CAPITALS], Case.UPPER), (CASED, Case.BOTH)],
)
def test_which_letters_a_vocabulary_writes(tokens: list[str], case: Case) -> None:
    assert Vocabulary.from_tokens(tokens).case is case


def test_forms_of_a_name() -> None:
    cased = Vocabulary.from_tokens(CASED)
    forms = written_forms("coca cola", "Coca-Cola", cased)
    assert forms[0] == "coca cola"
    assert {"Coca Cola", "coca-cola", "Coca-Cola", "Coca cola"} <= set(forms)
    assert "IBM" in written_forms("ibm", "IBM", cased)
    assert written_forms("coca cola", "Coca-Cola", Vocabulary.from_tokens(CHARACTERS)) == [
        "coca cola"
    ]


# Whatever the kind: what a vocabulary can write is found.

words = st.text(st.sampled_from("abdeiklnor"), min_size=4, max_size=8)
KINDS = ("characters", "upper", "cased", "punctuated", "prefix", "continuation", "nemo", "unspaced")


def _vocabulary(kind: str, said: list[str]) -> Vocabulary:
    pieces = sorted({word[:cut] for word in said for cut in (1, 2, 3)})
    rest = sorted(
        {word[at : at + size] for word in said for at in range(len(word)) for size in (1, 2)}
    )
    tokens = {
        "characters": CHARACTERS,
        "upper": ["<s>", "<pad>", "</s>", "<unk>", "|", *CAPITALS, "'"],
        "cased": [*CHARACTERS, *CAPITALS],
        "punctuated": [*CHARACTERS, ".", ",", "?"],
        "nemo": [" ", *SMALL],
        "unspaced": ["<blank>", *sorted(set("".join(said)))],
        "prefix": ["<unk>", "<blk>", *("\u2581" + piece for piece in pieces), *rest],
        "continuation": ["[UNK]", "[CLS]", "[PAD]", *pieces, *("##" + piece for piece in rest)],
    }[kind]
    return Vocabulary.from_tokens(
        tokens,
        blank=len(tokens) if kind == "nemo" else None,
        boundary=WordBoundary.NONE if kind == "unspaced" else None,
    )


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), kind=st.sampled_from(KINDS))
def test_a_name_that_can_be_written_is_found(data: st.DataObject, kind: str) -> None:
    said = data.draw(st.lists(words, min_size=2, max_size=4, unique=True))
    first = data.draw(st.integers(0, len(said) - 1))
    last = data.draw(st.integers(first, min(first + 1, len(said) - 1)))
    name = " ".join(said[first : last + 1])
    vocabulary = _vocabulary(kind, said)
    tokenizer = FewestPiecesTokenizer(vocabulary)
    shown = name.title()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CtcbiasWarning)
        checked = check_entities(entities_from_names([shown]), tokenizer)
    assert len(checked) == 1
    spoken = list(said)
    if kind == "cased" and data.draw(st.booleans()):
        spoken[first : last + 1] = [word.title() for word in said[first : last + 1]]
    tokens = tokenizer.encode(" ".join(spoken))
    blank = vocabulary.blank_id
    frames: list[int] = []
    for token in tokens:
        frames += [blank] * (bool(frames) and frames[-1] == token) + [token]
        if kind == "punctuated" and data.draw(st.integers(0, 9)) == 0:
            frames.append(blank)
    if kind == "punctuated":
        frames.append(vocabulary.index[data.draw(st.sampled_from(".,?"))])
    array = np.full((len(frames), vocabulary.size), -15.0)  # further away than a name may take
    array[range(len(frames)), frames] = 0.0
    array -= np.log(np.exp(array).sum(axis=1, keepdims=True))
    graph = boost_graph(checked, tokenizer)
    (transcript,) = LatticeDecoder(vocabulary).decode(
        batch([array.astype(np.float32)], vocabulary), graph
    )
    written_out = transcript.best.text if kind == "unspaced" else transcript.best.text.strip(".,?")
    assert shown.replace(" ", "") in written_out.replace(" ", "")
    assert any(word.entity for word in transcript.best.words)
    lowered = written_out.lower().replace(" ", "")
    assert lowered == "".join(said)


# Scripts, and the ways in which letters are written.


def heard(
    vocabulary: Vocabulary,
    tokens: Sequence[str],
    names: Sequence[str],
    wrong: tuple[int, str] | None = None,
) -> tuple[Hypothesis, Hypothesis]:
    """Tokens read without a list, and with one; at one place another token is a nat better."""
    rows: list[int] = []
    frames = []
    for token in tokens:
        column = vocabulary.index[token]
        rows += [vocabulary.blank_id] * (bool(rows) and rows[-1] == column) + [column]
        frames.append(len(rows) - 1)
    array = np.full((len(rows), vocabulary.size), -15.0)  # further away than a name may take
    array[range(len(rows)), rows] = 0.0
    if wrong is not None:
        array[frames[wrong[0]], vocabulary.index[wrong[1]]] = 1.0
    array -= np.log(np.exp(array).sum(axis=1, keepdims=True))
    tokenizer = FewestPiecesTokenizer(vocabulary)
    checked = check_entities(entities_from_names(names), tokenizer)
    assert not checked.rejected
    graph = boost_graph(checked, tokenizer)
    log_probs = batch([array.astype(np.float32)], vocabulary)
    decoder = LatticeDecoder(vocabulary)
    return decoder.decode(log_probs, None)[0].best, decoder.decode(log_probs, graph)[0].best


def _nfd(text: str) -> str:
    return unicodedata.normalize("NFD", text)


HAN = "的一是不了人有大这上个国到说时要就出会可也你"


@pytest.mark.parametrize(
    ("said", "place", "other", "more", "name", "expected"),
    [
        # Accents as letters of their own, or names that are listed so.
        (_nfd("chez|josé|là"), 7, "a", "", "José", "chez José " + _nfd("là")),
        ("chez|josé|là", 7, "a", "", _nfd("José"), "chez José là"),
        # i with a dot and without, in both cases.
        ("ben|ığdır|da", 5, "k", "i", "Iğdır", "ben Iğdır da"),
        ("ben|istanbul|da", 6, "k", "ı", "İSTANBUL", "ben İSTANBUL da"),
        ("BEN|İSTANBUL|DA", 6, "K", "I", "istanbul", "BEN istanbul DA"),
        ("BEN|IĞDIR|DA", 5, "K", "İ", "Iğdır", "BEN Iğdır DA"),
        ("Ben|Iğdır|da", 5, "k", "abcdegABCDEGİıi", "Iğdır", "Ben Iğdır da"),
        ("Ben|ığdır|da", 5, "k", "ABCDEGIİi", "Iğdır", "Ben Iğdır da"),
        ("Ben|İstanbul|da", 6, "k", "ABCDEGIıi", "İstanbul", "Ben İstanbul da"),
        ("Ben|İstanbul|da", 6, "k", "ABCDEGIıi", "istanbul", "Ben istanbul da"),
        # Eszett.
        ("in|gießen|da", 7, "a", "", "Gießen", "in Gießen da"),
        ("in|giessen|da", 8, "a", "", "Gießen", "in Gießen da"),
        ("IN|GIESSEN|DA", 8, "A", "", "Gießen", "IN Gießen DA"),
        ("IN|GIE\u1e9eEN|DA", 7, "A", "", "Gießen", "IN Gießen DA"),
        ("IN|GIEßEN|DA", 7, "A", "", "Gießen", "IN Gießen DA"),
        ("in|gießen|da", None, "", "s", "GIESSEN", "in GIESSEN da"),
        # Apostrophes: typographic ones, both, none.
        ("call|o’brien|on", 9, "a", "", "O'Brien", "call O'Brien on"),
        ("call|o’brien’s|on", 9, "a", "'", "O'Brien", "call O'Brien’s on"),
        ("call|obrien|on", 8, "a", "", "O’Brien", "call O’Brien on"),
        ("call|o|brien|on", 9, "a", "", "O'Brien", "call O'Brien on"),
        # From right to left, with points and without.
        ("אני|משה|כהן", 9, "ב", "", "מֹשֶׁה כהן", "אני מֹשֶׁה כהן"),
        ("انا|محمد|هنا", 6, "ب", "", "مُحَمَّد", "انا مُحَمَّد هنا"),
        ("انا|محمد|هنا", 6, "ب", "َُِّ", "مُحَمَّد", "انا مُحَمَّد هنا"),
        ("انا|مُحَمَّد|هنا", None, "", "", "محمد", "انا محمد هنا"),
        # Thai and Chinese, in sentences without a space; where one is written, it stays.
        ("ไปกรุงเทพวัน", 4, "ป", "", "กรุงเทพ", "ไปกรุงเทพวัน"),
        ("ไป|กรุงเทพ|วัน", 5, "ป", "", "กรุงเทพ", "ไป กรุงเทพ วัน"),
        ("我们在北京吧", 4, "上", HAN, "北京", "我们在北京吧"),
        ("買了|iphone|手机吧", 5, "a", HAN, "iPhone 手机", "買了 iPhone 手机吧"),
        ("買了|iphone", 5, "a", HAN, "iPhone", "買了 iPhone"),
        ("買了手机吧", 3, "上", HAN, "手机", "買了手机吧"),
        # A listed space stays, too.
        ("在北京大学吧", None, "", HAN, "北京 大学", "在北京 大学吧"),
        # Syllables of Hangul, and jamo of both kinds.
        ("나는|김철수", 4, "서", "", "김철수", "나는 김철수"),
        (_nfd("나는|김철수"), 9, "\u1161", "", "김철수", _nfd("나는 ") + "김철수"),
        ("ㄴㅏㄴㅡㄴ|ㄱㅣㅁㅊㅓㄹㅅㅜ", 10, "ㅏ", "", "김철수", "ㄴㅏㄴㅡㄴ 김철수"),
        # Half-width kana are composed otherwise.
        ("カガタナベース", 3, "ヌ", HAN, "ﾀﾅﾍﾞ", "カガﾀﾅﾍﾞース"),
    ],
)
def test_a_name_as_the_script_writes_it(  # noqa: PLR0917
    said: str, place: int | None, other: str, more: str, name: str, expected: str
) -> None:
    letters = dict.fromkeys([*said, *other, *more, "|"])
    vocabulary = Vocabulary.from_tokens(["<s>", "<pad>", "</s>", "<unk>", *letters])
    for wrong in [None] if place is None else [None, (place + 1, other)]:
        plain, found = heard(vocabulary, ["<s>", *said, "</s>"], [name], wrong)
        assert found.text == expected
        shown = " ".join(word.word for word in found.words if word.entity)
        assert shown.removesuffix("’s") == unicodedata.normalize("NFC", name)
        assert (plain.text == said.replace("|", " ")) == (wrong is None)


def test_letters_in_a_vocabulary_without_spaces_are_words() -> None:
    vocabulary = Vocabulary.from_tokens(["<blk>", "<unk>", *HAN, *"买手机aehinop"])
    assert vocabulary.boundary is WordBoundary.NONE
    plain, found = heard(vocabulary, "买了iphone手机", ["iPhone 手机"], (3, "a"))
    assert plain.text == "买了 iahone 手机"
    assert found.text == "买了 iPhone 手机"
    assert heard(vocabulary, "买了iphone手机", ["手机"])[1].text == "买了 iphone 手机"


def test_what_is_unknown_beside_a_name_is_a_part_of_its_word() -> None:
    vocabulary = Vocabulary.from_tokens(["<s>", "<|en|>", "<unk>", *CHARACTERS])
    _, found = heard(vocabulary, ["<|en|>", *"anna", "<unk>", "|", *"anna", "<s>"], ["Anna"])
    assert found.text == "anna<unk> Anna"


SCRIPTS = {
    "latin": "abdeiklnor",
    "accents": "aeéñüçoxy",
    "turkish": "aıiğşbrk",
    "german": "aeßöbrst",
    "apostrophes": "abdo'dn",
    "greek": "αβγδεάλσ",
    "hebrew": "אבגדהלמנ",
    "arabic": "ابتمحدره",
    "devanagari": "दलकमरिी्",
    "hangul": "김철수서울나는각",
    "thai": "กรุงเทพไปวั",
    "han": "北京上海我在们",
    "kana": "たなかがざわばぱ",
}


def _as_tokens(script: str, way: str, word: str) -> list[str]:
    """The characters that a vocabulary has for a word."""
    if way == "decomposed":
        return list(_nfd(word))
    if way == "typographic":
        return list(word.replace("'", "’"))
    if way == "bytes":
        return [f"<0x{byte:02X}>" for byte in word.encode()]
    if way == "capitals":
        return list(word.replace("i", "İ").upper() if script == "turkish" else word.upper())
    return list(word)


def _marked(marking: str, words: Sequence[Sequence[str]]) -> list[str]:
    """The tokens of words, and what tells where they begin."""
    found: list[str] = []
    for word in words:
        first, *rest = word
        if marking == "separator":
            found += ["|", *word] if found else word
        elif marking == "prefix" and first.startswith("<"):
            found += ["\u2581", *word]
        elif marking == "prefix":
            found += ["\u2581" + first, *rest]
        elif marking == "continuation":
            found += [first, *("##" + part for part in rest)]
        else:
            found += word
    return found


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), script=st.sampled_from(sorted(SCRIPTS)))
def test_a_name_of_any_script_is_found_as_it_is_listed(data: st.DataObject, script: str) -> None:
    alphabet = SCRIPTS[script]
    spelled = st.text(st.sampled_from(alphabet), min_size=3, max_size=6)
    said = data.draw(
        st.lists(
            spelled.filter(lambda w: w[0].isalpha() and normalise(w) == w),
            min_size=2,
            max_size=4,
            unique=True,
        )
    )
    unspaced = is_unspaced(alphabet)
    markings = ["none", "separator", "prefix"] if unspaced else ["separator", "prefix"]
    marking = data.draw(st.sampled_from(markings if unspaced else [*markings, "continuation"]))
    ways = ["plain", "decomposed"] + ["bytes"] * (marking == "prefix")
    ways += ["capitals"] * (not unspaced) + ["typographic"] * ("'" in alphabet)
    way = data.draw(st.sampled_from(ways))
    words = [_as_tokens(script, way, word) for word in said]
    if marking == "prefix" and unspaced and way != "bytes":
        tokens = [token for word in words for token in word]
    else:
        tokens = _marked(marking, words)
    others = _marked(marking, [_as_tokens(script, way, c) * 2 for c in alphabet if c.isalpha()])
    kinds = {"prefix": WordBoundary.PREFIX, "none": WordBoundary.NONE}
    vocabulary = Vocabulary.from_tokens(
        ["<blk>", "<unk>", "<s>", *dict.fromkeys([*tokens, *others])], boundary=kinds.get(marking)
    )
    at = data.draw(st.integers(0, len(said) - 1))
    name = " ".join(said[at : at + data.draw(st.integers(1, 2))])
    capital = {"i": "İ"}.get(name[0], name[0].upper()) if script == "turkish" else name[0].upper()
    listed = data.draw(st.sampled_from([name, _nfd(name), capital + name[1:]]))
    shown = unicodedata.normalize("NFC", listed)
    place = data.draw(st.sampled_from([-1, 0, len(tokens)]))  # of a special token, beside words
    if place >= 0:
        tokens = [*tokens[:place], "<s>", *tokens[place:]]
    plain, found = heard(vocabulary, tokens, [listed])
    if script not in ("turkish", "german"):  # which capitals cannot tell
        texts = [normalise(one.text).replace("ς", "σ") for one in (plain, found)]
        assert unspaced or texts[0] == " ".join(said)
        assert len({text.replace(" ", "") for text in texts}) == 1
    entities = " ".join(word.word for word in found.words if word.entity)
    assert shown.replace(" ", "") in entities.replace(" ", "")
    assert shown in found.text

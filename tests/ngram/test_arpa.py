"""ARPA files in and out, against kenlm's scores."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctcbias_fst.errors import LanguageModelError
from ctcbias_fst.ngram.arpa import read_arpa, write_arpa
from ctcbias_fst.ngram.ngram import Ngram, log_probability
from ctcbias_fst.ngram.ngram_lm import LanguageModel, load_lm, save_lm
from ctcbias_fst.ngram.train import TrainLmConfig, train_lm

HERE = Path(__file__).parent

SMALL = """\
\\data\\
ngram 1=5
ngram 2=4
ngram 3=2

\\1-grams:
-99\t<s>\t-0.3
-1.0\t</s>
-0.5\ta\t-0.2
-0.7\tb\t-0.1
-0.9\t<unk>

\\2-grams:
-0.4\t<s> a\t-0.25
-0.6\ta b
-0.3\tb a\t-0.05
-0.2\tb </s>

\\3-grams:
-0.1\t<s> a b
-0.15\tb a a

\\end\\
"""


def small(tmp_path: Path, text: str = SMALL) -> Path:
    path = tmp_path / "small.arpa"
    path.write_text(text)
    return path


def score(model: LanguageModel, text: str) -> float:
    """Decimal, as the file has it."""
    return model.score(text.split()) / math.log(10)


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("a b", -0.4 - 0.1 - 0.2),
        ("b a a", (-0.3 - 0.7) - 0.3 - 0.15 + (-0.2 - 1.0)),
        # "b a" is a context although no suffix "a a" is listed.
        ("a a", -0.4 + (-0.25 - 0.2 - 0.5) + (-0.2 - 1.0)),
        ("a z b", -0.4 + (-0.25 - 0.2 - 0.9) - 0.7 - 0.2),
        ("", -0.3 - 1.0),
    ],
)
def test_scores_by_hand(tmp_path: Path, sentence: str, expected: float) -> None:
    assert score(load_lm(small(tmp_path)), sentence) == pytest.approx(expected, abs=1e-9)


def test_agrees_with_scores_that_kenlm_gave() -> None:
    """kenlm.json was made by kenlm 0.3.0: kenlm.Model(file).score(sentence)."""
    golden = json.loads((HERE / "kenlm.json").read_text())
    model = load_lm(HERE / "kenlm.arpa.gz")
    assert len(golden) > 30
    for sentence, expected in golden.items():
        assert score(model, sentence) == pytest.approx(expected, abs=1e-4), sentence


def test_agrees_with_kenlm(tmp_path: Path) -> None:
    kenlm = pytest.importorskip("kenlm")
    model = load_lm(HERE / "kenlm.arpa.gz")
    path = tmp_path / "again.arpa"
    save_lm(path, model)
    other = kenlm.Model(str(path))
    for sentence in json.loads((HERE / "kenlm.json").read_text()):
        assert score(model, sentence) == pytest.approx(other.score(sentence), abs=1e-4), sentence


sentences = st.lists(st.lists(st.sampled_from("abcde"), min_size=1, max_size=6), min_size=3)


@settings(deadline=None, max_examples=30)
@given(sentences, st.integers(1, 4), st.sampled_from([".arpa", ".arpa.gz", ".safetensors"]))
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory,
    text: list[list[str]],
    order: int,
    suffix: str,
) -> None:
    model = train_lm(text, TrainLmConfig(order=order))
    path = tmp_path_factory.mktemp("lm") / f"lm{suffix}"
    save_lm(path, model)
    again = load_lm(path)
    assert again.unit == "word"
    for sentence in [*text, ["a", "x", "b"], []]:
        assert again.score(sentence) == pytest.approx(model.score(sentence), abs=1e-4)


def test_missing_contexts_and_suffixes_change_no_score(tmp_path: Path) -> None:
    text = SMALL.replace("ngram 2=4", "ngram 2=2").replace("-0.4\t<s> a\t-0.25\n", "")
    text = text.replace("-0.6\ta b\n", "")
    model = load_lm(small(tmp_path, text))
    assert score(model, "a b") == pytest.approx((-0.3 - 0.5) - 0.1 - 0.2)
    assert score(model, "b a b") == pytest.approx(
        (-0.3 - 0.7) - 0.3 + (-0.05 - 0.2 - 0.7) - 0.2, abs=1e-9
    )


def test_a_word_after_an_unknown_one_knows_no_context(tmp_path: Path) -> None:
    text = SMALL.replace("-0.9\t<unk>\n", "").replace("ngram 1=5", "ngram 1=4")
    model = load_lm(small(tmp_path, text))
    # Without <unk>: the rarest word's (here </s>'s) probability, after backing off.
    assert score(model, "a z b") == pytest.approx(-0.4 + (-0.25 - 0.2 - 1.0) - 0.7 - 0.2)


def test_compressed_or_not_is_told_by_the_content(tmp_path: Path) -> None:
    path = tmp_path / "model.arpa"
    path.write_bytes(gzip.compress(SMALL.encode()))
    assert [len(order.symbol) for order in read_arpa(path).orders] == [5, 5, 2]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\\data\\", "data", r"no line \\data\\"),
        ("ngram 2=4", "ngram 2=5", r"line 18: expected a log-probability, 2 words"),
        ("ngram 2=4", "ngram 2=3", r"line 17: expected '\\3-grams:', found '-0.2"),
        ("ngram 2=4", "ngram 4=4", r"line 3: expected 'ngram 2=NUMBER'"),
        ("ngram 3=2", "ngram 3=20", r"cut off: 20 3-grams"),
        ("-0.6\ta b", "-0.6\ta q", r"line 15: 'q' is not among the 1-grams"),
        ("-0.6\ta b", "-0.x\ta b", r"line 15: '-0.x' is not a number"),
        ("-0.6\ta b", "0.6\ta b", r"line 15: a log-probability cannot be 0.6"),
        ("-0.6\ta b", "-0.6\ta", r"line 15: expected a log-probability, 2 words"),
        ("-0.25", "x", r"line 14: 'x' is not a number"),
        ("-0.7\tb", "-0.7\ta", r"line 10: the word 'a' occurs twice"),
        ("-0.6\ta b", "-0.6\tb a", r"the 2-gram 'b a' is listed twice"),
        ("</s>\n-0.5", "end\n-0.5", r"</s> is not among the 1-grams"),
        ("\\end\\", "", r"expected \\end\\"),
    ],
)
def test_malformed_files(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = SMALL.replace(old, new, 1)
    if new == "end\n-0.5":
        text = text.replace("b </s>", "b end")
    with pytest.raises(LanguageModelError, match=r"small.arpa.*" + message):
        load_lm(small(tmp_path, text))


def test_other_files(tmp_path: Path) -> None:
    with pytest.raises(LanguageModelError, match="no such file"):
        load_lm(tmp_path / "none.safetensors")
    with pytest.raises(LanguageModelError, match="none.arpa"):
        load_lm(tmp_path / "none.arpa")
    (tmp_path / "x.safetensors").write_bytes(b"x")
    with pytest.raises(LanguageModelError, match="damaged"):
        load_lm(tmp_path / "x.safetensors")
    with pytest.raises(LanguageModelError, match=r"name it \.safetensors"):
        save_lm(tmp_path / "lm.bin", load_lm(small(tmp_path)))


def test_symbols_that_are_none_match_nothing(tmp_path: Path) -> None:
    """A negative symbol must not be taken for another row's key."""
    orders = read_arpa(small(tmp_path)).orders
    grams = np.array([[2, -1, 3], [0, -1, 2]])
    expected = [orders[0].log_probability[3], orders[0].log_probability[2]]
    assert log_probability(orders, grams).tolist() == pytest.approx(expected)


def test_the_same_model_is_the_same_file(tmp_path: Path) -> None:
    model = load_lm(small(tmp_path))
    for name in ("a.arpa.gz", "b.arpa.gz"):
        write_arpa(tmp_path / name, model.ngram)
    assert (tmp_path / "a.arpa.gz").read_bytes() == (tmp_path / "b.arpa.gz").read_bytes()


# Layouts and characters as other tools write them.

LAYOUT = """\\data\\
ngram 1=7
ngram 2=5
ngram 3=2

\\1-grams:
-1.0\t<unk>
-99\t<s>\t-0.3
-0.9\t</s>
-0.8\tcall\t-0.25
-0.9\tanna\t-0.2
-0.85\tnow\t-0.1
-1.2\tanne\t-0.1

\\2-grams:
-0.3\t<s> call\t-0.2
-0.4\tcall anna\t-0.1
-0.9\tcall anne
-0.5\tanna now\t-0.1
-0.2\tnow </s>

\\3-grams:
-0.1\t<s> call anna
-0.15\tcall anna now

\\end\\
"""


def _read(tmp_path: Path, text: str) -> Ngram:
    path = tmp_path / "lm.arpa"
    path.write_bytes(text.encode())
    return read_arpa(path)


def _same(one: Ngram, other: Ngram) -> bool:
    return one.symbols == other.symbols and all(
        np.array_equal(getattr(a, name), getattr(b, name))
        for a, b in zip(one.orders, other.orders)
        for name in ("context", "symbol", "suffix", "log_probability", "log_backoff")
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n\n", "\n\n\n\n\n"),
        lambda text: text.replace("\n\\end\\", "\n\n\n\n\n\\end\\\n\n\n"),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\t", "  \t "),
        lambda text: "a comment\n\n" + text,
        lambda text: text.replace("ngram ", "  ngram  ").replace("=", " = "),
        lambda text: text.replace("\\2-grams:", "  \\2-grams:  "),
        lambda text: text.replace("-0.9\tcall anne", "  -0.9\tcall anne  "),
    ],
)
def test_layouts(tmp_path: Path, change: Callable[[str], str]) -> None:
    assert _same(_read(tmp_path, change(LAYOUT)), _read(tmp_path, LAYOUT))


def test_an_order_without_n_grams_needs_no_section(tmp_path: Path) -> None:
    head, rest = LAYOUT.split("\\3-grams:")
    short = head.replace("ngram 3=2", "ngram 3=0") + rest[rest.index("\\end\\") :]
    assert len(_read(tmp_path, short).orders) == 2
    empty = short.replace("\\end\\", "\\3-grams:\n\n\\end\\")
    assert _same(_read(tmp_path, empty), _read(tmp_path, short))


@pytest.mark.parametrize("mark", ["\u00a0", "\u2028", "\u0085", "\u3000", "\x0b", "\x1c", "\ufeff"])
def test_only_tabs_and_spaces_part_words(tmp_path: Path, mark: str) -> None:
    found = _read(tmp_path, LAYOUT.replace("anna", f"an{mark}na"))
    assert f"an{mark}na" in found.symbols


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("call anna\t-0.1", "</s> anna\t-0.1", "</s> can only end"),
        ("call anne", "call <s>", "<s> can only begin"),
        ("ngram 1=7", "ngram 1=" + "7" * 5000, "expected 'ngram 1=NUMBER', found 'ngram 1=7777"),
        ("-0.3\t<s> call", "nan\t<s> call", "'nan' is not a number"),
        ("-0.3\t<s> call", "inf\t<s> call", "cannot be inf"),
        ("\t-0.25", "\t-inf", "cannot be"),
        ("\\end\\", "", "expected"),
    ],
)
def test_faults_of_layout_are_one_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(LanguageModelError, match=message) as caught:
        _read(tmp_path, LAYOUT.replace(old, new, 1))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_binary_of_kenlm_is_told(tmp_path: Path) -> None:
    path = tmp_path / "lm.bin"
    path.write_bytes(b"mmap lm http://kheafield.com/code format version 5\n\0\0\0\0abc")
    with pytest.raises(LanguageModelError, match=r"binary model of kenlm.*ARPA"):
        read_arpa(path)

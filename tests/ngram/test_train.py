"""Training, pruning and judging word models, and the command that does it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from ctcbias_fst.cli import main
from ctcbias_fst.errors import LanguageModelError
from ctcbias_fst.ngram.ngram_lm import UNKNOWN, LanguageModel, Perplexity, load_lm, perplexity
from ctcbias_fst.ngram.train import TrainLmConfig, prune_lm, read_sentences, train_lm

TEXT = [line.split() for line in ("a b c", "a b d", "c a b", "e a b", "a f")]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["lm", *map(str, arguments)])


def test_rare_words_are_unknown_words() -> None:
    model = train_lm(TEXT, TrainLmConfig(order=2))
    assert model.ngram.symbols == (UNKNOWN, "a", "b", "c")
    # "a <unk>" is in the text ("a f"), "b b" is not.
    assert model.score(["a", "zzz"]) == model.score(["a", "f"])
    assert model.score(["a", "f"]) > model.score(["b", "f"])


@pytest.mark.parametrize("name", ["lm.safetensors", "lm.arpa.gz"])
def test_the_same_text_is_the_same_bytes(tmp_path: Path, name: str) -> None:
    text = tmp_path / "text.txt"
    text.write_text("".join(f"{' '.join(line)}\n" for line in TEXT))
    contents = set()
    for number in range(6):
        out = tmp_path / str(number) / name
        assert run("train", text, "--out", out).exit_code == 0
        contents.add(out.read_bytes())
    assert len(contents) == 1


def test_all_words_or_only_the_most_frequent() -> None:
    assert UNKNOWN not in train_lm(TEXT, TrainLmConfig(min_count=1)).index
    assert train_lm(TEXT, TrainLmConfig(max_words=1)).ngram.symbols == (UNKNOWN, "a")


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.lists(st.sampled_from("abcd"), min_size=1, max_size=5), min_size=2, max_size=8),
    st.integers(1, 3),
    st.integers(1, 3),
)
def test_probabilities_of_all_words_add_up_to_one(
    text: list[list[str]], order: int, min_count: int
) -> None:
    model = train_lm(text, TrainLmConfig(order=order, min_count=min_count))
    for history in ([], ["a"], ["a", "b"], ["zz", "c"]):
        # The end's is what a sentence scores beyond its words.
        words = sum(_word(model, history[:i], word) for i, word in enumerate(history))
        total = math.exp(model.score(history) - words)
        total += sum(math.exp(_word(model, history, word)) for word in model.ngram.symbols)
        assert total == pytest.approx(1.0, abs=1e-6), history


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=6), min_size=2, max_size=8),
    st.sampled_from([0.001, 0.01, 0.03]),
)
def test_what_is_left_has_its_context_and_its_suffix(
    text: list[list[str]], threshold: float
) -> None:
    model = prune_lm(train_lm(text, TrainLmConfig(order=3, min_count=1)), threshold)
    grams: list[list[tuple[int, ...]]] = [[()]]
    for order in model.ngram.orders:
        columns = zip(order.context.tolist(), order.symbol.tolist(), order.suffix.tolist())
        here = []
        for context, symbol, suffix in columns:
            here.append((*grams[-1][context], symbol))
            assert grams[-1][suffix] == here[-1][1:]
        grams.append(here)


def _word(model: LanguageModel, history: list[str], word: str) -> float:
    """log p(word | history), by the textbook."""
    rows = {}
    names = ["<s>", "</s>", *model.ngram.symbols]
    above: list[tuple[str, ...]] = [()]
    for order in model.ngram.orders:
        here = []
        for context, symbol, p, b in zip(
            order.context, order.symbol, order.log_probability, order.log_backoff
        ):
            gram = (*above[context], names[symbol])
            rows[gram] = (p, b)
            here.append(gram)
        above = here
    known = [w if (w,) in rows else UNKNOWN for w in ("<s>", *history)]
    word = word if (word,) in rows else UNKNOWN
    context = tuple(known)[-(model.order - 1) :] if model.order > 1 else ()
    total = 0.0
    while (*context, word) not in rows:
        if not context:
            return total + model.least_log_probability
        total += rows[context][1] if context in rows else 0.0
        context = context[1:]
    return total + rows[(*context, word)][0]


def test_pruning_keeps_what_matters() -> None:
    text = [list("abab"), list("abab"), list("abcd"), list("dcba")] * 5
    model = train_lm(text, TrainLmConfig(order=3))
    none = prune_lm(model, 1e-9)
    assert [len(o.symbol) for o in none.ngram.orders] == [len(o.symbol) for o in model.ngram.orders]
    most = prune_lm(model, 10.0)
    assert [len(o.symbol) for o in most.ngram.orders][1:] == [0, 0]
    some = prune_lm(model, 0.02)
    assert perplexity(model, text).with_unknown <= perplexity(some, text).with_unknown
    assert perplexity(some, text).with_unknown < perplexity(most, text).with_unknown


def test_pruning_a_file_without_counts(tmp_path: Path) -> None:
    text = [list("abab"), list("abab"), list("abcd"), list("dcba")] * 5
    run_text = tmp_path / "text"
    run_text.write_text("".join(" ".join(s) + "\n" for s in text))
    assert run("train", run_text, "--out", tmp_path / "lm.arpa").exit_code == 0
    result = run("prune", tmp_path / "lm.arpa", "--threshold", 0.02, "--out", tmp_path / "s.arpa")
    assert result.exit_code == 0, result.output
    before, after = load_lm(tmp_path / "lm.arpa"), load_lm(tmp_path / "s.arpa")
    counts = [[len(o.symbol) for o in m.ngram.orders] for m in (before, after)]
    assert counts[1][0] == counts[0][0]
    assert 0 < counts[1][2] < counts[0][2]
    assert perplexity(after, text).with_unknown < 1.3 * perplexity(before, text).with_unknown


def test_info_compares_words_as_decoding_does(tmp_path: Path) -> None:
    text = tmp_path / "dev.txt"
    text.write_text("a May be a\n", encoding="utf-8")
    grams = ["-1 <s> 0", "-1 </s>", "-0.5 A", "-2 may", "-0.7 MAY", "-3 May", "-0.8 BE"]
    lines = ["\\data\\", f"ngram 1={len(grams)}", "", "\\1-grams:", *grams, "", "\\end\\", ""]
    capitals = tmp_path / "capitals.arpa"
    capitals.write_text("\n".join(lines).replace(" ", "\t"), encoding="utf-8")
    out = CliRunner().invoke(main, ["lm", "info", str(capitals), str(text)]).output
    # A, MAY (the most probable), BE, A and the end.
    assert f"perplexity {10 ** ((0.5 + 0.7 + 0.8 + 0.5 + 1) / 5):.1f} " in out
    assert "4 words, 0.00% unknown" in out
    out = CliRunner().invoke(main, ["lm", "info", str(capitals), str(text), "--raw"]).output
    assert "4 words, 75.00% unknown" in out


def test_perplexity_counts() -> None:
    model = train_lm(TEXT, TrainLmConfig(order=2))
    found = perplexity(model, [["a", "b"], ["x", "a"]])
    assert (found.sentences, found.words, found.unknown) == (2, 4, 1)
    assert found.log_probability == pytest.approx(model.score(["a", "b"]) + model.score(["x", "a"]))
    assert found.with_unknown == pytest.approx(math.exp(-found.log_probability / 6))
    assert found.unknown_rate == 0.25
    assert found.log_probability < found.log_probability_known
    assert found + Perplexity() == found
    halves = perplexity(model, [["a", "b"]]) + perplexity(model, [["x", "a"]])
    assert halves.without_unknown == pytest.approx(found.without_unknown)


def test_commands(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("A B, c!\n\na b d\nc A b\n")
    out = tmp_path / "lm.safetensors"
    result = run("train", text, "--out", out, "--min-count", 1, "--order", 2)
    assert result.exit_code == 0, result.output
    assert result.output.endswith("6 1-grams, 9 2-grams of words\n")
    assert run("convert", out, "--out", tmp_path / "lm.arpa.gz").exit_code == 0
    result = run("info", tmp_path / "lm.arpa.gz", text)
    assert "9 words, 0.00% unknown" in result.output
    result = run("info", out, text, "--raw")
    assert "9 words, 44.44% unknown" in result.output


def test_a_model_of_tokens(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.txt"
    tokens.write_text("<blk> 0\n▁a 1\n▁b 2\nc 3\n")
    text = tmp_path / "text"
    text.write_text("a bc\nac b\n")
    out = tmp_path / "lm.safetensors"
    arguments = ["--unit", "token", "--tokens", tokens, "--min-count", 1]
    result = run("train", text, "--out", out, *arguments)
    assert result.exit_code == 0, result.output
    assert sorted(load_lm(out).ngram.symbols) == ["c", "▁a", "▁b"]
    assert load_lm(out).unit == "token"
    result = run("info", out, text, "--tokens", tokens)
    assert "6 tokens, 0.00% unknown" in result.output


def test_nothing_to_train_on(tmp_path: Path) -> None:
    with pytest.raises(LanguageModelError, match="empty"):
        train_lm([[]])
    with pytest.raises(LanguageModelError, match="no such file|cannot be read"):
        list(read_sentences([tmp_path / "none"]))
    (tmp_path / "text").write_text("\n")
    result = run("train", tmp_path / "text", "--out", tmp_path / "lm.arpa")
    assert result.exit_code == 1
    assert result.output.startswith("Error: the text to train")


@pytest.mark.parametrize("wrong", [{"order": 0}, {"min_count": 0}, {"prune": -1.0}])
def test_impossible_settings(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="found"):
        TrainLmConfig(**wrong)  # type: ignore[arg-type]

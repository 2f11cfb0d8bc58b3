"""Names with digits and symbols, from log-probs of letters to transcripts."""

from __future__ import annotations

import json
import string
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from ctcbias_fst.cli import main

TOKENS = ["<pad>", "|", *string.ascii_lowercase, "'"]


def letters(text: str) -> np.ndarray:
    """Log-probs that surely say `text`: each letter, then a blank."""
    ids = [i for c in text.replace(" ", "|") for i in (TOKENS.index(c), 0)]
    array = np.full((len(ids), len(TOKENS)), -12.0, dtype=np.float32)
    array[np.arange(len(ids)), ids] = 0.0
    return array - np.log(np.exp(array).sum(-1, keepdims=True))


@pytest.fixture
def said(tmp_path: Path) -> Path:
    (tmp_path / "tokens.txt").write_text("\n".join(TOKENS))
    return tmp_path


def decode(folder: Path, names: str, *texts: str) -> tuple[list[str], str]:
    """The transcripts of what is said, and what the command tells."""
    (folder / "names").write_text(names, encoding="utf-8")
    np.savez(
        folder / "lp.npz",
        frame_seconds=0.04,
        **{f"u{i:02d}": letters(text) for i, text in enumerate(texts)},
    )
    arguments = ["decode", "--log-probs", "lp.npz", "--tokens", "tokens.txt"]
    arguments += ["--entities", "names", "--out", "out.jsonl"]
    arguments = [
        str(folder / a) if (folder / a).exists() or "out" in a[:3] else a for a in arguments
    ]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    lines = (folder / "out.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["text"] for line in lines], result.output


def test_symbols_are_heard_or_the_name_is_not_taken_for_a_word(said: Path) -> None:
    texts, told = decode(
        said,
        ".NET\nC++\nC#\nAT&T\nR&D\nWho?\n",
        "the net result is c",
        "he works at t mobile",
        "he works for a t and t",
        "c plus plus and c sharp on dot net",
        "who is in r and d",
    )
    assert texts == [
        "the net result is c",
        "he works at t mobile",
        "he works for AT&T",
        "C++ and C# on .NET",
        "who is in R&D",
    ]
    assert "line 6: 'Who?' has no effect: '?' is not heard" in told


def test_numbers_are_said_and_written_as_listed(said: Path) -> None:
    names = "COVID-19\n3M\nB12\niPhone 15\n50 Cent\n24/7\nMr.\n747\nFBI\nChatGPT\nMcDonald\n"
    texts, told = decode(
        said,
        names,
        "covid nineteen or covid one nine",
        "three m sells b twelve or b one two",
        "the iphone fifteen of fifty cent",
        "open twenty four seven said mister jones",
        "a seven forty seven or seven four seven",
        "the f b i asked chat g p t and mcdonald",
        "nineteen people said fifty",
    )
    assert texts == [
        "COVID-19 or COVID-19",
        "3M sells B12 or B12",
        "the iPhone 15 of 50 Cent",
        "open 24/7 said Mr. jones",
        "a 747 or 747",
        "the FBI asked ChatGPT and McDonald",
        "nineteen people said fifty",
    ]
    assert "'COVID-19' is looked for as it is said: 'covid nineteen'" in told
    assert "more are looked for otherwise" in told


def test_initials_that_are_a_word_are_said_as_letters(said: Path) -> None:
    texts, told = decode(said, "US\nIT\nWHO\n", "it helps us who care", "the u s and the w h o")
    assert texts == ["it helps us who care", "the US and the WHO"]
    assert "'us' is a common word" in told


def test_the_heaviest_names_do_no_harm_to_the_search(said: Path) -> None:
    """A weight of 1e6 ended the process inside k2."""
    names = "name,weight\nanna,100\npeter pan,99.5\nann,100\nan,1e6\n"
    texts, told = decode(said, names, "call anna and peter pan " * 14, "ann " * 80)
    assert texts == [("call anna and peter pan " * 14).strip(), ("ann " * 80).strip()]
    assert "'an' has no effect: its weight must be at most 100, not '1e6'" in told
    assert "3 with a weight of 3 or more" in told

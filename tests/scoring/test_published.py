"""Scores of Le et al.'s script, and where they differ from ours."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from ctcbias_fst.cli import main
from ctcbias_fst.scoring.published import align_published
from ctcbias_fst.scoring.score import align

words = st.lists(st.sampled_from("abc"), max_size=5)
Pairs = list[tuple["str | None", "str | None"]]


def alignments(reference: Sequence[str], hypothesis: Sequence[str]) -> Iterator[Pairs]:
    """All there are, those first whose last steps the script prefers."""
    if not reference and not hypothesis:
        yield []
    if reference and hypothesis:
        for rest in alignments(reference[:-1], hypothesis[:-1]):
            yield [*rest, (reference[-1], hypothesis[-1])]
    if hypothesis:
        for rest in alignments(reference, hypothesis[:-1]):
            yield [*rest, (None, hypothesis[-1])]
    if reference:
        for rest in alignments(reference[:-1], hypothesis):
            yield [*rest, (reference[-1], None)]


def cost(pairs: Pairs) -> int:
    return sum(0 if r == h else 3 if r is None or h is None else 4 for r, h in pairs)


@given(words, words)
def test_is_the_first_of_the_cheapest(reference: list[str], hypothesis: list[str]) -> None:
    assert align_published(reference, hypothesis) == min(
        alignments(reference, hypothesis), key=cost
    )


def test_may_have_more_errors_than_the_shortest() -> None:
    reference, hypothesis = list("pqrmn"), list("mnxyz")
    assert sum(r != h for r, h in align_published(reference, hypothesis)) == 6
    assert sum(r != h for r, h in align(reference, hypothesis)) == 5


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    rows = [
        ("a", "good mornin' said kesha", ["mornin'", "kesha"], ["mornin'", "kesha", "leeds"]),
        ("b", "p q r m n", ["m"], ["m"]),
    ]
    (tmp_path / "ref.tsv").write_text(
        "".join(f"{i}\t{text}\t{json.dumps(r)}\t{json.dumps(b)}\n" for i, text, r, b in rows)
    )
    (tmp_path / "hyp.tsv").write_text("a\tgood mornin said leeds\nb\tm n x y z\n")
    return tmp_path


def counts(folder: Path, *options: str) -> dict[str, list[int]]:
    arguments = ["score", str(folder / "ref.tsv"), str(folder / "hyp.tsv"), "--bootstrap", "0"]
    result = CliRunner().invoke(main, [*arguments, "--format", "json", *options])
    assert result.exit_code == 0, result.output
    found = json.loads(result.output)["counts"]
    return {name: list(found[name].values()) for name in ("words", "biased", "unbiased")}


def test_words_as_they_stand_are_compared_and_biased(lists: Path) -> None:
    """Substitutions, deletions, insertions, words of the reference."""
    found = counts(lists, "--published")
    # mornin' and kesha are wrong, leeds was not spoken; six errors instead of five to match m, n.
    assert found == {"words": [2, 3, 3, 9], "biased": [2, 0, 0, 3], "unbiased": [0, 3, 3, 6]}
    assert counts(lists)["words"] == [6, 0, 0, 9]
    assert counts(lists, "--published", "--bias-words", str(lists / "ref.tsv")) == found


def test_needs_one_of_their_files(lists: Path) -> None:
    (lists / "ref.tsv").write_text("a good morning\n")
    arguments = ["score", str(lists / "ref.tsv"), str(lists / "hyp.tsv"), "--published"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    (line,) = [line for line in result.output.splitlines() if line.startswith("Error")]
    assert "line 1: no row of Le et al.'s lists" in line


def test_nemo_manifests_are_read(tmp_path: Path) -> None:
    rows = [
        {"audio_filepath": "x/a.wav", "duration": 1, "text": "a b", "pred_text": "a c"},
        {"audio_filepath": "x/b.wav", "duration": 1, "text": "d", "pred_text": "d"},
        {"audio_filepath": "x/b.wav", "offset": 2.5, "text": "e", "pred_text": ""},
    ]
    manifest = tmp_path / "pred.json"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = ["--bootstrap", "0", "--format", "json"]
    result = CliRunner().invoke(main, ["score", str(manifest), str(manifest), *options])
    assert result.exit_code == 0, result.output
    assert list(json.loads(result.output)["counts"]["words"].values()) == [1, 1, 0, 4]
    kaldi = tmp_path / "hyp"
    kaldi.write_text("a a b\nb d\nb-2.5 e\n")
    result = CliRunner().invoke(main, ["score", str(manifest), str(kaldi), *options])
    assert list(json.loads(result.output)["counts"]["words"].values()) == [0, 0, 0, 4]

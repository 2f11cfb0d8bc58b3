"""Transcripts side by side: which words are marked, on a terminal and in the picture."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from ctcbias_fst.cli import main
from ctcbias_fst.errors import ManifestError
from ctcbias_fst.scoring.comparison import Word, compare_files, to_lines, to_svg

SAID = "a she takes metformin in the morning\nb we met Keisha's brother today\n"
BEFORE = "a she takes met foreman in a morning\nb we met kisha brother today\n"
AFTER = "a she takes Metformin in the mourning\nb we met Keisha's brother\n"


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / name for name in ("said", "before", "after", "names")]
    for path, text in zip(paths, (SAID, BEFORE, AFTER, "Metformin\nKeisha\n")):
        path.write_text(text, encoding="utf-8")
    return paths


def test_words_are_marked_by_what_became_of_them(files: list[Path]) -> None:
    comparison = compare_files(*files)
    first, second = comparison.utterances
    assert [word for word in first.reference if word.kind == "name"] == [Word("metformin", "name")]
    assert [word for word in second.reference if word.kind == "name"] == [Word("Keisha's", "name")]
    assert [word.text for word in first.before if word.kind == "wrong"] == ["met", "foreman", "a"]
    assert [word for word in first.after if word.kind != "plain"] == [
        Word("Metformin", "mended"),
        Word("the", "mended"),
        Word("mourning", "wrong"),
    ]
    assert second.after[-1] == Word("*", "wrong")
    assert comparison.before.entities.hits == 0
    assert comparison.after.entities.hits == 2
    assert comparison.summary() == [
        "F1: 0.0 % before, 100.0 % after",
        "WER: 36.4 % before, 18.2 % after",
    ]
    unnamed = compare_files(*files[:3])
    assert not any(word.kind == "name" for row in unnamed.utterances for word in row.reference)
    assert unnamed.summary() == ["WER: 36.4 % before, 18.2 % after"]


def test_what_did_not_change_is_not_marked(files: list[Path]) -> None:
    said = files[0]
    comparison = compare_files(said, said, said)
    assert {w.kind for u in comparison.utterances for w in (*u.before, *u.after)} == {"plain"}


def test_lines_with_and_without_colour(files: list[Path]) -> None:
    comparison = compare_files(*files)
    plain = "\n".join(to_lines(comparison, colour=False))
    assert "  before  she takes [met] [foreman] in [a] morning" in plain
    assert "  after   she takes *Metformin* in *the* [mourning]" in plain
    coloured = "\n".join(to_lines(comparison, colour=True))
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == re.sub(r"[\[\]]|\*(?=\w)|(?<=\w)\*", "", plain)


def test_picture(files: list[Path]) -> None:
    root = ElementTree.fromstring(to_svg(compare_files(*files)))
    name = "{http://www.w3.org/2000/svg}"
    texts = ["".join(text.itertext()) for text in root.iter(f"{name}text")]
    assert "she takes met foreman in a morning" in texts
    assert texts[-2:] == compare_files(*files).summary()
    mended = [span.text for span in root.iter(f"{name}tspan") if span.get("class") == "mended"]
    assert mended == ["Metformin", "the", "Keisha's"]


def test_command(files: list[Path], tmp_path: Path) -> None:
    said, before, after, names = map(str, files)
    picture = tmp_path / "picture.svg"
    options = ["compare", said, before, after, "--entities", names, "-o", str(picture)]
    result = CliRunner().invoke(main, options)
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1] == "WER: 36.4 % before, 18.2 % after"
    assert "\x1b" not in result.output
    assert picture.read_text(encoding="utf-8").startswith("<svg")
    assert "\x1b[1;32mMetformin" in CliRunner().invoke(main, [*options, "--color"]).output


def test_every_utterance_must_be_there(files: list[Path]) -> None:
    files[2].write_text(AFTER.splitlines()[0] + "\n", encoding="utf-8")
    with pytest.raises(ManifestError, match="b"):
        compare_files(*files[:3])


def test_pictures_of_control_characters_are_well_formed(files: list[Path]) -> None:
    files[2].write_text("a she \x1b[1m takes \x07\nb we\n", encoding="utf-8")
    ElementTree.fromstring(to_svg(compare_files(*files)))


def test_texts_are_shown_as_they_are_written(tmp_path: Path) -> None:
    texts = (
        "AT&T pays $5 – Dr. Smith agrees.",
        "AT&T paid - Dr. Smith",
        "AT&T pays $5 Smith Agrees",
    )
    for name, text in zip("rba", texts):
        (tmp_path / name).write_text(f"u {text}\n", encoding="utf-8")
    names = tmp_path / "names"
    names.write_text("AT&T\n")
    found = compare_files(tmp_path / "r", tmp_path / "b", tmp_path / "a", names)
    assert list(to_lines(found, colour=False))[1:4] == [
        "  said    AT&T pays $5 – Dr. Smith agrees.",
        "  before  AT&T [paid -] [*] Dr. Smith [*]",
        "  after   AT&T *pays* *$5* [*] Smith *Agrees*",
    ]


def test_a_word_of_several_parts_is_as_wrong_as_the_worst_of_them(tmp_path: Path) -> None:
    said, written = tmp_path / "said", tmp_path / "written"
    said.write_text("u AT&T pays\n")
    written.write_text("u BT&T pays\n")
    (found,) = compare_files(said, written, said).utterances
    assert found.before == (Word("BT&T", "wrong"), Word("pays", "plain"))
    assert found.after == (Word("AT&T", "mended"), Word("pays", "plain"))

"""``ctcbias score`` from files to figures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ctcbias_fst.cli import main

ROWS = [
    {"id": "a", "text": "take metformin now", "domain": "medical", "entities": ["Metformin"]},
    {"id": "b", "text": "he came from york", "domain": "general", "entities": ["York"]},
    {"id": "c", "text": "good morning", "domain": "general", "entities": []},
]
HYPOTHESES = "a take met foreman now\nb he came from York\nc good morning\n"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "ref.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (tmp_path / "hyp").write_text(HYPOTHESES)
    (tmp_path / "names").write_text("Metformin\nYork\nLeeds\n")
    return tmp_path


def score(folder: Path, *options: str) -> Result:
    arguments = ["score", str(folder / "ref.jsonl"), str(folder / "hyp"), *options]
    return CliRunner().invoke(main, arguments)


def test_table(files: Path) -> None:
    result = score(files, "--entities", str(files / "names"), "--bootstrap", "0")
    assert result.exit_code == 0
    lines = [line.split() for line in result.output.splitlines()]
    assert lines[0] == ["utterances:", "3"]
    assert [line[:2] for line in lines[1:]] == [
        ["WER", "22.22%"],
        ["CER", "6.38%"],
        ["SER", "33.33%"],
        ["B-WER", "50.00%"],
        ["U-WER", "14.29%"],
        ["precision", "100.00%"],
        ["recall", "50.00%"],
        ["F1", "66.67%"],
    ]


def test_table_without_names_is_short(files: Path) -> None:
    lines = score(files).output.splitlines()
    assert [line.split()[0] for line in lines] == ["utterances:", "WER", "CER", "SER"]


def test_json_by_group_with_intervals(files: Path) -> None:
    options = ["--entities", str(files / "ref.jsonl"), "--by", "domain", "--format", "json"]
    found = json.loads(score(files, *options).output)
    assert found["rates"]["WER"]["rate"] == pytest.approx(2 / 9)
    assert 0 <= found["rates"]["WER"]["low"] < 2 / 9 < found["rates"]["WER"]["high"] < 1
    assert found["counts"]["entities"] == {"hits": 1, "misses": 1, "false_alarms": 0}
    assert list(found["groups"]) == ["medical", "general"]
    assert found["groups"]["medical"]["rates"]["F1"] == {"rate": 0.0, "low": 0.0, "high": 0.0}
    assert found["groups"]["medical"]["rates"]["precision"]["rate"] is None
    assert found["groups"]["general"]["counts"]["utterances"] == 2
    assert found["without_reference"] == []
    few = [*options, "--bootstrap", "5"]
    again = [score(files, *few, "--seed", str(seed)).output for seed in (0, 0, 1)]
    assert again[0] == again[1] != again[2]


def test_table_by_group(files: Path) -> None:
    output = score(files, "--by", "domain").output
    headings = [line for line in output.splitlines() if "utterances: " in line]
    assert headings == ["utterances: 3", "medical, utterances: 1", "general, utterances: 2"]


def test_details(files: Path) -> None:
    details = files / "details.jsonl"
    result = score(
        files, "--entities", str(files / "names"), "--details", str(details), "--by", "domain"
    )
    assert result.exit_code == 0
    first, second, third = map(json.loads, details.read_text().splitlines())
    assert first["id"] == "a"
    assert len(first["reference"]) == len(first["hypothesis"]) == 4
    assert [word for word in first["reference"] if word] == ["take", "metformin", "now"]
    assert first["misses"] == ["metformin"]
    assert first["group"] == "medical"
    assert second["hits"] == ["york"]
    assert third["counts"]["words"]["reference"] == 2


def test_phones(tmp_path: Path) -> None:
    (tmp_path / "ref.jsonl").write_text('{"id": "a", "phones": "F R AH M | Y AO R K"}\n')
    (tmp_path / "hyp").write_text("a F R AH Y AO R K S\n")
    result = score(tmp_path, "--field", "phones", "--raw", "--ignore", "|", "--format", "json")
    assert json.loads(result.output)["counts"]["words"] == {
        "substitutions": 0,
        "deletions": 1,
        "insertions": 1,
        "reference": 8,
    }


def test_le_et_al(tmp_path: Path) -> None:
    """Rare words of the reference decide B-WER, the list with distractors the rest."""
    (tmp_path / "ref.jsonl").write_text('a\tfrom york to hull\t["york"]\t["leeds", "york"]\n')
    (tmp_path / "hyp").write_text("a\tfrom leeds york to hull\n")
    reference = str(tmp_path / "ref.jsonl")
    by_list = score(tmp_path, "--entities", reference, "--format", "json")
    assert json.loads(by_list.output)["counts"]["biased"]["insertions"] == 1
    spoken = score(tmp_path, "--entities", reference, "--bias-words", reference, "--format", "json")
    counts = json.loads(spoken.output)["counts"]
    assert (counts["biased"]["insertions"], counts["unbiased"]["insertions"]) == (0, 1)
    assert counts["entities"]["false_alarms"] == 1


def test_warnings_go_to_standard_error(files: Path) -> None:
    (files / "names").write_text("York\nyork\n")
    (files / "hyp").write_text(HYPOTHESES + "d extra\n")
    command = ["score", files / "ref.jsonl", files / "hyp", "--entities", files / "names"]
    # As a process: old versions of click's runner mix the two streams.
    result = subprocess.run(
        [sys.executable, "-m", "ctcbias_fst", *command, "--format", "json"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(result.stdout)["without_reference"] == ["d"]
    assert "line 2: 'york' has no effect: same as line 1" in result.stderr
    assert "1 hypothesis without a reference: d" in result.stderr


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("hyp", "a take\n", "2 of 3 utterances have no hypothesis: b, c"),
        ("hyp", "x take\n", "the ids differ"),
        ("hyp", "a x\na y\n", "line 2: utterance 'a' was given in line 1 already"),
        ("hyp", "", "hyp: holds no utterance"),
        ("ref.jsonl", '{"id": "a"}\n', "line 1: has no field 'text'"),
        ("ref.jsonl", '{"id": "a", \n', "ref.jsonl, line 1: not valid JSON"),
        ("names", "York\tbig\n", "names, line 1: unknown column"),
        ("names", "?\n", "none of its 1 entries can have an effect"),
        ("names", '{"id": "a", "entities": []}\n', "utterance 'b' has no list of names"),
    ],
)
def test_errors_are_one_line(files: Path, name: str, content: str, message: str) -> None:
    (files / name).write_text(content)
    result = score(files, "--entities", str(files / "names"))
    assert result.exit_code == 1
    assert result.output.startswith("Error: ")
    assert result.output.count("\n") == 1
    assert message in result.output


def test_unreadable_files(files: Path) -> None:
    for option in ("--entities", "--bias-words"):
        assert "is a directory; give a file" in score(files, option, str(files)).output
        assert "no such file" in score(files, option, str(files / "nowhere")).output
    result = score(files, "--details", str(files))
    assert result.exit_code == 1
    assert "it is a folder, and a file is wanted" in result.output


def test_missing_as_deletions(files: Path) -> None:
    (files / "hyp").write_text("c good morning\n")
    result = score(files, "--missing-as-deletions", "--format", "json")
    assert json.loads(result.output)["counts"]["words"]["deletions"] == 7


def test_pairs(files: Path) -> None:
    (files / "hyp").write_text("a take met foreman now\nb he comes from\nc\n")
    output = score(files, "--entities", str(files / "ref.jsonl"), "--format", "pairs").output
    first = output.splitlines()[:4]
    assert first[0] == "a"
    assert first[1].removeprefix("  ref: ").split().count("*") == 1
    assert first[2].split() == ["hyp:", "take", "met", "foreman", "now"]
    assert first[3] == "  missed: metformin"
    assert output.splitlines()[4:] == [
        "b",
        "  ref: he came  from york",
        "  hyp: he comes from *",
        "  missed: york",
        "c",
        "  ref: good morning",
        "  hyp: *    *",
    ]


def test_ctm_is_read(tmp_path: Path) -> None:
    (tmp_path / "ref").write_text("a the cat\nb sat\n")
    (tmp_path / "hyp.ctm").write_text(
        ";; made by hand\na 1 0.50 0.25 cat 0.99\na 1 0.25 0.20 the\nb A 0.10 0.2 sat 1.0\n"
    )
    result = CliRunner().invoke(main, ["score", f"{tmp_path}/ref", f"{tmp_path}/hyp.ctm"])
    assert result.exit_code == 0, result.output
    assert "0.00" in result.output
    empty = tmp_path / "empty.ctm"
    empty.write_text(";; nothing\n")
    result = CliRunner().invoke(main, ["score", f"{tmp_path}/ref", str(empty)])
    assert result.stderr == f"Error: {empty}: holds no utterance.\n"


def test_groups_need_fields(tmp_path: Path) -> None:
    (tmp_path / "ref").write_text("a the cat\n")
    arguments = ["score", f"{tmp_path}/ref", f"{tmp_path}/ref", "--by", "domain"]
    result = CliRunner().invoke(main, arguments)
    assert result.stderr == (
        f"Error: {tmp_path}/ref, line 1: has no field 'domain' to group by: only JSON lines have "
        "fields; give the references as JSON lines, or leave the groups out\n"
    )

"""The recipe of the sounds: what is held out, alignment, table, coverage."""

from __future__ import annotations

import gzip
import math
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from lhotse import CutSet, Recording, SupervisionSegment

from ctcbias_fst.errors import InputError
from ctcbias_fst.pronunciation.g2p import G2P
from ctcbias_fst.pronunciation.lexicon import read_lexicon
from ctcbias_fst.settings import PipelineConfig
from ctcbias_fst.text.entities import entities_from_names
from ctcbias_fst.variants.table import read_table
from ctcbias_fst.variants.variants import read_word_costs
from recipes.pronunciation.align import G2P_SIZES, TABLE_SIZES, align
from recipes.pronunciation.coverage import Coverage, coverage, heard_spellings, read_pairs
from recipes.pronunciation.curve import SIZES, Point, curve, draw
from recipes.pronunciation.curve import main as curve_command
from recipes.pronunciation.dictionary import held_out, read_dictionary, trainable
from recipes.pronunciation.dictionary import test_words as words_to_test
from recipes.pronunciation.lexicon import write_lexicon
from recipes.pronunciation.table import write_table
from recipes.pronunciation.texts import count_words, write_spelling_model, write_word_costs
from recipes.pronunciation.train_g2p import phone_errors, train_g2p

SCRIPTS = Path(__file__).parents[2] / "recipes" / "pronunciation"
CLIPS = Path(__file__).parents[2] / "ctcbias_fst" / "pretrained" / "clips"

WORDS = {
    "cat": (("K", "AE", "T"),),
    "cats": (("K", "AE", "T", "S"),),
    "tack": (("T", "AE", "K"),),
    "tax": (("T", "AE", "K", "S"),),
    "axe": (("AE", "K", "S"),),
    "kit": (("K", "IH", "T"),),
    "sit": (("S", "IH", "T"),),
    "six": (("S", "IH", "K", "S"),),
    "kick": (("K", "IH", "K"),),
    "sack": (("S", "AE", "K"),),
}


@pytest.mark.parametrize("sizes", [G2P_SIZES, TABLE_SIZES])
def test_cuts_are_of_the_words(sizes: object) -> None:
    cuts, counts = align(WORDS, sizes)  # type: ignore[arg-type]
    assert len(cuts) == len(WORDS)
    for cut, (word, (phones,)) in zip(cuts, WORDS.items()):
        assert "".join(letters for letters, _ in cut) == word
        assert tuple(phone for _, found in cut for phone in found) == phones
        assert all((len(g), len(p)) in sizes for g, p in cut)  # type: ignore[operator]
    assert all(count >= 0 for count in counts.values())


def test_alignment_finds_what_belongs_together() -> None:
    cuts, counts = align(WORDS, G2P_SIZES)
    by_word = dict(zip(WORDS, cuts))
    assert by_word["sit"] == [("s", ("S",)), ("i", ("IH",)), ("t", ("T",))]
    assert ("x", ("K", "S")) in by_word["tax"]
    # As often as there are letters a, whatever the cuts.
    assert sum(n for (g, _), n in counts.items() if g == "a") == pytest.approx(6, abs=0.3)


def test_pronunciations_of_a_word_share_its_weight() -> None:
    twice = {**WORDS, "cat": (("K", "AE", "T"), ("K", "IH", "T"))}
    _, counts = align(twice, ((1, 1), (1, 2), (2, 1), (1, 0)), iterations=1)
    assert sum(n * len(g) for (g, _), n in counts.items()) == pytest.approx(
        sum(map(len, WORDS)), abs=1e-6
    )


def test_dictionary_and_what_is_held_out(tmp_path: Path) -> None:
    path = tmp_path / "cmudict.dict"
    path.write_text("cat K AE1 T # noun\ncat(2) K AE0 T\ncat(3) K AH0 T\n'bout B AW1 T\n")
    assert read_dictionary(path) == {"cat": (("K", "AE", "T"), ("K", "AH", "T"))}
    path.write_text("cat K AE1 T\ndog D QQ\n")
    with pytest.raises(InputError, match="line 2: not `word PHONES`"):
        read_dictionary(path)

    words = {f"a{chr(97 + i)}{chr(97 + j)}": (("AH",),) for i in range(26) for j in range(26)}
    words |= {f"{word}'s": (("AH", "Z"),) for word in words}
    test = words_to_test(words, count=20)
    assert len(test) == 20
    assert all(held_out(word) for word in test)
    kept = trainable(words)
    assert not set(kept) & set(test)
    assert not any(held_out(word) or "'" in word for word in kept)
    assert set(kept) == {word for word in words if "'" not in word and not held_out(word)}


def test_models_from_a_few_words(tmp_path: Path) -> None:
    train_g2p(WORDS, tmp_path / "g2p.safetensors", 3, 0.0)
    model = G2P.load(tmp_path / "g2p.safetensors")
    errors = phone_errors(model, ["sit", "kick"], WORDS)
    assert (errors.words, errors.errors, errors.missed) == (2, 0, 0)
    wrong = phone_errors(model, ["sit"], {"sit": (("S", "AE", "T", "S"),)})
    assert (wrong.errors, wrong.phones, wrong.wrong, wrong.missed) == (2, 4, 1, 1)

    write_table(WORDS, tmp_path / "table.tsv", 1.0, 1, 0.0)
    rows = {(row.letters, row.phones): row.cost for row in read_table(tmp_path / "table.tsv")}
    assert rows["i", ("IH",)] == pytest.approx(0.0)
    # Of three x, that of "axe" was cut together with its e.
    assert rows["x", ("K", "S")] == pytest.approx(math.log(3 / 2), abs=1e-3)

    words = {**WORDS, "cat's": (("K", "AE", "T", "S"),), "a": (("AH",),)}
    assert write_lexicon(words, tmp_path / "lexicon.gz") == len(WORDS)
    assert read_lexicon(tmp_path / "lexicon.gz").pronunciations("cat's") == (("K", "AE", "T", "S"),)


def test_files_from_text(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("The cat sat.\nthe cat's hat 19\n")
    counts = count_words([text])
    assert counts == {"the": 2, "cat": 1, "sat": 1, "cat's": 1, "hat": 1}
    for _ in range(2):
        write_word_costs(counts, tmp_path / "words.gz", least=2, most=10)
        again = (tmp_path / "words.gz").read_bytes()
        assert gzip.decompress(again) == b"the\t1.10\n"
    assert read_word_costs(tmp_path / "words.gz") == {"the": 1.1}
    assert len(write_spelling_model(counts, tmp_path / "spelling.safetensors", 2, 0.0)) == 2


def test_coverage_counts() -> None:
    from ctcbias_fst.variants.shipped import load_variants  # noqa: PLC0415

    pairs = read_pairs(Path(__file__).parent / "heard.tsv")
    results = coverage(pairs, load_variants(), (0, 20))
    assert results[0] == Coverage(4, 1, 12 + 7 + 8 + 8, results[0].distance)
    assert results[20].covered == 3
    assert results[20].distance < results[0].distance
    assert results[0] + Coverage() == results[0]


@pytest.mark.parametrize(
    ("reference", "hypothesis", "names", "pairs"),
    [
        ("ask carthen now", "ask karthen now", ["carthen"], [("carthen", "karthen")]),
        ("ask carthen now", "ask car then now", ["carthen"], [("carthen", "car then")]),
        ("in new york", "in noo york", ["new york"], [("new york", "noo york")]),
        ("carthen and carthen", "karthen and cartan", ["carthen"] * 2,
         [("carthen", "karthen"), ("carthen", "cartan")]),
        ("ask carthen", "", ["carthen"], []),
        ("ask carthen", "ask carthen", ["norville"], []),
    ],
)  # fmt: skip
def test_what_was_heard(
    reference: str, hypothesis: str, names: list[str], pairs: list[tuple[str, str]]
) -> None:
    assert heard_spellings(reference.split(), hypothesis.split(), names) == pairs


@given(st.lists(st.text(alphabet="abc", min_size=1, max_size=5), min_size=1, max_size=6))
def test_a_right_transcript_is_heard_as_it_is(words: list[str]) -> None:
    assert heard_spellings(words, words, words[:1]) == [(words[0], words[0])]


def test_pairs_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_text("carthen\n")
    with pytest.raises(InputError, match="line 1: not a name, a tab"):
        read_pairs(path)
    path.write_text("# none\n")
    with pytest.raises(InputError, match="no pairs"):
        read_pairs(path)


@pytest.mark.parametrize("script", ["prepare.py", "coverage.py"])
def test_scripts_show_help(script: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPTS / script), "--help"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout


class Spoken:
    """A set of which more is understood the more variants there are."""

    references: ClassVar = {"a": "keisha sleeps", "b": "nobody sleeps"}
    entities = entities_from_names(["keisha"])

    def transcribe(self, config: PipelineConfig, listed: bool = True) -> dict[str, str]:
        name = "keisha" if config.spellings.number >= 2 else "kesha"
        return {"a": f"{name} sleeps", "b": "nobody sleeps"}


def test_curves_over_the_number_of_variants(tmp_path: Path) -> None:
    points = curve(Spoken(), PipelineConfig(), (0, 2, 50))
    assert [(point.variants, point.f1, point.wer) for point in points] == [
        (0, 0.0, 0.25),
        (2, 1.0, 0.0),
        (50, 1.0, 0.0),
    ]
    nameless = [Point(0, math.nan, 0.5), Point(2, math.nan, 0.5), Point(50, math.nan, 0.5)]
    pytest.importorskip("matplotlib")
    draw([("named", points), ("nameless", nameless)], tmp_path / "curve.svg")
    assert "entity F1" in (tmp_path / "curve.svg").read_text(encoding="utf-8")


def test_the_command_for_curves(tmp_path: Path) -> None:
    recording = Recording.from_file(CLIPS / "medical-2.flac")
    cut = recording.to_cut()
    said = "my father takes imiglucerase and feels fine"
    cut.supervisions = [SupervisionSegment("a", recording.id, 0.0, recording.duration, text=said)]
    CutSet.from_cuts([cut]).to_file(tmp_path / "cuts.jsonl")
    (tmp_path / "names.txt").write_text("imiglucerase\nbridlewood\n", encoding="utf-8")
    (tmp_path / "study.toml").write_text(
        'search = ["segmentations=1:2"]\n[[sets]]\ncuts = "cuts.jsonl"\nentities = "names.txt"\n',
        encoding="utf-8",
    )
    done = CliRunner().invoke(curve_command, [str(tmp_path / "study.toml"), "--name", "clip"])
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [["clip", str(n)] for n in SIZES]
    assert "F1 100.0%" in lines[-1]

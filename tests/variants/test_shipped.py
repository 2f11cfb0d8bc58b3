"""The files that come with the package: a dozen names, their digests, the commands."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from ctcbias_fst.cli import main
from ctcbias_fst.errors import ModelError
from ctcbias_fst.pronunciation.lexicon import read_lexicon
from ctcbias_fst.pronunciation.pronounce import Pronouncer
from ctcbias_fst.pronunciation.pronunciation_table import PronunciationTable
from ctcbias_fst.recent import Recent
from ctcbias_fst.rescore.word_pronunciations import load_word_pronunciations
from ctcbias_fst.text.entities import entities_from_names
from ctcbias_fst.text.entity import Entity
from ctcbias_fst.variants import shipped
from ctcbias_fst.variants.shipped import (
    ADDITIONS,
    DEFAULT,
    G2P_FILE,
    LEXICON,
    SPELLING,
    WORDS,
    check,
    load_pronouncer,
    load_variants,
    pronunciation_table,
    seal,
)
from ctcbias_fst.variants.variants import read_word_costs

GOLDEN = {
    "Begeman": "B IY G M AH N",
    "Norville": "N AO R V IH L",
    "O'Hara's": "OW HH EH R AH Z",
    "J R Smith": "JH EY AA R S M IH TH",
    "MMPI": "EH M EH M P IY AY",
    "BBC": "B IY B IY S IY",
    "Henry VIII": "HH EH N R IY EY T",
    "St Louis": "S EY N T L UW IH S",
    "Boeing 747": "B OW IH NG S EH V AH N HH AH N D R AH D F AO R T IY S EH V AH N",
    "vitamin B12": "V AY T AH M AH N B IY T W EH L V",
    "Carthen": "K AA R TH AH N",
    "spesolimab": "S P EH S OW L IY M AA B",
}


@pytest.mark.parametrize(("name", "phones"), GOLDEN.items())
def test_golden_names(name: str, phones: str) -> None:
    assert load_pronouncer().pronounce(name, name)[0].text == phones


def test_words_that_were_added() -> None:
    """They are words that the dictionary lacks, and they count as listed."""
    added = read_lexicon(DEFAULT / ADDITIONS)
    assert len(added) > 50
    assert not set(added) & set(read_lexicon(DEFAULT / LEXICON))
    found = load_pronouncer().pronounce("Covid")[0]
    assert (found.text, found.source) == ("K OW V IH D", "lexicon")
    assert load_pronouncer().is_listed("covid's")


def test_no_common_word_is_a_guess() -> None:
    """What is none costs phone scores: *a* would be lost beside a name."""
    words = load_word_pronunciations()
    common = [word for word, cost in read_word_costs(DEFAULT / WORDS).items() if cost < 9.0]
    assert {"a", "i", "the"} < set(common)
    assert [word for word in common if not words.is_listed(word)] == []


def test_the_g2p_is_small() -> None:
    assert (DEFAULT / G2P_FILE).stat().st_size <= 5_000_000


def test_missing_and_damaged_files(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"sounds\.json: no such file"):
        load_pronouncer(tmp_path / "nowhere")
    folder = tmp_path / "sounds"
    shutil.copytree(DEFAULT, folder)
    check(folder, LEXICON, G2P_FILE, SPELLING)
    with (folder / G2P_FILE).open("ab") as file:
        file.write(b"x")
    with pytest.raises(ModelError, match=r"g2p\.safetensors: its SHA-256 starts with"):
        load_pronouncer(folder)
    seal(folder)
    with pytest.raises(ModelError, match=r"g2p\.safetensors: damaged"):
        load_pronouncer(folder, 6)
    (folder / SPELLING).unlink()
    with pytest.raises(ModelError, match=r"spelling\.safetensors: no such file"):
        load_variants(folder)
    for text, message in (("{", "not a list of digests"), ('{"format": 9}', "it needs another")):
        (folder / "sounds.json").write_text(text)
        with pytest.raises(ModelError, match=message):
            check(folder, LEXICON)


def test_commands() -> None:
    run = CliRunner().invoke
    text = run(main, ["pronounce", "Begeman"])
    assert text.output == "Begeman\n   0.00  B IY G M AH N  lexicon\n"
    result = run(main, ["pronounce", "--format", "json", "-n", "2", "Carthen", "one"])
    rows = [json.loads(line) for line in result.output.splitlines()]
    assert [row["name"] for row in rows] == ["Carthen", "one"]
    assert rows[0]["pronunciations"][0]["source"] == "g2p"
    assert len(rows[0]["pronunciations"]) == 2
    result = run(main, ["variants", "--format", "json", "-n", "3", "Carthen", "BBC"])
    rows = [json.loads(line) for line in result.output.splitlines()]
    assert len(rows[0]["variants"]) == 3
    assert rows[1]["variants"] == []
    assert run(main, ["variants", "BBC"]).output == "BBC  (none)\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pronounce", ""], "Error: '' cannot be pronounced: it has no letter and no digit"),
        (["pronounce", "Москва"], "which English does not write"),
        (["variants", "--", "-"], "the name is empty"),
    ],
)
def test_commands_report_bad_names(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert message in result.output
    assert len(result.output.splitlines()) == 1


def test_one_pronouncer_serves_all() -> None:
    assert load_pronouncer() is load_pronouncer(DEFAULT)


changing_lists = st.lists(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["Begeman", "BBC", "北京", "Henry VIII", "Norville", "C++", "vitamin B12"]
            ),
            st.sampled_from([(), ("carthen",)]),
            st.sampled_from([(), (("S", "EY"),)]),
        ),
        max_size=5,
    ),
    max_size=5,
)


@settings(max_examples=20)
@given(changing_lists)
def test_a_list_that_changes_sounds_as_it_does_anew(
    lists: list[list[tuple[str, tuple[str, ...], tuple[tuple[str, ...], ...]]]],
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shipped, "_KEPT_FROM", 0)
        patch.setattr(shipped, "_latest", Recent(2))
        patch.setenv("CTCBIAS_CACHE", "off")
        for rows in lists:
            several = [
                Entity(name.lower(), name, sounds_like=alike, pronunciations=own)
                for name, alike, own in rows
            ]
            found = pronunciation_table(several).arrays()
            anew = PronunciationTable.of(load_pronouncer().pronounce_entities(several)).arrays()
            for name, array in anew.items():
                assert array.tolist() == found[name].tolist()
                assert array.dtype == found[name].dtype


def test_only_what_a_list_did_not_have_is_pronounced(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    whole = Pronouncer.pronounce_entities

    def noted(self: Pronouncer, entities: list[Entity]) -> object:
        asked.append([entity.display for entity in entities])
        return whole(self, entities)

    monkeypatch.setattr(shipped, "_KEPT_FROM", 0)
    monkeypatch.setattr(shipped, "_latest", Recent(2))
    monkeypatch.setenv("CTCBIAS_CACHE", "off")
    monkeypatch.setattr(Pronouncer, "pronounce_entities", noted)
    for names in (["Begeman", "BBC"], ["BBC", "Carthen"], [{"name": "BBC", "weight": 2}]):
        pronunciation_table(entities_from_names(names))
    assert asked == [["Begeman", "BBC"], ["Carthen"], []]

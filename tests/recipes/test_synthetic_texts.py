"""Cleaning, splitting and filling of texts."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from ctcbias_fst.config import load_config
from ctcbias_fst.errors import ConfigError, MissingDependencyError
from recipes.synthetic import texts
from recipes.synthetic.names import NamePools
from recipes.synthetic.settings import DOMAINS, Settings
from recipes.synthetic.texts import (
    Corpus,
    Templates,
    TextMaker,
    clean,
    fill,
    name_frame,
    normalise,
    noun_frame,
    percent_split,
    wordnet_examples,
)

RECIPE = Path(texts.__file__).parent
KINDS = ("drug", "disease", "surname", "city", "country")


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load_config(Settings, RECIPE / "config.toml")


@pytest.fixture(scope="module")
def templates(settings: Settings) -> Templates:
    return Templates.load(RECIPE / "templates", settings.text)


@pytest.fixture
def names() -> NamePools:
    spoken = {
        split: {kind: tuple(f"{split}{kind}{end}" for end in "abcdefgh") for kind in KINDS}
        for split in ("train", "dev", "test")
    }
    pool = {"medical": ("aspirine",), "parliament": ("radom",)}
    return NamePools(spoken, ("john", "mary"), pool, frozenset({"france"}), rare_zipf=3.0)


@pytest.mark.parametrize(
    ("raw", "spoken"),
    [
        ("the reappearance of Halley's comet", "The reappearance of Halley's comet."),
        ("Peace — at last; freedom!", "Peace, at last, freedom!"),
        ("a well-known café", "A well known cafe."),
        ("“Who goes there?”", "Who goes there?"),
        ("the peoples' will", "The peoples' will."),
    ],
)
def test_clean(raw: str, spoken: str) -> None:
    assert clean(raw) == spoken


@pytest.mark.parametrize(
    "raw",
    ["In 1930 it fell.", "The U.S. won.", "NATO won.", "Mr. Smith left.", "5% more", "he said 'no'",
     "One. Two.", "", " . ", "a (b) c"],
)  # fmt: skip
def test_not_clean(raw: str) -> None:
    assert clean(raw) is None


def test_normalise_has_letters_apostrophes_and_single_spaces() -> None:
    assert normalise("Well, the King's  men'll ' go!") == "well the king's men'll go"


def test_every_sentence_has_one_split_and_shares_are_about_right() -> None:
    splits = [percent_split(f"sentence {n}", 10, 20) for n in range(2000)]
    assert splits == [percent_split(f"SENTENCE {n}", 10, 20) for n in range(2000)]
    assert 300 < splits.count("test") < 500
    assert 130 < splits.count("dev") < 270


def test_frames() -> None:
    assert name_frame("We must help Poland to be free.") == "We must help {} to be free."
    assert name_frame("We met in January.") is None
    assert name_frame("We met Smith and Jones.") is None
    assert noun_frame("The dog barked.", "dog") == "The {} barked."
    assert noun_frame("The dog's dog barked.", "cat") is None


def test_templates_are_split_without_overlap_and_are_many(templates: Templates) -> None:
    for domain in DOMAINS:
        split = {key: set(lines) for key, lines in templates.lines.items() if key == domain}
        parts = templates.lines[domain]
        everything = [line for lines in parts.values() for line in lines]
        assert split and len(everything) == len(set(everything))
        assert all(parts[key] for key in ("train", "dev", "test"))
    assert min(len(templates.lines[d]["train"]) for d in ("medical", "parliament")) > 100


def test_an_unfilled_slot_is_reported_with_its_line(tmp_path: Path, settings: Settings) -> None:
    for domain in DOMAINS:
        (tmp_path / f"{domain}.txt").write_text("# comment\nGive {nothing} to me.\n")
    (tmp_path / "fillers.toml").write_text("")
    with pytest.raises(ConfigError, match=r"general\.txt:2: .*'nothing'"):
        Templates.load(tmp_path, settings.text)


def test_unknown_keys_of_the_config_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("sede = 1\n" + (RECIPE / "config.toml").read_text())
    with pytest.raises(ConfigError, match="sede"):
        load_config(Settings, path)


def test_fill_lists_the_names_in_order(names: NamePools) -> None:
    rng = random.Random(1)
    line = fill("{drug} after {number} weeks, {drug}.", "dev", names, {"number": ["two"]}, rng)
    assert len(line.entities) == 2
    assert line.text == f"{line.entities[0]} after two weeks {line.entities[1]}"
    assert all(name.startswith("devdrug") for name in line.entities)


def test_fill_makes_the_article_suit(names: NamePools) -> None:
    names.spoken["train"]["drug"] = ("aspirine",)
    line = fill("Take a {drug}.", "train", names, {}, random.Random(1))
    assert line.spoken == "Take an aspirine."
    names.spoken["train"]["drug"] = ("uniparine",)
    assert fill("An {drug}.", "train", names, {}, random.Random(1)).text == "a uniparine"


def test_a_common_country_is_no_entity(names: NamePools) -> None:
    names.spoken["dev"]["country"] = ("france",)
    line = fill("Back to {country}.", "dev", names, {}, random.Random(1))
    assert (line.spoken, line.entities) == ("Back to France.", ())


def test_a_full_name_is_one_entity(names: NamePools) -> None:
    line = fill("Ask {person}.", "test", names, {}, random.Random(2))
    assert line.entities == (line.text.removeprefix("ask "),)
    assert len(line.entities[0].split()) == 2


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_a_maker_never_repeats_and_uses_its_own_split(
    split: str, settings: Settings, templates: Templates, names: NamePools
) -> None:
    sentences = {key: tuple(f"This is {key} {n}." for n in "abcdefghij") for key in names.spoken}
    frames = {
        domain: {key: (f"The {key} {{}} is here.",) for key in names.spoken}
        for domain in ("medical", "parliament")
    }
    maker = TextMaker(
        split,
        corpus=Corpus(sentences, frames),
        templates=templates,
        names=names,
        settings=settings,
        phrases=False,
    )
    rng = random.Random(3)
    lines = [maker.line(domain, rng) for domain in ("medical", "parliament") for _ in range(40)]
    assert len({line.text for line in lines}) == len(lines)
    own = {*templates.lines["medical"][split], *templates.lines["parliament"][split]}
    for line in lines:
        bare = line.origin.removeprefix("{opening} ")
        assert bare in own or bare[0].upper() + bare[1:] in own or split in line.origin
        assert all(split in name for name in line.entities)
    with pytest.raises(ConfigError, match="no more sentences"):
        for _ in range(100):
            maker.line("general", rng)


def test_missing_wordnet_names_its_package(tmp_path: Path) -> None:
    with pytest.raises(MissingDependencyError, match="wordnet-base"):
        next(wordnet_examples(tmp_path))


def test_wordnet_examples_know_their_noun(tmp_path: Path) -> None:
    line = '0001 03 n 02 dog 0 hound 0 000 | a beast; "the dog barked"; "in 1950 it died"\n'
    (tmp_path / "data.noun").write_text("  1 licence\n" + line)
    for part in ("verb", "adj", "adv"):
        (tmp_path / f"data.{part}").write_text('0002 29 v 01 run 0 000 | move; "she runs fast"\n')
    found = list(wordnet_examples(tmp_path))
    assert found[0] == ("The dog barked.", "dog")
    assert found[1:] == [("She runs fast.", None)] * 3

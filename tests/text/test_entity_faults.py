"""What people and programs hand in for a list of names: one clear message, and no harm."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from ctcbias_fst.errors import CtcbiasWarning, EntityListError, ManifestError
from ctcbias_fst.graph.draw import draw_boost_graph
from ctcbias_fst.graph.entity_tree import boost_graph
from ctcbias_fst.recognizer import Recognizer
from ctcbias_fst.text.checked_entities import check_entities
from ctcbias_fst.text.entities import entities_from_names, read_entities
from ctcbias_fst.text.entity import Entity
from ctcbias_fst.text.tokens import FewestPiecesTokenizer, SentencePieceTokenizer
from ctcbias_fst.text.transcripts import read_transcripts
from ctcbias_fst.text.utterances import load_entities, read_utterance_entities
from ctcbias_fst.text.vocabulary import Vocabulary
from ctcbias_fst.variants.shipped import load_pronouncer, pronunciation_table


@pytest.mark.parametrize("weight", [1e6, 3e5, 101, 10**400, 1e-12, "1e6", -(10**400)])
def test_weights_out_of_bounds_have_no_effect(weight: Any) -> None:
    names = entities_from_names([{"name": "York", "weight": weight}, "Paris"])
    assert [entity.name for entity in names] == ["paris"]
    assert names.rejected[0].reason.startswith("its weight ")


def test_a_heavy_name_is_told() -> None:
    names = entities_from_names([{"name": "York", "weight": 3}, {"name": "Hull", "weight": 2.9}])
    assert len(names) == 2
    assert names.notes == (
        "1 with a weight of 3 or more, such as 'York': such names may take the place of words that "
        "were said otherwise",
    )


@pytest.mark.parametrize("prior", [1e300, 1e-300, 10**400, 0, float("nan")])
def test_priors_out_of_bounds_have_no_effect(prior: Any) -> None:
    assert len(entities_from_names([{"name": "York", "prior": prior}])) == 0


@pytest.mark.parametrize("display", ["", "  ", "\x07", "\u200b", "\u202e"])
def test_an_empty_display_does_not_hide_the_name(display: str) -> None:
    names = entities_from_names([{"name": "York", "display": display}])
    assert names.entities[0].display == "York"
    assert "the display of 'York' is empty" in names.report()[0]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("Imiglucerase", "'Imiglucerase' is a string, where a list of names is wanted"),
        (b"York", "is of type bytes"),
        ({"York": 2}, "is of type dict"),
        (Path("names.txt"), "read with read_entities"),
        (5, "is of type int"),
        (None, "is of type NoneType"),
        (["York", None], "entry 2: None is no name"),
        ([["York"]], "entry 1: .*is no name"),
        ([5], "entry 1: 5 is no name"),
        ([Path("York")], "is no name"),
        ([{"name": None}], "'name' must be a string, not None"),
        ([{5: "York"}], "unknown column or key 5"),
        ([{"name": "York", "weight": 1, "display": 3}], "'display' must be a string, not 3"),
        ([{"name": "York", "pronunciations": 3}], "'pronunciations' must be strings"),
        ([{"name": "York", "sounds_like": {"a": 1}}], "'sounds_like' must be strings"),
        (["York" * 1000], "a name of 4000 characters"),
        ([{"name": "York", "sounds_like": ["y" * 2000]}], "'sounds_like' 1: a text of 2000"),
    ],
)
def test_what_is_no_list_of_names(names: Any, message: str) -> None:
    with pytest.raises(EntityListError, match=message) as caught:
        entities_from_names(names)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_the_recognizer_does_not_take_a_string_by_its_letters(random_model: Path) -> None:
    recognizer = Recognizer.from_pretrained(random_model)
    for names in ("Imiglucerase", ["York", None], 5):
        with pytest.raises(EntityListError):
            recognizer.transcribe("nowhere.wav", entities=names)  # type: ignore[arg-type]
        with pytest.raises(EntityListError):
            recognizer.compile(names)  # type: ignore[arg-type]


def test_entries_without_effect_are_warned_of_in_python(random_model: Path) -> None:
    recognizer = Recognizer.from_pretrained(random_model)
    with pytest.warns(CtcbiasWarning, match="line 2: 'york' has no effect: same as line 1"):
        recognizer.compile(["York", "york"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        recognizer.compile(["York", "Paris"])
        names = recognizer.compile(["York", "york"], warn=False)
    assert len(names.entities.report()) == 1


@pytest.mark.parametrize(
    "name", ["\u0301", "\u0301\u0302", "\u20dd", "\u0e31", "\ufe0f", "'\u0301"]
)
def test_a_combining_mark_alone_is_no_name(
    tmp_path: Path, tokenizer: SentencePieceTokenizer, name: str
) -> None:
    path = tmp_path / "names"
    path.write_text(f"York\n{name}\n", encoding="utf-8")
    names = check_entities(read_entities(path), tokenizer)
    assert [entity.name for entity in names] == ["york"]
    assert names.rejected[0].reason == "empty after normalisation (no letter, no digit)"
    graph = boost_graph(names, tokenizer)
    assert set(graph.by_text) == {"york"}
    lists = tmp_path / "lists"
    lists.write_text(json.dumps({"id": "a", "entities": [name, "York"]}), encoding="utf-8")
    assert [entity.name for entity in read_utterance_entities(lists)["a"]] == ["york"]


@pytest.mark.parametrize("place", ["name", "display", "category", "sounds_like", "entities", "id"])
def test_half_a_character_reaches_no_output(tmp_path: Path, place: str) -> None:
    path = tmp_path / "names"
    row: dict[str, Any] = {"name": "York", place: "Y\ud800rk"}
    if place in ("entities", "id"):
        row = {"id": "a", "entities": ["Paris"], place: "Y\ud800rk"}
    if place == "entities":
        row["entities"] = ["Paris", "Y\ud800rk"]
    path.write_text(json.dumps(row) + "\n")
    try:
        found = load_entities(path)
    except EntityListError as error:
        str(error).encode()
        return
    lists = found.values() if isinstance(found, dict) else [found]
    for names in lists:
        for entity in names:
            json.dumps(entity, ensure_ascii=False).encode()
        "\n".join(names.report()).encode()


def test_half_a_character_in_memory_is_reported() -> None:
    names = entities_from_names(["Y\ud800rk", "Paris"])
    assert [entity.name for entity in names] == ["paris"]
    assert "half of a character" in names.report()[0]
    "\n".join(names.report()).encode()


CONTROL = ["\x01", "\x07", "\x1b[31m", "\x7f", "\x9b", "\u202e", "\u2066", "\ufffe", "\uffff"]


@pytest.mark.parametrize("control", CONTROL)
def test_control_characters_are_dropped_and_told(tmp_path: Path, control: str) -> None:
    path = tmp_path / "names"
    path.write_text(f"Yo{control}rk\nParis\n", encoding="utf-8")
    names = read_entities(path)
    shown = "York" if len(control) == 1 else "Yo[31mrk"
    assert [entity.display for entity in names] == [shown, "Paris"]
    assert names.report() == [f"{path}: control characters of {shown!r} in line 1 are dropped"]
    rows = [{"name": "York", "display": f"Yo{control}rk", "category": f"a{control}"}]
    (entity,) = entities_from_names(rows)
    assert control[0] not in entity.display + (entity.category or "")


@pytest.mark.parametrize("control", CONTROL)
def test_pictures_of_names_are_well_formed(control: str) -> None:
    tokenizer = FewestPiecesTokenizer(Vocabulary.from_tokens(["<pad>", "|", *"yorkm31"]))
    names = check_entities(entities_from_names([f"Yo{control}rk <&>"]), tokenizer)
    svg = draw_boost_graph(boost_graph(names, tokenizer), tokenizer.vocabulary, 10)
    ElementTree.fromstring(svg)


def test_unknown_phones_are_named(tokenizer: SentencePieceTokenizer) -> None:
    rows = [
        {"name": "York", "pronunciations": ["Y ZZ R K", "Y AO1 R K"]},
        {"name": "Paris", "pronunciations": [["P", "ə"]]},
    ]
    names = check_entities(entities_from_names(rows), tokenizer)
    assert [entity.pronunciations for entity in names] == [(("Y", "AO", "R", "K"),), ()]
    lines = names.report()
    assert "line 1: 'Y ZZ R K' has no effect" in lines[0]
    assert "of 'York', 'ZZ' is no phone; known are AA AE AH" in lines[0]
    assert "'ə' is no phone" in lines[1]


def test_phones_that_are_not_ours_do_not_stop_what_speaks() -> None:
    bad = Entity("york", "York", pronunciations=(("Y", "ZZ"),))
    (found,) = load_pronouncer().pronounce_entities([bad])
    assert found[0].text == "Y AO R K"
    pronunciation_table([bad])


DEEP = "[" * 20_000 + "]" * 20_000
LONG = "9" * 5000
VALUES = [
    "null",
    "true",
    "5",
    "-1e999",
    "NaN",
    '"x"',
    "[]",
    "{}",
    "[[]]",
    LONG,
    "1" + "0" * 400,
    DEEP,
]
LISTS = [
    '{{"name": {}}}',
    '{{"name": "York", "weight": {}}}',
    '{{"name": "York", "prior": {}}}',
    '{{"name": "York", "sounds_like": {}}}',
    '{{"name": "York", "pronunciations": {}}}',
    '{{"name": "York", "category": {}}}',
    '{{"id": {}, "entities": []}}',
    '{{"id": "a", "entities": {}}}',
    '{{"id": "a", "entities": [{}]}}',
    '{{"id": "a", "entities": [{{"name": {}}}]}}',
    '{{"id": "a", "supervisions": {}}}',
    '{{"id": "a", "supervisions": [{}]}}',
    '{{"id": "a", "supervisions": [{{"start": {}, "custom": {{"entities": []}}}}]}}',
    '{{"id": "a", "supervisions": [{{"custom": {}}}]}}',
    '{{"id": "a", "supervisions": [{{"custom": {{"entities": {}}}}}]}}',
    '{{"id": "a", "tracks": {}}}',
    '{{"id": "a", "tracks": [{}]}}',
    '{{"id": "a", "tracks": [{{"cut": {}}}]}}',
    '{{"id": "a", "tracks": [{{"offset": {}, "cut": {{"supervisions": [{{"start": 1}}]}}}}]}}',
    '{{"phrases": {}}}',
    '{{"phrases": [{}]}}',
    '{{"phrases": ["a"], "boost": {}}}',
    '{{"phraseList": {}}}',
    "[{}]",
    "a\tb\t[]\t{}",
    "a\tb\t[]\t[{}]",
    "{}",
    "name\tweight\nYork\t{}",
    "York\t{}",
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: value[:8])
@pytest.mark.parametrize("form", LISTS)
def test_json_of_wrong_types(tmp_path: Path, form: str, value: str) -> None:
    path = tmp_path / "names"
    path.write_text(form.format(value) + "\n")
    for reader in (load_entities, read_entities, read_utterance_entities):
        try:
            reader(path)
        except EntityListError as error:
            assert str(path) in str(error)
            assert len(str(error)) < 1500
            assert "\n" not in str(error)
    try:
        read_transcripts(path)
    except ManifestError as error:
        assert len(str(error)) < 1500


@pytest.mark.skipif(not hasattr(sys, "get_int_max_str_digits"), reason="integers have no bound")
def test_a_number_of_thousands_of_digits_is_told(tmp_path: Path) -> None:
    path = tmp_path / "names"
    path.write_text('{"name": "York", "weight": ' + LONG + "}\n")
    with pytest.raises(EntityListError, match="line 1: JSON has a number of too many digits"):
        read_entities(path)

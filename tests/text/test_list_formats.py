"""Lists in the forms that other tools have: read, or refused by name, never taken as names."""

from __future__ import annotations

import gzip
import json
import os
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import pytest

from ctcbias_fst.errors import EntityListError
from ctcbias_fst.text.entities import EntityList, read_entities
from ctcbias_fst.text.utterances import load_entities


def read(folder: Path, text: str) -> EntityList:
    path = folder / "names"
    path.write_text(text, encoding="utf-8")
    names = read_entities(path)
    loaded = load_entities(path)
    assert loaded == names
    return names


def shown(names: EntityList) -> list[tuple[str, float]]:
    return [(entity.display, entity.weight) for entity in names]


def as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


ARRAY = [("Anna", 1.0), ("Peter", 1.0)]


@pytest.mark.parametrize(
    ("text", "expected", "note"),
    [
        ('["Anna", "Peter"]', ARRAY, None),
        ('[\n  "Anna",\n  "Peter"\n]\n', ARRAY, None),
        ('[{"name": "Anna", "weight": 2}, "Peter"]', [("Anna", 2.0), ("Peter", 1.0)], None),
        ("name,weight\nAnna,2\nPeter,\n", [("Anna", 2.0), ("Peter", 1.0)], None),
        ('"name";"weight"\n"Anna";"2"\n', [("Anna", 2.0)], None),
        ('sep=,\nname,weight\n"Smith, Anna",2\n', [("Smith, Anna", 2.0)], None),
        ("# mine\ncategory,name\nperson,Anna\n\n# more\nperson,Peter\n", ARRAY, None),
        (
            "Anna :3.0\nPeter :1.5\nMaria\n",
            [("Anna", 2.0), ("Peter", 1.0), ("Maria", 1.0)],
            "sherpa",
        ),
        ("▁AN NA :1.5 #0.35 @Anna\n▁PE TER ▁PAN\n", [("Anna", 1.0), ("PETER PAN", 1.0)], "sherpa"),
        ("文 森 特 :1.5\n", [("文森特", 1.0)], "sherpa"),
        (
            "Anna\t40\nPeter\t20\nMaria\t40\n",
            [("Anna", 1.0), ("Peter", 0.5), ("Maria", 1.0)],
            "Riva",
        ),
        ("York\t2\n", [("York", 1.0)], "Flashlight"),
        (
            as_json({"phrases": [{"value": "Anna", "boost": 20}, {"value": "Peter"}], "boost": 5}),
            [("Anna", 2.0), ("Peter", 0.5)],
            "'boost' divided by 10",
        ),
        (as_json({"phrases": ["Anna", "Peter"]}), ARRAY, "Google"),
        (
            json.dumps({"speechContexts": [{"phrases": ["Anna"], "boost": 20}]}, indent=1),
            [("Anna", 2.0)],
            "Google's speech contexts",
        ),
        (
            as_json({"phraseList": {"phrases": ["Anna"], "biasingWeight": 1.5}}),
            [("Anna", 1.5)],
            "Azure",
        ),
        ('[{"content": "Anna", "sounds_like": ["ana"]}]', [("Anna", 1.0)], "Speechmatics"),
        ('{"content": "Anna"}\n{"content": "Peter"}\n', ARRAY, "Speechmatics"),
        (as_json({"additional_vocab": [{"content": "Anna"}]}), [("Anna", 1.0)], "Speechmatics"),
        (
            as_json({"terms": [{"text": "Anna", "weight": 20, "aliases": ["ana"]}]}),
            [("Anna", 2.0)],
            "FluidAudio",
        ),
        (
            as_json(
                [{"value": "Anna", "pronunciations": ["ana"], "intensity": 1, "language": "en"}]
            ),
            [("Anna", 2.0)],
            "'language' of its entries are not used",
        ),
        (
            as_json({"key_phrase_items_list": [{"phrase": "Anna", "lang": "en"}]}),
            [("Anna", 1.0)],
            "NeMo",
        ),
        (as_json({"keyterms_prompt": ["Anna"]}), [("Anna", 1.0)], "AssemblyAI"),
        (
            "Phrase\tSoundsLike\tIPA\tDisplayAs\nLos-Angeles\t\t\tL.A.\nAnna\tan-na\tɑ\t\n",
            [("L.A.", 1.0), ("Anna", 1.0)],
            "Amazon",
        ),
        ("keisha_keisha_key sha\nAnna\n", [("keisha", 1.0), ("Anna", 1.0)], "NeMo"),
        ("- Anna\n- Peter\n", ARRAY, "list marks"),
        ("1. Anna\n2. Peter\n", ARRAY, "list numbers"),
        ('"Anna",\n"Peter"\n', ARRAY, "quotation marks"),
        ("Anna,\nPeter,\n", ARRAY, "commas at the end"),
        ("Windows 10\nCatch 22\n", [("Windows 10", 1.0), ("Catch 22", 1.0)], "FunASR"),
    ],
)
def test_what_is_read(
    tmp_path: Path, text: str, expected: list[tuple[str, float]], note: str | None
) -> None:
    names = read(tmp_path, text)
    assert shown(names) == expected
    if note is None:
        assert names.notes == ()
    else:
        assert note in " ".join(names.notes)
        assert note in " ".join(names.report())


def test_common_words_are_no_spellings_in_a_list_of_nemo(tmp_path: Path) -> None:
    names = read(tmp_path, "anna_an_ana\n")
    assert names.entities[0].sounds_like == ("ana",)
    assert "'an' for 'anna' is a common word" in " ".join(names.report())


def test_spellings_of_other_tools_are_kept(tmp_path: Path) -> None:
    for text in (
        "keisha_key sha\n",
        as_json([{"content": "keisha", "sounds_like": ["key sha"]}]),
        as_json({"terms": [{"text": "keisha", "aliases": ["key sha"]}]}),
        "Phrase\tSoundsLike\nkeisha\tkey-sha\n",
    ):
        assert read(tmp_path, text).entities[0].sounds_like == ("key sha",)


@pytest.mark.parametrize(
    "text",
    [
        "Anna\nPeter Pan\n",
        "Washington, D.C.\nAnna\n",
        "Washington, D.C.\n",
        "Anna 5\nPeter\n",
        "[Anna]\n",
        "Track #5\nNo. 5\n",
        "Star Trek: Voyager\n",
        "3:10 to Yuma\n",
        "10. Downing\nAnna\n",
        "Jean-Luc\n-Anna\n",
    ],
)
def test_plain_names_that_look_a_little_like_something_else(tmp_path: Path, text: str) -> None:
    names = read(tmp_path, text)
    assert [entity.display for entity in names] == text.splitlines()
    assert names.notes == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Anna,2\nPeter,1\n", "line 1: comma-separated values without a header.*'name,weight'"),
        ("Anna,person\nPeter,person\n", "line 1: comma-separated values without a header"),
        ("Anna,2\n", "comma-separated values without a header"),
        ("Anna,Peter\n", "one string with commas"),
        ("Anna, 2\n", "comma-separated values without a header"),
        ("Anna;2\nPeter;1\n", "comma-separated values without a header"),
        ("Anna, Peter, Maria\n", "one string with commas.*one name per line"),
        ("name,wieght\nAnna,2\n", "line 1: unknown column or key 'wieght'"),
        ('name,weight\n"Anna,2\n', "line 2: not valid CSV"),
        ("name,weight\nAnna,2,3\n", "line 2: has 3 columns, the header has 2"),
        ("Anna:2\nPeter:1\n", "line 1: 'Anna:2' ends in a colon.*Deepgram.*name,weight"),
        ("Anna :2 Peter\n", "line 1: a score of sherpa-onnx's hot words must be the last"),
        ("san_francisco\nnew_york\n", "line 1: 'san_francisco' has '_'.*'sounds_like'"),
        ("anna\ta n n a\npeter\tp e t e r\n", "line 1: .*lexicon.*'name,weight'"),
        ("['Anna', 'Peter']\n", "not valid JSON"),
        ('["Anna", "Peter"\n', "not valid JSON"),
        ("[1, 2]", "entry 1: must be a name or an object, not 1"),
        ("[null]", "entry 1: must be a name or an object, not None"),
        ('[["Anna", 2]]', r"entry 1: must be a name or an object, not \['Anna', 2\]"),
        ('[{"Anna": 2}]', "entry 1: unknown column or key 'Anna'"),
        ('{"Anna": 2, "Peter": 1}', "keys 'Anna', 'Peter' is no list of names that is known"),
        ('{"phrases": "Anna"}', "must hold a list of names, not 'Anna'"),
        (
            '{"phrases": [{"value": "Anna", "boost": "much"}]}',
            "'boost' must be a number, not 'much'",
        ),
        ('{"id": "a", "entities": ["Anna"]}', "is a list for each utterance"),
        ("names:\n- Anna\n- Peter\n", "line 1: 'names:' is a key and a value, as YAML"),
        ("- name: Anna\n  weight: 2\n", "line 1: '- name: Anna' is a key and a value"),
        ('names = ["Anna", "Peter"]\n', "is a key and a value"),
        (' "phrases": ["Anna"],\n "boost": 10\n}\n', "is a key and a value"),
        ("<names><name>Anna</name></names>\n", "is markup"),
        ("<?xml version='1.0'?>\n<a/>\n", "is markup"),
        ("{\\rtf1 Anna}\n", "is markup"),
        ("| name |\n| --- |\n| Anna |\n", "is markup"),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "names"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(EntityListError, match=message) as caught:
        read_entities(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "x" * 1_000_000,
        "Anna\n" + "Anna " * 200_000 + "\n",
        as_json(["x" * 1_000_000]),
        as_json({"name": "x" * 1_000_000}),
        as_json({"name": "x", "sounds_like": ["y" * 1_000_000]}),
        as_json({"name": "x", "display": "y" * 1_000_000}),
        as_json({"name": ["y"] * 1_000_000}),
        as_json({"name": "x", "weight": ["y"] * 1_000_000}),
        as_json({"y" * 1_000_000: 1}),
        "name\tweight\nx\t" + "9" * 1_000_000 + "\n",
        "name,weight\n" + "x" * 1_000_000 + ",1\n",
        "name\t" + "y" * 1_000_000 + "\nx\t1\n",
        "<" * 1_000_000,
        "[" * 1_000_000,
        "x" * 400 + ":" * 1_000_000,
        "_" * 1_000_000,
    ],
)
def test_what_is_very_long_is_refused_at_once_in_few_words(tmp_path: Path, text: str) -> None:
    path = tmp_path / "names"
    path.write_text(text, encoding="utf-8")
    begin = time.perf_counter()
    with pytest.raises(EntityListError) as caught:
        read_entities(path)
    assert time.perf_counter() - begin < 2
    assert len(str(caught.value)) < 600


def test_what_unpacks_to_far_too_much_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "names.gz"
    block = gzip.compress(b"\n" * (16 << 20))
    path.write_bytes(block * 20)
    with pytest.raises(EntityListError, match="unpacks to over 100 times"):
        read_entities(path)
    path.write_bytes(gzip.compress(b"Anna\nPeter\n" * 100_000))  # repetitive, and small
    assert [entity.name for entity in read_entities(path)] == ["anna", "peter"]


def test_an_excel_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "names.xlsx"
    path.write_bytes(b"PK\x03\x04" + bytes(range(256)))
    with pytest.raises(EntityListError, match="zip archive.*Excel"):
        read_entities(path)


def test_a_pipe_is_read(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=("Anna\nPeter\n",))
    writer.start()
    assert shown(read_entities(pipe)) == ARRAY
    writer.join()


def test_no_warning_of_python_for_any_form(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert shown(read(tmp_path, "Anna :1.5\nPeter :1.5\n")) == ARRAY


def test_a_wrong_weight_below_the_weight_of_a_list_names_the_place(tmp_path: Path) -> None:
    path = tmp_path / "names"
    path.write_text('{"terms": ["a", {"text": "b", "weight": ""}], "boost": 3}')
    with pytest.raises(EntityListError, match="names, entry 2: 'weight' must be a number, not ''"):
        read_entities(path)

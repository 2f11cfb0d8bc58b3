"""Lists in the forms that other tools have: read, or refused by name, never taken as names."""

from __future__ import annotations

import gzip
import json
import os
import re
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcbias_fst.errors import EntityListError
from ctcbias_fst.text.entities import EntityList, read_entities
from ctcbias_fst.text.list_formats import read_list
from ctcbias_fst.text.text_files import Held
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
        ('sep=,\nname,weight\n"Smith, Anna",2\n', [("Smith, Anna", 2.0)], "'Anna Smith'"),
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
        ('"name"\n"Anna"\nPeter\n', ARRAY, None),
        ('name\tweight\n"Smith, ""Anna"""\t2\n', [('Smith, "Anna"', 2.0)], None),
        ('name\n"Weird Al" Yankovic\n', [('"Weird Al" Yankovic', 1.0)], None),
        ("- [ ] Anna\n- [x] Peter\n", ARRAY, "list marks"),
        ("•\tAnna\n•\tPeter\n", ARRAY, "list marks"),
        ("1 Anna\n2 Peter\n3 Jo\n", [*ARRAY, ("Jo", 1.0)], "list numbers"),
        ("“Anna”\n„Peter“\n", ARRAY, "quotation marks"),
        ("AT&amp;T\nO&#39;Neill\n", [("AT&T", 1.0), ("O'Neill", 1.0)], "as in HTML"),
        ("12 Monkeys\n9 Songs\n", [("12 Monkeys", 1.0), ("9 Songs", 1.0)], "begins with a num"),
        ("Anna, Jo and Peter\n", [("Anna, Jo and Peter", 1.0)], "its only line"),
        ("\u200bAnna\nPe\u00adter\n", ARRAY, "are dropped"),
        ("Phrase,SoundsLike,IPA,DisplayAs\nAnna,an-na,,\nPeter,,,\n", ARRAY, "Amazon"),
        (
            as_json({"config": {"speechContexts": [{"phrases": ["Anna"], "boost": 20}]}}),
            [("Anna", 2.0)],
            "Google's speech contexts",
        ),
        (
            as_json({"customClass": {"items": [{"value": "Anna"}, {"value": "Peter"}]}}),
            ARRAY,
            "custom class",
        ),
        (
            as_json({"phrases": [{"value": "Anna"}, {"value": "call $FULLPHONENUM"}]}),
            [("Anna", 1.0)],
            "'call $FULLPHONENUM' has a class",
        ),
        (
            "#MeToo\n# more\n#\n##\nAnna\n",
            [("#MeToo", 1.0), ("Anna", 1.0)],
            "in line 1 is read as a",
        ),
        ("#1\n#!x\n#-----\n", [("#1", 1.0)], "'#1' in line 1 is read as a name"),
        ("name,weight\n#MeToo,2\n# x,3\n", [("#MeToo", 2.0)], "'#MeToo,2' in line 2 is read as a"),
        ("name\tweight\n#MeToo\t2\n# x\t3\n", [("#MeToo", 2.0)], "in line 2 is read as a name"),
        ("#some drugs\nAnna\n#more\n", ARRAY[:1], "line 1 (and 1 more) is read as a comment"),
        ("#metformin\nAnna\n", ARRAY[:1], "'#metformin' in line 1 is read as a comment"),
        ("#metformin\nAnna\n", ARRAY[:1], "if it is a name, write it in quotation marks"),
        ("#Imiglucerase\nImiglucerase\n", [("Imiglucerase", 1.0)], "is read as a comment"),
        ("#McDonald\nMcDonald\n", [("McDonald", 1.0)], "is read as a comment"),
        ("- McDonald\n- Anna\n#McDonald\n", [("McDonald", 1.0), ("Anna", 1.0)], "a comment"),
        ("McDonald :1.5\n#McDonald\n", [("McDonald", 1.0)], "'#McDonald' in line 2 is read as a c"),
        ("name,weight\n#iPhone,2\niPhone,1\n", [("iPhone", 1.0)], "in line 2 is read as a comment"),
        ("name,weight\n#5,2\nAnna,5\n", [("#5", 2.0), ("Anna", 5.0)], "line 2 is read as a name"),
        ("#MeToo,\nAnna,\n", [("#MeToo", 1.0), ("Anna", 1.0)], "line 1 is read as a name"),
        ("#drugs:\nAnna\n", ARRAY[:1], "'#drugs:' in line 1 is read as a comment"),
        ("#2024-11-30 list of drugs\nAnna\n", ARRAY[:1], "line 1 is read as a comment"),
        ("#1 list of drugs\nAnna\n", ARRAY[:1], "line 1 is read as a comment"),
        ("#1,000 names\nAnna\n", ARRAY[:1], "line 1 is read as a comment"),
        ("#2024\nAnna\n", ARRAY[:1], "line 1 is read as a comment"),
        ("#name\nAnna\nPeter\n", ARRAY, "head of the columns, write it without '#'"),
        ("#name\tweight\nAnna\t1\nPeter\t1\n", ARRAY, "head of the columns, write it without"),
        ("name,weight\n#metformin,2\nAnna,\n", ARRAY[:1], "'#metformin,2' in line 2 is read as a"),
        ('{"name": "Anna"}\n#x\n{"name": "Peter"}\n', ARRAY, "if it is a name, write it as JSON"),
        (
            '#MeToo\n{"name": "Anna"}\n# {"name": "Jo"}\n',
            ARRAY[:1],
            "'#MeToo' in line 1 is read as",
        ),
        ('# mine\n[\n"Anna",\n# "Jo",\n"Peter"\n]\n', ARRAY, None),
        ('#mine\n["Anna",\n"Peter"]\n', ARRAY, "is read as a comment"),
        ('"#metformin"\n', [("#metformin", 1.0)], "quotation marks around the text"),
        ('"#metformin"\nAnna\n', [("#metformin", 1.0), ("Anna", 1.0)], None),
        ('- Anna\n- "#metformin"\n', [("Anna", 1.0), ("#metformin", 1.0)], "list marks"),
        ('name\n"#metformin"\n', [("#metformin", 1.0)], None),
        ('name,weight\n"#metformin",2\n', [("#metformin", 2.0)], None),
        ('name\tweight\n"#metformin"\t2\n', [("#metformin", 2.0)], None),
        ('Anna :1.5\n"#metformin" :3\n', [("Anna", 1.0), ("#metformin", 2.0)], "sherpa"),
        ('{"name": "#metformin"}\n', [("#metformin", 1.0)], None),
        (as_json(["#MeToo"]), [("#MeToo", 1.0)], None),
        ('name,weight\n"New\nYork",2\nAnna,1\n', [("New York", 2.0), ("Anna", 1.0)], None),
        ('Phrase,DisplayAs\n"Anna\nJo","A\nJ"\n', [("A J", 1.0)], "Amazon"),
        ("a) Anna\nb) Peter\n", ARRAY, "list letters"),
        ("(A) Anna\n(B) Peter\n", ARRAY, "list letters"),
        ("(1) Anna\n(2) Peter\n", ARRAY, "list numbers"),
        ("1) A\n3) B\n", [("1) A", 1.0), ("3) B", 1.0)], "begins with a mark such as '1)'"),
        ("AC/DC\nAna/Anna\n", [("AC/DC", 1.0), ("Ana/Anna", 1.0)], "line 2 is read as one name"),
        ("u1 anna\nu2 jo\n", [("u1 anna", 1.0), ("u2 jo", 1.0)], "like an id, such as 'u1'"),
        ("1-2-3 anna\n1-2-4 jo\n", [("1-2-3 anna", 1.0), ("1-2-4 jo", 1.0)], "Kaldi"),
        (
            "Jo\nAnna: a singer\n",
            [("Jo", 1.0), ("Anna: a singer", 1.0)],
            "'Anna: a singer' in line 2",
        ),
        ("Anna – singer\n", [("Anna – singer", 1.0)], "line 1 is read as one name"),
        ("names\nAnna\n", [("names", 1.0), ("Anna", 1.0)], "write 'name'"),
        ("Entities\nAnna\n", [("Entities", 1.0), ("Anna", 1.0)], "'Entities' in line 1"),
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


def test_a_name_with_a_colon_is_read_in_quotation_marks() -> None:
    assert list(read_list(Held("names", b'"text: a novel"\n"Anna"\n')).rows) == [
        "text: a novel",
        "Anna",
    ]
    with pytest.raises(EntityListError, match="is a key and a value"):
        read_list(Held("names", b"text: a novel\nAnna\n"))


@given(st.lists(st.from_regex("#{1,2}[ ,;:A-Za-z0-9]{0,9}", fullmatch=True), min_size=1))
def test_no_line_with_a_number_sign_is_lost_in_silence(lines: list[str]) -> None:
    """Comments are '#' alone, or before a space or another; what is one otherwise is told."""
    rows = read_list(Held("names", "\n".join(["Anna", *lines, "# end"]).encode()))
    names = [str(row) for row in rows.rows]
    bare = {name.rstrip(",;") for name in names}
    comments = [line.strip() for line in lines if line.strip(" ,;") not in bare]
    told = " ".join(rows.notes)
    assert all(re.fullmatch("#[A-Za-z0-9]+", name.rstrip(",;")) for name in names[1:])
    assert len(names) == 1 or "is read as a name" in told
    doubtful = [line for line in comments if re.match("#[A-Za-z0-9]", line)]
    assert not doubtful or "is read as a comment" in told


@given(st.from_regex("[A-Za-z][A-Za-z0-9]{0,9}", fullmatch=True), st.sampled_from(",;\t"))
def test_a_name_that_is_switched_off_displaces_none(name: str, separator: str) -> None:
    forms = ["{}", "{}, Jr.", "- {}", '"{}"', "{} :2.0"]
    for text in [f"#{name}\n{form.format(name)}" for form in forms]:
        rows = read_list(Held("names", text.encode()))
        assert len(rows.rows) == 1
        assert "is read as a comment" in rows.notes[0]
    head, row = (separator.join(cells) for cells in (("name", "weight"), (name, "2")))
    rows = read_list(Held("names", f"{head}\n#{row}\n{row}\n".encode()))
    assert [dict(row)["name"] for row in rows.rows if not isinstance(row, str)] == [name]


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
        "AC/DC\nTCP/IP\nFace/Off\n",
        "Star Wars: A New Hope\nstar wars: a new hope ii\n",
        "A. Smith\nB. Jones\n",
        "3 11 Porter\n7\n",
        "B12 vitamin\nAnna\n",
        "Anna\nnames\n",
        "names\n",
        '"Heroes\nAnna\n',
        "Jay-Z\nAnna - Maria\n",
        "Mission: Impossible\nStar Trek: Picard\n",
        "Fahrenheit: 451\nAnna\nPeter\n",
        "I <3 U\nYahoo!\n",
        "C#\nF# minor\n",
        "Face/On\nFace|Off\nAC\\DC\n",
        "E=mc2\nAnna\n",
        "2 Fast\n2 Furious Anna\nAnna\n",
        "São Paulo\nÂngela\nÃ\n",
        "100% Wolf\n50% Off\n",
        "null\nAnna\n",
        "K L M\nDAY\n",
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
        (
            "names,boost\nAnna,2\n",
            r"line 1: .* without a header line \('names,boost' names no",
        ),
        ("name;boost\nAnna;2\n", "line 1: unknown column or key 'boost' in the header"),
        ("Anna,2\n", "comma-separated values without a header"),
        ("Anna,Peter\n", "one string with commas"),
        ("Anna, 2\n", "comma-separated values without a header"),
        ("Anna;2\nPeter;1\n", "line 1: semicolon-separated values without a header"),
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
        ("<names>\n <name>Anna</name>\n</names>\n", "line 1: '<names>' is markup"),
        ("Anna\n<b>Peter</b>\n", "line 2: '<b>Peter</b>' is markup"),
        ("<!-- x -->\nAnna\n", "is markup"),
        ("Anna <anna@example.com>\nPeter <p@x.org>\n", "is an address of mail"),
        ("<eps> 0\nANNA 1\nPETER 2\n", "is a table of symbols"),
        ("a 0\nb 1\nc 2\n", "is of a table of symbols"),
        ("// mine\nAnna\n", "line 1: '// mine' is a comment.*begin comments with '#'"),
        ("; mine\nAnna\n", "is a comment"),
        ("Anna # my aunt\nPeter\n", "is a name and a comment"),
        ("\\data\\\nngram 1=3\n", "is of an ARPA language model"),
        ("\\begin{itemize}\n\\item Anna\n", "is TeX"),
        ("1\n00:00:01,000 --> 00:00:02,000\nhello\n", "line 2: .* is of subtitles"),
        ("WEBVTT\n\n00:01.000 --> 00:02.000\nhello\n", "is of subtitles"),
        ("utt1 1 0.00 0.35 hello\n", "is of a CTM file"),
        ("<<<<<<< HEAD\nAnna\n=======\nPeter\n>>>>>>> b\n", "is of a patch"),
        ("INSERT INTO names VALUES ('Anna');\n", "is SQL"),
        ("BEGIN:VCARD\nFN:Anna\nEND:VCARD\n", "is of an address book"),
        ("From: a@b.org\n\nAnna\n", "is of a mail"),
        ("```\nAnna\n```\n", "is Markdown"),
        ("names=(Anna Peter)\n", "is code"),
        ("---\n- Anna\n", "is YAML"),
        ("drugs:\n- Anna\n- Peter\n", "is YAML"),
        ("- word: Anna\n  boost: 2\n", "is a key and a value"),
        ("Anna: 2\nPeter: 1.5\n", "is a key and a value"),
        ("[names]\nAnna=2\nPeter = 1\n", "line 2: 'Anna=2' is a key and a value"),
        ("[Anna, Peter]\n", "is a list on one line"),
        ("Anna\\nPeter\\n", "is one line with"),
        ("Peter%20Pan\n", "is an encoded address"),
        ("MÃ¼nchen\n", "is UTF-8 that was read as another encoding"),
        ("O\u00e2\u20ac\u2122Neill\n", "is UTF-8 that was read as another encoding"),
        ("Anna\u2028Peter\n", "is more than one line to some programs"),
        ("ana -> Anna\npetr -> Peter\n", "is two texts and an arrow"),
        ("Anna|2\nPeter|1\n", "is columns with '|' between"),
        ("Anna;drug\nPeter;drug\n", "semicolon-separated values without a header"),
        ("Anna; Peter; Maria\n", "one string with commas"),
        ("ANNA  AE N AH\nPETER  P IY1 T ER0\n", "is a word and its phones"),
        ("York<br>\nAnna\n", "'York<br>' is markup"),
        ("Anna\nYork<br />\n", "line 2: 'York<br />' is markup"),
        ('Anna\n{"name":"York"}\n', "line 2: .* is JSON, no name"),
        ('Anna\n["York"]\n', "line 2: .* is JSON, no name"),
        ("0 1 York\n1\n", "is of a transducer as OpenFst"),
        ("0 1 York York 0.5\n1 2 City City\n2 0.25\n", "is of a transducer as OpenFst"),
        ('"New\nYork"\nAnna\n', "line 1: begins with a quotation mark that the next line closes"),
        ('name\tweight\n"New\nYork"\t2\n', "line 2: begins with a quotation mark"),
        ('{"name":"York","name":"Anna"}', "the key 'name' occurs twice"),
        ('{"name":"Jo"}\n{"name":"York","name":"Anna"}\n', "line 2: the key 'name' occurs twice"),
        ('[{"name":"York","name":"Anna"}]', "the key 'name' occurs twice"),
        ("null\n", "null is JSON, but no list"),
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
    begin = time.process_time()
    with pytest.raises(EntityListError) as caught:
        read_entities(path)
    assert time.process_time() - begin < 2
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


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"%PDF-1.4\n1 0 obj\n", "is a PDF file"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "is an old Excel or Word file"),
        (b"PK\x05\x06" + bytes(18), "is an empty zip archive"),
        (b"\x89PNG\r\n", "is a picture"),
        (b"RIFF\0\0\0\0WAVE", "is a recording"),
        (b"BZh91AY", "is compressed by bzip2"),
        (b"PAR1\x15\x04", "is a Parquet file"),
        (b"SQLite format 3\0", "is a database"),
        (b"\x80\x04\x95a", "is a Python pickle"),
        ("Anna\r\nPeter\r\n".encode("utf-16"), "is UTF-16, not UTF-8.*iconv -f UTF-16"),
        ("Anna\r\nPeter\r\n".encode("utf-16-le"), "is UTF-16 without a byte-order mark"),
        ("Anna\r\nPeter\r\n".encode("utf-16-be"), "is UTF-16 without a byte-order mark"),
        ("Anna\r\n".encode("utf-32"), "is UTF-32"),
        (b"O\x92Neill\n", "iconv -f WINDOWS-1252"),
        (b"M\xfcnchen\n", "iconv -f ISO-8859-1"),
    ],
)
def test_what_is_no_text_is_told(tmp_path: Path, data: bytes, what: str) -> None:
    path = tmp_path / "names"
    path.write_bytes(data)
    with pytest.raises(EntityListError, match=what) as caught:
        read_entities(path)
    assert "\n" not in str(caught.value)


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


GOOGLE = {"phrases": [{"value": "Anna", "boost": 20}]}


@pytest.mark.parametrize(
    ("document", "tools"),
    [
        (GOOGLE, ["Google's phrases"]),
        ({"phraseSets": [GOOGLE]}, ["Google's phrase sets"]),
        ({"config": {"speechContexts": [{"phrases": ["Anna"]}]}}, ["Google's speech contexts"]),
        ({"customClass": {"items": [{"value": "Anna"}]}}, ["Google's custom class"]),
        ({"phraseList": {"phrases": ["Anna"], "biasingWeight": 1}}, ["Azure's phrase list"]),
        ({"phraseLists": [{"phrases": [{"text": "Anna"}]}]}, ["Azure's phrase lists"]),
        ({"phrases": ["Anna"], "weight": 1}, ["phrases, as Google and Azure have them"]),
        ({"phrases": [{"text": "Anna"}]}, ["phrases, as Google and Azure have them"]),
        ({"items": ["Anna"]}, ["a list of items"]),
        ({"vocabulary": ["Anna"]}, ["a vocabulary"]),
        ({"vocabulary": [{"value": "Anna", "intensity": 1}]}, ["Gladia's vocabulary"]),
        ({"custom_vocabulary_config": {"vocabulary": ["Anna"]}}, ["Gladia's vocabulary"]),
        ({"additional_vocab": [{"content": "Anna"}]}, ["Speechmatics' vocabulary"]),
        (
            {"transcription_config": {"additional_vocab": ["Anna"]}},
            ["Speechmatics' configuration", "Speechmatics' vocabulary"],
        ),
        ({"terms": [{"text": "Anna", "aliases": ["Ana"]}]}, ["FluidAudio's terms"]),
        ({"terms": ["Anna"]}, ["a list of terms"]),
        ({"key_phrase_items_list": [{"phrase": "Anna"}]}, ["NeMo's key phrases"]),
        ({"keyterm": ["Anna"]}, ["Deepgram's key terms"]),
        ({"keyterms_prompt": ["Anna"]}, ["AssemblyAI's key terms"]),
        ([{"value": "Anna"}], ["names under 'value'"]),
        ([{"text": "Anna"}], ["names under 'text'"]),
        ([{"phrase": "Anna"}], ["names under 'phrase'"]),
        ([{"word": "Anna", "boost": 10}], ["a list of words"]),
        ([{"value": "Anna", "boost": 10}], ["Google's phrases"]),
        ([{"content": "Anna"}], ["Speechmatics' vocabulary"]),
    ],
)
def test_no_list_is_said_to_be_of_another_tool(
    tmp_path: Path, document: object, tools: list[str]
) -> None:
    names = read(tmp_path, as_json(document))
    assert [entity.display for entity in names] == ["Anna"]
    told = [note.partition(";")[0] for note in names.notes if note.startswith("read as ")]
    assert told == [f"read as {tool}" for tool in tools]


@pytest.mark.parametrize(
    ("text", "names", "note"),
    [
        ('Anna\n"Smith, John"\n', ["Anna", "Smith, John"], "write 'John Smith' if that is how"),
        ("Smith, John\nvan Dyk, Jo\n", ["Smith, John", "van Dyk, Jo"], "'Smith, John' and 1 more"),
        ('name,weight\n"Smith, John",2\n', ["Smith, John"], "write 'John Smith'"),
        ('["Smith, John"]', ["Smith, John"], "write 'John Smith'"),
        ("Acme, Inc.\nAnna\nMartin Luther King, Jr.\n", ["Acme, Inc.", "Anna"], None),
        ("Paris, 2 rue\nAnna\n", ["Paris, 2 rue", "Anna"], None),
    ],
)
def test_last_names_first_are_told(
    tmp_path: Path, text: str, names: list[str], note: str | None
) -> None:
    found = read(tmp_path, text)
    assert [entity.display for entity in found][: len(names)] == names
    told = " ".join(found.notes)
    assert note in told if note else "write" not in told


@pytest.mark.parametrize("text", ["T OW B AY AH S\n", "Tobias\nT OW1 B AY2 AH0 S\n"])
def test_phones_are_no_names(tmp_path: Path, text: str) -> None:
    with pytest.raises(EntityListError, match=r"are phones, no name; .* 'pronunciations', as in"):
        read(tmp_path, text)


def test_letters_that_are_phones_are_names(tmp_path: Path) -> None:
    assert [entity.display for entity in read(tmp_path, "M T V\nK L M\n")] == ["M T V", "K L M"]


def test_a_score_that_is_no_number(tmp_path: Path) -> None:
    with pytest.raises(EntityListError, match=r"line 2: ':abc' is no score of sherpa-onnx's hot w"):
        read(tmp_path, "Anna :2.0\nPeter :abc\n")

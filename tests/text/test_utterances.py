"""Lists of names per utterance, and transcripts, from every form that is promised."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ctcbias_fst.errors import EntityListError, ManifestError
from ctcbias_fst.text.entities import EntityList, Rejected
from ctcbias_fst.text.entity import Entity
from ctcbias_fst.text.transcripts import read_groups, read_transcripts
from ctcbias_fst.text.utterances import load_entities, read_utterance_entities


def supervision(utterance: str, text: str, start: float = 0.0, **custom: Any) -> dict[str, Any]:
    return {
        "id": f"{utterance}-s",
        "recording_id": f"{utterance}-r",
        "start": start,
        "duration": 1.0,
        "text": text,
        "custom": custom,
    }


MONO = {
    "id": "a",
    "type": "MonoCut",
    "supervisions": [
        supervision("a2", "from york", 2.0, entities=["York"], domain="general"),
        supervision("a1", "he came", 0.5, entities=[], domain="general"),
    ],
}
MIXED = {
    "id": "b",
    "type": "MixedCut",
    "tracks": [
        {
            "cut": {"supervisions": [supervision("b2", "metformin", entities=["Metformin"])]},
            "offset": 3.0,
        },
        {"cut": {"supervisions": [supervision("b1", "take", entities=["Metformin", "--"])]}},
        {"cut": {"type": "PaddingCut"}, "offset": 4.0},
    ],
}
BIASING = 'a\the came from york\t["york"]\t["leeds", "york"]\nb\ttake it\t[]\t["leeds", "hull"]\n'


def write_rows(path: Path, *rows: Any) -> Path:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    data = text.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def names_of(lists: dict[str, EntityList]) -> dict[str, list[str]]:
    return {utterance: [e.name for e in entities] for utterance, entities in lists.items()}


def test_lists_from_json(tmp_path: Path) -> None:
    path = write_rows(
        tmp_path / "lists.jsonl",
        {"id": "a", "entities": ["York", "york", "New York", "?"]},
        {"path": "clips/b.flac", "entities": [{"name": "KeSha", "weight": 2}, "York"]},
        {"id": 7, "entities": []},
    )
    lists = read_utterance_entities(path)
    assert lists["a"].entities == (Entity("york", "York"), Entity("new york", "New York"))
    assert lists["a"].rejected == (
        Rejected(None, "?", "empty after normalisation (no letter, no digit)"),
    )
    assert [(e.name, e.weight) for e in lists["b"]] == [("kesha", 2.0), ("york", 1.0)]
    assert len(lists["7"]) == 0
    assert load_entities(path) == lists


@pytest.mark.parametrize("name", ["cuts.jsonl", "cuts.jsonl.gz"])
def test_lists_and_text_from_manifests(tmp_path: Path, name: str) -> None:
    path = write_rows(tmp_path / name, MONO, MIXED)
    assert names_of(read_utterance_entities(path)) == {"a": ["york"], "b": ["metformin"]}
    assert read_transcripts(path) == {"a": "he came from york", "b": "take metformin"}


def test_supervisions_alone(tmp_path: Path) -> None:
    path = write_rows(
        tmp_path / "supervisions.jsonl",
        supervision("a", "from york", entities=["York"], phones="F R AH M | Y AO R K"),
        supervision("b", "home", entities=[], phones="HH OW M"),
    )
    assert names_of(read_utterance_entities(path)) == {"a-s": ["york"], "b-s": []}
    assert read_transcripts(path, "phones") == {"a-s": "F R AH M | Y AO R K", "b-s": "HH OW M"}


def test_lists_for_librispeech(tmp_path: Path) -> None:
    path = tmp_path / "ref.tsv"
    path.write_text(BIASING)
    assert names_of(read_utterance_entities(path)) == {
        "a": ["leeds", "york"],
        "b": ["leeds", "hull"],
    }
    assert names_of(read_utterance_entities(path, spoken=True)) == {"a": ["york"], "b": []}
    assert read_transcripts(path) == {"a": "he came from york", "b": "take it"}
    lists = load_entities(path)
    assert isinstance(lists, dict)
    # Plain names are shared between utterances: lists of thousands cost a pointer each.
    assert lists["a"].entities[0] is lists["b"].entities[0]


def test_one_list_for_all_is_recognised(tmp_path: Path) -> None:
    plain = tmp_path / "names.txt"
    plain.write_text("York\n")
    table = tmp_path / "names.tsv"
    table.write_text("name\tweight\tcategory\tdisplay\nYork\t2\tcity\tYork\n")
    objects = write_rows(tmp_path / "names.jsonl", {"name": "York"})
    for path in (plain, table, objects):
        names = load_entities(path)
        assert isinstance(names, EntityList)
        assert len(names) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"id": "a", "entities": []}\n{"id": "a", "entities": []}', "line 2: .*'a'.*line 1"),
        ('{"id": "a"}', "line 1: 'entities' is missing"),
        ('{"entities": []}', "line 1: neither 'id' nor 'path'"),
        ('{"id": "a", "entities": "York"}', "must be a list of names"),
        ('{"id": "a", "entities": [3]}', "must be a list of names"),
        ('{"id": "a", "entities": [{"nom": "x"}]}', "unknown column or key 'nom'"),
        ('{"id": "a", "entities": []}\nb York', "line 2: neither a JSON object"),
        ('{"id": "a", "entities": [}', "line 1: not valid JSON"),
        (json.dumps(supervision("a", "x")), "supervision 'a-s' has no custom field 'entities'"),
        ("a\tx\t[]\t[York]", "line 1, column 4: not valid JSON"),
        ("a\tx\t[]", "line 1: has 3 columns, expected 4"),
    ],
)
def test_bad_lists(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "lists"
    path.write_text(text)
    with pytest.raises(EntityListError, match=message):
        read_utterance_entities(path)


def test_kaldi_text(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes("\ufeffa he  came\r\nb\r\n\r\nc\tvon Köln\r\n".encode())
    assert read_transcripts(path) == {"a": "he  came", "b": "", "c": "von Köln"}


def test_json_transcripts(tmp_path: Path) -> None:
    path = write_rows(
        tmp_path / "hyp.jsonl",
        {"path": "/x/clips/a.b.flac", "text": "he came", "words": []},
        {"id": "b", "path": "elsewhere", "text": ["N", "OW"]},
    )
    assert read_transcripts(path) == {"a.b": "he came", "b": "N OW"}


def test_groups(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "cuts.jsonl", MONO, {"id": "z", "text": "", "domain": "medical"})
    assert read_groups(path, "domain") == {"a": "general", "z": "medical"}
    with pytest.raises(ManifestError, match="line 1: has no field 'engine'"):
        read_groups(path, "engine")


@pytest.mark.parametrize("reader", [read_transcripts, lambda p: read_groups(p, "domain")])
@pytest.mark.parametrize("text", ["", "\n \n"])
def test_no_utterance(tmp_path: Path, reader: Callable[[Path], object], text: str) -> None:
    path = tmp_path / "text"
    path.write_text(text)
    with pytest.raises(ManifestError, match="text: holds no utterance"):
        reader(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a x\nb y\na z", "line 3: utterance 'a' was given in line 1"),
        ('{"id": "a"}', "line 1: has no field 'text'"),
        ('{"id": "a", "text": 3}', "line 1: 'text' must be a string, not 3"),
        ('{"id": true, "text": "x"}', "line 1: neither 'id' nor 'path'"),
        ('{"id": "a", "text": "x"', "line 1: not valid JSON"),
    ],
)
def test_bad_transcripts(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "text"
    path.write_text(text)
    with pytest.raises(ManifestError, match=message):
        read_transcripts(path)


def test_groups_need_objects(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("a he came")
    with pytest.raises(ManifestError, match="line 1: has no field 'domain' to group by: only"):
        read_groups(path, "domain")


def test_an_entry_of_an_utterance_has_one_place(tmp_path: Path) -> None:
    """A results file has such entries; both its line and the entry's place are told, once each."""
    path = tmp_path / "n.txt"
    path.write_text('{"id": "u", "entities": []}\n{"id": "v", "entities": ["a", {"line": 1}]}\n')
    with pytest.raises(EntityListError, match="n.txt, line 2, entry 2: unknown column or key"):
        read_utterance_entities(path)

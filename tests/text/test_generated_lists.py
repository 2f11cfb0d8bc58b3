"""Generated lists, whole and spoilt: entities, or one line that says what is wrong with them."""

from __future__ import annotations

import gzip
import json
import string
import time
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from generated import many
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ctcbias_fst.errors import EntityListError
from ctcbias_fst.graph.draw import draw_boost_graph
from ctcbias_fst.graph.entity_tree import boost_graph
from ctcbias_fst.text.checked_entities import check_entities
from ctcbias_fst.text.entities import EntityList, entities_from_names, read_entities
from ctcbias_fst.text.tokens import FewestPiecesTokenizer
from ctcbias_fst.text.utterances import load_entities, read_utterance_entities
from ctcbias_fst.text.vocabulary import Vocabulary

LETTERS = FewestPiecesTokenizer(Vocabulary.from_tokens(["<pad>", "|", *string.ascii_lowercase]))
DIGITS = FewestPiecesTokenizer(
    Vocabulary.from_tokens(["<pad>", "|", *string.ascii_lowercase, *"0123456789'é"])
)

CHARACTERS = st.one_of(
    st.sampled_from(
        "abcXYZ019 '.,;:&+#$%@!?-_/\\\"()[]{}<>|*\t▁éŁ中ア日\u0301\u200d\u202e\x07\x1b"
    ),
    st.characters(exclude_categories=["Cs"]),
)
NAMES = st.one_of(
    st.sampled_from(
        "Anna;Peter Pan;COVID-19;AT&T;C++;.NET;B12;24/7;Mr.;IBM;IT;ChatGPT;josé;中文;O’Neill;$5;"
        "50%;1,000;U.S.;Node.js;P!nk".split(";")
    ),
    st.text(CHARACTERS, max_size=12),
)
NUMBERS = st.one_of(
    st.floats(),
    st.integers(-5, 200),
    st.sampled_from([10**400, -(10**400), 1e-320, 1e308, "2", "x", "", None, True, [], {}]),
)
PHONES = st.sampled_from(["K EH1 SH AH0", "k iy", "ZZ", "", ["K", "AH"], ["K", 1], "ə"])
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, NAMES),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
ROWS = st.fixed_dictionaries(
    {"name": NAMES},
    optional={
        "weight": NUMBERS,
        "prior": NUMBERS,
        "category": NAMES,
        "display": NAMES,
        "sounds_like": st.one_of(NAMES, st.lists(NAMES, max_size=3), VALUES),
        "pronunciations": st.one_of(PHONES, st.lists(PHONES, max_size=3), VALUES),
    },
)
FOREIGN = st.one_of(
    st.fixed_dictionaries({"value": NAMES}, optional={"boost": NUMBERS}),
    st.fixed_dictionaries(
        {"content": NAMES}, optional={"sounds_like": st.lists(NAMES, max_size=2)}
    ),
    st.fixed_dictionaries({"text": NAMES}, optional={"weight": NUMBERS, "aliases": VALUES}),
    st.fixed_dictionaries({"phrase": NAMES}, optional={"lang": st.just("en")}),
    NAMES,
    VALUES,
)
HOLDERS = st.sampled_from(
    ["phrases", "phraseList", "terms", "additional_vocab", "speechContexts", "keyterms", "entities"]
)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _document(holder: str, items: list[Any], boost: Any) -> str:
    held: Any = {"phrases": items, "biasingWeight": boost} if holder == "phraseList" else items
    held = [{"phrases": items, "boost": boost}] if holder == "speechContexts" else held
    return json.dumps({holder: held, "boost": boost}, indent=1)


def _lines(items: list[str], score: str) -> str:
    return "".join(f"{item}{score}\n" for item in items)


SCORES = st.sampled_from(
    ["", " :2.0", " :1 #0.3 @A_B", "\t2", "\t20", ",2", ";2", ",", ":2", " 20", "_an_na", "\tx\ty"]
)
CELLS = st.lists(st.one_of(NAMES, NUMBERS.map(str)), min_size=1, max_size=4)


def _table(header: list[str], rows: list[list[str]], delimiter: str) -> str:
    return "".join(delimiter.join(row) + "\n" for row in [header, *rows])


HEADERS = st.lists(
    st.sampled_from(
        ["name", "weight", "display", "sounds_like", "pronunciations", "Phrase", "SoundsLike", "x"]
    ),
    max_size=4,
)
UTTERANCES = st.builds(
    lambda key, names, more: _json({"id": key, "entities": names, **more}),
    st.one_of(NAMES, NUMBERS),
    st.one_of(st.lists(st.one_of(NAMES, ROWS, VALUES), max_size=4), VALUES),
    st.dictionaries(
        st.sampled_from(["supervisions", "tracks", "start", "name"]), VALUES, max_size=2
    ),
)
LISTS = st.one_of(
    st.builds(_lines, st.lists(NAMES, max_size=6), SCORES),
    st.builds(_table, HEADERS, st.lists(CELLS, max_size=4), st.sampled_from("\t,;")),
    st.lists(ROWS, min_size=1, max_size=4).map(lambda rows: "".join(_json(r) + "\n" for r in rows)),
    st.lists(FOREIGN, max_size=4).map(_json),
    st.builds(_document, HOLDERS, st.lists(FOREIGN, max_size=3), NUMBERS),
    st.lists(UTTERANCES, min_size=1, max_size=3).map("\n".join),
    st.builds(
        lambda names, more: f"a\tb\t{_json(names)}\t{_json(more)}\n",
        st.lists(NAMES, max_size=2),
        VALUES,
    ),
    VALUES.map(_json),
)


# As a stranger exports a list: what is before it, a line of it, what is between, what is behind.
EXPORTS = {
    "plain": ("", "{}", "\n", "\n"),
    "comments": ("# mine\n", "{}", "\n# more\n", ""),
    "other comments": ("// mine\n", "{}", "\n", ""),
    "comments behind": ("", "{} # mine", "\n", "\n"),
    "sherpa": ("", "{} :2.0", "\n", "\n"),
    "pieces": ("", "▁{} :1.5 #0.3", "\n", "\n"),
    "nemo": ("", "{0}_{0}", "\n", "\n"),
    "nemo phrases": (
        '{{"key_phrase_items_list": [',
        '{{"phrase": "{}", "lang": "en"}}',
        ",",
        "]}}",
    ),
    "google": ('{{"phraseSets":[{{"phrases":[', '{{"value": "{}", "boost": 20}}', ",", "]}}]}}"),
    "google v1": ('{{"config":{{"speechContexts":[{{"phrases":[', '"{}"', ",", "]}}]}}}}"),
    "azure": ('{{"phraseList":{{"phrases":[', '"{}"', ",", '], "biasingWeight": 1.5}}}}'),
    "amazon": ("Phrase\tIPA\tSoundsLike\tDisplayAs\n", "{0}\t\t\t{0}", "\n", ""),
    "amazon csv": ("Phrase,SoundsLike\n", "{0},", "\n", "\n"),
    "json": ("[", '"{}"', ", ", "]"),
    "json objects": ("[", '{{"name": "{}", "weight": 2}}', ",\n", "]\n"),
    "json map": ("{{", '"{}": 2', ",\n", "}}\n"),
    "json lines": ("", '{{"name": "{}"}}', "\n", "\n"),
    "json strings": ("", '"{}"', "\n", "\n"),
    "broken json": ("[", '"{}"', ",\n", ",\n]"),
    "csv": ("name,weight\n", '"{}",2', "\n", "\n"),
    "csv without header": ("", "{},2", "\n", "\n"),
    "csv of one column": ("name\n", '"{}"', "\n", ""),
    "excel": ("sep=;\nname;weight\n", "{};2", "\n", "\n"),
    "excel without header": ("", "{};drug", "\n", "\n"),
    "tabs": ("name\tcategory\n", "{}\tdrug", "\n", "\n"),
    "tabs without header": ("", "{}\tdrug", "\n", "\n"),
    "riva": ("", "{}\t20", "\n", "\n"),
    "pipes": ("name|weight\n", "{}|2", "\n", "\n"),
    "deepgram": ("", "{}:2", "\n", "\n"),
    "funasr": ("", "{} 20", "\n", "\n"),
    "yaml": ("", "- {}", "\n", "\n"),
    "yaml document": ("---\n", "- {}", "\n", "\n...\n"),
    "yaml mapping": ("drugs:\n", "  - {}", "\n", "\n"),
    "yaml objects": ("", "- name: {}\n  weight: 2", "\n", "\n"),
    "yaml weights": ("", "{}: 2.0", "\n", "\n"),
    "yaml flow": ("[", "{}", ", ", "]\n"),
    "toml": ("[names]\nlist = [", '"{}"', ", ", "]\n"),
    "ini": ("[names]\n", "{}=2", "\n", "\n"),
    "xml": ('<?xml version="1.0"?>\n<names>\n', " <name>{}</name>", "\n", "\n</names>\n"),
    "xml alone": ("<names>\n", " <name>{}</name>", "\n", "\n</names>\n"),
    "html": ("<ul>\n", "<li>{}</li>", "\n", "\n</ul>\n"),
    "markdown": ("# Names\n\n", "* {}", "\n", "\n"),
    "markdown table": ("| name |\n|---|\n", "| {} |", "\n", "\n"),
    "checklist": ("", "- [ ] {}", "\n", "\n"),
    "numbered": ("1. Anna\n", "{}", "\n", "\n"),
    "tex": ("\\begin{{itemize}}\n", "\\item {}", "\n", "\n\\end{{itemize}}\n"),
    "python": ("NAMES = [\n", "    '{}',", "\n", "\n]\n"),
    "sql": ("", "INSERT INTO names VALUES ('{}');", "\n", "\n"),
    "lexicon": ("", "{} P IY T ER", "\n", "\n"),
    "symbols": ("<eps> 0\n", "{} 1", "\n", "\n"),
    "mail": ("", "{0} <{0}@example.com>", "\n", "\n"),
    "arrows": ("", "{0} -> {0}", "\n", "\n"),
    "one line": ("", "{}", ", ", "\n"),
    "subtitles": ("1\n", "00:00:01,000 --> 00:00:02,000\n{}", "\n\n", "\n"),
}
EXPORTED_NAMES = st.lists(
    st.sampled_from("Imiglucerase Piketoprofen Culverhouse Norfenefrine Teriflunomide".split()),
    min_size=3,
    max_size=5,
    unique=True,
)
ENDS = st.sampled_from(["\n", "\r\n", "\r"])
ENCODINGS = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252"])


def exported(form: str, names: list[str], end: str = "\n") -> str:
    before, line, between, behind = EXPORTS[form]
    rows = between.join(line.format(name) for name in names)
    return f"{before.format()}{rows}{behind.format()}".replace("\n", end)


@st.composite
def spoilt(draw: st.DrawFn) -> bytes:
    """A file of any form, perhaps with bytes cut out, doubled, or put in; perhaps as gzip."""
    if draw(st.booleans()):
        form = draw(st.sampled_from(sorted(EXPORTS)))
        names = draw(st.one_of(EXPORTED_NAMES, st.lists(NAMES, max_size=4)))
        text = exported(form, names, draw(ENDS))
        data = text.encode(draw(ENCODINGS), "replace")
    else:
        data = draw(LISTS).encode("utf-8", "surrogatepass")
    for _ in range(draw(st.integers(0, 3))):
        begin = draw(st.integers(0, len(data)))
        end = draw(st.integers(begin, min(len(data), begin + 20)))
        put = draw(st.one_of(st.just(b""), st.binary(max_size=4), st.just(data[begin:end] * 2)))
        data = data[:begin] + put + data[end:]
    if draw(st.integers(0, 9)) == 0:
        data = gzip.compress(data)
        cut = draw(st.integers(0, 20))
        data = data[: len(data) - cut] if draw(st.booleans()) else data
    return data


def check(names: EntityList) -> None:
    """Whatever is made of names goes through all that lists go through."""
    for tokenizer in (LETTERS, DIGITS):
        checked = check_entities(names, tokenizer)
        graph = boost_graph(checked, tokenizer, segmentations=2)
        for line in checked.report():
            assert "\n" not in line
            line.encode()
        for entity in checked:
            assert entity.name
            assert entity.display.strip()
            assert 0 < entity.weight <= 100
            json.dumps(entity, ensure_ascii=False).encode()
            assert tokenizer.encode(entity.name)
        assert len(checked) == len({entity.name for entity in checked})
        assert all(graph.matcher.occurrences(text.split()) for text in graph.by_text)
        ElementTree.fromstring(draw_boost_graph(graph, tokenizer.vocabulary, 5))


SEEN: Counter[str] = Counter()


def read(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    begin = time.process_time()
    for reader in (load_entities, read_entities, read_utterance_entities):
        try:
            found = reader(path)
        except EntityListError as error:
            message = str(error)
            assert str(path) in message
            assert "\n" not in message
            assert len(message) < 2000
            message.encode()
            SEEN["refused"] += 1
            continue
        SEEN["read"] += 1
        for names in found.values() if isinstance(found, dict) else [found]:
            check(names)
    assert time.process_time() - begin < 5


FEW = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


@FEW
@given(data=spoilt())
def test_files(tmp_path: Path, data: bytes) -> None:
    read(tmp_path / "names", data)


@pytest.mark.parametrize("form", sorted(EXPORTS))
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(names=EXPORTED_NAMES, end=ENDS, encoding=ENCODINGS)
def test_nothing_else_is_taken_as_a_name(
    form: str, tmp_path: Path, names: list[str], end: str, encoding: str
) -> None:
    path = tmp_path / "names"
    text = exported(form, names, end)
    path.write_bytes(text.encode(encoding, "replace"))
    try:
        found = read_entities(path)
    except EntityListError as error:
        assert "\n" not in str(error)
        return
    shown = [entity.display for entity in found]
    assert shown == names or found.notes or form == "numbered"


def in_memory(items: Any) -> None:
    try:
        names = entities_from_names(items)
    except EntityListError as error:
        assert "\n" not in str(error)
        str(error).encode()
        assert len(str(error)) < 2000
        SEEN["refused"] += 1
        return
    SEEN["read"] += 1
    check(names)


IN_MEMORY = st.one_of(
    st.lists(st.one_of(NAMES, st.text(max_size=8), ROWS), max_size=5),
    st.lists(VALUES, max_size=3),
    VALUES,
    st.lists(st.dictionaries(VALUES.filter(lambda v: not isinstance(v, (list, dict))), VALUES)),
)


@FEW
@given(items=IN_MEMORY)
def test_lists_in_memory(items: Any) -> None:
    in_memory(items)


@many("files of lists", 5000)
@given(data=spoilt())
def test_many_files(tmp_path: Path, data: bytes) -> None:
    read(tmp_path / "names", data)


@many("lists in memory", 5000)
@given(items=IN_MEMORY)
def test_many_lists_in_memory(items: Any) -> None:
    in_memory(items)


@pytest.mark.slow
def test_both_kinds_were_seen(capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(f"\nlists: {SEEN['read']} read, {SEEN['refused']} refused in one line")
    assert min(SEEN["read"], SEEN["refused"]) > 100

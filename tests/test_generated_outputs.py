"""Whatever ids, names and words are made of, every format that is written is read back."""

from __future__ import annotations

import html
import json
import re
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from generated import many
from hypothesis import given, settings
from hypothesis import strategies as st
from lhotse import CutSet, SupervisionSet
from lhotse.testing.dummies import dummy_cut
from reference import Path as Segmentation
from strategies import VOCABULARIES, encoded

from ctcbias_fst.corpus.transcript_files import record_of, write_records, write_supervisions
from ctcbias_fst.errors import CtcbiasWarning, ManifestError
from ctcbias_fst.explain import Explanation, NameAttention
from ctcbias_fst.explain_picture import draw_explanation
from ctcbias_fst.graph.draw import draw_boost_graph
from ctcbias_fst.graph.entity_tree import build_tree
from ctcbias_fst.output import format_transcripts
from ctcbias_fst.pictures import new_figure, save_figure
from ctcbias_fst.records import Hypothesis, Mention, Transcript, Word
from ctcbias_fst.scoring.comparison import compare_files, to_lines, to_svg
from ctcbias_fst.scoring.report import score_files, to_details, to_json, to_pairs, to_table
from ctcbias_fst.text.entity import Entity
from ctcbias_fst.text.printable import one_line

FEW = settings(max_examples=30)

CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
TIMES = r"(\d+:\d\d:\d\d[,.]\d{3}) --> (\d+:\d\d:\d\d[,.]\d{3})"

odd = st.one_of(
    st.characters(),
    st.sampled_from("\x00\t\n\r\x0b\x1b\x1c\x7f\x85\xa0\u2028\ud83d\udc80\ufeff\ufffe\uffff"),
    st.sampled_from("<&>\"'$\\^_{}%;-:#,|*[] "),
)
texts = st.one_of(st.text(odd, max_size=12), st.sampled_from(["", "-->", "1", ";;x", "]]>", "$a$"]))


entities = st.builds(Entity, texts, texts, category=st.none() | texts, line=st.none() | st.just(3))


@st.composite
def transcripts(draw: st.DrawFn) -> list[Transcript]:
    ids = draw(st.lists(texts, min_size=1, max_size=4, unique=True))
    found = []
    for name in ids:
        words, at = [], 0.0
        for word in draw(st.lists(texts, max_size=8)):
            at += draw(st.sampled_from([0.0, 0.3, 4.0, 3600.0]))
            sure = draw(st.sampled_from([0.0, 1.0, 0.98765]))
            of_list = draw(st.none() | st.builds(Mention, entities, st.just("text"), heard=texts))
            mentions = () if of_list is None else (of_list,)
            words.append(Word(word, at, at + 0.25, sure, bool(mentions), mentions=mentions))
            at += 0.25
        score = draw(st.sampled_from([-1.5, float("-inf"), float("nan")]))
        best = Hypothesis(tuple(words), score, ())
        warning = draw(st.none() | texts)
        found.append(Transcript(name, best, (best, best), warning))
    return found


def lines_of(text: str) -> list[str]:
    """The lines, whatever a reader takes for the end of one."""
    assert text.encode("utf-8").decode("utf-8") == text
    assert not CONTROL.search(text.replace("\t", ""))
    assert text == "" or text.endswith("\n")
    lines = text.splitlines()
    assert lines == text.split("\n")[:-1]
    return lines


def check_transcripts(items: Sequence[Transcript]) -> None:
    rows = lines_of(format_transcripts(items, "text"))
    assert len(rows) == len(items)
    for row, item in zip(rows, items):
        assert len(row.split("\t")) == min(2, len(items))
        assert row.split("\t")[-1] == one_line(item.best.text)
    for row, item in zip(lines_of(format_transcripts(items, "json")), items, strict=True):
        found = json.loads(row, parse_constant=pytest.fail)
        assert (found["path"], found["text"]) == (item.id, item.best.text)
        assert [w["word"] for w in found["words"]] == [w.word for w in item.best.words]
        for said, span in zip(found["entities"], item.best.mentions, strict=True):
            entity = span.mention.entity
            assert (said["display"], said.get("category")) == (entity.display, entity.category)
            assert (said["words"], said["heard"]) == ([*span.words], span.mention.heard)
    said = [
        part for item in items for word in item.best.words for part in one_line(word.word).split()
    ]
    with warnings.catch_warnings():  # ids may be one in CTM, which is told
        warnings.simplefilter("ignore", CtcbiasWarning)
        rows = lines_of(format_transcripts(items, "ctm"))
    for row, part in zip(rows, said, strict=True):
        name, channel, start, duration, word, confidence = row.split()
        assert not name.startswith(";;")
        assert (channel, word) == ("1", part)
        assert min(float(start), float(duration), float(confidence)) >= 0
    for style in ("srt", "vtt"):
        check_cues(format_transcripts(items[:1], style), style, items[0])


def check_cues(text: str, style: str, item: Transcript) -> None:
    lines_of(text)
    blocks = text.removeprefix("WEBVTT\n\n").split("\n\n")
    assert blocks.pop() == ""
    said = []
    for number, block in enumerate(blocks, start=1):
        head, *lines = block.split("\n")
        if style == "srt":
            assert head == str(number)
            head, *lines = lines
        assert re.fullmatch(TIMES, head)
        assert lines
        assert all(line.strip() and "-->" not in line for line in lines)
        said += [html.unescape(line) if style == "vtt" else line for line in lines]
    expected = "".join(one_line(word.word) for word in item.best.words)
    squeezed = ["".join(part.split()) for part in ("".join(said), expected)]
    assert squeezed[0] == (squeezed[1] if style == "vtt" else squeezed[1].replace("-->", "->"))


def check_records(items: Sequence[Transcript]) -> None:
    records = {item.id: record_of(item) for item in items}
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "out.jsonl"
        write_records(records.values(), path)
        rows = lines_of(path.read_bytes().decode("utf-8"))
        found = [json.loads(row, parse_constant=pytest.fail) for row in rows]
        assert [row["id"] for row in found] == list(records)
        assert [row["text"] for row in found] == [one["text"] for one in records.values()]
        cuts = []
        for number, item in enumerate(items):
            cuts.append(dummy_cut(number))
            cuts[-1].id = item.id
        write_supervisions(CutSet.from_cuts(cuts), records.values(), path)
        lines_of(path.read_bytes().decode("utf-8"))
        segments = list(SupervisionSet.from_file(path))
        assert [one.id for one in segments] == list(records)
        assert [one.text for one in segments] == [one["text"] for one in records.values()]


def check_scores(items: Sequence[tuple[str, str]], other: Sequence[str]) -> None:
    """Reports on texts that were read from files."""
    with tempfile.TemporaryDirectory() as name:
        paths = [Path(name) / part for part in ("said", "before", "after")]
        for path, spoken in zip(paths, ([t for _, t in items], other, [t for _, t in items])):
            rows = (
                json.dumps({"id": key, "text": text, "group": text})
                for (key, _), text in zip(items, spoken)
            )
            path.write_text("\n".join(rows), encoding="utf-8")
        try:
            report = score_files(paths[0], paths[1], group_by="group")
            comparison = compare_files(*paths)
        except ManifestError:  # an id that no file can hold
            return
    details = lines_of("".join(f"{line}\n" for line in to_details(report)))
    ids = [json.loads(line, parse_constant=pytest.fail)["id"] for line in details]
    assert ids == [key for key, _ in items]
    lines_of(to_json(report) + "\n")
    json.loads(to_json(report), parse_constant=pytest.fail)
    assert len(lines_of(to_pairs(report) + "\n")) == 3 * len(items)
    lines_of(to_table(report) + "\n")
    ElementTree.fromstring(to_svg(comparison))
    shown = lines_of("".join(f"{line}\n" for line in to_lines(comparison, colour=False)))
    assert len(shown) == 4 * len(items) + 2
    coloured = "".join(f"{line}\n" for line in to_lines(comparison, colour=True))
    lines_of(re.sub(r"\x1b\[[0-9;]+m", "", coloured))


def check_graph(names: Sequence[str]) -> None:
    vocabulary = VOCABULARIES[0]
    entities = tuple(Entity("a", name) for name in names)
    paths = [Segmentation((1, 2, *[3] * i), i) for i in range(len(names))]
    svg = draw_boost_graph(build_tree(encoded(paths), entities, vocabulary), vocabulary)
    ElementTree.fromstring(svg)


def check_picture(names: Sequence[str]) -> None:
    weights = np.linspace(0, 1, 5, dtype=np.float32)
    words = tuple(Word(name, 0.1 * i, 0.1 * i + 0.1, 1.0, i > 0) for i, name in enumerate(names))
    heard = tuple(NameAttention(name, weights, True) for name in names)
    shown = Explanation(
        names[0], np.zeros((20, 4), np.float32), 0.04, words, words, heard, weights, len(names)
    )
    with tempfile.TemporaryDirectory() as name:
        for ending in (".svg", ".html"):
            draw_explanation(shown, Path(name) / f"picture{ending}")
        svg = (Path(name) / "picture.svg").read_text(encoding="utf-8")
        page = (Path(name) / "picture.html").read_text(encoding="utf-8")
    ElementTree.fromstring(svg)
    assert not CONTROL.search(svg)
    assert not CONTROL.search(page)
    ElementTree.fromstring(page[page.index("<svg") : page.index("</svg>") + len("</svg>")])


@FEW
@given(transcripts())
def test_transcripts(items: list[Transcript]) -> None:
    check_transcripts(items)
    check_records(items)


scored = st.lists(st.tuples(texts, texts), min_size=1, max_size=4, unique_by=lambda row: row[0])


@FEW
@given(scored, st.lists(texts, min_size=4, max_size=4))
def test_scores(items: list[tuple[str, str]], other: list[str]) -> None:
    check_scores(items, other)


@FEW
@given(st.lists(texts, min_size=1, max_size=4))
def test_graphs(names: list[str]) -> None:
    check_graph(names)


def test_pictures() -> None:
    check_picture(["A\x00\x1b$x$", "$\\frac$ \ud800", "薬 \u2028 \U0001f48a", "<&>"])


def test_letters_that_the_font_lacks_are_told(tmp_path: Path) -> None:
    figure = new_figure(2, 1)
    figure.suptitle("薬")
    with pytest.warns(CtcbiasWarning, match="x.png: the font lacks some of the characters; a"):
        save_figure(figure, tmp_path / "x.png")
    save_figure(figure, tmp_path / "x.svg")
    assert "薬" in (tmp_path / "x.svg").read_text(encoding="utf-8")


@many("transcripts, all formats", 3000)
@given(transcripts())
def test_many_transcripts(items: list[Transcript]) -> None:
    check_transcripts(items)
    check_records(items)


@many("scores, all formats", 3000)
@given(scored, st.lists(texts, min_size=4, max_size=4))
def test_many_scores(items: list[tuple[str, str]], other: list[str]) -> None:
    check_scores(items, other)


@many("pictures of graphs", 3000)
@given(st.lists(texts, min_size=1, max_size=4))
def test_many_graphs(names: list[str]) -> None:
    check_graph(names)


@many("pictures", 100)
@given(st.lists(texts, min_size=1, max_size=4))
def test_many_pictures(names: list[str]) -> None:
    check_picture(names)

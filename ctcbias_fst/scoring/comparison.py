"""Two transcripts of the same speech beside what was said: what one has right and the other not."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from ctcbias_fst.pictures import xml_text
from ctcbias_fst.scoring.counts import Score
from ctcbias_fst.scoring.score import UtteranceScore, mask_of, rates, score_transcripts, total
from ctcbias_fst.text.normalise import as_written
from ctcbias_fst.text.phrases import PhraseMatcher
from ctcbias_fst.text.printable import one_line
from ctcbias_fst.text.text_files import PathLike
from ctcbias_fst.text.transcripts import read_transcripts
from ctcbias_fst.text.utterances import load_entities

Kind = Literal["plain", "name", "wrong", "mended"]


class Word(NamedTuple):
    """A word of a row: one of a spoken name, one that is wrong, one that was wrong before."""

    text: str
    kind: Kind


class Compared(NamedTuple):
    """An utterance: what was said, and what was written before and after."""

    id: str
    reference: tuple[Word, ...]
    before: tuple[Word, ...]
    after: tuple[Word, ...]


@dataclass(frozen=True)
class Comparison:
    """All utterances and their scores.

    Attributes:
        named: whether a list of names was given.
    """

    utterances: tuple[Compared, ...]
    before: Score
    after: Score
    named: bool

    def summary(self) -> list[str]:
        """The rates of both, a line each; those of names only if there was a list."""
        old, new = rates(self.before), rates(self.after)
        shown = [name for name in ("F1", "WER") if self.named or name == "WER"]
        return [
            f"{name}: {_percent(old[name])} before, {_percent(new[name])} after" for name in shown
        ]


def compare_files(
    reference: PathLike, before: PathLike, after: PathLike, entities: PathLike | None = None
) -> Comparison:
    """Score two files of transcripts and find the words that differ.

    Args:
        reference: of any form that `ctcbias_fst.text.transcripts.read_transcripts` takes.
        before, after: likewise.
        entities: a list of names for all utterances, or one for each.

    Raises:
        ManifestError: a file is malformed, or an utterance of the reference is not in the others.
        EntityListError: the list is malformed.
    """
    said = read_transcripts(reference)
    written = [read_transcripts(path, written=True) for path in (before, after)]
    names = None if entities is None else load_entities(entities)
    old, new = [score_transcripts(said, texts, names) for texts in written]
    utterances = []
    for first, second in zip(old, new):
        was_right = _right(first)
        utterances.append(
            Compared(
                first.id,
                _reference(first, said[first.id]),
                _written(first, written[0][first.id], was_right),
                _written(second, written[1][second.id], was_right),
            )
        )
    return Comparison(tuple(utterances), total(old), total(new), names is not None)


def _right(result: UtteranceScore) -> list[bool]:
    """Of each word that was said: whether it was written."""
    return [said == written for said, written in result.pairs if said is not None]


def _reference(result: UtteranceScore, text: str) -> tuple[Word, ...]:
    words = [said for said, _ in result.pairs if said is not None]
    matcher = PhraseMatcher([*result.hits, *result.misses])
    named = mask_of(matcher.occurrences(words), len(words))
    row = []
    place = 0
    for shown, count in as_written(words, text):
        row.append(Word(shown, "name" if any(named[place : place + count]) else "plain"))
        place += count
    return tuple(row)


def _written(result: UtteranceScore, text: str, was_right: Sequence[bool]) -> tuple[Word, ...]:
    words = [written for _, written in result.pairs if written is not None]
    groups = iter(as_written(words, text))
    row: list[Word] = []
    place, left, slot = -1, 0, 0
    for said, written in result.pairs:
        place += said is not None
        if written is None:
            row.append(Word("*", "wrong"))
            continue
        kind: Kind = "wrong"
        if said == written:
            kind = "plain" if was_right[place] else "mended"
        if left:
            worst = max(row[slot].kind, kind, key=_WORSE.index)
            row[slot] = Word(row[slot].text, worst)
        else:
            shown, left = next(groups)
            slot = len(row)
            row.append(Word(shown, kind))
        left -= 1
    return tuple(row)


def _percent(rate: float) -> str:
    return "-" if math.isnan(rate) else f"{100 * rate:.1f} %"


_WORSE: tuple[Kind, ...] = ("plain", "name", "mended", "wrong")
_MARKS = {"plain": "{}", "name": "{}", "wrong": "[{}]", "mended": "*{}*"}
_COLOURS: dict[str, str] = {"name": "1", "wrong": "31", "mended": "1;32"}
_LABELS = ("said", "before", "after")


def to_lines(comparison: Comparison, colour: bool) -> Iterator[str]:
    """The utterances for a terminal, a row for each text, and the summary.

    Args:
        colour: by ANSI codes; else wrong words stand in brackets, mended ones between stars.
    """
    for utterance in comparison.utterances:
        yield one_line(utterance.id)
        for label, row in zip(_LABELS, utterance[1:]):
            words = [_marked(word, colour) for word in row]
            yield f"  {label:<7} {' '.join(words)}".rstrip()
    yield ""
    yield from comparison.summary()


def _marked(word: Word, colour: bool) -> str:
    if not colour:
        return _MARKS[word.kind].format(one_line(word.text))
    code, text = _COLOURS.get(word.kind), one_line(word.text)
    return text if code is None else f"\x1b[{code}m{text}\x1b[0m"


_LINE, _GAP, _MARGIN, _INDENT, _CHARACTER = 22, 14, 18, 80, 8.7
_STYLE = (
    "text{font:14px ui-monospace,Menlo,Consolas,monospace;fill:#24292f;white-space:pre}"
    ".label{fill:#6e7781}.name{font-weight:bold}.wrong{fill:#cf222e;text-decoration:underline}"
    ".mended{fill:#116329;font-weight:bold}.box{fill:#fff;stroke:#d0d7de}"
)


def to_svg(comparison: Comparison) -> str:
    """The same as a picture."""
    lines: list[str] = []
    y = _MARGIN + 4.0
    longest = 0
    for utterance in comparison.utterances:
        for label, row in zip(_LABELS, utterance[1:]):
            y += _LINE
            longest = max(longest, sum(len(word.text) + 1 for word in row))
            spans = " ".join(
                xml_text(text)
                if kind == "plain"
                else f'<tspan class="{kind}">{xml_text(text)}</tspan>'
                for text, kind in row
            )
            lines.append(f'<text class="label" x="{_MARGIN}" y="{y:g}">{label}</text>')
            lines.append(f'<text x="{_INDENT}" y="{y:g}">{spans}</text>')
        y += _GAP
    for line in comparison.summary():
        y += _LINE
        longest = max(longest, len(line))
        lines.append(f'<text class="name" x="{_MARGIN}" y="{y:g}">{xml_text(line)}</text>')
    width, height = _INDENT + _CHARACTER * longest + _MARGIN, y + _MARGIN
    size = f'width="{width:.0f}" height="{height:.0f}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} '
        f'viewBox="0 0 {width:.0f} {height:.0f}">\n<style>{_STYLE}</style>\n'
        f'<rect class="box" {size} rx="6"/>\n' + "\n".join(lines) + "\n</svg>\n"
    )

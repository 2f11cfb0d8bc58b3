"""Scores of files: read, score, and show as a table, as JSON, or utterance by utterance."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ctcbias_fst.errors import EntityListError
from ctcbias_fst.scoring.counts import Score
from ctcbias_fst.scoring.score import (
    Interval,
    UtteranceScore,
    bootstrap,
    rates,
    score_transcripts,
    total,
)
from ctcbias_fst.text.entities import EntityList
from ctcbias_fst.text.printable import json_text, one_line
from ctcbias_fst.text.text_files import PathLike, Source, hold
from ctcbias_fst.text.transcripts import read_groups, read_transcripts
from ctcbias_fst.text.utterances import (
    load_entities,
    read_rare_words,
    read_utterance_entities,
)

_OF_NAMES = ("B-WER", "U-WER", "precision", "recall", "F1")
"""Rates that say nothing without a list of names."""


@dataclass(frozen=True)
class ScoreReport:
    """The result of scoring one file against another.

    Attributes:
        results: one per reference.
        named: whether a list of names was given.
        without_reference: ids of hypotheses that have no reference and were not scored.
        rejected: why entries of the list of names have no effect, one line each.
        intervals: confidence intervals by group (None: everything), if they were asked for.
    """

    results: tuple[UtteranceScore, ...]
    named: bool
    without_reference: tuple[str, ...]
    rejected: tuple[str, ...]
    intervals: Mapping[str | None, Mapping[str, Interval]]

    @property
    def groups(self) -> dict[str | None, list[UtteranceScore]]:
        """The results of each group in order of appearance; those of all under None."""
        by_group: dict[str | None, list[UtteranceScore]] = {None: list(self.results)}
        for result in self.results:
            if result.group is not None:
                by_group.setdefault(result.group, []).append(result)
        return by_group


def score_files(
    reference: PathLike,
    hypothesis: PathLike,
    entities: PathLike | None = None,
    *,
    bias_words: PathLike | None = None,
    field: str = "text",
    group_by: str | None = None,
    missing_as_deletions: bool = False,
    normalise_text: bool = True,
    ignore: Sequence[str] = (),
    possessive: bool = True,
    replications: int = 0,
    seed: int = 0,
    published: bool = False,
) -> ScoreReport:
    """Score a file of transcripts against a file of references.

    Args:
        reference: see `read_transcripts` for the formats.
        hypothesis: likewise.
        entities: a list of names for all utterances, or one for each (`load_entities`).
        bias_words: the list that decides which words are biased (B-WER) if it is not
            `entities`. Of Le et al.'s files the rare words of the reference are taken.
        field: what to score in JSON objects and manifests, if not the text.
        group_by: a (custom) field of the references to group results by.
        missing_as_deletions: this and the next three: see `score_transcripts`.
        normalise_text: whether texts are brought to the normal form.
        ignore: tokens that are left out.
        possessive: whether a name followed by ``'s`` counts as the name.
        replications: of the bootstrap; 0 for no confidence intervals.
        seed: of the bootstrap.
        published: count as the script of Le et al. 2021, with the rare words of `bias_words`, or
            else of `reference`; texts are compared as they stand.

    Raises:
        ManifestError: see `read_transcripts`, `score_transcripts`.
        EntityListError: see `load_entities`.
    """
    references = read_transcripts(reference, field)
    hypotheses = read_transcripts(hypothesis, field, written=True)
    names = None if entities is None else load_entities(entities)
    results = score_transcripts(
        references,
        hypotheses,
        names,
        bias_words=None if bias_words is None or published else _bias_words(bias_words),
        missing_as_deletions=missing_as_deletions,
        normalise_text=normalise_text and not published,
        ignore=ignore,
        possessive=possessive,
        groups=None if group_by is None else read_groups(reference, group_by),
        published=read_rare_words(bias_words or reference) if published else None,
    )
    report = ScoreReport(
        results=tuple(results),
        named=names is not None or bias_words is not None or published,
        without_reference=tuple(i for i in hypotheses if i not in references),
        rejected=tuple(_rejects(names)),
        intervals={},
    )
    if replications < 1:
        return report
    intervals = {g: bootstrap(r, replications, seed) for g, r in report.groups.items()}
    return replace(report, intervals=intervals)


def to_json(report: ScoreReport) -> str:
    """Return everything but the single utterances as one JSON object; undefined is null."""
    blocks = {
        group: _block(total(results), report.intervals.get(group, {}))
        for group, results in report.groups.items()
    }
    everything = blocks.pop(None)
    content = {**everything, "without_reference": list(report.without_reference)}
    if blocks:
        content["groups"] = blocks
    return json_text(content, indent=2)


def to_details(report: ScoreReport) -> Iterator[str]:
    """Yield one JSON object per utterance: its counts, alignment, and names."""
    for result in report.results:
        content = {
            "id": result.id,
            "counts": asdict(result.score),
            "reference": [reference for reference, _ in result.pairs],
            "hypothesis": [hypothesis for _, hypothesis in result.pairs],
            "hits": list(result.hits),
            "misses": list(result.misses),
            "false_alarms": list(result.false_alarms),
        }
        if result.group is not None:
            content["group"] = result.group
        yield json_text(content)


def to_pairs(report: ScoreReport) -> str:
    """Return each reference above its hypothesis, word under word; ``*`` where one is missing."""
    blocks = []
    for result in report.results:
        columns = [
            (one_line(said or "*"), one_line(written or "*")) for said, written in result.pairs
        ]
        widths = [max(map(len, column)) for column in columns]
        lines = [
            " ".join([row[side].ljust(width) for row, width in zip(columns, widths)]).rstrip()
            for side in (0, 1)
        ]
        names = [
            f"  {kind}: {one_line(', '.join(found))}"
            for kind, found in (("missed", result.misses), ("false alarm", result.false_alarms))
            if found
        ]
        blocks.append(
            "\n".join([one_line(result.id), f"  ref: {lines[0]}", f"  hyp: {lines[1]}", *names])
        )
    return "\n".join(blocks)


def to_table(report: ScoreReport) -> str:
    """Return the scores as text for people."""
    shown = [name for name in rates(Score.zero()) if report.named or name not in _OF_NAMES]
    parts = []
    for group, results in report.groups.items():
        score = total(results)
        heading = f"{'' if group is None else f'{one_line(group)}, '}utterances: {score.utterances}"
        rows = _rows(score, report.intervals.get(group, {}))
        parts.append("\n".join([heading, *[rows[name] for name in shown]]))
    return "\n\n".join(parts)


def _bias_words(path: Source) -> EntityList | dict[str, EntityList]:
    path = hold(path, EntityListError)
    names = load_entities(path)
    return names if isinstance(names, EntityList) else read_utterance_entities(path, spoken=True)


def _rejects(names: EntityList | Mapping[str, EntityList] | None) -> Iterator[str]:
    if names is None:
        return
    for entities in [names] if isinstance(names, EntityList) else names.values():
        yield from entities.report(limit=len(entities.rejected))


def _block(score: Score, intervals: Mapping[str, Interval]) -> dict[str, Any]:
    values = {}
    for name, rate in rates(score).items():
        values[name] = {"rate": _defined(rate)}
        if name in intervals:
            values[name]["low"] = _defined(intervals[name].low)
            values[name]["high"] = _defined(intervals[name].high)
    return {"rates": values, "counts": asdict(score)}


def _defined(rate: float) -> float | None:
    return None if math.isnan(rate) else rate


def _rows(score: Score, intervals: Mapping[str, Interval]) -> dict[str, str]:
    """Return the table's lines for one score by the name of the rate."""
    words, names = score.words, score.entities
    counts = {
        name: f"{c.errors}/{c.reference}: {c.substitutions} sub, {c.deletions} del, "
        f"{c.insertions} ins"
        for name, c in (
            ("WER", words),
            ("CER", score.characters),
            ("B-WER", score.biased),
            ("U-WER", score.unbiased),
        )
    }
    counts["SER"] = f"{score.wrong}/{score.utterances} utterances"
    counts["precision"] = f"found {names.hits}, false alarms {names.false_alarms}"
    counts["recall"] = f"found {names.hits}, missed {names.misses}"
    rows = {}
    for name, rate in rates(score).items():
        cells = [f"{name:<10}{_percent(rate):>8}"]
        if name in intervals:
            low, high = intervals[name].low, intervals[name].high
            cells.append(f"{_percent(low)} to {_percent(high)}".ljust(18))
        cells.append(counts.get(name, ""))
        rows[name] = "   ".join(cells).rstrip()
    return rows


def _percent(rate: float) -> str:
    return "-" if math.isnan(rate) else f"{100 * rate:.2f}%"

"""Pronunciation lookup: words that sound like a name of the list become the name.

The best hypothesis is force-aligned to the phone head's log-probs, so that each of its words
has a span in the phone head's best phone sequence. Where the phones of one or several words
are a pronunciation of a name, or nearly, the name takes their place, provided that the phone
head prefers it: the phone score of the whole hypothesis (:mod:`ctcbias_fst.rescore.phonetic`)
must rise by a margin. After Dingliwal et al. 2022, section 3.5.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice
from typing import ClassVar

import torch

from ctcbias_fst.bounds import at_least_one, finite, not_negative
from ctcbias_fst.records import Mention, Transcript, Word, text_of
from ctcbias_fst.rescore.mention_scores import mention_scores, with_hypotheses
from ctcbias_fst.rescore.near_names import near, rows_of
from ctcbias_fst.rescore.phone_frames import PhoneFrames
from ctcbias_fst.rescore.phonetic import PhoneAligner, Spans, Unit
from ctcbias_fst.rescore.word_pronunciations import EntityPronunciations
from ctcbias_fst.search.hypotheses import distinct
from ctcbias_fst.search.spelling import words_of_name
from ctcbias_fst.text.entity import Entity


@dataclass(frozen=True)
class LookupConfig:
    """What is looked up, and when it is believed.

    Attributes:
        max_distance: edits between the phones of the words and those of the name, per phone of
            the name; 0 for exact matches only.
        margin: nats by which the phone score must rise where all words are in the lexicon.
        unlisted_margin: the same where one of them is not.
        min_phones: names that sound shorter are not looked up.
        max_words: words that a name may take the place of.
        candidates: so many names, the nearest ones, are tried per utterance.
        max_names: names of longer lists are not looked up: each word is compared with all. Whoever
            compiles such a list tells it.
    """

    max_distance: float = 0.25
    margin: float = 16.0
    unlisted_margin: float = 12.0
    min_phones: int = 4
    max_words: int = 3
    candidates: int = 20
    max_names: int = 10_000

    RENAMED: ClassVar = {"most_names": "max_names"}

    def __post_init__(self) -> None:
        finite(self)
        not_negative(self, "max_names")
        if not 0 <= self.max_distance < 1:
            raise ValueError(
                f"max_distance must be at least 0 and below 1, found {self.max_distance}"
            )
        for name in ("margin", "unlisted_margin"):
            if not getattr(self, name) >= 0:
                raise ValueError(
                    f"{name} must be 0 or more, found {getattr(self, name)}: below, words would "
                    "be replaced that are more likely"
                )
        at_least_one(self, "min_phones", "max_words", "candidates")


@dataclass(frozen=True)
class _Candidate:
    """Units ``first`` to ``end - 1`` of an utterance's best hypothesis may be a name, with which
    the phone score rises by ``gain`` nats."""

    utterance: int
    first: int
    end: int
    entity: Entity
    edits: int
    gain: float = 0.0


def look_up(
    transcripts: Sequence[Transcript],
    frames: PhoneFrames,
    aligner: PhoneAligner,
    names: Sequence[EntityPronunciations | None],
    config: LookupConfig,
) -> list[Transcript]:
    """Put names in the place of words of each best hypothesis.

    Words that are a name of the list already are left alone.

    Args:
        transcripts: one per utterance.
        frames: of the same utterances.
        aligner: for the phone scores; its own ``cost_scale`` and ``unlisted_cost`` apply.
        names: the list of each utterance.
        config: the settings.

    Returns:
        Transcripts; where a name was put in, the new best hypothesis leads the n best. Its
        ``score`` has risen by what its phone score did, if that is part of it. Mentions of best
        hypotheses that stay have their phone scores, as these are aligned anyhow.
    """
    names = [None if own is None or len(own.entities) > config.max_names else own for own in names]
    if all(own is None for own in names):
        return list(transcripts)
    units = [aligner.units(t.best, own) for t, own in zip(transcripts, names)]
    spans = aligner.spans(frames, units)
    scores = mention_scores([one.best for one in transcripts], units, spans)
    results = [
        one if own is None else with_hypotheses([one], scores)[0]
        for one, own in zip(transcripts, names)
    ]
    found = list(_candidates(units, frames, spans, names, config))
    if not found:
        return results
    touched = sorted({candidate.utterance for candidate in found})
    tried = [_replaced(units[c.utterance], [c], names) for c in found]
    totals = aligner.scores(
        frames,
        [*(units[row] for row in touched), *tried],
        [*touched, *(candidate.utterance for candidate in found)],
    ).tolist()
    before, totals = dict(zip(touched, totals)), totals[len(touched) :]
    found = [replace(c, gain=total - before[c.utterance]) for total, c in zip(totals, found)]
    chosen = _choose(found, units, config)
    several = [row for row, candidates in chosen.items() if len(candidates) > 1]
    after = {c.utterance: s for s, c in zip(totals, found) if chosen.get(c.utterance) == [c]}
    if several:
        together = [_replaced(units[row], chosen[row], names) for row in several]
        after.update(zip(several, aligner.scores(frames, together, several).tolist()))
    for row, candidates in chosen.items():
        gain = after[row] - before[row]
        results[row] = _with_names(
            transcripts[row], units[row], candidates, gain, aligner.config.phone_scale
        )
    return results


def _candidates(
    units: Sequence[Sequence[Unit]],
    frames: PhoneFrames,
    spans: Spans,
    names: Sequence[EntityPronunciations | None],
    config: LookupConfig,
) -> Iterator[_Candidate]:
    """The nearest names of every utterance, best first."""
    phones, first_phone = _heard(frames, spans.begin, spans.end)
    rows = [
        (row, first, first + length)
        for row, sequence in enumerate(units)
        if names[row] is not None
        for first in range(len(sequence))
        for length in range(1, min(config.max_words, len(sequence) - first) + 1)
        if not any(
            unit.name or not unit.pronunciations for unit in sequence[first : first + length]
        )
    ]
    # A list after the other, as utterances of one list stand together in neighbouring windows.
    rows.sort(key=lambda window: id(names[window[0]]))
    lists = []
    for _, several in groupby(rows, key=lambda window: id(names[window[0]])):
        windows = list(several)
        own = names[windows[0][0]]
        assert own is not None
        lists.append((len(windows), rows_of(own, config.min_phones, phones.device)))
    entities = [entity for _, table in lists for entity in table.entities]
    at = torch.tensor(rows, dtype=torch.int64, device=phones.device).view(-1, 3)
    low, high = first_phone[at[:, 0], at[:, 1]], first_phone[at[:, 0], at[:, 2]]
    found: dict[int, list[_Candidate]] = {}
    for which, row, edits in near(phones, low, high, lists, config.max_distance):
        utterance, first, last = rows[which]
        found.setdefault(utterance, []).append(
            _Candidate(utterance, first, last, entities[row], edits)
        )
    for candidates in found.values():
        candidates.sort(key=lambda c: (c.edits, c.first, c.end, c.entity.name))
        nearest: dict[tuple[int, int, str], _Candidate] = {}
        for candidate in candidates:
            nearest.setdefault((candidate.first, candidate.end, candidate.entity.name), candidate)
        yield from islice(nearest.values(), config.candidates)


def _heard(
    frames: PhoneFrames, begin: torch.Tensor, end: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The best phone of every frame, runs merged, blanks dropped, shared out to units.

    A phone between two units belongs to the one that is nearer.

    Returns:
        int64 (K,) phones of all utterances, and int64 (N, L + 1) where the phones of each unit
        begin among them. Units that were not aligned have none.
    """
    best = frames.log_probs.argmax(dim=-1)
    inside = (
        torch.arange(best.shape[1], device=best.device) < frames.lengths.to(best.device)[:, None]
    )
    new = (best > 0) & inside
    new[:, 1:] &= best[:, 1:] != best[:, :-1]
    row, at = new.nonzero(as_tuple=True)
    # Twice the frames, so that the middle between two is a whole number.
    frame = 2 * frames.original[row, at]
    size, units = begin.shape
    far = 2 * int(frames.original.max()) + 2
    middle = torch.full((size, units + 1), far, device=best.device, dtype=torch.int64)
    middle[:, 0] = -1
    if units:
        # A unit that was not aligned begins where the next one does.
        starts = torch.where(begin < 0, begin.new_full((), far), begin)
        starts = starts.flip(1).cummin(dim=1).values.flip(1)
        ends = end.cummax(dim=1).values
        between = (ends[:, :-1] - 1 + starts[:, 1:]).clamp(max=far)
        middle[:, 1:-1] = torch.where(starts[:, 1:] >= far, between.new_full((), far), between)
    stride = far + 2
    keys = row * stride + frame + 1
    wanted = torch.arange(size, device=best.device)[:, None] * stride + middle + 1
    return best[row, at], torch.searchsorted(keys, wanted)


def _choose(
    found: Sequence[_Candidate],
    units: Sequence[Sequence[Unit]],
    config: LookupConfig,
) -> dict[int, list[_Candidate]]:
    """Of candidates that overlap the one that gains most, if it gains enough."""
    chosen: dict[int, list[_Candidate]] = {}
    for candidate in sorted(found, key=lambda c: (-c.gain, c.edits)):
        covered = units[candidate.utterance][candidate.first : candidate.end]
        listed = all(unit.listed for unit in covered)
        if candidate.gain < (config.margin if listed else config.unlisted_margin):
            continue
        others = chosen.setdefault(candidate.utterance, [])
        if all(c.end <= candidate.first or candidate.end <= c.first for c in others):
            others.append(candidate)
    return {row: sorted(several, key=lambda c: c.first) for row, several in chosen.items()}


def _replaced(
    units: Sequence[Unit],
    candidates: Sequence[_Candidate],
    names: Sequence[EntityPronunciations | None],
) -> list[Unit]:
    """The units with those of the candidates, which are in order, as names."""
    result: list[Unit] = []
    at = 0
    for candidate in candidates:
        own = names[candidate.utterance]
        assert own is not None
        begin, end = units[candidate.first].begin, units[candidate.end - 1].end
        result += units[at : candidate.first]
        result.append(Unit(begin, end, own.of(candidate.entity), True))
        at = candidate.end
    return [*result, *units[at:]]


def _with_names(
    transcript: Transcript,
    units: Sequence[Unit],
    candidates: Sequence[_Candidate],
    gain: float,
    phone_scale: float,
) -> Transcript:
    """The transcript with names in its best hypothesis."""
    best = transcript.best
    words: list[Word] = []
    at = 0
    for candidate in candidates:
        begin, end = units[candidate.first].begin, units[candidate.end - 1].end
        words += best.words[at:begin]
        heard, entity = best.words[begin:end], candidate.entity
        mention = Mention.of(entity, "lookup", text_of(heard), lookup=candidate.gain)
        words += words_of_name(entity.display.split(), heard, (mention,))
        at = end
    words += best.words[at:]
    new = replace(best, words=tuple(words))
    if best.phone is not None:
        new = replace(
            new,
            phone=best.phone + gain,
            phone_share=best.phone_share + phone_scale * gain,
            score=best.score + phone_scale * gain,
        )
    others = (hypothesis for hypothesis in transcript.nbest if hypothesis is not best)
    return replace(transcript, best=new, nbest=distinct([new, *others]))

"""How well each name in a hypothesis fits what was heard, by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ctcbias_fst.records import Hypothesis, Mention, Transcript
from ctcbias_fst.rescore.phone_frames import PhoneFrames
from ctcbias_fst.rescore.phonetic import PhoneAligner, Spans, Unit
from ctcbias_fst.rescore.word_pronunciations import EntityPronunciations


def score_mentions(
    transcripts: Sequence[Transcript],
    frames: PhoneFrames,
    aligner: PhoneAligner,
    names: Sequence[EntityPronunciations | None],
) -> list[Transcript]:
    """Give every mention its phone score, the sum of those of its words.

    Args:
        transcripts: one per utterance; hypotheses whose mentions have scores are left alone.
        frames: of the same utterances.
        aligner: with the settings.
        names: the list of each utterance.
    """
    missing = {
        id(one): (row, one)
        for row, transcript in enumerate(transcripts)
        for one in (transcript.best, *transcript.nbest)
        if any(mention.phone is None for word in one.words for mention in word.mentions)
    }
    if not missing:
        return list(transcripts)
    rows, hypotheses = zip(*missing.values())
    units = [aligner.units(one, names[row]) for row, one in missing.values()]
    spans = aligner.spans(frames.select(rows), units)
    return with_hypotheses(transcripts, mention_scores(hypotheses, units, spans))


def mention_scores(
    hypotheses: Sequence[Hypothesis], units: Sequence[Sequence[Unit]], spans: Spans
) -> dict[int, Hypothesis]:
    """Hypotheses whose mentions have the scores of their units, by the ids of those without.

    Args:
        hypotheses: any.
        units: of each, its words and names.
        spans: of the units.
    """
    return {
        id(one): _scored(one, list(zip(its, begin, score)))
        for one, its, begin, score in zip(
            hypotheses, units, spans.begin.tolist(), spans.score.tolist()
        )
        if any(word.mentions for word in one.words)
    }


def with_hypotheses(
    transcripts: Sequence[Transcript], others: Mapping[int, Hypothesis]
) -> list[Transcript]:
    """Put other hypotheses, by the ids of those that are there, in their place."""
    return [
        replace(
            one,
            best=others.get(id(one.best), one.best),
            nbest=tuple([others.get(id(other), other) for other in one.nbest]),
        )
        if any(id(other) in others for other in (one.best, *one.nbest))
        else one
        for one in transcripts
    ]


def _scored(hypothesis: Hypothesis, aligned: Sequence[tuple[Unit, int, float]]) -> Hypothesis:
    new: dict[int, Mention] = {}
    for mention, (first, end), _, _ in hypothesis.mentions:
        own = [
            score
            for unit, begin, score in aligned
            if unit.begin < end and first < unit.end and begin >= 0
        ]
        if own:
            new[id(mention)] = replace(mention, phone=min(sum(own), 0.0))
    words = [
        replace(word, mentions=tuple([new.get(id(one), one) for one in word.mentions]))
        for word in hypothesis.words
    ]
    return replace(hypothesis, words=tuple(words))

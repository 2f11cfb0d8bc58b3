"""Cutting long log-probs at pauses, and joining what was decoded from the pieces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ctcbias_fst.records import Hypothesis, LogProbs, Transcript, Word

__all__ = ["Segment", "cut_at_pauses", "join_segments"]


@dataclass(frozen=True)
class Segment:
    """Frames ``[begin, end)`` of an utterance of a batch."""

    utterance: int
    begin: int
    end: int


def cut_at_pauses(
    log_probs: LogProbs, *, longest_seconds: float = 30.0
) -> tuple[LogProbs, tuple[Segment, ...]]:
    """Split every utterance longer than ``longest_seconds`` where the blank is surest.

    The cut falls in the second half of each stretch of ``longest_seconds``, in the middle of
    the run of frames with the highest summed blank log-prob over 0.4 s.

    Returns:
        the segments as a batch of their own (ids repeat), and where each came from, in
        order of utterance and time. Utterances without frames keep one empty segment.
    """
    most = max(2, round(longest_seconds / log_probs.frame_seconds))
    segments = []
    for index, length in enumerate(log_probs.lengths.tolist()):
        begin = 0
        while length - begin > most:
            blank = log_probs.log_probs[index, begin : begin + most, log_probs.vocabulary.blank_id]
            end = begin + _surest_pause(blank, round(0.4 / log_probs.frame_seconds))
            segments.append(Segment(index, begin, end))
            begin = end
        segments.append(Segment(index, begin, length))
    if len(segments) == log_probs.size:
        return log_probs, tuple(segments)
    frames = max(segment.end - segment.begin for segment in segments)
    subwords = _slices(log_probs.log_probs, segments, frames)
    phones = log_probs.phone_log_probs
    batch = replace(
        log_probs,
        log_probs=subwords,
        phone_log_probs=None if phones is None else _slices(phones, segments, frames),
        lengths=torch.tensor([s.end - s.begin for s in segments], dtype=torch.int64),
        ids=tuple(log_probs.ids[segment.utterance] for segment in segments),
    )
    return batch, tuple(segments)


def join_segments(
    transcripts: Sequence[Transcript], segments: Sequence[Segment], frame_seconds: float
) -> list[Transcript]:
    """The inverse for results: one transcript per utterance, words at their true times.

    An utterance of several segments keeps its one best only: scores add.
    """
    pieces: dict[int, list[tuple[Segment, Transcript]]] = {}
    for segment, transcript in zip(segments, transcripts):
        pieces.setdefault(segment.utterance, []).append((segment, transcript))
    return [_join(pieces[index], frame_seconds) for index in sorted(pieces)]


def _join(pieces: Sequence[tuple[Segment, Transcript]], frame_seconds: float) -> Transcript:
    first = pieces[0][1]
    if len(pieces) == 1:
        return first
    words = tuple(
        _moved(word, segment.begin * frame_seconds)
        for segment, transcript in pieces
        for word in transcript.best.words
    )
    phones = [transcript.best.phone for _, transcript in pieces]
    best = Hypothesis(
        words=words,
        score=sum(transcript.best.score for _, transcript in pieces),
        token_ids=tuple(i for _, transcript in pieces for i in transcript.best.token_ids),
        boost=sum(transcript.best.boost for _, transcript in pieces),
        lm=sum(transcript.best.lm for _, transcript in pieces),
        phone=None if None in phones else sum(phone or 0.0 for phone in phones),
    )
    warnings = [transcript.warning for _, transcript in pieces if transcript.warning]
    left_out = tuple(
        _moved(word, segment.begin * frame_seconds)
        for segment, transcript in pieces
        for word in transcript.left_out
    )
    warning = "; ".join(dict.fromkeys(warnings)) or None
    return Transcript(first.id, best, (best,), warning, left_out)


def _moved(word: Word, seconds: float) -> Word:
    return replace(word, start=word.start + seconds, end=word.end + seconds)


def _surest_pause(blank: Tensor, width: int) -> int:
    half = len(blank) // 2
    width = max(1, min(width, len(blank) - half))
    sums = blank[half:].unfold(0, width, 1).sum(dim=1)
    return half + int(sums.argmax()) + width // 2


def _slices(values: Tensor, segments: Sequence[Segment], frames: int) -> Tensor:
    batch = values.new_zeros((len(segments), frames, values.shape[2]))
    for row, segment in enumerate(segments):
        piece = values[segment.utterance, segment.begin : segment.end]
        batch[row, : len(piece)] = piece
    return batch

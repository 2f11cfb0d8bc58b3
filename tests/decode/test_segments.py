"""Cutting at pauses, and putting the pieces together again."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ctcbias_fst.decode.segments import cut_at_pauses, join_segments
from ctcbias_fst.records import Hypothesis, LogProbs, Transcript, Word
from ctcbias_fst.text.vocabulary import Vocabulary, WordBoundary

VOCABULARY = Vocabulary(("<blk>", "\u2581a", "b"), 0, WordBoundary.PREFIX, None)


def batch(lengths: list[int]) -> LogProbs:
    torch.manual_seed(0)
    values = torch.randn(len(lengths), max(lengths), 3).log_softmax(-1)
    return LogProbs(
        log_probs=values,
        lengths=torch.tensor(lengths),
        frame_seconds=0.04,
        ids=tuple(f"u{i}" for i in range(len(lengths))),
        vocabulary=VOCABULARY,
        phone_log_probs=values[:, :, :2],
    )


def test_short_utterances_stay_as_they_are() -> None:
    whole = batch([20, 0, 50])
    cut, segments = cut_at_pauses(whole, longest_seconds=2.0)
    assert cut is whole
    assert [(s.utterance, s.begin, s.end) for s in segments] == [(0, 0, 20), (1, 0, 0), (2, 0, 50)]


def test_long_ones_are_cut_where_the_blank_is_sure() -> None:
    whole = batch([20, 90])
    loud = whole.log_probs.clone()
    loud[1, :, 0] = -5.0
    loud[1, 30:40, 0] = -0.01
    cut, segments = cut_at_pauses(replace(whole, log_probs=loud), longest_seconds=2.0)
    spans = [(s.utterance, s.begin, s.end) for s in segments]
    assert spans[:2] == [(0, 0, 20), (1, 0, 35)]
    assert [begin for _, begin, _ in spans[2:]] == [end for _, _, end in spans[1:-1]]
    assert spans[-1][2] == 90
    assert cut.lengths.tolist() == [end - begin for _, begin, end in spans]
    for row, (utterance, begin, end) in enumerate(spans):
        assert torch.equal(cut.log_probs[row, : end - begin], loud[utterance, begin:end])
        assert cut.phone_log_probs is not None
        assert cut.phone_log_probs.shape[:2] == cut.log_probs.shape[:2]
        assert cut.ids[row] == f"u{utterance}"


@pytest.mark.parametrize("longest", [0.04, 0.1, 0.5, 1.0])
def test_no_segment_is_too_long_or_empty(longest: float) -> None:
    _, segments = cut_at_pauses(batch([70, 33]), longest_seconds=longest)
    most = max(2, round(longest / 0.04))
    assert all(0 < s.end - s.begin <= most for s in segments)
    assert sum(s.end - s.begin for s in segments) == 103


def test_times_shift_and_scores_add() -> None:
    cut, segments = cut_at_pauses(batch([90, 10]), longest_seconds=2.0)
    pieces = []
    for row in range(cut.size):
        best = Hypothesis((Word("a", 0.0, 0.04, 0.5),), -2.0, (1,), boost=0.5)
        pieces.append(Transcript(cut.ids[row], best, (best,), "lost" if row == 0 else None))
    joined = join_segments(pieces, segments, 0.04)
    assert [transcript.id for transcript in joined] == ["u0", "u1"]
    count = len(segments) - 1
    first = joined[0]
    assert [word.start for word in first.best.words] == [0.04 * s.begin for s in segments[:-1]]
    assert (first.best.score, first.best.boost) == (-2.0 * count, 0.5 * count)
    assert first.best.token_ids == (1,) * count
    assert first.warning == "lost"
    assert joined[1] == pieces[-1]

"""Leaving out blank frames keeps what the topology needs, and every score."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from ctcbias_fst.search.boosting import blank_frames, find_candidates
from ctcbias_fst.search.decode_config import DecodeConfig
from ctcbias_fst.search.frames import Frames, without_idle_frames

IDLE, A, B, BOTH = (0.997, 1e-3, 1e-3), (0.1, 0.9, 1e-6), (0.1, 1e-6, 0.9), (0.2, 0.4, 0.4)


def _frames(*utterances: list[tuple[float, ...]]) -> tuple[Frames, torch.Tensor]:
    longest = max(map(len, utterances))
    rows = torch.full((len(utterances), longest, 3), float("nan"))
    for row, frames in enumerate(utterances):
        rows[row, : len(frames)] = torch.tensor(frames).reshape(len(frames), 3)
    log_probs = rows.log()
    lengths = torch.tensor([len(frames) for frames in utterances])
    idle = blank_frames(log_probs, lengths, 0.99)
    is_open = (torch.arange(longest) < lengths[:, None]) & ~idle
    candidates = find_candidates(log_probs, is_open, DecodeConfig(token_beam=5.0))
    return without_idle_frames(candidates, log_probs[:, :, 0], lengths, idle), log_probs


def test_a_run_stays_only_between_equal_tokens() -> None:
    frames, log_probs = _frames([IDLE, A, IDLE, IDLE, A, IDLE, B, IDLE, IDLE])
    assert frames.original.tolist() == [[1, 2, 4, 6]]
    blank = log_probs[0, :, 0].double()
    torch.testing.assert_close(frames.blank[0, 1].double(), blank[2] + blank[3])
    torch.testing.assert_close(frames.skipped_frame_score[0], blank[[0, 5, 7, 8]].sum())


def test_a_token_that_could_be_on_both_sides_counts() -> None:
    assert _frames([A, IDLE, BOTH])[0].original.tolist() == [[0, 1, 2]]
    assert _frames([A, IDLE, B, IDLE, BOTH])[0].original.tolist() == [[0, 2, 3, 4]]
    assert _frames([BOTH, IDLE, BOTH])[0].original.tolist() == [[0, 1, 2]]


def test_candidates_are_renumbered() -> None:
    frames, _ = _frames([IDLE, A, IDLE, A, B], [B])
    found = zip(
        frames.candidates.utterance.tolist(),
        frames.candidates.frame.tolist(),
        frames.candidates.token.tolist(),
    )
    assert list(found) == [(0, 0, 1), (0, 2, 1), (0, 3, 2), (1, 0, 2)]
    assert frames.lengths.tolist() == [4, 1]
    assert frames.candidates.shape == (2, 4, 3)


def test_silence_keeps_one_frame() -> None:
    frames, log_probs = _frames([IDLE] * 4, [A], [])
    assert frames.lengths.tolist() == [1, 1, 1]
    torch.testing.assert_close(frames.blank[0, 0].double(), log_probs[0, :, 0].double().sum())
    assert frames.blank[2, 0] == 0
    assert frames.skipped_frame_score.tolist() == [0, 0, 0]


@given(st.lists(st.lists(st.sampled_from([IDLE, A, B, BOTH]), max_size=8), min_size=1, max_size=3))
def test_the_all_blank_path_keeps_its_score(utterances: list[list[tuple[float, ...]]]) -> None:
    frames, log_probs = _frames(*utterances)
    for row, rows in enumerate(utterances):
        kept = (
            frames.blank[row, : frames.lengths[row]].double().sum()
            + frames.skipped_frame_score[row]
        )
        torch.testing.assert_close(kept, log_probs[row, : len(rows), 0].double().sum())
        length = int(frames.lengths[row])
        original = frames.original[row, :length].tolist()
        assert original == sorted(set(original))
        open_frames = [t for t, frame in enumerate(rows) if frame is not IDLE]
        assert set(open_frames) <= set(original)
        assert length <= max(1, 2 * len(open_frames))

"""Phones in frames of their own beside the log-probs of tokens."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from ctcbias_fst.errors import LogProbsError
from ctcbias_fst.phone_log_probs import PhoneLogProbs
from ctcbias_fst.records import LogProbs
from ctcbias_fst.rescore.phone_frames import check_phones, phone_frames
from ctcbias_fst.search.times import written_frames
from ctcbias_fst.text.phones import PHONES
from ctcbias_fst.text.vocabulary import Vocabulary

VOCABULARY = Vocabulary.from_tokens(("<blk>", "▁a", "b"), blank=0)
COLUMNS = 1 + len(PHONES)


def normal(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(*shape, generator=generator).log_softmax(-1)


def tokens(lengths: list[int], frame_seconds: float = 0.04) -> LogProbs:
    ids = tuple(f"u{i}" for i in range(len(lengths)))
    values = normal(len(lengths), max(lengths), 3)
    return LogProbs(values, torch.tensor(lengths), frame_seconds, ids, VOCABULARY)


def test_an_array_of_the_same_frames_becomes_a_record() -> None:
    values = normal(2, 9, COLUMNS)
    batch = replace(tokens([9, 5]), phones=values.numpy())  # type: ignore[arg-type]
    phones = batch.phones
    assert isinstance(phones, PhoneLogProbs)
    assert torch.equal(phones.log_probs, values)
    assert phones.lengths.tolist() == [9, 5]
    assert phones.frame_seconds == 0.04
    assert repr(phones) == f"<PhoneLogProbs of 2 utterances, 9 frames of 0.04 s, {COLUMNS} phones>"
    frames = phone_frames(batch)
    own = PhoneLogProbs(values, torch.tensor([9, 5]), 0.04)
    same = phone_frames(replace(batch, phones=own))
    for name in ("log_probs", "lengths", "original", "best"):
        assert torch.equal(getattr(frames, name), getattr(same, name))


def test_some_utterances_of_a_batch() -> None:
    phones = PhoneLogProbs(normal(3, 12, 4), [12, 3, 5], 0.02)  # type: ignore[arg-type]
    batch = replace(tokens([6, 2, 3]), phones=phones, unbiased=normal(3, 6, 3))
    some = batch.select([2, 1, 2])
    assert some.ids == ("u2", "u1", "u2")
    assert some.lengths.tolist() == [3, 2, 3]
    assert some.phones is not None and some.unbiased is not None and batch.unbiased is not None
    assert some.phones.lengths.tolist() == [5, 3, 5]
    assert some.phones.frame_seconds == 0.02
    assert some.phones.log_probs.shape == (3, 5, 4) and some.log_probs.shape == (3, 3, 3)
    for row, one in enumerate([2, 1, 2]):
        n, m = int(batch.lengths[one]), int(phones.lengths[one])
        assert torch.equal(some.log_probs[row, :n], batch.log_probs[one, :n])
        assert torch.equal(some.unbiased[row, :n], batch.unbiased[one, :n])
        assert torch.equal(some.phones.log_probs[row, :m], phones.log_probs[one, :m])
    none = batch.select([])
    assert none.phones is not None and none.phones.log_probs.shape == (0, 0, 4)
    assert none.log_probs.shape == (0, 0, 3)


def test_another_device(device: torch.device) -> None:
    batch = replace(tokens([4]), phones=normal(1, 4, 4), unbiased=normal(1, 4, 3))
    moved = batch.to(device)
    assert moved.phones is not None and moved.unbiased is not None
    for tensor in (moved.log_probs, moved.phones.log_probs, moved.unbiased):
        assert tensor.device.type == device.type
    assert moved.phones.lengths.device.type == moved.lengths.device.type == "cpu"


@pytest.mark.parametrize(
    "arguments,message",
    [
        ((normal(4, 3), [4], 0.02), r"must have the shape \(utterances, frames, phones\), found"),
        ((normal(2, 4, 3), [4], 0.02), "^1 phone lengths for 2 utterances"),
        ((normal(1, 4, 3), [5], 0.02), "phone lengths reach from 5 to 5, but the phone log-probs"),
        ((normal(1, 4, 3), [-1], 0.02), "phone lengths reach from -1 to -1"),
        ((normal(1, 4, 3), [4], 0), "phone log-probs: frame_seconds is 0; a frame lasts"),
        ((torch.zeros(1, 4, 3, dtype=torch.int64), [4], 0.02), "must be floating-point numbers"),
        ((normal(1, 4, 3), [4], 0.02, np.nan), "phone log-probs: lag must be a finite number"),
    ],
)
def test_what_is_no_phones_is_refused(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(LogProbsError, match=message):
        PhoneLogProbs(*arguments)  # type: ignore[arg-type]


def test_phones_of_other_utterances_are_refused() -> None:
    phones = PhoneLogProbs(normal(1, 4, 3), torch.tensor([4]), 0.02)
    with pytest.raises(LogProbsError, match="phone log-probs of 1 utterances beside log-probs of"):
        replace(tokens([2, 2]), phones=phones)
    with pytest.raises(LogProbsError, match="or a PhoneLogProbs with lengths and frame_seconds"):
        replace(tokens([2, 2]), phones=normal(2, 4, 3))


@pytest.mark.parametrize("frame,own", [(0.04, 0.04), (0.02, 0.04), (0.08, 0.02), (0.06, 0.01)])
def test_phones_that_do_not_last_as_long_are_refused(frame: float, own: float) -> None:
    frames = round(6 / frame)
    limit = 0.5 + 2 * max(frame, own) + 0.01 * 6

    def beside(seconds: float) -> LogProbs:
        length = round(seconds / own)
        phones = PhoneLogProbs(normal(1, length + 1, COLUMNS), torch.tensor([length]), own)
        return replace(tokens([frames], frame), phones=phones)

    for seconds in (6 - limit + own, 6, 6 + limit - own):
        check_phones(beside(seconds))
    for seconds in (6 - limit - own, 6 + limit + own):
        with pytest.raises(LogProbsError, match=r"utterance u0: its log-probs last 6\.00 s, those"):
            check_phones(beside(seconds))


def test_a_bad_value_is_named_by_the_phones_own_frame() -> None:
    values = normal(2, 30, COLUMNS)
    values[1, 21, 3] = np.nan
    batch = replace(
        tokens([8, 6], 0.08), phones=PhoneLogProbs(values, torch.tensor([30, 21]), 0.02)
    )
    check_phones(batch)  # the frame is padding
    longer = replace(batch, phones=PhoneLogProbs(values, torch.tensor([30, 22]), 0.02))
    with pytest.raises(LogProbsError, match="utterance u1, phone frame 21: the phone log-probs"):
        check_phones(longer)


@pytest.mark.parametrize("lag", [np.float32(0.25), np.int64(1), 1, 0.5, None])
def test_lags(lag: float | None) -> None:
    expected = None if lag is None else float(lag)
    assert PhoneLogProbs(normal(1, 3, 4), torch.tensor([3]), 0.02, lag).lag == expected
    assert replace(tokens([3]), lag=lag).lag == expected


@pytest.mark.parametrize("lag", [True, np.bool_(True), "0.2", np.nan, [0.1]])
def test_bad_lags(lag: object) -> None:
    with pytest.raises(LogProbsError, match="lag must be a finite number of seconds, found"):
        PhoneLogProbs(normal(1, 3, 4), torch.tensor([3]), 0.02, lag)  # type: ignore[arg-type]
    with pytest.raises(LogProbsError, match="^lag must be a finite number"):
        replace(tokens([3]), lag=lag)  # type: ignore[arg-type]


def test_phones_are_moved_only_if_both_lags_are_known() -> None:
    """Where they are cut at pauses, and where they say that something is written."""
    for own, theirs in ((None, 0.08), (0.08, None)):
        values = torch.full((1, 8, 3), -9.0)
        values[:, :, 0] = -0.01
        said = torch.full((1, 8, COLUMNS), -9.0)
        said[0, :, 0], said[0, 4, 5] = -0.01, 0.0
        phones = PhoneLogProbs(said, torch.tensor([8]), 0.04, theirs)
        batch = LogProbs(values, torch.tensor([8]), 0.04, ("u",), VOCABULARY, phones, own)
        assert written_frames(batch) == [[4]]
        assert written_frames(replace(batch, lag=0.0, phones=replace(phones, lag=0.08))) == [[2]]

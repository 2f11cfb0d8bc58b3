"""The frames of a phone head that hypotheses are aligned to.

Of frames that are surely blank only one is kept after each that is not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ctcbias_fst.errors import LogProbsError
from ctcbias_fst.phone_log_probs import PhoneLogProbs
from ctcbias_fst.records import LogProbs
from ctcbias_fst.text.phones import PHONES


@dataclass(frozen=True, eq=False)
class PhoneFrames:
    """The phone head's log-probs at the frames that are aligned.

    Attributes:
        log_probs: float32 (N, T, P), blank in column 0.
        lengths: int64 (N,) on the CPU, at least 1 each.
        original: int64 (N, T), which frame of the phone head each is.
        best: float64 (N,), the sum of each frame's best log-prob.
        ids: names of the utterances.
    """

    log_probs: torch.Tensor
    lengths: torch.Tensor
    original: torch.Tensor
    best: torch.Tensor
    ids: tuple[str, ...]

    def select(self, rows: Sequence[int]) -> PhoneFrames:
        """Those of some utterances, each any number of times."""
        at = torch.tensor(rows, dtype=torch.int64)
        here = at.to(self.log_probs.device)
        return PhoneFrames(
            self.log_probs[here],
            self.lengths[at],
            self.original[here],
            self.best[here],
            tuple([self.ids[row] for row in rows]),
        )


_MAX_SECONDS, _MAX_FRAMES, _MAX_SHARE = 0.5, 2, 0.01
"""By how much tokens and phones of an utterance may differ in length: in seconds, in frames, and as
a share of it, as a frame's length is often rounded; all three together."""


def check_phones(log_probs: LogProbs) -> None:
    """Refuse what cannot be aligned.

    Raises:
        LogProbsError: there are no phones, or others than
            :data:`ctcbias_fst.text.phones.PHONES`; NaN or +inf; phones and tokens of an utterance
            do not last as long.
    """
    phones = check_phone_values(log_probs)
    frame, own = log_probs.frame_seconds, phones.frame_seconds
    seconds, heard = log_probs.lengths * frame, phones.lengths * own
    limit = _MAX_SECONDS + _MAX_FRAMES * max(frame, own) + _MAX_SHARE * seconds
    far = ((seconds - heard).abs() > limit).nonzero().flatten().tolist()
    if far:
        row = far[0]
        raise LogProbsError(
            f"utterance {log_probs.ids[row]}: its log-probs last {float(seconds[row]):.2f} s, "
            f"those of its phones {float(heard[row]):.2f} s ({int(phones.lengths[row])} frames of "
            f"{own:g} s): pass those of the same audio, and the frame_seconds of each"
        )


def check_phone_values(log_probs: LogProbs) -> PhoneLogProbs:
    """The phones, if they are ours and have values, however long they last.

    Raises:
        LogProbsError: there are none, or others than :data:`ctcbias_fst.text.phones.PHONES`; NaN
            or +inf.
    """
    phones = log_probs.phones
    if phones is None or phones.log_probs.shape[-1] != 1 + len(PHONES):
        found = "none" if phones is None else f"{phones.log_probs.shape[-1]} columns"
        raise LogProbsError(
            f"aligning phones needs log-probs of a blank and {len(PHONES)} phones, found {found}: "
            "leave out the parts rescore and lookup for this model"
        )
    values = phones.log_probs
    good = (values < torch.inf).all(dim=-1) & (values.amax(dim=-1) > -torch.inf)
    inside = torch.arange(values.shape[1])[None] < phones.lengths[:, None]
    bad = (~good & inside.to(good.device)).nonzero()
    if len(bad):
        row, frame = bad[0].tolist()
        raise LogProbsError(
            f"utterance {log_probs.ids[row]}, phone frame {frame}: the phone log-probs have NaN or "
            "inf; check the audio and the model that made them"
        )
    return phones


def phone_frames(log_probs: LogProbs, blank_threshold: float = 1.0) -> PhoneFrames:
    """Take what is to be aligned out of a batch.

    A run of surely blank frames becomes one frame, at which only blank may be taken, at the
    score of the run. An utterance without frames gets a frame of blank.

    Args:
        log_probs: with phones that :func:`check_phones` finds right.
        blank_threshold: a probability; 1 or more if no frame is left out.
    """
    heard = log_probs.phones
    assert heard is not None
    phones = heard.log_probs
    size, longest = phones.shape[:2]
    lengths = heard.lengths.to(phones.device)
    inside = torch.arange(longest, device=phones.device) < lengths[:, None]
    idle = torch.zeros_like(inside)
    if blank_threshold < 1:
        idle = inside & (phones[:, :, 0] > math.log(blank_threshold))
    kept = inside.clone()
    kept[:, 1:] &= ~(idle[:, 1:] & idle[:, :-1])
    number = kept.long().cumsum(1) - 1
    count = kept.sum(dim=1).clamp(min=1)
    compact = phones.new_full((size, int(count.max()), phones.shape[2]), -torch.inf)
    compact[:, 0, 0] = 0.0
    original = torch.zeros(compact.shape[:2], dtype=torch.int64, device=phones.device)
    row, frame = kept.nonzero(as_tuple=True)
    at = (row, number[row, frame])
    values = phones[row, frame]
    values[:, 1:] = values[:, 1:].masked_fill(idle[row, frame][:, None], -torch.inf)
    compact[at] = values
    original[at] = frame
    # What was left out is blank on every path: its frame's one stands for the run.
    row, frame = (inside & ~kept).nonzero(as_tuple=True)
    compact[:, :, 0].index_put_((row, number[row, frame]), phones[row, frame, 0], accumulate=True)
    top = compact.amax(dim=-1).double()
    used = torch.arange(compact.shape[1], device=phones.device) < count[:, None]
    return PhoneFrames(
        log_probs=compact,
        lengths=count.cpu(),
        original=original,
        best=torch.where(used, top, torch.zeros_like(top)).sum(dim=1),
        ids=log_probs.ids,
    )

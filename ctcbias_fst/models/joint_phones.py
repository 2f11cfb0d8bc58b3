"""Two phone listeners as one."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from ctcbias_fst.audio.audio import Recording, resampled
from ctcbias_fst.errors import ConfigError
from ctcbias_fst.models.plug import PhoneListener
from ctcbias_fst.phone_log_probs import PhoneLogProbs, seconds_later
from ctcbias_fst.text.text_files import quoted


class JointPhones:
    """Two listeners as one, whose probabilities are mixed; a
    :class:`ctcbias_fst.models.plug.PhoneListener`.

    The mixture is linear, in frames of the first: what either hears is heard, also where they write
    it in different frames, which a product of the two would not allow. For each of these frames the
    second has that of its own whose middle is in it (of several, the one that is least likely
    blank), or in which its middle is. The second is moved if it is known how late either writes
    phones (``lag``).

    Args:
        first: whose frames, rate and lag are those of both.
        second: the other.
        weight: of the second, in 0..1.

    Raises:
        ConfigError: the weight is out of this range.
    """

    def __init__(self, first: PhoneListener, second: PhoneListener, weight: float = 0.5) -> None:
        for place, one in (("first", first), ("second", second)):
            if getattr(one, "phone_log_probs", None) is None:
                raise ConfigError(
                    f"{place} must be a phone listener, found {quoted(one)}: phone_listener of "
                    "ctcbias_fst.models.phone_listener makes one"
                )
        self.first, self.second, self.weight = first, second, _checked_weight(weight)
        self.family = f"{first.family} and {second.family}"
        self.sampling_rate, self.frame_seconds = first.sampling_rate, first.frame_seconds

    def __repr__(self) -> str:
        return f"<{self.first!r} and, by {self.weight:g}, {self.second!r}>"

    @torch.inference_mode()
    def phone_log_probs(self, recordings: Sequence[Recording]) -> PhoneLogProbs:
        """See :meth:`ctcbias_fst.models.plug.PhoneListener.phone_log_probs`."""
        one = self.first.phone_log_probs(recordings)
        at_rate = [resampled(recording, self.second.sampling_rate) for recording in recordings]
        other = self.second.phone_log_probs(at_rate).to(one.log_probs.device)
        return mixed(one, other, self.weight)


def _checked_weight(weight: Any) -> float:
    if isinstance(weight, bool) or not isinstance(weight, Real) or not 0 < float(weight) < 1:
        raise ConfigError(f"weight must be above 0 and below 1, found {quoted(weight)}")
    return float(weight)


def mixed(one: PhoneLogProbs, other: PhoneLogProbs, weight: float) -> PhoneLogProbs:
    """The linear mixture of two, in frames of the first; see `JointPhones`.

    Args:
        weight: of the second.
    """
    values = one.log_probs.clone()
    shares = torch.tensor([1.0 - weight, weight], device=values.device).log()
    ratio = one.frame_seconds / other.frame_seconds
    later = seconds_later(other.lag, one.lag)
    for row, (frames, others) in enumerate(zip(one.lengths.tolist(), other.lengths.tolist())):
        heard = other.log_probs[row, :others]
        if not frames or not others:
            continue
        at = _frames_of(heard[:, 0], frames, ratio, later / other.frame_seconds)
        # Where the second has no frame it has no say.
        both = torch.logaddexp(values[row, :frames] + shares[0], heard[at.clamp(min=0)] + shares[1])
        values[row, :frames] = torch.where((at >= 0)[:, None], both, values[row, :frames])
    return PhoneLogProbs(values, one.lengths, one.frame_seconds, one.lag)


def _frames_of(blank: Tensor, frames: int, ratio: float, later: float) -> Tensor:
    """For each of so many frames the number of another listener's frame, -1 where it has none.

    Args:
        blank: log-probs of the blank in the other's frames.
        ratio: how long a frame is, in frames of the other.
        later: by how many of its frames the other writes later.
    """
    number = torch.arange(frames, dtype=torch.float64)
    middle = ((number + 0.5) * ratio + later).floor().long()
    found = torch.where((middle >= 0) & (middle < len(blank)), middle, -1)
    # Its own middles, those that are least likely blank last, so that they stay.
    for i in blank.cpu().sort(descending=True, stable=True).indices.tolist():
        at = int((i + 0.5 - later) // ratio)
        if 0 <= at < frames:
            found[at] = i
    return found.to(blank.device)

"""What an encoder says of a batch, as far as a contextual adapter and its training need it."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from torch import Tensor

Output = TypeVar("Output", bound="EncoderOutput")


@dataclass(frozen=True)
class EncoderOutput:
    """What an encoder says of a batch.

    Attributes:
        log_probs: subword log-probs of the last layer, ``(batch, frame, token)``, float32; the
            blank is token 0.
        lengths: frames of every utterance, ``(batch,)`` int64 on the CPU.
        states: what the head reads, ``(batch, frame, width)``.
        tap_states: the output of layers below it, likewise.
    """

    log_probs: Tensor
    lengths: Tensor
    states: Tensor
    tap_states: tuple[Tensor, ...]

    def select(self: Output, which: list[int]) -> Output:
        """Some utterances of the batch; padding is kept."""
        if which == list(range(len(self.states))):
            return self

        def taken(value: Any) -> Any:
            return tuple(map(taken, value)) if isinstance(value, tuple) else value[which]

        return replace(self, **{one.name: taken(getattr(self, one.name)) for one in fields(self)})

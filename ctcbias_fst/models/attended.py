"""Where a contextual adapter looked in a recording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ctcbias_fst.audio.audio import Recording
from ctcbias_fst.errors import AudioError

MOST_SECONDS = 32.0
"""Of a recording that is looked at so."""


@dataclass(frozen=True)
class Attended:
    """Where the adapter looked.

    Attributes:
        log_mel: ``(frame of 10 ms, mel)``.
        frame_seconds: of the frames below.
        names: ``(name,)`` int64: positions in the list of those that were attended to.
        weights: ``(frame, name)``: the attention on each name, all its subwords together.
        none: ``(frame,)``: the attention on no-bias; with ``weights`` it sums to one.
    """

    log_mel: Tensor
    frame_seconds: float
    names: Tensor
    weights: Tensor
    none: Tensor


class Glance(NamedTuple):
    """Where the adapter looked in some frames.

    Attributes:
        begin: the first frame.
        attention: ``(frame, 1 + row)``; column 0 is no-bias.
        entities: ``(row,)`` int64: the position in the list of each row's name.
    """

    begin: int
    attention: Tensor
    entities: Tensor


def check_length(recording: Recording) -> None:
    """Refuse a recording that is too long to be looked at.

    Raises:
        AudioError: it is.
    """
    if recording.seconds > MOST_SECONDS:
        raise AudioError(
            f"{recording.id}: {recording.seconds:.1f} s are too long for a picture: choose "
            f"at most {MOST_SECONDS:.0f} s"
        )


def gathered(
    glances: Sequence[Glance], frames: int, log_mel: Tensor, frame_seconds: float
) -> Attended:
    """Put together what was seen of the pieces of a recording.

    Args:
        glances: of the pieces; where several are of the same frame, the last one counts, and
            where none is, no name is looked at.
        frames: of the recording.
        log_mel, frame_seconds: see `Attended`.
    """
    none = torch.zeros((0,), dtype=torch.int64, device=log_mel.device)
    names = torch.unique(torch.cat([none, *(one.entities for one in glances)]))
    weights = torch.zeros((frames, 1 + len(names)), device=log_mel.device)
    weights[:, 0] = 1.0
    for begin, attention, entities in glances:
        columns = 1 + torch.searchsorted(names, entities)
        seen = weights[begin : begin + len(attention)]
        seen[:] = 0.0
        seen[:, 0] = attention[: len(seen), 0]
        seen.index_add_(1, columns, attention[: len(seen), 1:])
    return Attended(log_mel, frame_seconds, names, weights[:, 1:], weights[:, 0])

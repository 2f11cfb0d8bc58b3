"""Whole recordings through a model that keeps states: step by step, as their streams would go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from ctcbias_fst.audio.samples import Samples
from ctcbias_fst.models.plug import Step, Steps

_AT_ONCE = 32
"""Streams that take a step together."""


def stepped(steps: Steps, waves: Sequence[Samples], columns: int) -> list[Tensor]:
    """Score whole waves, those that have not ended together.

    Args:
        steps: of the model.
        waves: at its rate.
        columns: tokens.

    Returns:
        of each, ``(frame, token)``.
    """
    counts = [steps.count(len(wave)) for wave in waves]
    parts: list[list[Tensor]] = [[torch.zeros(0, columns)] for _ in waves]
    for batch in groups(range(len(waves))):
        number, states = 0, {i: None for i in batch if counts[i]}
        while states:
            going = list(states)
            todo = [step_of(steps, waves[i], number)._replace(states=states[i]) for i in going]
            for i, found in zip(going, steps.score(todo)):
                parts[i].append(found.scores)
                states[i] = found.states
            number += 1
            first = steps.frames(number)[0]
            states = {i: kept for i, kept in states.items() if first < counts[i]}
    return [torch.cat(part)[:count] for part, count in zip(parts, counts)]


def groups(rows: Sequence[int]) -> Iterator[list[int]]:
    """Those that take a step together."""
    for begin in range(0, len(rows), _AT_ONCE):
        yield list(rows[begin : begin + _AT_ONCE])


def step_of(steps: Steps, wave: Samples, number: int, begin: int = 0) -> Step:
    """A step of a wave, with silence where that has ended.

    Args:
        steps: of the model.
        wave: of a stream, from sample ``begin`` on.
        number: of the step.
    """
    first, last = steps.samples(number)
    found = wave[max(0, first - begin) : max(0, last - begin)]
    return Step(number, np.pad(found, (0, last - first - len(found))), len(found))

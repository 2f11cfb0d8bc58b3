"""How long a model's frames are, by how many it gives of noise; and what is wrong if there are not
as many as that."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from torch import Tensor

from ctcbias_fst.audio.audio import Samples
from ctcbias_fst.errors import CtcbiasError, ModelError, cause_of
from ctcbias_fst.models.plug import Scorer

_PROBE_SECONDS = 4.0
"""Of noise, at most; a quarter of it is the least. More of a model that needs more."""

_ROUNDED_SAMPLES = 2

FRAME_SECONDS_REMEDY = "pass frame_seconds"
"""Of functions, whose frames cannot be measured."""


def measured_frame_seconds(
    scores: Callable[[Sequence[Samples]], list[Tensor]],
    rate: int,
    shortest_seconds: float = 0.1,
    longest_seconds: float = math.inf,
    remedy: str = FRAME_SECONDS_REMEDY,
) -> float:
    """How long a model's frames are.

    Two lengths of audio are looked for at which a frame more comes out, far from each other: what
    is between them is a whole number of frames, to the sample, whatever is lost at the ends.

    Args:
        scores: of a `Scorer`; called some 25 times.
        rate: its sampling rate.
        shortest_seconds, longest_seconds: see :class:`ctcbias_fst.models.plug.Scorer`.
        remedy: how to say it, where it cannot be measured.

    Raises:
        ModelError: it gives as many of more audio.
    """
    most = int(min(_PROBE_SECONDS * max(1.0, shortest_seconds), longest_seconds) * rate)
    least = min(most, max(math.ceil(shortest_seconds * rate), most // 4))
    noise = np.random.default_rng(0).normal(0.0, 0.01, most).astype(np.float32)

    @cache
    def frames(samples: int) -> int:
        try:
            return len(scores([noise[:samples].copy()])[0])
        except CtcbiasError:
            raise
        except Exception as error:  # whatever somebody's model raises
            raise ModelError(
                f"the model failed on {samples / rate:g} s of noise, on which its frames are "
                f"counted: {cause_of(error)}; {remedy} if only noise is the matter"
            ) from error

    few, many = frames(least), frames(most)
    begin = end = 0
    if many > few:
        near = math.ceil(1.5 * (most - least) / (many - few))  # one frame is in it, at least
        begin = _first(frames, few + 1, (least, min(most, least + near)), (least, most))
        end = _first(frames, many, (max(least, most - near), most), (least, most))
    if few == many > 0:
        own = remedy == FRAME_SECONDS_REMEDY
        raise ModelError(
            f"the model gave {few} frames for {least / rate:g} s of audio and as many for "
            f"{most / rate:g} s: {_padding(own)}"
        )
    if begin == end:
        raise ModelError(
            f"the model gave {few} frames for {least / rate:g} s and {many} for {most / rate:g} s "
            "of audio: it must give log-probs (frames, tokens) of what it is given; if it does, "
            f"{remedy}"
        )
    hop = (end - begin) / (many - frames(begin))
    # Where a model has its audio resampled, the ends of its frames are rounded.
    whole = abs(hop - round(hop)) * (many - few) < _ROUNDED_SAMPLES
    return (round(hop) if whole else hop) / rate


def wrong_frames(scorer: Scorer, frames: int, seconds: float, *, far: bool) -> str:
    """What is wrong with so many frames for so much audio, and what to do.

    Args:
        scorer: gave them; it is given noise to find out.
        far: whether they stand for other audio than that, and not only for a little less than is
            taken of each window.
    """
    if not far:
        return (
            ": it leaves out too much of windows that are so short: pass a longer longest_seconds"
        )
    if not frames:
        return ": log-probs (frames, tokens) of all of it are wanted"
    if (shorter := _pads(scorer, frames, seconds)) is not None:
        return f", and as many for {shorter:.2f} s: {_padding(scorer.is_function)}"
    if _stops(scorer, frames, seconds):
        taken = frames * scorer.frame_seconds
        remedy = f"pass longest_seconds={taken:.4g}, or less"
        if not scorer.is_function:
            remedy = (
                "export it for audio of any length, or call it by a function (docs/your-model.md)"
            )
        return f", those of {taken:.2f} s, and takes no more at once: {remedy}"
    each = seconds / frames
    remedy = f"pass {each:.4g}, or nothing, so that it is measured"
    if not scorer.is_function:
        remedy = "correct its files (of ONNX the subsampling_factor, in a config.json beside it)"
    return f", {each:.4g} s each, and frame_seconds is {scorer.frame_seconds:.4g}: {remedy}"


def _padding(own: bool) -> str:
    """What a model does that gives as many frames of all audio, and what to do; ``own`` for a
    function of the user's."""
    if own:
        return "your function pads: cut its output to the length of the audio"
    return (
        "it pads: export it for audio of any length, or call it by a function that cuts its output "
        "to the length of the audio (docs/your-model.md)"
    )


def _pads(scorer: Scorer, frames: int, seconds: float) -> float | None:
    """How many seconds of audio, half as many or less, get as many frames; None if they do not."""
    half = min(seconds, frames * scorer.frame_seconds) / 2
    length = max(_samples(scorer, scorer.shortest_seconds), _samples(scorer, half))
    shorter = length / scorer.sampling_rate
    return shorter if shorter < 0.9 * seconds and _of_noise(scorer, length) == frames else None


def _samples(scorer: Scorer, seconds: float) -> int:
    return round(seconds * scorer.sampling_rate)


def _of_noise(scorer: Scorer, length: int) -> int | None:
    """How many frames so many samples of noise have; None if the model fails on it."""
    noise = np.random.default_rng(0).normal(0.0, 0.01, length).astype(np.float32)
    try:
        return len(scorer.scores([noise])[0])
    except Exception:  # whatever somebody's model raises: noise tells nothing then
        return None


def _stops(scorer: Scorer, frames: int, seconds: float) -> bool:
    """Whether frames are missing because the model takes so much audio at once and no more: of
    half of what it seems to take it would give as many as there should be."""
    taken = frames * scorer.frame_seconds
    if taken >= seconds:
        return False
    rate = scorer.sampling_rate
    length = max(_samples(scorer, scorer.shortest_seconds), _samples(scorer, taken / 2))
    found = _of_noise(scorer, length)
    if found is None:
        return False
    right, as_before = length / rate / scorer.frame_seconds, length / rate * frames / seconds
    return abs(found - right) < abs(found - as_before)


def _first(
    frames: Callable[[int], int], count: int, between: tuple[int, int], bounds: tuple[int, int]
) -> int:
    """The fewest samples within bounds that make so many frames.

    Args:
        between: where they are likely to be.
        bounds: what makes fewer, and what makes as many.
    """
    low, high = between
    if frames(low) >= count:
        low = bounds[0]
    if frames(high) < count:
        high = bounds[1]
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if frames(middle) >= count else (middle, high)
    return high

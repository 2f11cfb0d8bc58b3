"""Whose a failure is, in a job of many recordings: the recording's, or the model's."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ctcbias_fst.audio.audio import Recording
from ctcbias_fst.errors import CtcbiasError, ModelError, cause_of
from ctcbias_fst.models.plug import SpeechModel
from ctcbias_fst.records import LogProbs
from ctcbias_fst.search.boosting import check_log_probs

_FIRST = 3
"""Recordings that a model must fail on, before any has worked."""

_NOISE_SECONDS = (1.0, 10.0)


class FirstFailures:
    """Tells a recording that cannot be scored, which costs no other, from a model that scores none.

    A job is stopped where the first three recordings fail that are handed to the model, and noise
    of a second and of ten does, too.

    Args:
        fails: whether the model fails on noise; asked once at most. None where nothing can be
            asked, as of saved log-probs: the third error is raised then.
        worked: whether a recording has worked before.
    """

    def __init__(self, fails: Callable[[], bool] | None, worked: bool = False) -> None:
        self._fails, self._worked, self._count = fails, worked, 0

    def passed(self) -> None:
        """A recording has worked: whatever fails from now on is of its recording."""
        self._worked = True

    def add(self, error: Exception) -> None:
        """Count a recording that failed by itself.

        Raises:
            ModelError: the model fails on everything.
            Exception: the error itself, where there is no model.
        """
        self._count += 1
        if self._worked or self._count < _FIRST:
            return
        if self._fails is None:
            raise error
        if self._fails():
            said = str(error) if isinstance(error, CtcbiasError) else cause_of(error)
            raise ModelError(
                f"{said}; the model failed on the first {_FIRST} recordings and on noise, so no "
                "more are tried"
            ) from error
        self._worked = True


def first_failures(
    log_probs: Callable[[Sequence[Recording]], LogProbs], model: SpeechModel, worked: bool = False
) -> FirstFailures:
    """What tells a model that fails on everything, for one job.

    Args:
        log_probs: scores recordings; of ``model``, with all that is scored with it.
        model: whose log-probs these are.
        worked: see `FirstFailures`.
    """

    def fails(seconds: float) -> bool:
        size = round(seconds * model.sampling_rate)
        wave = np.random.default_rng(0).normal(0.0, 0.01, size).astype(np.float32)
        try:
            found = log_probs([Recording("noise", wave, model.sampling_rate)])
            check_log_probs(found, model.tokenizer.vocabulary)
        except Exception:  # whatever somebody's model raises
            return True
        return False

    return FirstFailures(lambda: all(map(fails, _NOISE_SECONDS)), worked)

"""Windows of recordings through a scorer: in batches, with a look at what came out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ctcbias_fst.audio.audio import Recording, Samples
from ctcbias_fst.errors import (
    AudioError,
    CtcbiasError,
    LogProbsError,
    ModelError,
    cause_of,
    warn_caller,
)
from ctcbias_fst.models.adapted import AdaptedModel
from ctcbias_fst.models.attended import Glance
from ctcbias_fst.models.frame_length import wrong_frames
from ctcbias_fst.models.listed import ListedNames
from ctcbias_fst.models.model_config import AttentionConfig
from ctcbias_fst.models.outcomes import BATCH_SECONDS, batches, of_each
from ctcbias_fst.models.plug import Scorer
from ctcbias_fst.models.windows import Window

_SLACK_SECONDS = 0.25
_SLACK_FRAMES = 3
"""By how much the frames of a window may differ from its audio, however long that is: convolutions
lose some at the ends, and padding adds some."""

_KINDS = (AudioError, LogProbsError, ModelError, CtcbiasError)
"""Of errors of a recording."""


class WindowScores(NamedTuple):
    """Log-probs ``(frame, token)`` with the adapter, and without it; where it looked, if asked."""

    biased: Tensor
    plain: Tensor
    glance: Glance | None = None


class Biasing(NamedTuple):
    """What the adapter is given: the list of each recording, or None, and how far it is trusted;
    and what fills with where it looks, if that is asked for."""

    lists: Sequence[ListedNames | None]
    config: AttentionConfig
    glances: list[Glance] | None = None


class ScoredWindows:
    """Scores windows with a scorer.

    Args:
        scorer: of the model.
        adapted: the same with its adapter, if it has one.
        columns: tokens.
        biasing: what the adapter is given, if it acts.
        raises: whether the first error is raised, and no more is scored.
    """

    def __init__(
        self,
        scorer: Scorer,
        adapted: AdaptedModel | None,
        columns: int,
        biasing: Biasing | None,
        *,
        raises: bool,
    ) -> None:
        self.scorer, self.adapted, self._columns = scorer, adapted, columns
        self.biasing, self._raises = biasing, raises
        self._remarks: dict[tuple[int, float], str] = {}
        self.family, self.device = scorer.family, scorer.device
        self.sampling_rate, self.frame_seconds = scorer.sampling_rate, scorer.frame_seconds

    def scores(
        self, recordings: Sequence[Recording], windows: Sequence[Window]
    ) -> list[WindowScores | CtcbiasError]:
        """The scores of windows, of each the frames that count, similar lengths together; or why
        there are none.

        Raises:
            CtcbiasError: the first of the reasons, if it is to be raised.
        """
        done: dict[int, WindowScores | CtcbiasError] = {}
        most = BATCH_SECONDS * self.sampling_rate if self.scorer.batches else 0.0
        for batch in batches([one.end - one.begin for one in windows], most):
            done.update(zip(batch, self._at_once(recordings, [windows[i] for i in batch])))
        return [
            self._taken(recordings[window.recording].id, window, done[i])
            for i, window in enumerate(windows)
        ]

    def _failed(self, error: CtcbiasError) -> CtcbiasError:
        """An error that is to be told, if not raised."""
        if self._raises:
            raise error
        return error

    def _at_once(
        self, recordings: Sequence[Recording], windows: Sequence[Window]
    ) -> list[WindowScores | CtcbiasError]:
        """The scores of a batch; of each alone, if something goes wrong with all together."""
        failed: list[Exception] = []

        def score(some: Sequence[Window]) -> list[WindowScores | CtcbiasError]:
            waves = [self._wave(recordings[one.recording], one) for one in some]
            names = [recordings[one.recording].id for one in some]
            try:
                return self._both(names, waves, some)
            except Exception as error:  # whatever somebody's model raises
                failed.append(error)
                raise

        def why(window: Window, error: Exception) -> CtcbiasError:
            found = self._of_one(recordings[window.recording].id, window, error)
            found.__cause__ = error
            return self._failed(found)

        found = of_each(score, windows, why)
        good = not any(isinstance(one, CtcbiasError) for one in found)
        if failed and good:
            warn_caller(
                f"{self.family}: failed on {len(windows)} recordings at once, and on none alone: "
                f"{cause_of(failed[0])}"
            )
        return found

    def _of_one(self, name: str, window: Window, error: Exception) -> CtcbiasError:
        """What a window failed by, with the name of its recording."""
        place = f"{name}{self._place(window)}"
        if not isinstance(error, CtcbiasError):
            return AudioError(f"{place}: {self.family} failed: {cause_of(error)}")
        kind = next(one for one in _KINDS if isinstance(error, one))
        return kind(str(error) if str(error).startswith(f"{name}:") else f"{place}: {error}")

    def _both(
        self,
        names: Sequence[str],
        waves: Sequence[Samples],
        windows: Sequence[Window],
    ) -> list[WindowScores | CtcbiasError]:
        """The scores of windows, with the adapter and without it."""
        biasing = self.biasing
        lists = [biasing.lists[one.recording] for one in windows] if biasing else []
        if self.adapted is None or biasing is None or not any(one is not None for one in lists):
            scores = self._checked(names, self.scorer.scores(waves))
            return [
                one if isinstance(one, CtcbiasError) else WindowScores(one, one) for one in scores
            ]
        found = self.adapted.scores(waves, lists, biasing.config)
        plain = self._checked(names, [one.plain for one in found])
        asked = biasing.glances is not None
        return [
            own
            if isinstance(own, CtcbiasError)
            else WindowScores(one.biased, own, one.glance if asked else None)
            for own, one in zip(plain, found)
        ]

    def _taken(
        self, name: str, window: Window, scores: WindowScores | CtcbiasError
    ) -> WindowScores | CtcbiasError:
        """Of the scores of a window those that count."""
        biasing = self.biasing
        if isinstance(scores, CtcbiasError):
            return self._failed(scores)
        wrong = self._wrong_frames(name, window, len(scores.plain))
        if wrong is not None:
            return self._failed(wrong)
        taken = slice(window.first - window.offset, self._last(window))
        if biasing and biasing.glances is not None and scores.glance is not None:
            seen = scores.glance.attention[taken]
            biasing.glances.append(scores.glance._replace(begin=window.first, attention=seen))
        return WindowScores(scores.biased[taken], scores.plain[taken])

    def _last(self, window: Window) -> int | None:
        """Of the rows of a window's scores that are taken, where they end."""
        if window.last is not None:
            return window.last - window.offset
        samples = window.end - window.begin
        if samples >= self._least:
            return None
        return math.ceil(round(samples / (self.frame_seconds * self.sampling_rate), 3))

    @property
    def _least(self) -> int:
        """Samples that the model is given at least, with silence behind those of a recording."""
        return round(self.scorer.shortest_seconds * self.sampling_rate)

    def _place(self, window: Window) -> str:
        """Where a window begins, for messages."""
        begin = window.begin / self.sampling_rate
        return f" from {begin:.2f} s on" if begin else ""

    def _wave(self, recording: Recording, window: Window) -> Samples:
        """The samples of a window, with silence behind them where there are too few."""
        wave = np.asarray(recording.samples[window.begin : window.end], dtype=np.float32)
        return np.pad(wave, (0, max(0, self._least - len(wave))))

    def _checked(
        self, names: Sequence[str], scores: Sequence[Tensor]
    ) -> list[Tensor | CtcbiasError]:
        if len(scores) != len(names):
            raise ModelError(
                f"{self.family}: gave scores of {len(scores)} recordings for {len(names)}"
            )
        columns = self._columns
        return [
            one.detach().to(self.device, torch.float32)
            if one.ndim == 2 and one.shape[1] == columns
            else ModelError(
                f"{name}: the model gave scores of the shape {tuple(one.shape)}; (frames, "
                f"{columns} tokens) is wanted: use the tokens of this model"
            )
            for name, one in zip(names, scores)
        ]

    def _wrong_frames(self, name: str, window: Window, frames: int) -> ModelError | None:
        """Of a frame length that the audio contradicts, and of a model that leaves audio out: times
        would be wrong, and prices."""
        seconds = max(window.end - window.begin, self._least) / self.sampling_rate
        slack = _SLACK_SECONDS + _SLACK_FRAMES * self.frame_seconds
        far = abs(frames * self.frame_seconds - seconds) > slack
        taken = 0 if window.last is None else window.last - window.offset
        if far or frames < taken:
            key = (frames, seconds)
            if key not in self._remarks:  # finding out what is wrong takes a while
                self._remarks[key] = wrong_frames(self.scorer, frames, seconds, far=far)
            return ModelError(
                f"{name}: the model gave {frames} frames for {seconds:.2f} s of audio"
                f"{self._place(window)}{self._remarks[key]}"
            )
        return None

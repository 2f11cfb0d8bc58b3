"""ONNX models that keep states: a window of features and the states go in, scores and the next
states come out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from ctcbias_fst.audio.samples import Samples
from ctcbias_fst.errors import ModelError
from ctcbias_fst.models.onnx_features import StreamFeatures, normalised
from ctcbias_fst.models.onnx_scores import kind_of, log_probs_of
from ctcbias_fst.models.onnx_session import Array, Session
from ctcbias_fst.models.plug import Step, Stepped
from ctcbias_fst.models.stepping import step_of

_SAME = 1e-3
"""Log-probs that differ by less are the same."""

_PROBED_STEPS = 3


class State(NamedTuple):
    """A state of a model.

    Attributes:
        input, output: their names.
        shape: of one stream.
        axis: along which streams lie side by side; None if there can be one only.
    """

    input: str
    output: str
    shape: tuple[int, ...]
    axis: int | None


@dataclass(frozen=True)
class StepPlan:
    """How an ONNX model is stepped through a stream.

    Attributes:
        audio: the input for features.
        window: feature frames that it takes at once.
        shift: by which windows follow each other.
        states: what it passes on.
        before: feature frames, all 0, before the first one of a stream.
        factor: feature frames for each row of its scores; None if as many rows as come tell.
        features_first: whether it wants ``(1, feature, frame)``, not ``(1, frame, feature)``.
        normalise: whether the features of each window are normalised by themselves.
        lengths: the input for the length of each window, if there is one.
        more: further inputs of a step, by its number; then streams cannot be scored together.
        skipped_seconds: what its scores begin before the audio.
        late_seconds: what is scored behind the end of a stream, as tokens are written late.
    """

    audio: str
    window: int
    shift: int
    states: tuple[State, ...]
    before: int = 0
    factor: int | None = None
    features_first: bool = False
    normalise: bool = False
    lengths: str | None = None
    more: Callable[[int], Mapping[str, npt.NDArray[Any]]] | None = None
    skipped_seconds: float = 0.0
    late_seconds: float = 0.24


class OnnxSteps:
    """A model as :class:`ctcbias_fst.models.plug.Steps`.

    Args:
        session: the model.
        features: what it is given.
        rate: of the samples.
        plan: how it is stepped.

    Attributes:
        seconds, phones, lag: see :class:`ctcbias_fst.models.plug.Steps`.
        columns: tokens that it scores.
        frame_seconds: how long a row of its scores is.
        batches: whether it scores streams together as it scores each alone.

    Raises:
        ModelError: it cannot be run so, or gives nothing that can be scores.
    """

    phones, lag = 0, None

    def __init__(
        self, session: Session, features: StreamFeatures, rate: int, plan: StepPlan
    ) -> None:
        self.session, self.plan = session, plan
        self._features, self._rate = features, rate
        self.seconds = plan.shift * features.hop / rate
        size = (_PROBED_STEPS * plan.shift + plan.window) * features.hop + rate
        noise = np.random.default_rng(0).normal(0.0, 0.01, (2, size)).astype(np.float32)
        rows = self._run([step_of(self, noise[0], 0)])[0][0]
        self._rows = self._rows_of_a_step(len(rows))
        self._kind, self.columns = kind_of(rows, session.path), rows.shape[1]
        self.frame_seconds = self.seconds / self._rows
        self._skipped = round(plan.skipped_seconds / self.frame_seconds)
        self._late = round(plan.late_seconds / self.frame_seconds)
        self.batches = self._can_batch() and self._is_same(list(noise))

    @property
    def latest_seconds(self) -> float:
        """See :class:`ctcbias_fst.models.plug.Steps`."""
        inside = 1 + self._skipped
        first = self.frames(inside)[0] * self.frame_seconds
        return self.samples(inside)[1] / self._rate - first

    def samples(self, number: int) -> tuple[int, int]:
        """See :class:`ctcbias_fst.models.plug.Steps`."""
        first, last = self._window(number)
        return self._features.span(first, last) if last else (0, 0)

    def frames(self, number: int) -> tuple[int, int]:
        """See :class:`ctcbias_fst.models.plug.Steps`."""
        first = number * self._rows - self._skipped
        return max(0, first), max(0, first + self._rows)

    def count(self, samples: int) -> int:
        """See :class:`ctcbias_fst.models.plug.Steps`."""
        if not samples:
            return 0
        return math.ceil(round(samples / (self.frame_seconds * self._rate), 6)) + self._late

    def score(self, steps: Sequence[Step]) -> list[Stepped]:
        """See :class:`ctcbias_fst.models.plug.Steps`."""
        batches = [steps] if self.batches else [[step] for step in steps]
        found = [one for batch in batches for one in self._run(batch)]
        return [self._stepped(step, *one) for step, one in zip(steps, found)]

    def _stepped(self, step: Step, rows: Array, states: Any) -> Stepped:
        first, last = self.frames(step.number)
        if len(rows) < self._rows:
            raise ModelError(
                f"{self.session.path}: gave {len(rows)} frames in a step, and {self._rows} before"
            )
        if any(one.dtype.kind == "f" and bool(np.isnan(one).any()) for one in states):
            raise ModelError(f"{self.session.path}: keeps NaN in its states")
        return Stepped(
            log_probs_of(rows[self._rows - (last - first) : self._rows], self._kind), states
        )

    def _window(self, number: int) -> tuple[int, int]:
        """The feature frames of a step that are not before the stream."""
        first = number * self.plan.shift - self.plan.before
        return max(0, first), max(0, first + self.plan.window)

    def _given(self, step: Step) -> Array:
        """The features of a step, ``(frame, feature)``."""
        first, last = self._window(step.number)
        found = self._features.frames(step.samples, first, last)
        found = np.pad(found, ((self.plan.window - len(found), 0), (0, 0)))
        found = normalised(found) if self.plan.normalise else found
        return found.T if self.plan.features_first else found

    def _run(self, steps: Sequence[Step]) -> list[tuple[Array, tuple[npt.NDArray[Any], ...]]]:
        """The scores ``(frame, token)`` of steps, as the model gives them, and the next states."""
        plan = self.plan
        values: dict[str, npt.NDArray[Any]] = {
            plan.audio: np.stack([self._given(one) for one in steps])
        }
        if plan.lengths is not None:
            values[plan.lengths] = np.full(len(steps), plan.window)
        if plan.more is not None:
            values.update(plan.more(steps[0].number))
        for at, state in enumerate(plan.states):
            of_each = [
                np.zeros(state.shape) if one.states is None else one.states[at] for one in steps
            ]
            values[state.input] = np.concatenate(of_each, axis=state.axis or 0)
        found = self.session.run(values)
        scores = self._checked(found[self.session.scores_output], len(steps))
        states = [_apart(found[one.output], len(steps), one.axis) for one in plan.states]
        return list(zip(scores, zip(*states)))

    def _checked(self, scores: npt.NDArray[Any], count: int) -> npt.NDArray[Any]:
        if scores.ndim != 3 or len(scores) != count or scores.dtype.kind != "f":
            raise ModelError(
                f"{self.session.path}: gave {scores.dtype} of the shape {scores.shape} in a step; "
                f"log-probs ({count}, frames, tokens) are wanted, so this is no CTC model"
            )
        return scores

    def _rows_of_a_step(self, found: int) -> int:
        """How many rows of scores count."""
        factor = self.plan.factor
        wanted = found if factor is None else self.plan.shift // factor
        if not wanted or found < wanted or (factor and self.plan.shift % factor):
            raise ModelError(
                f"{self.session.path}: gave {found} frames in a step of {self.plan.shift} feature "
                f"frames, which its subsampling_factor {factor} contradicts"
            )
        return wanted

    def _can_batch(self) -> bool:
        """Whether several streams can be put into one run."""
        if self.plan.more is not None:
            return False
        audio = self.session.input(self.plan.audio)
        axes = [
            (audio, 0),
            *((self.session.input(one.input), one.axis) for one in self.plan.states),
        ]
        return all(
            port is not None and axis is not None and port.shape[axis] is None
            for port, axis in axes
        )

    def _is_same(self, waves: Sequence[Samples]) -> bool:
        """Whether streams together get the scores of each alone: those of models that compute in
        eight bits hang on what is beside them."""
        together: list[Any] = [None] * len(waves)
        alone: list[Any] = [None] * len(waves)
        for number in range(_PROBED_STEPS):
            steps = [step_of(self, wave, number) for wave in waves]
            try:
                both = self._run([s._replace(states=kept) for s, kept in zip(steps, together)])
            except ModelError:
                return False
            each = [self._run([s._replace(states=kept)])[0] for s, kept in zip(steps, alone)]
            if not all(self._are_alike(a[0], b[0]) for a, b in zip(both, each)):
                return False
            together, alone = [one[1] for one in both], [one[1] for one in each]
        return True

    def _are_alike(self, rows: Array, others: Array) -> bool:
        """Whether scores ``(frame, token)`` are the same log-probs, also of unlikely tokens."""
        one, other = (log_probs_of(each, self._kind) for each in (rows, others))
        return one.shape == other.shape and torch.allclose(one, other, rtol=0.0, atol=_SAME)


def _apart(value: npt.NDArray[Any], count: int, axis: int | None) -> list[npt.NDArray[Any]]:
    """The states of streams that lie side by side; each keeps nothing of the others."""
    if count == 1 or axis is None:
        return [value]
    return [one.copy() for one in np.split(value, count, axis=axis)]

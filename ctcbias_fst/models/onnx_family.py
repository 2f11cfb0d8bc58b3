"""What it takes to use a family of ONNX models, and how its metadata is read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NoReturn

import numpy as np
import numpy.typing as npt

from ctcbias_fst.audio.blocks import HIGHEST_RATE, LOWEST_RATE, check_rate
from ctcbias_fst.errors import AudioError, ModelError
from ctcbias_fst.models.onnx_features import Features, StreamFeatures
from ctcbias_fst.models.onnx_files import config_of
from ctcbias_fst.models.onnx_session import Array, Port, Session, is_float
from ctcbias_fst.models.onnx_steps import StepPlan
from ctcbias_fst.models.pieces import SENTENCE_SECONDS
from ctcbias_fst.text.text_files import quoted

HOP_SECONDS = 0.01
"""From one feature frame to the next, of all families that have any."""


@dataclass(frozen=True)
class Family:
    """How a family of models is used.

    Attributes:
        name: for people.
        features: what the model is given.
        sampling_rate: of the samples.
        frame_seconds: how long a row of the scores is; None if it must be measured.
        features_first: whether it wants ``(1, feature, frame)``, not ``(1, frame, feature)``.
        skipped: rows of the scores that stand before those of the audio.
        blank: the column of the blank, -1 for the last; None if the tokens tell.
        tokens: if they are in no file of their own.
        more: further inputs.
        shortest_seconds: what it cannot score with less.
        piece_seconds: what it hears best, see :class:`ctcbias_fst.models.plug.Scorer`.
    """

    name: str
    features: Features
    sampling_rate: int = 16000
    frame_seconds: float | None = None
    features_first: bool = False
    skipped: int = 0
    blank: int | None = None
    tokens: tuple[str, ...] | None = None
    more: Mapping[str, int] = field(default_factory=dict)
    shortest_seconds: float = 0.3
    piece_seconds: float = SENTENCE_SECONDS

    def scores(self, session: Session, wave: npt.NDArray[np.float32]) -> Array:
        """Score a recording: ``(frame, token)``, as the model gives them."""
        features = self.features(wave)
        length = len(features)
        values: dict[str, npt.NDArray[Any]] = {}
        audio = audio_port(session)
        for port in session.inputs:
            if port.name in self.more:
                values[port.name] = np.array([self.more[port.name]])
            elif port.name == "attention_mask":
                values[port.name] = np.ones((1, length))
            elif port is audio:
                values[port.name] = (features.T if self.features_first else features)[None]
            elif "len" in port.name and not is_float(port):
                values[port.name] = np.array([length])
        return session.scores(values)[self.skipped :]


@dataclass(frozen=True)
class SteppingFamily:
    """How a family of models that keep states is used.

    Attributes:
        name: for people.
        features: what the model is given.
        plan: how it is stepped through a stream.
        sampling_rate, blank, tokens: as of `Family`.
    """

    name: str
    features: StreamFeatures
    plan: StepPlan
    sampling_rate: int = 16000
    blank: int | None = None
    tokens: tuple[str, ...] | None = None
    more: ClassVar[Mapping[str, int]] = {}


def audio_port(session: Session) -> Port | None:
    """The input for audio or its features: the first that takes fractions."""
    return next(filter(is_float, session.inputs), None)


def number_of(
    session: Session, facts: Mapping[str, Any], key: str, default: int | None = None
) -> int:
    """A whole number of what the files say; it must be there if there is no default.

    Raises:
        ModelError: it is none.
    """
    value = facts.get(key, default)
    if value is None:
        raise ModelError(
            f"{session.path}: its metadata lacks {key}: export it with it, or say it in a "
            "config.json beside it"
        )
    if not re.fullmatch(r"\d{1,9}", str(value)):
        _wrong(session, key, value, "a whole number")
    return int(value)


def rate_of(session: Session, facts: Mapping[str, Any], key: str, default: int) -> int:
    """A sampling rate of what the files say.

    Raises:
        ModelError: it is none that speech can have.
    """
    rate = number_of(session, facts, key, default)
    try:
        return check_rate(rate, key)
    except AudioError:
        _wrong(session, key, facts[key], f"from {LOWEST_RATE} to {HIGHEST_RATE} Hz")


def numbers_of(session: Session, facts: Mapping[str, Any], key: str) -> tuple[float, ...]:
    """Numbers of what the files say.

    Raises:
        ModelError: they are none.
    """
    value = facts[key]
    try:
        return tuple(float(one) for one in str(value).split(","))
    except ValueError:
        _wrong(session, key, value, "numbers with commas between")


def _wrong(session: Session, key: str, value: Any, wanted: str) -> NoReturn:
    source = source_of(session, key, value)
    raise ModelError(f"{session.path}: {key} in {source} is {quoted(value)}, not {wanted}")


def source_of(session: Session, key: str, value: Any) -> str:
    """What says it: the file itself, or one beside it."""
    if str(session.metadata.get(key)) == str(value):
        return "its metadata"
    name = "preprocessor_config.json"
    only = key not in config_of(session.path) and key in config_of(session.path, name)
    return f"the {name if only else 'config.json'} beside it"

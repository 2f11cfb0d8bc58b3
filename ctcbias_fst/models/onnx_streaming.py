"""Families of ONNX models that keep states, as exporters write them for streams."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ctcbias_fst.errors import ModelError, warn_caller
from ctcbias_fst.models.onnx_family import SteppingFamily, number_of, rate_of
from ctcbias_fst.models.onnx_features import ICEFALL_FBANK, WENET_FBANK, NemoMel, WholeNumbers
from ctcbias_fst.models.onnx_session import Port, Session
from ctcbias_fst.models.onnx_steps import State, StepPlan
from ctcbias_fst.text.text_files import quoted

_TONE_LATE = 0.24
"""Seconds by which T-one writes every token late: 0.33 s on average, as its authors say, some
earlier."""

_EMBED = "embed_states"

TONE_TYPES = ("t-one", "t-one-ctc")
"""``model_type`` of T-one: of sherpa-onnx's metadata, and in the config.json of onnx-asr."""

_Facts = Mapping[str, Any]


def stepping_family(session: Session, facts: _Facts) -> SteppingFamily | None:
    """The family of a model that keeps states; None if it keeps none, or is none that is known.

    Args:
        session: the model.
        facts: what its metadata and the files beside it say.

    Raises:
        ModelError: it lacks what it should say, or says what cannot be.
    """
    if facts.get("model_type") in TONE_TYPES:
        return _tone(session, facts)
    inputs = {one.name for one in session.inputs}
    outputs = {one.name for one in session.outputs}
    scores = bool(outputs & {"log_probs", "logprobs", "probs"})
    for needs, make in _BY_INPUTS:
        if scores and any(names <= inputs for names in needs):
            return make(session, facts)
    return None


def _zipformer(session: Session, facts: _Facts) -> SteppingFamily:
    """Zipformer2 with a CTC head, as icefall exports it for streams: states by their names."""
    if facts.get("feature", "") not in ("", "fbank"):
        raise ModelError(
            f"{session.path}: was trained on features ({quoted(facts['feature'])}) that are not "
            "supported, only on a filterbank"
        )
    states = tuple(
        State(name, f"new_{name}", *_sizes(session, port, 0 if _streams_first(name) else 1))
        for port in session.inputs
        if (name := port.name) != "x"
    )
    window = number_of(session, facts, "T")
    shift = number_of(session, facts, "decode_chunk_len")
    plan = StepPlan("x", window, shift, _given(session, states))
    return SteppingFamily("icefall, streaming (ONNX)", ICEFALL_FBANK, _checked(session, plan))


def _streams_first(name: str) -> bool:
    return name.startswith(("cached_conv", _EMBED, "processed_lens"))


def _nemo(session: Session, facts: _Facts) -> SteppingFamily:
    """NeMo's cache-aware models, with the metadata of sherpa-onnx.

    A window begins with what the convolutions before the encoder have seen, and has 0 there at
    first, as NeMo's ``pad_and_drop_preencoded`` does.
    """
    window = number_of(session, facts, "window_size")
    shift = number_of(session, facts, "chunk_shift")
    channel, time = (
        tuple(number_of(session, facts, f"cache_last_{kind}_dim{i}") for i in (1, 2, 3))
        for kind in ("channel", "time")
    )
    shapes = {
        "cache_last_channel": (1, *channel),
        "cache_last_time": (1, *time),
        "cache_last_channel_len": (1,),
    }
    following = [one.name for one in session.outputs if "cache" in one.name]
    states = [State(name, out, shape, 0) for (name, shape), out in zip(shapes.items(), following)]
    audio = session.input("audio_signal")
    bins = (audio.shape[1] if audio and len(audio.shape) == 3 else None) or number_of(
        session, facts, "feat_dim", 80
    )
    plan = StepPlan(
        "audio_signal",
        window,
        shift,
        _given(session, states),
        before=window - shift,
        factor=number_of(session, facts, "subsampling_factor", 8),
        features_first=True,
        normalise=_normalises(session, facts),
        lengths="length",
    )
    checked = _checked(session, plan)
    return SteppingFamily("NeMo, streaming (ONNX)", NemoMel(bins, False), checked, blank=-1)


def _normalises(session: Session, facts: _Facts) -> bool:
    """Whether the features of a window are normalised; then it is told what that means."""
    kind = str(facts.get("normalize_type", ""))
    if kind in ("", "NA"):
        return False
    if kind != "per_feature":
        raise ModelError(
            f"{session.path}: normalize_type {quoted(kind)} is not supported, only per_feature and "
            "none"
        )
    warn_caller(
        f"{session.path}: normalize_type is per_feature: a stream has no whole recording to "
        "normalise its features by, so those of each chunk are, as with online_normalization in "
        "NeMo; a model that was trained with normalize NA hears better"
    )
    return True


@dataclass(frozen=True)
class _WenetInputs:
    """What WeNet is told of where a chunk stands: states that nothing was put into are masked.

    Attributes:
        chunk: rows of a step.
        left: steps that are kept.
        shapes: of the numbers.
        mask: the name of the mask's input.
    """

    chunk: int
    left: int
    shapes: Mapping[str, tuple[int, ...]]
    mask: str

    def __call__(self, number: int) -> dict[str, npt.NDArray[Any]]:
        kept = self.chunk * self.left
        mask = np.ones((1, 1, kept + self.chunk), dtype=np.bool_)
        mask[..., : max(0, self.left - number) * self.chunk] = False
        told = {"offset": kept + number * self.chunk, "required_cache_size": kept}
        return {self.mask: mask, **{k: np.full(self.shapes[k], v) for k, v in told.items()}}


def _wenet(session: Session, facts: _Facts) -> SteppingFamily:
    """WeNet's encoder for chunks with its CTC head, as sherpa-onnx exports it."""
    names = {one.name: one for one in session.inputs}
    attention, convolution, mask, audio = (
        next((name for name in pair if name in names), pair[0])
        for pair in (
            ("attn_cache", "att_cache"),
            ("conv_cache", "cnn_cache"),
            ("attn_mask", "att_mask"),
            ("x", "chunk"),
        )
    )
    chunk, left = (number_of(session, facts, key) for key in ("chunk_size", "left_chunks"))
    blocks, heads, size, kernel = (
        number_of(session, facts, key)
        for key in ("num_blocks", "head", "output_size", "cnn_module_kernel")
    )
    if not left or not chunk:
        raise ModelError(
            f"{session.path}: chunk_size {chunk} and left_chunks {left}: export it with both above "
            "0, so that its states do not grow"
        )
    factor = number_of(session, facts, "subsampling_factor", 4)
    following = [one.name for one in session.outputs if "cache" in one.name]
    shapes = {
        attention: (blocks, heads, chunk * left, size // max(1, heads) * 2),
        convolution: (blocks, 1, size, max(0, kernel - 1)),
    }
    states = [
        State(name, out, shape, None) for (name, shape), out in zip(shapes.items(), following)
    ]
    numbers = {
        name: tuple(one or 1 for one in names[name].shape) if name in names else ()
        for name in ("offset", "required_cache_size")
    }
    plan = StepPlan(
        audio,
        (chunk - 1) * factor + number_of(session, facts, "right_context", 6) + 1,
        chunk * factor,
        _given(session, states),
        factor=factor,
        more=_WenetInputs(chunk, left, numbers, mask),
    )
    return SteppingFamily("WeNet, streaming (ONNX)", WENET_FBANK, _checked(session, plan))


def _tone(session: Session, facts: _Facts) -> SteppingFamily:
    """T-one: chunks of 300 ms with a state, 8 kHz, features inside; silence of a chunk before the
    audio, as when it was trained."""
    signal, state = session.input("signal"), session.input("state")
    size = signal.shape[1] if signal is not None and len(signal.shape) == 3 else None
    values = state.shape[-1] if state is not None and state.shape else None
    if size is None or values is None:
        raise ModelError(f"{session.path}: has not the inputs of T-one (signal, state)")
    tokens, blank, factor = None, None, 3
    if facts["model_type"] == "t-one-ctc":
        decoder, encoder = (facts.get(f"{part}_params") for part in ("decoder", "encoder"))
        if not isinstance(decoder, dict) or not isinstance(encoder, dict):
            raise ModelError(f"{session.path}: put the config.json of T-one beside it")
        tokens = tuple(decoder.get("vocabulary", ()))
        blank = number_of(session, facts, "pad_token_id", len(tokens))
        factor = number_of(session, encoder, "reduction_kernel_size", 3)
    rate = rate_of(session, facts, "sample_rate", 8000)
    states = [State("state", "state_next", (1, values), 0)]
    plan = StepPlan(
        "signal",
        size,
        size,
        _given(session, states),
        before=size,
        factor=round(factor * 0.01 * rate),
        skipped_seconds=size / rate + _TONE_LATE,
        late_seconds=_TONE_LATE,
    )
    return SteppingFamily("T-one (ONNX)", WholeNumbers(), plan, rate, blank, tokens)


def _sizes(session: Session, port: Port, axis: int) -> tuple[tuple[int, ...], int]:
    """The shape of a state for one stream, and along which axis streams lie."""
    shape = tuple(1 if at == axis else size for at, size in enumerate(port.shape))
    if axis >= len(shape) or None in shape:
        raise ModelError(
            f"{session.path}: how big its state {port.name} is does not stand in the file: export "
            "it with that axis fixed"
        )
    return tuple(size or 1 for size in shape), axis


def _given(session: Session, states: Sequence[State]) -> tuple[State, ...]:
    """States whose inputs and outputs are there, and of these sizes.

    Raises:
        ModelError: one is not.
    """
    outputs = {one.name for one in session.outputs}
    for state in states:
        port = session.input(state.input)
        if port is None or state.output not in outputs:
            missing = state.input if port is None else state.output
            raise ModelError(f"{session.path}: is a streaming export, but has no {missing}")
        sizes = [None if at == state.axis else one for at, one in enumerate(port.shape)]
        if len(sizes) != len(state.shape) or any(
            one not in (None, size) for one, size in zip(sizes, state.shape)
        ):
            raise ModelError(
                f"{session.path}: its state {state.input} is of the shape {list(port.shape)}, and "
                f"its metadata says {list(state.shape)}: it is that of another export"
            )
    return tuple(states)


def _checked(session: Session, plan: StepPlan) -> StepPlan:
    """A plan that can be.

    Raises:
        ModelError: it cannot.
    """
    if not 0 < plan.shift <= plan.window:
        raise ModelError(
            f"{session.path}: by its metadata it takes {plan.window} feature frames and goes on by "
            f"{plan.shift}, which cannot be"
        )
    port = session.input(plan.audio)
    time = None if port is None else port.shape[2 if plan.features_first else 1]
    if time not in (None, plan.window):
        raise ModelError(
            f"{session.path}: takes {time} feature frames, and its metadata says {plan.window}: it "
            "is that of another export"
        )
    return plan


_BY_INPUTS: tuple[tuple[tuple[set[str], ...], Callable[[Session, _Facts], SteppingFamily]], ...] = (
    (({"x", "cached_key_0", _EMBED, "processed_lens"},), _zipformer),
    (({"audio_signal", "length", "cache_last_channel", "cache_last_time"},), _nemo),
    (({"x", "offset", "attn_cache"}, {"chunk", "offset", "att_cache"}), _wenet),
)
"""Inputs by which a family is told, and what makes it."""

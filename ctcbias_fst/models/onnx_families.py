"""Families of ONNX models: told by what a file says of itself, or by its inputs and outputs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from ctcbias_fst.errors import ModelError, warn_caller
from ctcbias_fst.models.onnx_features import (
    FUNASR_FBANK,
    ICEFALL_FBANK,
    WENET_FBANK,
    Features,
    GigaamMel,
    LowFrameRate,
    NemoMel,
    RawSamples,
)
from ctcbias_fst.models.onnx_files import config_of
from ctcbias_fst.models.onnx_refused import refuse_others
from ctcbias_fst.models.onnx_session import Array, Port, Session, is_float
from ctcbias_fst.models.pieces import LONG_SECONDS, SENTENCE_SECONDS
from ctcbias_fst.text.text_files import quoted

_HOP_SECONDS = 0.01
_LANGUAGES = "lang_"
_TONE_SCALE = 32767
_TONE_LATE = 8
"""Rows (0.24 s) by which T-one writes every token late."""


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
        chunk: samples that T-one takes at once, with a state.
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
    chunk: int | None = None
    shortest_seconds: float = 0.3
    piece_seconds: float = SENTENCE_SECONDS

    def scores(self, session: Session, wave: npt.NDArray[np.float32]) -> Array:
        """Score a recording: ``(frame, token)``, as the model gives them."""
        if self.chunk is not None:
            return _in_chunks(session, wave, self.chunk)
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


def audio_port(session: Session) -> Port | None:
    """The input for audio or its features: the first that takes fractions."""
    return next(filter(is_float, session.inputs), None)


def family_of(session: Session, config: Mapping[str, Any], language: str | None) -> Family:
    """The family of a model.

    Args:
        session: the model.
        config: what the files beside it say.
        language: the user's choice, of a model of several.

    Raises:
        ModelError: it is none that is known, or no CTC model, or lacks what it should say.
    """
    said = [str(one.get("model_type", "")) for one in (session.metadata, config)]
    kind = next((one for one in said if one in _BY_TYPE), said[0] or said[1])
    facts = {**session.metadata, **config, "model_type": kind}
    refuse_others(session, facts, kind)
    make = _BY_TYPE.get(kind) or _by_inputs(session, facts)
    found = make(session, facts, language)
    if language is not None and not (found.more or make is _raw):
        raise ModelError(f"{session.path}: language belongs to models of several; this is of one")
    if found.chunk is None:
        _check_sizes(session, found)
    return found


def _by_inputs(session: Session, facts: Mapping[str, Any]) -> _Maker:
    """The family, if inputs and outputs leave no doubt."""
    inputs = tuple(one.name for one in session.inputs)
    outputs = {one.name for one in session.outputs}
    if "input_values" in inputs:
        return _raw
    if inputs == ("audio_signal", "length") and "logprobs" in outputs:
        return _nemo
    if inputs == ("x", "x_lens") and {"log_probs", "log_probs_len"} <= outputs:
        return _icefall
    kind = facts["model_type"]
    said = f"{quoted(kind)} in {_source(session, 'model_type', kind)}" if kind else "missing"
    raise ModelError(
        f"{session.path}: its family cannot be told: model_type is {said}, inputs "
        f"are {', '.join(inputs)}, outputs {', '.join(sorted(outputs))}; say it in a config.json "
        f'beside it, {{"model_type": "..."}}, one of {", ".join(sorted(_BY_TYPE))}'
    )


def _check_sizes(session: Session, family: Family) -> None:
    """Refuse a model for audio of one length, or for other features."""
    port = audio_port(session)
    raw = isinstance(family.features, RawSamples)
    if port is None or len(port.shape) != (2 if raw else 3):
        sizes = "no audio" if port is None else f"{port.name} of {len(port.shape)} dimensions"
        raise ModelError(
            f"{session.path}: takes {sizes}, which is not what {family.name} models take"
        )
    time = port.shape[-1 if raw or family.features_first else 1]
    if time is not None:
        raise ModelError(
            f"{session.path}: takes audio of one length only ({time} "
            f"{'samples' if raw else 'frames'}): export it with a dynamic axis of time"
        )
    bins = port.shape[1 if family.features_first else 2] if not raw else None
    if bins is not None and bins != family.features(np.zeros(8000, np.float32)).shape[1]:
        raise ModelError(
            f"{session.path}: takes {bins} features, which is not what {family.name} models take"
        )


def _icefall(session: Session, facts: Mapping[str, Any], language: str | None) -> Family:
    return Family("icefall (ONNX)", ICEFALL_FBANK, frame_seconds=_frame_seconds(session, facts))


def _wenet(session: Session, facts: Mapping[str, Any], language: str | None) -> Family:
    return Family("WeNet (ONNX)", WENET_FBANK, frame_seconds=_frame_seconds(session, facts))


def _nemo(session: Session, facts: Mapping[str, Any], language: str | None) -> Family:
    """Models of NeMo; those of GigaAM that sherpa-onnx exports as such."""
    if str(facts.get("is_giga_am", "0")) == "1":
        return _gigaam(session, facts, language)
    normalised = str(facts.get("normalize_type", "per_feature"))
    if normalised not in ("per_feature", "", "NA"):
        raise ModelError(
            f"{session.path}: normalize_type {quoted(normalised)} is not supported, only "
            "per_feature and none"
        )
    bins = session.inputs[0].shape[1] if len(session.inputs[0].shape) == 3 else None
    bins = bins or _number(session, facts, "features_size", 80)
    return Family(
        "NeMo (ONNX)",
        NemoMel(bins, normalised == "per_feature"),
        frame_seconds=_frame_seconds(session, facts),
        features_first=True,
        blank=-1,
        piece_seconds=LONG_SECONDS,
    )


def _gigaam(session: Session, facts: Mapping[str, Any], language: str | None) -> Family:
    kind, comment = facts["model_type"], str(facts.get("comment", ""))
    version = str(facts.get("version", "")).removeprefix("v")
    if "multilingual" in kind + comment and version not in ("2", "3"):
        raise ModelError(
            f"{session.path}: which features a multilingual GigaAM takes is not known; say "
            '"version": "v2" or "v3" in a config.json beside it'
        )
    third = version == "3" or "v3" in kind + comment
    return Family(
        "GigaAM (ONNX)",
        GigaamMel(third),
        frame_seconds=_HOP_SECONDS * _number(session, facts, "subsampling_factor", 4),
        features_first=True,
        blank=-1,
        piece_seconds=LONG_SECONDS,
    )


def _sense_voice(session: Session, facts: Mapping[str, Any], language: str | None) -> Family:
    codes = {
        key[len(_LANGUAGES) :]: _number(session, facts, key, 0)
        for key in facts
        if key.startswith(_LANGUAGES)
    }
    if not codes or "neg_mean" not in facts or "inv_stddev" not in facts:
        raise ModelError(
            f"{session.path}: neither its metadata nor a config.json has what SenseVoice needs "
            "(lang_auto, neg_mean, inv_stddev): take the export of sherpa-onnx"
        )
    if language is not None and language not in codes:
        raise ModelError(
            f"{session.path}: language {quoted(language)} is none of its own: "
            f"{', '.join(sorted(codes))}"
        )
    shifts, scales = (_numbers(session, facts, key) for key in ("neg_mean", "inv_stddev"))
    size = _number(session, facts, "lfr_window_size", 7)
    shift = _number(session, facts, "lfr_window_shift", 6)
    if len(shifts) != size * FUNASR_FBANK.bins or len(scales) != len(shifts):
        raise ModelError(
            f"{session.path}: neg_mean and inv_stddev have {len(shifts)} and "
            f"{len(scales)} numbers, not {size * FUNASR_FBANK.bins}"
        )
    return Family(
        "SenseVoice (ONNX)",
        LowFrameRate(size, shift, shifts, scales, FUNASR_FBANK),
        frame_seconds=shift * _HOP_SECONDS,
        skipped=4,
        piece_seconds=LONG_SECONDS,
        blank=_number(session, facts, "blank_id", 0),
        more={
            "language": codes[language or "auto"],
            "text_norm": _number(session, facts, "without_itn", 15),
        },
    )


def _raw(session: Session, facts: Mapping[str, Any], language: str | None) -> Family:
    """Models of raw samples, as Hugging Face has them."""
    ours = facts["model_type"] == "wav2vec2-ctc"  # the layout of onnx-asr
    normalise = facts.get("do_normalize")
    if normalise is None and not ours:
        warn_caller(
            f"{session.path}: preprocessor_config.json, which says whether samples are normalised "
            "(do_normalize), is not beside it: they are, as for most of these models"
        )
        normalise = True
    pad = facts.get("pad_token_id")
    return Family(
        f"{facts['model_type'] or 'wav2vec2'} (ONNX)",
        RawSamples(bool(normalise)),
        sampling_rate=_number(session, facts, "sampling_rate", 16000),
        blank=pad if isinstance(pad, int) and not ours else None,
        shortest_seconds=0.1,
    )


def _tone(session: Session, facts: Mapping[str, Any], language: str | None) -> Family:
    """T-one: chunks of 300 ms with a state, 8 kHz, features inside."""
    signal, state = session.input("signal"), session.input("state")
    decoder, encoder = (facts.get(f"{part}_params") for part in ("decoder", "encoder"))
    if signal is None or state is None or None in (signal.shape[1], state.shape[-1]):
        raise ModelError(f"{session.path}: has not the inputs of T-one (signal, state)")
    if not isinstance(decoder, dict) or not isinstance(encoder, dict):
        raise ModelError(f"{session.path}: put the config.json of T-one beside it")
    tokens = tuple(decoder.get("vocabulary", ()))
    return Family(
        "T-one (ONNX)",
        RawSamples(),
        sampling_rate=8000,
        frame_seconds=_HOP_SECONDS * _number(session, encoder, "reduction_kernel_size", 3),
        blank=_number(session, facts, "pad_token_id", len(tokens)),
        tokens=tokens,
        chunk=signal.shape[1],
        piece_seconds=LONG_SECONDS,
    )


def _in_chunks(session: Session, wave: npt.NDArray[np.float32], size: int) -> Array:
    """The scores of T-one, which had a chunk of silence around its audio when it was trained.

    It writes tokens 0.33 s late on average (as its authors say), some earlier: rows before that
    are left out, and as many behind the end are kept.
    """
    state = session.input("state")
    assert state is not None
    whole = np.pad(wave, (size, 2 * size + -len(wave) % size))
    samples = (whole * _TONE_SCALE).astype(np.int32)
    values: npt.NDArray[Any] = np.zeros([one or 1 for one in state.shape])
    found = []
    for begin in range(0, len(samples), size):
        given = {"signal": samples[None, begin : begin + size, None], "state": values}
        out = session.run(given)
        values = out["state_next"]
        found.append(out["logprobs"][0])
    rows = np.concatenate(found)
    kept = -(-len(wave) * len(found[0]) // size) + _TONE_LATE
    return np.asarray(rows[len(found[0]) + _TONE_LATE :][:kept], dtype=np.float32)


def _frame_seconds(session: Session, facts: Mapping[str, Any]) -> float | None:
    if "subsampling_factor" not in facts:
        return None
    return _HOP_SECONDS * _number(session, facts, "subsampling_factor", 0)


def _number(session: Session, facts: Mapping[str, Any], key: str, default: int) -> int:
    """A whole number of what the files say.

    Raises:
        ModelError: it is none.
    """
    value = facts.get(key, default)
    if not re.fullmatch(r"\d{1,9}", str(value)):
        _wrong(session, key, value, "a whole number")
    return int(value)


def _numbers(session: Session, facts: Mapping[str, Any], key: str) -> tuple[float, ...]:
    value = facts[key]
    try:
        return tuple(float(one) for one in str(value).split(","))
    except ValueError:
        _wrong(session, key, value, "numbers with commas between")


def _wrong(session: Session, key: str, value: Any, wanted: str) -> NoReturn:
    source = _source(session, key, value)
    raise ModelError(f"{session.path}: {key} in {source} is {quoted(value)}, not {wanted}")


def _source(session: Session, key: str, value: Any) -> str:
    """What says it: the file itself, or one beside it."""
    if str(session.metadata.get(key)) == str(value):
        return "its metadata"
    name = "preprocessor_config.json"
    only = key not in config_of(session.path) and key in config_of(session.path, name)
    return f"the {name if only else 'config.json'} beside it"


_Maker = Callable[[Session, Mapping[str, Any], str | None], Family]
_BY_TYPE: dict[str, _Maker] = {
    "zipformer2_ctc": _icefall,
    "wenet_ctc": _wenet,
    "EncDecCTCModel": _nemo,
    "EncDecCTCModelBPE": _nemo,
    "EncDecHybridRNNTCTCModel": _nemo,
    "EncDecHybridRNNTCTCBPEModel": _nemo,
    "nemo-conformer-ctc": _nemo,
    "gigaam-v2-ctc": _gigaam,
    "gigaam-v3-ctc": _gigaam,
    "gigaam-v3-e2e-ctc": _gigaam,
    "gigaam-multilingual-ctc": _gigaam,
    "sense_voice_ctc": _sense_voice,
    "t-one-ctc": _tone,
    "wav2vec2-ctc": _raw,
}
"""By ``model_type``: sherpa-onnx's metadata, and the config.json of onnx-asr."""

"""Families of ONNX models: told by what a file says of itself, or by its inputs and outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ctcbias_fst.errors import ModelError, warn_caller
from ctcbias_fst.models.onnx_family import (
    HOP_SECONDS,
    Family,
    SteppingFamily,
    audio_port,
    number_of,
    numbers_of,
    rate_of,
    source_of,
)
from ctcbias_fst.models.onnx_features import (
    FUNASR_FBANK,
    ICEFALL_FBANK,
    WENET_FBANK,
    GigaamMel,
    LowFrameRate,
    NemoMel,
    RawSamples,
)
from ctcbias_fst.models.onnx_refused import refuse_others
from ctcbias_fst.models.onnx_session import Port, Session
from ctcbias_fst.models.onnx_streaming import TONE_TYPES, stepping_family
from ctcbias_fst.models.pieces import LONG_SECONDS
from ctcbias_fst.text.text_files import quoted

_LANGUAGES = "lang_"


def family_of(
    session: Session, config: Mapping[str, Any], language: str | None
) -> Family | SteppingFamily:
    """The family of a model.

    Args:
        session: the model.
        config: what the files beside it say.
        language: the user's choice, of a model of several.

    Raises:
        ModelError: it is none that is known, or no CTC model, or lacks what it should say.
    """
    said = [str(one.get("model_type", "")) for one in (session.metadata, config)]
    kind = next((one for one in said if one in {*_BY_TYPE, *TONE_TYPES}), said[0] or said[1])
    facts = {**session.metadata, **config, "model_type": kind}
    stepping = stepping_family(session, facts)
    if stepping is not None:
        _check_one_language(session, language)
        return stepping
    refuse_others(session, facts, kind)
    make = _BY_TYPE.get(kind) or _by_inputs(session, facts)
    found = make(session, facts, language)
    if not (found.more or make is _raw):
        _check_one_language(session, language)
    _check_sizes(session, found)
    return found


def _check_one_language(session: Session, language: str | None) -> None:
    if language is not None:
        raise ModelError(f"{session.path}: language belongs to models of several; this is of one")


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
    said = f"{quoted(kind)} in {source_of(session, 'model_type', kind)}" if kind else "missing"
    raise ModelError(
        f"{session.path}: its family cannot be told: model_type is {said}, inputs "
        f"are {', '.join(inputs)}, outputs {', '.join(sorted(outputs))}; say it in a config.json "
        f'beside it, {{"model_type": "..."}}, one of {", ".join(sorted({*_BY_TYPE, *TONE_TYPES}))}'
        f"{_of_samples(session)}"
    )


def _of_samples(session: Session) -> str:
    """A hint for a model that takes plain samples: ``(batch, sample)``."""
    port = audio_port(session)
    if port is None or len(port.shape) != 2:
        return ""
    return f"; {port.name} seems to be plain samples, so it is wav2vec2-ctc"


def _check_sizes(session: Session, family: Family) -> None:
    """Refuse a model for audio of one length, or for other features."""
    port = audio_port(session)
    raw = isinstance(family.features, RawSamples)
    if port is None or len(port.shape) != (2 if raw else 3):
        sizes = "no audio" if port is None else f"{port.name} of {len(port.shape)} dimensions"
        raise ModelError(
            f"{session.path}: takes {sizes}, which is not what {family.name} models take"
        )
    if not raw:
        _check_axes(session, family, port)
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


def _check_axes(session: Session, family: Family, port: Port) -> None:
    """Refuse a model that takes features and frames the other way round."""
    bins = family.features(np.zeros(8000, np.float32)).shape[1]
    own, other = ("features", "frames") if family.features_first else ("frames", "features")
    features, frames = port.shape[1:] if family.features_first else port.shape[:0:-1]
    if frames == bins and features != bins:
        raise ModelError(
            f"{session.path}: takes {port.name} as (batch, {other}, {own}), and models of "
            f"{family.name.removesuffix(' (ONNX)')} take (batch, {own}, {other}): export it so, "
            "or call it by a function (docs/your-model.md)"
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
    bins = bins or number_of(session, facts, "features_size", 80)
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
        frame_seconds=HOP_SECONDS * number_of(session, facts, "subsampling_factor", 4),
        features_first=True,
        blank=-1,
        piece_seconds=LONG_SECONDS,
    )


def _sense_voice(session: Session, facts: Mapping[str, Any], language: str | None) -> Family:
    codes = {
        key[len(_LANGUAGES) :]: number_of(session, facts, key, 0)
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
    shifts, scales = (numbers_of(session, facts, key) for key in ("neg_mean", "inv_stddev"))
    size = number_of(session, facts, "lfr_window_size", 7)
    shift = number_of(session, facts, "lfr_window_shift", 6)
    if len(shifts) != size * FUNASR_FBANK.bins or len(scales) != len(shifts):
        raise ModelError(
            f"{session.path}: neg_mean and inv_stddev have {len(shifts)} and "
            f"{len(scales)} numbers, not {size * FUNASR_FBANK.bins}"
        )
    return Family(
        "SenseVoice (ONNX)",
        LowFrameRate(size, shift, shifts, scales, FUNASR_FBANK),
        frame_seconds=shift * HOP_SECONDS,
        skipped=4,
        piece_seconds=LONG_SECONDS,
        blank=number_of(session, facts, "blank_id", 0),
        more={
            "language": codes[language or "auto"],
            "text_norm": number_of(session, facts, "without_itn", 15),
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
        sampling_rate=rate_of(session, facts, "sampling_rate", 16000),
        blank=pad if isinstance(pad, int) and not ours else None,
        shortest_seconds=0.1,
    )


def _frame_seconds(session: Session, facts: Mapping[str, Any]) -> float | None:
    if "subsampling_factor" not in facts:
        return None
    return HOP_SECONDS * number_of(session, facts, "subsampling_factor", 0)


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
    "wav2vec2-ctc": _raw,
}
"""By ``model_type``: sherpa-onnx's metadata, and the config.json of onnx-asr."""

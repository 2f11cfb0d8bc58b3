"""ONNX models that are no CTC model, or none that can be used: told in one line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ctcbias_fst.errors import ModelError
from ctcbias_fst.models.onnx_session import Session

_OTHER_TYPES = (
    (
        r"EncDecRNNT.*|EncDecTDT.*|.*-(rnnt|tdt)|zipformer2?|conformer|lstm|.*transducer.*",
        "a part of a transducer, no CTC model",
    ),
    (
        r"whisper.*|EncDecMultiTask.*|.*-aed|moonshine.*|fire_?red_asr.*|canary.*",
        "an encoder-decoder model, no CTC model",
    ),
    (r"paraformer.*", "a Paraformer, no CTC model"),
    (
        r"telespeech_ctc|tdnn.*|medasr_ctc|dolphin.*|omnilingual.*|fire_?red.*ctc",
        "a CTC model of a family that is not supported",
    ),
)
_STATES = re.compile(r"cache|state|^offset$|past_key|^h\d?$|^c\d?$|^processed_lens$")
_STREAMING = ("decode_chunk_len", "cache_last_channel_dim1", "left_context_len")
_ENCODED = {
    "encoder_out",
    "encoded_lengths",
    "last_hidden_state",
    "encoder_output",
    "encoder_out_lens",
}
_DECODER = {"decoder_out", "targets", "target_length", "input_ids", "encoder_hidden_states", "y"}
_UNKNOWN_STATES = (
    "its states are none that are known (those of icefall's zipformer2 CTC, NeMo's cache-aware "
    "CTC, WeNet's CTC as sherpa-onnx exports it, and T-one are); export it so, or for offline use"
)


def refuse_others(session: Session, facts: Mapping[str, Any], kind: str) -> None:
    """Refuse a model that is of no use here.

    Args:
        session: the model.
        facts: what its metadata and the files beside it say.
        kind: its ``model_type``, empty if nothing says it.

    Raises:
        ModelError: it is a part of a transducer or of an encoder and decoder, an encoder without
            its CTC head, keeps states that are not known, or is of a family that is not supported.
    """
    inputs = {one.name for one in session.inputs}
    outputs = {one.name for one in session.outputs}
    for pattern, what in _OTHER_TYPES:
        if re.fullmatch(pattern, kind):
            _refuse(session, f"is {what} (model_type {kind})")
    if inputs & _DECODER:
        _refuse(session, "is the decoder or joiner of a transducer or of an encoder and decoder")
    if "token_num" in outputs or {"us_alphas", "us_cif_peak"} & outputs:
        _refuse(session, "is a Paraformer, no CTC model")
    scores = any("prob" in name or "logit" in name for name in outputs)
    if not scores and (outputs & _ENCODED or outputs == {"outputs"}):
        _refuse(
            session,
            "is an encoder without a CTC head: of a transducer, or exported without it; export "
            "the CTC part too",
        )
    states = sorted(name for name in inputs if _STATES.search(name))
    if states or any(key in facts for key in _STREAMING):
        named = f" ({', '.join(states[:3])})" if states else ""
        _refuse(session, f"is a streaming export{named}: {_UNKNOWN_STATES}")
    if "Nano" in str(facts.get("comment", "")) and kind == "sense_voice_ctc":
        _refuse(session, "is a CTC model of a family that is not supported (Fun-ASR-Nano)")
    if kind == "sense_voice_ctc" and "prompt" in inputs:
        _refuse(session, "takes audio of one length only: take the export for onnxruntime")


def _refuse(session: Session, what: str) -> None:
    raise ModelError(f"{session.path}: {what}")

"""T-one, which is given chunks with a state, and whose scores come late."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_onnx import TensorProto, helper, log_softmax, onnx, save, write_tokens

from ctcbias_fst.errors import ModelError
from ctcbias_fst.models.find import load_model
from tests.models.test_onnx_features import speech_like
from tests.models.test_onnx_model import Array, scores_of

CHUNK, HOP = 2400, 240
LETTERS = [*"абвгд", " "]


def tone(folder: Path, **config: Any) -> None:
    """A model whose scores are those of the chunk before: samples 0 to 6 of each 30 ms."""
    nodes = [
        helper.make_node("Reshape", ["state", "form"], ["frames_h"]),
        helper.make_node("Cast", ["frames_h"], ["frames"], to=TensorProto.FLOAT),
        helper.make_node("Slice", ["frames", "zero", "tokens", "two"], ["some"]),
        helper.make_node("Mul", ["some", "gain"], ["scored"]),
        helper.make_node("LogSoftmax", ["scored"], ["logprobs"], axis=-1),
        helper.make_node("Cast", ["signal"], ["signal_f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["signal_f", "level"], ["given"]),
        helper.make_node("Reshape", ["given", "flat"], ["row"]),
        helper.make_node("Cast", ["row"], ["state_next"], to=TensorProto.FLOAT16),
    ]
    port = helper.make_tensor_value_info
    save(
        folder / "model.onnx",
        nodes,
        (
            [
                port("signal", TensorProto.INT32, ["N", CHUNK, 1]),
                port("state", TensorProto.FLOAT16, ["N", CHUNK]),
            ],
            [
                port("logprobs", TensorProto.FLOAT, ["N", CHUNK // HOP, 7]),
                port("state_next", TensorProto.FLOAT16, ["N", CHUNK]),
            ],
        ),
        {
            "form": np.array([1, CHUNK // HOP, HOP]),
            "flat": np.array([1, CHUNK]),
            "zero": np.array([0]),
            "tokens": np.array([7]),
            "two": np.array([2]),
            "gain": np.array(20.0, dtype=np.float32),
            "level": np.array(1 / 32767, dtype=np.float32),
        },
        {},
    )
    written = {
        "model_type": "t-one-ctc",
        "pad_token_id": 6,
        "decoder_params": {"vocabulary": LETTERS},
        "encoder_params": {"reduction_kernel_size": 3},
        **config,
    }
    (folder / "config.json").write_text(json.dumps(written))


def _wanted(wave: Array) -> Array:
    """T-one writes tokens 0.24 s late or more; this one 0.3 s: two rows are those of silence."""
    rows = -(-len(wave) // HOP)
    padded = np.pad(wave, (0, rows * HOP - len(wave))).reshape(rows, HOP)[:, :7]
    return log_softmax(np.pad(padded, ((2, 6), (0, 0))) * 20.0)


def test_chunks(tmp_path: Path) -> None:
    tone(tmp_path)
    model = load_model(tmp_path)
    assert (model.family, model.sampling_rate) == ("T-one (ONNX)", 8000)
    assert model.frame_seconds == pytest.approx(0.03)
    vocabulary = model.tokenizer.vocabulary
    assert (vocabulary.tokens, vocabulary.blank_id) == ((*LETTERS, "<blk>"), 6)
    for samples in (4800, 4801, 11000, 35 * 8000):
        wave = np.resize(speech_like(1.0), samples)
        np.testing.assert_allclose(scores_of(model, wave), _wanted(wave), atol=0.02)


def test_as_sherpa_onnx_exports_it(tmp_path: Path) -> None:
    """With metadata, and its tokens in a file."""
    tone(tmp_path)
    wave = np.resize(speech_like(1.0), 9000)
    wanted = scores_of(load_model(tmp_path), wave)
    (tmp_path / "config.json").unlink()
    model = onnx.load(str(tmp_path / "model.onnx"))
    metadata = {"model_type": "t-one", "sample_rate": "8000", "frame_length_ms": "300"}
    helper.set_model_props(model, metadata)
    onnx.save(model, str(tmp_path / "model.onnx"))
    write_tokens(tmp_path / "tokens.txt", [*LETTERS, "<blk>"])
    found = load_model(tmp_path)
    assert (found.family, found.sampling_rate) == ("T-one (ONNX)", 8000)
    assert found.tokenizer.vocabulary.blank_id == 6
    np.testing.assert_array_equal(scores_of(found, wave), wanted)


def test_what_it_lacks(tmp_path: Path) -> None:
    tone(tmp_path, decoder_params=None)
    with pytest.raises(ModelError, match="put the config.json of T-one beside it"):
        load_model(tmp_path)
    tone(tmp_path, model_type="wav2vec2-ctc")
    with pytest.raises(ModelError, match="streaming export"):
        load_model(tmp_path)

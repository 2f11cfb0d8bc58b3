"""ONNX models of a few numbers: their scores are a matrix times some of the features.

Tests that import this are skipped where the extra is not installed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

onnx = pytest.importorskip("onnx")
for _name in ("onnxruntime", "kaldi_native_fbank"):
    pytest.importorskip(_name)
TensorProto, helper, numpy_helper = onnx.TensorProto, onnx.helper, onnx.numpy_helper

Array = npt.NDArray[np.float32]

LETTERS = ["<blk>", "|", *"abcdefghijklmnopqrstuvwxyz'"]
PIECES = ["<blk>", "<unk>", "\u2581", "\u2581the", "ing", *"abcdefghijklmnopqrstuvwxyz'"]


def weights(features: int, tokens: int, seed: int = 0) -> Array:
    """What the scores of a tiny model are made with, ``(feature, token)``.

    Each column sums to 0, so that the level of the audio does not decide.
    """
    found = np.random.default_rng(seed).normal(0, 2.0 / np.sqrt(features), (features, tokens))
    return np.asarray(found - found.mean(axis=0), dtype=np.float32)


def log_softmax(logits: npt.NDArray[Any]) -> Array:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)), np.float32)


def write_tokens(path: Path, tokens: Sequence[str]) -> None:
    path.write_text("".join(f"{token} {i}\n" for i, token in enumerate(tokens)), encoding="utf-8")


def save(
    path: Path,
    nodes: Sequence[Any],
    ports: tuple[Sequence[Any], Sequence[Any]],
    constants: Mapping[str, npt.NDArray[Any]],
    metadata: Mapping[str, Any],
) -> None:
    used = {name for node in nodes for name in node.input}
    tensors = [
        numpy_helper.from_array(value, name) for name, value in constants.items() if name in used
    ]
    graph = helper.make_graph(nodes, "tiny", *ports, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, {key: str(value) for key, value in metadata.items()})
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))


def make_model(
    path: Path,
    matrix: Array,
    step: int,
    *,
    inputs: Sequence[str] = ("x", "x_lens"),
    outputs: Sequence[str] = ("log_probs", "log_probs_len"),
    metadata: Mapping[str, Any] = {},
    features_first: bool = False,
    last: str = "LogSoftmax",
    half: bool = False,
    around: tuple[int, int] = (0, 0),
    frames: int | None = None,
    codes: Sequence[str] = (),
    eight_bits: bool = False,
    short_length: bool = False,
) -> None:
    """Write a model: every ``step``-th frame of the features, times ``matrix``, normalised.

    Args:
        path: of the file.
        matrix: ``(feature, token)``.
        step: feature frames for each frame of scores.
        inputs: names of the features and of their length, or of the features alone.
        outputs: likewise of scores and their length.
        metadata: of the file.
        features_first: whether the model takes ``(batch, feature, frame)``.
        last: ``LogSoftmax``, ``Softmax`` or ``Identity``.
        half: float16, inside and outside.
        around: rows of zeros before the scores and behind, which do not count in their length.
        frames: how many it takes, if not any number.
        codes: further inputs, int32 ``(1,)``, that are added to column 1, 2, … of each row.
        short_length: whether the length is an int32.
        eight_bits: multiply as dynamically quantised models do.
    """
    bins, tokens = matrix.shape
    kind = TensorProto.FLOAT16 if half else TensorProto.FLOAT
    dtype = np.float16 if half else np.float32
    time: Any = "T" if frames is None else frames
    shape = ["N", bins, time] if features_first else ["N", time, bins]
    nodes = [helper.make_node("Transpose", [inputs[0]], ["t"], perm=[0, 2, 1])]
    start = "t" if features_first else inputs[0]
    nodes = nodes if features_first else []
    nodes += [
        helper.make_node("Slice", [start, "zero", "end", "one", "step"], ["some"]),
        *(_product_of_bytes() if eight_bits else _PRODUCT),
    ]
    at = "scored"
    for column, name in enumerate(codes, start=1):
        nodes += [
            helper.make_node("Cast", [name], [f"{name}_f"], to=kind),
            helper.make_node("Mul", [f"{name}_f", f"column{column}"], [f"{name}_row"]),
            helper.make_node("Add", [at, f"{name}_row"], [f"{name}_sum"]),
        ]
        at = f"{name}_sum"
    if any(around):
        nodes.append(helper.make_node("Pad", [at, "pads"], ["padded"]))
        at = "padded"
    axis = {} if last == "Identity" else {"axis": -1}
    nodes.append(helper.make_node(last, [at], [outputs[0]], **axis))
    scale = np.abs(matrix).max() / 127
    count = TensorProto.INT32 if short_length else TensorProto.INT64
    if len(outputs) > 1:
        nodes += [
            helper.make_node("Add", [inputs[1], "less"], ["more"]),
            helper.make_node("Div", ["more", "step"], [outputs[1]]),
        ]
    columns = {
        f"column{i}": np.eye(tokens, dtype=dtype)[i] * dtype(0.1) for i in range(1, len(codes) + 1)
    }
    save(
        path,
        nodes,
        (
            [
                helper.make_tensor_value_info(inputs[0], kind, shape),
                *(helper.make_tensor_value_info(one, count, ["N"]) for one in inputs[1:2]),
                *(helper.make_tensor_value_info(one, TensorProto.INT32, ["N"]) for one in codes),
            ],
            [
                helper.make_tensor_value_info(outputs[0], kind, ["N", "T2", tokens]),
                *(
                    helper.make_tensor_value_info(one, TensorProto.INT64, ["N"])
                    for one in outputs[1:]
                ),
            ],
        ),
        {
            "zero": np.array([0]),
            "end": np.array([2**31 - 1]),
            "one": np.array([1]),
            "step": np.array([step]),
            "less": np.array([step - 1]),
            "matrix": matrix.astype(dtype),
            "bytes": (matrix / scale).round().astype(np.int8),
            "scale": np.array(scale, dtype=np.float32),
            "pads": np.array([0, around[0], 0, 0, around[1], 0]),
            **columns,
        },
        metadata,
    )


_PRODUCT = [helper.make_node("MatMul", ["some", "matrix"], ["scored"])]


def _product_of_bytes() -> list[Any]:
    return [
        helper.make_node("DynamicQuantizeLinear", ["some"], ["given", "given_scale", "given_zero"]),
        helper.make_node("MatMulInteger", ["given", "bytes", "given_zero"], ["whole"]),
        helper.make_node("Cast", ["whole"], ["whole_f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["given_scale", "scale"], ["both"]),
        helper.make_node("Mul", ["whole_f", "both"], ["scored"]),
    ]


def make_raw_model(
    path: Path,
    tokens: int,
    *,
    hop: int = 320,
    inputs: Sequence[str] = ("input_values", "input_lengths"),
    output: str = "logprobs",
    last: str = "LogSoftmax",
    gain: float = 100.0,
    places: int | None = None,
) -> None:
    """Write a model of samples: of each ``hop`` the first, times ``gain``, score the tokens.

    With ``places`` it has a table of so many positions, and fails on more frames.
    """
    kinds = {"attention_mask": ["N", "S"], "input_lengths": ["N"]}
    axis = {} if last == "Identity" else {"axis": -1}
    nodes = [
        helper.make_node("Shape", ["input_values"], ["shape"], start=1),
        helper.make_node("Div", ["shape", "hop"], ["rows"]),
        helper.make_node("Mul", ["rows", "hop"], ["whole"]),
        helper.make_node("Slice", ["input_values", "zero", "whole", "one"], ["cut"]),
        helper.make_node("Reshape", ["cut", "form"], ["frames"]),
        helper.make_node("Slice", ["frames", "zero", "tokens", "two"], ["some"]),
        helper.make_node("Mul", ["some", "gain"], ["scored"]),
    ]
    at = "scored"
    if places is not None:
        nodes += [
            helper.make_node("Slice", ["table", "zero", "rows"], ["positions"]),
            helper.make_node("Add", ["scored", "positions"], ["placed"]),
        ]
        at = "placed"
    nodes.append(helper.make_node(last, [at], [output], **axis))
    save(
        path,
        nodes,
        (
            [
                helper.make_tensor_value_info("input_values", TensorProto.FLOAT, ["N", "S"]),
                *(
                    helper.make_tensor_value_info(one, TensorProto.INT64, kinds[one])
                    for one in inputs[1:]
                ),
            ],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["N", "T2", tokens])],
        ),
        {
            "hop": np.array([hop]),
            "zero": np.array([0]),
            "one": np.array([1]),
            "two": np.array([2]),
            "tokens": np.array([tokens]),
            "form": np.array([1, -1, hop]),
            "gain": np.array(gain, dtype=np.float32),
            "table": np.zeros((places or 0, tokens), np.float32),
        },
        {},
    )


def make_known_model(folder: Path, log_probs: Array, tokens: Sequence[str]) -> None:
    """Write a model in icefall's form that knows one recording: it gives ``log_probs`` of any."""
    port = helper.make_tensor_value_info
    nodes = [
        helper.make_node("Add", ["x_lens", "three"], ["more"]),
        helper.make_node("Div", ["more", "four"], ["log_probs_len"]),
        helper.make_node("Slice", ["known", "zero", "log_probs_len", "one"], ["log_probs"]),
    ]
    save(
        folder / "model.onnx",
        nodes,
        (
            [
                port("x", TensorProto.FLOAT, ["N", "T", 80]),
                port("x_lens", TensorProto.INT64, ["N"]),
            ],
            [
                port("log_probs", TensorProto.FLOAT, ["N", "T2", len(tokens)]),
                port("log_probs_len", TensorProto.INT64, ["N"]),
            ],
        ),
        {
            "known": log_probs[None],
            "three": np.array([3]),
            "four": np.array([4]),
            "zero": np.array([0]),
            "one": np.array([1]),
        },
        {"model_type": "zipformer2_ctc", "version": "1", "model_author": "k2-fsa"},
    )
    write_tokens(folder / "tokens.txt", tokens)

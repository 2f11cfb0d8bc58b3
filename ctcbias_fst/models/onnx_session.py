"""An ONNX file opened by onnxruntime: what goes in and comes out, and what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from ctcbias_fst.errors import ConfigError, MissingDependencyError, ModelError
from ctcbias_fst.text.text_files import quoted

Array = npt.NDArray[np.float32]

_FLOATS = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
}
_OTHERS = {"tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(bool)": np.bool_}
_SCORES = ("logprobs", "log_probs", "logits", "ctc_logits", "ctc_log_probs", "probs")
"""Names of the output that has the scores of tokens, where there are several outputs."""

_NEED = "ONNX models need onnxruntime and kaldi-native-fbank: pip install 'ctcbias_fst[onnx]'"
_LFS_POINTER = b"version https://git-lfs"
_DATA_FILE = re.compile(r"[^\s\"'/\\=]+\.(?:onnx[._]data|data|bin|weights)\b")


class Port(NamedTuple):
    """An input or output: its name, type in onnxruntime's words, sizes (None: of any size)."""

    name: str
    kind: str
    shape: tuple[int | None, ...]


class Session:
    """A model that onnxruntime has loaded. Threads may share it; a copy loads it anew.

    Args:
        path: of the file.
        device: where to compute.

    Attributes:
        inputs, outputs: in the file's order.
        metadata: what the file says of itself.

    Raises:
        ModelError: the file is missing, damaged, lacks its weights, or needs what this
            onnxruntime has not.
        MissingDependencyError: onnxruntime is not installed.
        ConfigError: it cannot use this device.
    """

    def __init__(self, path: Path, device: torch.device) -> None:
        self.path, self.device = path, device
        self._open()

    def _open(self) -> None:
        runtime = _runtime()
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 4
        providers = _providers(runtime, self.device)
        with _told(self.path, "cannot be loaded"):
            if not self.path.is_file():
                raise ModelError(f"{self.path}: no such file")
            found = runtime.InferenceSession(str(self.path), options, providers=providers)
        if self.device.type == "cuda" and "CUDAExecutionProvider" not in found.get_providers():
            raise ConfigError(
                f"device {self.device}: onnxruntime could not start CUDA (its version and cuDNN's "
                "must be those that onnxruntime-gpu was built for); use cpu"
            )
        self._session = found
        self.inputs = tuple(map(_port, found.get_inputs()))
        self.outputs = tuple(map(_port, found.get_outputs()))
        self.metadata: dict[str, str] = dict(found.get_modelmeta().custom_metadata_map)

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "device": self.device}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.path, self.device = state["path"], state["device"]
        self._open()

    def input(self, name: str) -> Port | None:
        """The input of this name, if there is one."""
        return next((one for one in self.inputs if one.name == name), None)

    @property
    def scores_output(self) -> str:
        """The name of the output that has the scores of tokens."""
        names = [one.name for one in self.outputs]
        return next((name for name in _SCORES if name in names), names[0])

    def run(self, values: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """All outputs, by name, of inputs by name, which are turned into the types they have."""
        feed = {}
        for one in self.inputs:
            kind = {**_FLOATS, **_OTHERS}.get(one.kind)
            if one.name not in values or kind is None:
                raise ModelError(
                    f"{self.path}: has an input {one.name} ({one.kind}) of a meaning that is not "
                    "known; export the model with audio and its length as inputs"
                )
            feed[one.name] = np.asarray(values[one.name], dtype=kind, order="C")
        with _told(self.path, "cannot be run"):
            found = self._session.run(None, feed)
        return {port.name: value for port, value in zip(self.outputs, found)}

    def scores(self, values: Mapping[str, npt.NDArray[Any]]) -> Array:
        """The scores of one recording, ``(frame, token)``; as many frames as the model says."""
        found = self.run(values)
        scores = found[self.scores_output]
        if scores.ndim != 3 or len(scores) != 1 or scores.dtype.kind != "f":
            raise ModelError(
                f"{self.path}: gave {scores.dtype} of the shape {scores.shape}; log-probs "
                "(1, frames, tokens) are wanted, so this is no CTC model"
            )
        for value in found.values():
            if value.dtype.kind == "i" and value.shape == (1,):
                scores = scores[:, : max(0, int(value[0]))]
        return np.asarray(scores[0], dtype=np.float32)


def is_float(port: Port) -> bool:
    """Whether it takes or gives floating-point numbers."""
    return port.kind in _FLOATS


def _port(node: Any) -> Port:
    sizes = (one if isinstance(one, int) and one > 0 else None for one in node.shape or ())
    return Port(node.name, node.type, tuple(sizes))


def _runtime() -> Any:
    try:
        import onnxruntime  # noqa: PLC0415  (an extra)
    except ImportError as error:
        raise MissingDependencyError(_NEED) from error
    return onnxruntime


def kaldi_native_fbank() -> Any:
    """The package of this name.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        import kaldi_native_fbank  # noqa: PLC0415  (an extra)
    except ImportError as error:
        raise MissingDependencyError(_NEED) from error
    return kaldi_native_fbank


def _providers(runtime: Any, device: torch.device) -> list[Any]:
    if device.type != "cuda":
        return ["CPUExecutionProvider"]
    if "CUDAExecutionProvider" not in runtime.get_available_providers():
        raise ConfigError(
            f"device {device}: this onnxruntime has no CUDA: pip install onnxruntime-gpu in its "
            "place, or use cpu"
        )
    return [("CUDAExecutionProvider", {"device_id": device.index or 0}), "CPUExecutionProvider"]


@contextmanager
def _told(path: Path, what: str) -> Iterator[None]:
    """Turn what onnxruntime raises into one line."""
    try:
        yield
    except (ModelError, MemoryError):
        raise
    except Exception as error:  # its own classes have no base that is public
        raise ModelError(f"{path}: {_fault(path, str(error), what)}") from error


def _fault(path: Path, said: str, what: str) -> str:
    """What is wrong with a file, by what onnxruntime said."""
    try:
        with path.open("rb") as file:
            start = file.read(len(_LFS_POINTER))
    except OSError as error:
        return f"cannot be read any more ({error.strerror})"
    if start == _LFS_POINTER:
        return "is a pointer of git-lfs, not the model: run git lfs pull"
    beside = [name for name in _DATA_FILE.findall(said) if not (path.parent / name).exists()]
    if beside:
        return f"its weights are in {beside[0]}, which is missing: put it beside it"
    if "External initializer" in said:
        return (
            "its weights are in a file beside it that is too short: was it downloaded as a whole?"
        )
    if re.search("INVALID_PROTOBUF|ModelProto|No graph was found", said):
        return "is no ONNX model, or damaged: was it downloaded as a whole?"
    return f"{what} by onnxruntime: {quoted(' '.join(said.split()), 300)}"

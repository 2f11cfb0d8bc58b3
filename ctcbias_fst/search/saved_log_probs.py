"""Log-probs that another program saved: ``.npz``, ``.npy`` or a folder of such files,
``.safetensors``, or arrays of lhotse cuts.

Arrays have shape (frames, tokens): natural log, each frame a distribution. Their names are the
utterances' ids. ``docs/own-model.md`` shows how to save them.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from lhotse import CutSet
from safetensors import safe_open

from ctcbias_fst.arrays import (
    are_probabilities,
    as_float32,
    checked_frame_seconds,
    is_one,
    sum_of_probabilities,
)
from ctcbias_fst.cut_sets import named_files, one_line, refuse_commands
from ctcbias_fst.errors import InputError, LogProbsError
from ctcbias_fst.files import is_stream
from ctcbias_fst.text.token_marks import behind_the_last
from ctcbias_fst.text.vocabulary import Vocabulary

_FRAME_SECONDS = "frame_seconds"
"""Name of the scalar (npz) or metadata field (safetensors) that says how long a frame is."""

_FIELD = "log_probs"
"""The custom field of cuts."""

_PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".bin")

_OFTEN_BEST = 0.05
"""Share of the frames: special tokens are hardly ever the best ones."""

_MAX_BYTES = 2**31
_SUSPICIOUS_BYTES, _MAX_RATIO = 2**26, 500
"""An array of an archive may unpack to so many bytes, and beyond the second number to so many times
its packed size."""


class _File(Protocol):
    """Arrays by the ids of their utterances, read one at a time.

    ``faults`` says what is wrong with those whose size cannot be told.
    """

    frames: dict[str, int]
    faults: dict[str, str]
    frame_seconds: float | None

    def array(self, utterance: str) -> Any: ...


class SavedLogProbs:
    """A file of log-probs.

    Args:
        path: ``.npz``, ``.safetensors``, ``.npy``, a folder of ``.npy`` files, or a manifest of
            cuts whose custom field ``log_probs`` is an array.
        trusted: whether commands in a manifest may be run.

    Raises:
        ManifestError: it has a command, and is not trusted.
        LogProbsError: the file is missing, in no known format, or has no usable array. What is
            wrong with one of many is told when that one is read.
    """

    def __init__(self, path: Path, *, trusted: bool = False) -> None:
        kinds: Mapping[str, type[_Npz] | type[_Safetensors] | type[_Npy]]
        kinds = {".npz": _Npz, ".safetensors": _Safetensors, ".npy": _Npy}
        self.path = path
        if not path.exists():
            raise LogProbsError(f"{path}: no such file")
        if is_stream(path):
            raise LogProbsError(
                f"{path}: is a pipe, a device or an open stream, and log-probs are read more than "
                "once, by the ending of their name: save them as a file (.npz, .safetensors, .npy)"
            )
        if path.suffix in _PICKLES:
            raise LogProbsError(
                f"{path}: reading this would run code from the file: save the arrays as .npz or "
                ".safetensors (docs/own-model.md)"
            )
        with _reading(path):
            kind = _Npy if path.is_dir() else kinds.get(path.suffix)
            self._file: _File = _Cuts(path, trusted) if kind is None else kind(path)
        if not self._file.frames:
            raise LogProbsError(f"{path}: has no log-probs")
        if len(self._file.faults) == len(self._file.frames):
            raise LogProbsError(f"{path}: {next(iter(self._file.faults.values()))}")

    @property
    def frames(self) -> Mapping[str, int]:
        """The id of every utterance and its number of frames, in the order of the file.

        That number is 0 where it cannot be told.
        """
        return self._file.frames

    @property
    def frame_seconds(self) -> float | None:
        """How long a frame is, if the file says so."""
        return self._file.frame_seconds

    @property
    def files(self) -> Iterator[Path]:
        """The files of arrays that a manifest names."""
        return self._file.files if isinstance(self._file, _Cuts) else iter(())

    @property
    def columns(self) -> int | None:
        """The columns of the first array that can be read; None if there is none."""
        for utterance in self.frames:
            if utterance in self._file.faults:
                continue
            try:
                with _reading(self.path):
                    array = self._file.array(utterance)
            except LogProbsError:
                continue
            return int(array.shape[1]) if array.ndim == 2 else None
        return None

    def require_usable(self, vocabulary: Vocabulary, softmax: bool = False) -> None:
        """See that there is an array that can be used; those behind the first are not read.

        Args:
            vocabulary, softmax: see `read`.

        Raises:
            LogProbsError: there is none; what is wrong with the first is told.
        """
        first: LogProbsError | None = None
        for utterance in self.frames:
            try:
                self.read(utterance, vocabulary, softmax)
                return
            except LogProbsError as error:
                first = first or error
        others = len(self.frames) - 1
        if first is not None and others:
            raise LogProbsError(
                f"{first} (none of the {others} others can be used, either)"
            ) from first
        if first is not None:
            raise first

    def read(self, utterance: str, vocabulary: Vocabulary, softmax: bool = False) -> torch.Tensor:
        """The log-probs of one utterance: float32 (T, V).

        Args:
            utterance: one of ``frames``.
            vocabulary: what the columns should be.
            softmax: the file has logits: normalise every frame.

        Raises:
            LogProbsError: another number of columns, or frames that are no distributions.
        """
        if utterance in self._file.faults:
            raise LogProbsError(f"{self.path}: {self._file.faults[utterance]}")
        with _reading(self.path):
            array = self._file.array(utterance)
        where = f"{self.path}, {utterance}"
        if array.ndim != 2 or array.shape[1] != vocabulary.size:
            shape = tuple(array.shape)
            turned = array.ndim == 2 and shape[0] == vocabulary.size
            batch = array.ndim == 3 and shape[2] == vocabulary.size
            raise LogProbsError(
                f"{where}: expected shape (frames, {vocabulary.size} tokens), found {shape}: "
                + (
                    "save the transpose"
                    if turned
                    else "save each utterance of a batch by itself, without its padding"
                    if batch
                    else "give the tokens of the model that made the log-probs, blank included "
                    "(--tokens FILE), with one such as <unused1> for a column that writes nothing"
                )
            )
        try:
            values = as_float32(array)
        except LogProbsError as error:
            raise LogProbsError(f"{where}: {error}") from None
        if softmax:
            if are_probabilities(values):
                raise LogProbsError(
                    f"{where}: these are no logits but probabilities, each frame sums to 1: save "
                    "their logarithms, and leave out --softmax"
                )
            return values.log_softmax(dim=-1)
        _check_unnamed(values, vocabulary, where)
        total = sum_of_probabilities(values)
        # NaN is left to the decoder, which names it.
        off = (~is_one(total) & ~total.isnan()).nonzero().flatten().tolist()
        if off:
            raise LogProbsError(
                f"{where}, frame {off[0]}: these are no natural log-probs, their exponentials sum "
                f"to {float(total[off[0]]):.3g} instead of 1: say --softmax for logits; of "
                "probabilities save the logarithms"
            )
        return values


def _check_unnamed(values: torch.Tensor, vocabulary: Vocabulary, where: str) -> None:
    """Refuse log-probs whose columns without tokens are often the best ones."""
    if not vocabulary.unnamed:
        return
    best = values.argmax(dim=-1)
    count = int((best >= vocabulary.unnamed[0]).sum())
    if count > _OFTEN_BEST * len(values):
        unnamed = vocabulary.unnamed
        last = "the last column stands for is not said, and it is"
        if len(unnamed) > 1:
            last = f"the last {len(unnamed)} columns stand for is not said, and they are"
        own = vocabulary.tokens[: unnamed[0]]
        raise LogProbsError(
            f"{where}: what {last} the best in {count} of {len(values)} frames: "
            f"{behind_the_last(own, vocabulary.blank_id, len(unnamed))}the tokens seem to be of "
            "another model; give those of the model that made the log-probs (--tokens FILE)"
        )


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Whatever a damaged file leads to is one line; zip, NumPy and safetensors raise many types."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise LogProbsError(f"{path}: cannot be read: {one_line(error)}") from error


def _seconds(value: Any, path: Path) -> float:
    """A frame's length, as a file says it."""
    try:
        found = float(np.asarray(value, dtype=np.float64).reshape(()))
    except (TypeError, ValueError):
        raise LogProbsError(
            f"{path}: {_FRAME_SECONDS} must be one number, found {value!r:.60}"
        ) from None
    remedy = ": save it right, or pass --frame-seconds"
    return checked_frame_seconds(found, LogProbsError, f"{path}: ", remedy)


class _Npz:
    """NumPy's archive; only headers are read at first."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.frames: dict[str, int] = {}
        self.faults: dict[str, str] = {}
        self.frame_seconds: float | None = None
        with zipfile.ZipFile(path) as archive:
            for member in archive.namelist():
                name = member[: -len(".npy")] if member.endswith(".npy") else member
                info = archive.getinfo(member)
                if info.file_size > _MAX_BYTES or (
                    info.file_size > _SUSPICIOUS_BYTES
                    and info.file_size > _MAX_RATIO * info.compress_size
                ):
                    self.frames[name] = 0
                    self.faults[name] = (
                        f"{name} unpacks to {info.file_size >> 20} MiB from "
                        f"{info.compress_size >> 10} KiB: save it uncompressed if it is right"
                    )
                    continue
                if name == _FRAME_SECONDS:
                    self.frame_seconds = _seconds(self.array(name), path)
                    continue
                try:
                    with archive.open(member) as stream:
                        self.frames[name] = int((_npy_shape(stream) or (1,))[0])
                except Exception as error:  # of many types; it must not cost the others
                    self.frames[name] = 0
                    self.faults[name] = f"{name} cannot be read: {one_line(error)}"

    def array(self, utterance: str) -> Any:
        with np.load(self._path, allow_pickle=False) as content:
            return content[utterance]


class _Npy:
    """A file of one array, or a folder of them; an utterance's id is the file's name."""

    def __init__(self, path: Path) -> None:
        files = sorted(path.glob("*.npy")) if path.is_dir() else [path]
        if not files:
            raise LogProbsError(f"{path}: a folder without .npy files")
        self._files = {file.stem: file for file in files}
        self.frames: dict[str, int] = {}
        self.faults: dict[str, str] = {}
        self.frame_seconds: float | None = None
        for name, file in self._files.items():
            try:
                if not file.is_file():
                    raise ValueError("it is no file")
                with file.open("rb") as stream:
                    shape = _npy_shape(stream)
                if math.prod(shape) > file.stat().st_size:
                    raise ValueError(f"its header says {shape}, the file is shorter")
                self.frames[name] = int((shape or (1,))[0])
            except Exception as error:  # of many types; it must not cost the others
                self.frames[name] = 0
                self.faults[name] = f"{name} cannot be read: {one_line(error)}"

    def array(self, utterance: str) -> Any:
        return np.load(self._files[utterance], allow_pickle=False)


def _npy_shape(stream: Any) -> tuple[int, ...]:
    npy: Any = np.lib.format
    version = npy.read_magic(stream)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape: tuple[int, ...] = read(stream)[0]
    return shape


class _Safetensors:
    def __init__(self, path: Path) -> None:
        # As torch reads it: NumPy has no bfloat16.
        content: Any = safe_open(str(path), framework="pt")
        self._content = content
        self.faults: dict[str, str] = {}
        self.frames = {n: (content.get_slice(n).get_shape() or [1])[0] for n in content.keys()}  # noqa: SIM118
        seconds = (content.metadata() or {}).get(_FRAME_SECONDS)
        self.frame_seconds = None if seconds is None else _seconds(seconds, path)

    def array(self, utterance: str) -> Any:
        return self._content.get_tensor(utterance)


class _Cuts:
    """Cuts with an array each."""

    def __init__(self, path: Path, trusted: bool) -> None:
        try:
            self._cuts = {cut.id: cut for cut in CutSet.from_file(path)}
        except Exception as error:  # lhotse raises many types on a malformed manifest
            raise LogProbsError(
                f"{path}: neither .npz nor .safetensors, nor a readable manifest of cuts: {error}"
            ) from error
        if not trusted:
            refuse_commands(self._cuts.values(), path)
        self.frames: dict[str, int] = {}
        self.faults: dict[str, str] = {}
        self.frame_seconds: float | None = None
        for cut in self._cuts.values():
            array: Any = (getattr(cut, "custom", None) or {}).get(_FIELD)
            try:
                self.frames[cut.id] = int(array.shape[0])
            except Exception:  # it has none, or something else of this name
                self.frames[cut.id] = 0
                self.faults[cut.id] = (
                    f"cut {cut.id} has no array {_FIELD!r}; attach one with "
                    f"cut.attach_tensor({_FIELD!r}, …)"
                )
                continue
            shift = getattr(array, "frame_shift", None)
            self.frame_seconds = self.frame_seconds if shift is None else _seconds(shift, path)

    @property
    def files(self) -> Iterator[Path]:
        return named_files(self._cuts.values())

    def array(self, utterance: str) -> Any:
        return self._cuts[utterance].load_custom(_FIELD)

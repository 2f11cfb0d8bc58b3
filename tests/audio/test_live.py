"""Audio that is still coming: raw samples in pieces of any size, a file, a microphone."""

from __future__ import annotations

import io
import sys
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from ctcbias_fst.audio.live import Microphone, file_chunks, pcm_chunks
from ctcbias_fst.audio.raw import ENCODINGS, LAWS, RawSamples
from ctcbias_fst.errors import AudioError, CtcbiasWarning, MissingDependencyError


class Pipe(io.RawIOBase):
    """Gives so many bytes at a time, whatever is asked for."""

    def __init__(self, data: bytes, size: int) -> None:
        self.data, self.size = data, size

    def read(self, most: int = -1) -> bytes:
        size = min(self.size, most)
        given, self.data = self.data[:size], self.data[size:]
        return given


def raw(samples: np.ndarray, encoding: str) -> bytes:
    if encoding == "f32le":
        return samples.astype("<f4").tobytes()
    half = 2 ** (8 * np.dtype(ENCODINGS[encoding]).itemsize - 1)
    offset = half if encoding == "u8" else 0
    return np.round(samples * (half - 1) + offset).astype(ENCODINGS[encoding]).tobytes()


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("encoding", sorted(ENCODINGS))
def test_raw_samples(encoding: str, channels: int, size: int) -> None:
    mono = np.sin(np.arange(90) / 5) * 0.5
    each = np.stack([mono + 0.1 * i for i in range(channels)], axis=1)
    pipe: Any = Pipe(raw(each.ravel(), encoding), size)
    chunks = list(pcm_chunks(pipe, 8000, 0.002, encoding, channels))
    assert max(map(len, chunks)) <= 16
    expected = mono + 0.1 * (channels - 1) / 2
    assert all(chunk.shape == (len(chunk), channels)[: chunk.ndim] for chunk in chunks)
    found = np.concatenate([chunk.reshape(-1, channels) for chunk in chunks])
    np.testing.assert_allclose(found.mean(axis=1), expected, atol=0.01)
    assert all(chunk.dtype == np.float32 for chunk in chunks)


def test_half_a_sample_at_the_end_is_told() -> None:
    pipe: Any = Pipe(b"\0\0\1\0\2", 2)
    with pytest.warns(CtcbiasWarning, match="left out at the end: 1 byte, no whole .* 1 channel$"):
        chunks = list(pcm_chunks(pipe, 8000, 1.0))
    assert sum(map(len, chunks)) == 2


@pytest.mark.parametrize(
    "header",
    [
        *(b"RIFF....WAVE", b"RF64\xff\xff", b"fLaC....", b"OggS....", b"ID3\x04....", b".snd"),
        *(b"\x1aE\xdf\xa3\x01", b"\0\0\0\x20ftypM4A ", b"\x1f\x8b\x08\0"),
    ],
)
@pytest.mark.parametrize("size", [1, 100])
def test_files_are_no_raw_samples(header: bytes, size: int) -> None:
    pipe: Any = Pipe(header + b"\0" * 100, size)
    with pytest.raises(AudioError, match="file with a header"):
        next(pcm_chunks(pipe, 8000, 1.0))


def test_text_is_no_raw_samples() -> None:
    text = b"Words that somebody wrote, and that nobody can hear, in a file of some length."
    with pytest.raises(AudioError, match="this is text .'Words that somebody "):
        next(pcm_chunks(io.BytesIO(text), 8000, 1.0))
    assert len(next(pcm_chunks(io.BytesIO(text), 8000, 1.0, "u8"))) == len(text)
    assert len(next(pcm_chunks(io.BytesIO(b"@@" * 31), 8000, 1.0))) == 31


def test_a_file_in_chunks(tmp_path: Path) -> None:
    samples = (np.sin(np.arange(4000) / 9) * 0.4).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", samples, 16000, "FLOAT")
    chunks = list(file_chunks(tmp_path / "a.wav", 16000, 0.1))
    assert [len(one) for one in chunks] == [1600, 1600, 800]
    np.testing.assert_allclose(np.concatenate(chunks), samples, atol=1e-6)
    with pytest.raises(AudioError, match=r"b\.wav"):
        list(file_chunks(tmp_path / "b.wav", 16000, 0.1))


class _PortAudioError(Exception):
    pass


def microphone(hears: list[tuple[Any, str]], fault: str = "") -> types.ModuleType:
    """A stand-in for sounddevice, which hears these chunks and then fails, if it is to; it says
    whether it is ``listening``."""

    class InputStream:
        def __init__(
            self, rate: int, size: int, channels: int, dtype: str, callback: Callable[..., None]
        ) -> None:
            if fault and not hears:
                raise _PortAudioError(fault)
            assert (rate, size, channels, dtype) == (16000, 160, 1, "float32")
            self.callback = callback

        def __enter__(self) -> None:
            module.listening = True  # type: ignore[attr-defined]
            for data, status in hears:
                self.callback(data, len(data), None, status)

        def __exit__(self, *_: object) -> None:
            module.listening = False  # type: ignore[attr-defined]

    module = types.ModuleType("sounddevice")
    module.InputStream = InputStream  # type: ignore[attr-defined]
    module.PortAudioError = _PortAudioError  # type: ignore[attr-defined]
    return module


def test_what_a_microphone_hears(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = [(np.full((160, 1), i, np.float32), "") for i in range(3)]
    monkeypatch.setitem(sys.modules, "sounddevice", microphone(heard))
    chunks = Microphone(16000, 0.01).chunks()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [float(next(chunks)[0]) for _ in range(3)] == [0.0, 1.0, 2.0]
    monkeypatch.setitem(
        sys.modules, "sounddevice", microphone([(heard[0][0], "input overflow")] * 3)
    )
    chunks = Microphone(16000, 0.01).chunks()
    next(chunks)
    with pytest.warns(CtcbiasWarning, match=r"some of it was lost \(input overflow\)"):
        next(chunks)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        next(chunks)  # once


def test_what_was_not_taken_is_there_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = [(np.full((160, 1), i, np.float32), "") for i in range(4)]
    monkeypatch.setitem(sys.modules, "sounddevice", microphone(heard))
    listening = Microphone(16000, 0.01)
    chunks = listening.chunks()
    assert float(next(chunks)[0]) == 0.0
    assert [float(one[0]) for one in listening.rest()] == [1.0, 2.0, 3.0]
    monkeypatch.setattr("ctcbias_fst.audio.live._SILENT_SECONDS", 0.01)
    with pytest.raises(AudioError, match="nothing has come"):
        next(chunks)


def test_no_microphone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", microphone([], "no default input"))
    with pytest.raises(AudioError, match="microphone: no default input"):
        next(Microphone(16000, 0.01).chunks())
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'ctcbias_fst\[mic\]'"):
        next(Microphone(16000, 0.01).chunks())


@pytest.mark.parametrize("law", sorted(LAWS))
@pytest.mark.parametrize("channels", [1, 2])
def test_samples_of_telephones(law: str, channels: int, tmp_path: Path) -> None:
    each = np.stack([np.sin(np.arange(90) / 5) * 0.2 * (i + 1) for i in range(channels)], axis=1)
    soundfile.write(tmp_path / "a.raw", each, 8000, LAWS[law], format="RAW")
    data = (tmp_path / "a.raw").read_bytes()
    raw = RawSamples(law, channels)
    found = np.concatenate([raw.add(data[at : at + 11]) for at in range(0, len(data), 11)])
    np.testing.assert_allclose(found.reshape(each.shape), each, atol=0.02)
    assert raw.notice() is None and found.dtype == np.float32

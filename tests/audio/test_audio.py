"""Audio in: every rate and channel count, and every kind of broken file."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import struct
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ctcbias_fst.audio.audio import longest_seconds, read_audio, to_recording
from ctcbias_fst.audio.libsndfile import _hushed
from ctcbias_fst.errors import AudioError


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No decoder but libsndfile."""
    monkeypatch.setitem(sys.modules, "av", None)
    monkeypatch.setattr(shutil, "which", lambda name: None)


def tone(rate: int, seconds: float, hertz: float = 440.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000, 96000])
def test_any_rate_keeps_time_and_pitch(tmp_path: Path, rate: int) -> None:
    path = tmp_path / "tone.wav"
    soundfile.write(path, tone(rate, 1.0), rate)
    recording = read_audio(path)
    assert recording.sampling_rate == 16000
    assert abs(len(recording.samples) - 16000) <= 1
    spectrum = np.abs(np.fft.rfft(recording.samples[:16000], n=16000))
    assert abs(int(spectrum.argmax()) - 440) <= 1


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
def test_formats_and_channels(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"eight.{suffix}"
    channels = np.stack([tone(16000, 0.5) * (k % 2) for k in range(8)], axis=1)
    soundfile.write(path, channels, 16000)
    recording = read_audio(path)
    assert recording.samples.shape == (8000,)
    assert np.abs(recording.samples).max() == pytest.approx(0.25, abs=0.02)


def refuse(path: Path, words: str) -> None:
    with pytest.raises(AudioError, match=words) as caught:
        read_audio(path)
    assert str(path) in str(caught.value)


def test_missing_directory_and_empty(tmp_path: Path) -> None:
    refuse(tmp_path / "none.wav", "no such file")
    refuse(tmp_path, "is a directory")
    (tmp_path / "empty.wav").touch()
    refuse(tmp_path / "empty.wav", "the file is empty")


def test_header_without_samples(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros(0), 16000)
    refuse(path, "too short")


def test_ten_milliseconds(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(16000, 0.01), 16000)
    refuse(path, "less than 25 ms")


NOISE = np.random.default_rng(0).uniform(-0.5, 0.5, 32000).astype(np.float32)


@pytest.mark.parametrize(
    ("format", "share"),
    [
        ("wav", 0.4),
        ("aiff", 0.6),
        ("au", 0.6),
        ("w64", 0.6),
        ("rf64", 0.6),
        ("flac", 0.3),
        ("flac", 0.9),
        ("wav", 0.99),
    ],
)
def test_a_truncated_file_is_read_as_far_as_it_goes(
    tmp_path: Path, format: str, share: float
) -> None:
    path = tmp_path / "a"
    soundfile.write(path, NOISE, 16000, format=format.upper())
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    recording = read_audio(path)
    assert 0 < 32000 * share - len(recording.samples) < 4200  # a block of FLAC
    np.testing.assert_allclose(recording.samples, NOISE[: len(recording.samples)], atol=1e-4)
    if share < 0.95:
        assert recording.warning is not None
        assert recording.warning.startswith(("truncated: ", "damaged at "))
        assert f"{recording.seconds:.2f}" in recording.warning


def test_a_whole_file_has_no_warning(tmp_path: Path) -> None:
    for format in ("wav", "aiff", "au", "w64", "rf64", "flac", "ogg", "mp3"):
        soundfile.write(tmp_path / "a", NOISE, 16000, format=format.upper())
        recording = read_audio(tmp_path / "a")
        assert recording.warning is None
        assert abs(len(recording.samples) - 32000) < 3000, format


@pytest.mark.parametrize("size", [0, 0xFFFF_FFFF, 0x7FFF_FFFF - 36])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_U8", "FLOAT", "ULAW"])
def test_wav_from_a_pipe(tmp_path: Path, size: int, subtype: str) -> None:
    """A program that cannot go back to its header writes a size that means nothing."""
    path = tmp_path / "a.wav"
    soundfile.write(path, np.stack([NOISE, NOISE], axis=1), 16000, subtype=subtype)
    whole = bytearray(path.read_bytes())
    at = whole.index(b"data") + 4
    whole[at : at + 4] = size.to_bytes(4, "little")
    whole[4:8] = size.to_bytes(4, "little")
    path.write_bytes(whole)
    recording = read_audio(path)
    assert len(recording.samples) == 32000
    assert recording.warning is None
    np.testing.assert_allclose(recording.samples, NOISE, atol=0.02)
    part = read_audio(path, start=0.5, seconds=0.5)
    np.testing.assert_array_equal(part.samples, recording.samples[8000:16000])


def mp3(path: Path, samples: np.ndarray) -> bytes:
    """MP3 at a variable bit rate; its first frame tells how many there are."""
    soundfile.write(path, samples, 16000, format="MP3")
    return path.read_bytes()


def without_seek_header(content: bytes) -> bytes:
    kilobits = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)[content[2] >> 4]
    size = 72 * 1000 * kilobits // 16000  # of MPEG 2
    assert content[:2] == content[size : size + 2]
    return content[size:]


@pytest.mark.parametrize("loud_first", [False, True])
def test_mp3_without_seek_header(tmp_path: Path, loud_first: bool) -> None:
    """What libsndfile says of its length is an estimate from the first frames."""
    samples = np.concatenate([np.zeros(32000), NOISE, np.zeros(32000), NOISE])
    content = without_seek_header(mp3(tmp_path / "x", samples[::-1] if loud_first else samples))
    assert b"Xing" not in content
    for name, extra in (("a.mp3", b""), ("tagged.mp3", b"TAG" + bytes(125))):
        path = tmp_path / name
        path.write_bytes(content + extra)
        estimate = soundfile.info(path).frames
        recording = read_audio(path)
        assert abs(len(recording.samples) - len(samples)) < 3000
        assert abs(estimate - len(samples)) > 10000
        assert recording.warning is None
        assert longest_seconds([path]) is None
    path.write_bytes(content[: len(content) // 2])
    assert 16000 < len(read_audio(path).samples) < 112000


def test_several_mp3_files_in_one(tmp_path: Path) -> None:
    """The first one's seek header does not speak for the others."""
    path = tmp_path / "a.mp3"
    content = mp3(path, np.concatenate([NOISE] * 3))
    path.write_bytes(content + content)
    assert read_audio(path).seconds == pytest.approx(12.0, abs=0.3)
    path.write_bytes(content + b"TAG" + bytes(125))
    assert read_audio(path).seconds == pytest.approx(6.0, abs=0.1)


def id3(size: int) -> bytes:
    """A tag as large as a cover picture may make it."""
    syncsafe = bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x03\0\0" + syncsafe + bytes(size)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (id3(500), b""),
        (id3(2_000_000), b""),
        (id3(500) + id3(300), b"TAG" + bytes(125)),
        (id3(500) + bytes(1000), b""),
        (bytes(1000), b""),
        (b"junk" * 100, b""),
        (b"", bytes(20_000) + b"APETAGEX" + bytes(24)),
    ],
)
@pytest.mark.parametrize("seek_header", [False, True])
def test_mp3_among_tags(tmp_path: Path, before: bytes, after: bytes, seek_header: bool) -> None:
    path = tmp_path / "a.mp3"
    content = mp3(path, np.concatenate([NOISE] * 3))
    path.write_bytes(before + (content if seek_header else without_seek_header(content)) + after)
    recording = read_audio(path)
    assert recording.seconds == pytest.approx(6.0, abs=0.2)
    assert recording.warning is None


def test_mp3_in_wav(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    content = without_seek_header(mp3(path, np.concatenate([np.zeros(32000), NOISE] * 2)))
    form = struct.pack("<HHIIHHHHIHHH", 0x55, 1, 16000, 8000, 1, 0, 12, 1, 2, 288, 1, 1393)
    chunks = b"WAVEfmt " + struct.pack("<I", len(form)) + form
    chunks += b"data" + struct.pack("<I", len(content)) + content
    path.write_bytes(b"RIFF" + struct.pack("<I", len(chunks)) + chunks)
    assert read_audio(path).seconds == pytest.approx(8.0, abs=0.2)


def chained(path: Path, format: str) -> bytes:
    soundfile.write(path, NOISE, 16000, format="OGG", subtype=format)
    return path.read_bytes()


@pytest.mark.parametrize("format", ["VORBIS", "OPUS"])
def test_several_ogg_streams_in_one_file(tmp_path: Path, format: str) -> None:
    """libsndfile reads the first."""
    path = tmp_path / "a.ogg"
    content = chained(path, format)
    assert read_audio(path).warning is None
    path.write_bytes(content + content)
    assert longest_seconds([path]) is None
    recording = read_audio(path)
    assert recording.seconds == pytest.approx(2.0, abs=0.1)
    assert recording.warning == "only the first of several streams in it is read"


def test_damaged_flac(tmp_path: Path) -> None:
    """libsndfile ends there."""
    path = tmp_path / "a.flac"
    soundfile.write(path, np.concatenate([NOISE] * 5), 16000)
    content = bytearray(path.read_bytes())
    at = len(content) // 3
    content[at : at + 100] = bytes(100)
    path.write_bytes(content)
    recording = read_audio(path)
    assert recording.seconds == pytest.approx(10 / 3, abs=0.3)
    assert recording.warning is not None
    assert recording.warning.startswith("damaged at 3.")


def test_damaged_mp3(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    content = bytearray(without_seek_header(mp3(path, np.concatenate([NOISE] * 6))))
    path.write_bytes(content[:-100])
    assert read_audio(path).warning is None
    content[20000:25000] = bytes(5000)
    path.write_bytes(content)
    recording = read_audio(path)
    assert recording.warning is not None
    assert recording.warning.startswith("damaged at ")
    assert 8.0 < recording.seconds < 11.9


def test_truncated_mp3_with_a_count(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.mp3"
    content = mp3(path, np.concatenate([NOISE] * 3))
    assert longest_seconds([path]) == pytest.approx(6.0, abs=0.2)
    path.write_bytes(content[: len(content) // 2])
    recording = read_audio(path)
    assert recording.seconds == pytest.approx(3.0, abs=0.3)
    assert recording.warning is not None
    assert recording.warning.startswith("truncated: ")
    assert capfd.readouterr().err == ""  # libsndfile's decoder has its own opinions


@pytest.mark.parametrize("name", ["a.mp3", "a.wav", "a.m4a", "a"])
@pytest.mark.parametrize("content", ["one\ntwo\n" * 2000, "<html>é</html>", "\ufeffno sound"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_text_is_no_audio(
    tmp_path: Path, name: str, content: str, encoding: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    path.write_text(content, encoding=encoding)
    with pytest.raises(AudioError, match=f"{name}: is no audio: it looks like text, which begins"):
        read_audio(path)
    assert longest_seconds([path]) is None
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("content", [bytes(3000), b"\xff\xfb\x90\x64" + NOISE.tobytes()[:9000]])
def test_nothing_is_said_of_broken_mp3(
    tmp_path: Path, content: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.mp3"
    path.write_bytes(content)
    with contextlib.suppress(AudioError):
        read_audio(path)
    path.write_bytes(mp3(path, NOISE)[:2000] + content * 2)
    read_audio(path)
    assert capfd.readouterr().err == ""


def test_what_others_say_is_kept(capfd: pytest.CaptureFixture[str]) -> None:
    with _hushed():
        os.write(2, b"Note: Trying to resync...\nWarning: names.txt\n\nNote: Skipped 3 bytes\n")
    assert capfd.readouterr().err == "Warning: names.txt\n"


def test_a_count_of_samples_that_cannot_be(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, NOISE, 16000)
    content = bytearray(path.read_bytes())
    content[21] |= 0x0F
    content[22:26] = b"\xff\xff\xff\xff"  # 2^36 - 1 samples
    path.write_bytes(content)
    recording = read_audio(path)
    np.testing.assert_allclose(recording.samples, NOISE, atol=1e-4)
    assert recording.warning is not None
    assert recording.warning.startswith("truncated: 2.00 of ")


def with_rate(path: Path, rate: int) -> Path:
    """A WAV file that says that it has this rate."""
    soundfile.write(path, NOISE, 16000)
    content = bytearray(path.read_bytes())
    content[24:28] = rate.to_bytes(4, "little")
    content[28:32] = min(2 * rate, 2**32 - 1).to_bytes(4, "little")
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("rate", [1, 10, 1999, 768_001, 10_000_000, 2**31 - 1])
def test_a_rate_that_no_speech_has(tmp_path: Path, rate: int) -> None:
    path = with_rate(tmp_path / "a.wav", rate)
    refuse(path, f"a sampling rate of {rate} Hz cannot be right; it must be from 2000 to 768000 Hz")
    with pytest.raises(AudioError, match=r"sampling rate of .* cannot be right"):
        to_recording(NOISE, 16000, rate)


@pytest.mark.parametrize("rate", [2000, 4001, 352_800, 768_000])
def test_unusual_rates(tmp_path: Path, rate: int) -> None:
    recording = read_audio(with_rate(tmp_path / "a.wav", rate))
    assert recording.seconds == pytest.approx(32000 / rate, rel=1e-3)


@pytest.mark.parametrize("rate", [0, -16000, 16000.5, float("nan"), float("inf"), "16000", True])
def test_a_rate_that_is_none(rate: object) -> None:
    with pytest.raises(AudioError, match="sampling rate"):
        to_recording(NOISE, 16000, rate)  # type: ignore[arg-type]


def test_long_pieces_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, NOISE, 16000)
    monkeypatch.setattr("ctcbias_fst.audio.blocks.LONGEST_SECONDS", 1.5)
    refuse(path, "longer than")


def test_a_part_of_a_file(tmp_path: Path) -> None:
    for format in ("wav", "flac", "mp3"):
        path = tmp_path / f"a.{format}"
        soundfile.write(path, np.stack([NOISE, -NOISE], axis=1), 16000)
        whole = read_audio(path, channels=[0]).samples
        part = read_audio(path, start=0.5, seconds=0.25, channels=[0])
        np.testing.assert_allclose(part.samples, whole[8000:12000], atol=1e-3)
        other = read_audio(path, start=0.5, seconds=0.25, channels=[1]).samples
        np.testing.assert_allclose(other, -part.samples, atol=0.05)
        rest = read_audio(path, start=1.5, seconds=3.0, channels=[0])
        np.testing.assert_allclose(rest.samples, whole[24000:], atol=1e-3)
    with pytest.raises(AudioError, match="has no channel 2, only 2"):
        read_audio(path, channels=[2])
    with pytest.raises(AudioError, match="too short"):
        read_audio(path, start=9.0)


def test_content_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, NOISE, 16000)
    content, expected = path.read_bytes(), read_audio(path).samples
    with path.open("rb") as stream:
        for source in (content, bytearray(content), memoryview(content), io.BytesIO(content),
                       stream, str(path), OnlyPath(path)):  # fmt: skip
            np.testing.assert_array_equal(read_audio(source).samples, expected)
            if hasattr(source, "seek"):
                source.seek(0)
            np.testing.assert_array_equal(to_recording(source, 16000).samples, expected)


class OnlyPath:
    """What has a path, but is none."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __fspath__(self) -> str:
        return str(self._path)


class Broken:
    def read(self, size: int = -1) -> bytes:
        raise RuntimeError("the line is dead")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (b"", "there is nothing in it"),
        (b"hello", "is no audio: it looks like text"),
        (io.BytesIO(), "there is nothing in it"),
        (io.StringIO("text"), "open it in binary mode"),
        (Broken(), "the line is dead"),
        ("a\0b", "cannot be opened"),
        ("a" * 5000, "cannot be opened"),
        ("\ud800.wav", "cannot be opened"),
        ("", "name a file"),
        ("/dev/zero", "neither a file nor a pipe"),
        ("https://example.org/a.mp3", "no such file; download it first"),
    ],
)
def test_sources_that_cannot_be_read(source: object, words: str) -> None:
    with pytest.raises(AudioError, match=words):
        read_audio(source)


def test_a_file_that_must_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, NOISE, 16000)

    def denied(self: Path, *arguments: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", denied)
    refuse(path, "cannot be opened: Permission denied")
    monkeypatch.setattr(Path, "stat", denied)
    refuse(path, "cannot be opened: Permission denied")
    assert longest_seconds([path]) is None


@pytest.mark.parametrize("name", ["a.raw", "it's $(here); a.flac", "\udcff.wav", "a.mp3", "-"])
def test_names_that_say_nothing(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    soundfile.write(tmp_path / "x.wav", NOISE, 16000)
    (tmp_path / "x.wav").rename(tmp_path / name)
    assert len(read_audio(name).samples) == 32000
    assert longest_seconds([name]) == 2.0


def test_a_pipe_is_read(tmp_path: Path) -> None:
    path, pipe = tmp_path / "a.wav", tmp_path / "pipe"
    soundfile.write(path, NOISE, 16000)
    os.mkfifo(pipe)
    assert longest_seconds([pipe]) is None
    writer = threading.Thread(target=lambda: pipe.write_bytes(path.read_bytes()))
    writer.start()
    recording = read_audio(pipe)
    writer.join()
    assert len(recording.samples) == 32000
    assert recording.id == str(pipe)


@pytest.mark.parametrize("value", [1e19, -1e30, 32767.0, 17.0])
def test_samples_far_over_full_scale(tmp_path: Path, value: float) -> None:
    path = tmp_path / "a.wav"
    samples = tone(16000, 1.0)
    samples[8000] = value
    soundfile.write(path, samples, 16000, subtype="FLOAT")
    refuse(path, r"sample 8000 \(0\.500 s\) is .* far over full scale")
    samples[8000] = 3.0  # a mixing desk may do that
    soundfile.write(path, samples, 16000, subtype="FLOAT")
    assert read_audio(path).samples[8000] == 3.0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_not_finite(tmp_path: Path, value: float) -> None:
    path = tmp_path / "a.wav"
    samples = tone(16000, 1.0)
    samples[8000] = value
    soundfile.write(path, samples, 16000, subtype="FLOAT")
    refuse(path, r"sample 8000 \(0\.500 s\) is")

"""Audio that libsndfile does not know: by PyAV or ffmpeg, or a message that says what to install.

The files of ``media/`` are a second of 440 Hz, but for ``silent.mp4``, which has a picture only.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ctcbias_fst.audio import audio
from ctcbias_fst.audio.audio import longest_seconds, read_audio
from ctcbias_fst.errors import AudioError

MEDIA = Path(__file__).parent / "media"


@pytest.fixture(params=["PyAV", "ffmpeg"])
def decoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each of the decoders alone, where it is there."""
    if request.param == "ffmpeg":
        if shutil.which("ffmpeg") is None:
            pytest.skip("ffmpeg is not installed")
        monkeypatch.setitem(sys.modules, "av", None)
    else:
        if importlib.util.find_spec("av") is None:
            pytest.skip("PyAV is not installed")
        monkeypatch.setattr(shutil, "which", lambda name: None)
    return str(request.param)


@pytest.mark.parametrize("name", ["tone.m4a", "tone.webm", "tone.mp4", "tone.mkv"])
def test_other_formats(decoder: str, name: str) -> None:
    recording = read_audio(MEDIA / name)
    assert recording.warning is None
    assert recording.seconds == pytest.approx(1.0, abs=0.06)
    spectrum = np.abs(np.fft.rfft(recording.samples[:16000], n=16000))
    assert abs(int(spectrum.argmax()) - 440) <= 1
    assert 0.05 < np.abs(recording.samples).max() < 0.2
    assert longest_seconds([MEDIA / name]) is None
    in_memory = read_audio((MEDIA / name).read_bytes())
    np.testing.assert_array_equal(in_memory.samples, recording.samples)
    part = read_audio(MEDIA / name, start=0.25, seconds=0.5)
    np.testing.assert_allclose(part.samples, recording.samples[4000:12000], atol=2e-2)


def test_what_was_handed_over_open(decoder: str) -> None:
    """`ctcbias transcribe - < tone.m4a`: a file, but only this process has it."""
    with (MEDIA / "tone.m4a").open("rb") as file:
        recording = read_audio(f"/dev/fd/{file.fileno()}")
    np.testing.assert_array_equal(recording.samples, read_audio(MEDIA / "tone.m4a").samples)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="there is no /proc")
def test_nothing_is_left_where_the_process_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is copied has no name, and is found all the same."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with audio._temporary() as (copy, path):
        copy.write(b"heard")
        copy.flush()
        assert path.read_bytes() == b"heard"
        assert not list(tmp_path.iterdir())


def test_a_picture_has_no_sound(decoder: str) -> None:
    with pytest.raises(AudioError, match=r"silent\.mp4: has no sound"):
        read_audio(MEDIA / "silent.mp4")


def test_a_truncated_film(decoder: str, tmp_path: Path) -> None:
    path = tmp_path / "a.webm"
    content = (MEDIA / "tone.webm").read_bytes()
    path.write_bytes(content[: len(content) // 2])
    recording = read_audio(path)
    assert 0.2 < recording.seconds < 0.8
    assert recording.warning is not None
    path.write_bytes(content[:100])
    with pytest.raises(AudioError, match=f"cannot be decoded .*{decoder}: "):
        read_audio(path)


NOISE = np.random.default_rng(0).uniform(-0.5, 0.5, 80000).astype(np.float32)


@pytest.mark.parametrize("format", ["VORBIS", "OPUS"])
def test_several_ogg_streams_in_one_file(decoder: str, tmp_path: Path, format: str) -> None:
    path = tmp_path / "a.ogg"
    soundfile.write(path, NOISE, 16000, format="OGG", subtype=format)
    path.write_bytes(path.read_bytes() * 2)
    assert read_audio(path).seconds == pytest.approx(10.0, abs=0.2)


def test_what_is_behind_damage(decoder: str, tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, NOISE, 16000)
    content = bytearray(path.read_bytes())
    at = len(content) // 3
    content[at : at + 100] = bytes(100)
    path.write_bytes(content)
    recording = read_audio(path)
    assert recording.seconds > 4.2
    assert recording.warning is not None


@pytest.mark.parametrize("content", [b"hello", b"<html>" * 1000, bytes(range(256)) * 100])
def test_what_is_no_audio(decoder: str, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.m4a"
    path.write_bytes(content)
    with pytest.raises(AudioError) as caught:
        read_audio(path)
    assert str(caught.value).count(str(path)) == 1
    assert "\n" not in str(caught.value)


def test_a_list_of_other_files_is_not_followed(decoder: str, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(16000), 16000)
    path = tmp_path / "list.m3u8"
    path.write_text(f"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXTINF:1,\n{tmp_path}/a.wav\n")
    with pytest.raises(AudioError):
        read_audio(path)


@pytest.mark.parametrize("name", ["tone.m4a", "tone.webm"])
def test_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(AudioError) as caught:
        read_audio(MEDIA / name)
    message = str(caught.value)
    assert message.startswith(f"{MEDIA / name}: cannot be decoded")
    assert "install PyAV (pip install av) or ffmpeg" in message

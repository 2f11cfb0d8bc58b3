"""Generated audio files: whatever their bytes are, samples or one `AudioError`; never more.

Files are changed here and there, above all in their headers, or have headers made of absurd
numbers. A native crash would end the test run.
"""

from __future__ import annotations

import io
import shutil
import struct
import sys
import time
import tracemalloc
from collections import Counter

import numpy as np
import pytest
import soundfile
from generated import many
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ctcbias_fst.audio.audio import read_audio
from ctcbias_fst.audio.blocks import LOUDEST
from ctcbias_fst.errors import AudioError

SHORT = settings(max_examples=150, suppress_health_check=list(HealthCheck))

COUNTS: Counter[str] = Counter()
"""How many generated files were read, and how many refused."""


def _original(kind: tuple[str, str]) -> bytes:
    rng = np.random.default_rng(0)
    wave = 0.3 * np.sin(0.1 * np.arange(6000)) + 0.05 * rng.standard_normal(6000)
    stream = io.BytesIO()
    soundfile.write(stream, wave, 16000, format=kind[0], subtype=kind[1])
    return stream.getvalue()


ORIGINALS = [
    _original(kind)
    for kind in (
        ("WAV", "PCM_16"), ("WAV", "FLOAT"), ("WAV", "MS_ADPCM"), ("WAVEX", "PCM_24"),
        ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"),
        ("AIFF", "PCM_16"), ("AU", "PCM_16"), ("W64", "PCM_16"), ("RF64", "PCM_16"),
        ("CAF", "PCM_16"), ("NIST", "PCM_16"),
    )
]  # fmt: skip

_EXTREMES = [
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\1\0\0\0",
]

places = st.one_of(st.integers(0, 64), st.integers(0, 400), st.integers(0, 50_000))
changes = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "put", "insert", "delete", "cut"]),
        places,
        st.one_of(st.sampled_from(_EXTREMES), st.binary(min_size=1, max_size=8)),
    ),
    min_size=1,
    max_size=6,
)


@st.composite
def changed_files(draw: st.DrawFn) -> bytes:
    content = bytearray(draw(st.sampled_from(ORIGINALS)))
    for what, place, data in draw(changes):
        at = place % (len(content) + 1)
        if what == "put":
            content[at : at + len(data)] = data
        elif what == "insert":
            content[at:at] = data
        elif what == "delete":
            del content[at : at + len(data)]
        else:
            del content[at:]
    return bytes(content)


_NUMBERS = st.one_of(
    st.sampled_from([0, 1, 2, 3, 7, 8, 16, 24, 32, 64, 255, 1024, 8000, 16000, 48000]),
    st.integers(0, 2**32 - 1),
)


@st.composite
def wav_headers(draw: st.DrawFn) -> bytes:
    """A WAV file every field of which may be anything."""
    tag = draw(st.one_of(st.sampled_from([1, 2, 3, 6, 7, 17, 49, 85, 0xFFFE]), _NUMBERS)) % 2**16
    channels = draw(st.one_of(st.integers(0, 3), _NUMBERS)) % 2**16
    rate = draw(st.one_of(st.sampled_from([16000, 8000, 1, 2**31]), _NUMBERS))
    bits = draw(st.one_of(st.sampled_from([8, 16, 24, 32, 64, 4, 0]), _NUMBERS)) % 2**16
    align = draw(st.one_of(st.just(channels * bits // 8), _NUMBERS)) % 2**16
    data = draw(st.sampled_from([b"", b"\0" * 1600, bytes(range(256)) * 16, b"\xff\x7f" * 2000]))
    claimed = draw(st.one_of(st.just(len(data)), _NUMBERS))
    extra = draw(st.sampled_from([b"", b"\0\0", b"\x16\0" + bytes(22)]))
    form = struct.pack("<HHIIHH", tag, channels, rate, rate * align % 2**32, align, bits) + extra
    body = b"fmt " + struct.pack("<I", len(form)) + form
    fact = b"fact" + struct.pack("<II", 4, draw(_NUMBERS)) if draw(st.booleans()) else b""
    body += fact + b"data" + struct.pack("<I", claimed) + data
    return b"RIFF" + struct.pack("<I", draw(_NUMBERS)) + b"WAVE" + body


@st.composite
def flac_headers(draw: st.DrawFn) -> bytes:
    """A FLAC file whose STREAMINFO may say anything."""
    content = bytearray(ORIGINALS[4])
    sizes = draw(st.tuples(*[st.integers(0, 2**16 - 1)] * 2))
    rate, count = draw(st.integers(0, 2**20 - 1)), draw(st.integers(0, 2**36 - 1))
    channels, bits = draw(st.integers(0, 7)), draw(st.integers(0, 31))
    packed = rate << 44 | channels << 41 | bits << 36 | count
    keep = draw(st.sampled_from(["sizes", "stream", "none"]))
    if keep != "sizes":
        content[8:12] = struct.pack(">HH", *sizes)
    if keep != "stream":
        content[18:26] = packed.to_bytes(8, "big")
    return bytes(content)


@st.composite
def mp3_headers(draw: st.DrawFn) -> bytes:
    """An MP3 file behind tags, with a seek header, or without, that may say anything."""
    content = bytearray(ORIGINALS[7])
    at = content.index(b"Xing") + 4
    fields = (draw(st.integers(0, 15)), draw(_NUMBERS), draw(_NUMBERS))
    content[at : at + 12] = struct.pack(">III", *fields)
    if draw(st.booleans()):
        content[at - 4 : at] = draw(st.sampled_from([b"VBRI", b"Info", b"\0\0\0\0"]))
    size = draw(st.one_of(st.integers(0, 300), st.integers(0, 2**28 - 1)))
    syncsafe = bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
    tag = b"ID3\x03\0\0" + syncsafe + bytes(min(size, 300))
    return (tag if draw(st.booleans()) else b"") + bytes(content) * draw(st.integers(1, 2))


generated = st.one_of(
    changed_files(), changed_files(), wav_headers(), flac_headers(), mp3_headers()
)


def check(content: bytes) -> None:
    tracemalloc.start()
    begin = time.process_time()
    try:
        samples = read_audio(content).samples
        COUNTS["read"] += 1
        assert samples.dtype == np.float32
        assert samples.ndim == 1
        assert (np.abs(samples) <= LOUDEST * 2).all()  # resampling overshoots
    except AudioError as error:
        COUNTS["refused"] += 1
        assert "\n" not in str(error)
        assert len(str(error)) < 600
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 64e6
    assert time.process_time() - begin < 20


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No decoder but libsndfile."""
    monkeypatch.setitem(sys.modules, "av", None)
    monkeypatch.setattr(shutil, "which", lambda name: None)


@SHORT
@given(generated)
def test_some_files(alone: None, content: bytes) -> None:
    check(content)


@many("audio files", 10000)
@given(generated)
def test_many_files(alone: None, content: bytes) -> None:
    check(content)


@many("audio files, all decoders", 500)
@given(generated)
def test_files_that_other_decoders_are_given(content: bytes) -> None:
    check(content)


@pytest.fixture(scope="module", autouse=True)
def counted() -> object:
    COUNTS.clear()
    yield
    print(f"\ngenerated audio files: {COUNTS['read']} read, {COUNTS['refused']} refused")
    assert COUNTS["read"]
    assert COUNTS["refused"]

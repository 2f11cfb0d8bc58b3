"""Raw samples, without a header, as they come in pieces of bytes of any size."""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO
from typing import Any

import numpy as np
import soundfile

from ctcbias_fst.audio.samples import Samples
from ctcbias_fst.errors import AudioError
from ctcbias_fst.text.text_files import counted

ENCODINGS = {"s16le": "<i2", "s32le": "<i4", "u8": "u1", "f32le": "<f4"}
"""How raw samples are written, and numpy's name of it; as ffmpeg and sox have them."""

LAWS = {"mulaw": "ULAW", "alaw": "ALAW"}
"""Those of G.711, a byte a sample, and libsndfile's name of them."""

_HEADERS = (
    *(b"RIFF", b"RF64", b"RIFX", b"fLaC", b"OggS", b"ID3\x03", b"ID3\x04", b"FORM"),
    *(b".snd", b"caff", b"\x1aE\xdf\xa3", b"#!AM", b"NIST", b"wvPK", b"\x1f\x8b\x08", b"BZh9"),
)
"""Of WAV and its kin, FLAC, Ogg, MP3, AIFF, AU, CAF, WebM, AMR, SPHERE, WavPack, gzip and bzip2."""

_BOX = (b"ftyp", b"moov", b"mdat", b"wide")
"""Where an MP4 or QuickTime file begins, behind the length of it."""

_LONGEST_HEADER = 8
_TEXT_BYTES = 64
"""So many bytes that can all be printed are text, in samples of more than one byte."""

_PRINTED = frozenset(b"\t\n\r") | frozenset(range(0x20, 0x7F))


class RawSamples:
    """Makes samples of bytes; where these are cut makes no difference.

    Args:
        encoding: one of :data:`ENCODINGS` or :data:`LAWS`.
        channels: interleaved.
    """

    def __init__(self, encoding: str = "s16le", channels: int = 1) -> None:
        self._law = LAWS.get(encoding)
        self._kind = np.dtype("u1" if self._law else ENCODINGS[encoding])
        self._encoding, self._channels = encoding, channels
        self.frame_bytes = self._kind.itemsize * channels
        self._kept, self._begun = b"", False

    @property
    def left(self) -> int:
        """How many bytes wait for others."""
        return len(self._kept)

    def add(self, data: bytes, *, last: bool = False) -> Samples:
        """Take the next bytes.

        Args:
            data: any number of them.
            last: whether no others follow.

        Returns:
            float32 ``(samples,)``, or of several channels ``(samples, channels)``, full scale 1.

        Raises:
            AudioError: they begin like a file with a header, or like text.
        """
        kept = self._kept + data
        if not self._begun and kept and (last or len(kept) >= _LONGEST_HEADER):
            _refuse_files(kept, of_bytes=self._kind.itemsize == 1)
            self._begun = True
        whole = len(kept) - len(kept) % self.frame_bytes if self._begun else 0
        self._kept = kept[whole:]
        return self._scaled(np.frombuffer(kept[:whole], self._kind))

    def notice(self) -> str | None:
        """What is to be said of the end, if that is no whole sample."""
        if not self._kept:
            return None
        return (
            f"raw samples: left out at the end: {counted(len(self._kept), 'byte')}, no whole "
            f"sample of {self._encoding} with {counted(self._channels, 'channel')}"
        )

    def _scaled(self, values: np.ndarray[Any, np.dtype[Any]]) -> Samples:
        scaled: Samples
        if self._law:
            scaled = np.take(_law_table(self._law), values)
        elif values.dtype.kind == "f":
            scaled = values.astype(np.float32)
        else:
            half = float(2 ** (8 * values.dtype.itemsize - 1))
            offset = half if values.dtype.kind == "u" else 0.0
            scaled = ((values.astype(np.float64) - offset) / half).astype(np.float32)
        return scaled if self._channels == 1 else scaled.reshape(-1, self._channels)


@lru_cache(maxsize=2)
def _law_table(law: str) -> Samples:
    """The sample of each byte."""
    table: Samples
    every = BytesIO(bytes(range(256)))
    form: dict[str, Any] = {"samplerate": 8000, "channels": 1, "format": "RAW", "subtype": law}
    table, _ = soundfile.read(every, dtype="float32", **form)
    return table


def _refuse_files(data: bytes, *, of_bytes: bool) -> None:
    begin = data[:4]
    if data.startswith(_HEADERS) or data[4:8] in _BOX:
        raise AudioError(
            f"raw samples: this is a file with a header ({begin.decode('ascii', 'replace')!r}): "
            "hand it in as a file, or have ffmpeg or sox write raw samples"
        )
    text = data[:_TEXT_BYTES]
    if not of_bytes and len(text) == _TEXT_BYTES and _PRINTED.issuperset(text):
        raise AudioError(
            f"raw samples: this is text ({text[:20].decode('ascii')!r}): samples are wanted, as "
            "ffmpeg, sox or arecord write them"
        )

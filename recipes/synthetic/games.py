"""Speech and lines of games, out of their archives."""

from __future__ import annotations

import re
import struct
import sys
from pathlib import Path

import numpy as np
import soundfile
from tqdm import tqdm

from ctcbias_fst.errors import ManifestError

from .names import require

__all__ = ["drascula_texts", "unpack_amazon_queen", "unpack_steel_sky"]


def drascula_texts(path: Path) -> dict[str, list[str]]:
    """The English lines of ``drascula.dat``, by the prefix of the clips that speak them.

    Line ``n`` of a table is spoken in the clip ``<prefix><n>.ALS``; line 0 is empty. A
    table has, all numbers big-endian: its count of lines (2 bytes), then per language a
    length (2 bytes) and as many bytes, in which each line begins 4 bytes after the block
    or where the line before it ends, led by its padded length (2 bytes).

    Raises:
        ManifestError: the file is not as described.
    """
    data = path.read_bytes()
    prefixes = ("", "D", "B", "BJ", "E", "I", "L", "P", "T", "VB")
    languages = 6

    def number(at: int) -> int:
        return int(struct.unpack_from(">H", data, at)[0])

    def table(at: int) -> tuple[list[str], int]:
        count = number(at)
        blocks = []
        at += 2
        for _ in range(languages):
            size = number(at)
            blocks.append(data[at + 2 : at + 2 + size])
            if len(blocks[-1]) < max(size, 4 * count) or not count:
                raise ValueError("not a table")
            at += 2 + size
        english, start, lines = blocks[0], 4, []
        for _ in range(count):
            lines.append(english[start : english.index(0, start)].decode("latin-1"))
            start += struct.unpack_from(">H", english, start - 2)[0]
        return lines, at

    def tables(at: int) -> list[list[str]]:
        found = []
        while at < len(data):
            lines, at = table(at)
            found.append(lines)
        return found

    # The tables of other kinds in front differ in size, so the first of lines is found by trial:
    # from it, tables follow each other to the end of the file.
    for start in range(min(len(data), 65536)):
        try:
            found = tables(start)
        except (ValueError, struct.error):
            continue
        if len(found) >= len(prefixes):
            return dict(zip(prefixes, found))
    raise ManifestError(f"{path}: not a drascula.dat as known (tables of lines in 6 languages)")


def unpack_steel_sky(folder: Path, out: Path) -> None:
    """Write the speech of Beneath a Steel Sky as ``<number of the file>.wav``.

    ``sky.dnr`` has a count (4 bytes), then per file 8 bytes, all little-endian: its number (2),
    its place in ``sky.dsk`` (3 bytes; the highest bit says that the rest counts blocks of
    16 bytes), and its size (3 bytes, of which the highest two bits are flags). Numbers from
    50,000 to 59,999 are sounds: a header of 22 bytes, then unsigned 8-bit samples at 11,025 Hz,
    packed by Rob Northen's ProPack.

    Raises:
        ManifestError: a file is missing, or no speech is where it should be.
    """
    unpack = require("propack", "propack").unpack
    index, data = folder / "sky.dnr", folder / "sky.dsk"
    if not (index.is_file() and data.is_file()):
        raise ManifestError(f"{folder}: sky.dnr and sky.dsk are not both there")
    table = index.read_bytes()
    entries = [table[at : at + 8] for at in range(4, len(table) - 7, 8)]
    speech = [entry for entry in entries if 50000 <= struct.unpack("<H", entry[:2])[0] < 60000]
    written = 0
    with data.open("rb") as stream:
        for entry in tqdm(speech, desc="unpacking", unit="clip", mininterval=5.0, file=sys.stderr):
            place = int.from_bytes(entry[2:5], "little")
            stream.seek((place & 0x7FFFFF) << 4 if place >> 23 else place)
            packed = stream.read(int.from_bytes(entry[5:8], "little") & 0x3FFFFF)[22:]
            if packed[:3] == b"RNC":
                samples = np.frombuffer(unpack(packed), np.uint8).astype(np.float32) / 128 - 1
                path = out / f"{int.from_bytes(entry[:2], 'little')}.wav"
                soundfile.write(path, samples, 11025, subtype="PCM_U8")
                written += 1
    if not written:
        raise ManifestError(f"{index}: no packed speech among {len(entries)} files")


def unpack_amazon_queen(folder: Path, out: Path) -> None:
    """Write the speech of Flight of the Amazon Queen as ``<name in the archive>.mp3``.

    ``queen.1c`` begins with ``QTBL``, the name of its version in 6 bytes, two bytes and the kind of
    compression (1 byte; 1: MP3), and the count of its files (2 bytes). Then, per file, its
    name (12 bytes, padded with zeros), a byte, its place and its size (4 bytes each). Numbers
    are big-endian. Speech has names that end in ``.SB``.

    Raises:
        ManifestError: the file is missing, is not as described, or has no speech.
    """
    path = folder / "queen.1c"
    if not path.is_file():
        raise ManifestError(f"{folder}: queen.1c is not there")
    data = path.read_bytes()
    if data[:4] != b"QTBL" or len(data) < 15 or data[12] != 1:
        raise ManifestError(f"{path}: not the talking version with MP3 files that is known")
    (count,) = struct.unpack_from(">H", data, 13)
    if len(data) < 15 + 21 * count:
        raise ManifestError(f"{path}: ends within its list of {count} files")
    written = 0
    for i in range(count):
        raw, _, place, size = struct.unpack_from(">12sBII", data, 15 + 21 * i)
        name = raw.split(b"\0")[0].decode("ascii", errors="replace")
        if re.fullmatch(r"\w+\.SB", name, re.ASCII) and place + size <= len(data):
            (out / f"{name[:-3]}.mp3").write_bytes(data[place : place + size])
            written += 1
    if not written:
        raise ManifestError(f"{path}: no speech among {count} files")

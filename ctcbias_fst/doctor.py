"""What is installed, whether it works together, and what to do where it does not.

Nothing here needs torch or k2 to be importable: that is what is found out.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ctcbias_fst import __version__
from ctcbias_fst.k2_build import installed_k2, k2_fault, k2_remedy
from ctcbias_fst.packages import requirements

OK, OPTIONAL, WRONG = "ok", "optional", "wrong"

_CLIP = Path(__file__).resolve().parent / "pretrained" / "clips" / "medical-2.flac"
_NAME = "Imiglucerase"
"""Spoken in the clip; without a list it is not found."""

_INSTALLER = "{} -m pip install".format(sys.executable or "python")
_NOT_FOR_USERS = {"dev", "hf-torch1"}
_OF_THEIR_OWN = {"k2", "numpy", "torch"}
"""Packages that have a line each."""


@dataclass(frozen=True)
class Check:
    """What one look found.

    Attributes:
        name: what was looked at.
        state: :data:`OK`; :data:`OPTIONAL`, something is missing that not everybody needs;
            :data:`WRONG`, something that is needed is missing or does not work.
        found: versions, places, the fault.
        remedy: what to do; empty if nothing is to be done.
    """

    name: str
    state: str
    found: str
    remedy: str = ""


def examine() -> Iterator[Check]:
    """Look at everything, from what the rest needs to a transcript of a clip in the package."""
    yield Check("ctcbias_fst", OK, f"{__version__} in {Path(__file__).resolve().parent}")
    yield Check(
        "Python", OK, f"{platform.python_version()} ({sys.executable}), {platform.platform()}"
    )
    yield _torch()
    yield _k2()
    yield _numpy()
    yield from _packages()
    yield _ffmpeg()
    yield _cuda()
    yield _cache()
    yield from _model()


def _torch() -> Check:
    torch, fault = _imported("torch")
    if fault:
        return Check("torch", WRONG, fault, k2_remedy())
    made_for = f"CUDA {torch.version.cuda}" if torch.version.cuda else "the CPU"
    return Check("torch", OK, f"{torch.__version__}, built for {made_for}")


def _k2() -> Check:
    try:
        importlib.import_module("ctcbias_fst.k2_import")
    except Exception as error:
        return Check("k2", WRONG, k2_fault(error.__cause__ or error), k2_remedy())
    return Check("k2", OK, str(installed_k2()))


def _numpy() -> Check:
    """Whether torch was built for this numpy: before 2.3, it was not for numpy 2."""
    numpy, fault = _imported("numpy")
    if fault:
        return Check("numpy", WRONG, fault, f"{_INSTALLER} numpy")
    torch, fault = _imported("torch")
    if not fault:
        try:
            torch.zeros(1).numpy()
        except RuntimeError as error:
            return Check(
                "numpy",
                WRONG,
                f"{numpy.__version__}, which torch {torch.__version__} cannot use ({error})",
                f"{_INSTALLER} 'numpy<2'",
            )
    return Check("numpy", OK, str(numpy.__version__))


def _packages() -> Iterator[Check]:
    """What `pip` was told that is needed, and each extra."""
    try:
        needed = importlib.metadata.requires("ctcbias_fst") or []
        extras = importlib.metadata.metadata("ctcbias_fst").get_all("Provides-Extra") or []
    except importlib.metadata.PackageNotFoundError:
        yield Check(
            "packages",
            OPTIONAL,
            "ctcbias_fst is on the path, but not installed: what it needs is not looked for",
            f"{_INSTALLER} --no-deps -e . in the checkout, if you want that",
        )
        return
    lacking = _lacking(needed, "")
    broken = _broken({name for name, _ in lacking})
    yield Check("packages", WRONG if lacking or broken else OK, *_said(lacking, broken))
    for extra in sorted(set(extras) - _NOT_FOR_USERS):
        only = [one for one in _lacking(needed, extra) if one not in lacking]
        yield Check(f"extra {extra}", OPTIONAL if only else OK, *_said(only))


def _lacking(requirements: list[str], extra: str) -> list[tuple[str, str]]:
    """Requirements that do not hold, and the versions that are there (empty: none)."""
    try:
        from packaging.requirements import Requirement  # noqa: PLC0415  (itself one of them)
    except ImportError:
        return [("packaging", "")]
    lacking = []
    for one in map(Requirement, requirements):
        if one.marker is not None and not one.marker.evaluate({"extra": extra}):
            continue
        try:
            version = importlib.metadata.version(one.name)
        except importlib.metadata.PackageNotFoundError:
            version = ""
        # k2 for torch 2 has versions of development only.
        if not version or not one.specifier.contains(version, prereleases=True):
            lacking.append((f"{one.name}{one.specifier}", version))
    return lacking


def _broken(known: Set[str]) -> list[tuple[str, str]]:
    """What is installed and cannot be imported, and why: by its own fault, not another's."""
    needed = requirements()
    broken = []
    for name, wanted in needed.items():
        try:
            importlib.import_module(name)
        except Exception as error:  # a library that is missing or of another version
            whose = (getattr(error, "name", None) or name).partition(".")[0]
            own = whose == name or whose not in needed
            if own and wanted not in known and name not in _OF_THEIR_OWN:
                broken.append((wanted, _one_line(error)))
    return broken


def _said(
    lacking: list[tuple[str, str]], broken: list[tuple[str, str]] | None = None
) -> tuple[str, str]:
    """What was found, and the remedy."""
    found, remedies = [], []
    if lacking:
        named = (f"{one} ({has} is installed)" if has else one for one, has in lacking)
        found.append(f"missing: {', '.join(named)}")
        remedies.append(f"{_INSTALLER} {_quoted(lacking)}")
    if broken:
        found.append(f"cannot be loaded: {', '.join(f'{one} ({why})' for one, why in broken)}")
        remedies.append(f"{_INSTALLER} --force-reinstall --no-deps {_quoted(broken)}")
    return "; ".join(found) or "all there", "; ".join(remedies)


def _quoted(requirements: list[tuple[str, str]]) -> str:
    return " ".join(f"'{one}'" for one, _ in requirements)


def _ffmpeg() -> Check:
    path = shutil.which("ffmpeg")
    if path:
        return Check("ffmpeg", OK, path)
    state = OK if importlib.util.find_spec("av") else OPTIONAL
    return Check(
        "ffmpeg",
        state,
        "not on the PATH; PyAV (the extra audio) does its work, where it is installed",
        "" if state == OK else "for m4a, webm, mkv and others install either",
    )


def _cuda() -> Check:
    torch, fault = _imported("torch")
    if fault:
        return Check("CUDA", OPTIONAL, "not looked for without torch")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        there = torch.cuda.is_available()
    reasons = "".join(f" ({' '.join(str(one.message).split())})" for one in said)
    if not there:
        remedy = "--device cpu is the default"
        if torch.version.cuda is None:
            reasons = " (torch is built for the CPU)"
            remedy += "; for a GPU install torch and k2 for CUDA (docs/install.md)"
        else:
            remedy += "; if there is a GPU, nvidia-smi tells whether its driver works"
        return Check("CUDA", OPTIONAL, f"torch sees no GPU{reasons}", remedy)
    names = ", ".join(
        torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())
    )
    build = installed_k2()
    if build is None or not build.cuda:
        return Check("CUDA", OPTIONAL, f"{names}; but k2 is built for the CPU", k2_remedy())
    return Check("CUDA", OK, names)


def _cache() -> Check:
    try:
        from ctcbias_fst.cache import VARIABLE, cache_folder  # noqa: PLC0415
    except ImportError as error:
        return Check("cache", OPTIONAL, f"not looked for: {_one_line(error)}", "see above")
    folder = cache_folder()
    if folder is None:
        return Check(
            "cache",
            OPTIONAL,
            f"off ({VARIABLE}): what takes long is prepared anew in each run",
            f"unset {VARIABLE}, or name a folder",
        )
    size = sum(path.stat().st_size for path in folder.glob("*") if path.is_file())
    found = f"{folder}, {size / 1e6:.0f} MB"
    existing = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    if not (existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)):
        return Check(
            "cache",
            OPTIONAL,
            f"{found}, which cannot be written to",
            f"set {VARIABLE} to another folder",
        )
    return Check("cache", OK, found)


def _model() -> Iterator[Check]:
    """Load the embedded model; have it transcribe a clip, with a name."""
    reinstall = "install ctcbias_fst anew; if that does not help, report it with this output"
    recognizer, fault, seconds = _tried(_recognizer)
    if fault:
        yield Check("model", WRONG, fault, f"mend what is wrong above, or {reinstall}")
        return
    yield Check("model", OK, f"the embedded one, loaded in {seconds:.1f} s")
    text, fault, seconds = _tried(lambda: _heard(recognizer))
    if fault or _NAME not in text:
        found = fault or f"{_CLIP.name} with the name {_NAME}: {text!r}"
        yield Check("decoding", WRONG, found, reinstall)
        return
    yield Check("decoding", OK, f"{text!r} in {seconds:.1f} s")


def _recognizer() -> Any:
    from ctcbias_fst.recognizer import Recognizer  # noqa: PLC0415  (needs torch and k2)

    return Recognizer.from_pretrained()


def _heard(recognizer: Any) -> str:
    return str(recognizer.transcribe(_CLIP, entities=[_NAME]).best.text)


def _tried(action: Callable[[], Any]) -> tuple[Any, str, float]:
    """The result, or what went wrong; and the seconds it took."""
    start = time.perf_counter()
    try:
        return action(), "", time.perf_counter() - start
    except Exception as error:  # whatever it is, it is to be told
        return None, _one_line(error), time.perf_counter() - start


def _imported(name: str) -> tuple[Any, str]:
    """The module, or why it is not there."""
    try:
        with warnings.catch_warnings():
            # torch 1 says at length that numpy 2 does not suit it: the next check does.
            warnings.simplefilter("ignore")
            return importlib.import_module(name), ""
    except ModuleNotFoundError as error:
        return None, "not installed" if error.name == name else _one_line(error)
    except Exception as error:  # a library that is missing or of another version
        return None, _one_line(error)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__

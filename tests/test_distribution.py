"""The wheel and the sdist hold the package with its model, and nothing else."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

from ctcbias_fst import __version__

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
TOP = {
    "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "LICENSE", "MANIFEST.in", "README.md",
    "SECURITY.md", "pyproject.toml",
}  # fmt: skip


def tracked() -> set[str]:
    """The files of the package that git knows."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "ctcbias_fst"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs a git checkout")
    return {name for name in listed.split("\0") if name}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both, built from what git knows as `pip` would."""
    pytest.importorskip("setuptools")
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in tracked() | TOP:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, source / name)
    # What may lie about in a checkout must not get in.
    (source / "tests").mkdir()
    (source / "tests" / "test_a.py").touch()
    (source / "exp.log").touch()
    script = (
        "import sys; from setuptools import build_meta as b; "
        "out = sys.argv[1]; b.build_sdist(out); b.build_wheel(out)"
    )
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, str(out)],
        cwd=source,
        capture_output=True,
        check=True,
    )
    return out


def test_wheel(built: Path) -> None:
    (path,) = built.glob("*.whl")
    assert path.name == f"ctcbias_fst-{__version__}-py3-none-any.whl"
    with zipfile.ZipFile(path) as wheel:
        names = set(wheel.namelist())
        about = f"ctcbias_fst-{__version__}.dist-info/"
        metadata = message_from_bytes(wheel.read(f"{about}METADATA"))
    assert {name for name in names if not name.startswith(about)} == tracked()
    assert "ctcbias_fst/pretrained/default/model.safetensors" in names
    assert any(name.endswith("LICENSE") for name in names)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert metadata["Requires-Python"] == project["requires-python"]
    assert set(metadata.get_all("Provides-Extra", [])) == set(project["optional-dependencies"])


def test_sdist(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    top = f"ctcbias_fst-{__version__}/"
    with tarfile.open(path) as sdist:
        names = {name.name.removeprefix(top) for name in sdist.getmembers() if name.isfile()}
    made = {name for name in names if name.startswith("ctcbias_fst.egg-info/")}
    assert names - made == tracked() | TOP | {"PKG-INFO", "setup.cfg"}


def test_the_install_page_has_every_extra() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    page = (ROOT / "docs/install.md").read_text(encoding="utf-8")
    table = page[page.index("| extra |") :].partition("\n\n")[0]
    told = re.findall(r"^\| `([\w-]+)` \|", table, re.MULTILINE)
    stacks = {"torch1", "torch2"}  # they are in the text
    assert sorted(told) == sorted(set(project["optional-dependencies"]) - stacks)
    assert all(f"`{stack}`" in page for stack in stacks)

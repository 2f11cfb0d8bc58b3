"""A k2 that is missing or does not fit is one line; the doctor finds it, and what else is wrong."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from click.testing import CliRunner

from ctcbias_fst import doctor
from ctcbias_fst.cache import VARIABLE
from ctcbias_fst.cli import main
from ctcbias_fst.doctor import OK, OPTIONAL, WRONG, Check, examine
from ctcbias_fst.errors import MissingDependencyError
from ctcbias_fst.k2_build import installed_k2, k2_fault, k2_remedy
from ctcbias_fst.packages import package_fault

ROOT = Path(__file__).parents[1]
CLIP = ROOT / "ctcbias_fst/pretrained/clips/medical-2.flac"
PYTHON = "{}.{}".format(*sys.version_info)
TAG = "{}{}".format(*sys.version_info)


def other_k2(folder: Path, *, tag: str = TAG, torch_version: str, cuda: str = "") -> Path:
    """A k2 that cannot be loaded, as a wheel lays it out."""
    package = folder / "k2"
    package.mkdir()
    (package / "__init__.py").write_text('raise ImportError("undefined symbol:\\n_ZN3c10")\n')
    (package / "torch_version.py").write_text(
        f'k2_torch_version = "{torch_version}"\nk2_torch_cuda_version = "{cuda}"\n'
    )
    (folder / f"_k2.cpython-{tag}-x86_64-linux-gnu.so").touch()
    return folder


@pytest.fixture
def no_k2(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.delitem(sys.modules, "k2", raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    ("build", "fault"),
    [
        ({"tag": "39", "torch_version": torch.__version__}, f"is not for this Python {PYTHON}"),
        ({"torch_version": "1.2.3+cu99"}, f"does not go with torch {torch.__version__}"),
        ({"torch_version": torch.__version__}, "(undefined symbol: _ZN3c10)"),
    ],
)
def test_what_is_wrong_with_a_k2(
    build: dict[str, str], fault: str, tmp_path: Path, no_k2: pytest.MonkeyPatch
) -> None:
    no_k2.syspath_prepend(other_k2(tmp_path, **build))
    said = k2_fault(ImportError("undefined symbol:\n_ZN3c10"))
    assert said.startswith("k2 ")
    assert f"torch {build['torch_version']}" in said
    assert said.endswith(fault)
    assert f"Python {PYTHON}" in k2_remedy()
    assert "\n" not in said + k2_remedy()


def test_a_k2_for_another_cuda(tmp_path: Path, no_k2: pytest.MonkeyPatch) -> None:
    no_k2.syspath_prepend(other_k2(tmp_path, torch_version="2.7.1", cuda="12.6"))
    no_k2.setattr("ctcbias_fst.k2_build._installed_torch", lambda: ("2.7.1+cu118", "11.8"))
    assert k2_fault(ImportError()).endswith("torch 2.7.1+cu118, which is for CUDA 11.8")
    assert "cuda.html" in k2_remedy()


def test_no_k2_and_no_torch(no_k2: pytest.MonkeyPatch) -> None:
    no_k2.setitem(sys.modules, "k2", None)
    assert installed_k2() is None
    assert k2_fault(ImportError()) == "k2, which searches the graphs, is not installed"
    no_k2.setitem(sys.modules, "torch", None)
    assert k2_fault(ImportError()).startswith("torch, which k2 and ctcbias_fst need, is not")
    assert "make setup" in k2_remedy()


def test_the_k2_that_works() -> None:
    build = installed_k2()
    assert build is not None
    assert PYTHON in build.pythons
    assert build.torch.split("+")[0] == torch.__version__.split("+")[0]


def test_only_one_place_imports_k2() -> None:
    found = {
        path.name
        for path in (ROOT / "ctcbias_fst").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Import) and any(alias.name == "k2" for alias in node.names))
        or (isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "k2")
    }
    assert found == {"k2_import.py"}


SCRIPT = """
import sys
sys.path.insert(0, {folder!r})
from click.testing import CliRunner
from ctcbias_fst.cli import main
for arguments in {commands!r}:
    result = CliRunner().invoke(main, arguments)
    print(result.exit_code, result.output.count(chr(10)), result.output.strip())
import ctcbias_fst
try:
    ctcbias_fst.Recognizer
except Exception as error:
    print(type(error).__name__, error)
"""


def test_commands_say_it_in_one_line(tmp_path: Path) -> None:
    folder = other_k2(tmp_path, tag="39", torch_version=torch.__version__)
    (tmp_path / "names.txt").write_text("keisha\n")
    commands = [
        ["transcribe", str(CLIP)],
        ["compile", str(tmp_path / "names.txt"), "--out", str(tmp_path / "out.fst")],
        ["decode", "--log-probs", str(tmp_path / "names.txt"), "--out", str(tmp_path / "out")],
        ["rescore", str(tmp_path), "--out", str(tmp_path / "out")],
    ]
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(folder=str(folder), commands=commands))
    result = subprocess.run(
        [sys.executable, str(script)],
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        text=True,
        capture_output=True,
        check=True,
    )
    *said, in_python = result.stdout.splitlines()
    assert len(said) == len(commands)
    for line in said:
        assert line.startswith("1 1 Error: k2 ")
        assert f"built for Python 3.9, torch {torch.__version__}" in line
        assert f"is not for this Python {PYTHON}: install the k2 for torch" in line
    assert in_python == said[0].replace("1 1 Error: ", "MissingDependencyError ")


LACKING = """
import sys
from pathlib import Path
gone = sys.argv[1].split(",")
for name in gone:
    sys.modules[name] = None
import ctcbias_fst
try:
    ctcbias_fst.Recognizer.from_pretrained()
    ctcbias_fst.score_transcripts
except Exception as error:
    print(type(error).__name__, error)
from ctcbias_fst.__main__ import run
for arguments in (["doctor"], ["transcribe", sys.argv[2]], ["score", *[sys.argv[3]] * 2]):
    sys.argv = ["ctcbias", *arguments]
    try:
        run()
    except SystemExit as end:
        print(end.code)
"""


@pytest.mark.parametrize(
    ("package", "wanted"),
    [
        ("soundfile", "soundfile>=0.12"),
        ("sentencepiece", "sentencepiece>=0.2"),
        ("kaldialign", "kaldialign>=0.9"),
        ("numpy", "numpy>=1.22"),
        ("packaging", "packaging"),
        ("safetensors", "safetensors>=0.4"),
        ("click", "click>=8.1"),
    ],
)
def test_a_package_that_is_missing_is_one_line(package: str, wanted: str, tmp_path: Path) -> None:
    """In Python, of commands, and of the doctor, who does not need it himself."""
    (tmp_path / "text.txt").write_text("a hello there\n")
    result = subprocess.run(
        [sys.executable, "-c", LACKING, package, str(CLIP), str(tmp_path / "text.txt")],
        env={"PYTHONPATH": str(ROOT), "PATH": "", "OMP_NUM_THREADS": "1"},
        text=True,
        capture_output=True,
        check=True,
    )
    assert "Traceback" not in result.stderr
    in_python, *told = result.stdout.splitlines()
    assert in_python.startswith(f"MissingDependencyError {package}")
    assert f"'{wanted}'" in in_python
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert errors
    for line in errors:
        assert line.startswith(f"Error: {package}")
        assert f"pip install '{wanted}'" in line.replace(" --force-reinstall --no-deps", "")
    if package != "click":
        named = "numpy" if package == "numpy" else "packages"
        said = next(at for at, line in enumerate(told) if line.startswith(f"wrong     {named}"))
        assert f"'{wanted}'" in told[said + 1] or f" {package}" in told[said + 1]


def test_packages_of_others_and_broken_ones() -> None:
    assert package_fault(ModuleNotFoundError("No module named 'yaml'", name="yaml")) is None
    assert package_fault(ImportError("cannot import name 'a'", name="ctcbias_fst.records")) is None
    assert package_fault(ImportError("libsndfile.so: no such\nfile", name="soundfile")) == (
        "soundfile cannot be loaded (libsndfile.so: no such file): pip install --force-reinstall "
        "--no-deps 'soundfile>=0.12'"
    )
    fault = package_fault(ModuleNotFoundError("no torch", name="torch"))
    assert fault is not None
    assert fault.endswith(k2_remedy())


def test_all_is_well() -> None:
    checks = {check.name: check for check in examine()}
    assert [check for check in checks.values() if check.state == WRONG] == []
    assert torch.__version__ in checks["torch"].found
    assert "Imiglucerase" in checks["decoding"].found
    assert all(check.remedy for check in checks.values() if check.state != OK)


def found(name: str) -> Check:
    checks = {check.name: check for check in examine()}
    return checks[name]


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    def fails() -> None:
        raise OSError("damaged\nmodel")

    monkeypatch.setattr(doctor, "_recognizer", fails)
    return monkeypatch


def test_a_model_that_does_not_load(no_model: pytest.MonkeyPatch) -> None:
    check = found("model")
    assert (check.state, check.found) == (WRONG, "damaged model")


def test_another_transcript(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_recognizer", lambda: None)
    monkeypatch.setattr(doctor, "_heard", lambda recognizer: "my father takes")
    assert found("decoding").state == WRONG


def test_without_k2(no_k2: pytest.MonkeyPatch, no_model: pytest.MonkeyPatch) -> None:
    no_k2.setitem(sys.modules, "k2", None)
    no_k2.delitem(sys.modules, "ctcbias_fst.k2_import")
    check = found("k2")
    assert (check.state, check.found) == (WRONG, "k2, which searches the graphs, is not installed")
    with pytest.raises(MissingDependencyError, match="is not installed: install the k2 for torch"):
        import ctcbias_fst.k2_import  # noqa: F401, PLC0415


def test_without_torch(no_model: pytest.MonkeyPatch) -> None:
    no_model.setitem(sys.modules, "torch", None)
    check = found("torch")
    assert (check.state, check.found) == (WRONG, "not installed")
    assert "install torch, then the k2 that was built for it" in check.remedy
    assert found("CUDA").state == OPTIONAL


def test_a_numpy_that_torch_cannot_use(no_model: pytest.MonkeyPatch) -> None:
    def fails(tensor: torch.Tensor) -> None:
        raise RuntimeError("Numpy is not available")

    no_model.setattr(torch.Tensor, "numpy", fails)
    check = found("numpy")
    assert check.state == WRONG
    assert check.found.endswith("cannot use (Numpy is not available)")
    assert "'numpy<2'" in check.remedy


def test_packages_that_are_missing(no_model: pytest.MonkeyPatch) -> None:
    needed = ["click>=8.1", "lhotse>=9999", "gone", "av>=10; extra == 'audio'", "x; extra == 'dev'"]
    no_model.setattr("importlib.metadata.requires", lambda name: needed)
    metadata = SimpleNamespace(get_all=lambda key: ["audio", "dev"])
    no_model.setattr("importlib.metadata.metadata", lambda name: metadata)
    versions = {"click": "8.1", "lhotse": "1.33.0"}

    def version(name: str) -> str:
        if name not in versions:
            raise doctor.importlib.metadata.PackageNotFoundError(name)
        return versions[name]

    no_model.setattr("importlib.metadata.version", version)
    packages = found("packages")
    assert packages.state == WRONG
    assert packages.found == "missing: lhotse>=9999 (1.33.0 is installed), gone"
    assert packages.remedy.endswith("-m pip install 'lhotse>=9999' 'gone'")
    audio = found("extra audio")
    assert (audio.state, audio.found) == (OPTIONAL, "missing: av>=10")
    assert "extra dev" not in {check.name for check in examine()}


def test_a_k2_of_development_is_new_enough(no_model: pytest.MonkeyPatch) -> None:
    no_model.setattr("importlib.metadata.version", lambda name: "1.24.4.dev20250714+cpu.torch2.7.1")
    assert doctor._lacking(["k2>=1.23.4"], "") == []


def test_not_installed(no_model: pytest.MonkeyPatch) -> None:
    def fails(name: str) -> list[str]:
        raise doctor.importlib.metadata.PackageNotFoundError(name)

    no_model.setattr("importlib.metadata.requires", fails)
    assert found("packages").state == OPTIONAL


def test_ffmpeg_or_pyav(no_model: pytest.MonkeyPatch) -> None:
    no_model.setattr("shutil.which", lambda name: "/bin/ffmpeg")
    assert found("ffmpeg") == Check("ffmpeg", OK, "/bin/ffmpeg")
    no_model.setattr("shutil.which", lambda name: None)
    no_model.setattr("importlib.util.find_spec", lambda name: None)
    assert found("ffmpeg").state == OPTIONAL


def test_gpus(no_model: pytest.MonkeyPatch) -> None:
    no_model.setattr(torch.cuda, "is_available", lambda: False)
    no_model.setattr(torch.version, "cuda", None)
    assert "torch is built for the CPU" in found("CUDA").found
    no_model.setattr(torch.version, "cuda", "12.6")
    assert "nvidia-smi" in found("CUDA").remedy
    no_model.setattr(torch.cuda, "is_available", lambda: True)
    no_model.setattr(torch.cuda, "device_count", lambda: 1)
    no_model.setattr(torch.cuda, "get_device_name", lambda number: "H200")
    no_model.setattr(doctor, "installed_k2", lambda: None)
    check = found("CUDA")
    assert (check.state, check.found) == (OPTIONAL, "H200; but k2 is built for the CPU")


def test_caches(no_model: pytest.MonkeyPatch, tmp_path: Path) -> None:
    no_model.setenv(VARIABLE, "off")
    assert found("cache").state == OPTIONAL
    no_model.setenv(VARIABLE, str(tmp_path / "new" / "folder"))
    assert found("cache") == Check("cache", OK, f"{tmp_path}/new/folder, 0 MB")
    (tmp_path / "file").write_bytes(bytes(2_000_000))
    no_model.setenv(VARIABLE, str(tmp_path))
    assert found("cache").found == f"{tmp_path}, 2 MB"
    no_model.setenv(VARIABLE, str(tmp_path / "file"))
    assert found("cache").remedy == f"set {VARIABLE} to another folder"


@pytest.mark.parametrize(
    ("states", "closing", "status"),
    [
        ([OK, OK], "All is well.", 0),
        ([OK, OPTIONAL], "All that is needed is there.", 0),
        ([WRONG, OPTIONAL], "Something is wrong: 0.", 1),
    ],
)
def test_the_command(
    states: list[str], closing: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks = [Check(str(n), state, "found", "do this") for n, state in enumerate(states)]
    monkeypatch.setattr(doctor, "examine", lambda: iter(checks))
    text = CliRunner().invoke(main, ["doctor"])
    assert text.exit_code == status
    assert text.output.splitlines()[-1] == closing
    assert "-> do this" in text.output
    result = CliRunner().invoke(main, ["doctor", "--format", "json"])
    assert result.exit_code == status
    made = json.loads(result.output)
    assert made["ok"] is (status == 0)
    assert [check["state"] for check in made["checks"]] == states

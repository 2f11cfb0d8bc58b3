"""Data flows one way: no package or module imports what imports it."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from fnmatch import fnmatch
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "ctcbias_fst"
LAZY = "ctcbias_fst"
"""The top of the package imports the recognizer when it is asked for."""


def _imports() -> dict[str, set[str]]:
    """Which modules of ours each module imports, whatever the place."""
    files = {
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path
        for path in PACKAGE.rglob("*.py")
    }
    names = {name.removesuffix(".__init__") for name in files}
    found: dict[str, set[str]] = {}
    for name, path in files.items():
        imported: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                submodules = {f"{node.module}.{alias.name}" for alias in node.names} & names
                imported |= submodules or {node.module} & names
            elif isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names} & names
        found[name.removesuffix(".__init__")] = imported - {name}
    del found[LAZY]
    return {name: imported - {LAZY} for name, imported in found.items()}


def _module(name: str) -> str:
    return name


def _package(name: str) -> str:
    """The subpackage, or a module that is in none."""
    return ".".join(name.split(".")[:2])


@pytest.mark.parametrize("unit", [_module, _package])
def test_imports_have_no_cycle(unit: Callable[[str], str]) -> None:
    graph: dict[str, set[str]] = {}
    for name, imported in _imports().items():
        others = {unit(other) for other in imported} - {unit(name)}
        graph.setdefault(unit(name), set()).update(others)
    assert any(graph.values())
    TopologicalSorter(graph).prepare()


ROOMS = (
    ("text",),
    ("audio", "scoring", "graph", "ngram"),
    ("pronunciation", "search"),
    ("variants",),
    ("rescore",),
    ("shortlist",),
    ("models",),
    ("settings",),
    ("training", "compiled"),
    ("decoder_inputs", "recognizer_inputs"),
    ("streaming",),
    ("decoder",),
    ("audio_streams",),
    ("recognizer_streams",),
    ("pyctcdecode", "recognizer"),
    ("corpus",),
    ("studies",),
    ("explain",),
    ("explain_picture", "doctor", "model_info", "server"),
    ("cli",),
    ("__main__",),
)
"""From the ground up: a room imports from those above it in this list, and from its own."""


def test_rooms_are_in_order() -> None:
    floor = {room: level for level, rooms in enumerate(ROOMS, start=1) for room in rooms}
    here = {path.name for path in PACKAGE.iterdir() if path.is_dir() and list(path.glob("*.py"))}
    assert here - {"pretrained"} <= set(floor)
    wrong = []
    for name, imported in _imports().items():
        one = name.split(".")[1]
        for other in imported:
            two = other.split(".")[1]
            # What is in no room is below all of them, and may use text/ alone.
            if one != two and floor.get(two, 0) >= floor.get(one, 2) and two in floor:
                wrong.append(f"{name} imports {other}")
    assert sorted(wrong) == []


@pytest.mark.parametrize("room", ["corpus", "models", "server", "streaming", "studies", "text"])
def test_the_map_has_every_module_of_a_large_room(room: str) -> None:
    page = (PACKAGE.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    told = re.findall(r"`(?:\w+/)?([\w*]+\.py)`", page)
    modules = {path.name for path in (PACKAGE / room).glob("[!_]*.py")}
    assert modules
    assert not [one for one in modules if not any(fnmatch(one, name) for name in told)]

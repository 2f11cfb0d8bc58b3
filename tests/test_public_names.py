"""What `ctcbias_fst` offers at its top: names, docstrings, examples, and what they look like."""

from __future__ import annotations

import ast
import inspect
import pickle
import pydoc
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ctcbias_fst
from ctcbias_fst import (
    AudioStream,
    CompiledEntities,
    Decoder,
    Entity,
    Failure,
    PipelineConfig,
    Recognizer,
    Stream,
    build_ctcdecoder,
    read_entities,
)
from ctcbias_fst.errors import AudioError
from tests.test_docs import FENCE

ROOT = Path(__file__).parents[1]
NAMES = (
    "AudioError AudioStream CompiledEntities ConfigError CtcbiasError CtcbiasWarning "
    "Decoder Entity EntityList EntityListError Failure Hypothesis LogProbs LogProbsError "
    "Mention ModelError PipelineConfig Recognizer Stream Transcript Update Vocabulary Word "
    "__version__ build_ctcdecoder read_entities score_transcripts"
).split()
OBJECTS = [name for name in NAMES if not name.startswith("__")]
ELSEWHERE = re.compile(r":(meth|func|mod|class):`|(?<!`)`[\w.]+`(?!`)")
"""A docstring may say where arguments are described."""


def test_the_names() -> None:
    assert sorted(ctcbias_fst.__all__) == sorted(NAMES)
    assert len(NAMES) <= 27
    assert dir(ctcbias_fst) == sorted(NAMES)
    with pytest.raises(AttributeError, match="no attribute 'decode'"):
        _ = ctcbias_fst.decode  # type: ignore[attr-defined]


def test_checkers_see_what_is_there() -> None:
    """What is imported for type checkers only is what comes when a name is asked for."""
    found = {}
    for node in ast.walk(ast.parse(Path(ctcbias_fst.__file__).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("ctcbias_fst."):
            found |= {one.name: f"{node.module}" for one in node.names}
    assert sorted(found) == sorted(OBJECTS)
    for name, module in found.items():
        there = getattr(ctcbias_fst, name)
        assert there is getattr(sys.modules[module], name)


@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        ("import ctcbias_fst; ctcbias_fst.__version__; dir(ctcbias_fst)", False),
        ("from ctcbias_fst import CtcbiasError, AudioError, CtcbiasWarning", False),
        ("from ctcbias_fst import *; Decoder, Recognizer, read_entities", True),
    ],
)
def test_what_is_imported(code: str, heavy: bool) -> None:
    code += "; import sys; print({'torch', 'k2', 'numpy'} & {*sys.modules} != set())"
    command = [sys.executable, "-c", code]
    shown = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True).stdout
    assert shown.split() == [str(heavy)]


def test_help() -> None:
    text = pydoc.plain(pydoc.render_doc(ctcbias_fst))
    assert all(re.search(rf"\b{name}\b", text) for name in OBJECTS)
    assert "TYPE_CHECKING" not in text


def test_every_name_has_an_example() -> None:
    parts = re.split(r"^### `(.*)`$", (ROOT / "docs/api.md").read_text("utf-8"), flags=re.MULTILINE)
    examples = dict(zip(parts[1::2], parts[2::2]))
    assert sorted(examples) == sorted(NAMES)
    for name, text in examples.items():
        shown = [one["body"] for one in FENCE.finditer(text) if one["kind"] == "pycon"]
        assert name in "".join(shown), name


def _functions() -> Iterator[tuple[str, Any]]:
    """Public functions and methods of ours, with their names."""
    for name in OBJECTS:
        there = getattr(ctcbias_fst, name)
        if not inspect.isclass(there):
            yield name, there
            continue
        for method, value in vars(there).items():
            function = value.__func__ if isinstance(value, (classmethod, staticmethod)) else value
            if not method.startswith("_") and inspect.isfunction(function):
                yield f"{name}.{method}", function


def _raises(function: Any) -> bool:
    source = inspect.cleandoc("\n" + inspect.getsource(inspect.unwrap(function)))
    return any(isinstance(node, ast.Raise) for node in ast.walk(ast.parse(source)))


@pytest.mark.parametrize("name", OBJECTS)
def test_docstrings_of_names(name: str) -> None:
    there = getattr(ctcbias_fst, name)
    text = inspect.getdoc(there) or ""
    assert len(text) > 20
    assert not text.startswith(f"{name}("), "made by dataclasses"
    fields = getattr(there, "__dataclass_fields__", None) or getattr(there, "_fields", ())
    assert not fields or "Attributes:" in text or len(fields) < 3
    assert all(re.search(rf"\b{field}\b", text) for field in fields), fields
    for method, value in vars(there).items() if inspect.isclass(there) else ():
        if isinstance(value, property) and not method.startswith("_"):
            assert value.__doc__, f"{name}.{method}"


def test_docstrings_of_functions() -> None:
    wrong = []
    for name, function in _functions():
        text = inspect.getdoc(function) or ""
        documented = text.partition("Args:")[2]
        parameters = set(inspect.signature(function).parameters) - {"self", "cls"}
        described = all(re.search(rf"(?m)^\s+{one}: ", documented) for one in parameters)
        if not text or not (described or len(parameters) < 2 or ELSEWHERE.search(text)):
            wrong.append(f"{name}: Args")
        if "Raises:" not in text and _raises(function):
            wrong.append(f"{name}: Raises")
    assert wrong == []


TOKENS = ["<blk>", "|", *"abcdefghijklmnopqrstuvwxyz"]


@pytest.fixture(scope="module")
def shown(recognizer: Recognizer, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """One of each."""
    path = tmp_path_factory.mktemp("lists") / "names.txt"
    path.write_text("Ada\n!!\n", encoding="utf-8")
    decoder = Decoder.from_tokens(TOKENS, frame_seconds=0.04)
    scores = np.full((6, len(TOKENS)), -9.0)
    scores[range(6), [2, 0, 5, 0, 2, 0]] = 0.0
    array = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    names = decoder.compile(path, warn=False)
    (transcript,) = decoder.decode(array, entities=names)
    (span,) = transcript.best.mentions
    listed = read_entities(path)
    (entity,) = listed
    one = [transcript, transcript.best, transcript.best.words[0], span.mention, entity, listed]
    one += [decoder, recognizer, names, decoder.batch(array), decoder.vocabulary]
    stream = decoder.stream(names)
    one += [stream, stream.accept(array), recognizer.stream()]
    one += [PipelineConfig(), recognizer.config, Failure("a", AudioError("a: no such file"))]
    return [*one, build_ctcdecoder(["", " ", "a"])]


def test_each_looks_like_something(shown: list[Any]) -> None:
    classes = {type(one).__name__ for one in shown}
    errors = {name for name in OBJECTS if name.endswith(("Error", "Warning"))}
    functions = {"build_ctcdecoder", "read_entities", "score_transcripts"}
    assert classes - {"BeamSearchDecoderCTC"} == {*OBJECTS} - errors - functions
    for one in shown:
        text = repr(one)
        assert "\n" not in text
        assert type(one).__name__ in text
        assert " at 0x" not in text
        assert len(text) < 200 or isinstance(one, PipelineConfig)


def test_each_can_be_pickled(shown: list[Any]) -> None:
    for one in shown:
        if isinstance(one, (Stream, AudioStream)):
            with pytest.raises(TypeError, match="^<.*Stream 1, .* cannot be copied or pickled"):
                pickle.dumps(one)
        elif not isinstance(one, CompiledEntities):
            assert repr(pickle.loads(pickle.dumps(one))) == repr(one)
    for name in OBJECTS:
        there = getattr(ctcbias_fst, name)
        assert pickle.loads(pickle.dumps(there)) is there


def test_values_in_a_repr() -> None:
    assert repr(Entity("ada", "Ada")) == "Entity(name='ada', display='Ada')"
    assert repr(PipelineConfig(parts=())) == "<PipelineConfig with parts=[]>"

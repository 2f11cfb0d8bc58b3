"""A decoding job that is stopped anywhere, with whatever it leaves, ends as if it had not been."""

from __future__ import annotations

import json
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from generated import EDITS, many, spoil
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file
from strategies import VOCABULARIES, log_prob_arrays

from ctcbias_fst.corpus.backends import LogProbsBackend
from ctcbias_fst.corpus.job import decode_corpus
from ctcbias_fst.corpus.rescore import rescore_corpus
from ctcbias_fst.errors import CtcbiasError
from ctcbias_fst.search.saved_lattices import read_lattices
from ctcbias_fst.settings import PipelineConfig
from ctcbias_fst.text.entities import entities_from_names
from ctcbias_fst.text.tokens import FewestPiecesTokenizer

VOCABULARY = VOCABULARIES[0]
CONFIG = PipelineConfig(parts=("boost",))
NAMES = entities_from_names(["ab c", "cab"])
FRAME_SECONDS = 10.0
"""So that half a minute, at which long recordings are cut, is soon over."""

DAMAGE = ("", "{", "null", '{"id": "a"}', '{"id": "a", "text": 1, "words": [], "score": 0}', "\x00")

ids = st.lists(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=4)
    | st.sampled_from(["talk", "talk.1", ".talk", "n" * 300]),
    min_size=1,
    max_size=3,
    unique=True,
)


class Stopped(LogProbsBackend):
    """Somebody stops it after so many batches."""

    left = 10**6

    def decode(self, *arguments: Any) -> Any:
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        return super().decode(*arguments)


def decode(arrays: dict[str, np.ndarray], out: Path, lattices: Path, stop: int = 10**6) -> None:
    saved = out.parent / "saved.safetensors"
    save_file(arrays, saved)
    backend = Stopped(
        saved, FewestPiecesTokenizer(VOCABULARY), CONFIG, "cpu", frame_seconds=FRAME_SECONDS
    )
    backend.left = stop
    decode_corpus(
        backend.utterances(),
        backend,
        out,
        lists=NAMES,
        settings=backend.settings,
        batch_seconds=1.0,
        lattice_dir=lattices,
        config=CONFIG,
    )


def rescored(folder: Path) -> tuple[list[dict[str, Any]], list[list[tuple[str, int]]]]:
    """What the lattices say, and which there are."""
    rescore_corpus(folder, CONFIG, folder / "out", use_lm=False)
    rows = [json.loads(line) for line in (folder / "out").read_text(encoding="utf-8").splitlines()]
    return rows, [[(one.id, one.piece) for one in pieces] for pieces in read_lattices(folder)]


def check(data: st.DataObject) -> None:
    names = data.draw(ids)
    size = VOCABULARY.size
    arrays = {one: data.draw(log_prob_arrays(size, max_frames=7)) for one in names}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        decode(arrays, root / "whole", root / "expected")
        lattices = root / "lattices"
        if data.draw(st.booleans()):  # of a former run, on longer recordings
            longer = {one: np.concatenate([array] * 4) for one, array in arrays.items()}
            decode(longer, root / "before", lattices)
        out, part = root / "out", root / "out.part"
        with suppress(KeyboardInterrupt):
            decode(arrays, out, lattices, stop=data.draw(st.integers(0, len(names))))
        lattices.mkdir(exist_ok=True)
        (lattices / ".1.2.talk.0.lattice.safetensors").write_bytes(b"half")
        if part.exists():
            header, *lines = part.read_bytes().splitlines(keepends=True)
            for line in data.draw(st.lists(st.sampled_from(DAMAGE), max_size=2)):
                lines.insert(data.draw(st.integers(0, len(lines))), line.encode() + b"\n")
            content = header + b"".join(lines)
            part.write_bytes(content[: data.draw(st.integers(0, len(content)))])
        decode(arrays, out, lattices)
        assert out.read_bytes() == (root / "whole").read_bytes()
        assert not part.exists()
        assert rescored(lattices) == rescored(root / "expected")


@settings(max_examples=8)
@given(data=st.data())
def test_some(data: st.DataObject) -> None:
    check(data)


@many("jobs that were stopped", 500)
@given(data=st.data())
def test_many(data: st.DataObject) -> None:
    check(data)


@pytest.fixture(scope="module")
def lattices(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a folder of lattices, those of a recording in several pieces among them."""
    folder = tmp_path_factory.mktemp("lattices")
    random = np.random.default_rng(0)
    said = random.dirichlet(np.full(VOCABULARY.size, 0.5), size=7) + 1e-6
    decode({"talk": np.log(said).astype(np.float32)}, folder / "out", folder / "saved")
    return {path.name: path.read_bytes() for path in (folder / "saved").iterdir()}


def check_damage(files: dict[str, bytes], data: st.DataObject) -> None:
    """Lattices that anything happened to are read, or one line says that they are damaged."""
    damaged = data.draw(st.sampled_from(sorted(files)))
    content = files[damaged]
    if data.draw(st.booleans()):
        content = spoil(content, data.draw(EDITS))
    else:
        at = data.draw(st.integers(0, len(content) - 1))
        content = content[:at] + data.draw(st.binary(min_size=1, max_size=4)) + content[at + 1 :]
    with tempfile.TemporaryDirectory() as folder:
        for name, whole in files.items():
            (Path(folder) / name).write_bytes(content if name == damaged else whole)
        try:
            rescored(Path(folder))
        except CtcbiasError as error:
            assert "\n" not in str(error)
            assert len(str(error)) < 1000


@settings(max_examples=30)
@given(data=st.data())
def test_damaged_lattices(lattices: dict[str, bytes], data: st.DataObject) -> None:
    check_damage(lattices, data)


@many("lattices", 2000)
@given(data=st.data())
def test_many_damaged_lattices(lattices: dict[str, bytes], data: st.DataObject) -> None:
    check_damage(lattices, data)

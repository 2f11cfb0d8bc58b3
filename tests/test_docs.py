"""Every command and every Python block that a page shows is run, and its output compared.

Blocks marked ``console`` hold commands (``$ ``, continued by ``> ``) and their output; ``…``
stands for any text, and a command without output shown may print anything. Blocks marked
``python`` are run as scripts. All blocks of a page run in one folder, from top to bottom; at last
those marked ``pycon``, as one Python session (``...`` stands for any text).

A block directly below ``<!-- not run: REASON -->`` is left out: only for what takes hours
or needs the network.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from subprocess import PIPE
from threading import Thread

import numpy as np
import pytest
import soundfile
from lhotse import CutSet, MonoCut, Recording, SupervisionSegment

import ctcbias_fst
from ctcbias_fst.audio.audio import to_recording
from ctcbias_fst.models.package import DEFAULT
from ctcbias_fst.recognizer import Recognizer
from ctcbias_fst.search.decode_config import DecodeConfig
from ctcbias_fst.search.search_config import BoostConfig
from ctcbias_fst.studies.ablation_summary import percent, read_summary

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(
    r"^(?P<skip><!-- not run:[^\n]*-->\n)?```(?P<kind>\w*)\n(?P<body>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
KINDS = {"console", "python", "pycon", "text", "toml", "json", "jsonl"}


@dataclass(frozen=True)
class Block:
    """A fenced block that is to be run."""

    kind: str
    body: str
    line: int


def blocks_of(text: str) -> list[Block]:
    return [
        Block(found["kind"], found["body"], text.count("\n", 0, found.start()) + 1)
        for found in FENCE.finditer(text)
        if found["kind"] in ("console", "python") and not found["skip"]
    ]


def session_of(text: str) -> str:
    """The blocks that show a Python session, one after the other."""
    found = (one for one in FENCE.finditer(text) if one["kind"] == "pycon" and not one["skip"])
    return "\n".join(one["body"] for one in found)


def commands_of(body: str) -> list[tuple[str, str]]:
    """Split a console block into (command, output shown)."""
    commands: list[tuple[str, str]] = []
    for line in body.splitlines():
        if line.startswith("$ "):
            commands.append((line[2:], ""))
            continue
        assert commands, f"output before any command: {line}"
        command, output = commands[-1]
        if (line.startswith("> ") or line == ">") and not output:
            commands[-1] = (f"{command}\n{line[2:]}", "")
        else:
            commands[-1] = (command, f"{output}{line}\n")
    return commands


def matches(shown: str, printed: str) -> bool:
    """Compare as a reader does: ``…`` is any text, spaces at line ends do not count."""
    tidy = "\n".join(line.rstrip() for line in printed.strip().splitlines())
    pattern = ".*".join(re.escape(part) for part in shown.strip().split("…"))
    return re.fullmatch(pattern, tidy, re.DOTALL) is not None


@pytest.fixture
def environment(tmp_path: Path, forked_python: str) -> dict[str, str]:
    """An environment in which `ctcbias` is this checkout, run by this Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    command = folder / "ctcbias"
    command.write_text(f'#!/bin/sh\nexec {forked_python} -m ctcbias_fst "$@"\n')
    command.chmod(0o755)
    (folder / "python").symlink_to(forked_python)
    return {
        **os.environ,
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "LC_ALL": "C.UTF-8",
        "COLUMNS": "80",
    }


def your_model(work: Path) -> None:
    """Recordings, an ONNX model that knows one of them, and a model of Hugging Face."""
    from tiny_hugging_face import save  # noqa: PLC0415  (skips without transformers)

    pytest.importorskip("onnx", reason="pip install onnx, to make the model of the page")
    from tiny_onnx import make_known_model  # noqa: PLC0415
    from tiny_streaming import known  # noqa: PLC0415

    clip = ROOT / "ctcbias_fst" / "pretrained" / "clips" / "medical-1.flac"
    shutil.copyfile(clip, work / "call.flac")
    (work / "recordings").mkdir()
    shutil.copyfile(clip, work / "recordings" / "1.flac")
    save(work / "hf-model")
    spoken = MonoCut("1", 0.0, 3.0, 0, recording=Recording.from_file(work / "call.flac"))
    said = {"entities": ["norfenefrine"]}
    spoken.supervisions.append(
        SupervisionSegment("1", "call", 0.0, 3.0, text="combine norfenefrine", custom=said)
    )
    CutSet.from_cuts([spoken]).to_file(work / "cuts.jsonl.gz")
    (work / "my-model").mkdir()
    embedded = Recognizer.from_pretrained()
    heard = embedded.log_probs([to_recording(clip, 16000)])
    rows = heard.log_probs[0, : heard.lengths[0]].numpy()
    make_known_model(work / "my-model", rows, embedded.model.tokenizer.vocabulary.tokens)
    shutil.copyfile(DEFAULT / "tokenizer.model", work / "my-model" / "bpe.model")
    known(work / "streaming-model", rows, embedded.model.tokenizer.vocabulary)
    phone_model(work)


def phone_model(work: Path) -> None:
    """A model that hears phones, and audio that lasts as long as these."""
    from tiny_onnx import log_softmax, make_known_model  # noqa: PLC0415

    tokens = [
        "<blk>",
        *"bdfghijklmnprstuvwzæðŋɑɔəɚɛɪɹʃʊʌʒθ",
        "aɪ",
        "aʊ",
        "dʒ",
        "eɪ",
        "oʊ",
        "tʃ",
        "ɔɪ",
    ]
    heard = "t ə b aɪ ə s ɪ z m aɪ n eɪ m".split()
    rows = np.zeros((2 * len(heard) + 1, len(tokens)), dtype=np.float32)
    rows[0::2, 0] = 9.0
    rows[np.arange(1, len(rows), 2), [tokens.index(phone) for phone in heard]] = 9.0
    folder = work / "phone-model"
    folder.mkdir()
    make_known_model(folder, log_softmax(rows), tokens)
    (folder / "names.txt").write_text("Tobias\n")
    noise = np.random.default_rng(0).normal(0, 0.1, round(0.04 * 16000 * len(rows)))
    soundfile.write(work / "talk.wav", noise, 16000)


PREPARED = {"your-model.md": your_model}
"""What a page needs in its folder that it does not make itself."""

SERVED = {"server.md"}
"""Pages whose commands ask a server."""


@contextmanager
def server(work: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """A server on a free port: the host and the port."""
    pytest.importorskip("uvicorn", reason="the extra serve is not installed")
    lists = {**environment, "XDG_DATA_HOME": str(work / "data")}
    arguments = [sys.executable, "-m", "ctcbias_fst", "serve", "--port", "0"]
    with subprocess.Popen(arguments, cwd=work, env=lists, stderr=PIPE, text=True) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert line.startswith("listening on http://"), line
        drain = Thread(target=process.stderr.read, daemon=True)
        drain.start()
        try:
            yield line.strip().rpartition("/")[2]
        finally:
            process.terminate()
            drain.join()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page(page: Path, tmp_path: Path, environment: dict[str, str], forked_python: str) -> None:
    work = tmp_path / "work"
    work.mkdir()
    for name in ("ctcbias_fst", "recipes", "docs"):
        (work / name).symlink_to(ROOT / name)
    PREPARED.get(page.name, lambda work: None)(work)

    def done(arguments: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            arguments,
            cwd=work,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )

    text = page.read_text(encoding="utf-8")
    with ExitStack() as stack:
        if page.name in SERVED:
            at = stack.enter_context(server(work, environment))
            text = text.replace("localhost:8000", at)
        run_blocks(page.name, text, done, forked_python)
    session = session_of(text)
    if session:
        (work / "session.txt").write_text(session, encoding="utf-8")
        result = done([forked_python, "-m", "doctest", "-o", "ELLIPSIS", "session.txt"])
        assert result.returncode == 0, f"{page.name}\n{result.stdout}"


def run_blocks(
    name: str,
    text: str,
    done: Callable[[list[str]], subprocess.CompletedProcess[str]],
    forked_python: str,
) -> None:
    for block in blocks_of(text):
        runs = commands_of(block.body) if block.kind == "console" else [(block.body, "")]
        for command, shown in runs:
            arguments = (
                ["bash", "-euo", "pipefail", "-c", command]
                if block.kind == "console"
                else [forked_python, "-c", command]
            )
            result = done(arguments)
            where = f"{name}, block at line {block.line}: {command}\n{result.stdout}"
            assert result.returncode == 0 or shown.startswith("Error: "), where
            assert not shown or matches(shown, result.stdout), where


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_fences(page: Path) -> None:
    """Relative links lead somewhere, and no block escapes by an odd label."""
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"
    assert {found["kind"] for found in FENCE.finditer(text)} <= KINDS
    assert text.count("```") == 2 * len(FENCE.findall(text))


def test_settings_of_the_decoder_are_explained() -> None:
    decoding, boosting = (
        (ROOT / "docs" / page).read_text() for page in ("decoding.md", "how-it-works.md")
    )
    for config, text, prefix in (
        (DecodeConfig, decoding, "decode."),
        (BoostConfig, boosting, ""),
    ):
        for name in (field.name for field in fields(config)):
            assert f"`{prefix}{name}" in text, name


def test_commands_and_output_are_told_apart() -> None:
    assert commands_of("$ cat <<E\n> x\n>\n> E\nx\n$ true\n") == [
        ("cat <<E\nx\n\nE", "x\n"),
        ("true", ""),
    ]
    text = "```console\n$ a\n```\n<!-- not run: slow -->\n```console\n$ b\n```\n```text\n$ c\n```\n"
    assert blocks_of(text) == [Block("console", "$ a\n", 1)]
    assert matches("a … c\n", "a b c  \n")
    assert not matches("a … c", "a b")


def test_headline_is_what_was_measured() -> None:
    """The README's first and last row, against the figures that come with the model."""
    rows = {
        cells[0]: [float(cell.removesuffix(" %")) for cell in cells[1:]]
        for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
        if line.startswith(("| the model with", "| all parts |"))
        for cells in [line.strip("| ").split(" | ")]
    }
    figures = {
        (line["row"], line["set"]): line
        for line in read_summary(ROOT / "ctcbias_fst/pretrained/default/ablation.csv")
        if line["list"] == "1,000"
    }
    assert len(rows) == 2
    for name, row in zip(rows, ("CTC + LM", "all parts")):
        medical, parliament = figures[row, "medical"], figures[row, "parliament"]
        found = (medical["F1"], parliament["F1"], medical["free_WER"])
        assert rows[name] == [float(percent(float(share))) for share in found], row


def test_every_page_is_found() -> None:
    """...in the site's navigation, and those for users in the README."""
    listed = re.findall(r"^ +- (?:[\w ]+: )?([\w-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.M)
    outside = {"index.md", "changelog.md", "contributing.md", "security.md"}
    assert sorted(set(listed) - outside) == [one.name for one in PAGES[1:]]
    assert len(listed) == len(set(listed))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [one.name for one in PAGES[1:] if f"docs/{one.name}" not in readme] == ["reference.md"]


def test_the_reference_has_every_public_name() -> None:
    page = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"^::: ctcbias_fst\.([\w.]+)", page, re.MULTILINE))
    for name in ctcbias_fst.__all__:
        made = getattr(ctcbias_fst, name)
        module = getattr(made, "__module__", "").removeprefix("ctcbias_fst.")
        assert name == "__version__" or {module, f"{module}.{name}"} & shown, name

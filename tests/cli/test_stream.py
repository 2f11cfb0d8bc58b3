"""``ctcbias stream``: words as they are said, on a terminal, in a pipe, as JSON."""

from __future__ import annotations

import io
import itertools
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from ctcbias_fst.audio.audio import read_audio
from ctcbias_fst.audio.live import Microphone
from ctcbias_fst.audio_streams import AudioStream
from ctcbias_fst.cli import main
from ctcbias_fst.cli.stream_out import StreamText
from ctcbias_fst.models.package import DEFAULT
from ctcbias_fst.streaming.updates import Endpoint, Update
from tests.audio.test_live import microphone

CLIPS = DEFAULT.parent / "clips"
SAID = "my father takes Imiglucerase and feels fine"


def run(*arguments: object, given: bytes = b"") -> Result:
    return CliRunner().invoke(main, ["stream", *map(str, arguments)], input=given)


def pcm(rate: int = 16000) -> bytes:
    samples = read_audio(CLIPS / "medical-2.flac", rate).samples
    return (samples * 32767).astype("<i2").tobytes()


def test_a_file_as_if_it_came_now() -> None:
    result = run(CLIPS / "medical-2.flac", "--entities", CLIPS / "names.txt")
    assert result.exit_code == 0
    assert result.stdout == f"{SAID}\n"


@pytest.mark.parametrize("options", [(), ("-",), ("--rate", 8000, "--chunk", 0.5)])
def test_raw_samples_of_a_pipe(options: tuple[object, ...]) -> None:
    rate = 8000 if 8000 in options else 16000
    result = run(*options, "--entities", CLIPS / "names.txt", given=pcm(rate))
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{SAID}\n"


def test_json_has_what_is_new(tmp_path: Path) -> None:
    clip = CLIPS / "medical-2.flac"
    result = run(clip, "--entities", CLIPS / "names.txt", "--format", "json")
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert " ".join(record["text"] for record in records if record["text"]) == SAID
    assert len([record for record in records if record["text"]]) > 1
    words = [word for record in records for word in record["words"]]
    assert [word["word"] for word in words] == SAID.split()
    assert [one["display"] for record in records for one in record["entities"]] == ["Imiglucerase"]
    assert any(record["tentative"] for record in records)
    seconds = [record["seconds"] for record in records]
    assert seconds == sorted(seconds)


def test_the_microphone(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = np.frombuffer(pcm(), "<i2").astype(np.float32) / 32768
    parts = [samples[i : i + 160, None] for i in range(0, len(samples) // 160 * 160, 160)]
    stand_in = microphone([(part, "") for part in parts])

    def interrupted(self: Microphone) -> Iterator[np.ndarray]:
        yield from itertools.islice(chunks(self), 5)
        raise KeyboardInterrupt

    chunks = Microphone.chunks
    monkeypatch.setattr(Microphone, "chunks", interrupted)
    monkeypatch.setitem(sys.modules, "sounddevice", stand_in)
    result = run("--mic", "--chunk", 0.01, "--entities", CLIPS / "names.txt")
    assert result.exit_code == 0
    assert result.stdout == f"{SAID}\n"
    assert result.stderr.startswith("listening; Ctrl-C ends\n")


@pytest.mark.parametrize("bad", [False, True])
def test_the_microphone_stops_before_what_it_heard_is_taken(
    monkeypatch: pytest.MonkeyPatch, bad: bool
) -> None:
    """Ctrl-C while a chunk is decoded; a bad one among the rest costs no word before it."""
    samples = np.frombuffer(pcm(), "<i2").astype(np.float32) / 32768
    parts = [samples[i : i + 160, None] for i in range(0, len(samples) // 160 * 160, 160)]
    parts += [np.full((160, 1), np.nan, np.float32)] * bad
    stand_in = microphone([(part, "") for part in parts])
    accept, rest = AudioStream.accept, Microphone.rest
    calls = itertools.count(1)
    states = []

    def interrupted(self: AudioStream, *arguments: Any) -> Update:
        update = accept(self, *arguments)
        if next(calls) == 5:
            raise KeyboardInterrupt
        return update

    def asked(self: Microphone) -> Iterator[np.ndarray]:
        for one in rest(self):
            states.append(stand_in.listening)
            yield one

    monkeypatch.setattr(AudioStream, "accept", interrupted)
    monkeypatch.setattr(Microphone, "rest", asked)
    monkeypatch.setitem(sys.modules, "sounddevice", stand_in)
    result = run("--mic", "--chunk", 0.01, "--entities", CLIPS / "names.txt")
    assert len(states) == len(parts) - 5
    assert not any(states)
    assert result.stdout == f"{SAID}\n"
    assert result.exit_code == bad, result.stderr
    assert ("microphone, chunk at" in result.stderr) == bad


def test_what_cannot_be_streamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for arguments, message in (
        ((CLIPS / "medical-2.flac", "--mic"), "pass either AUDIO or --mic"),
        ((tmp_path / "none.wav",), "none.wav: no such file"),
        (("--mic",), "pip install 'ctcbias_fst[mic]'"),
        ((CLIPS / "medical-2.flac", "--rate", 8000), "a file says its own"),
        (("--mic", "--channels", 2), "of raw samples on standard input"),
    ):
        monkeypatch.setitem(sys.modules, "sounddevice", None)
        result = run(*arguments)
        assert result.exit_code == 1
        assert message in result.stderr.splitlines()[-1]
        assert "Traceback" not in result.output
    result = run(given=(CLIPS / "medical-2.flac").read_bytes())
    assert result.exit_code == 1
    assert "file with a header" in result.stderr


def test_channels_that_cancel_and_quiet_samples_are_told_once() -> None:
    samples = np.frombuffer(pcm(), "<i2")
    stereo = np.stack([samples, -samples], axis=1).astype("<i2").tobytes()
    result = run("--channels", 2, "--entities", CLIPS / "names.txt", given=stereo)
    assert (result.exit_code, result.stdout) == (0, f"{SAID}\n")
    told = "Warning: its channels cancel each other: number 1 is used alone\n"
    assert result.stderr == told
    quiet = (samples.astype(np.float32) * (10 ** (-50 / 20) / 32768)).astype("<f4").tobytes()
    result = run("--encoding", "f32le", given=quiet)
    assert result.exit_code == 0
    assert result.stderr.startswith("Warning: very quiet (the loudest parts so far have -")
    assert result.stderr.count("\n") == 1


def test_what_was_said_before_an_error_is_written() -> None:
    samples = np.frombuffer(pcm(), "<i2").astype("<f4") / 32768
    bad = np.concatenate((samples, np.full(9, np.nan, "<f4")))
    result = run(*("--encoding", "f32le", "--entities", CLIPS / "names.txt"), given=bad.tobytes())
    assert result.exit_code == 1
    assert result.stdout == f"{SAID}\n"
    assert "standard input, chunk at" in result.stderr


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def screen(text: str) -> list[str]:
    """The lines that a terminal shows at the end: of the codes, those that are written."""
    lines, kept = [""], ("", 0)
    for part in re.split(r"(\0337|\0338\033\[J|\033\[\d?m|\n)", text):
        if part == "\0337":
            kept = (lines[-1], len(lines))
        elif part == "\0338\033[J":
            lines = [*lines[: kept[1] - 1], kept[0]]
        elif part == "\n":
            lines.append("")
        elif not part.startswith("\033"):
            lines[-1] += part
    return lines


def test_a_terminal_shows_what_may_still_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctcbias_fst.cli.stream_out._width", lambda: 30)
    monkeypatch.setattr("ctcbias_fst.cli.stream_out._LEAST_LEFT", 8)
    out = Terminal()
    told = StreamText(out)
    told.show(Update("", "my fat"))
    assert screen(out.getvalue()) == ["my fat"]
    assert "\033[2mmy fat\033[0m" in out.getvalue()
    told.show(Update("my father", "takes a very long name of many words"))
    assert screen(out.getvalue()) == ["my father takes a very long …"]
    told.show(Update("my father takes", ""))
    assert screen(out.getvalue()) == ["my father takes"]
    told.show(Update("my father takes imiglucerase and", "feels"))
    assert screen(out.getvalue()) == ["my father takes", "imiglucerase and feels"]
    ended = Endpoint(3.0, "silence", len("my father takes imiglucerase and feels fine"))
    told.show(Update("my father takes imiglucerase and feels fine he", "s", endpoints=(ended,)))
    assert screen(out.getvalue()) == ["my father takes", "imiglucerase and feels fine", "he s"]
    told.end()
    assert screen(out.getvalue())[-2:] == ["he", ""]


def test_wide_letters_take_two_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctcbias_fst.cli.stream_out._width", lambda: 30)
    out = Terminal()
    StreamText(out).show(Update("", "東京都に住んでいる人はとても多いです"))
    (line,) = screen(out.getvalue())
    assert line == "東京都に住んでいる人はとても…"


def test_elsewhere_only_what_is_sure_is_written() -> None:
    out = io.StringIO()
    told = StreamText(out)
    ended = Endpoint(1.0, "length", 3)
    told.show(Update("one", "two"))
    told.show(Update("one two", "three", endpoints=(ended,)))
    told.show(Update("one two three\x1b[2J", ""))
    told.end()
    assert out.getvalue() == "one\ntwo three [2J\n"

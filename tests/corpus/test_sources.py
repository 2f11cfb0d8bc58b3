"""Folders of audio, Kaldi's wav.scp, NeMo's manifests: ids, warnings, refusals."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import soundfile
from click.testing import CliRunner, Result
from lhotse import AudioSource, Recording

from ctcbias_fst.audio.audio import AudioPart, declared_seconds, to_recording
from ctcbias_fst.cli import main
from ctcbias_fst.corpus.cuts import load_recording
from ctcbias_fst.corpus.sources import audio_parts, recordings_of
from ctcbias_fst.errors import AudioError, CtcbiasWarning, ManifestError
from tests.tiny_models import speechlike


def wave(path: Path, seconds: float = 0.3, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, speechlike(seconds, seed), 16000)
    return path


def rows(*items: dict[str, Any]) -> str:
    return "".join(json.dumps(item) + "\n" for item in items)


def parts(*paths: Path, trusted: bool = False) -> dict[str, AudioPart]:
    found = recordings_of(paths, trusted=trusted)
    assert all(isinstance(one, AudioPart) for one in found)
    return {one.id: one for one in found if isinstance(one, AudioPart)}


def test_a_folder_is_its_audio_files_in_order(tmp_path: Path) -> None:
    for name in ("b.wav", "a/z.FLAC", "a/c.Wav", "d.wav"):
        wave(tmp_path / name)
    assert list(parts(tmp_path)) == ["c", "z", "b", "d"]


def test_ids_are_names_without_folders_where_that_tells_them_apart(tmp_path: Path) -> None:
    for name in ("y/one.wav", "x/two.wav", "x/deep/three.wav"):
        wave(tmp_path / name)
    assert list(parts(tmp_path)) == ["three", "two", "one"]


def test_files_of_the_same_name_get_their_folders(tmp_path: Path) -> None:
    for name in ("2024/a.wav", "2025/a.wav", "2025/b.wav", "2025/b.flac", "c.wav"):
        wave(tmp_path / name)
    with pytest.warns(CtcbiasWarning, match="same name get ids with their folders: '2024/a', '202"):
        found = parts(tmp_path)
    assert list(found) == ["2024/a", "2025/a", "2025/b.flac", "2025/b.wav", "c"]
    assert found["2025/a"].path == tmp_path / "2025/a.wav"


def test_folders_of_the_same_files_are_refused_together(tmp_path: Path) -> None:
    wave(tmp_path / "x/a.wav")
    wave(tmp_path / "y/a.wav")
    with pytest.raises(
        ManifestError, match=r"x/a\.wav and .*y/a\.wav would both be called 'a.wav'"
    ):
        recordings_of([tmp_path / "x", tmp_path / "y"])


def test_other_files_are_told(tmp_path: Path) -> None:
    wave(tmp_path / "a.wav")
    for name in ("notes.txt", "._a.wav", "x/cover.jpg", "y.pdf"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("no audio")
    (tmp_path / "round").symlink_to(tmp_path, target_is_directory=True)
    with pytest.warns(
        CtcbiasWarning, match=r"left out, .*: '\._a\.wav', 'notes\.txt', 'round' and 2"
    ):
        assert list(parts(tmp_path)) == ["a"]


def test_what_is_no_regular_file_is_told(tmp_path: Path) -> None:
    """A pipe in a folder would be waited for."""
    wave(tmp_path / "audio/a.wav")
    (tmp_path / "elsewhere").mkdir()
    os.mkfifo(tmp_path / "audio/b.wav")
    (tmp_path / "audio/c.wav").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "audio/d.wav").symlink_to("/dev/zero")
    (tmp_path / "audio/e.wav").symlink_to("missing")
    with pytest.warns(CtcbiasWarning, match=r"no regular files .*: 'b\.wav', 'c\.wav', 'd\.wav'$"):
        assert list(parts(tmp_path / "audio")) == ["a", "e"]


def test_lists_of_kaldi_are_known_by_the_end_of_their_names(tmp_path: Path) -> None:
    wave(tmp_path / "here.wav")
    for name in ("scp", "wav_scp", "dev.SCP"):
        (tmp_path / name).write_text("utt-1 here.wav\n")
        assert list(parts(tmp_path / name)) == ["utt-1"]
    (tmp_path / "list.txt").write_text("utt-1 here.wav\n")
    found = CliRunner().invoke(
        main, ["decode", "--cuts", str(tmp_path / "list.txt"), "--out", str(tmp_path / "out")]
    )
    assert "a Kaldi wav.scp is one if its name ends with scp" in found.stderr


def test_a_folder_without_audio(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no audio")
    with pytest.raises(ManifestError, match=r"has no audio files, which end with .*\.flac.*\.wav"):
        recordings_of([tmp_path])
    (tmp_path / "wav.scp").write_text("a a.wav\n")
    with pytest.raises(ManifestError, match="it has a wav.scp: give that"):
        recordings_of([tmp_path])


def test_kaldi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wave(tmp_path / "data/beside.wav")
    wave(tmp_path / "here.wav")
    scp = tmp_path / "data" / "wav.scp"
    scp.write_text(f"utt-1 beside.wav\n\nutt-2\there.wav \nutt-3 {tmp_path}/with space.wav\n")
    monkeypatch.chdir(tmp_path)
    found = parts(scp)
    assert [one.path for one in found.values()] == [
        scp.parent / "beside.wav",
        Path("here.wav"),
        tmp_path / "with space.wav",
    ]
    assert list(found) == ["utt-1", "utt-2", "utt-3"]
    (scp.parent / "segments").write_text("utt-1-a utt-1 0 1\n")
    with pytest.warns(CtcbiasWarning, match="'segments' beside it is not read"):
        recordings_of([scp])


def test_commands_are_run_only_if_the_list_is_trusted(tmp_path: Path) -> None:
    clip = wave(tmp_path / "a.wav")
    scp = tmp_path / "wav.scp"
    scp.write_text(
        f"a cat {shlex.quote(str(clip))} |\nb touch {tmp_path}/run; echo no >&2; false |\n"
    )
    with pytest.raises(ManifestError, match=r"line 1: 'a' would run a command: .*--trust-manifest"):
        recordings_of([scp])
    found = parts(scp, trusted=True)
    recording = to_recording(found["a"], 16000)
    assert recording.id == "a"
    assert recording.seconds == pytest.approx(0.3)
    assert not (tmp_path / "run").exists()
    with pytest.raises(AudioError, match="b: its command ended with status 1: no"):
        to_recording(found["b"], 16000)
    assert declared_seconds(found["a"]) is None


def test_what_a_failing_command_wrote_is_used_and_told(tmp_path: Path) -> None:
    clip = wave(tmp_path / "a.wav")
    part = AudioPart("a", Path("command of a"), command=f"cat {shlex.quote(str(clip))}; exit 3")
    recording = to_recording(part, 16000)
    assert recording.warning == "its command ended with status 3"


def test_nemo(tmp_path: Path) -> None:
    clip = wave(tmp_path / "audio/talk.wav", 2.0)
    manifest = tmp_path / "manifest.json"
    manifest.write_text(
        rows(
            {"audio_filepath": "audio/talk.wav", "duration": 0.5, "offset": 0.0, "text": "a"},
            {"audio_filepath": "audio/talk.wav", "duration": 0.75, "offset": 1.25, "text": "b"},
            {"audio_filepath": str(clip), "duration": -1, "offset": None, "id": "all", "text": "c"},
        )
    )
    found = parts(manifest)
    assert list(found) == ["talk", "talk-1.25", "all"]
    assert [to_recording(one, 16000).seconds for one in found.values()] == [0.5, 0.75, 2.0]
    assert [declared_seconds(one) for one in found.values()] == [0.5, 0.75, 2.0]
    assert list(audio_parts(manifest) or ()) == list(found.values())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (rows({"audio_filepath": 3}), "line 1: 'audio_filepath' must be one path, not 3"),
        (rows({"audio_filepath": "a.wav", "offset": "x"}), "line 1: 'offset' must be a number"),
        (rows({"audio_filepath": "a.wav", "offset": -1}), "line 1: 'offset' must be 0 or more"),
        (
            rows({"audio_filepath": "a.wav"}) * 2,
            "line 2: 'a' was given in line 1 already: give each",
        ),
        (rows({"audio_filepath": "a.wav"}) + "{", "line 2: not valid JSON"),
        (rows({"audio_filepath": "a.wav"}) + "[]\n", "line 2: expected a JSON object"),
        (rows({"id": "a", "recording": {}}), "no NeMo manifest .* ctcbias decode --cuts"),
        ("[1, 2]", "no NeMo manifest"),
    ],
)
def test_manifests_that_cannot_be(tmp_path: Path, text: str, words: str) -> None:
    manifest = tmp_path / "m.jsonl"
    manifest.write_text(text)
    with pytest.raises(ManifestError, match=words):
        recordings_of([manifest])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a\n", "line 1: an id without a path: 'a'"),
        ("a |\n", "line 1: an id without a path"),
        ("a x.wav\na y.wav\n", "line 2: 'a' was given in line 1 already"),
        ("\n", "names no recordings"),
    ],
)
def test_lists_that_cannot_be(tmp_path: Path, text: str, words: str) -> None:
    scp = tmp_path / "wav.scp"
    scp.write_text(text)
    with pytest.raises(ManifestError, match=words):
        recordings_of([scp], trusted=True)


def test_log_probs_are_sent_where_they_belong(tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_bytes(b"PK")
    with pytest.raises(ManifestError, match="decode --log-probs"):
        recordings_of([tmp_path / "x.npz"])
    with pytest.raises(ManifestError, match="give them to --log-probs"):
        audio_parts(tmp_path / "x.npz")


def test_files_stay_what_they_are(tmp_path: Path) -> None:
    paths = [wave(tmp_path / "a.wav"), tmp_path / "none.wav", tmp_path / "none.json"]
    assert recordings_of(paths) == paths
    assert audio_parts(paths[0]) == [AudioPart("a", paths[0])]
    assert audio_parts(tmp_path / "cuts.jsonl") is None


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A folder with two files of one name, and lists of its files."""
    folder = tmp_path / "corpus"
    for number, name in enumerate(("x/a.wav", "y/a.wav", "y/b.wav")):
        wave(folder / name, 1.0, number)
    (tmp_path / "wav.scp").write_text(
        "x/a corpus/x/a.wav\ny/a corpus/y/a.wav\nb corpus/y/b.wav\nlost corpus/lost.wav\n"
    )
    (tmp_path / "nemo.json").write_text(
        rows(
            {"audio_filepath": "corpus/x/a.wav", "id": "x/a", "text": "one"},
            {"audio_filepath": "corpus/y/a.wav", "id": "y/a", "text": "two"},
            {"audio_filepath": "corpus/y/b.wav", "text": "three"},
        )
    )
    (tmp_path / "refs.txt").write_text("x/a one\ny/a two\nb three\n")
    return tmp_path


def test_both_commands_agree_whatever_names_the_recordings(
    model_without_adapter: Path, corpus: Path
) -> None:
    texts = {}
    for name in ("corpus", "wav.scp", "nemo.json"):
        done = run(
            "transcribe", corpus / name, "--model", model_without_adapter, "--format", "json"
        )
        assert done.exit_code == (1 if name == "wav.scp" else 0), done.output
        found = [json.loads(line) for line in done.stdout.splitlines()]
        assert [row["id"] for row in found] == ["x/a", "y/a", "b"]
        assert [Path(row["path"]).name for row in found] == ["a.wav", "a.wav", "b.wav"]
        out = corpus / "out.jsonl"
        done = run(
            "decode", "--cuts", corpus / name, "--model", model_without_adapter, "--out", out
        )
        assert done.exit_code == (1 if name == "wav.scp" else 0), done.output
        decoded = [json.loads(line) for line in out.read_text().splitlines()]
        texts[name] = {row["id"]: row["text"] for row in decoded}
        assert texts[name] == {row["id"]: row["text"] for row in found}
        for references in ("refs.txt", "nemo.json"):
            assert run("score", corpus / references, out, "--bootstrap", 0).exit_code == 0
    assert texts["corpus"] == texts["wav.scp"] == texts["nemo.json"]
    assert "lost" in run("transcribe", corpus / "wav.scp", "--model", model_without_adapter).stderr


@pytest.mark.parametrize("key", ["id", "audio_filepath"])
def test_a_list_of_names_for_each(model_without_adapter: Path, corpus: Path, key: str) -> None:
    listed = corpus / "lists.jsonl"
    last = {"id": "b"} if key == "id" else {"audio_filepath": "corpus/y/b.wav"}
    listed.write_text(
        rows(
            {"id": "x/a", "entities": ["metformin"]},
            {"id": "y/a", "entities": []},
            {**last, "entities": ["keisha"]},
        )
    )
    out = corpus / "out.jsonl"
    options = ("--model", model_without_adapter, "--entities", listed, "--out", out)
    done = run("decode", "--cuts", corpus / "corpus", *options)
    assert done.exit_code == 0, done.output


def test_transcripts_of_a_tree_lie_in_a_tree(model_without_adapter: Path, corpus: Path) -> None:
    done = run(
        "transcribe",
        corpus / "corpus",
        "--model",
        model_without_adapter,
        "--format",
        "vtt",
        "--out-dir",
        corpus / "o",
    )
    assert done.exit_code == 0, done.output
    made = sorted(
        path.relative_to(corpus / "o").as_posix() for path in (corpus / "o").rglob("*.vtt")
    )
    assert made == ["b.vtt", "x/a.vtt", "y/a.vtt"]


def test_ids_of_a_list_do_not_leave_the_folder(model_without_adapter: Path, corpus: Path) -> None:
    shutil.copy(corpus / "corpus/x/a.wav", corpus / "a.wav")
    (corpus / "wav.scp").write_text("../../up a.wav\n/root a.wav\n")
    done = run(
        "transcribe",
        corpus / "wav.scp",
        "--model",
        model_without_adapter,
        "--out-dir",
        corpus / "o" / "p",
    )
    assert done.exit_code == 0, done.output
    inside = {path for path in corpus.rglob("*.txt") if path.name != "refs.txt"}
    assert len(inside) == 2
    assert all(corpus / "o" / "p" in path.parents for path in inside)


def test_supervisions_need_cuts(model_without_adapter: Path, corpus: Path) -> None:
    options = (
        "--model",
        model_without_adapter,
        "--format",
        "lhotse",
        "--out",
        corpus / "out.jsonl",
    )
    done = run("decode", "--cuts", corpus / "corpus", *options)
    assert done.exit_code == 1
    assert "--format lhotse writes supervisions of lhotse cuts" in done.stderr


@contextmanager
def piped(folder: Path, content: str) -> Iterator[Path]:
    """A pipe with some text in it, which can be read once."""
    path = folder / "pipe"
    os.mkfifo(path)
    writer = Thread(target=path.write_text, args=(content,), daemon=True)
    writer.start()
    yield path
    writer.join(10)
    assert not writer.is_alive()


@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize("command", ["decode", "transcribe", "compile", "score"])
def test_lists_from_a_pipe_are_read_once(
    model_without_adapter: Path, corpus: Path, command: str, each: bool
) -> None:
    listed = "metformin\nnew york\n東京\n"
    if each:
        listed = rows(
            *({"id": one, "entities": ["metformin", "東京"]} for one in ("x/a", "y/a", "b"))
        )
    out = corpus / "out.jsonl"
    (corpus / "hypotheses.txt").write_text("x/a one\ny/a metformin\nb three\n")
    with piped(corpus, listed) as pipe:
        found = {
            "decode": ("--cuts", corpus / "corpus", "--entities", pipe, "--out", out),
            "transcribe": (corpus / "corpus", "--entities", pipe, "--out", out),
            "compile": (pipe, "--out", corpus / "names.fst"),
            "score": (corpus / "refs.txt", corpus / "hypotheses.txt", "--entities", pipe),
        }[command]
        options = () if command == "score" else ("--model", model_without_adapter)
        done = run(command, *found, *options)
    if each and command in ("transcribe", "compile"):
        assert done.exit_code == 1
        assert "is a list for each utterance (keys 'id' and 'entities'), which" in done.stderr
        return
    assert done.exit_code == 0, done.output
    if command != "score":
        assert "東京" in done.stderr


def test_pipes_in_lists_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p.wav")
    good = wave(tmp_path / "a.wav")
    (tmp_path / "wav.scp").write_text(f"a {good}\np p.wav\n")
    (tmp_path / "m.json").write_text(rows({"audio_filepath": "p.wav", "duration": 1.0}))
    piped = [parts(tmp_path / "wav.scp")["p"], parts(tmp_path / "m.json")["p"]]
    for part in piped:
        with pytest.raises(AudioError, match=r"p\.wav: is a named pipe, which may never end; list"):
            to_recording(part, 16000)
    whole = Recording("p", [AudioSource("file", [0], str(tmp_path / "p.wav"))], 16000, 16000, 1.0)
    for cut in (whole.to_cut(), whole.to_cut().pad(2.0)):
        with pytest.raises(AudioError, match="its audio: is a named pipe"):
            load_recording(cut, 16000)


def test_a_duration_beyond_the_file_is_told(tmp_path: Path) -> None:
    wave(tmp_path / "a.wav", seconds=2.0)
    rest = {"audio_filepath": "a.wav", "offset": 0.5, "duration": 5.0}
    fits = {"audio_filepath": "a.wav", "offset": 1.0, "duration": 1.0}
    behind = {"audio_filepath": "a.wav", "offset": 3.0, "duration": 1.0}
    (tmp_path / "m.json").write_text(rows(rest, fits, behind))
    found = parts(tmp_path / "m.json")
    told = to_recording(found["a-0.5"], 16000)
    assert told.warning == "5 s from 0.5 s on are listed, 1.50 s are there"
    assert to_recording(found["a-1"], 16000).warning is None
    with pytest.raises(AudioError, match=r"a\.wav: 0 samples are less than"):
        to_recording(found["a-3"], 16000)


def test_what_is_named_twice_is_taken_once(tmp_path: Path) -> None:
    a, b = wave(tmp_path / "a.wav"), wave(tmp_path / "x/b.wav")
    with pytest.warns(CtcbiasWarning, match=r"a\.wav: named 2 times, taken once"):
        assert recordings_of([a, b, a]) == [a, b]
    with pytest.warns(CtcbiasWarning, match=r"x: named 2 times, taken once"):
        assert list(parts(tmp_path / "x", tmp_path / "x")) == ["b"]
    (tmp_path / "wav.scp").write_text(f"{a} {b}\n")
    with pytest.raises(ManifestError, match=r"would both be called so: rename one"):
        recordings_of([a, tmp_path / "wav.scp"])

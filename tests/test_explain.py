"""Pictures of what the adapter heard, on a tiny model with random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

import ctcbias_fst
from ctcbias_fst.audio.audio import Recording, read_audio
from ctcbias_fst.cli import main
from ctcbias_fst.errors import AudioError, ConfigError, EntityListError, ModelError
from ctcbias_fst.explain import cut, explain
from ctcbias_fst.explain_picture import draw_explanation
from ctcbias_fst.models.embedded import AcousticModel
from ctcbias_fst.models.model_config import AttentionConfig
from ctcbias_fst.recognizer import Recognizer
from ctcbias_fst.settings import PipelineConfig
from ctcbias_fst.shortlist.phone_index import ShortlistConfig
from tests.tiny_models import speechlike

CLIPS = Path(ctcbias_fst.__file__).parent / "pretrained/clips"

NAMES = ["metformin", "New York", "keisha", "john smith", "peace"]


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.wav"
    soundfile.write(path, speechlike(2.0, 3), 16000)
    return path


def recognizer_with(model: Path, **config: object) -> Recognizer:
    return Recognizer(AcousticModel.load(model), PipelineConfig(**config))  # type: ignore[arg-type]


def test_all_attention_is_accounted_for(random_model: Path, clip: Path) -> None:
    recognizer = recognizer_with(random_model)
    names = recognizer.compile(NAMES)
    recording = read_audio(clip)
    found = explain(recognizer, recording, names)
    assert sorted(name.name for name in found.names) == sorted(NAMES)
    total = found.none + sum(name.weights for name in found.names)
    np.testing.assert_allclose(total, 1.0, atol=1e-5)
    assert found.seconds == pytest.approx(2.0)
    assert found.log_mel.shape == (200, 80)
    assert [name.peak for name in found.names] == sorted(
        (name.peak for name in found.names), reverse=True
    )
    assert found.plain == recognizer.transcribe(clip).best.words
    assert found.biased == recognizer.transcribe(clip, entities=names).best.words


def test_a_long_recording_is_heard_as_it_is_transcribed(recognizer: Recognizer) -> None:
    """Piece by piece, each with its own names."""
    clips = [read_audio(CLIPS / f"medical-{i}.flac").samples for i in (1, 2)]
    recording = Recording("two", np.concatenate([clips[0], np.zeros(16000), clips[1]]), 16000)
    names = recognizer.compile(["imiglucerase", "Wampanoag", "osteochondrosis"], warn=False)
    found = explain(recognizer, recording, names)
    # Probabilities differ in the last digit: pieces are scored one by one here.
    pairs = [
        (found.plain, recognizer.transcribe(recording)),
        (found.biased, recognizer.transcribe(recording, entities=names)),
    ]
    for words, transcript in pairs:
        expected = [(word.word, word.start, word.end) for word in transcript.best.words]
        assert [(word.word, word.start, word.end) for word in words] == expected
    total = found.none + sum(name.weights for name in found.names)
    np.testing.assert_allclose(total, 1.0, atol=1e-5)


def test_what_is_missing_of_a_recording_is_told(
    random_model: Path, clip: Path, tmp_path: Path
) -> None:
    content = clip.read_bytes()
    clip.write_bytes(content[: len(content) * 2 // 3])
    (tmp_path / "names.txt").write_text("\n".join(NAMES))
    options = ["--entities", str(tmp_path / "names.txt"), "--model", str(random_model)]
    result = CliRunner().invoke(main, ["explain", str(clip), "-o", f"{tmp_path}/a.svg", *options])
    assert result.exit_code == 0
    assert f"Warning: {clip}: truncated: " in result.stderr


def test_only_the_shortlist_of_a_long_list_is_attended_to(random_model: Path, clip: Path) -> None:
    recognizer = recognizer_with(random_model, adapter=AttentionConfig(names=2))
    found = explain(recognizer, read_audio(clip), recognizer.compile(NAMES))
    assert len(found.names) == 2
    assert found.listed == len(NAMES)


def test_names_of_a_long_list_have_their_own_attention(random_model: Path, clip: Path) -> None:
    """Which is not read in the user's order."""
    found = []
    for shorten_above in (500, 2):
        limits = ShortlistConfig(shorten_above=shorten_above)
        recognizer = recognizer_with(random_model, shortlist=limits)
        names = recognizer.compile(NAMES)
        assert (names.shortlists is not None) == (shorten_above == 2)
        found.append(explain(recognizer, read_audio(clip), names).names)
    whole, shortened = ({one.name: one.weights for one in names} for names in found)
    assert whole.keys() == shortened.keys() == set(NAMES)
    for name, weights in whole.items():
        np.testing.assert_allclose(shortened[name], weights, atol=1e-5)


def test_a_moment_of_audio_is_one_frame(random_model: Path) -> None:
    recognizer = recognizer_with(random_model)
    listed = recognizer.compile(NAMES).listed
    assert isinstance(recognizer.model, AcousticModel)
    assert listed is not None
    moment = Recording("moment", np.full(100, 0.1, np.float32), 16000)
    found = recognizer.model.attend(moment, listed)
    assert found.log_mel.shape == (1, 80)
    assert found.none.shape == (1,)


def test_without_attention_there_is_no_picture(
    random_model: Path, model_without_adapter: Path, clip: Path
) -> None:
    recording = read_audio(clip)
    boosted = recognizer_with(random_model, parts=("boost",))
    with pytest.raises(ConfigError, match="adapter is switched off"):
        explain(boosted, recording, boosted.compile(NAMES))
    bare = recognizer_with(model_without_adapter)
    with pytest.raises(ModelError, match="ctcbias adapt"):
        explain(bare, recording, bare.compile(NAMES))
    recognizer = recognizer_with(random_model)
    with pytest.raises(EntityListError, match="no name on the list is one"):
        explain(recognizer, recording, recognizer.compile([]))
    long = Recording("long.wav", np.tile(recording.samples, 17), 16000)
    with pytest.raises(AudioError, match=r"long.wav: 34.0 s .* at most 32 s"):
        explain(recognizer, long, recognizer.compile(NAMES))


def test_a_part_of_a_recording() -> None:
    recording = Recording("r", np.arange(16000, dtype=np.float32), 16000)
    part = cut(recording, 0.25, 0.5)
    assert part.samples.tolist() == list(range(4000, 12000))
    assert len(cut(recording, 0.25, None).samples) == 12000
    with pytest.raises(AudioError, match="r: nothing starts at 1"):
        cut(recording, 1.0, None)


def test_command_writes_each_kind_of_picture(
    random_model: Path, clip: Path, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    listed = tmp_path / "names.txt"
    listed.write_text("\n".join([*NAMES, "O'Brien & <Sons>"]), encoding="utf-8")
    common = ["explain", str(clip), "--entities", str(listed), "--model", str(random_model)]
    written = {}
    for kind in ("png", "svg", "html"):
        out = tmp_path / f"picture.{kind}"
        result = CliRunner().invoke(main, [*common, "-o", str(out), "--top", "3"])
        assert result.exit_code == 0, result.output
        written[kind] = out.read_bytes()
        assert "with list:" in result.output
    assert written["png"].startswith(b"\x89PNG")
    # three names, the other three together, none
    for kind in ("svg", "html"):
        text = written[kind].decode()
        assert "3 other names (most)" in text
        assert "no name" in text
    page = written["html"].decode()
    assert "<script" not in page
    assert "http://www.w3.org/2000/svg" in page
    assert "&lt;Sons&gt;" in page
    assert "<Sons>" not in page
    again = tmp_path / "again.svg"
    CliRunner().invoke(main, [*common, "-o", str(again), "--top", "3"])
    assert again.read_bytes() == written["svg"]
    refused = CliRunner().invoke(main, [*common, "-o", str(tmp_path / "picture.gif")])
    assert refused.exit_code == 1
    assert "pictures are written as" in refused.output
    assert not (tmp_path / "picture.gif").exists()


def test_a_picture_of_many_names_has_few_rows(
    random_model: Path, clip: Path, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    recognizer = recognizer_with(random_model)
    listed = [f"name {word}" for word in "a b c d e f g h i j k l m n o p q r s t u".split()]
    found = explain(recognizer, read_audio(clip), recognizer.compile(listed))
    draw_explanation(found, tmp_path / "few.svg", top=4)
    text = (tmp_path / "few.svg").read_text(encoding="utf-8")
    assert f"{len(listed) - 4} other names (most)" in text
    assert sum(name in text for name in listed) == 4


def test_a_part_that_nobody_asked_for_is_told(random_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    soundfile.write(path, np.tile(speechlike(3.0, 0), 11), 16000)
    listed = tmp_path / "names.txt"
    listed.write_text("metformin\n")
    common = ["explain", str(path), "--entities", str(listed), "--model", str(random_model)]
    told = []
    for options in ([], ["--start", "2"], ["--start", "4"], ["--duration", "10"]):
        result = CliRunner().invoke(main, [*common, "-o", f"{tmp_path}/a.svg", *options])
        assert result.exit_code == 0, result.output
        told.append([line for line in result.stderr.splitlines() if "shown" in line])
    whole = "of 33.0 s are shown; --start and --duration choose another part"
    expected = [f"Warning: {path}: only {part} s {whole}" for part in ("0 to 30", "2 to 32")]
    assert told == [[expected[0]], [expected[1]], [], []]

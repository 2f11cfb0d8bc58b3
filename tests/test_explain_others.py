"""Pictures of what an adapter on a model of another family heard."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from click.testing import CliRunner
from tiny_hugging_face import noise, save, save_loud_adapter

from ctcbias_fst import Recognizer
from ctcbias_fst.audio.audio import Recording
from ctcbias_fst.cli import main
from ctcbias_fst.errors import AudioError, ModelError
from ctcbias_fst.explain import explain
from ctcbias_fst.models.attended import Glance, gathered
from ctcbias_fst.models.function import function_model
from ctcbias_fst.models.pieces import PiecesConfig
from ctcbias_fst.models.scored import ScoredModel
from ctcbias_fst.models.windows import spans_of

pytestmark = pytest.mark.filterwarnings("ignore:Support for mismatched:UserWarning")

NAMES = ["metformin", "new york", "peace"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = save(tmp_path / "hf", num_hidden_layers=4)
    return save_loud_adapter(folder, folder)


def recognizer_of(model: Path) -> Recognizer:
    return Recognizer.from_pretrained(model, phones=None)


def test_all_attention_is_accounted_for(model: Path) -> None:
    recognizer = recognizer_of(model)
    names = recognizer.compile(NAMES)
    recording = Recording("call", noise(2.0), 16000)
    found = explain(recognizer, recording, names)
    assert sorted(one.name for one in found.names) == sorted(NAMES)
    total = found.none + sum(one.weights for one in found.names)
    np.testing.assert_allclose(total, 1.0, atol=1e-5)
    assert found.frame_seconds == 0.02
    assert found.seconds == pytest.approx(2.0, abs=0.03)
    assert found.log_mel.shape == (200, 80)
    assert found.names[0].peak > 0.1
    assert found.plain == recognizer.transcribe_recordings([recording], [None])[0].best.words
    assert found.biased == recognizer.transcribe_recordings([recording], [names])[0].best.words


def test_pieces_have_the_attention_that_they_have_alone(model: Path) -> None:
    """Two sentences with a pause between, in which no name is looked at."""
    recognizer = recognizer_of(model)
    loaded = recognizer.model
    assert isinstance(loaded, ScoredModel)
    listed = recognizer.compile(NAMES).listed
    assert listed is not None
    parts = [noise(4.0, seed=i) for i in (1, 2)]
    whole = np.concatenate([parts[0], np.zeros(32000, np.float32), parts[1]])
    recording = Recording("both", whole, 16000)
    found = loaded.attend(recording, listed)
    assert found.names.tolist() == [0, 1, 2]
    np.testing.assert_allclose(found.none + found.weights.sum(1), 1.0, atol=1e-5)
    spans = list(spans_of(0, recording, loaded.scorer, PiecesConfig()))
    assert len(spans) == 2
    nowhere = np.ones(len(found.none), bool)
    for span in spans:
        alone = loaded.attend(Recording("one", whole[span.begin : span.end], 16000), listed)
        where = slice(span.frame, span.frame + len(alone.none))
        np.testing.assert_allclose(found.weights[where], alone.weights, atol=1e-5)
        nowhere[where] = False
    assert nowhere.sum() > 10
    assert (found.none[nowhere] == 1.0).all()


def test_what_is_seen_of_a_frame_last_counts() -> None:
    """And the rows of a name are added."""
    first = Glance(0, torch.tensor([[0.5, 0.2, 0.3], [0.1, 0.4, 0.5]]), torch.tensor([7, 7]))
    last = Glance(1, torch.tensor([[0.2, 0.8], [0.6, 0.4], [0.0, 1.0]]), torch.tensor([3]))
    found = gathered([first, last], 4, torch.zeros(8, 80), 0.02)
    assert found.names.tolist() == [3, 7]
    wanted = torch.tensor([[0.0, 0.5], [0.8, 0.0], [0.4, 0.0], [1.0, 0.0]])
    torch.testing.assert_close(found.weights, wanted)
    torch.testing.assert_close(found.none, torch.tensor([0.5, 0.2, 0.6, 0.0]))
    short = gathered([last], 2, torch.zeros(4, 80), 0.02)
    torch.testing.assert_close(short.weights, torch.tensor([[0.0], [0.8]]))
    torch.testing.assert_close(short.none, torch.tensor([1.0, 0.2]))
    assert gathered([], 2, torch.zeros(4, 80), 0.02).weights.shape == (2, 0)


def test_little_audio(model: Path) -> None:
    """A frame of a moment, and none of nothing."""
    recognizer = recognizer_of(model)
    listed = recognizer.compile(NAMES).listed
    assert isinstance(recognizer.model, ScoredModel)
    assert listed is not None
    for samples, frames in ((100, 1), (0, 0)):
        moment = Recording("moment", np.full(samples, 0.1, np.float32), 16000)
        found = recognizer.model.attend(moment, listed)
        assert found.none.shape == (frames,)
        assert found.log_mel.shape == (1, 80)


def test_what_cannot_be_drawn_is_told(model: Path) -> None:
    recognizer = recognizer_of(model)
    long = Recording("long.wav", noise(33.0), 16000)
    with pytest.raises(AudioError, match=r"long.wav: 33.0 s .* at most 32 s"):
        explain(recognizer, long, recognizer.compile(NAMES))

    def silence(samples: np.ndarray) -> np.ndarray:
        return np.full((len(samples) // 320, 28), -np.log(28.0))

    letters = ["<blank>", "|", *"abcdefghijklmnopqrstuvwxyz"]
    phones = ["<blank>", *"ptkbdgmnszʃʒθðŋɹlwjhfvɪeɛæɑɔʊuəʌɚ", "tʃ", "dʒ", "aɪ", "eɪ"]
    recording = Recording("call", noise(2.0), 16000)
    for tokens, why in ((letters, "one reads the states of a torch model"), (phones, "are phones")):
        boundary = {"boundary": "none"} if tokens is phones else {}
        function = function_model(silence, tokens, frame_seconds=0.02, **boundary)
        bare = Recognizer(function, phones=None)
        with pytest.raises(ModelError, match=f"no adapter.*{why}"):
            explain(bare, recording, bare.compile([]))


def test_an_adapter_that_is_named(model: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    named = save_loud_adapter(model, tmp_path / "named")
    for file in model.glob("ctcbias_adapter*"):
        file.unlink()
    soundfile.write(tmp_path / "call.wav", noise(2.0), 16000)
    (tmp_path / "names.txt").write_text("\n".join(NAMES))
    common = ["explain", str(tmp_path / "call.wav"), "--entities", str(tmp_path / "names.txt")]
    common += ["--model", str(model), "-o", str(tmp_path / "a.html")]
    result = CliRunner().invoke(main, common)
    assert result.exit_code == 1
    assert "the model has no adapter" in result.output
    result = CliRunner().invoke(main, [*common, "--adapter", str(named)])
    assert result.exit_code == 0, result.output
    assert "new york" in (tmp_path / "a.html").read_text()

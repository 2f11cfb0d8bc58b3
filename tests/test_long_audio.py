"""Long audio is as good as short: the shipped clips joined, by the shipped model."""

from __future__ import annotations

import json
from pathlib import Path

import kaldialign
import numpy as np
import numpy.typing as npt
import pytest
import torch

import ctcbias_fst
from ctcbias_fst.audio.audio import Recording, read_audio
from ctcbias_fst.compiled import CompiledEntities
from ctcbias_fst.errors import CtcbiasWarning
from ctcbias_fst.models.pieces import PiecesConfig
from ctcbias_fst.recognizer import Recognizer
from ctcbias_fst.scoring.score import score_transcripts, total
from ctcbias_fst.text.entities import read_entities

CLIPS = Path(ctcbias_fst.__file__).parent / "pretrained/clips"
ROWS = [json.loads(line) for line in (CLIPS / "clips.jsonl").read_text("utf-8").splitlines()]


@pytest.fixture(scope="module")
def names(recognizer: Recognizer) -> CompiledEntities:
    return recognizer.compile(read_entities(CLIPS / "names.txt"), warn=False)


@pytest.fixture(scope="module")
def clips() -> list[Recording]:
    return [read_audio(CLIPS / row["path"], 16000) for row in ROWS]


@pytest.fixture(scope="module")
def alone(recognizer: Recognizer, names: CompiledEntities, clips: list[Recording]) -> list[str]:
    found = recognizer.transcribe(clips, entities=[names] * len(clips))
    return [transcript.best.text for transcript in found]


@pytest.mark.parametrize("gap", [0.0, 1.0, 8.0])
def test_joined_clips(
    recognizer: Recognizer,
    names: CompiledEntities,
    clips: list[Recording],
    alone: list[str],
    gap: float,
) -> None:
    silence = np.zeros(int(16000 * gap), np.float32)
    parts = [part for clip in clips for part in (silence, clip.samples)]
    whole = Recording("joined", np.concatenate(parts), 16000)
    joined = recognizer.transcribe(whole, entities=names)
    references = {"joined": " ".join(row["text"] for row in ROWS)}
    lists = read_entities(CLIPS / "names.txt")
    single = total(score_transcripts(references, {"joined": " ".join(alone)}, lists))
    score = total(score_transcripts(references, {"joined": joined.best.text}, lists))
    assert score.words.errors <= 1.3 * single.words.errors + 1
    assert score.entities.misses <= single.entities.misses
    assert joined.warning is None
    times = [(word.start, word.end) for word in joined.best.words]
    assert times == sorted(times)


@pytest.mark.parametrize(("gap", "noise"), [(0.3, 0.0), (1.0, 0.0), (0.7, 0.003)])
def test_another_model_hears_joined_clips_as_each_alone(
    recognizer: Recognizer,
    names: CompiledEntities,
    clips: list[Recording],
    gap: float,
    noise: float,
) -> None:
    """The embedded model as a function of samples, which is given sentences, not half minutes; with
    the phone head beside it, which hears long audio in pieces of its own."""
    model = recognizer.model
    seen = []

    def function(samples: npt.NDArray[np.float32]) -> torch.Tensor:
        seen.append(len(samples) / 16000)
        whole = PiecesConfig(60.0)
        return model.log_probs([Recording("piece", samples, 16000)], pieces=whole).log_probs[0]

    other = Recognizer(function, tokens=model.tokenizer, frame_seconds=model.frame_seconds)
    assert other.decoder.parts["rescore"] is None
    random = np.random.default_rng(0)
    silence = np.zeros(int(16000 * gap), np.float32)
    parts, begins, at = [], [], gap
    for clip in clips:
        parts += [silence, clip.samples]
        begins.append(at)
        at += clip.seconds + gap
    samples = np.concatenate(parts)
    samples = samples + noise * random.normal(size=len(samples)).astype(np.float32)
    listed = [entity.display for entity in names.entities]
    single = other.transcribe(clips, entities=listed)
    seen.clear()
    joined = other.transcribe(samples, sampling_rate=16000, entities=listed)
    assert joined.warning is None
    assert max(seen) < 8.0
    expected = [word for one in single for word in one.best.words]
    text = [word.word for word in joined.best.words]
    wrong = kaldialign.edit_distance([word.word for word in expected], text)["total"]
    assert wrong <= (3 if noise else 1)
    starts = [word.start + begin for one, begin in zip(single, begins) for word in one.best.words]
    mine, others = iter(starts), iter(word.start for word in joined.best.words)
    apart = []
    for left, right in kaldialign.align([word.word for word in expected], text, "*"):
        start = next(mine) if left != "*" else None
        found = next(others) if right != "*" else None
        if start is not None and found is not None:
            apart.append(abs(found - start))
    # The model writes some first words at the beginning of a piece, before they are said.
    assert np.mean(apart) < 0.1
    assert max(apart) < 0.6
    assert [mention.mention.entity.display for mention in joined.best.mentions] == [
        mention.mention.entity.display for one in single for mention in one.best.mentions
    ]


@pytest.mark.parametrize(("decibels", "gap"), [(-20, 0.6), (-28, 0.2), (-28, 0.6), (-36, 0.2)])
@pytest.mark.parametrize("quiet", [(1, 3), (0, 2, 4)])
def test_quiet_speakers_beside_loud_ones(  # noqa: PLR0917
    recognizer: Recognizer,
    names: CompiledEntities,
    clips: list[Recording],
    alone: list[str],
    quiet: tuple[int, ...],
    decibels: float,
    gap: float,
) -> None:
    silence = np.zeros(int(16000 * gap), np.float32)
    parts = []
    for place, clip in enumerate(clips):
        gain = 10 ** (decibels / 20) if place in quiet else 1.0
        parts += [silence, np.float32(gain) * clip.samples]
    joined = recognizer.transcribe(
        Recording("joined", np.concatenate(parts), 16000), entities=names
    ).best.text.split()
    expected = " ".join(alone).split()
    # Where pieces begin decides over a word that is nearly read otherwise alone.
    assert kaldialign.edit_distance(expected, joined)["total"] <= 1
    assert [word for word in joined if not word.islower()] == [
        word for word in expected if not word.islower()
    ]


@pytest.mark.parametrize("decibels", [-47, -57])
def test_very_quiet_speech_is_heard(
    recognizer: Recognizer,
    names: CompiledEntities,
    clips: list[Recording],
    alone: list[str],
    decibels: float,
) -> None:
    factor = np.float32(10 ** (decibels / 20))
    quiet = [Recording(clip.id, factor * clip.samples, 16000) for clip in clips[:3]]
    with pytest.warns(CtcbiasWarning, match="very quiet") as told:
        found = recognizer.transcribe(quiet, entities=names)
    assert len(told) == 3
    assert [transcript.best.text for transcript in found] == alone[:3]
    assert all("very quiet" in (transcript.warning or "") for transcript in found)
    gap = np.zeros(16000, np.float32)
    joined = np.concatenate([part for clip in quiet for part in (gap, clip.samples)])
    with pytest.warns(CtcbiasWarning, match=r"samples: very quiet .* taken \d+ dB louder"):
        long = recognizer.transcribe(joined, entities=names, sampling_rate=16000)
    loud = recognizer.transcribe(Recording("j", joined / factor, 16000), entities=names)
    assert long.best.text == loud.best.text


def test_an_inverted_channel_is_no_silence(
    recognizer: Recognizer, names: CompiledEntities, clips: list[Recording], alone: list[str]
) -> None:
    stereo = np.stack([clips[1].samples, -clips[1].samples], axis=1)
    with pytest.warns(CtcbiasWarning, match="samples: its channels cancel each other"):
        found = recognizer.transcribe(stereo, entities=names, sampling_rate=16000)
    assert found.best.text == alone[1]

"""What happens to speech in training, and sentences that are joined for it."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from lhotse import CutSet, RecordingSet

from ctcbias_fst.models.model_config import ModelConfig
from ctcbias_fst.text.phones import PHONES
from ctcbias_fst.text.tokens import SentencePieceTokenizer
from ctcbias_fst.training.data import Front, SpeechDataset, batches_of_epoch, load_cuts
from ctcbias_fst.training.distortions import (
    Distortions,
    clipped,
    coded,
    narrowband,
    quiet,
    whispered,
)
from ctcbias_fst.training.joining import join_cuts
from ctcbias_fst.training.training_config import AugmentConfig, JoinConfig
from tests.tiny_models import SENTENCES, speechlike

RATE = 16000
MODEL = ModelConfig(phones=PHONES)


def level(wave: np.ndarray, low: float, high: float) -> float:
    """Energy between two frequencies."""
    power = np.abs(np.fft.rfft(wave)) ** 2
    places = np.fft.rfftfreq(len(wave), 1.0 / RATE)
    return float(power[(places >= low) & (places < high)].sum())


def test_a_telephone_has_a_band() -> None:
    wave = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    heard = narrowband(wave, RATE, (300.0, 3400.0))
    for low, high, share in ((0, 250, 0.0), (400, 3300, 1.0), (3800, 8000, 0.0)):
        assert level(heard, low, high) == pytest.approx(
            share * level(wave, low, high), rel=1e-3, abs=1e-6
        )


@pytest.mark.parametrize(
    "codec", ["mu-law", "a-law", "gsm", "g721", "adpcm", "opus", "vorbis", "mp3"]
)
@pytest.mark.parametrize("samples", [RATE, 4321])
def test_codecs_keep_what_they_are_for(codec: str, samples: int) -> None:
    time = np.arange(samples) / RATE
    wave = (0.3 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)
    heard = coded(wave, RATE, codec, 1.0)  # type: ignore[arg-type]
    assert heard.shape == wave.shape
    assert not np.array_equal(heard, wave)
    assert level(heard, 380, 500) == pytest.approx(level(wave, 380, 500), rel=0.3)
    assert level(heard, 0, 300) + level(heard, 600, 8000) < 0.1 * level(wave, 380, 500)


def test_an_overloaded_microphone() -> None:
    wave = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    heard = clipped(wave, 0.05)
    assert np.mean(np.abs(heard) == 1.0) == pytest.approx(0.05, abs=0.001)
    silence = np.zeros(10, dtype=np.float32)
    assert np.array_equal(clipped(silence, 0.05), silence)


def test_a_level_far_too_low() -> None:
    wave = speechlike(1.0, 0)
    heard = quiet(wave, -40.0)
    assert np.array_equal(heard * 32768, np.round(heard * 32768))
    np.testing.assert_allclose(heard, wave / 100, atol=1 / 65536 + 1e-9)


def test_a_whisper_has_the_envelope_and_no_pitch() -> None:
    time = np.arange(2 * RATE) / RATE
    voice = sum(np.sin(2 * np.pi * 120 * k * time) / k for k in range(1, 40)).astype(np.float32)
    voice[:RATE] *= 0.01
    heard = whispered(voice, 1)
    assert np.array_equal(heard, whispered(voice, 1))
    assert not np.array_equal(heard, whispered(voice, 2))
    assert level(heard[:RATE], 0, 8000) < 0.01 * level(heard[RATE:], 0, 8000)

    def peak(wave: np.ndarray) -> float:  # how far harmonics stand out between 1 and 3 kHz
        power = np.abs(np.fft.rfft(wave[RATE:]))[1000:3000]
        return float(power.max() / power.mean())

    assert peak(heard) < 0.3 * peak(voice)


def test_each_probability_brings_its_own_distortion() -> None:
    wave = torch.from_numpy(speechlike(1.0, 0))
    for name in ("telephone", "codec", "clip", "quiet", "whisper"):
        config = AugmentConfig(**{f"{name}_probability": 1.0})  # type: ignore[arg-type]
        first, again, other = (
            Distortions(config, random.Random(seed))(wave, RATE) for seed in (1, 1, 2)
        )
        assert torch.equal(first, again), name
        assert not torch.equal(first, other), name
        assert first.shape == wave.shape
        assert first.dtype == torch.float32
    assert torch.equal(Distortions(AugmentConfig(), random.Random(1))(wave, RATE), wave)


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        (AugmentConfig, {"codec_probability": 0.1, "codecs": ()}, "needs codecs"),
        (AugmentConfig, {"clip_share": (0.5, 0.1)}, "clip_share must be a range"),
        (AugmentConfig, {"quiet_db": (-10.0, 10.0)}, "quiet_db must be a range"),
        (JoinConfig, {"share": 1.5}, "share must lie in 0..1"),
        (JoinConfig, {"most": 1}, "most must be at least 2"),
        (JoinConfig, {"pause": (2.0, 1.0)}, "pause must be a range"),
        (JoinConfig, {"lead_share": -0.1}, "lead_share must lie in 0..1"),
        (JoinConfig, {"lead": (-2.0, 1.0)}, "lead must be a range"),
    ],
)
def test_impossible_values(kind: type, changes: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        kind(**changes)


def test_joined_cuts_have_each_sentence_once(tiny_cuts: Path) -> None:
    cuts = list(load_cuts([tiny_cuts] * 5, max_seconds=20.0))
    config = JoinConfig(share=1.0, most=3, seconds=7.0, pause=(0.5, 1.0), same_voice=0.5)
    items = join_cuts(cuts, config, random.Random(0))
    spans = [[span.text for span in item.supervisions] for item in items]
    assert sorted(text for item in spans for text in item) == sorted(5 * [t for t, _ in SENTENCES])
    assert {len(item) for item in spans} == {1, 2, 3}
    assert max(item.duration for item in items) <= 7.0
    for item in items:
        ordered = sorted(item.supervisions, key=lambda span: span.start)
        for one, other in itertools.pairwise(ordered):
            assert 0.45 <= other.start - one.end <= 1.05
    assert [i.id for i in items] == [i.id for i in join_cuts(cuts, config, random.Random(0))]
    none = join_cuts(cuts, JoinConfig(share=0.0), random.Random(0))
    assert [cut.id for cut in none] == [cut.id for cut in cuts]


@pytest.mark.parametrize(("lead", "share"), [(0.5, 0.0), (0.5, 1.0), (-0.1, 0.0), (-0.1, 1.0)])
def test_items_begin_earlier_or_later(
    tiny_cuts: Path, tokenizer: SentencePieceTokenizer, lead: float, share: float
) -> None:
    cuts = list(load_cuts([tiny_cuts], max_seconds=20.0))
    plain = JoinConfig(share=share, most=3, seconds=60.0)
    items = join_cuts(cuts, plain, random.Random(0))
    config = replace(plain, lead_share=1.0, lead=(lead, lead))
    augment = AugmentConfig(
        speed=(1.0,), lowpass_probability=0.0, volume_probability=0.0, specaugment_probability=0.0
    )
    dataset = SpeechDataset(tokenizer, Front.of(MODEL), augment=augment)
    shift = round(lead * 100)
    for item, led in zip(items, join_cuts(cuts, config, random.Random(0))):
        assert led.id == item.id
        one, other = dataset[CutSet.from_cuts([item])], dataset[CutSet.from_cuts([led])]
        assert other.texts == one.texts
        assert other.features.shape[1] == one.features.shape[1] + shift
        one_part = one.features[0, max(0, -shift) :]
        other_part = other.features[0, max(0, shift) :]
        assert float((other_part - one_part).abs()[2:].median()) < 0.1
    batches = batches_of_epoch(
        CutSet.from_cuts(cuts), batch_seconds=20.0, epoch=0, seed=1, join=config
    )
    assert sum(len(cut.supervisions) for batch in batches for cut in batch) == len(cuts)


def test_cuts_of_one_voice_are_joined_with_their_like(tiny_cuts: Path) -> None:
    cuts = list(load_cuts([tiny_cuts] * 6, max_seconds=20.0))
    for place, cut in enumerate(cuts):
        cut.supervisions[0].speaker = f"voice{place % 3}"
    config = JoinConfig(share=1.0, seconds=30.0, same_voice=1.0)
    items = join_cuts(cuts, config, random.Random(0))
    assert len(items) < len(cuts)
    assert all(len({span.speaker for span in item.supervisions}) == 1 for item in items)


def test_what_is_joined_is_heard_one_after_the_other(
    tiny_cuts: Path, tokenizer: SentencePieceTokenizer
) -> None:
    """Samples, text, phones and names of the parts; a part without phones leaves none."""
    cuts = list(load_cuts([tiny_cuts], max_seconds=20.0))
    cuts[0].supervisions[0].custom["entities"] = ["metformin"]
    cuts[2].supervisions[0].custom["entities"] = ["new york"]
    config = JoinConfig(share=1.0, most=6, seconds=60.0, pause=(0.5, 0.5), same_voice=0.0)
    augment = AugmentConfig(
        speed=(1.0,), lowpass_probability=0.0, volume_probability=0.0, specaugment_probability=0.0
    )
    dataset = SpeechDataset(tokenizer, Front.of(MODEL), augment=augment)
    alone = {cut.supervisions[0].text: dataset[CutSet.from_cuts([cut])] for cut in cuts}
    for seed in range(4):
        for item in join_cuts(cuts, config, random.Random(seed)):
            order = [s.text for s in sorted(item.supervisions, key=lambda span: span.start)]
            joined = dataset[CutSet.from_cuts([item])]
            assert joined.texts == (" ".join(order),)
            assert joined.tokens.tolist() == tokenizer.encode(" ".join(order))
            phones = [p for text in order for p in alone[text].phones.tolist()]
            spoken = "a jumpy knight" not in order
            assert joined.phones.tolist() == (phones if spoken else [])
            assert joined.entities == (tuple(n for t in order for n in alone[t].entities[0]),)
            begin = 0
            for text in order:
                count = int(alone[text].lengths)
                found = joined.features[0, begin : begin + count]
                apart = (found - alone[text].features[0]).abs()
                assert float(apart.median()) < 0.1  # another sentence is some 3 away
                begin += count + 50


def test_augmentation_loses_nothing_of_what_is_joined(
    tiny_cuts: Path, tokenizer: SentencePieceTokenizer, tmp_path: Path
) -> None:
    """Each kind alone, and all together, as lhotse wraps one in the other."""
    cuts = list(load_cuts([tiny_cuts], max_seconds=20.0))
    CutSet.from_cuts([cuts[-1].recording.to_cut()]).to_file(tmp_path / "noise.jsonl.gz")
    RecordingSet.from_recordings([cuts[0].recording]).to_file(tmp_path / "rirs.jsonl.gz")
    config = JoinConfig(share=1.0, most=6, seconds=60.0, pause=(0.5, 0.5), same_voice=0.0)
    items = CutSet.from_cuts(join_cuts(cuts, config, random.Random(0)))
    expected = [
        " ".join(s.text for s in sorted(item.supervisions, key=lambda span: span.start))
        for item in items
    ]
    kinds = ("noise", "rir", "lowpass", "volume")
    for chosen in (*((kind,) for kind in kinds), kinds):
        augment = AugmentConfig(
            noise=tmp_path / "noise.jsonl.gz",
            rirs=tmp_path / "rirs.jsonl.gz",
            specaugment_probability=0.0,
            speed=(0.9,),
            **{f"{kind}_probability": float(kind in chosen) for kind in kinds},
        )
        dataset = SpeechDataset(tokenizer, Front.of(MODEL), augment=augment)
        assert list(dataset[items].texts) == expected, chosen


def test_epochs_join_anew(tiny_cuts: Path) -> None:
    cuts = load_cuts([tiny_cuts] * 4, max_seconds=20.0)

    def texts(epoch: int) -> list[list[str]]:
        batches = batches_of_epoch(
            cuts, batch_seconds=20.0, epoch=epoch, seed=1, join=JoinConfig(share=0.7, seconds=9.0)
        )
        return [[s.text for s in cut.supervisions] for batch in batches for cut in batch]

    assert texts(0) == texts(0)
    assert texts(0) != texts(1)
    assert len(texts(0)) < 24
    assert sum(map(len, texts(0))) == 24

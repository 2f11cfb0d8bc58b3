"""The price of names from speech without labels."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from ctcbias_fst.cli import main
from ctcbias_fst.cli.calibrate import _batches
from ctcbias_fst.config import flat, load_config, read_toml
from ctcbias_fst.decoder import Decoder
from ctcbias_fst.errors import ConfigError, CtcbiasWarning, InputError
from ctcbias_fst.pronunciation.pronounce import Pronouncer
from ctcbias_fst.records import LogProbs, Word
from ctcbias_fst.settings import PipelineConfig, changed
from ctcbias_fst.studies.calibrate import CalibrateConfig, _bonus, _lost, _paid, calibrate
from ctcbias_fst.studies.decoys import lexicon_decoys, unsaid
from ctcbias_fst.text.tokens import tokenizer_of
from ctcbias_fst.variants.shipped import common_words, load_pronouncer

TOKENS = ["<blank>", "|", *"abcdefghijklmnopqrstuvwxyz'"]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def _texts(count: int = 40) -> dict[str, str]:
    """Sentences of rare words."""
    chance = random.Random(3)
    words = sorted(w for w in load_pronouncer().lexicon if w.isalpha() and 5 <= len(w) <= 9)
    return {str(i): " ".join(chance.sample(words, 5)) for i in range(count)}


def _heard(text: str) -> np.ndarray:
    """Log-probs ``(frame, token)`` of a model that is sure, but not blind to other letters."""
    columns = [TOKENS.index("|" if c == " " else c) for c in text]
    scores = np.full((2 * len(columns), len(TOKENS)), 2e-3, dtype=np.float64)
    scores[0::2, 0] = 0.99
    scores[1::2][np.arange(len(columns)), columns] = 0.9
    vowels = [TOKENS.index(c) for c in "aeiouy"]
    for frame, column in zip(scores[1::2], columns):
        if column in vowels:
            frame[vowels] += 0.03
    return np.log(scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def speech() -> LogProbs:
    heard = [torch.from_numpy(_heard(text)) for text in _texts().values()]
    return LogProbs(
        torch.nn.utils.rnn.pad_sequence(heard, batch_first=True),
        torch.tensor([len(one) for one in heard]),
        0.04,
        tuple(_texts()),
        tokenizer_of(TOKENS).vocabulary,
    )


@pytest.fixture(scope="module")
def pronouncer() -> Pronouncer:
    return load_pronouncer()


def test_decoys_are_not_said(pronouncer: Pronouncer) -> None:
    texts = [*_texts().values(), "philip met the carpenter"]
    lists = lexicon_decoys(texts, 200, 3)
    assert [len(one) for one in lists] == [200] * 3
    common = common_words()
    drawn = [word for one in lists for word in one]
    assert len(set(drawn)) == 600
    sounds = {
        one.phones
        for text in texts
        for several in pronouncer.pronounce_all(text.split())
        for one in several
    }
    for decoy, several in zip(drawn, pronouncer.pronounce_all(drawn)):
        assert decoy not in " ".join(texts).split()
        assert decoy not in common
        assert not any(one.phones in sounds for one in several)
    assert lexicon_decoys(texts, 200, 3) == lists
    assert lexicon_decoys(texts, 200, 3, seed=1) != lists
    own = ["Phillip", "The Carpenter", "metformin", "Philip"]
    assert unsaid(own, texts) == ("metformin",)
    with pytest.raises(InputError, match="every decoy is in the transcripts"):
        unsaid(["Philip"], texts)
    with pytest.raises(InputError, match="600000 decoys are wanted, and the lexicon has"):
        lexicon_decoys(texts, 200_000, 3)


@given(
    st.lists(st.floats(0, 0.05), min_size=15, max_size=15),
    st.floats(-12, 0),
    st.sampled_from([0.0005, 0.001, 0.01]),
)
def test_the_price_is_the_lowest_that_is_tolerated(
    steps: list[float], start: float, tolerance: float
) -> None:
    """By brute force, of shares that rise with the bonus in any way."""
    rising = np.cumsum(sorted(steps)) / 20

    def share(bonus: float) -> float:
        return float(np.interp(bonus, np.arange(-12, 3), rising))

    found = _bonus(share, start, tolerance)
    grid = np.linspace(-12, 0, 1201)
    good = [bonus for bonus in grid if share(bonus) <= tolerance]
    if not good:
        assert found == pytest.approx(-12)
    else:
        assert share(found) <= tolerance
        assert max(good) - 0.12 <= found <= max(good) + 0.02


def test_reckless_settings_are_mended(speech: LogProbs) -> None:
    make = partial(Decoder, tokenizer_of(TOKENS), frame_seconds=0.04)
    boost = {"bonus": 1.0, "beta": 1.8, "alpha": 0.95, "free": 2.0, "max_gain": 9.0}
    base = changed({}, {"parts": "boost", "decode": {"boost": boost}})
    config = CalibrateConfig(decoys=400, lists=2, tolerance=0.006)
    told: list[str] = []
    found = calibrate(make, [speech], base, config, report=told.append)
    assert found.words == 200
    assert found.decoys == 800
    assert found.before > 0.01
    assert found.changed <= found.tolerance == 0.006
    assert found.config.decode.boost.bonus < 1.0
    assert len(told) == len(found.tried)
    assert told[0].startswith("price -1 nats: decoys change ")
    # Nothing but the price is another, and what is told is what it does.
    boost = {**boost, "bonus": found.config.decode.boost.bonus}
    assert found.config == changed({}, {"parts": "boost", "decode": {"boost": boost}})
    decoys = [name for one in lexicon_decoys(list(_texts().values()), 400, 2) for name in one]
    plain = {one.id: one.best.words for one in make(base).decode(speech)}
    right = sum(word.confidence for words in plain.values() for word in words)
    lost = 0.0
    for names in (decoys[:400], decoys[400:]):
        for transcript in make(found.config).decode(speech, entities=names):
            before, after = plain[transcript.id], transcript.best.words
            assert len(before) == len(after)
            lost += sum(one.confidence for one, two in zip(before, after) if one.word != two.word)
    assert lost / 2 / right == pytest.approx(found.changed)


def test_a_lost_word_counts_by_its_confidence() -> None:
    sure, unsure = Word("one", 0, 1, 0.9), Word("two", 1, 2, 0.3)
    name, more = Word("Wun", 0, 1, 0.5), Word("three", 2, 3, 0.5)
    assert _lost([sure, unsure], [sure, unsure]) == 0
    assert _lost([sure, unsure], [name, unsure]) == pytest.approx(0.9)
    assert _lost([sure, unsure], [sure]) == pytest.approx(0.3)
    assert _lost([sure, unsure], [sure, unsure, more]) == pytest.approx(1.0)
    assert _lost([sure], [replace(sure, word="One")]) == 0
    assert _lost([], []) == 0


def test_what_is_chance_is_not_asked_for(speech: LogProbs) -> None:
    make = partial(Decoder, tokenizer_of(TOKENS), frame_seconds=0.04)
    base = changed({}, {"parts": "boost", "decode.boost.bonus": -2.0})
    config = CalibrateConfig(decoys=150, lists=2, tolerance=1e-5)
    told = r"too short to tell 0.00% .*: 0.5\d% is asked for, which is 2 words of 1\d\d with 2 l"
    with pytest.warns(CtcbiasWarning, match=told):
        found = calibrate(make, [speech], base, config)
    right = sum(word.confidence for one in make(base).decode(speech) for word in one.best.words)
    assert found.tolerance == pytest.approx(2 / 2 / right)
    assert found.changed <= found.tolerance
    lower = _paid(base, found.config.decode.boost.bonus + 0.2)
    decoys = lexicon_decoys(list(_texts().values()), 150, 2)
    lost = 0.0
    plain = [one.best.words for one in make(base).decode(speech)]
    for names in decoys:
        after = [one.best.words for one in make(lower).decode(speech, entities=list(names))]
        lost += sum(map(_lost, plain, after))
    assert lost > 2 or found.config.decode.boost.bonus > -0.1


def test_a_high_price_is_lowered(speech: LogProbs) -> None:
    make = partial(Decoder, tokenizer_of(TOKENS), frame_seconds=0.04)
    base = changed({}, {"parts": "boost", "decode.boost.bonus": -9.0})
    config = CalibrateConfig(decoys=200, lists=1, tolerance=0.02)
    assert calibrate(make, [speech], base, config).config.decode.boost.bonus > -9.0


@pytest.mark.parametrize("own", [-3.0, -9.0])
@pytest.mark.filterwarnings("ignore:the speech is too short")
def test_a_price_stays_where_nothing_is_learnt(
    speech: LogProbs, own: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ctcbias_fst.studies.calibrate._Speech.changed", lambda *_: 0.0)
    make = partial(Decoder, tokenizer_of(TOKENS), frame_seconds=0.04)
    base = changed({}, {"parts": "boost", "decode.boost.bonus": own})
    with pytest.warns(CtcbiasWarning, match="change nothing at any price.* the price stays"):
        found = calibrate(make, [speech], base, CalibrateConfig(decoys=150, lists=1))
    assert found.config == base
    assert found.changed == 0


@pytest.mark.filterwarnings("ignore:the speech is too short")
@pytest.mark.parametrize("own_decoys", [False, True])
def test_no_price_is_told_that_costs_too_much(
    speech: LogProbs, own_decoys: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "ctcbias_fst.studies.calibrate._Speech.changed",
        lambda self, config: 0.05 - 0.001 * -config.decode.boost.bonus,
    )
    make = partial(Decoder, tokenizer_of(TOKENS), frame_seconds=0.04)
    base = changed({}, {"parts": "boost", "decode.boost.bonus": -4.0})
    decoys = lexicon_decoys(list(_texts().values()), 150, 1)[0] if own_decoys else None
    config = CalibrateConfig(decoys=150, lists=3, tolerance=0.01)
    told = r"as little as 1\.\d\d% .*: 4.60% at 4 nats, 3.80% at 12, the highest .* \(--tolerance\)"
    with pytest.raises(InputError, match=told) as found:
        calibrate(make, [speech], base, config, decoys=decoys)
    assert ("--decoys" in str(found.value)) is not own_decoys


def test_batches_may_have_the_same_ids(speech: LogProbs) -> None:
    """As those have that `Decoder.batch` makes."""
    make = partial(Decoder, tokenizer_of(TOKENS), frame_seconds=0.04)
    base = changed({}, {"parts": "boost", "decode.boost.bonus": -2.0})
    config = CalibrateConfig(decoys=150, lists=1, tolerance=0.02)
    halves = [speech.select(range(20)), speech.select(range(20, 40))]
    halves = [replace(half, ids=tuple(map(str, range(20)))) for half in halves]
    found = calibrate(make, halves, base, config)
    assert found.words == 200
    whole = calibrate(make, [speech], base, config)
    assert found.tried == pytest.approx(whole.tried)
    assert found.config == whole.config


def test_what_cannot_be_calibrated(speech: LogProbs) -> None:
    make = partial(Decoder, tokenizer_of(TOKENS), frame_seconds=0.04)
    with pytest.raises(ConfigError, match="boost is switched off"):
        calibrate(make, [speech], changed({}, {"parts": "none"}))
    with pytest.raises(InputError, match="2 decoys that are not said, at least 100 are needed"):
        base = changed({}, {"parts": "boost"})
        calibrate(make, [speech], base, decoys=["metformin", "saskatchewan"])
    with pytest.raises(InputError, match="the speech has 10 words, at least 200 are needed"):
        calibrate(make, [speech.select([0, 1])], changed({}, {"parts": "boost"}))


def test_the_first_minutes_are_used(tmp_path: Path) -> None:
    heard: list[float] = []

    def items() -> Iterator[tuple[str, float]]:
        for number in range(10):
            heard.append(number)
            yield str(number), 50.0

    assert list(_batches(items(), 3.0)) == [["0", "1", "2"], ["3"]]
    assert len(heard) == 4
    assert list(_batches(iter([("a", 10.0)]), 3.0)) == [["a"]]
    assert list(_batches(iter([]), 3.0)) == []


def test_the_command_writes_settings(speech: LogProbs, tmp_path: Path) -> None:
    arrays = {
        name: speech.log_probs[i, : int(speech.lengths[i])].numpy()
        for i, name in enumerate(speech.ids)
    }
    broken = {"broken": np.full((50, len(TOKENS)), np.nan, np.float32)}
    narrow = {"narrow": np.zeros((50, len(TOKENS) - 1), np.float32)}
    np.savez(tmp_path / "speech.npz", **broken, **arrays, **narrow)
    (tmp_path / "tokens.txt").write_text(
        "".join(f"{token} {i}\n" for i, token in enumerate(TOKENS)), encoding="utf-8"
    )
    (decoys,) = lexicon_decoys(list(_texts().values()), 400, 1)
    (tmp_path / "decoys.txt").write_text("\n".join(decoys), encoding="utf-8")
    result = run(
        "calibrate",
        *("--log-probs", tmp_path / "speech.npz", "--tokens", tmp_path / "tokens.txt"),
        *("--decoys", tmp_path / "decoys.txt", "--frame-seconds", "0.04"),
        *("--parts", "boost", "--out", tmp_path / "settings.toml", "--tolerance", "0.01"),
        *("--set", "decode.boost.bonus=-1", "--set", "decode.boost.beta=1.8"),
        *("--set", "decode.boost.alpha=0.95", "--set", "decode.boost.max_gain=9"),
    )
    assert result.exit_code == 0, result.output
    settings = load_config(PipelineConfig, tmp_path / "settings.toml")
    told = [line for line in result.stderr.splitlines() if "left out" in line]
    assert ["broken" in told[0], "narrow" in told[1], len(told)] == [True, True, 2]
    assert f"200 words, 400 decoys: price 1 -> {-settings.decode.boost.bonus:g} " in result.stdout
    assert settings.decode.boost.bonus not in {-1.0, -3.9}
    assert settings.parts == ("boost",)
    written = (tmp_path / "settings.toml").read_text()  # what else there is stays as it is
    changed_ones = {f"decode.boost.{name}" for name in ("bonus", "beta", "alpha", "max_gain")}
    assert set(flat(read_toml(tmp_path / "settings.toml"))) == {*changed_ones, "parts"}
    assert written.startswith("# 200 words, 400 decoys: price 1 -> ")


def test_the_command_writes_no_price_that_costs_too_much(
    speech: LogProbs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ctcbias_fst.studies.calibrate._Speech.changed", lambda *_: 0.05)
    arrays = zip(speech.ids, speech.log_probs.numpy(), speech.lengths.tolist())
    np.savez(tmp_path / "speech.npz", **{name: one[:frames] for name, one, frames in arrays})
    (tmp_path / "tokens.txt").write_text("\n".join(TOKENS), encoding="utf-8")
    result = run(
        "calibrate",
        *("--log-probs", tmp_path / "speech.npz", "--tokens", tmp_path / "tokens.txt"),
        *("--frame-seconds", "0.04", "--parts", "boost", "--size", "150"),
        *("--out", tmp_path / "settings.toml"),
    )
    assert result.exit_code == 1
    (error,) = [line for line in result.stderr.splitlines() if line.startswith("Error")]
    assert "at no price" in error
    assert not (tmp_path / "settings.toml").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "pass either AUDIO or --log-probs"),
        (["a.wav", "--softmax"], "belong to --log-probs"),
        (["--log-probs", "a.npz", "--no-phones"], "belong to AUDIO"),
        (["a.wav", "--decoys", "b.txt", "--size", "7"], "pass either --decoys or --size"),
    ],
)
def test_the_command_refuses(tmp_path: Path, options: list[str], message: str) -> None:
    result = run("calibrate", *options, "--out", tmp_path / "settings.toml")
    assert result.exit_code == 1
    assert message in result.stderr

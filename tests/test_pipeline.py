"""The wired system, on a tiny model with random weights."""

from __future__ import annotations

import io
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from click.testing import CliRunner, Result

import ctcbias_fst
from ctcbias_fst.audio.audio import Recording, read_audio
from ctcbias_fst.cli import main
from ctcbias_fst.decoder_inputs import language_model
from ctcbias_fst.errors import (
    AudioError,
    ConfigError,
    CtcbiasWarning,
    EntityListError,
    GraphError,
    LanguageModelError,
    ModelError,
)
from ctcbias_fst.models.embedded import AcousticModel
from ctcbias_fst.models.model_config import AttentionConfig
from ctcbias_fst.models.package import save_lm as attach_lm
from ctcbias_fst.ngram.ngram_lm import save_lm
from ctcbias_fst.ngram.train import train_lm
from ctcbias_fst.pronunciation.pronunciation_table import PronunciationTable
from ctcbias_fst.recognizer import Recognizer
from ctcbias_fst.records import Failure, Hypothesis, LogProbs, Transcript
from ctcbias_fst.rescore.lookup import LookupConfig
from ctcbias_fst.search.decode_config import DecodeConfig
from ctcbias_fst.search.evidence import EvidenceConfig
from ctcbias_fst.search.lm_config import LmConfig
from ctcbias_fst.search.search_config import BoostConfig
from ctcbias_fst.settings import PARTS, PipelineConfig, parse_parts
from ctcbias_fst.shortlist.phone_index import ShortlistConfig
from ctcbias_fst.shortlist.shortlists import ShortList
from ctcbias_fst.text.entities import read_entities
from ctcbias_fst.text.phones import PHONES
from ctcbias_fst.text.vocabulary import Vocabulary
from ctcbias_fst.variants.spellings import SpellingsConfig
from tests.tiny_models import speechlike

CLIPS = Path(ctcbias_fst.__file__).parent / "pretrained/clips"


@pytest.fixture
def model(random_model: Path) -> Path:
    return random_model


@pytest.fixture
def clips(tmp_path: Path) -> list[Path]:
    paths = []
    for index, seconds in enumerate((1.0, 2.0, 1.5)):
        paths.append(tmp_path / f"clip{index}.wav")
        soundfile.write(paths[-1], speechlike(seconds, index), 16000)
    return paths


def test_files_arrays_and_batches_agree(model: Path, clips: list[Path]) -> None:
    recognizer = Recognizer.from_pretrained(model)
    alone = [recognizer.transcribe(path).best.text for path in clips]
    assert any(alone)
    together = [item.best.text for item in recognizer.transcribe_files(clips)]
    assert together == alone
    samples, rate = soundfile.read(clips[0], dtype="float32")
    assert recognizer.transcribe(samples, sampling_rate=rate).best.text == alone[0]
    assert recognizer.audio_seconds == pytest.approx(4.5 + 4.5 + 1.0)


def test_other_rates_of_samples(model: Path) -> None:
    recognizer = Recognizer.from_pretrained(model)
    transcript = recognizer.transcribe(speechlike(1.0, 0, 48000), sampling_rate=48000)
    assert transcript.id == "samples"
    with pytest.raises(AudioError, match=r"must be mono, or have .* \(100, 50\)"):
        recognizer.transcribe(np.zeros((100, 50), dtype=np.float32), sampling_rate=16000)
    with pytest.raises(AudioError, match="the sampling rate of samples must be said"):
        recognizer.transcribe(speechlike(1.0, 0))


def test_a_wrong_list_is_no_fault_of_the_recordings(model: Path, clips: list[Path]) -> None:
    recognizer = Recognizer.from_pretrained(model)
    wrong: Any = "abba"
    with pytest.raises(EntityListError, match="'abba': there is no such file; a single name is"):
        list(recognizer.transcribe_files(clips, wrong))


def test_warnings_of_a_recording_and_of_its_search_are_told(
    model: Path, clips: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    recognizer = Recognizer.from_pretrained(model)
    lost = Transcript("clip", Hypothesis((), 0.0, ()), (), "the search was lost")
    monkeypatch.setattr(recognizer.decoder, "decode_batch", lambda *_: [lost])
    cut = replace(read_audio(clips[0]), warning="only a part")
    (found,) = recognizer.transcribe_recordings([cut], [None])
    assert found.warning == "only a part; the search was lost"


@pytest.mark.parametrize(
    ("audio", "message"),
    [(None, "NoneType is neither samples"), ("", "name a file"), ("\ud800.wav", "\ufffd.wav")],
)
def test_what_is_said_of_no_recording(model: Path, audio: Any, message: str) -> None:
    with pytest.raises(AudioError) as raised:
        Recognizer.from_pretrained(model).transcribe(audio)
    assert message in str(raised.value)
    str(raised.value).encode("utf-8")


def test_audio_of_every_kind_is_the_same(model: Path, clips: list[Path]) -> None:
    recognizer = Recognizer.from_pretrained(model)
    expected = recognizer.transcribe(clips[0]).best
    integers, rate = soundfile.read(clips[0], dtype="int16")
    stereo = torch.from_numpy(np.stack([integers, integers]))
    for samples in (integers, stereo, integers / 32768, integers.astype(np.int32) << 16):
        assert recognizer.transcribe(samples, sampling_rate=rate).best == expected
    content = clips[0].read_bytes()
    for source in (str(clips[0]), content, io.BytesIO(content), read_audio(clips[0])):
        assert recognizer.transcribe(source).best == expected
        if isinstance(source, io.BytesIO):
            source.seek(0)
        with pytest.raises(AudioError, match="which says its own rate"):
            recognizer.transcribe(source, sampling_rate=8000)


def test_recordings_at_another_rate_are_resampled(model: Path, clips: list[Path]) -> None:
    recognizer = Recognizer.from_pretrained(model)
    wave = speechlike(1.0, 0, 48000)
    expected = recognizer.transcribe(wave, sampling_rate=48000).best
    recording = Recording("r", wave, 48000)
    assert recognizer.transcribe(recording).best == expected
    (transcript,) = recognizer.transcribe([recording])
    assert transcript.best == expected
    assert transcript.id == "r"
    with pytest.raises(AudioError, match="r: a sampling rate of 0 Hz cannot be right"):
        recognizer.transcribe([Recording("r", wave, 0)])


def test_a_truncated_recording_warns(model: Path, clips: list[Path]) -> None:
    content = clips[1].read_bytes()
    clips[1].write_bytes(content[: len(content) // 2])
    recognizer = Recognizer.from_pretrained(model)
    with pytest.warns(CtcbiasWarning, match=r"clip1\.wav: truncated: 1\.00 of 2\.00 s are there"):
        transcript = recognizer.transcribe(clips[1])
    assert transcript.warning == "truncated: 1.00 of 2.00 s are there"
    found = list(recognizer.transcribe_files(clips))
    assert [item.warning for item in found] == [None, transcript.warning, None]
    assert found[1].best.text == transcript.best.text
    command = ["transcribe", *map(str, clips), "--model", str(model), "--format", "json"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0
    assert f"Warning: {clips[1]}: truncated: 1.00 of 2.00 s are there\n" in result.stderr
    assert len(result.stdout.splitlines()) == 3


def test_every_kind_of_bad_recording_among_good_ones(
    model: Path, clips: list[Path], tmp_path: Path
) -> None:
    loud, slow = tmp_path / "loud.wav", tmp_path / "slow.wav"
    soundfile.write(loud, np.full(16000, 1e19), 16000, subtype="FLOAT")
    soundfile.write(slow, np.zeros(16000), 1)
    sources: list[Any] = [loud, clips[0], slow, tmp_path, b"", b"RIFF", None, np.zeros(100)]
    sources += [Recording("nan", np.full(16000, np.nan, np.float32), 16000), "a\0b", clips[1]]
    recognizer = Recognizer.from_pretrained(model)
    items = list(recognizer.transcribe_files(sources))
    good = [item.id for item in items if not isinstance(item, Failure)]
    assert good == [str(clips[0]), str(clips[1])]
    ids = [item.id for item in items if isinstance(item, Failure)]
    assert ids[:4] == [str(loud), str(slow), str(tmp_path), "recording 5"]
    assert all(isinstance(item.error, AudioError) for item in items if isinstance(item, Failure))
    with pytest.raises(AudioError, match="is no list of recordings: pass a list"):
        list(recognizer.transcribe_files(str(clips[0])))


def test_what_fails_in_the_search_costs_one_recording(
    model: Path, clips: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    recognizer = Recognizer.from_pretrained(model)
    expected = [item.best.text for item in recognizer.transcribe_files(clips)]
    heard = recognizer.audio_seconds
    search = recognizer.decoder.search.decode

    def fragile(batch: LogProbs, *arguments: Any) -> Any:
        if str(clips[1]) in batch.ids:
            raise RuntimeError("out of luck")
        return search(batch, *arguments)

    monkeypatch.setattr(recognizer.decoder.search, "decode", fragile)
    items = list(recognizer.transcribe_files(clips))
    assert isinstance(items[1], Failure)
    assert str(items[1].error) == f"{clips[1]}: cannot be transcribed: RuntimeError: out of luck"
    assert [items[0].best.text, items[2].best.text] == [expected[0], expected[2]]
    assert recognizer.audio_seconds == pytest.approx(heard + 2.5)


def test_bad_file_among_good_ones(model: Path, clips: list[Path], tmp_path: Path) -> None:
    recognizer = Recognizer.from_pretrained(model)
    items = list(recognizer.transcribe_files([clips[0], tmp_path / "none.wav", clips[1]]))
    assert [isinstance(item, Failure) for item in items] == [False, True, False]
    assert items[2].id == str(clips[1])


def test_long_audio_is_cut_and_joined(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "long.wav"
    soundfile.write(path, np.concatenate([speechlike(8.0, i) for i in range(5)]), 16000)
    transcript = Recognizer.from_pretrained(model).transcribe(path)
    times = [(word.start, word.end) for word in transcript.best.words]
    assert times == sorted(times)
    assert times[-1][1] > 31.0
    assert times[-1][1] <= 40.0 + 0.04


def test_the_recognizer_is_at_the_top() -> None:
    assert ctcbias_fst.Recognizer is Recognizer
    with pytest.raises(AttributeError, match="'Recogniser'"):
        _ = ctcbias_fst.Recogniser


WRITTEN = ["the", "w", "take", "taken"]
"""Names that the untrained adapter of the tests' model makes it write."""


def test_names_change_the_text_and_no_parts_do_not(model: Path, clips: list[Path]) -> None:
    listed = WRITTEN
    plain = Recognizer(AcousticModel.load(model), PipelineConfig(parts=("adapter", "boost")))
    silent = Recognizer(AcousticModel.load(model), PipelineConfig(parts=()))
    expected = [plain.transcribe(path).best for path in clips]
    nothing = [silent.transcribe(path, entities=silent.compile(listed)).best for path in clips]
    assert nothing == expected
    adapted = Recognizer(AcousticModel.load(model), PipelineConfig(parts=("adapter",)))
    changed = [adapted.transcribe(path, entities=adapted.compile(listed)).best for path in clips]
    assert changed != expected
    off = PipelineConfig(parts=("adapter",), adapter=AttentionConfig(scale=0.0))
    scaled = Recognizer(AcousticModel.load(model), off)
    unchanged = [scaled.transcribe(path, entities=scaled.compile(listed)).best for path in clips]
    assert [one.text for one in unchanged] == [one.text for one in expected]
    assert [one.score for one in unchanged] == [one.score for one in expected]


def test_an_adapter_that_is_off_has_no_say(model: Path, clips: list[Path]) -> None:
    """Whatever decoder compiled the list; and a list of another model is told before it acts."""
    acoustic = AcousticModel.load(model)
    adapted = Recognizer(acoustic, PipelineConfig(parts=("adapter", "boost")))
    plain = Recognizer(acoustic, PipelineConfig(parts=("boost",)))
    names, recordings = adapted.compile(WRITTEN), [read_audio(clips[0])]
    expected = plain.log_probs(recordings).log_probs
    assert not torch.equal(adapted.log_probs(recordings, [names]).log_probs, expected)
    assert torch.equal(plain.log_probs(recordings, [names]).log_probs, expected)
    found = plain.transcribe(clips[0], entities=names)
    assert found == plain.transcribe(clips[0], entities=WRITTEN)
    with pytest.raises(GraphError, match="without the adapter: compile it"):
        adapted.log_probs(recordings, [plain.compile(WRITTEN)])


def spoken(model: Path, text: str, phones: str) -> LogProbs:
    """Log-probs of a model that wrote the text while its phone head heard the phones."""
    tokenizer = Recognizer.from_pretrained(model).model.tokenizer
    tokens = [column for token in tokenizer.encode(text) for column in (token, 0)]
    heard = [column for phone in phones.split() for column in (PHONES.index(phone) + 1, 0)]
    frames = max(len(tokens), len(heard))

    def sharp(columns: list[int], size: int) -> torch.Tensor:
        table = torch.full((1, frames, size), 0.1 / (size - 1))
        best = torch.tensor(columns + [0] * (frames - len(columns)))
        return table.scatter_(2, best[None, :, None], 0.9).log()

    return LogProbs(
        log_probs=sharp(tokens, tokenizer.vocabulary.size),
        lengths=torch.tensor([frames]),
        frame_seconds=0.04,
        ids=("a",),
        vocabulary=tokenizer.vocabulary,
        phones=sharp(heard, 1 + len(PHONES)),
    )


def test_parts_of_the_sounds(model: Path) -> None:
    """Each of them alone writes the name for what sounds like it."""
    said = spoken(
        model, "she takes carthon every day", "SH IY T EY K S K AA R TH AH N EH V R IY D EY"
    )
    for part, text in (
        ("boost", "she takes carthon every day"),
        ("boost,g2g", "she takes Carthen every day"),
        ("lookup", "she takes Carthen every day"),
    ):
        near = LookupConfig(unlisted_margin=5.0)
        config = PipelineConfig(parts=parse_parts(part), lookup=near)
        recognizer = Recognizer(AcousticModel.load(model), config)
        names = recognizer.compile(["Carthen"])
        assert recognizer.decoder.decode(said, entities=[names])[0].best.text == text
        assert recognizer.decoder.decode(said)[0].best.text == "she takes carthon every day"


def test_rescoring_ranks_what_the_decoder_found(model: Path) -> None:
    """With or without a list, and as many hypotheses as are asked for."""
    said = spoken(model, "the fix", "DH AH F AA K S")
    fox = said.vocabulary.tokens.index("o")
    log_probs = said.log_probs.clone()
    place = int((log_probs[0, :, said.vocabulary.tokens.index("i")] > -1).nonzero()[-1])
    log_probs[0, place, fox] = log_probs[0, place].max() - 0.5
    said = replace(said, log_probs=log_probs.log_softmax(dim=-1))
    for parts, nbest, texts in (
        ((), 2, ["the fix", "the fox"]),
        (("rescore",), 2, ["the fox", "the fix"]),
        (("rescore",), 1, ["the fox"]),
    ):
        config = PipelineConfig(parts=parts, decode=DecodeConfig(nbest=nbest))
        found = Recognizer(AcousticModel.load(model), config).decoder.decode(said)[0]
        assert [hypothesis.text for hypothesis in found.nbest] == texts
        assert found.best == found.nbest[0]


def test_names_without_compiling_them(model: Path, clips: list[Path]) -> None:
    recognizer = Recognizer.from_pretrained(model)
    for listed in (["metformin", "new york"], ["keisha"], ["keisha"]):
        names = recognizer.compile(listed)
        expected = recognizer.transcribe(clips[0], entities=names)
        assert recognizer.transcribe(clips[0], entities=iter(listed)) == expected
    latest = recognizer.decoder.lists(["keisha"], 1)
    assert recognizer.decoder.lists(["keisha"], 1) == latest
    assert recognizer.decoder.lists(["new york"], 1) != latest


def test_one_list_per_recording(model: Path, clips: list[Path]) -> None:
    recognizer = Recognizer.from_pretrained(model)
    lists = [recognizer.compile(["metformin"]), None, recognizer.compile(["keisha", "peace"])]
    recordings = [read_audio(path) for path in clips]
    together = recognizer.transcribe(recordings, entities=lists)
    for path, names, transcript in zip(clips, lists, together):
        alone = recognizer.transcribe(path, entities=names)
        assert transcript.best.text == alone.best.text
        assert transcript.best.score == pytest.approx(alone.best.score, abs=1e-3)


def test_lists_that_are_not_those_of_the_recordings(model: Path, clips: list[Path]) -> None:
    recognizer = Recognizer.from_pretrained(model)
    names = recognizer.compile(["keisha"])
    two = [read_audio(path) for path in clips[:2]]
    log_probs = recognizer.log_probs(two)
    for wrong in ([names], [names] * 3):
        words = f"{len(wrong)} lists of names for 2 "
        with pytest.raises(EntityListError, match=words):
            recognizer.transcribe(two, entities=wrong)
        with pytest.raises(EntityListError, match=words):
            recognizer.log_probs(two, wrong)
        with pytest.raises(EntityListError, match=words):
            recognizer.decoder.decode(log_probs, entities=wrong)
    expected = [one.best for one in recognizer.transcribe(two, entities=[names, None])]
    for listed in ([["keisha"], None], [("keisha",), None], [names.entities, None]):
        assert [one.best for one in recognizer.transcribe(two, entities=listed)] == expected


def test_a_long_list_is_shortened_for_each_utterance(model: Path, clips: list[Path]) -> None:
    listed = ["metformin", "New York", "keisha", "john smith", "peace"]
    recordings = [read_audio(path) for path in clips]

    def log_probs(names: list[str], most: int) -> LogProbs:
        config = PipelineConfig(parts=("adapter",), adapter=AttentionConfig(names=most))
        recognizer = Recognizer(AcousticModel.load(model), config)
        return recognizer.log_probs(recordings, [recognizer.compile(names)] * len(clips))

    plain = Recognizer.from_pretrained(model).log_probs(recordings)
    short = log_probs(listed, 1)
    tokenizer = Recognizer.from_pretrained(model).model.tokenizer
    for row, length in enumerate(short.lengths.tolist()):
        best = plain.log_probs[row, :length].clamp_min(-10.0).amax(dim=0)
        name = max(listed, key=lambda name: float(best[tokenizer.encode(name.lower())].mean()))
        alone = log_probs([name], 1)
        torch.testing.assert_close(
            short.log_probs[row, :length], alone.log_probs[row, :length], atol=1e-4, rtol=0
        )


LONG = ["metformin", "New York", "keisha", "john smith", "peace", "ibuprofen", "O'Hara", "B12"]
FREE = {"unlike_cost": 0.0, "homophone_cost": 0.0, "size_cost": 0.0}
SOUNDS = ("boost", "g2g", "rescore", "lookup")


def decoded(
    model: Path,
    clips: list[Path],
    names: list[str],
    *,
    batch: bool = True,
    parts: tuple[str, ...] = SOUNDS,
    **shortlist: Any,
) -> list[Hypothesis]:
    """What is heard with the list, all at once or one after the other."""
    eager = BoostConfig(
        alpha=0.9, free=0.0, first_alpha=0.9, top_k=80, first_top_k=80,
        max_gap=50.0, first_max_gap=50.0,
        max_gain=50.0, max_wait=50.0, max_wait_letter=50.0, beta=0.0, bonus=6.0,
    )  # fmt: skip
    config = PipelineConfig(
        decode=DecodeConfig(
            boost=eager,
            search_beam=60.0,
            max_active=100_000,
            token_top_k=80,
            token_beam=50.0,
            evidence=EvidenceConfig(max_entropy=1.0, min_name_confidence=0.0),
        ),
        parts=parts,
        shortlist=ShortlistConfig(**shortlist),
        spellings=SpellingsConfig(number=4),
        lookup=LookupConfig(max_distance=0.6, min_phones=1),
    )
    recognizer = Recognizer(AcousticModel.load(model), config)
    compiled = recognizer.compile(names, warn=False)
    assert (compiled.shortlists is None) == (len(names) <= config.shortlist.shorten_above)
    if not batch:
        return [recognizer.transcribe(path, entities=compiled).best for path in clips]
    recordings = [read_audio(path) for path in clips]
    found = recognizer.transcribe(recordings, entities=[compiled] * len(clips))
    return [transcript.best for transcript in found]


def test_a_shortlist_of_all_is_the_whole_list(model: Path, clips: list[Path]) -> None:
    whole = decoded(model, clips, LONG)
    assert any(word.entity for best in whole for word in best.words)
    everything = {"shorten_above": 3, "n_by_phone": 8, "n_variants": 8, "n_lookup": 8, **FREE}
    assert decoded(model, clips, LONG, **everything) == whole
    assert decoded(model, clips, LONG, pronounce_up_to=3, **everything) == whole


def test_a_long_list_is_shortened_for_the_decoder(model: Path, clips: list[Path]) -> None:
    few = {"shorten_above": 3, "n_by_phone": 2, "n_by_subword": 1, "n_variants": 1, "n_lookup": 1}
    short = decoded(model, clips, LONG, **few)
    assert short != decoded(model, clips, LONG)
    turned = decoded(model, clips, LONG[::-1], **few)  # other lines of the list
    lists = Recognizer(
        AcousticModel.load(model), PipelineConfig(shortlist=ShortlistConfig(shorten_above=3))
    )
    orders = [lists.compile(some, warn=False).shortlists for some in (LONG, LONG[::-1])]
    first, second = ([e.name for e in one._entities] for one in orders if one is not None)
    assert first == second
    assert [(best.text, best.score) for best in turned] == [(b.text, b.score) for b in short]
    # Phone scores of a model that says arbitrary things are equal for many readings.
    parts = ("boost", "g2g", "lookup")
    alone = decoded(model, clips, LONG, batch=False, parts=parts, **few)
    together = decoded(model, clips, LONG, parts=parts, **few)
    assert [best.text for best in alone] == [best.text for best in together]


@pytest.mark.parametrize("pronounce_up_to", [3, 2])
def test_only_the_names_that_sound_alike_are_boosted(model: Path, pronounce_up_to: int) -> None:
    """Whether all names are pronounced, or those that may be heard by their letters."""
    shortlist = ShortlistConfig(
        shorten_above=1,
        pronounce_up_to=pronounce_up_to,
        n_by_letters=2,
        n_by_phone=1,
        n_by_subword=0,
    )
    config = PipelineConfig(parts=SOUNDS, shortlist=shortlist)
    recognizer = Recognizer(AcousticModel.load(model), config)
    names = recognizer.compile(["ibuprofen", "keisha", "metformin"])
    assert names.shortlists is not None
    heard = spoken(model, "met form in", "M EH T F AO R M IH N")
    (short,) = names.shortlists.of(heard, [0])
    assert short.graph is not None
    assert [entity.name for entity in short.graph.entities] == ["metformin"]
    assert short.pronunciations is not None
    assert [entity.name for entity in short.pronunciations.entities] == ["metformin"]


def test_names_whose_subwords_are_heard_are_boosted_whatever_they_sound_like(model: Path) -> None:
    shortlist = ShortlistConfig(shorten_above=1, n_by_phone=1, n_by_subword=1, n_lookup=1)
    config = PipelineConfig(parts=SOUNDS, shortlist=shortlist)
    names = Recognizer(AcousticModel.load(model), config).compile(
        ["keisha", "metformin", "b12"], warn=False
    )
    assert names.shortlists is not None
    heard = spoken(model, "met form in", "K IY SH AH")
    (short,) = names.shortlists.of(heard, [0])
    assert short.graph is not None
    assert [entity.name for entity in short.graph.entities] == ["keisha", "metformin"]
    assert short.pronunciations is not None
    assert [entity.name for entity, _ in short.pronunciations.lookup_candidates()] == ["keisha"]


def test_names_that_their_subwords_brought_cost_no_less_than_others(model: Path) -> None:
    shortlist = ShortlistConfig(shorten_above=1, n_by_phone=1, n_by_subword=1, **FREE)
    config = PipelineConfig(
        parts=("boost", "rescore"), shortlist=replace(shortlist, unlike_cost=2.0)
    )
    recognizer = Recognizer(AcousticModel.load(model), config)
    costs = []
    for listed in (["keisha", "metformin"], ["metformin", "keisha"]):
        names = recognizer.compile(listed)
        assert names.shortlists is not None
        (short,) = names.shortlists.of(spoken(model, "met form in", "K IY T AH"), [0])
        assert short.graph is not None
        entities = short.graph.entities
        costs.append({entities[at].name: cost for _, at, cost in short.graph.paths()})
    assert costs[0] == costs[1]
    assert costs[0]["metformin"] == costs[0]["keisha"] > 0.5


def test_names_on_a_shortlist_have_a_price(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They pay for what is heard otherwise, for common words that sound alike, for long lists."""
    heard = spoken(model, "red met form in", "R EH D M EH T F AO R M IH N")

    def prices(lm: object = None, **settings: float) -> dict[str, float]:
        shortlist = ShortlistConfig(shorten_above=1, n_by_phone=3, **settings)  # type: ignore[arg-type]
        config = PipelineConfig(parts=("boost",), shortlist=shortlist)
        recognizer = Recognizer(AcousticModel.load(model), config)
        monkeypatch.setattr(recognizer.decoder.compiler, "_modelled", lm is not None)
        names = recognizer.compile(["redd", "metformin", "ibuprofen"])
        assert names.shortlists is not None
        (short,) = names.shortlists.of(heard, [0])
        assert short.graph is not None
        ends = short.graph.end
        return {
            short.graph.entities[end].name: float(cost)
            for end, cost in zip(ends[ends >= 0], short.graph.cost[ends >= 0])
        }

    assert prices(**FREE) == {"redd": 0.0, "metformin": 0.0, "ibuprofen": 0.0}
    unlike = prices(**{**FREE, "unlike_cost": 0.5})
    assert unlike["redd"] < 0.5
    assert unlike["metformin"] < 0.5
    assert unlike["ibuprofen"] > 1.0
    common = prices(**{**FREE, "homophone_cost": 1.0})
    assert common["redd"] > 1.0
    assert common["metformin"] == common["ibuprofen"] == 0.0
    assert set(prices(**{**FREE, "size_cost": 2.0}).values()) == {0.0}
    assert prices("some model", **{**FREE, "size_cost": 2.0}) == pytest.approx(
        dict.fromkeys(("redd", "metformin", "ibuprofen"), 2.0 * np.log(3.0))
    )


def test_a_name_that_nobody_can_pronounce_is_on_every_shortlist(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other writing systems: the recogniser's tokens write the name, but no G2P reads it."""
    phones = np.array([1, 2], dtype=np.uint8)
    silent = PronunciationTable(
        np.array([0, 0, 1]), np.array([0, 2]), phones, np.zeros(1, np.float32)
    )
    monkeypatch.setattr("ctcbias_fst.compiled.pronunciation_table", lambda _: silent)
    config = PipelineConfig(parts=SOUNDS, shortlist=ShortlistConfig(shorten_above=1, n_by_phone=1))
    names = Recognizer(AcousticModel.load(model), config).compile(["keisha", "metformin"])
    assert names.shortlists is not None
    (short,) = names.shortlists.of(spoken(model, "peace", "P IY S"), [0])
    assert short.graph is not None
    assert "keisha" in [entity.name for entity in short.graph.entities]


def test_parts_of_a_long_list(model: Path) -> None:
    """What is left out is not prepared; a graph that was compiled before is searched whole."""

    def short(*parts: str) -> ShortList:
        shortlist = ShortlistConfig(shorten_above=1)
        config = PipelineConfig(parts=parts, shortlist=shortlist)
        names = Recognizer(AcousticModel.load(model), config).compile(["peace", "keisha"])
        assert names.shortlists is not None
        (found,) = names.shortlists.of(spoken(model, "peace", "P IY S"), [0])
        return found

    assert short("lookup").graph is None
    assert short("boost").pronunciations is None
    plain, spelt = short("boost").graph, short("boost", "g2g").graph
    assert plain is not None
    assert spelt is not None
    assert spelt.num_paths > plain.num_paths


def test_entries_without_effect_are_told(model: Path) -> None:
    recognizer = Recognizer.from_pretrained(model)
    with pytest.warns(CtcbiasWarning, match="no effect") as told:
        names = recognizer.compile(["metformin", "東京", "Metformin"])
    assert [str(warning.message) for warning in told] == names.entities.report()
    assert [entity.name for entity in names.entities.entities] == ["metformin"]
    assert {reject.text for reject in names.entities.rejected} == {"東京", "Metformin"}
    with pytest.raises(EntityListError):
        recognizer.compile(["東京"])


def test_a_language_model_in_the_model_directory(
    model: Path, clips: list[Path], tmp_path: Path
) -> None:
    """It acts unless the part is left out; a file that is named takes its place."""
    folder = tmp_path / "model"
    shutil.copytree(model, folder)
    text = [["she", "takes", "metformin"], ["she", "takes", "it"]]
    save_lm(tmp_path / "lm.safetensors", train_lm(text))
    save_lm(tmp_path / "other.arpa", train_lm(text[:1] * 2))
    result = CliRunner().invoke(
        main, ["lm", "attach", str(tmp_path / "lm.safetensors"), "--model", str(folder)]
    )
    assert result.exit_code == 0, result.output
    scale = DecodeConfig(lm=LmConfig(scale=1.0))

    def share(**settings: Any) -> float:
        config = PipelineConfig(decode=scale, **settings)
        recognizer = Recognizer(AcousticModel.load(folder), config)
        return recognizer.transcribe(clips[0]).best.lm

    assert share() < 0
    assert share(parts=("boost",)) == 0
    assert share(parts=("lm",)) == share()
    assert share(lm=tmp_path / "other.arpa") not in (0, share())
    with pytest.raises(LanguageModelError, match=r"none\.arpa"):
        share(lm=tmp_path / "none.arpa")
    (folder / "lm.safetensors").write_bytes(b"damaged")
    with pytest.raises(ModelError, match="ctcbias lm attach"):
        share()
    (folder / "lm.safetensors").unlink()
    assert share() == 0


def test_a_language_model_that_took_the_place_of_another(tmp_path: Path) -> None:
    """A build system may give every file one time; two models may be of one size."""
    path, vocabulary = tmp_path / "lm.arpa", Vocabulary.from_tokens(["<blk>", "|", *"abc"])
    loaded, sizes = [], []
    for text in (["a"], ["b"], ["a", "b"]):
        save_lm(path, train_lm([text, text]))
        os.utime(path, (0, 0))
        loaded.append(language_model(PipelineConfig(lm=path), vocabulary, "cpu"))
        sizes.append(path.stat().st_size)
    assert sizes[0] == sizes[1]
    assert len(set(map(id, loaded))) == 3
    assert language_model(PipelineConfig(lm=path), vocabulary, "cpu") is loaded[2]


def test_names_are_a_class_of_the_language_model_if_that_is_a_part(tmp_path: Path) -> None:
    path, vocabulary = tmp_path / "lm.arpa", Vocabulary.from_tokens(["<blk>", "|", *"abc"])
    save_lm(path, train_lm([["a"], ["a"]]))
    for parts, expected in ((("boost", "lm"), False), (("lm", "boost-class"), True)):
        found = language_model(PipelineConfig(lm=path, parts=parts), vocabulary, "cpu")
        assert found is not None
        assert found._boost_class == expected


def test_only_our_files_become_the_language_model(model: Path, tmp_path: Path) -> None:
    save_lm(tmp_path / "lm.arpa", train_lm([["a"], ["a"]]))
    for name, message in (("lm.arpa", "convert it"), ("none.safetensors", "no such file")):
        with pytest.raises(LanguageModelError, match=message):
            attach_lm(model, tmp_path / name)
    with pytest.raises(ModelError):
        attach_lm(tmp_path, tmp_path / "lm.arpa")


def test_parts() -> None:
    assert parse_parts("none") == ()
    assert parse_parts("boost, adapter") == ("boost", "adapter")
    assert set(parse_parts("all")) == set(PARTS)
    with pytest.raises(ConfigError, match="unknown part 'bost'"):
        parse_parts("bost")
    with pytest.raises(ValueError, match="unknown part"):
        PipelineConfig(parts=("x",))


def test_command(model: Path, clips: list[Path], tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("metformin\n東京\n", encoding="utf-8")
    files = [str(clips[0]), str(tmp_path / "none.wav"), str(clips[1])]
    options = ["transcribe", *files, "--model", str(model), "--format", "json", "--timing"]
    result = CliRunner().invoke(main, [*options, "--entities", str(names)])
    assert result.exit_code == 1
    assert "none.wav: no such file" in result.stderr
    assert "line 2: '東京'" in result.stderr
    assert "x real time" in result.stderr
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["path"] for row in rows] == [str(clips[0]), str(clips[1])]
    out = tmp_path / "out.srt"
    result = CliRunner().invoke(
        main,
        ["transcribe", str(clips[0]), "--model", str(model), "--format", "srt", "--out", str(out)],
    )
    assert result.exit_code == 0, result.output
    assert out.read_text().startswith("1\n00:00:0")


def test_a_file_for_each_recording(model: Path, clips: list[Path], tmp_path: Path) -> None:
    files = [str(clip) for clip in clips[:2]]
    command = ["transcribe", *files, "--model", str(model)]

    def run(*options: str) -> Result:
        return CliRunner().invoke(main, [*command, *options])

    result = run("--format", "srt")
    assert result.exit_code == 1
    assert "there are 2: pass --out-dir" in result.stderr
    folder = tmp_path / "new" / "folder"
    result = run("--format", "vtt", "--out-dir", str(folder))
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in folder.glob("[!.]*")) == ["clip0.vtt", "clip1.vtt"]
    assert all(path.read_text().startswith("WEBVTT\n\n") for path in folder.glob("[!.]*"))
    assert "either --out or --out-dir" in run("--out", "x", "--out-dir", str(folder)).stderr
    (tmp_path / "file").write_text("")
    assert "it is a file, and a folder is wanted" in run("--out-dir", str(tmp_path / "file")).stderr
    other = tmp_path / "other" / clips[0].name
    result = CliRunner().invoke(
        main, ["transcribe", files[0], str(other), "--model", str(model), "--out-dir", str(folder)]
    )
    assert result.exit_code == 1
    assert "would both be written to" in result.stderr


def test_settings_of_the_command(model: Path, clips: list[Path], tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("\n".join(WRITTEN), encoding="utf-8")
    settings = tmp_path / "settings.toml"
    settings.write_text('parts = ["adapter"]\nadapter.scale = 0.0\n', encoding="utf-8")
    files = [str(clip) for clip in clips]

    def text(*options: str) -> str:
        command = ["transcribe", *files, "--model", str(model), "--entities", str(names)]
        result = CliRunner().invoke(main, [*command, *options])
        assert result.exit_code == 0, result.output
        return result.stdout

    plain = text("--parts", "none")
    adapted = text("--parts", "adapter")
    assert adapted != plain
    assert text("--config", str(settings)) == plain
    assert text("--config", str(settings), "--set", "adapter.scale=1.0") == adapted
    boosted = text("--parts", "boost")
    assert text("--config", str(settings), "--parts", "boost") == boosted
    assert text("--config", str(settings), "--set", "parts=boost") == boosted
    assert text("--set", "parts=boost,adapter") == text("--set", 'parts=["adapter", "boost"]')
    assert text("--set", "parts=none") == plain


def test_settings_of_the_model(model: Path, clips: list[Path], tmp_path: Path) -> None:
    directory = tmp_path / "model"
    shutil.copytree(model, directory)
    names = WRITTEN

    def text(recognizer: Recognizer) -> str:
        return recognizer.transcribe(clips[0], entities=recognizer.compile(names)).best.text

    plain = text(Recognizer(AcousticModel.load(model), PipelineConfig(parts=("adapter",))))
    (directory / "settings.toml").write_text('parts = ["adapter"]\nadapter.scale = 4.0\n')
    own = text(Recognizer.from_pretrained(directory))
    assert own != plain
    given = PipelineConfig(parts=("adapter",))
    assert text(Recognizer(AcousticModel.load(directory), given)) == plain

    (tmp_path / "names.txt").write_text("\n".join(names), encoding="utf-8")
    command = ["transcribe", str(clips[0]), "--model", str(directory)]
    command += ["--entities", str(tmp_path / "names.txt")]
    assert CliRunner().invoke(main, command).stdout.strip() == own
    scaled = [*command, "--set", "adapter.scale=1.0"]
    assert CliRunner().invoke(main, scaled).stdout.strip() == plain
    (tmp_path / "scaled.toml").write_text("adapter.scale = 1.0\n", encoding="utf-8")
    of_file = [*command, "--config", str(tmp_path / "scaled.toml")]
    assert CliRunner().invoke(main, of_file).stdout.strip() == plain

    (directory / "settings.toml").write_text("adaptor_scale = 1.0\n")
    result = CliRunner().invoke(main, command)
    assert "settings.toml: unknown key adaptor_scale" in result.output
    with pytest.raises(ConfigError, match="unknown key adaptor_scale"):
        Recognizer.from_pretrained(directory)


def test_names_longer_than_the_audio_are_told(
    model: Path, clips: list[Path], tmp_path: Path
) -> None:
    names = tmp_path / "names.txt"
    names.write_text("metformin\n" + "taumatawhakatangi" * 30 + "\n", encoding="utf-8")
    files = [str(tmp_path / "missing.wav"), *map(str, clips)]
    command = ["transcribe", *files, "--model", str(model), "--entities", str(names)]
    result = CliRunner().invoke(main, [*command, "--parts", "boost"])
    assert "names.txt, line 2: 'taumata" in result.stderr
    assert "frames of audio, there are" in result.stderr
    assert "line 1" not in result.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--set", "decode.boots.beta=1"], "unknown key decode.boots"),
        (["--model", "nowhere"], "no such file or folder"),
        (["--entities", "nowhere.txt"], "nowhere.txt"),
        (["--parts", "magic"], "unknown part 'magic'"),
    ],
)
def test_command_says_what_is_wrong(
    model: Path, clips: list[Path], options: list[str], words: str
) -> None:
    if "--model" not in options:
        options = [*options, "--model", str(model)]
    result = CliRunner().invoke(main, ["transcribe", str(clips[0]), *options])
    assert result.exit_code == 1
    assert words in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize("listed", ["imiglucerase", None])
def test_callers_may_be_in_inference_mode(recognizer: Recognizer, listed: str | None) -> None:
    """As users of torch are; k2 would refuse such tensors. What is compiled there serves all."""
    clip = CLIPS / "medical-2.flac"
    names = [listed] if listed else read_entities(CLIPS / "names.txt")
    with torch.inference_mode():
        fresh = Recognizer.from_pretrained()
        compiled = fresh.compile(names, warn=False)
        inside = fresh.transcribe(clip, entities=compiled)
    assert inside.best.text.lower() == "my father takes imiglucerase and feels fine"
    assert fresh.transcribe(clip, entities=compiled) == inside
    with torch.inference_mode():
        outside = recognizer.compile(names, warn=False)
        assert recognizer.transcribe(clip, entities=outside) == inside

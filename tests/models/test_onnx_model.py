"""ONNX models of each family: wiring, tokens, frames, long audio, and names."""

from __future__ import annotations

import copy
import json
import pickle
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from reference_features import gigaam_mel, kaldi_fbank, low_frame_rate, nemo_mel
from tiny_onnx import (
    LETTERS,
    PIECES,
    log_softmax,
    make_known_model,
    make_model,
    make_raw_model,
    weights,
    write_tokens,
)

from ctcbias_fst import Decoder, Recognizer
from ctcbias_fst.audio.audio import Recording, to_recording
from ctcbias_fst.errors import CtcbiasWarning, ModelError
from ctcbias_fst.models.find import load_model
from ctcbias_fst.models.package import DEFAULT
from ctcbias_fst.models.scored import ScoredModel
from ctcbias_fst.text.tokens import SentencePieceTokenizer
from tests.models.test_onnx_features import speech_like

Array = npt.NDArray[Any]

BLANK_LAST = [*PIECES[1:], "<blk>"]
SENSE_VOICE = ["<unk>", "<s>", "</s>", "<|en|>", *PIECES[2:]]
SHIFTS = np.random.default_rng(5).normal(-5, 2, 560).round(4)
SCALES = np.random.default_rng(6).uniform(0.1, 0.3, 560).round(4)


def icefall(folder: Path) -> Array:
    matrix = weights(80, len(PIECES))
    metadata = {"model_type": "zipformer2_ctc", "version": "1", "model_author": "k2-fsa"}
    make_model(folder / "model.onnx", matrix, 4, metadata=metadata)
    write_tokens(folder / "tokens.txt", [*PIECES, "#0", "#1"])
    return matrix


def _icefall_scores(wave: Array, matrix: Array) -> Array:
    return kaldi_fbank(wave, -400.0, False, "povey")[::4] @ matrix


def wenet(folder: Path) -> Array:
    tokens = ["<blank>", *PIECES[1:], "<sos/eos>"]
    matrix = weights(80, len(tokens))
    metadata = {"model_type": "wenet_ctc", "subsampling_factor": 4, "vocab_size": len(tokens)}
    outputs = ("log_probs", "log_probs_lens")
    options = {"metadata": metadata, "around": (0, 3)}  # more rows than it says
    make_model(folder / "model.onnx", matrix, 4, outputs=outputs, **options)
    write_tokens(folder / "units.txt", tokens)
    return matrix


def _wenet_scores(wave: Array, matrix: Array) -> Array:
    return kaldi_fbank(wave * np.float32(32768), 0.0, True, "povey")[::4] @ matrix


NEMO = {"inputs": ("audio_signal", "length"), "outputs": ("logprobs",), "features_first": True}


def nemo(folder: Path) -> Array:
    """As sherpa-onnx has it: metadata, and tokens with the blank."""
    matrix = weights(80, len(BLANK_LAST))
    metadata = {
        "vocab_size": len(BLANK_LAST) - 1,
        "normalize_type": "per_feature",
        "subsampling_factor": 8,
        "model_type": "EncDecCTCModelBPE",
        "version": "1",
        "model_author": "NeMo",
        "comment": "Only the CTC branch is exported",
    }
    make_model(folder / "model.onnx", matrix, 8, metadata=metadata, **NEMO)
    write_tokens(folder / "tokens.txt", BLANK_LAST)
    return matrix


def nemo_export(folder: Path) -> Array:
    """As NeMo has it: nothing but names, and a vocabulary without the blank."""
    matrix = weights(128, len(BLANK_LAST))
    make_model(folder / "model.onnx", matrix, 8, **NEMO)
    (folder / "vocab.txt").write_text("\n".join(BLANK_LAST[:-1]) + "\n", encoding="utf-8")
    return matrix


def nemo_plain(folder: Path) -> Array:
    """The CTC branch of a hybrid model, as onnx-asr has it, and features not normalised."""
    matrix = weights(80, len(BLANK_LAST))
    make_model(folder / "model.onnx", matrix, 4, metadata={"normalize_type": ""}, **NEMO)
    config = {"model_type": "nemo-conformer-ctc", "features_size": 80, "subsampling_factor": 4}
    (folder / "config.json").write_text(json.dumps(config))
    write_tokens(folder / "vocab.txt", BLANK_LAST)
    return matrix


def gigaam(folder: Path) -> Array:
    matrix = weights(64, len(BLANK_LAST))
    names = {"inputs": ("features", "feature_lengths"), "outputs": ("log_probs",)}
    make_model(folder / "v3_ctc.onnx", matrix, 4, features_first=True, **names)
    config = {"model_type": "gigaam-v3-ctc", "version": "v3", "subsampling_factor": 4}
    (folder / "config.json").write_text(json.dumps(config))
    write_tokens(folder / "v3_vocab.txt", BLANK_LAST)
    return matrix


def gigaam_sherpa(folder: Path) -> Array:
    matrix = weights(64, len(BLANK_LAST))
    metadata = {
        "vocab_size": len(BLANK_LAST),
        "normalize_type": "",
        "subsampling_factor": 4,
        "model_type": "EncDecCTCModel",
        "version": "1",
        "is_giga_am": 1,
    }
    names = {"inputs": ("features", "feature_lengths"), "outputs": ("log_probs",)}
    make_model(
        folder / "model.int8.onnx", matrix, 4, features_first=True, metadata=metadata, **names
    )
    write_tokens(folder / "tokens.txt", BLANK_LAST)
    return matrix


def gigaam_sherpa_3(folder: Path) -> Array:
    matrix = gigaam_sherpa(folder)
    (folder / "config.json").write_text('{"version": "3", "comment": "v3"}')
    return matrix


def sense_voice(folder: Path) -> Array:
    matrix = weights(560, len(SENSE_VOICE))
    metadata = {
        "model_type": "sense_voice_ctc",
        "lfr_window_size": 7,
        "lfr_window_shift": 6,
        "normalize_samples": 0,
        "neg_mean": ",".join(map(str, SHIFTS)),
        "inv_stddev": ",".join(map(str, SCALES)),
        "vocab_size": len(SENSE_VOICE),
        "with_itn": 14,
        "without_itn": 15,
        "lang_auto": 0,
        "lang_zh": 3,
        "lang_en": 4,
        "lang_yue": 7,
        "lang_ja": 11,
        "lang_ko": 12,
    }
    make_model(
        folder / "model.onnx",
        matrix,
        1,
        inputs=("x", "x_length"),
        outputs=("logits",),
        metadata=metadata,
        last="Identity",
        around=(4, 0),
        codes=("language", "text_norm"),
        short_length=True,
    )
    write_tokens(folder / "tokens.txt", SENSE_VOICE)
    return matrix


def _sense_voice_scores(wave: Array, matrix: Array) -> Array:
    fbank = kaldi_fbank(wave * np.float32(32768), 0.0, True, "hamming")
    scores = (low_frame_rate(fbank, 7, 6) + SHIFTS) * SCALES @ matrix
    scores[:, 2] += 15 * 0.1  # no digits and punctuation; the language is 0
    return scores


Scores = Callable[[Array, Array], Array]
FAMILIES: dict[str, tuple[Callable[[Path], Array], Scores, float]] = {
    "icefall": (icefall, _icefall_scores, 0.04),
    "WeNet": (wenet, _wenet_scores, 0.04),
    "NeMo": (nemo, lambda w, m: nemo_mel(w, 80, True)[::8] @ m, 0.08),
    "NeMo 128": (nemo_export, lambda w, m: nemo_mel(w, 128, True)[::8] @ m, 0.08),
    "NeMo plain": (nemo_plain, lambda w, m: nemo_mel(w, 80, False)[::4] @ m, 0.04),
    "GigaAM 3": (gigaam, lambda w, m: gigaam_mel(w, False)[::4] @ m, 0.04),
    "GigaAM 2": (gigaam_sherpa, lambda w, m: gigaam_mel(w, True)[::4] @ m, 0.04),
    "GigaAM 3b": (gigaam_sherpa_3, lambda w, m: gigaam_mel(w, False)[::4] @ m, 0.04),
    "SenseVoice": (sense_voice, _sense_voice_scores, 0.06),
}


def scores_of(model: Any, wave: Array) -> Array:
    found = model.log_probs([Recording("a", wave.astype(np.float32), model.sampling_rate)])
    values: Array = found.log_probs[0, : found.lengths[0]].cpu().numpy()
    return values


@pytest.mark.parametrize("name", FAMILIES)
def test_families(name: str, tmp_path: Path) -> None:
    """Log-probs are those of the features by their definition, in each family's wiring."""
    make, reference, frame_seconds = FAMILIES[name]
    matrix = make(tmp_path)
    model = load_model(tmp_path)
    assert model.family == f"{name.split(maxsplit=1)[0]} (ONNX)"
    assert model.frame_seconds == pytest.approx(frame_seconds)
    assert (model.sampling_rate, model.blank_known) == (16000, True)
    vocabulary = model.tokenizer.vocabulary
    assert vocabulary.size == matrix.shape[1]
    # Of these it is known that they have learnt from long segments.
    long = name.startswith(("NeMo", "GigaAM", "SenseVoice"))
    assert isinstance(model, ScoredModel)
    assert model.scorer.piece_seconds == (30.0 if long else 6.0)
    blank_last = name.startswith(("NeMo", "GigaAM"))
    assert vocabulary.blank_id == (vocabulary.size - 1 if blank_last else 0)
    for seconds in (0.4, 1.303):
        wave = speech_like(seconds, seed=3)
        wanted = log_softmax(reference(wave, matrix))
        atol = 0.03 if name.startswith("GigaAM 3") else 5e-3  # its features are those of bfloat16
        np.testing.assert_allclose(scores_of(model, wave), wanted, atol=atol)


def test_the_language_of_sense_voice(tmp_path: Path) -> None:
    matrix = sense_voice(tmp_path)
    wave = speech_like(0.5)
    wanted = _sense_voice_scores(wave, matrix)
    wanted[:, 1] += 4 * 0.1
    found = scores_of(load_model(tmp_path, language="en"), wave)
    np.testing.assert_allclose(found, log_softmax(wanted), atol=5e-3)
    with pytest.raises(
        ModelError, match="language 'fr' is none of its own: auto, en, ja, ko, yue, zh"
    ):
        load_model(tmp_path, language="fr")
    (tmp_path / "other").mkdir()
    nemo(tmp_path / "other")
    with pytest.raises(ModelError, match="language belongs to models of several"):
        load_model(tmp_path / "other", language="en")


SAID = "|the|metforman|dose|"


def as_audio(text: str, *, likely: str = "", each: int = 3) -> Array:
    """Audio that is its own scores: of each letter, and a bit less of those of another text."""
    rows = np.zeros((2 * each * len(text) + each, 320), np.float32)
    for i, letter in enumerate(text):
        begin = each * (2 * i + 1)
        rows[begin : begin + each, LETTERS.index(letter)] = 0.10
        if likely:
            rows[begin : begin + each, LETTERS.index(likely[i])] += 0.08
    blank = rows[:, : len(LETTERS)].sum(axis=1) == 0
    rows[blank, 0] = 0.10
    return rows.reshape(-1)


def raw(folder: Path, **options: Any) -> None:
    make_raw_model(folder / "model.onnx", len(LETTERS), **options)
    (folder / "config.json").write_text(json.dumps({"model_type": "wav2vec2-ctc"}))
    write_tokens(folder / "vocab.txt", LETTERS)


def test_a_name_of_a_list(tmp_path: Path) -> None:
    """From a folder to a transcript that a list of names changes."""
    raw(tmp_path)
    recognizer = Recognizer.from_pretrained(tmp_path, settings={"parts": "boost"})
    assert recognizer.model.frame_seconds == pytest.approx(0.02)
    audio = as_audio(SAID, likely="|the|metformin|dose|")
    plain = recognizer.transcribe(audio, sampling_rate=16000)
    assert plain.best.text == "the metforman dose"
    biased = recognizer.transcribe(audio, sampling_rate=16000, entities=["metformin", "Zocor"])
    assert biased.best.text == "the metformin dose"
    (mention,) = biased.best.mentions
    begin = 0.06 * (2 * SAID.index("m") + 1)
    assert mention.start == pytest.approx(begin, abs=0.1)


def test_tokens_in_another_order_write_nonsense(tmp_path: Path) -> None:
    """Which nothing tells, as docs/your-model.md says, unless they have their numbers."""
    raw(tmp_path)
    audio = as_audio(SAID)
    file = tmp_path / "vocab.txt"
    lines = file.read_text().splitlines(keepends=True)
    shuffled = [lines[0], *lines[:0:-1]]

    def text() -> str:
        recognizer = Recognizer.from_pretrained(tmp_path, settings={"parts": "boost"})
        return recognizer.transcribe(audio, sampling_rate=16000, entities=["Zocor"]).best.text

    file.write_text("".join(shuffled))
    assert text() == "the metforman dose"
    file.write_text("".join(f"{line.split()[0]}\n" for line in lines))
    assert text() == "the metforman dose"
    file.write_text("".join(f"{line.split()[0]}\n" for line in shuffled))
    assert not {"the", "metforman", "dose", ""}.intersection({*text().split(), text()})


@pytest.mark.parametrize("last", ["LogSoftmax", "Identity", "Softmax"])
def test_scores_are_normalised_once(last: str, tmp_path: Path) -> None:
    raw(tmp_path, last=last)
    wave = as_audio(SAID)
    logits = wave.reshape(-1, 320)[:, : len(LETTERS)] * 100.0
    found = scores_of(load_model(tmp_path), wave)
    np.testing.assert_allclose(found, log_softmax(logits), atol=1e-3)


def hugging_face(folder: Path, **preprocessor: Any) -> None:
    """As optimum exports wav2vec2: logits, `vocab.json`, the padding token is the blank."""
    make_raw_model(
        folder / "model.onnx",
        len(LETTERS),
        inputs=("input_values", "attention_mask"),
        output="logits",
        last="Identity",
        gain=1.0,
    )
    (folder / "config.json").write_text(json.dumps({"model_type": "hubert", "pad_token_id": 0}))
    if preprocessor:
        (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    tokens = {token: i for i, token in enumerate(["<pad>", *LETTERS[1:]])}
    (folder / "vocab.json").write_text(json.dumps(tokens))


@pytest.mark.parametrize("normalise", [True, False])
def test_hugging_face_exports(normalise: bool, tmp_path: Path) -> None:
    hugging_face(tmp_path, do_normalize=normalise, sampling_rate=8000)
    model = load_model(tmp_path)
    assert (model.family, model.sampling_rate) == ("hubert (ONNX)", 8000)
    assert model.frame_seconds == pytest.approx(0.04)
    wave = speech_like(0.5)
    given = (wave - wave.mean()) / wave.std() if normalise else wave
    rows = given[: len(wave) // 320 * 320].reshape(-1, 320)[:, : len(LETTERS)]
    np.testing.assert_allclose(scores_of(model, wave), log_softmax(rows), atol=1e-3)


def test_a_folder_inside_a_folder(tmp_path: Path) -> None:
    """Exporters of Hugging Face put the model into `onnx/`, and the rest above it."""
    hugging_face(tmp_path)
    (tmp_path / "onnx").mkdir()
    (tmp_path / "model.onnx").rename(tmp_path / "onnx" / "model.onnx")
    with pytest.warns(CtcbiasWarning, match="do_normalize"):
        model = load_model(tmp_path / "onnx" / "model.onnx")
    assert model.tokenizer.vocabulary.tokens[0] == "<pad>"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> tuple[ScoredModel, Array]:
    folder = tmp_path_factory.mktemp("icefall")
    matrix = icefall(folder)
    model = load_model(folder)
    assert isinstance(model, ScoredModel)
    return model, matrix


def test_long_audio(shared: tuple[ScoredModel, Array]) -> None:
    """Windows give what the whole would: the model hears a frame at a time."""
    model, matrix = shared
    wave = np.tile(speech_like(1.0), 65)
    found = scores_of(model, wave)
    whole = model.scorer.scores([wave])[0].numpy()
    assert found.shape == whole.shape == (1625, len(PIECES))
    np.testing.assert_allclose(found, whole, atol=2e-2)
    wanted = log_softmax(kaldi_fbank(wave[:32000], -400.0, False, "povey")[:160:4] @ matrix)
    np.testing.assert_allclose(found[:40], wanted, atol=5e-3)


def test_several_give_what_each_does_alone(shared: tuple[ScoredModel, Array]) -> None:
    model, _ = shared
    waves = [speech_like(seconds, seed=i) for i, seconds in enumerate([1.5, 0.2, 31.0, 0.7])]
    recordings = [Recording(str(i), wave, 16000) for i, wave in enumerate(waves)]
    together = model.log_probs(recordings)
    for i, wave in enumerate(waves):
        alone = scores_of(model, wave)
        assert together.lengths[i] == len(alone)
        assert (together.log_probs[i, : len(alone)].numpy() == alone).all()


def test_threads_and_copies(tmp_path: Path) -> None:
    raw(tmp_path)
    recognizer = Recognizer.from_pretrained(tmp_path, settings={"parts": "boost"})
    audio = [as_audio(f"|{word}|") for word in ("alpha", "beta", "gamma", "delta")]

    def text(samples: Array, of: Recognizer = recognizer) -> str:
        return of.transcribe(samples, sampling_rate=16000).best.text

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(text, audio * 4)) == ["alpha", "beta", "gamma", "delta"] * 4
    for other in (pickle.loads(pickle.dumps(recognizer)), copy.deepcopy(recognizer)):
        assert text(audio[2], other) == "gamma"


def test_half_precision(tmp_path: Path) -> None:
    matrix = weights(80, len(BLANK_LAST))
    make_model(tmp_path / "model.fp16.onnx", matrix, 8, half=True, **NEMO)
    write_tokens(tmp_path / "tokens.txt", BLANK_LAST)
    wave = speech_like(1.0)
    found = scores_of(load_model(tmp_path), wave)
    assert found.dtype == np.float32
    wanted = log_softmax(nemo_mel(wave, 80, True)[::8] @ matrix)
    np.testing.assert_allclose(found, wanted, atol=0.05)


def test_eight_bits(tmp_path: Path) -> None:
    """The model of int8 is taken where it is alone."""
    matrix = nemo(tmp_path)
    make_model(tmp_path / "model.int8.onnx", matrix, 8, eight_bits=True, **NEMO)
    wave = speech_like(1.0)
    wanted = log_softmax(nemo_mel(wave, 80, True)[::8] @ matrix)
    np.testing.assert_allclose(scores_of(load_model(tmp_path), wave), wanted, atol=5e-3)
    (tmp_path / "model.onnx").unlink()
    found = scores_of(load_model(tmp_path), wave)
    np.testing.assert_allclose(found, wanted, atol=0.3)
    assert np.abs(found - wanted).max() > 1e-3


def test_the_decoder_gets_what_the_model_gives(shared: tuple[ScoredModel, Array]) -> None:
    model, _ = shared
    wave = speech_like(2.0, seed=9)
    recognizer = Recognizer(model, settings={"parts": "boost"})
    decoder = Decoder.from_tokens(PIECES, frame_seconds=0.04, settings={"parts": "boost"})
    names = ["abed", "the king"]
    (wanted,) = decoder.decode(scores_of(model, wave), entities=names)
    found = recognizer.transcribe(wave, sampling_rate=16000, entities=names)
    assert found.best.text == wanted.best.text
    assert found.best.score == pytest.approx(wanted.best.score, abs=1e-3)


def test_nothing_is_heard_of_no_samples(shared: tuple[ScoredModel, Array]) -> None:
    assert scores_of(shared[0], np.zeros(0)).shape == (0, len(PIECES))
    assert torch.isfinite(torch.from_numpy(scores_of(shared[0], np.zeros(1600)))).all()


CLIPS = Path(__file__).parents[2] / "ctcbias_fst" / "pretrained" / "clips"


def test_speech_with_a_name_of_a_list(tmp_path: Path) -> None:
    """What the embedded model hears of a clip, given by an ONNX file with a SentencePiece model."""
    embedded = Recognizer.from_pretrained()
    clip = to_recording(CLIPS / "medical-1.flac", 16000)
    heard = embedded.log_probs([clip])
    rows = heard.log_probs[0, : heard.lengths[0]].numpy()
    make_known_model(tmp_path, rows, embedded.model.tokenizer.vocabulary.tokens)
    shutil.copyfile(DEFAULT / "tokenizer.model", tmp_path / "bpe.model")
    (tmp_path / "am.model").write_bytes(b"no SentencePiece")
    recognizer = Recognizer.from_pretrained(tmp_path, phones=None)
    assert isinstance(recognizer.model.tokenizer, SentencePieceTokenizer)
    assert recognizer.model.tokenizer.vocabulary == embedded.model.tokenizer.vocabulary
    plain = recognizer.transcribe(clip).best.text
    assert plain == "and do not combine norphaniphrine with pipetoprofen"
    names = ["Norfenefrine", "Piketoprofen", "Ozempic"]
    biased = recognizer.transcribe(clip, entities=names).best.text
    assert biased == "and do not combine Norfenefrine with Piketoprofen"


def test_tokens_that_are_bytes(tmp_path: Path) -> None:
    tokens = [*PIECES[:-20], *map(chr, range(0x180, 0x194))]
    make_model(tmp_path / "model.onnx", weights(80, len(tokens)), 4)
    write_tokens(tmp_path / "tokens.txt", tokens)
    with pytest.warns(CtcbiasWarning, match="byte-level BPE: only letters of ASCII"):
        load_model(tmp_path)

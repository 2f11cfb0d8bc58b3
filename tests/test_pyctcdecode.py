"""The drop-in for pyctcdecode: its calls and results, beside itself where it is installed."""

from __future__ import annotations

import json
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ctcbias_fst.errors import (
    ConfigError,
    CtcbiasWarning,
    EntityListError,
    InputError,
    LanguageModelError,
    LogProbsError,
    ModelError,
)
from ctcbias_fst.pyctcdecode import Alphabet, BeamSearchDecoderCTC, LanguageModel, build_ctcdecoder

LABELS = ["<pad>", "<unk>", "|", *"abcdefghijklmnopqrstuvwxyz'"]
ARPA = """\\data\\
ngram 1=7
ngram 2=3

\\1-grams:
-99\t<s>\t-0.3
-1.0\t</s>
-2.5\t<unk>
-1.2\tthere\t-0.4
-1.1\ttheir\t-0.5
-1.3\thouse
-1.5\tis\t-0.2

\\2-grams:
-0.7\t<s> their
-0.2\ttheir house
-0.6\thouse </s>

\\end\\
"""
WORDS = ["there", "their", "house", "is"]
Beams = list[Any]


def said(text: str, other: str = "", behind: float = 0.5, labels: list[str] = LABELS) -> np.ndarray:
    """Logits of a model that writes a text, each letter of ``other`` a little behind."""
    columns = [labels.index("|" if letter == " " else letter) for letter in text]
    second = [labels.index("|" if letter == " " else letter) for letter in other or text]
    logits = np.full((2 * len(columns), len(labels)), -12.0, dtype=np.float32)
    for at, (best, next_best) in enumerate(zip(columns, second)):
        logits[2 * at, next_best] = -behind
        logits[2 * at, best] = 0.0
        logits[2 * at + 1, 0] = 0.0
    return logits


def spoken(random: np.random.Generator, words: list[str]) -> np.ndarray:
    """Log-probs of some words with pauses; other letters now and then."""
    columns: list[int | None] = []
    for word in random.choice(words, int(random.integers(2, 7))):
        columns += [LABELS.index(letter) for letter in word]
        columns += [None] * int(random.integers(0, 2)) * int(random.integers(5, 50))
        columns.append(LABELS.index("|"))
    rows = []
    for column in columns[:-1]:
        row = random.normal(-11.0, 1.5, len(LABELS))
        if column is not None:
            row[column] = random.normal(0.0, 0.5)
            row[random.integers(3, len(LABELS))] = random.normal(-2.5, 0.5)
            rows += [row.copy()] * int(random.integers(1, 3))
        row[:] = -11.0
        row[0] = 0.0
        rows.append(row)
    logits = np.array(rows, np.float32)
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


@pytest.fixture(scope="module")
def decoder() -> BeamSearchDecoderCTC:
    return build_ctcdecoder(LABELS)


@pytest.fixture
def arpa(tmp_path: Path) -> Path:
    path = tmp_path / "lm.arpa"
    path.write_text(ARPA, encoding="utf-8")
    return path


KISHA = said("tell kisha smith", "tell kesha smith")
THEIR = said("there house", "their house")


def rounded(beams: Beams) -> Beams:
    return [(*beam[:-2], *(round(float(score), 3) for score in beam[-2:])) for beam in beams]


def test_beams_are_those_of_pyctcdecode(decoder: BeamSearchDecoderCTC) -> None:
    frames = [("tell", (0, 7)), ("kisha", (10, 19)), ("smith", (22, 31))]
    others = [("tell", (0, 7)), ("kesha", (10, 19)), ("smith", (22, 31))]
    assert rounded(decoder.decode_beams(KISHA)) == [
        ("tell kisha smith", None, frames, -0.48, -0.48),
        ("tell kesha smith", None, others, -0.98, -0.98),
    ]
    assert decoder.decode(KISHA) == "tell kisha smith"
    (beam,) = decoder.decode_beams(KISHA, 1)
    assert beam[0] == "tell kisha smith"
    assert len(decoder.decode_beams(KISHA, beam_prune_logp=-0.2)) == 1
    unlikely = said("a", "b", 13.0)
    unlikely[unlikely == -12.0] = -20.0
    for least, expected in ((-5, False), (-14, True)):
        beams = decoder.decode_beams(unlikely, beam_prune_logp=-15, token_min_logp=least)
        assert ("b" in [beam[0] for beam in beams]) == expected


@pytest.mark.parametrize(
    ("options", "known", "unknown"),
    [
        ({}, -0.679, -13.928),
        ({"alpha": 0.25, "beta": -1.0}, -4.815, -10.466),
        ({"alpha": 1.0, "beta": 0.0, "unk_score_offset": -1.0}, -5.406, -13.128),
    ],
)
def test_language_model_has_the_same_units(
    options: dict[str, float], known: float, unknown: float, arpa: Path
) -> None:
    """The scores are those of pyctcdecode with kenlm."""
    modelled = build_ctcdecoder(LABELS, str(arpa), **options)
    text, state, _, logit_score, score = modelled.decode_beams(THEIR)[0]
    assert (text, state) == ("their house", "their house")
    assert (logit_score, score) == (pytest.approx(-1.952, abs=1e-3), pytest.approx(known, abs=1e-3))
    (text, _, _, _, score), *_ = modelled.decode_beams(said("their tent"))
    assert (text, score) == ("their tent", pytest.approx(unknown, abs=1e-3))


def test_weights_of_the_language_model_may_change(arpa: Path) -> None:
    modelled = build_ctcdecoder(LABELS, arpa)
    assert modelled.decode(THEIR) == "their house"
    modelled.reset_params(alpha=0.0, beta=0.0)
    assert modelled.decode(THEIR) == "there house"
    # As Hugging Face's processor does it.
    setattr(modelled.model_container[modelled._model_key], "alpha", 0.5)  # noqa: B010
    assert modelled.decode(THEIR) == "their house"
    with pytest.warns(CtcbiasWarning, match="^lm_score_boundary=False has no effect"):
        modelled.reset_params(lm_score_boundary=False)
        modelled.decode(THEIR)
    modelled.reset_params(alpha=float("nan"))
    with pytest.raises(ConfigError, match="^alpha must be a finite number, found nan$"):
        modelled.decode(THEIR)
    modelled.cleanup()


def test_hotwords_are_names(decoder: BeamSearchDecoderCTC) -> None:
    assert decoder.decode(KISHA, hotwords=["kesha smith"]) == "tell kesha smith"
    assert decoder.decode(KISHA, hotwords=iter({" Kesha ", ""})) == "tell Kesha smith"
    scores = [
        decoder.decode_beams(KISHA, hotwords=["kesha smith"], hotword_weight=weight)[0][4]
        for weight in (10, 11.0)
    ]
    assert scores[1] > scores[0] > -0.48
    for hotwords, weight in ((["kesha smith"], 0), ([], 10.0), ([" "], 10), (None, 10)):
        found = decoder.decode(KISHA, hotwords=hotwords, hotword_weight=weight)
        assert found == "tell kisha smith"
    for weights, same in (
        ({"kesha smith": 11}, scores[1]),
        ({"kesha smith": 10.0, "x": 0}, scores[0]),
    ):
        assert decoder.decode_beams(KISHA, hotwords=weights)[0][4] == same
    assert decoder.decode(KISHA, hotwords={"kesha smith": 0}) == "tell kisha smith"
    with pytest.warns(CtcbiasWarning, match="^hotword_weight has no effect: hotwords .* own$"):
        decoder.decode(KISHA, hotwords={"kesha smith": 10}, hotword_weight=11)
    used = iter(["kesha"])
    assert decoder.decode(KISHA, hotwords=used) == "tell kesha smith"
    with pytest.warns(CtcbiasWarning, match="^a list_iterator without names"):
        assert decoder.decode(KISHA, hotwords=used) == "tell kisha smith"
    with pytest.warns(CtcbiasWarning, match="decoded without hotwords$"):
        assert decoder.decode(KISHA, hotwords=["東京"]) == "tell kisha smith"
    with pytest.warns(CtcbiasWarning, match="東京.* has no effect"):
        assert decoder.decode(KISHA, hotwords=["東京", "kesha"]) == "tell kesha smith"


def test_every_form_of_logits_is_the_same(decoder: BeamSearchDecoderCTC) -> None:
    log_probs = KISHA - np.log(np.exp(KISHA).sum(axis=1, keepdims=True))
    expected = rounded(decoder.decode_beams(log_probs))
    for logits in (
        KISHA,
        KISHA + 7.0,
        KISHA.astype(np.float64),
        log_probs.astype(np.float64),
        np.exp(log_probs),
        np.exp(log_probs.astype(np.float64)),
        torch.from_numpy(KISHA),
    ):
        assert rounded(decoder.decode_beams(logits)) == expected
    assert decoder.decode(KISHA.astype(np.float16)) == expected[0][0]
    assert decoder.decode(np.exp(log_probs).astype(np.float16)) == expected[0][0]
    certain = np.where(KISHA.max(axis=1, keepdims=True) == KISHA, 0.0, -np.inf)
    assert decoder.decode(certain) == expected[0][0]
    assert rounded(decoder.decode_beams(KISHA[:0])) == [("", None, [], 0.0, 0.0)]


def test_a_batch_is_its_utterances(decoder: BeamSearchDecoderCTC) -> None:
    arrays = [KISHA, THEIR, KISHA[:0], *[said(f"number {'o' * i}") for i in range(1, 20)]]
    single = [decoder.decode_beams(array, hotwords=["kesha"]) for array in arrays]
    batch = decoder.decode_beams_batch(None, arrays, hotwords=["kesha"])
    assert [rounded(beams) for beams in batch] == [
        [(text, *rest) for text, _, *rest in rounded(beams)] for beams in single
    ]
    texts = decoder.decode_batch(None, iter(arrays), hotwords=["kesha"])
    assert texts == [beams[0][0] for beams in single]
    assert decoder.decode_batch(None, np.stack([KISHA, KISHA])) == ["tell kisha smith"] * 2
    assert decoder.decode_batch(None, []) == decoder.decode_beams_batch(None, []) == []
    with pytest.warns(CtcbiasWarning, match="^pool has no effect"):
        assert decoder.decode_batch(object(), [KISHA]) == ["tell kisha smith"]


def test_what_has_no_effect_is_told(decoder: BeamSearchDecoderCTC, arpa: Path) -> None:
    for match, call in (
        ("lm_start_state", lambda: decoder.decode(KISHA, lm_start_state="tell")),
        ("lm_start_state", lambda: decoder.decode_beams(KISHA, lm_start_state="tell")),
        ("prune_history", lambda: decoder.decode_beams(KISHA, prune_history=True)),
        ("alpha", lambda: decoder.reset_params(alpha=1.0)),
        ("unigrams", lambda: build_ctcdecoder(LABELS, arpa, unigrams=WORDS)),
        ("alpha, beta", lambda: build_ctcdecoder(LABELS, alpha=0.7)),
    ):
        with pytest.warns(CtcbiasWarning, match=f"^{match}.* no effect") as told:
            call()
        assert [warning.filename for warning in told] == [__file__]


def test_words_that_were_hardly_heard_are_told(decoder: BeamSearchDecoderCTC) -> None:
    flat = np.random.default_rng(1).normal(0.0, 0.4, (40, len(LABELS)))
    with pytest.warns(CtcbiasWarning, match="^utterance 1: .* is left out: it was hardly heard$"):
        assert decoder.decode(flat) == ""
    kept = build_ctcdecoder(LABELS, settings={"decode.evidence": {"max_entropy": 1.0}})
    assert kept.decode(flat) != ""


def test_mistakes_are_told(decoder: BeamSearchDecoderCTC, tmp_path: Path) -> None:
    binary = tmp_path / "lm.bin"
    binary.write_bytes(b"mmap lm http://kheafield.com/code format version 5\n\0")
    for error, match, call in (
        (LogProbsError, "4 columns", lambda: decoder.decode(KISHA[:, :4])),
        (LogProbsError, r"\(1, 32, 30\)", lambda: decoder.decode(KISHA[None])),
        (LogProbsError, "int64", lambda: decoder.decode(KISHA.astype(np.int64))),
        (LogProbsError, "NaN", lambda: decoder.decode(KISHA * np.nan)),
        (EntityListError, "list of strings", lambda: decoder.decode(KISHA, hotwords="kesha")),
        (EntityListError, "found None", lambda: decoder.decode(KISHA, hotwords=[None])),
        (ConfigError, "hotword_weight", lambda: decoder.decode(KISHA, hotword_weight=-1)),
        (
            ConfigError,
            "^weight of the hotword 'kesha' must be a finite number, found None$",
            lambda: decoder.decode(KISHA, hotwords={"kesha": None}),
        ),
        (
            ConfigError,
            "'kesha' .* 0 or more",
            lambda: decoder.decode(KISHA, hotwords={"kesha": -1}),
        ),
        (EntityListError, "found 3", lambda: decoder.decode(KISHA, hotwords={3: 10})),
        (ConfigError, "beam_width", lambda: decoder.decode(KISHA, beam_width=0)),
        (ConfigError, "beam_prune_logp", lambda: decoder.decode(KISHA, beam_prune_logp=1)),
        (ConfigError, "token_min_logp", lambda: decoder.decode(KISHA, token_min_logp="a")),
        (ModelError, "list of strings", lambda: build_ctcdecoder("abc")),
        (ModelError, "'a' occurs", lambda: build_ctcdecoder(["", " ", "a", "a"])),
        (ModelError, "how words begin", lambda: build_ctcdecoder(["", "a"])),
        (LanguageModelError, "No such file", lambda: build_ctcdecoder(LABELS, "no.arpa")),
        (LanguageModelError, "binary model", lambda: build_ctcdecoder(LABELS, binary)),
        (ConfigError, "unknown key nbest", lambda: build_ctcdecoder(LABELS, settings={"nbest": 1})),
        (InputError, "no-folder", lambda: decoder.load_from_dir(tmp_path / "no-folder")),
    ):
        with pytest.raises(error, match=match):
            call()


def test_labels_with_their_columns_and_bounds(tmp_path: Path) -> None:
    columns = {label: column for column, label in reversed([*enumerate(LABELS)])}
    decoder = build_ctcdecoder(columns)
    assert decoder.decode(KISHA) == "tell kisha smith"
    assert decoder.decode(KISHA, beam_width=np.int64(50)) == "tell kisha smith"
    assert decoder.decode_beams(KISHA, beam_width=100_000)[0][0] == "tell kisha smith"
    (tmp_path / "file").write_text("x")
    for error, match, call in (
        (ModelError, "order of the columns.*found a set", lambda: build_ctcdecoder(set(LABELS))),
        (ModelError, "found a generator", lambda: build_ctcdecoder(label for label in LABELS)),
        (ModelError, "has 2 where 1 was", lambda: build_ctcdecoder({**columns, "<unk>": 9})),
        (ConfigError, "frame_seconds is 0;", lambda: build_ctcdecoder(LABELS, frame_seconds=0)),
        (ConfigError, "beam_width must be at", lambda: decoder.decode(KISHA, beam_width=10**9)),
        (ConfigError, "/proc/x: cannot be written", lambda: decoder.save_to_dir("/proc/x")),
        (ConfigError, "it is a file", lambda: decoder.save_to_dir(tmp_path / "file")),
        (ConfigError, "no path of a folder", lambda: decoder.save_to_dir(None)),
    ):
        with pytest.raises(error, match=match):
            call()


ALPHABETS = {
    ("<pad>", "<unk>", "|", "a"): (["", "⁇", " ", "a"], False),
    ("[PAD]", "|", " ", "a"): (["", "|", " ", "a"], False),
    (" ", "a", "'"): ([" ", "a", "'", ""], False),
    ("_", " ", "a"): (["", " ", "a"], False),
    ("_", "", " "): (["_", "", " "], False),
    ("<unk>", "▁a", "b", "▁"): (["▁⁇▁", "▁a", "b", "▁", ""], True),
    ("[UNK]", "a", "##b", "[CLS]"): (["▁⁇▁", "▁a", "b", "[CLS]", ""], True),
}


@pytest.mark.parametrize("labels", ALPHABETS)
def test_labels_are_what_they_are_to_pyctcdecode(labels: tuple[str, ...]) -> None:
    alphabet = Alphabet.build_alphabet(labels)
    assert (list(alphabet.labels), alphabet.is_bpe) == ALPHABETS[labels]
    assert Alphabet.loads(alphabet.dumps()) == alphabet


@pytest.mark.parametrize(
    ("labels", "path", "text"),
    [
        (["▁he", "llo", "▁the", "re", "<unk>"], [0, 1, 2, 3], "hello there"),
        (["he", "##llo", "the", "##re", "[UNK]"], [0, 1, 2, 3], "hello there"),
        ([" ", "h", "e"], [1, 2, 0, 2], "he e"),
        (["<s>", "|", "h", "e", "<blk>"], [0, 2, 3, 1, 3], "he e"),
        (["東", "京", "<pad>"], [0, 1], "東京"),
    ],
)
def test_words_of_every_kind_of_labels(labels: list[str], path: list[int], text: str) -> None:
    made = build_ctcdecoder(labels)
    columns = len(made._alphabet.labels)
    assert columns == len(labels) + (labels[-1] not in ("<blk>", "<pad>"))
    logits = np.full((2 * len(path), columns), -12.0, np.float32)
    logits[np.arange(0, 2 * len(path), 2), path] = 0.0
    logits[1::2, -1] = 0.0
    ((found, _, words, *_), *_) = made.decode_beams(logits)
    assert found == text
    assert [word for word, _ in words] == text.split()
    assert words[-1][1][1] == 2 * len(path) - 1


def test_a_decoder_is_saved_and_loaded(tmp_path: Path, arpa: Path) -> None:
    modelled = build_ctcdecoder(LABELS, arpa, beta=1.0)
    modelled.save_to_dir(tmp_path)
    BeamSearchDecoderCTC.load_from_dir(tmp_path).save_to_dir(tmp_path)
    expected = rounded(modelled.decode_beams(THEIR))
    for other in (
        BeamSearchDecoderCTC.load_from_dir(tmp_path),
        pickle.loads(pickle.dumps(modelled)),
    ):
        assert rounded(other.decode_beams(THEIR)) == expected
        assert "parts boost, g2g, lm" in repr(other)
    folder = tmp_path / "language_model"
    assert (folder / "unigrams.txt").read_text().split() == sorted(WORDS)
    (folder / "attrs.json").write_text(json.dumps({"alpha": 1.0, "omega": 1.0}))
    with pytest.raises(LanguageModelError, match="omega"):
        LanguageModel.load_from_dir(folder)
    (folder / "lm.arpa").unlink()
    with pytest.raises(LanguageModelError, match="found 0"):
        LanguageModel.load_from_dir(folder)
    (tmp_path / "alphabet.json").write_text("[]")
    with pytest.raises(ModelError, match="no alphabet"):
        BeamSearchDecoderCTC.load_from_dir(tmp_path)


def test_beside_pyctcdecode(decoder: BeamSearchDecoderCTC) -> None:
    reason = "pip install pyctcdecode to compare with it"
    peer = pytest.importorskip("pyctcdecode", reason=reason)
    assert isinstance(decoder, peer.BeamSearchDecoderCTC)
    assert isinstance(pickle.loads(pickle.dumps(decoder)), BeamSearchDecoderCTC)
    for labels, (expected, is_bpe) in ALPHABETS.items():
        alphabet = peer.Alphabet.build_alphabet(list(labels))
        assert (alphabet.labels, alphabet.is_bpe) == (expected, is_bpe)
    theirs = peer.build_ctcdecoder(LABELS)
    random = np.random.default_rng(0)
    for _ in range(15):
        log_probs = spoken(random, ["met", "tell", "kisha", "smith", "about"])
        found = rounded(decoder.decode_beams(log_probs))
        expected = rounded(theirs.decode_beams(log_probs))
        assert found[0][:3] == expected[0][:3]
        # A score of theirs is the sum of some alignments.
        assert expected[0][4] >= found[0][4] - 0.001 > expected[0][4] - 0.1
        assert {beam[0] for beam in expected[:3]} <= {beam[0] for beam in found}
    assert theirs.decode(KISHA, hotwords=["kesha"]) == decoder.decode(KISHA, hotwords=["kesha"])


def test_beside_pyctcdecode_with_a_language_model(arpa: Path, tmp_path: Path) -> None:
    peer = pytest.importorskip("pyctcdecode", reason="pip install pyctcdecode to compare with it")
    pytest.importorskip("kenlm", reason="pip install kenlm, which pyctcdecode needs")
    options = {"alpha": 0.7, "beta": 0.5, "unk_score_offset": -5.0}
    ours = build_ctcdecoder(LABELS, str(arpa), **options)
    theirs = peer.build_ctcdecoder(LABELS, str(arpa), WORDS, **options)
    random = np.random.default_rng(0)
    for _ in range(15):
        log_probs = spoken(random, WORDS)
        found, expected = ours.decode_beams(log_probs)[0], theirs.decode_beams(log_probs)[0]
        if found[0] == expected[0]:
            assert found[2] == expected[2]
            assert expected[4] + 0.001 >= found[4] > expected[4] - 0.1
        else:
            assert found[4] > expected[4]
    ours.save_to_dir(tmp_path / "saved")
    loaded = peer.BeamSearchDecoderCTC.load_from_dir(str(tmp_path / "saved"))
    assert loaded.decode(THEIR) == ours.decode(THEIR) == "their house"


def test_in_a_pipeline_of_hugging_face(tmp_path: Path) -> None:
    """A tiny untrained model: the pipeline hands over logits, and makes times of the frames."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        hf = pytest.importorskip("transformers", reason="pip install transformers")
        labels = ["<pad>", "<unk>", "|", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ'"]
        path = tmp_path / "vocab.json"
        path.write_text(json.dumps({label: column for column, label in enumerate(labels)}))
        tokenizer = hf.Wav2Vec2CTCTokenizer(str(path), bos_token=None, eos_token=None)
        features = hf.Wav2Vec2FeatureExtractor()
        # Without this the pipeline leaves the decoder out, in silence.
        features._set_processor_class("Wav2Vec2ProcessorWithLM")
        torch.manual_seed(0)
        config = hf.Wav2Vec2Config(
            vocab_size=len(labels),
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            conv_dim=(8,) * 7,
            num_conv_pos_embeddings=16,
            num_conv_pos_embedding_groups=2,
        )
        model = hf.Wav2Vec2ForCTC(config).eval()
        with torch.no_grad():
            model.lm_head.weight.mul_(60.0)
        decoder = build_ctcdecoder(labels)
        recognise = hf.pipeline(
            "automatic-speech-recognition",
            model=model,
            tokenizer=tokenizer,
            feature_extractor=features,
            decoder=decoder,
            device=-1,
        )
        audio = np.random.default_rng(0).normal(size=32000).astype(np.float32)
        with torch.no_grad():
            inputs = features(audio, sampling_rate=16000, return_tensors="pt")
            logits = model(**inputs).logits.numpy()
        assert recognise.type == "ctc_with_lm"
        text, _, words, *_ = decoder.decode_beams(logits[0])[0]
        found = recognise(audio.copy(), return_timestamps="word")
        assert found["text"] == text != ""
        assert [(one["text"], one["timestamp"]) for one in found["chunks"]] == [
            (word, (round(begin * 0.02, 2), round(end * 0.02, 2))) for word, (begin, end) in words
        ]
        pieces = recognise(
            audio.copy(), chunk_length_s=1, decoder_kwargs={"hotwords": ["QQ"], "beam_width": 50}
        )
        assert isinstance(pieces["text"], str)
        pytest.importorskip("pyctcdecode", reason="pip install pyctcdecode: the processor needs it")
        processor = hf.Wav2Vec2ProcessorWithLM(features, tokenizer, decoder)
        assert processor.language_model is None
        assert processor.decode(logits[0]).text == text
        assert processor.batch_decode(logits).text == [text]
        offsets = processor.decode(logits[0], output_word_offsets=True).word_offsets
        assert [(one["start_offset"], one["end_offset"]) for one in offsets] == [
            frames for _, frames in words
        ]
        processor.save_pretrained(tmp_path)
        assert BeamSearchDecoderCTC.load_from_dir(tmp_path).decode(logits[0]) == text

"""CTC models of Hugging Face, compared with what transformers itself makes of them."""

from __future__ import annotations

import json
import logging
import pickle
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_hugging_face import (
    CHARACTERS,
    FAMILIES,
    LETTERS,
    noise,
    save,
    scored_by_transformers,
    transformers,
)

from ctcbias_fst import Recognizer
from ctcbias_fst.audio.audio import Recording
from ctcbias_fst.errors import CtcbiasWarning, MissingDependencyError, ModelError
from ctcbias_fst.models import hugging_face
from ctcbias_fst.models.adapted import ADAPTER_FILE
from ctcbias_fst.models.find import identity_of, load_model, load_tokenizer
from ctcbias_fst.models.hugging_face_tokens import PieceTokenizer
from ctcbias_fst.models.phone_listener import phone_listener
from ctcbias_fst.models.scored import ScoredModel
from ctcbias_fst.text.phones import PHONES
from ctcbias_fst.text.token_marks import WordBoundary
from ctcbias_fst.text.tokens import SentencePieceTokenizer
from ctcbias_fst.text.train_tokenizer import train_tokenizer

# What the library's newest versions and torch's tell each other.
pytestmark = pytest.mark.filterwarnings("ignore:Support for mismatched:UserWarning")

SAFE = {"wav2vec2", "hubert", "wavlm", "unispeech", "unispeech-sat", "wav2vec2-bert"}
"""Families in which padding changes nothing, where they are given a mask and norm by layer."""


def recording(seconds: float, rate: int = 16000, seed: int = 0) -> Recording:
    return Recording(f"{seconds} s", noise(seconds, rate, seed), rate)


def loaded(path: Path, language: str | None = None) -> ScoredModel:
    model = load_model(path, language=language)
    assert isinstance(model, ScoredModel)
    return model


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_gives_what_transformers_gives(tmp_path: Path, family: str) -> None:
    """Alone, and among others, batched or not; to the end of each."""
    model = loaded(save(tmp_path, family))
    recordings = [recording(s, seed=i) for i, s in enumerate((0.7, 2.0, 1.31))]
    assert (model.family, model.frame_seconds) == (f"{family} (Hugging Face)", 0.02)
    assert model.scorer.batches is (family in SAFE)
    together = model.log_probs(recordings)
    for i, one in enumerate(recordings):
        expected = scored_by_transformers(tmp_path, one.samples)
        found = together.log_probs[i, : together.lengths[i]].numpy()
        assert expected.std(axis=0).min() > 0.01  # frames differ, or else this tests nothing
        # What is half padding behind the last feature of w2v-BERT is no frame by its own account.
        assert len(expected) - len(found) <= (family == "wav2vec2-bert")
        np.testing.assert_allclose(found, expected[: len(found)], atol=2e-3)


def test_group_norm_is_not_batched(tmp_path: Path) -> None:
    """Of wav2vec2-base, whose result padding changes."""
    model = loaded(save(tmp_path, mask=False))
    recordings = [recording(s, seed=i) for i, s in enumerate((0.7, 2.0))]
    together = model.log_probs(recordings)
    for i, one in enumerate(recordings):
        found = together.log_probs[i, : together.lengths[i]].numpy()
        np.testing.assert_allclose(found, scored_by_transformers(tmp_path, one.samples), atol=1e-4)
    assert not model.scorer.batches
    alone = model.scorer.scores([recordings[0].samples])[0]
    padded = model.scorer.scores([one.samples for one in recordings])[0]
    assert (alone - padded).abs().max() > 0.1  # so that it matters


def test_group_norm_with_a_mask_is_not_batched(tmp_path: Path) -> None:
    assert not loaded(save(tmp_path, feat_extract_norm="group")).scorer.batches


@pytest.mark.parametrize("rate", [8000, 16000, 22050])
def test_the_sampling_rate_is_the_preprocessors(tmp_path: Path, rate: int) -> None:
    model = loaded(save(tmp_path, rate=rate))
    assert model.sampling_rate == rate
    assert model.frame_seconds == pytest.approx(320 / rate)
    samples = noise(1.0, rate)
    found = model.log_probs([Recording("a", samples, rate)]).log_probs[0].numpy()
    np.testing.assert_allclose(found, scored_by_transformers(tmp_path, samples, rate), atol=1e-4)


def test_frames_of_an_adapter_layer_are_longer(tmp_path: Path) -> None:
    """`add_adapter` halves the frames of w2v-BERT: inputs_to_logits_ratio does not tell."""
    options = {"add_adapter": True, "num_adapter_layers": 1, "adapter_stride": 2}
    for family in ("wav2vec2", "wav2vec2-bert"):
        model = loaded(save(tmp_path / family, family, **options))
        assert model.frame_seconds == pytest.approx(0.04)
        found = model.log_probs([recording(2.0)])
        assert len(scored_by_transformers(tmp_path / family, noise(2.0))) == found.lengths[0]


def test_without_lengths_the_frame_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hugging_face, "_LENGTHS", ("_no_such_function",))
    model = loaded(save(tmp_path))
    assert model.frame_seconds == pytest.approx(0.02)
    assert not model.scorer.batches
    found = model.log_probs([recording(1.0), recording(0.5)])
    assert found.lengths.tolist() == [49, 24]


def test_short_and_long_and_silent(tmp_path: Path) -> None:
    for family in ("wav2vec2", "sew", "wav2vec2-bert"):
        model = loaded(save(tmp_path / family, family))
        silence = Recording("silence", np.zeros(3200, np.float32), 16000)
        found = model.log_probs([recording(0.0), recording(0.0001), silence, recording(65.0)])
        assert torch.isfinite(found.log_probs).all()
        assert found.lengths[0] == 0
        assert found.lengths[1] >= 1
        assert abs(int(found.lengths[3]) - 65 * 50) <= 2


def test_windows_of_long_audio_meet(tmp_path: Path) -> None:
    """Where neither attention nor norm reach over the whole, windows give what the whole gives."""
    model = loaded(save(tmp_path, num_hidden_layers=0))
    long = recording(65.0)
    model.scorer.extractor.do_normalize = False  # type: ignore[attr-defined]
    parts = model.log_probs([long])
    model.scorer.longest_seconds = 100.0  # type: ignore[misc]
    whole = model.log_probs([long])
    assert parts.lengths.tolist() == whole.lengths.tolist()
    assert (parts.log_probs - whole.log_probs).abs().max() < 0.05


def test_half_precision_is_computed_in_single(tmp_path: Path) -> None:
    save(tmp_path / "whole")
    folder = save(tmp_path / "half")
    path = folder / "model.safetensors"
    weights = {k: v.half() for k, v in load_file(path).items()}
    save_file(weights, path, {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "torch_dtype": "float16"}))
    found = loaded(folder).log_probs([recording(1.0)]).log_probs
    expected = loaded(tmp_path / "whole").log_probs([recording(1.0)]).log_probs
    assert found.dtype == torch.float32
    assert 0 < (found - expected).abs().max() < 0.1


def test_names_of_weight_norm_are_of_either_torch(tmp_path: Path) -> None:
    """torch 2 calls two weights otherwise: a model saved by either is read by either."""
    expected = loaded(save(tmp_path)).log_probs([recording(1.0)]).log_probs
    path = tmp_path / "model.safetensors"
    one, other = ("weight_g", "weight_v"), ("original0", "original1")
    pairs = [(a, f"parametrizations.weight.{b}") for a, b in zip(one, other)]
    weights = load_file(path)
    if any(name.endswith("original0") for name in weights):
        pairs = [(b, a) for a, b in pairs]
    renamed = {}
    for name, value in weights.items():
        for old, new in pairs:
            name = name.replace(old, new)  # noqa: PLW2901
        renamed[name] = value
    assert renamed.keys() != weights.keys()
    save_file(renamed, path, {"format": "pt"})
    found = loaded(tmp_path).log_probs([recording(1.0)]).log_probs
    torch.testing.assert_close(found, expected)


# Tokens


def test_the_blank_is_the_pad_token_wherever_it_is(tmp_path: Path) -> None:
    vocabulary = {token: i for i, token in enumerate([*LETTERS, "[UNK]", "[PAD]"])}
    names = {"unk_token": "[UNK]", "pad_token": "[PAD]"}
    save(tmp_path, vocabulary=vocabulary, tokenizer=names, columns=len(vocabulary))
    model = loaded(tmp_path)  # <s> and </s> lie beyond the last column, and are not missed
    known = model.tokenizer.vocabulary
    assert known.tokens == tuple(vocabulary)
    assert (known.blank_id, known.unk_id, model.blank_known) == (29, 28, True)
    assert known.boundary is WordBoundary.SEPARATOR
    assert known.separator_id == 0


def test_where_tokenizer_and_config_disagree_the_decoder_looks(tmp_path: Path) -> None:
    save(tmp_path, pad_token_id=5)
    with pytest.warns(
        CtcbiasWarning,
        match=r"column 0 \('<pad>'\) by its tokenizer .* taken, and column 5 \('a'\)",
    ):
        model = loaded(tmp_path)
    assert model.tokenizer.vocabulary.blank_id == 0
    assert not model.blank_known


def test_a_separator_that_is_not_known_is_named_as_the_message_says(tmp_path: Path) -> None:
    vocabulary = {token: i for i, token in enumerate(["<pad>", "<unk>", "_", *"abcdefghijklmn"])}
    files = {"vocabulary": vocabulary, "columns": len(vocabulary)}
    save(tmp_path, tokenizer={"word_delimiter_token": "|"}, **files)
    with pytest.raises(ModelError, match="how words begin.*tokenizer_config.json, .word_delimiter"):
        load_tokenizer(tmp_path)
    save(tmp_path, tokenizer={"word_delimiter_token": "_"}, **files)
    known = load_tokenizer(tmp_path).vocabulary
    assert known.boundary is WordBoundary.SEPARATOR
    assert known.separator_id == 2


def test_capitals_and_separators_of_their_own(tmp_path: Path) -> None:
    vocabulary = {
        token: i for i, token in enumerate(["__PAD__", "__BOS__", "_", *"ABCDEFGHIJKLMNOPQRST"])
    }
    names = {"pad_token": "__PAD__", "bos_token": "__BOS__", "eos_token": "__BOS__"}
    save(
        tmp_path,
        vocabulary=vocabulary,
        tokenizer={**names, "unk_token": "__PAD__", "word_delimiter_token": "_"},
        columns=len(vocabulary),
    )
    tokenizer = loaded(tmp_path).tokenizer
    known = tokenizer.vocabulary
    assert known.upper_case
    assert known.separator_id == 2
    assert known.special.tolist()[:2] == [True, True]  # never entered by a name
    assert known.ids_to_words(tokenizer.encode("keith has")) == ["KEITH", "HAS"]


def test_columns_without_tokens_write_nothing(tmp_path: Path) -> None:
    save(tmp_path, columns=34)
    with pytest.warns(CtcbiasWarning, match="no tokens for columns 32, 33"):
        model = loaded(tmp_path)
    assert model.tokenizer.vocabulary.special[-2:].all()
    assert model.log_probs([recording(0.5)]).log_probs.shape[-1] == 34


@pytest.mark.parametrize(("columns", "told"), [(20, "'p' (and 11 more) has none"), (60, "60")])
def test_a_tokenizer_of_another_model(tmp_path: Path, columns: int, told: str) -> None:
    save(tmp_path, columns=columns, pad_token_id=0)
    with pytest.raises(ModelError, match="tokenizer of another model") as error:
        loaded(tmp_path)
    assert told in str(error.value)


def pieces(folder: Path) -> dict[str, int]:
    """Give a folder a tokenizer.json of pieces, as Parakeet has; returns its tokens."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers  # noqa: PLC0415

    made = Tokenizer(models.BPE(unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    texts = ["the cat sat on the mat", "keisha smith said the rest"] * 3
    trainer = trainers.BpeTrainer(vocab_size=50, special_tokens=["<unk>"], show_progress=False)
    made.train_from_iterator(texts, trainer)
    made.add_special_tokens(["<pad>"])
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, unk_token="<unk>", pad_token="<pad>"
    )
    (folder / "vocab.json").unlink(missing_ok=True)
    fast.save_pretrained(folder)
    return dict(fast.get_vocab())


def test_pieces_are_cut_as_the_model_was_trained(tmp_path: Path) -> None:
    tokens = pieces(tmp_path)
    save(tmp_path, columns=len(tokens), pad_token_id=tokens["<pad>"])
    for name in ("vocab.json", "tokenizer_config.json", "special_tokens_map.json"):
        (tmp_path / name).unlink(missing_ok=True)
    (tmp_path / "added_tokens.json").unlink(missing_ok=True)
    assert pieces(tmp_path) == tokens
    tokenizer = loaded(tmp_path).tokenizer
    assert isinstance(tokenizer, PieceTokenizer)
    own = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for text in ("keisha smith", "the rest", "tame teams", "a"):
        assert tokenizer.encode(text) == own(text, add_special_tokens=False).input_ids
    assert tokenizer.vocabulary.blank_id == tokens["<pad>"]
    assert tokenizer.encode("xyz") == []  # letters that it lacks are not its unknown token
    assert set(tokenizer.uncovered("xylo")) == {"x", "y", "l"}
    best, *others = tokenizer.encode_nbest(["keisha"], 3)[0]
    assert best == (tokenizer.encode("keisha"), 0.0)
    assert len(others) == 2
    assert all(
        tokenizer.vocabulary.ids_to_words(ids) == ["keisha"] and cost >= 0 for ids, cost in others
    )


def test_byte_level_pieces_are_read(tmp_path: Path) -> None:
    """Words of ASCII are written; names are cut as behind another word."""
    from tokenizers import ByteLevelBPETokenizer  # noqa: PLC0415

    made = ByteLevelBPETokenizer()
    texts = ["the cat sat on the mat", "keisha smith said the rest"] * 3
    made.train_from_iterator(texts, vocab_size=300, special_tokens=["<pad>"], show_progress=False)
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=made._tokenizer, pad_token="<pad>")
    size = len(fast.get_vocab())
    save(tmp_path, columns=size, pad_token_id=0)
    for name in ("vocab.json", "tokenizer_config.json", "special_tokens_map.json"):
        (tmp_path / name).unlink(missing_ok=True)
    (tmp_path / "added_tokens.json").unlink(missing_ok=True)
    fast.save_pretrained(tmp_path)
    with pytest.warns(CtcbiasWarning, match="only letters of ASCII are written.* (and .* more)"):
        tokenizer = loaded(tmp_path).tokenizer
    known = tokenizer.vocabulary
    assert (known.boundary, known.blank_id, known.size) == (WordBoundary.PREFIX, 0, size)
    assert tokenizer.encode("keisha smith") == fast(" keisha smith").input_ids
    assert known.ids_to_words(tokenizer.encode("keisha rests")) == ["keisha", "rests"]
    # Merged in the order that was learnt, and not into the fewest pieces.
    assert tokenizer.encode("hatotd") == fast(" hatotd").input_ids != fast("hatotd").input_ids


def test_columns_that_make_the_size_round_write_nothing(tmp_path: Path) -> None:
    save(tmp_path, columns=40, pad_token_id=0)
    path = tmp_path / "model.safetensors"
    weights = load_file(path)
    weights["lm_head.bias"][35] = 1e4
    save_file(weights, path, {"format": "pt"})
    told = "32 tokens and the model 40 columns, of which those without tokens are the best ones in"
    with (
        pytest.warns(CtcbiasWarning, match="no tokens for columns 32"),
        pytest.raises(ModelError, match=told),
    ):
        loaded(tmp_path)
    weights["lm_head.bias"][32:] = -1e4
    save_file(weights, path, {"format": "pt"})
    with pytest.warns(CtcbiasWarning, match="no tokens for columns 32, .*: they write nothing"):
        known = loaded(tmp_path).tokenizer.vocabulary
    assert (known.size, known.special[32:].all()) == (40, True)


def test_a_sentencepiece_model_cuts_names(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("the cat sat on the mat\nkeisha smith said the rest\n" * 40)
    train_tokenizer([text], tmp_path / "tokenizer.model", 21)
    import sentencepiece  # noqa: PLC0415

    processor = sentencepiece.SentencePieceProcessor(str(tmp_path / "tokenizer.model"))
    columns = [processor.id_to_piece(i) for i in range(processor.get_piece_size())]
    vocabulary = {token: i for i, token in enumerate([*columns, "<pad>"])}
    folder = save(
        tmp_path / "model",
        vocabulary=vocabulary,
        columns=len(vocabulary),
        tokenizer={"word_delimiter_token": None},
    )
    (tmp_path / "tokenizer.model").rename(folder / "tokenizer.model")
    tokenizer = loaded(folder).tokenizer
    assert isinstance(tokenizer, SentencePieceTokenizer)
    assert tokenizer.vocabulary.boundary is WordBoundary.PREFIX
    assert tokenizer.vocabulary.blank_id == len(columns)
    assert tokenizer.encode("keisha smith") == processor.encode("keisha smith")


def test_phones_stand_alone(tmp_path: Path) -> None:
    """Of models whose tokenizer would want a program to make phones of text (phonemizer)."""
    phones = ["<pad>", "<s>", "</s>", "<unk>", *"ptkbdgmnszʃʒθðŋɹlwjhiɪeɛæɑɔʊuəʌ", "tʃ", "dʒ", "aɪ"]
    save(tmp_path, vocabulary={one: i for i, one in enumerate(phones)}, columns=len(phones))
    path = tmp_path / "tokenizer_config.json"
    content = json.loads(path.read_text())
    content.update(tokenizer_class="Wav2Vec2PhonemeCTCTokenizer", word_delimiter_token=None)
    path.write_text(json.dumps(content))
    vocabulary = load_tokenizer(tmp_path, lexicon="none").vocabulary
    assert vocabulary.boundary is WordBoundary.NONE
    assert vocabulary.tokens == tuple(phones)
    found = phone_listener(tmp_path).phone_log_probs([recording(1.0)])
    assert found.log_probs.shape[-1] == 1 + len(PHONES)


# Several languages


def several(folder: Path) -> Path:
    """A model of two languages, with an adapter each, as MMS has them."""
    english = CHARACTERS
    turkish = {
        t: i for i, t in enumerate([*list(CHARACTERS)[:5], *"abcçdefgğhıijklmnoöprsştuüvyz"])
    }
    save(
        folder,
        vocabulary={"eng": english, "tur": turkish},
        columns=len(english),
        tokenizer={"target_lang": "eng"},
        adapter_attn_dim=4,
    )
    torch.manual_seed(7)
    model = transformers.AutoModelForCTC.from_pretrained(folder)
    for language, size in (("eng", len(english)), ("tur", len(turkish))):
        weights = {name: torch.randn_like(one) for name, one in model._get_adapters().items()}
        weights["lm_head.weight"] = torch.randn(size, 16)
        weights["lm_head.bias"] = torch.randn(size)
        save_file(weights, folder / f"adapter.{language}.safetensors", {"format": "pt"})
    return folder


def test_the_language_of_a_model_of_several(tmp_path: Path) -> None:
    several(tmp_path)
    model = loaded(tmp_path, "tur")
    assert "ş" in model.tokenizer.vocabulary.tokens
    own = transformers.Wav2Vec2ForCTC.from_pretrained(
        tmp_path, target_lang="tur", ignore_mismatched_sizes=True
    ).eval()
    extractor = transformers.AutoFeatureExtractor.from_pretrained(tmp_path)
    inputs = extractor(noise(1.0), sampling_rate=16000, return_tensors="pt")
    with torch.no_grad():
        expected = own(**inputs).logits.log_softmax(-1)
    found = model.log_probs([recording(1.0)]).log_probs
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    default = loaded(tmp_path)
    assert default.tokenizer.vocabulary.tokens == tuple(CHARACTERS)
    expected = scored_by_transformers(tmp_path, noise(1.0))
    np.testing.assert_allclose(
        default.log_probs([recording(1.0)]).log_probs[0].numpy(), expected, atol=1e-4
    )
    for language, size in (("tur", len(model.tokenizer.vocabulary.tokens)), (None, 32)):
        tokenizer = load_tokenizer(tmp_path, language=language)
        assert tokenizer.vocabulary.size == size


@pytest.mark.parametrize(
    ("language", "told"),
    [("turk", "did you mean tur?"), ("xx", "there are eng, tur"), ("tur", "adapter.tur.safeten")],
)
def test_a_language_that_is_not_there(tmp_path: Path, language: str, told: str) -> None:
    several(tmp_path)
    (tmp_path / "adapter.tur.safetensors").unlink()
    with pytest.raises(ModelError) as error:
        loaded(tmp_path, language)
    assert told in str(error.value)


def test_a_language_must_be_said_where_the_model_does_not(tmp_path: Path) -> None:
    several(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    content = json.loads(path.read_text())
    content.pop("target_lang")
    path.write_text(json.dumps(content))
    with pytest.raises(ModelError, match=r"2 languages: say which .*--language.* eng, tur"):
        loaded(tmp_path)
    with pytest.raises(ModelError, match="the model is of one language"):
        loaded(save(tmp_path / "one"), "eng")


# The whole way


def test_from_a_folder_to_a_transcript_with_a_name(tmp_path: Path) -> None:
    folder = save(tmp_path, "unispeech-sat")
    settings = {"parts": "boost", "decode.boost.beta": 4.0}
    recognizer = Recognizer.from_pretrained(folder, settings=settings)
    again = pickle.loads(pickle.dumps(recognizer))
    samples = noise(2.0)
    log_probs = scored_by_transformers(folder, samples)
    heard = recognizer.decoder.decode(log_probs)[0].best.text
    texts = set()
    for entities in (None, [heard[:20] + heard[22:], "zoe"]):  # a name that sounds like it
        found = recognizer.transcribe(samples, sampling_rate=16000, entities=entities)
        (expected,) = recognizer.decoder.decode(log_probs, entities=entities)
        other = again.transcribe(samples, sampling_rate=16000, entities=entities)
        assert found.best.text == expected.best.text == other.best.text
        texts.add(found.best.text)
    assert len(texts) == 2


# What is wrong with a folder, in one line


def changed(name: str, **content: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / name
        path.write_text(json.dumps({**json.loads(path.read_text()), **content}))

    return change


def without(*names: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return change


def cut(name: str, size: int) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / name
        path.write_bytes(path.read_bytes()[:size])

    return change


def pointer(folder: Path) -> None:
    text = "version about/git-lfs/spec\noid sha256:0\nsize 377664473\n"
    (folder / "model.safetensors").write_text(text)


def sharded(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    index = {"weight_map": {"a": "model-1-of-2.safetensors", "b": "model-2-of-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "model-1-of-2.safetensors").write_bytes(b"")


def headless(folder: Path) -> None:
    path = folder / "model.safetensors"
    weights = {k: v for k, v in load_file(path).items() if not k.startswith("lm_head")}
    save_file(weights, path, {"format": "pt"})


WRONG: dict[str, tuple[Callable[[Path], None], str]] = {
    "seq2seq": (
        changed(
            "config.json", model_type="whisper", architectures=["WhisperForConditionalGeneration"]
        ),
        r"a sequence-to-sequence model \(WhisperFor.*with a CTC head.*your-model",
    ),
    "transducer": (
        changed("config.json", model_type="parakeet_tdt", architectures=["ParakeetForTDT"]),
        "is a transducer",
    ),
    "language model": (
        changed("config.json", model_type="gpt2", architectures=["GPT2LMHeadModel"]),
        "is a language model",
    ),
    "encoder": (
        changed("config.json", model_type="bert", architectures=["BertModel"]),
        "a model of the type bert",
    ),
    "pretrained": (
        changed("config.json", architectures=["Wav2Vec2ForPreTraining"]),
        "pretrained only",
    ),
    "no head": (changed("config.json", architectures=["Wav2Vec2Model"]), "has no CTC head"),
    "no head in the weights": (headless, r"lack 2 .*\(lm_head.bias\).*not trained for CTC"),
    "newer": (
        changed("config.json", model_type="wav2vec9", architectures=["Wav2Vec9ForCTC"]),
        "knows no models of the type 'wav2vec9': pip install -U transformers",
    ),
    "no type": (lambda folder: (folder / "config.json").write_text("{}") and None, "no model_type"),
    "bad config": (cut("config.json", 50), "config.json.*download it again"),
    "half weights": (cut("model.safetensors", 9000), "cannot be read .*half downloaded"),
    "empty weights": (cut("model.safetensors", 0), "cannot be read"),
    "pointer": (pointer, "pointer of git-lfs.*git lfs pull"),
    "no weights": (without("model.safetensors"), "no weights .*not downloaded completely"),
    "half of the files": (sharded, "model-2-of-2.safetensors is missing, one of 2 files"),
    "no preprocessor": (without("preprocessor_config.json"), "no preprocessor_config.json"),
    "no tokenizer": (without("vocab.json", "tokenizer_config.json"), "has no tokenizer"),
    "bad tokenizer": (cut("vocab.json", 50), "vocab.json.*download it again"),
    "bad preprocessor": (cut("preprocessor_config.json", 50), "preprocessor_config.json.*download"),
    "another preprocessor": (
        changed("preprocessor_config.json", feature_extractor_type="WhisperFeatureExtractor"),
        "makes input_features, and the model takes input_values",
    ),
    **{
        f"rate {rate}": (
            changed("preprocessor_config.json", sampling_rate=rate),
            rf"preprocessor_config.json: a sampling rate of {rate}( Hz)? (cannot be|is no whole)",
        )
        for rate in (0, -1, None, 10**9, 1.5)
    },
    "stereo": (
        changed("preprocessor_config.json", feature_size=2),
        "preprocessor_config.json: its feature_size is 2, and the model takes samples",
    ),
    "no stride": (
        changed("config.json", conv_stride=[0] * 7),
        "the model failed on 1 s of noise, .*: ZeroDivisionError",
    ),
    **{
        f"{key} {value}": (changed("config.json", **{key: value}), "its config.json cannot be read")
        for key, value in (("conv_stride", [5, 2]), ("inputs_to_logits_ratio", 320))
    },
    "adapter that is a folder": (
        lambda folder: (folder / ADAPTER_FILE).mkdir(),
        "ctcbias_adapter.safetensors: is no file",
    ),
    "other sizes": (changed("config.json", vocab_size=33), "not those of its config.json"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_with_a_folder_is_one_line(
    tmp_path: Path, what: str, capfd: pytest.CaptureFixture[str]
) -> None:
    change, told = WRONG[what]
    change(save(tmp_path))
    capfd.readouterr()
    with pytest.raises(ModelError, match=told) as error:
        loaded(tmp_path)
    assert str(error.value).startswith(str(tmp_path))
    assert "\n" not in str(error.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("file", ["tokenizer_config.json", "preprocessor_config.json"])
def test_code_that_comes_with_a_model_is_never_run(
    tmp_path: Path, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even if somebody says yes."""
    folder = save(tmp_path / "model", "hubert")
    said = json.loads((folder / file).read_text())
    kind = "AutoTokenizer" if file.startswith("tok") else "AutoFeatureExtractor"
    said["auto_map"] = {kind: ["evil.Evil", None] if file.startswith("tok") else "evil.Evil"}
    said["tokenizer_class" if file.startswith("tok") else "feature_extractor_type"] = "Evil"
    (folder / file).write_text(json.dumps(said))
    ran = tmp_path / "ran"
    (folder / "evil.py").write_text(f"open({str(ran)!r}, 'w')\nclass Evil:\n    pass\n")
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    with pytest.raises(
        ModelError, match="needs code that comes with the model .* never run"
    ) as told:
        loaded(folder)
    assert "\n" not in str(told.value)
    assert not ran.exists()


def test_loading_is_quiet_and_leaves_the_library_as_it_was(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = save(tmp_path)
    told = transformers.utils.logging
    before = told.get_verbosity()
    told.set_verbosity(logging.INFO)
    try:
        capfd.readouterr()
        model = loaded(folder)
        assert told.get_verbosity() == logging.INFO
        assert told.is_progress_bar_enabled()
        model.log_probs([recording(0.5), recording(1.0)])
        assert capfd.readouterr() == ("", "")
    finally:
        told.set_verbosity(before)


def test_a_name_on_the_hub_without_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub  # noqa: PLC0415

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(ModelError, match="somebody/speech: no such folder.*name its folder"):
        load_model("somebody/speech")


def test_a_name_on_the_hub_is_its_cached_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub  # noqa: PLC0415

    folder = save(tmp_path)
    asked: list[Any] = []

    def snapshot_download(name: str, allow_patterns: list[str]) -> str:
        asked.append((name, allow_patterns))
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    assert loaded(Path("somebody/speech")).family == "wav2vec2 (Hugging Face)"
    assert identity_of(Path("somebody/speech")) == identity_of(folder)
    (name, patterns), _ = asked
    assert name == "somebody/speech"
    assert "model*.safetensors" in patterns


def test_without_transformers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save(tmp_path)
    for name in [one for one in sys.modules if one.partition(".")[0] == "transformers"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'ctcbias_fst\[hf\]'"):
        load_model(folder)


def test_a_package_that_the_preprocessor_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def needing(*args: Any, **options: Any) -> None:
        raise ImportError("\nFooExtractor requires the librosa library but it was not found")

    folder = save(tmp_path)
    monkeypatch.setattr(transformers.AutoFeatureExtractor, "from_pretrained", needing)
    with pytest.raises(MissingDependencyError, match="needs librosa: pip install librosa"):
        loaded(folder)


@pytest.mark.parametrize(
    "said",
    [
        "\nAutoModelForCTC requires the PyTorch library but it was not found in your environment.",
        "\nAutoModelForCTC requires PyTorch >= 2.6, but PyTorch was not found or an older version",
    ],
)
def test_a_transformers_that_does_not_go_with_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    """It then has stand-ins of its classes, which raise this."""

    def needing(*args: Any, **options: Any) -> None:
        raise ImportError(said)

    folder = save(tmp_path)
    monkeypatch.setattr(transformers.AutoModelForCTC, "from_pretrained", needing)
    told = rf"transformers {transformers.__version__} does not work with torch.*transformers<4.46"
    with pytest.raises(MissingDependencyError, match=told):
        loaded(folder)


def test_a_language_model_in_the_folder_is_told(tmp_path: Path) -> None:
    """It is not used unasked, and told where the part is there and no other one is named."""
    save(tmp_path)
    arpa = tmp_path / "language_model" / "2gram.arpa"
    arpa.parent.mkdir()
    grams = "\\data\\\nngram 1=3\n\n\\1-grams:\n-1 <s>\n-1 </s>\n-1 the\n\n\\end\\\n"
    arpa.write_text(grams)
    with pytest.warns(CtcbiasWarning, match=r"2gram.arpa: this .* is not used: name it \(--lm, lm"):
        Recognizer.from_pretrained(tmp_path, phones=None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Recognizer.from_pretrained(tmp_path, phones=None, lm=arpa)
        Recognizer.from_pretrained(tmp_path, phones=None, settings={"parts": "boost"})

"""Models whose tokens are phones, of Hugging Face and ONNX: audio to words through a lexicon."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from click.testing import CliRunner, Result
from tiny_hugging_face import CHARACTERS, noise, save, transformers

from ctcbias_fst import Decoder, Recognizer
from ctcbias_fst.audio.audio import to_recording
from ctcbias_fst.cli import main
from ctcbias_fst.errors import ConfigError, CtcbiasWarning, InputError, ModelError
from ctcbias_fst.model_info import model_info
from ctcbias_fst.models.find import _tokenizer_alone, load_for_streams, load_model, load_tokenizer
from ctcbias_fst.models.phone_listener import phone_listener
from ctcbias_fst.text.phone_tokens import PhoneTokens
from ctcbias_fst.text.phones import PHONES
from ctcbias_fst.text.vocabulary import Vocabulary
from ctcbias_fst.variants.phone_models import (
    lexicon_with_english,
    phone_tokenizer,
    with_lexicon,
)

pytestmark = pytest.mark.filterwarnings("ignore:Support for mismatched:UserWarning")

IPA = ["<pad>", "<s>", "</s>", "<unk>", *"ptkbdgmnszʃʒθðŋɹlwjhfviɪeɛæɑɔʊuəʌɚ", "tʃ", "dʒ", "aɪ",
       "aʊ", "eɪ", "oʊ", "ɔɪ"]  # fmt: skip
SAID = "k eɪ ʃ ə s i z ð ə b eɪ"
LEXICON = "the ð ə\nsees s i z\nbay b eɪ\nanna æ n ə\nkey k i\nin ɪ n\n"
TEXT = "Keisha sees the bay"


def _labels(spoken: str) -> list[int]:
    """A frame of 40 ms for each phone, and a blank after each."""
    return [0, *(column for phone in spoken.split() for column in (IPA.index(phone), 0))]


def hugging_face(folder: Path, samples: np.ndarray, spoken: str = SAID) -> Path:
    """A model that hears these phones in this recording; its last layer is solved for it."""
    save(folder, vocabulary={one: i for i, one in enumerate(IPA)}, columns=len(IPA), hidden_size=64)
    path = folder / "tokenizer_config.json"
    content = json.loads(path.read_text())
    content.update(tokenizer_class="Wav2Vec2PhonemeCTCTokenizer", word_delimiter_token=None)
    path.write_text(json.dumps(content))
    model = transformers.AutoModelForCTC.from_pretrained(folder).eval()
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
    with torch.no_grad():
        inputs = extractor(samples, sampling_rate=16000, return_tensors="pt")
        hidden = model.wav2vec2(**inputs)[0][0]
        wanted = torch.full((len(hidden), len(IPA)), 0.0)
        wanted[torch.arange(len(hidden)), torch.tensor(_labels(spoken)).repeat_interleave(2)] = 8.0
        model.lm_head.weight.copy_(torch.linalg.lstsq(hidden, wanted, driver="gelsd").solution.T)
        model.lm_head.bias.zero_()
    model.save_pretrained(folder)
    return folder


def onnx(folder: Path, samples: np.ndarray, spoken: str = SAID) -> Path:
    """A model that hears these phones in every recording."""
    tiny_onnx = pytest.importorskip("tiny_onnx")
    labels = _labels(spoken)
    logits = np.zeros((100, len(IPA)), dtype=np.float32)
    logits[:, 0] = 8.0
    logits[np.arange(len(labels)), 0] = 0.0
    logits[np.arange(len(labels)), labels] = 8.0
    folder.mkdir()
    tiny_onnx.make_known_model(folder, tiny_onnx.log_softmax(logits), IPA)
    return folder


@pytest.fixture(scope="module")
def audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As long as the phones, and a little more, of which wav2vec 2.0 makes no frame."""
    path = tmp_path_factory.mktemp("audio") / "talk.wav"
    soundfile.write(path, noise(0.04 * len(_labels(SAID)) + 0.005), 16000, subtype="FLOAT")
    return path


@pytest.fixture(scope="module", params=[hugging_face, onnx])
def model(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, audio: Path
) -> Path:
    make: Callable[[Path, np.ndarray], Path] = request.param
    folder = tmp_path_factory.mktemp("models") / make.__name__
    return make(folder, soundfile.read(audio, dtype="float32")[0])


@pytest.fixture(scope="module")
def lexicon(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lexicon") / "lexicon.txt"
    path.write_text(LEXICON, encoding="utf-8")
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(one) for one in arguments])


def test_words_and_names(model: Path, audio: Path, lexicon: Path) -> None:
    for words in (lexicon, str(lexicon), {"the": "ð ə", "sees": "s i z", "bay": "b eɪ"}):
        recognizer = Recognizer.from_pretrained(model, lexicon=words, phones=None)
        found = recognizer.transcribe(audio, entities=["Keisha"]).best
        assert found.text == TEXT
        assert [word.entity for word in found.words] == [True, False, False, False]
    assert recognizer.transcribe(audio).best.text.endswith("sees the bay")


def test_the_lexicon_of_the_package(model: Path, audio: Path) -> None:
    recognizer = Recognizer.from_pretrained(model, lexicon="english", phones=None)
    first, _, the, _ = recognizer.transcribe(audio, entities=["Keisha"]).best.words
    assert (first.word, first.entity, the.word, the.entity) == ("Keisha", True, "the", False)


def test_phones_if_they_are_wanted(model: Path, audio: Path) -> None:
    recognizer = Recognizer.from_pretrained(model, lexicon="none", phones=None)
    assert recognizer.transcribe(audio).best.text == SAID
    phones = phone_listener(model).phone_log_probs([to_recording(audio, 16000)])  # of no words
    assert phones.log_probs.shape[-1] == 1 + len(PHONES)


def test_without_a_lexicon_is_one_line(model: Path, audio: Path) -> None:
    told = f"{model}: its tokens are phones: pass the lexicon of its language .*english.*none if"
    with pytest.raises(ModelError, match=told):
        Recognizer.from_pretrained(model)
    with pytest.raises(ModelError, match=told):
        load_tokenizer(model)
    result = run("transcribe", audio, "--model", model)
    assert result.exit_code == 1
    assert result.output.startswith(f"Error: {model}: its tokens are phones")
    assert result.output.count("\n") == 1


def test_phones_that_are_no_tokens(model: Path, lexicon: Path, tmp_path: Path) -> None:
    other = tmp_path / "lexicon.txt"
    other.write_text("the DH AH\nbay B EY\n")
    with pytest.raises(
        InputError, match=r"no token 'DH' \(line 1, 'the'\): this is the lexicon of"
    ):
        load_model(model, lexicon=other)
    other.write_text(LEXICON + "loch l ɔ x\n", encoding="utf-8")
    with pytest.warns(CtcbiasWarning, match="1 of 7 pronunciations are left out.*'x'"):
        load_model(model, lexicon=other)
    with pytest.raises(InputError, match=r"missing\.txt"):
        load_model(model, lexicon=tmp_path / "missing.txt")


def test_commands(model: Path, audio: Path, lexicon: Path, tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("Keisha\n")
    words = ("--model", model, "--lexicon", lexicon, "--no-phones", "--entities", names)
    result = run("transcribe", audio, *words)
    assert (result.exit_code, result.stdout) == (0, TEXT + "\n")
    recordings = tmp_path / "wav.scp"
    recordings.write_text(f"talk {audio}\n")
    out = tmp_path / "out.jsonl"
    assert run("decode", "--cuts", recordings, *words, "--out", out).exit_code == 0
    assert json.loads(out.read_text())["text"] == TEXT
    # Other words are another job.
    lexicon_2 = tmp_path / "lexicon.txt"
    lexicon_2.write_text(LEXICON.replace("sees", "seize"), encoding="utf-8")
    words = tuple(lexicon_2 if one == lexicon else one for one in words)
    assert run("decode", "--cuts", recordings, *words, "--out", out).exit_code == 0
    assert json.loads(out.read_text())["text"] == "Keisha seize the bay"
    graph = tmp_path / "graph.txt"
    compiled = run("compile", names, "--model", model, "--lexicon", lexicon, "--out", graph)
    assert compiled.exit_code == 0
    assert "ʃ" in graph.read_text(encoding="utf-8") or "1 names" in compiled.output


def test_streams_write_phones_alone(model: Path, audio: Path, lexicon: Path) -> None:
    """The hint to pass a lexicon, where none is passed, would lead nowhere."""
    command = ("stream", audio, "--model", model, "--no-phones")
    result = run(*command, "--lexicon", "none")
    assert result.exit_code == 0, result.output
    assert result.stdout.split() == SAID.split()
    for further in ((), ("--lexicon", lexicon), ("--lexicon", "english")):
        result = run(*command, *further)
        assert result.exit_code == 1
        assert result.output.startswith("Error: streams write no words through a lexicon yet: ")
        assert result.output.endswith("stream the phones (lexicon='none', --lexicon none)\n")
    with pytest.raises(ConfigError, match="^streams write no words through a lexicon yet: tr"):
        Recognizer.from_pretrained(model, lexicon=lexicon, phones=None).stream()


@pytest.mark.parametrize("chosen", [None, "none", "english", "file"])
def test_what_is_said_of_streams_is_what_they_do(
    model: Path, lexicon: Path, chosen: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed: Any = lexicon if chosen == "file" else chosen
    found = model_info(model, lexicon=passed)
    assert (found.streaming, found.no_streams is None) == (
        ("windows", True) if chosen == "none" else (None, False)
    )
    (line,) = [one for one in found.lines() if one.startswith("streams")]
    if chosen == "none":
        assert line.startswith("streams      in windows, 0.64 s at a time, latency 1.28 s")
        assert load_for_streams(model, "cpu", lexicon="none").tokenizer.vocabulary.has_phones
        return
    assert line.startswith("streams      write no words through a lexicon yet: transcribe")
    alone = _tokenizer_alone(model, None) is not None

    def loaded(*_: Any, **__: Any) -> None:
        raise AssertionError("the weights are read")

    if alone:
        monkeypatch.setattr("ctcbias_fst.models.find.load_model", loaded)
    with pytest.raises(ConfigError, match=f"^{re.escape(str(found.no_streams))}$"):
        load_for_streams(model, lexicon=passed)


def test_streams_of_models_that_write_words() -> None:
    assert load_for_streams().family == load_model().family
    with pytest.raises(ConfigError, match="^streams write no words through a lexicon yet"):
        load_for_streams("hama")  # installed or not
    with pytest.raises(ModelError, match="its tokens are pieces of words"):
        load_for_streams(lexicon="english")
    with pytest.raises(ConfigError, match="no such device|cuda"):
        load_for_streams(device="nowhere")


def test_saved_log_probs(lexicon: Path, tmp_path: Path) -> None:
    labels = _labels(SAID)
    logits = np.zeros((len(labels), len(IPA)), dtype=np.float32)
    logits[np.arange(len(labels)), labels] = 8.0
    np.savez(tmp_path / "a.npz", frame_seconds=0.04, talk=logits)
    (tmp_path / "tokens.txt").write_text("\n".join(IPA) + "\n", encoding="utf-8")
    (tmp_path / "names.txt").write_text("Keisha\n")
    given = ["--log-probs", tmp_path / "a.npz", "--softmax", "--tokens", tmp_path / "tokens.txt",
             "--entities", tmp_path / "names.txt", "--out", tmp_path / "out.jsonl"]  # fmt: skip
    result = run("decode", *given, "--lexicon", lexicon)
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "out.jsonl").read_text())["text"] == TEXT
    result = run("decode", *given, "--lexicon", lexicon, "--tokenizer", tmp_path / "bpe.model")
    assert result.exit_code == 1
    assert "say either" in result.output


def test_what_a_model_is(model: Path, lexicon: Path) -> None:
    plain = model_info(model)
    assert (plain.kind, plain.parts["g2g"]) == ("phones", "needs tokens that are letters")
    assert plain.parts["rescore"] == "needs words: tokens are phones, and there is no lexicon"
    assert str(plain.parts["adapter"]).startswith("needs a model with an adapter: it can have none")
    assert plain.lexicon is not None
    assert "phones are written: pass the lexicon" in plain.lexicon
    words = model_info(model, lexicon=lexicon)
    assert words.lexicon == f"6 words, 6 pronunciations, from {lexicon}"
    assert words.parts["g2g"] == "needs tokens that are letters"
    assert words.parts["rescore"] == "needs log-probs of phones"  # six words may be of any language
    assert model_info(model, lexicon="english").parts["rescore"] is None
    result = run("model", "info", model, "--lexicon", lexicon)
    assert f"lexicon      6 words, 6 pronunciations, from {lexicon}\n" in result.output
    assert model_info().lexicon is None


def test_models_of_letters_and_pieces_take_none(lexicon: Path, tmp_path: Path) -> None:
    letters = save(tmp_path / "letters", vocabulary=CHARACTERS)
    with pytest.raises(ModelError, match=f"{letters}: its tokens are letters, which write words"):
        Recognizer.from_pretrained(letters, lexicon=lexicon)
    with pytest.raises(ModelError, match="inside the package: its tokens are pieces of words"):
        Recognizer.from_pretrained(lexicon=lexicon)
    tokens = tmp_path / "tokens.txt"
    tokens.write_text("\n".join(CHARACTERS) + "\n")
    with pytest.raises(ModelError, match=f"{tokens}: its tokens are letters"):
        Decoder.from_tokens(tokens, lexicon=lexicon, frame_seconds=0.02)
    none = Recognizer.from_pretrained(letters, lexicon="none", phones=None)
    assert none.decoder.search.lexicon is None
    assert model_info(letters).lexicon is None


def test_a_lexicon_of_a_package_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not the path of whoever was the first to use it."""
    monkeypatch.setenv("CTCBIAS_CACHE", str(tmp_path / "cache"))
    vocabulary = Vocabulary.from_tokens(IPA, boundary="none")
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "lexicon.txt").write_text(LEXICON, encoding="utf-8")
        own = tmp_path / folder / "lexicon.txt"
        lexicon = lexicon_with_english(own, "the rules", vocabulary, PhoneTokens(vocabulary))
        assert lexicon.source == "the rules"


def test_a_lexicon_of_its_own_is_not_left_out(lexicon: Path) -> None:
    """The message names the option."""
    tokenizer = phone_tokenizer(["<pad>", "eɪ", *"ðəsizbænkɪ"], lexicon)
    with pytest.raises(ModelError, match=r"hama: has a lexicon.*lexicon=none \(--lexicon none\)$"):
        with_lexicon(tokenizer, "none", "hama")

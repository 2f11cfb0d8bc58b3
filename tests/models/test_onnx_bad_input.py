"""ONNX files that cannot be used: each is told in one line, with what to do."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_onnx import PIECES, make_model, make_raw_model, onnx, save, weights, write_tokens

from ctcbias_fst.audio.audio import Recording
from ctcbias_fst.errors import (
    ConfigError,
    CtcbiasError,
    CtcbiasWarning,
    MissingDependencyError,
    ModelError,
)
from ctcbias_fst.models import onnx_model
from ctcbias_fst.models.find import load_model
from ctcbias_fst.models.onnx_families import _BY_TYPE
from ctcbias_fst.text.tokens import SentencePieceTokenizer
from tests.models.test_onnx_model import BLANK_LAST, NEMO, hugging_face, icefall, nemo, sense_voice

ICEFALL = {"model_type": "zipformer2_ctc"}


def ports(names: Sequence[str], shape: Sequence[Any] = ("N", "T", 8)) -> list[Any]:
    return [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, shape) for n in names]


def pass_on(
    folder: Path,
    inputs: Sequence[str],
    outputs: Sequence[str],
    name: str = "model",
    **metadata: Any,
) -> None:
    """A model of these names, whose outputs are its first input."""
    nodes = [onnx.helper.make_node("Identity", [inputs[0]], [one]) for one in outputs]
    save(folder / f"{name}.onnx", nodes, (ports(inputs), ports(outputs)), {}, metadata)


def refused(
    path: Path, message: str, error: type[CtcbiasError] = ModelError, **options: Any
) -> str:
    with pytest.raises(error, match=message) as found:
        load_model(path, **options)
    said = str(found.value)
    assert "\n" not in said
    assert len(said) < 700
    return said


@pytest.mark.parametrize(
    ("inputs", "outputs", "metadata", "message"),
    [
        (["x", "cached_key_0"], ["log_probs"], ICEFALL, "streaming export .cached_key_0"),
        (["x"], ["log_probs"], {**ICEFALL, "decode_chunk_len": 32}, "streaming.*offline"),
        (["x", "offset", "attn_cache"], ["log_probs"], {}, "its metadata lacks chunk_size"),
        (["x", "h_cache"], ["log_probs"], {}, "export .h_cache.: its states are none that are k"),
        (["x", "offset", "attn_cache"], ["outputs"], {}, "encoder without a CTC head"),
        (["audio_signal", "cache_last_channel"], ["logprobs"], {}, "streaming export"),
        (["x", "x_lens"], ["encoder_out"], {"model_type": "zipformer2"}, "part of a transducer"),
        (["audio_signal"], ["outputs"], {"model_type": "EncDecRNNTBPEModel"}, "part of a transd"),
        (["audio_signal", "length"], ["outputs", "encoded_lengths"], {}, "encoder without a CTC"),
        (["input_values"], ["last_hidden_state"], {}, "encoder without a CTC head.*export the CTC"),
        (["encoder_out", "decoder_out"], ["logit"], {}, "decoder or joiner of a transducer"),
        (["speech", "speech_lengths"], ["logits", "token_num"], {}, "a Paraformer, no CTC model"),
        (["mel"], ["n_layer_cross_k"], {"model_type": "whisper-base"}, "encoder-decoder model"),
        (["x"], ["logits"], {"model_type": "telespeech_ctc"}, "family that is not supported"),
        (
            ["x"],
            ["logits"],
            {"model_type": "sense_voice_ctc", "comment": "Fun-ASR-Nano"},
            "not supported .Fun-ASR-Nano",
        ),
        (
            ["x", "y2"],
            ["out"],
            {},
            r"family cannot be told: model_type is missing.*inputs are x, y2, outputs out; say it "
            r'in a config.json beside it, {"model_type": "..."}, one of EncDecCTCModel, ',
        ),
        (
            ["x"],
            ["out"],
            {"model_type": "m5"},
            "family cannot be told: model_type is 'm5' in its metadata, inputs are x, o",
        ),
    ],
)
def test_other_models(
    inputs: list[str], outputs: list[str], metadata: dict[str, Any], message: str, tmp_path: Path
) -> None:
    pass_on(tmp_path, inputs, outputs, **metadata)
    refused(tmp_path, message)


def test_axes_in_another_order_are_told(tmp_path: Path) -> None:
    matrix = weights(80, len(PIECES))
    names = {"inputs": ("feats", "feats_lens"), "outputs": ("probs_ctc", "n")}
    make_model(tmp_path / "model.onnx", matrix, 4, features_first=True, **names)
    write_tokens(tmp_path / "tokens.txt", PIECES)
    (tmp_path / "config.json").write_text('{"model_type": "wenet_ctc"}')
    refused(
        tmp_path,
        r"takes feats as \(batch, features, frames\), and models of WeNet take \(batch, frames, f",
    )


def test_plain_samples_are_told_by_their_shape(tmp_path: Path) -> None:
    nodes = [onnx.helper.make_node("Identity", ["audio"], ["out"])]
    sides = (ports(["audio"], ("N", "S")), ports(["out"], ("N", "S")))
    save(tmp_path / "model.onnx", nodes, sides, {}, {})
    refused(tmp_path, "family cannot be told.*; audio seems to be plain samples, so it is wav2vec2")


def test_a_language_that_it_has_not_is_told_once(tmp_path: Path) -> None:
    hugging_face(tmp_path, do_normalize=True)
    with pytest.warns(CtcbiasWarning) as caught:
        load_model(tmp_path, language="eng")
    (told,) = (str(one.message) for one in caught if "language" in str(one.message))
    assert "'eng' (--language) has no effect" in told


def test_metadata_in_a_file_beside_it(tmp_path: Path) -> None:
    """What the message says works."""
    matrix = weights(80, len(PIECES))
    names = {"inputs": ("feats", "feats_lens"), "outputs": ("probs_ctc", "n")}
    make_model(tmp_path / "model.onnx", matrix, 4, **names)
    write_tokens(tmp_path / "tokens.txt", PIECES)
    (tmp_path / "config.json").write_text('{"model_type": "my-model"}')
    refused(
        tmp_path, "told: model_type is 'my-model' in the config.json beside it, inputs are feats"
    )
    (tmp_path / "config.json").write_text('{"model_type": "wenet_ctc", "subsampling_factor": "4x"}')
    refused(tmp_path, "subsampling_factor in the config.json beside it is '4x', not a whole number")
    for kind in ("wenet_ctc", "zipformer2_ctc"):
        (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
        model = load_model(tmp_path)
        assert model.family in ("WeNet (ONNX)", "icefall (ONNX)")
        assert model.frame_seconds == pytest.approx(0.04)
    (tmp_path / "config.json").write_text("[1]")
    refused(tmp_path, "config.json: must be a JSON object, found")
    (tmp_path / "config.json").write_text("{")
    refused(tmp_path, "config.json: not valid JSON")


@pytest.mark.parametrize("rate", [0, 1999, 800_000])
def test_rates_that_speech_cannot_have(tmp_path: Path, rate: int) -> None:
    hugging_face(tmp_path, sampling_rate=rate, do_normalize=True)
    refused(
        tmp_path,
        f"sampling_rate in the preprocessor_config.json beside it is {rate}, not from 2000 to 7",
    )


def test_tokens(tmp_path: Path) -> None:
    icefall(tmp_path)
    tokens = tmp_path / "tokens.txt"
    tokens.unlink()
    refused(tmp_path, "no tokens beside it: put its tokens.txt there")
    count = len(PIECES)
    for wrong in (PIECES[:-4], [*PIECES, "aa", "bb", "cc"], [*PIECES, "aa"]):
        write_tokens(tokens, wrong)
        refused(tmp_path, rf"tokens.txt: has {len(wrong)} tokens, and the model gives {count}")
    write_tokens(tokens, [*PIECES[:-1], "<s>", "</s>"])
    with pytest.warns(CtcbiasWarning, match="the last .</s>. is left out"):
        load_model(tmp_path)
    tokens.write_text("a 0\nb 2\n")
    refused(tmp_path, "ids must run from 0")
    tokens.unlink()
    for name in ("a_tokens.txt", "b_tokens.txt"):
        write_tokens(tmp_path / name, PIECES)
    refused(
        tmp_path, "several lists of tokens beside it .a_tokens.txt, b_tokens.txt.: name the one"
    )
    (tmp_path / "a_tokens.txt").rename(tmp_path / "model_tokens.txt")
    load_model(tmp_path)


def test_a_sentencepiece_model_that_is_not_of_the_tokens(
    tmp_path: Path, tokenizer_path: Path
) -> None:
    """It is told why it is left out; one that fits is taken, and nothing is told."""
    icefall(tmp_path)
    beside = tmp_path / "bpe.model"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_model(tmp_path).tokenizer.cuts_by == "the fewest tokens"
    beside.write_bytes(tokenizer_path.read_bytes())
    with pytest.warns(CtcbiasWarning, match="bpe.model: has other pieces.*it is left out, and nam"):
        assert load_model(tmp_path).tokenizer.cuts_by == "the fewest tokens"
    beside.write_bytes(b"no model")
    with pytest.warns(CtcbiasWarning, match="bpe.model: not a SentencePiece model"):
        load_model(tmp_path)
    beside.write_bytes(tokenizer_path.read_bytes())
    pieces = SentencePieceTokenizer(tokenizer_path).vocabulary.tokens
    make_model(tmp_path / "model.onnx", weights(80, len(pieces)), 4, metadata=ICEFALL)
    write_tokens(tmp_path / "tokens.txt", pieces)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_model(tmp_path).tokenizer.cuts_by == "its SentencePiece model"


def test_folders_of_several(tmp_path: Path) -> None:
    for name in ("a.onnx", "b.onnx"):
        (tmp_path / name).write_bytes(b"")
    refused(tmp_path, r"has 2 models \(a.onnx, b.onnx\): name one of them")
    for name in ("encoder-1.onnx", "decoder-1.onnx", "joiner-1.onnx"):
        (tmp_path / name).write_bytes(b"")
    refused(tmp_path, "no CTC model, but the parts of another")
    icefall(tmp_path)
    assert load_model(tmp_path).family == "icefall (ONNX)"
    (tmp_path / "model.onnx").rename(tmp_path / "c.onnx")
    assert load_model(tmp_path / "c.onnx").family == "icefall (ONNX)"


def test_the_exact_one_of_two(tmp_path: Path) -> None:
    icefall(tmp_path)
    (tmp_path / "model.onnx").rename(tmp_path / "ctc-epoch-9.onnx")
    (tmp_path / "ctc-epoch-9.int8.onnx").write_bytes(b"")
    load_model(tmp_path)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda data: b"", "is no ONNX model, or damaged"),
        (lambda data: data[: len(data) // 2], "is no ONNX model, or damaged"),
        (lambda data: b"<html>not found</html>", "is no ONNX model, or damaged"),
        (lambda data: b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    ],
)
def test_damaged_files(spoil: Callable[[bytes], bytes], message: str, tmp_path: Path) -> None:
    icefall(tmp_path)
    path = tmp_path / "model.onnx"
    path.write_bytes(spoil(path.read_bytes()))
    refused(tmp_path, message)


def test_weights_in_another_file(tmp_path: Path) -> None:
    icefall(tmp_path)
    path = tmp_path / "model.onnx"
    onnx.save_model(
        onnx.load(str(path)),
        str(path),
        save_as_external_data=True,
        location="model.onnx.data",
        size_threshold=100,
    )
    load_model(tmp_path)
    data = tmp_path / "model.onnx.data"
    whole = data.read_bytes()
    data.write_bytes(whole[: len(whole) // 2])
    refused(tmp_path, "weights are in a file beside it that is too short: was it downloaded")
    data.unlink()
    refused(tmp_path, "weights are in model.onnx.data, which is missing: put it beside it")


def test_an_operator_that_is_not_known(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    node = onnx.helper.make_node("Unheard", ["x"], ["log_probs"], domain="some.where")
    graph = onnx.helper.make_graph([node], "g", ports(["x"]), ports(["log_probs"]))
    sets = [onnx.helper.make_opsetid(domain, 1) for domain in ("", "some.where")]
    onnx.save(onnx.helper.make_model(graph, opset_imports=sets, ir_version=9), str(path))
    refused(tmp_path, "cannot be loaded by onnxruntime: .*Unheard")


def test_sizes(tmp_path: Path) -> None:
    matrix = weights(40, len(PIECES))
    make_model(tmp_path / "model.onnx", matrix, 4, metadata=ICEFALL)
    refused(tmp_path, "takes 40 features, which is not what icefall")
    make_model(tmp_path / "model.onnx", weights(80, 30), 4, metadata=ICEFALL, frames=100)
    refused(tmp_path, r"takes audio of one length only \(100 frames\): export it with a dynamic")
    pass_on(tmp_path, ["x", "x_lens"], ["log_probs"], **ICEFALL)
    refused(tmp_path, "takes 8 features")


def test_scores_that_are_none(tmp_path: Path) -> None:
    """One row for a whole recording, and a model of Hugging Face that ends with a sum."""
    node = onnx.helper.make_node("ReduceMean", ["input_values"], ["logits"], axes=[1])
    both = ports(["input_values"], ["N", "S"]), ports(["logits"], ["N", 1])
    save(tmp_path / "model.onnx", [node], both, {}, {})
    with pytest.warns(CtcbiasWarning, match="do_normalize"):
        refused(tmp_path, r"of the shape \(1, 1\); log-probs \(1, frames, tokens\) are wanted")


def test_metadata_that_is_wrong(tmp_path: Path) -> None:
    metadata = {"model_type": "EncDecCTCModel", "subsampling_factor": "eight"}
    make_model(tmp_path / "model.onnx", weights(80, 32), 8, metadata=metadata, **NEMO)
    refused(tmp_path, "subsampling_factor in its metadata is 'eight', not a whole number")
    metadata = {"model_type": "EncDecCTCModel", "normalize_type": "all_features"}
    make_model(tmp_path / "model.onnx", weights(80, 32), 8, metadata=metadata, **NEMO)
    refused(tmp_path, "normalize_type 'all_features' is not supported")
    metadata = {"model_type": "EncDecCTCModel", "is_giga_am": 1, "comment": "multilingual_ctc"}
    metadata["version"] = "1"
    make_model(tmp_path / "model.onnx", weights(64, 32), 4, metadata=metadata, **NEMO)
    refused(tmp_path, "multilingual GigaAM takes is not known; say .version.: .v2. or .v3. in a")
    (tmp_path / "config.json").write_text('{"version": "v3"}')
    write_tokens(tmp_path / "tokens.txt", BLANK_LAST)
    load_model(tmp_path)
    pass_on(tmp_path, ["x"], ["logits"], model_type="sense_voice_ctc", lang_auto=0)
    refused(tmp_path, "neither its metadata nor a config.json has what SenseVoice needs")
    pass_on(tmp_path, ["x"], ["logits"], model_type="sense_voice_ctc", lang_auto="no number")
    refused(tmp_path, "lang_auto in its metadata is 'no number', not a whole number")
    sense_voice(tmp_path)
    model = onnx.load(str(tmp_path / "model.onnx"))
    for one in model.metadata_props:
        if one.key == "neg_mean":
            one.value = "1,2"
    onnx.save(model, str(tmp_path / "model.onnx"))
    refused(tmp_path, "neg_mean and inv_stddev have 2 and 560 numbers, not 560")


def test_a_wrong_frame_length_is_told(tmp_path: Path) -> None:
    """A model that subsamples by another factor than it says."""
    metadata = {"model_type": "EncDecCTCModel", "subsampling_factor": 8}
    make_model(tmp_path / "model.onnx", weights(80, 32), 4, metadata=metadata, **NEMO)
    write_tokens(tmp_path / "tokens.txt", BLANK_LAST)
    model = load_model(tmp_path)
    noise = np.random.default_rng(0).normal(0, 0.1, 48000).astype(np.float32)
    told = "0.04 s each, and frame_seconds is 0.08: correct its files .of ONNX the subsampl"
    with pytest.raises(ModelError, match=told):
        model.log_probs([Recording("a", noise, 16000)])


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_a_frame_length_that_nothing_says_is_measured(factor: int, tmp_path: Path) -> None:
    make_model(tmp_path / "model.onnx", weights(80, len(PIECES)), factor)
    write_tokens(tmp_path / "tokens.txt", PIECES)
    model = load_model(tmp_path)
    assert model.family == "icefall (ONNX)"
    assert model.frame_seconds == pytest.approx(0.01 * factor)


def test_inputs_of_unknown_meaning(tmp_path: Path) -> None:
    hugging_face(tmp_path, do_normalize=True)
    make_raw_model(
        tmp_path / "model.onnx", 29, inputs=("input_values", "attention_mask"), output="logits"
    )
    model = onnx.load(str(tmp_path / "model.onnx"))
    model.graph.input.extend(ports(["speaker"], ["N", 4]))
    onnx.save(model, str(tmp_path / "model.onnx"))
    refused(tmp_path, r"has an input speaker \(tensor\(float\)\) of a meaning that is not known")


def test_cuda_that_is_not_there(tmp_path: Path) -> None:
    icefall(tmp_path)
    with pytest.raises(ConfigError, match="device cuda: this onnxruntime has no CUDA.*-gpu"):
        onnx_model.load(tmp_path, torch.device("cuda"), None)


@pytest.mark.parametrize("missing", ["onnxruntime", "kaldi_native_fbank"])
def test_the_extra_is_missing(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    icefall(tmp_path)
    monkeypatch.setitem(sys.modules, missing, None)
    refused(tmp_path, r"pip install 'ctcbias_fst\[onnx\]'", MissingDependencyError)


def test_the_command_says_it_in_a_line(tmp_path: Path, forked_python: str) -> None:
    """No stack trace, and nothing of onnxruntime's own on standard error."""
    icefall(tmp_path)
    code = (
        "from ctcbias_fst.models.find import load_model\n"
        "from ctcbias_fst.errors import CtcbiasError\n"
        f"load_model({str(tmp_path)!r})\n"
        f"open({str(tmp_path / 'model.onnx')!r}, 'wb').close()\n"
        f"try: load_model({str(tmp_path)!r})\n"
        "except CtcbiasError as error: print(error)\n"
    )
    done = subprocess.run([forked_python, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 1


def test_every_kind_is_made() -> None:
    assert set(_BY_TYPE) >= {"zipformer2_ctc", "wenet_ctc", "sense_voice_ctc"}


def test_nemo_without_its_subsampling(tmp_path: Path) -> None:
    """It is measured."""
    nemo(tmp_path)
    model = onnx.load(str(tmp_path / "model.onnx"))
    kept = [one for one in model.metadata_props if one.key != "subsampling_factor"]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    onnx.save(model, str(tmp_path / "model.onnx"))
    assert load_model(tmp_path).frame_seconds == pytest.approx(0.08)

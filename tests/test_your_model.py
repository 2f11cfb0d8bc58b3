"""The recipes of docs/your-model.md, each run on a stand-in with the interface of its library.

A stand-in reads its tokens off the samples: in `spoken`, the level of a frame is the number of a
token. It likes the next token nearly as well, so that a name which has that one in a place is
written if it is on the list, and only then.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import sentencepiece
import torch
from torch import Tensor, nn

from ctcbias_fst import Recognizer

PAGE = Path(__file__).parents[1] / "docs" / "your-model.md"
SECTION = re.compile(r"^### (\w+)\n.*?^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RECIPES = dict(SECTION.findall(PAGE.read_text(encoding="utf-8")))

LETTERS = "abcdefghijklmnopqrstuvwxyz"
PIECES = ["\u2581call", "\u2581ma", "\u2581na", "ria", "\u2581now"]
"""``▁na`` is next to ``▁ma``."""
BASE, STEP = 0.3, 0.005
"""The level of a token is so much, and so much more for each number; no token is silence."""


def spoken(ids: Sequence[int], hop: int) -> npt.NDArray[np.float32]:
    """Samples in which every other frame has the level of a token, the others none."""
    levels = [level for i in ids for level in (BASE + (i + 1) * STEP, 0.0)]
    return np.repeat(np.array(levels, np.float32), hop)


def logits(
    wave: Tensor, hop: int, columns: int, blank: int, like: tuple[int, int] | None = None
) -> Tensor:
    """(1, frame, column) of samples (1, sample); what is next to a token, or is `like` it, is liked
    nearly as well."""
    frames = wave.shape[1] // hop
    level = wave[0, : frames * hop].reshape(frames, hop).mean(1)
    ids = ((level - BASE) / STEP).round().long() - 1
    ids = torch.where(ids < 0, torch.tensor(blank), ids)
    found = torch.full((frames, columns), -12.0)
    row = torch.arange(frames)
    following = torch.where(ids == blank, ids, (ids + 1).clamp(max=columns - 1))
    if like is not None:
        following = torch.where(ids == like[0], torch.tensor(like[1]), ids)
    found[row, following] = -1.0
    found[row, ids] = 0.0
    return found[None]


def module(monkeypatch: pytest.MonkeyPatch, name: str, **content: Any) -> None:
    """Make a module and those above it."""
    parts = name.split(".")
    for i in range(1, len(parts) + 1):
        one = ".".join(parts[:i])
        if one not in sys.modules:
            monkeypatch.setitem(sys.modules, one, ModuleType(one))
    vars(sys.modules[name]).update(content)


def lengths_checked(wave: Tensor, lengths: Tensor) -> None:
    assert wave.shape == (1, int(lengths[0]))
    assert wave.dtype == torch.float32


def nemo(patch: pytest.MonkeyPatch) -> Sequence[str]:
    class Model(nn.Module):
        decoder = SimpleNamespace(vocabulary=PIECES)

        def forward(
            self, *, input_signal: Tensor, input_signal_length: Tensor
        ) -> tuple[Tensor, Tensor, Tensor]:
            lengths_checked(input_signal, input_signal_length)
            found = logits(input_signal, 1280, len(PIECES) + 1, len(PIECES)).log_softmax(-1)
            more = torch.zeros(1, 3, found.shape[2])  # padding
            return torch.cat([found, more], 1), torch.tensor([found.shape[1]]), found.argmax(-1)

    restore = staticmethod(lambda path: Model())
    models = {"ASRModel": type("ASRModel", (), {"restore_from": restore})}
    module(patch, "nemo.collections.asr.models", **models)
    return PIECES


def espnet(patch: pytest.MonkeyPatch) -> Sequence[str]:
    tokens = ["<blank>", "<unk>", *PIECES, "<sos/eos>"]

    class Model(nn.Module):
        token_list = tuple(tokens)
        ctc = SimpleNamespace(log_softmax=lambda states: states.log_softmax(-1))

        def encode(self, speech: Tensor, lengths: Tensor) -> tuple[Any, Tensor]:
            lengths_checked(speech, lengths)
            states = logits(speech, 640, len(tokens), 0)
            return (states, []), torch.tensor([states.shape[1]])

    class Speech2Text:
        def __init__(self, config: str, weights: str) -> None:
            self.asr_model = Model()

    module(patch, "espnet2.bin.asr_inference", Speech2Text=Speech2Text)
    return tokens


def speechbrain(patch: pytest.MonkeyPatch) -> Sequence[str]:
    tokens = ["<blank>", " ", *LETTERS]

    class EncoderASR:
        tokenizer = SimpleNamespace(ind2lab=dict(enumerate(tokens)))
        hparams = SimpleNamespace(blank_index=0)

        @classmethod
        def from_hparams(cls, source: str, savedir: str) -> EncoderASR:
            return cls()

        def encode_batch(self, wavs: Tensor, wav_lens: Tensor) -> Tensor:
            assert wav_lens.tolist() == [1.0]
            return logits(wavs, 320, len(tokens), 0).log_softmax(-1)

    module(patch, "speechbrain.inference.ASR", EncoderASR=EncoderASR)
    return tokens


class _Wenet(nn.Module):
    """The methods that an exported model has; features are a level in the first of 80 bins."""

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.columns = columns

    @torch.jit.export
    def forward_encoder_chunk(
        self, xs: Tensor, offset: int, required_cache_size: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        assert required_cache_size < 0
        frames = xs.shape[1] // 4
        level = xs[0, : frames * 4, 0].reshape(frames, 4).mean(1)
        ids = (((level - 0.3) / 0.005).round().long() - 1).clamp(min=0)
        found = torch.full((frames, self.columns), -12.0)
        row = torch.arange(frames)
        following = torch.where(ids == 0, ids, (ids + 1).clamp(max=self.columns - 1))
        found[row, following] = -1.0
        found[row, ids] = 0.0
        return found[None], torch.zeros(0), torch.zeros(0)

    @torch.jit.export
    def ctc_activation(self, xs: Tensor) -> Tensor:
        return xs.log_softmax(-1)


def wenet(patch: pytest.MonkeyPatch) -> Sequence[str]:
    tokens = ["<blank>", "<unk>", *PIECES, "<sos/eos>"]
    torch.jit.script(_Wenet(len(tokens))).save("final.zip")
    Path("units.txt").write_text("".join(f"{one} {i}\n" for i, one in enumerate(tokens)))

    def fbank(wave: Tensor, num_mel_bins: int, sample_frequency: int, **options: float) -> Tensor:
        assert options == {"dither": 0.0, "energy_floor": 0.0}
        assert sample_frequency == 16000
        frames = wave.shape[1] // 160
        level = wave[0, : frames * 160].reshape(frames, 160).mean(1) / 32768
        return level[:, None].expand(frames, num_mel_bins)

    module(patch, "torchaudio.compliance.kaldi", fbank=fbank)
    return tokens


def funasr(patch: pytest.MonkeyPatch) -> Sequence[str]:
    folder = Path("SenseVoiceSmall")
    folder.mkdir()
    name = folder / "chn_jpn_yue_eng_ko_spectok.bpe"
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["call maria now", "call naria now"] * 20),
        model_prefix=str(name),
        model_type="char",
        minloglevel=2,
        hard_vocab_limit=False,
        bos_id=-1,
        eos_id=-1,
    )
    pieces = sentencepiece.SentencePieceProcessor(f"{name}.model")
    tokens = [pieces.id_to_piece(i) for i in range(len(pieces))]
    like = (tokens.index("m"), tokens.index("n"))

    class AutoModel:
        def __init__(self, model: str, device: str, disable_update: bool) -> None:
            assert (device, disable_update) == ("cpu", True)
            head = nn.Module()
            head.log_softmax = lambda states: states.log_softmax(-1)  # type: ignore[assignment]
            self.model = SimpleNamespace(ctc=head)

        def generate(self, input: Any, language: str, use_itn: bool) -> list[dict[str, str]]:
            states = logits(torch.from_numpy(input)[None], 960, len(tokens), 0, like)
            told = torch.full((1, 4, len(tokens)), -12.0)
            told[..., 3] = 0.0
            self.model.ctc.log_softmax(torch.cat([told, states], 1))
            return [{"text": ""}]

    module(patch, "funasr", AutoModel=AutoModel)
    return tokens


def torchaudio(patch: pytest.MonkeyPatch) -> Sequence[str]:
    tokens = ("-", "|", *LETTERS.upper(), "'")

    class Model(nn.Module):
        def forward(self, wave: Tensor) -> tuple[Tensor, None]:
            return logits(wave, 320, len(tokens), 0) + 5.0, None

    bundle = SimpleNamespace(get_model=Model, get_labels=lambda: tokens)
    module(patch, "torchaudio", pipelines=SimpleNamespace(WAV2VEC2_ASR_BASE_960H=bundle))
    return tokens


STAND_INS: dict[str, tuple[Callable[[pytest.MonkeyPatch], Sequence[str]], float]] = {
    "NeMo": (nemo, 0.08),
    "ESPnet": (espnet, 0.04),
    "SpeechBrain": (speechbrain, 0.02),
    "WeNet": (wenet, 0.04),
    "FunASR": (funasr, 0.06),
    "torchaudio": (torchaudio, 0.02),
}


def test_every_recipe_has_a_stand_in() -> None:
    assert list(RECIPES) == list(STAND_INS)


@pytest.mark.parametrize("name", STAND_INS)
def test_a_list_acts(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make, seconds = STAND_INS[name]
    tokens = list(make(monkeypatch))
    known: dict[str, Any] = {"__name__": name}
    exec(compile(RECIPES[name], f"{PAGE} {name}", "exec"), known)
    recognizer = known["recognizer"]
    assert isinstance(recognizer, Recognizer)
    assert recognizer.model.frame_seconds == pytest.approx(seconds)
    ids = heard_ids(recognizer, tokens)
    samples = spoken(ids, round(seconds * 16000))
    plain = recognizer.transcribe(samples, sampling_rate=16000)
    assert plain.best.text.lower() == "call maria now"
    listed = recognizer.transcribe(samples, sampling_rate=16000, entities=["Naria"])
    assert listed.best.text.lower() == "call naria now"
    assert listed.best.words[1].word == "Naria"
    assert listed.best.words[1].start == pytest.approx(plain.best.words[1].start, abs=0.2)


def heard_ids(recognizer: Recognizer, tokens: Sequence[str]) -> list[int]:
    """What is said: ``call maria now``, in the tokens of a model."""
    if tokens[0] == "-" or " " in tokens:
        between = next(one for one in (" ", "|") if one in tokens)
        text = "call maria now".replace(" ", between)
        upper = "A" in tokens
        return [tokens.index(c.upper() if upper else c) for c in text]
    return recognizer.decoder.tokenizer.encode("call maria now")

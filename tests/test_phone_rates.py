"""All that phones do, whatever the rates of their frames and of the tokens' are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ctcbias_fst.decoder import Decoder
from ctcbias_fst.errors import LogProbsError
from ctcbias_fst.phone_log_probs import PhoneLogProbs
from ctcbias_fst.recognizer import Recognizer
from ctcbias_fst.records import LogProbs
from ctcbias_fst.rescore.lookup import LookupConfig
from ctcbias_fst.rescore.phone_frames import check_phones
from ctcbias_fst.settings import PipelineConfig
from ctcbias_fst.shortlist.phone_index import ShortlistConfig
from ctcbias_fst.text.phones import PHONE_ID
from ctcbias_fst.text.tokens import Tokenizer

SENTENCES = (
    ("she takes carthon every day", "SH IY T EY K S K AA R TH AH N EH V R IY D EY"),
    ("she met kosho every day", "SH IY M EH T K IY SH AH EH V R IY D EY"),
    ("she takes it every day", "SH IY T EY K S IH T EH V R IY D EY"),
    ("", ""),
)
WRITTEN = ("she takes Carthen every day", "she met Keisha every day", "she takes it every day")
LISTED = ["Carthen", "Keisha", "Metformin", "Ibuprofen"]
SECONDS = 4.8
"""A sentence and the silence behind it."""
RATES = [(0.04, 0.04), (0.02, 0.04), (0.08, 0.04), (0.04, 0.02), (0.08, 0.03)]


@pytest.fixture(scope="module")
def tokenizer(random_model: Path) -> Tokenizer:
    return Recognizer.from_pretrained(random_model).model.tokenizer


def sharp(columns: list[list[int]], size: int, frame: float) -> torch.Tensor:
    """``(1, frame, size)``: columns and blanks by turns, from the start of each sentence on."""
    frames = [round(i * SECONDS / frame) for i in range(len(columns) + 1)]
    best = torch.zeros(frames[-1], dtype=torch.int64)
    for begin, several in zip(frames, columns):
        best[begin + 5 : begin + 5 + 2 * len(several) : 2] = torch.tensor(several)
    table = torch.full((1, frames[-1], size), 0.05 / (size - 1))
    return table.scatter_(2, best[None, :, None], 0.95).log()


def said(tokenizer: Tokenizer, which: list[int], frame: float, own: float) -> LogProbs:
    """A model wrote sentences while a phone head at another rate heard their phones."""
    tokens = [list(tokenizer.encode(SENTENCES[i][0])) for i in which]
    phones = [[PHONE_ID[phone] for phone in SENTENCES[i][1].split()] for i in which]
    values = sharp(tokens, tokenizer.vocabulary.size, frame)
    heard = sharp(phones, 1 + len(PHONE_ID), own)
    return LogProbs(
        values,
        torch.tensor([values.shape[1]]),
        frame,
        ("u",),
        tokenizer.vocabulary,
        PhoneLogProbs(heard, torch.tensor([heard.shape[1]]), own),
    )


@pytest.mark.parametrize("frame,own", RATES)
@pytest.mark.parametrize("long", [False, True])
def test_lookup_and_rescoring(tokenizer: Tokenizer, long: bool, frame: float, own: float) -> None:
    """In audio that is cut, too: 72 seconds."""
    which = [0, 1, 2] * (5 if long else 1)
    near = LookupConfig(unlisted_margin=5.0)
    config = PipelineConfig(parts=("boost", "rescore", "lookup"), lookup=near)
    decoder = Decoder(tokenizer, config, frame_seconds=frame, phones=True)
    batch = said(tokenizer, which, frame, own)
    assert (batch.lengths * frame > 60) == long
    (found,) = decoder.decode(batch, entities=LISTED)
    assert found.best.text == " ".join(WRITTEN[i] for i in which)
    spans = found.best.mentions
    names = [span.mention.entity.name for span in spans]
    assert names == ["carthen", "keisha"] * (len(which) // 3)
    for place, span in zip([i for i, one in enumerate(which) if one < 2], spans):
        assert place * SECONDS <= span.start < span.end < (place + 1) * SECONDS


@pytest.mark.parametrize("frame,own", RATES)
def test_shortlists(tokenizer: Tokenizer, frame: float, own: float) -> None:
    """Nothing is said before the name."""
    shortlist = ShortlistConfig(shorten_above=1, n_by_phone=1, n_by_subword=0)
    config = PipelineConfig(parts=("boost",), shortlist=shortlist)
    decoder = Decoder(tokenizer, config, frame_seconds=frame, phones=True)
    names = decoder.compile(LISTED)
    assert names.shortlists is not None
    (short,) = names.shortlists.of(said(tokenizer, [3, 3, 1], frame, own), [0])
    assert short.graph is not None
    assert [entity.name for entity in short.graph.entities] == ["keisha"]


def test_the_same_rate_is_the_same_to_the_bit(tokenizer: Tokenizer) -> None:
    decoder = Decoder(tokenizer, PipelineConfig(), frame_seconds=0.04, phones=True)
    batch = said(tokenizer, [0, 1, 2] * 3, 0.04, 0.04)
    assert batch.phones is not None
    array = replace(batch, phones=batch.phones.log_probs)  # type: ignore[arg-type]
    assert decoder.decode(array, entities=LISTED) == decoder.decode(batch, entities=LISTED)


def test_phones_of_other_audio_are_refused(tokenizer: Tokenizer) -> None:
    decoder = Decoder(tokenizer, PipelineConfig(), frame_seconds=0.04, phones=True)
    batch = replace(
        said(tokenizer, [0], 0.04, 0.04), phones=said(tokenizer, [0, 1], 0.04, 0.04).phones
    )
    with pytest.raises(
        LogProbsError, match=r"u: its log-probs last 4\.80 s, those of its phones 9"
    ):
        decoder.decode(batch, entities=LISTED)


def test_a_rounded_frame_length_is_no_other_audio(tokenizer: Tokenizer) -> None:
    """0.0232 s in the place of 0.02322 s makes 0.6 s in 700 s."""
    frames = round(700 / 0.02322)
    values = torch.full((1, frames, tokenizer.vocabulary.size), -1.0)
    heard = torch.full((1, round(700 / 0.04), 1 + len(PHONE_ID)), -1.0)
    phones = PhoneLogProbs(heard, torch.tensor([heard.shape[1]]), 0.04)
    length, vocabulary = torch.tensor([frames]), tokenizer.vocabulary
    check_phones(LogProbs(values, length, 0.0232, ("u",), vocabulary, phones=phones))
    with pytest.raises(LogProbsError, match=r"u: its log-probs last 7"):
        check_phones(LogProbs(values, length, 0.0237, ("u",), vocabulary, phones=phones))

"""This project's decoder: the boosting FST alone, searched by k2."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch.nn.utils.rnn import pad_sequence

import ctcbias_fst
from ctcbias_fst.compiled import CompiledEntities
from ctcbias_fst.decoder import Decoder
from ctcbias_fst.phone_log_probs import PhoneLogProbs
from ctcbias_fst.records import LogProbs
from ctcbias_fst.search.evidence import EvidenceConfig
from ctcbias_fst.search.stack import stack
from ctcbias_fst.text.vocabulary import Vocabulary
from decoders import Setting, Speech

_BATCH = 32


def batches(
    speech: Sequence[Speech], vocabulary: Vocabulary, frame_seconds: float
) -> Iterator[tuple[list[int], LogProbs]]:
    """Utterances of similar length together, and which ones they are."""
    order = sorted(range(len(speech)), key=lambda i: -len(speech[i].log_probs))
    for begin in range(0, len(order), _BATCH):
        rows = order[begin : begin + _BATCH]
        arrays = [torch.from_numpy(speech[i].log_probs) for i in rows]
        batch = stack(arrays, list(map(str, rows)), vocabulary, frame_seconds)
        phones = [part for part in (speech[i].phones for i in rows) if part is not None]
        if len(phones) == len(rows):
            values = pad_sequence([torch.from_numpy(part) for part in phones], batch_first=True)
            lengths = torch.tensor([len(part) for part in phones])
            heard = PhoneLogProbs(values, lengths, speech[rows[0]].phone_seconds)
            batch = replace(batch, phones=heard)
        yield rows, batch


class Ours:
    """The knob multiplies the boost of every name. All words stay, as with the other decoders."""

    weights = (1.0, 0.8, 1.2, 1.4, 1.7)
    batches = True
    version = ctcbias_fst.__version__

    def __init__(self, setting: Setting) -> None:
        config = setting.ours()
        all_words = EvidenceConfig(max_entropy=1.0, min_name_confidence=0.0)
        decode = replace(config.decode, evidence=all_words)
        if setting.boost is not None:
            decode = replace(decode, boost=setting.boost)
        self._decoder = Decoder(
            setting.tokenizer,
            replace(config, decode=decode, parts=("boost",)),
            frame_seconds=setting.frame_seconds,
        )
        self._names: CompiledEntities | None = None

    def use(self, names: Sequence[str], weight: float) -> None:
        entries = [{"name": name, "weight": weight} for name in names]
        self._names = self._decoder.compile(entries, warn=False) if names else None

    def decode(self, speech: Sequence[Speech]) -> list[str]:
        texts = [""] * len(speech)
        known = self._decoder.vocabulary, self._decoder.frame_seconds
        for rows, batch in batches(speech, *known):
            for row, transcript in zip(rows, self._decoder.decode(batch, entities=self._names)):
                texts[row] = transcript.best.text
        return texts

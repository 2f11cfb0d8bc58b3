"""This project's decoder with all parts that need no audio: language model, names in it,
spelling variants, phonetic rescoring, pronunciation lookup; without the adapter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import ctcbias_fst
from ctcbias_fst.compiled import CompiledEntities
from ctcbias_fst.decoder import Decoder
from decoders import Setting, Speech
from decoders.ours import batches


class Joint:
    """The knob multiplies the boost of every name. Needs a language model, and phones saved."""

    weights = (1.0, 0.8, 1.2, 1.4, 1.7)
    batches = True
    version = ctcbias_fst.__version__

    def __init__(self, setting: Setting) -> None:
        if setting.lm is None:
            raise ImportError("the study names no language model (lm), and no model that has one")
        config = setting.ours()
        parts = tuple(part for part in config.parts if part != "adapter")
        self._decoder = Decoder(
            setting.tokenizer,
            replace(config, parts=parts),
            frame_seconds=setting.frame_seconds,
            lm=setting.lm,
            phones=True,
        )
        self._names: CompiledEntities | None = None

    def use(self, names: Sequence[str], weight: float) -> None:
        entries = [{"name": name, "weight": weight} for name in names]
        self._names = self._decoder.compile(entries, warn=False) if names else None

    def decode(self, speech: Sequence[Speech]) -> list[str]:
        texts = [""] * len(speech)
        known = self._decoder.vocabulary, self._decoder.frame_seconds
        for rows, batch in batches(speech, *known):
            if batch.phones is None:
                raise ValueError("the study's sets need phones: save_log_probs.py writes them")
            for row, transcript in zip(rows, self._decoder.decode(batch, entities=self._names)):
                texts[row] = transcript.best.text
        return texts

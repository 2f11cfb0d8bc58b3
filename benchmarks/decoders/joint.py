"""This project's decoder with all parts that need no audio: language model, names in it,
spelling variants, phonetic rescoring, pronunciation lookup; without the adapter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import ctcbias_fst
from ctcbias_fst.compiled import CompiledEntities
from ctcbias_fst.models.embedded import AcousticModel
from ctcbias_fst.recognizer import Recognizer
from decoders import Setting, Speech
from decoders.ours import batches


class Joint:
    """The knob multiplies the boost of every name. Needs the model, and its phones saved."""

    weights = (1.0, 0.8, 1.2, 1.4, 1.7)
    batches = True
    version = ctcbias_fst.__version__

    def __init__(self, setting: Setting) -> None:
        if setting.model is None:
            raise ImportError("the study names no model")
        config = setting.ours()
        parts = tuple(part for part in config.parts if part != "adapter")
        self._recognizer = Recognizer(
            AcousticModel.load(setting.model), replace(config, parts=parts)
        )
        self._vocabulary = setting.tokenizer.vocabulary
        self._names: CompiledEntities | None = None

    def use(self, names: Sequence[str], weight: float) -> None:
        entries = [{"name": name, "weight": weight} for name in names]
        self._names = self._recognizer.compile(entries) if names else None

    def decode(self, speech: Sequence[Speech]) -> list[str]:
        texts = [""] * len(speech)
        for rows, batch in batches(speech, self._vocabulary):
            if batch.phones is None:
                raise ValueError("the study's sets need phones: save_log_probs.py writes them")
            found = self._recognizer.decoder.decode(batch, entities=[self._names] * len(rows))
            for row, transcript in zip(rows, found):
                texts[row] = transcript.best.text
        return texts

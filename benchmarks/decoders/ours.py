"""This project's decoder: the boosting FST alone, searched by k2."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

import ctcbias_fst
from ctcbias_fst.config import load_config
from ctcbias_fst.decode.decoder import Decoder
from ctcbias_fst.decode.saved import stack
from ctcbias_fst.fst.boost import BoostGraph, boost_graph
from ctcbias_fst.pipeline import PipelineConfig
from ctcbias_fst.text.entities import check_entities, entities_from_names
from decoders import Setting

_BATCH = 32


def by_length(log_probs: Sequence[npt.NDArray[np.float32]]) -> list[list[int]]:
    """Batches of utterances, the longest first."""
    order = sorted(range(len(log_probs)), key=lambda i: -len(log_probs[i]))
    return [order[begin : begin + _BATCH] for begin in range(0, len(order), _BATCH)]


class Ours:
    """The knob multiplies the boost of every name."""

    weights = (1.0, 0.8, 1.2)
    batches = True
    version = ctcbias_fst.__version__

    def __init__(self, setting: Setting) -> None:
        config = PipelineConfig()
        if setting.config is not None:
            config = load_config(PipelineConfig, setting.config)
        self._tokenizer = setting.tokenizer
        self._decoder = Decoder(setting.tokenizer.vocabulary, config.decode)
        self._graph: BoostGraph | None = None

    def use(self, names: Sequence[str], weight: float) -> None:
        entries = [{"name": name, "weight": weight} for name in names]
        entities = check_entities(entities_from_names(entries), self._tokenizer)
        self._graph = boost_graph(entities, self._tokenizer) if names else None

    def decode(self, log_probs: Sequence[npt.NDArray[np.float32]]) -> list[str]:
        texts = [""] * len(log_probs)
        for rows in by_length(log_probs):
            batch = stack(
                [torch.from_numpy(log_probs[i]) for i in rows],
                list(map(str, rows)),
                self._tokenizer.vocabulary,
                0.04,
            )
            for row, transcript in zip(rows, self._decoder.decode(batch, self._graph)):
                texts[row] = transcript.best.text
        return texts

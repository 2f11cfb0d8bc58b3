"""k2 as it comes: its CTC topology over all tokens, pruned search, best path; no names."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version

import k2
import numpy as np
import numpy.typing as npt
import torch

from ctcbias_fst.decode.config import DecodeConfig
from ctcbias_fst.decode.saved import stack
from decoders import Setting
from decoders.ours import by_length


class K2Topology:
    """What a list's time is measured against. It has no knob, and takes no list."""

    weights = (0.0,)
    batches = True
    version = version("k2")

    def __init__(self, setting: Setting) -> None:
        self._vocabulary = setting.tokenizer.vocabulary
        self._config = DecodeConfig()
        topology = k2.arc_sort(k2.ctc_topo(self._vocabulary.size - 1))
        self._graph = k2.create_fsa_vec([topology])

    def use(self, names: Sequence[str], weight: float) -> None:
        """Names are of no use here."""

    def decode(self, log_probs: Sequence[npt.NDArray[np.float32]]) -> list[str]:
        texts = [""] * len(log_probs)
        for rows in by_length(log_probs):
            batch = stack(
                [torch.from_numpy(log_probs[i]) for i in rows],
                list(map(str, rows)),
                self._vocabulary,
                0.04,
            )
            segments = torch.zeros(len(rows), 3, dtype=torch.int32)
            segments[:, 0], segments[:, 2] = torch.arange(len(rows)), batch.lengths
            lattice = k2.intersect_dense_pruned(
                self._graph,
                k2.DenseFsaVec(batch.log_probs, segments),
                search_beam=self._config.search_beam,
                output_beam=self._config.output_beam,
                min_active_states=0,
                max_active_states=self._config.max_active,
            )
            best = k2.shortest_path(lattice, use_double_scores=True)
            tokens = k2.RaggedTensor(best.arcs.shape().remove_axis(1), best.aux_labels)
            for row, path in zip(rows, tokens.tolist()):
                words = self._vocabulary.ids_to_words([token for token in path if token > 0])
                texts[row] = " ".join(words)
        return texts

"""k2 as it comes: its CTC topology over all tokens, pruned search, best path; no names."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version

import k2
import torch

from ctcbias_fst.search.decode_config import DecodeConfig
from decoders import Setting, Speech
from decoders.ours import batches


class K2Topology:
    """What a list's time is measured against. It has no knob, and takes no list."""

    weights = (0.0,)
    batches = True
    version = version("k2")

    def __init__(self, setting: Setting) -> None:
        self._vocabulary = setting.tokenizer.vocabulary
        self._frame_seconds = setting.frame_seconds
        self._config = DecodeConfig()
        topology = k2.arc_sort(k2.ctc_topo(self._vocabulary.size - 1))
        self._graph = k2.create_fsa_vec([topology])

    def use(self, names: Sequence[str], weight: float) -> None:
        """Names are of no use here."""

    def decode(self, speech: Sequence[Speech]) -> list[str]:
        texts = [""] * len(speech)
        for rows, batch in batches(speech, self._vocabulary, self._frame_seconds):
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

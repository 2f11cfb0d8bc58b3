"""The first pass over what streams have open: boosting and spelling variants, batched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from threading import Lock
from weakref import WeakKeyDictionary

import torch

from ctcbias_fst.compiled import CompiledEntities, compile_graph
from ctcbias_fst.graph.entity_tree import BoostGraph
from ctcbias_fst.records import LogProbs, Transcript
from ctcbias_fst.search.decode_config import DecodeConfig
from ctcbias_fst.search.evidence import leave_out_unheard
from ctcbias_fst.search.lattice import Lattice
from ctcbias_fst.search.lattice_decoder import LatticeDecoder
from ctcbias_fst.search.settled import closed, settled
from ctcbias_fst.search.spelling import spell_names
from ctcbias_fst.settings import PipelineConfig
from ctcbias_fst.streaming.cuts import Gap, WordBreaks
from ctcbias_fst.text.tokens import Tokenizer

_LIKELY = 6.0
"""Nats below the best reading down to which a name hides the words in its place."""


@dataclass(frozen=True)
class Found:
    """What the first pass found in what a stream has open; frames count from its beginning.

    Attributes:
        gaps: between words that no later frame can change.
        names_open: whether a name may have been begun.
        name: the frame at which one begins that is likely.
    """

    gaps: tuple[Gap, ...]
    names_open: bool
    name: int | None

    def after(self, cut: int) -> Found:
        """The same of what is left when the settled words before a frame are gone."""
        name = None if self.name is None else max(0, self.name - cut)
        return Found((), self.names_open, name)


class FirstPass:
    """Searches open frames. Threads may share it.

    Args:
        tokenizer: of the model.
        config: how the parts work together.
        device: where to search.
    """

    def __init__(
        self, tokenizer: Tokenizer, config: PipelineConfig, device: torch.device | str
    ) -> None:
        self._tokenizer, self._config = tokenizer, config
        decode: DecodeConfig = config.decode
        # What may still win is all that the search has not given up.
        decode = replace(decode, output_beam=decode.search_beam, nbest=1)
        self._decoder = LatticeDecoder(tokenizer.vocabulary, decode, device, check_blank=False)
        self._breaks = WordBreaks(tokenizer.vocabulary.blank_first())
        self._graphs: WeakKeyDictionary[CompiledEntities, BoostGraph | None] = WeakKeyDictionary()
        self._lock = Lock()

    def graph(self, names: CompiledEntities | None) -> BoostGraph | None:
        """The tree of a list; of one that shortlists take the place of, it is built once."""
        if names is None or names.shortlists is None or names.graph is not None:
            return None if names is None else names.graph
        with self._lock:
            if names not in self._graphs:
                self._graphs[names] = compile_graph(names.entities, self._tokenizer, self._config)
            return self._graphs[names]

    def search(
        self, windows: LogProbs, graphs: Sequence[BoostGraph | None]
    ) -> tuple[list[Found], Lattice]:
        """Search a batch of windows; also the lattice that :meth:`read` takes."""
        lattice = self._decoder.lattice(windows, list(graphs), checked=True, goes_on=True)
        gaps = self._breaks.gaps
        found = [Found(gaps(s.tokens), s.names_open, s.name) for s in settled(lattice, _LIKELY)]
        return found, closed(lattice)

    def read(
        self, lattice: Lattice, windows: LogProbs, graphs: Sequence[BoostGraph | None]
    ) -> list[Transcript]:
        """What windows seem to say, with the times of tokens."""
        decoder = self._decoder
        read = dict(decoder.read(lattice, windows.ids, windows.frame_seconds))
        lost = [row for row in range(windows.size) if row not in read]
        if lost:
            again = decoder.decode(windows, [graphs[row] for row in lost], lost, checked=True)
            read.update(zip(lost, again))
        found = [spell_names(read[row], graph) for row, graph in enumerate(graphs)]
        return leave_out_unheard(found, windows, self._config.decode.evidence)

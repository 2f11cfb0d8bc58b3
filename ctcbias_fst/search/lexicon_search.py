"""The first pass of a model whose tokens are phones: words through a lexicon.

A token that stands between words, or for silence (``<wb>``, ``sil``, ``sp``), is no more than a
hint: people pause inside words, and run words together. So between words it counts as blank,
whichever is more probable; inside a word as well, for ``separator_cost`` nats a frame.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import replace
from threading import Lock

import numpy as np
import torch

from ctcbias_fst.graph.decoding_graph import DecodingGraph
from ctcbias_fst.graph.entity_tree import BoostGraph
from ctcbias_fst.graph.labels import INSIDE
from ctcbias_fst.graph.lexicon_graph import LexiconGraph
from ctcbias_fst.graph.lexicon_tree import LexiconTree
from ctcbias_fst.recent import Recent
from ctcbias_fst.search.boosting import blank_frames, find_candidates, reward, score_columns
from ctcbias_fst.search.decode_config import DecodeConfig
from ctcbias_fst.search.frames import Frames, without_idle_frames
from ctcbias_fst.search.intersect import search
from ctcbias_fst.search.lattice import Lattice
from ctcbias_fst.text.token_lexicon import TokenLexicon
from ctcbias_fst.text.token_marks import is_silence
from ctcbias_fst.text.vocabulary import Vocabulary

_MANY, _NEAR, _FRAMES = 10, 1.25, 5
"""Scores are flat where so many tokens are within so many nats of the best, for so many frames and
more. A word for any sounds fits then, and the beam alone would keep millions of states."""

_TRIED = 3
"""Tokens that are tried where scores are flat."""

_LISTS = 4
"""Graphs of lists that are kept: some 50 MB each with 100,000 words."""


class LexiconSearch:
    """Searches the words of a lexicon, and the names of a list. Threads may share it.

    Args:
        lexicon: of the model.
        vocabulary: the model's own.
        device: where to search.

    Attributes:
        words: what is written: the words of the lexicon behind the model's tokens, blank-first.
    """

    def __init__(
        self, lexicon: TokenLexicon, vocabulary: Vocabulary, device: torch.device | str = "cpu"
    ) -> None:
        self.words = lexicon.vocabulary(vocabulary)
        tokens = vocabulary.blank_first()
        column = np.empty(vocabulary.size, dtype=np.int64)
        column[vocabulary.blank_first_order] = np.arange(vocabulary.size)
        self._silent = _silent(tokens, frozenset(column[lexicon.values].tolist()))
        tree = LexiconTree.of(
            column[lexicon.values], lexicon.row_splits, lexicon.word, lexicon.cost
        )
        self._graph = LexiconGraph(
            tree,
            vocabulary.size,
            len(lexicon.words),
            separated=bool(self._silent),
            device=device,
        )
        # A phone says about as much as a letter, however it is written.
        self._letters = torch.ones(vocabulary.size, device=device)
        self._graphs: Recent[tuple[int, object], tuple[BoostGraph | None, DecodingGraph]]
        self._graphs = Recent(_LISTS)
        self._lock = Lock()

    def lattice(
        self,
        values: torch.Tensor,
        lengths: torch.Tensor,
        tree: BoostGraph | None,
        token_order: torch.Tensor,
        *,
        config: DecodeConfig,
        output_beam: float,
        ids: Sequence[str],
    ) -> Lattice:
        """Search a batch of utterances with one list.

        Args:
            values: float32 (N, T, V), log-probs, blank-first.
            lengths: int64 (N,) on the same device.
            tree: of the list, or None.
            token_order: blank-first column of each token id of that tree.
            config: the settings.
            output_beam: nats below the best path that the lattice keeps.
            ids: names of the utterances, for messages.
        """
        idle = blank_frames(values, lengths, config.blank_threshold)
        values, inside = self._without_separator(values, config.separator_cost)
        open_frames = torch.arange(values.shape[1], device=values.device) < lengths[:, None]
        flat = _flat(values, open_frames)
        values = _few_tokens(values, flat)
        # The lexicon says what may follow; a token is given up by the beam alone.
        wide = replace(config, token_top_k=values.shape[2], token_beam=config.search_beam)
        candidates = find_candidates(values, open_frames & ~idle, wide)
        frames = without_idle_frames(candidates, values[:, :, 0], lengths, idle)
        graph = self._with_names(tree, token_order, config)
        scores = score_columns(
            frames.blank, frames.candidates, graph.columns, self._letters, config
        )
        for block in graph.columns.blocks:
            if block.kind == INSIDE:
                scores[:, :, block.first] = _kept(inside, idle, frames)
        fsa = search(
            scores,
            frames.lengths.cpu(),
            graph.fsa,
            search_beam=config.search_beam,
            output_beam=output_beam,
            max_active=config.max_active,
            ids=ids,
        )
        lattice = Lattice(fsa, graph, frames.original, frames.skipped_frame_score, scores)
        return replace(lattice, flat=flat.any(dim=1))

    def _without_separator(
        self, values: torch.Tensor, cost: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The log-probs with what is silent in the place of blank where it is better, and what
        blank is inside words, (N, T)."""
        blank = values[:, :, 0]
        if not self._silent:
            return values, blank
        between = values[:, :, self._silent].amax(dim=2)
        values = values.clone()
        values[:, :, 0] = torch.maximum(blank, between)
        values[:, :, self._silent] = -torch.inf
        return values, torch.maximum(blank, between - cost)

    def _with_names(
        self, tree: BoostGraph | None, token_order: torch.Tensor, config: DecodeConfig
    ) -> DecodingGraph:
        """The graph of a list; the latest are kept."""
        key = (id(tree), config.boost)
        with self._lock:  # two threads need not build the same one
            known = self._graphs.get(key)
            if known is None:
                graph = self._graph.with_names(
                    tree, token_order, lambda letters, weight: reward(letters, weight, config.boost)
                )
                # As long as it is kept, so is the tree: no other has its id.
                known = self._graphs.put(key, (tree, graph))
        return known[1]


def _silent(tokens: Vocabulary, spoken: Container[int]) -> list[int]:
    """The columns that stand for no phone, but for the silence between words.

    Args:
        tokens: blank-first.
        spoken: columns that words are written in; what is among them is no silence.
    """
    silent = {i for i, one in enumerate(tokens.tokens) if i and is_silence(one) and i not in spoken}
    between = tokens.separator_id
    return sorted(silent if between is None else silent | {between})


def _flat(values: torch.Tensor, open_frames: torch.Tensor) -> torch.Tensor:
    """bool (N, T): where the scores (N, T, V) say next to nothing."""
    flat = torch.zeros_like(open_frames)
    if values.shape[2] <= _MANY or values.shape[1] < _FRAMES:
        return flat
    best = values.topk(_MANY + 1, dim=2).values
    near = (best[:, :, 0] - best[:, :, -1] < _NEAR) & open_frames
    runs = near.unfold(1, _FRAMES, 1).all(dim=2)
    for later in range(_FRAMES):
        flat[:, later : later + runs.shape[1]] |= runs
    return flat


def _few_tokens(values: torch.Tensor, flat: torch.Tensor) -> torch.Tensor:
    """The scores without all but the best tokens of flat frames; of equal ones none is better."""
    if not flat.any():
        return values
    rows = values[flat]
    spoken = rows[:, 1:]
    least = spoken.topk(_TRIED + 1, dim=1).values[:, -1:]
    rows[:, 1:] = spoken.masked_fill(spoken <= least, -torch.inf)
    values = values.clone()
    values[flat] = rows
    return values


def _kept(inside: torch.Tensor, idle: torch.Tensor, frames: Frames) -> torch.Tensor:
    """What blank is inside words at the frames that are searched."""
    at = frames.original.clamp(max=inside.shape[1] - 1)
    return torch.where(idle.gather(1, at), frames.blank, inside.gather(1, at))

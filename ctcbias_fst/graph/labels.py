"""The labels of decoding graphs: columns of log-probs, one for every use of a token.

The same token scores otherwise as a plain one, where it begins an entity, further on in one,
and while it goes on (:mod:`ctcbias_fst.search.boosting`): each of these is a column.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch

from ctcbias_fst.graph.candidates import Candidates
from ctcbias_fst.graph.reachable import Nodes

PLAIN, ENTRY, BOOSTED, REPEAT, INSIDE = 0, 1, 2, 3, 4


class Block(NamedTuple):
    """Columns of one kind: ``first + i`` stands for ``tokens[i]``; weight is 1 but for boosts."""

    kind: int
    weight: float
    first: int
    tokens: torch.Tensor


@dataclass(frozen=True)
class LabelTable:
    """What the labels of a decoding graph stand for; label 0 is the blank.

    There are five kinds: ``PLAIN`` tokens (first frame and further ones), the ``ENTRY`` to an
    entity, that is its first token's first frame, its ``BOOSTED`` later tokens' first frames,
    and what it takes to ``REPEAT`` inside it: further frames of its tokens, and blanks (token 0)
    before its last token; and, where a lexicon says what words are, blanks (token 0) ``INSIDE``
    words. Only what some utterance of the batch can take has a column.

    Attributes:
        blocks: the columns after 0, by kind and weight, tokens ascending in each.
    """

    blocks: tuple[Block, ...]

    def __len__(self) -> int:
        """The number of columns, the blank's included."""
        return 1 + sum(len(block.tokens) for block in self.blocks)

    @cached_property
    def token(self) -> torch.Tensor:
        """int64: the token of each column."""
        return torch.cat(
            [self.blocks[0].tokens.new_zeros(1), *(block.tokens for block in self.blocks)]
        )

    @cached_property
    def begins_in_tree(self) -> torch.Tensor:
        """bool: whether a token of an entity begins at an arc with this label."""
        begins = torch.zeros(len(self), dtype=torch.bool, device=self.token.device)
        for block in self.blocks:
            if block.kind in (ENTRY, BOOSTED):
                begins[block.first : block.first + len(block.tokens)] = True
        return begins

    @cached_property
    def given(self) -> torch.Tensor:
        """bool: whether a label is of an entity, and may score more than its token does."""
        given = torch.zeros(len(self), dtype=torch.bool, device=self.token.device)
        for block in self.blocks:
            given[block.first : block.first + len(block.tokens)] = block.kind not in (PLAIN, INSIDE)
        return given

    def lookup(self, kind: int, weight: float, num_tokens: int) -> torch.Tensor:
        """int64 (num_tokens,): the column of each token in one block, or -1; plain blank has 0."""
        of_token = self.token.new_full((num_tokens,), -1)
        if kind == PLAIN:
            of_token[0] = 0
        for block in self.blocks:
            if (block.kind, block.weight) == (kind, weight):
                of_token[block.tokens] = torch.arange(
                    block.first, block.first + len(block.tokens), device=of_token.device
                )
        return of_token

    @classmethod
    def of(cls, candidates: Candidates, nodes: Nodes) -> LabelTable:
        """Give a column to every (kind, weight, token) that occurs."""
        first, later = nodes.parent < 0, nodes.parent >= 0
        wanted = [(PLAIN, 1.0, candidates.token), (ENTRY, 1.0, nodes.token[first])]
        if len(nodes.token):
            wanted.append((REPEAT, 1.0, torch.cat([nodes.token, nodes.token.new_zeros(1)])))
        for weight in torch.unique(nodes.weight[later]).tolist():
            wanted.append((BOOSTED, weight, nodes.token[later & (nodes.weight == weight)]))
        blocks: list[Block] = []
        column = 1
        for kind, weight, tokens in wanted:
            present = torch.zeros(candidates.shape[2], dtype=torch.bool, device=tokens.device)
            present[tokens] = True
            blocks.append(Block(kind, weight, column, present.nonzero().flatten()))
            column += len(blocks[-1].tokens)
        return cls(tuple(blocks))

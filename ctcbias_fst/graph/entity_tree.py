"""The boosting FST: a list of names as a tree over the subwords of a CTC model.

Relation: each segmentation of an entity, a sequence of tokens, is mapped to that entity,
at its cost. As a graph: a root, one node for every prefix of a segmentation, an arc for
its last token, and the entity at the node where its last token leads. Tropical semiring;
costs are nats, 0 or more, and paid at the end. It is acyclic and deterministic, children
are sorted by token.

Two names share the nodes of a common prefix only if their weights are equal: a weight
scales the boost of every token on the way, so paths of different weights are different
paths (see :mod:`ctcbias_fst.search.boosting`).

Where the tree may be entered and left, and what an arc scores at a frame, is not part of
it: that is the decoding graph's affair (:mod:`ctcbias_fst.graph.decoding_graph`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from ctcbias_fst.errors import GraphError
from ctcbias_fst.text.encoded_entities import EncodedEntities, encode_entities
from ctcbias_fst.text.entities import EntityList
from ctcbias_fst.text.entity import Entity
from ctcbias_fst.text.entity_fields import MAX_WEIGHT
from ctcbias_fst.text.phrases import PhraseMatcher, in_capitals_only, matcher_of
from ctcbias_fst.text.text_files import quoted

if TYPE_CHECKING:
    from ctcbias_fst.text.tokens import Tokenizer
    from ctcbias_fst.text.vocabulary import Vocabulary

from ctcbias_fst.graph.token_letters import letters_of, row_letters
from ctcbias_fst.graph.token_rows import sorted_rows, unique_rows


@dataclass(frozen=True)
class TreeTensors:
    """The arrays of a tree on the device where it is searched; see :class:`BoostGraph`."""

    token: torch.Tensor
    first_child: torch.Tensor
    num_children: torch.Tensor
    weight: torch.Tensor
    end: torch.Tensor
    cost: torch.Tensor
    letters: torch.Tensor

    @classmethod
    def concatenate(cls, trees: Sequence[TreeTensors], device: torch.device) -> TreeTensors:
        """One set of arrays; nodes keep their numbers, which must be offset already."""
        if len(trees) == 1:
            return trees[0]
        empty = torch.zeros(0, dtype=torch.int32, device=device)
        return cls(
            *(
                torch.cat([getattr(tree, part.name) for tree in trees]) if trees else empty
                for part in fields(cls)
            )
        )


@dataclass(frozen=True, eq=False)
class BoostGraph:
    """A compiled list of names. Nodes are numbered breadth first, the root is 0.

    Attributes:
        token: int32 (nodes,): the token of the arc into each node; -1 at the root.
        first_child: int32 (nodes + 1,): the children of node n are the nodes
            ``first_child[n]`` to ``first_child[n + 1] - 1``, by (weight, token).
        weight: float32 (nodes,): the factor on the boost of the arc into each node.
        end: int32 (nodes,): the entity that is complete here, or -1.
        cost: float32 (nodes,): nats to pay for completing it, 0 or more.
        letters: float32 (nodes,): what the tokens down to here write, where ``end`` is an entity;
            see :func:`ctcbias_fst.graph.token_letters.token_letters`.
        entities: what ``end`` points into.
        digest: of the vocabulary whose token ids these are.
        shadowed: entities none of whose segmentations is in the tree, because another
            entity has the same one at less cost (or comes first in the alphabet).
        split: parts texts into words, where every token is one.
        cased: whether the vocabulary has capitals and small letters.
        phones: whether tokens are phones; see :meth:`of_phones`.
    """

    token: npt.NDArray[np.int32]
    first_child: npt.NDArray[np.int32]
    weight: npt.NDArray[np.float32]
    end: npt.NDArray[np.int32]
    cost: npt.NDArray[np.float32]
    letters: npt.NDArray[np.float32]
    entities: tuple[Entity, ...]
    digest: str
    shadowed: tuple[Entity, ...] = ()
    split: Callable[[str], list[str]] | None = field(default=None, repr=False, compare=False)
    cased: bool = field(default=False, repr=False, compare=False)
    phones: bool = False
    _on_device: dict[torch.device, TreeTensors] = field(
        default_factory=dict, repr=False, compare=False
    )

    @property
    def num_nodes(self) -> int:
        """Nodes, the root included."""
        return len(self.token)

    @property
    def num_paths(self) -> int:
        """Segmentations in the tree."""
        return int(np.count_nonzero(self.end >= 0))

    @property
    def depth(self) -> int:
        """The tokens of the longest segmentation."""
        node, depth = self.num_nodes - 1, 0
        parent = self.parent
        while node > 0:
            node, depth = int(parent[node]), depth + 1
        return depth

    @property
    def parent(self) -> npt.NDArray[np.int32]:
        """int32 (nodes,): where the arc into each node comes from; -1 at the root."""
        counts = np.diff(self.first_child)
        parents = np.repeat(np.arange(self.num_nodes, dtype=np.int32), counts)
        return np.concatenate([np.full(1, -1, dtype=np.int32), parents])

    @cached_property
    def by_text(self) -> dict[str, Entity]:
        """The entities by the words of their names, then of what they are said.

        A name is never taken for what another one is said. Where the model writes capitals, so does
        a name that is read as letters: ``US`` is no *us* there.
        """
        texts = [(entity.name, entity) for entity in self.entities]
        if self.cased:
            texts += [(e.display, e) for e in self.entities if in_capitals_only(e.name, e.display)]
        texts += [(text, entity) for entity in self.entities for text, _ in entity.spoken]
        if self.split is not None:
            texts = [(" ".join(self.split(text)), entity) for text, entity in texts]
        found: dict[str, Entity] = {}
        for text, entity in texts:
            found.setdefault(text, entity)
        return found

    @cached_property
    def matcher(self) -> PhraseMatcher:
        """Finds the names of :attr:`by_text` in words."""
        return matcher_of(self.by_text)

    def paths(self) -> list[tuple[tuple[int, ...], int, float]]:
        """Each segmentation, its entity and its cost, in the order of the nodes."""
        parent = self.parent
        found = []
        for node in np.flatnonzero(self.end >= 0).tolist():
            tokens = []
            at = node
            while at > 0:
                tokens.append(int(self.token[at]))
                at = int(parent[at])
            found.append((tuple(reversed(tokens)), int(self.end[node]), float(self.cost[node])))
        return found

    def of_phones(self) -> BoostGraph:
        """The same where tokens are phones: a name earns what its letters do."""
        letters = [letters_of(entity.name) for entity in self.entities]
        earned = np.array([*letters, 0.0], dtype=np.float32)[self.end]  # -1 is the last one
        return replace(self, letters=earned, split=None, cased=False, phones=True, _on_device={})

    def tensors(self, device: torch.device) -> TreeTensors:
        """The arrays on ``device``; copied there once."""
        if device not in self._on_device:
            self._on_device[device] = TreeTensors(
                token=torch.from_numpy(self.token).to(device),
                first_child=torch.from_numpy(self.first_child[:-1]).to(device),
                num_children=torch.from_numpy(np.diff(self.first_child)).to(device),
                weight=torch.from_numpy(self.weight).to(device),
                end=torch.from_numpy(self.end).to(device),
                cost=torch.from_numpy(self.cost).to(device),
                letters=torch.from_numpy(self.letters).to(device),
            )
        return self._on_device[device]

    def require_vocabulary(self, vocabulary: Vocabulary) -> None:
        """Check that the token ids are those of ``vocabulary``.

        Raises:
            GraphError: the graph was compiled for another model.
        """
        if self.digest != vocabulary.digest:
            raise GraphError(
                f"the boosting graph was compiled for another vocabulary (digest "
                f"{self.digest[:12]}, the model's is {vocabulary.digest[:12]}): compile the "
                "list again with this model's tokenizer"
            )


def boost_graph(
    entities: EntityList | Sequence[Entity], tokenizer: Tokenizer, segmentations: int = 1
) -> BoostGraph:
    """Segment a list of names and build its tree.

    Args:
        entities: names that passed :func:`ctcbias_fst.text.checked_entities.check_entities`.
        tokenizer: the model's.
        segmentations: how many segmentations of each spelling may be taken.
    """
    encoded = encode_entities(entities, tokenizer, nbest=segmentations)
    return build_tree(encoded, tuple(entities), tokenizer.vocabulary)


def build_tree(
    encoded: EncodedEntities, entities: tuple[Entity, ...], vocabulary: Vocabulary
) -> BoostGraph:
    """Build the tree of segmentations that are at hand, whoever made them.

    The result does not depend on the order of the rows: of equal rows the one of least
    cost stays, of these the one whose entity is first in the alphabet.

    Raises:
        GraphError: a token is outside the vocabulary or the blank, a row is empty, or an
            entity index is out of range; a weight is out of bounds.
    """
    _check(encoded, entities, vocabulary)
    lengths = np.diff(encoded.row_splits)
    weights, row_class = _weight_classes(encoded.entity_index, entities)
    order = sorted_rows(encoded, lengths, row_class)
    order, shadow_candidates = unique_rows(order, encoded, lengths, row_class, entities)

    starts, lengths = encoded.row_splits[:-1][order], lengths[order]
    # A row's node at each level; before the first token rows part by weight alone.
    group = row_class[order].astype(np.int64)
    active = np.arange(len(order))
    tokens = [np.full(1, -1, dtype=np.int32)]
    parents = [np.full(1, -1, dtype=np.int64)]
    classes = [np.zeros(1, dtype=np.int64)]
    ends: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]] = []
    num_nodes, level = 1, 0
    while len(active):
        token = encoded.values[starts[active] + level]
        above = group[active]
        new = np.ones(len(active), dtype=bool)
        new[1:] = (above[1:] != above[:-1]) | (token[1:] != token[:-1])
        node = np.cumsum(new) + (num_nodes - 1)
        tokens.append(token[new])
        parents.append(above[new] if level else np.zeros(int(new.sum()), dtype=np.int64))
        classes.append(row_class[order[active[new]]])
        group[active] = node
        done = lengths[active] == level + 1
        ends.append((node[done], order[active[done]]))
        num_nodes += int(new.sum())
        active = active[~done]
        level += 1

    first_child = np.ones(num_nodes + 1, dtype=np.int32)
    children = np.bincount(np.concatenate(parents)[1:], minlength=num_nodes)
    first_child[1:] += np.cumsum(children, dtype=np.int32)
    end = np.full(num_nodes, -1, dtype=np.int32)
    cost, letters = np.zeros((2, num_nodes), dtype=np.float32)
    written = row_letters(encoded, vocabulary)
    for nodes, rows in ends:
        end[nodes] = encoded.entity_index[rows]
        cost[nodes] = encoded.cost[rows]
        letters[nodes] = written[rows]
    taken = np.zeros(len(entities), dtype=bool)
    taken[end[end >= 0]] = True
    lost = sorted(i for i in set(shadow_candidates.tolist()) if not taken[i])
    return BoostGraph(
        token=np.concatenate(tokens).astype(np.int32, copy=False),
        first_child=first_child,
        weight=weights[np.concatenate(classes)].astype(np.float32),
        end=end,
        cost=cost,
        letters=letters,
        entities=entities,
        digest=vocabulary.digest,
        shadowed=tuple(entities[i] for i in lost),
        split=vocabulary.split if vocabulary.splits_words else None,
        cased=vocabulary.case.value == "both",
    )


def _check(encoded: EncodedEntities, entities: Sequence[Entity], vocabulary: Vocabulary) -> None:
    if not len(encoded):
        return
    lowest, highest = int(encoded.values.min()), int(encoded.values.max())
    if lowest < 0 or highest >= vocabulary.size:
        raise GraphError(
            f"a segmentation has token {lowest if lowest < 0 else highest}, the vocabulary has "
            f"{vocabulary.size} tokens"
        )
    if bool((encoded.values == vocabulary.blank_id).any()):
        token = vocabulary.tokens[vocabulary.blank_id]
        raise GraphError(
            f"a name is written with the blank, column {vocabulary.blank_id}, {quoted(token)}: the "
            "blank is probably another column, which blank= says"
        )
    if bool((np.diff(encoded.row_splits) < 1).any()):
        raise GraphError("a segmentation has no tokens")
    if not 0 <= int(encoded.entity_index.min()) <= int(encoded.entity_index.max()) < len(entities):
        raise GraphError(
            f"entity index {int(encoded.entity_index.max())} of a segmentation is out of range: "
            f"there are {len(entities)} entities"
        )
    if not bool(np.isfinite(encoded.cost).all()) or float(encoded.cost.min()) < 0:
        raise GraphError("the cost of a segmentation is negative or not finite")


def _weight_classes(
    owner: npt.NDArray[np.int32], entities: Sequence[Entity]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """The distinct weights, in descending order, and each row's position among them."""
    weights = np.array([entity.weight for entity in entities], dtype=np.float64)
    distinct, of_entity = np.unique(-weights, return_inverse=True)
    if not len(distinct):
        return np.ones(1), np.zeros(0, dtype=np.int64)
    bad = np.flatnonzero(~((weights > 0) & (weights <= MAX_WEIGHT)))  # also NaN
    if len(bad):
        raise GraphError(
            f"the weight of {entities[int(bad[0])].display!r}, {weights[bad[0]]:g}, is not above 0 "
            f"and at most {MAX_WEIGHT:g}"
        )
    return -distinct, of_entity.astype(np.int64)[owner]

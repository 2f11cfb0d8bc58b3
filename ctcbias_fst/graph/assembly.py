"""States and arcs of the graphs that :mod:`ctcbias_fst.graph.decoding_graph` defines.

States of an utterance, with what was last taken as their meaning:

- *blank* (with separators two: at a word's start or inside a word), the start state;
- *hub(v)*, plain token v;
- *node(n)* and *blank after node(n)*, inside the tree, the path not complete;
- *end(v)* and *blank after end*, an entity whose last token was v is complete: entities
  share these, whichever they are;
- *possessive(p)* and *blank after* it;
- the final state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ctcbias_fst.graph.arcs import Arcs
from ctcbias_fst.graph.candidates import Candidates
from ctcbias_fst.graph.labels import BOOSTED, ENTRY, PLAIN, REPEAT, LabelTable
from ctcbias_fst.graph.reachable import Nodes
from ctcbias_fst.graph.successors import TokenSuccessors
from ctcbias_fst.graph.vectors import expand
from ctcbias_fst.graph.word_rules import WordRules
from ctcbias_fst.k2_import import k2


class _Graph:
    """Collects states and arcs, and makes k2's FsaVec of them."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._owners: list[torch.Tensor] = []
        self._arcs: list[Arcs] = []
        self._count = 0

    def states(self, utterance: torch.Tensor) -> torch.Tensor:
        """A new state in each ``utterance[i]``; their numbers."""
        self._owners.append(utterance)
        self._count += len(utterance)
        return torch.arange(self._count - len(utterance), self._count, device=self._device)

    def arcs(
        self,
        source: torch.Tensor,
        target: torch.Tensor,
        label: torch.Tensor | int,
        **rest: Any,
    ) -> None:
        """Arcs from ``source[i]`` to ``target[i]``, see `Arcs.of`."""
        self._arcs.append(Arcs.of(source, target, label, **rest))

    def finish(self, num_utterances: int) -> k2.Fsa:
        """One graph per utterance."""
        return Arcs.joined(self._arcs).graph(torch.cat(self._owners), num_utterances)


@dataclass(frozen=True)
class _Open:
    """States after which a word, or an entity, may begin; by what was taken last.

    Attributes:
        state, hub: after a token, the hub of which is the second.
        blank_state, utterance: after a blank.
    """

    state: torch.Tensor
    hub: torch.Tensor
    blank_state: torch.Tensor
    utterance: torch.Tensor

    @classmethod
    def joined(cls, parts: Sequence[_Open]) -> _Open:
        return cls(
            torch.cat([part.state for part in parts]),
            torch.cat([part.hub for part in parts]),
            torch.cat([part.blank_state for part in parts]),
            torch.cat([part.utterance for part in parts]),
        )


class Assembly:
    """Puts a batch's graphs together, one kind of states after the other."""

    def __init__(
        self,
        candidates: Candidates,
        nodes: Nodes,
        columns: LabelTable,
        rules: WordRules,
    ) -> None:
        self.size, _, self.vocabulary = candidates.shape
        self.nodes, self.columns, self.rules = nodes, columns, rules
        self.plain = columns.lookup(PLAIN, 1.0, self.vocabulary)
        self.stay = columns.lookup(REPEAT, 1.0, self.vocabulary)
        self.hubs = TokenSuccessors.of(candidates, columns)
        self.graph = _Graph(candidates.token.device)
        self.utterances = torch.arange(self.size, device=candidates.token.device)

    def fsa(self, reward: torch.Tensor) -> k2.Fsa:
        """The graphs, with ``reward`` of the nodes on the last arcs of entities, less the costs."""
        word_start, final, owner = self._tokens()
        if len(self.nodes.token):
            ended = self._ends()
            closed = self._possessives(ended)
            self._leave(closed)
            if self.rules.separator is None:
                word_start = _Open.joined([word_start, closed])
            self._trees(word_start, reward - self.nodes.cost)
            final = torch.cat([final, closed.state, closed.blank_state])
            owner = torch.cat([owner, self.hubs.utterance[closed.hub], closed.utterance])
        last = self.graph.states(self.utterances)
        self.graph.arcs(final, last[owner], -1, aux=-1)
        if len(self.nodes.token):
            waits = self.nodes.open.nonzero().flatten()
            end = last[self.nodes.utterance[waits]]
            for state in self.node_states:
                self.graph.arcs(state[waits], end, -1, aux=-1, open_end=True)
        return self.graph.finish(self.size)

    def _tokens(self) -> tuple[_Open, torch.Tensor, torch.Tensor]:
        """Plain tokens and the blanks between them.

        Returns where words may begin, the states that are final, and their utterances.
        """
        graph, hubs, plain = self.graph, self.hubs, self.plain
        blank = graph.states(self.utterances)
        blanks, after = [blank], blank[hubs.utterance]
        separated = self.rules.separator is not None
        # Token 0 is the blank: without separators nothing is equal to it.
        separates = torch.eq(hubs.token, self.rules.separator or 0)
        parts = self.rules.parts_words[hubs.token]
        if separated:
            blanks += [graph.states(self.utterances), graph.states(self.utterances)]
            inside = torch.where(parts, blanks[2][hubs.utterance], blanks[1][hubs.utterance])
            after = torch.where(separates, after, inside)
        self.hub_state = graph.states(hubs.utterance)
        for state in blanks:
            graph.arcs(state, state, 0)
            graph.arcs(
                state[hubs.utterance],
                self.hub_state,
                plain[hubs.token],
                aux=hubs.token,
                starts_word=separated and state is blank,
            )
        graph.arcs(self.hub_state, self.hub_state, plain[hubs.token])
        graph.arcs(self.hub_state, after, 0)
        hub = torch.arange(len(hubs.token), device=hubs.token.device)
        row, token = hubs.follow(hub)
        graph.arcs(
            self.hub_state[row],
            self.hub_state[hubs.of_token[hubs.utterance[row], token]],
            plain[token],
            aux=token,
            starts_word=separates[row],
        )
        if separated:
            hub = (separates | parts).nonzero().flatten()
        word_start = _Open(self.hub_state[hub], hub, blank, self.utterances)
        if separated:
            none = hub[:0]
            loose = _Open(self.hub_state[none], none, blanks[2], self.utterances)
            word_start = _Open.joined([word_start, loose])
        owners = [self.utterances for _ in blanks] + [hubs.utterance]
        return word_start, torch.cat([*blanks, self.hub_state]), torch.cat(owners)

    def _token_and_blank(
        self, utterance: torch.Tensor, token: torch.Tensor, column: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """A state in which a token goes on, and one for the blank after it.

        ``column`` says which label a token has that goes on, and which one blank has.
        """
        state, blank = self.graph.states(utterance), self.graph.states(utterance)
        silence = column[0].expand(len(state))
        self.graph.arcs(state, state, column[token])
        self.graph.arcs(state, blank, silence)
        self.graph.arcs(blank, blank, silence)
        return state, blank

    def _ends(self) -> _Open:
        """Where complete entities lead: a state per last token, a blank per utterance."""
        nodes, hubs = self.nodes, self.hubs
        complete = nodes.end >= 0
        mark = torch.zeros(len(hubs.token), dtype=torch.bool, device=hubs.token.device)
        mark[hubs.of_token[nodes.utterance[complete], nodes.token[complete]]] = True
        hub = mark.nonzero().flatten()
        utterance = torch.unique(hubs.utterance[hub])
        state, blank = self.graph.states(hubs.utterance[hub]), self.graph.states(utterance)
        self.end_of_hub = torch.full_like(hubs.token, -1)
        self.end_of_hub[hub] = state
        blank_of_utterance = torch.full_like(self.utterances, -1)
        blank_of_utterance[utterance] = blank
        self.graph.arcs(state, state, self.stay[hubs.token[hub]])
        self.graph.arcs(state, blank_of_utterance[hubs.utterance[hub]], 0)
        self.graph.arcs(blank, blank, 0)
        return _Open(state, hub, blank, utterance)

    def _possessives(self, ended: _Open) -> _Open:
        """Add 's after complete entities; returns where an entity may be left."""
        hubs = self.hubs
        opened: dict[tuple[int, ...], _Open] = {(): ended}
        for pieces in self.rules.possessives:
            for length, token in enumerate(pieces):
                if pieces[: length + 1] in opened:
                    continue
                before = opened[pieces[:length]]
                has = hubs.of_token[before.utterance, token] >= 0
                utterance = before.utterance[has]
                tokens = torch.full_like(utterance, token)
                state, blank = self._token_and_blank(utterance, tokens, self.plain)
                of_utterance = torch.full_like(self.utterances, -1)
                of_utterance[utterance] = state
                self.graph.arcs(before.blank_state[has], state, self.plain[tokens], aux=token)
                row, following = hubs.follow(before.hub)
                row = row[following == token]
                self.graph.arcs(
                    before.state[row],
                    of_utterance[hubs.utterance[before.hub[row]]],
                    self.plain[following[following == token]],
                    aux=token,
                )
                opened[pieces[: length + 1]] = _Open(
                    state, hubs.of_token[utterance, token], blank, utterance
                )
        return _Open.joined([ended, *(opened[pieces] for pieces in self.rules.possessives)])

    def _leave(self, closed: _Open) -> None:
        """From a complete entity to the plain tokens that end its last word."""
        hubs, plain, ends_name = self.hubs, self.plain, self.rules.ends_name
        row, token = hubs.follow(closed.hub)
        row, token = row[ends_name[token]], token[ends_name[token]]
        target = hubs.of_token[hubs.utterance[closed.hub[row]], token]
        self.graph.arcs(closed.state[row], self.hub_state[target], plain[token], aux=token)
        word = ends_name[hubs.token].nonzero().flatten()
        count = torch.bincount(hubs.utterance[word], minlength=self.size)
        first = torch.cumsum(count, 0) - count
        row, at = expand(first[closed.utterance], count[closed.utterance])
        token = hubs.token[word[at]]
        self.graph.arcs(closed.blank_state[row], self.hub_state[word[at]], plain[token], aux=token)

    def _trees(self, word_start: _Open, end_score: torch.Tensor) -> None:
        """The nodes of the trees, entered from ``word_start``, left for the ends."""
        nodes, hubs = self.nodes, self.hubs
        inner = nodes.inner.nonzero().flatten()
        complete = (nodes.end >= 0).nonzero().flatten()
        state = torch.full_like(nodes.token, -1)
        blank = torch.full_like(nodes.token, -1)
        state[inner], blank[inner] = self._token_and_blank(
            nodes.utterance[inner], nodes.token[inner], self.stay
        )
        self.node_states = (state, blank)
        # An arc into a node leads on, or ends an entity, or there is one of each.
        node = torch.cat([inner, complete])
        end = self.end_of_hub[hubs.of_token[nodes.utterance[complete], nodes.token[complete]]]
        target = torch.cat([state[inner], end])
        aux = torch.cat([torch.zeros_like(inner), self.vocabulary + nodes.end[complete]])
        score = torch.cat([torch.zeros_like(end_score[inner]), end_score[complete]])
        label = self._labels()[node]
        parent, utterance, token = nodes.parent[node], nodes.utterance[node], nodes.token[node]

        later = (parent >= 0).nonzero().flatten()
        direct = later[token[later] != nodes.token[parent[later]]]
        for at, source in ((later, blank[parent[later]]), (direct, state[parent[direct]])):
            self.graph.arcs(source, target[at], label[at], aux=aux[at], score=score[at])

        entry = (parent < 0).nonzero().flatten()
        key = (utterance * self.vocabulary + token)[entry]
        key, order = key.sort()
        entry = entry[order]
        row, following = hubs.follow(word_start.hub)
        wanted = hubs.utterance[word_start.hub[row]] * self.vocabulary + following
        first = torch.searchsorted(key, wanted)
        one, at_token = expand(first, torch.searchsorted(key, wanted, right=True) - first)
        count = torch.bincount(utterance[entry], minlength=self.size)
        first = (torch.cumsum(count, 0) - count)[word_start.utterance]
        other, at_blank = expand(first, count[word_start.utterance])
        for at, source in (
            (entry[at_token], word_start.state[row[one]]),
            (entry[at_blank], word_start.blank_state[other]),
        ):
            self.graph.arcs(source, target[at], label[at], aux=aux[at], score=score[at])

    def _labels(self) -> torch.Tensor:
        """The column of the arc into each node."""
        nodes = self.nodes
        label = self.columns.lookup(ENTRY, 1.0, self.vocabulary)[nodes.token]
        later = nodes.parent >= 0
        for block in self.columns.blocks:
            if block.kind == BOOSTED:
                here = later & (nodes.weight == block.weight)
                of_token = self.columns.lookup(BOOSTED, block.weight, self.vocabulary)
                label[here] = of_token[nodes.token[here]]
        return label

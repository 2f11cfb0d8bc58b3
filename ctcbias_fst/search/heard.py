r"""No word of a name is paid for by the name's other words.

A name is rewarded as a whole, so what was clearly heard of its long words would pay for a short one
of which nothing was heard: *vitamin c* would become *Vitamin D*, and *told mary the* would become
*told Mary John the*. Hence every word of a name of several must be heard by itself. What a
word *lacks* is how much worse its frames are on the path of the name than on the best one:

.. math:: \sum_t m'(t) - l(t, v_t)

over the frames from the token before the word to the one after it, with the best column m' of each
frame, and the token :math:`v_t` (or blank) that the path has there, without boosts. A word is not
heard if

- it lacks more than ``max_lack`` nats for each letter but the first, or
- it is a letter, a number or an acronym (:func:`ctcbias_fst.text.numbers.tells_apart`), and lacks
  more than ``max_short_lack``, and half a nat more for each token after the first, or
- blank is better than each of its tokens by more than ``max_short_lack``.

Letters beside each other, as in ``J. K. Rowling``, are one word.

A lattice loses the arcs that complete a name of which a word was not heard on the best path that
they are on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from ctcbias_fst.graph.labels import PLAIN
from ctcbias_fst.graph.token_letters import letters_of
from ctcbias_fst.graph.vectors import fsa_vec
from ctcbias_fst.graph.word_rules import OPEN_END, STARTS_WORD, WordRules
from ctcbias_fst.k2_import import k2
from ctcbias_fst.search.intersect import FRAME
from ctcbias_fst.search.lattice import Lattice
from ctcbias_fst.search.search_config import BoostConfig
from ctcbias_fst.text.entity import Entity
from ctcbias_fst.text.numbers import tells_apart
from ctcbias_fst.text.vocabulary import Vocabulary

_MAX_STEPS = 4_000_000
"""Arcs on the ways of names that are looked at at a time."""

_FACTORS = (0x2545F4914F6CDD1D, 0x9E3779B97F4A7C15 - 2**64)

_PER_TOKEN = 0.5
"""A number may be a word of many tokens, of which one or the other is misheard."""


@dataclass(frozen=True)
class _Best:
    """The best paths of a lattice.

    Attributes:
        into: int64 (S,), the arc on which the best path enters each state, or -1.
        lack: float64 (A,), by how much the token of each arc is worse than the best column.
        blank: bool (A,), whether the best column is blank.
        before, after: float64 (S,), what the best path to each state lacks since the last token
            began, and what the one from it lacks until the next one begins.
    """

    into: torch.Tensor
    lack: torch.Tensor
    blank: torch.Tensor
    before: torch.Tensor
    after: torch.Tensor

    @classmethod
    def of(cls, lattice: Lattice) -> _Best:
        plain = lattice.graph.columns.lookup(PLAIN, 1.0, lattice.graph.vocabulary_size)
        best = lattice.scores.amax(dim=-1)
        # Arcs to the final state have no frame.
        at = (lattice.utterance, lattice.frame.clamp(max=best.shape[1] - 1))
        final = lattice.label < 0
        lack = best[at] - lattice.scores[(*at, plain[lattice.token])]
        lack = lack.masked_fill(final, 0.0).double()
        into, out = best_arcs(lattice)
        goes_on = ~(lattice.emits | final)
        return cls(
            into,
            lack,
            lattice.scores[:, :, 0][at] >= best[at],
            _along(into, lattice.source, goes_on, lack),
            _along(out, lattice.target, goes_on, lack),
        )


def _along(
    arc: torch.Tensor, following: torch.Tensor, goes_on: torch.Tensor, lack: torch.Tensor
) -> torch.Tensor:
    """float64 (S,): what is lacking on the way from each state, as long as it goes on."""
    own = arc.clamp(min=0)
    going = (arc >= 0) & goes_on[own]
    state = torch.arange(len(arc), device=arc.device)
    jump = torch.where(going, following[own], state)
    total = torch.where(going, lack[own], torch.zeros_like(lack[own]))
    for _ in range(len(arc).bit_length()):  # twice as far each time
        if bool((jump == jump[jump]).all()):
            break
        total = total + total[jump]
        jump = jump[jump]
    return total


@dataclass(frozen=True)
class _Ways:
    """The arcs of some completed names, in the order of the frames.

    Attributes:
        arc: int64 (L, K), the lattice's; that which completes the name is the last one.
        used: bool (L, K), whether there is one.
        first: int64 (K,), that which begins the name.
    """

    arc: torch.Tensor
    used: torch.Tensor
    first: torch.Tensor


def heard_names(
    lattice: Lattice, rules: WordRules, vocabulary: Vocabulary, boost: BoostConfig
) -> Lattice:
    """The lattice without names of which a word was not heard.

    An utterance of which nothing else is in the lattice has no path any more.

    Args:
        lattice: without a language model's scores.
        rules: of the vocabulary.
        vocabulary: whose blank is token 0.
        boost: the settings.
    """
    size = lattice.graph.vocabulary_size
    complete = (lattice.aux >= size).nonzero().flatten()
    if len(complete):
        entity, of_arc = torch.unique(lattice.aux[complete] - size, return_inverse=True)
        several = [_may_be_several(lattice.graph.entities[at]) for at in entity.tolist()]
        complete = complete[torch.tensor(several, device=complete.device)[of_arc]]
    if not len(complete):
        return lattice
    best = _Best.of(lattice)
    # What is looked at is as large as the names times the frames.
    parts = complete.split(max(1, _MAX_STEPS // max(1, lattice.scores.shape[1])))
    unheard = torch.cat(
        [_unheard(lattice, part, best, (rules, vocabulary), boost=boost) for part in parts]
    )
    if not bool(unheard.any()):
        return lattice
    kept = torch.ones_like(lattice.aux, dtype=torch.bool)
    kept[complete[unheard]] = False
    pruned = torch.zeros(lattice.size, dtype=torch.bool, device=kept.device)
    pruned[lattice.utterance[~kept]] = True
    return replace(with_arcs(lattice, kept), pruned=pruned)


def _may_be_several(entity: Entity) -> bool:
    """Whether a name may be said in several words."""
    return any(" " in said for said in (entity.name, *entity.sounds_like, *dict(entity.spoken)))


def _unheard(
    lattice: Lattice,
    complete: torch.Tensor,
    best: _Best,
    of_words: tuple[WordRules, Vocabulary],
    *,
    boost: BoostConfig,
) -> torch.Tensor:
    """bool (K,): whether a word was not heard of the name that each arc completes."""
    rules, vocabulary = of_words
    ways = _ways(lattice, complete, best.into)
    lack = best.lack[ways.arc].masked_fill(~ways.used, 0.0)
    blank_better = best.blank[ways.arc]
    token = lattice.token[ways.arc]
    begins = ways.used & lattice.in_tree[ways.arc]
    # What a word is: from a token that begins one to the next such token.
    separates = torch.zeros_like(begins) if rules.separator is None else token == rules.separator
    place = torch.arange(1, len(begins) + 1, device=token.device)[:, None]
    last_begin = torch.where(begins, place, 0).cummax(dim=0).values
    before = torch.zeros_like(last_begin)
    before[1:] = last_begin[:-1]  # the place of the token before, plus 1
    after_separator = (before > 0) & separates.gather(0, (before - 1).clamp(min=0))
    new = begins & ~separates & (rules.ends_word[token] | after_separator | (before == 0))
    writes = begins & ~separates
    # Names are written alike at many frames: each way of writing one is looked at once.
    number = new.long().cumsum(dim=0)
    some, alike = _distinct_ways(lattice.aux[complete], token, number, writes)
    words, group = _spelt(
        _words(token[:, some], number[:, some], writes[:, some], vocabulary.surfaces)
    )
    group = group[:, alike.cpu()]
    word = group.to(token.device).gather(0, number)
    new[1:] &= word[1:] != word[:-1]
    count = len(group) - 1
    # A word answers for the frames since the token before it, too.
    total = lack.cumsum(dim=0)
    earlier = torch.zeros_like(total)
    earlier[1:] = total[:-1]
    until = torch.where(begins, total, 0).cummax(dim=0).values
    at_token = torch.zeros_like(until)
    at_token[1:] = until[:-1]
    gap = torch.where(new, earlier - at_token, 0)

    def per_word(value: torch.Tensor) -> torch.Tensor:
        sums = value.new_zeros(count + 1, value.shape[1])
        return sums.scatter_add(0, word, value)[1:]

    letters = torch.tensor(list(map(letters_of, vocabulary.surfaces)), device=token.device)
    lacks = per_word(lack + gap)
    lacks[0] += best.before[lattice.source[ways.first]]
    last_word = (word[-1:] - 1).clamp(min=0)
    lacks.scatter_add_(0, last_word, best.after[lattice.target[complete]][None])
    written = per_word(torch.where(writes, letters[token], 0))
    tokens = per_word((writes & (letters[token] > 0)).float())
    known = per_word(writes.float()) > 0
    heard = per_word((writes & ~(blank_better & (lack > boost.max_short_lack))).float()) > 0
    strict = _strict(lattice, complete[some], words, count)[:, alike]
    most = torch.where(
        strict,
        boost.max_short_lack + _PER_TOKEN * (tokens - 1).clamp(min=0),
        (boost.max_lack * (written - 1)).clamp(min=boost.max_short_lack),
    )
    alone = known.sum(dim=0) < 2
    return (known & ((lacks > most) | ~heard)).any(dim=0) & ~alone


def _distinct_ways(
    aux: torch.Tensor, token: torch.Tensor, word: torch.Tensor, writes: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Which names are written in which ways: int64 (D,), an example of each, and int64 (K,), which
    of these each is; by hashes of the tokens and of the words that they are in."""
    written = writes.long()
    place = written.cumsum(dim=0)
    keys = [aux]
    for factor in _FACTORS:
        step = (place + 1) * factor
        mixed = (token + 1) * 0x9E3779B1 + (word + 1) * 0x85EBCA77
        keys.append(((mixed ^ (mixed >> 15)) * step * written).sum(dim=0))
    _, alike = torch.unique(torch.stack(keys), dim=1, return_inverse=True)
    some = torch.zeros(int(alike.max()) + 1, dtype=torch.int64, device=aux.device)
    return some.scatter(0, alike, torch.arange(len(alike), device=aux.device)), alike


def _words(
    token: torch.Tensor, word: torch.Tensor, writes: torch.Tensor, surfaces: Sequence[str]
) -> list[list[str]]:
    """The words that each name's tokens write."""
    found: list[list[str]] = [[] for _ in range(token.shape[1])]
    column, row = writes.T.nonzero(as_tuple=True)
    number, tokens = word[row, column].tolist(), token[row, column].tolist()
    for at, which, one in zip(column.tolist(), number, tokens):
        words = found[at]
        words += [""] * (which - len(words))
        words[which - 1] += surfaces[one]
    return found


def _spelt(words: Sequence[Sequence[str]]) -> tuple[list[list[list[str]]], torch.Tensor]:
    """Letters beside each other are one word, as in ``I.T.`` and ``J. K. Rowling``.

    Returns:
        the words of each name, as lists of what they are made of, and int64 (words + 1, K), which
        of these each word is, both from 1 on; 0 is what is before the first.
    """
    group = torch.zeros(max(map(len, words), default=0) + 1, len(words), dtype=torch.int64)
    found: list[list[list[str]]] = []
    for column, name in enumerate(words):
        parts: list[list[str]] = []
        for place, word in enumerate(name, start=1):
            if parts and len(word) == 1 == len(parts[-1][-1]):
                parts[-1].append(word)
            else:
                parts.append([word])
            group[place:, column] = len(parts)
        found.append(parts)
    return found, group


def _strict(
    lattice: Lattice, complete: torch.Tensor, words: Sequence[Sequence[Sequence[str]]], count: int
) -> torch.Tensor:
    """bool (words, K), whether a word tells names apart."""
    strict = torch.zeros(count, len(words), dtype=torch.bool)
    first = lattice.graph.vocabulary_size
    for column, (aux, written) in enumerate(zip(lattice.aux[complete].tolist(), words)):
        shown = lattice.graph.entities[aux - first].display.split()
        telling = tells_apart(["".join(parts) for parts in written], shown)
        for place, (which, parts) in enumerate(zip(telling, written)):
            strict[place, column] = which and len(parts) == 1
    return strict.to(complete.device)


def _ways(lattice: Lattice, complete: torch.Tensor, into: torch.Tensor) -> _Ways:
    """The best path to each arc through the name that it completes."""
    enters = lattice.enters_name
    back: list[tuple[torch.Tensor, torch.Tensor]] = []
    arc, used = complete, torch.ones_like(complete, dtype=torch.bool)
    while bool(used.any()):
        back.append((arc, used))
        used = used & ~enters[arc]
        before = torch.where(used, into[lattice.source[arc]], arc)
        used = used & (before >= 0)
        arc = torch.where(used, before, arc)
    arcs, useds = zip(*reversed(back))
    return _Ways(torch.stack(arcs), torch.stack(useds), arc)


def best_arcs(lattice: Lattice) -> tuple[torch.Tensor, torch.Tensor]:
    """int64 (S,) both: the arc on which the best path enters each state, and leaves it, or -1."""
    forward = lattice.fsa.get_forward_scores(use_double_scores=True, log_semiring=False)
    backward = lattice.fsa.get_backward_scores(use_double_scores=True, log_semiring=False)
    states = len(forward)

    def best(state: torch.Tensor, score: torch.Tensor) -> torch.Tensor:
        top = score.new_full((states,), -torch.inf).scatter_reduce(0, state, score, "amax")
        arcs = (score >= top[state]).nonzero().flatten()
        none = torch.full((states,), len(score), dtype=torch.int64, device=score.device)
        first = none.scatter_reduce(0, state[arcs], arcs, "amin")  # of equal ones
        return torch.where(first < len(score), first, torch.full_like(first, -1))

    return (
        best(lattice.target, forward[lattice.source] + lattice.score),
        best(lattice.source, backward[lattice.target] + lattice.score),
    )


def with_arcs(lattice: Lattice, kept: torch.Tensor) -> Lattice:
    """The lattice of some of the arcs, and without those that lead nowhere then."""
    arcs = lattice.fsa.arcs.values()[kept]
    states = lattice.first_state[1:] - lattice.first_state[:-1]
    fsa = fsa_vec(arcs, states, torch.bincount(lattice.utterance[kept], minlength=lattice.size))
    for name in ("aux_labels", FRAME, STARTS_WORD, OPEN_END):
        if hasattr(lattice.fsa, name):
            setattr(fsa, name, getattr(lattice.fsa, name)[kept])
    return replace(lattice, fsa=k2.connect(fsa))

"""What was scored of the pieces of a recording, put together as of a whole."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ctcbias_fst.text.vocabulary import Vocabulary

_ELSE = 1e-6
"""What all other tokens have together in a frame that is made up."""

_AS_GOOD = 0.01
"""Frames at which so much more of a token is lost are as good to pass on at."""


class Part(NamedTuple):
    """Scores of a recording from a frame on; of several kinds, with and without names, say.

    Attributes:
        begin: the frame.
        scores: ``(frame, token)`` of each kind.
    """

    begin: int
    scores: Sequence[Tensor]

    @property
    def end(self) -> int:
        """The frame behind it."""
        return self.begin + len(self.scores[0])


def joined(
    parts: Sequence[Part],
    frames: int,
    vocabulary: Vocabulary,
    elsewhere: Sequence[Tensor] | None = None,
) -> list[Tensor]:
    """Join parts of a recording, which may overlap where nothing is said.

    Where two overlap, the later one counts from the frame on at which least is lost of the tokens
    of both. What is in no part is blank by default. Where words are parted by a token, and neither
    part has it between its words and the other's, one frame in between has it. The first kind of
    scores says where, for all of them.

    Args:
        parts: in order of time, at least one.
        frames: of the recording; more where the last part has more.
        vocabulary: what the columns are.
        elsewhere: what the scores of each kind are where no part is.

    Returns:
        ``(frame, token)`` of each kind.
    """
    frames = max(frames, *(part.end for part in parts))
    seams = [parts[0].begin]
    for one, other in itertools.pairwise(parts):
        seams.append(max(seams[-1], _seam(one, other, vocabulary)))
    wholes = []
    for kind, like in enumerate(parts[0].scores):
        whole = _sure(vocabulary.blank_id, vocabulary.size, like).repeat(frames, 1)
        if elsewhere is not None:
            whole[: len(elsewhere[kind])] = elsewhere[kind]
        for part, begin, end in zip(parts, seams, [*seams[1:], frames]):
            taken = part.scores[kind][begin - part.begin : end - part.begin]
            whole[begin : begin + len(taken)] = taken
        wholes.append(whole)
    if vocabulary.separator_id is not None:
        places = _unparted(wholes[0], seams[1:], vocabulary)
        for whole in wholes:
            whole[places] = _sure(vocabulary.separator_id, vocabulary.size, whole)
    return wholes


def _sure(token: int, size: int, like: Tensor) -> Tensor:
    """A frame ``(token,)`` that is of one token."""
    row = torch.full((size,), math.log(_ELSE / max(1, size - 1)), device=like.device)
    row[token] = math.log1p(-_ELSE)
    return row


def _seam(one: Part, other: Part, vocabulary: Vocabulary) -> int:
    """The frame from which on the later of two parts counts."""
    shared = min(one.end - other.begin, len(other.scores[0]))
    if shared <= 0:
        return other.begin
    begin = other.begin - one.begin
    first = _said(one.scores[0][begin : begin + shared], vocabulary)
    second = _said(other.scores[0][:shared], vocabulary)
    none = first.new_zeros(1)
    before = torch.cat([none, second.cumsum(0)])
    behind = torch.cat([first.flip(0).cumsum(0).flip(0), none])
    lost = before + behind
    good = (lost <= lost.min() + _AS_GOOD).nonzero().flatten().tolist()
    return other.begin + int(good[len(good) // 2])


def _said(scores: Tensor, vocabulary: Vocabulary) -> Tensor:
    """How probable it is that each frame ``(frame, token)`` has a token that writes something."""
    silent = [vocabulary.blank_id]
    if vocabulary.separator_id is not None:
        silent.append(vocabulary.separator_id)
    said: Tensor = (1.0 - scores[:, silent].exp().sum(dim=1)).clamp(min=0.0)
    return said


def _unparted(whole: Tensor, seams: Sequence[int], vocabulary: Vocabulary) -> list[int]:
    """A frame for each seam whose words on both sides nothing parts, between these words."""
    best = whole.argmax(dim=-1).cpu()
    separates = best == vocabulary.separator_id
    spoken = ((best != vocabulary.blank_id) & ~separates).nonzero().flatten().tolist()
    between = separates.nonzero().flatten().tolist()
    places = []
    for seam in seams:
        at = bisect_left(spoken, seam)
        if not 0 < at < len(spoken):
            continue
        left, right = spoken[at - 1], spoken[at]
        parted = bisect_left(between, left) < bisect_left(between, right)
        if not parted and right - left > 1:
            places.append(min(max(seam, left + 1), right - 1))
    return places

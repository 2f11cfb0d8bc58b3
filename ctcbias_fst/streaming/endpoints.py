"""Endpoints: when what is said in a stream has come to an end."""

from __future__ import annotations

from typing import Literal

import torch

from ctcbias_fst.search.stream_config import EndpointConfig
from ctcbias_fst.streaming.chunks import SPEAKS

Rule = Literal["silence", "silence_after_words", "length"]


class Endpointer:
    """Counts frames of silence, and frames since the last endpoint.

    Args:
        config: see :class:`EndpointConfig`.
        frame_seconds: how long a frame is.
    """

    def __init__(self, config: EndpointConfig, frame_seconds: float) -> None:
        self._config, self._frame_seconds = config, frame_seconds
        self._quiet = self._length = 0
        self._words = self._told = self._speaking = False

    def hear(self, marks: torch.Tensor) -> None:
        """Count frames, of which it is known what they are."""
        speaks = (marks == SPEAKS).nonzero().flatten()
        if self._speaking:
            self._length += len(marks)
        elif len(speaks):
            self._speaking = True
            self._length += len(marks) - int(speaks[0])
        if len(speaks):
            self._quiet = len(marks) - 1 - int(speaks[-1])
            self._told = False
        else:
            self._quiet += len(marks)

    def said(self, words: bool) -> None:
        """Whether something that was committed has words."""
        self._words = self._words or words

    @property
    def rule(self) -> Rule | None:
        """The rule by which an utterance ends here, if it does."""
        config = self._config
        quiet = self._quiet * self._frame_seconds
        if not self._told:
            if config.silence_after_words and self._words and quiet >= config.silence_after_words:
                return "silence_after_words"
            if config.silence and quiet >= config.silence:
                return "silence"
        if config.length and self._words and self._length * self._frame_seconds >= config.length:
            return "length"
        return None

    def reset(self) -> None:
        """Begin another utterance; silence that goes on is told once."""
        self._told = True
        self._length, self._words, self._speaking = 0, False, False

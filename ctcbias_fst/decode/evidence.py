"""Words and names that nothing in the audio speaks for are left out, and told.

Where there is no speech, a model is unsure of every frame, and a search still finds the words that
fit least badly; of a long list some name always does. A posterior is a poor judge of it: it
compares readings with each other, boosts and all. So the frames themselves are asked. Words between
two pauses are *heard* if

- the mean of their :attr:`ctcbias_fst.records.Word.log_prob` is not below a limit, or
- the model is sure of its frames there, whatever it takes them for: the mean entropy of their
  log-probs is not above ``max_entropy`` times that of a model that knows nothing, :math:`\\log V`.

Speech that is misheard, a rare name above all, has the second where it lacks the first. A name
needs a posterior above nothing, too. Where the best hypothesis was heard, so were the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from ctcbias_fst.bounds import finite, not_negative
from ctcbias_fst.records import Hypothesis, LogProbs, Transcript, Word

__all__ = ["EvidenceConfig", "frame_entropy", "leave_out_unheard", "with_heard_words"]

_MARGIN_SECONDS = 0.1
"""Looked at before and after the words."""

_LONGEST_WORD_SECONDS = 3.0
"""What lasts longer waited for its last token through sure silence; nobody speaks a word so."""


@dataclass(frozen=True)
class EvidenceConfig:
    """What words need to be heard; see the module.

    Attributes:
      min_log_prob: the least mean log-prob of the words between two pauses.
      min_name_log_prob: the same where a name of the list is among them.
      min_name_confidence: the least confidence of a name of the list; below it the name is left
        out by itself, unless the model is as sure of its tokens as of any word's.
      max_entropy: share of the entropy of a model that knows nothing up to which the log-probs
        speak for words all the same, 0 to 1; 1 leaves no word out.
      pause: seconds without a word that part words.
    """

    min_log_prob: float = -1.0
    min_name_log_prob: float = -1.0
    min_name_confidence: float = 0.05
    max_entropy: float = 0.04
    pause: float = 0.6

    def __post_init__(self) -> None:
        finite(self)
        not_negative(self, "max_entropy", "pause")


def leave_out_unheard(
    transcripts: Sequence[Transcript], log_probs: LogProbs, config: EvidenceConfig
) -> list[Transcript]:
    """Take out of every hypothesis the words that were not heard.

    Args:
      transcripts: of the utterances of ``log_probs``, in their order.
      log_probs: of the model, on any device.
      config: see :class:`EvidenceConfig`.

    Returns:
      the transcripts; those of the best hypothesis that were taken out are its ``left_out``.
    """
    found = []
    for row, transcript in enumerate(transcripts):
        frames = log_probs.log_probs[row, : int(log_probs.lengths[row])]

        def entropy(begin: int, end: int, frames: torch.Tensor = frames) -> torch.Tensor:
            return frame_entropy(frames[begin:end])

        found.append(with_heard_words(transcript, entropy, log_probs.frame_seconds, config))
    return found


def frame_entropy(log_probs: torch.Tensor) -> torch.Tensor:
    """How little a model knows of each frame: float32 (T,), 0 to 1.

    That is the entropy of its (T, V) log-probs as a share of that of a model that knows nothing.
    """
    frames = log_probs.float()
    # A probability of 0 adds nothing.
    entropy = -(frames.exp() * frames.clamp(min=-1e4)).sum(dim=-1)
    return entropy / math.log(max(2, log_probs.shape[-1]))


def with_heard_words(
    transcript: Transcript,
    entropy: Callable[[int, int], torch.Tensor],
    frame_seconds: float,
    config: EvidenceConfig,
) -> Transcript:
    """One transcript without the words that were not heard.

    Args:
      transcript: the transcript.
      entropy: gives the :func:`frame_entropy` of its frames ``begin`` to ``end - 1``.
      frame_seconds: of the model.
      config: see :class:`EvidenceConfig`.
    """

    def heard(hypothesis: Hypothesis, known: tuple[Word, ...]) -> tuple[Hypothesis, list[Word]]:
        """The hypothesis without what was not heard; at ``known`` words something was said."""
        kept: list[Word] = []
        left: list[Word] = []
        for words in _between_pauses(hypothesis.words, config.pause):
            good = (
                _clear(words, config)
                or _meet(words, known)
                or _sure(words, entropy, frame_seconds, config)
            )
            for word in words:
                (kept if good and _believed(word, config) else left).append(word)
        return (replace(hypothesis, words=tuple(kept)) if left else hypothesis), left

    best, left_out = heard(transcript.best, ())
    nbest: dict[str, Hypothesis] = {best.text.lower(): best} if transcript.nbest else {}
    for hypothesis in transcript.nbest[1:]:
        other, _ = heard(hypothesis, best.words)
        nbest.setdefault(other.text.lower(), other)
    return replace(transcript, best=best, nbest=tuple(nbest.values()), left_out=tuple(left_out))


def _meet(words: Sequence[Word], others: Sequence[Word]) -> bool:
    """Whether some of the others are spoken where these are."""
    begin, end = words[0].start - _MARGIN_SECONDS, words[-1].end + _MARGIN_SECONDS
    return any(word.start <= end and word.end >= begin for word in others)


def _between_pauses(words: Sequence[Word], pause: float) -> list[list[Word]]:
    islands: list[list[Word]] = []
    for word in words:
        if islands and word.start - islands[-1][-1].end < pause:
            islands[-1].append(word)
        else:
            islands.append([word])
    return islands


def _clear(words: Sequence[Word], config: EvidenceConfig) -> bool:
    named = any(word.entity for word in words)
    least = config.min_name_log_prob if named else config.min_log_prob
    return sum(word.log_prob for word in words) >= least * len(words)


def _believed(word: Word, config: EvidenceConfig) -> bool:
    return (
        not word.entity
        or word.confidence >= config.min_name_confidence
        or word.log_prob >= config.min_name_log_prob
    )


def _sure(
    words: Sequence[Word],
    entropy: Callable[[int, int], torch.Tensor],
    frame_seconds: float,
    config: EvidenceConfig,
) -> bool:
    if max(word.end - word.start for word in words) > _LONGEST_WORD_SECONDS:
        return False
    begin = max(0, math.floor((words[0].start - _MARGIN_SECONDS) / frame_seconds))
    end = max(begin + 1, math.ceil((words[-1].end + _MARGIN_SECONDS) / frame_seconds))
    frames = entropy(begin, end)
    return not len(frames) or float(frames.mean()) <= config.max_entropy

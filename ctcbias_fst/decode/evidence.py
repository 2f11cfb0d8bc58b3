"""Words and names that nothing in the audio speaks for are left out, and told.

Where there is no speech, a model is unsure of every frame, and a search still finds the words that
fit least badly; of a long list some name always does. A posterior is a poor judge of it: it
compares readings with each other, boosts and all. So the frames themselves are asked. Words between
two pauses are *heard* if

- the mean of their :attr:`ctcbias_fst.records.Word.log_prob` is not below a limit, or
- that of the tokens that the model would write there by itself is not: a list of names never takes
  away what was said, or
- the model is sure of its frames there, whatever it takes them for: the mean entropy of their
  log-probs is not above ``max_entropy`` times that of a model that knows nothing, :math:`\\log V`.

Speech that is misheard, a rare name above all, has the last where it lacks the first. A name
needs a posterior above nothing, too. Where the best hypothesis was heard, so were the others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from ctcbias_fst.bounds import finite, not_negative
from ctcbias_fst.records import Hypothesis, LogProbs, Transcript, Word
from ctcbias_fst.text.scripts import is_unspaced

__all__ = ["EvidenceConfig", "FrameEvidence", "leave_out_unheard", "with_heard_words"]

_MARGIN_SECONDS = 0.1
"""Looked at before and after the words."""

_SURE_LETTERS = 8
"""Fewer letters between two pauses need more: of a short word by itself the share of the limits
that its letters are of these. A tone is heard as *no* or *be*, never as a sentence."""

_LETTERS_OF_UNSPACED = 3
"""A sign of a script without spaces says as much as so many letters."""

_LONGEST_WORD_SECONDS = 3.0
"""What lasts longer waited for its last token through sure silence; nobody speaks a word so."""


@dataclass(frozen=True)
class EvidenceConfig:
    """What words need to be heard; see the module.

    Attributes:
      min_log_prob: the least mean log-prob of the words between two pauses.
      min_name_log_prob: the same where a name of the list is among them.
      min_name_confidence: the least confidence of a name of the list; below it the name is left
        out by itself, unless the model is as sure of its tokens, or of others there, as of any
        word's.
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


@dataclass(frozen=True, eq=False)
class FrameEvidence:
    """What the frames of an utterance say by themselves, each float32 (T,).

    Attributes:
      entropy: how little the model knows of each frame: the entropy of its log-probs as a share of
        that of a model that knows nothing, 0 to 1.
      plain: the log-prob of the token that the best column of each frame begins; NaN where that is
        blank or the token of the frame before it.
    """

    entropy: torch.Tensor
    plain: torch.Tensor

    @classmethod
    def of(cls, log_probs: torch.Tensor, blank_id: int) -> FrameEvidence:
        """Look at the log-probs (T, V) of one utterance."""
        frames = log_probs.float()
        # A probability of 0 adds nothing.
        entropy = -(frames.exp() * frames.clamp(min=-1e4)).sum(dim=-1)
        best, token = frames.max(dim=-1)
        before = torch.cat([token.new_full((1,), blank_id), token[:-1]])
        begins = (token != blank_id) & (token != before)
        plain = best.masked_fill(~begins, math.nan)
        return cls(entropy / math.log(max(2, log_probs.shape[-1])), plain)

    def mean_plain(self, frames: slice) -> float:
        """The mean of ``plain`` in these frames; -inf where it has nothing there."""
        plain = self.plain[frames]
        plain = plain[~plain.isnan()]
        return float(plain.mean()) if len(plain) else -math.inf


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
        evidence = FrameEvidence.of(frames, log_probs.vocabulary.blank_id)
        found.append(with_heard_words(transcript, evidence, log_probs.frame_seconds, config))
    return found


def with_heard_words(
    transcript: Transcript,
    evidence: FrameEvidence,
    frame_seconds: float,
    config: EvidenceConfig,
) -> Transcript:
    """One transcript without the words that were not heard.

    Args:
      transcript: the transcript.
      evidence: of its frames.
      frame_seconds: of the model.
      config: see :class:`EvidenceConfig`.
    """

    def heard(hypothesis: Hypothesis, known: tuple[Word, ...]) -> tuple[Hypothesis, list[Word]]:
        """The hypothesis without what was not heard; at ``known`` words something was said."""
        kept: list[Word] = []
        left: list[Word] = []
        for words in _between_pauses(hypothesis.words, config.pause):
            share = _share_of_limits(words)
            good = (
                _clear(words, config, share)
                or _meet(words, known)
                or _speech(words, evidence, frame_seconds, config, share)
            )
            for word in words:
                believed = _believed(word, evidence, frame_seconds, config)
                (kept if good and believed else left).append(word)
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


def _share_of_limits(words: Sequence[Word]) -> float:
    """What of the limits holds for words: 1 for names and for what is not short."""
    if any(word.entity for word in words):
        return 1.0
    text = "".join(word.word for word in words)
    letters = len(text) * (_LETTERS_OF_UNSPACED if is_unspaced(text) else 1)
    return min(1.0, letters / _SURE_LETTERS)


def _clear(words: Sequence[Word], config: EvidenceConfig, share: float) -> bool:
    named = any(word.entity for word in words)
    least = config.min_name_log_prob if named else config.min_log_prob
    return sum(word.log_prob for word in words) >= share * least * len(words)


def _believed(
    word: Word, evidence: FrameEvidence, frame_seconds: float, config: EvidenceConfig
) -> bool:
    """Whether a word stays by itself; what would leave a hole in speech does."""
    return (
        not word.entity
        or word.confidence >= config.min_name_confidence
        or word.log_prob >= config.min_name_log_prob
        or evidence.mean_plain(_frames(word.start, word.end, frame_seconds)) >= config.min_log_prob
    )


def _speech(
    words: Sequence[Word],
    evidence: FrameEvidence,
    seconds: float,
    config: EvidenceConfig,
    share: float,
) -> bool:
    """Whether the frames speak for words, though perhaps for others than these."""
    if config.max_entropy >= 1.0:
        return True
    if max(word.end - word.start for word in words) > _LONGEST_WORD_SECONDS:
        return False
    frames = _frames(words[0].start - _MARGIN_SECONDS, words[-1].end + _MARGIN_SECONDS, seconds)
    if evidence.mean_plain(frames) >= share * config.min_log_prob:
        return True
    entropy = evidence.entropy[frames]
    return not len(entropy) or float(entropy.mean()) <= share * config.max_entropy


def _frames(begin: float, end: float, frame_seconds: float) -> slice:
    first = max(0, math.floor(begin / frame_seconds))
    return slice(first, max(first + 1, math.ceil(end / frame_seconds)))

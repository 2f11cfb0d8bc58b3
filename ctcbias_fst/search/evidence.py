"""Words and names that nothing in the audio speaks for are left out, and told.

Where there is no speech, a model is unsure of every frame, and a search still finds the words that
fit least badly; of a long list some name always does. A posterior is a poor judge of it: it
compares readings with each other, boosts and all. So the frames themselves are asked. Words between
two pauses are *heard* if

- the mean of their :attr:`ctcbias_fst.records.Word.log_prob` is not below a limit, or
- that of the tokens that the model would write there by itself is not, or
- the model is sure of its frames there, whatever it takes them for: the mean entropy of their
  log-probs is not above ``max_entropy`` times that of a model that knows nothing, :math:`\\log V`.

Speech that is misheard, a rare name above all, has the last where it lacks the first. A name
needs a posterior above nothing, too, and frames of its own that speak for some words: what was said
beside it, before music began, is no reason to believe it. Where a name is left out and the model by
itself would write something clearly enough, that takes its place: a list never takes away what was
said. Nor does it add words: those beside a name that is left out stay or go as without it. Where
the best hypothesis was heard, so were the others.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property

import torch

from ctcbias_fst.bounds import finite, not_negative
from ctcbias_fst.records import Hypothesis, LogProbs, Transcript, Word
from ctcbias_fst.search.hypotheses import distinct, greedy_reading
from ctcbias_fst.text.scripts import is_unspaced
from ctcbias_fst.text.vocabulary import Vocabulary

_MARGIN_SECONDS = 0.1
"""Looked at before and after the words."""

_SHORT_LETTERS, _LONG_LETTERS = 16, 30
"""Noise is heard as a few words, hardly ever as many."""

_SURE_LETTERS = 8
"""Fewer letters between two pauses need more: of a short word by itself the share of the limits
that its letters are of these. A tone is heard as *no* or *be*, never as a sentence."""

_ALONE_SECONDS = 1.5
"""Only of words from which all others are so far: the first word of a sentence may be written long
before the second."""

_LETTERS_OF_UNSPACED = 3
"""A sign of a script without spaces says as much as so many letters."""

_CLEAR_LOG_PROB = -0.1
"""A word that the model is so sure of stays whatever is beside it."""

_LONGEST_WORD_SECONDS = 3.0
"""What lasts longer waited for its last token through sure silence; nobody speaks a word so."""

_NAME_SECONDS, _LETTER_SECONDS = 0.8, 0.3
"""A name that lasts longer than the first and so much for each letter is in no one piece."""


@dataclass(frozen=True)
class EvidenceConfig:
    """What words need to be heard; see the module.

    Attributes:
        min_log_prob: the least mean log-prob of the words between two pauses, if they have 30
            letters or more; and that of the tokens that the model would write by itself in the
            place of a name, whose own log-prob is lower, for it to stay among words that were
            heard.
        min_short_log_prob: the same of 16 letters or fewer; between them it grows evenly.
        min_name_log_prob: the same where a name of the list is among them.
        min_plain_log_prob: the least mean log-prob of the tokens that the model would write by
            itself where a name was not clear, for the name to stay.
        min_name_confidence: the least confidence of a name of the list; below it the name is left
            out by itself, unless the model is as sure of its tokens as of any word's.
        max_entropy: share of the entropy of a model that knows nothing up to which the log-probs
            speak for words all the same, 0 to 1; 1 leaves no word out.
        pause: seconds without a word that part words.
    """

    min_log_prob: float = -1.0
    min_short_log_prob: float = -1.0
    min_name_log_prob: float = -1.0
    min_plain_log_prob: float = -1.0
    min_name_confidence: float = 0.05
    max_entropy: float = 0.04
    pause: float = 0.6

    def __post_init__(self) -> None:
        finite(self)
        not_negative(self, "max_entropy", "pause")


@dataclass(frozen=True, eq=False)
class FrameEvidence:
    """What the frames of an utterance say by themselves.

    Attributes:
        entropy: float32 (T,), how little the model knows of each frame: the entropy of its
            log-probs as a share of that of a model that knows nothing, 0 to 1.
        token: int64 (T,), the best column of each frame.
        log_prob: float32 (T,), its log-prob.
        vocabulary: of the model.
        frame_seconds: how long a frame is.
        writes: whether its tokens by themselves write words; not where they are phones.
    """

    entropy: torch.Tensor
    token: torch.Tensor
    log_prob: torch.Tensor
    vocabulary: Vocabulary
    frame_seconds: float
    writes: bool = True

    @classmethod
    def of(
        cls,
        log_probs: torch.Tensor,
        vocabulary: Vocabulary,
        frame_seconds: float,
        writes: bool = True,
    ) -> FrameEvidence:
        """Look at the log-probs (T, V) of one utterance, on any device."""
        frames = log_probs.float()
        # A probability of 0 adds nothing.
        entropy = -(frames.exp() * frames.clamp(min=-1e4)).sum(dim=-1)
        entropy = entropy / math.log(max(2, log_probs.shape[-1]))
        best, token = frames.max(dim=-1)
        return cls(entropy.cpu(), token.cpu(), best.cpu(), vocabulary, frame_seconds, writes)

    @cached_property
    def _begun(self) -> torch.Tensor:
        """float32 (T,), the log-prob of the token that begins at each frame, or NaN."""
        blank = self.vocabulary.blank_id
        before = torch.cat([self.token.new_full((1,), blank), self.token[:-1]])
        begins = (self.token != blank) & (self.token != before)
        return self.log_prob.masked_fill(~begins, math.nan)

    @cached_property
    def words(self) -> tuple[Word, ...]:
        """What the model would write by itself."""
        if not self.writes:
            return ()
        return greedy_reading(self.token, self.log_prob, self.vocabulary, self.frame_seconds).words

    def _frames(self, begin: float, end: float) -> slice:
        first = max(0, math.floor(begin / self.frame_seconds))
        return slice(first, max(first + 1, math.ceil(end / self.frame_seconds)))

    def mean_entropy(self, begin: float, end: float) -> float:
        """Of the frames between two times in seconds; 0 where there are none."""
        entropy = self.entropy[self._frames(begin, end)]
        return float(entropy.mean()) if len(entropy) else 0.0

    def mean_log_prob(self, begin: float, end: float) -> float:
        """Of the tokens that the model would write by itself; -inf where there are none."""
        begun = self._begun[self._frames(begin, end)]
        begun = begun[~begun.isnan()]
        return float(begun.mean()) if len(begun) else -math.inf


def leave_out_unheard(
    transcripts: Sequence[Transcript],
    log_probs: LogProbs,
    config: EvidenceConfig,
    *,
    writes: bool = True,
) -> list[Transcript]:
    """Take out of every hypothesis the words that were not heard.

    Args:
        transcripts: of the utterances of ``log_probs``, in their order.
        log_probs: of the model, on any device.
        config: see :class:`EvidenceConfig`.
        writes: see :class:`FrameEvidence`.

    Returns:
        the transcripts; those of the best hypothesis that were taken out are its ``left_out``.
    """
    if config.max_entropy >= 1.0 and config.min_name_confidence <= 0.0:  # all words stay
        return list(transcripts)
    found = []
    for row, transcript in enumerate(transcripts):
        frames = log_probs.log_probs[row, : int(log_probs.lengths[row])]
        evidence = FrameEvidence.of(frames, log_probs.vocabulary, log_probs.frame_seconds, writes)
        found.append(with_heard_words(transcript, evidence, config))
    return found


def with_heard_words(
    transcript: Transcript, evidence: FrameEvidence, config: EvidenceConfig
) -> Transcript:
    """One transcript without the words that were not heard.

    Args:
        transcript: the transcript.
        evidence: of its frames.
        config: see :class:`EvidenceConfig`.
    """

    @cache
    def plain() -> list[Word]:
        """What would be heard of what the model writes by itself."""
        islands = _islands(evidence.words, config.pause)
        heard = (words for words, alone in islands if _heard(words, alone, evidence, config))
        return [word for words in heard for word in words]

    def said(begin: float, end: float) -> list[Word]:
        return _centred(plain(), begin, end)

    def heard(hypothesis: Hypothesis, known: tuple[Word, ...]) -> tuple[Hypothesis, list[Word]]:
        """The hypothesis without what was not heard; at ``known`` words something was said."""
        rest: list[Word] = []
        unnamed: list[Word] = []
        left: list[Word] = []
        for words, alone in _islands(hypothesis.words, config.pause):
            if not any(word.entity for word in words):
                rest += words
                continue
            stays = _meet(words, known) or _heard(words, alone, evidence, config)
            for unit, begin, end in _units(words, config.pause):
                if not unit[0].entity or (
                    _believed(unit, evidence, config) if stays else _clear(unit)
                ):
                    rest += unit
                else:
                    left += unit
                    unnamed += _centred(evidence.words, begin, end)
        # The words beside a name that was not heard are judged with what would stand there else.
        kept = [word for word in unnamed if word in plain()]
        for words, alone in _islands(sorted([*rest, *unnamed], key=_start), config.pause):
            stays = _meet(words, known) or _heard(words, alone, evidence, config)
            for unit, begin, end in _units(words, config.pause):
                if unit[0] not in unnamed:
                    good = stays or unit[0].entity or _clear(unit) or said(begin, end)
                    (kept if good else left).extend(unit)
        if not left:
            return hypothesis, left
        kept.sort(key=_start)
        return replace(hypothesis, words=tuple(kept)), sorted(left, key=_start)

    best, left_out = heard(transcript.best, ())
    others = (heard(hypothesis, best.words)[0] for hypothesis in transcript.nbest[1:])
    nbest = distinct([best, *others]) if transcript.nbest else ()
    return replace(transcript, best=best, nbest=nbest, left_out=tuple(left_out))


def _meet(words: Sequence[Word], others: Sequence[Word]) -> bool:
    """Whether some of the others are spoken where these are."""
    begin, end = _span(words)
    return any(word.start <= end and word.end >= begin for word in others)


def _islands(words: Sequence[Word], pause: float) -> Iterator[tuple[list[Word], bool]]:
    """The words between two pauses, and whether others are far from them."""
    islands: list[list[Word]] = []
    for word in words:
        before = islands[-1][-1] if islands else None
        if before and (word.start - before.end < pause or _of_one_name(before, word)):
            islands[-1].append(word)
        else:
            islands.append([word])
    for earlier, island, after in zip([None, *islands], islands, [*islands[1:], None]):
        near = [
            island[0].start - earlier[-1].end if earlier else math.inf,
            after[0].start - island[-1].end if after else math.inf,
        ]
        yield island, min(near) > _ALONE_SECONDS


def _units(words: Sequence[Word], pause: float) -> Iterator[tuple[list[Word], float, float]]:
    """Single words and whole names, and where the frames of each begin and end."""
    units: list[list[Word]] = []
    for word in words:
        if units and _of_one_name(units[-1][-1], word):
            units[-1].append(word)
        else:
            units.append([word])
    between = [(unit[-1].end + after[0].start) / 2 for unit, after in zip(units, units[1:])]
    borders = [units[0][0].start - pause / 2, *between, units[-1][-1].end + pause / 2]
    yield from zip(units, borders, borders[1:])


def _centred(words: Sequence[Word], begin: float, end: float) -> list[Word]:
    """Those of the words whose middle is between two times."""
    return [word for word in words if begin <= (word.start + word.end) / 2 < end]


def _start(word: Word) -> float:
    return word.start


def _span(words: Sequence[Word]) -> tuple[float, float]:
    return words[0].start - _MARGIN_SECONDS, words[-1].end + _MARGIN_SECONDS


def _share_of_limits(words: Sequence[Word]) -> float:
    """What of the limits holds for words: 1 for what is not short."""
    return min(1.0, _letters(words) / _SURE_LETTERS)


def _least_log_prob(words: Sequence[Word], config: EvidenceConfig) -> float:
    """The least mean log-prob of words without names."""
    long = (_letters(words) - _SHORT_LETTERS) / (_LONG_LETTERS - _SHORT_LETTERS)
    long = min(1.0, max(0.0, long))
    return long * config.min_log_prob + (1 - long) * config.min_short_log_prob


def _letters(words: Sequence[Word]) -> int:
    text = "".join(word.word for word in words)
    return len(text) * (_LETTERS_OF_UNSPACED if is_unspaced(text) else 1)


def _heard(
    words: Sequence[Word], alone: bool, evidence: FrameEvidence, config: EvidenceConfig
) -> bool:
    """Whether the words between two pauses stay."""
    named = any(word.entity for word in words)
    share = _share_of_limits(words) if alone and not named else 1.0
    usual = _least_log_prob(words, config)
    least = config.min_name_log_prob if named else usual
    if sum(word.log_prob for word in words) >= share * least * len(words):
        return True
    if config.max_entropy >= 1.0:
        return True
    if max(word.end - word.start for word in words) > _LONGEST_WORD_SECONDS:
        return False
    plain = config.min_plain_log_prob if named else usual
    return (
        evidence.mean_log_prob(*_span(words)) >= share * plain
        or evidence.mean_entropy(*_span(words)) <= share * config.max_entropy
    )


def _of_one_name(word: Word, following: Word) -> bool:
    """Whether neighbours are words of one name."""
    return any(mention is other for mention in word.mentions for other in following.mentions)


def _clearness(unit: Sequence[Word]) -> float:
    """The mean log-prob of a word, or of those of a name."""
    return sum(word.log_prob for word in unit) / len(unit)


def _clear(unit: Sequence[Word]) -> bool:
    """Whether a word, or a whole name, stays whatever is beside it."""
    return _clearness(unit) >= _CLEAR_LOG_PROB


def _believed(name: Sequence[Word], evidence: FrameEvidence, config: EvidenceConfig) -> bool:
    """Whether a whole name stays where the words around it do."""
    if _clearness(name) >= config.min_name_log_prob:
        return True
    begin, end = name[0].start, name[-1].end
    plain = evidence.mean_log_prob(begin, end)
    drawn_out = end - begin > _NAME_SECONDS + _LETTER_SECONDS * _letters(name)
    unsure = evidence.mean_entropy(begin, end) > config.max_entropy
    if unsure and (drawn_out or plain < config.min_log_prob):
        return False
    sure = min(word.confidence for word in name)
    return sure >= config.min_name_confidence or plain >= config.min_plain_log_prob

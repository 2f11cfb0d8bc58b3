"""The frozen records that travel from one stage to the next.

Units: times are seconds, scores are natural logarithms (greater is better), a
frame is one row of the log-probs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch

from ctcbias_fst.arrays import as_float32, as_lengths, checked_frame_seconds
from ctcbias_fst.errors import AudioError, LogProbsError
from ctcbias_fst.phone_log_probs import PhoneLogProbs, check_lengths, checked_lag, padded_slices
from ctcbias_fst.text.entity import Entity
from ctcbias_fst.text.normalise import normalise
from ctcbias_fst.text.text_files import counted, quoted
from ctcbias_fst.text.vocabulary import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True)
class PieceContext:
    """What is around a piece of an utterance: the last words before it, whether more follows."""

    words: tuple[Word, ...] = ()
    goes_on: bool = False


@dataclass(frozen=True)
class LogProbs:
    """What a CTC model says about a batch of utterances.

    Attributes:
        log_probs: shape (N, T, V): natural log, each frame sums to one. Rows at and after an
            utterance's length are padding and never read. Arrays of numpy and other floating-point
            types become float32 tensors.
        lengths: int64 on the CPU, shape (N,): the frames of each utterance, 0 to T; or such a list.
        frame_seconds: how much audio one frame stands for.
        ids: N names of the utterances, for messages and results.
        vocabulary: what the V columns are.
        phones: what a phone head says of the same utterances, in frames of its own, if there is
            one; an array (N, T, P) of the same frames becomes a `PhoneLogProbs`.
        lag: seconds by which the model writes tokens after their sounds; None if that is not
            known.
        unbiased: shape (N, T, V), what the model says without a list of names, where one had a part
            in ``log_probs``; likewise.
        context: of each utterance that is a piece of something, what is around it.

    Raises:
        LogProbsError: a shape or a dtype is wrong, the vocabulary has another size, the phones are
            of other utterances, or the unbiased log-probs of other frames.
    """

    log_probs: torch.Tensor
    lengths: torch.Tensor
    frame_seconds: float
    ids: tuple[str, ...]
    vocabulary: Vocabulary
    phones: PhoneLogProbs | None = None
    lag: float | None = None
    unbiased: torch.Tensor | None = None
    context: tuple[PieceContext | None, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "log_probs", as_float32(self.log_probs))
        object.__setattr__(self, "lengths", as_lengths(self.lengths))
        shape = tuple(self.log_probs.shape)
        if self.log_probs.ndim != 3:
            raise LogProbsError(
                f"log-probs must have the shape (utterances, frames, tokens), found {shape}"
            )
        if not isinstance(self.vocabulary, Vocabulary):
            raise LogProbsError(f"vocabulary must be a Vocabulary, found {self.vocabulary!r:.60}")
        if shape[2] != self.vocabulary.size:
            raise LogProbsError(
                f"log-probs have {shape[2]} columns, the vocabulary has {self.vocabulary.size} "
                "tokens: use the tokens file of the model that made them"
            )
        check_lengths(self.lengths, shape)
        if not isinstance(self.ids, (tuple, list)) or not all(isinstance(i, str) for i in self.ids):
            raise LogProbsError(f"ids must be strings, one per utterance, found {self.ids!r:.60}")
        object.__setattr__(self, "ids", tuple(self.ids))
        if len(self.ids) != shape[0]:
            raise LogProbsError(f"{len(self.ids)} ids for {shape[0]} utterances")
        object.__setattr__(self, "frame_seconds", checked_frame_seconds(self.frame_seconds))
        object.__setattr__(self, "lag", checked_lag(self.lag))
        if self.unbiased is not None:
            object.__setattr__(self, "unbiased", self._beside(self.unbiased, "unbiased", "tokens"))
        object.__setattr__(self, "phones", self._checked_phones(self.phones))
        if len(self.context or self.ids) != shape[0]:
            raise LogProbsError(f"{len(self.context or ())} contexts for {shape[0]} utterances")

    def _checked_phones(self, phones: Any) -> PhoneLogProbs | None:
        """The phones as a record of the same utterances."""
        if phones is None:
            return None
        if not isinstance(phones, PhoneLogProbs):
            array = self._beside(phones, "phone", "phones")
            return PhoneLogProbs(array, self.lengths, self.frame_seconds, self.lag)
        if len(phones.lengths) != self.size:
            raise LogProbsError(
                f"phone log-probs of {len(phones.lengths)} utterances beside log-probs of "
                f"{self.size}: pass those of the same utterances"
            )
        return phones

    def _beside(self, array: Any, what: str, columns: str) -> torch.Tensor:
        """An array of the same frames."""
        found, expected = as_float32(array), tuple(self.log_probs.shape)
        shape, known = tuple(found.shape), 2 if columns == "phones" else 3
        if len(shape) != 3 or shape[:known] != expected[:known]:
            utterances, frames, _ = expected
            remedy = "give those of the same frames as the log-probs"
            if columns == "phones":
                remedy += ", or a PhoneLogProbs with lengths and frame_seconds of its own"
            raise LogProbsError(
                f"{what} log-probs have the shape {shape}, expected ({utterances} utterances, "
                f"{frames} frames, {columns}): {remedy}"
            )
        return found

    def __repr__(self) -> str:
        count, frames, tokens = self.log_probs.shape
        frames_of = f"{counted(frames, 'frame')} of {self.frame_seconds:g} s"
        shape = f"{counted(count, 'utterance')}, {frames_of}, {tokens} tokens"
        return f"<LogProbs of {shape}>"

    @property
    def size(self) -> int:
        """How many utterances."""
        return len(self.ids)

    def to(self, device: torch.device | str) -> LogProbs:
        """The same on another device; the lengths stay on the CPU."""
        return replace(
            self,
            log_probs=self.log_probs.to(device),
            unbiased=None if self.unbiased is None else self.unbiased.to(device),
            phones=None if self.phones is None else self.phones.to(device),
        )

    def select(self, indexes: Sequence[int]) -> LogProbs:
        """Some utterances, in the order asked for, cut to the longest of them."""
        spans = [(i, 0, int(self.lengths[i])) for i in indexes]
        return self.slices(spans, None if self.phones is None else self.phones.select(indexes))

    def slices(
        self, spans: Sequence[tuple[int, int, int]], phones: PhoneLogProbs | None
    ) -> LogProbs:
        """A batch of frames ``[begin, end)`` of utterances, ``(utterance, begin, end)`` each.

        Args:
            spans: of the frames.
            phones: of the same times.
        """
        return replace(
            self,
            log_probs=padded_slices(self.log_probs, spans),
            unbiased=None if self.unbiased is None else padded_slices(self.unbiased, spans),
            lengths=torch.tensor([end - begin for _, begin, end in spans], dtype=torch.int64),
            ids=tuple([self.ids[utterance] for utterance, _, _ in spans]),
            phones=phones,
            context=None if self.context is None else tuple(map(self._around, spans)),
        )

    def _around(self, span: tuple[int, int, int]) -> PieceContext | None:
        """Of a span of an utterance; where one is cut, a part begins and ends anew."""
        row, begin, end = span
        one = self.context[row] if self.context else None
        goes_on = one is not None and one.goes_on and end == int(self.lengths[row])
        return one and PieceContext(() if begin else one.words, goes_on)


def require_log_probs(value: Any) -> None:
    """Refuse what is no `LogProbs`.

    Raises:
        LogProbsError: it is something else.
    """
    if not isinstance(value, LogProbs):
        raise LogProbsError(
            f"a {type(value).__name__} where LogProbs are wanted: make them of it, with lengths, "
            "ids and a vocabulary"
        )


@dataclass(frozen=True)
class Mention:
    """An entry of the list of names where a hypothesis has it, and what speaks for it.

    Its words are those that have this very object: the same name twice in a row is two of them.

    Attributes:
        entity: the entry, with its category, weight and line.
        found_by: ``boost`` if the search took the name's tokens, ``text`` if ordinary words were
            read that are the name (:mod:`ctcbias_fst.search.spelling`), ``lookup`` if it was put in
            the place of words that it sounds like (:mod:`ctcbias_fst.rescore.lookup`).
        boost: nats that its tokens were given, its share of :attr:`Hypothesis.boost`; 0 unless it
            was found by ``boost``.
        phone: what the phone head says of its own words, at most 0: nats by which their phones are
            less likely than the best ones of the same frames, the cost of the pronunciation
            included. None if nobody asked, or nobody knows how they sound.
        lookup: nats by which the phone score of the hypothesis rose when it took the place of other
            words; None unless it was found by ``lookup``.
        heard: what was written, by tokens or as words, if that is not its name in other letters: a
            spelling variant, a spoken form, the words whose place it took.
    """

    entity: Entity
    found_by: Literal["boost", "text", "lookup"]
    boost: float = 0.0
    phone: float | None = None
    lookup: float | None = None
    heard: str | None = None

    def __repr__(self) -> str:
        return f"<Mention of {self.entity.display!r}, found by {self.found_by}>"

    @classmethod
    def of(
        cls,
        entity: Entity,
        found_by: Literal["boost", "text", "lookup"],
        written: str,
        *,
        boost: float = 0.0,
        lookup: float | None = None,
    ) -> Mention:
        """A `Mention`, by its attributes, of an entry for which ``written`` stood there."""
        same = _is_name(written, entity.name)
        return cls(entity, found_by, boost, None, lookup, None if same else written)


def _is_name(written: str, name: str) -> bool:
    """Whether a text is a name, whatever its capitals, punctuation and spaces."""
    if written == name:
        return True
    one, other = (text.replace("-", " ").split() for text in (normalise(written), name))
    return "".join(one) == "".join(other)


class MentionSpan(NamedTuple):
    """A mention and its extent.

    Attributes:
        mention: what came out of the list.
        words: its first word and the one after its last, counted in those of the hypothesis.
        start, end: seconds from the start of the utterance.
    """

    mention: Mention
    words: tuple[int, int]
    start: float
    end: float


@dataclass(frozen=True)
class Word:
    """A word as it is written, and where it was heard.

    Attributes:
        word: what to print; an entity's word has the spelling the list asked for.
        start, end: seconds from the start of the utterance.
        confidence: the lattice's posterior of the word around its span, in [0, 1].
        entity: whether it came out of the list of names.
        log_prob: what the model itself says of it: the mean log-prob of its tokens (of a name of
            several words, of all of them) where they begin, without boosts; natural log.
        glued: whether no space stands before it (scripts without spaces).
        mentions: the entries of the list that it came from: one, or several where names meet in a
            word (``iPhone手机``).
    """

    word: str
    start: float
    end: float
    confidence: float
    entity: bool = False
    log_prob: float = 0.0
    glued: bool = False
    mentions: tuple[Mention, ...] = ()

    def __repr__(self) -> str:
        name = " of a name" if self.entity else ""
        return f"<Word {self.word!r}{name}, {self.start:g} to {self.end:g} s>"

    @property
    def mention(self) -> Mention | None:
        """The entry of the list that it came from, the first of several."""
        return self.mentions[0] if self.mentions else None


def mentions_of(words: Iterable[Word]) -> tuple[MentionSpan, ...]:
    """What came out of the list of names, in order of time."""
    found: dict[int, MentionSpan] = {}
    for at, word in enumerate(words):
        for mention in word.mentions:
            first = found.get(id(mention))
            begin, start = (at, word.start) if first is None else (first.words[0], first.start)
            found[id(mention)] = MentionSpan(mention, (begin, at + 1), start, word.end)
    return tuple(found.values())


def text_of(words: Iterable[Word]) -> str:
    """The words with the spaces between them."""
    return "".join([word.word if word.glued else f" {word.word}" for word in words]).strip(" ")


@dataclass(frozen=True)
class Hypothesis:
    """One reading of an utterance.

    Attributes:
        words: in order of time.
        score: natural log of the best path, all its parts together.
        token_ids: the columns that the path took, without blanks and repeats.
        boost: the share of ``score`` that was added for names.
        lm: the share of ``score`` that a language model gave, bonuses and costs of words
            included.
        phone: what the phone head says of it (:mod:`ctcbias_fst.rescore.phonetic`), at most 0;
            its share of ``score`` is this times ``phone_scale``. None if nobody asked.
        phone_share: the share of ``score`` that the phone head gave.
    """

    words: tuple[Word, ...]
    score: float
    token_ids: tuple[int, ...]
    boost: float = 0.0
    lm: float = 0.0
    phone: float | None = None
    phone_share: float = 0.0

    def __repr__(self) -> str:
        return f"<Hypothesis {quoted(self.text, 80)}, score {self.score:.2f}>"

    @property
    def shares(self) -> dict[str, float]:
        """What ``score`` is the sum of: the log-prob of the path (``acoustic``), what was given
        for names (``boost``), the language model's say (``lm``), the phone head's (``phone``)."""
        others = {"boost": self.boost, "lm": self.lm, "phone": self.phone_share}
        return {"acoustic": self.score - sum(others.values()), **others}

    @property
    def mentions(self) -> tuple[MentionSpan, ...]:
        """What came out of the list of names, in order of time."""
        return mentions_of(self.words)

    @property
    def text(self) -> str:
        """The words, a space between them where the script has one."""
        return text_of(self.words)


@dataclass(frozen=True)
class Transcript:
    """The outcome for one utterance.

    Attributes:
        id: the utterance.
        best: the best hypothesis; its words may be none, never missing.
        nbest: the best hypotheses, no two with the same words, best first; ``best`` leads.
        warning: what went wrong on the way, if the search had to fall back.
        left_out: words that the search found and nothing in the audio speaks for; they are not
            among those of ``best`` (:mod:`ctcbias_fst.search.evidence`).
    """

    id: str
    best: Hypothesis
    nbest: tuple[Hypothesis, ...] = ()
    warning: str | None = None
    left_out: tuple[Word, ...] = ()

    def __repr__(self) -> str:
        warned = "" if self.warning is None else ", with a warning"
        return f"<Transcript of {self.id!r}: {quoted(self.best.text, 80)}{warned}>"


@dataclass(frozen=True)
class Failure:
    """A recording that could not be used.

    Attributes:
        id: of the recording: its path, or its name.
        error: why.
    """

    id: str
    error: AudioError

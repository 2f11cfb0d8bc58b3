"""The price of names for a model, found without labels.

``decode.boost.bonus`` is what a name is paid besides what its letters are; below 0, a price. The
higher it is, the more names are found, and the more are written that nobody said. How many these
are needs no labels: decoys, names that nobody says, are listed, and each right word that they
change is lost. Which words are right nobody knows, but the model how likely they are: its
confidence is what a changed word counts. The price is the lowest at which one of so many is lost
(``tolerance``). Of the other settings of the boosts none moved F1 by as much (docs/tuning.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import kaldialign

from ctcbias_fst.bounds import at_least_one, positive
from ctcbias_fst.compiled import CompiledEntities
from ctcbias_fst.decoder import Decoder
from ctcbias_fst.errors import ConfigError, InputError, warn_caller
from ctcbias_fst.records import LogProbs, Word, text_of
from ctcbias_fst.settings import PipelineConfig
from ctcbias_fst.studies.decoys import lexicon_decoys, unsaid

_LOWEST, _HIGHEST = -12.0, 0.0
"""Of the bonuses that are tried, a nat apart: nobody is paid for being on a list."""

_NEAR = 0.1
"""Nats: bonuses are not told apart further."""

_NOTHING = ""
"""In an alignment, where a word has none beside it."""

LEAST_WORDS, LEAST_DECOYS = 200, 100
"""Fewer tell nothing."""

LEAST_LOST = 2.0
"""Words of all lists together: fewer are chance, and no price is raised for them."""


@dataclass(frozen=True)
class CalibrateConfig:
    """What is asked for.

    Attributes:
        tolerance: the share of right words that a list of decoys may change.
        decoys: names of a list; as many as lists will have that the price is for.
        lists: of decoys from the lexicon, each decoded by itself.
        seed: of the decoys that are drawn.
    """

    tolerance: float = 0.001
    decoys: int = 1000
    lists: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        at_least_one(self, "decoys", "lists")
        positive(self, "tolerance")


@dataclass(frozen=True)
class Calibrated:
    """The outcome.

    Attributes:
        config: the settings with the price.
        changed: the share of right words that decoys change at it.
        tolerance: the share that was asked for: at least a few words.
        before: the same for the settings that it began with.
        tried: all bonuses that were tried, and the share at each.
        words: of the transcripts without a list.
        decoys: how many there were, of all lists.
    """

    config: PipelineConfig
    changed: float
    tolerance: float
    before: float
    tried: Mapping[float, float]
    words: int
    decoys: int


@dataclass
class _Speech:
    """Decodes the same speech again and again; lists are compiled once."""

    decoder: Callable[[PipelineConfig], Decoder]
    batches: Sequence[LogProbs]
    compiled: list[CompiledEntities] = field(default_factory=list)
    plain: list[tuple[Word, ...]] = field(default_factory=list)

    def read(
        self, decoder: Decoder, names: CompiledEntities | None = None
    ) -> list[tuple[Word, ...]]:
        """The words of every utterance, in their order."""
        return [
            transcript.best.words
            for batch in self.batches
            for transcript in decoder.decode_batch(batch, [names] * batch.size)
        ]

    def changed(self, config: PipelineConfig) -> float:
        """The share of right words that a list of decoys changes, the mean of all lists."""
        decoder = self.decoder(config)
        lost = sum(
            _lost(before, after)
            for names in self.compiled
            for before, after in zip(self.plain, self.read(decoder, names))
        )
        return lost / len(self.compiled) / self.right

    @property
    def right(self) -> float:
        """How many of the words are right without a list, as far as the model knows."""
        return sum(word.confidence for words in self.plain for word in words)


def _lost(before: Sequence[Word], after: Sequence[Word]) -> float:
    """How many of the words before were right, as far as the model knows, and are no more."""
    lost, at = 0.0, 0
    pairs = kaldialign.align(
        [word.word.lower() for word in before], [word.word.lower() for word in after], _NOTHING
    )
    for one, other in pairs:
        if one == _NOTHING:
            lost += 1.0  # what is written where nothing was
            continue
        lost += before[at].confidence * (one != other)
        at += 1
    return lost


def calibrate(
    decoder: Callable[[PipelineConfig], Decoder],
    batches: Iterable[LogProbs],
    base: PipelineConfig,
    config: CalibrateConfig = CalibrateConfig(),
    *,
    decoys: Sequence[str] | None = None,
    report: Callable[[str], None] = lambda message: None,
) -> Calibrated:
    """Find the price of names for a model.

    Args:
        decoder: makes a decoder of the model's tokens with other settings.
        batches: what the model makes of speech without a list of names: some ten minutes.
        base: the settings whose price is changed.
        config: what is asked for.
        decoys: one list of names that nobody says; by default words of the lexicon inside the
            package.
        report: is told of every price that is tried.

    Raises:
        InputError: there is too little speech, no decoy that is not said, or no price at which
            decoys change as little as that.
        ConfigError: the part ``boost`` is off.
    """
    if "boost" not in base.parts:
        raise ConfigError("the part boost is switched off: there is nothing to calibrate")
    speech = _Speech(decoder, list(batches))
    first = decoder(base)
    speech.plain = speech.read(first)
    count = sum(map(len, speech.plain))
    if count < LEAST_WORDS:
        raise InputError(
            f"the speech has {count} words, at least {LEAST_WORDS} are needed: give more, ten "
            "minutes are good"
        )
    texts = list(map(text_of, speech.plain))
    if decoys is None:
        lists = lexicon_decoys(texts, config.decoys, config.lists, config.seed)
    else:
        lists = [unsaid(decoys, texts)]
        if len(lists[0]) < LEAST_DECOYS:
            raise InputError(
                f"{len(lists[0])} decoys that are not said, at least {LEAST_DECOYS} are needed: "
                "give as many as the lists will have that are used"
            )
    speech.compiled = [first.compile(list(names), warn=False) for names in lists]
    tried: dict[float, float] = {}

    def share(bonus: float) -> float:
        if bonus not in tried:
            tried[bonus] = speech.changed(_paid(base, bonus))
            report(f"price {-bonus:g} nats: decoys change {tried[bonus]:.2%} of the words")
        return tried[bonus]

    tolerance = max(config.tolerance, LEAST_LOST / len(lists) / speech.right)
    if tolerance > config.tolerance:
        warn_caller(
            f"the speech is too short to tell {config.tolerance:.2%} of its words from chance: "
            f"{tolerance:.2%} is asked for, which is {LEAST_LOST:g} words of {speech.right:.0f}"
            + (f" with {len(lists)} lists of decoys" if len(lists) > 1 else "")
        )
    own = base.decode.boost.bonus
    before = share(own)
    bonus = _bonus(share, own, tolerance)
    if share(bonus) > tolerance:
        remedy = "allow more (--tolerance), or use short lists with this model"
        if decoys is None:
            remedy = f"give decoys that are names of the kind of yours (--decoys), {remedy}"
        raise InputError(
            f"at no price do decoys change as little as {tolerance:.2%} of the words: "
            f"{before:.2%} at {-own:g} nats, {share(bonus):.2%} at {-bonus:g}, the highest that "
            f"is tried: {remedy}"
        )
    if bonus == _HIGHEST and tried[bonus] == 0:
        warn_caller(
            "decoys change nothing at any price, which tells little, and the price stays: give "
            "more speech or decoys"
        )
        bonus = own
    return Calibrated(
        _paid(base, bonus), tried[bonus], tolerance, before, tried, count, sum(map(len, lists))
    )


def _bonus(share: Callable[[float], float], start: float, tolerance: float) -> float:
    """The highest bonus with at most such a share; the lowest of all if there is none."""
    low = high = start
    while share(low) > tolerance and low > _LOWEST:
        high, low = low, max(low - 1.0, _LOWEST)
    while share(high) <= tolerance and high < _HIGHEST:
        low, high = high, min(high + 1.0, _HIGHEST)
    if share(high) <= tolerance:
        return high
    while high - low > _NEAR and share(low) <= tolerance:
        middle = round((low + high) / 2, 3)
        if share(middle) <= tolerance:
            low = middle
        else:
            high = middle
    return low


def _paid(base: PipelineConfig, bonus: float) -> PipelineConfig:
    boost = replace(base.decode.boost, bonus=bonus)
    return replace(base, decode=replace(base.decode, boost=boost))

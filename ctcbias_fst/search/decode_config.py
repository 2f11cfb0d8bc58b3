"""What the decoder may be told."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ctcbias_fst.bounds import (
    MAX_BEAM,
    MAX_HYPOTHESES,
    MAX_STATES,
    at_least_one,
    at_most,
    typed,
)
from ctcbias_fst.search.evidence import EvidenceConfig
from ctcbias_fst.search.lm_config import LmConfig
from ctcbias_fst.search.search_config import SearchConfig
from ctcbias_fst.search.times import TimesConfig

_WIDER = 4


@dataclass(frozen=True)
class DecodeConfig(SearchConfig):
    """How log-probs are searched, and what is made of it.

    Attributes:
        lm: how a language model acts, if the decoder has one.
        nbest: hypotheses per utterance.
        evidence: what words need to be heard.
        times: where words are placed.
    """

    lm: LmConfig = field(default_factory=LmConfig)
    nbest: int = 1
    evidence: EvidenceConfig = field(default_factory=EvidenceConfig)
    times: TimesConfig = field(default_factory=TimesConfig)

    def __post_init__(self) -> None:
        typed(self)
        super().__post_init__()
        at_least_one(self, "nbest")
        at_most(self, MAX_HYPOTHESES, "nbest")
        at_most(self, MAX_STATES, "max_active")
        if self.boost.max_reward >= self.search_beam:
            raise ValueError(
                f"boost.max_reward must be below search_beam, found {self.boost.max_reward:g} and "
                f"{self.search_beam:g}: a name that was paid that much would push out all else"
            )

    def wider(self) -> DecodeConfig:
        """The same with the beams for what the search lost."""
        lm = self.lm
        return replace(
            self,
            lm=replace(
                lm,
                lattice_beam=min(_WIDER * lm.lattice_beam, MAX_BEAM),
                beam=min(_WIDER * lm.beam, MAX_BEAM),
                max_active=min(_WIDER * lm.max_active, MAX_STATES),
            ),
            search_beam=min(_WIDER * self.search_beam, MAX_BEAM),
            output_beam=min(_WIDER * self.output_beam, MAX_BEAM),
            max_active=min(_WIDER * self.max_active, MAX_STATES),
        )

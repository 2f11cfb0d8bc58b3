"""What the phone head adds to decoding: rescoring and lookup, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ctcbias_fst.records import LogProbs, Transcript
from ctcbias_fst.rescore.lookup import LookupConfig, look_up
from ctcbias_fst.rescore.mention_scores import score_mentions
from ctcbias_fst.rescore.phone_frames import phone_frames
from ctcbias_fst.rescore.phonetic import PhoneAligner, RescoreConfig, rescore
from ctcbias_fst.rescore.word_pronunciations import EntityPronunciations, WordPronunciations
from ctcbias_fst.search.decode_config import DecodeConfig
from ctcbias_fst.text.entities import EntityList


class PhoneticRescorer:
    """Ranks and mends transcripts by their sounds.

    Args:
        words: how words sound.
        rescoring: settings of the phone scores; lookup uses them, too.
        lookup: settings of the lookup, or None to leave it out.
        rescored: whether hypotheses are ranked anew.
    """

    def __init__(
        self,
        words: WordPronunciations,
        rescoring: RescoreConfig,
        lookup: LookupConfig | None,
        *,
        rescored: bool = True,
    ) -> None:
        self._aligner = PhoneAligner(rescoring, words)
        self._lookup = lookup
        self._rescored = rescored

    @property
    def words(self) -> WordPronunciations:
        """How words sound."""
        return self._aligner.words

    def search_config(self, config: DecodeConfig) -> DecodeConfig:
        """The settings of a decoder that gives as many hypotheses as are rescored."""
        if not self._rescored:
            return config
        return replace(config, nbest=max(config.nbest, self._aligner.config.nbest))

    def names(self, entities: EntityList) -> EntityPronunciations:
        """Prepare a list of names."""
        return EntityPronunciations(entities, self._aligner.words)

    def apply(
        self,
        transcripts: Sequence[Transcript],
        log_probs: LogProbs,
        names: Sequence[EntityPronunciations | None],
        nbest: int = 1,
    ) -> list[Transcript]:
        """Rescore, then look up.

        Args:
            transcripts: of the decoder.
            log_probs: of the same utterances, with phones that
                :func:`ctcbias_fst.rescore.phone_frames.check_phones` finds right.
            names: the list of each utterance.
            nbest: hypotheses to return.
        """
        if not transcripts:
            return []
        frames = phone_frames(log_probs, self._aligner.config.blank_threshold)
        done = list(transcripts)
        if self._rescored:
            done = rescore(done, frames, self._aligner, names, keep=nbest)
        if self._lookup is not None:
            done = look_up(done, frames, self._aligner, names, self._lookup)
        done = [replace(item, nbest=item.nbest[:nbest]) for item in done]
        return score_mentions(done, frames, self._aligner, names)

"""The decoder: log-probs of any CTC model and a list of names in, transcripts out.

The one place where the stages are wired together.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ctcbias_fst.arrays import checked_frame_seconds
from ctcbias_fst.bounds import MAX_HYPOTHESES, whole_number
from ctcbias_fst.compiled import CompiledEntities, Compiler, Latest, frames_of
from ctcbias_fst.decoder_inputs import (
    Entities,
    batch_of,
    checked_tokenizer,
    compiled_lists,
    language_model,
    language_model_path,
    lexicon_search,
    lists_for_utterances,
    lists_of,
    rescorer_of,
)
from ctcbias_fst.devices import checked_device, with_versions
from ctcbias_fst.errors import ConfigError, warn_caller
from ctcbias_fst.graph.entity_tree import BoostGraph
from ctcbias_fst.models.listed import ListedNames
from ctcbias_fst.records import LogProbs, Transcript, require_log_probs
from ctcbias_fst.rescore.phone_frames import check_phones
from ctcbias_fst.rescore.word_pronunciations import EntityPronunciations
from ctcbias_fst.search.boosting import check_log_probs
from ctcbias_fst.search.evidence import leave_out_unheard
from ctcbias_fst.search.intersect import check_process
from ctcbias_fst.search.lattice_decoder import LatticeDecoder, Listener
from ctcbias_fst.search.segments import cut_at_pauses, join_segments
from ctcbias_fst.search.times import place_words
from ctcbias_fst.search.unbiased import unbiased_elsewhere
from ctcbias_fst.settings import PARTS, PipelineConfig, changed, fitting, idle_parts
from ctcbias_fst.streaming.opens import OpensStreams
from ctcbias_fst.text.encoded_entities import EncodedEntities
from ctcbias_fst.text.entity_sources import EntitySource, source_of
from ctcbias_fst.text.text_files import quoted
from ctcbias_fst.text.tokens import Tokenizer
from ctcbias_fst.text.vocabulary import Vocabulary
from ctcbias_fst.variants.phone_models import tokenizer_for

FRAME_SECONDS = 0.04
"""Of models that do not say: four times the usual 10 ms."""

_ROUNDS = 2
"""How often what an adapter changed where no name is written is decoded again: once, and where a
name is gone then, once more."""


class Decoder(OpensStreams):
    """Decodes the log-probs of one CTC model. Threads may share it, and what it compiles.

    A copy, pickled or not, is made anew of what this one was made of: it has no listener, and what
    it compiles is its own.

    >>> decoder = Decoder.from_tokens("tokens.txt", frame_seconds=0.04)         # doctest: +SKIP
    >>> (transcript,) = decoder.decode(log_probs, entities=["Keisha Smith"])    # doctest: +SKIP
    >>> print(transcript.best.text)                                             # doctest: +SKIP

    Args:
        tokenizer: of the model, with its vocabulary.
        config: how the parts work together.
        frame_seconds: how long a frame of the model is.
        device: where to search.
        lm: path of the language model's file if ``config`` names none.
        phones: whether log-probs come with those of our phones, which the parts ``rescore`` and
            ``lookup`` and the shortlists of long lists need.
        listed: makes of names in the model's tokens what its adapter attends to, if it has one.
        check_blank: whether to warn if another column looks like the blank.

    Raises:
        ModelError: it is no tokenizer.
        ConfigError: there is no such device, or no frame is as long.
        LanguageModelError: it is missing, damaged or does not fit the vocabulary.
    """

    @with_versions
    def __init__(
        self,
        tokenizer: Tokenizer,
        config: PipelineConfig = PipelineConfig(),  # noqa: B008  (frozen)
        *,
        frame_seconds: float = FRAME_SECONDS,
        device: torch.device | str = "cpu",
        lm: Path | None = None,
        phones: bool = False,
        listed: Callable[[EncodedEntities], ListedNames | None] | None = None,
        check_blank: bool = True,
    ) -> None:
        if not isinstance(config, PipelineConfig):
            raise ConfigError(
                f"config must be a PipelineConfig, found {quoted(config)}; "
                "ctcbias_fst.config.load_config(PipelineConfig, mapping) makes one"
            )
        self._made_of: dict[str, Any] = {
            "tokenizer": tokenizer,
            "config": config,
            "frame_seconds": frame_seconds,
            "device": device,
            "lm": lm,
            "phones": phones,
            "listed": listed,
            "check_blank": check_blank,
        }
        self.tokenizer, self.config = checked_tokenizer(tokenizer), config
        self.frame_seconds = checked_frame_seconds(frame_seconds, ConfigError)
        self.device = checked_device(device)
        self.rescorer = rescorer_of(fitting(config, tokenizer)) if phones else None
        search = (
            config.decode if self.rescorer is None else self.rescorer.search_config(config.decode)
        )
        vocabulary, lexicon = tokenizer.vocabulary, lexicon_search(tokenizer, self.device)
        written = vocabulary if lexicon is None else lexicon.words
        composer = language_model(config, written, self.device, lm)
        self.search = LatticeDecoder(
            vocabulary, search, self.device, composer, lexicon=lexicon, check_blank=check_blank
        )
        self.compiler = Compiler(
            tokenizer,
            config,
            self.device,
            rescorer=self.rescorer,
            heard=phones,
            modelled=composer is not None,
            listed=listed,
        )
        self._latest = Latest()

    @classmethod
    def from_tokens(
        cls,
        tokens: str | os.PathLike[str] | Sequence[str] | Mapping[str, int],
        *,
        tokenizer: str | os.PathLike[str] | None = None,
        lexicon: Any = None,
        blank: str | int | None = None,
        boundary: str | None = None,
        separator: str | None = None,
        language: str | None = None,
        frame_seconds: float | None = None,
        lm: str | os.PathLike[str] | None = None,
        settings: Mapping[str, Any] | None = None,
        device: torch.device | str = "cpu",
    ) -> Decoder:
        """Make a decoder for the columns of a model's output.

        Args:
            tokens: what they are: the path of a ``tokens.txt``, ``vocab.json`` or SentencePiece
                ``.model``, or the tokens themselves, in the order of the columns or mapped to them.
            tokenizer: the SentencePiece ``.model`` of those tokens; by default names are cut into
                few, long tokens.
            lexicon: words and their phones, where the tokens are phones: a path, or a mapping
                (:meth:`ctcbias_fst.text.token_lexicon.TokenLexicon.read`), or ``english``.
            blank: the blank's token or column; by default it is found by its usual names.
            boundary: how words are told apart: ``prefix``, ``continuation``, ``separator`` or
                ``none``; by default as the tokens look.
            separator: the token between words, if it is none of the usual ones.
            language: which vocabulary, where a file has one for each of several languages.
            frame_seconds: how long a frame is; 0.04 is assumed, with a warning.
            lm: a language model: ``.safetensors`` of ``ctcbias lm``, or an ARPA file.
            settings: changes, see :func:`ctcbias_fst.settings.changed`.
            device: where to search.

        Raises:
            ModelError: the tokens cannot be read, or have no blank.
            ConfigError: a setting or ``frame_seconds`` is wrong, or there is no such device.
            LanguageModelError: it is missing, damaged or does not fit the tokens.
        """
        config = changed({}, settings or {})
        if lm is not None:
            config = replace(config, lm=language_model_path(lm))
        if frame_seconds is None:
            frame_seconds = FRAME_SECONDS
            warn_caller(
                f"frame_seconds is not given; {FRAME_SECONDS} s is assumed, and times of words "
                "are wrong if that is"
            )
        options = {"blank": blank, "boundary": boundary, "separator": separator}
        known = tokenizer_for(tokens, tokenizer, lexicon, language=language, **options)
        decoder = cls(known, config, frame_seconds=frame_seconds, device=device)
        decoder.warn_of_idle((settings or {}).get("parts", ()))
        return decoder

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), **self._made_of), ()

    def __repr__(self) -> str:
        parts = [part for part, reason in self.parts.items() if reason is None]
        return (
            f"<Decoder of {self.vocabulary.size} tokens, {self.frame_seconds} s per frame, parts "
            f"{', '.join(parts) or 'none'}>"
        )

    @property
    def parts(self) -> dict[str, str | None]:
        """Each of :data:`ctcbias_fst.settings.PARTS`, and why it does not act; None if it does."""
        adapted, lm = self._made_of["listed"] is not None, self.search.lm is not None
        boosts = None if "boost" in self.config.parts else "needs the part boost"
        phones = None if self._made_of["phones"] else "needs log-probs of phones"
        modelled = None if lm else "needs a language model"
        idle = idle_parts(self.tokenizer)
        lacking = {
            "adapter": None if adapted else "needs a model with an adapter",
            "g2g": idle.get("g2g") or boosts,
            "lm": modelled,
            "boost-class": modelled or boosts,
            "rescore": idle.get("rescore") or phones,
            "lookup": idle.get("lookup") or phones,
        }
        chosen = self.config.parts
        return {one: lacking.get(one) if one in chosen else "switched off" for one in PARTS}

    def warn_of_idle(self, named: str | Iterable[str]) -> None:
        """Warn (`CtcbiasWarning`) of those of the named parts that do not act, and say why."""
        named = named.replace(" ", "").split(",") if isinstance(named, str) else named
        idle = [f"{one} ({why})" for one, why in self.parts.items() if why and one in named]
        if idle:
            warn_caller(f"parts without effect: {', '.join(idle)}")

    @property
    def listener(self) -> Listener | None:
        """Is given every lattice that is searched; see `Listener`."""
        return self.search.listener

    @listener.setter
    def listener(self, listener: Listener | None) -> None:
        self.search.listener = listener

    @property
    def vocabulary(self) -> Vocabulary:
        """What the columns of log-probs are."""
        return self.tokenizer.vocabulary

    @with_versions
    def compile(
        self,
        entities: EntitySource,
        seconds: float | None = None,
        *,
        warn: bool = True,
    ) -> CompiledEntities:
        """Prepare a list of names; do it once and use it for any number of utterances.

        Args:
            entities: the path of a list, a list as read from a file, or names or mappings in
                memory; see :mod:`ctcbias_fst.text.entities`.
            seconds: of the longest utterance, if it is known: names that need more are among
                ``entities.rejected`` of the result.
            warn: warn (`CtcbiasWarning`) of entries that can have no effect; otherwise
                ``entities.report()`` of the result is all that tells of them.

        Raises:
            EntityListError: it is no list, a mapping is malformed, or no entry can have an effect.
        """
        frames = None if seconds is None else frames_of(seconds, self.frame_seconds)
        checked = self.compiler.checked(entities, frames, warn=warn)
        return self.compiler.compile(checked)

    @with_versions
    def decode(
        self,
        log_probs: Any,
        lengths: Any = None,
        *,
        entities: Entities = None,
        ids: Sequence[str] | None = None,
        nbest: int | None = None,
    ) -> list[Transcript]:
        """Decode utterances; long ones are cut at pauses.

        Args:
            log_probs: of numpy or torch: ``(frame, token)`` of one utterance, a list of these, or
                ``(utterance, frame, token)``; natural log, each frame normalised. Or a `LogProbs`.
            lengths: the frames of each utterance of a padded batch.
            entities: one list for all utterances, or a list of one (or None) for each, or a
                mapping of their ids to these: what :meth:`compile` returned or takes. The latest
                lists are kept compiled.
            ids: names of the utterances, for messages and results; by default their numbers.
            nbest: hypotheses per utterance, by default as the settings say.

        Returns:
            one transcript for each utterance, in their order.

        Raises:
            LogProbsError: shape, type, vocabulary or values are wrong.
            EntityListError: a list is none, or there are not as many as utterances.
            GraphError: a list was compiled for another model.
        """
        check_process()
        batch = self.batch(log_probs, lengths, ids)
        return self.decode_batch(batch, self.lists(entities, batch.size, batch.ids), nbest)

    def batch(
        self, log_probs: Any, lengths: Any = None, ids: Sequence[str] | None = None
    ) -> LogProbs:
        """Log-probs as :meth:`decode` takes them, as a record."""
        return batch_of(log_probs, lengths, ids, self.vocabulary, self.frame_seconds)

    def lists(
        self, entities: Entities, count: int, ids: Sequence[str] = ()
    ) -> list[CompiledEntities | None]:
        """The compiled list of each of ``count`` utterances; see :meth:`decode`."""
        return lists_of(entities, count, self._compiled, self._latest.make_room, ids)

    def _compiled(self, entities: Any) -> CompiledEntities:
        if isinstance(entities, CompiledEntities):
            return entities
        return self._latest.get(source_of(entities), self.compile)

    @with_versions
    def decode_batch(
        self,
        log_probs: LogProbs,
        names: Sequence[CompiledEntities | None],
        nbest: int | None = None,
    ) -> list[Transcript]:
        """The same for what :meth:`batch` and :meth:`lists` give.

        Args:
            log_probs: of all utterances.
            names: the compiled list of each, or None.
            nbest: hypotheses per utterance, by default as the settings say.

        Raises:
            EntityListError: there are not as many lists as utterances, or they are none.
        """
        found = self.decode_unplaced(log_probs, names, nbest)
        return place_words(found, log_probs, self.config.decode.times)

    def decode_unplaced(
        self,
        log_probs: LogProbs,
        names: Sequence[CompiledEntities | None],
        nbest: int | None = None,
    ) -> list[Transcript]:
        """The same as :meth:`decode_batch`; words have the times of their tokens."""
        most = self.config.decode.nbest
        if nbest is not None:
            most = whole_number("nbest", nbest, MAX_HYPOTHESES)
        check_process()
        require_log_probs(log_probs)
        names = compiled_lists(names, log_probs.size, self.compiler)
        # Before it is cut: messages name the frame of the whole.
        check_log_probs(log_probs, self.vocabulary)
        if self.needs_phones(names):
            check_phones(log_probs)
        batch, segments = cut_at_pauses(log_probs)
        batch = batch.to(self.device)
        own = [names[segment.utterance] for segment in segments]
        lists = lists_for_utterances(batch, own)
        transcripts = self._decoded(batch, range(batch.size), lists, most)
        for _ in range(_ROUNDS):
            margin = self.config.adapter.margin
            batch, rows = unbiased_elsewhere(batch, transcripts, margin)
            if not rows:
                break
            for row, transcript in zip(rows, self._decoded(batch, rows, lists, most)):
                transcripts[row] = transcript
        return join_segments(transcripts, segments, log_probs.frame_seconds, most)

    def needs_phones(self, names: Sequence[CompiledEntities | None]) -> bool:
        """Whether utterances with these lists cannot be decoded without log-probs of phones."""
        return self.rescorer is not None or any(one and one.shortlists for one in names)

    def _decoded(
        self,
        batch: LogProbs,
        rows: Sequence[int],
        lists: Sequence[tuple[BoostGraph | None, EntityPronunciations | None]],
        nbest: int,
    ) -> list[Transcript]:
        """Decode some rows of a batch, of each of which there is a graph and pronunciations."""
        found = self.search.decode(batch, [lists[row][0] for row in rows], rows, nbest, True)
        some = batch if len(rows) == batch.size else batch.select(rows)
        if self.rescorer is not None:
            pronunciations = [lists[row][1] for row in rows]
            found = self.rescorer.apply(found, some, pronunciations, nbest)
        found = [replace(one, nbest=one.nbest[:nbest]) for one in found]
        writes = self.search.lexicon is None
        return leave_out_unheard(found, some, self.config.decode.evidence, writes=writes)

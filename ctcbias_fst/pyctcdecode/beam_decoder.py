"""The decoder, with the calls of pyctcdecode's."""

from __future__ import annotations

import copy
import os
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from ctcbias_fst.bounds import MAX_HYPOTHESES
from ctcbias_fst.decoder import Decoder
from ctcbias_fst.errors import ConfigError, EntityListError, InputError, warn_caller
from ctcbias_fst.files import check_output, write_text
from ctcbias_fst.pyctcdecode import calls
from ctcbias_fst.pyctcdecode.alphabet import Alphabet
from ctcbias_fst.pyctcdecode.language_model import LanguageModel
from ctcbias_fst.recent import Recent
from ctcbias_fst.records import Transcript
from ctcbias_fst.text.text_files import quoted, read_lines

_ALPHABET, _LANGUAGE_MODEL = "alphabet.json", "language_model"
_BATCH = 16
"""Utterances that are searched at a time."""


class BeamSearchDecoderCTC:
    """Decodes the logits of one CTC model by pyctcdecode's calls. Threads may share it.

    Where pyctcdecode is imported, this is one of its class to ``isinstance``, as Hugging Face's
    ``Wav2Vec2ProcessorWithLM`` wants it.

    Args:
        alphabet: what the columns are.
        language_model: how it acts may be changed at any time.
        options: ``frame_seconds`` (0.02), ``settings`` and ``device``, as `Decoder.from_tokens` has
            them.
    """

    def __init__(
        self, alphabet: Alphabet, language_model: LanguageModel | None = None, **options: Any
    ) -> None:
        self._alphabet, self._language_model, self._options = alphabet, language_model, options
        self._model_key = os.urandom(16)
        self._decoders: Recent[tuple[Any, ...], Decoder] = Recent(4)
        self._decoder()

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return getattr(sys.modules.get("pyctcdecode"), "BeamSearchDecoderCTC", type(self))

    def __reduce__(self) -> tuple[Any, ...]:
        made = partial(BeamSearchDecoderCTC, **self._options)
        return made, (self._alphabet, self._language_model)

    def __repr__(self) -> str:
        return f"<BeamSearchDecoderCTC by {self._decoder()!r}>"

    @property
    def model_container(self) -> dict[bytes, LanguageModel | None]:
        """The language model, where pyctcdecode has it."""
        return {self._model_key: self._language_model}

    def cleanup(self) -> None:
        """Forget what was kept for later calls."""
        self._decoders = Recent(4)

    def reset_params(
        self,
        alpha: float | None = None,
        beta: float | None = None,
        unk_score_offset: float | None = None,
        lm_score_boundary: bool | None = None,
    ) -> None:
        """Change how the language model acts; see :class:`LanguageModel`."""
        given = {"alpha": alpha, "beta": beta, "unk_score_offset": unk_score_offset}
        for name, value in {**given, "score_boundary": lm_score_boundary}.items():
            if value is not None and self._language_model is None:
                warn_caller(f"{name} has no effect: there is no language model")
            elif value is not None:
                setattr(self._language_model, name, value)

    def decode_beams_batch(
        self,
        pool: Any,
        logits_list: Iterable[Any],
        beam_width: int = 100,
        beam_prune_logp: float = -10.0,
        token_min_logp: float = -5.0,
        prune_history: bool = False,
        hotwords: Iterable[str] | None = None,
        hotword_weight: float = calls.WEIGHT,
    ) -> list[list[calls.BeamWithoutState]]:
        """The best readings of utterances; see :mod:`ctcbias_fst.pyctcdecode`.

        Args:
            pool: not needed, the utterances are decoded together.
            logits_list: of each utterance (frames, labels), of numpy or torch: logits, log-probs or
                probabilities.
            beam_width: 1 to 100,000; 10,000 beams are returned, at most.
            beam_prune_logp: 0 or less.
            token_min_logp: 0 or less.
            prune_history: has no effect.
            hotwords: names that may be said, or these mapped to weights of their own.
            hotword_weight: 0 or more.

        Returns:
            the beams of each utterance, best first.

        Raises:
            LogProbsError: shape, type or values of logits are wrong.
            EntityListError: hotwords are no list of strings.
            ConfigError: a number is wrong.
        """
        calls.warn_of(pool=pool, prune_history=prune_history or None)
        beams = calls.Beams(beam_width, beam_prune_logp, token_min_logp)
        decoder, names = self._decoder(beams), calls.entities_of(hotwords, hotword_weight)
        found = _transcripts(decoder, logits_list, names, min(beam_width, MAX_HYPOTHESES))
        return [[calls.beam_of(one, decoder.frame_seconds) for one in each.nbest] for each in found]

    def decode_batch(
        self,
        pool: Any,
        logits_list: Iterable[Any],
        beam_width: int = 100,
        beam_prune_logp: float = -10.0,
        token_min_logp: float = -5.0,
        hotwords: Iterable[str] | None = None,
        hotword_weight: float = calls.WEIGHT,
    ) -> list[str]:
        """The texts of utterances; see :meth:`decode_beams_batch`."""
        calls.warn_of(pool=pool)
        decoder = self._decoder(calls.Beams(beam_width, beam_prune_logp, token_min_logp))
        names = calls.entities_of(hotwords, hotword_weight)
        return [one.best.text for one in _transcripts(decoder, logits_list, names, 1)]

    def decode_beams(
        self,
        logits: Any,
        beam_width: int = 100,
        beam_prune_logp: float = -10.0,
        token_min_logp: float = -5.0,
        prune_history: bool = False,
        hotwords: Iterable[str] | None = None,
        hotword_weight: float = calls.WEIGHT,
        lm_start_state: Any = None,
    ) -> list[calls.Beam]:
        """The best readings of one utterance; see :meth:`decode_beams_batch`.

        Returns:
            its beams, best first; their language model states are their texts.
        """
        calls.warn_of(lm_start_state=lm_start_state)
        width = (beam_width, beam_prune_logp, token_min_logp)
        (beams,) = self.decode_beams_batch(
            None, [logits], *width, prune_history, hotwords, hotword_weight
        )
        modelled = self._language_model is not None
        return [(beam[0], beam[0] if modelled else None, *beam[1:]) for beam in beams]

    def decode(
        self,
        logits: Any,
        beam_width: int = 100,
        beam_prune_logp: float = -10.0,
        token_min_logp: float = -5.0,
        hotwords: Iterable[str] | None = None,
        hotword_weight: float = calls.WEIGHT,
        lm_start_state: Any = None,
    ) -> str:
        """The text of one utterance; see :meth:`decode_beams_batch`."""
        calls.warn_of(lm_start_state=lm_start_state)
        width = (beam_width, beam_prune_logp, token_min_logp)
        return self.decode_batch(None, [logits], *width, hotwords, hotword_weight)[0]

    def save_to_dir(self, filepath: str | os.PathLike[str]) -> None:
        """Write labels and language model to a folder, as pyctcdecode does; it can load them if
        the model is an ARPA file.

        Raises:
            ConfigError: the folder cannot be written.
            LanguageModelError: the language model's file is gone or has changed.
        """
        if not isinstance(filepath, (str, os.PathLike)):
            raise ConfigError(f"{quoted(filepath)} is no path of a folder")
        folder = Path(filepath)
        check_output(folder, folder=True)
        try:
            write_text(folder / _ALPHABET, self._alphabet.dumps())
            if self._language_model is not None:
                self._language_model.save_to_dir(folder / _LANGUAGE_MODEL)
        except OSError as error:
            where = error.filename or folder
            raise ConfigError(f"{where}: cannot be written: {error.strerror}") from error

    @classmethod
    def load_from_dir(
        cls,
        filepath: str | os.PathLike[str],
        unigram_encoding: str | None = None,
        **options: Any,
    ) -> BeamSearchDecoderCTC:
        """Read what :meth:`save_to_dir` wrote, or pyctcdecode.

        Args:
            filepath: the folder.
            unigram_encoding: has no effect: words are those of the language model.
            options: see the class.

        Raises:
            InputError: the labels cannot be read.
            LanguageModelError: the language model is missing or damaged, or kenlm's binary.
        """
        calls.warn_of(unigram_encoding=unigram_encoding)
        alphabet = Alphabet.loads("\n".join(read_lines(Path(filepath) / _ALPHABET, InputError)))
        folder = Path(filepath) / _LANGUAGE_MODEL
        model = LanguageModel.load_from_dir(folder) if folder.is_dir() else None
        return cls(alphabet, model, **options)

    def _decoder(self, beams: calls.Beams = calls.Beams()) -> Decoder:  # noqa: B008  (frozen)
        """The decoder of these settings, and of those of the language model."""
        model = copy.copy(self._language_model)  # other threads may reset it meanwhile
        key = (beams, str(model))
        if (found := self._decoders.get(key)) is not None:
            return found
        settings = beams.settings()
        settings |= {} if model is None else model.settings(beams.nats)
        settings |= self._options.get("settings") or {}
        decoder = Decoder.from_tokens(
            self._alphabet.tokens,
            lm=None if model is None else model.path,
            **self._alphabet.options,
            **{"frame_seconds": 0.02, **self._options, "settings": settings},
        )
        return self._decoders.put(key, decoder)


def _transcripts(
    decoder: Decoder, logits_list: Iterable[Any], entities: list[dict[str, Any]], nbest: int
) -> list[Transcript]:
    """Decode utterances, some at a time; tells what could not be read as it should."""
    names = None
    if entities:
        try:
            (names,) = decoder.lists(entities, 1)
        except EntityListError as error:
            warn_caller(f"{error}; decoded without hotwords")
    found: list[Transcript] = []
    arrays = iter(logits_list)
    while some := [calls.log_probs_of(one) for one in islice(arrays, _BATCH)]:
        found += decoder.decode(some, entities=names, nbest=nbest)
    for number, one in enumerate(found, start=1):
        if one.warning is not None and one.best.words:
            warn_caller(f"utterance {number}: {one.warning}")
        if one.left_out:
            left = " ".join(word.word for word in one.left_out)
            warn_caller(f"utterance {number}: {quoted(left)} is left out: it was hardly heard")
    return found


def build_ctcdecoder(
    labels: Sequence[str] | Mapping[str, int],
    kenlm_model_path: str | os.PathLike[str] | None = None,
    unigrams: Collection[str] | None = None,
    alpha: float = 0.5,
    beta: float = 1.5,
    unk_score_offset: float = -10.0,
    lm_score_boundary: bool = True,
    *,
    frame_seconds: float = 0.02,
    settings: Mapping[str, Any] | None = None,
    device: torch.device | str = "cpu",
) -> BeamSearchDecoderCTC:
    """Make a decoder of logits; see :mod:`ctcbias_fst.pyctcdecode`.

    Args:
        labels: of the columns, in their order or mapped to them. The blank is "", ``<pad>``,
            ``[PAD]``, ``_`` (of letters), ``<blk>`` or the like, or a column behind them; ``|`` or
            a space parts words, or pieces begin with U+2581 or go on with ``##``.
        kenlm_model_path: an ARPA file; kenlm's binary files cannot be read.
        unigrams: has no effect: the words of the language model are known, and no others.
        alpha: factor on the language model's log-probs.
        beta: nats for each word, if there is a language model.
        unk_score_offset: added to the log-prob (log10) of words that it does not know.
        lm_score_boundary: False has no effect.
        frame_seconds: how long a frame is; 0.02 is what wav2vec 2.0 has.
        settings: changes of the decoder's, see :func:`ctcbias_fst.settings.changed`.
        device: where to search.

    Raises:
        ModelError: labels are wrong, or nothing tells how words begin.
        LanguageModelError: it is missing, damaged, binary or does not fit.
        ConfigError: a number or a setting is wrong, or there is no such device.
    """
    calls.warn_of(unigrams=unigrams)
    model, acting = None, (alpha, beta, unk_score_offset, lm_score_boundary)
    if kenlm_model_path is not None:
        model = LanguageModel(Path(kenlm_model_path), *acting)
    elif acting != (0.5, 1.5, -10.0, True):
        warn_caller(
            "alpha, beta, unk_score_offset and lm_score_boundary have no effect without a language "
            "model (kenlm_model_path)"
        )
    return BeamSearchDecoderCTC(
        Alphabet.build_alphabet(labels),
        model,
        frame_seconds=frame_seconds,
        settings=settings,
        device=device,
    )

"""The decoder, with the calls of pyctcdecode's."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ctcbias_fst.decoder import Decoder
from ctcbias_fst.errors import ConfigError, InputError, warn_caller
from ctcbias_fst.files import atomic_path, check_output
from ctcbias_fst.pyctcdecode.alphabet import Alphabet
from ctcbias_fst.pyctcdecode.arguments import WEIGHT, Beams, entities_of, warn_of
from ctcbias_fst.pyctcdecode.batches import Beam, BeamWithoutState, beam_of, decoded
from ctcbias_fst.pyctcdecode.language_model import LanguageModel
from ctcbias_fst.recent import Recent
from ctcbias_fst.text.text_files import quoted, read_lines

__all__ = ["BeamSearchDecoderCTC"]

_ALPHABET, _LANGUAGE_MODEL = "alphabet.json", "language_model"


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
        return _rebuilt, (self._alphabet, self._language_model, self._options)

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
        model = self._language_model
        for name, value in (
            ("alpha", alpha),
            ("beta", beta),
            ("unk_score_offset", unk_score_offset),
            ("score_boundary", lm_score_boundary),
        ):
            if value is not None and model is None:
                warn_caller(f"{name} has no effect: there is no language model")
            elif value is not None:
                setattr(model, name, value)

    def decode_beams_batch(
        self,
        pool: Any,
        logits_list: Iterable[Any],
        beam_width: int = 100,
        beam_prune_logp: float = -10.0,
        token_min_logp: float = -5.0,
        prune_history: bool = False,
        hotwords: Iterable[str] | None = None,
        hotword_weight: float = WEIGHT,
    ) -> list[list[BeamWithoutState]]:
        """The best readings of utterances; see :mod:`ctcbias_fst.pyctcdecode`.

        Args:
            pool: not needed, the utterances are decoded together.
            logits_list: of each utterance (frames, labels), of numpy or torch: logits, log-probs or
                probabilities.
            beam_width: 1 to 100,000; 10,000 beams are returned, at most.
            beam_prune_logp: 0 or less.
            token_min_logp: 0 or less.
            prune_history: has no effect.
            hotwords: names that may be said.
            hotword_weight: 0 or more.

        Returns:
            the beams of each utterance, best first.

        Raises:
            LogProbsError: shape, type or values of logits are wrong.
            EntityListError: hotwords are no list of strings.
            ConfigError: a number is wrong.
        """
        warn_of(pool=pool, prune_history=prune_history or None)
        beams = Beams(beam_width, beam_prune_logp, token_min_logp)
        decoder = self._decoder(beams)
        names = entities_of(hotwords, hotword_weight)
        found = decoded(decoder, logits_list, names, beams.returned)
        return [[beam_of(one, decoder.frame_seconds) for one in each.nbest] for each in found]

    def decode_batch(
        self,
        pool: Any,
        logits_list: Iterable[Any],
        beam_width: int = 100,
        beam_prune_logp: float = -10.0,
        token_min_logp: float = -5.0,
        hotwords: Iterable[str] | None = None,
        hotword_weight: float = WEIGHT,
    ) -> list[str]:
        """The texts of utterances; see :meth:`decode_beams_batch`."""
        warn_of(pool=pool)
        decoder = self._decoder(Beams(beam_width, beam_prune_logp, token_min_logp))
        found = decoded(decoder, logits_list, entities_of(hotwords, hotword_weight), 1)
        return [one.best.text for one in found]

    def decode_beams(
        self,
        logits: Any,
        beam_width: int = 100,
        beam_prune_logp: float = -10.0,
        token_min_logp: float = -5.0,
        prune_history: bool = False,
        hotwords: Iterable[str] | None = None,
        hotword_weight: float = WEIGHT,
        lm_start_state: Any = None,
    ) -> list[Beam]:
        """The best readings of one utterance; see :meth:`decode_beams_batch`.

        Returns:
            its beams, best first; their language model states are their texts.
        """
        warn_of(lm_start_state=lm_start_state)
        arguments = (beam_width, beam_prune_logp, token_min_logp, prune_history, hotwords)
        (beams,) = self.decode_beams_batch(None, [logits], *arguments, hotword_weight)
        modelled = self._language_model is not None
        return [
            (text, text if modelled else None, words, logit_score, score)
            for text, words, logit_score, score in beams
        ]

    def decode(
        self,
        logits: Any,
        beam_width: int = 100,
        beam_prune_logp: float = -10.0,
        token_min_logp: float = -5.0,
        hotwords: Iterable[str] | None = None,
        hotword_weight: float = WEIGHT,
        lm_start_state: Any = None,
    ) -> str:
        """The text of one utterance; see :meth:`decode_beams_batch`."""
        warn_of(lm_start_state=lm_start_state)
        arguments = (beam_width, beam_prune_logp, token_min_logp, hotwords, hotword_weight)
        return self.decode_batch(None, [logits], *arguments)[0]

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
            with atomic_path(folder / _ALPHABET) as temporary:
                temporary.write_text(self._alphabet.dumps(), encoding="utf-8")
            if self._language_model is not None:
                (folder / _LANGUAGE_MODEL).mkdir(exist_ok=True)
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
        warn_of(unigram_encoding=unigram_encoding)
        folder = Path(filepath)
        alphabet = Alphabet.loads("\n".join(read_lines(folder / _ALPHABET, InputError)))
        model = None
        if (folder / _LANGUAGE_MODEL).is_dir():
            model = LanguageModel.load_from_dir(folder / _LANGUAGE_MODEL)
        return cls(alphabet, model, **options)

    def _decoder(self, beams: Beams = Beams()) -> Decoder:  # noqa: B008  (frozen)
        """The decoder of these settings, and of those of the language model."""
        model = self._language_model
        key = (beams, str(model))
        found = self._decoders.get(key)
        if found is not None:
            return found
        alphabet = self._alphabet
        settings = {
            **beams.settings(),
            **({} if model is None else model.settings(beams.nats)),
            **(self._options.get("settings") or {}),
        }
        decoder = Decoder.from_tokens(
            alphabet.tokens,
            blank=alphabet.blank,
            boundary=alphabet.boundary,
            separator=" " if alphabet.boundary == "separator" else None,
            lm=None if model is None else model.path,
            **{"frame_seconds": 0.02, **self._options, "settings": settings},
        )
        return self._decoders.put(key, decoder)


def _rebuilt(
    alphabet: Alphabet, model: LanguageModel | None, options: dict[str, Any]
) -> BeamSearchDecoderCTC:
    return BeamSearchDecoderCTC(alphabet, model, **options)

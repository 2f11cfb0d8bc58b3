"""The phone model of the package hama: 191 symbols of IPA, for any language, of 5 MB.

Its own interface gives phones alone; their log-probs come from what it calls inside, so one version
of it is taken and no other. It was trained on clean audio of the full band: a little noise keeps
silence that is digital, and audio of a telephone, from being heard as something else.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from threading import Lock
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ctcbias_fst.audio.audio import Samples
from ctcbias_fst.devices import checked_device
from ctcbias_fst.errors import MissingDependencyError, ModelError
from ctcbias_fst.models.package import DEFAULT, PACKAGED
from ctcbias_fst.models.pieces import SENTENCE_SECONDS
from ctcbias_fst.models.scored import ScoredModel
from ctcbias_fst.text.lexicon_tokenizer import LexiconTokenizer
from ctcbias_fst.text.phone_tokens import PhoneTokens
from ctcbias_fst.text.token_lexicon import Tokens
from ctcbias_fst.text.vocabulary import Vocabulary
from ctcbias_fst.variants.phone_models import EnglishPronouncer, lexicon_with_english

_NAME = "hama"
_VERSION = "1.7.0"
_NEED = f"the phone model needs hama {_VERSION}: pip install 'ctcbias_fst[hama]'"

_NOISE = 1e-3
"""Of full scale, the deviation of the noise that is added."""

_LAG_SECONDS = 0.04
"""By how much it writes phones after their sounds; the embedded phone head, which is known to do so
by 0.24 s, writes the same phones 0.2 s later."""

_GUESS = 1.0
"""Nats by which how English is usually pronounced costs more than what the model's own rules say,
which is how it was taught; and less, where they say what is no English."""


class HamaScorer:
    """The model as a :class:`ctcbias_fst.models.plug.Scorer`. Threads may share it.

    Args:
        device: where the log-probs go; it computes on the CPU.

    Raises:
        MissingDependencyError: it is not installed, or in another version.
    """

    family = "hama (phones)"
    sampling_rate = 16000
    frame_seconds = 0.02
    batches = is_function = False
    shortest_seconds = 0.1
    piece_seconds = SENTENCE_SECONDS
    longest_seconds = 28.0  # what is beyond 30 it cuts off

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.device = checked_device(device)
        model = _package().ASRModel()
        self._session, self._lock = model.session, Lock()
        self.tokenizer = tokenizer(_vocabulary(model))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.device,)

    def scores(self, waves: Sequence[Samples]) -> list[Tensor]:
        """See :meth:`ctcbias_fst.models.plug.Scorer.scores`."""
        return [self._scores(wave) for wave in waves]

    def _scores(self, wave: Samples) -> Tensor:
        noise = np.random.default_rng(0).normal(0.0, _NOISE, len(wave))
        heard = np.clip(wave + noise, -1.0, 1.0).astype(np.float32)
        inputs = {"waveform": heard[None], "waveform_lengths": np.array([len(wave)])}
        with self._lock:
            log_probs, lengths = self._session.run(["log_probs", "out_lengths"], inputs)
        return torch.from_numpy(log_probs[0][: int(lengths[0])]).to(self.device)


class HamaPronouncer:
    """How the model writes a word, by its own rules, then as English is usually pronounced.

    Args:
        vocabulary: of the model.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._index = vocabulary.index
        self.vocabulary = vocabulary
        self._phones = PhoneTokens(vocabulary)
        self._english = EnglishPronouncer(self._phones)
        self._rules, self._lock = _package().G2PModel(), Lock()
        # Its own vocabulary is put in order anew for every letter and phone.
        known = self._rules.vocab
        names = ("encoder", "decoder", "encoder_token_to_id", "pad_id", "sos_id", "eos_id")
        fixed = SimpleNamespace(**{name: getattr(known, name) for name in names})
        self._rules.vocab = self._rules.tokenizer.vocab = fixed

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.vocabulary,)

    def __call__(self, word: str) -> list[tuple[Tokens, float]]:
        """The pronunciations of a word, the likeliest first; none of one that is not English."""
        usual = self._english(word)
        own = self.by_rules(word) if usual else ()
        if not own:
            return usual
        if not self._phones.tokens.issuperset(own):  # it takes the word for one of Spanish, say
            return [*usual, (own, _GUESS)]
        return [(own, 0.0), *((tokens, cost + _GUESS) for tokens, cost in usual)]

    def by_rules(self, word: str) -> Tokens:
        """How the model's own rules write a word; nothing where they fail."""
        with self._lock:
            found = [one.phoneme for one in self._rules(word).alignments]
        phones = [phone for phone in found if not phone.isspace()]
        known = all(phone in self._index for phone in phones)
        return tuple(self._index[phone] for phone in phones) if known else ()


def _vocabulary(model: Any) -> Vocabulary:
    return Vocabulary.from_tokens(list(model.decoder_tokens), model.blank_id, separator="<wb>")


def pronouncer() -> HamaPronouncer:
    """How the model writes words, without what it needs to hear them.

    Raises:
        MissingDependencyError: the package is not installed, or in another version.
    """
    return HamaPronouncer(_vocabulary(_package().ASRModel()))


def tokenizer(vocabulary: Vocabulary) -> LexiconTokenizer:
    """What writes words and names in the phones of the model."""
    phones = PhoneTokens(vocabulary)
    own = PACKAGED[_NAME] / "lexicon.tsv.gz"  # how its rules write frequent words
    name = "hama's rules and the English lexicon"
    lexicon = lexicon_with_english(own, name, vocabulary, phones)
    return LexiconTokenizer(
        vocabulary, lexicon, HamaPronouncer(vocabulary), phones, asks_always=True
    )


def load(
    path: str | os.PathLike[str], device: torch.device | str, language: str | None = None
) -> ScoredModel:
    """Load the model; see :func:`ctcbias_fst.models.find.load_model`.

    Raises:
        MissingDependencyError: the package is not installed, or in another version.
        ModelError: a language is named.
    """
    if language is not None:
        raise ModelError("language belongs to models of several languages; this decodes English")
    lm = DEFAULT / "lm.safetensors"
    return ScoredModel(HamaScorer(device), blank_known=True, lag=_LAG_SECONDS, lm=lm)


def _package() -> Any:
    """The package, if it is the right one."""
    try:
        found = version(_NAME)
        package = import_module(_NAME)
    except (PackageNotFoundError, ImportError) as error:
        raise MissingDependencyError(_NEED) from error
    if found != _VERSION:
        raise MissingDependencyError(f"{_NEED}; found {found}")
    return package

"""Phones heard beside a model that hears none: by our phone head, or by a phone model of yours."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import torch
from torch import Tensor

from ctcbias_fst.audio.audio import Recording
from ctcbias_fst.errors import ConfigError, ModelError, warn_caller
from ctcbias_fst.models.embedded_phones import EmbeddedPhones
from ctcbias_fst.models.find import kind_of, load_model
from ctcbias_fst.models.function import model_of
from ctcbias_fst.models.plug import PhoneListener, SpeechModel
from ctcbias_fst.phone_log_probs import PhoneLogProbs
from ctcbias_fst.text.phone_symbols import columns_of_phones, is_arpabet, phones_of_symbol
from ctcbias_fst.text.phones import PHONES
from ctcbias_fst.text.text_files import quoted
from ctcbias_fst.text.token_marks import is_silence, is_special
from ctcbias_fst.text.vocabulary import Vocabulary

EMBEDDED = "embedded"
"""The phone head of the model inside the package."""

_LETTERS = 24
"""So many of the 26 letters a model has that writes English; *q* and *x* may be lacking."""

_FLOOR = 1e-9
"""Of a probability: no phone is impossible where a model has no symbol for it."""

_ENOUGH = 30
"""So many of the 39 phones a model hears that is one of phones; the letters a to z read as IPA are
22 of them."""


class MappedPhones:
    """A model whose tokens are phones, of whatever symbols; a
    :class:`ctcbias_fst.models.plug.PhoneListener`.

    The probabilities of symbols of the same phone are added, those of symbols that are no phone,
    such as word boundaries, to the blank's. Where a symbol stands for two phones (``ɑːɹ``), each
    frame becomes two, of the first and of the last phone of each symbol.

    Args:
        model: makes log-probs of symbols.
        table: symbols to phones of :data:`ctcbias_fst.text.phones.PHONES`, several with spaces
            between, none for what is no phone. What is not in it is read as ARPAbet or IPA.

    Warns:
        CtcbiasWarning: symbols are no phones of English, and count as blank.

    Raises:
        ModelError: most symbols are no phones.
        ConfigError: the table names other symbols or phones.
    """

    def __init__(self, model: SpeechModel, table: Mapping[str, str] | None = None) -> None:
        self.model, self.table = model, dict(table or {})
        self.family, self.device = model.family, model.device
        self.sampling_rate = model.sampling_rate
        columns = _columns(model.tokenizer.vocabulary, self.table)
        self._halves = any(len(of_one) > 1 for of_one in columns)
        self.frame_seconds = model.frame_seconds / (2 if self._halves else 1)
        first = _matrix([of_one[0] for of_one in columns])
        last = _matrix([of_one[-1] for of_one in columns])
        self._matrices = [
            one.to(self.device) for one in ([first, last] if self._halves else [first])
        ]

    def __repr__(self) -> str:
        return f"<{self.family} at {self.sampling_rate} Hz, phones of {self.frame_seconds:g} s>"

    @torch.inference_mode()
    def phone_log_probs(self, recordings: Sequence[Recording]) -> PhoneLogProbs:
        """See :meth:`ctcbias_fst.models.plug.PhoneListener.phone_log_probs`."""
        heard = self.model.log_probs(recordings)
        symbols = heard.log_probs.exp()
        halves = [(symbols @ one).clamp(min=_FLOOR).log() for one in self._matrices]
        phones = torch.stack(halves, dim=2).flatten(1, 2)
        return PhoneLogProbs(phones, heard.lengths * len(halves), self.frame_seconds)


def phone_listener(
    phones: Any,
    *,
    tokens: Any = None,
    table: Mapping[str, str] | None = None,
    device: torch.device | str = "cpu",
    **options: Any,
) -> PhoneListener:
    """Make a phone listener.

    Args:
        phones: ``embedded``; the path of a model, of ours or one whose tokens are phones (see
            :func:`ctcbias_fst.models.find.load_model`); such a model that is loaded; a function
            from float32 samples to natural log-probs ``(frame, symbol)``; or a listener, which
            stays as it is.
        tokens: of a function, the symbols of its columns, the blank among them.
        table: symbols to phones, where they are neither ARPAbet nor IPA; see `MappedPhones`.
        device: where to compute.
        options: of a function, see :func:`ctcbias_fst.models.function.function_model`.

    Raises:
        ModelError: it is none of these.
        ConfigError: ``table`` or another option is wrong, or there is no such device.
    """
    given = bool(tokens is not None or table or options)
    if hasattr(phones, "phone_log_probs"):
        _refuse(given, "a phone listener")
        return phones  # type: ignore[no-any-return]
    if isinstance(phones, (str, os.PathLike)):
        if os.fspath(phones) == EMBEDDED:
            _refuse(given, "the embedded phone head")
            return EmbeddedPhones.load(None, device)
        if tokens is not None or options:
            raise ConfigError("tokens and such options belong to a function; a model says them")
        if kind_of(Path(phones)) == "ours":
            _refuse(given, "a model of ours")
            return EmbeddedPhones.load(Path(phones), device)
        return MappedPhones(load_model(phones, device), table)
    if tokens is not None:
        options = {"boundary": "none", "device": device, **options}
    return MappedPhones(model_of(phones, tokens, options), table)


def listener_of(phones: Any, model: SpeechModel) -> PhoneListener | str | None:
    """Who listens beside a model; the embedded phone head by its name, as it need not be loaded.

    That hears English: it does not listen by default to what a model hears that cannot write it.

    Args:
        phones: as `phone_listener` takes it, or None for nobody.
        model: beside which it listens, or whose own phone head it takes the place of.
    """
    if phones is None or (phones == EMBEDDED and model.hears_phones):
        return None
    if phones != EMBEDDED:
        return phone_listener(phones, device=model.device)
    letters = set("".join(model.tokenizer.vocabulary.surfaces).lower())
    return EMBEDDED if len(letters & set(ascii_lowercase)) >= _LETTERS else None


def of_language(phones: Any, language: str | None) -> Any:
    """None instead of the embedded phone head where a model hears another language than English."""
    english = language is None or language.lower().startswith("en")
    return phones if english or phones != EMBEDDED else None


def _refuse(given: bool, what: str) -> None:
    if given:
        raise ConfigError(
            f"tokens, table and such options are of no use with {what}: leave them out"
        )


def _columns(vocabulary: Vocabulary, table: Mapping[str, str]) -> list[tuple[int, ...]]:
    """The columns of phones that each symbol stands for; 0, the blank, for what is no phone."""
    tokens = vocabulary.tokens
    unknown = sorted(set(table) - set(tokens))
    if unknown:
        raise ConfigError(f"table: {quoted(unknown[0])} is no token of the phone model")
    arpabet = is_arpabet(tokens)
    columns: list[tuple[int, ...]] = []
    strange = []
    for column, token in enumerate(tokens):
        silent = column == vocabulary.blank_id or is_special(token) or is_silence(token)
        phones: Sequence[str] | None = () if silent else phones_of_symbol(token, arpabet=arpabet)
        if token in table:
            phones = table[token].split()
        if phones is None:
            strange.append(token)
        try:
            columns.append(columns_of_phones(phones or ()) or (0,))
        except ValueError as error:
            raise ConfigError(f"table: {quoted(token)}: {error}") from None
    heard = {column for of_one in columns for column in of_one} - {0}
    if not table and len(heard) < _ENOUGH:
        raise ModelError(
            f"the tokens stand for {len(heard)} of the {len(PHONES)} phones of English, read as "
            f"{'ARPAbet' if arpabet else 'IPA'}: pass a model whose tokens are phones, with "
            "table={symbol: phones} if it has symbols of its own"
        )
    if strange:
        shown = ", ".join(map(quoted, strange[:5])) + (", …" if len(strange) > 5 else "")
        warn_caller(
            f"{len(strange)} of {len(tokens)} tokens of the phone model are no phones of English "
            f"and count as blank: {shown}; table={{symbol: phones}} says what they are"
        )
    return columns


def _matrix(columns: Sequence[int]) -> Tensor:
    """Which symbols' probabilities add up to each phone's: ``(symbol, 1 + phones)``."""
    matrix = torch.zeros(len(columns), 1 + len(PHONES))
    matrix[torch.arange(len(columns)), torch.tensor(columns)] = 1.0
    return matrix

"""Phones heard beside a model that hears none: by our phone head, or by a phone model of yours."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import torch
from torch import Tensor

from ctcbias_fst.audio.audio import Recording
from ctcbias_fst.errors import ConfigError, ModelError, warn_caller
from ctcbias_fst.models.embedded_phones import EmbeddedPhones, no_phones
from ctcbias_fst.models.find import kind_of, load_as_it_is
from ctcbias_fst.models.function import model_of
from ctcbias_fst.models.package import DEFAULT
from ctcbias_fst.models.plug import PhoneListener, SpeechModel
from ctcbias_fst.phone_log_probs import PhoneLogProbs, checked_lag
from ctcbias_fst.text.lexicon_tokenizer import LexiconTokenizer
from ctcbias_fst.text.phone_symbols import columns_of_phones, is_arpabet, phones_of_symbol
from ctcbias_fst.text.phones import PHONES
from ctcbias_fst.text.text_files import first_few, quoted
from ctcbias_fst.text.token_marks import is_silence, is_special
from ctcbias_fst.text.vocabulary import Vocabulary

EMBEDDED = "embedded"
"""The phone head of the model inside the package."""

AUTO = "auto"
"""That one beside a model that hears no phones itself and writes English, as far as can be told."""

_PACKAGED = "the phone head inside the package"

_ENGLISH = frozenset({"en", "eng", "auto"})

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
    frame becomes two. The first half of the frames in which it is the best one is the first
    phone's, the rest the second's.

    Args:
        model: makes log-probs of symbols.
        table: symbols to phones of :data:`ctcbias_fst.text.phones.PHONES`, several with spaces
            between, none for what is no phone. What is not in it is read as ARPAbet or IPA.
        lag: seconds by which it writes phones after their sounds, if that is known.

    Warns:
        CtcbiasWarning: symbols are no phones of English, and count as blank.

    Raises:
        ModelError: most symbols are no phones, or one is more than two.
        ConfigError: the table names other symbols or phones, or the lag is no number.
    """

    def __init__(
        self,
        model: SpeechModel,
        table: Mapping[str, str] | None = None,
        lag: float | None = None,
    ) -> None:
        self.model, self.table = model, _checked_table(table)
        self.lag = checked_lag(lag, error=ConfigError)
        self.family, self.device = model.family, model.device
        self.sampling_rate = model.sampling_rate
        # What writes words of English besides has symbols of other languages because it has others.
        known = isinstance(model.tokenizer, LexiconTokenizer)
        columns = _columns(model.tokenizer.vocabulary, self.table, tell=not known)
        self._halves = any(len(of_one) > 1 for of_one in columns)
        self.frame_seconds = model.frame_seconds / (2 if self._halves else 1)
        first = torch.tensor([of_one[0] for of_one in columns])
        last = torch.tensor([of_one[-1] for of_one in columns])
        self._columns = torch.stack([first, last] if self._halves else [first]).to(self.device)

    def __repr__(self) -> str:
        return f"<{self.family} at {self.sampling_rate} Hz, phones of {self.frame_seconds:g} s>"

    @torch.inference_mode()
    def phone_log_probs(self, recordings: Sequence[Recording]) -> PhoneLogProbs:
        """See :meth:`ctcbias_fst.models.plug.PhoneListener.phone_log_probs`."""
        if not recordings:
            return no_phones(self.frame_seconds, self.device)
        heard = self.model.log_probs(recordings)
        symbols = heard.log_probs.to(self.device).exp()
        halves = torch.stack([symbols @ _matrix(one) for one in self._columns], dim=2)
        if self._halves and halves.numel():
            _share_runs(halves, symbols, heard.lengths, self._columns)
        phones = halves.clamp(min=_FLOOR).log().flatten(1, 2)
        lag = heard.lag if self.lag is None else self.lag
        return PhoneLogProbs(phones, heard.lengths * halves.shape[2], self.frame_seconds, lag)


class OwnPhones:
    """The phones that a model hears itself; a :class:`ctcbias_fst.models.plug.PhoneListener`.

    Args:
        model: one that hears phones.
    """

    def __init__(self, model: SpeechModel) -> None:
        self.model, self.family = model, model.family
        self.sampling_rate, self.frame_seconds = model.sampling_rate, model.frame_seconds

    def __repr__(self) -> str:
        return f"<phones of {self.model!r}>"

    def phone_log_probs(self, recordings: Sequence[Recording]) -> PhoneLogProbs:
        """See :meth:`ctcbias_fst.models.plug.PhoneListener.phone_log_probs`."""
        if not recordings:
            return no_phones(self.frame_seconds, self.model.device)
        phones = self.model.log_probs(recordings).phones
        assert phones is not None
        return phones


def phone_listener(
    phones: Any,
    *,
    tokens: Any = None,
    table: Mapping[str, str] | None = None,
    lag: float | None = None,
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
        lag: seconds by which a phone model writes phones after their sounds, if that is known.
        device: where to compute.
        options: of a function, see :func:`ctcbias_fst.models.function.function_model`.

    Raises:
        ModelError: it is none of these.
        ConfigError: ``table`` or another option is wrong, or there is no such device.
    """
    given = bool(tokens is not None or table or lag is not None or options)
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
        return MappedPhones(load_as_it_is(phones, device), table, lag)
    if getattr(phones, "hears_phones", False):
        _refuse(given, "a model that hears phones itself")
        return OwnPhones(phones)
    if tokens is not None:
        options = {"boundary": "none", "device": device, **options}
    elif callable(phones) and not hasattr(phones, "log_probs"):
        raise ModelError(
            "a function that hears phones needs tokens=: pass phone_listener(function, tokens=..., "
            "frame_seconds=...) of ctcbias_fst.models.phone_listener"
        )
    return MappedPhones(model_of(phones, tokens, options), table, lag)


def listener_of(phones: Any, model: SpeechModel) -> PhoneListener | str | None:
    """Who listens beside a model; the embedded phone head by its name, as it need not be loaded.

    That hears English: by default it does not listen to what a model hears that cannot write it.

    Args:
        phones: as `phone_listener` takes it, ``auto``, or None for nobody.
        model: beside which it listens, or whose own phone head it takes the place of.
    """
    if isinstance(phones, os.PathLike):
        phones = os.fspath(phones)
    known = isinstance(phones, str) and phones in (AUTO, EMBEDDED)
    if phones is None or (known and model.hears_phones):
        return None
    if not known:
        return phone_listener(phones, device=model.device)
    if phones == EMBEDDED:
        return EMBEDDED
    tokenizer = model.tokenizer
    written = tokenizer.vocabulary.surfaces
    if isinstance(tokenizer, LexiconTokenizer):
        written = tokenizer.lexicon.words
    letters = set("".join(written).lower())
    return EMBEDDED if len(letters & set(ascii_lowercase)) >= _LETTERS else None


def of_language(phones: Any, language: str | None) -> Any:
    """Who listens to a language: by default nobody, if it is another one than English.

    Args:
        phones: as `listener_of` takes it.
        language: ISO's code, with a country or without; None or ``auto`` if it is not known.
    """
    if not isinstance(phones, str) or phones != AUTO or language is None:
        return phones
    code = re.split("[-_]", language.casefold())[0]
    return phones if code in _ENGLISH else None


def _refuse(given: bool, what: str) -> None:
    if given:
        raise ConfigError(
            f"tokens, table, lag and such options are of no use with {what}: leave them out"
        )


def _columns(
    vocabulary: Vocabulary, table: Mapping[str, str], *, tell: bool = True
) -> list[tuple[int, ...]]:
    """The columns of phones that each symbol stands for; 0, the blank, for what is no phone.

    Args:
        tell: warn of symbols that are no phones of English.
    """
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
        if len(columns[-1]) > 2:
            raise ModelError(
                f"the token {quoted(token)} stands for {len(columns[-1])} phones, "
                f"{' '.join(phones or ())}; a token may be two at most: leave some out by table="
            )
    heard = {column for of_one in columns for column in of_one} - {0}
    if len(heard) < _ENOUGH:
        raise ModelError(
            f"the tokens stand for {len(heard)} of the {len(PHONES)} phones of English, read as "
            f"{'ARPAbet' if arpabet else 'IPA'}: pass a model whose tokens are phones, with "
            "table={symbol: phones} if it has symbols of its own"
        )
    if strange and tell:
        shown = first_few([quoted(one) for one in strange], 5)
        warn_caller(
            f"{len(strange)} of {len(tokens)} tokens of the phone model are no phones of English "
            f"and count as blank: {shown}; table={{symbol: phones}} says what they are"
        )
    return columns


def _checked_table(table: Mapping[str, str] | None) -> dict[str, str]:
    """A copy of a table.

    Raises:
        ConfigError: it maps no symbols, or not to strings.
    """
    if table is None:
        return {}
    if not isinstance(table, Mapping):
        raise ConfigError(f"table must map symbols to phones, found {quoted(table)}")
    for symbol, phones in table.items():
        if not isinstance(symbol, str) or not isinstance(phones, str):
            raise ConfigError(
                f"table: {quoted(symbol)}: {quoted(phones)}: map each symbol to a string of phones "
                "with spaces between, such as {'x': 'K S'}, or to '' if it is no phone"
            )
    return dict(table)


def _matrix(columns: Tensor) -> Tensor:
    """Which symbols' probabilities add up to each phone's: ``(symbol, 1 + phones)``."""
    matrix: Tensor = torch.nn.functional.one_hot(columns, 1 + len(PHONES)).float()
    return matrix


def _share_runs(halves: Tensor, symbols: Tensor, lengths: Tensor, columns: Tensor) -> None:
    """Where a symbol is the best one in several frames, give the first half of these to its first
    phone and the rest to its second one; in place.

    Args:
        halves: ``(utterance, frame, half, phone)``: each frame's first half is the first phone's.
        symbols: ``(utterance, frame, symbol)``, probabilities.
        lengths: of each utterance.
        columns: ``(half, symbol)``: the phones of each symbol.
    """
    device, frames = symbols.device, symbols.shape[1]
    number = torch.arange(frames, device=device)
    share, best = symbols.max(dim=2)
    runs = best.masked_fill(number >= lengths.to(device)[:, None], -1)
    changes = torch.ones(len(runs), frames + 1, dtype=torch.bool, device=device)
    changes[:, 1:-1] = runs[:, 1:] != runs[:, :-1]
    begin = torch.where(changes[:, :-1], number, 0).cummax(dim=1).values
    behind = torch.where(changes[:, 1:], number + 1, frames).flip(1).cummin(dim=1).values.flip(1)
    half = torch.arange(2, device=device)
    # In half frames: where each is in its run, which has ``behind - begin`` of them for each phone.
    at = 2 * (number - begin)[:, :, None] + half
    second = (at >= (behind - begin)[:, :, None]).long()
    was, now = columns[:, best].permute(1, 2, 0), columns[second, best[:, :, None]]
    halves.scatter_add_(3, was[..., None], -share[:, :, None, None].expand(-1, -1, 2, 1))
    halves.scatter_add_(3, now[..., None], share[:, :, None, None].expand(-1, -1, 2, 1))


def described(listener: object) -> str:
    """Who listens, for people."""
    if isinstance(listener, EmbeddedPhones):
        return _PACKAGED if listener.path == DEFAULT else f"the phone head of {listener.path}"
    return str(getattr(listener, "family", listener))

"""What a model is: its tokens, its frames, and which parts can act with it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ctcbias_fst.audio.audio import Recording
from ctcbias_fst.errors import CtcbiasError
from ctcbias_fst.models.find import languages_of, load_as_it_is, load_model, why_no_adapter
from ctcbias_fst.models.hugging_face_files import lm_beside
from ctcbias_fst.models.phone_listener import AUTO, described, of_language
from ctcbias_fst.models.scored import ScoredModel
from ctcbias_fst.recognizer import Recognizer
from ctcbias_fst.search.boosting import check_log_probs
from ctcbias_fst.settings import changed, settings_of
from ctcbias_fst.text.lexicon_tokenizer import LexiconTokenizer
from ctcbias_fst.text.text_files import first_few, quoted
from ctcbias_fst.text.token_marks import WordBoundary
from ctcbias_fst.text.tokens import Tokenizer
from ctcbias_fst.text.vocabulary import Vocabulary
from ctcbias_fst.variants.phone_models import WORDS_REMEDY, has_phones, why_no_streams


@dataclass(frozen=True)
class ModelInfo:
    """What a model is.

    Attributes:
        path: where it is, or its name on the hub; None for the model inside the package.
        family: what it is, for people.
        sampling_rate: of the audio that it takes, in Hz.
        frame_seconds: how long a frame is.
        tokens: how many there are, the blank among them.
        kind: what they are: ``characters``, ``pieces``, ``words`` or ``phones``.
        case: which letters they write: ``lower``, ``upper`` or ``both``.
        blank: the column of the blank.
        blank_token: what stands there.
        boundary: how words are told apart; see
            :class:`ctcbias_fst.text.token_marks.WordBoundary`.
        separator: the token between words, if there is one.
        cuts_by: what says how names are cut into tokens.
        languages: which a model has parts for, if there are several.
        phones_by: who hears the phones that rescoring and lookup need; None if nobody does.
        streaming: how it hears streams: ``states``, which go on from chunk to chunk, or
            ``windows``, in which audio is heard again; None where `ctcbias stream` refuses it.
        no_streams: why it does; None where it does not.
        chunk_seconds: of a stream, how much is heard at a time; None where there are none.
        latency_seconds: how long after it was said audio is scored, at most, with the parts that
            act; likewise.
        own_latency_seconds: that of the model, where nobody hears phones beside it; likewise.
        frames: how many it gives for a second of noise; None if it failed.
        fault: how it failed.
        lexicon: of a model whose tokens are phones, the words that it writes, or how to have it
            write words; None for others.
        parts: each part, and why it does not act; None if it does.
    """

    path: str | None
    family: str
    sampling_rate: int
    frame_seconds: float
    tokens: int
    kind: str
    case: str
    blank: int
    blank_token: str
    boundary: str
    separator: str | None
    cuts_by: str
    languages: tuple[str, ...]
    phones_by: str | None
    streaming: str | None
    no_streams: str | None
    chunk_seconds: float | None
    latency_seconds: float | None
    own_latency_seconds: float | None
    frames: int | None
    fault: str | None
    lexicon: str | None
    parts: Mapping[str, str | None]

    def lines(self) -> list[str]:
        """The same for people."""
        case = {"lower": "small letters", "upper": "capitals", "both": "small letters and capitals"}
        rows = [
            ("model", self.path or "the one inside the package"),
            ("family", self.family),
            ("audio", f"{self.sampling_rate} Hz"),
            ("frame", f"{self.frame_seconds:.4g} s"),
            ("tokens", f"{self.tokens} ({self.kind}, {case[self.case]})"),
            ("blank", f"column {self.blank}, {quoted(self.blank_token)}"),
            ("words", _BOUNDARIES[self.boundary].format(quoted(self.separator))),
            ("names", f"are cut by {self.cuts_by}"),
            ("phones", f"by {self.phones_by}" if self.phones_by else "nobody hears them"),
            ("streams", self._streams),
            ("trial", self.fault or f"a second of noise gives {self.frames} frames"),
        ]
        if self.languages:
            told = f"{len(self.languages)}: {first_few(self.languages, 10)}"
            rows.insert(2, ("languages", told))
        if self.lexicon is not None:
            rows.append(("lexicon", self.lexicon))
        rows += [(part, why or "acts") for part, why in self.parts.items()]
        return [f"{name:12} {value}" for name, value in rows]

    @property
    def _streams(self) -> str:
        if self.latency_seconds is None or self.own_latency_seconds is None:
            return str(self.no_streams).removeprefix("streams ")
        how = "keeps states" if self.streaming == "states" else "in windows"
        latency = f"latency {self.latency_seconds:.2f} s"
        if self.latency_seconds != self.own_latency_seconds:
            latency += f" with phones, {self.own_latency_seconds:.2f} s without"
        return f"{how}, {self.chunk_seconds:.3g} s at a time, {latency}"


_BOUNDARIES = {
    "prefix": "begin with a token that has '▁'",
    "continuation": "begin with a token without '##'",
    "separator": "are parted by {}",
    "none": "are not marked: each token is one, or scripts tell",
}


def model_info(
    path: str | os.PathLike[str] | None = None,
    *,
    language: str | None = None,
    adapter: str | os.PathLike[str] | None = None,
    lexicon: Any = None,
) -> ModelInfo:
    """Look at a model of any family.

    Args:
        path: as :func:`ctcbias_fst.models.find.load_model` takes it.
        language, adapter, lexicon: as of it; without a lexicon phones may be what is written.

    Raises:
        ModelError: there is no model, or a file of it is missing, damaged or of another one.
        InputError: the lexicon cannot be read, or is of other phones; or its language model cannot.
        MissingDependencyError: its family needs a package that is not installed.
        ConfigError: its ``settings.toml`` has wrong keys or values.
    """
    if lexicon is None:
        model = load_as_it_is(path, language=language, adapter=adapter)
    else:
        model = load_model(path, language=language, adapter=adapter, lexicon=lexicon)
    config = changed(settings_of(None if path is None else Path(path)), {})
    if isinstance(model, ScoredModel):
        model.lm_beside = None  # told among the parts
    recognizer = Recognizer(model, config, phones=of_language(AUTO, language))
    vocabulary = model.tokenizer.vocabulary
    between = vocabulary.separator_id
    frames, fault = _tried(recognizer)
    no_streams = why_no_streams(model.tokenizer, lexicon)
    how = "states" if recognizer.streams_keep_states else "windows"
    seconds = None if no_streams else recognizer.stream_seconds
    return ModelInfo(
        path=None if path is None else os.fspath(path),
        family=model.family,
        sampling_rate=model.sampling_rate,
        frame_seconds=model.frame_seconds,
        tokens=vocabulary.size,
        kind=_kind(vocabulary),
        case=vocabulary.case.value,
        blank=vocabulary.blank_id,
        blank_token=vocabulary.tokens[vocabulary.blank_id],
        boundary=vocabulary.boundary.value,
        separator=None if between is None else vocabulary.tokens[between],
        cuts_by=model.tokenizer.cuts_by,
        languages=languages_of(None if path is None else Path(path)),
        phones_by=_phones_by(recognizer),
        lexicon=_lexicon(model.tokenizer),
        streaming=None if seconds is None else how,
        no_streams=no_streams,
        chunk_seconds=None if seconds is None else seconds.chunk,
        latency_seconds=None if seconds is None else seconds.latency,
        own_latency_seconds=None if seconds is None else seconds.own_latency,
        frames=frames,
        fault=fault,
        parts=_with_hints(recognizer, path),
    )


def _tried(recognizer: Recognizer) -> tuple[int | None, str | None]:
    """How many frames a second of noise has, or why there are none."""
    rate = recognizer.model.sampling_rate
    noise = np.random.default_rng(0).normal(0, 0.05, rate).astype(np.float32)
    try:
        scored = recognizer.model.log_probs([Recording("a second of noise", noise, rate)])
        check_log_probs(scored, recognizer.model.tokenizer.vocabulary)
    except CtcbiasError as error:
        return None, str(error)
    return int(scored.lengths[0]), None


def _with_hints(
    recognizer: Recognizer, path: str | os.PathLike[str] | None
) -> dict[str, str | None]:
    """The parts, with whether an adapter can be trained, and with the language model that lies in
    the model's folder, as exporters of Hugging Face put it there, where none acts."""
    told, chosen = dict(recognizer.decoder.parts), recognizer.config.parts
    if "adapter" in chosen and told["adapter"] is not None:
        phones = has_phones(recognizer.model.tokenizer.vocabulary)
        why = "its tokens are phones" if phones else None
        why = why_no_adapter(path) or why
        hint = f"it can have none, as {why}" if why else "ctcbias adapt trains one"
        told["adapter"] = f"{told['adapter']}: {hint}"
    folder = None if path is None else Path(path)
    if "lm" not in chosen or told["lm"] is None or folder is None or not folder.is_dir():
        return told
    found = lm_beside(folder)
    if found is not None:
        told["lm"] = f"{told['lm']}: pass --lm {found}, which lies there"
    return told


def _phones_by(recognizer: Recognizer) -> str | None:
    if recognizer.phones is not None:
        return described(recognizer.phones)
    return "the model itself" if recognizer.model.hears_phones else None


def _lexicon(tokenizer: Tokenizer) -> str | None:
    if isinstance(tokenizer, LexiconTokenizer):
        known = tokenizer.lexicon
        return f"{len(known.words)} words, {len(known)} pronunciations, from {known.source}"
    if not has_phones(tokenizer.vocabulary):
        return None
    return f"none, so that phones are written: {WORDS_REMEDY}"


def _kind(vocabulary: Vocabulary) -> str:
    if has_phones(vocabulary):
        return "phones"
    if vocabulary.boundary in (WordBoundary.PREFIX, WordBoundary.CONTINUATION):
        return "pieces"
    long = sum(len(text) > 1 for text in vocabulary.surfaces)
    return "characters" if 2 * long < vocabulary.size else "words"

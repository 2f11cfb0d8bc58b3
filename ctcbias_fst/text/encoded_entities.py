"""What a model can write of a list of names, and the tokens that it writes them with."""

from __future__ import annotations

import gc
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from ctcbias_fst.text.entities import REMEDY, Entity, EntityList, Rejected
from ctcbias_fst.text.normalise import fold_diacritics, normalise
from ctcbias_fst.text.phrases import in_capitals_only
from ctcbias_fst.text.refused_forms import PHONES_REMEDY
from ctcbias_fst.text.scripts import OPTIONAL_MARKS
from ctcbias_fst.text.spoken_entities import (
    add_spoken_forms,
    first_few,
    known_phones_only,
    same_when_spoken,
)
from ctcbias_fst.text.spoken_forms import said
from ctcbias_fst.text.text_files import quoted
from ctcbias_fst.text.tokens import Tokenizer
from ctcbias_fst.text.vocabulary import APOSTROPHES, Case, Vocabulary, WordBoundary

__all__ = [
    "EncodedEntities",
    "check_entities",
    "encode_entities",
    "expand",
    "report_too_long",
]

_TYPED = str.maketrans("\u2019\u2018\u02bc\u05f3\u2010\u2011\u05f4\u201d\u201c", "''''--\"\"\"")
_DOTLESS = frozenset("\u0130\u0131")
_SEVERAL_FORMS = _DOTLESS.union(
    APOSTROPHES[1:], "\u05d0", filter(OPTIONAL_MARKS.match, map(chr, range(0x591, 0x671)))
)
"""Letters of vocabularies that may write a name in one case in several ways."""

_GREEK_ACCENTS = frozenset("άέήίόύώΐΰΆΈΉΊΌΎΏ")
_GREEK_VOWELS = re.compile("[αειουηωϊϋ]+")

_PUNCTUATION = re.compile(r"[^\w\s']")

_CHUNK = 65_536
"""Names encoded at a time: bounds the memory that lists of ids need."""


@dataclass(frozen=True)
class EncodedEntities:
    """Segmentations of entities, as ragged rows of token ids.

    Attributes:
        values: (P,) int32, the token ids of all rows.
        row_splits: (S + 1,) int64, row s is ``values[row_splits[s]:row_splits[s + 1]]``.
        entity_index: (S,) int32, the entity (its position in the list) that row s emits.
        cost: (S,) float32, at least 0: how much worse row s is than the best segmentation
            of the same spelling (natural log for SentencePiece, pieces otherwise), and how much
            less likely the name is said so (`Entity.spoken`).
    """

    values: npt.NDArray[np.int32]
    row_splits: npt.NDArray[np.int64]
    entity_index: npt.NDArray[np.int32]
    cost: npt.NDArray[np.float32]

    def __len__(self) -> int:
        """Number of rows, S."""
        return len(self.entity_index)

    def row(self, index: int) -> list[int]:
        """Return the token ids of one row."""
        ids: list[int] = self.values[self.row_splits[index] : self.row_splits[index + 1]].tolist()
        return ids

    def select(self, entities: npt.NDArray[np.int64]) -> EncodedEntities:
        """Return the rows of some entities, which become the entities 0, 1, … of the result.

        The rows must be in the order of the entities, as `encode_entities` has them.
        """
        first = np.searchsorted(self.entity_index, entities)
        owner, rows = expand(first, np.searchsorted(self.entity_index, entities, "right") - first)
        begin = self.row_splits[rows]
        lengths = self.row_splits[rows + 1] - begin
        splits = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum(lengths, out=splits[1:])
        return EncodedEntities(
            values=self.values[expand(begin, lengths)[1]],
            row_splits=splits,
            entity_index=owner.astype(np.int32),
            cost=self.cost[rows],
        )

    @classmethod
    def joined(cls, parts: Sequence[EncodedEntities]) -> EncodedEntities:
        """Return the rows of all parts, whose entities are the same ones."""
        begin = np.cumsum([0, *(len(part.values) for part in parts)])
        splits = [part.row_splits[1:] + start for part, start in zip(parts, begin.tolist())]
        return cls(
            values=_concatenate([part.values for part in parts], np.int32),
            row_splits=np.concatenate([np.zeros(1, dtype=np.int64), *splits]),
            entity_index=_concatenate([part.entity_index for part in parts], np.int32),
            cost=_concatenate([part.cost for part in parts], np.float32),
        )

    @cached_property
    def min_frames(self) -> npt.NDArray[np.int64]:
        """(S,) frames that CTC needs for each row: its tokens, and a blank between equal ones."""
        repeats = np.zeros(len(self.values) + 1, dtype=np.int64)
        repeats[2:] = self.values[1:] == self.values[:-1]
        # A row's first token has no predecessor in its row.
        repeats[self.row_splits[:-1] + 1] = 0
        total = np.cumsum(repeats)
        frames: npt.NDArray[np.int64] = np.diff(self.row_splits) + np.diff(total[self.row_splits])
        return frames


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """Make many tuples, none of them garbage: looking for it took a third of the time."""
    if not gc.isenabled():  # another thread does the same
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@_nothing_collected()
def check_entities(
    entities: EntityList, tokenizer: Tokenizer, spoken_forms: bool = True
) -> EntityList:
    """Return the list without the entries that can have no effect on this model.

    A name with letters the model lacks is tried once more with accents and ligatures in
    plain letters (``josé`` as ``jose``), and one with digits or symbols as it is said
    (`ctcbias_fst.text.spoken_forms`); what is displayed stays as it was.

    Args:
        entities: as read.
        tokenizer: of the model.
        spoken_forms: make spoken forms by rule, for names without `Entity.sounds_like`.

    Returns:
        The list with further rejects: entries, or single spellings of an entry, that the
        vocabulary cannot write; pronunciations with unknown phones; entries that became
        equal. Its `notes` tell of names that are
        looked for as they are said only.
    """
    known = known_phones_only(entities, tokenizer.vocabulary.index)
    spoken = add_spoken_forms(known, spoken_forms, tokenizer.vocabulary.case is Case.BOTH)
    kept, rejected, notes = _writable(spoken, tokenizer)
    notes += _unaccented(kept, tokenizer.vocabulary)
    return replace(
        spoken,
        entities=tuple(kept),
        rejected=_by_line(spoken.rejected, rejected),
        notes=(*spoken.notes, *notes),
    )


def report_too_long(entities: EntityList, tokenizer: Tokenizer, max_frames: int) -> EntityList:
    """Return the list with entries among the rejects that audio of this length cannot hold.

    They stay in the list as well: they do no harm, and other audio may be longer.

    Args:
        entities: entries that passed `check_entities`.
        tokenizer: of the model.
        max_frames: the model's frames of the longest recording.
    """
    encoded = encode_entities(entities, tokenizer)
    needed = np.zeros(len(entities), dtype=np.int64)
    if len(entities):
        needed += np.iinfo(np.int64).max
        np.minimum.at(needed, encoded.entity_index, encoded.min_frames)
    rejected = [
        Rejected(
            entities.entities[i].line,
            entities.entities[i].display,
            f"needs at least {needed[i]} frames of audio, there are {max_frames}",
        )
        for i in np.flatnonzero(needed > max_frames).tolist()
    ]
    return replace(entities, rejected=_by_line(entities.rejected, rejected))


@_nothing_collected()
def encode_entities(
    entities: EntityList | Sequence[Entity], tokenizer: Tokenizer, nbest: int = 1
) -> EncodedEntities:
    """Segment every spelling of every entity into the model's tokens.

    Args:
        entities: entries that passed `check_entities`; one that the vocabulary cannot
            write gets no row.
        tokenizer: of the model.
        nbest: segmentations per spelling, at most.

    Returns:
        Rows in the order of the entities; each entity's name first, then its
        `sounds_like` and `spoken` spellings, each with its segmentations from best to worst.
    """
    if nbest < 1:
        raise ValueError(f"nbest must be at least 1, not {nbest}.")
    texts, owners, extra = _spellings(entities, tokenizer)
    values, lengths, owner, cost = [], [], [], []
    for start in range(0, len(texts), _CHUNK):
        chunk = texts[start : start + _CHUNK]
        chunk_owners = np.arange(start, start + len(chunk), dtype=np.int64)
        if nbest == 1:
            rows = tokenizer.encode_batch(chunk)
            costs = np.zeros(len(rows), dtype=np.float32)
        else:
            found = tokenizer.encode_nbest(chunk, nbest)
            chunk_owners = np.repeat(chunk_owners, [len(candidates) for candidates in found])
            rows = [ids for candidates in found for ids, _ in candidates]
            costs = np.array([c for candidates in found for _, c in candidates], dtype=np.float32)
        sizes = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
        written = sizes > 0
        values.append(np.fromiter(chain.from_iterable(rows), dtype=np.int32, count=sizes.sum()))
        lengths.append(sizes[written])
        owner.append(chunk_owners[written])
        cost.append(costs[written])
    row_splits = np.zeros(sum(map(len, lengths)) + 1, dtype=np.int64)
    np.cumsum(_concatenate(lengths, np.int64), out=row_splits[1:])
    spelling = _concatenate(owner, np.int64)
    by_spelling = EncodedEntities(
        values=_concatenate(values, np.int32),
        row_splits=row_splits,
        entity_index=owners[spelling],
        cost=_concatenate(cost, np.float32) + extra[spelling],
    )
    return _pronounced(by_spelling, entities, tokenizer.vocabulary)


def own_phones(entity: Entity, vocabulary: Vocabulary) -> list[list[int]]:
    """The pronunciations of an entity that are written in the model's own tokens, as ids."""
    index = vocabulary.index
    return [
        [index[phone] for phone in phones]
        for phones in entity.pronunciations
        if phones and all(phone in index for phone in phones)
    ]


def _pronounced(
    written: EncodedEntities, entities: EntityList | Sequence[Entity], vocabulary: Vocabulary
) -> EncodedEntities:
    """Names whose pronunciations are the model's own tokens are looked for by these alone."""
    rows = entities.entities if isinstance(entities, EntityList) else entities
    if not any(entity.pronunciations for entity in rows):
        return written
    phones = {i: own_phones(entity, vocabulary) for i, entity in enumerate(rows)}
    phones = {i: several for i, several in phones.items() if several}
    if not phones:
        return written
    ids = [(i, row) for i, several in phones.items() for row in several]
    kept = ~np.isin(written.entity_index, list(phones))
    lengths = np.diff(written.row_splits)
    added = np.cumsum([0, *(len(row) for _, row in ids)], dtype=np.int64)
    both = EncodedEntities.joined(
        [
            EncodedEntities(
                values=written.values[np.repeat(kept, lengths)],
                row_splits=np.concatenate([[0], np.cumsum(lengths[kept])]).astype(np.int64),
                entity_index=written.entity_index[kept],
                cost=written.cost[kept],
            ),
            EncodedEntities(
                values=np.array([token for _, row in ids for token in row], dtype=np.int32),
                row_splits=added,
                entity_index=np.array([i for i, _ in ids], dtype=np.int32),
                cost=np.zeros(len(ids), dtype=np.float32),
            ),
        ]
    )
    order = np.argsort(both.entity_index, kind="stable")
    begin, lengths = both.row_splits[:-1][order], np.diff(both.row_splits)[order]
    return EncodedEntities(
        values=both.values[expand(begin, lengths)[1]],
        row_splits=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        entity_index=both.entity_index[order],
        cost=both.cost[order],
    )


def expand(
    first: npt.NDArray[np.int64], count: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the numbers ``first[i]`` to ``first[i] + count[i] - 1``, and before them the i."""
    owner = np.repeat(np.arange(len(count)), count)
    before = np.cumsum(count) - count
    return owner, np.arange(len(owner)) - before[owner] + first[owner]


def _unaccented(entities: Sequence[Entity], vocabulary: Vocabulary) -> list[str]:
    """Tell of Greek names without accents, which every word of two syllables has."""
    if _GREEK_ACCENTS.isdisjoint(vocabulary.letters):
        return []
    found = [
        entity
        for entity in entities
        if any(
            len(_GREEK_VOWELS.findall(word)) > 1 and _GREEK_ACCENTS.isdisjoint(word)
            for word in ([] if entity.name.isascii() else entity.name.split())
        )
    ]
    if not found:
        return []
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return [
        f"{quoted(found[0].display)}{more} has no accent, and is looked for without, but the "
        "model's vocabulary has accents: list it with its own"
    ]


def _by_line(*rejected: Sequence[Rejected]) -> tuple[Rejected, ...]:
    return tuple(sorted(chain.from_iterable(rejected), key=lambda reject: reject.line or 0))


def _writable(
    entities: EntityList, tokenizer: Tokenizer
) -> tuple[list[Entity], list[Rejected], list[str]]:
    """Keep what the vocabulary can write, accents folded where that helps."""
    alphabet = set("".join([entity.name for entity in entities]))
    alphabet.update("".join([text for entity in entities for text in entity.sounds_like]))
    spoken = set("".join([text for entity in entities for text, _ in entity.spoken]))
    alphabet |= spoken
    if tokenizer.covers("".join(sorted(alphabet))):
        return list(entities), [], []
    uncovered = _Uncovered(tokenizer, alphabet, spoken)
    kept: dict[str, Entity] = {}
    rejected: list[Rejected] = []
    otherwise: list[Entity] = []
    by_form: dict[str, Entity] | None = None
    for entity in entities:
        if entity.pronunciations and own_phones(entity, tokenizer.vocabulary):
            kept.setdefault(entity.name, entity)
            continue
        written, reports = _as_writable(entity, uncovered)
        rejected += reports
        if written is None:
            if not entity.spoken and not entity.sounds_like:
                if by_form is None:
                    by_form = {text: e for e in entities for text, _ in e.spoken}
                same = same_when_spoken(entity, by_form, entities.unit)
                rejected[-1] = rejected[-1]._replace(reason=same or rejected[-1].reason)
            continue
        one = kept.setdefault(written.name, written)
        if one is not written:
            reason = f"same as {entities.unit} {one.line} ({quoted(one.display)}) on this model"
            rejected.append(Rejected(entity.line, entity.display, reason))
        elif written is not entity and entity.spoken and written.name == entity.spoken[0][0]:
            otherwise.append(written)
    notes = [
        f"{quoted(entity.display)} is looked for as it is said: {quoted(entity.name)}"
        for entity in otherwise[:3]
    ]
    return list(kept.values()), rejected, first_few(notes, len(otherwise))


def _as_writable(entity: Entity, uncovered: _Uncovered) -> tuple[Entity | None, Sequence[Rejected]]:
    """Return a name with the spellings that can be written, and what cannot be.

    The very same entity is returned if nothing is to be done; None if nothing can be written.
    """
    if not entity.sounds_like:
        spoken = entity.spoken
        if uncovered.spoken_is_good or not any(uncovered(text) for text, _ in spoken):
            if not uncovered(entity.name):
                return entity, ()
            if spoken and entity.name.isascii() and "'" not in entity.name:
                (name, _), *rest = spoken
                return entity.said(name, tuple(rest)), ()
    costs: dict[str, float] = {}
    reports, by_rule = [], []
    for place, (text, cost) in enumerate(entity.spellings):
        ruled = place > len(entity.sounds_like)
        written, missing = _written(text, uncovered)
        if written:
            for one in written:
                if (ruled or one is not written[0]) and one not in costs:
                    by_rule.append(one)
                costs.setdefault(one, cost)
        elif not ruled:
            letters = ", ".join(repr(c) for c in missing)
            reason = f"the model's vocabulary cannot write {letters}"
            reports.append(Rejected(entity.line, text if place else entity.display, reason))
    if not costs:
        first, *further = reports
        reason = first.reason + _remedy(entity, uncovered.vocabulary)
        return None, [first._replace(reason=reason), *further]
    name, *others = costs
    if reports and reports[0].text == entity.display:
        # What cannot be written as it is listed is looked for otherwise.
        first, *further = reports
        other = first._replace(reason=f"{first.reason}; it is looked for as {quoted(name)}")
        reports = further if name in by_rule else [other, *further]
    return entity._replace(
        name=name,
        sounds_like=tuple(text for text in others if text not in by_rule),
        spoken=tuple((text, costs[text]) for text in others if text in by_rule),
    ), reports


def _written(text: str, uncovered: _Uncovered) -> tuple[list[str], str]:
    """The ways in which a spelling can be written, the likeliest first; if there is none, what
    characters keep it from being written."""
    lacking = uncovered(text)
    # Only those letters that are not there: ğ stays where the dot of a Turkish İ goes.
    spelling = "".join([fold_diacritics(c) if c in lacking else c for c in text])
    missing = uncovered(spelling)
    if not missing:
        return [spelling], ""
    if "'" not in spelling:
        return [], missing
    # O'Brien is obrien, or o brien, or o ' brien
    several = [spelling.replace("'", by) for by in ("", " ", " ' ")]
    missing = uncovered(several[0])
    return [one for one in several if not uncovered(one)], missing


class _Uncovered:
    """Which characters keep texts from being written; most texts are settled at a glance."""

    def __init__(self, tokenizer: Tokenizer, alphabet: set[str], spoken: set[str]) -> None:
        """Take the characters of all texts, and those of all spoken forms."""
        self._tokenizer = tokenizer
        self.vocabulary = tokenizer.vocabulary
        good = [c for c in sorted(alphabet) if tokenizer.covers(c)]
        good = good if tokenizer.covers("".join(good)) else []
        self._other = re.compile(f"[^{re.escape(''.join(good))}]" if good else ".", re.DOTALL)
        self.spoken_is_good = self._other.search("".join(spoken)) is None

    def __call__(self, text: str) -> str:
        """Return them, each once."""
        return self._tokenizer.uncovered(text) if self._other.search(text) else ""


def _remedy(entity: Entity, vocabulary: Vocabulary) -> str:
    """What to do about a name that cannot be written, and why no rule helps."""
    parts = entity.display.split()
    if len(parts) > 1 and all(part in vocabulary.index for part in parts):
        return f"; these are tokens of the model: {PHONES_REMEDY}"
    if vocabulary.has_phones:
        return f", whose tokens are phones: {PHONES_REMEDY}"
    found = said(entity.display).common
    why = f", and {quoted(found)}, as it is said, is common" if found else ""
    return f"{why}: {REMEDY}"


def _spellings(
    entities: EntityList | Sequence[Entity], tokenizer: Tokenizer
) -> tuple[list[str], npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Every spelling, the position of the entity that it belongs to, and its cost."""
    rows = entities.entities if isinstance(entities, EntityList) else entities
    owners = np.arange(len(rows), dtype=np.int32)
    vocabulary = tokenizer.vocabulary
    one_form = vocabulary.case is not Case.BOTH and not vocabulary.closes_word.any()
    one_form &= not _parts_apostrophes(vocabulary)
    one_form &= _SEVERAL_FORMS.isdisjoint(vocabulary.letters)
    if one_form and not any(entity.sounds_like or entity.spoken for entity in rows):
        return [entity.name for entity in rows], owners, np.zeros(len(rows), dtype=np.float32)
    several = [
        entity.spellings
        if one_form
        else _cheapest(
            (form, cost)
            for text, cost in entity.spellings
            for form in written_forms(text, entity.display, vocabulary)
        )
        for entity in rows
    ]
    texts = [text for spellings in several for text, _ in spellings]
    costs = np.array([cost for spellings in several for _, cost in spellings], dtype=np.float32)
    return texts, np.repeat(owners, [len(spellings) for spellings in several]), costs


def _cheapest(forms: Iterable[tuple[str, float]]) -> tuple[tuple[str, float], ...]:
    """Each form once, at its least cost."""
    found: dict[str, float] = {}
    for form, cost in forms:
        found[form] = min(cost, found.get(form, cost))
    return tuple(found.items())


def written_forms(text: str, display: str, vocabulary: Vocabulary) -> list[str]:
    """The forms in which a vocabulary may write a spelling of a name, the spelling itself first.

    One with capitals and small letters may write it in small letters, with a capital at the
    beginning or at that of every word, as it is displayed, and in capitals if that is how its
    display is written; one with punctuation, also with that of the display (``coca-cola``).
    """
    bases = [text]
    shown = display.translate(_TYPED).strip()
    as_shown = fold_diacritics(normalise(shown)) == fold_diacritics(text)
    if as_shown and vocabulary.closes_word.any():
        bases.append(shown.lower())
    letters = vocabulary.letters
    turkish = not _DOTLESS.isdisjoint(letters)
    if turkish:
        if as_shown:
            bases.append(shown.replace("\u0130", "i").replace("I", "\u0131").lower())
        if vocabulary.upper_case:
            bases += [base.replace("i", "i\u0307") for base in bases]
    if "'" in text and _parts_apostrophes(vocabulary):
        bases.append(text.replace("'", " ' "))
    bases += [OPTIONAL_MARKS.sub("", base) for base in bases]
    if '"' in shown and as_shown and "\u05f4" in letters:
        bases.append(shown.replace('"', "\u05f4"))
    bases += [base.replace("'", c) for base in bases for c in APOSTROPHES if c in letters]
    if vocabulary.case is not Case.BOTH:
        return list(dict.fromkeys(bases))
    forms = []
    for base in bases:
        words = base.split(" ")
        forms += [base, _capitalised(base, turkish)]
        forms.append(" ".join(_capitalised(word, turkish) for word in words))
        forms.append("-".join(_capitalised(part, turkish) for part in forms[-1].split("-")))
        if display.isupper():
            forms.append(base.upper())
    if in_capitals_only(text, shown):
        forms.append(shown)  # US, which is no *us* where capitals are written
    if as_shown:
        forms += [shown, " ".join(_PUNCTUATION.sub(" ", shown).split())]
    return list(dict.fromkeys(forms))


def _parts_apostrophes(vocabulary: Vocabulary) -> bool:
    """Whether an apostrophe may be a word of its own, as in BERT's wordpieces."""
    return vocabulary.boundary is WordBoundary.CONTINUATION and "'" in vocabulary.index


def _capitalised(text: str, turkish: bool) -> str:
    first = "\u0130" if turkish and text.startswith("i") else text[:1].upper()
    return first + text[1:]


def _concatenate(parts: list[npt.NDArray[Any]], dtype: Any) -> npt.NDArray[Any]:
    return np.concatenate(parts) if parts else np.zeros(0, dtype=dtype)

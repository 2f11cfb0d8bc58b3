"""Lists of names in JSON: ours, and those of other tools and services.

Weights of other tools are made factors on the boost: 1 is what is usual there.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from ctcbias_fst.errors import EntityListError
from ctcbias_fst.text.list_lines import Lines, ListRows
from ctcbias_fst.text.text_files import as_number, json_object, parse_json, quoted

_JSON_ARRAY = re.compile(r"\[\s*(?:$|[\"'{\[\]])")
_CLASS = re.compile(r"\$(?:[A-Z][A-Z_]{3,}|\{[^}]*\})")
"""Of Google's phrases: numbers, addresses, custom classes."""

_OF_UTTERANCES = frozenset({"id", "path", "audio_filepath"})
_LEAST_FACTOR, _MAX_FACTOR = 0.25, 4.0


class _Form(NamedTuple):
    """How the objects of one tool are read.

    Attributes:
        tool: its name.
        name: the key that holds the name.
        weight: the key that holds a weight, or "".
        usual: the weight that is usual there; it is made 1.
        spellings: the key that holds spellings that sound like the name, or "".
        ignored: keys that are known and not used.
    """

    tool: str
    name: str
    weight: str = ""
    usual: float = 1.0
    spellings: str = ""
    ignored: tuple[str, ...] = ()


_FORMS = (
    _Form("Google's phrases", "value", "boost", 10.0),
    _Form("Speechmatics' vocabulary", "content", spellings="sounds_like"),
    _Form("Gladia's vocabulary", "value", "intensity", 0.5, "pronunciations", ("language",)),
    _Form("FluidAudio's terms", "text", "weight", 10.0, "aliases", ("minSimilarity",)),
    _Form("NeMo's key phrases", "phrase", "", 1.0, "", ("lang", "language", "id")),
    _Form("a list of phrases", "phrase", "boost", 10.0),
    _Form("a list of phrases", "phrase", "weight", 1.0),
    _Form("a list of words", "word", "boost", 10.0),
    _Form("a list of words", "word", "weight", 1.0),
)

# Keys under which services take a list, and whose they are.
_HOLDERS = {
    key: tool
    for tool, keys in (
        ("Google's phrases", "phrases"),
        ("Azure's phrase list", "phraseList"),
        ("Azure's phrase lists", "phraseLists"),
        ("Google's speech contexts", "speechContexts speech_contexts"),
        ("Google's phrase sets", "phraseSets phrase_sets"),
        ("Google's phrase set", "inlinePhraseSet inline_phrase_set"),
        ("Google's adaptation", "adaptation"),
        ("Google's configuration", "config"),
        ("Google's custom class", "customClass items"),
        ("Google's custom classes", "customClasses"),
        ("FluidAudio's terms", "terms"),
        ("NeMo's key phrases", "key_phrase_items_list"),
        ("Speechmatics' vocabulary", "additional_vocab"),
        ("Speechmatics' configuration", "transcription_config"),
        ("Gladia's vocabulary", "custom_vocabulary_config vocabulary custom_vocabulary"),
        ("Deepgram's key terms", "keyterm"),
        ("key terms", "keyterms"),
        ("AssemblyAI's key terms", "keyterms_prompt"),
        ("AssemblyAI's words", "word_boost"),
        ("key words", "keywords"),
        ("hot words", "hotwords"),
        ("a list of names", "names entities"),
    )
    for key in keys.split()
}
# Keys that several of them have, and what is said where no entry is as one of them has it.
_SHARED = {
    "phrases": "phrases, as Google and Azure have them",
    "items": "a list of items",
    "terms": "a list of terms",
    "vocabulary": "a vocabulary",
    "custom_vocabulary": "a vocabulary",
    "config": "",
}
_PLAIN_KEYS = frozenset({"value", "text", "phrase", "word"})
"""Keys that tell nothing of a tool, alone."""

_FACTORS = {"boost": 10.0, "biasingWeight": 1.0, "default_intensity": 0.5}
"""Weights of a whole list, and what is usual."""

_DEEPEST = 6


def scaled_weight(value: float, usual: float) -> float:
    """Return a weight of another tool as a factor on the boost, 0.25 to 4.

    Args:
        value: the weight there; what is not positive stays as it is, to be refused.
        usual: the weight there that is usual.
    """
    if not value > 0 or not math.isfinite(value) or not usual > 0:
        return value
    return round(min(max(value / usual, _LEAST_FACTOR), _MAX_FACTOR), 4)


def _form_of(row: Mapping[str, Any]) -> _Form | None:
    """Return the form that has all the keys of an object, if there is one."""
    for form in _FORMS:
        known = {form.name, form.weight, form.spellings, *form.ignored} - {""}
        if form.name in row and set(row) <= known:
            return form
    return None


def _own_keys(
    row: Mapping[str, Any], where: str, notes: dict[str, None], told: bool = False
) -> Mapping[str, Any]:
    """Return an object with our keys; those that belong to another tool are translated.

    Args:
        row: the object; one that is of no tool is returned as it is.
        where: names the place in messages.
        notes: what is told of it is added, each once.
        told: whether it has been told already of which tool the list is.

    Raises:
        EntityListError: a weight is no number.
    """
    form = None if "name" in row else _form_of(row)
    if form is None:
        return row  # if it has no name, that is an error
    entry: dict[str, Any] = {"name": row[form.name]}
    plain = form.name in _PLAIN_KEYS and set(row) == {form.name}
    tool = f"names under {form.name!r}" if plain else form.tool
    said = [] if told else [f"read as {tool}"]
    if form.weight and row.get(form.weight) is not None:
        entry["weight"] = _factor(row[form.weight], form.usual, form.weight, where)
        said.append(f"weights are {form.weight!r} divided by {form.usual:g}")
    if said:
        notes["; ".join(said)] = None
    if form.spellings and row.get(form.spellings) is not None:
        entry["sounds_like"] = row[form.spellings]
    ignored = [key for key in form.ignored if row.get(key) is not None]
    if ignored:
        notes[f"{', '.join(map(repr, ignored))} of its entries are not used"] = None
    return entry


@dataclass(frozen=True)
class _Reader:
    """What was found in a document so far; ``notes`` are keys, each once."""

    source: str
    items: list[Any]
    notes: dict[str, None]

    def collect(
        self, value: Any, factors: Mapping[str, float], depth: int, inside: bool = False
    ) -> None:
        """Add the entries below `value`, those without a weight with that of their list.

        Args:
            value: the document, or what is below a key of it.
            factors: the weight of a list that it is in.
            depth: so many levels are above it.
            inside: whether it has been told of which tool it is.
        """
        if isinstance(value, list):
            holders = all(isinstance(one, dict) and set(one) & set(_HOLDERS) for one in value)
            for item in value:
                if holders:
                    self.collect(item, factors, depth + 1, inside)
                else:
                    self.items.append(_with_factor(item, factors))
            return
        if not isinstance(value, dict) or depth > _DEEPEST:
            found = quoted(value)
            raise EntityListError(f"{self.source}: must hold a list of names, not {found}.")
        here = dict(factors)
        for key, usual in _FACTORS.items():
            if value.get(key) is not None:
                here = {"weight": _factor(value[key], usual, key, self.source)}
                self._note(f"its {key!r}, divided by {usual:g}, weighs names that have no weight")
        held = [key for key in value if key in _HOLDERS]
        if not held:
            keys = ", ".join(quoted(key, 30) for key in list(value)[:5])
            raise EntityListError(
                f"{self.source}: a JSON object with the keys {keys or '(none)'} is no list of "
                f"names that is known. Write a JSON array of names, or one name per line."
            )
        unused = [key for key in value if key not in _HOLDERS and key not in _FACTORS]
        if unused:
            self._note(f"the keys {', '.join(quoted(key, 30) for key in unused[:5])} are not used")
        for key in held:
            tool = _HOLDERS[key]
            if key in _SHARED and not _is_of(value[key], tool):
                tool = _SHARED[key]
            if tool and not (key in _SHARED and inside):
                self._note(f"read as {tool}")
            self.collect(value[key], here, depth + 1, inside or key != "config")

    def _note(self, note: str) -> None:
        self.notes[note] = None


def _is_of(items: Any, tool: str) -> bool:
    """Whether some object of a list is as a tool has them."""
    rows = [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    return any(form is not None and form.tool == tool for form in map(_form_of, rows))


def _with_factor(item: Any, factors: Mapping[str, float]) -> Any:
    """Give an entry the weight of its list, if it has none of its own."""
    if not factors or not isinstance(item, (str, dict)):
        return item
    if isinstance(item, str):
        return {"name": item, **factors}
    form = None if "name" in item else _form_of(item)
    if form is None:
        return item if item.get("weight") is not None else {**item, **factors}
    if form.weight and item.get(form.weight) is not None:
        return item
    return {**_own_keys({**item, form.weight: None} if form.weight else item, "", {}), **factors}


def _factor(value: Any, usual: float, key: str, where: str) -> float:
    number = as_number(value)
    if math.isnan(number):
        raise EntityListError(f"{where}: {key!r} must be a number, not {quoted(value)}.")
    return scaled_weight(number, usual)


def is_json(lines: Lines) -> bool:
    """Whether a file begins as JSON does."""
    first = lines.texts[0]
    if first.startswith("{"):
        return not first.startswith("{\\rtf")
    return bool(_JSON_ARRAY.match(first)) or (first.startswith("[") and _is_document(lines))


def json_list(lines: Lines) -> ListRows:
    """Read JSON: an array, an object that spans the file, or objects, one on every line.

    Raises:
        EntityListError: it is malformed, or no list of names that is known.
    """
    source = lines.source
    document = lines.texts[0].startswith("[")
    if not document:
        try:
            first = json.loads(lines.texts[0])
            document = isinstance(first, dict) and len(lines.texts) == 1
        except (ValueError, RecursionError):
            document = _is_document(lines)
    if document:
        value = parse_json("\n".join(lines.raw), source, EntityListError)
        own = isinstance(value, dict) and {"name", "content", "value"} & set(value)
        if not own or not set(value).isdisjoint(_HOLDERS):
            return json_document(value, source)
    rows = []
    notes: dict[str, None] = {}
    for number, text in zip(lines.numbers, lines.texts):
        row = json_object(text, source, number, EntityListError)
        _refuse_utterance(row, source)
        rows.append(_own_keys(row, f"{source}, line {number}", notes))
    return ListRows(lines.numbers, rows, tuple(notes))


def _is_document(lines: Lines) -> bool:
    try:
        json.loads("\n".join(lines.raw))
    except (ValueError, RecursionError):
        return False
    return True


def json_document(value: Any, source: str) -> ListRows:
    """Read a JSON array, or the object that a service takes.

    Args:
        value: it, parsed.
        source: what it is called in messages.

    Raises:
        EntityListError: it is no list of names that is known.
    """
    _refuse_utterance(value, source)
    reader = _Reader(source, [], {})
    if isinstance(value, list):
        reader.items.extend(value)
    else:
        reader.collect(value, {}, 0)
    notes = reader.notes
    told = any(note.startswith("read as ") for note in notes)
    google = any("Google" in note for note in notes)
    rows: list[str | Mapping[str, Any]] = []
    for number, item in enumerate(_without_classes(reader) if google else reader.items, start=1):
        where = f"{source}, entry {number}"
        if not isinstance(item, (str, dict)):
            raise EntityListError(f"{where}: must be a name or an object, not {quoted(item)}.")
        rows.append(item if isinstance(item, str) else _own_keys(item, where, notes, told))
    return ListRows(range(1, len(rows) + 1), rows, tuple(notes), "entry")


def _refuse_utterance(value: Any, source: str) -> None:
    """Refuse what has a list of names for an utterance, where names are wanted."""
    if isinstance(value, dict) and "entities" in value and _OF_UTTERANCES & set(value):
        raise EntityListError(
            f"{source}: is a list for each utterance (keys 'id' and 'entities'), which ctcbias "
            f"decode takes; one list for all is wanted here."
        )


def _without_classes(reader: _Reader) -> list[Any]:
    """Leave out phrases of Google's with a class, such as ``$FULLPHONENUM``."""
    kept = []
    for item in reader.items:
        text = item.get("value", item.get("name")) if isinstance(item, dict) else item
        if isinstance(text, str) and _CLASS.search(text):
            note = f"{quoted(text)} has a class of Google's, which is not looked for"
            reader.notes[note] = None
        else:
            kept.append(item)
    return kept

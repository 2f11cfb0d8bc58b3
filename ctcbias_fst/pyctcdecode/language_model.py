"""How a language model acts, in pyctcdecode's terms, and the folder that it has it in."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

from ctcbias_fst.errors import ConfigError, LanguageModelError, warn_caller
from ctcbias_fst.files import write_text
from ctcbias_fst.ngram.ngram_lm import UNKNOWN, load_lm
from ctcbias_fst.text.text_files import quoted, read_lines

_ATTRIBUTES, _UNIGRAMS = "attrs.json", "unigrams.txt"


@dataclass
class LanguageModel:
    """A language model's file and how it acts, which may be changed at any time.

    Attributes:
        path: an ARPA file, compressed or not, or what ``ctcbias lm`` makes of one.
        alpha: factor on its log-probs.
        beta: nats for each word.
        unk_score_offset: added to the log-prob (log10) of each word that it does not know.
        score_boundary: whether the beginning and the end of sentences count; they always do.
    """

    path: Path
    alpha: float = 0.5
    beta: float = 1.5
    unk_score_offset: float = -10.0
    score_boundary: bool = True

    def settings(self, beam: float) -> dict[str, float]:
        """The decoder's, where readings that score less than the best by ``beam`` are wanted.

        Raises:
            ConfigError: a number is wrong.
        """
        for name in ("alpha", "beta", "unk_score_offset"):
            checked_number(name, getattr(self, name))
        if not self.score_boundary:
            warn_caller("lm_score_boundary=False has no effect: what is decoded are sentences")
        return {
            "decode.lm.scale": self.alpha,
            "decode.lm.word_bonus": self.beta,
            "decode.lm.unknown_cost": -self.alpha * math.log(10.0) * self.unk_score_offset,
            "decode.lm.letter_cost": 0.0,
            "decode.lm.lattice_beam": max(10.0, beam),
            "decode.lm.beam": max(8.0, beam),
        }

    def save_to_dir(self, folder: Path) -> None:
        """Write it where pyctcdecode would, with the words that it knows."""
        attributes = {name: value for name, value in vars(self).items() if name != "path"}
        words = sorted(set(load_lm(self.path).ngram.symbols) - {UNKNOWN})
        unigrams = "".join(f"{word}\n" for word in words)
        for name, text in ((_ATTRIBUTES, json.dumps(attributes)), (_UNIGRAMS, unigrams)):
            write_text(folder / name, text)
        copy = folder / self.path.name
        if not (copy.exists() and copy.samefile(self.path)):
            shutil.copyfile(self.path, copy)

    @classmethod
    def load_from_dir(cls, folder: Path) -> LanguageModel:
        """Read what :meth:`save_to_dir` wrote, or pyctcdecode.

        Raises:
            LanguageModelError: it is something else.
        """
        others = {_ATTRIBUTES, _UNIGRAMS}
        files = [one for one in folder.iterdir() if one.name[0] != "." and one.name not in others]
        if len(files) != 1:
            raise LanguageModelError(f"{folder}: expected one language model, found {len(files)}")
        try:
            text = "\n".join(read_lines(folder / _ATTRIBUTES, LanguageModelError))
            content: Any = json.loads(text)
            return cls(files[0], **content)
        except (ValueError, TypeError) as error:
            raise LanguageModelError(f"{folder / _ATTRIBUTES}: {error}") from None


def checked_number(name: str, value: Any) -> float:
    """A finite number that was given for an argument.

    Raises:
        ConfigError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise ConfigError(f"{name} must be a finite number, found {quoted(value)}")
    return float(value)

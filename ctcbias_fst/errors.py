"""Every error that the package raises on purpose.

::

    CtcbiasError
    ├── InputError            what the user handed in
    │   ├── AudioError            a file or an array of samples
    │   ├── EntityListError       a list of names
    │   ├── ManifestError         a manifest, a transcript file, a CutSet
    │   ├── LogProbsError         log-probs: shape, NaN, another vocabulary
    │   └── LanguageModelError    an ARPA file or its tables
    ├── ConfigError           a TOML file or an option
    ├── ModelError            weights, tokenizer, model card: missing or not of one piece
    ├── GraphError            an FST that breaks a precondition
    └── MissingDependencyError    an optional package that is not installed

A message says what was wrong, the value found (with file and line where there is
one), and what to do. The command line prints it without a stack trace.
"""

from __future__ import annotations

import re
import sys
import warnings

_HALF = re.compile("[\ud800-\udfff]")


class CtcbiasError(Exception):
    """The root: whoever catches this catches everything below."""

    def __str__(self) -> str:
        """The message; half of a character, which cannot be printed, is U+FFFD in it."""
        return _HALF.sub("\ufffd", super().__str__())


class CtcbiasWarning(UserWarning):
    """Something was dropped, cut or guessed, and the rest is used."""


def warn_caller(message: str) -> None:
    """Warn (`CtcbiasWarning`) at the line that called the package, however deep this is in it."""
    level = outermost = 1
    frame = sys._getframe(1).f_back
    while frame is not None:
        level += 1
        if str(frame.f_globals.get("__name__")).partition(".")[0] == __package__:
            outermost = level
        frame = frame.f_back
    warnings.warn(message, CtcbiasWarning, stacklevel=outermost + 2)


def cause_of(error: BaseException) -> str:
    """What another library's, or a user's, exception says, in one line: its type and message."""
    return " ".join(f"{type(error).__name__}: {error}".split()).rstrip(": ")


class InputError(CtcbiasError):
    """Something the user handed in cannot be used."""


class AudioError(InputError):
    """A recording is missing, corrupt, empty, or holds no usable samples."""


class EntityListError(InputError):
    """A list of names cannot be read, or no entry of it can have an effect."""


class ManifestError(InputError):
    """A manifest, transcript or CutSet is missing, malformed or inconsistent."""


class LogProbsError(InputError):
    """Log-probs of a wrong shape, with NaN, or of another vocabulary."""


class LanguageModelError(InputError):
    """An n-gram language model cannot be read or does not fit."""


class ConfigError(CtcbiasError):
    """A configuration has an unknown key, a wrong type or an impossible value."""


class ModelError(CtcbiasError):
    """Model files are missing, damaged or do not belong together."""


class GraphError(CtcbiasError):
    """A graph breaks a precondition of the operation it was given to."""


class MissingDependencyError(CtcbiasError):
    """An optional package is needed and not installed."""

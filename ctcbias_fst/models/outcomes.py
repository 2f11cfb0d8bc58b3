"""What comes of each of many that a model is given at once, and what it fails on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from ctcbias_fst.errors import (
    ConfigError,
    CtcbiasError,
    LogProbsError,
    MissingDependencyError,
    ModelError,
    cause_of,
)
from ctcbias_fst.records import LogProbs
from ctcbias_fst.rescore.phone_frames import check_phone_values
from ctcbias_fst.search.boosting import check_log_probs

BATCH_SECONDS = 120.0
"""Audio that is scored at once, padding included."""

_PATIENCE_SECONDS = 10.0
"""Audio of a stream that is kept for a model that has never worked."""

T = TypeVar("T")
R = TypeVar("R")


def batches(lengths: Sequence[int], most: float, *, alike: bool = False) -> Iterator[list[int]]:
    """What is scored at once: similar lengths together, the longest first.

    Args:
        lengths: of each, in samples.
        most: samples of a batch, padding included, if it has more than one.
        alike: whether only what is as long as each other goes together, so that there is no
            padding.

    Yields:
        the numbers of those of a batch.
    """
    batch: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        longest = lengths[batch[0]] if batch else 0
        if batch and ((len(batch) + 1) * longest > most or (alike and lengths[i] != longest)):
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def of_each(
    score: Callable[[Sequence[T]], Sequence[R | CtcbiasError]],
    todo: Sequence[T],
    why: Callable[[T, Exception], CtcbiasError],
) -> list[R | CtcbiasError]:
    """What comes of each at once; of each alone, if something goes wrong with all together.

    Args:
        score: what comes of several, or why nothing comes of one of them; it may raise anything.
        todo: what is scored.
        why: the error of one that went wrong alone.

    Raises:
        ConfigError, MissingDependencyError: as ``score`` does; they are of none of them.
    """
    try:
        return list(score(todo))
    except (ConfigError, MissingDependencyError):
        raise  # of none of them
    except Exception as error:  # whatever somebody's model raises
        if len(todo) == 1:
            return [why(todo[0], error)]
    return [one for each in todo for one in of_each(score, [each], why)]


def failure(name: str, where: str, error: Exception) -> CtcbiasError:
    """What a model failed on in one line that begins with the place.

    Args:
        name: of the stream or recording.
        where: the place in it, which begins with its name.
    """
    if not isinstance(error, CtcbiasError):
        failed = ModelError(f"{where}: the model failed: {cause_of(error)}")
    elif str(error).startswith(name):
        return error
    else:
        failed = ModelError(f"{where}: {error}")
    failed.__cause__ = error
    return failed


def bad_scores(heard: LogProbs, *, phones: bool) -> ModelError | None:
    """Why log-probs cannot be decoded, if they cannot.

    Args:
        heard: of an utterance whose id tells the place.
        phones: whether those of phones must be good, too.
    """
    try:
        check_log_probs(heard, heard.vocabulary)
        if phones:
            check_phone_values(heard)
    except LogProbsError as error:
        return ModelError(str(error).removeprefix("utterance "))
    return None


class Patience:
    """Whether what a model fails on is an error, or taken for silence.

    A model that has never worked is an error, so that nobody waits for words in vain. Once it has
    worked, or more of a stream is waiting than can be kept, failures are silence that is told.
    """

    def __init__(self) -> None:
        self._over = False

    def see(self, outcomes: Sequence[object], waiting_seconds: float, *, last: bool) -> None:
        """Look at what came of all that was scored together.

        Args:
            outcomes: what came of each; an error of what went wrong.
            waiting_seconds: audio that could have been scored before, of the stream that waits
                longest.
            last: whether nothing is scored later.

        Raises:
            ModelError: the model has failed on all that it was given so far.
        """
        failed = [one for one in outcomes if isinstance(one, CtcbiasError)]
        if len(failed) < len(outcomes) or waiting_seconds > _PATIENCE_SECONDS:
            self._over = True
        if failed and not self._over and not last:
            raise ModelError(str(failed[0])) from failed[0]

"""Long work that may not be wanted any more: it asks now and then, and goes no further."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_asked: ContextVar[Callable[[], bool] | None] = ContextVar("wanted", default=None)


class UnwantedError(Exception):
    """Nobody wants what was in work."""


@contextmanager
def while_wanted(wanted: Callable[[], bool]) -> Iterator[None]:
    """What is done inside may end with `UnwantedError` once this is not true, or what was asked
    before; so may tasks and threads that are begun inside with a copy of the context."""
    before = _asked.get()
    token = _asked.set(wanted if before is None else lambda: before() and wanted())
    try:
        require_wanted()
        yield
    finally:
        _asked.reset(token)


def require_wanted() -> None:
    """Go on, if somebody wants it.

    Raises:
        UnwantedError: nobody does.
    """
    asked = _asked.get()
    if asked is not None and not asked():
        raise UnwantedError

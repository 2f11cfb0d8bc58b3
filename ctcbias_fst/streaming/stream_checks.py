"""What is checked of streams before anything is taken, of log-probs and of audio alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from ctcbias_fst.errors import ConfigError


class Stands(Protocol):
    """How a stream stands.

    Attributes:
        name: of it, for messages.
        ending: whether nothing more comes.
    """

    @property
    def name(self) -> str: ...
    @property
    def ending(self) -> bool: ...


State = TypeVar("State", bound=Stands)


def states_of(streams: Sequence[Any], advances: Any, state: type[State], whose: str) -> list[State]:
    """How streams stand; refuses what is none, and one that comes twice.

    Args:
        streams: of ``advances``.
        advances: what opened them.
        state: what its streams have.
        whose: they are, for messages: ``decoder``.

    Raises:
        ConfigError: there is such a one.
    """
    if not isinstance(streams, (list, tuple)):
        raise ConfigError(
            f"streams are a list, found {streams!r:.60}: pass [stream], or what one stream has to "
            "its accept() and finish()"
        )
    states: dict[int, State] = {}
    for stream in streams:
        found = stream.state_of(advances) if hasattr(stream, "state_of") else None
        if not isinstance(found, state):
            raise ConfigError(
                f"{stream!r:.60} is no stream of this {whose}: its stream() opens one"
            )
        if id(found) in states:
            raise ConfigError(
                f"stream {found.name} comes twice in one call: pass its chunks one after the other"
            )
        states[id(found)] = found
    return list(states.values())


def require_one_each(states: Sequence[Stands], **several: Sequence[Any]) -> None:
    """Refuse fewer or more of what must be there once for each stream.

    Args:
        states: of the streams.
        several: what there is of each, by what it is called.

    Raises:
        ConfigError: there are not as many.
    """
    for what, items in several.items():
        if not hasattr(items, "__len__") or not hasattr(items, "__getitem__"):
            raise ConfigError(f"{what} are a list, one for each stream, found {items!r:.60}")
        if len(items) != len(states):
            raise ConfigError(f"{len(states)} streams, {len(items)} {what}: pass one for each")


def require_open(state: Stands) -> None:
    """Refuse to go on after the end.

    Raises:
        ConfigError: the stream is finished.
    """
    if state.ending:
        raise ConfigError(f"stream {state.name} is finished: open another one")


def refuse_late_phones(state: Stands, why: str) -> None:
    """Refuse a list that needs phones of a stream that has none: it could not be finished.

    Args:
        state: of the stream.
        why: there are none, and what to do.

    Raises:
        ConfigError: always.
    """
    raise ConfigError(f"stream {state.name}: so long a list needs phones, {why}")

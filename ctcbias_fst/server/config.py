"""How a server behaves, and what it refuses."""

from __future__ import annotations

from dataclasses import dataclass

from ctcbias_fst.bounds import finite, not_negative, positive, typed
from ctcbias_fst.errors import ConfigError


@dataclass(frozen=True)
class ServerConfig:
    """Limits of a server, and who may use it.

    Attributes:
        keys: bearer keys, one of which a request must have; none are asked for if there are none.
        origins: of other hosts' pages that may use it (CORS), or ``*``.
        hosts: that requests may name as the server's; any if there are none.
        max_megabytes: of the body of a request, lists apart.
        max_list_megabytes: of the body of a request that stores a list.
        max_list_names: of a list that is stored.
        max_seconds: of the audio of a request.
        read_seconds: until the body of a request must have come.
        max_waiting: recordings that wait for the model; more are refused with 429.
        max_streams: that are open at a time; more are refused.
        idle_seconds: a stream of which nothing has come for so long is closed.
        request_seconds: a list that was not compiled by then is given up; so is a recording that
            was not transcribed after as long, and its own length.
        batch: recordings that are transcribed together, at most.
        batch_seconds: of audio that is transcribed together, unless one recording is longer.
        batch_wait: seconds that the first of a batch waits for others.
        workers: batches that are in work side by side.
        cache_megabytes: of compiled lists that are kept, about.
        max_inline_names: of a list that comes with a request.
    """

    keys: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    max_megabytes: float = 25.0
    max_list_megabytes: float = 256.0
    max_list_names: int = 1_000_000
    max_seconds: float = 3600.0
    read_seconds: float = 120.0
    max_waiting: int = 64
    max_streams: int = 64
    idle_seconds: float = 300.0
    request_seconds: float = 300.0
    batch: int = 8
    batch_seconds: float = 60.0
    batch_wait: float = 0.01
    workers: int = 1
    cache_megabytes: float = 2000.0
    max_inline_names: int = 20_000

    def __post_init__(self) -> None:
        typed(self)
        finite(self)
        positive(
            self,
            "max_megabytes",
            "max_list_megabytes",
            "max_list_names",
            "max_seconds",
            "read_seconds",
            "max_waiting",
            "max_streams",
            "idle_seconds",
            "request_seconds",
            "batch",
            "batch_seconds",
            "workers",
            "max_inline_names",
        )
        if not all(key.strip() for key in self.keys):
            raise ConfigError("a key is empty: whoever reaches the server could use it")
        not_negative(self, "batch_wait", "cache_megabytes")

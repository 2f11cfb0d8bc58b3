"""HTTP as uvicorn has it, with bounds: of connections, and of the time until one asks something."""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

_HEAD_SECONDS = 30.0
"""Until the head of a request must be there."""

_MOST = 10_000
"""Connections, where the process may open files enough."""

_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 5\r\n"
    b"content-length: 0\r\n\r\n"
)


def most_connections() -> int:
    """Half of the files that the process may open, as what is sent is kept in files, too."""
    try:
        from resource import RLIM_INFINITY, RLIMIT_NOFILE, getrlimit  # noqa: PLC0415
    except ImportError:  # not a Unix
        return _MOST
    soft, _ = getrlimit(RLIMIT_NOFILE)
    return _MOST if soft == RLIM_INFINITY else max(1, min(_MOST, soft // 2))


class HttpProtocol(H11Protocol):
    """Closes what asks nothing, and what is too much."""

    head_seconds = _HEAD_SECONDS
    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection."""
        super().connection_made(transport)
        if len(self.connections) > most_connections():
            transport.write(_FULL)
            transport.close()
            return
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of it."""
        self._forget()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what a client sends."""
        super().data_received(data)
        self._watch()

    def _watch(self) -> None:
        """The time counts from the first byte of a head, or from the connection's beginning."""
        if self.conn.their_state is not h11.IDLE:
            self._forget()
        elif self._waiting is None and not self.transport.is_closing():
            self._waiting = self.loop.call_later(self.head_seconds, self._too_slow)

    def _forget(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _too_slow(self) -> None:
        self._waiting = None
        self.transport.close()

    def _should_upgrade(self) -> bool:
        # Nobody would read the body of another request.
        return self.scope["method"] == "GET" and super()._should_upgrade()

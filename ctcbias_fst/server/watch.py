"""What a server counts and logs of requests: never what is said, nor names of lists."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from time import perf_counter
from typing import Any

from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ctcbias_fst.server.log_lines import REQUEST
from ctcbias_fst.server.metrics import Metrics

_log = logging.getLogger("ctcbias_fst.server")


class Watch:
    """Counts requests, and logs each as a line of JSON.

    Args:
        app: what is behind it.
        metrics: what is counted.
        routes: those that are told by their path as it is routed; others are ``other``.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, routes: Sequence[BaseRoute]) -> None:
        self._app, self._metrics = app, metrics
        self._paths = {
            getattr(one, "endpoint", None): str(getattr(one, "path", "other")) for one in routes
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        begin, status = perf_counter(), 500

        async def seen(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "websocket.accept":
                status = 101
            elif message["type"] == "websocket.close" and status == 500:
                status = 403
            await send(message)

        self._metrics.in_flight.inc()
        try:
            await self._app(scope, receive, seen)
        finally:
            self._metrics.in_flight.dec()
            seconds = perf_counter() - begin
            path = self._paths.get(scope.get("endpoint"), "other")
            self._metrics.requests.labels(path, str(status)).inc()
            self._metrics.seconds.labels(path).observe(seconds)
            method = scope.get("method", "WS")
            record: dict[str, Any] = {"method": method, "path": path, "status": status}
            record["seconds"] = round(seconds, 4)
            _log.info("%s %s", method, path, extra={REQUEST: record})

"""Who may use a server, and how much of a request it reads."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Collection, Sequence
from time import monotonic
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ctcbias_fst.server.api_errors import ApiError

_KEY_PROTOCOL = "openai-insecure-api-key."

OPEN = frozenset({"/health", "/ready"})
"""Paths that ask for no key: those of whoever looks after the server."""


def is_known(connection: HTTPConnection, keys: Collection[str]) -> bool:
    """Whether a client has one of the keys: in ``Authorization: Bearer``, or, as browsers can send
    no headers with websockets, in the query ``key`` or the subprotocol that OpenAI's package has
    for it."""
    kind, _, given = connection.headers.get("authorization", "").partition(" ")
    told = given.strip() if kind.lower() == "bearer" else ""
    if connection.scope["type"] == "websocket" and not told:
        told = connection.query_params.get("key", "") or _key_among(subprotocols(connection))
    found = False
    for key in keys:  # all of them: how long it takes tells nothing
        found |= hmac.compare_digest(key.encode(), told.encode())
    return found


def subprotocols(connection: HTTPConnection) -> list[str]:
    """What the client of a websocket would speak."""
    found: list[str] = connection.scope.get("subprotocols", [])
    return found


def _key_among(protocols: Sequence[str]) -> str:
    keys = [one for one in protocols if one.startswith(_KEY_PROTOCOL)]
    return keys[0].removeprefix(_KEY_PROTOCOL) if keys else ""


class KeyCheck:
    """Refuses requests without a key, before anything of them is read.

    Args:
        app: what is behind it.
        keys: nothing is refused if there are none.
        public: paths that ask for none; the rest of a path behind a ``/`` counts, too.
    """

    def __init__(self, app: ASGIApp, keys: Collection[str], public: Collection[str] = OPEN) -> None:
        self._app, self._keys, self._public = app, keys, frozenset(public)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on, or refuse it."""
        # A websocket is none of them, whatever a page at the same path asks for.
        public = scope["type"] == "http" and scope["path"] in self._public
        if scope["type"] == "lifespan" or not self._keys or public:
            await self._app(scope, receive, send)
            return
        if is_known(HTTPConnection(scope), self._keys):
            await self._app(scope, receive, send)
            return
        refused = ApiError(
            401,
            "no such key: send one that the server knows as Authorization: Bearer KEY",
            code="invalid_api_key",
            headers={"WWW-Authenticate": "Bearer"},
        )
        await _refuse(refused, "no such key", scope, receive, send)


class HostCheck:
    """Refuses requests that name another host than the server's: a page whose name was made to
    point here would otherwise be one of its own.

    Args:
        app: what is behind it.
        hosts: of the server.
        origins: hosts of whose pages may use it, too.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str], origins: Collection[str]) -> None:
        named = (urlsplit(one).hostname or one for one in origins)
        self._app, self._hosts = app, frozenset([*hosts, *named])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on, or refuse it."""
        if scope["type"] == "lifespan" or self._is_ours(Headers(scope=scope)):
            await self._app(scope, receive, send)
            return
        refused = ApiError(
            403,
            "without --key only localhost is answered: the request names another host; name it "
            "with --origin, or ask for a key",
            code="host",
        )
        await _refuse(refused, "another host", scope, receive, send)

    def _is_ours(self, headers: Headers) -> bool:
        try:
            host = urlsplit(f"//{headers.get('host', '')}").hostname
        except ValueError:
            return False
        return "*" in self._hosts or host in self._hosts


class OriginCheck:
    """Refuses what other hosts' pages ask in somebody's browser, websockets too, which no browser
    keeps from them; a server on one's own machine is in reach of every page.

    Args:
        app: what is behind it.
        origins: of other hosts that may, or ``*``.
    """

    def __init__(self, app: ASGIApp, origins: Collection[str]) -> None:
        self._app, self._origins = app, frozenset(one.rstrip("/") for one in origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on, or refuse it."""
        if scope["type"] == "lifespan" or self._is_let_in(Headers(scope=scope)):
            await self._app(scope, receive, send)
            return
        refused = ApiError(
            403,
            "pages of this origin may not use the server: name it with --origin, or have the proxy "
            "hand the header Host on",
            code="origin",
        )
        await _refuse(refused, "another origin", scope, receive, send)

    def _is_let_in(self, headers: Headers) -> bool:
        origin = headers.get("origin")
        if origin is None or "*" in self._origins or origin in self._origins:
            return True
        return origin.partition("://")[2] == headers.get("host")


async def _refuse(error: ApiError, reason: str, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request with an error, or close a websocket before it is open."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": reason})
        return
    await error.response()(scope, receive, send)


_DIGITS = 18
"""Of a length; longer ones are no number of bytes that anybody has."""


class BodyLimit:
    """Refuses bodies that are too long: by what they say of themselves, and while they are read;
    and those that take too long to come.

    Args:
        app: what is behind it.
        seconds: until a body must be there.
        limits: bytes, by the beginning of the path; the first that fits counts, the last is ``/``.
    """

    def __init__(self, app: ASGIApp, limits: Collection[tuple[str, int]], seconds: float) -> None:
        self._app, self._limits, self._seconds = app, tuple(limits), seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on as far as it goes."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # The path of a proxy's request, or of OPTIONS *, begins with something else.
        fitting = (most for path, most in self._limits if scope["path"].startswith(path))
        limit = next(fitting, self._limits[-1][1])
        told = Headers(scope=scope).get("content-length", "")
        if told.isdecimal() and (len(told) > _DIGITS or int(told) > limit):
            await _too_long(limit).response()(scope, receive, send)
            return
        read, whole = 0, False
        end = monotonic() + self._seconds

        async def limited() -> Message:
            nonlocal read, whole
            if whole:  # what comes now is that the client has gone
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), max(0.0, end - monotonic()))
            except (TimeoutError, asyncio.TimeoutError):
                raise _too_slow(self._seconds) from None
            whole = not message.get("more_body", False)
            read += len(message.get("body", b""))
            if read > limit:
                raise _too_long(limit)
            return message

        await self._app(scope, limited, send)


def _too_slow(seconds: float) -> ApiError:
    return ApiError(
        408,
        f"the request did not come within {seconds:g} s",
        code="request_timeout",
        headers={"Connection": "close"},
    )


def _too_long(limit: int) -> ApiError:
    shown = f"{limit / 1e6:g} MB" if limit >= 1e5 else f"{limit} bytes"
    return ApiError(
        413,
        f"the request is longer than {shown}: send less at a time",
        code="request_too_large",
        headers={"Connection": "close"},
    )

"""Runs a server until it is stopped."""

from __future__ import annotations

import logging
import socket
import sys
from ipaddress import ip_address
from types import FrameType

import torch
import uvicorn
from starlette.applications import Starlette

from ctcbias_fst.errors import ConfigError
from ctcbias_fst.recognizer import Recognizer
from ctcbias_fst.server.app import make_app
from ctcbias_fst.server.config import ServerConfig
from ctcbias_fst.server.conversation import MOST_BYTES
from ctcbias_fst.server.http_protocol import HttpProtocol
from ctcbias_fst.server.list_store import ListStore
from ctcbias_fst.server.log_lines import begin_log
from ctcbias_fst.server.service import Service
from ctcbias_fst.server.stored_lists import StoredLists
from ctcbias_fst.server.websocket_protocol import WebsocketProtocol, told

_GRACE_SECONDS = 30
"""With what `app.py` waits afterwards it is less than docker/compose.yaml gives."""

_BACKLOG = 2048

_PONG_SECONDS = 300.0
"""A client's answer to a ping stands behind all the audio that it has sent."""

_UNREAD_SECONDS = 120
"""A client that reads nothing for so long has gone."""


def run(
    recognizer: Recognizer,
    config: ServerConfig,
    listening: socket.socket,
    name: str,
    language: str | None = None,
    *,
    store: ListStore | None = None,
) -> None:
    """Serve until a signal; what was begun is finished then.

    Args:
        recognizer: transcribes.
        config: limits.
        listening: what `listen` gave.
        name, language: of its model, for clients.
        store: keeps lists, if any are to be kept.
    """
    host, port = listening.getsockname()[:2]
    begin_log()
    service = Service(recognizer, config, name, language)
    if store is not None:
        service.lists = StoredLists(service, store)
    listening.listen(_BACKLOG)
    where = f"[{host}]" if ":" in host else host
    print(f"listening on http://{where}:{port}", file=sys.stderr, flush=True)
    if not _is_loopback(listening) and not config.keys:
        print("Warning: without --key whoever reaches this port may use it", file=sys.stderr)
    Server(service).run(sockets=[listening])


class Server(uvicorn.Server):
    """Runs the application of a service, which takes nothing new from the signal to stop on."""

    def __init__(self, service: Service) -> None:
        super().__init__(uvicorn_config(make_app(service)))
        self._service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop."""
        self._service.closing = True
        super().handle_exit(sig, frame)


def uvicorn_config(app: Starlette) -> uvicorn.Config:
    """How an app is served."""
    logging.getLogger("uvicorn.error").addFilter(told)
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        http=HttpProtocol,
        ws=WebsocketProtocol,
        ws_max_size=MOST_BYTES,
        ws_ping_timeout=_PONG_SECONDS,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        limit_concurrency=None,
    )


def torch_threads(workers: int) -> None:
    """Give each of several workers its share of the cores."""
    torch.set_num_threads(max(1, torch.get_num_threads() // workers))


def listen(host: str, port: int) -> socket.socket:
    """Take a port, before a model is loaded for nothing; nobody is answered yet.

    Args:
        host, port: where; port 0 is any that is free.

    Raises:
        ConfigError: nobody can listen there.
    """
    found = None
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        found = socket.socket(family)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # connections have it from here
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000 * _UNREAD_SECONDS)
        found.bind(address)
    except OSError as error:
        if found is not None:
            found.close()
        raise ConfigError(
            f"cannot listen on {host} port {port} ({error.strerror or error}): name another --port "
            "or --host"
        ) from None
    found.set_inheritable(True)
    return found


def hosts_of(listening: socket.socket, host: str) -> tuple[str, ...]:
    """What requests may name as the host of a server for this machine alone; empty for any other.

    Args:
        listening: what `listen` gave.
        host: what it was asked for.
    """
    if not _is_loopback(listening):
        return ()
    return ("localhost", "127.0.0.1", "::1", host.lower())


def _is_loopback(listening: socket.socket) -> bool:
    return ip_address(listening.getsockname()[0]).is_loopback

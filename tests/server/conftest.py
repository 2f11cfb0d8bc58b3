"""A server of the embedded model, in this process."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

import pytest

pytest.importorskip("starlette", reason="the extra serve is not installed")

from starlette.testclient import TestClient

from ctcbias_fst import Recognizer
from ctcbias_fst.server.app import make_app
from ctcbias_fst.server.config import ServerConfig
from ctcbias_fst.server.run import Server, listen
from ctcbias_fst.server.service import Service

Serves = Callable[..., Any]


@pytest.fixture(scope="session")
def recognizer() -> Recognizer:
    return Recognizer.from_pretrained()


@pytest.fixture(scope="session")
def serves(recognizer: Recognizer) -> Serves:
    """Servers of their own settings; a context manager of a client, whose `service` it is."""

    @contextmanager
    def serve(**settings: Any) -> Iterator[TestClient]:
        service = Service(recognizer, ServerConfig(**settings), "ctcbias", "english")
        with TestClient(make_app(service), raise_server_exceptions=False) as client:
            client.service = service  # type: ignore[attr-defined]
            yield client

    return serve


@pytest.fixture(scope="session")
def client(serves: Serves) -> Iterator[TestClient]:
    with serves() as one:
        yield one


@pytest.fixture(scope="session")
def runs(recognizer: Recognizer) -> Serves:
    """Servers on ports of their own; a context manager of the service and the port."""

    @contextmanager
    def run(**settings: Any) -> Iterator[tuple[Service, int]]:
        service = Service(recognizer, ServerConfig(**settings), "ctcbias", "english")
        with listen("127.0.0.1", 0) as socket:
            server = Server(service)
            thread = Thread(target=server.run, kwargs={"sockets": [socket]})
            socket.listen()
            thread.start()
            try:
                yield service, socket.getsockname()[1]
            finally:
                server.handle_exit(signal.SIGTERM, None)
                thread.join(60)
                assert not thread.is_alive()

    return run

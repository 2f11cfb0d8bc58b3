"""A server of the embedded model, in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

pytest.importorskip("starlette", reason="the extra serve is not installed")

from starlette.testclient import TestClient

from ctcbias_fst import Recognizer
from ctcbias_fst.server.app import make_app
from ctcbias_fst.server.config import ServerConfig
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

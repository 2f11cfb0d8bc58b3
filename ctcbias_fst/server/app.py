"""The server as an application of ASGI."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from ctcbias_fst import __version__
from ctcbias_fst.server import (
    explanations,
    list_routes,
    names_check,
    page,
    realtime_socket,
    stream_socket,
    transcriptions,
    vosk_socket,
)
from ctcbias_fst.server.access import OPEN, BodyLimit, HostCheck, KeyCheck, OriginCheck
from ctcbias_fst.server.api_errors import ApiError, failed, gone, no_such_thing, refused
from ctcbias_fst.server.json_response import JsonResponse
from ctcbias_fst.server.metrics import OPENMETRICS
from ctcbias_fst.server.service import Service
from ctcbias_fst.server.watch import Watch

_CLOSE_SECONDS = 5.0
"""What is still in work when all clients have been answered is of clients that have gone."""

_SMALL = 1_000_000
"""Bytes of a request that stores nothing and has no recording; and of what is beside one."""


def make_app(service: Service, close_seconds: float = _CLOSE_SECONDS) -> Starlette:
    """Make the application.

    Args:
        service: what it serves; closed when it stops.
        close_seconds: how long what was taken may take then.
    """
    config = service.config

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        del app
        yield
        await service.close(close_seconds)

    limits = [
        ("/v1/audio", round(config.max_megabytes * 1e6) + _SMALL),
        ("/v1/lists", round(config.max_list_megabytes * 1e6)),
        ("/", _SMALL),
    ]
    routes = routes_of(service)
    ours = [Middleware(HostCheck, hosts=config.hosts, origins=config.origins)]
    middleware = [
        Middleware(Watch, metrics=service.metrics, routes=routes),
        *_cross_origin(config.origins),
        *(ours if config.hosts else []),
        Middleware(OriginCheck, origins=config.origins),
        Middleware(KeyCheck, keys=config.keys, public=OPEN | set(page.FILES)),
        Middleware(BodyLimit, limits=limits, seconds=config.read_seconds),
    ]
    handlers: dict[Any, Any] = {
        ApiError: refused,
        HTTPException: no_such_thing,
        ClientDisconnect: gone,
        500: failed,
    }
    return Starlette(
        routes=routes, middleware=middleware, lifespan=lifespan, exception_handlers=handlers
    )


def routes_of(service: Service) -> list[BaseRoute]:
    """All paths."""

    async def health(request: Request) -> Response:
        del request
        return JsonResponse({"status": "ok", "version": __version__})

    async def ready(request: Request) -> Response:
        del request
        waiting = service.waiting
        able = not service.closing and not service.full
        status = "ready" if able else ("stopping" if service.closing else "busy")
        return JsonResponse({"status": status, "waiting": waiting}, 200 if able else 503)

    async def metrics(request: Request) -> Response:
        del request
        service.metrics.waiting.set(service.waiting)
        if service.lists is not None:
            with suppress(ApiError):  # what cannot be read now is as it was
                service.metrics.list_entries.set(await service.lists.count_entries())
        return Response(service.metrics.text(), media_type=OPENMETRICS)

    async def models(request: Request) -> Response:
        del request
        return JsonResponse({"object": "list", "data": [_model(service)]})

    async def model(request: Request) -> Response:
        if request.path_params["name"] != service.name:
            raise ApiError(404, f"there is no such model; there is {service.name}", param="model")
        return JsonResponse(_model(service))

    return [
        Route("/health", health),
        Route("/ready", ready),
        Route("/metrics", metrics),
        Route("/v1/models", models),
        Route("/v1/models/{name:path}", model),
        *transcriptions.routes(service),
        *list_routes.routes(service),
        *stream_socket.routes(service),
        *realtime_socket.routes(service),
        *vosk_socket.routes(service),
        *explanations.routes(service),
        *names_check.routes(service),
        *page.routes(),
    ]


def _model(service: Service) -> dict[str, Any]:
    model, parts = service.recognizer.model, service.recognizer.decoder.parts
    return {
        "id": service.name,
        "object": "model",
        "created": 0,
        "owned_by": "ctcbias_fst",
        "family": model.family,
        "sampling_rate": model.sampling_rate,
        "parts": sorted(part for part, why in parts.items() if why is None),
        "idle_parts": {part: why for part, why in parts.items() if why is not None},
    }


def _cross_origin(origins: Sequence[str]) -> list[Middleware]:
    """What lets pages of other hosts use it; nothing unless it is told to."""
    if not origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=list(origins),
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            # OpenAI's package for browsers sends a dozen of its own, other ones in each version.
            allow_headers=["*"],
            expose_headers=["X-Warnings", "ETag", "Retry-After"],
        )
    ]

"""``/v1/lists``: lists of names that clients store, change and read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ctcbias_fst.server.api_errors import ApiError
from ctcbias_fst.server.json_response import JsonResponse
from ctcbias_fst.server.list_bodies import Body, Rows
from ctcbias_fst.server.list_store import ListRow
from ctcbias_fst.server.numbers import counted
from ctcbias_fst.server.service import Service, stopping
from ctcbias_fst.server.stored_lists import Condition, StoredLists, Written
from ctcbias_fst.text.text_files import quoted

PATH = "/v1/lists"

_MOST_NAMED = 100
"""Entries without effect that a response names."""

_DIGITS = 18
"""Of a version, at most."""

_PAGE = 1000
"""Lists that a response tells of."""


def routes(service: Service) -> list[Route]:
    """The paths of lists; they tell so where none are stored."""

    async def overview(request: Request) -> Response:
        return JsonResponse(await _overview(_lists(service), request))

    async def one(request: Request) -> Response:
        if request.query_params:
            key = next(iter(request.query_params))
            raise ApiError(400, f"{quoted(key)} is not known: the latest version alone is kept")
        return await _METHODS[request.method](service, _lists(service), request)

    return [
        Route(PATH, overview, methods=["GET"]),
        # What is below it has no slash, which is told better than that there is no such path.
        Route(f"{PATH}/{{id:path}}", one, methods=["GET", "PUT", "PATCH", "DELETE"]),
    ]


def _lists(service: Service) -> StoredLists:
    if service.lists is None:
        raise ApiError(404, "this server stores no lists: it was started with --no-lists")
    assert isinstance(service.lists, StoredLists)
    return service.lists


async def _overview(lists: StoredLists, request: Request) -> dict[str, Any]:
    asked = request.query_params
    unknown = [key for key in asked if key not in ("after", "limit")]
    if unknown:
        raise ApiError(400, f"{quoted(unknown[0])} is not known: after and limit are")
    limit = counted("limit", asked.get("limit", str(_PAGE)), _PAGE)
    rows = await lists.page(asked.get("after", ""), limit + 1)
    shown = rows[:limit]
    return {
        "object": "list",
        "data": [_told(row) for row in shown],
        "has_more": len(rows) > len(shown),
    }


async def _get(service: Service, lists: StoredLists, request: Request) -> Response:
    del service
    list_id = request.path_params["id"]
    async with lists.place():
        row, entries = await lists.read(list_id)
        return await lists.aside(_response, row, entries)


def _response(row: ListRow, entries: Rows) -> Response:
    return JsonResponse({**_told(row), "entities": entries}, 200, _tag(row))


async def _put(service: Service, lists: StoredLists, request: Request) -> Response:
    return await _write(lists.put, service, lists, request)


async def _patch(service: Service, lists: StoredLists, request: Request) -> Response:
    return await _write(lists.patch, service, lists, request)


async def _write(
    write: Callable[[str, Body, Condition], Awaitable[Written]],
    service: Service,
    lists: StoredLists,
    request: Request,
) -> Response:
    async with lists.place():  # before its body, which may be as long as memory has room for few
        body = await _body(service, request)
        return _after(await write(body.list_id, body, _condition(request)))


async def _delete(service: Service, lists: StoredLists, request: Request) -> Response:
    if service.closing:
        raise stopping()
    await lists.delete(request.path_params["id"], _condition(request))
    return Response(status_code=204)


_METHODS: dict[str, Callable[[Service, StoredLists, Request], Awaitable[Response]]] = {
    "GET": _get,
    "HEAD": _get,
    "PUT": _put,
    "PATCH": _patch,
    "DELETE": _delete,
}


async def _body(service: Service, request: Request) -> Body:
    if service.closing:
        raise stopping()
    content = await request.body()
    return Body(
        content,
        request.headers.get("content-type", ""),
        request.headers.get("content-encoding", "").strip().lower(),
        request.path_params["id"],
        round(service.config.max_list_megabytes * 1e6),
        service.config.max_list_names,
    )


def _condition(request: Request) -> Condition:
    """Of a request's headers.

    Raises:
        ApiError: one is not understood.
    """
    absent = request.headers.get("if-none-match")
    if absent not in (None, "*"):
        raise ApiError(400, f"If-None-Match is * where a list is written, not {quoted(absent)}")
    matches = request.headers.get("if-match")
    if matches is None or matches.strip() == "*":
        return Condition(None, present=matches is not None, absent=absent is not None)
    # A proxy that packs what was read marks its tag as weak.
    tags = [tag.strip().removeprefix("W/").strip('"') for tag in matches.split(",")]
    if not all(tag.isascii() and tag.isdecimal() for tag in tags):
        raise ApiError(400, f'If-Match is a version, such as "3", or *, not {quoted(matches)}')
    # A number of so many digits is of no version; Python reads none of thousands.
    versions = frozenset(int(tag) for tag in tags if len(tag) <= _DIGITS)
    return Condition(versions, absent=absent is not None)


def _after(written: Written) -> Response:
    row, entities = written.row, written.entities
    left = entities.rejected
    warnings = [f"{row.id}: {note}" for note in entities.notes]
    warnings += written.warnings
    if not row.entries:
        warnings.append(f"{row.id}: there is no name in it")
    if len(left) > _MOST_NAMED:
        warnings.append(f"{row.id}: {len(left) - _MOST_NAMED} more have no effect")
    content = {
        **_told(row),
        "without_effect": [
            {entities.unit: line, "text": text, "reason": reason}
            for line, text, reason in left[:_MOST_NAMED]
        ],
        "warnings": warnings,
    }
    return JsonResponse(content, 201 if written.is_new else 200, _tag(row))


def _told(row: ListRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "version": row.version,
        "entries": row.entries,
        "created": row.created,
        "updated": row.updated,
    }


def _tag(row: ListRow) -> dict[str, str]:
    return {"ETag": f'"{row.version}"'}

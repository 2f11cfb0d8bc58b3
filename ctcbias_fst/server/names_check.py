"""``POST /v1/names/check``: which entries of a list have an effect, as its user types it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ctcbias_fst.errors import EntityListError
from ctcbias_fst.server.api_errors import ApiError
from ctcbias_fst.server.idle_fields import unknown_fields
from ctcbias_fst.server.json_response import JsonResponse
from ctcbias_fst.server.service import Service
from ctcbias_fst.text.checked_entities import check_entities
from ctcbias_fst.text.entities import entities_from_rows
from ctcbias_fst.text.list_formats import read_list
from ctcbias_fst.text.text_files import Held, parse_json, quoted

PATH = "/v1/names/check"

_SOURCE = "names"
"""What a list is called in messages."""


def routes(service: Service) -> list[Route]:
    """The path of lists that are looked at only: nothing is compiled or stored."""

    async def check(request: Request) -> Response:
        query = [f"?{key}" for key in request.query_params]
        found = await service.aside(_checked, service, await request.body(), query)
        return JsonResponse(found)

    return [Route(PATH, check, methods=["POST"])]


def _checked(service: Service, body: bytes, query: Sequence[str]) -> dict[str, Any]:
    """What is to be told of the list in a request, and of fields in its address.

    Raises:
        EntityListError: it is malformed.
    """
    content = _content_of(body)
    rows = read_list(Held(_SOURCE, content["text"].encode("utf-8", "replace")))
    recognizer = service.recognizer
    found = entities_from_rows(rows, _SOURCE)
    found = check_entities(found, recognizer.model.tokenizer, recognizer.config.spoken_forms)
    return {
        "names": len(found),
        "entries": list(rows.rows),
        "unit": found.unit,
        "rejected": [
            {"line": line, "text": text, "reason": reason} for line, text, reason in found.rejected
        ],
        "notes": list(found.notes),
        "warnings": list(unknown_fields([*content, *query], {"text"})),
    }


def _content_of(body: bytes) -> dict[str, Any]:
    content = parse_json(body.decode("utf-8", "replace"), "the request", EntityListError)
    if not isinstance(content, dict) or not isinstance(content.get("text"), str):
        raise ApiError(
            400, f'send {{"text": "a list of names"}}, not {quoted(content)}', param="text"
        )
    return content

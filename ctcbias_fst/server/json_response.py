"""Responses in JSON in which letters stay letters, and nothing is written that JSON has not."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from ctcbias_fst.text.printable import json_text


class JsonResponse(Response):
    """A value as JSON, as all outputs of the package are."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """The bytes."""
        return json_text(content).encode("utf-8")

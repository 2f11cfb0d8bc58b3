"""Errors as clients of OpenAI's interface know them: ``{"error": {"message", "type", ...}}``."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator, Mapping

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from ctcbias_fst.errors import CtcbiasError, InputError
from ctcbias_fst.server.json_response import JsonResponse
from ctcbias_fst.text.printable import one_line

_log = logging.getLogger(__name__)

_SHORT = frozenset(
    {
        *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE, errno.ENOMEM),
        *(errno.EIO, errno.EROFS),
    }
)
"""What the machine is short of, whatever is asked for."""

_OWN = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)
"""A client names no file of the server's."""

_KINDS = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}


class ApiError(Exception):
    """What a request is refused with.

    Args:
        status: of HTTP.
        message: one line: what is wrong, where, and what to do.
        param: the field that it is about.
        code: for programs.
        headers: of the response, beside the usual ones.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code
        self.headers = dict(headers or {})

    @classmethod
    def of(cls, error: Exception, param: str | None = None) -> ApiError:
        """What an error of the package means to a client; it is no other kind of error.

        What has failed in the server is told to its log, not to clients.
        """
        if isinstance(error, ApiError):
            return error
        assert isinstance(error, CtcbiasError)
        causes = list(_causes(error))
        if any(map(_is_short, causes)):
            return short(error)
        if isinstance(error, InputError) and not any(isinstance(one, _OWN) for one in causes):
            return cls(400, one_line(str(error)), param=param)
        _log.error("a request has failed", exc_info=error)
        return failure()

    @property
    def content(self) -> dict[str, dict[str, str | None]]:
        """What the client is told."""
        kind = _KINDS.get(self.status)
        if kind is None:
            kind = "invalid_request_error" if self.status < 500 else "server_error"
        message = one_line(self.message)
        return {"error": {"message": message, "type": kind, "param": self.param, "code": self.code}}

    def response(self) -> Response:
        """The same over HTTP."""
        return JsonResponse(self.content, self.status, self.headers)


def _is_short(cause: BaseException) -> bool:
    return isinstance(cause, MemoryError) or getattr(cause, "errno", None) in _SHORT


def _causes(error: BaseException) -> Iterator[BaseException]:
    """What an error came from, one behind the other, also where ``from None`` hides it."""
    cause = error.__cause__ or error.__context__
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


async def refused(request: Request, error: Exception) -> Response:
    """The response to a request that is refused."""
    del request
    assert isinstance(error, ApiError)
    return error.response()


async def no_such_thing(request: Request, error: Exception) -> Response:
    """The response to a path that there is not, and to what a library refuses."""
    assert isinstance(error, HTTPException)
    message = error.detail
    if error.status_code == 404:
        message = f"{request.url.path}: there is no such path"
    if error.status_code == 405:
        message = f"{request.url.path} takes no {request.method}"
    return ApiError(error.status_code, message, headers=error.headers).response()


def short(error: Exception) -> ApiError:
    """What is told where the machine has no room."""
    _log.error("a request was refused", exc_info=error)
    return ApiError(503, "the server is short of memory, disk or files: try again later")


def failure() -> ApiError:
    """What is told where the server itself has failed."""
    return ApiError(500, "the server has failed on this request; its log has why")


async def failed(request: Request, error: Exception) -> Response:
    """The response where the server itself has failed; the log has why."""
    del request, error
    return failure().response()


async def gone(request: Request, error: Exception) -> Response:
    """What is counted, and told nobody, where the client has gone while its request was read."""
    del request, error
    return ApiError(499, "the client has gone", code="client_gone").response()

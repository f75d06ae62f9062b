"""Errors as OpenAI shapes them: `{"error": {"message", "type", "param", "code"}}`.

A message says what to do and quotes nothing of what the client sent.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from pydantic_core import ErrorDetails, to_json
from starlette.exceptions import HTTPException
from starlette.responses import Response

from groundswell.common.errors import Overloaded, Rejected, Unavailable

INVALID = "invalid_request_error"
_FIELD = re.compile(r"[a-z][a-z0-9_]*")
_UNION_TAGS = frozenset({"str", "int", "float", "bool", "none"})

log = structlog.get_logger(__name__)


class JsonResponse(Response):
    """Any JSON-like value, dates included."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return to_json(content)


class ApiError(Exception):
    """Answered as it stands. `message` is for the client."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = INVALID,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code}}

    def response(self) -> JsonResponse:
        return JsonResponse(self.body, self.status, self.headers)


def bad_request(message: str, param: str | None = None, code: str | None = None) -> ApiError:
    return ApiError(400, message, param=param, code=code)


def not_found(message: str, param: str | None = None, code: str = "not_found") -> ApiError:
    return ApiError(404, message, param=param, code=code)


def invalid_body(error: ValidationError) -> ApiError:
    """The first field that is wrong, by name, and what it should be."""
    first, *others = error.errors(include_url=False, include_input=False)
    if first["type"] == "json_invalid":
        place = re.search(r"line \d+ column \d+", first["msg"])
        return bad_request(f"The body is not valid JSON{f' ({place[0]})' if place else ''}.", code="invalid_json")
    param = _param(first)
    if not param:
        return bad_request("The body must be a JSON object.")
    expected = dict.fromkeys(_expected(problem) for problem in (first, *others) if _param(problem) == param)
    return bad_request(f"{param}: {', or '.join(expected)}.", param=param)


def install(app: FastAPI) -> None:
    """Answer every error that a route raises."""
    app.add_exception_handler(ApiError, _api_error)
    app.add_exception_handler(Overloaded, _overloaded)
    app.add_exception_handler(Rejected, _rejected)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid_parameters)


def internal_error() -> JsonResponse:
    """For what should not have happened; the details are in the log."""
    return ApiError(
        500,
        "Something went wrong here; your request was not at fault. Try again; if it stays, tell your operator.",
        kind="server_error",
        code="internal_error",
    ).response()


def cut_off() -> JsonResponse:
    """For a request whose replica stops before it has an answer; what was accepted is carried on by another one."""
    return ApiError(
        503,
        "This part of the platform stops. Ask again, with the same Idempotency-Key if you gave one.",
        kind="service_unavailable_error",
        code="component_unavailable",
        headers={"retry-after": "1"},
    ).response()


async def _api_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)  # noqa: S101 - registered for this type
    return error.response()


async def _overloaded(_request: Request, error: Exception) -> Response:
    """A component that is away is 503; no room is 429 and never a server error."""
    assert isinstance(error, Overloaded)  # noqa: S101 - registered for this type
    log.warning("request turned away", reason=error.reason)
    wait_s = max(1, math.ceil(error.retry_after_s))
    headers = {"retry-after": str(wait_s), "retry-after-ms": str(max(1, math.ceil(error.retry_after_s * 1000)))}
    nothing = f"This call began nothing. Try again in {wait_s} s."
    if isinstance(error, Unavailable):
        message, kind, code = "A part of the platform is away", "service_unavailable_error", "component_unavailable"
        return ApiError(503, f"{message}. {nothing}", kind=kind, code=code, headers=headers).response()
    message, kind, code = "There is no room at present", "rate_limit_error", "rate_limit_exceeded"
    return ApiError(429, f"{message}. {nothing}", kind=kind, code=code, headers=headers).response()


async def _rejected(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Rejected)  # noqa: S101 - registered for this type
    return bad_request(f"This cannot be taken: {error.reason}.").response()


async def _http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this type
    if error.status_code == 404:  # noqa: PLR2004 - HTTP's number
        return not_found("There is nothing at this address. The API is under /v1.").response()
    if error.status_code == 405:  # noqa: PLR2004 - HTTP's number
        allowed = (error.headers or {}).get("allow", "")
        return ApiError(
            405, f"Use {allowed or 'another method'} here.", code="method_not_allowed", headers=error.headers
        ).response()
    return ApiError(error.status_code, "This request cannot be taken.", headers=error.headers).response()


async def _invalid_parameters(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this type
    first = error.errors()[0]
    name = str(first["loc"][-1])
    return bad_request(f"{name}: {_expected(first)}.", param=name).response()


def _param(problem: ErrorDetails) -> str:
    """`messages[0].role`, without the branches of unions and without names that the client made up."""
    path: Sequence[int | str] = problem["loc"]
    if problem["type"] == "extra_forbidden":
        path = path[:-1]
    parts = [
        f"[{part}]" if isinstance(part, int) else f".{part}"
        for part in path
        if isinstance(part, int) or (part not in _UNION_TAGS and _FIELD.fullmatch(part))
    ]
    return "".join(parts).removeprefix(".")


def _expected(problem: ErrorDetails | Mapping[str, Any]) -> str:
    if problem["type"] == "extra_forbidden":
        return "it has a field that is not known here"
    if problem["type"] == "missing":
        return "it is required"
    message = str(problem["msg"])
    return message[:1].lower() + message[1:]

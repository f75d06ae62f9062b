"""Around every HTTP request: one span, one histogram, one log record, and an answer also to what nobody caught."""

import asyncio
import time
from collections.abc import MutableMapping
from pathlib import PurePath
from traceback import extract_tb
from typing import Any

import structlog
from opentelemetry.trace import Span, SpanKind
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from groundswell.common.telemetry import names
from groundswell.common.telemetry.names import Attribute
from groundswell.common.telemetry.tracing import current_carrier, span
from groundswell.orchestrator.adapters.http_errors import cut_off, internal_error

CLIENT_CLOSED_REQUEST = 499
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_QUIET = frozenset({"/healthz", "/readyz"})

log = structlog.get_logger(__name__)


class Observed:
    """ASGI middleware. The span is current in the route, so that what it publishes belongs to the same trace."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with span(f"HTTP {_method(scope)}", SpanKind.SERVER, carrier=_carrier(scope)) as current:
            await _Exchange(scope, send, current).run(self._app, receive)


class _Exchange:
    def __init__(self, scope: Scope, send: Send, current: Span) -> None:
        self._scope = scope
        self._send = send
        self._span = current
        self._trace = current_carrier().get("traceparent")
        self._status: int | None = None
        self._began = time.monotonic()

    async def run(self, app: ASGIApp, receive: Receive) -> None:
        try:
            await app(self._scope, receive, self._forward)
        except ClientDisconnect:
            self._status = CLIENT_CLOSED_REQUEST
        except asyncio.CancelledError:
            # The process has drained for as long as it may. Left to the server, this would be its plain 500.
            if self._status is None:
                await cut_off()(self._scope, receive, self._forward)
            raise
        except Exception as error:  # noqa: BLE001 - the last place that can still answer
            await self._broke_off(error, receive)
        finally:
            self._tell()

    async def _forward(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            if self._trace:
                message["headers"] = [*message.get("headers", ()), (b"traceparent", self._trace.encode())]
        await self._send(message)

    async def _broke_off(self, error: Exception, receive: Receive) -> None:
        # Never the error's message: it may quote what was sent.
        where = [f"{PurePath(frame.filename).name}:{frame.lineno}" for frame in extract_tb(error.__traceback__)[-5:]]
        log.error("http request broke off", error=type(error).__name__, where=where)
        if self._status is None:
            await internal_error()(self._scope, receive, self._forward)

    def _tell(self) -> None:
        seconds = time.monotonic() - self._began
        method, route, status = _method(self._scope), _route(self._scope), self._status or CLIENT_CLOSED_REQUEST
        self._span.update_name(f"{method} {route}")
        self._span.set_attributes(
            {Attribute.HTTP_METHOD: method, Attribute.HTTP_ROUTE: route, Attribute.HTTP_STATUS: status},
        )
        names.HTTP_SECONDS.labels(method, route, str(status)).observe(seconds)
        if route not in _QUIET:
            log.info("http request", method=method, route=route, status=status, seconds=round(seconds, 4))


def _method(scope: MutableMapping[str, Any]) -> str:
    method = str(scope["method"])
    return method if method in _METHODS else "OTHER"


def _route(scope: MutableMapping[str, Any]) -> str:
    """The template, not the path: paths carry ids."""
    return getattr(scope.get("route"), "path", None) or "unmatched"


def _carrier(scope: MutableMapping[str, Any]) -> dict[str, str]:
    """Of the client's headers only the trace: its baggage stays outside."""
    wanted = (b"traceparent", b"tracestate")
    return {name.decode(): value.decode("latin-1") for name, value in scope["headers"] if name in wanted}

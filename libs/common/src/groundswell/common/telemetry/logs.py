"""Structured logs: one JSON object a line on standard error.

They carry ids, never a prompt, a document or an answer. So of an exception they carry its type and where it was raised;
its message only where such text cannot be in it.
"""

import logging
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar, Token
from dataclasses import dataclass
from types import MappingProxyType

import structlog

from groundswell.common.errors import GroundswellError
from groundswell.common.telemetry.tracing import current_trace_id

_WHILE_KAFKA_STARTS = ("Unable connect to", "Group Coordinator Request failed", "NotLeaderForPartitionError")
"""What its client repeats ten times a second while the broker comes up; the process says once what it waits for."""

Event = structlog.typing.EventDict
# One variable for all, where structlog's contextvars have one for each field: it is set for every message.
_fields: ContextVar[Mapping[str, str | int]] = ContextVar("groundswell-log-fields", default=MappingProxyType({}))
QUOTES_NOTHING = (GroundswellError, ConnectionError, ImportError, AttributeError, TypeError, NotImplementedError)


def configure_logging(service: str, level: str) -> None:
    """Send our own and the libraries' records through one JSON renderer."""
    shared: list[structlog.typing.Processor] = [
        _add_fields,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_trace,
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _exception_without_values,
                structlog.processors.JSONRenderer(),
            ],
        ),
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    for library in ("aiokafka", "httpx", "httpcore", "faststream", "uvicorn.access", "opentelemetry"):
        logging.getLogger(library).setLevel(logging.WARNING)
    handler.addFilter(_without_repetition)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    bind_log(service=service)


@dataclass(slots=True)
class LogContext(AbstractContextManager[None]):
    """See `log_context`."""

    fields: Mapping[str, str | int]
    token: Token[Mapping[str, str | int]] | None = None

    def __enter__(self) -> None:
        self.token = _fields.set({**_fields.get(), **self.fields})

    def __exit__(self, *_: object) -> None:
        if self.token is not None:
            _fields.reset(self.token)


def bind_log(**fields: str | int) -> None:
    """Every record of this task carries `fields` from now on."""
    _fields.set({**_fields.get(), **fields})


def log_context(**fields: str | int) -> LogContext:
    """Every record inside carries `fields`."""
    return LogContext(fields)


def _without_repetition(record: logging.LogRecord) -> bool:
    return not (
        record.name.startswith("aiokafka") and any(phrase in record.getMessage() for phrase in _WHILE_KAFKA_STARTS)
    )


def _add_fields(_logger: object, _method: str, event: Event) -> Event:
    return {**_fields.get(), **event}


def _add_trace(_logger: object, _method: str, event: Event) -> Event:
    trace_id = current_trace_id()
    if trace_id:
        event["trace_id"] = trace_id
    return event


def _exception_without_values(_logger: object, _method: str, event: Event) -> Event:
    info = event.pop("exc_info", None)
    error = sys.exc_info()[1] if info is True else info[1] if isinstance(info, tuple) else info
    if isinstance(error, BaseException):
        event["exception"] = "\n".join(_story(error))
    return event


def _story(error: BaseException) -> Iterator[str]:
    """The causes first, as Python tells them: frames, then type, then the message if it quotes nothing."""
    earlier = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if earlier is not None:
        yield from _story(earlier)
    yield from (line.rstrip() for line in traceback.format_tb(error.__traceback__))
    message = f": {error}" if isinstance(error, QUOTES_NOTHING) else ""
    yield f"{type(error).__module__}.{type(error).__qualname__}{message}"
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _story(inner)

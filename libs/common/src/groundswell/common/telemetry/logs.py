"""Structured logs: one JSON object a line on standard error. They carry ids, never a prompt, a document or an answer."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from groundswell.common.telemetry.tracing import current_trace_id

Event = structlog.typing.EventDict


def configure_logging(service: str, level: str) -> None:
    """Send our own and the libraries' records through one JSON renderer."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
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
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(),
            ],
        ),
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    for library in ("aiokafka", "httpx", "httpcore", "faststream", "uvicorn.access", "opentelemetry"):
        logging.getLogger(library).setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)


@contextmanager
def log_context(**fields: str | int) -> Iterator[None]:
    """Every record inside carries `fields`."""
    with structlog.contextvars.bound_contextvars(**fields):
        yield


def _add_trace(_logger: object, _method: str, event: Event) -> Event:
    trace_id = current_trace_id()
    if trace_id:
        event["trace_id"] = trace_id
    return event

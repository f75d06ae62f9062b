"""Logs: one JSON object a line, with ids, and without what documents or people say."""

import io
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from opentelemetry.sdk.trace import TracerProvider

from groundswell.common.errors import Rejected
from groundswell.common.telemetry.logs import configure_logging, log_context
from groundswell.common.telemetry.names import ALLOWED_LABELS, _counter

SECRET = "the text of a document"


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Logs as they are written; the loggers of the process are as before afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with log_context():
        configure_logging("bench", "INFO")
        structlog.configure(cache_logger_on_first_use=False)
        yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_record_is_one_line_of_json_with_service_level_and_time(lines: Any) -> None:
    structlog.get_logger("x").info("waiting", what="kafka\nand more")
    (entry,) = lines()
    assert (entry["event"], entry["level"], entry["service"]) == ("waiting", "info", "bench")
    assert entry["what"] == "kafka\nand more"
    assert entry["timestamp"].endswith("Z")


def test_records_of_libraries_look_the_same(lines: Any) -> None:
    logging.getLogger("somebody").warning("lost %s", "a connection")
    logging.getLogger("aiokafka").info("chatter")
    (entry,) = lines()
    assert (entry["event"], entry["level"], entry["service"]) == ("lost a connection", "warning", "bench")


def test_what_kafkas_client_repeats_while_the_broker_starts_is_left_out(lines: Any) -> None:
    logging.getLogger("aiokafka.conn").error("Unable connect to %r: refused", "127.0.0.1:1")
    logging.getLogger("somebody").error("Unable connect to the printer")
    logging.getLogger("aiokafka.consumer").error("Heartbeat failed")
    assert [entry["event"] for entry in lines()] == ["Unable connect to the printer", "Heartbeat failed"]


def test_records_inside_belong_to_the_message(lines: Any) -> None:
    log = structlog.get_logger("x")
    with log_context(correlation_id="req_1", tenant="red"):
        log.info("inside")
    log.info("outside")
    inside, outside = lines()
    assert (inside["correlation_id"], inside["tenant"]) == ("req_1", "red")
    assert "tenant" not in outside


def test_a_record_in_a_trace_says_which(lines: Any) -> None:
    with TracerProvider().get_tracer("x").start_as_current_span("work") as current:
        structlog.get_logger("x").info("inside")
    (entry,) = lines()
    assert entry["trace_id"] == f"{current.get_span_context().trace_id:032x}"


def fail() -> None:
    try:
        dict[str, str]()[SECRET]
    except KeyError as cause:
        raise ValueError(SECRET) from cause


def test_an_exception_is_told_by_type_and_place_and_never_by_its_text(lines: Any) -> None:
    try:
        fail()
    except ValueError:
        structlog.get_logger("x").exception("handler failed")
    (entry,) = lines()
    assert SECRET not in json.dumps(entry)
    assert "in fail" in entry["exception"]
    assert entry["exception"].index("builtins.KeyError") < entry["exception"].index("builtins.ValueError")


def test_an_exception_in_a_library_is_told_the_same_way(lines: Any) -> None:
    try:
        fail()
    except ValueError:
        logging.getLogger("somebody").exception("broken")
    (entry,) = lines()
    assert SECRET not in json.dumps(entry)
    assert "builtins.ValueError" in entry["exception"]


def test_our_own_reasons_quote_nothing_and_are_told(lines: Any) -> None:
    structlog.get_logger("x").error("broken", exc_info=Rejected("no such model"))
    (entry,) = lines()
    assert entry["exception"] == "groundswell.common.errors.Rejected: no such model"


def test_errors_of_a_group_are_all_told(lines: Any) -> None:
    group = ExceptionGroup(SECRET, [ValueError(SECRET), Rejected("one")])
    structlog.get_logger("x").error("broken", exc_info=group)
    (entry,) = lines()
    assert SECRET not in json.dumps(entry)
    assert entry["exception"].splitlines() == [
        "builtins.ExceptionGroup",
        "builtins.ValueError",
        "groundswell.common.errors.Rejected: one",
    ]


def test_no_metric_has_a_label_that_names_somebody() -> None:
    assert not {"user", "tenant", "team", "key", "request", "document"} & ALLOWED_LABELS
    with pytest.raises(ValueError, match=r"\['tenant'\] are not on the allow-list"):
        _counter("made_up", "x", "tenant")

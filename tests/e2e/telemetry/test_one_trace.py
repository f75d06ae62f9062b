"""One question is one connected trace, from HTTP through every topic and back."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

HOPS = {
    ("orchestrator", "cmd.check-text.interactive.v1 publish"),
    ("moderator", "cmd.check-text.interactive.v1 process"),
    ("orchestrator", "cmd.retrieve-passages.interactive.v1 publish"),
    ("retriever", "cmd.retrieve-passages.interactive.v1 process"),
    ("orchestrator", "cmd.generate-answer.interactive.v1 publish"),
    ("generator", "cmd.generate-answer.interactive.v1 process"),
    ("generator", "rpl.orchestrator.v1 publish"),
    ("retriever", "rpl.orchestrator.v1 publish"),
    ("moderator", "rpl.orchestrator.v1 publish"),
    ("orchestrator", "rpl.orchestrator.v1 process"),
    ("orchestrator", "evt.answer-stream.v1 publish"),
}


def test_a_question_is_one_connected_trace_through_every_topic(
    stack: Any, tmp_path: Path, wait_until: Callable[..., Any]
) -> None:
    key = stack.key_for("traced")
    (tmp_path / "guide.md").write_text("# Guide\n\nThe lighthouse was built in 1890.\n", encoding="utf-8")
    stack.cli("ingest", str(tmp_path), key=key)
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    with stack.http(key) as http:
        answer = http.post(
            "/v1/chat/completions",
            json={"model": "docs-qa", "messages": [{"role": "user", "content": "When was the lighthouse built?"}]},
            headers={"traceparent": f"00-{trace_id}-00f067aa0ba902b7-01"},
        )
    assert "1890" in answer.text

    def of_this_trace() -> list[Any]:
        return [span for span in stack.collector.spans if span.trace_id == trace_id]

    def orphans() -> list[Any]:
        known = {span.span_id for span in of_this_trace()} | {"00f067aa0ba902b7"}
        return [span for span in of_this_trace() if span.parent_id not in known]

    def complete() -> bool:
        return {(span.service, span.name) for span in of_this_trace()} >= HOPS

    wait_until(complete, what=f"every hop of {sorted(HOPS)}")
    # A parent may end after its child, and each process exports on its own.
    wait_until(lambda: not orphans(), what="the parent of every span")

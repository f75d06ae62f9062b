"""One upload is one connected trace, from HTTP over every topic to the event that says it is live."""

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(100)]

TRACE_ID = "7c3a1f0e9b2d4c5a8e6f70819a2b3c4d"
CALLER = "11f067aa0ba902b7"
HOPS = {
    ("orchestrator", "cmd.ingest-document.standard.v1 publish"),
    ("ingest", "cmd.ingest-document.standard.v1 process"),
    ("ingest", "cmd.embed-chunks.standard.v1 publish"),
    ("embedder", "cmd.embed-chunks.standard.v1 process"),
    ("embedder", "rpl.ingest.v1 publish"),
    ("ingest", "rpl.ingest.v1 process"),
    ("ingest", "evt.document-lifecycle.v1 publish"),
    ("orchestrator", "evt.document-lifecycle.v1 process"),
}


def test_an_upload_is_one_connected_trace_until_its_document_is_live(
    stack: Any, wait_until: Callable[..., Any]
) -> None:
    with stack.http(stack.key_for("traced-upload")) as http:
        http.post(
            "/v1/files",
            files={"file": ("pier.md", "# Pier\n\nThe pier is 300 metres long.\n")},
            data={"purpose": "assistants"},
            headers={"traceparent": f"00-{TRACE_ID}-{CALLER}-01"},
        ).raise_for_status()

    def of_this_trace() -> list[Any]:
        return [span for span in stack.collector.spans if span.trace_id == TRACE_ID]

    def orphans() -> list[Any]:
        known = {span.span_id for span in of_this_trace()} | {CALLER}
        return [span for span in of_this_trace() if span.parent_id not in known]

    def complete() -> bool:
        return {(span.service, span.name) for span in of_this_trace()} >= HOPS

    wait_until(complete, what=f"every hop of {sorted(HOPS)}")
    # A parent may end after its child, and each process exports on its own.
    wait_until(lambda: not orphans(), what="the parent of every span")

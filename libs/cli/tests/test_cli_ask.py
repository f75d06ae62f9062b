"""`groundswell ask`: text as it comes, sources, costs, and every way it can end."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from groundswell.cli.asking import citation_line, costs

CITATION: dict[str, Any] = {
    "mark": 1,
    "document": "doc_1",
    "version": 3,
    "title": "Handbook",
    "name": "guide/handbook.md",
    "section": "Setup > Linux",
    "source": "/docs",
    "updated": "2026-11-01T00:00:00Z",
    "start": 10,
    "end": 52,
    "quote": "Run the\n  installer once.",
}
ABOUT: dict[str, Any] = {
    "request_id": "req_1",
    "outcome": "completed",
    "citations": [CITATION],
    "confidence": 0.83,
    "model": {"name": "qwen2.5-0.5b", "assistant": "docs-qa", "reasons": ["the model of assistant docs-qa"]},
    "timings_ms": {"total": 2345.6, "retrieval": 45.2},
    "verdicts": [{"role": "input", "outcome": "cleared"}, {"role": "answer", "outcome": "blocked", "rule": "r"}],
}
USAGE = {"choices": [], "usage": {"prompt_tokens": 700, "completion_tokens": 12, "total_tokens": 712}}
CHAT = "/v1/chat/completions"


def chunk(text: str = "", finish: str | None = None, **more: object) -> dict[str, Any]:
    delta = {"content": text} if text else {}
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], "usage": None} | more


def answered(platform: Any, *texts: str) -> Any:
    last = chunk(finish="stop", groundswell=ABOUT)
    return platform.events(chunk(), *map(chunk, texts), last, USAGE, "[DONE]")


def test_a_question_needs_no_quotes(platform: Any, groundswell: Any) -> None:
    platform.on("POST", CHAT, answered(platform, "Yes."))
    assert groundswell("ask", "Is", "it", "so?", "--tier", "bulk").status == 0
    assert platform.asked[-1].json["messages"] == [{"role": "user", "content": "Is it so?"}]


def test_an_answer_is_followed_by_its_sources_and_what_it_cost(platform: Any, groundswell: Any) -> None:
    platform.on("POST", CHAT, answered(platform, "Run the ", "installer [1]."))
    ran = groundswell("ask", "How do I set it up?")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out == (
        "Run the installer [1].\n"
        "\nSources\n"
        "[1] Handbook (guide/handbook.md), version 3 · Setup > Linux\n"
        "    “Run the installer once.”\n"
        "\n700 tokens in, 12 out · retrieval 45 ms, total 2.3 s\n"
    )


def test_the_question_goes_to_the_assistant_in_the_tier_that_was_named(platform: Any, groundswell: Any) -> None:
    platform.on("POST", CHAT, answered(platform, "Yes."))
    groundswell("ask", "Is it?", "--assistant", "null", "--tier", "bulk")
    assert platform.asked[0].json == {
        "model": "null",
        "messages": [{"role": "user", "content": "Is it?"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "groundswell": {"tier": "bulk"},
    }


def test_explain_says_how_the_answer_came_about(platform: Any, groundswell: Any) -> None:
    platform.on("POST", CHAT, answered(platform, "Yes."))
    out = groundswell("ask", "Is it?", "--explain").out
    for told in (
        "req_1",
        "the model of assistant docs-qa",
        "0.83",
        "input: cleared",
        "rule r",
        "doc_1 [10, 52)",
        "/docs",
    ):
        assert told in out


@pytest.mark.parametrize(
    ("about", "told"),
    [
        ({"passages": 4, "timings_ms": {"retrieval": 45.2}}, "passages    4\n"),
        ({"passages": 0, "timings_ms": {"retrieval": 45.2}}, "passages    none was close enough to the question\n"),
        ({"passages": 0, "timings_ms": {"total": 45.2}}, ""),
    ],
)
def test_explain_says_how_many_passages_were_found_if_any_were_looked_for(
    platform: Any, groundswell: Any, about: Any, told: str
) -> None:
    last = chunk(finish="stop", groundswell=ABOUT | about)
    platform.on("POST", CHAT, platform.events(chunk("Yes."), last, USAGE, "[DONE]"))
    lines = groundswell("ask", "Is it?", "--explain").out.splitlines(keepends=True)
    assert "".join(line for line in lines if line.startswith("passages")) == told


def test_json_is_one_document_and_nothing_else(platform: Any, groundswell: Any) -> None:
    message = {"role": "assistant", "content": "Yes.", "refusal": None}
    whole = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "groundswell": ABOUT}
    platform.on("POST", CHAT, platform.answer(body=whole))
    ran = groundswell("ask", "Is it?", "--json")
    assert (ran.status, ran.err, ran.json) == (0, "", whole)
    assert platform.asked[0].json["stream"] is False


def test_what_a_terminal_would_obey_is_not_shown(platform: Any, groundswell: Any) -> None:
    platform.on("POST", CHAT, answered(platform, "a\x1b[2Jb\x07\u202ec\n\td"))
    assert groundswell("ask", "Is it?").out.startswith("a[2Jbc\n\td\n")


def test_a_refusal_ends_with_its_reason(platform: Any, groundswell: Any) -> None:
    last = {"choices": [{"index": 0, "delta": {"refusal": "Ask otherwise."}, "finish_reason": "content_filter"}]}
    platform.on("POST", CHAT, platform.events(chunk("Some text"), last | {"groundswell": ABOUT}, "[DONE]"))
    ran = groundswell("ask", "Is it?")
    assert (ran.status, ran.err) == (1, "error: refused: Ask otherwise (request req_1)\n")
    assert ran.out == "Some text\n"


def test_a_refusal_is_a_failure_with_json_too(platform: Any, groundswell: Any) -> None:
    message = {"role": "assistant", "content": None, "refusal": "Ask otherwise."}
    whole = {"choices": [{"index": 0, "message": message, "finish_reason": "content_filter"}]}
    platform.on("POST", CHAT, platform.answer(body=whole))
    ran = groundswell("ask", "Is it?", "--json")
    assert (ran.status, ran.out, ran.err) == (1, "", "error: refused: Ask otherwise\n")


def test_an_error_in_the_stream_ends_with_its_message(platform: Any, groundswell: Any) -> None:
    failure = {"error": {"message": "The deadline passed. Ask again.", "type": "x", "code": "y"}}
    platform.on("POST", CHAT, platform.events(chunk("Some"), failure, "[DONE]"))
    ran = groundswell("ask", "Is it?")
    assert (ran.status, ran.err) == (1, "error: The deadline passed. Ask again\n")


def test_a_stream_that_ends_early_is_a_failure(platform: Any, groundswell: Any) -> None:
    platform.on("POST", CHAT, platform.events(chunk("Some")))
    ran = groundswell("ask", "Is it?")
    assert ran.status == 1
    assert ran.err.startswith("error: the answer broke off")


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"data: {broken\n\n"])
def test_a_server_of_another_kind_is_named_as_such(platform: Any, groundswell: Any, body: bytes) -> None:
    kind = "text/event-stream" if body.startswith(b"data") else "text/html"
    platform.on("POST", CHAT, platform.answer(body=body, headers={"content-type": kind}))
    ran = groundswell("ask", "Is it?")
    assert ran.status == 1
    assert "GROUNDSWELL_URL" in ran.err


@pytest.mark.parametrize("status", [400, 408, 429, 502, 503])
def test_an_error_answer_is_one_line(platform: Any, groundswell: Any, status: int) -> None:
    platform.on("POST", CHAT, platform.refusal(status, "Something.\nDo that.", retry_after="1"))
    for arguments in (["ask", "Is it?"], ["ask", "Is it?", "--json"]):
        ran = groundswell(*arguments)
        assert (ran.status, ran.out, ran.err) == (1, "", "error: Something. Do that\n")


def test_an_empty_question_is_not_sent(platform: Any, groundswell: Any) -> None:
    ran = groundswell("ask", "  ")
    assert ran.status == 1
    assert "empty" in ran.err
    assert platform.asked == []


def test_ctrl_c_closes_the_stream_and_exits_130(home: Path) -> None:
    """The command in a process of its own, and a server that sends one word and then waits for the client to go."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        environment = os.environ | {"GROUNDSWELL_URL": address, "GROUNDSWELL_API_KEY": "k"}
        command = [sys.executable, "-m", "groundswell.cli", "ask", "Is it?"]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            server.settimeout(30)
            connection, _ = server.accept()
            with connection:
                connection.settimeout(30)
                connection.recv(65536)
                event = b'data: {"choices": [{"index": 0, "delta": {"content": "Some"}}]}\n\n'
                head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
                connection.sendall(head + event)
                assert process.stdout is not None
                assert process.stdout.read(4) == b"Some"
                process.send_signal(signal.SIGINT)
                _, err = process.communicate(timeout=30)
                while connection.recv(65536):
                    pass
    assert process.returncode == 130
    assert err == b"cancelled\n"


def test_a_citation_says_document_version_page_and_section() -> None:
    assert citation_line(2, CITATION | {"mark": None, "page": 7}).startswith(
        "[2] Handbook (guide/handbook.md), version 3, page 7"
    )
    bare = {"document": "doc_9", "version": 1, "title": "", "name": "", "section": ""}
    assert citation_line(1, bare) == "[1] doc_9, version 1"
    assert citation_line(1, bare | {"title": "a.md", "name": "a.md"}) == "[1] a.md, version 1"


def test_costs_tell_stages_in_the_order_of_the_path() -> None:
    told = costs({"prompt_tokens": 1, "completion_tokens": 2}, {"total": 9.0, "reranking": 3.0, "queue": 2.0})
    assert told == "1 tokens in, 2 out · queue 2 ms, reranking 3 ms, total 9 ms"
    assert costs({}, {}) == "? tokens in, ? out"

"""Bad input gets a clear error and loses nothing."""

from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

QUESTION = {"model": "docs-qa", "messages": [{"role": "user", "content": "How?"}]}


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"{", 400),
        (b'"\xff"', 400),
        (b"[]", 400),
        (b'{"model": "docs-qa"}', 400),
        (b'{"model": "docs-qa", "messages": []}', 400),
        (b'{"model": "docs-qa", "messages": [{"role": "user", "content": "   "}]}', 400),
        (b'{"model": "no-such-model", "messages": [{"role": "user", "content": "How?"}]}', 404),
        (b'{"model": "docs-qa", "messages": [{"role": "user", "content": "' + b"x" * 400_000 + b'"}]}', 400),
    ],
)
def test_a_question_that_cannot_be_taken_says_why(stack: Any, content: bytes, status: int) -> None:
    with stack.http() as http:
        response = http.post("/v1/chat/completions", content=content, headers={"content-type": "application/json"})
    assert response.status_code == status
    assert response.json()["error"]["message"]


def test_a_wrong_key_is_told_so_and_learns_nothing(stack: Any) -> None:
    with stack.http("gs_wrong") as http:
        response = http.post("/v1/chat/completions", json=QUESTION)
    assert response.status_code == 401
    refused = stack.cli("ask", "How?", key="gs_wrong", check=False)
    assert refused.returncode != 0
    assert len(refused.stderr.strip().splitlines()) == 1


def test_files_that_cannot_be_read_are_listed_with_reasons_and_their_neighbours_are_answered(
    stack: Any, tmp_path: Path
) -> None:
    key = stack.key_for("bad-input")
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "good.md").write_text("# Good\n\nThe tide table hangs in the harbour office.\n", encoding="utf-8")
    (docs / "latin1.txt").write_bytes("Überfahrt nach Föhr täglich".encode("latin-1"))
    (docs / "empty.md").write_bytes(b"")
    (docs / "binary.txt").write_bytes(b"\0\1\2" * 100)
    (docs / "picture.png").write_bytes(b"\x89PNG")
    done = stack.cli("ingest", str(docs), key=key, check=False)
    assert done.returncode == 1
    for name in ("latin1.txt", "empty.md", "binary.txt", "picture.png"):
        assert name in done.stdout + done.stderr
    assert "harbour" in stack.ask("Where does the tide table hang?", key)["choices"][0]["message"]["content"]

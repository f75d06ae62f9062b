"""What people write and what opens doors stays where it belongs: not in logs, environments or readable files."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(100)]

ASKED = "zanzibarquestion"
WRITTEN = "kilimanjarodocument"
BROKEN = "serengetigarbage"


@pytest.fixture
def secrets(stack: Any) -> set[str]:
    """Everything that opens a door of this stack, by its value."""
    found = {path.read_text(encoding="utf-8").strip() for path in (stack.home / "secrets").iterdir()}
    assert len(found) > 5
    return found


def holding(folder: Path, texts: set[str]) -> Iterator[tuple[Path, str]]:
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            yield from ((path, text) for text in texts if text.encode() in content)


def test_no_log_holds_a_question_a_document_an_answer_or_a_secret(
    stack: Any,
    secrets: set[str],
    ask_beside: Callable[..., Any],
    put: Callable[..., None],
    lie_on: Callable[[str], list[Any]],
    wait_until: Callable[..., Any],
) -> None:
    key = stack.key_for("private")
    file = stack.upload(f"{WRITTEN}.md", f"# Note\n\nThe {WRITTEN} lies in the drawer.\n", key)
    wait_until(lambda: stack.file_status(file, key) == "processed", what="the document is live")
    assert WRITTEN in stack.ask(f"Where is the {WRITTEN}, {ASKED}?", key)["choices"][0]["message"]["content"]
    with stack.http(key) as http:
        http.post("/v1/chat/completions", json={"model": ASKED, "messages": [{"role": ASKED, "content": ASKED}]})
        http.get(f"/v1/requests/{ASKED}")
    put("cmd.generate-answer.interactive.v1", BROKEN.encode(), [("ce_id", BROKEN.encode())])
    put("cmd.ingest-document.standard.v1", f'{{"name": "{BROKEN}"}}'.encode(), lie_on_headers(lie_on))
    client = ask_beside(f"{ASKED} " * 100, key, groundswell={"deadline_s": 8})
    wait_until(lambda: client.text, what="a stream under way")
    stack.kill("generator")
    wait_until(lambda: client.over, what="the end of the stream")

    assert list(holding(stack.home / "logs", {ASKED, WRITTEN, BROKEN, key, *secrets})) == []


def lie_on_headers(lie_on: Callable[[str], list[Any]]) -> list[tuple[str, bytes]]:
    """Of an upload: what is put with them is understood up to its body."""
    return list(lie_on("cmd.ingest-document.standard.v1")[-1].headers)


def test_no_process_shows_a_secret_to_who_lists_processes(stack: Any, secrets: set[str]) -> None:
    for record in stack.processes():
        process = psutil.Process(record.pid)
        for each in (process, *process.children(recursive=True)):
            shown = " ".join(each.cmdline())
            if not record.component:
                shown += " ".join(each.environ().values())
            assert not [secret for secret in secrets if secret in shown], record.service


def test_files_that_hold_a_secret_are_for_their_owner_alone(stack: Any, secrets: set[str]) -> None:
    for folder in ("secrets", "env", "run", "logs"):
        assert (stack.home / folder).stat().st_mode & 0o777 == 0o700, folder
    for path in [*(stack.home / "secrets").iterdir(), *(stack.home / "env").iterdir()]:
        assert path.stat().st_mode & 0o777 == 0o600, path
    ours = [path for path in stack.home.iterdir() if path.name not in {"kafka", "weaviate", "postgres", "blobs"}]
    for folder in ours:
        for path, _ in holding(folder, secrets) if folder.is_dir() else ():
            assert path.stat().st_mode & 0o077 == 0, path
    for path in (path for path in ours if path.is_file()):
        if any(secret in path.read_text(encoding="utf-8") for secret in secrets):
            assert path.stat().st_mode & 0o077 == 0, path

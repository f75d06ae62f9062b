"""The other commands, and how any of them says what is wrong."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from groundswell.cli import __main__ as entry
from groundswell.cli.invocation import command

DOCUMENT: dict[str, Any] = {
    "id": "doc_1",
    "object": "document",
    "name": "a.md",
    "source": "docs",
    "title": "A",
    "state": "live",
    "version": 2,
    "revision": 3,
    "chunks": 4,
    "sha256": "0",
    "failure": None,
    "updated_at": "2026-11-25T08:00:00Z",
}
REQUEST: dict[str, Any] = {
    "id": "req_1",
    "object": "request",
    "state": "completed",
    "model": "docs-qa",
    "tier": "interactive",
    "created_at": 1_764_000_000,
    "ended_at": 1_764_000_002,
    "error": None,
    "answer": {
        "choices": [{"message": {"content": "Yes [1].", "refusal": None}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2},
        "groundswell": {"citations": [{"mark": 1, "document": "doc_1", "version": 2, "title": "A", "quote": "It is."}]},
    },
}
KEY: dict[str, Any] = {
    "id": "key_1",
    "team": "blue",
    "groups": ["leads"],
    "operator": False,
    "name": "ci",
    "created_at": 1_764_000_000,
    "revoked_at": None,
}


@pytest.fixture
def stocked(platform: Any) -> Any:
    failed = DOCUMENT | {"id": "doc_2", "name": "b.md", "state": "failed", "version": None, "failure": "Not UTF-8."}
    platform.documents = {"doc_1": dict(DOCUMENT), "doc_2": failed}
    platform.texts = {"doc_1": "Text, as it is.\n  é".encode()}
    platform.on("GET", "/v1/requests", platform.answer(body={"object": "list", "data": [REQUEST]}))
    platform.on("GET", "/v1/requests/req_1", platform.answer(body=REQUEST))
    platform.on("POST", "/v1/requests/req_1/cancel", platform.answer(body=REQUEST | {"state": "cancelled"}))
    platform.on("GET", "/v1/keys", platform.answer(body={"object": "list", "data": [KEY]}))
    platform.on("POST", "/v1/keys", platform.answer(body=KEY | {"key": "gs_secret"}))
    platform.on("DELETE", "/v1/keys/key_1", platform.answer(body={"id": "key_1", "deleted": True}))
    return platform


def test_documents_are_listed(stocked: Any, groundswell: Any) -> None:
    ran = groundswell("documents")
    assert (ran.status, ran.err) == (0, "")
    assert [line.split()[:2] for line in ran.out.splitlines()[1:]] == [["doc_1", "a.md"], ["doc_2", "b.md"]]


def test_failed_documents_are_listed_with_their_reason(stocked: Any, groundswell: Any) -> None:
    out = groundswell("documents", "ls", "--failed").out
    assert "Not UTF-8." in out
    assert "doc_1" not in out


def test_no_documents_yet_says_what_to_do(platform: Any, groundswell: Any) -> None:
    assert f"`{command()} ingest PATH`" in groundswell("documents", "ls").out
    assert f"`{command()} documents ls`" in groundswell("documents", "ls", "--source", "nope").out


def test_show_prints_the_text_alone_on_standard_output(stocked: Any, groundswell: Any) -> None:
    ran = groundswell("documents", "show", "doc_1")
    assert ran.out == "Text, as it is.\n  é"
    assert "version  2" in ran.err


def test_show_of_a_document_that_was_never_read_tells_why(stocked: Any, groundswell: Any) -> None:
    ran = groundswell("documents", "show", "doc_2")
    assert (ran.status, ran.out) == (0, "")
    assert "Not UTF-8." in ran.err


def test_removed_documents_are_gone(stocked: Any, groundswell: Any) -> None:
    assert groundswell("documents", "rm", "doc_1", "doc_2").out == "removed doc_1\nremoved doc_2\n"
    assert stocked.documents == {}


@pytest.mark.parametrize("identifier", ["doc_9", "../keys", "a b", "?x=1", ""])
def test_an_unknown_document_is_one_line_that_says_how_to_list_them(
    stocked: Any, groundswell: Any, identifier: str
) -> None:
    ran = groundswell("documents", "show", identifier)
    said = f"error: There is no such document that you may read: `{command()} documents ls` lists them\n"
    assert (ran.status, ran.out, ran.err) == (1, "", said)


def test_requests_are_listed_shown_and_cancelled(stocked: Any, groundswell: Any) -> None:
    assert "2025-11-24 16:00:00" in groundswell("requests").out
    shown = groundswell("requests", "show", "req_1").out
    assert "state    completed" in shown
    assert "Yes [1].\n\nSources\n[1] A, version 2\n    “It is.”\n\n5 tokens in, 2 out\n" in shown
    assert groundswell("requests", "cancel", "req_1").out == "req_1 is cancelled\n"


def test_a_key_is_printed_alone(stocked: Any, groundswell: Any) -> None:
    ran = groundswell("keys", "create", "--team", "blue", "--group", "leads", "--group", "all")
    assert ran.out == "gs_secret\n"
    assert stocked.sent("POST")[0].json == {"team": "blue", "groups": ["leads", "all"], "name": "", "operator": False}


def test_keys_are_listed_and_revoked(stocked: Any, groundswell: Any) -> None:
    assert "key_1" in groundswell("keys").out
    assert groundswell("keys", "revoke", "key_1").out == "revoked key_1\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["documents", "ls"],
        ["documents", "show", "doc_1"],
        ["documents", "rm", "doc_1"],
        ["requests", "ls"],
        ["requests", "show", "req_1"],
        ["requests", "cancel", "req_1"],
        ["keys", "create", "--team", "blue"],
        ["keys", "ls"],
        ["keys", "revoke", "key_1"],
        ["status"],
    ],
)
def test_json_is_one_document_and_nothing_else(stocked: Any, groundswell: Any, arguments: list[str]) -> None:
    ran = groundswell(*arguments, "--json")
    assert (ran.status, ran.err) == (0, "")
    assert isinstance(ran.json, dict)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["foo"], f"error: No such command 'foo'; see `{command()} --help`"),
        (["ask"], f"error: Missing argument 'QUESTION'; see `{command()} ask --help`"),
        (["documents", "ls", "--bad"], "error: No such option: --bad"),
        (
            ["ask", "x", "--tier", "soon"],
            "error: Invalid value for '--tier': 'soon' is not one of 'interactive', 'standard', 'bulk'",
        ),
    ],
)
def test_misuse_is_one_line_and_exits_2(groundswell: Any, arguments: list[str], said: str) -> None:
    ran = groundswell(*arguments)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith(said)
    assert ran.err.count("\n") == 1


def test_without_arguments_the_commands_are_listed(groundswell: Any) -> None:
    ran = groundswell()
    assert ran.status == 0
    listed = [line.split()[0] for line in ran.out.partition("Commands:\n")[2].splitlines()]
    assert listed == "ask ingest documents requests keys models status scale restart logs".split()  # noqa: SIM905


@pytest.mark.parametrize("group", [[], ["documents"], ["requests"], ["keys"], ["models"]])
def test_lists_of_commands_cut_no_sentence(groundswell: Any, group: list[str]) -> None:
    assert "..." not in groundswell(*group, "--help").out.partition("Commands:\n")[2]


def test_a_wrong_key_says_which_variable_to_set(
    platform: Any, groundswell: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GROUNDSWELL_API_KEY", "gs_wrong")
    ran = groundswell("documents")
    assert ran.status == 1
    assert ran.err.startswith("error: This API key is not known here: set GROUNDSWELL_API_KEY")


def test_a_key_of_a_team_is_told_which_key_is_needed_and_where_it_lies(
    platform: Any, groundswell: Any, home: Path
) -> None:
    platform.on("GET", "/v1/keys", platform.refusal(403, "Only an operator's key may do this."))
    assert groundswell("keys", "ls").err == (
        "error: Only an operator's key may do this: set GROUNDSWELL_API_KEY to an operator's key, "
        f"or unset it to use the local admin key ({home}/secrets/admin.key)\n"
    )


def test_an_answer_that_says_nothing_is_told_with_where_to_look(platform: Any, groundswell: Any) -> None:
    platform.on("GET", "/v1/keys", platform.answer(500, b""))
    said = f"error: the server answered 500 Internal Server Error: look at `{command()} status`, then try again\n"
    assert groundswell("keys", "ls").err == said


@pytest.mark.parametrize("key", ["gs_a\nb", "ключ", "gs_a b", "gs_\x7f"])
def test_a_key_that_no_header_can_carry_is_named_before_anything_is_sent(
    platform: Any, groundswell: Any, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("GROUNDSWELL_API_KEY", key)
    ran = groundswell("documents", "ls")
    assert ran.status == 1
    assert ran.err == "error: GROUNDSWELL_API_KEY has a character that no key has: copy it again, on one line\n"


def test_a_server_that_is_away_says_make_up(platform: Any, groundswell: Any, home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    (home / "ports.json").write_text(json.dumps({"http": port}), encoding="utf-8")
    ran = groundswell("documents")
    assert ran.err == f"error: no server answers at http://127.0.0.1:{port}: start it with `make up`\n"


def test_a_stack_that_was_never_started_says_make_up(groundswell: Any, home: Path) -> None:
    ran = groundswell("documents")
    assert ran.status == 1
    assert "make up" in ran.err


def test_the_local_key_never_leaves_this_machine(
    groundswell: Any, platform: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GROUNDSWELL_URL", "https://platform.example.org")
    ran = groundswell("documents")
    assert ran.err == "error: set GROUNDSWELL_API_KEY to a key of the deployment that GROUNDSWELL_URL names\n"


@pytest.mark.parametrize("url", ["platform.example.org", "ftp://x", "http://", "http://[::1"])
def test_an_address_that_is_none_is_named(groundswell: Any, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("GROUNDSWELL_URL", url)
    assert "GROUNDSWELL_URL must be an address" in groundswell("documents").err


def test_an_address_may_name_the_base_path(
    platform: Any, groundswell: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = json.loads((home / "ports.json").read_text(encoding="utf-8"))["http"]
    monkeypatch.setenv("GROUNDSWELL_URL", f"http://localhost:{port}/v1/")
    assert groundswell("documents").status == 0


def test_something_else_behind_the_address_is_told(platform: Any, groundswell: Any) -> None:
    platform.on("GET", "/v1/documents", platform.answer(body=b"<html>"))
    assert "check GROUNDSWELL_URL" in groundswell("documents").err


@pytest.mark.parametrize("number", ["-1", "x", "1.5", "999", ""])
def test_a_number_of_processes_that_cannot_be_meant_is_told(groundswell: Any, number: str) -> None:
    ran = groundswell("scale", "generator", number)
    said = f"error: N={number} is no number of processes: give a whole number from 0 to 64, such as 2\n"
    assert (ran.status, ran.err) == (1, said)


@pytest.mark.parametrize("arguments", [["scale", "generator", "2"], ["restart", "generator"], ["logs", "generator"]])
def test_the_local_stack_says_when_it_does_not_run(groundswell: Any, arguments: list[str]) -> None:
    ran = groundswell(*arguments)
    assert ran.status == 1
    assert ran.err.startswith("error: ")
    assert ran.err.count("\n") == 1


def store_command(models: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    called = [sys.executable, "-m", "groundswell.cli", "models", *arguments]
    environment = os.environ | {"GROUNDSWELL_MODELS": str(models)}
    return subprocess.run(called, env=environment, capture_output=True, check=False, timeout=50)


def test_models_are_listed_by_the_store(tmp_path: Path) -> None:
    listed = json.loads(store_command(tmp_path, "ls", "--json").stdout)
    assert "minilm" in {model["name"] for model in listed["models"]}


def test_an_unknown_model_is_a_failure(tmp_path: Path) -> None:
    ran = store_command(tmp_path, "pull", "nope")
    assert ran.returncode == 1
    assert ran.stderr.startswith(b"error: unknown model")


def test_a_second_interrupt_ends_the_command_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(entry, "run", interrupted)
    with pytest.raises(SystemExit) as ended:
        entry.main()
    assert ended.value.code == entry.INTERRUPTED

"""What is said about processes: run files, readiness, and what a person reads."""

import http.server
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.console import Console

from groundswell.native import http_get, status, tables
from groundswell.native.layout import Home
from groundswell.native.status import Record, Status
from groundswell.native.waiting import describe


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home.at(tmp_path / "home")
    home.create()
    return home


def test_a_run_file_of_a_living_process_is_read(home: Home) -> None:
    _run_file(home, "ingest", os.getpid())
    assert status.run_files(home)[os.getpid()].port == 4321


def test_files_of_the_dead_and_broken_files_are_passed_over(home: Home) -> None:
    _run_file(home, "ingest", 2**22 + 1)
    (home.run / "embedder-1.json").write_text("{")
    (home.run / "retriever-2.json").write_text('{"service": "retriever"}')
    assert status.run_files(home) == {}


@pytest.mark.parametrize(
    ("code", "body", "missing"),
    [
        (200, "{}", {}),
        (503, '{"ready": false, "missing": {"kafka": "away"}}', {"kafka": "away"}),
        (503, '{"missing": ["kafka"]}', {"readyz": "answered 503"}),
        (500, "oops", {"readyz": "answered 500"}),
        (503, '{"missing": {}}', {"readyz": "answered 503"}),
    ],
)
def test_what_a_service_lacks_is_what_its_readyz_says(code: int, body: str, missing: dict[str, str]) -> None:
    with _server(code, body) as port:
        assert status.ask_ready(port) == missing


def test_a_service_that_does_not_answer_is_not_ready() -> None:
    with _server(200, "") as port:
        pass
    assert status.ask_ready(port) == {"readyz": "does not answer (URLError)"}


def test_only_http_addresses_are_asked() -> None:
    with pytest.raises(OSError, match="not an HTTP address"):
        http_get.get("file:///etc/passwd", 1)


def test_a_stopped_stack_says_how_to_start_it(home: Home) -> None:
    now = status.status(home)
    assert not now.running
    assert not now.ready
    assert "make up" in _shown(now)


def test_a_person_reads_why_a_process_is_not_ready(home: Home) -> None:
    record = Record(
        service="retriever",
        pid=7,
        port=None,
        instance="retriever-7",
        component=False,
        ready=False,
        missing={"postgres": "away", "kafka": ""},
        rss_bytes=12_000_000,
        uptime_s=3.2,
    )
    now = Status(home=home.path, running=True, supervisor_pid=1, http="http://127.0.0.1:8080", processes=(record,))
    shown = _shown(now)
    assert "waits for postgres (away), kafka" in shown
    assert "12 MB" in shown
    assert not now.ready


def test_a_service_scaled_to_none_is_shown_with_what_brings_it_back(home: Home) -> None:
    now = Status(home=home.path, running=True, supervisor_pid=1, http=None, processes=(), stopped=("moderator",))
    assert "scaled to 0: .venv/bin/groundswell scale moderator 1" in _shown(now)
    assert not now.ready


def test_reasons_are_shown_only_where_there_are_any() -> None:
    assert describe({"kafka": "", "weaviate": "away"}) == "kafka, weaviate (away)"


def _shown(now: Status) -> str:
    console = Console(width=200, record=True, quiet=False, file=Path(os.devnull).open("w"))  # noqa: SIM115
    with console.file:
        console.print(tables.of_status(now))
        return console.export_text()


def _run_file(home: Home, service: str, pid: int) -> None:
    told = {"service": service, "pid": pid, "port": 4321, "instance": f"{service}-{pid}", "started_at": 0}
    (home.run / f"{service}-{pid}.json").write_text(json.dumps(told))


@contextmanager
def _server(code: int, body: str) -> Iterator[int]:
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(code)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None: ...

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()

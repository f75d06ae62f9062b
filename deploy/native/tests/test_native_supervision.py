"""The supervisor with small programs: what dies comes back, copies follow the number, stopping has an order."""

import os
import signal
import sys
import textwrap
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

from groundswell.native import ports, scaling, stack, supervision
from groundswell.native.control import ask, supervisor_pid
from groundswell.native.errors import NotRunningError, StackError
from groundswell.native.layout import Home
from groundswell.native.program import Program, Programs
from groundswell.native.status import pids
from groundswell.native.waiting import wait_for

pytestmark = pytest.mark.connected

T = TypeVar("T")

STAYS = """
import http.server, json, os, pathlib, signal, sys
name, home = sys.argv[1], pathlib.Path(sys.argv[2])
code = 503 if (home / "loading").exists() else 200
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(code)
        self.end_headers()
    def log_message(self, *_): pass
server = http.server.HTTPServer(("127.0.0.1", 0), Ready)
told = {"service": name, "pid": os.getpid(), "port": server.server_address[1], "instance": name}
(home / "run" / f"{name}-{os.getpid()}.json").write_text(json.dumps(told))
def leave(*_):
    with open(home / "journal", "a") as file:
        file.write(name + "\\n")
    os._exit(0)
signal.signal(signal.SIGTERM, leave)
print(name, "started", flush=True)
server.serve_forever()
"""
SERVES = """
import http.server, os, socket
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = str(os.getpid()).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
server = http.server.HTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
server.socket.close()
server.socket = socket.socket(fileno=int(os.environ["GROUNDSWELL_HTTP_FD"]))
server.socket.setblocking(True)
server.serve_forever()
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home.at(tmp_path / "home")
    home.create()
    yield home
    stack.reset(home)


def test_what_dies_comes_back(home: Home) -> None:
    _start(home, _stays("worker", home))
    first = _pids(home, "worker", 1)
    os.kill(first[0], signal.SIGKILL)
    assert _until(lambda: [pid for pid in pids(home, "worker") if pid not in first])


def test_services_stop_before_components(home: Home) -> None:
    _start(home, _stays("component", home, component=True), _stays("service", home))
    for name in ("component", "service"):
        _until_started(home, name)
    assert stack.down(home)
    assert (home.path / "journal").read_text().split() == ["service", "component"]
    assert supervisor_pid(home) is None


def test_copies_follow_the_number_and_those_that_leave_drain(home: Home) -> None:
    _start(home, _stays("worker", home))
    _until_started(home, "worker")
    assert len(_scale(home, 3)) == 3
    assert len(_scale(home, 1)) == 1
    assert (home.path / "journal").read_text().split() == ["worker", "worker"]


def test_a_service_scaled_to_none_runs_again_when_it_is_scaled_up(home: Home) -> None:
    _start(home, _stays("worker", home))
    _until_started(home, "worker")
    assert _scale(home, 0) == []
    assert stack.restart(home, "worker") == []
    assert len(_scale(home, 2)) == 2


def test_what_is_not_ready_leaves_before_what_is(home: Home) -> None:
    _start(home, _stays("worker", home))
    first = _until(lambda: _scale(home, 1))
    (home.path / "loading").touch()
    ask(home, "set", name="worker", options={"numprocesses": 3}, waiting=True)
    _until(lambda: (home.logs / "worker.log").read_text().count("started") == 3)
    assert _scale(home, 1) == first
    assert pids(home, "worker") == first


def test_a_restart_replaces_every_process(home: Home) -> None:
    _start(home, _stays("worker", home))
    before = _pids(home, "worker", 1)
    after = stack.restart(home, "worker")
    assert len(after) == 1
    assert after != before


def test_one_http_socket_is_shared_and_outlives_any_process(home: Home) -> None:
    server = _program("web", SERVES, copies=2, inherits_http=True)
    port = ports.next_free(21_000)
    supervision.start(home, Programs(programs=(server,), http_port=port))
    first = _pids(home, "web", 2)
    assert _get(port) in first
    os.kill(first[0], signal.SIGKILL)
    # the socket was never closed: every request is answered, if need be after a moment
    assert all(_get(port) for _ in range(20))
    _until(lambda: len(set(pids(home, "web"))) == 2)


def test_a_second_start_is_refused_by_the_lock(home: Home) -> None:
    _start(home, _stays("worker", home))
    pid = supervisor_pid(home)
    with pytest.raises(StackError, match="did not start"):
        supervision.launch(home)
    assert supervisor_pid(home) == pid


def test_what_a_killed_supervisor_left_is_ended_before_the_next_start(home: Home) -> None:
    _start(home, _stays("worker", home))
    orphan = _pids(home, "worker", 1)[0]
    supervisor = supervisor_pid(home)
    assert supervisor is not None
    os.kill(supervisor, signal.SIGKILL)
    _until(lambda: supervisor_pid(home) is None)
    _start(home, _stays("worker", home))
    assert not psutil.pid_exists(orphan) or psutil.Process(orphan).status() == psutil.STATUS_ZOMBIE
    assert _pids(home, "worker", 1) != [orphan]


def test_the_output_of_a_program_is_in_its_own_private_log(home: Home) -> None:
    _start(home, _stays("worker", home))
    _until_started(home, "worker")
    assert (home.logs / "worker.log").stat().st_mode & 0o077 == 0


def test_commands_to_a_stopped_stack_say_so(home: Home) -> None:
    with pytest.raises(NotRunningError, match="make up"):
        ask(home, "list")
    with pytest.raises(StackError, match="start the stack"):
        _scale(home, 2)


def test_a_wait_that_takes_too_long_names_the_log_and_its_end(home: Home) -> None:
    _start(home, _stays("worker", home))
    _until_started(home, "worker")
    with pytest.raises(StackError, match=r"worker \(deaf\)(?s:.*)worker\.log(?s:.*)worker started"):
        wait_for(lambda: {"worker": "deaf"}, home, 0.2, "Test")


def _start(home: Home, *programs: Program) -> None:
    with stack.only_one(home):
        supervision.start(home, Programs(programs=programs))


def _scale(home: Home, copies: int) -> list[int]:
    return scaling.scale(home, "worker", copies, tell=print)


def _stays(name: str, home: Home, *, component: bool = False) -> Program:
    return _program(name, STAYS, name, str(home.path), component=component)


def _program(
    name: str, code: str, *arguments: str, copies: int = 1, component: bool = False, inherits_http: bool = False
) -> Program:
    command = (sys.executable, "-c", textwrap.dedent(code), *arguments)
    return Program(name=name, command=command, env={}, copies=copies, component=component, inherits_http=inherits_http)


def _until(question: Callable[[], T]) -> T:
    """The first answer that is true, asked for at most 20 seconds; the last answer is shown when there is none."""
    deadline = time.monotonic() + 20
    while not (answer := question()):
        assert time.monotonic() < deadline, f"last answer: {answer!r}"
        time.sleep(0.02)
    return answer


def _pids(home: Home, name: str, count: int) -> list[int]:
    return _until(lambda: found if len(found := pids(home, name)) == count else [])


def _until_started(home: Home, name: str) -> None:
    log = home.logs / f"{name}.log"
    _until(lambda: log.exists() and f"{name} started" in log.read_text())


def _get(port: int) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20) as answer:
        return int(answer.read())

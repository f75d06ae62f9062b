"""The whole stack on the null model with two orchestrators, once for a session, in a home of its own.

A collector takes its traces.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import OpenAI
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from groundswell.native.control import ask as tell_supervisor
from groundswell.native.layout import Home
from groundswell.native.status import Record, status

ROOT = Path(__file__).parents[2]
PYTHON = sys.executable
START_WITHIN_S = 300
SUPERVISED_WITHIN_S = 60.0
ORCHESTRATORS = 2
"""On one socket: whatever a test asks may come to either."""
FORBIDDEN = "osprey nest forty two"
SETTINGS = {
    # A word takes as long as a token of a real model, so that there is something to interrupt.
    "GROUNDSWELL_NULL_TOKEN_DELAY_S": "0.03",
    "GROUNDSWELL_GENERATOR_HAND_BACK_AFTER_S": "1",
    # Partitions of a killed process go to another one sooner than anybody would want in production.
    "GROUNDSWELL_SESSION_S": "4",
}

SEED = int(os.environ.get("SOAK_SEED") or time.time())
ROUNDS = int(os.environ.get("SOAK_ROUNDS") or 1)


def pytest_report_header() -> str:
    return f"seeds {SEED} to {SEED + ROUNDS - 1}; again with SOAK_SEED={SEED} SOAK_ROUNDS={ROUNDS}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The seed of a test's random choices stands in its name."""
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", range(SEED, SEED + ROUNDS), ids=lambda seed: f"seed{seed}")


@dataclass(frozen=True)
class SpanRecord:
    """A span as it was exported."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str


@dataclass
class Collector:
    """Receives OTLP over HTTP on loopback."""

    spans: list[SpanRecord] = field(default_factory=list)
    port: int = 0

    def take(self, body: bytes) -> None:
        request = ExportTraceServiceRequest()
        request.ParseFromString(body)
        for resource in request.resource_spans:
            names = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.spans += [
                    SpanRecord(names["service.name"], s.name, s.trace_id.hex(), s.span_id.hex(), s.parent_span_id.hex())
                    for s in scope.spans
                ]


@dataclass(frozen=True)
class Stack:
    """A running stack and the ways to use it."""

    home: Path
    url: str
    admin_key: str
    env: dict[str, str]
    collector: Collector
    forbidden: str
    """No text that holds it is let through."""

    def cli(self, *arguments: str, key: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        env = self.env | {"GROUNDSWELL_URL": self.url, "GROUNDSWELL_API_KEY": key or self.admin_key}
        done = subprocess.run(
            [PYTHON, "-m", "groundswell.cli", *arguments],
            env=env,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"groundswell {arguments} exited {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def native(self, *arguments: str) -> str:
        return _native(self.env, *arguments)

    def http(self, key: str | None = None) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers={"authorization": f"Bearer {key or self.admin_key}"}, timeout=60)

    def openai(self, key: str | None = None) -> OpenAI:
        return OpenAI(base_url=f"{self.url}/v1", api_key=key or self.admin_key, max_retries=0, timeout=60)

    def key_for(self, team: str, *groups: str) -> str:
        with self.http() as client:
            response = client.post("/v1/keys", json={"team": team, "groups": list(groups)})
        response.raise_for_status()
        return str(response.json()["key"])

    def processes(self) -> list[Record]:
        return list(status(Home.at(self.home)).processes)

    def of(self, name: str) -> list[Record]:
        return [record for record in self.processes() if record.service == name]

    def is_ready(self, name: str, count: int = 1, *, without: Container[int] = ()) -> bool:
        """Whether exactly that many processes run and can do their work, none of them one of `without`."""
        records = self.of(name)
        return len(records) == count and all(record.ready and record.pid not in without for record in records)

    def kill(self, name: str) -> list[int]:
        """SIGKILL every process of a service or component; the supervisor starts others."""
        victims = [record.pid for record in self.of(name)]
        for victim in victims:
            os.kill(victim, signal.SIGKILL)
        return victims

    @contextmanager
    def without(self, *names: str) -> Iterator[None]:
        """Services or components that are away for as long as the block runs."""
        self._supervise("stop", *names)
        try:
            yield
        finally:
            self._supervise("start", *names)

    def metric(self, service: str, name: str) -> dict[int, float]:
        """For each process of a service, the sum of a metric over its labels."""
        return {record.pid: _summed(name, record.port) for record in self.of(service)}

    @property
    def kafka(self) -> str:
        """The address of the broker."""
        ports = json.loads((self.home / "ports.json").read_text(encoding="utf-8"))
        return f"127.0.0.1:{ports['kafka']}"

    @property
    def is_whole(self) -> bool:
        """Whether every process can do its work and a question can be answered."""
        return all(record.ready for record in self.processes()) and not self.missing()

    def missing(self) -> dict[str, str]:
        """What keeps a question from being answered, as the public port says it."""
        try:
            found: dict[str, str] = httpx.get(f"{self.url}/readyz").json()["missing"]
        except httpx.TimeoutException:  # the supervisor holds the socket while the first orchestrator starts
            return {"orchestrator": "does not answer yet"}
        return found

    def ask(self, question: str, key: str, **body: Any) -> dict[str, Any]:
        with self.http(key) as client:
            response = client.post(
                "/v1/chat/completions",
                json={"model": "docs-qa", "messages": [{"role": "user", "content": question}], **body},
            )
        response.raise_for_status()
        answer: dict[str, Any] = response.json()
        return answer

    def upload(self, name: str, text: str, key: str) -> str:
        """The id of the file."""
        with self.http(key) as client:
            response = client.post("/v1/files", files={"file": (name, text)}, data={"purpose": "assistants"})
        response.raise_for_status()
        return str(response.json()["id"])

    def file_status(self, file: str, key: str) -> str:
        """Its status, or what came instead of it."""
        with self.http(key) as client:
            response = client.get(f"/v1/files/{file}")
        return str(response.json()["status"]) if response.is_success else f"HTTP {response.status_code}"

    def _supervise(self, command: str, *names: str) -> None:
        pattern = f"^({'|'.join(names)})$"
        tell_supervisor(Home.at(self.home), command, SUPERVISED_WITHIN_S, name=pattern, match="regex", waiting=True)


@pytest.fixture(scope="session")
def collector() -> Iterator[Collector]:
    received = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.take(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    received.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield received
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[Stack]:
    home = tmp_path_factory.mktemp("stack") / "home"
    forbidden = home.with_name("forbidden.txt")
    forbidden.write_text(f"# what never leaves\n{FORBIDDEN}\n", encoding="utf-8")
    env = {name: value for name, value in os.environ.items() if not name.startswith("GROUNDSWELL_")} | {
        "GROUNDSWELL_HOME": str(home),
        "GROUNDSWELL_MODEL": "null",
        "GROUNDSWELL_HTTP_PORT": "18080",
        "GROUNDSWELL_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.port}",
        "GROUNDSWELL_FORBIDDEN_STRINGS": str(forbidden),
        **SETTINGS,
    }
    try:
        _native(env, "up")
        _native(env, "scale", "orchestrator", str(ORCHESTRATORS))
        admin_key = (home / "secrets" / "admin.key").read_text(encoding="utf-8").strip()
        yield Stack(home, str(status(Home.at(home)).http), admin_key, env, collector, FORBIDDEN)
    finally:
        # What a failed test leaves to look at; the home itself is removed.
        if (home / "logs").exists():
            shutil.copytree(home / "logs", ROOT / ".pytest_cache" / "e2e-logs", dirs_exist_ok=True)
        _native(env, "reset")


@pytest.fixture
def wait_until() -> Callable[..., Any]:
    """Waits for a condition, and prints the last value seen when it does not come."""

    def wait(probe: Callable[[], Any], *, within_s: float = 30.0, what: str = "condition", every_s: float = 0.1) -> Any:
        until = time.monotonic() + within_s
        while not (seen := probe()):
            if time.monotonic() > until:
                pytest.fail(f"{what} did not come within {within_s} s; last seen: {seen!r}")
            threading.Event().wait(every_s)
        return seen

    return wait


def _summed(name: str, port: int | None) -> float:
    response = httpx.get(f"http://127.0.0.1:{port}/metrics", follow_redirects=True)
    lines = response.raise_for_status().text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))


def _native(env: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [PYTHON, "-m", "groundswell.native", *arguments],
        env=env,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=START_WITHIN_S,
        check=False,
    )
    if done.returncode != 0:
        raise AssertionError(f"native {arguments} exited {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout

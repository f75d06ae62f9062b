"""The compliance test of a service process: what docs/specs/service.md says, checked from outside.

async def test_the_retriever_complies(components, tmp_path):
    await assert_complies(ServiceUnderTest("retriever", [sys.executable, "-m", ...], environment, tmp_path))
"""

import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundswell.common.settings import PREFIX
from groundswell.common.telemetry.names import ALLOWED_LABELS
from groundswell.common.testing.waiting import eventually

NOWHERE = "127.0.0.1:1"
ALIVE_WITHIN_S = 90.0
READY_WITHIN_S = 90.0
EXITED_WITHIN_S = 60.0
SHOWN = 8000
METRICS = ("groundswell_messages_handled", "groundswell_consumer_lag_messages", "groundswell_publish_seconds")
LABELS_OF_CLIENT = frozenset({"le", "implementation", "major", "minor", "patchlevel", "version", "generation"})


@dataclass(frozen=True)
class Answer:
    status: int
    body: str

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class ServiceUnderTest:
    """How to start a service: `environment` names the real components; `home` is a folder of the test's own."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    home: Path

    @asynccontextmanager
    async def started(self, **changes: str) -> AsyncIterator["RunningService"]:
        """Started with `changes` to its environment, empty ones unset; killed at the end if it still runs."""
        self.home.mkdir(parents=True, exist_ok=True)
        own = {f"{PREFIX}HOME": str(self.home), "PATH": os.environ.get("PATH", ""), "PYTHONUNBUFFERED": "1"}
        environment = {key: value for key, value in {**own, **self.environment, **changes}.items() if value}
        path = self.home / f"{self.name}-{secrets.token_hex(4)}.log"
        with path.open("wb") as log:
            process = subprocess.Popen(  # noqa: ASYNC220, S603 - a command of the test
                list(self.command), env=environment, stdout=log, stderr=log, cwd=self.home
            )
        running = RunningService(self, process, path)
        try:
            yield running
        except BaseException:
            sys.stdout.write(running.log()[-SHOWN:])  # pytest shows it with the failure
            raise
        finally:
            process.kill()
            await asyncio.to_thread(process.wait)


@dataclass
class RunningService:
    """A process of a service, seen from outside."""

    service: ServiceUnderTest
    process: subprocess.Popen[bytes]
    log_file: Path

    @property
    def run_file(self) -> Path:
        return self.service.home / "run" / f"{self.service.name}-{self.process.pid}.json"

    async def get(self, path: str) -> Answer:
        """The answer of its health server. Raises AssertionError while it does not listen."""
        assert self.process.poll() is None, f"it exited with {self.process.returncode}: {self.log()[-2000:]}"
        assert self.run_file.exists(), f"no run file {self.run_file.name}"
        port = json.loads(self.run_file.read_text(encoding="utf-8"))["port"]
        return await asyncio.to_thread(_get, f"http://127.0.0.1:{port}{path}")

    async def until_ready(self, within_s: float = READY_WITHIN_S) -> None:
        async def ready() -> bool:
            answer = await self.get("/readyz")
            assert answer.status == 200, answer.body
            return True

        await eventually(ready, within_s=within_s)

    async def missing(self) -> dict[str, str]:
        """What /readyz says is missing."""
        missing: dict[str, str] = (await self.get("/readyz")).json["missing"]
        return missing

    async def exited(self, within_s: float = EXITED_WITHIN_S) -> int:
        """Its exit status. Raises AssertionError if it does not exit."""

        async def gone() -> list[int]:
            status = self.process.poll()
            return [] if status is None else [status]

        (status,) = await eventually(gone, within_s=within_s)
        return status

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def log(self) -> str:
        """Everything it has written to its standard streams."""
        return self.log_file.read_text(encoding="utf-8", errors="replace")


async def assert_complies(service: ServiceUnderTest) -> None:
    """The whole of the spec. Raises AssertionError naming what does not hold."""
    await assert_refuses_a_wrong_setting(service)
    await assert_waits_for_kafka(service)
    async with service.started() as running:
        await running.until_ready()
        await assert_serves(running)
        await assert_stops(running)
    assert_logs(running.log(), service.name)


async def assert_refuses_a_wrong_setting(service: ServiceUnderTest) -> None:
    """Exits 2 with one line that names the variable."""
    async with service.started(**{f"{PREFIX}DRAIN_S": "soon"}) as running:
        assert await running.exited() == 2
    (line,) = running.log().strip().splitlines()
    assert f"{PREFIX}DRAIN_S" in line, line


async def assert_waits_for_kafka(service: ServiceUnderTest) -> None:
    """Alive at once while Kafka is away, says so, and leaves in order."""
    async with service.started(**{f"{PREFIX}KAFKA": NOWHERE}) as running:

        async def alive() -> bool:
            return (await running.get("/healthz")).status == 200

        await eventually(alive, within_s=ALIVE_WITHIN_S)
        answer = await running.get("/readyz")
        assert answer.status == 503, answer.body
        assert "kafka" in answer.json["missing"], answer.body
        running.terminate()
        assert await running.exited() == 0, running.log()[-2000:]


async def assert_serves(running: RunningService) -> None:
    """Endpoints of a ready process, and what its metrics may be called."""
    assert (await running.get("/healthz")).status == 200
    assert (await running.get("/readyz")).json == {"ready": True, "missing": {}}
    assert (await running.get("/nothing")).status == 404
    metrics = (await running.get("/metrics")).body
    for name in METRICS:
        assert name in metrics, f"no metric {name}"
    labels = {label.split("=")[0] for line in metrics.splitlines() if "{" in line for label in _labels(line)}
    assert labels <= ALLOWED_LABELS | LABELS_OF_CLIENT, labels - ALLOWED_LABELS


async def assert_stops(running: RunningService) -> None:
    """SIGTERM drains and exits 0; the run file goes."""
    run_file = running.run_file
    assert json.loads(run_file.read_text(encoding="utf-8")).keys() == {
        "service",
        "pid",
        "port",
        "api_port",
        "instance",
        "started_at",
    }
    running.terminate()
    assert await running.exited() == 0, running.log()[-2000:]
    assert not run_file.exists()


def assert_logs(log: str, service: str) -> None:
    """One JSON object a line, with level, time and the service's name."""
    for line in log.splitlines():
        entry = json.loads(line)
        assert {"event", "level", "timestamp"} <= entry.keys(), line
    assert any(json.loads(line).get("service") == service for line in log.splitlines())


def _labels(line: str) -> list[str]:
    return line[line.index("{") + 1 : line.rindex("}")].split(",")


def _get(url: str) -> Answer:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310 - loopback
            return Answer(response.status, response.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.read().decode())
    except OSError as error:
        raise AssertionError(f"{url}: {error}") from error

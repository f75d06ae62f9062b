"""Every service runs alone, started in any order and before what it needs; together they are the platform."""

import json
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(200)]

COMPONENTS = ("kafka", "weaviate", "postgres")
NEEDS = {
    "moderator": {"kafka"},
    "generator": {"kafka"},
    "retriever": {"kafka", "weaviate", "postgres"},
    "embedder": {"kafka", "weaviate"},
    "ingest": {"kafka", "postgres"},
    "orchestrator": {"kafka", "postgres"},
}


class Platform:
    """The six services, each started by `python -m groundswell.<service>` in a home of their own."""

    def __init__(self, stack: Any, home: Path) -> None:
        self._home = home
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        shutil.copytree(stack.home / "env", home / "env")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._environment = {
            **{name: value for name, value in stack.env.items() if not name.startswith("GROUNDSWELL_")},
            "GROUNDSWELL_HOME": str(home),
            "GROUNDSWELL_HTTP_PORT": str(self.port),
            "GROUNDSWELL_SESSION_S": "4",
            "OMP_NUM_THREADS": "1",
        }

    def start(self, service: str) -> None:
        with (self._home / f"{service}.log").open("wb") as log:
            self._processes[service] = subprocess.Popen(
                [sys.executable, "-m", f"groundswell.{service}"], env=self._environment, stdout=log, stderr=log
            )

    def missing(self, service: str) -> dict[str, str] | None:
        """What the service says that it lacks; None while it says nothing."""
        process = self._processes[service]
        assert process.poll() is None, (self._home / f"{service}.log").read_text(encoding="utf-8")
        run_file = self._home / "run" / f"{service}-{process.pid}.json"
        if not run_file.exists():
            return None
        port = json.loads(run_file.read_text(encoding="utf-8"))["port"]
        missing: dict[str, str] = httpx.get(f"http://127.0.0.1:{port}/readyz").json()["missing"]
        return missing

    def stop(self) -> dict[str, int]:
        """Exit status of each service after SIGTERM."""
        for process in self._processes.values():
            process.send_signal(signal.SIGTERM)
        return {service: process.wait(timeout=60) for service, process in self._processes.items()}

    def kill(self) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait()


@pytest.fixture
def platform(stack: Any, tmp_path: Path) -> Iterator[Platform]:
    started = Platform(stack, tmp_path / "alone")
    yield started
    started.kill()


def test_services_wait_for_what_is_not_there_yet_and_then_answer_together(
    stack: Any, platform: Platform, wait_until: Callable[..., Any]
) -> None:
    key = stack.key_for("alone")
    with stack.without(*NEEDS):
        with stack.without(*COMPONENTS):
            for service in NEEDS:
                platform.start(service)

            def named() -> dict[str, set[str]]:
                return {service: set(platform.missing(service) or ()) & set(COMPONENTS) for service in NEEDS}

            wait_until(lambda: named() == NEEDS, what="every service names what it lacks", within_s=60)
        wait_until(
            lambda: all(platform.missing(service) == {} for service in NEEDS), what="every service ready", within_s=90
        )
        with httpx.Client(
            base_url=f"http://127.0.0.1:{platform.port}", headers={"authorization": f"Bearer {key}"}, timeout=60
        ) as http:
            wait_until(lambda: http.get("/readyz").status_code == 200, what="the public port is ready")
            document = "# Buoy\n\nThe red buoy blinks every nine seconds.\n"
            uploaded = http.post("/v1/files", files={"file": ("buoy.md", document)}, data={"purpose": "assistants"})
            file = uploaded.raise_for_status().json()["id"]
            wait_until(lambda: http.get(f"/v1/files/{file}").json()["status"] == "processed", what="the document")
            question = {"role": "user", "content": "How often does the red buoy blink?"}
            answer = http.post("/v1/chat/completions", json={"model": "docs-qa", "messages": [question]})
        assert "nine seconds" in answer.json()["choices"][0]["message"]["content"]
        assert platform.stop() == dict.fromkeys(NEEDS, 0)
    wait_until(lambda: not stack.missing(), what="the stack is back", within_s=90)
    assert "nine seconds" in stack.ask("How often does the red buoy blink?", key)["choices"][0]["message"]["content"]

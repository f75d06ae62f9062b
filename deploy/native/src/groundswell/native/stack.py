"""A whole stack on one machine: up, down, reset. Components alone are a stack without services."""

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from groundswell.native import components, ports, postgres, supervision
from groundswell.native.components import Addresses
from groundswell.native.control import supervisor_pid
from groundswell.native.errors import NotReadyError
from groundswell.native.layout import Home
from groundswell.native.program import Programs, load
from groundswell.native.progress import Step
from groundswell.native.settings import StackSettings

COMPONENTS_TIMEOUT_S = 90.0


@dataclass(frozen=True)
class Started:
    """What `up` did."""

    addresses: Addresses
    http_port: int | None
    was_running: bool


def up_components(settings: StackSettings) -> Started:
    """Kafka, Weaviate and PostgreSQL only, for tests; returns when each answers."""
    home = settings.home
    with supervision.exclusive(home):
        running = supervisor_pid(home) is not None
        if not running:
            chosen = ports.claim(home)
            components.provide(settings)
            supervision.start(home, Programs(programs=tuple(components.programs(settings, chosen))))
        where = components.addresses(settings, ports.read(home))
        wait_for(components.readiness(where), home, COMPONENTS_TIMEOUT_S)
    return Started(where, None, running)


def wait_for(questions: Mapping[str, Callable[[], bool]], home: Home, timeout_s: float) -> None:
    """Asks until every answer was yes. Raises NotReadyError naming what is missing and the log to read."""
    missing = dict(questions)
    deadline = time.monotonic() + timeout_s
    with Step("Waiting") as step:
        while missing := {name: is_ready for name, is_ready in missing.items() if not is_ready()}:
            if time.monotonic() > deadline:
                raise NotReadyError(_complaint(list(missing), home, timeout_s))
            if supervisor_pid(home) is None:
                raise NotReadyError(f"the supervisor ended by itself; see {home.logs / 'supervisor.log'}")
            step.update(f"for {', '.join(missing)}")
            time.sleep(0.1)


def _complaint(missing: list[str], home: Home, timeout_s: float) -> str:
    logs = ", ".join(str(home.logs / f"{name}.log") for name in missing)
    return f"not ready after {timeout_s:.0f} s: {', '.join(missing)}; see {logs}"


def down(home: Home) -> bool:
    """Stops everything, services first; False when nothing ran."""
    if not home.path.exists():
        return False
    with supervision.exclusive(home):
        return supervision.stop(home)


def reset(home: Home) -> None:
    """Stops the stack and removes everything it made for this home; the shared caches stay."""
    down(home)
    postgres.remove(home)
    ports.release(home)
    shutil.rmtree(home.path, ignore_errors=True)


def running_programs(home: Home) -> Programs | None:
    """What the running supervisor holds; None when none runs."""
    return load(home.programs_file) if supervisor_pid(home) is not None else None

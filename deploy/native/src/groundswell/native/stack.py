"""A whole stack on one machine: up, down, reset, restart. Components alone are a stack without services."""

import asyncio
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from groundswell.native import components, database, ports, postgres, services, supervision
from groundswell.native.completeness import Completeness
from groundswell.native.components import Addresses
from groundswell.native.control import ask, supervisor_pid
from groundswell.native.layout import Home, exclusive
from groundswell.native.program import Programs, load
from groundswell.native.settings import StackSettings
from groundswell.native.status import Record, Status, pids, require_service, status
from groundswell.native.waiting import wait_for

__all__ = ["Record", "Started", "Status", "down", "reset", "restart", "status", "up", "up_components"]

COMPONENTS_TIMEOUT_S = 90.0
SERVICES_TIMEOUT_S = 180.0
OPERATION_TIMEOUT_S = 90.0


@dataclass(frozen=True)
class Started:
    """What `up` did, and where the stack answers; `http` is None for components alone."""

    addresses: Addresses
    http: str | None
    was_running: bool


@contextmanager
def only_one(home: Home) -> Iterator[None]:
    """One `up`, `down` or `reset` at a time for one home."""
    home.create()
    with exclusive(home.run / "up.lock"):
        yield


def up_components(settings: StackSettings) -> Started:
    """Kafka, Weaviate and PostgreSQL only, for tests; returns when each answers. What runs stays as it is."""
    home = settings.home
    with only_one(home):
        running = supervisor_pid(home) is not None
        if not running:
            components.provide(settings)
            chosen = ports.claim(home)
            supervision.start(home, Programs(programs=tuple(components.programs(settings, chosen))))
        where = components.addresses(settings, ports.read(home))
        _wait_for_components(home, settings, where, {})
    return Started(where, None, running)


def up(settings: StackSettings) -> Started:
    """Everything at once; returns when a question can be answered.

    A stack that runs already is only waited for; one of components alone gives way to a whole one.
    """
    home = settings.home
    with only_one(home):
        running = _runs_services(home)
        if not running:
            supervision.stop(home)
            _start(settings)
        where = components.addresses(settings, ports.read(home))
        _wait_for_components(home, settings, where, _preparations(home, where))
        wait_for(Completeness(home).lacking, home, SERVICES_TIMEOUT_S, "Services")
        return Started(where, status(home).http, running)


def _runs_services(home: Home) -> bool:
    return supervisor_pid(home) is not None and load(home.programs_file).http_port is not None


def _start(settings: StackSettings) -> None:
    home = settings.home
    components.provide(settings)
    chosen = ports.claim(home)
    http_port = ports.next_free(settings.http_port)
    home.ports_file.write_text(json.dumps({**chosen, "http": http_port}, indent=1))
    where = components.addresses(settings, chosen)
    services.admin_key(home)
    passwords = database.passwords(home)
    dsns = {
        role: database.role_url(where.postgres_admin, database.DATABASE, role, password)
        for role, password in passwords.items()
    }
    services.write_env_files(settings, where, dsns)
    programs = (*components.programs(settings, chosen), *services.programs(settings))
    supervision.start(home, Programs(programs=programs, http_port=http_port))


def _preparations(home: Home, where: Addresses) -> dict[str, Callable[[], object]]:
    """What has to be made in a component as soon as it answers; each does nothing the second time."""
    return {
        "kafka": lambda: _ensure_topics(where.kafka),
        "postgres": lambda: database.create(where.postgres_admin, database.DATABASE, database.passwords(home)),
    }


def _ensure_topics(bootstrap: str) -> None:
    from groundswell.common.bus.admin import ensure_topics  # noqa: PLC0415 - loads the Kafka client

    asyncio.run(ensure_topics(bootstrap))


def _wait_for_components(
    home: Home, settings: StackSettings, where: Addresses, preparations: dict[str, Callable[[], object]]
) -> None:
    waiting = components.readiness(where)

    def missing() -> dict[str, str]:
        for name in [name for name, is_ready in waiting.items() if is_ready()]:
            preparations.get(name, lambda: None)()
            del waiting[name]
        return dict.fromkeys(waiting, "")

    title = "Components" if any(components.is_local(settings).values()) else "Given components"
    wait_for(missing, home, COMPONENTS_TIMEOUT_S, title)


def down(home: Home) -> bool:
    """Stops everything, services first; False when nothing ran."""
    if not home.path.exists():
        return False
    with only_one(home):
        return supervision.stop(home)


def reset(home: Home) -> None:
    """Stops the stack and removes everything it made for this home; the shared caches stay."""
    down(home)
    postgres.remove(home)
    ports.release(home)
    shutil.rmtree(home.path, ignore_errors=True)


def restart(home: Home, service: str) -> list[int]:
    """Drains and starts again every process of a service or component. Returns the new process ids."""
    require_service(home, service)
    ask(home, "restart", OPERATION_TIMEOUT_S, name=service, match="simple", waiting=True)
    return pids(home, service)

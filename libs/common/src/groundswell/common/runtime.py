"""A service process: answers for its health at once, waits for what it needs, works, drains, exits 0.

What it promises to whoever runs it is in docs/specs/service.md; `testing.compliance` checks it.
"""

import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import structlog

from groundswell.common.blobs import Blobs
from groundswell.common.bus.claims import Claims
from groundswell.common.bus.connection import Bus, Subscription
from groundswell.common.bus.health import health_app
from groundswell.common.errors import Misconfigured, Overloaded
from groundswell.common.serving import HttpServer
from groundswell.common.settings import ServiceSettings
from groundswell.common.telemetry.logs import configure_logging
from groundswell.common.telemetry.tracing import configure_tracing

RETRY_S = 0.5
CHECK_EVERY_S = 2.0
CLOSE_WITHIN_S = 5.0
WRONG_SETTING = 2

log = structlog.get_logger(__name__)


class Resource(Protocol):
    """Something a service cannot work without: a database, an index, a model."""

    async def open(self) -> None:
        """Make it usable. Raises Overloaded (Unavailable) while that is not possible; is called again then."""

    async def check(self) -> None:
        """Raises Overloaded (Unavailable) with its reason if it cannot be used right now.

        Cheap: called every two seconds.
        """

    async def close(self) -> None: ...


@dataclass(kw_only=True)
class Service:
    """What app.py builds.

    `resources` are opened in order, each waits for those before it; `background` runs beside the work; `on_bus` is
    called when the publisher is connected and before any work is taken, again while it raises Unavailable;
    `before_drain` when a signal came.
    """

    name: str
    settings: ServiceSettings
    subscriptions: Sequence[Subscription] = ()
    resources: dict[str, Resource] = field(default_factory=dict)
    background: Sequence[Callable[[], Awaitable[None]]] = ()
    on_bus: Callable[[Bus], Awaitable[None]] | None = None
    before_drain: Callable[[], Awaitable[None]] | None = None
    api_port: int | None = None
    """Where this very process serves the public API, if it does."""


def run(name: str, build: Callable[[], Service]) -> None:
    """Run the service until SIGTERM or SIGINT, then exit 0.

    Exits 2 with one clear line if a setting is wrong, 1 if something broke that only a new process mends.
    """
    try:
        service = build()
    except Misconfigured as error:
        print(f"groundswell {name}: {error}", file=sys.stderr)  # noqa: T201 - logging is not configured yet
        raise SystemExit(WRONG_SETTING) from None
    configure_logging(service.name, service.settings.log_level)
    provider = configure_tracing(service.name, service.settings.otlp_endpoint)
    try:
        asyncio.run(_Process(service).run())
    except Misconfigured as error:
        log.critical("cannot work", reason=str(error))
        raise SystemExit(WRONG_SETTING) from None
    except Exception:
        log.critical("broken", exc_info=True)
        raise SystemExit(1) from None
    finally:
        provider.shutdown()


class _Process:
    def __init__(self, service: Service) -> None:
        self._service = service
        self._claims = _claims(service.settings)
        self._bus = Bus(
            service.settings.kafka,
            service=service.name,
            subscriptions=service.subscriptions,
            session_s=service.settings.session_s,
            claims=self._claims,
        )
        self._missing: dict[str, str] = dict.fromkeys(("kafka", *service.resources), "not opened yet")
        self._opened: list[str] = []
        self._connected = False
        self._working = False
        self._stop = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        health = HttpServer(health_app(self.missing), _listen(self._service.settings.health_port))
        await health.start()
        run_file = _write_run_file(self._service, health.port)
        try:
            await self._until_stopped()
        finally:
            await self._shut_down()
            run_file.unlink(missing_ok=True)
            await health.stop(grace_s=0.0)

    def missing(self) -> dict[str, str]:
        """What keeps the service from working, by name."""
        if self._stop.is_set():
            return {"service": "draining"}
        joining = self._bus.missing() if self._working else {}
        starting = {} if self._working or self._missing else {"service": "starting"}
        return self._missing | joining | starting

    async def _until_stopped(self) -> None:
        """Open, work and watch; returns on a signal, raises what ended a task."""
        self._spawn(self._open_everything)
        self._spawn(self._watch)
        self._spawn(self._stopped)
        while not self._stop.is_set():
            done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
            self._tasks -= done
            for task in done:
                task.result()

    async def _stopped(self) -> None:
        await self._stop.wait()

    async def _open_everything(self) -> None:
        for name, resource in self._service.resources.items():
            await self._retry(name, resource.open)
            self._opened.append(name)
        await self._retry("kafka", self._bus.connect)
        await self._retry(self._service.name, self._prepare)
        await self._retry("kafka", self._start_bus)
        self._connected = True
        for work in (*self._service.background, self._sweep_claims):
            self._spawn(work)
        self._working = True
        log.info("working")

    async def _prepare(self) -> None:
        if self._service.on_bus is not None:
            await self._service.on_bus(self._bus)

    async def _start_bus(self) -> None:
        self._tasks.update(await self._bus.start())

    async def _sweep_claims(self) -> None:
        await self._claims.sweep(self._service.name)

    async def _retry(self, name: str, attempt: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await attempt()
            except Overloaded as error:
                self._lacks(name, error.reason)
                await asyncio.sleep(RETRY_S)
            else:
                self._missing.pop(name, None)
                return

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(CHECK_EVERY_S)
            checks = {name: self._service.resources[name].check for name in self._opened}
            if self._connected:
                checks["kafka"] = self._bus.check
            for name, check in checks.items():
                await self._look(name, check)

    async def _look(self, name: str, check: Callable[[], Awaitable[None]]) -> None:
        try:
            await check()
        except Overloaded as error:
            self._lacks(name, error.reason)
        else:
            if self._missing.pop(name, None) is not None:
                log.info("there again", what=name)

    def _lacks(self, name: str, reason: str) -> None:
        if self._missing.get(name) != reason:
            log.info("waiting", what=name, reason=reason)
        self._missing[name] = reason

    async def _shut_down(self) -> None:
        """Drain and close, whatever state this is in. Every step is bounded."""
        self._stop.set()
        log.info("draining")
        if not self._working:
            await _end(self._tasks)
        until = time.monotonic() + self._service.settings.drain_s
        if self._service.before_drain is not None:
            await _bounded("before_drain", self._service.before_drain(), self._service.settings.drain_s)
        await self._bus.stop(max(0.0, until - time.monotonic()))
        await _end(self._tasks)
        for name in reversed(self._opened):
            await _bounded(name, self._service.resources[name].close(), CLOSE_WITHIN_S)
        log.info("stopped")

    def _spawn(self, work: Callable[[], Awaitable[None]]) -> None:
        self._tasks.add(asyncio.create_task(_run(work)))


def _claims(settings: ServiceSettings) -> Claims:
    try:
        return Claims(Blobs(settings.claim_store_url) if settings.claim_store_url else None)
    except Misconfigured as error:
        raise Misconfigured(f"GROUNDSWELL_CLAIM_STORE_URL: {error}") from None


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError as error:
        raise Misconfigured(f"GROUNDSWELL_HEALTH_PORT: {port} cannot be served on: {error.strerror}") from None


def _write_run_file(service: Service, port: int) -> Path:
    """Where `status` finds the process."""
    folder = service.settings.home / "run"
    folder.mkdir(parents=True, exist_ok=True)
    instance = f"{service.name}-{os.getpid()}"
    content = {
        "service": service.name,
        "pid": os.getpid(),
        "port": port,
        "api_port": service.api_port,
        "instance": instance,
        "started_at": time.time(),
    }
    path = folder / f"{instance}.json"
    unfinished = path.with_suffix(".tmp")
    unfinished.write_text(json.dumps(content), encoding="utf-8")
    unfinished.replace(path)
    return path


async def _run(work: Callable[[], Awaitable[None]]) -> None:
    await work()


async def _end(tasks: set[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=CLOSE_WITHIN_S)
    tasks.clear()


async def _bounded(what: str, work: Awaitable[None], seconds: float) -> None:
    """Shutting down goes on whatever one part of it does."""
    try:
        async with asyncio.timeout(seconds):
            await work
    except Exception:
        log.exception("did not end well", what=what)

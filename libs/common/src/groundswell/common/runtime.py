"""A service process: answers for its health at once, waits for what it needs, works, drains, exits 0."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import structlog
import uvicorn
from faststream.asgi import AsgiResponse, get
from prometheus_client import make_asgi_app

from groundswell.common.bus.connection import Bus, Subscription
from groundswell.common.errors import Misconfigured, Overloaded
from groundswell.common.settings import ServiceSettings
from groundswell.common.telemetry.logs import configure_logging
from groundswell.common.telemetry.tracing import configure_tracing

RETRY_S = 0.5
CHECK_EVERY_S = 2.0

log = structlog.get_logger(__name__)


class Resource(Protocol):
    """Something a service cannot work without: a database, an index, a model."""

    async def open(self) -> None:
        """Make it usable. Raises Overloaded (Unavailable) while that is not possible; is called again then."""

    async def check(self) -> None:
        """Raises Overloaded (Unavailable) with its reason if it cannot be used right now. Cheap: called every two seconds."""

    async def close(self) -> None: ...


@dataclass(kw_only=True)
class Service:
    """What app.py builds. `resources` are opened in order, each waits for those before it; `background` runs beside the work."""

    name: str
    settings: ServiceSettings
    subscriptions: Sequence[Subscription] = ()
    resources: dict[str, Resource] = field(default_factory=dict)
    background: Sequence[Callable[[], Awaitable[None]]] = ()
    on_bus: Callable[[Bus], Awaitable[None]] | None = None
    before_drain: Callable[[], Awaitable[None]] | None = None


def run(name: str, build: Callable[[], Service]) -> None:
    """Run the service until SIGTERM or SIGINT. Exits 2 with one clear line if a setting is wrong."""
    try:
        service = build()
    except Misconfigured as error:
        print(f"groundswell {name}: {error}", file=sys.stderr)  # noqa: T201 - logging is not configured yet
        raise SystemExit(2) from None
    configure_logging(service.name, service.settings.log_level)
    provider = configure_tracing(service.name, service.settings.otlp_endpoint)
    try:
        asyncio.run(_Process(service).run())
    except Misconfigured as error:
        log.critical("cannot work", reason=str(error))
        raise SystemExit(2) from None
    finally:
        provider.shutdown()


class _Process:
    def __init__(self, service: Service) -> None:
        self._service = service
        self._bus = Bus(service.settings.kafka, service=service.name, subscriptions=service.subscriptions)
        self._missing: dict[str, str] = dict.fromkeys(("kafka", *service.resources), "not opened yet")
        self._opened: list[str] = []
        self._working = False
        self._stop = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._run_file: Path | None = None

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        health = await self._serve_health()
        try:
            await self._until_stopped()
        finally:
            await self._shut_down()
            health.should_exit = True
            if self._run_file is not None:
                self._run_file.unlink(missing_ok=True)

    async def _until_stopped(self) -> None:
        """Open, work and watch; returns on a signal, raises what ended a task."""
        self._spawn(self._open_everything())
        self._spawn(self._watch_resources())
        stopping = asyncio.create_task(self._stop.wait())
        while not stopping.done():
            done, _ = await asyncio.wait({stopping, *self._tasks}, return_when=asyncio.FIRST_COMPLETED)
            for task in done & self._tasks:
                self._tasks.discard(task)
                task.result()

    async def _open_everything(self) -> None:
        for name, resource in self._service.resources.items():
            await self._retry(name, resource.open)
            self._opened.append(name)
        await self._retry("kafka", self._bus.connect)
        if self._service.on_bus is not None:
            await self._service.on_bus(self._bus)
        await self._retry("kafka", self._start_bus)
        for work in self._service.background:
            self._spawn(_run(work))
        self._working = True
        log.info("working")

    async def _start_bus(self) -> None:
        for task in await self._bus.start():
            self._tasks.add(task)

    async def _retry(self, name: str, attempt: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await attempt()
            except Overloaded as error:
                if self._missing.get(name) != error.reason:
                    log.info("waiting", what=name, reason=error.reason)
                self._missing[name] = error.reason
                await asyncio.sleep(RETRY_S)
            else:
                self._missing.pop(name, None)
                return

    async def _watch_resources(self) -> None:
        while True:
            await asyncio.sleep(CHECK_EVERY_S)
            for name in self._opened:
                try:
                    await self._service.resources[name].check()
                except Overloaded as error:
                    self._missing[name] = error.reason
                else:
                    self._missing.pop(name, None)

    async def _shut_down(self) -> None:
        self._working = False
        log.info("draining")
        if self._service.before_drain is not None:
            await self._service.before_drain()
        await self._bus.stop(self._service.settings.drain_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for name in reversed(self._opened):
            await self._service.resources[name].close()
        log.info("stopped")

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        self._tasks.add(asyncio.create_task(work))

    def missing(self) -> dict[str, str]:
        """What keeps the service from working, by name."""
        joining = dict.fromkeys(self._bus.missing(), "") if self._working else {}
        starting = {} if self._working or self._missing else {"service": "starting"}
        return self._missing | joining | starting

    async def _serve_health(self) -> uvicorn.Server:
        app = self._bus.app
        app.mount("/healthz", get(_alive))
        app.mount("/readyz", get(self._readiness))
        app.mount("/metrics", make_asgi_app())
        config = uvicorn.Config(
            app,
            host="127.0.0.1",
            port=self._service.settings.health_port,
            log_config=None,
            lifespan="off",
            access_log=False,
        )
        server = _Server(config)
        serving = asyncio.create_task(server.serve())
        while not server.started:
            if serving.done():
                serving.result()
                raise Misconfigured(f"port {self._service.settings.health_port} cannot be served on")
            await asyncio.sleep(0.01)
        self._write_run_file(server.servers[0].sockets[0].getsockname()[1])
        return server

    async def _readiness(self, _scope: object) -> AsgiResponse:
        missing = self.missing()
        body = json.dumps({"ready": not missing, "missing": missing}).encode()
        return AsgiResponse(body, 503 if missing else 200, {"content-type": "application/json"})

    def _write_run_file(self, port: int) -> None:
        folder = self._service.settings.home / "run"
        folder.mkdir(parents=True, exist_ok=True)
        content = {
            "service": self._service.name,
            "pid": os.getpid(),
            "port": port,
            "instance": f"{self._service.name}-{os.getpid()}",
            "started_at": time.time(),
        }
        self._run_file = folder / f"{self._service.name}-{os.getpid()}.json"
        unfinished = self._run_file.with_suffix(".tmp")
        unfinished.write_text(json.dumps(content), encoding="utf-8")
        unfinished.replace(self._run_file)


class _Server(uvicorn.Server):
    """Leaves the signals to the process: it drains before it stops answering."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _alive(_scope: object) -> AsgiResponse:
    return AsgiResponse(b'{"alive": true}', 200, {"content-type": "application/json"})


async def _run(work: Callable[[], Awaitable[None]]) -> None:
    await work()

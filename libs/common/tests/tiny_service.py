"""A service of a few lines, for tests of the runtime.

Its handler waits as long as the file GROUNDSWELL_HOLD is there.
"""

import asyncio
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from groundswell.common.bus.connection import Bus
from groundswell.common.bus.consumption import consume
from groundswell.common.bus.messages import Outgoing, Received
from groundswell.common.errors import Unavailable
from groundswell.common.runtime import Service, run
from groundswell.common.settings import ServiceSettings
from groundswell.common.testing.bench import SERVICE, Line, answer

log = structlog.get_logger(__name__)


class Settings(ServiceSettings):
    line: str = "tiny"
    hold: Path = Path("/nowhere")
    door: Path = Path("/")
    """There while the resource can be used."""
    window: Path = Path("/")
    """There while the last preparation can be made."""


class Door:
    def __init__(self, path: Path) -> None:
        self._path = path

    async def open(self) -> None:
        await self.check()

    async def check(self) -> None:
        if not self._path.exists():
            raise Unavailable("the door is closed")

    async def close(self) -> None:
        log.info("door closed")


async def open_window(_bus: Bus, settings: Settings) -> None:
    if not settings.window.exists():
        raise Unavailable("the window is closed")


async def hold(message: Received[Any], settings: Settings) -> Sequence[Outgoing]:
    log.info("handling", number=message.payload.number)
    while settings.hold.exists():  # noqa: ASYNC110 - another process takes the file away
        await asyncio.sleep(0.02)
    if message.payload.number < 0:
        raise ValueError(message.payload.note)
    return await answer(message)


def build() -> Service:
    settings = Settings.load(SERVICE)
    line = Line.new(name=settings.line)
    return Service(
        name=SERVICE,
        settings=settings,
        subscriptions=[consume(line.command, partial(hold, settings=settings))],
        resources={"door": Door(settings.door)},
        on_bus=partial(open_window, settings=settings),
    )


if __name__ == "__main__":
    run(SERVICE, build)

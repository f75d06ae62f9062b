"""Whether this replica hears: a probe of its own comes back from each reply partition once a second, and it has heard
all that workers reported.

Without that, a worker that nobody hears says nothing about the worker.
"""

import asyncio
import math
import time
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from groundswell.common.bus.connection import Bus
from groundswell.common.bus.messages import Received
from groundswell.common.contracts.answers import ReplyProbe
from groundswell.common.errors import Overloaded, Rejected
from groundswell.common.topics import WORKER_PROGRESS, Reply
from groundswell.orchestrator import handlers
from groundswell.orchestrator.adapters.run import ReplyRoute

PROBE_EVERY_S = 1.0
HEARD_WITHIN_S = 3.0


@dataclass
class _Watched:
    since_s: float
    back_s: float = -math.inf
    """What lay there at that time has been heard: when the newest probe that came back was sent."""


class Hearing:
    """Of all partitions that are being watched. Times are seconds of this process's monotonic clock."""

    def __init__(self) -> None:
        self._watched: dict[tuple[str, int], _Watched] = {}
        """By topic and partition."""

    def can_hear(self, now: float) -> bool:
        """Whether all has been heard lately, on each partition."""
        return all(now - max(each.since_s, each.back_s) <= HEARD_WITHIN_S for each in self._watched.values())

    def heard_until(self) -> float:
        """What lay on any partition at that time has been heard; minus infinity if that cannot be known."""
        return min((each.back_s for each in self._watched.values()), default=-math.inf)

    def hear(self, message: Received[ReplyProbe], owner: str) -> None:
        """Take a probe that came back; that of another owner, before or after this one, says nothing."""
        watched = self._watched.get((message.origin.topic, message.origin.partition))
        if watched is not None and message.payload.owner == owner:
            watched.back_s = max(watched.back_s, message.payload.sent_s)

    @contextmanager
    def watching(self, route: ReplyRoute, *topics: Reply) -> Iterator[None]:
        """Probe the route's partition of each topic for as long as the block runs."""
        watched = {(topic.physical_name, route.partition): _Watched(time.monotonic()) for topic in topics}
        with self._while_watched(watched, _probe(route, topics)):
            yield

    @contextmanager
    def watching_workers(self, bus: Bus) -> Iterator[None]:
        """Look for as long as the block runs whether anything lies unread where workers report."""
        watched = _Watched(time.monotonic())
        with self._while_watched({(WORKER_PROGRESS.physical_name, 0): watched}, _look(bus, watched)):
            yield

    @contextmanager
    def _while_watched(
        self, watched: Mapping[tuple[str, int], _Watched], looking: Coroutine[Any, Any, None]
    ) -> Iterator[None]:
        self._watched |= watched
        task = asyncio.create_task(looking)
        try:
            yield
        finally:
            task.cancel()
            for at in watched:
                self._watched.pop(at, None)


async def _look(bus: Bus, watched: _Watched) -> None:
    while True:
        began_s = time.monotonic()
        with suppress(Overloaded):
            if await bus.has_heard_all(WORKER_PROGRESS):
                watched.back_s = began_s
        await asyncio.sleep(PROBE_EVERY_S)


async def _probe(route: ReplyRoute, topics: tuple[Reply, ...]) -> None:
    while True:
        for topic in topics:
            with suppress(Overloaded, Rejected):  # it does not come back, which says it all
                await route.bus.publisher.publish(handlers.reply_probe(topic, route.partition, route.owner))
        await asyncio.sleep(PROBE_EVERY_S)

"""Sees a consumer that stands still: aiokafka's may stay alive, assigned and stuck after a broker's restart."""

import asyncio
import time
from collections.abc import Callable

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from groundswell.common.errors import GroundswellError

LOOK_EVERY_S = 15.0
PATIENCE_S = 60.0


class StandsStill(GroundswellError):
    """A consumer with room and data before it takes nothing: only a new process helps."""


class Watchdog:
    """Pure: it is told what can be seen, with the time in seconds."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._taken = -1
        self._since: float | None = None

    def look(self, now: float, *, free: bool, behind: bool, taken: int) -> None:
        """`free`: unpaused with room; `behind`: records lie before it; `taken`: how many it has taken so far.

        Raises StandsStill when it was free and behind for `patience_s` and took nothing.
        """
        if not (free and behind) or taken != self._taken:
            self._taken, self._since = taken, None
        elif self._since is None:
            self._since = now
        elif now - self._since >= self._patience_s:
            raise StandsStill(f"no record taken for {now - self._since:.0f} s although some wait")


async def watch(
    consumer: AIOKafkaConsumer,
    *,
    taken: Callable[[], int],
    free: Callable[[], bool] = lambda: True,
    patience_s: float = PATIENCE_S,
) -> None:
    """Look at `consumer` again and again; runs until cancelled. Raises StandsStill."""
    watchdog = Watchdog(patience_s)
    look_every_s = min(LOOK_EVERY_S, patience_s / 2)
    while True:
        await asyncio.sleep(look_every_s)
        try:
            async with asyncio.timeout(LOOK_EVERY_S):
                behind = await is_behind(consumer)
        except (KafkaError, TimeoutError):
            behind = False  # the broker is away: nothing to take
        watchdog.look(time.monotonic(), free=free(), behind=behind, taken=taken())


async def is_behind(consumer: AIOKafkaConsumer) -> bool:
    """Whether records lie before it that it has not fetched; partitions that go meanwhile do not count."""
    partitions = consumer.assignment()
    ends = await consumer.end_offsets(list(partitions)) if partitions else {}
    still = ends.keys() & consumer.assignment()
    return any([ends[partition] > await consumer.position(partition) for partition in still])

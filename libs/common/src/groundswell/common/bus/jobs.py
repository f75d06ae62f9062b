"""Records that are being worked on, each with its task."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from groundswell.common.bus.assignment import Ledgers, Taken

LOOK_EVERY_S = 0.02


@dataclass(eq=False)
class Job:
    """A record, or a batch of them, started when it has its turn.

    Long work is complete when it was admitted, and goes on.
    """

    taken: Sequence[Taken]
    started: bool = False
    complete: bool = False
    task: asyncio.Task[None] = field(init=False)

    def mark_complete(self) -> None:
        self.complete = True
        for item in self.taken:
            item.ledger.complete(item.record.offset)

    def is_of(self, ledgers: Ledgers) -> bool:
        return any(item.ledger is ledger for item in self.taken for ledger in ledgers.values())


def oldest_waiting_ms(jobs: Iterable[Job]) -> int | None:
    """When the oldest record whose turn has not come was appended to the log, in the broker's time."""
    return min((item.record.timestamp for job in jobs if not job.started for item in job.taken), default=None)


def cancel(jobs: Iterable[Job]) -> None:
    for job in list(jobs):
        job.task.cancel()


async def settle(jobs: Iterable[Job], seconds: float) -> None:
    """Wait until all have ended, for at most `seconds`."""
    tasks = {job.task for job in jobs}
    if tasks:
        await asyncio.wait(tasks, timeout=seconds)


async def complete(jobs: Iterable[Job], seconds: float) -> None:
    """Wait until all are complete or have ended, for at most `seconds`."""
    until, waiting = time.monotonic() + seconds, list(jobs)
    while (
        waiting := [job for job in waiting if not job.complete and not job.task.done()]
    ) and time.monotonic() < until:
        await asyncio.wait({job.task for job in waiting}, timeout=LOOK_EVERY_S)

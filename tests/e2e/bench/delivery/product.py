"""The way of the product: its bus, with metrics and log context, in a process that does nothing else."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from groundswell.common.bus.connection import Bus
from groundswell.common.bus.consumption import Consumption
from groundswell.common.telemetry.logs import configure_logging
from groundswell.common.telemetry.tracing import configure_tracing
from groundswell.common.testing.waiting import until

DRAIN_S = 5.0


def observed() -> None:
    """Logs and traces as every service has them; whether spans are sampled is said by the environment."""
    configure_logging("bench", "WARNING")
    configure_tracing("bench", None)


@asynccontextmanager
async def working(address: str, service: str, consumption: Consumption) -> AsyncIterator[Bus]:
    """A bus that has its partitions."""
    bus = Bus(address, service=service, subscriptions=[consumption])
    try:
        await bus.publisher.start()
        tasks = await bus.start()
        await until(lambda: not bus.missing())
        yield bus
        for task in tasks:
            if task.done():
                task.result()
    finally:
        await bus.stop(DRAIN_S)

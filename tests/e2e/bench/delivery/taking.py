"""The measures of the bus, one after the other on one broker."""

import logging
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from delivery import backlog, cost, hops, memory
from delivery.broker import own_broker
from measures.circumstances import beginning
from measures.measured import Frozen

HOPS, COST, BACKLOG, MEMORY = "hops", "cost", "backlog", "memory"
MEASURES = (HOPS, COST, BACKLOG, MEMORY)
PARTS = ("python", "kafka", "aiokafka", "pydantic", "prometheus-client", "opentelemetry-sdk", "structlog")


@dataclass(frozen=True)
class Extent:
    """How many messages a measure takes, and commands for each backlog."""

    hops: int = 10_000
    cost: int = 5_000
    backlog: int = 200
    memory: int = 100_000


QUICK = Extent(hops=1_500, cost=1_500, backlog=30, memory=5_000)


def take(
    wanted: Collection[str], extent: Extent, checkout: Path, tell: Callable[[str], None]
) -> Iterator[tuple[str, Frozen]]:
    """The name of each measure with its numbers, as soon as it is taken."""
    if not wanted:
        return
    logging.getLogger("aiokafka").setLevel(logging.ERROR)  # it warns of every topic that is only just made
    with own_broker() as address:
        if HOPS in wanted:
            yield HOPS, hops.measure(address, beginning(checkout, PARTS), tell, messages=extent.hops)
        if COST in wanted:
            yield COST, cost.measure(address, beginning(checkout, PARTS), tell, messages=extent.cost)
        if BACKLOG in wanted:
            yield BACKLOG, backlog.measure(address, beginning(checkout, PARTS), tell, commands=extent.backlog)
        if MEMORY in wanted:
            yield MEMORY, memory.measure(address, beginning(checkout, PARTS), tell, messages=extent.memory)

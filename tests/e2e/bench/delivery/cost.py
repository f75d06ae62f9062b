"""Processor time of the bus for a message taken and published, beside raw aiokafka that does the same work by hand."""

from collections import defaultdict
from collections.abc import Callable
from statistics import median

from delivery.broker import lay, make_topics
from delivery.child import child
from delivery.cost_worker import GIVEN, TAKEN
from delivery.numbers import Cost
from groundswell.common.tiers import Tier
from measures.measured import Circumstances

BLOCKS = ("product", "raw", "raw", "product", "product", "raw")
WARM_UP = 500
WITHIN_S = 120.0


def measure(address: str, end: Callable[[], Circumstances], tell: Callable[[str], None], *, messages: int) -> Cost:
    """Each block reads the same `messages` in a group of its own, after some that warm it up."""
    make_topics(address, TAKEN, GIVEN)
    last = WARM_UP + messages
    lay(address, TAKEN, Tier.INTERACTIVE, range(last))
    taken: dict[str, list[float]] = defaultdict(list)
    for number, kind in enumerate(BLOCKS, 1):
        with child("cost_worker", kind, address, f"bench-{number}", WARM_UP, last) as worker:
            taken[kind].append(round(worker.hear(WITHIN_S), 1))
        tell(f"cost, block {number} of {len(BLOCKS)}: {kind}, {taken[kind][-1]:.0f} µs of processor time a message")
    return Cost(
        circumstances=end(),
        messages=messages,
        product_us=tuple(taken["product"]),
        raw_us=tuple(taken["raw"]),
        ratio=round(median(taken["product"]) / median(taken["raw"]), 2),
    )

"""Latency of the five-hop way beside raw aiokafka: a driver and four forwarders, each a process.

A hop is one message: from the publish call of one process, over the broker, to the handler of the next. A parcel makes
five of them, driver, four forwarders, driver, and its time is that from the driver's first publish call to its handler.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from delivery.broker import make_topics
from delivery.child import child
from delivery.line import HOPS, chain
from delivery.numbers import Beside, Hops, tail
from measures.measured import Circumstances, percentile

IN_FLIGHT = (1, 32)
BLOCKS = ("product", "raw", "raw", "product", "product", "raw", "raw", "product")
WARM_UP = 300
WITHIN_S = 300.0

Taken = dict[tuple[str, int], list[float]]
"""Milliseconds by kind and how many were in flight."""


def measure(address: str, end: Callable[[], Circumstances], tell: Callable[[str], None], *, messages: int) -> Hops:
    """`messages` of each kind and number in flight, in blocks that alternate; only the processes of a block live."""
    for kind in ("product", "raw"):
        make_topics(address, *chain(_name(kind)))
    each = messages * 2 // len(BLOCKS)
    _block(address, "raw", each // 2)  # the broker's own first steps count for nobody
    taken: Taken = defaultdict(list)
    for number, kind in enumerate(BLOCKS, 1):
        for in_flight, milliseconds in _block(address, kind, each).items():
            taken[kind, in_flight] += milliseconds
            tell(f"hops, block {number} of {len(BLOCKS)}: {kind}, {in_flight} in flight: {_said(milliseconds)}")
    return Hops(circumstances=end(), messages=each * len(BLOCKS) // 2, by_in_flight=_together(taken))


def _block(address: str, kind: str, messages: int) -> dict[int, list[float]]:
    with ExitStack() as processes:
        forwarders = [
            processes.enter_context(child("hop_forwarder", kind, address, _name(kind), hop)) for hop in range(1, HOPS)
        ]
        driver = processes.enter_context(child("hop_driver", kind, address, _name(kind)))
        for process in (*forwarders, driver):
            process.hear()
        driver.tell({"messages": WARM_UP, "in_flight": max(IN_FLIGHT)})
        driver.hear()
        taken: dict[int, list[float]] = {}
        for in_flight in IN_FLIGHT:
            driver.tell({"messages": messages, "in_flight": in_flight})
            taken[in_flight] = driver.hear(WITHIN_S)
        return taken


def _name(kind: str) -> str:
    return f"hop-{kind}"


def _together(taken: Taken) -> dict[int, Beside]:
    return {
        in_flight: Beside(product=tail(taken["product", in_flight]), raw=tail(taken["raw", in_flight]))
        for in_flight in IN_FLIGHT
    }


def _said(milliseconds: Sequence[float]) -> str:
    return f"p50 {percentile(milliseconds, 50):.2f} ms, p99 {percentile(milliseconds, 99):.2f} ms"

"""Does a consumer keep something of each message? Its resident memory after many beside that after some."""

from collections.abc import Callable

from delivery.broker import lay, make_topics
from delivery.child import child
from delivery.memory_worker import GIVEN, TAKEN
from delivery.numbers import Memory
from groundswell.common.tiers import Tier
from measures.measured import Circumstances

MARKS = 10
WITHIN_S = 120.0


def measure(address: str, end: Callable[[], Circumstances], tell: Callable[[str], None], *, messages: int) -> Memory:
    """One process handles `messages` and is looked at ten times, the first time after a tenth of them."""
    make_topics(address, TAKEN, GIVEN)
    lay(address, TAKEN, Tier.INTERACTIVE, range(messages + messages // MARKS))
    marks = [messages * mark // MARKS for mark in range(1, MARKS + 1)]
    resident_mb = {}
    with child("memory_worker", address, *marks) as worker:
        for mark in marks:
            resident_mb[mark] = round(worker.hear(WITHIN_S), 2)
            tell(f"memory, after {mark:,} messages: {resident_mb[mark]:.1f} MB")
    first, *_, last = resident_mb.values()
    return Memory(circumstances=end(), resident_mb=resident_mb, ratio=round(last / first, 3))

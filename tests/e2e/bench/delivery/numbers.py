"""The numbers of part 2 of the project, as docs/bench keeps them, each measure with its circumstances."""

from collections.abc import Sequence

from measures.measured import Circumstances, Frozen, percentile
from workers.numbers import Placement, TakeOver


class Tail(Frozen):
    """Median and 99th percentile of `count` milliseconds."""

    p50: float
    p99: float
    count: int


class Beside(Frozen):
    product: Tail
    raw: Tail

    @property
    def p50_ratio(self) -> float:
        return self.product.p50 / self.raw.p50

    @property
    def p99_ratio(self) -> float:
        return self.product.p99 / self.raw.p99


class Hops(Frozen):
    circumstances: Circumstances
    messages: int
    """Of each kind and number in flight."""
    by_in_flight: dict[int, Beside]


class Cost(Frozen):
    """Microseconds of processor time for a message, one value for each block; the ratio is that of the medians."""

    circumstances: Circumstances
    messages: int
    product_us: tuple[float, ...]
    raw_us: tuple[float, ...]
    ratio: float


class Backlog(Frozen):
    """`wait_ms` by how much bulk work lay there; slope and its 95 % interval in ms for 10,000 more."""

    circumstances: Circumstances
    wait_ms: dict[int, Tail]
    slope_ms: float
    low_ms: float
    high_ms: float
    seed: int


class Memory(Frozen):
    """Resident MB (10^6 bytes) by messages handled; the ratio is that of the last to the first."""

    circumstances: Circumstances
    resident_mb: dict[int, float]
    ratio: float


class Part2(Frozen):
    """A measure that is not taken again keeps its old numbers and circumstances."""

    hops: Hops | None = None
    cost: Cost | None = None
    backlog: Backlog | None = None
    memory: Memory | None = None
    placement: Placement | None = None
    takeover: TakeOver | None = None


def tail(milliseconds: Sequence[float]) -> Tail:
    """Raises ValueError without a value."""
    return Tail(
        p50=round(percentile(milliseconds, 50), 2),
        p99=round(percentile(milliseconds, 99), 2),
        count=len(milliseconds),
    )

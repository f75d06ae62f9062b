"""The measures of the generator workers, one after the other on one stack."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from measures.circumstances import beginning
from measures.measured import Frozen
from workers import placement, takeover
from workers.timed_stack import timed_stack

PLACEMENT, TAKEOVER = "placement", "takeover"
MEASURES = (PLACEMENT, TAKEOVER)
PARTS = ("python", "kafka", "aiokafka")


@dataclass(frozen=True)
class Extent:
    """How long questions come, and how often a worker is killed."""

    placement_s: float = 600.0
    kills: int = 50


QUICK = Extent(placement_s=60.0, kills=5)


def take(
    wanted: Collection[str], extent: Extent, checkout: Path, tell: Callable[[str], None]
) -> Iterator[tuple[str, Frozen]]:
    """The name of each measure with its numbers, as soon as it is taken."""
    if not wanted:
        return
    with timed_stack(checkout) as stack:
        if PLACEMENT in wanted:
            yield PLACEMENT, placement.measure(stack, beginning(checkout, PARTS), tell, seconds=extent.placement_s)
        if TAKEOVER in wanted:
            yield TAKEOVER, takeover.measure(stack, beginning(checkout, PARTS), tell, kills=extent.kills)

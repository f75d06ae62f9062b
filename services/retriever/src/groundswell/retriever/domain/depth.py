"""How far down a retrieval looks."""

from collections.abc import Iterator
from dataclasses import dataclass

SEARCH_LIMIT = 100
"""Hits per search and tenant: enough that the mean and deviation of scores say something. 50 was slightly worse."""
CHECKED_PER_PASSAGE = 4
LEAST_CHECKED = 40
DEEPER = 4
ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Depth:
    """`limit` hits are asked of each search; of the fused order the best `checked` are looked up."""

    limit: int
    checked: int


def depths(max_passages: int) -> Iterator[Depth]:
    """The rounds: each four times as deep as the one before, for an index full of what may not be answered from."""
    checked = max(LEAST_CHECKED, CHECKED_PER_PASSAGE * max_passages)
    for deeper in range(ROUNDS):
        yield Depth(max(SEARCH_LIMIT, checked) * DEEPER**deeper, checked * DEEPER**deeper)


def enough(found: int, max_passages: int) -> bool:
    """Whether `found` chunks leave room for merging neighbours and dropping copies."""
    return found >= 2 * max_passages

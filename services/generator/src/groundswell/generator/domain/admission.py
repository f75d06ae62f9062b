"""Which waiting job joins the batch next."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from groundswell.common.tiers import Tier

_T = TypeVar("_T")
_RANK = {tier: rank for rank, tier in enumerate(Tier)}


def urgency(tier: Tier, deadline: float) -> tuple[int, float]:
    """A sort key, most urgent first: tier, then the earliest deadline.

    Shares between tiers are given where work is admitted, before it comes here; what waits here waits a step or two.
    """
    return _RANK[tier], deadline


def most_urgent(waiting: Iterable[_T], key: Callable[[_T], tuple[int, float]]) -> _T | None:
    """The first of the most urgent, or None if none waits."""
    return min(waiting, key=key, default=None)

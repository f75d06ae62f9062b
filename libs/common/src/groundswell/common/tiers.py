"""The three priority tiers, and the turns that work of each tier gets."""

from collections.abc import Iterable
from enum import StrEnum


class Tier(StrEnum):
    """Most urgent first."""

    INTERACTIVE = "interactive"
    STANDARD = "standard"
    BULK = "bulk"


WEIGHTS: dict[Tier, int] = {Tier.INTERACTIVE: 8, Tier.STANDARD: 3, Tier.BULK: 1}


class WeightedTurns:
    """Picks the tier whose turn it is, by stride scheduling (Waldspurger and Weihl, 1995).

    A tier that waits is picked at least once in `sum(weights) / weight + len(tiers)` turns, however many others wait.
    """

    def __init__(self, weights: dict[Tier, int] | None = None) -> None:
        self._weights = weights or WEIGHTS
        self._passes = dict.fromkeys(self._weights, 0.0)
        self._now = 0.0

    def pick(self, waiting: Iterable[Tier]) -> Tier:
        """The tier among `waiting` to serve next. Raises ValueError if none waits."""
        # A tier that was idle starts at the present: it cannot save turns up for a burst.
        due = {tier: max(self._passes[tier], self._now) for tier in waiting}
        tier = min(due, key=lambda candidate: (due[candidate], -self._weights[candidate]))
        self._now = due[tier]
        self._passes[tier] = due[tier] + 1 / self._weights[tier]
        return tier

"""Who is next: weights share turns between tiers, deadlines order a tier, and age bounds every wait.

One slot of several is kept for interactive work, so that it need not wait for bulk work to end.
"""

from bisect import bisect_left, insort
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from groundswell.common.tiers import WEIGHTS, Tier

PATIENCE_S = 30.0
AGED_TURN_EVERY = 8
HORIZON_S = 600.0

K = TypeVar("K", bound=Hashable)


class TurnQueue(Generic[K]):
    """Holds keys that wait, and says which has its turn. Times are seconds of any one clock, and never go back.

    Between tiers: stride scheduling by cost (Waldspurger and Weihl, 1995). A turn of `cost` moves its tier on by
    cost / weight, and the tier that is least far has the next one; a tier that was idle saves nothing up. Every
    AGED_TURN_EVERY-th turn instead goes to the tier that had none for the longest time, if it waits for `patience_s`.

    Inside a tier: earliest deadline first, where a deadline counts for no earlier than the present and no later than
    `horizon_s` from it, both when it comes. So a key is passed only by keys that come within `horizon_s` after it.

    A tier that waits has its next turn, however many others wait, at the latest

    - with costs of 1, as turn n = 1 + m + 1 + m // (AGED_TURN_EVERY - 1), where m sums weight(other) // weight + 1
      over the other tiers: turn 4, 6 and 16 with weights of 8, 3 and 1. That is ceil(n / k) * s seconds where k slots
      work on jobs of at most s seconds;
    - with any costs, AGED_TURN_EVERY * (number of tiers) = 24 turns after it has waited for `patience_s`:
      patience_s + ceil(24 / k) * s seconds.
    """

    def __init__(
        self,
        weights: Mapping[Tier, int] = WEIGHTS,
        *,
        patience_s: float = PATIENCE_S,
        horizon_s: float = HORIZON_S,
    ) -> None:
        self._patience_s = patience_s
        self._horizon_s = horizon_s
        self._lines: dict[Tier, _Line[K]] = {tier: _Line(weight) for tier, weight in weights.items()}
        self._entries: dict[K, _Entry[K]] = {}
        self._pushed = 0
        self._level = 0.0
        self._turns_by_weight = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[K]:
        """In order of arrival."""
        return iter(self._entries)

    def push(self, key: K, *, tier: Tier, deadline: float, since: float, cost: float = 1) -> None:
        """Let `key` wait from `since` on, which is now. Raises ValueError if it waits already or costs nothing."""
        if key in self._entries or not cost > 0:
            raise ValueError(f"{key!r} waits already, or its cost {cost} is not above 0")
        rank = min(max(since, deadline), since + self._horizon_s)
        self._pushed += 1
        self._entries[key] = entry = _Entry(rank, self._pushed, tier, cost, key)
        line = self._lines[tier]
        if not line.entries:
            line.waits_since = since
        insort(line.entries, entry)

    def pop(self, now: float) -> K | None:
        """The key that has its turn now, which waits no longer; None if nobody waits."""
        lines = [line for line in self._lines.values() if line.entries]
        if not lines:
            return None
        line = self._aged(lines, now) or self._due(lines)
        entry = self._pop(line, now)
        line.moved = max(line.moved, self._level + entry.cost / line.weight)
        return entry.key

    def serve(self, tier: Tier, now: float, *, cost: float = 1) -> None:
        """Count the turn of one that comes while nobody waits, as push and pop would."""
        line = self._due([self._lines[tier]])
        line.moved = max(line.moved, self._level + cost / line.weight)
        line.waits_since = now

    def pop_beside(self, tier: Tier, now: float) -> K | None:
        """The first key of `tier`, which costs the tier no turn; None if none waits there."""
        line = self._lines[tier]
        return self._pop(line, now).key if line.entries else None

    def remove(self, key: K) -> bool:
        """Forget `key`, which costs its tier no turn. Whether it waited."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            entries = self._lines[entry.tier].entries
            del entries[bisect_left(entries, entry)]
        return entry is not None

    def _pop(self, line: "_Line[K]", now: float) -> "_Entry[K]":
        entry = line.entries.pop(0)
        del self._entries[entry.key]
        line.waits_since = now
        return entry

    def _due(self, lines: Sequence["_Line[K]"]) -> "_Line[K]":
        """The one that moved least; the heavier one of equals."""
        line = min(lines, key=lambda line: (max(line.moved, self._level), -line.weight))
        self._level = max(line.moved, self._level)
        self._turns_by_weight += 1
        return line

    def _aged(self, lines: Sequence["_Line[K]"], now: float) -> "_Line[K] | None":
        line = min(lines, key=lambda line: line.waits_since)
        # A part of the turns only: when all wait for long, weights still decide most of them.
        if self._turns_by_weight < AGED_TURN_EVERY - 1 or now - line.waits_since < self._patience_s:
            return None
        self._turns_by_weight = 0
        return line


def most_beside_interactive(slots: int) -> int:
    """How many of `slots` the other tiers may hold at once."""
    return max(1, slots - 1)


class Slots(Generic[K]):
    """Keys that wait for one of `slots`, or hold one. Times are those of a TurnQueue.

    Of several slots one is kept for interactive work, which has it out of turn, while all others are held by less
    urgent work. So the bounds of a TurnQueue hold with k - 1 slots in the place of k.
    """

    def __init__(self, slots: int) -> None:
        self.free = slots
        self._waiting: TurnQueue[K] = TurnQueue()
        self._tiers: dict[K, Tier] = {}
        self._left_for_others = most_beside_interactive(slots)

    def waiting(self) -> Iterator[K]:
        """In order of arrival."""
        return iter(self._waiting)

    def push(self, key: K, *, tier: Tier, deadline: float, since: float, cost: float = 1) -> None:
        """See TurnQueue.push."""
        self._waiting.push(key, tier=tier, deadline=deadline, since=since, cost=cost)
        self._tiers[key] = tier

    def take(self, key: K, tier: Tier, now: float, *, cost: float = 1) -> bool:
        """Let `key` have a slot at once, if one is free for it and nobody waits. Whether it has."""
        if not self.free or self._waiting or not (self._left_for_others or tier is Tier.INTERACTIVE):
            return False
        if self._left_for_others:
            self._waiting.serve(tier, now, cost=cost)
        self._tiers[key] = tier
        self._count(key, 1)
        return True

    def grant(self, now: float) -> K | None:
        """The key that has a free slot from now on, until its release; None if nobody may have one."""
        if not self.free:
            return None
        beside = not self._left_for_others
        key = self._waiting.pop_beside(Tier.INTERACTIVE, now) if beside else self._waiting.pop(now)
        if key is not None:
            self._count(key, 1)
        return key

    def release(self, key: K) -> None:
        """Take the slot back that `key` was granted."""
        self._count(key, -1)
        del self._tiers[key]

    def remove(self, key: K) -> None:
        """Forget `key`, which waits; nothing if it does not."""
        if self._waiting.remove(key):
            del self._tiers[key]

    def _count(self, key: K, taken: int) -> None:
        self.free -= taken
        if self._tiers[key] is not Tier.INTERACTIVE:
            self._left_for_others -= taken


class _Entry(NamedTuple, Generic[K]):
    """Sorted by rank, then by arrival."""

    rank: float
    number: int
    tier: Tier
    cost: float
    key: K


@dataclass
class _Line(Generic[K]):
    """One tier. `waits_since`: its last turn, or when somebody came after nobody waited, whichever is later."""

    weight: int
    entries: list[_Entry[K]] = field(default_factory=list)
    moved: float = 0.0
    waits_since: float = 0.0

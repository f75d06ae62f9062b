"""How long somebody waited for a full worker while another one had room, from what lies on Kafka."""

from collections import defaultdict
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import pairwise


@dataclass(frozen=True)
class Sent:
    """An attempt was laid on a partition that `worker` reads. Times are seconds of the broker's clock."""

    at: float
    attempt: str
    worker: str


@dataclass(frozen=True)
class Admitted:
    at: float
    attempt: str
    worker: str


@dataclass(frozen=True)
class Ended:
    at: float
    attempt: str


Happening = Sent | Admitted | Ended


@dataclass
class _Slots:
    """Who waits where, and who runs where."""

    slots: int
    waiting: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    running: dict[str, str] = field(default_factory=dict)
    over: set[str] = field(default_factory=set)

    def hear(self, happening: Happening) -> None:
        attempt = happening.attempt
        if isinstance(happening, Sent):
            if attempt not in self.running and attempt not in self.over:
                self.waiting[attempt].add(happening.worker)
        elif isinstance(happening, Admitted):
            self.waiting.pop(attempt, None)
            self.running[attempt] = happening.worker
        else:
            self.waiting.pop(attempt, None)
            self.running.pop(attempt, None)
            self.over.add(attempt)

    def room(self, worker: str) -> int:
        """Free slots less those that wait for one of them."""
        return (
            self.slots
            - sum(runs == worker for runs in self.running.values())
            - sum(worker in workers for workers in self.waiting.values())
        )

    def is_misplaced(self, workers: Iterable[str]) -> bool:
        room = {worker: self.room(worker) for worker in workers}
        return any(free > 0 for free in room.values()) and any(
            all(room[worker] < 0 for worker in sent_to) for sent_to in self.waiting.values()
        )


def misplaced_s(happenings: Iterable[Happening], workers: AbstractSet[str], slots: int) -> float:
    """Seconds in which an attempt waited where more were sent than fit, while a worker with room did not have it."""
    ordered = sorted(happenings, key=lambda happening: happening.at)
    state, total = _Slots(slots), 0.0
    for before, after in pairwise(ordered):
        state.hear(before)
        if after.at > before.at and state.is_misplaced(workers):
            total += after.at - before.at
    return total


def busy_share(happenings: Iterable[Happening], workers: AbstractSet[str], slots: int) -> float:
    """Of the slots, on average from the first happening to the last."""
    ordered = sorted(happenings, key=lambda happening: happening.at)
    state, taken = _Slots(slots), 0.0
    for before, after in pairwise(ordered):
        state.hear(before)
        taken += len(state.running) * (after.at - before.at)
    return taken / ((ordered[-1].at - ordered[0].at) * slots * len(workers))


def found_full(happenings: Iterable[Happening], workers: AbstractSet[str], slots: int) -> int:
    """How many attempts came when no worker had room."""
    state, count, known = _Slots(slots), 0, set[str]()
    for happening in sorted(happenings, key=lambda happening: happening.at):
        if isinstance(happening, Sent) and happening.attempt not in known:
            known.add(happening.attempt)
            count += all(state.room(worker) <= 0 for worker in workers)
        state.hear(happening)
    return count

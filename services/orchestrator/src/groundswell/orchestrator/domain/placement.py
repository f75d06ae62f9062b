"""Which partition a generation command goes to: one that the least loaded worker reads.

What no worker has admitted yet is not bound to that choice: a worker that has room meanwhile is sent the same attempt,
and the first to admit it has it. (Tied requests: Dean and Barroso, The Tail at Scale, CACM 56(2), 2013.)

A request that was lost with two workers may be what kills them: it goes where no other such request is, so that it
costs itself only.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter

from groundswell.common.contracts.generation import GenerateAnswer, WorkerProgressed
from groundswell.common.ids import RequestId, WorkerId
from groundswell.common.scheduling import most_beside_interactive
from groundswell.common.tiers import Tier

SUSPECT_LOSSES = 2
FRESH_S = 3.0
"""Workers speak once a second; one that has not for longer gets nothing more."""


@dataclass(frozen=True)
class Copy:
    """The attempt of `request_id` that waits elsewhere is to go to `partition`, too."""

    request_id: RequestId
    partition: int


@dataclass(frozen=True)
class _Wanted:
    """An attempt that needs a worker."""

    command: GenerateAnswer
    tier: Tier
    deadline: float = math.inf

    @property
    def request_id(self) -> RequestId:
        return self.command.request_id

    @property
    def is_suspect(self) -> bool:
        return self.command.losses >= SUSPECT_LOSSES


@dataclass(frozen=True)
class _Sent:
    wanted: _Wanted
    partition: int

    def comes_to(self, report: WorkerProgressed) -> bool:
        """The partition may have gone to another worker meanwhile."""
        return self.partition in report.partitions.get(self.wanted.tier, ())


class Placement:
    """What each worker said last, and what was sent to it since. Times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._reports: dict[WorkerId, tuple[WorkerProgressed, float]] = {}
        self._sent: dict[WorkerId, dict[RequestId, _Sent]] = {}
        self._waiting: dict[RequestId, _Wanted] = {}
        """Placed and, as far as is known, not admitted."""

    def hear(self, report: WorkerProgressed, now: float) -> None:
        """Take a worker's word for what it runs: what it ran and does no more has ended there."""
        known = self._reports.get(report.worker)
        ended = _running(known[0]).keys() - _running(report).keys() if known else set()
        self._reports[report.worker] = report, now
        for request_id in ended:
            self._sent.get(report.worker, {}).pop(request_id, None)

    def must_wait(self, command: GenerateAnswer, tier: Tier, now: float) -> bool:
        """Whether every worker that could take a suspect request has one, or none is known."""
        wanted = _Wanted(command, tier)
        return wanted.is_suspect and not self._takers(wanted, self._fresh(now))

    def place(self, command: GenerateAnswer, tier: Tier, now: float, *, deadline: float) -> int | None:
        """The partition for an attempt of the request; None if no worker is known that reads one.

        `deadline`, by any one clock, says who of a tier is offered a free slot first.
        """
        wanted = _Wanted(command, tier, deadline)
        self.forget(wanted.request_id)
        self._waiting[wanted.request_id] = wanted
        takers = self._takers(wanted, self._fresh(now))
        return self._send(wanted, self._least_loaded(takers, tier)) if takers else None

    def copies(self, now: float) -> Iterator[Copy]:
        """Attempts that wait where no slot is free, the most urgent first, for workers that have one."""
        fresh = self._fresh(now)
        for tier in Tier:
            with_room = [report for report in fresh if not report.draining and self._room(report, tier) > 0]
            if not with_room:
                continue
            waiting = [wanted for wanted in self._waiting.values() if wanted.tier is tier]
            for wanted in sorted(waiting, key=attrgetter("deadline")):
                takers = self._takers(wanted, with_room)
                if takers and self._is_stuck(wanted, fresh):
                    chosen = self._least_loaded(takers, tier)
                    yield Copy(wanted.request_id, self._send(wanted, chosen))
                    if self._room(chosen, tier) <= 0:
                        with_room.remove(chosen)
                    if not with_room:
                        break

    def bind(self, request_id: RequestId, worker: WorkerId) -> None:
        """The worker has admitted it; nobody else is to run it."""
        self._waiting.pop(request_id, None)
        self._forget_sent(request_id, but=worker)

    def forget(self, request_id: RequestId) -> None:
        """The request has ended, or goes on elsewhere."""
        self._waiting.pop(request_id, None)
        self._forget_sent(request_id)

    def lose(self, worker: WorkerId) -> None:
        """It is given nothing until it speaks again."""
        self._reports.pop(worker, None)
        self._sent.pop(worker, None)

    def _send(self, wanted: _Wanted, report: WorkerProgressed) -> int:
        partitions = report.partitions[wanted.tier]
        partition = partitions[int(wanted.request_id[-8:], 16) % len(partitions)]
        self._sent.setdefault(report.worker, {})[wanted.request_id] = _Sent(wanted, partition)
        return partition

    def _forget_sent(self, request_id: RequestId, but: WorkerId | None = None) -> None:
        for worker, sent in self._sent.items():
            if worker != but:
                sent.pop(request_id, None)

    def _takers(self, wanted: _Wanted, among: Sequence[WorkerProgressed]) -> list[WorkerProgressed]:
        return [
            report
            for report in among
            if _takes(report, wanted) and not (wanted.is_suspect and self._has_suspect(report, wanted.request_id))
        ]

    def _has_suspect(self, report: WorkerProgressed, other_than: RequestId) -> bool:
        running = {attempt.request_id for attempt in report.running if attempt.losses >= SUSPECT_LOSSES}
        sent = {request_id for request_id, sent in self._sent.get(report.worker, {}).items() if sent.wanted.is_suspect}
        return bool((running | sent) - {other_than})

    def _is_stuck(self, wanted: _Wanted, among: Sequence[WorkerProgressed]) -> bool:
        """Whether it runs nowhere, and no worker that it comes to has a slot for it."""
        attempt = wanted.request_id, wanted.command.attempt
        return not any(
            any((of.request_id, of.attempt) == attempt for of in report.running)
            or self._comes_to_a_slot(wanted, report)
            for report in among
        )

    def _comes_to_a_slot(self, wanted: _Wanted, report: WorkerProgressed) -> bool:
        on_its_way = wanted.request_id in self._on_its_way(report)
        return on_its_way and _takes(report, wanted) and self._room(report, wanted.tier) >= 0

    def _fresh(self, now: float) -> list[WorkerProgressed]:
        return [report for report, heard in self._reports.values() if now - heard <= FRESH_S]

    def _least_loaded(self, reports: Sequence[WorkerProgressed], tier: Tier) -> WorkerProgressed:
        return min(
            reports,
            key=lambda report: (
                (report.slots - self._room(report, tier) + report.waiting) / report.slots,
                report.worker,
            ),
        )

    def _room(self, report: WorkerProgressed, tier: Tier) -> int:
        """Slots free for `tier`, less what is on its way; negative if more is on its way than there is room for."""
        held = _running(report) | self._on_its_way(report)
        others = sum(each is not Tier.INTERACTIVE for each in held.values())
        most_others = most_beside_interactive(report.slots)
        room = report.slots - (len(held) - others) - min(others, most_others)
        return room if tier is Tier.INTERACTIVE else min(room, most_others - others)

    def _on_its_way(self, report: WorkerProgressed) -> dict[RequestId, Tier]:
        sent = self._sent.get(report.worker, {})
        return {request_id: each.wanted.tier for request_id, each in sent.items() if each.comes_to(report)}


def _running(report: WorkerProgressed) -> dict[RequestId, Tier]:
    return {attempt.request_id: attempt.tier for attempt in report.running}


def _takes(report: WorkerProgressed, wanted: _Wanted) -> bool:
    return wanted.command.model in report.models and not report.draining and bool(report.partitions.get(wanted.tier))

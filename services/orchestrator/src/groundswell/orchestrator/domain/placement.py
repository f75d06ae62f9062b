"""Which partition a generation command goes to: one that the least loaded worker reads.

What no worker has admitted yet is not bound to that choice: a worker that has room meanwhile is sent the same attempt,
and the first to admit it has it. (Tied requests: Dean and Barroso, The Tail at Scale, CACM 56(2), 2013.)

A request that was lost with two workers may be what kills them: it goes where no other such request is, so that it
costs itself only.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from groundswell.common.contracts.generation import GenerateAnswer, WorkerProgressed
from groundswell.common.ids import RequestId, WorkerId
from groundswell.common.tiers import Tier

SUSPECT_LOSSES = 2
FRESH_S = 3.0
"""Workers speak once a second; one that has not for longer gets nothing more."""
_RANK = {tier: rank for rank, tier in enumerate(Tier)}


@dataclass(frozen=True)
class _Report:
    progress: WorkerProgressed
    at: float


@dataclass(frozen=True)
class _Waiting:
    command: GenerateAnswer
    tier: Tier


@dataclass(frozen=True)
class Copy:
    """The attempt of `request_id` that waits elsewhere is to go to `partition`, too."""

    request_id: RequestId
    partition: int


class Placement:
    """What each worker said last, and what was sent to it since. Times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._reports: dict[WorkerId, _Report] = {}
        self._sent: defaultdict[WorkerId, dict[RequestId, bool]] = defaultdict(dict)
        """With whether it is suspect."""
        self._waiting: dict[RequestId, _Waiting] = {}
        """Placed and, as far as is known, not admitted; oldest first."""

    def hear(self, progress: WorkerProgressed, now: float) -> None:
        self._reports[progress.worker] = _Report(progress, now)

    def must_wait(self, command: GenerateAnswer, tier: Tier, now: float) -> bool:
        """Whether every worker that could take a suspect request has one, or none is known."""
        return command.losses >= SUSPECT_LOSSES and not self._readers(command, tier, now)

    def place(self, command: GenerateAnswer, tier: Tier, now: float) -> int | None:
        """The partition for an attempt of the request; None if no worker is known that reads one."""
        self.forget(command.request_id)
        self._waiting[command.request_id] = _Waiting(command, tier)
        readers = self._readers(command, tier, now)
        if not readers:
            return None
        return self._send(command, tier, self._least_loaded(readers))

    def copies(self, now: float) -> Iterator[Copy]:
        """Attempts that wait where no slot is free, the most urgent first, for workers that have one."""
        room = sum(max(0, self._room(worker)) for worker in self._fresh(now))
        for waiting in sorted(self._waiting.values(), key=lambda waiting: _RANK[waiting.tier]):
            if not room:
                return
            takers = [worker for worker in self._readers(waiting.command, waiting.tier, now) if self._room(worker) > 0]
            if takers and self._is_stuck(waiting, now):
                partition = self._send(waiting.command, waiting.tier, self._least_loaded(takers))
                room -= 1
                yield Copy(waiting.command.request_id, partition)

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

    def _send(self, command: GenerateAnswer, tier: Tier, worker: WorkerProgressed) -> int:
        self._sent[worker.worker][command.request_id] = command.losses >= SUSPECT_LOSSES
        partitions = worker.partitions[tier]
        return partitions[int(command.request_id[-8:], 16) % len(partitions)]

    def _forget_sent(self, request_id: RequestId, but: WorkerId | None = None) -> None:
        for worker in [worker for worker, sent in self._sent.items() if request_id in sent and worker != but]:
            del self._sent[worker][request_id]
            if not self._sent[worker]:
                del self._sent[worker]

    def _readers(self, command: GenerateAnswer, tier: Tier, now: float) -> list[WorkerProgressed]:
        return [
            worker
            for worker in self._fresh(now)
            if _takes(worker, command.model, tier)
            and not (command.losses >= SUSPECT_LOSSES and self._has_suspect(worker, command.request_id))
        ]

    def _has_suspect(self, worker: WorkerProgressed, other_than: RequestId) -> bool:
        running = {attempt.request_id for attempt in worker.running if attempt.losses >= SUSPECT_LOSSES}
        sent = {request_id for request_id, suspect in self._sent.get(worker.worker, {}).items() if suspect}
        return bool((running | sent) - {other_than})

    def _is_stuck(self, waiting: _Waiting, now: float) -> bool:
        """Whether it runs nowhere, and no worker that was sent it has a slot for it."""
        command = waiting.command
        return not any(
            any((of.request_id, of.attempt) == (command.request_id, command.attempt) for of in worker.running)
            or (
                command.request_id in self._sent.get(worker.worker, {})
                and _takes(worker, command.model, waiting.tier)
                and self._room(worker) >= 0
            )
            for worker in self._fresh(now)
        )

    def _fresh(self, now: float) -> list[WorkerProgressed]:
        return [report.progress for report in self._reports.values() if now - report.at <= FRESH_S]

    def _least_loaded(self, workers: list[WorkerProgressed]) -> WorkerProgressed:
        return min(workers, key=lambda of: ((of.slots - self._room(of) + of.waiting) / of.slots, of.worker))

    def _room(self, worker: WorkerProgressed) -> int:
        """Free slots, less what is on its way; negative if more is on its way than there is room for."""
        running = {attempt.request_id for attempt in worker.running}
        return worker.slots - len(running | self._sent.get(worker.worker, {}).keys())


def _takes(worker: WorkerProgressed, model: str, tier: Tier) -> bool:
    return model in worker.models and not worker.draining and bool(worker.partitions.get(tier))

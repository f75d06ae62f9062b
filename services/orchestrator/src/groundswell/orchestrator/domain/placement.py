"""Which partition a generation command goes to: one that the least loaded worker reads."""

from collections import defaultdict
from dataclasses import dataclass

from groundswell.common.contracts.generation import WorkerProgressed
from groundswell.common.ids import RequestId, WorkerId
from groundswell.common.tiers import Tier

FRESH_S = 3.0
"""Workers speak once a second; one that has not for longer gets nothing more."""


@dataclass(frozen=True)
class _Report:
    progress: WorkerProgressed
    at: float


class Placement:
    """What each worker said last, and what was sent to it since. Times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._reports: dict[WorkerId, _Report] = {}
        self._sent: defaultdict[WorkerId, set[RequestId]] = defaultdict(set)

    def hear(self, progress: WorkerProgressed, now: float) -> None:
        self._reports[progress.worker] = _Report(progress, now)

    def place(self, request_id: RequestId, model: str, tier: Tier, now: float) -> int | None:
        """The partition for an attempt of the request; None if no worker is known that reads one."""
        self.forget(request_id)
        readers = [
            report.progress
            for report in self._reports.values()
            if now - report.at <= FRESH_S and _takes(report.progress, model, tier)
        ]
        if not readers:
            return None
        chosen = min(readers, key=lambda worker: (self._load(worker) / worker.slots, worker.worker))
        self._sent[chosen.worker].add(request_id)
        partitions = chosen.partitions[tier]
        return partitions[int(request_id[-8:], 16) % len(partitions)]

    def forget(self, request_id: RequestId) -> None:
        """The request has ended, or goes on elsewhere."""
        for worker in [worker for worker, sent in self._sent.items() if request_id in sent]:
            self._sent[worker].discard(request_id)
            if not self._sent[worker]:
                del self._sent[worker]

    def lose(self, worker: WorkerId) -> None:
        """It is given nothing until it speaks again."""
        self._reports.pop(worker, None)
        self._sent.pop(worker, None)

    def _load(self, worker: WorkerProgressed) -> int:
        running = {attempt.request_id for attempt in worker.running}
        return len(running | self._sent.get(worker.worker, set())) + worker.waiting


def _takes(worker: WorkerProgressed, model: str, tier: Tier) -> bool:
    return model in worker.models and not worker.draining and bool(worker.partitions.get(tier))

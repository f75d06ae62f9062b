"""Which partition a generation command goes to: one that the least loaded worker reads.

A request that was lost with two workers may be what kills them: it goes where no other such request is, so that it
costs itself only.
"""

from collections import defaultdict
from dataclasses import dataclass

from groundswell.common.contracts.generation import GenerateAnswer, WorkerProgressed
from groundswell.common.ids import RequestId, WorkerId
from groundswell.common.tiers import Tier

SUSPECT_LOSSES = 2
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
        self._sent: defaultdict[WorkerId, dict[RequestId, bool]] = defaultdict(dict)
        """With whether it is suspect."""

    def hear(self, progress: WorkerProgressed, now: float) -> None:
        self._reports[progress.worker] = _Report(progress, now)

    def must_wait(self, command: GenerateAnswer, tier: Tier, now: float) -> bool:
        """Whether every worker that could take a suspect request has one, or none is known."""
        return command.losses >= SUSPECT_LOSSES and not self._readers(command, tier, now)

    def place(self, command: GenerateAnswer, tier: Tier, now: float) -> int | None:
        """The partition for an attempt of the request; None if no worker is known that reads one."""
        request_id = command.request_id
        self.forget(request_id)
        readers = self._readers(command, tier, now)
        if not readers:
            return None
        chosen = min(readers, key=lambda worker: (self._load(worker) / worker.slots, worker.worker))
        self._sent[chosen.worker][request_id] = command.losses >= SUSPECT_LOSSES
        partitions = chosen.partitions[tier]
        return partitions[int(request_id[-8:], 16) % len(partitions)]

    def forget(self, request_id: RequestId) -> None:
        """The request has ended, or goes on elsewhere."""
        for worker in [worker for worker, sent in self._sent.items() if request_id in sent]:
            del self._sent[worker][request_id]
            if not self._sent[worker]:
                del self._sent[worker]

    def lose(self, worker: WorkerId) -> None:
        """It is given nothing until it speaks again."""
        self._reports.pop(worker, None)
        self._sent.pop(worker, None)

    def _readers(self, command: GenerateAnswer, tier: Tier, now: float) -> list[WorkerProgressed]:
        return [
            report.progress
            for report in self._reports.values()
            if now - report.at <= FRESH_S
            and _takes(report.progress, command.model, tier)
            and not (command.losses >= SUSPECT_LOSSES and self._has_suspect(report.progress, command.request_id))
        ]

    def _has_suspect(self, worker: WorkerProgressed, other_than: RequestId) -> bool:
        running = {attempt.request_id for attempt in worker.running if attempt.losses >= SUSPECT_LOSSES}
        sent = {request_id for request_id, suspect in self._sent.get(worker.worker, {}).items() if suspect}
        return bool((running | sent) - {other_than})

    def _load(self, worker: WorkerProgressed) -> int:
        running = {attempt.request_id for attempt in worker.running}
        return len(running | self._sent.get(worker.worker, {}).keys()) + worker.waiting


def _takes(worker: WorkerProgressed, model: str, tier: Tier) -> bool:
    return model in worker.models and not worker.draining and bool(worker.partitions.get(tier))

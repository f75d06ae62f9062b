"""What is lost: workers that fell silent while this process could hear, and attempts that living workers do not run."""

from collections.abc import Iterator
from dataclasses import dataclass

from groundswell.common.contracts.generation import WorkerProgressed
from groundswell.common.ids import RequestId, WorkerId

LOST_AFTER_S = 5.0
"""Workers speak once a second."""
UNNAMED_REPORTS = 2
ADMITTED_FOR_S = 2.0
"""Longer than the clocks of a worker, the broker and this process differ, as they are told from each other."""


@dataclass(frozen=True)
class SilentWorker:
    """`had_drained`: it went in order, after it had said that it runs nothing and takes nothing more."""

    worker: WorkerId
    had_drained: bool


class WorkerSigns:
    """When each worker was last heard. Times are seconds of one monotonic clock, given by the caller.

    Silence counts only while this process can hear: an outage of the broker makes every worker silent and none lost.
    """

    def __init__(self, lost_after_s: float = LOST_AFTER_S) -> None:
        self._lost_after_s = lost_after_s
        self._heard: dict[WorkerId, float] = {}
        self._drained: set[WorkerId] = set()
        self._listening_since: float | None = None

    def hear(self, worker: WorkerId, now: float) -> None:
        self._heard[worker] = now

    def hear_progress(self, report: WorkerProgressed, now: float) -> None:
        """Take a worker's report. One that drains and runs nothing has perhaps said its last."""
        self.hear(report.worker, now)
        if report.draining and not report.running:
            self._drained.add(report.worker)
        else:
            self._drained.discard(report.worker)

    def listen(self, now: float, *, can_hear: bool) -> None:
        """Say whether what workers say arrives here at present."""
        if not can_hear:
            self._listening_since = None
        elif self._listening_since is None:
            self._listening_since = now

    def take_silent(self, now: float) -> list[SilentWorker]:
        """Workers that have been silent for too long, each once: one that speaks again is heard again."""
        if self._listening_since is None:
            return []
        since = self._listening_since
        silent = [worker for worker, heard in self._heard.items() if now - max(heard, since) >= self._lost_after_s]
        found = [SilentWorker(worker, had_drained=worker in self._drained) for worker in silent]
        for worker in silent:
            del self._heard[worker]
            self._drained.discard(worker)
        return found


@dataclass(frozen=True)
class BoundAttempt:
    """The attempt of a request that a worker admitted; `epoch` is of the owner that began it."""

    request_id: RequestId
    attempt: int
    epoch: int
    worker: WorkerId


@dataclass
class _Watched:
    attempt: BoundAttempt
    admitted_s: float
    unnamed: int = 0
    missing_since: float | None = None


class BoundAttempts:
    """Which admitted attempts their workers no longer name among those that they run.

    A worker publishes how an attempt ended before it stops naming it. So once everything has been heard that lay on the
    reply partitions when such a report came, either its end was among that, or nobody will ever say it.
    """

    def __init__(self) -> None:
        self._watched: dict[WorkerId, dict[RequestId, _Watched]] = {}

    def bind(self, attempt: BoundAttempt, now: float) -> None:
        """Watch the attempt instead of any before it. `now` is wall-clock seconds, not before its admission."""
        known = self._watched.get(attempt.worker, {}).get(attempt.request_id)
        if known is None or known.attempt != attempt:
            self.forget(attempt.request_id)
            self._watched.setdefault(attempt.worker, {})[attempt.request_id] = _Watched(attempt, now)

    def forget(self, request_id: RequestId) -> None:
        """The request has ended, or goes on elsewhere."""
        for worker, watched in list(self._watched.items()):
            watched.pop(request_id, None)
            if not watched:
                del self._watched[worker]

    def hear(self, report: WorkerProgressed, *, sent: float, heard: float) -> None:
        """`sent` in wall-clock seconds, since a report may come long after; `heard` on the monotonic clock."""
        watched = self._watched.get(report.worker)
        if not watched:
            return
        named = {(running.request_id, running.attempt) for running in report.running}
        for each in watched.values():
            if (each.attempt.request_id, each.attempt.attempt) in named:
                each.unnamed, each.missing_since = 0, None
            elif sent >= each.admitted_s + ADMITTED_FOR_S:
                each.unnamed += 1
                if each.unnamed == UNNAMED_REPORTS:
                    each.missing_since = heard

    def take_missing(self, heard_until: float) -> Iterator[BoundAttempt]:
        """Those that are lost, each once, if all replies were heard that were there at `heard_until` (monotonic)."""
        for watched in list(self._watched.values()):
            for each in list(watched.values()):
                if each.missing_since is not None and each.missing_since < heard_until:
                    self.forget(each.attempt.request_id)
                    yield each.attempt

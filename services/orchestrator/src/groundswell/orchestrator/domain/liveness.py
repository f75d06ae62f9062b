"""Which workers are lost: admitted an attempt, then fell silent while this process could hear."""

from groundswell.common.ids import WorkerId

LOST_AFTER_S = 5.0
"""Workers speak once a second."""


class WorkerSigns:
    """When each worker was last heard. Times are seconds of one monotonic clock, given by the caller.

    Silence counts only while this process can hear: an outage of the broker makes every worker silent and none lost.
    """

    def __init__(self, lost_after_s: float = LOST_AFTER_S) -> None:
        self._lost_after_s = lost_after_s
        self._heard: dict[WorkerId, float] = {}
        self._listening_since: float | None = None

    def hear(self, worker: WorkerId, now: float) -> None:
        self._heard[worker] = now

    def listen(self, now: float, *, can_hear: bool) -> None:
        """Say whether what workers say arrives here at present."""
        if not can_hear:
            self._listening_since = None
        elif self._listening_since is None:
            self._listening_since = now

    def take_lost(self, now: float) -> list[WorkerId]:
        """Workers that have been silent for too long, each once: one that speaks again is heard again."""
        if self._listening_since is None:
            return []
        since = self._listening_since
        lost = [worker for worker, heard in self._heard.items() if now - max(heard, since) >= self._lost_after_s]
        for worker in lost:
            del self._heard[worker]
        return lost

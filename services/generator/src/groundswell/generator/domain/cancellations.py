"""Attempts that were cancelled lately: a cancel may arrive before the command that it cancels."""

from collections import OrderedDict
from dataclasses import dataclass, field

from groundswell.common.ids import RequestId

REMEMBERED_S = 600.0


@dataclass(frozen=True, order=True)
class Cancellation:
    """Of the attempts up to `attempt` of the owner with `epoch`, and of all that earlier owners began."""

    epoch: int
    attempt: int

    def covers(self, epoch: int, attempt: int) -> bool:
        return (epoch, attempt) <= (self.epoch, self.attempt)


@dataclass
class RecentCancellations:
    """The newest cancellation of each request, for `horizon_s`; over `limit` requests the oldest go."""

    horizon_s: float = REMEMBERED_S
    limit: int = 100_000
    _known: OrderedDict[RequestId, tuple[Cancellation, float]] = field(default_factory=OrderedDict)

    def add(self, request_id: RequestId, cancellation: Cancellation, now: float) -> None:
        known, _ = self._known.pop(request_id, (cancellation, now))
        self._known[request_id] = max(known, cancellation), now
        self._forget(now)

    def covers(self, request_id: RequestId, *, epoch: int, attempt: int, now: float) -> bool:
        self._forget(now)
        return request_id in self._known and self._known[request_id][0].covers(epoch, attempt)

    def __len__(self) -> int:
        return len(self._known)

    def _forget(self, now: float) -> None:
        while self._known:
            _, since = next(iter(self._known.values()))
            if len(self._known) <= self.limit and now - since <= self.horizon_s:
                return
            self._known.popitem(last=False)

"""Attempts that were cancelled lately: a cancel may arrive before the command that it cancels."""

from collections import OrderedDict
from dataclasses import dataclass, field

from groundswell.common.ids import RequestId


@dataclass
class RecentCancellations:
    """The highest cancelled attempt of each request, for `horizon_s`; over `limit` requests the oldest go."""

    horizon_s: float = 600.0
    limit: int = 100_000
    _cancelled: OrderedDict[RequestId, tuple[int, float]] = field(default_factory=OrderedDict)

    def add(self, request_id: RequestId, attempt: int, now: float) -> None:
        known, _ = self._cancelled.pop(request_id, (0, 0.0))
        self._cancelled[request_id] = (max(known, attempt), now)
        self._forget(now)

    def covers(self, request_id: RequestId, attempt: int, now: float) -> bool:
        """Whether `attempt` was cancelled, itself or by a later one of its request."""
        self._forget(now)
        cancelled, _ = self._cancelled.get(request_id, (0, 0.0))
        return attempt <= cancelled

    def __len__(self) -> int:
        return len(self._cancelled)

    def _forget(self, now: float) -> None:
        while self._cancelled:
            _, since = next(iter(self._cancelled.values()))
            if len(self._cancelled) <= self.limit and now - since <= self.horizon_s:
                return
            self._cancelled.popitem(last=False)

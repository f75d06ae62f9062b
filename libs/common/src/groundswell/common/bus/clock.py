"""This process's idea of the broker's clock, learnt from the append times of its own publishes."""

import time


class BrokerClock:
    """Keeps the offset between the local clock and the broker's LogAppendTime: clients' clocks may differ by minutes.

    One sample is the append time against the middle of the publish call: wrong by at most half its round trip. The
    sample with the shortest round trip of the last window is believed.
    """

    WINDOW_S = 60.0

    def __init__(self) -> None:
        self._offset_ms = 0.0
        self._best_trip_ms = float("inf")
        self._best_at = 0.0

    def observe(self, sent_s: float, acknowledged_s: float, append_ms: int) -> None:
        """Take one publish: local wall-clock seconds before and after it, and the broker's append time."""
        trip_ms = (acknowledged_s - sent_s) * 1000
        stale = acknowledged_s - self._best_at > self.WINDOW_S
        if trip_ms <= self._best_trip_ms or stale:
            self._offset_ms = append_ms - (sent_s + acknowledged_s) * 500
            self._best_trip_ms, self._best_at = trip_ms, acknowledged_s

    def now_ms(self) -> int:
        """Milliseconds of the broker's clock, as far as this process knows."""
        return int(time.time() * 1000 + self._offset_ms)

    def to_local_s(self, broker_ms: float) -> float:
        """A broker time as local wall-clock seconds."""
        return (broker_ms - self._offset_ms) / 1000

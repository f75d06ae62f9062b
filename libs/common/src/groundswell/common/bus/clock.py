"""This process's idea of the broker's clock, learnt from the append times of its own publishes."""

import time


class BrokerClock:
    """Keeps the offset between the local clock and the broker's LogAppendTime: clients' clocks may differ by minutes.

    One sample is the append time against the middle of the publish call: wrong by at most half its round trip. The
    sample with the least error is believed, and clocks drift apart by DRIFT_MS_PER_S while it ages: so none that waited
    for a broker that was away spoils it.
    """

    DRIFT_MS_PER_S = 1.0
    """Twice as much as the fastest that a clock is set right by NTP's slewing."""

    def __init__(self) -> None:
        self._offset_ms = 0.0
        self._error_ms = float("inf")
        self._learnt_at = 0.0

    def observe(self, sent_s: float, acknowledged_s: float, append_ms: int) -> None:
        """Take one publish: local wall-clock seconds before and after it, and the broker's append time."""
        error_ms = (acknowledged_s - sent_s) * 500
        age_s = abs(acknowledged_s - self._learnt_at)  # the local clock may have been set back
        if error_ms <= self._error_ms + age_s * self.DRIFT_MS_PER_S:
            self._offset_ms = append_ms - (sent_s + acknowledged_s) * 500
            self._error_ms, self._learnt_at = error_ms, acknowledged_s

    def now_ms(self) -> int:
        """Milliseconds of the broker's clock, as far as this process knows."""
        return int(time.time() * 1000 + self._offset_ms)

    def to_local_s(self, broker_ms: float) -> float:
        """A broker time as local wall-clock seconds."""
        return (broker_ms - self._offset_ms) / 1000

"""Sees a consumer that stands still: aiokafka's may stay alive, assigned and stuck after a broker's restart."""

from groundswell.common.errors import GroundswellError


class StandsStill(GroundswellError):
    """A consumer with room and data before it takes nothing: only a new process helps."""


class Watchdog:
    """Pure: it is told what can be seen, with the time in seconds."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._taken = -1
        self._since: float | None = None

    def look(self, now: float, *, free: bool, behind: bool, taken: int) -> None:
        """`free`: unpaused with room; `behind`: records lie before it; `taken`: how many it has taken so far.

        Raises StandsStill when it was free and behind for `patience_s` and took nothing.
        """
        if not (free and behind) or taken != self._taken:
            self._taken, self._since = taken, None
        elif self._since is None:
            self._since = now
        elif now - self._since >= self._patience_s:
            raise StandsStill(f"no record taken for {now - self._since:.0f} s although some wait")

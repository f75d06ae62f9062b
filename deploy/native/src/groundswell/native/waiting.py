"""Bounded waits on a stack that starts, with one line that says what is still missing."""

import time
from collections import deque
from collections.abc import Callable, Mapping

from groundswell.native.control import supervisor_pid
from groundswell.native.errors import NotReadyError
from groundswell.native.layout import Home
from groundswell.native.progress import Step

ASK_EVERY_S = 0.1
LAST_LINES = 3


def wait_for(missing: Callable[[], Mapping[str, str]], home: Home, timeout_s: float, title: str) -> None:
    """Asks what is missing until nothing is. Raises NotReadyError naming it, its log, and the log's last lines.

    Keys of what is missing are program names, which are also the names of the logs.
    """
    deadline = time.monotonic() + timeout_s
    with Step(title) as step:
        while lacking := missing():
            if supervisor_pid(home) is None:
                raise NotReadyError(f"the supervisor ended by itself; see {home.logs / 'supervisor.log'}")
            if time.monotonic() > deadline:
                raise NotReadyError(_complaint(lacking, home, timeout_s))
            step.wait_for(", ".join(lacking))
            time.sleep(ASK_EVERY_S)


def describe(lacking: Mapping[str, str]) -> str:
    return ", ".join(f"{name} ({reason})" if reason else name for name, reason in lacking.items())


def _complaint(lacking: Mapping[str, str], home: Home, timeout_s: float) -> str:
    first = next(iter(lacking))
    log = home.logs / f"{first}.log"
    lines = [f"not ready after {timeout_s:.0f} s: {describe(lacking)}", f"The log of {first} is {log}"]
    if log.exists():
        with log.open(encoding="utf-8", errors="replace") as file:
            lines += [f"  {line.rstrip()[:300]}" for line in deque(file, LAST_LINES)]
    return "\n".join(lines)

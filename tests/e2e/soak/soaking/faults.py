"""What is done to a running stack: each fault strikes, and returns when everything that it broke works again."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

SERVICES = ("ingest", "embedder", "retriever", "orchestrator", "generator", "moderator")
BROKER_AWAY_S, STORE_AWAY_S = 15.0, 5.0
STOPPED_S = 7.0
"""Longer than the session timeout of the test stack."""
LEASE_MISSED_S = 14.0
"""Longer than the lease of a reply partition and the look of its adopter."""
WHOLE_WITHIN_S = 90.0
SHORT_S, LONG_S = 15.0, 50.0

Wait = Callable[..., Any]
"""The fixture `wait_until`."""


@dataclass(frozen=True)
class Fault:
    """`strike(stack, wait)` does it, which takes about `takes_s`: requests come for as long.

    `breaks_connections`, `turns_away` (503 with Retry-After): what a client may notice.
    """

    name: str
    strike: Callable[[Any, Wait], None]
    takes_s: float = SHORT_S
    breaks_connections: bool = False
    turns_away: bool = True


def _kill(name: str, stack: Any, wait: Wait) -> None:
    victims = stack.kill(name)
    _wait_for(stack, wait, name, without=victims)


def _kill_each(name: str, stack: Any, wait: Wait) -> None:
    """One replica of two, and once it is replaced the other one."""
    with _scaled(name, 2, stack, wait):
        for victim in [record.pid for record in stack.of(name)]:
            os.kill(victim, signal.SIGKILL)
            _wait_for(stack, wait, name, 2, without=[victim])


def _keep_away(name: str, seconds: float, stack: Any, wait: Wait) -> None:
    stack.kill(name)
    with stack.without(name):
        time.sleep(seconds)
    wait(lambda: stack.is_whole, what=f"everything ready after {name}", within_s=WHOLE_WITHIN_S, every_s=0.5)


def _stop(name: str, seconds: float, stack: Any, wait: Wait) -> None:
    _suspend([record.pid for record in stack.of(name)], seconds)
    _wait_for(stack, wait, name)


def _stop_one_of_two(name: str, seconds: float, stack: Any, wait: Wait) -> None:
    with _scaled(name, 2, stack, wait):
        _suspend([stack.of(name)[0].pid], seconds)
        _wait_for(stack, wait, name, 2)


def _restart_everything(stack: Any, wait: Wait) -> None:
    for name in SERVICES:
        before = [record.pid for record in stack.of(name)]
        stack.native("restart", name)
        _wait_for(stack, wait, name, without=before)


def _scale(name: str, stack: Any, wait: Wait) -> None:
    with _scaled(name, 3, stack, wait):
        pass


@contextmanager
def _scaled(name: str, copies: int, stack: Any, wait: Wait) -> Iterator[None]:
    stack.native("scale", name, str(copies))
    _wait_for(stack, wait, name, copies)
    try:
        yield
    finally:
        stack.native("scale", name, "1")
        _wait_for(stack, wait, name)


def _suspend(pids: list[int], seconds: float) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(seconds)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def _wait_for(stack: Any, wait: Wait, name: str, count: int = 1, *, without: list[int] | tuple[()] = ()) -> None:
    wait(
        lambda: stack.is_ready(name, count, without=without),
        what=f"{count} of {name} ready",
        within_s=WHOLE_WITHIN_S,
        every_s=0.5,
    )


KILLS = [Fault(f"kill-{name}", partial(_kill, name), breaks_connections=name == "orchestrator") for name in SERVICES]
KILLS_OF_EACH = [
    # Nobody but a client of the replica that dies may notice: the other one goes on.
    Fault(
        f"kill-each-{name}",
        partial(_kill_each, name),
        LONG_S,
        breaks_connections=name == "orchestrator",
        turns_away=name == "orchestrator",
    )
    for name in SERVICES
]
AWAY = [
    Fault("broker-away", partial(_keep_away, "kafka", BROKER_AWAY_S)),
    Fault("postgres-away", partial(_keep_away, "postgres", STORE_AWAY_S)),
    Fault("weaviate-away", partial(_keep_away, "weaviate", STORE_AWAY_S)),
]
STOPS = [Fault(f"stop-{name}", partial(_stop, name, STOPPED_S)) for name in SERVICES]
SCALES = [Fault(f"scale-{name}", partial(_scale, name), LONG_S, turns_away=False) for name in SERVICES]
FAULTS = [
    *KILLS,
    *KILLS_OF_EACH,
    *AWAY,
    *STOPS,
    Fault("stop-one-orchestrator", partial(_stop_one_of_two, "orchestrator", LEASE_MISSED_S), LONG_S),
    Fault("restart-everything", _restart_everything, LONG_S),
    *SCALES,
]

"""The attempts of this worker: those that run, and those that it had lately, since a command may come twice."""

from collections import OrderedDict
from dataclasses import dataclass, field
from enum import Enum

from groundswell.common.contracts.generation import RunningAttempt
from groundswell.generator.domain.attempt_run import AttemptRun
from groundswell.generator.domain.jobs import AttemptKey


class Before(Enum):
    """What became of an attempt when it came the first time."""

    RUNS = "runs"
    ENDED = "ended"
    BROKE_OFF = "broke off"


@dataclass
class Attempts:
    """Remembers the last `limit` attempts that were admitted here."""

    limit: int = 10_000
    _running: dict[AttemptKey, AttemptRun] = field(default_factory=dict)
    _left: OrderedDict[AttemptKey, Before] = field(default_factory=OrderedDict)

    def before(self, key: AttemptKey) -> Before | None:
        return Before.RUNS if key in self._running else self._left.get(key)

    def join(self, run: AttemptRun) -> None:
        self._running[run.key] = run

    def leave(self, run: AttemptRun) -> None:
        """The run is over here; one that was admitted and has no outcome broke off."""
        del self._running[run.key]
        if run.outcome is not None:
            self._left[run.key] = Before.ENDED
        elif run.admitted:
            self._left[run.key] = Before.BROKE_OFF
        while len(self._left) > self.limit:
            self._left.popitem(last=False)

    def running(self) -> list[AttemptRun]:
        return list(self._running.values())

    def report(self) -> tuple[RunningAttempt, ...]:
        return tuple(
            RunningAttempt(
                request_id=run.key.request_id,
                attempt=run.key.attempt,
                completion_tokens=run.completion_tokens,
                losses=run.command.losses,
                tier=run.tier,
            )
            for run in self._running.values()
        )

    def waiting(self) -> int:
        """How many of those that run the engine has not started."""
        return sum(not run.admitted for run in self._running.values())

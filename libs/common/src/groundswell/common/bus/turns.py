"""Slots shared by the tiers of one consumption: a free one goes to whoever's turn it is."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from groundswell.common.scheduling import Slots
from groundswell.common.tiers import Tier


class TierGate:
    """`slots` permits, granted in the order of Slots. `now` is the clock of the deadlines."""

    def __init__(self, slots: int, *, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._slots: Slots[_Turn] = Slots(slots)

    def turn(self, tier: Tier, *, deadline: float, cost: int = 1) -> "_Turn":
        """A context that holds a slot for work of `cost` messages. A waiter that is cancelled leaves no trace."""
        return _Turn(self, tier, deadline, cost)

    async def take(self, turn: "_Turn") -> None:
        """Wait for a slot, which is given back by `release`."""
        now = self._now()
        if self._slots.take(turn, turn.tier, now, cost=turn.cost):
            return
        self._slots.push(turn, tier=turn.tier, deadline=turn.deadline, since=now, cost=turn.cost)
        turn.called = asyncio.get_running_loop().create_future()
        self._grant()
        try:
            await turn.called
        except asyncio.CancelledError:
            if turn.is_granted:  # and cancelled in the same step of the loop: the slot goes to the next one
                self.release(turn)
            else:
                self._slots.remove(turn)
            raise

    def release(self, turn: "_Turn") -> None:
        self._slots.release(turn)
        self._grant()

    def _grant(self) -> None:
        if not self._slots.free:
            return
        # Those who gave up in this step of the loop have not left yet; they cost their tier no turn.
        for given_up in [turn for turn in self._slots.waiting() if turn.has_given_up]:
            self._slots.remove(given_up)
        while (turn := self._slots.grant(self._now())) is not None:
            turn.grant()


@dataclass(slots=True, eq=False)
class _Turn:
    """`called` only if it had to wait."""

    gate: TierGate
    tier: Tier
    deadline: float
    cost: int
    called: "asyncio.Future[None] | None" = None

    @property
    def is_granted(self) -> bool:
        return self.called is not None and self.called.done() and not self.called.cancelled()

    @property
    def has_given_up(self) -> bool:
        return self.called is not None and self.called.cancelled()

    def grant(self) -> None:
        if self.called is not None:
            self.called.set_result(None)

    async def __aenter__(self) -> None:
        await self.gate.take(self)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.gate.release(self)

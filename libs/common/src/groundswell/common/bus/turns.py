"""Slots shared by the tiers of one consumption: a free one goes to whoever's turn it is."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from groundswell.common.scheduling import TurnQueue
from groundswell.common.tiers import Tier


class TierGate:
    """`slots` permits, granted in the order of a TurnQueue. `now` is the clock of the deadlines."""

    def __init__(self, slots: int, *, now: Callable[[], float] = time.time) -> None:
        self._free = slots
        self._now = now
        self._waiting: TurnQueue[asyncio.Future[None]] = TurnQueue()

    @asynccontextmanager
    async def turn(self, tier: Tier, *, deadline: float, cost: int = 1) -> AsyncIterator[None]:
        """Hold a slot for work of `cost` messages. A waiter that is cancelled leaves no trace."""
        ticket = asyncio.get_running_loop().create_future()
        self._waiting.push(ticket, tier=tier, deadline=deadline, since=self._now(), cost=cost)
        self._grant()
        try:
            await ticket
        except asyncio.CancelledError:
            if ticket.cancelled():
                self._waiting.remove(ticket)
            else:  # granted and cancelled in the same step of the loop: the slot goes to the next one
                self._release()
            raise
        try:
            yield
        finally:
            self._release()

    def _release(self) -> None:
        self._free += 1
        self._grant()

    def _grant(self) -> None:
        # Those who gave up in this step of the loop have not left yet; they cost their tier no turn.
        for given_up in [ticket for ticket in self._waiting if ticket.cancelled()]:
            self._waiting.remove(given_up)
        while self._free and (ticket := self._waiting.pop(self._now())) is not None:
            self._free -= 1
            ticket.set_result(None)

"""Slots shared by the tiers of one consumption: who waits gets its weighted turn."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from groundswell.common.tiers import Tier, WeightedTurns


class TierGate:
    """`slots` permits; a free one goes to the tier whose turn it is, in order of arrival within a tier."""

    def __init__(self, slots: int) -> None:
        self._free = slots
        self._turns = WeightedTurns()
        self._waiting: dict[Tier, deque[asyncio.Future[None]]] = {tier: deque() for tier in Tier}

    @asynccontextmanager
    async def turn(self, tier: Tier) -> AsyncIterator[None]:
        """Hold a slot. A waiter that is cancelled leaves no trace."""
        ticket = asyncio.get_running_loop().create_future()
        self._waiting[tier].append(ticket)
        self._grant()
        try:
            await ticket
        except asyncio.CancelledError:
            if ticket.done() and not ticket.cancelled():
                self._release()
            else:
                self._waiting[tier].remove(ticket)
            raise
        try:
            yield
        finally:
            self._release()

    def _release(self) -> None:
        self._free += 1
        self._grant()

    def _grant(self) -> None:
        while self._free and (waiting := [tier for tier, queue in self._waiting.items() if queue]):
            ticket = self._waiting[self._turns.pick(waiting)].popleft()
            if not ticket.cancelled():
                self._free -= 1
                ticket.set_result(None)

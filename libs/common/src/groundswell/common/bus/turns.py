"""Slots shared by the tiers of one consumption: who waits gets its weighted turn."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

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
            if ticket.cancelled():
                with suppress(ValueError):  # it may have been passed over already
                    self._waiting[tier].remove(ticket)
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
        while self._free and (waiting := [tier for tier in Tier if self._first(tier)]):
            ticket = self._waiting[self._turns.pick(waiting)].popleft()
            self._free -= 1
            ticket.set_result(None)

    def _first(self, tier: Tier) -> asyncio.Future[None] | None:
        """The first who still waits; those who gave up cost their tier no turn."""
        queue = self._waiting[tier]
        while queue and queue[0].cancelled():
            queue.popleft()
        return queue[0] if queue else None

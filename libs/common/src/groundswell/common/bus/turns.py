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
        self._slots: Slots[_Ticket] = Slots(slots)

    def turn(self, tier: Tier, *, deadline: float, cost: int = 1) -> "_Turn":
        """A context that holds a slot for work of `cost` messages. A waiter that is cancelled leaves no trace."""
        return _Turn(self, tier, deadline, cost)

    async def take(self, tier: Tier, deadline: float, cost: int) -> "_Ticket":
        """Wait for a slot, which is given back by `release`."""
        ticket = _Ticket()
        self._slots.push(ticket, tier=tier, deadline=deadline, since=self._now(), cost=cost)
        self._grant()
        if ticket.granted:
            return ticket
        ticket.called = asyncio.get_running_loop().create_future()
        try:
            await ticket.called
        except asyncio.CancelledError:
            if ticket.granted:  # and cancelled in the same step of the loop: the slot goes to the next one
                self.release(ticket)
            else:
                self._slots.remove(ticket)
            raise
        return ticket

    def release(self, ticket: "_Ticket") -> None:
        self._slots.release(ticket)
        self._grant()

    def _grant(self) -> None:
        if not self._slots.free:
            return
        # Those who gave up in this step of the loop have not left yet; they cost their tier no turn.
        for given_up in [ticket for ticket in self._slots.waiting() if ticket.has_given_up]:
            self._slots.remove(given_up)
        while (ticket := self._slots.grant(self._now())) is not None:
            ticket.grant()


@dataclass(eq=False)
class _Ticket:
    """`called` only if it had to wait."""

    granted: bool = False
    called: "asyncio.Future[None] | None" = None

    @property
    def has_given_up(self) -> bool:
        return self.called is not None and self.called.cancelled()

    def grant(self) -> None:
        self.granted = True
        if self.called is not None:
            self.called.set_result(None)


@dataclass(slots=True)
class _Turn:
    gate: TierGate
    tier: Tier
    deadline: float
    cost: int
    ticket: _Ticket | None = None

    async def __aenter__(self) -> None:
        self.ticket = await self.gate.take(self.tier, self.deadline, self.cost)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.ticket is not None:
            self.gate.release(self.ticket)

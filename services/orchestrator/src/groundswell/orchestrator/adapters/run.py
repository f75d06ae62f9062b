"""One request in this replica, and the client's view of it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from groundswell.common.bus.connection import Bus
from groundswell.common.telemetry.tracing import current_carrier
from groundswell.common.tiers import Tier
from groundswell.orchestrator.domain.question import Answer
from groundswell.orchestrator.domain.state import Abandoned, Input, RequestState
from groundswell.orchestrator.domain.stream_view import StreamView
from groundswell.orchestrator.ports import Ownership, StreamItem


@dataclass(frozen=True)
class ReplyRoute:
    """Where replies arrive, and the epoch under which this replica owns that partition.

    `offset`: from where on replies to a request of a tier that is accepted now will lie.
    """

    bus: Bus
    partition: int
    epoch: int
    owner: str
    offset: Callable[[Tier], int] = lambda _tier: 0

    def ownership(self, tier: Tier) -> Ownership:
        return Ownership(owner=self.owner, epoch=self.epoch, partition=self.partition, reply_offset=self.offset(tier))


@dataclass(eq=False)
class Run:
    """A request that this replica carries: its state, what it hears, and what its client is to see."""

    state: RequestState
    view: StreamView
    mailbox: asyncio.Queue[tuple[Input, dict[str, str]]] = field(default_factory=asyncio.Queue)
    items: asyncio.Queue[StreamItem] = field(default_factory=asyncio.Queue)
    task: asyncio.Task[None] = field(init=False)
    generating: asyncio.Task[None] | None = None
    """Sends the newest attempt, perhaps only when there is a place for it, and copies of it until one is admitted."""
    copies: asyncio.Queue[int] = field(default_factory=asyncio.Queue)
    """Partitions that the newest attempt is to go to, too."""
    copied: bool = False
    """Whether it went to any."""

    def begins(self, attempt: Coroutine[Any, Any, None] | None) -> None:
        """What was on its way before is not sent any more."""
        if self.generating is not None:
            self.generating.cancel()
        self.copies, self.copied = asyncio.Queue(), False
        self.generating = asyncio.create_task(attempt) if attempt else None


class RunStream:
    """The client's side of a run."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.request_id = run.state.question.request_id

    async def __aiter__(self) -> AsyncIterator[StreamItem]:
        while True:
            item = await self._run.items.get()
            yield item
            if isinstance(item, Answer):
                return

    async def abandon(self) -> None:
        if not self._run.state.question.resumable:
            self._run.mailbox.put_nowait((Abandoned(), current_carrier()))

"""One request in this replica, and the client's view of it."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from groundswell.common.bus.connection import Bus
from groundswell.common.telemetry.tracing import current_carrier
from groundswell.common.tiers import Tier
from groundswell.orchestrator.adapters.released_texts import Reading, ReleasedText
from groundswell.orchestrator.domain.state import Abandoned, Input, RequestState
from groundswell.orchestrator.ports import Ownership

NOBODY_CAME_BACK = "its client went away and did not come back"


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
    """A request that this replica carries: its state, what it hears, and what its clients are to see."""

    state: RequestState
    released: ReleasedText
    mailbox: asyncio.Queue[tuple[Input, dict[str, str]]] = field(default_factory=asyncio.Queue)
    task: asyncio.Task[None] = field(init=False)
    generating: asyncio.Task[None] | None = None
    """Sends the newest attempt, perhaps only when there is a place for it, and copies of it until one is admitted."""
    copies: asyncio.Queue[int] = field(default_factory=asyncio.Queue)
    """Partitions that the newest attempt is to go to, too."""
    copied: bool = False
    """Whether it went to any."""
    readers: int = 0
    """Clients of this replica that read its answer."""
    read_at: float = field(default_factory=time.monotonic)
    """When the last of them left, or a reader elsewhere was heard of."""

    def begins(self, attempt: Coroutine[Any, Any, None] | None) -> None:
        """What was on its way before is not sent any more."""
        if self.generating is not None:
            self.generating.cancel()
        self.copies, self.copied = asyncio.Queue(), False
        self.generating = asyncio.create_task(attempt) if attempt else None

    def abandon(self, reason: str) -> None:
        self.mailbox.put_nowait((Abandoned(reason), current_carrier()))

    def is_forgotten(self, after_s: float) -> bool:
        """Whether it only runs on so that a client can come back, and none has for `after_s`.

        Whoever gave a key may ask with it much later.
        """
        question = self.state.question
        if not question.resumable or question.fingerprint is not None or self.readers:
            return False
        return time.monotonic() - self.read_at > after_s


class RunStream(Reading):
    """One client's view of a run. `asked`: it is the one whose request this is."""

    def __init__(self, run: Run, *, asked: bool, after: int = 0) -> None:
        super().__init__(run.state.request_id, run.released, after)
        self._run = run
        self._asked = asked
        run.readers += 1

    async def abandon(self, reason: str) -> None:
        """See AnswerStream.abandon."""
        self._run.readers -= 1
        self._run.read_at = time.monotonic()
        if self._asked and not self._run.state.question.resumable:
            self._run.abandon(reason)

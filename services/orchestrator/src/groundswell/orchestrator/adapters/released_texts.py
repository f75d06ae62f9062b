"""What running requests have released, as this replica reads it from the answer stream, whoever carries them.

Readers of a request share its text and differ in their place only: a slow one costs no memory, and holds up nobody.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from weakref import WeakValueDictionary

import structlog

from groundswell.common.contracts.answers import AnswerEnded, AnswerReleased, StreamAdopted
from groundswell.common.contracts.message import Message
from groundswell.common.errors import Unavailable
from groundswell.common.ids import RequestId
from groundswell.orchestrator.domain.question import Answer
from groundswell.orchestrator.domain.stream_view import StreamView
from groundswell.orchestrator.ports import Released, RequestLedger, StreamItem

LOOK_EVERY_S = 2.0
"""For an end of which nothing was heard."""
LOOK_AGAIN_S = 0.25
"""For one that was, while the ledger is away."""
SHOWN_EVERY_S = 10.0

log = structlog.get_logger(__name__)


class ReleasedText:
    """Of one request: the text so far, and its answer once that is known here."""

    def __init__(self) -> None:
        self.text = ""
        self.answer: Answer | None = None
        self.has_ended = False
        """The final event was heard."""
        self.heard_at = time.monotonic()
        self._view = StreamView()
        self._waiting: set[asyncio.Future[None]] = set()

    @property
    def epoch(self) -> int:
        """Of the newest owner that was heard of."""
        return self._view.epoch

    def hear(self, event: Message) -> None:
        self.heard_at = time.monotonic()
        if isinstance(event, StreamAdopted):
            self._view.adopt(event)
        elif isinstance(event, AnswerReleased):
            if text := self._view.take(event):
                self.text += text
                self._tell()
        elif isinstance(event, AnswerEnded):
            self.has_ended = True
            self._tell()

    def finish(self, answer: Answer) -> None:
        """The terminal answer, as the ledger has it."""
        self.answer = answer
        self._tell()

    async def news(self, within_s: float) -> None:
        """Until something is new, for at most `within_s`."""
        loop = asyncio.get_running_loop()
        told: asyncio.Future[None] = loop.create_future()
        timer = loop.call_later(within_s, _resolve, told)
        self._waiting.add(told)
        try:
            await told
        finally:
            timer.cancel()
            self._waiting.discard(told)

    def _tell(self) -> None:
        for told in self._waiting:
            _resolve(told)


class ReleasedTexts:
    """Every request that anything was heard of and that has not ended, and those that somebody reads."""

    def __init__(self) -> None:
        self._running: dict[RequestId, ReleasedText] = {}
        self._all: WeakValueDictionary[RequestId, ReleasedText] = WeakValueDictionary()

    def __len__(self) -> int:
        return len(self._running)

    def of(self, request_id: RequestId) -> ReleasedText:
        """Kept for as long as anybody holds it, or the request runs."""
        released = self._all.get(request_id)
        if released is None:
            self._all[request_id] = released = ReleasedText()
        return released

    def hear(self, request_id: RequestId, event: Message) -> None:
        released = self.of(request_id)
        released.hear(event)
        if released.has_ended:
            self._running.pop(request_id, None)
        else:
            self._running[request_id] = released

    def forget(self, older_than_s: float) -> None:
        """Those of which nothing was heard for so long: their end was never told."""
        oldest = time.monotonic() - older_than_s
        for request_id in [each for each, released in self._running.items() if released.heard_at < oldest]:
            del self._running[request_id]


class Reading:
    """One reader's place, in code points, in the text of a request. An AnswerStream but for what its leaving means."""

    def __init__(self, request_id: RequestId, released: ReleasedText, after: int = 0) -> None:
        self.request_id = request_id
        self._released = released
        self._position = after

    def take(self) -> StreamItem | None:
        """See AnswerStream.take."""
        text, position = self._released.text, self._position
        if position < len(text):
            self._position = len(text)
            return Released(position, text[position:])
        return self._released.answer

    async def wait(self, seconds: float) -> None:
        """See AnswerStream.wait."""
        await self._released.news(seconds)


class Following(Reading):
    """Reads a request that this replica does not carry. `show` tells its owner, now and then, that somebody does."""

    def __init__(
        self,
        request_id: RequestId,
        released: ReleasedText,
        ledger: RequestLedger,
        *,
        after: int,
        show: Callable[[], Awaitable[None]],
    ) -> None:
        super().__init__(request_id, released, after)
        self._ledger = ledger
        self._show = show
        self._show_at = self._look_at = time.monotonic()

    async def wait(self, seconds: float) -> None:
        """See AnswerStream.wait."""
        now = time.monotonic()
        if now >= self._show_at:
            self._show_at = now + SHOWN_EVERY_S
            await self._show()
        look_at = self._look_at if not self._released.has_ended else min(self._look_at, now)
        if now >= look_at:
            self._look_at = now + (LOOK_AGAIN_S if self._released.has_ended else LOOK_EVERY_S)
            await self._look()
        if self._released.answer is None:
            await self._released.news(min(seconds, self._look_at - now))

    async def abandon(self, reason: str) -> None:
        """Whoever asked may still wait, and who carries it ends it when nobody reads it any longer."""

    async def _look(self) -> None:
        try:
            answer = await self._ledger.answer(self.request_id)
        except Unavailable as error:
            log.info("answer not looked up yet", reason=error.reason)
            return
        if answer is not None:
            self._released.finish(answer)


def _resolve(told: "asyncio.Future[None]") -> None:
    if not told.done():
        told.set_result(None)

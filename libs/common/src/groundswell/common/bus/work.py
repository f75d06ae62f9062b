"""One job: a record, or a batch of them, from decoding to its effects on the bus.

Knows nothing of offsets or groups.
"""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import structlog
from aiokafka import ConsumerRecord

from groundswell.common.bus.claims import Claims, is_claim
from groundswell.common.bus.clock import BrokerClock
from groundswell.common.bus.codec import decode
from groundswell.common.bus.consumption import Consumption
from groundswell.common.bus.dead_letters import DeadLetters
from groundswell.common.bus.envelope import parse
from groundswell.common.bus.messages import Outgoing, Received, outcome_of, reply
from groundswell.common.bus.publisher import Publisher
from groundswell.common.contracts.knowledge import BlobRef
from groundswell.common.contracts.message import CommandExpired, CommandFailed, Message
from groundswell.common.errors import Overloaded, Rejected
from groundswell.common.ids import MessageId
from groundswell.common.telemetry import names
from groundswell.common.telemetry.logs import log_context
from groundswell.common.telemetry.names import Attribute, labelled
from groundswell.common.telemetry.tracing import batch_span, consumer_span
from groundswell.common.topics import Command

MAX_ATTEMPTS = 3
FIRST_BACKOFF_S = 0.2
LONGEST_BACKOFF_S = 2.0
"""Before it is spread."""
SESSION_S = 10.0

log = structlog.get_logger(__name__)
T = TypeVar("T")
Record: TypeAlias = ConsumerRecord[bytes, bytes]
Item: TypeAlias = tuple[Record, Received[Any]]
"""A record that could be read, with what it says."""


@dataclass(frozen=True)
class BusContext:
    """What every part of the bus in a process shares."""

    bootstrap: str
    service: str
    publisher: Publisher
    clock: BrokerClock
    dead_letters: DeadLetters
    claims: Claims
    session_s: float = SESSION_S
    """How long a consumer that died keeps its partitions."""


class Work:
    """Runs the handler of a consumption on records: `read` costs next to nothing, `run` is the work.

    Every record ends handled, expired, cancelled or buried, or the task is cancelled. `pause` is told how many seconds
    a handler that is overloaded wants no more work.
    """

    def __init__(self, consumption: Consumption, context: BusContext, pause: Callable[[float], None]) -> None:
        self._consumption = consumption
        self._context = context
        self._pause = pause

    async def read(self, records: Sequence[Record]) -> list[Item]:
        """The messages of `records` that are wanted. Senders of the others are told; what cannot be read is buried."""
        return [item for record in records if (item := await self._readable(record)) is not None]

    async def run(self, items: Sequence[Item], admitted: Callable[[], None]) -> None:
        """Work through `items`, but for what nobody wants any more.

        `admitted` is called when long work was taken over.
        """
        wanted = await self._wanted(items)
        for record, message in wanted:
            self._measure_wait(record, message)
        if self._consumption.handle_batch and len(wanted) > 1:
            wanted = await self._together(wanted)
        for record, message in wanted:
            with observed(message):
                await self._one(record, message, admitted)

    async def _readable(self, record: Record) -> Item | None:
        try:
            whole = await until_done(lambda: self._redeemed(record)) if is_claim(record) else record
            if whole is None:
                return None
            message = decode(whole, self._consumption.topic.by_type, self._context.clock)
        except Rejected as rejection:
            await self._bury(record, rejection.reason, attempts=0)
            await self._tell_sender(record, rejection.reason)
            self._count("rejected")
            return None
        return None if await self._is_moot(message) else (record, message)

    async def _redeemed(self, record: Record) -> Record | None:
        """None if it is late: its headers say so before a large value is fetched, and while the store is away."""
        references = dict.fromkeys(self._consumption.topic.by_type, BlobRef)
        unread = decode(record, references, self._context.clock)
        if unread.deadline <= time.time() and await self._is_moot(unread):
            return None
        return await self._context.claims.redeem(record)

    async def _wanted(self, items: Sequence[Item]) -> list[Item]:
        return [item for item in items if not await self._is_moot(item[1])]

    async def _together(self, items: list[Item]) -> list[Item]:
        """Handle a batch at once; returns what is left to try one by one, so that who is at fault costs itself only."""
        while len(items) > 1:
            started_ns = time.time_ns()
            try:
                await self._batch_effects([message for _, message in items], started_ns)
            except Overloaded as overload:
                await self._stand_back(overload)
                items = await self._wanted(items)
            except Exception as error:  # noqa: BLE001 - a bug in one message must not cost its neighbours
                log.warning("batch failed, trying one by one", error=type(error).__name__, size=len(items))
                return items
            else:
                for _, message in items:
                    self._handled(message, started_ns)
                return []
        return items

    async def _batch_effects(self, messages: Sequence[Received[Any]], started_ns: int) -> None:
        handle = self._consumption.handle_batch
        assert handle is not None  # noqa: S101 - only called for batches
        with batch_span(messages[0].origin.topic, [message.envelope.trace for message in messages]):
            outgoing = await handle(messages)
        by_cause: dict[MessageId | None, list[Outgoing]] = defaultdict(list)
        for outcome in outgoing:
            by_cause[outcome.causation_id].append(outcome)
        for message in messages:
            with observed(message, started_ns):
                await self._context.publisher.publish_all(by_cause.pop(message.envelope.message_id, ()))
        for others in by_cause.values():
            await self._context.publisher.publish_all(others)

    async def _one(self, record: Record, message: Received[Any], admitted: Callable[[], None]) -> None:
        failures = 0
        # Asked again before each try, and for each message of a batch that failed.
        while not await self._is_moot(message):
            started_ns = time.time_ns()
            try:
                await self._effects(message, admitted)
            except Rejected as rejection:
                return await self._give_up(record, message, rejection.reason, failures)
            except Overloaded as overload:
                await self._stand_back(overload)
            except Exception as error:
                failures += 1
                log.exception("handler failed", attempt=failures)
                if failures >= MAX_ATTEMPTS:
                    reason = f"{type(error).__name__} in {self._context.service}"
                    return await self._give_up(record, message, reason, failures)
                await asyncio.sleep(backoff_s(failures))
            else:
                return self._handled(message, started_ns)
        return None

    async def _effects(self, message: Received[Any], admitted: Callable[[], None]) -> None:
        publisher = self._context.publisher
        if self._consumption.handle_stream:
            # Closed at once when a publish fails: the handler must know it before the message is tried again.
            async with aclosing(self._consumption.handle_stream(message)) as stream:
                async for outgoing in stream:
                    await publisher.publish(outgoing)
                    admitted()
        elif self._consumption.handle_batch:
            await publisher.publish_all(await self._consumption.handle_batch([message]))
        elif self._consumption.handle:
            await publisher.publish_all(await self._consumption.handle(message))

    async def _stand_back(self, overload: Overloaded) -> None:
        wait_s = overload.retry_after_s + backoff_s(1)
        log.info("paused", reason=overload.reason, retry_after_s=wait_s)
        self._pause(wait_s)
        await asyncio.sleep(wait_s)

    async def _is_moot(self, message: Received[Any]) -> bool:
        """Whether nobody wants a command's work any more; then its sender was told. Facts and outcomes never are."""
        if not isinstance(self._consumption.topic, Command):
            return False
        if is_expired := message.deadline <= time.time():
            outcome: Message = CommandExpired(command=message.envelope.type)
        elif (stopped := self._when_cancelled(message)) is not None:
            outcome = stopped
        else:
            return False
        await self._answer(message, outcome)
        self._count("expired" if is_expired else "cancelled", message.envelope.tier.value)
        return True

    def _when_cancelled(self, message: Received[Any]) -> Message | None:
        try:
            return self._consumption.when_cancelled(message) if self._consumption.when_cancelled else None
        except Exception:
            log.exception("taken for not cancelled")  # the handler is tried, and its failures are bounded
            return None

    async def _give_up(self, record: Record, message: Received[Any], reason: str, attempts: int) -> None:
        await self._bury(record, reason, attempts)
        await self._answer(message, CommandFailed(command=message.envelope.type, reason=reason))
        self._count("failed", message.envelope.tier.value)

    async def _bury(self, record: Record, reason: str, attempts: int) -> None:
        dead_letters, topic = self._context.dead_letters, self._consumption.topic
        await until_done(lambda: dead_letters.bury(topic, record, reason=reason, attempts=attempts))

    async def _answer(self, message: Received[Any], payload: Message) -> None:
        if message.envelope.reply_to is not None:
            await self._send_outcome(reply(message, payload))

    async def _tell_sender(self, record: Record, reason: str) -> None:
        """Answer a command that cannot be read, if its headers can."""
        try:
            envelope = parse(record.headers)
        except Rejected:
            return
        if envelope.reply_to is not None:
            failed = CommandFailed(command=envelope.type, reason=reason)
            deadline = time.time() + envelope.remaining_ms / 1000
            await self._send_outcome(outcome_of(envelope, envelope.reply_to, failed, key="", deadline=deadline))

    async def _send_outcome(self, outgoing: Outgoing) -> None:
        try:
            await until_done(lambda: self._context.publisher.publish(outgoing))
        except Rejected as rejection:
            log.warning("nobody can be told the outcome", topic=outgoing.topic, reason=rejection.reason)

    def _handled(self, message: Received[Any], started_ns: int) -> None:
        tier = message.envelope.tier.value
        self._count("handled", tier)
        seconds = max(0, time.time_ns() - started_ns) / 1e9
        labelled(names.HANDLING_SECONDS, self._consumption.topic.name, tier).observe(seconds)

    def _measure_wait(self, record: Record, message: Received[Any]) -> None:
        seconds = max(0.0, time.time() - self._context.clock.to_local_s(record.timestamp))
        labelled(names.WAIT_SECONDS, self._consumption.topic.name, message.envelope.tier.value).observe(seconds)

    def _count(self, outcome: str, tier: str = "") -> None:
        labelled(names.MESSAGES_HANDLED, self._consumption.topic.name, tier, outcome).inc()


def backoff_s(failures: int) -> float:
    """Seconds until the next try: doubled each time, and spread, so that not all that failed comes at once."""
    doubled = FIRST_BACKOFF_S * 2.0 ** min(failures - 1, 16)
    return min(doubled, LONGEST_BACKOFF_S) * random.uniform(0.5, 1.5)  # noqa: S311 - spreads, guards nothing


@contextmanager
def observed(message: Received[Any], started_ns: int | None = None) -> Iterator[None]:
    """Logs and spans inside belong to `message`; the span began at `started_ns` (Unix time), if that was before."""
    envelope = message.envelope
    with (
        log_context(correlation_id=envelope.correlation_id, tenant=envelope.tenant, tier=envelope.tier.value),
        consumer_span(message.origin.topic, envelope.trace, lambda: _attributes(message), started_ns),
    ):
        yield


def _attributes(message: Received[Any]) -> dict[str, str | int]:
    envelope = message.envelope
    return {
        Attribute.MESSAGE_TYPE: envelope.type,
        Attribute.TENANT: envelope.tenant,
        Attribute.TIER: envelope.tier.value,
        Attribute.ATTEMPT: envelope.attempt,
        Attribute.PARTITION: message.origin.partition,
        Attribute.OFFSET: message.origin.offset,
    }


async def until_done(attempt: Callable[[], Awaitable[T]]) -> T:
    """Repeat `attempt` until what it needs is there: the record that caused it stays uncommitted meanwhile."""
    failures = 0
    while True:
        try:
            return await attempt()
        except Overloaded as overload:
            failures += 1
            wait_s = overload.retry_after_s + backoff_s(failures)
            log.info("waiting", reason=overload.reason, retry_after_s=wait_s)
            await asyncio.sleep(wait_s)

"""One job: a record, or a batch of them, from decoding to its effects on the bus. Knows nothing of offsets or groups."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import structlog
from aiokafka import ConsumerRecord

from groundswell.common.bus.clock import BrokerClock
from groundswell.common.bus.codec import decode
from groundswell.common.bus.consumption import Consumption
from groundswell.common.bus.dead_letters import DeadLetters
from groundswell.common.bus.messages import Outgoing, Received, reply
from groundswell.common.bus.publisher import Publisher
from groundswell.common.contracts.message import CommandExpired, CommandFailed
from groundswell.common.errors import Overloaded, Rejected
from groundswell.common.telemetry import names
from groundswell.common.telemetry.logs import log_context
from groundswell.common.telemetry.names import Attribute
from groundswell.common.telemetry.tracing import consumer_span
from groundswell.common.topics import Command

MAX_ATTEMPTS = 3
FIRST_BACKOFF_S = 0.2

log = structlog.get_logger(__name__)
Record: TypeAlias = ConsumerRecord[bytes, bytes]


@dataclass(frozen=True)
class BusContext:
    """What every part of the bus in a process shares."""

    bootstrap: str
    service: str
    publisher: Publisher
    clock: BrokerClock
    dead_letters: DeadLetters


class Work:
    """Runs the handler of a consumption on records; every record ends handled, expired or buried, or the task is cancelled."""

    def __init__(self, consumption: Consumption, context: BusContext, pause: Callable[[float], None]) -> None:
        self._consumption = consumption
        self._context = context
        self._pause = pause

    async def run(self, records: Sequence[Record], admitted: Callable[[], None]) -> None:
        """Work through `records`; `admitted` is called when long work was taken over."""
        messages = [item for record in records if (item := await self._readable(record)) is not None]
        if not messages:
            return
        if self._consumption.handle_batch and len(messages) > 1 and await self._whole_batch(messages):
            return
        for record, message in messages:
            with observed(message):
                await self._one(record, message, admitted)

    async def _readable(self, record: Record) -> tuple[Record, Received[Any]] | None:
        try:
            message = decode(record, self._consumption.topic.by_type, self._context.clock)
        except Rejected as rejection:
            await self._bury(record, rejection.reason, attempts=0)
            self._count("rejected")
            return None
        if isinstance(self._consumption.topic, Command) and message.deadline <= time.time():
            await self._expire(message)
            return None
        names.WAIT_SECONDS.labels(self._consumption.topic.name, message.envelope.tier.value).observe(
            max(0.0, time.time() - self._context.clock.to_local_s(record.timestamp)),
        )
        return record, message

    async def _whole_batch(self, messages: Sequence[tuple[Record, Received[Any]]]) -> bool:
        """Try the batch at once; False means: message by message, so that the one at fault costs itself only."""
        handler = self._consumption.handle_batch
        assert handler is not None  # noqa: S101 - only called for batches
        started = time.monotonic()
        try:
            with observed(messages[0][1]):
                outgoing = await handler([message for _, message in messages])
                await self._context.publisher.publish_all(outgoing)
        except Overloaded as overload:
            self._pause(overload.retry_after_s)
            return False
        except Exception as error:  # noqa: BLE001 - a bug in one message must not cost its neighbours
            log.warning("batch failed, trying its messages one by one", error=type(error).__name__, size=len(messages))
            return False
        for _, message in messages:
            self._count("handled", message.envelope.tier.value)
            self._took(message, started)
        return True

    async def _one(self, record: Record, message: Received[Any], admitted: Callable[[], None]) -> None:
        failures = 0
        while True:
            started = time.monotonic()
            try:
                await self._effects(message, admitted)
            except Rejected as rejection:
                await self._give_up(record, message, rejection.reason, attempts=failures)
                return
            except Overloaded as overload:
                if message.deadline <= time.time():
                    await self._expire(message)
                    return
                log.info("paused", reason=overload.reason, retry_after_s=overload.retry_after_s)
                self._pause(overload.retry_after_s)
                await asyncio.sleep(overload.retry_after_s)
            except Exception as error:
                failures += 1
                log.exception("handler failed", attempt=failures)
                if failures >= MAX_ATTEMPTS:
                    await self._give_up(record, message, f"{type(error).__name__} in {self._context.service}", failures)
                    return
                await asyncio.sleep(FIRST_BACKOFF_S * 2 ** (failures - 1))
            else:
                self._count("handled", message.envelope.tier.value)
                self._took(message, started)
                return

    async def _effects(self, message: Received[Any], admitted: Callable[[], None]) -> None:
        publish = self._context.publisher.publish
        if self._consumption.handle_stream:
            # Closed at once when a publish fails: the handler must know it before the message is tried again.
            async with aclosing(self._consumption.handle_stream(message)) as stream:
                async for outgoing in stream:
                    await publish(outgoing)
                    admitted()
        elif self._consumption.handle_batch:
            await self._context.publisher.publish_all(await self._consumption.handle_batch([message]))
        elif self._consumption.handle:
            await self._context.publisher.publish_all(await self._consumption.handle(message))

    async def _expire(self, message: Received[Any]) -> None:
        await self._answer(message, CommandExpired(command=message.envelope.type))
        self._count("expired", message.envelope.tier.value)

    async def _give_up(self, record: Record, message: Received[Any], reason: str, attempts: int) -> None:
        await self._bury(record, reason, attempts)
        await self._answer(message, CommandFailed(command=message.envelope.type, reason=reason))
        self._count("failed", message.envelope.tier.value)

    async def _bury(self, record: Record, reason: str, attempts: int) -> None:
        await until_taken(
            lambda: self._context.dead_letters.bury(
                self._consumption.topic,
                record,
                reason=reason,
                attempts=attempts,
            )
        )

    async def _answer(self, message: Received[Any], payload: CommandExpired | CommandFailed) -> None:
        if message.envelope.reply_to is None:
            return
        outgoing: Outgoing = reply(message, payload)
        await until_taken(lambda: self._context.publisher.publish(outgoing))

    def _count(self, outcome: str, tier: str = "") -> None:
        names.MESSAGES_HANDLED.labels(self._consumption.topic.name, tier, outcome).inc()

    def _took(self, message: Received[Any], started: float) -> None:
        names.HANDLING_SECONDS.labels(self._consumption.topic.name, message.envelope.tier.value).observe(
            time.monotonic() - started,
        )


@contextmanager
def observed(message: Received[Any]) -> Iterator[None]:
    """Logs and spans inside belong to `message`."""
    envelope = message.envelope
    attributes: dict[str, str | int] = {
        Attribute.MESSAGE_TYPE: envelope.type,
        Attribute.TENANT: envelope.tenant,
        Attribute.TIER: envelope.tier.value,
        Attribute.ATTEMPT: envelope.attempt,
        Attribute.PARTITION: message.origin.partition,
        Attribute.OFFSET: message.origin.offset,
    }
    with (
        log_context(correlation_id=envelope.correlation_id, tenant=envelope.tenant, tier=envelope.tier.value),
        consumer_span(message.origin.topic, envelope.trace, attributes),
    ):
        yield


async def until_taken(publish: Callable[[], Awaitable[None]]) -> None:
    """Repeat a publish until Kafka takes it: the record that caused it stays uncommitted meanwhile."""
    while True:
        try:
            return await publish()
        except Overloaded as overload:
            await asyncio.sleep(overload.retry_after_s)

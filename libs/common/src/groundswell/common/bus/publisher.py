"""Confirmed publishes: idempotent, with a deadline also while the broker is away."""

import asyncio
import time
from collections.abc import Iterable

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from groundswell.common.bus.clock import BrokerClock
from groundswell.common.bus.envelope import Envelope, RawHeaders
from groundswell.common.bus.messages import Outgoing
from groundswell.common.errors import Rejected, Unavailable
from groundswell.common.telemetry import names
from groundswell.common.telemetry.names import Attribute
from groundswell.common.telemetry.tracing import producer_span

MAX_REQUEST_BYTES = 8 * 1024 * 1024
LONGEST_WAIT_S = 30.0
STOP_WITHIN_S = 5.0

log = structlog.get_logger(__name__)


class Publisher:
    """One producer of a process. A failed publish may still arrive later: effects are idempotent by message id."""

    def __init__(self, bootstrap: str, *, service: str, clock: BrokerClock) -> None:
        self._bootstrap = bootstrap
        self._service = service
        self._clock = clock
        self._producer: AIOKafkaProducer | None = None
        self._renewing = asyncio.Lock()

    async def start(self) -> None:
        """Connect. Raises Unavailable while the broker is away."""
        producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap,
            client_id=self._service,
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            max_request_size=MAX_REQUEST_BYTES,
            request_timeout_ms=10_000,
        )
        try:
            await producer.start()
        except KafkaError as error:
            await _stop(producer)
            raise Unavailable(f"Kafka at {self._bootstrap}: {type(error).__name__}") from error
        self._producer = producer

    async def stop(self) -> None:
        """Flush what can be flushed within a few seconds; always returns."""
        if self._producer is not None:
            await _stop(self._producer)
            self._producer = None

    async def publish(self, message: Outgoing) -> None:
        """Publish and wait for the broker. Raises Unavailable at the deadline, Rejected if it is too large."""
        now = time.time()
        envelope = self._envelope(message, now)
        attributes: dict[str, str | int] = {
            Attribute.MESSAGE_TYPE: envelope.type,
            Attribute.TENANT: envelope.tenant,
            Attribute.TIER: envelope.tier.value,
            Attribute.ATTEMPT: envelope.attempt,
        }
        with producer_span(message.topic, attributes) as trace:
            headers = [*envelope.to_headers(), *((name, value.encode()) for name, value in trace.items())]
            value = message.payload.model_dump_json().encode()
            wait_s = min(max(message.deadline - now, 0.5), LONGEST_WAIT_S)
            await self.publish_raw(
                message.topic, value, headers, key=message.key, partition=message.partition, wait_s=wait_s
            )

    async def publish_all(self, messages: Iterable[Outgoing]) -> None:
        """Publish in the order given, one after the other where they share a partition; wait for all."""
        for message in messages:
            await self.publish(message)

    async def publish_raw(
        self,
        topic: str,
        value: bytes | None,
        headers: RawHeaders,
        *,
        key: str | None,
        partition: int | None = None,
        wait_s: float = LONGEST_WAIT_S,
    ) -> None:
        """Publish bytes as they are. Raises Unavailable after `wait_s`, Rejected if they are too large."""
        started = time.time()
        producer = self._producer or await self._connected()
        try:
            async with asyncio.timeout(wait_s):
                record = await producer.send_and_wait(
                    topic,
                    value,
                    key=key.encode() if key is not None else None,
                    partition=partition,
                    headers=headers,
                )
        except MessageSizeTooLargeError:
            raise Rejected(f"a message of {len(value or b'')} bytes is too large for {topic}") from None
        except (KafkaError, TimeoutError) as error:
            names.PUBLISH_FAILURES.labels(topic).inc()
            await self._renew(producer, error)
            raise Unavailable(f"Kafka did not take a message for {topic}: {type(error).__name__}") from error
        finished = time.time()
        names.PUBLISH_SECONDS.labels(topic).observe(finished - started)
        if record.timestamp is not None and record.timestamp_type == 1:
            self._clock.observe(started, finished, record.timestamp)

    def _envelope(self, message: Outgoing, now: float) -> Envelope:
        return Envelope(
            message_id=message.message_id,
            type=message.payload.type_name(),
            source=f"groundswell/{self._service}",
            correlation_id=message.correlation_id,
            tenant=message.tenant,
            tier=message.tier,
            remaining_ms=max(0, int((message.deadline - now) * 1000)),
            sent_ms=self._clock.now_ms(),
            causation_id=message.causation_id,
            attempt=message.attempt,
            epoch=message.epoch,
            reply_to=message.reply_to,
        )

    async def _renew(self, failed: AIOKafkaProducer, error: Exception) -> None:
        """Replace a producer that cannot recover: its sender dies on a sequence error and then fails everything."""
        if isinstance(error, TimeoutError):
            return
        async with self._renewing:
            if self._producer is not failed:
                return
            log.warning("publisher renewed", error=type(error).__name__)
            self._producer = None
            await _stop(failed)

    async def _connected(self) -> AIOKafkaProducer:
        async with self._renewing:
            if self._producer is None:
                await self.start()
            assert self._producer is not None  # noqa: S101 - start() sets it or raises
            return self._producer


async def _stop(producer: AIOKafkaProducer) -> None:
    try:
        async with asyncio.timeout(STOP_WITHIN_S):
            await producer.stop()
    except (KafkaError, TimeoutError) as error:
        log.warning("publisher stopped before everything was flushed", error=type(error).__name__)

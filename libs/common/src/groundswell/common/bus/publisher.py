"""Confirmed publishes: idempotent, with a deadline also while the broker is away."""

import asyncio
import time
from collections.abc import Iterable

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError, KafkaError, MessageSizeTooLargeError
from aiokafka.structs import RecordMetadata

from groundswell.common.bus.claims import Claims
from groundswell.common.bus.clock import BrokerClock
from groundswell.common.bus.closing import close_producer
from groundswell.common.bus.envelope import LONGEST_REMAINING_MS, Envelope, RawHeaders
from groundswell.common.bus.messages import Outgoing
from groundswell.common.errors import Rejected, Unavailable
from groundswell.common.telemetry import names
from groundswell.common.telemetry.names import Attribute, labelled
from groundswell.common.telemetry.tracing import producer_span
from groundswell.common.topics import CLOCK

MAX_REQUEST_BYTES = 8 * 1024 * 1024
SHORTEST_WAIT_S = 0.5
LONGEST_WAIT_S = 30.0
ANSWER_WITHIN_S = 2.0
STOP_WITHIN_S = 3.0
LOG_APPEND_TIME = 1

log = structlog.get_logger(__name__)


class Publisher:
    """One producer of a process. A failed publish may still arrive later: effects are idempotent by message id.

    What a topic does not take goes into the object store of `claims`, and a reference to it on the topic.
    """

    def __init__(self, bootstrap: str, *, service: str, clock: BrokerClock, claims: Claims | None = None) -> None:
        self.claims = claims or Claims(None)
        self._bootstrap = bootstrap
        self._service = service
        self._clock = clock
        self._producer: AIOKafkaProducer | None = None
        self._spoilt: set[AIOKafkaProducer] = set()
        self._renewing = asyncio.Lock()
        self._stopped = False

    async def start(self) -> None:
        """Connect, and learn the broker's time: deadlines of what is read first need it.

        Raises Unavailable while the broker is away, Rejected if it lacks the topic for that.
        """
        await self.publish_raw(CLOCK.name, b"", [], key=None)

    async def stop(self) -> None:
        """Flush what can be flushed within a few seconds; always returns. What comes later is Unavailable."""
        self._stopped = True
        producer, self._producer = self._producer, None
        if producer is not None:
            await close_producer(producer, STOP_WITHIN_S)

    async def check(self) -> None:
        """Raises Unavailable unless the broker answers now."""
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                producer = await self._connected()
                answered = await producer.client.force_metadata_update()
        except (KafkaError, TimeoutError) as error:
            raise self._unavailable(error) from error
        if not answered:
            raise Unavailable(f"Kafka at {self._bootstrap} does not answer")

    async def publish(self, message: Outgoing, more_headers: RawHeaders | None = None) -> None:
        """Publish and wait for the broker.

        Raises Unavailable at the deadline or without the object store that the message needs; Rejected if it is too
        large, or its topic or partition is none.
        """
        now = time.time()
        envelope = self._envelope(message, now)
        with producer_span(message.topic, lambda: _attributes(envelope)) as trace:
            payload = message.payload.model_dump_json().encode()
            wait_s = _wait_s(message.deadline - now)
            value, claim = await self.claims.check_in(message.topic, message.message_id, payload, within_s=wait_s)
            if claim:
                wait_s = _wait_s(message.deadline - time.time())
            await self.publish_raw(
                message.topic,
                value,
                [
                    *envelope.to_headers(),
                    *claim,
                    *((name, value.encode()) for name, value in trace.items()),
                    *(more_headers or ()),
                ],
                key=message.key.encode(),
                partition=message.partition,
                wait_s=wait_s,
            )

    async def publish_all(self, messages: Iterable[Outgoing]) -> None:
        """Publish in the order given, each after the one before it; what comes after a failure is not published."""
        for message in messages:
            await self.publish(message)

    async def publish_raw(
        self,
        topic: str,
        value: bytes | None,
        headers: RawHeaders,
        *,
        key: bytes | None,
        partition: int | None = None,
        wait_s: float = LONGEST_WAIT_S,
    ) -> None:
        """Publish bytes as they are.

        Raises Unavailable after `wait_s`; Rejected if they are too large, or the topic or partition is none.
        """
        started = time.time()
        producer: AIOKafkaProducer | None = None
        try:
            async with asyncio.timeout(wait_s):
                producer = await self._connected()
                sent = await _send(producer, topic, value, headers, key=key, partition=partition)
                record = await self._acknowledged(producer, sent)
        except MessageSizeTooLargeError:
            raise Rejected(f"a message of {len(value or b'')} bytes is too large for {topic}") from None
        except (KafkaError, TimeoutError) as error:
            names.PUBLISH_FAILURES.labels(topic).inc()
            if producer is not None:
                await _reject_unknown(producer, topic)
            raise Unavailable(f"Kafka did not take a message for {topic}: {type(error).__name__}") from error
        self._learn(topic, started, record)

    async def _acknowledged(self, producer: AIOKafkaProducer, sent: asyncio.Future[RecordMetadata]) -> RecordMetadata:
        try:
            return await sent
        except KafkaError:
            # What the broker refuses has used up a sequence number: every later record of that partition would be
            # out of order (aiokafka issue 1017). What can be retried never comes here.
            self._spoilt.add(producer)
            raise

    def _learn(self, topic: str, started: float, record: RecordMetadata) -> None:
        finished = time.time()
        labelled(names.PUBLISH_SECONDS, topic).observe(finished - started)
        if record.timestamp is not None and record.timestamp_type == LOG_APPEND_TIME:
            self._clock.observe(started, finished, record.timestamp)

    def _envelope(self, message: Outgoing, now: float) -> Envelope:
        remaining_s = min(max(0.0, message.deadline - now), LONGEST_REMAINING_MS / 1000)
        return Envelope(
            message_id=message.message_id,
            type=message.payload.type_name(),
            source=f"groundswell/{self._service}",
            correlation_id=message.correlation_id,
            tenant=message.tenant,
            tier=message.tier,
            remaining_ms=int(remaining_s * 1000),
            sent_ms=self._clock.now_ms(),
            causation_id=message.causation_id,
            attempt=message.attempt,
            epoch=message.epoch,
            reply_to=message.reply_to,
        )

    async def _connected(self) -> AIOKafkaProducer:
        if self._producer is not None and self._producer not in self._spoilt:
            return self._producer
        if self._stopped:
            raise Unavailable("this process is stopping")
        async with self._renewing:
            if self._producer in self._spoilt:
                log.warning("publisher renewed")
                spoilt, self._producer = self._producer, None
                self._spoilt.discard(spoilt)
                await close_producer(spoilt, STOP_WITHIN_S)
            if self._producer is None:
                self._producer = await self._connect()
            return self._producer

    async def _connect(self) -> AIOKafkaProducer:
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
        except BaseException as error:
            await close_producer(producer, STOP_WITHIN_S)
            if isinstance(error, KafkaError):
                raise self._unavailable(error) from error
            raise
        return producer

    def _unavailable(self, error: Exception) -> Unavailable:
        return Unavailable(f"Kafka at {self._bootstrap}: {type(error).__name__}")


def _wait_s(left_s: float) -> float:
    return min(max(left_s, SHORTEST_WAIT_S), LONGEST_WAIT_S)


def _attributes(envelope: Envelope) -> dict[str, str | int]:
    return {
        Attribute.MESSAGE_TYPE: envelope.type,
        Attribute.TENANT: envelope.tenant,
        Attribute.TIER: envelope.tier.value,
        Attribute.ATTEMPT: envelope.attempt,
    }


async def _send(
    producer: AIOKafkaProducer,
    topic: str,
    value: bytes | None,
    headers: RawHeaders,
    *,
    key: bytes | None,
    partition: int | None,
) -> asyncio.Future[RecordMetadata]:
    if partition is not None and partition not in await producer.partitions_for(topic):
        await _learn_partition(producer, topic, partition)
    if value is None and key is None:
        key = b""  # aiokafka takes no record with neither; Kafka does
    sent: asyncio.Future[RecordMetadata] = await producer.send(
        topic, value, key=key, partition=partition, headers=headers
    )
    return sent


async def _learn_partition(producer: AIOKafkaProducer, topic: str, partition: int) -> None:
    """The topic may have grown since the producer asked last. Raises Rejected if it has not."""
    if not await producer.client.force_metadata_update():
        raise KafkaConnectionError("no broker says which partitions there are")
    if partition not in await producer.partitions_for(topic):
        raise Rejected(f"{topic} has no partition {partition}")


async def _reject_unknown(producer: AIOKafkaProducer, topic: str) -> None:
    """Raises Rejected if the broker answers and has no such topic."""
    if producer.client.cluster.partitions_for_topic(topic) is None and await _answers(producer):
        raise Rejected(f"there is no topic {topic}")


async def _answers(producer: AIOKafkaProducer) -> bool:
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            return bool(await producer.client.force_metadata_update())
    except (KafkaError, TimeoutError):
        return False

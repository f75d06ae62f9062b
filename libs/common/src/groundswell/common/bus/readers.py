"""Reading without a group: the reply partition that a replica owns, and broadcast events."""

import asyncio
from collections.abc import Mapping, Sequence

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from groundswell.common.bus.codec import decode
from groundswell.common.bus.consumption import Hear
from groundswell.common.bus.work import BusContext, Record, observed, until_taken
from groundswell.common.errors import Rejected, Unavailable
from groundswell.common.topics import Event, Topic

POLL_MS = 200
FETCH_WAIT_MS = 100
STOP_WITHIN_S = 5.0

log = structlog.get_logger(__name__)


class PartitionReader:
    """Hears every record of the given partitions, in order, from the end that they had at `start` (or from given offsets).

    `hear` must be quick: it hands over to whoever waits. It must not raise; what it raises stops the reader and the process.
    """

    def __init__(
        self, topics: Sequence[Topic], hear: Hear, context: BusContext, *, partition: int | None = None
    ) -> None:
        self._topics = {topic.physical_name: topic for topic in topics}
        self._hear = hear
        self._context = context
        self._partition = partition
        self._consumer: AIOKafkaConsumer | None = None
        self._stopping = False

    async def start(self, offsets: Mapping[str, int] | None = None) -> dict[str, int]:
        """Settle the position before anything is sent that could be answered; returns the offset per topic. Raises Unavailable."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._context.bootstrap,
            client_id=self._context.service,
            enable_auto_commit=False,
            fetch_max_wait_ms=FETCH_WAIT_MS,
        )
        try:
            await consumer.start()
            partitions = await self._partitions(consumer)
            consumer.assign(partitions)
            await consumer.seek_to_end(*partitions)
            for partition in partitions:
                if offsets and partition.topic in offsets:
                    consumer.seek(partition, offsets[partition.topic])
            settled = {partition.topic: await consumer.position(partition) for partition in partitions}
        except KafkaError as error:
            await consumer.stop()
            raise Unavailable(f"Kafka at {self._context.bootstrap}: {type(error).__name__}") from error
        self._consumer = consumer
        return settled

    async def run(self) -> None:
        """Hear until `stop`."""
        assert self._consumer is not None  # noqa: S101 - start() came first
        while not self._stopping:
            fetched = await self._consumer.getmany(timeout_ms=POLL_MS)
            for records in fetched.values():
                for record in records:
                    await self._one(record)

    async def stop(self) -> None:
        """Always returns."""
        self._stopping = True
        if self._consumer is None:
            return
        try:
            async with asyncio.timeout(STOP_WITHIN_S):
                await self._consumer.stop()
        except (KafkaError, TimeoutError) as error:
            log.warning("reader stopped late", error=type(error).__name__)

    async def _partitions(self, consumer: AIOKafkaConsumer) -> list[TopicPartition]:
        if self._partition is not None:
            return [TopicPartition(topic, self._partition) for topic in self._topics]
        found = []
        for topic in self._topics:
            # Asking for the cluster's metadata first: partitions_for_topic answers None for a topic not seen yet.
            consumer.assign([TopicPartition(topic, 0)])
            await consumer.end_offsets([TopicPartition(topic, 0)])
            found += [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or {0}]
        return found

    async def _one(self, record: Record) -> None:
        topic = self._topics[record.topic]
        try:
            message = decode(record, topic.by_type, self._context.clock)
        except Rejected as rejection:
            if isinstance(topic, Event) and topic.broadcast:
                log.warning("broadcast not understood", topic=record.topic, reason=rejection.reason)
                return
            reason = rejection.reason
            await until_taken(lambda: self._context.dead_letters.bury(topic, record, reason=reason, attempts=0))
            return
        with observed(message):
            await self._hear(message)

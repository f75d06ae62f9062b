"""Reading without a group: the reply partition that a replica owns, and broadcast events."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from groundswell.common.bus.closing import close_consumer
from groundswell.common.bus.codec import decode
from groundswell.common.bus.consumption import Hear
from groundswell.common.bus.messages import Received
from groundswell.common.bus.watchdog import PATIENCE_S, is_behind, watch
from groundswell.common.bus.work import BusContext, Record, observed, until_done
from groundswell.common.bus.work_source import METADATA_AGE_MS
from groundswell.common.errors import Rejected, Unavailable
from groundswell.common.topics import Event, Topic

POLL_MS = 200
FETCH_WAIT_MS = 100
START_WITHIN_S = 20.0
ANSWER_WITHIN_S = 2.0
STOP_WITHIN_S = 5.0
READ_PATIENCE_S = 60.0

log = structlog.get_logger(__name__)


class PartitionReader:
    """Hears every record of the given partitions, in order, from the end that they had at `start`, or given offsets.

    `since_s`: from what was appended within so many seconds before the start.

    `partition`: that one of each topic; None: all, also those that are added later, from their beginning. `hear` must
    be quick: it hands over to whoever waits. It must not raise; what it raises stops the reader and the process. So
    does a consumer that takes nothing for `patience_s` although records lie before it.
    """

    def __init__(
        self,
        topics: Sequence[Topic],
        hear: Hear,
        context: BusContext,
        *,
        partition: int | None = None,
        since_s: float = 0.0,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._topics = {topic.physical_name: topic for topic in topics}
        self._hear = hear
        self._context = context
        self._partition = partition
        self._since_s = since_s
        self._patience_s = patience_s
        self._taken = 0
        self._unheard = 0
        """Of what was fetched."""
        self._waits_for_value = False
        self._positions: dict[str, int] = {}
        self._consumer: AIOKafkaConsumer | None = None
        self._stopping = False
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def positions(self) -> dict[str, int]:
        """The offset after the last record heard, by physical topic; for a reader of one `partition`."""
        return dict(self._positions)

    async def start(self, offsets: Mapping[str, int] | None = None) -> dict[str, int]:
        """Settle the position before anything is sent that could be answered.

        `offsets` by physical topic, for a reader of one `partition`; an offset that retention took away means the
        oldest record that is left. Returns the offset per topic. Raises Unavailable while Kafka is away or lacks a
        topic or partition.
        """
        consumer = _consumer(self._context)
        try:
            async with asyncio.timeout(START_WITHIN_S):
                await consumer.start()
                self._positions = await self._settle(consumer, offsets or {})
        except BaseException as error:
            await close_consumer(consumer, STOP_WITHIN_S)
            if isinstance(error, KafkaError | TimeoutError):
                raise Unavailable(f"Kafka at {self._context.bootstrap}: {type(error).__name__}") from error
            raise
        self._consumer = consumer
        return self.positions

    async def run(self) -> None:
        """Hear until `stop`. Raises StandsStill: only a new process helps."""
        assert self._consumer is not None  # noqa: S101 - start() came first
        self._idle.clear()
        watching = asyncio.create_task(self._watch(self._consumer))
        try:
            while not self._stopping:
                if watching.done():
                    watching.result()
                await self._poll(self._consumer)
        finally:
            watching.cancel()
            self._idle.set()

    async def has_heard_all(self) -> bool:
        """Whether nothing lies unheard. Raises Unavailable, also before the start."""
        if self._consumer is None:
            raise Unavailable("not reading yet")
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                return not self._unheard and not await is_behind(self._consumer)
        except (KafkaError, TimeoutError) as error:
            raise Unavailable(f"Kafka at {self._context.bootstrap}: {type(error).__name__}") from error

    async def _watch(self, consumer: AIOKafkaConsumer) -> None:
        await watch(
            consumer,
            taken=lambda: self._taken,
            free=lambda: not self._waits_for_value,
            patience_s=self._patience_s,
        )

    async def _poll(self, consumer: AIOKafkaConsumer) -> None:
        if self._partition is None:
            await self._take_added(consumer)
        fetched = await consumer.getmany(timeout_ms=POLL_MS)
        self._unheard = sum(len(records) for records in fetched.values())
        for records in fetched.values():
            for record in records:
                self._taken += 1
                await self._one(record)
                self._unheard -= 1
                self._positions[record.topic] = record.offset + 1

    async def _take_added(self, consumer: AIOKafkaConsumer) -> None:
        """A partition that was added since the start holds nothing from before it."""
        taken = consumer.assignment()
        known = {
            TopicPartition(topic, number)
            for topic in self._topics
            for number in consumer.partitions_for_topic(topic) or ()
        }
        if known <= taken:
            return
        log.info("partitions added", count=len(known - taken))
        positions = {partition: await consumer.position(partition) for partition in taken}
        consumer.assign([*(known | taken)])  # forgets the positions
        for partition in known | taken:
            consumer.seek(partition, positions.get(partition, 0))

    async def stop(self) -> None:
        """Always returns."""
        self._stopping = True
        try:
            async with asyncio.timeout(STOP_WITHIN_S):
                await self._idle.wait()
        except TimeoutError:
            log.warning("reader stopped while a record was being heard")
        if self._consumer is not None:
            await close_consumer(self._consumer, STOP_WITHIN_S)

    async def _settle(self, consumer: AIOKafkaConsumer, offsets: Mapping[str, int]) -> dict[str, int]:
        partitions = await self._partitions(consumer)
        consumer.assign(partitions)
        begins = await consumer.end_offsets(partitions) | await self._recent(consumer, partitions)
        for partition in partitions:
            consumer.seek(partition, offsets.get(partition.topic, begins[partition]))
        return {partition.topic: await consumer.position(partition) for partition in partitions}

    async def _recent(
        self, consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition]
    ) -> dict[TopicPartition, int]:
        if not self._since_s:
            return {}
        since_ms = max(0, self._context.clock.now_ms() - int(self._since_s * 1000))
        found = await consumer.offsets_for_times(dict.fromkeys(partitions, since_ms))
        return {partition: first.offset for partition, first in found.items() if first is not None}

    async def _partitions(self, consumer: AIOKafkaConsumer) -> list[TopicPartition]:
        # Assigned first: partitions_for_topic answers None for a topic that nobody asked for yet.
        firsts = [TopicPartition(topic, 0) for topic in self._topics]
        consumer.assign(firsts)
        await consumer.end_offsets(firsts)
        found = []
        for topic in self._topics:
            known = consumer.partitions_for_topic(topic) or set()
            if self._partition is not None and self._partition not in known:
                raise Unavailable(f"{topic} has no partition {self._partition}")
            found += [TopicPartition(topic, number) for number in sorted(known) if self._partition in {None, number}]
        return found

    async def _one(self, record: Record) -> None:
        topic = self._topics[record.topic]
        try:
            message = decode(await self._redeemed(record), topic.by_type, self._context.clock)
        except Rejected as rejection:
            await self._not_understood(topic, record, rejection.reason)
            return
        with observed(message):
            await self._hear(message)

    async def _redeemed(self, record: Record) -> Record:
        # In order: while the object store is away, what lies behind this record waits too.
        self._waits_for_value = True
        try:
            return await until_done(lambda: self._context.claims.redeem(record))
        finally:
            self._waits_for_value = False

    async def _not_understood(self, topic: Topic, record: Record, reason: str) -> None:
        broadcast = isinstance(topic, Event) and topic.broadcast
        if broadcast or self._context.service not in topic.consumers:
            log.warning("record not understood", topic=record.topic, offset=record.offset, reason=reason)
            return
        await until_done(lambda: self._context.dead_letters.bury(topic, record, reason=reason, attempts=0))


async def read_until_now(
    topics: Sequence[Topic],
    partition: int,
    offsets: Mapping[str, int],
    context: BusContext,
    *,
    wanted: Callable[[Received[Any]], bool],
    patience_s: float = READ_PATIENCE_S,
) -> tuple[list[Received[Any]], dict[str, int]]:
    """What lies on one partition of `topics` from `offsets` (by physical topic) to its end, and that end by topic.

    In order within a topic. What cannot be read is left out. Raises Unavailable, also when nothing was read for
    `patience_s`; all of it may take longer.
    """
    by_name = {topic.physical_name: topic for topic in topics}
    found: list[Received[Any]] = []
    async with _reading(context, patience_s) as (consumer, went_on):
        places = [TopicPartition(name, partition) for name in by_name]
        consumer.assign(places)
        ends: dict[TopicPartition, int] = await consumer.end_offsets(places)
        for place, end in ends.items():
            consumer.seek(place, offsets.get(place.topic, end))
        while any([await consumer.position(place) < end for place, end in ends.items()]):
            fetched = await consumer.getmany(timeout_ms=POLL_MS)
            read = [record for place, records in fetched.items() for record in records if record.offset < ends[place]]
            for record in read:
                message = await _readable(by_name, record, context)
                if message is not None and wanted(message):
                    found.append(message)
                went_on()
    return found, {place.topic: end for place, end in ends.items()}


@asynccontextmanager
async def _reading(
    context: BusContext, patience_s: float
) -> AsyncIterator[tuple[AIOKafkaConsumer, Callable[[], None]]]:
    """A consumer, and what to call at least every `patience_s`, or the block ends. Raises Unavailable."""
    consumer, time = _consumer(context), asyncio.get_running_loop().time
    try:
        async with asyncio.timeout(patience_s) as limit:
            await consumer.start()
            yield consumer, lambda: limit.reschedule(time() + patience_s)
    except (KafkaError, TimeoutError) as error:
        raise Unavailable(f"Kafka at {context.bootstrap}: {type(error).__name__}") from error
    finally:
        await close_consumer(consumer, STOP_WITHIN_S)


async def _readable(topics: Mapping[str, Topic], record: Record, context: BusContext) -> Received[Any] | None:
    try:
        return decode(await context.claims.redeem(record), topics[record.topic].by_type, context.clock)
    except Rejected:
        return None


def _consumer(context: BusContext) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(
        bootstrap_servers=context.bootstrap,
        client_id=context.service,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        metadata_max_age_ms=METADATA_AGE_MS,
        fetch_max_wait_ms=FETCH_WAIT_MS,
    )

"""Event subscribers on FastStream: one group for each service, nothing acknowledged that was not handled."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from aiokafka import ConsumerRecord
from aiokafka.errors import KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.kafka.annotations import KafkaMessage

from groundswell.common.bus.closing import within
from groundswell.common.bus.consumption import Consumption, EventSubscription
from groundswell.common.bus.membership import client_id
from groundswell.common.bus.watchdog import PATIENCE_S, watch
from groundswell.common.bus.work import BusContext, Work
from groundswell.common.bus.work_source import METADATA_AGE_MS, group_name
from groundswell.common.errors import Unavailable

Parse = Callable[[ConsumerRecord[bytes, bytes]], Awaitable[KafkaMessage]]

JOIN_WITHIN_S = 45.0
LONGEST_WAIT_MS = 24 * 3_600_000  # a handler waits for what is away, and must not lose its partitions meanwhile
GRACEFUL_S = 10.0
STOP_WITHIN_S = 15.0


class EventSubscribers:
    """The event subscriptions of a process. `watching` are tasks that raise StandsStill: only a new process helps."""

    def __init__(
        self, subscriptions: Sequence[EventSubscription], context: BusContext, *, patience_s: float = PATIENCE_S
    ) -> None:
        self._subscriptions = subscriptions
        self._context = context
        self._patience_s = patience_s
        self._broker: KafkaBroker | None = None
        self.watching: list[asyncio.Task[None]] = []

    @property
    def groups(self) -> list[str]:
        return [group_name(self._context.service, each.topic.physical_name) for each in self._subscriptions]

    async def start(self) -> None:
        """Join the groups and take events; does nothing when started. Raises Unavailable while Kafka is away."""
        if self._broker is not None or not self._subscriptions:
            return
        broker = KafkaBroker(
            self._context.bootstrap,
            client_id=client_id(self._context.service),
            allow_auto_create_topics=False,
            metadata_max_age_ms=METADATA_AGE_MS,
            graceful_timeout=GRACEFUL_S,
            logger=None,
        )
        hearings = [_Hearing(broker, subscription, self._context) for subscription in self._subscriptions]
        try:
            async with asyncio.timeout(JOIN_WITHIN_S):
                await broker.start()
        except BaseException as error:
            await _stop(broker)
            if isinstance(error, KafkaError | TimeoutError):
                raise Unavailable(f"Kafka at {self._context.bootstrap}: {type(error).__name__}") from error
            raise
        self._broker = broker
        self.watching = [asyncio.create_task(hearing.watch(self._patience_s)) for hearing in hearings]

    async def stop(self) -> None:
        """Finish the event that is being handled, leave the groups. Always returns."""
        for task in self.watching:
            task.cancel()
        await asyncio.gather(*self.watching, return_exceptions=True)
        if self._broker is not None:
            await _stop(self._broker)


async def _stop(broker: KafkaBroker) -> None:
    await within(broker.stop(), STOP_WITHIN_S, "event subscribers did not stop in time")


class _Hearing:
    """One subscription on FastStream. In order and one event at a time: a handler that is told to wait waits inside
    Work, so there is nothing to pause, and while it does its consumer may stand still.
    """

    def __init__(self, broker: KafkaBroker, subscription: EventSubscription, context: BusContext) -> None:
        consumption = Consumption(topic=subscription.topic, handle=subscription.handle, slots=1, prefetch=0)
        self._work = Work(consumption, context, pause=lambda _seconds: None)
        self._taken = 0
        self._hears = False
        topic = subscription.topic.physical_name
        self._subscriber = broker.subscriber(
            topic,
            group_id=group_name(context.service, topic),
            ack_policy=AckPolicy.NACK_ON_ERROR,
            auto_offset_reset="earliest",
            parser=_unparsed,
            decoder=_undecoded,
            max_poll_interval_ms=LONGEST_WAIT_MS,
            no_reply=True,
            title=topic,
        )
        self._subscriber(self._hear)

    async def watch(self, patience_s: float) -> None:
        consumer = self._subscriber.consumer
        assert consumer is not None  # noqa: S101 - the broker is started
        await watch(consumer, taken=lambda: self._taken, free=lambda: not self._hears, patience_s=patience_s)

    async def _hear(self, message: KafkaMessage) -> None:
        record = message.raw_message
        assert isinstance(record, ConsumerRecord)  # noqa: S101 - not a batch subscriber
        self._taken += 1
        self._hears = True
        try:
            await self._work.run(await self._work.read([record]), admitted=lambda: None)
        finally:
            self._hears = False


async def _unparsed(record: ConsumerRecord[bytes, bytes], parse: Parse) -> KafkaMessage:
    """FastStream's own parser fails on headers that are no text, and then acknowledges nothing; Work reads them."""
    message = await parse(replace(record, headers=()))
    message.raw_message = record
    return message


async def _undecoded(message: KafkaMessage) -> bytes:
    """Work decodes the value, and says which field is wrong."""
    return message.body

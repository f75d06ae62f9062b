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
from groundswell.common.bus.work import BusContext, Work
from groundswell.common.errors import Unavailable

Parse = Callable[[ConsumerRecord[bytes, bytes]], Awaitable[KafkaMessage]]

JOIN_WITHIN_S = 45.0
GRACEFUL_S = 10.0
STOP_WITHIN_S = 15.0


class EventSubscribers:
    """The event subscriptions of a process."""

    def __init__(self, subscriptions: Sequence[EventSubscription], context: BusContext) -> None:
        self._subscriptions = subscriptions
        self._context = context
        self._broker: KafkaBroker | None = None

    async def start(self) -> None:
        """Join the groups and take events; does nothing when started. Raises Unavailable while Kafka is away."""
        if self._broker is not None or not self._subscriptions:
            return
        broker = _broker(self._subscriptions, self._context)
        try:
            async with asyncio.timeout(JOIN_WITHIN_S):
                await broker.start()
        except BaseException as error:
            await _stop(broker)
            if isinstance(error, KafkaError | TimeoutError):
                raise Unavailable(f"Kafka at {self._context.bootstrap}: {type(error).__name__}") from error
            raise
        self._broker = broker

    async def stop(self) -> None:
        """Finish the event that is being handled, leave the groups. Always returns."""
        if self._broker is not None:
            await _stop(self._broker)


async def _stop(broker: KafkaBroker) -> None:
    await within(broker.stop(), STOP_WITHIN_S, "event subscribers did not stop in time")


def _broker(subscriptions: Sequence[EventSubscription], context: BusContext) -> KafkaBroker:
    broker = KafkaBroker(
        context.bootstrap,
        client_id=context.service,
        allow_auto_create_topics=False,
        graceful_timeout=GRACEFUL_S,
        logger=None,
    )
    for subscription in subscriptions:
        _subscribe(broker, subscription, context)
    return broker


def _subscribe(broker: KafkaBroker, subscription: EventSubscription, context: BusContext) -> None:
    consumption = Consumption(topic=subscription.topic, handle=subscription.handle, slots=1, prefetch=0)
    # In order and one at a time: a handler that is told to wait waits inside Work, so there is nothing to pause.
    work = Work(consumption, context, pause=lambda _seconds: None)
    topic = subscription.topic.physical_name

    @broker.subscriber(
        topic,
        group_id=f"{context.service}.{topic}",
        ack_policy=AckPolicy.NACK_ON_ERROR,
        auto_offset_reset="earliest",
        parser=_unparsed,
        decoder=_undecoded,
        no_reply=True,
        title=topic,
    )
    async def hear(message: KafkaMessage) -> None:
        record = message.raw_message
        assert isinstance(record, ConsumerRecord)  # noqa: S101 - not a batch subscriber
        await work.run([record], admitted=lambda: None)


async def _unparsed(record: ConsumerRecord[bytes, bytes], parse: Parse) -> KafkaMessage:
    """FastStream's own parser fails on headers that are no text, and then acknowledges nothing; Work reads them."""
    message = await parse(replace(record, headers=()))
    message.raw_message = record
    return message


async def _undecoded(message: KafkaMessage) -> bytes:
    """Work decodes the value, and says which field is wrong."""
    return message.body

"""Event subscribers on FastStream: one group for each service, nothing acknowledged that was not handled."""

from types import TracebackType

from aiokafka import ConsumerRecord
from faststream import AckPolicy, BaseMiddleware
from faststream.kafka import KafkaBroker
from faststream.kafka.annotations import KafkaMessage

from groundswell.common.bus.consumption import Consumption, EventSubscription
from groundswell.common.bus.work import BusContext, Work, until_taken

GRACEFUL_S = 10.0


def event_broker(subscriptions: list[EventSubscription], context: BusContext) -> KafkaBroker:
    """A FastStream broker that carries `subscriptions`; not started yet."""
    broker = KafkaBroker(
        context.bootstrap,
        client_id=context.service,
        allow_auto_create_topics=False,
        graceful_timeout=GRACEFUL_S,
        logger=None,
    )
    for subscription in subscriptions:
        _add(broker, subscription, context)
    return broker


def _add(broker: KafkaBroker, subscription: EventSubscription, context: BusContext) -> None:
    consumption = Consumption(topic=subscription.topic, handle=subscription.handle, slots=1, prefetch=0)
    # In order and one at a time: while a handler is told to wait it waits inside Work, so there is nothing to pause.
    work = Work(consumption, context, pause=lambda _seconds: None)
    topic = subscription.topic.physical_name

    class UnreadableToDeadLetters(BaseMiddleware):
        """What FastStream cannot parse never reaches the handler; this is the only place that sees it."""

        async def after_processed(
            self,
            exc_type: type[BaseException] | None = None,
            exc_val: BaseException | None = None,
            exc_tb: TracebackType | None = None,
        ) -> bool | None:
            if isinstance(self.msg, ConsumerRecord) and isinstance(exc_val, Exception):
                record, reason = self.msg, f"unreadable: {type(exc_val).__name__}"
                await until_taken(
                    lambda: context.dead_letters.bury(subscription.topic, record, reason=reason, attempts=0)
                )
                return True
            return await super().after_processed(exc_type, exc_val, exc_tb)

    @broker.subscriber(
        topic,
        group_id=f"{context.service}.{topic}",
        ack_policy=AckPolicy.NACK_ON_ERROR,
        auto_offset_reset="earliest",
        no_reply=True,
        title=topic,
    )
    async def hear(message: KafkaMessage) -> None:
        record = message.raw_message
        assert isinstance(record, ConsumerRecord)  # noqa: S101 - not a batch subscriber
        await work.run([record], admitted=lambda: None)

    broker.add_middleware(UnreadableToDeadLetters)

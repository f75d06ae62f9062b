"""Records that will never work: kept with raw bytes, origin, attempts and reason, so that they can be read and redriven."""

import structlog
from aiokafka import ConsumerRecord

from groundswell.common.bus.envelope import RawHeaders
from groundswell.common.bus.publisher import Publisher
from groundswell.common.telemetry import names
from groundswell.common.topics import Topic

MAX_REASON = 500

log = structlog.get_logger(__name__)


class DeadLetters:
    """Writes to the dead-letter topic of a topic for one service."""

    def __init__(self, publisher: Publisher, *, service: str) -> None:
        self._publisher = publisher
        self._service = service

    async def bury(self, topic: Topic, record: ConsumerRecord[bytes, bytes], *, reason: str, attempts: int) -> None:
        """Keep `record`. Raises Unavailable if Kafka does not take it: then the record must not be committed."""
        destination = topic.dead_letters(self._service)
        added = {
            "dlq_topic": record.topic,
            "dlq_partition": record.partition,
            "dlq_offset": record.offset,
            "dlq_timestamp": record.timestamp,
            "dlq_service": self._service,
            "dlq_attempts": attempts,
            "dlq_reason": reason[:MAX_REASON],
        }
        headers: RawHeaders = [
            *((name, value) for name, value in record.headers if not name.startswith("dlq_")),
            *((name, str(value).encode()) for name, value in added.items()),
        ]
        key = (record.key or b"").decode("utf-8", "replace")
        await self._publisher.publish_raw(destination, record.value, headers, key=key)
        names.DEAD_LETTERS.labels(topic.name, "rejected" if attempts == 0 else "failed").inc()
        log.warning(
            "dead letter",
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            attempts=attempts,
            reason=reason[:MAX_REASON],
        )

"""Records that will never work: kept with raw bytes, origin, attempts and reason, to be read and redriven."""

import time
from collections.abc import Mapping
from dataclasses import replace

import structlog
from aiokafka import ConsumerRecord

from groundswell.common.bus.envelope import RawHeaders
from groundswell.common.bus.messages import Outgoing
from groundswell.common.bus.publisher import Publisher
from groundswell.common.errors import Overloaded
from groundswell.common.telemetry import names
from groundswell.common.topics import Topic

MAX_REASON = 500
BURST = 200
PER_S = 1.0

log = structlog.get_logger(__name__)


class Allowance:
    """A token bucket: `burst` at once, `per_s` in the long run. Pure: the caller brings the time in seconds."""

    def __init__(self, burst: int, per_s: float) -> None:
        self._burst = burst
        self._per_s = per_s
        self._left = float(burst)
        self._at = 0.0

    def take(self, now: float) -> float:
        """Take one; 0 if there was one, else seconds until there is."""
        self._left = min(self._burst, self._left + max(0.0, now - self._at) * self._per_s)
        self._at = now
        if self._left < 1:
            return (1 - self._left) / self._per_s
        self._left -= 1
        return 0.0


class DeadLetters:
    """Writes to the dead-letter topic of a topic for one service.

    At a limited rate: after a bad deploy a consumer stops and shows lag, instead of draining its topic into this one.
    """

    def __init__(self, publisher: Publisher, *, service: str, burst: int = BURST, per_s: float = PER_S) -> None:
        self._publisher = publisher
        self._service = service
        self._allowance = Allowance(burst, per_s)

    async def bury(self, topic: Topic, record: ConsumerRecord[bytes, bytes], *, reason: str, attempts: int) -> None:
        """Keep `record`.

        Raises Overloaded when too many come, Unavailable if Kafka does not take it: then the record must not be
        committed.
        """
        self._allow(topic)
        headers = _with_origin(record, self._service, reason, attempts)
        await self._publisher.publish_raw(topic.dead_letters(self._service), record.value, headers, key=record.key)
        names.DEAD_LETTERS.labels(topic.name, "rejected" if attempts == 0 else "failed").inc()
        log.warning(
            "dead letter",
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            attempts=attempts,
            reason=reason[:MAX_REASON],
        )

    async def keep(self, topic: Topic, message: Outgoing, *, reason: str, attempts: int) -> None:
        """Keep a message that this service sent and that nobody could work on. Raises as `bury` does."""
        self._allow(topic)
        told = {"dlq_topic": message.topic, **_told(self._service, reason, attempts)}
        dead = replace(message, topic=topic.dead_letters(self._service), partition=None)
        await self._publisher.publish(dead, _encoded(told))
        names.DEAD_LETTERS.labels(topic.name, "failed").inc()
        log.warning("dead letter", topic=message.topic, attempts=attempts, reason=reason[:MAX_REASON])

    def _allow(self, topic: Topic) -> None:
        wait_s = self._allowance.take(time.monotonic())
        if wait_s:
            log.error("too many dead letters: the consumer stands still", topic=topic.name, wait_s=wait_s)
            raise Overloaded(f"too many dead letters of {topic.name}", retry_after_s=wait_s)


def _with_origin(record: ConsumerRecord[bytes, bytes], service: str, reason: str, attempts: int) -> RawHeaders:
    added: dict[str, object] = {
        "dlq_topic": record.topic,
        "dlq_partition": record.partition,
        "dlq_offset": record.offset,
        "dlq_timestamp": record.timestamp,
        **_told(service, reason, attempts),
    }
    kept = [(name, value) for name, value in record.headers if not name.startswith("dlq_")]
    return [*kept, *_encoded(added)]


def _told(service: str, reason: str, attempts: int) -> dict[str, object]:
    return {"dlq_service": service, "dlq_attempts": attempts, "dlq_reason": reason[:MAX_REASON]}


def _encoded(headers: Mapping[str, object]) -> RawHeaders:
    return [(name, str(value).encode("utf-8", "replace")) for name, value in headers.items()]

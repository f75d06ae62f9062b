"""Ending Kafka clients for certain: theirs wait for the broker, which may be gone."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError

CUT_WITHIN_S = 2.0

log = structlog.get_logger(__name__)


async def within(work: Awaitable[Any], seconds: float, otherwise: str) -> bool:
    """Await `work` for at most `seconds`; False, and a warning `otherwise`, if Kafka did not let it end well."""
    try:
        async with asyncio.timeout(seconds):
            await work
    except (KafkaError, TimeoutError, OSError) as error:
        log.warning(otherwise, error=type(error).__name__)
        return False
    return True


async def close_consumer(consumer: AIOKafkaConsumer, seconds: float) -> None:
    """Leave the group and close; after `seconds` cut the connections. Always returns."""
    if not await within(consumer.stop(), seconds, "consumer did not leave in time"):
        await within(consumer._client.close(), CUT_WITHIN_S, "connections did not close")  # noqa: SLF001 - no other way


async def close_producer(producer: AIOKafkaProducer, seconds: float) -> None:
    """Flush and close; after `seconds` drop what is unsent and cut the connections. Always returns."""
    if not await within(producer.stop(), seconds, "publisher stopped before everything was flushed"):
        await within(producer.client.close(), CUT_WITHIN_S, "connections did not close")
        await within(producer._sender.close(), CUT_WITHIN_S, "sender did not end")  # noqa: SLF001 - no other way

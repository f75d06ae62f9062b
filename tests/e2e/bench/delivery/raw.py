"""What the product is measured beside: aiokafka alone, as its documentation shows it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from groundswell.common.bus.work_source import group_name

COMMIT_EVERY_MS = 100


@asynccontextmanager
async def clients(address: str, service: str, topic: str) -> AsyncIterator[tuple[AIOKafkaConsumer, AIOKafkaProducer]]:
    """A consumer that has its partitions and commits where it is, and a producer that waits for the broker."""
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=address,
        group_id=group_name(service, topic),
        auto_offset_reset="earliest",
        enable_auto_commit=True,
        auto_commit_interval_ms=COMMIT_EVERY_MS,
    )
    producer = AIOKafkaProducer(bootstrap_servers=address, acks="all", linger_ms=0)
    async with consumer, producer:
        yield consumer, producer

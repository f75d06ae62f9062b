"""Every record of every topic is delivered five times: each answer and each document is as if it had come once."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from groundswell.common.bus.inspection import records_on
from groundswell.common.tiers import Tier
from groundswell.common.topics import CATALOGUE, EMBED_CHUNKS, INGEST_DOCUMENT, physical_topics

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

TIMES = 5
COPY = ("test-copy", b"1")
LIVE = [name for topic in CATALOGUE for name in topic.physical_names]
FIRST, SECOND = ("The bell rings at seven.", "The bell rings at nine.")
LONG = " ".join(f"word{number}" for number in range(120))


class Copier:
    """Lays each record that comes to a live topic there four times more, in a thread of its own."""

    def __init__(self, kafka: str) -> None:
        self._kafka = kafka
        self._started, self._stopping = threading.Event(), threading.Event()
        self.copied = 0
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def start(self) -> None:
        self._thread.start()
        assert self._started.wait(20)

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    async def _run(self) -> None:
        consumer = AIOKafkaConsumer(bootstrap_servers=self._kafka, fetch_max_wait_ms=20)
        producer = AIOKafkaProducer(bootstrap_servers=self._kafka, acks="all", linger_ms=0)
        await consumer.start()
        await producer.start()
        try:
            consumer.assign([TopicPartition(topic, 0) for topic in LIVE])
            await consumer.seek_to_end()  # which makes it learn of the topics
            consumer.assign([TopicPartition(name, n) for name in LIVE for n in consumer.partitions_for_topic(name)])
            await consumer.seek_to_end()
            self._started.set()
            while not self._stopping.is_set():
                for records in (await consumer.getmany(timeout_ms=50)).values():
                    for record in records:
                        await self._copy(producer, record)
        finally:
            await consumer.stop()
            await producer.stop()

    async def _copy(self, producer: AIOKafkaProducer, record: Any) -> None:
        if COPY in record.headers:
            return
        self.copied += 1
        for _ in range(TIMES - 1):
            headers = [*record.headers, COPY]
            await producer.send_and_wait(
                record.topic, record.value, key=record.key, partition=record.partition, headers=headers
            )


@pytest.fixture
def copier(kafka: str) -> Iterator[Copier]:
    running = Copier(kafka)
    running.start()
    yield running
    running.stop()


def buried(kafka: str) -> int:
    names = [topic.name for topic in physical_topics() if topic.name.endswith(".dlq")]
    return sum(len(asyncio.run(records_on(kafka, name))) for name in names)


def test_everything_may_come_five_times(
    stack: Any, copier: Copier, ask_beside: Callable[..., Any], kafka: str, wait_until: Callable[..., Any]
) -> None:
    key, dead = stack.key_for("five-times"), buried(kafka)
    ended = sum(stack.metric("orchestrator", "groundswell_requests_ended_total").values())
    for text in (FIRST, SECOND):
        file = stack.upload("bell.txt", text, key)
        wait_until(lambda file=file: stack.file_status(file, key) == "processed", what="the document", within_s=60)
        (citation,) = stack.ask("When does the bell ring?", key)["groundswell"]["citations"]
        assert citation["quote"] in text
    clients = [ask_beside(f"{number} {LONG}", key) for number in range(3)]
    wait_until(lambda: all(client.over for client in clients), what="every stream over", within_s=60)
    for number, client in enumerate(clients):
        assert (client.broken, client.done, client.endings) == (None, 1, ["stop"])
        assert client.text == f"{number} {LONG}"
    now_ended = sum(stack.metric("orchestrator", "groundswell_requests_ended_total").values())
    assert now_ended - ended == len(clients) + 2
    with stack.http(key) as http:
        files = http.get("/v1/files").json()["data"]
    assert [(each["filename"], each["status"]) for each in files] == [("bell.txt", "processed")]
    assert buried(kafka) == dead
    for topic in (INGEST_DOCUMENT[Tier.STANDARD], EMBED_CHUNKS[Tier.STANDARD]):
        found = asyncio.run(records_on(kafka, topic))
        assert any(COPY in record.headers for record in found), f"nothing of {topic} was delivered again"

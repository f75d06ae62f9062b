"""Publishing to a broker that is there, away, or stands still."""

import asyncio
import time
from typing import Any

import pytest

from groundswell.common.bus.clock import BrokerClock
from groundswell.common.bus.consumption import consume
from groundswell.common.bus.inspection import records_on
from groundswell.common.bus.publisher import Publisher
from groundswell.common.errors import Rejected, Unavailable
from groundswell.common.testing.bench import Ask, Bench, answer, bench_on
from groundswell.common.testing.waiting import eventually
from groundswell.common.tiers import Tier

pytestmark = pytest.mark.connected


async def test_what_is_published_lies_on_its_topic_with_its_headers(bench: Bench) -> None:
    await bench.publisher.publish(bench.ask(1, epoch=4))
    (record,) = await records_on(bench.kafka, bench.command[Tier.STANDARD])
    headers = dict(record.headers)
    assert (record.key, record.value) == (b"key-1", b'{"number":1,"note":""}')
    assert headers["ce_type"] == b"Ask"
    assert headers["ce_epoch"] == b"4"
    assert headers["ce_source"] == b"groundswell/bench"
    assert headers["content-type"] == b"application/json"
    assert record.timestamp_type == 1, "the broker stamps it"


async def test_messages_of_one_call_keep_their_order(bench: Bench) -> None:
    await bench.publisher.publish_all(bench.ask(number) for number in range(20))
    records = await records_on(bench.kafka, bench.command[Tier.STANDARD])
    assert [record.key for record in records] == [f"key-{number}".encode() for number in range(20)]


async def test_publishes_teach_the_clock_of_the_broker(bench: Bench) -> None:
    clock = BrokerClock()
    publisher = Publisher(bench.kafka, service="bench", clock=clock)
    await publisher.publish(bench.ask(1))
    await publisher.stop()
    assert abs(clock.now_ms() - time.time() * 1000) < 1000


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"payload": Ask(number=1, note="x" * 1_500_000)}, "too large"),
        ({"payload": Ask(number=1, note="x" * 9_000_000)}, "too large"),
        ({"partition": 9}, "has no partition 9"),
        ({"topic": "cmd.nowhere.v1", "life_s": 0.5}, "there is no topic cmd.nowhere.v1"),
    ],
)
async def test_what_kafka_can_never_take_is_rejected(bench: Bench, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(Rejected, match=reason):
        await bench.publisher.publish(bench.ask(1, **changes))
    await bench.publisher.publish(bench.ask(2))


async def test_a_deadline_far_away_is_no_error(bench: Bench) -> None:
    await bench.publisher.publish(bench.ask(1, life_s=float("inf")))


async def test_a_record_that_the_broker_refuses_spoils_nothing_after_it(bench: Bench) -> None:
    await bench.publisher.publish(bench.ask(1))
    with pytest.raises(Rejected, match="too large"):
        await bench.publisher.publish(bench.ask(2, payload=Ask(number=2, note="x" * 1_500_000)))
    await bench.publisher.publish(bench.ask(3))
    records = await records_on(bench.kafka, bench.command[Tier.STANDARD])
    assert [record.key for record in records] == [b"key-1", b"key-3"]


async def test_a_producer_that_lost_its_sequence_is_replaced(bench: Bench) -> None:
    await bench.publisher.publish(bench.ask(1))
    producer = bench.publisher._producer
    assert producer is not None
    for partition in producer._txn_manager._sequence_numbers:
        producer._txn_manager._sequence_numbers[partition] += 7
    with pytest.raises(Unavailable, match="OutOfOrderSequenceNumber"):
        await bench.publisher.publish(bench.ask(2))
    await bench.publisher.publish(bench.ask(3))
    records = await records_on(bench.kafka, bench.command[Tier.STANDARD])
    assert [record.key for record in records] == [b"key-1", b"key-3"]


async def test_a_start_while_the_broker_is_away_says_so(unused_tcp_port: int) -> None:
    publisher = Publisher(f"127.0.0.1:{unused_tcp_port}", service="bench", clock=BrokerClock())
    with pytest.raises(Unavailable, match="KafkaConnectionError"):
        await publisher.start()
    with pytest.raises(Unavailable):
        await publisher.check()
    await publisher.stop()


async def test_what_waits_for_a_broker_that_died_fails_at_its_deadline_and_goes_on_when_it_is_back(
    own_kafka: Any,
) -> None:
    async with bench_on(own_kafka.address) as bench, bench.working(consume(bench.command, answer)) as bus:
        await bench.asks([1])
        await bench.until_answered(1)
        await bus.check()
        own_kafka.kill()
        with pytest.raises(Unavailable):
            await bench.publisher.publish(bench.ask(2, life_s=0.6))
        with pytest.raises(Unavailable):
            await bus.check()
        await own_kafka.start()
        await eventually(lambda: _published(bench, 3))
        await eventually(lambda: _has_answered(bench, 3), within_s=40)
        await bus.check()


async def test_a_publish_to_a_broker_that_stands_still_fails_at_its_deadline(own_kafka: Any) -> None:
    async with bench_on(own_kafka.address) as bench:
        await bench.publisher.publish(bench.ask(1))
        own_kafka.stand_still()
        with pytest.raises(Unavailable):
            async with asyncio.timeout(10):
                await bench.publisher.publish(bench.ask(2, life_s=0.6))
        own_kafka.go_on()
        await bench.publisher.publish(bench.ask(3))


async def test_everything_stops_although_the_broker_is_gone(own_kafka: Any) -> None:
    async with asyncio.timeout(50), bench_on(own_kafka.address) as bench, bench.working(consume(bench.command, answer)):
        await bench.asks([1])
        await bench.until_answered(1)
        own_kafka.kill()
        with pytest.raises(Unavailable):
            await bench.publisher.publish(bench.ask(2, life_s=0.6))


async def _published(bench: Bench, number: int) -> bool:
    try:
        await bench.publisher.publish(bench.ask(number, life_s=5))
    except Unavailable as error:
        raise AssertionError(error.reason) from error
    return True


async def _has_answered(bench: Bench, number: int) -> bool:
    return number in await bench.answered()

"""Reading without a group: positions settle before anything is sent, and every listener hears everything."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from groundswell.common.bus.connection import Bus
from groundswell.common.bus.consumption import listen
from groundswell.common.bus.inspection import records_on
from groundswell.common.bus.messages import Received
from groundswell.common.bus.readers import POLL_MS, PartitionReader, read_until_now
from groundswell.common.bus.watchdog import StandsStill
from groundswell.common.errors import Unavailable
from groundswell.common.testing.bench import SERVICE, Answered, Bench
from groundswell.common.testing.waiting import eventually, until

pytestmark = pytest.mark.connected

LATELY_MS = 1000
PATIENCE_S = 2.0  # above what a broker needs to lead a topic that was made a moment ago


class Ears:
    def __init__(self) -> None:
        self.heard: list[int] = []

    async def hear(self, message: Received[Any]) -> None:
        self.heard.append(message.payload.number)


@asynccontextmanager
async def reading(
    bench: Bench,
    ears: Ears,
    offsets: dict[str, int] | None = None,
    partition: int | None = 0,
    since_s: float = 0.0,
) -> AsyncIterator[dict[str, int]]:
    bus = Bus(bench.kafka, service=SERVICE)
    reader = PartitionReader([bench.line.replies], ears.hear, bus.context, partition=partition, since_s=since_s)
    settled = await reader.start(offsets)
    running = asyncio.create_task(reader.run())
    try:
        yield settled
    finally:
        await reader.stop()
        await running
        await bus.stop(0)


async def outcome(bench: Bench, number: int, partition: int = 0) -> None:
    topic = bench.line.replies.physical_name
    await bench.publisher.publish(
        bench.ask(number, topic=topic, payload=Answered(number=number), partition=partition, reply_to=None)
    )


async def test_a_reader_hears_all_that_is_sent_after_its_start_and_nothing_from_before(bench: Bench) -> None:
    ears = Ears()
    await outcome(bench, 1)
    async with reading(bench, ears) as settled:
        assert settled == {bench.line.replies.physical_name: 1}
        await outcome(bench, 2)
        await outcome(bench, 3)
        await until(lambda: ears.heard == [2, 3])


async def test_a_reader_hears_what_was_sent_lately_if_it_is_to(bench: Bench) -> None:
    await outcome(bench, 1)
    (first,) = await records_on(bench.kafka, bench.line.replies.physical_name)
    await until(lambda: time.time() * 1000 > first.timestamp + LATELY_MS)
    await outcome(bench, 2)
    ears = Ears()
    async with reading(bench, ears, since_s=LATELY_MS / 2000):
        await outcome(bench, 3)
        await until(lambda: ears.heard == [2, 3])
    assert ears.heard == [2, 3]


async def test_a_process_knows_whether_it_has_heard_all_of_a_broadcast(bench: Bench) -> None:
    ears, let_hear = Ears(), asyncio.Event()

    async def hear(message: Received[Any]) -> None:
        await let_hear.wait()
        await ears.hear(message)

    event = bench.line.broadcast
    async with bench.working(listen(event, hear)) as bus:
        assert await bus.has_heard_all(event)
        for number in (1, 2):
            await bench.publisher.publish(bench.tell(number, event))

        async def behind() -> bool:
            return not await bus.has_heard_all(event)

        await eventually(behind)
        await asyncio.sleep(POLL_MS / 1000)
        assert not await bus.has_heard_all(event), "fetched, but not heard"
        let_hear.set()
        await until(lambda: ears.heard == [1, 2])
        assert await bus.has_heard_all(event)


async def test_a_reader_hears_only_its_partition(wide_bench: Bench) -> None:
    ears = Ears()
    async with reading(wide_bench, ears, partition=2):
        for partition in range(4):
            await outcome(wide_bench, partition, partition)
        await until(lambda: ears.heard == [2])


async def test_a_reader_of_no_partition_in_particular_hears_all(wide_bench: Bench) -> None:
    ears = Ears()
    async with reading(wide_bench, ears, partition=None):
        for partition in range(4):
            await outcome(wide_bench, partition, partition)
        await until(lambda: sorted(ears.heard) == [0, 1, 2, 3])


async def test_a_reader_goes_on_from_an_offset(bench: Bench) -> None:
    ears = Ears()
    for number in range(4):
        await outcome(bench, number)
    async with reading(bench, ears, {bench.line.replies.physical_name: 2}):
        await until(lambda: ears.heard == [2, 3])


async def test_a_reader_knows_how_far_it_has_heard(bench: Bench) -> None:
    ears, topic = Ears(), bench.line.replies.physical_name
    await outcome(bench, 0)
    bus = Bus(bench.kafka, service=SERVICE)
    reader = PartitionReader([bench.line.replies], ears.hear, bus.context, partition=0)
    await reader.start()
    assert reader.positions == {topic: 1}
    running = asyncio.create_task(reader.run())
    try:
        await outcome(bench, 1)
        await until(lambda: reader.positions == {topic: 2})
        assert ears.heard == [1]
    finally:
        await reader.stop()
        await running


async def test_what_lies_on_a_partition_is_read_from_an_offset_to_its_end(wide_bench: Bench) -> None:
    topic = wide_bench.line.replies.physical_name
    for number in range(6):
        await outcome(wide_bench, number, partition=number % 2)
    await wide_bench.raw(topic, b"{", [("odd", b"\xff")])
    context = Bus(wide_bench.kafka, service=SERVICE).context

    async def read(offsets: dict[str, int], partition: int = 0) -> tuple[list[int], dict[str, int]]:
        found, ends = await read_until_now(
            [wide_bench.line.replies], partition, offsets, context, wanted=lambda message: message.payload.number != 2
        )
        return [message.payload.number for message in found], ends

    assert (await read({topic: 0}))[0] == [0, 4]
    assert await read({topic: 1}, 1) == ([3, 5], {topic: 3})
    assert await read({}, 1) == ([], {topic: 3})


async def test_nothing_is_read_from_a_broker_that_is_away(bench: Bench) -> None:
    context = Bus("127.0.0.1:9", service=SERVICE).context
    with pytest.raises(Unavailable):
        await read_until_now([bench.line.replies], 0, {}, context, wanted=lambda _: True)


async def test_an_offset_that_is_not_there_means_the_oldest_record(bench: Bench) -> None:
    ears = Ears()
    for number in range(2):
        await outcome(bench, number)
    async with reading(bench, ears, {bench.line.replies.physical_name: 1000}):
        await until(lambda: ears.heard == [0, 1])


async def test_what_a_reader_cannot_read_goes_to_the_dead_letters_and_it_reads_on(bench: Bench) -> None:
    ears = Ears()
    async with reading(bench, ears):
        await bench.raw(bench.line.replies.physical_name, b"{", [("odd", b"\xff")])
        await outcome(bench, 1)
        await until(lambda: ears.heard == [1])
    (letter,) = await bench.dead(bench.line.replies)
    assert letter["dlq_reason"] == "header 'odd' is not UTF-8"


async def test_a_reader_of_a_partition_that_does_not_exist_says_so(bench: Bench) -> None:
    bus = Bus(bench.kafka, service=SERVICE)
    reader = PartitionReader([bench.line.replies], Ears().hear, bus.context, partition=55)
    with pytest.raises(Unavailable, match=r"rpl\..*has no partition 55"):
        await reader.start()
    await reader.stop()


async def test_a_reader_whose_listener_stumbles_ends_with_its_error(bench: Bench) -> None:
    async def stumble(_message: Received[Any]) -> None:
        raise ZeroDivisionError

    bus = Bus(bench.kafka, service=SERVICE)
    reader = PartitionReader([bench.line.replies], stumble, bus.context, partition=0)
    await reader.start()
    await outcome(bench, 1)
    with pytest.raises(ZeroDivisionError):
        await reader.run()
    await reader.stop()


async def test_a_reader_whose_consumer_stands_still_ends_so_that_its_process_does(bench: Bench) -> None:
    bus = Bus(bench.kafka, service=SERVICE)
    reader = PartitionReader([bench.line.replies], Ears().hear, bus.context, partition=0, patience_s=0.2)
    await reader.start()
    stuck = reader._consumer
    assert stuck is not None
    stuck.pause(*stuck.assignment())  # as seen from outside: alive, assigned, and nothing comes
    await outcome(bench, 1)
    with pytest.raises(StandsStill):
        await reader.run()
    await reader.stop()


async def test_a_reader_to_which_nothing_comes_may_be_idle_for_longer_than_its_patience(bench: Bench) -> None:
    ears = Ears()
    bus = Bus(bench.kafka, service=SERVICE)
    reader = PartitionReader([bench.line.replies], ears.hear, bus.context, partition=0, patience_s=PATIENCE_S)
    await reader.start()
    running = asyncio.create_task(reader.run())
    try:
        await outcome(bench, 1)
        await until(lambda: ears.heard == [1])
        await asyncio.wait([running], timeout=2 * PATIENCE_S)
        assert not running.done()
    finally:
        await reader.stop()
        await running


async def test_a_broadcast_reaches_every_listener(bench: Bench) -> None:
    first, second = Ears(), Ears()
    event = bench.line.broadcast
    async with bench.working(listen(event, first.hear)), bench.working(listen(event, second.hear)):
        await bench.raw(event.physical_name, b"what is this", [])
        for number in range(3):
            await bench.publisher.publish(bench.tell(number, event))
        await until(lambda: first.heard == second.heard == [0, 1, 2])

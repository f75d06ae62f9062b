"""Events in the group of a service: handled once, in order, and nothing lost to what cannot be read."""

import asyncio
from collections.abc import Sequence

import pytest

from groundswell.common.bus.connection import Bus
from groundswell.common.bus.consumption import subscribe
from groundswell.common.bus.events import EventSubscribers
from groundswell.common.bus.messages import Outgoing, Received
from groundswell.common.bus.watchdog import StandsStill
from groundswell.common.errors import Overloaded
from groundswell.common.testing.bench import SERVICE, Bench, Told
from groundswell.common.testing.waiting import until

pytestmark = pytest.mark.connected


class Ears:
    def __init__(self) -> None:
        self.heard: list[int] = []

    async def hear(self, message: Received[Told]) -> Sequence[Outgoing]:
        self.heard.append(message.payload.number)
        return []


async def test_an_event_from_before_the_start_is_heard_once_and_committed(bench: Bench) -> None:
    ears, event = Ears(), bench.line.event
    await bench.publisher.publish(bench.tell(0, event))
    async with bench.working(subscribe(event, ears.hear)):
        for number in range(1, 4):
            await bench.publisher.publish(bench.tell(number, event))
        await bench.until_committed(event.physical_name, 4)
    async with bench.working(subscribe(event, ears.hear)):
        await bench.publisher.publish(bench.tell(4, event))
        await bench.until_committed(event.physical_name, 5)
    assert ears.heard == [0, 1, 2, 3, 4]


async def test_an_event_that_cannot_be_read_goes_to_the_dead_letters_and_the_next_is_heard(bench: Bench) -> None:
    ears, event = Ears(), bench.line.event
    await bench.raw(event.physical_name, b"{}", [("ce_tenant", b"\xff")])
    await bench.raw(event.physical_name, b"{", [("content-type", b"application/json")])
    await bench.raw(event.physical_name, None, [])
    await bench.publisher.publish(bench.tell(3, event))
    async with bench.working(subscribe(event, ears.hear)):
        await bench.until_committed(event.physical_name, 4)
    assert ears.heard == [3]
    reasons = [letter["dlq_reason"] for letter in await bench.dead(event)]
    assert reasons == ["header 'ce_tenant' is not UTF-8", "header ce_id is missing", "header ce_id is missing"]


async def test_an_event_that_cannot_be_read_is_committed_although_it_is_the_last(bench: Bench) -> None:
    ears, event = Ears(), bench.line.event
    await bench.raw(event.physical_name, b"{}", [("ce_tenant", b"\xff")])
    async with bench.working(subscribe(event, ears.hear)):
        await bench.until_committed(event.physical_name, 1)
    assert len(await bench.dead(event)) == 1


async def test_a_bug_is_tried_three_times_and_the_next_event_is_heard(bench: Bench) -> None:
    tried: list[int] = []

    async def stumble(message: Received[Told]) -> Sequence[Outgoing]:
        tried.append(message.payload.number)
        if message.payload.number == 0:
            raise ZeroDivisionError
        return []

    event = bench.line.event
    for number in range(2):
        await bench.publisher.publish(bench.tell(number, event))
    async with bench.working(subscribe(event, stumble)):
        await bench.until_committed(event.physical_name, 2)
    assert tried == [0, 0, 0, 1]
    assert [letter["dlq_attempts"] for letter in await bench.dead(event)] == ["3"]


async def test_an_event_waits_for_what_is_away_however_late_it_gets(bench: Bench) -> None:
    tried: list[int] = []

    async def refuse_at_first(message: Received[Told]) -> Sequence[Outgoing]:
        tried.append(message.payload.number)
        if len(tried) < 3:
            raise Overloaded("the database is away", retry_after_s=0.02)
        return []

    event = bench.line.event
    await bench.publisher.publish(bench.tell(7, event, life_s=-5))
    async with bench.working(subscribe(event, refuse_at_first)):
        await bench.until_committed(event.physical_name, 1)
    assert tried == [7, 7, 7]
    assert await bench.dead(event) == []


async def test_an_event_can_lead_to_messages(bench: Bench) -> None:
    async def ask(message: Received[Told]) -> Sequence[Outgoing]:
        return [bench.ask(message.payload.number)]

    event = bench.line.event
    await bench.publisher.publish(bench.tell(7, event))
    async with bench.working(subscribe(event, ask)):
        await bench.until_committed(event.physical_name, 1)


async def test_two_services_hear_the_same_event(bench: Bench) -> None:
    first, second = Ears(), Ears()
    event = bench.line.event
    await bench.publisher.publish(bench.tell(1, event))
    async with (
        bench.working(subscribe(event, first.hear)),
        bench.working(subscribe(event, second.hear), service="other"),
    ):
        await until(lambda: first.heard == second.heard == [1])


async def test_subscribers_whose_consumer_stands_still_end_so_that_their_process_does(bench: Bench) -> None:
    event, ears = bench.line.event, Ears()
    async with bench.working() as bus:
        subscribers = EventSubscribers([subscribe(event, ears.hear)], bus.context, patience_s=0.2)
        await subscribers.start()
        (watching,) = subscribers.watching
        await bench.publisher.publish(bench.tell(0, event))
        await until(lambda: ears.heard == [0])
        (stuck,) = [each.consumer for each in subscribers._broker.subscribers]  # type: ignore[union-attr]
        assert stuck is not None
        stuck.pause(*stuck.assignment())  # as seen from outside: alive, assigned, and nothing comes
        await bench.publisher.publish(bench.tell(1, event))
        with pytest.raises(StandsStill):
            await watching
        await subscribers.stop()


async def test_an_event_that_takes_long_is_waited_for(bench: Bench) -> None:
    event, began, held = bench.line.event, asyncio.Event(), asyncio.Event()

    async def hold(_message: Received[Told]) -> Sequence[Outgoing]:
        began.set()
        await held.wait()
        return []

    async with bench.working() as bus:
        subscribers = EventSubscribers([subscribe(event, hold)], bus.context, patience_s=2)
        for number in range(2):
            await bench.publisher.publish(bench.tell(number, event))
        await subscribers.start()
        await began.wait()
        await asyncio.wait(subscribers.watching, timeout=4)
        assert not subscribers.watching[0].done()
        held.set()
        await bench.until_committed(event.physical_name, 2)
        await subscribers.stop()


async def test_subscribers_start_and_stop_without_any_subscription(bench: Bench) -> None:
    bus = Bus(bench.kafka, service=SERVICE)
    assert await bus.start() == []
    await bus.stop(0)

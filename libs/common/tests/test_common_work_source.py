"""Commands on the real Kafka: handled at least once, answered, committed in order."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest
from aiokafka.errors import GroupAuthorizationFailedError

from groundswell.common.bus import work_source
from groundswell.common.bus.connection import Bus
from groundswell.common.bus.consumption import consume, consume_stream
from groundswell.common.bus.messages import Outgoing, Received, reply
from groundswell.common.bus.watchdog import StandsStill
from groundswell.common.contracts.message import CommandExpired
from groundswell.common.errors import Overloaded, Unavailable
from groundswell.common.testing.bench import SERVICE, Answered, Ask, Bench, Line, answer, bench_on
from groundswell.common.testing.waiting import until
from groundswell.common.tiers import Tier

pytestmark = pytest.mark.connected


class Gate:
    """A handler that waits at numbers which the test has not let through."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.done: list[int] = []
        self._open: dict[int, asyncio.Event] = {}

    def open(self, number: int) -> None:
        self._event(number).set()

    async def handle(self, message: Received[Ask]) -> Sequence[Outgoing]:
        number = message.payload.number
        self.seen.append(number)
        await self._event(number).wait()
        self.done.append(number)
        return await answer(message)

    def _event(self, number: int) -> asyncio.Event:
        return self._open.setdefault(number, asyncio.Event())


async def test_a_command_of_each_tier_is_answered_and_committed(bench: Bench) -> None:
    async with bench.working(consume(bench.command, answer)):
        for number, tier in enumerate(Tier):
            await bench.asks([number], tier=tier)
        await bench.until_answered(0, 1, 2)
        for tier in Tier:
            await bench.until_committed(bench.command[tier], 1)


async def test_an_answer_carries_who_asked_why_and_until_when(bench: Bench) -> None:
    asked = bench.ask(7, tier=Tier.BULK, attempt=2, epoch=5)
    async with bench.working(consume(bench.command, answer)):
        await bench.publisher.publish(asked)
        await bench.until_answered(7)
    (outcome,) = await bench.outcomes()
    assert outcome.key == "key-7"
    assert outcome.envelope.causation_id == asked.message_id
    assert outcome.envelope.correlation_id == "req_7"
    assert outcome.envelope.tenant == "red"
    assert (outcome.envelope.tier, outcome.envelope.attempt, outcome.envelope.epoch) == (Tier.BULK, 2, 5)
    assert abs(outcome.deadline - asked.deadline) < 1


async def test_a_process_whose_commits_are_refused_for_good_ends(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(_offsets: object) -> None:
        raise GroupAuthorizationFailedError

    monkeypatch.setattr(work_source, "REFUSED_FOR_S", 0.3)
    with pytest.raises(StandsStill, match="GroupAuthorizationFailed"):  # noqa: PT012 - it is raised as the bus stops
        async with bench.working(consume(bench.command, answer)) as bus:
            (source,) = [source for source in bus._sources if source.topic == bench.command[Tier.STANDARD]]
            monkeypatch.setattr(source._consumer, "commit", refuse)
            await bench.asks([1])
            await until(bus._running[source].done)


async def test_work_that_ends_out_of_order_commits_only_what_is_contiguous(bench: Bench) -> None:
    gate, topic = Gate(), bench.command[Tier.STANDARD]
    for number in (1, 2):
        gate.open(number)
    async with bench.working(consume(bench.command, gate.handle)):
        await bench.asks([0, 1, 2])
        await bench.until_answered(1, 2)
        assert await bench.committed(topic) == 0
        gate.open(0)
        await bench.until_committed(topic, 3)


async def test_records_of_a_process_that_died_at_work_come_again(bench: Bench) -> None:
    gate = Gate()
    gate.open(0)
    await bench.asks([0, 1])
    async with bench.working(consume(bench.command, gate.handle), drain_s=0):
        await bench.until_committed(bench.command[Tier.STANDARD], 1)
        await until(lambda: gate.seen == [0, 1])
    assert gate.done == [0], "the second one was cut off in its handler"
    async with bench.working(consume(bench.command, answer)):
        await bench.until_answered(0, 1)


async def test_a_stop_finishes_what_runs_and_leaves_the_rest_to_the_next(bench: Bench) -> None:
    gate = Gate()
    await bench.asks([0, 1, 2])
    async with bench.working(consume(bench.command, gate.handle, slots=1), drain_s=10):
        await until(lambda: gate.seen == [0])
        asyncio.get_running_loop().call_later(0.2, gate.open, 0)
    assert gate.seen == gate.done == [0]
    assert await bench.committed(bench.command[Tier.STANDARD]) == 1
    async with bench.working(consume(bench.command, answer)):
        await bench.until_answered(0, 1, 2)


async def test_a_stop_returns_although_a_handler_hangs(bench: Bench) -> None:
    async def hang(_message: Received[Ask]) -> Sequence[Outgoing]:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await released.wait()  # it does not take no for an answer
        return []

    released, started = asyncio.Event(), asyncio.Event()

    async def hang_and_say(message: Received[Ask]) -> Sequence[Outgoing]:
        started.set()
        return await hang(message)

    await bench.asks([0])
    async with bench.working(consume(bench.command, hang_and_say), drain_s=0.1):
        await started.wait()
    released.set()
    assert await bench.committed(bench.command[Tier.STANDARD]) == 0


async def test_no_more_than_the_slots_run_at_once_over_all_tiers(bench: Bench) -> None:
    running, most = 0, 0

    async def count(message: Received[Ask]) -> Sequence[Outgoing]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return await answer(message)

    for tier in Tier:
        await bench.asks(range(8), tier=tier)
    async with bench.working(consume(bench.command, count, slots=2)):
        await bench.until_answered(*[*range(8)] * 3)
    assert most == 2


async def test_overload_pauses_and_costs_no_attempt(bench: Bench) -> None:
    tries = Counter[int]()

    async def refuse_at_first(message: Received[Ask]) -> Sequence[Outgoing]:
        tries[message.payload.number] += 1
        if tries[message.payload.number] <= 5:
            raise Overloaded("busy", retry_after_s=0.02)
        return await answer(message)

    await bench.asks([0])
    async with bench.working(consume(bench.command, refuse_at_first)):
        await bench.until_answered(0)
        await bench.until_committed(bench.command[Tier.STANDARD], 1)
    assert tries[0] == 6
    assert await bench.dead() == []


async def test_what_was_fetched_is_kept_while_there_is_no_room(bench: Bench) -> None:
    """Of a paused partition that is polled, aiokafka throws away what it has fetched."""
    go_on = asyncio.Event()

    async def wait(message: Received[Ask]) -> list[Outgoing]:
        await go_on.wait()
        return await answer(message)

    await bench.asks(range(8))
    async with bench.working(consume(bench.command, wait, slots=1, prefetch=1)) as bus:
        (source,) = [each for each in bus._sources if each.topic == bench.command[Tier.STANDARD]]
        await until(lambda: source._room() == 0)
        consumer = source._consumer
        assert consumer._fetcher is not None
        (fetched,) = consumer._fetcher._records.values()
        polled = consumer._subscription._last_fetch_ended
        await until(lambda: consumer._subscription._last_fetch_ended > polled)
        assert fetched.has_more()
        go_on.set()
        await bench.until_answered(*range(8))


async def test_a_paused_source_takes_nothing_more(bench: Bench) -> None:
    seen: list[int] = []

    async def refuse(message: Received[Ask]) -> Sequence[Outgoing]:
        seen.append(message.payload.number)
        raise Overloaded("busy", retry_after_s=60)

    async with bench.working(consume(bench.command, refuse, slots=8), drain_s=0) as bus:
        await bench.asks([0])
        await until(lambda: seen == [0])
        await bench.asks([1])
        (source,) = (source for source in bus._sources if source.topic == bench.command[Tier.STANDARD])
        await until(lambda: source._consumer.paused() == source._consumer.assignment())
    assert seen == [0]


async def test_a_source_that_was_paused_while_it_had_nothing_to_do_goes_on(bench: Bench) -> None:
    async with bench.working(consume(bench.command, answer)) as bus:
        (source,) = (source for source in bus._sources if source.topic == bench.command[Tier.STANDARD])
        await until(lambda: bool(source.partitions))
        source._pause_for(0.3)
        assert source._consumer.paused() == source._consumer.assignment()
        await bench.asks([0])
        await bench.until_answered(0)


async def test_an_idle_source_hears_of_an_error_of_its_group(bench: Bench) -> None:
    def broken() -> None:
        raise GroupAuthorizationFailedError(bench.command.name)

    async def work() -> None:
        async with bench.working(consume(bench.command, answer)) as bus:
            (source,) = (source for source in bus._sources if source.topic == bench.command[Tier.STANDARD])
            vars(source._consumer)["_coordinator"].check_errors = broken
            await until(bus._running[source].done)

    with pytest.raises(GroupAuthorizationFailedError):
        await work()


async def test_a_command_past_its_deadline_is_answered_expired_and_not_handled(bench: Bench) -> None:
    gate = Gate()
    await bench.publisher.publish(bench.ask(0, life_s=-1))
    await bench.asks([1])
    gate.open(1)
    async with bench.working(consume(bench.command, gate.handle)):
        await bench.until_answered(1)
        await bench.until_committed(bench.command[Tier.STANDARD], 2)
    assert gate.seen == [1]
    expired = [item for item in await bench.outcomes() if isinstance(item.payload, CommandExpired)]
    assert [(item.payload, item.envelope.correlation_id) for item in expired] == [
        (CommandExpired(command="Ask"), "req_0")
    ]


async def test_a_command_that_expires_while_its_handler_is_overloaded_is_answered_expired(bench: Bench) -> None:
    async def refuse(_message: Received[Ask]) -> Sequence[Outgoing]:
        raise Overloaded("busy", retry_after_s=0.05)

    await bench.asks([0], life_s=0.5)
    async with bench.working(consume(bench.command, refuse)):
        await bench.until_committed(bench.command[Tier.STANDARD], 1)
    assert [item.payload for item in await bench.outcomes()] == [CommandExpired(command="Ask")]


async def test_a_late_outcome_is_handled_all_the_same(bench: Bench) -> None:
    heard: list[int] = []

    async def hear(message: Received[Answered]) -> Sequence[Outgoing]:
        heard.append(message.payload.number)
        if len(heard) == 1:
            raise Overloaded("the database is away", retry_after_s=0.02)
        return []

    late = bench.ask(3, topic=bench.line.replies.physical_name, payload=Answered(number=3), life_s=-10)
    await bench.publisher.publish(late)
    async with bench.working(consume(bench.line.replies, hear)):
        await bench.until_committed(bench.line.replies.physical_name, 1)
    assert heard == [3, 3]


async def test_long_work_is_committed_when_admitted_and_goes_on(bench: Bench) -> None:
    finish = asyncio.Event()

    async def generate(message: Received[Ask]) -> AsyncGenerator[Outgoing, None]:
        yield reply(message, Answered(number=100))
        await finish.wait()
        yield reply(message, Answered(number=101))

    await bench.asks([0])
    async with bench.working(consume_stream(bench.command, generate, slots=1)):
        await bench.until_committed(bench.command[Tier.STANDARD], 1)
        assert await bench.answered() == [100]
        finish.set()
        await bench.until_answered(100, 101)


async def test_long_work_that_nobody_admitted_comes_again(bench: Bench) -> None:
    started = asyncio.Event()

    async def wait_for_room(message: Received[Ask]) -> AsyncGenerator[Outgoing, None]:
        started.set()
        await asyncio.Event().wait()
        yield reply(message, Answered(number=0))

    async def generate(message: Received[Ask]) -> AsyncGenerator[Outgoing, None]:
        yield reply(message, Answered(number=message.payload.number))

    await bench.asks([5])
    async with bench.working(consume_stream(bench.command, wait_for_room, slots=1), drain_s=0):
        await started.wait()
    assert await bench.committed(bench.command[Tier.STANDARD]) == 0
    async with bench.working(consume_stream(bench.command, generate, slots=1)):
        await bench.until_answered(5)


async def test_a_stream_is_closed_when_its_process_stops(bench: Bench) -> None:
    closed = asyncio.Event()

    async def generate(message: Received[Ask]) -> AsyncGenerator[Outgoing, None]:
        try:
            yield reply(message, Answered(number=0))
            await asyncio.Event().wait()
        finally:
            closed.set()

    await bench.asks([0])
    async with bench.working(consume_stream(bench.command, generate, slots=1), drain_s=0):
        await bench.until_answered(0)
    assert closed.is_set()


async def test_a_source_says_when_it_has_joined(bench: Bench) -> None:
    async with bench.working(consume(bench.command, answer)) as bus:
        await until(lambda: bus.missing() == {})


async def test_a_source_whose_topic_is_not_there_says_so_and_joins_once_it_is(components: Any) -> None:
    line = Line.new()
    bus = Bus(components.kafka, service=SERVICE, subscriptions=[consume(line.command, answer)])
    with pytest.raises(Unavailable, match=rf"Kafka lacks the topic {line.command[Tier.INTERACTIVE]}"):
        await bus.start()
    async with bench_on(components.kafka, line=line) as bench:
        await bus.publisher.start()
        assert len(await bus.start()) == len(Tier)
        await bench.asks([1])
        await bench.until_answered(1)
        await bus.stop(5)

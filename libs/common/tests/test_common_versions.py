"""Two versions of a service side by side in one group: each works on what the other sends, and nothing is rejected."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from groundswell.common.bus.consumption import consume, subscribe
from groundswell.common.bus.messages import Outgoing, Received, follow, reply
from groundswell.common.contracts.message import Message
from groundswell.common.testing import bench as older
from groundswell.common.testing.bench import Bench, Line
from groundswell.common.testing.waiting import until
from groundswell.common.tiers import Tier

pytestmark = pytest.mark.connected

ASKS = 40
PARTITIONS = 4


class newer:  # noqa: N801 - stands beside the module `older`
    """The models a release later, under the same names."""

    class Ask(older.Ask):
        urgency: int = 0

    class Answered(older.Answered):
        by: str = "somebody"

    class Told(older.Told):
        by: str = "somebody"


@dataclass
class Release:
    """A process of one release. `asked` and `told` hold what it made of each payload."""

    line: Line
    ask: type[older.Ask]
    answered: type[older.Answered]
    told: type[older.Told]
    asked: dict[int, older.Ask] = field(default_factory=dict)
    heard: dict[int, older.Told] = field(default_factory=dict)

    async def work(self, message: Received[Any]) -> Sequence[Outgoing]:
        number = message.payload.number
        self.asked[number] = message.payload
        fact = follow(message, self.line.event, self.told(number=number), partition=number // PARTITIONS % PARTITIONS)
        return [fact, reply(message, self.answered(number=number))]

    async def hear(self, message: Received[Any]) -> Sequence[Outgoing]:
        self.heard[message.payload.number] = message.payload
        return []


def releases(bench: Bench) -> tuple[Release, Release]:
    line = bench.line
    models: tuple[type[Message], ...] = (newer.Answered, *line.replies.payloads[1:])
    later = Line(
        replace(line.command, payloads=(newer.Ask,), outcomes=models),
        replace(line.replies, payloads=models),
        replace(line.event, payloads=(newer.Told,)),
        line.broadcast,
    )
    return (
        Release(line, older.Ask, older.Answered, older.Told),
        Release(later, newer.Ask, newer.Answered, newer.Told),
    )


async def test_two_releases_share_a_group_and_each_takes_what_the_other_sends(wide_bench: Bench) -> None:
    bench = wide_bench
    old, new = releases(bench)
    async with AsyncExitStack() as running:
        for release in (old, new):
            subscriptions = (consume(release.line.command, release.work), subscribe(release.line.event, release.hear))
            bus = await running.enter_async_context(bench.working(*subscriptions))
            await until(lambda bus=bus: not bus.missing())  # type: ignore[misc]
        for number in range(ASKS):
            payload = old.ask(number=number) if number % 8 < PARTITIONS else newer.Ask(number=number, urgency=7)
            await bench.publisher.publish(bench.ask(number, payload=payload, partition=number % PARTITIONS))
        await bench.until_answered(*range(ASKS))
        await until(lambda: len(old.heard) + len(new.heard) == ASKS)
        await bench.until_committed(bench.command[Tier.STANDARD], ASKS)
        await bench.until_committed(bench.line.event.physical_name, ASKS)

    sent_by_new = {number for number in range(ASKS) if number % 8 >= PARTITIONS}
    for release in (old, new):
        assert 0 < len(sent_by_new & release.asked.keys()) < len(release.asked), "it was asked by both"
        assert 0 < len(old.asked.keys() & release.heard.keys()) < len(release.heard), "it was told by both"
    assert {type(each) for each in old.asked.values()} == {older.Ask}
    urgencies = {number: ask.urgency for number, ask in new.asked.items() if isinstance(ask, newer.Ask)}
    assert urgencies == {number: 7 if number in sent_by_new else 0 for number in new.asked}
    assert await bench.dead() == await bench.dead(bench.line.event) == []

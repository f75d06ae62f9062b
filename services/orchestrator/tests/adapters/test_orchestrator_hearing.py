"""A replica knows whether replies reach it: a probe of its own comes back from every partition that it reads."""

import asyncio
import math
import time
from dataclasses import replace
from typing import Any, cast

import pytest

from groundswell.common.bus.envelope import Envelope
from groundswell.common.bus.messages import Origin, Outgoing, Received
from groundswell.common.contracts.answers import ReplyProbe
from groundswell.common.errors import Unavailable
from groundswell.common.testing.waiting import until
from groundswell.common.topics import ORCHESTRATOR_BULK_REPLIES, ORCHESTRATOR_REPLIES, WORKER_PROGRESS, Event
from groundswell.orchestrator.adapters import hearing as hearing_module
from groundswell.orchestrator.adapters.hearing import HEARD_WITHIN_S, Hearing
from groundswell.orchestrator.adapters.run import ReplyRoute

OWNER = "me"


class Publisher:
    def __init__(self, *, is_away: bool = False) -> None:
        self.sent: list[Outgoing] = []
        self.is_away = is_away

    async def publish(self, message: Outgoing) -> None:
        self.sent.append(message)
        if self.is_away:
            raise Unavailable("Kafka is away")


class Bus:
    """`unheard`: something lies where workers report; None: Kafka does not say."""

    def __init__(self, publisher: Publisher) -> None:
        self.publisher = publisher
        self.unheard: bool | None = False

    async def has_heard_all(self, event: Event) -> bool:
        assert event is WORKER_PROGRESS
        if self.unheard is None:
            raise Unavailable("Kafka is away")
        return not self.unheard


def route(publisher: Publisher, partition: int = 2) -> ReplyRoute:
    return ReplyRoute(cast("Any", Bus(publisher)), partition, 1, OWNER)


def back(message: Outgoing, **changes: Any) -> Received[Any]:
    """A probe as it is read."""
    origin = Origin(message.topic, message.partition or 0, 0)
    payload = cast("ReplyProbe", message.payload).model_copy(update=changes)
    return Received(payload, cast("Envelope", None), message.deadline, origin, key=message.key)


async def test_replies_are_heard_as_long_as_probes_come_back_from_every_topic() -> None:
    hearing, publisher = Hearing(), Publisher()
    with hearing.watching(route(publisher), ORCHESTRATOR_REPLIES, ORCHESTRATOR_BULK_REPLIES):
        await until(lambda: len(publisher.sent) >= 2)
        ordinary, bulk = publisher.sent[:2]
        assert (ordinary.partition, bulk.partition) == (2, 2)
        later = time.monotonic() + HEARD_WITHIN_S + 1
        assert hearing.can_hear(time.monotonic()), "it has only just begun"
        assert not hearing.can_hear(later)
        hearing.hear(back(ordinary, sent_s=later), OWNER)
        assert not hearing.can_hear(later), "nothing came back from the other topic"
        hearing.hear(back(bulk, sent_s=later), OWNER)
        assert hearing.can_hear(later)
    assert hearing.can_hear(later + 100), "nothing is read any more"


async def test_what_lay_there_long_ago_or_is_of_another_owner_or_partition_says_nothing() -> None:
    hearing, publisher = Hearing(), Publisher()
    with hearing.watching(route(publisher), ORCHESTRATOR_REPLIES):
        await until(lambda: publisher.sent)
        [probe] = publisher.sent[:1]
        later = time.monotonic() + HEARD_WITHIN_S + 1
        hearing.hear(back(probe), OWNER)
        hearing.hear(back(probe, sent_s=later, owner="another"), OWNER)
        hearing.hear(back(replace(probe, partition=3), sent_s=later), OWNER)
        assert not hearing.can_hear(later)


@pytest.mark.parametrize("unheard", [True, None])
async def test_workers_are_heard_as_long_as_nothing_lies_unheard_where_they_report(
    unheard: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hearing_module, "PROBE_EVERY_S", 0.01)
    hearing, bus = Hearing(), Bus(Publisher())
    with hearing.watching_workers(cast("Any", bus)):
        began = time.monotonic()
        await until(lambda: hearing.heard_until() >= began)
        bus.unheard = unheard
        await asyncio.sleep(0.05)
        stopped = hearing.heard_until()
        await asyncio.sleep(0.05)
        assert hearing.heard_until() == stopped
        assert not hearing.can_hear(stopped + HEARD_WITHIN_S + 0.1)
        bus.unheard = False
        await until(lambda: hearing.heard_until() > stopped)
    assert hearing.can_hear(time.monotonic() + 100), "nobody looks any more"


async def test_a_broker_that_is_away_does_not_end_the_probing() -> None:
    hearing, publisher = Hearing(), Publisher(is_away=True)
    with hearing.watching(route(publisher), ORCHESTRATOR_REPLIES, ORCHESTRATOR_BULK_REPLIES):
        await until(lambda: len(publisher.sent) >= 4)
    sent = len(publisher.sent)
    await asyncio.sleep(0)
    assert len(publisher.sent) == sent


async def test_what_lay_on_every_partition_was_heard_until_the_oldest_of_the_newest_probes_that_came_back() -> None:
    hearing, publisher = Hearing(), Publisher()
    assert hearing.heard_until() == -math.inf, "nothing is read"
    with hearing.watching(route(publisher), ORCHESTRATOR_REPLIES, ORCHESTRATOR_BULK_REPLIES):
        await until(lambda: len(publisher.sent) >= 2)
        ordinary, bulk = publisher.sent[:2]
        hearing.hear(back(ordinary, sent_s=30.0), OWNER)
        assert hearing.heard_until() == -math.inf
        hearing.hear(back(bulk, sent_s=20.0), OWNER)
        hearing.hear(back(bulk, sent_s=10.0), OWNER)
        assert hearing.heard_until() == 20.0

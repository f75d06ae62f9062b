"""Topics on the broker follow the catalogue."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from groundswell.common.bus.admin import (
    connected_admin,
    delete_topics,
    ensure_topics,
    groups_without_members,
    missing_topics,
)
from groundswell.common.bus.consumption import consume
from groundswell.common.errors import Misconfigured, Unavailable
from groundswell.common.testing.bench import SERVICE, Bench, Line, answer
from groundswell.common.testing.waiting import eventually, until
from groundswell.common.tiers import Tier
from groundswell.common.topics import PhysicalTopic, physical_topics

pytestmark = pytest.mark.connected


async def described(kafka: str, topic: str) -> tuple[int, dict[str, str]]:
    """Partitions and configs, as the broker says."""
    async with connected_admin(kafka) as admin:
        (found,) = await admin.describe_topics([topic])
        responses: list[Any] = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    return len(found["partitions"]), {entry[0]: entry[1] for entry in responses[0].resources[0][4]}


Wanted = Callable[..., list[PhysicalTopic]]


@pytest.fixture
async def wanted(components: Any) -> AsyncIterator[Wanted]:
    """A topic that nobody else has, with changes; deleted at the end."""
    made: list[PhysicalTopic] = []

    def new(**changes: Any) -> list[PhysicalTopic]:
        topic, *_ = physical_topics((Line.new().event,))
        made.append(topic)
        return [replace(topic, **changes)]

    yield new
    await delete_topics(components.kafka, [topic.name for topic in made])


async def test_a_topic_is_made_as_the_catalogue_says(components: Any, wanted: Wanted) -> None:
    topics = wanted(partitions=3)
    assert await ensure_topics(components.kafka, topics) == [topics[0].name]
    partitions, configs = await described(components.kafka, topics[0].name)
    assert partitions == 3
    assert configs["message.timestamp.type"] == "LogAppendTime"
    assert {name: configs[name] for name in topics[0].configs} == topics[0].configs


async def test_a_second_time_nothing_is_made(components: Any, wanted: Wanted) -> None:
    topics = wanted()
    await ensure_topics(components.kafka, topics)
    assert await ensure_topics(components.kafka, topics) == []


async def test_two_processes_may_make_topics_at_once(components: Any, wanted: Wanted) -> None:
    topics = [*wanted(), *wanted(), *wanted()]
    await asyncio.gather(*(ensure_topics(components.kafka, topics) for _ in range(3)))


async def test_a_topic_grows_and_follows_its_configs(components: Any, wanted: Wanted) -> None:
    topics = wanted()
    await ensure_topics(components.kafka, topics)
    changed = [replace(topics[0], partitions=4, configs=topics[0].configs | {"retention.ms": "12345678"})]
    assert await ensure_topics(components.kafka, changed) == []

    async def has_grown() -> bool:
        partitions, configs = await described(components.kafka, topics[0].name)
        assert (partitions, configs["retention.ms"]) == (4, "12345678")
        return True

    await eventually(has_grown)  # the broker says that a config is set before it shows it


async def test_a_topic_never_shrinks(components: Any, wanted: Wanted) -> None:
    topics = wanted(partitions=3)
    await ensure_topics(components.kafka, topics)
    await ensure_topics(components.kafka, [replace(topics[0], partitions=1)])
    assert (await described(components.kafka, topics[0].name))[0] == 3


@pytest.mark.parametrize("changes", [{"name": "no spaces allowed"}, {"configs": {"retention.ms": "a week"}}])
async def test_what_the_broker_refuses_stops_the_start(
    components: Any, wanted: Wanted, changes: dict[str, Any]
) -> None:
    with pytest.raises(Misconfigured, match="Kafka refuses"):
        await ensure_topics(components.kafka, wanted(**changes))


async def test_the_catalogue_is_complete_once_ensured(components: Any) -> None:
    await ensure_topics(components.kafka)
    assert await missing_topics(components.kafka) == []


async def test_a_broker_that_is_away_is_unavailable(unused_tcp_port: int) -> None:
    with pytest.raises(Unavailable, match="KafkaConnectionError"):
        await missing_topics(f"127.0.0.1:{unused_tcp_port}")
    with pytest.raises(Unavailable):
        await ensure_topics(f"127.0.0.1:{unused_tcp_port}")


async def test_groups_say_whether_anybody_is_in_them(bench: Bench) -> None:
    topic = bench.command[Tier.STANDARD]
    groups = [f"{SERVICE}.{topic}", "nobody.ever"]
    async with bench.working(consume(bench.command, answer)) as bus:
        await until(lambda: bus.missing() == {})
        assert await groups_without_members(bench.kafka, groups) == ["nobody.ever"]
    assert await groups_without_members(bench.kafka, groups) == groups

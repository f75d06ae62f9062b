"""Topics are created and verified from the catalogue; nothing else creates any."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError

from groundswell.common.errors import Misconfigured, Unavailable
from groundswell.common.topics import PhysicalTopic, physical_topics

TIMEOUT_MS = 10_000
NO_ERROR = 0
TOPIC_ALREADY_EXISTS = 36
LOOK_EVERY_S = 0.02
LOOKS = 500


async def ensure_topics(
    bootstrap: str, wanted: list[PhysicalTopic] | None = None, *, replication: int = 1
) -> list[str]:
    """Create what is missing, grow what has too few partitions, set configs; returns the names created.

    All of them can be written to and read when it returns. Partitions are never taken away. Raises Unavailable while
    the broker is away, Misconfigured if it refuses.
    """
    wanted = physical_topics() if wanted is None else wanted
    async with connected_admin(bootstrap) as admin:
        partitions = await _partitions(admin)
        missing = [topic for topic in wanted if topic.name not in partitions]
        present = [topic for topic in wanted if topic.name in partitions]
        await _create(admin, missing, replication)
        await _grow(admin, [topic for topic in present if partitions[topic.name] < topic.partitions])
        await _configure(admin, present)
        await _until_served(admin, {topic.name: topic.partitions for topic in wanted})
    return [topic.name for topic in missing]


async def missing_topics(bootstrap: str) -> list[str]:
    """Catalogue topics that the broker lacks. Raises Unavailable while the broker is away."""
    async with connected_admin(bootstrap) as admin:
        existing = set(await admin.list_topics())
    return [topic.name for topic in physical_topics() if topic.name not in existing]


async def groups_without_members(bootstrap: str, groups: list[str]) -> list[str]:
    """Which of `groups` nobody is in: what is sent to them waits. Raises Unavailable while the broker is away."""
    async with connected_admin(bootstrap) as admin:
        # One request for each group: a group's coordinator is asked, and an unknown group is no error but empty.
        described: list[Any] = [
            response for group in groups for response in await admin.describe_consumer_groups([group])
        ]
    members = {group[1]: group[5] for response in described for group in response.groups}
    return [group for group in groups if not members.get(group)]


async def delete_topics(bootstrap: str, names: Sequence[str]) -> None:
    """Delete topics with all that lies on them; the broker does it soon after. Raises Unavailable."""
    async with connected_admin(bootstrap) as admin:
        await admin.delete_topics(list(names))


@asynccontextmanager
async def connected_admin(bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    """An admin client. Raises Unavailable for what Kafka raises inside, and while the broker is away."""
    admin = await _connect(bootstrap)
    try:
        yield admin
    except KafkaError as error:
        raise Unavailable(f"Kafka at {bootstrap}: {type(error).__name__}") from error
    finally:
        await admin.close()


async def _connect(bootstrap: str) -> AIOKafkaAdminClient:
    for _ in range(LOOKS):
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=TIMEOUT_MS)
        try:
            await admin.start()
        except KafkaError as error:
            await admin.close()
            raise Unavailable(f"Kafka at {bootstrap}: {type(error).__name__}") from error
        if admin._client.cluster.brokers():  # noqa: SLF001 - nothing public says it
            return admin
        # A broker that is only just up answers, but names no broker, and this client would never learn of one.
        await admin.close()
        await asyncio.sleep(LOOK_EVERY_S)
    raise Unavailable(f"Kafka at {bootstrap} is starting")


async def _partitions(admin: AIOKafkaAdminClient) -> dict[str, int]:
    """How many partitions of each topic are served."""
    described = await admin.describe_topics()
    return {
        topic["topic"]: sum(partition["leader"] >= 0 for partition in topic["partitions"])
        for topic in described
        if topic["error_code"] == NO_ERROR
    }


async def _create(admin: AIOKafkaAdminClient, topics: Sequence[PhysicalTopic], replication: int) -> None:
    if topics:
        new = [NewTopic(topic.name, topic.partitions, replication, topic_configs=topic.configs) for topic in topics]
        response: Any = await admin.create_topics(new, timeout_ms=TIMEOUT_MS)
        for name, code, *_ in response.topic_errors:
            _verify(name, code, TOPIC_ALREADY_EXISTS)  # another process was quicker


async def _grow(admin: AIOKafkaAdminClient, topics: Sequence[PhysicalTopic]) -> None:
    if topics:
        await admin.create_partitions({topic.name: NewPartitions(topic.partitions) for topic in topics}, TIMEOUT_MS)


async def _configure(admin: AIOKafkaAdminClient, topics: Sequence[PhysicalTopic]) -> None:
    if topics:
        resources = [ConfigResource(ConfigResourceType.TOPIC, topic.name, topic.configs) for topic in topics]
        responses: list[Any] = await admin.alter_configs(resources)
        for response in responses:
            for code, _message, _type, name in response.resources:
                _verify(name, code)


async def _until_served(admin: AIOKafkaAdminClient, wanted: dict[str, int]) -> None:
    """The broker says that a topic is made before it serves it."""
    for _ in range(LOOKS):
        served = await _partitions(admin)
        lacking = [name for name, partitions in wanted.items() if served.get(name, 0) < partitions]
        if not lacking:
            return
        await asyncio.sleep(LOOK_EVERY_S)
    raise Unavailable(f"Kafka does not serve {len(lacking)} topics yet, {lacking[0]} first")


def _verify(topic: str, code: int, *fine: int) -> None:
    if code not in {NO_ERROR, *fine}:
        raise Misconfigured(f"Kafka refuses what the catalogue says of topic {topic} (error {code}); see its log")

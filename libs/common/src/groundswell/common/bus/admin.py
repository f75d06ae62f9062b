"""Topics are created and verified from the catalogue; nothing else creates any."""

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError

from groundswell.common.errors import Misconfigured, Unavailable
from groundswell.common.topics import CATALOGUE, PhysicalTopic, physical_topics

TIMEOUT_MS = 10_000


async def ensure_topics(
    bootstrap: str, wanted: list[PhysicalTopic] | None = None, *, replication: int = 1
) -> list[str]:
    """Create what is missing, grow what has too few partitions, set configs; returns the names created. Raises Unavailable."""
    wanted = physical_topics(CATALOGUE) if wanted is None else wanted
    admin = await _connect(bootstrap)
    try:
        existing = set(await admin.list_topics())
        missing = [topic for topic in wanted if topic.name not in existing]
        if missing:
            response = await admin.create_topics(
                [NewTopic(t.name, t.partitions, replication, topic_configs=t.configs) for t in missing],
                timeout_ms=TIMEOUT_MS,
            )
            _raise_on_errors(response)
        present = [topic for topic in wanted if topic.name in existing]
        await admin.alter_configs(
            [ConfigResource(ConfigResourceType.TOPIC, topic.name, topic.configs) for topic in present],
        )
        return [topic.name for topic in missing]
    except KafkaError as error:
        raise Unavailable(f"Kafka at {bootstrap}: {type(error).__name__}") from error
    finally:
        await admin.close()


async def missing_topics(bootstrap: str) -> list[str]:
    """Catalogue topics that the broker lacks. Raises Unavailable while the broker is away."""
    admin = await _connect(bootstrap)
    try:
        existing = set(await admin.list_topics())
    except KafkaError as error:
        raise Unavailable(f"Kafka at {bootstrap}: {type(error).__name__}") from error
    finally:
        await admin.close()
    return [topic.name for topic in physical_topics() if topic.name not in existing]


async def _connect(bootstrap: str) -> AIOKafkaAdminClient:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=TIMEOUT_MS)
    try:
        await admin.start()
    except KafkaError as error:
        await admin.close()
        raise Unavailable(f"Kafka at {bootstrap}: {type(error).__name__}") from error
    return admin


def _raise_on_errors(response: object) -> None:
    already_exists = 36
    for name, code, *_ in getattr(response, "topic_errors", ()):
        if code not in {0, already_exists}:
            raise Misconfigured(f"Kafka refuses to create topic {name} (error {code}); see the broker's log")


async def groups_without_members(bootstrap: str, groups: list[str]) -> list[str]:
    """Which of `groups` nobody is in: what is sent to them waits. Raises Unavailable while the broker is away."""
    admin = await _connect(bootstrap)
    try:
        # One request for each group: a group's coordinator is asked, and an unknown group is no error but empty.
        described = [await admin.describe_consumer_groups([group]) for group in groups]
    except KafkaError as error:
        raise Unavailable(f"Kafka at {bootstrap}: {type(error).__name__}") from error
    finally:
        await admin.close()
    members = {group[1]: group[5] for responses in described for response in responses for group in response.groups}
    return [group for group in groups if not members.get(group)]

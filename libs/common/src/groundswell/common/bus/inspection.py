"""What lies on a topic and how far a group is: for eyes, never for work."""

from collections.abc import Sequence

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from groundswell.common.bus.admin import connected_admin

POLL_MS = 50


async def records_on(bootstrap: str, topic: str) -> list[ConsumerRecord[bytes, bytes]]:
    """Every record that lies on `topic` now, in order within a partition. All of it is held in memory."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, fetch_max_wait_ms=POLL_MS)
    await consumer.start()
    try:
        ends = await _ends(consumer, topic)
        consumer.assign(list(ends))
        await consumer.seek_to_beginning(*ends)
        found: list[ConsumerRecord[bytes, bytes]] = []
        while any([await consumer.position(partition) < end for partition, end in ends.items()]):
            fetched = await consumer.getmany(timeout_ms=POLL_MS)
            found += [record for records in fetched.values() for record in records]
        return found
    finally:
        await consumer.stop()


async def committed_offsets(bootstrap: str, group: str) -> dict[str, dict[int, int]]:
    """What `group` has committed: the next offset to read, by topic and partition. Raises Unavailable."""
    async with connected_admin(bootstrap) as admin:
        offsets = await admin.list_consumer_group_offsets(group)
    found: dict[str, dict[int, int]] = {}
    for partition, committed in offsets.items():
        if committed.offset >= 0:
            found.setdefault(partition.topic, {})[partition.partition] = committed.offset
    return found


async def end_offsets(bootstrap: str, topics: Sequence[str]) -> dict[str, dict[int, int]]:
    """Where each topic ends now: the offset of its next record, by topic and partition."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    await consumer.start()
    try:
        found = {topic: await _ends(consumer, topic) for topic in topics}
    finally:
        await consumer.stop()
    return {topic: {at.partition: end for at, end in ends.items()} for topic, ends in found.items()}


async def _ends(consumer: AIOKafkaConsumer, topic: str) -> dict[TopicPartition, int]:
    first = TopicPartition(topic, 0)
    consumer.assign([first])
    await consumer.end_offsets([first])  # makes the consumer learn of the topic
    partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
    ends: dict[TopicPartition, int] = await consumer.end_offsets(partitions)
    return ends

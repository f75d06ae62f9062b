"""The partitions that a group gave a consumer, with the ledger of each. Bookkeeping alone, no Kafka."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from aiokafka import TopicPartition

from groundswell.common.bus.offsets import OffsetLedger
from groundswell.common.bus.work import Record

Ledgers = Mapping[TopicPartition, OffsetLedger]


@dataclass(frozen=True)
class Taken:
    """A record, and the ledger of the assignment in which it was read: after a rebalance it counts for nothing."""

    record: Record
    ledger: OffsetLedger

    @property
    def partition(self) -> TopicPartition:
        return TopicPartition(self.record.topic, self.record.partition)


class Assignment:
    """A partition that goes and comes back has a new ledger: what was taken before is read again."""

    def __init__(self) -> None:
        self._ledgers: dict[TopicPartition, OffsetLedger] = {}
        self.taken_count = 0

    def take(self, record: Record) -> Taken:
        partition = TopicPartition(record.topic, record.partition)
        ledger = self._ledgers.setdefault(partition, OffsetLedger())
        ledger.take(record.offset)
        self.taken_count += 1
        return Taken(record, ledger)

    def holds(self, taken: Taken) -> bool:
        """Whether no rebalance came since the record was read."""
        return self._ledgers.get(taken.partition) is taken.ledger

    def adopt(self, partitions: Iterable[TopicPartition]) -> None:
        for partition in partitions:
            self._ledgers.setdefault(partition, OffsetLedger())

    def part(self, partitions: Iterable[TopicPartition]) -> Ledgers:
        return {partition: self._ledgers[partition] for partition in partitions if partition in self._ledgers}

    def leave(self, ledgers: Ledgers) -> None:
        for partition, ledger in ledgers.items():
            if self._ledgers.get(partition) is ledger:
                del self._ledgers[partition]

    def all(self) -> Ledgers:
        return dict(self._ledgers)

    def lag(self, end_of: Callable[[TopicPartition], int | None]) -> int:
        """Records that lie before `end_of` a partition and are not taken."""
        positions = {partition: ledger.position for partition, ledger in self._ledgers.items()}
        return sum(
            max(0, (end_of(partition) or 0) - position)
            for partition, position in positions.items()
            if position is not None
        )


def due(ledgers: Ledgers) -> dict[TopicPartition, int]:
    """The offsets to commit."""
    offsets = {partition: ledger.committable() for partition, ledger in ledgers.items()}
    return {partition: offset for partition, offset in offsets.items() if offset is not None}

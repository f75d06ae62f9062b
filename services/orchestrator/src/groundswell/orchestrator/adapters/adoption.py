"""Requests whose replica died, or was too slow to renew its lease: another one carries them on."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import structlog

from groundswell.common.bus.connection import Bus
from groundswell.common.bus.messages import Received
from groundswell.common.bus.readers import PartitionReader, read_until_now
from groundswell.common.contracts.answers import RepliesAdopted, ReplyProbe
from groundswell.common.errors import Unavailable
from groundswell.common.ids import CorrelationId
from groundswell.common.postgres import heed_cancel
from groundswell.common.tiers import Tier
from groundswell.common.topics import Reply
from groundswell.orchestrator import handlers
from groundswell.orchestrator.adapters.front_desk import Desk
from groundswell.orchestrator.adapters.hearing import Hearing
from groundswell.orchestrator.adapters.reply_lease import Lease, ReplyLease
from groundswell.orchestrator.adapters.run import ReplyRoute
from groundswell.orchestrator.ports import Orphan, Ownership, RequestLedger

LOOK_EVERY_S = 2.0

log = structlog.get_logger(__name__)


class Adoption:
    """Adopts, for one replica, what lies on partitions that nobody holds any longer."""

    def __init__(
        self, desk: Desk, ledger: RequestLedger, lease: ReplyLease, hearing: Hearing, replies: Sequence[Reply]
    ) -> None:
        self._replies = replies
        self._hearing = hearing
        self._desk = desk
        self._ledger = ledger
        self._lease = lease
        self._bus: Bus | None = None
        self._adopting: set[asyncio.Task[None]] = set()

    async def open_own(self, bus: Bus) -> tuple[PartitionReader, ReplyRoute]:
        """Read on where the former owner of the own partition ended; positions settle before the first question."""
        self._bus = bus
        self._lease.begin_beating()  # reading what lies there may take longer than a lease lives
        held = Lease(self._lease.partition, self._lease.epoch)
        orphans = await self._ledger.adopt(self._ownership(held))
        reader, route, heard = await self._take_over(bus, held, orphans)
        await self._carry_on(orphans, heard, route)
        return reader, route

    async def hear_own(self, reader: PartitionReader, route: ReplyRoute) -> None:
        """As `hear`, and know whether workers are heard, whose reports lie elsewhere."""
        with self._hearing.watching_workers(route.bus):
            await self.hear(reader, route)

    async def hear(self, reader: PartitionReader, route: ReplyRoute) -> None:
        """Run a reader of a partition, and know whether it hears."""
        with self._hearing.watching(route, *self._replies):
            await reader.run()

    async def run(self) -> None:
        """Look for lapsed partitions until cancelled."""
        try:
            while True:
                heed_cancel()
                await asyncio.sleep(LOOK_EVERY_S)
                try:
                    await self._look()
                except Unavailable as error:
                    log.info("adoption put off", reason=error.reason)
        finally:
            for task in self._adopting:
                task.cancel()
            await asyncio.gather(*self._adopting, return_exceptions=True)

    async def _look(self) -> None:
        for task in [task for task in self._adopting if task.done()]:
            self._adopting.discard(task)
            task.result()
        if self._bus is None or not self._desk.is_open:
            return
        if (held := await self._lease.take_lapsed()) is not None:
            log.warning("reply partition adopted", partition=held.partition, epoch=held.epoch)
            self._adopting.add(asyncio.create_task(self._adopt(self._bus, held)))

    async def _adopt(self, bus: Bus, held: Lease) -> None:
        """Carry on until the last of its requests has ended, then give the partition back."""
        try:
            orphans = await self._ledger.adopt(self._ownership(held))
            reader, route, heard = await self._take_over(bus, held, orphans)
            reading: asyncio.Task[None] | None = None
            try:
                going_on = await self._carry_on(orphans, heard, route)
                reading = asyncio.create_task(self.hear(reader, route))
                while going_on and not reading.done():
                    await asyncio.wait({reading, *going_on}, return_when=asyncio.FIRST_COMPLETED)
                    going_on = {task for task in going_on if not task.done()}
            finally:
                await reader.stop()
                if reading is not None:
                    await reading
        except Unavailable as error:
            log.warning("adoption broke off; it is tried again", partition=held.partition, reason=error.reason)
        finally:
            await self._lease.give_back(held)

    async def _take_over(
        self, bus: Bus, held: Lease, orphans: Sequence[Orphan]
    ) -> tuple[PartitionReader, ReplyRoute, list[Received[Any]]]:
        """A reader that goes on where what lies there ends, and that, for the orphans."""
        found, ends = await self._left_behind(bus, held, orphans) if orphans else ([], None)
        reader = PartitionReader(self._replies, self._take, bus.context, partition=held.partition)
        await reader.start(ends)
        offset: Callable[[Tier], int] = partial(_position, reader)
        return reader, ReplyRoute(bus, held.partition, held.epoch, self._lease.owner, offset), found

    async def _take(self, message: Received[Any]) -> None:
        if isinstance(message.payload, ReplyProbe):
            self._hearing.hear(message, self._lease.owner)
        else:
            await self._desk.hear_reply(message)

    async def _left_behind(
        self, bus: Bus, held: Lease, orphans: Sequence[Orphan]
    ) -> tuple[list[Received[Any]], dict[str, int]]:
        """Void what the former owner may still write, mark where it ended, and read from where the orphans began."""
        # In this order: what counts of the former owner's text came of replies that lie before the mark.
        for orphan in orphans:
            await bus.publisher.publish(handlers.stream_adopted(orphan.question, held.epoch))
        for topic in self._replies:
            await bus.publisher.publish(handlers.replies_adopted(topic, held.partition, held.epoch))
        offsets: dict[str, int] = {}
        for orphan in orphans:
            name = handlers.replies_of(orphan.question.tier).physical_name
            offsets[name] = min(orphan.reply_offset, offsets.get(name, orphan.reply_offset))
        wanted = {CorrelationId(orphan.question.request_id) for orphan in orphans}
        return await read_until_now(
            self._replies,
            held.partition,
            offsets,
            bus.context,
            wanted=lambda message: _is_marker(message) or message.envelope.correlation_id in wanted,
        )

    async def _carry_on(
        self, orphans: Sequence[Orphan], found: Sequence[Received[Any]], route: ReplyRoute
    ) -> set[asyncio.Task[None]]:
        """To be done before what comes next is heard: it would find no request that waits for it."""
        tasks = set[asyncio.Task[None]]()
        for orphan in orphans:
            tasks.add(self._desk.adopt(orphan.question, _heard_by(orphan, found), route))
            await asyncio.sleep(0)  # all of them at once may take longer than a lease lives without a beat
        return tasks

    def _ownership(self, held: Lease) -> Ownership:
        return Ownership(owner=self._lease.owner, epoch=held.epoch, partition=held.partition)


def _heard_by(orphan: Orphan, found: Sequence[Received[Any]]) -> list[Received[Any]]:
    """On the topic of its tier, since it began: replies to it, and when the partition changed its owner."""
    topic = handlers.replies_of(orphan.question.tier).physical_name
    return [
        message
        for message in found
        if message.origin.topic == topic
        and message.origin.offset >= orphan.reply_offset
        and (_is_marker(message) or message.envelope.correlation_id == CorrelationId(orphan.question.request_id))
    ]


def _is_marker(message: Received[Any]) -> bool:
    return isinstance(message.payload, RepliesAdopted)


def _position(reader: PartitionReader, tier: Tier) -> int:
    return reader.positions[handlers.replies_of(tier).physical_name]

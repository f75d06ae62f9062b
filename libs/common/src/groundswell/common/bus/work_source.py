"""A consumer of one topic and tier: bounded prefetch, work completed out of order, contiguous explicit commits.

Why not FastStream's subscribers: they commit positions, not completed work, and handle one record at a time. Why one consumer for each tier: a
buffered partition that is not read blocks every fetch of its consumer.
"""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, OffsetAndMetadata, TopicPartition
from aiokafka.errors import KafkaError

from groundswell.common.bus.consumption import Consumption
from groundswell.common.bus.offsets import OffsetLedger
from groundswell.common.bus.turns import TierGate
from groundswell.common.bus.work import BusContext, Record, Work
from groundswell.common.errors import Unavailable
from groundswell.common.telemetry import names
from groundswell.common.tiers import Tier

POLL_MS = 200
FETCH_WAIT_MS = 100
COMMIT_EVERY_S = 0.1
REVOKE_WAIT_S = 5.0
STOP_WITHIN_S = 10.0
REBALANCE_TIMEOUT_MS = 30_000
SESSION_TIMEOUT_MS = 10_000
BULK_FETCH_BYTES = 128 * 1024
FETCH_BYTES = 1024 * 1024

log = structlog.get_logger(__name__)


def group_name(service: str, topic: str) -> str:
    """The consumer group of `service` on a physical topic."""
    return f"{service}.{topic}"


@dataclass(eq=False)
class _Job:
    records: list[Record]
    ledgers: dict[TopicPartition, OffsetLedger]
    started: bool = False
    task: asyncio.Task[None] = field(init=False)

    def complete(self) -> None:
        for record in self.records:
            self.ledgers[TopicPartition(record.topic, record.partition)].complete(record.offset)


class WorkSource:
    """Runs a consumption on one physical topic. The tiers of a command share a gate, so that slots go by weight."""

    def __init__(
        self, consumption: Consumption, *, topic: str, tier: Tier, gate: TierGate, context: BusContext
    ) -> None:
        self.topic = topic
        self._consumption = consumption
        self._tier = tier
        self._gate = gate
        self._context = context
        self._work = Work(consumption, context, self._pause_for)
        self._consumer: AIOKafkaConsumer | None = None
        self._ledgers: dict[TopicPartition, OffsetLedger] = {}
        self._jobs: set[_Job] = set()
        self._job_ended = asyncio.Event()
        self._joined = False
        self._failure: BaseException | None = None
        self._stopping = False
        self._finished = asyncio.Event()
        self._finished.set()
        self._paused_until = 0.0

    @property
    def assigned(self) -> bool:
        """Whether the group has given this consumer its partitions (possibly none: more consumers than partitions)."""
        return self._joined

    async def start(self) -> None:
        """Join the group. Raises Unavailable while the broker is away."""
        bulk = self._tier is Tier.BULK
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._context.bootstrap,
            client_id=self._context.service,
            group_id=group_name(self._context.service, self.topic),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=SESSION_TIMEOUT_MS,
            rebalance_timeout_ms=REBALANCE_TIMEOUT_MS,
            fetch_max_wait_ms=FETCH_WAIT_MS,
            max_partition_fetch_bytes=BULK_FETCH_BYTES if bulk else FETCH_BYTES,
        )
        consumer.subscribe([self.topic], listener=_Listener(self))
        try:
            await consumer.start()
        except KafkaError as error:
            await consumer.stop()
            raise Unavailable(f"Kafka at {self._context.bootstrap}: {type(error).__name__}") from error
        self._consumer = consumer

    async def run(self) -> None:
        """Take and complete work until `stop`; raises what cannot be mended here, so that the process restarts."""
        self._finished.clear()
        committing = asyncio.create_task(self._commit_regularly())
        try:
            while not self._stopping:
                if committing.done():
                    committing.result()
                await self._poll()
        finally:
            self._finished.set()
            committing.cancel()
            await asyncio.gather(committing, return_exceptions=True)
        if self._failure is not None:
            raise self._failure

    async def stop(self, drain_s: float) -> None:
        """Take no more, finish what runs within `drain_s`, commit, leave the group. Always returns."""
        self._stopping = True
        await _wait(self._finished, seconds=STOP_WITHIN_S)
        self._drop(job for job in self._jobs if not job.started)
        await self._settle(self._jobs, drain_s)
        self._drop(self._jobs)
        if self._consumer is None:
            return
        try:
            async with asyncio.timeout(STOP_WITHIN_S):
                await self._commit(self._ledgers)
                await self._consumer.stop()
        except (KafkaError, TimeoutError) as error:
            log.warning("left the group without a last commit", topic=self.topic, error=type(error).__name__)

    async def _poll(self) -> None:
        assert self._consumer is not None  # noqa: S101 - start() came first
        room = self._room()
        self._set_paused(room <= 0)
        if room <= 0:
            self._job_ended.clear()
            await _wait(self._job_ended, seconds=POLL_MS / 1000)
        # Polls also while paused: the group takes a consumer that does not poll for dead.
        # Never cancelled: a cancelled getmany leaks its count and switches that liveness check off.
        timeout_ms = POLL_MS if room > 0 else 0
        fetched = await self._consumer.getmany(timeout_ms=timeout_ms, max_records=self._poll_size(room))
        records = [record for batch in fetched.values() for record in batch]
        if records and self._consumption.batch:
            records += await self._fill(len(records))
        if not self._stopping:
            self._take(records)

    def _poll_size(self, room: int) -> int:
        most = self._consumption.batch.messages if self._consumption.batch else room
        return max(1, min(room, most))

    async def _fill(self, have: int) -> list[Record]:
        """Wait, within the batch's bounds, for more records."""
        assert self._consumer is not None  # noqa: S101
        assert self._consumption.batch is not None  # noqa: S101
        batch = self._consumption.batch
        more: list[Record] = []
        until = time.monotonic() + batch.wait_s
        while have + len(more) < batch.messages and (left := until - time.monotonic()) > 0:
            fetched = await self._consumer.getmany(
                timeout_ms=int(left * 1000) + 1,
                max_records=batch.messages - have - len(more),
            )
            more += [record for records in fetched.values() for record in records]
        return more

    def _room(self) -> int:
        if time.monotonic() < self._paused_until:
            return 0
        taken = sum(len(job.records) for job in self._jobs)
        return self._consumption.slots + self._consumption.prefetch - taken

    def _take(self, records: list[Record]) -> None:
        for record in records:
            self._ledgers[TopicPartition(record.topic, record.partition)].take(record.offset)
        groups = [records] if self._consumption.batch else [[record] for record in records]
        for group in groups:
            if group:
                job = _Job(group, dict(self._ledgers))
                self._jobs.add(job)
                job.task = asyncio.create_task(self._run_job(job))
                job.task.add_done_callback(lambda _, job=job: self._ended(job))  # type: ignore[misc]
        self._measure()

    async def _run_job(self, job: _Job) -> None:
        async with self._gate.turn(self._tier):
            job.started = True
            await self._work.run(job.records, admitted=job.complete)
            job.complete()

    def _ended(self, job: _Job) -> None:
        self._jobs.discard(job)
        self._job_ended.set()
        self._measure()
        if not job.task.cancelled() and (error := job.task.exception()) is not None:
            log.error("job ended without an outcome; its records come again after a restart", error=repr(error))
            self._failure, self._stopping = error, True

    def _measure(self) -> None:
        labels = (self._consumption.topic.name, self._tier.value)
        names.IN_FLIGHT.labels(*labels).set(sum(len(ledger) for ledger in self._ledgers.values()))
        if self._consumer is not None:
            names.LAG.labels(*labels).set(sum(map(self._lag, self._ledgers)))

    def _lag(self, partition: TopicPartition) -> int:
        assert self._consumer is not None  # noqa: S101
        end, taken = self._consumer.highwater(partition), self._ledgers[partition].position
        return max(0, end - taken) if end is not None and taken is not None else 0

    def _pause_for(self, seconds: float) -> None:
        self._paused_until = max(self._paused_until, time.monotonic() + seconds)

    def _set_paused(self, paused: bool) -> None:
        assert self._consumer is not None  # noqa: S101
        assignment = self._consumer.assignment()
        if paused:
            self._consumer.pause(*assignment)
        elif stopped := self._consumer.paused() & assignment:
            self._consumer.resume(*stopped)

    async def _commit_regularly(self) -> None:
        while True:
            await asyncio.sleep(COMMIT_EVERY_S)
            await self._commit(self._ledgers)

    async def _commit(self, ledgers: dict[TopicPartition, OffsetLedger]) -> None:
        assert self._consumer is not None  # noqa: S101
        due = {
            partition: offset for partition, ledger in ledgers.items() if (offset := ledger.committable()) is not None
        }
        if not due:
            return
        try:
            await self._consumer.commit({partition: OffsetAndMetadata(offset, "") for partition, offset in due.items()})
        except KafkaError as error:
            # The group moved on or the broker is away: either the next commit covers it, or the records come again.
            names.COMMIT_FAILURES.labels(self._consumption.topic.name, self._tier.value).inc()
            log.warning("commit refused", topic=self.topic, error=type(error).__name__)
            return
        for partition, offset in due.items():
            ledgers[partition].committed(offset)

    async def revoked(self, partitions: Iterable[TopicPartition]) -> None:
        """Let short work in flight finish and commit before another member takes the partitions."""
        gone = {partition: self._ledgers[partition] for partition in partitions if partition in self._ledgers}
        touched = {job for job in self._jobs if any(TopicPartition(r.topic, r.partition) in gone for r in job.records)}
        self._drop(job for job in touched if not job.started)
        if self._consumption.handle_stream is None:
            await self._settle({job for job in touched if job.started}, REVOKE_WAIT_S)
        await self._commit(gone)
        for partition in gone:
            self._ledgers.pop(partition, None)

    def adopted(self, partitions: Iterable[TopicPartition]) -> None:
        self._joined = True
        for partition in partitions:
            self._ledgers[partition] = OffsetLedger()

    def _drop(self, jobs: Iterable[_Job]) -> None:
        for job in list(jobs):
            job.task.cancel()

    async def _settle(self, jobs: set[_Job], seconds: float) -> None:
        tasks = {job.task for job in jobs}
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)


class _Listener(ConsumerRebalanceListener):
    def __init__(self, source: WorkSource) -> None:
        self._source = source

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        await self._source.revoked(revoked)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._source.adopted(assigned)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return

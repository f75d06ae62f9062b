"""A consumer of one topic and tier: bounded prefetch, work completed out of order, contiguous explicit commits.

Why not FastStream's subscribers: they commit positions, not completed work, and handle one record at a time. Why one
consumer for each tier: a buffered partition that is not read blocks every fetch of its consumer.
"""

import asyncio
import time
from collections.abc import Iterable

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError, KafkaTimeoutError

from groundswell.common.bus.assignment import Assignment, Ledgers, Taken, due
from groundswell.common.bus.closing import close_consumer, within
from groundswell.common.bus.consumption import Consumption
from groundswell.common.bus.jobs import Job, cancel, complete, oldest_waiting_ms, settle
from groundswell.common.bus.membership import client_id
from groundswell.common.bus.turns import TierGate
from groundswell.common.bus.watchdog import StandsStill, watch
from groundswell.common.bus.work import BusContext, Work
from groundswell.common.errors import Unavailable
from groundswell.common.telemetry import names
from groundswell.common.tiers import Tier

POLL_MS = 200
FETCH_WAIT_MS = 500
METADATA_AGE_MS = 15_000  # partitions that were added are found within this time
COMMIT_EVERY_S = 0.1
COMMIT_WITHIN_S = 5.0
REFUSED_FOR_S = 60.0
ERRORS_HEARD_S = 1.0
REVOKE_WAIT_S = 5.0
CANCEL_WAIT_S = 1.0
STOP_WITHIN_S = 10.0
REBALANCE_TIMEOUT_MS = 30_000
BULK_FETCH_BYTES = 128 * 1024
FETCH_BYTES = 1024 * 1024
TURNS_TO_PUBLISH = 3
"""Of the loop, from a publish call until its request is written: aiokafka hands it from task to task."""
NOWHERE = TopicPartition("", 0)

log = structlog.get_logger(__name__)


def group_name(service: str, topic: str) -> str:
    """The consumer group of `service` on a physical topic."""
    return f"{service}.{topic}"


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
        self._assignment = Assignment()
        self._jobs: set[Job] = set()
        self._is_full = False
        self._has_room = asyncio.Event()
        # Once full it is filled up again when half of what waits is gone: a poll for each job would cost a tenth of it.
        self._refill_room = max(1, consumption.prefetch // 2)
        self._commit_now = asyncio.Event()
        self._stirred = asyncio.Event()
        """There may be something to measure or to commit."""
        self._joined = False
        self._over = asyncio.Event()
        self._failure: BaseException | None = None
        self._taker: asyncio.Task[None] | None = None
        """Who polls now: see `_take`."""
        self._paused_until = 0.0
        self._refused_since: float | None = None
        """Since when every commit was."""
        self._started: AIOKafkaConsumer | None = None
        self._beside: set[asyncio.Task[None]] = set()

    @property
    def group(self) -> str:
        return group_name(self._context.service, self.topic)

    @property
    def assigned(self) -> bool:
        """Whether the group has given this consumer its partitions (possibly none: more consumers than partitions)."""
        return self._joined

    @property
    def partitions(self) -> tuple[int, ...]:
        """Those of the topic that the group has given this consumer."""
        return tuple(sorted(partition.partition for partition in self._assignment.all()))

    @property
    def _consumer(self) -> AIOKafkaConsumer:
        assert self._started is not None  # noqa: S101 - start() came first
        return self._started

    async def start(self) -> None:
        """Connect and begin to join the group: `assigned` says when it has.

        Raises Unavailable while Kafka is away or lacks the topic.
        """
        consumer = self._new_consumer()
        try:
            await consumer.start()
            await self._join(consumer)
        except BaseException as error:
            await close_consumer(consumer, STOP_WITHIN_S)
            if isinstance(error, KafkaError):
                raise Unavailable(f"Kafka at {self._context.bootstrap}: {type(error).__name__}") from error
            raise
        self._started = consumer
        self._beside = {
            asyncio.create_task(work()) for work in (self._commit_regularly, self._hear_of_errors, self._watch)
        }
        for task in self._beside:
            task.add_done_callback(self._ended_beside)

    async def _join(self, consumer: AIOKafkaConsumer) -> None:
        """Only once it is started: start() would wait for the group, which may wait for a member that died."""
        if self.topic not in await consumer.topics():
            raise Unavailable(f"Kafka lacks the topic {self.topic}")
        consumer.subscribe([self.topic], listener=_Listener(self))

    async def run(self) -> None:
        """Take and complete work until `stop`; raises what cannot be mended here, so that the process restarts."""
        self._taker = asyncio.create_task(self._take())
        try:
            await self._over.wait()
        finally:
            self._taker.cancel()
        if self._failure is not None:
            raise self._failure

    async def stop(self, drain_s: float) -> None:
        """Take no more, finish what runs within `drain_s`, commit, leave the group. Always returns."""
        self._over.set()
        if self._taker is not None:
            self._taker.cancel()
            await asyncio.wait({self._taker}, timeout=CANCEL_WAIT_S)
        cancel(job for job in self._jobs if not job.started)
        await settle(self._jobs, drain_s)
        cancel(self._jobs)
        await settle(self._jobs, CANCEL_WAIT_S)
        for task in self._beside:
            task.cancel()
        await asyncio.gather(*self._beside, return_exceptions=True)
        if self._started is not None:
            await within(self._commit(self._assignment.all()), COMMIT_WITHIN_S, "left without a last commit")
            await close_consumer(self._started, STOP_WITHIN_S)

    def _new_consumer(self) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            bootstrap_servers=self._context.bootstrap,
            client_id=client_id(self._context.service),
            group_id=self.group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=int(self._context.session_s * 1000),
            heartbeat_interval_ms=int(self._context.session_s * 1000 / 4),
            rebalance_timeout_ms=REBALANCE_TIMEOUT_MS,
            metadata_max_age_ms=METADATA_AGE_MS,
            fetch_max_wait_ms=FETCH_WAIT_MS,
            max_partition_fetch_bytes=BULK_FETCH_BYTES if self._tier is Tier.BULK else FETCH_BYTES,
        )

    async def _take(self) -> None:
        """Poll until there is work, then do some of it: another task polls on meanwhile.

        So work begins in the turn of the loop in which it was fetched, and what it publishes goes out before the next
        fetch is asked for: with a task for each job, a hop took a tenth longer.
        """
        try:
            for _ in range(TURNS_TO_PUBLISH):
                await asyncio.sleep(0)
            while not (jobs := await self._poll()):
                pass
        except Exception as error:  # noqa: BLE001 - nobody else would hear of it
            self._fail(error)
            return
        mine, *others = jobs
        for job in others:
            self._follow(job, asyncio.create_task(self._run_job(job)))
        me = self._taker
        assert me is not None  # noqa: S101 - it is this task
        self._follow(mine, me)
        self._taker = asyncio.create_task(self._take())
        await self._run_job(mine)

    async def _poll(self) -> list[Job]:
        room = self._room()
        self._is_full = room < (self._refill_room if self._is_full else 1)
        self._set_paused(self._is_full)
        if self._is_full:
            self._has_room.clear()
            await _wait(self._has_room, POLL_MS / 1000)
            # Polls all the same: the group takes a consumer that does not poll for dead. But not its own partitions:
            # of a paused one aiokafka would throw away what it has fetched, up to a megabyte, and fetch it again.
            await self._consumer.getmany(NOWHERE)
            return []
        # Of what is there already as much as there is room for. Else one: after it aiokafka fetches no more until it is
        # asked again. It is cancelled only to stop, as a cancelled poll switches the group's liveness check off.
        taken = await self._fetch(0, self._most(room)) or [self._assignment.take(await self._consumer.getone())]
        if self._consumption.batch:
            taken += await self._fill(len(taken))
        return self._jobs_of([item for item in taken if self._assignment.holds(item)])

    def _room(self) -> int:
        """How many more jobs may be taken now."""
        if time.monotonic() < self._paused_until:
            return 0
        return self._consumption.slots + self._consumption.prefetch - len(self._jobs)

    def _most(self, room: int) -> int:
        return self._consumption.batch.messages if self._consumption.batch else max(1, room)

    async def _fetch(self, timeout_ms: int, most: int) -> list[Taken]:
        fetched = await self._consumer.getmany(timeout_ms=timeout_ms, max_records=most)
        return [self._assignment.take(record) for records in fetched.values() for record in records]

    async def _fill(self, have: int) -> list[Taken]:
        """Wait, within the batch's bounds, for more records."""
        assert self._consumption.batch is not None  # noqa: S101
        batch = self._consumption.batch
        more: list[Taken] = []
        until = time.monotonic() + batch.wait_s
        while (missing := batch.messages - have - len(more)) > 0:
            left_ms = int((until - time.monotonic()) * 1000)
            if left_ms <= 0:
                break
            more += await self._fetch(min(left_ms, POLL_MS), missing)
        return more

    def _jobs_of(self, taken: list[Taken]) -> list[Job]:
        if not taken:
            return []
        self._stirred.set()
        jobs = [Job(taken)] if self._consumption.batch else [Job([item]) for item in taken]
        self._jobs.update(jobs)
        return jobs

    def _follow(self, job: Job, task: "asyncio.Task[None]") -> None:
        job.task = task
        task.add_done_callback(lambda _: self._ended(job))

    async def _run_job(self, job: Job) -> None:
        # Read before it waits: its deadline decides its turn, and what needs no work needs none.
        items = await self._work.read([item.record for item in job.taken])
        if items:
            deadline = min(message.deadline for _, message in items)
            async with self._gate.turn(self._tier, deadline=deadline, cost=len(items)):
                job.started = True
                await self._work.run(items, admitted=lambda: self._admitted(job))
        job.mark_complete()

    def _admitted(self, job: Job) -> None:
        if not job.complete:
            job.mark_complete()
            self._commit_now.set()  # what kills this process now must not come again to the next one

    def _ended(self, job: Job) -> None:
        self._jobs.discard(job)
        if self._room() >= self._refill_room:
            self._has_room.set()
        if not job.task.cancelled() and (error := job.task.exception()) is not None:
            log.error("job ended without an outcome; its records come again", error=type(error).__name__)
            self._fail(error)

    def _ended_beside(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if not self._over.is_set():
            self._failure = error
            self._over.set()

    def _measure(self) -> None:
        appended_ms = oldest_waiting_ms(self._jobs)
        waited_s = 0.0 if appended_ms is None else time.time() - self._context.clock.to_local_s(appended_ms)
        labels = (self._consumption.topic.name, self._tier.value)
        names.OLDEST_WAIT_SECONDS.labels(*labels).set(max(0.0, waited_s))
        names.IN_FLIGHT.labels(*labels).set(sum(len(job.taken) for job in self._jobs))
        names.LAG.labels(*labels).set(self._assignment.lag(self._end_of))

    def _end_of(self, partition: TopicPartition) -> int | None:
        """As of the last fetch."""
        if partition not in self._consumer.assignment():
            return None
        end: int | None = self._consumer.highwater(partition)
        return end

    def _pause_for(self, seconds: float) -> None:
        self._paused_until = max(self._paused_until, time.monotonic() + seconds)
        self._set_paused(True)  # also for the poll that is waiting now
        asyncio.get_running_loop().call_later(seconds, self._go_on)

    def _go_on(self) -> None:
        """The poll may be waiting since before the pause."""
        if not self._over.is_set() and not self._is_full and time.monotonic() >= self._paused_until:
            self._set_paused(False)

    def _set_paused(self, paused: bool) -> None:
        assignment = self._consumer.assignment()
        already = self._consumer.paused() & assignment
        if paused:
            self._consumer.pause(*(assignment - already))
        else:
            self._consumer.resume(*already)

    async def _commit_regularly(self) -> None:
        while True:
            if not self._jobs and not due(self._assignment.all()):
                await self._stirred.wait()  # an idle consumer wakes nobody
            self._stirred.clear()
            await _wait(self._commit_now, COMMIT_EVERY_S)
            self._commit_now.clear()
            self._measure()  # here, as for each record it would cost more than its handler
            self._bear(await self._commit(self._assignment.all()))

    async def _commit(self, ledgers: Ledgers) -> KafkaError | None:
        """Returns why it was refused."""
        offsets = due(ledgers)
        if not offsets:
            return None
        try:
            await self._consumer.commit({partition: (offset, "") for partition, offset in offsets.items()})
        except KafkaError as error:
            # The group moved on or the broker is away: either the next commit covers it, or the records come again.
            names.COMMIT_FAILURES.labels(self._consumption.topic.name, self._tier.value).inc()
            log.warning("commit refused", topic=self.topic, error=type(error).__name__)
            return error
        for partition, offset in offsets.items():
            ledgers[partition].committed(offset)
        return None

    def _bear(self, error: KafkaError | None) -> None:
        """Raises StandsStill when commits have been refused for longer than the group can have been on the move."""
        if error is None or error.retriable or isinstance(error, KafkaTimeoutError):  # taken, or the broker is away
            self._refused_since = None
            return
        now = time.monotonic()
        self._refused_since = now if self._refused_since is None else self._refused_since
        if now - self._refused_since >= REFUSED_FOR_S:
            raise StandsStill(f"commits on {self.topic} are refused: {type(error).__name__}")

    async def _hear_of_errors(self) -> None:
        """The group's are raised when a poll begins, and an idle consumer's has long begun."""
        while True:
            await asyncio.sleep(ERRORS_HEARD_S)
            await self._consumer.getmany(NOWHERE)

    async def _watch(self) -> None:
        await watch(self._consumer, taken=lambda: self._assignment.taken_count, free=lambda: not self._is_full)

    async def revoked(self, partitions: Iterable[TopicPartition]) -> None:
        """Let what is in flight finish, or be admitted, and commit it before another member takes the partitions."""
        gone = self._assignment.part(partitions)
        touched = {job for job in self._jobs if job.is_of(gone)}
        try:
            cancel(job for job in touched if not job.started)
            await complete((job for job in touched if job.started), REVOKE_WAIT_S)
            if self._consumption.handle_stream:
                cancel(job for job in touched if not job.complete)  # nobody has admitted it: it comes again
            await self._commit(gone)
        finally:
            self._assignment.leave(gone)
            self._stirred.set()

    def adopted(self, partitions: Iterable[TopicPartition]) -> None:
        self._joined = True
        self._assignment.adopt(partitions)
        self._stirred.set()


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

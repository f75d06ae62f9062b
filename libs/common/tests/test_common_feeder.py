"""The feeder on the real Kafka and PostgreSQL, with null work: lines that a consumer answers at once."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic import SecretStr

from groundswell.common.bus.clock import BrokerClock
from groundswell.common.bus.consumption import consume
from groundswell.common.bus.envelope import ReplyAddress, parse
from groundswell.common.bus.inspection import records_on
from groundswell.common.bus.messages import Outgoing, Received
from groundswell.common.errors import Rejected, Unavailable
from groundswell.common.feeder import Bounds, Feeder, FeederLease, LeaseLost, Standing, feeder_lease_table
from groundswell.common.ids import TeamId
from groundswell.common.outbox import Outbox, outbox_table
from groundswell.common.postgres import Connection, Postgres
from groundswell.common.testing.bench import Answered, Bench, answer, bench_on
from groundswell.common.testing.waiting import eventually, until
from groundswell.common.tiers import Tier

pytestmark = pytest.mark.connected

EXPIRY_S = 1.0
SWEEPING: dict[str, Any] = {"lease_s": 1.0, "every_s": 0.1}

_LINES = """
CREATE TABLE ingest.null_lines (
    number integer PRIMARY KEY,
    tenant text NOT NULL,
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'accepted', 'done', 'refused')),
    effects integer NOT NULL DEFAULT 0
)
"""

_STANDINGS = """
SELECT tenant, count(*) FILTER (WHERE state = 'accepted') AS accepted,
    (array_agg(number ORDER BY number) FILTER (WHERE state = 'waiting'))[1:%(most)s] AS waiting
FROM ingest.null_lines WHERE state IN ('waiting', 'accepted') GROUP BY tenant
"""


class NullRows:
    """The port Rows over a table of lines that ask for nothing. `order` is what was accepted here, as it was."""

    def __init__(self, bench: Bench, order: list[int] | None = None) -> None:
        self._bench = bench
        self.order = order if order is not None else []
        self.most_at_once: Counter[str] = Counter()
        self.broken: Mapping[str, Exception] = {}

    async def standings(self, connection: Connection, most: int) -> Sequence[Standing]:
        cursor = await connection.execute(_STANDINGS, {"most": most})
        return [
            Standing(TeamId(row["tenant"]), row["accepted"], tuple(map(str, row["waiting"] or ())))
            for row in await cursor.fetchall()
        ]

    async def accept(self, connection: Connection, line: str) -> Outgoing | None:
        if line in self.broken:
            raise self.broken[line]
        cursor = await connection.execute(
            "UPDATE ingest.null_lines SET state = 'accepted' WHERE number = %s AND state = 'waiting' RETURNING tenant",
            [line],
        )
        row = await cursor.fetchone()
        if row is None:
            return None
        await self._count(connection)
        self.order.append(int(line))
        replies = ReplyAddress(self._bench.line.replies.physical_name)
        return self._bench.ask(int(line), tenant=TeamId(row["tenant"]), tier=Tier.BULK, reply_to=replies)

    async def refuse(self, connection: Connection, line: str, reason: str) -> None:
        await connection.execute("UPDATE ingest.null_lines SET state = 'refused' WHERE number = %s", [line])

    async def _count(self, connection: Connection) -> None:
        cursor = await connection.execute(
            "SELECT tenant, count(*) AS now FROM ingest.null_lines WHERE state = 'accepted' GROUP BY tenant"
        )
        rows = await cursor.fetchall()
        counts = {row["tenant"]: row["now"] for row in rows} | {"all": sum(row["now"] for row in rows)}
        for name, now in counts.items():
            self.most_at_once[name] = max(self.most_at_once[name], now)


class Stage:
    """Everything around a feeder: a database with lines, a consumer of commands, and one of outcomes."""

    def __init__(self, bench: Bench, dsn: str, postgres: Postgres) -> None:
        self.bench = bench
        self.postgres = postgres
        self.rows = NullRows(bench)
        self._dsn = dsn
        self._owners = 0
        self._wake: Callable[[], None] = lambda: None

    async def add_lines(self, tenant: str, numbers: Sequence[int]) -> None:
        async with self.postgres.transaction() as connection:
            await connection.execute(
                "INSERT INTO ingest.null_lines (number, tenant) SELECT unnest(%s::int[]), %s", [list(numbers), tenant]
            )

    def lease(self, **changes: Any) -> FeederLease:
        self._owners += 1
        return FeederLease("ingest", "null", owner=f"process-{self._owners}", **({"expiry_s": EXPIRY_S} | changes))

    def outbox(self, postgres: Postgres) -> Outbox:
        made = Outbox(postgres, "ingest", **SWEEPING)
        made.publish_by(self.bench.publisher, BrokerClock())
        return made

    @asynccontextmanager
    async def pool(self, name: str) -> AsyncIterator[Postgres]:
        opened = Postgres(SecretStr(f"{self._dsn}?application_name={name}"), size=2, connect_within_s=2)
        await opened.open()
        try:
            yield opened
        finally:
            await opened.close()

    def feeder(self, postgres: Postgres, bounds: Bounds, **changes: Any) -> Feeder:
        made = Feeder(
            postgres, self.rows, self.outbox(postgres), changes.pop("lease", self.lease()), bounds=bounds, every_s=0.1
        )
        self._wake = made.wake
        return made

    @asynccontextmanager
    async def answering(self) -> AsyncIterator[None]:
        """Commands are answered, outcomes are taken, and what a dead feeder left in the outbox is swept."""
        line = self.bench.line
        sweep = asyncio.create_task(self.outbox(self.postgres).sweep())
        try:
            async with self.bench.working(consume(line.command, answer), consume(line.replies, self._take)):
                yield
        finally:
            sweep.cancel()
            await asyncio.gather(sweep, return_exceptions=True)

    async def states(self, *numbers: int) -> Counter[str]:
        async with self.postgres.transaction() as connection:
            cursor = await connection.execute(
                "SELECT state FROM ingest.null_lines WHERE number = ANY(%s) OR %s", [list(numbers), not numbers]
            )
            return Counter(row["state"] for row in await cursor.fetchall())

    async def until_states(self, *numbers: int, within_s: float = 50.0, **expected: int) -> None:
        async def reached() -> bool:
            found = await self.states(*numbers)
            assert found == expected, found
            return True

        await eventually(reached, within_s=within_s)

    async def until_accepted(self, count: int) -> None:
        await until(lambda: len(self.rows.order) >= count)

    async def until_done(self, count: int) -> None:
        async def reached() -> bool:
            found = await self.states()
            assert found["done"] >= count, found
            return True

        await eventually(reached)

    async def effects(self) -> set[int]:
        """How often lines were done."""
        async with self.postgres.transaction() as connection:
            cursor = await connection.execute("SELECT DISTINCT effects FROM ingest.null_lines")
            return {row["effects"] for row in await cursor.fetchall()}

    async def commands(self) -> dict[bytes, set[str]]:
        """Message ids of the commands on the topic, by key."""
        found: dict[bytes, set[str]] = {}
        for record in await records_on(self.bench.kafka, self.bench.command[Tier.BULK]):
            found.setdefault(record.key or b"", set()).add(parse(record.headers).message_id)
        return found

    async def _take(self, outcome: Received[Any]) -> list[Outgoing]:
        if isinstance(outcome.payload, Answered):
            async with self.postgres.transaction() as connection:
                await connection.execute(
                    "UPDATE ingest.null_lines SET state = 'done', effects = effects + 1"
                    " WHERE number = %s AND state = 'accepted'",
                    [outcome.payload.number],
                )
            self._wake()
        return []


@asynccontextmanager
async def staged(bench: Bench, dsn: str) -> AsyncIterator[Stage]:
    postgres = Postgres(SecretStr(dsn), size=8)
    await postgres.open()
    try:
        async with postgres.transaction() as connection:
            await connection.execute(f"{outbox_table('ingest')}{feeder_lease_table('ingest')}{_LINES}".encode())
        yield Stage(bench, dsn, postgres)
    finally:
        await postgres.close()


@pytest.fixture
async def stage(bench: Bench, fresh_database: Any) -> AsyncIterator[Stage]:
    async with staged(bench, fresh_database.dsns["ingest"]) as made:
        yield made


@asynccontextmanager
async def feeding(feeder: Feeder) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(feeder.run())
    try:
        yield task
        if task.done() and not task.cancelled():
            task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_lines_of_three_tenants_are_all_done_once_within_the_bounds(stage: Stage) -> None:
    for number, tenant in enumerate(("red", "green", "blue")):
        await stage.add_lines(tenant, range(number * 100, number * 100 + 100))
    async with stage.answering(), feeding(stage.feeder(stage.postgres, Bounds(per_tenant=5, in_all=12))):
        await stage.until_states(done=300)
    assert await stage.effects() == {1}
    assert stage.rows.most_at_once["all"] <= 12
    assert all(stage.rows.most_at_once[tenant] <= 5 for tenant in ("red", "green", "blue"))
    assert {len(ids) for ids in (await stage.commands()).values()} == {1}


Kill = Callable[[Stage, Postgres, str, asyncio.Task[None]], Awaitable[None]]


async def cancel(stage: Stage, postgres: Postgres, name: str, task: asyncio.Task[None]) -> None:
    """SIGTERM: the lease is given back."""
    task.cancel()


async def lose_database(stage: Stage, postgres: Postgres, name: str, task: asyncio.Task[None]) -> None:
    """SIGKILL, seen from the database: nothing is given back."""
    await postgres.close()
    task.cancel()


async def cut_connections(stage: Stage, postgres: Postgres, name: str, task: asyncio.Task[None]) -> None:
    """The same, in the middle of a statement or a COMMIT."""
    async with stage.postgres.transaction() as connection:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s", [name]
        )
    await postgres.close()
    task.cancel()


@pytest.mark.parametrize("seed", [1, 2])
async def test_feeders_that_are_killed_anywhere_lose_and_double_nothing(stage: Stage, seed: int) -> None:
    rng = random.Random(seed)
    tenants = ("red", "green", "blue")
    for number, tenant in enumerate(tenants):
        await stage.add_lines(tenant, range(number * 100, number * 100 + 100))
    kills: list[Kill] = [cancel, lose_database, cut_connections] * 2
    rng.shuffle(kills)
    async with stage.answering():
        for number, kill in enumerate(kills):
            name = f"feeder-{number}"
            async with stage.pool(name) as postgres, feeding(stage.feeder(postgres, Bounds(5, 15))) as task:
                await stage.until_accepted(len(stage.rows.order) + rng.randint(10, 40))
                await asyncio.sleep(rng.uniform(0, 0.01))
                await kill(stage, postgres, name, task)
                await asyncio.wait([task])
        async with feeding(stage.feeder(stage.postgres, Bounds(5, 15))):
            await stage.until_states(done=300)
    assert await stage.effects() == {1}
    assert max(stage.rows.most_at_once[tenant] for tenant in tenants) <= 5
    assert stage.rows.most_at_once["all"] <= 15
    assert {len(ids) for ids in (await stage.commands()).values()} == {1}, "one id for each line"


async def test_two_feeders_at_once_keep_to_the_bound(stage: Stage) -> None:
    await stage.add_lines("red", range(100))
    bounds = Bounds(5, 5)
    async with (
        stage.answering(),
        feeding(stage.feeder(stage.postgres, bounds)),
        feeding(stage.feeder(stage.postgres, bounds)),
    ):
        await stage.until_states(done=100)
    assert stage.rows.most_at_once["red"] <= 5
    assert await stage.effects() == {1}


async def test_a_tenant_with_a_thousand_lines_does_not_hold_up_anothers_three(stage: Stage) -> None:
    await stage.add_lines("big", range(1000))
    async with stage.answering(), feeding(stage.feeder(stage.postgres, Bounds(per_tenant=5, in_all=6))):
        await stage.until_done(20)
        await stage.add_lines("small", range(1000, 1003))
        before = len(stage.rows.order)
        await stage.until_states(1000, 1001, 1002, done=3)
        position = stage.rows.order.index(1002)
    assert position - before <= 20, "a round or two of the other's, whatever waits"


async def test_nothing_is_accepted_beyond_the_bound_while_nobody_answers(stage: Stage) -> None:
    await stage.add_lines("red", range(20))
    feeder = stage.feeder(stage.postgres, Bounds(5, 15))
    assert await feeder.feed() == 5
    assert await feeder.feed() == 0
    assert await stage.states() == {"accepted": 5, "waiting": 15}
    assert len(await stage.commands()) == 5


async def test_while_kafka_is_away_the_bound_holds_and_every_line_is_done_when_it_is_back(
    own_kafka: Any, fresh_database: Any
) -> None:
    async with bench_on(own_kafka.address) as bench, staged(bench, fresh_database.dsns["ingest"]) as stage:
        await stage.add_lines("red", range(12))
        own_kafka.kill()
        async with feeding(stage.feeder(stage.postgres, Bounds(5, 5))):
            await stage.until_states(accepted=5, waiting=7)
            await own_kafka.start()
            async with stage.answering():
                await stage.until_states(done=12)
        assert stage.rows.most_at_once["red"] == 5
        assert await stage.effects() == {1}


async def test_a_feeder_that_lost_its_lease_accepts_nothing(stage: Stage) -> None:
    await stage.add_lines("red", range(20))
    stalled, successor = stage.lease(), stage.lease()
    feeder = stage.feeder(stage.postgres, Bounds(5, 15), lease=stalled)
    other = stage.feeder(stage.postgres, Bounds(5, 15), lease=successor)

    class Overtaken(NullRows):
        async def standings(self, connection: Connection, most: int) -> Sequence[Standing]:
            """After this transaction the process stands still for longer than its lease."""
            found = await super().standings(connection, most)
            await connection.execute("UPDATE ingest.feeder_leases SET owner = NULL")
            return found

    feeder._rows = Overtaken(stage.bench, stage.rows.order)
    task = asyncio.create_task(feeder.feed())
    with pytest.raises(LeaseLost):
        await task
    assert await stage.states() == {"waiting": 20}
    assert await other.feed() == 5
    assert (stalled.epoch, successor.epoch) == (1, 2)


async def test_a_lease_is_taken_over_after_its_expiry_under_the_next_epoch(stage: Stage) -> None:
    first, second = stage.lease(expiry_s=3600), stage.lease(expiry_s=3600)
    assert await _take(stage, first)
    assert not await _take(stage, second)
    assert await _take(stage, first), "renewed"
    assert (first.epoch, second.epoch) == (1, None)
    lapsing = FeederLease("ingest", "null", owner="late", expiry_s=0.0)
    # The server has been up for longer than no time at all.
    assert await _take(stage, lapsing)
    assert lapsing.epoch == 2
    assert not await _take(stage, first)


async def test_a_lease_does_not_lapse_for_who_has_not_watched_the_server_as_long_as_one_lives(stage: Stage) -> None:
    held, waiting = stage.lease(expiry_s=3600), stage.lease(expiry_s=3600)
    assert await _take(stage, held)
    async with stage.postgres.transaction() as connection:
        await connection.execute("UPDATE ingest.feeder_leases SET beat_at = 'epoch'")
    assert not await _take(stage, waiting)


async def test_a_lease_that_is_given_back_is_free_at_once(stage: Stage) -> None:
    first, second = stage.lease(expiry_s=3600), stage.lease(expiry_s=3600)
    assert await _take(stage, first)
    async with stage.postgres.transaction() as connection:
        await first.release(connection)
    assert await _take(stage, second)
    assert second.epoch == 2


async def test_a_take_over_waits_for_an_accept_that_is_under_way(stage: Stage) -> None:
    await stage.add_lines("red", range(1))
    first, second = stage.lease(), stage.lease(expiry_s=0.0)
    assert await _take(stage, first)
    async with stage.postgres.transaction() as connection:
        await first.guard(connection)
        taking = asyncio.create_task(_take(stage, second))
        await eventually(lambda: _somebody_waits_for_a_lock(stage))
        await stage.rows.accept(connection, "0")
        assert not taking.done()
    assert await taking
    async with stage.postgres.transaction() as connection:
        assert [standing.accepted for standing in await stage.rows.standings(connection, 5)] == [1]


@pytest.mark.parametrize("wrong", [Rejected("no command can be made of it"), ValueError("a bug")])
async def test_a_line_that_cannot_be_accepted_costs_itself_only(stage: Stage, wrong: Exception) -> None:
    await stage.add_lines("red", range(10))
    stage.rows.broken = {"0": wrong}
    async with stage.answering(), feeding(stage.feeder(stage.postgres, Bounds(1, 1))):
        await stage.until_states(done=9, refused=1)


async def test_a_feeder_that_stands_still_in_a_transaction_loses_it_and_the_line_waits_on(stage: Stage) -> None:
    await stage.add_lines("red", range(1))

    class StandingStill(NullRows):
        async def accept(self, connection: Connection, line: str) -> Outgoing | None:
            accepted = await super().accept(connection, line)
            pid = connection.info.backend_pid
            await eventually(lambda: _has_ended(stage, pid))
            return accepted

    feeder = stage.feeder(stage.postgres, Bounds(5, 5), lease=stage.lease(expiry_s=0.3))
    feeder._rows = StandingStill(stage.bench)
    with pytest.raises(Unavailable):
        await feeder.feed()
    assert await stage.states() == {"waiting": 1}


async def test_a_feeder_goes_on_when_its_connections_were_cut(stage: Stage) -> None:
    await stage.add_lines("red", range(60))
    async with stage.answering(), stage.pool("cut") as postgres, feeding(stage.feeder(postgres, Bounds(5, 5))):
        for accepted in (5, 20, 40):
            await stage.until_accepted(accepted)
            async with stage.postgres.transaction() as connection:
                await connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'cut'"
                )
        await stage.until_states(done=60)
    assert await stage.effects() == {1}
    assert stage.rows.most_at_once["red"] <= 5


async def _take(stage: Stage, lease: FeederLease) -> bool:
    async with stage.postgres.transaction() as connection:
        return await lease.take(connection)


async def _somebody_waits_for_a_lock(stage: Stage) -> bool:
    async with stage.postgres.transaction() as connection:
        cursor = await connection.execute(
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return await cursor.fetchone() is not None


async def _has_ended(stage: Stage, pid: int) -> bool:
    async with stage.postgres.transaction() as connection:
        cursor = await connection.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s", [pid])
        return await cursor.fetchone() is None

"""The lease of a reply partition in the real PostgreSQL: one owner at a time, a new epoch for each."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from groundswell.common.errors import Overloaded, Unavailable
from groundswell.common.postgres import Postgres
from groundswell.common.testing.freezing import FreezingProxy, freezing_proxy
from groundswell.common.testing.waiting import until
from groundswell.orchestrator.adapters.postgres_database import Database
from groundswell.orchestrator.adapters.reply_lease import Lease, LeaseLost, ReplyLease

pytestmark = pytest.mark.connected

SHORT_EXPIRY_S = 4.0
_OVERDUE = """
INSERT INTO orchestrator.requests
    (id, team, key_id, model, tier, state, owner, epoch, reply_partition, reply_offset, question, created_at,
     deadline_at)
VALUES
    ('req_' || %s, 'blue', 'key_1', 'null', 'bulk', 'generating', 'silent', 1, %s, 0, '{}', now(),
     now() - interval '1 min')
"""


@pytest.fixture
async def postgres(fresh_database: Any) -> AsyncIterator[Postgres]:
    pool = Postgres(SecretStr(fresh_database.dsns["orchestrator"]))
    database = Database(pool)
    await database.open()
    yield pool
    await database.close()


def lease(postgres: Postgres, owner: str, *, partitions: int = 1, expiry_s: float = 3600.0) -> ReplyLease:
    return ReplyLease(postgres, owner=owner, partitions=partitions, beat_s=0.01, expiry_s=expiry_s)


async def silence(postgres: Postgres, partition: int, for_s: int) -> None:
    """As if the owner had not beaten for a while."""
    async with postgres.transaction() as connection:
        await connection.execute(
            "UPDATE orchestrator.reply_partitions SET beat_at = beat_at - make_interval(secs => %s)"
            " WHERE partition = %s",
            [for_s, partition],
        )


async def server_runs_for(postgres: Postgres) -> float:
    async with postgres.transaction() as connection:
        cursor = await connection.execute(
            "SELECT extract(epoch FROM clock_timestamp() - pg_postmaster_start_time())::float8 AS seconds"
        )
        row = await cursor.fetchone()
    assert row is not None
    return float(row["seconds"])


async def test_replicas_that_start_at_once_get_a_partition_each(postgres: Postgres) -> None:
    replicas = [lease(postgres, f"replica-{number}", partitions=4) for number in range(4)]

    async def opened(replica: ReplyLease) -> None:
        while True:  # another's lock on a row is no refusal for good
            try:
                return await replica.open()
            except Overloaded:
                await asyncio.sleep(0.01)

    await asyncio.gather(*(opened(replica) for replica in replicas))
    assert sorted(replica.partition for replica in replicas) == [0, 1, 2, 3]
    with pytest.raises(Overloaded, match="all 4"):
        await lease(postgres, "one-too-many", partitions=4).open()


async def test_opening_again_keeps_what_is_held(postgres: Postgres) -> None:
    replica = lease(postgres, "replica-1", partitions=2)
    await replica.open()
    held = replica.partition, replica.epoch
    await replica.open()
    assert (replica.partition, replica.epoch) == held


async def test_each_change_of_owner_is_a_new_epoch(postgres: Postgres) -> None:
    epochs = []
    for number in range(3):
        replica = lease(postgres, f"replica-{number}")
        await replica.open()
        epochs.append(replica.epoch)
        await replica.close()
    assert epochs == [1, 2, 3]


async def test_a_silent_owner_is_taken_over_and_learns_it(postgres: Postgres) -> None:
    slow, quick = lease(postgres, "slow"), lease(postgres, "quick", expiry_s=0.0)
    await slow.open()
    await silence(postgres, slow.partition, 1)
    await quick.open()
    assert (quick.partition, quick.epoch) == (slow.partition, slow.epoch + 1)
    assert not await slow.is_mine()
    assert await quick.is_mine()
    with pytest.raises(LeaseLost):
        await asyncio.wait_for(slow.keep(), 5)
    await slow.close()
    assert await quick.is_mine()


async def test_an_owner_that_beats_is_not_taken_over(postgres: Postgres) -> None:
    owner = lease(postgres, "owner")
    await owner.open()
    await silence(postgres, owner.partition, 7200)
    assert await owner.is_mine()
    with pytest.raises(Overloaded):
        await lease(postgres, "other").open()


async def test_a_lease_does_not_lapse_for_the_time_that_the_server_was_away(postgres: Postgres) -> None:
    owner = lease(postgres, "owner")
    await owner.open()
    await silence(postgres, owner.partition, 10**6)
    # Longer silent than the expiry, but the server has not been there for as long as that.
    patient = lease(postgres, "patient", expiry_s=await server_runs_for(postgres) + 3600)
    with pytest.raises(Overloaded):
        await patient.open()


async def test_a_free_partition_is_taken_before_a_lapsed_one(postgres: Postgres) -> None:
    silent = lease(postgres, "silent", partitions=2)
    await silent.open()
    await silence(postgres, silent.partition, 1)
    other = lease(postgres, "other", partitions=2, expiry_s=0.0)
    await other.open()
    assert other.partition != silent.partition


async def test_a_silent_owners_partition_is_taken_as_long_as_a_request_on_it_has_no_end(postgres: Postgres) -> None:
    silent, other = (lease(postgres, owner, partitions=2, expiry_s=0.0) for owner in ("silent", "other"))
    await silent.open()
    await silence(postgres, silent.partition, 1)
    assert await other.take_lapsed() is None
    async with postgres.transaction() as connection:
        await connection.execute(_OVERDUE, [silent.partition, silent.partition])
    assert await other.take_lapsed() == Lease(silent.partition, silent.epoch + 1)


@pytest.mark.timeout(90)
async def test_nobody_loses_a_lease_while_the_server_is_frozen_for_longer_than_one_lives(
    postgres: Postgres, fresh_database: Any
) -> None:
    async with two_that_beat(postgres, fresh_database.dsns["orchestrator"]) as (server, quick, slow):
        taken: list[Lease] = []
        looking = asyncio.create_task(look(quick, taken))
        await asyncio.sleep(SHORT_EXPIRY_S + 1)
        server.freeze()
        await asyncio.sleep(SHORT_EXPIRY_S + 1)
        server.thaw()
        await asyncio.sleep(SHORT_EXPIRY_S + 2)
        assert taken == []
        assert await quick.is_mine()
        assert await slow.is_mine()
        slow.begin_beating().cancel()
        await until(lambda: taken, within_s=30)
        assert taken == [Lease(slow.partition, slow.epoch + 1)]
        looking.cancel()
        await asyncio.wait({looking})


@asynccontextmanager
async def two_that_beat(postgres: Postgres, dsn: str) -> AsyncIterator[tuple[FreezingProxy, ReplyLease, ReplyLease]]:
    """Replicas behind one proxy, each with an unfinished request; the first beats more often than the second."""
    address = urlsplit(dsn)
    async with AsyncExitStack() as stack:
        server, port = await stack.enter_async_context(freezing_proxy(address.hostname or "", address.port or 0))
        replicas = []
        for owner, beat_s in (("quick", 0.05), ("slow", 1.0)):
            url = f"{dsn.replace(f':{address.port}/', f':{port}/')}?sslmode=disable&gssencmode=disable"
            pool = Postgres(SecretStr(url))
            stack.push_async_callback(pool.close)
            await pool.open()
            replica = ReplyLease(pool, owner=owner, partitions=2, beat_s=beat_s, expiry_s=SHORT_EXPIRY_S)
            await replica.open()
            stack.push_async_callback(replica.close)
            async with postgres.transaction() as connection:
                await connection.execute(_OVERDUE, [replica.partition, replica.partition])
            replica.begin_beating()
            replicas.append(replica)
        yield server, replicas[0], replicas[1]


async def look(replica: ReplyLease, taken: list[Lease]) -> None:
    """As adoption does, but all the time."""
    while True:
        with suppress(Unavailable):
            if (held := await replica.take_lapsed()) is not None:
                taken.append(held)
        await asyncio.sleep(0.02)

"""The outbox on the real Kafka and PostgreSQL: what was committed goes out, under one id, whoever dies meanwhile."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from aiokafka import ConsumerRecord
from opentelemetry.sdk.trace import TracerProvider
from pydantic import SecretStr

from groundswell.common.bus.clock import BrokerClock
from groundswell.common.bus.envelope import LONGEST_REMAINING_MS, parse
from groundswell.common.bus.inspection import records_on
from groundswell.common.bus.messages import Outgoing
from groundswell.common.feeder import feeder_lease_table
from groundswell.common.outbox import Outbox, OutboxRow, outbox_table
from groundswell.common.outbox.rows import OutboxRows
from groundswell.common.postgres import Postgres
from groundswell.common.telemetry.tracing import current_trace_id, span
from groundswell.common.testing.bench import Ask, Bench, bench_on
from groundswell.common.testing.waiting import eventually
from groundswell.common.tiers import Tier

connected = pytest.mark.connected


@pytest.fixture
async def postgres(fresh_database: Any) -> AsyncIterator[Postgres]:
    opened = Postgres(SecretStr(fresh_database.dsns["ingest"]), size=4, connect_within_s=1)
    await opened.open()
    async with opened.transaction() as connection:
        await connection.execute(outbox_table("ingest").encode())
    yield opened
    await opened.close()


def outbox_of(bench: Bench, postgres: Postgres, **changes: Any) -> Outbox:
    outbox = Outbox(postgres, "ingest", **changes)
    outbox.publish_by(bench.publisher, BrokerClock())
    return outbox


@pytest.fixture
def outbox(bench: Bench, postgres: Postgres) -> Outbox:
    return outbox_of(bench, postgres)


async def add(outbox: Outbox, postgres: Postgres, *messages: Outgoing) -> list[OutboxRow]:
    async with postgres.transaction() as connection:
        return [await outbox.add(connection, message) for message in messages]


async def let_leases_lapse(postgres: Postgres) -> None:
    async with postgres.transaction() as connection:
        await connection.execute("UPDATE ingest.outbox SET leased_until = clock_timestamp() - interval '1 ms'")


async def left(postgres: Postgres) -> list[int]:
    async with postgres.transaction() as connection:
        cursor = await connection.execute("SELECT id FROM ingest.outbox ORDER BY id")
        return [row["id"] for row in await cursor.fetchall()]


async def records(bench: Bench, count: int | None = None) -> list[ConsumerRecord[bytes, bytes]]:
    found = await records_on(bench.kafka, bench.command[Tier.STANDARD])
    assert count is None or len(found) == count, f"{len(found)} records"
    return found


def ids(found: Sequence[ConsumerRecord[bytes, bytes]]) -> list[str]:
    return [parse(record.headers).message_id for record in found]


@asynccontextmanager
async def sweeping(*outboxes: Outbox) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(outbox.sweep()) for outbox in outboxes]
    try:
        yield
        assert not any(task.done() for task in tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@connected
async def test_a_row_is_the_very_record_that_the_publisher_would_have_sent(
    bench: Bench, postgres: Postgres, outbox: Outbox
) -> None:
    message = bench.ask(1, attempt=2, epoch=7, partition=0, payload=Ask(number=1, note="naïve \0 \N{WAVE DASH}"))
    await bench.publisher.publish(message)
    await outbox.publish_now(*await add(outbox, postgres, message))
    direct, stored = await records(bench, 2)
    assert (stored.key, stored.value, stored.partition) == (direct.key, direct.value, direct.partition)
    moment = ("ce_sentms", "ce_remainingms", "ce_source")
    assert [header for header in stored.headers if header[0] not in moment] == [
        header for header in direct.headers if header[0] not in moment
    ]
    assert dict(stored.headers)["ce_source"] == b"groundswell/ingest"


@connected
async def test_a_row_that_its_publisher_sent_is_gone_and_is_not_sent_again(
    bench: Bench, postgres: Postgres, outbox: Outbox
) -> None:
    rows = await add(outbox, postgres, bench.ask(1), bench.ask(2))
    assert await outbox.publish_now(*rows)
    assert await left(postgres) == []
    await outbox_of(bench, postgres).sweep_once()
    assert ids(await records(bench)) == [row.message_id for row in rows]


@connected
async def test_before_the_bus_is_there_a_row_waits_for_the_sweeper(
    bench: Bench, postgres: Postgres, outbox: Outbox
) -> None:
    early = Outbox(postgres, "ingest")
    (row,) = await add(early, postgres, bench.ask(1))
    assert not await early.publish_now(row)
    await let_leases_lapse(postgres)
    await outbox.sweep_once()
    assert ids(await records(bench)) == [row.message_id]


@connected
async def test_the_sweeper_leaves_a_live_publishers_row_alone(bench: Bench, postgres: Postgres, outbox: Outbox) -> None:
    (row,) = await add(outbox, postgres, bench.ask(1))
    assert not await outbox_of(bench, postgres).sweep_once()
    assert await records(bench) == []
    assert await outbox.publish_now(row)
    await records(bench, 1)


@connected
async def test_a_row_whose_publisher_died_is_published_once_under_its_id(
    bench: Bench, postgres: Postgres, outbox: Outbox
) -> None:
    (row,) = await add(outbox, postgres, bench.ask(1))
    await let_leases_lapse(postgres)
    async with sweeping(outbox_of(bench, postgres), outbox_of(bench, postgres)):
        assert await eventually(lambda: _ids(bench, 1)) == [row.message_id]
        await eventually(lambda: _empty(postgres))
    assert ids(await records(bench)) == [row.message_id]


@connected
async def test_a_publisher_that_died_before_it_deleted_leaves_a_duplicate_with_the_same_id(
    bench: Bench, postgres: Postgres, fresh_database: Any
) -> None:
    dying = Postgres(SecretStr(fresh_database.dsns["ingest"]), size=1)
    await dying.open()
    outbox = outbox_of(bench, dying)
    (row,) = await add(outbox, dying, bench.ask(1))
    await dying.close()
    assert await outbox.publish_now(row), "it was published, although it could not be deleted"
    await let_leases_lapse(postgres)
    await outbox_of(bench, postgres).sweep_once()
    assert ids(await records(bench)) == [row.message_id, row.message_id]


@connected
async def test_a_process_that_could_not_delete_what_it_published_does_not_publish_it_again(
    bench: Bench, postgres: Postgres, components: Any, fresh_database: Any
) -> None:
    outbox = outbox_of(bench, postgres)
    (row,) = await add(outbox, postgres, bench.ask(1))
    async with database_away(components.postgres_admin, fresh_database.name):
        assert await outbox.publish_now(row)
    await let_leases_lapse(postgres)
    await outbox.sweep_once()
    assert await left(postgres) == []
    await records(bench, 1)


@connected
async def test_a_publisher_that_was_stalled_beyond_its_lease_leaves_the_row_to_the_sweeper(
    bench: Bench, postgres: Postgres
) -> None:
    stalled = outbox_of(bench, postgres, lease_s=0.0)
    (row,) = await add(stalled, postgres, bench.ask(1))
    assert not await stalled.publish_now(row)
    assert await records(bench) == []
    await outbox_of(bench, postgres).sweep_once()
    await records(bench, 1)


@connected
async def test_two_sweepers_share_the_rows_and_double_none(bench: Bench, postgres: Postgres, outbox: Outbox) -> None:
    rows = await add(outbox, postgres, *(bench.ask(number) for number in range(150)))
    await let_leases_lapse(postgres)
    async with sweeping(outbox_of(bench, postgres, batch=20), outbox_of(bench, postgres, batch=20)):
        await eventually(lambda: _empty(postgres))
    assert sorted(ids(await records(bench))) == sorted(row.message_id for row in rows)


@connected
async def test_rows_that_another_sweeper_is_taking_are_passed_over(
    bench: Bench, postgres: Postgres, outbox: Outbox
) -> None:
    await add(outbox, postgres, *(bench.ask(number) for number in range(5)))
    await let_leases_lapse(postgres)
    rows = OutboxRows("ingest")
    async with postgres.transaction() as one, postgres.transaction() as other:
        first = await rows.take_lapsed(one, 3, 10.0)
        second = await rows.take_lapsed(other, 3, 10.0)
    assert [row.id for row in [*first, *second]] == await left(postgres)
    assert len(first) == 3, "oldest first"


@connected
async def test_one_sweeper_keeps_the_order_over_batches(bench: Bench, postgres: Postgres, outbox: Outbox) -> None:
    rows = await add(outbox, postgres, *(bench.ask(number, key="one") for number in range(25)))
    await let_leases_lapse(postgres)
    sweeper = outbox_of(bench, postgres, batch=7)
    assert [await sweeper.sweep_once() for _ in range(4)] == [True, True, True, False]
    assert ids(await records(bench)) == [row.message_id for row in rows]


@connected
async def test_a_transaction_that_is_rolled_back_publishes_nothing(
    bench: Bench, postgres: Postgres, outbox: Outbox
) -> None:
    with suppress(psycopg.errors.DivisionByZero):
        async with postgres.transaction() as connection:
            await outbox.add(connection, bench.ask(1))
            await connection.execute("SELECT 1 / 0")
    assert await left(postgres) == []
    await let_leases_lapse(postgres)
    await outbox.sweep_once()
    assert await records(bench) == []


@connected
async def test_a_message_is_added_once(bench: Bench, postgres: Postgres, outbox: Outbox) -> None:
    message = bench.ask(1)
    await add(outbox, postgres, message)
    with pytest.raises(psycopg.errors.UniqueViolation):
        await add(outbox, postgres, message)


@connected
async def test_while_kafka_is_away_rows_stay_and_go_out_in_order_when_it_is_back(
    own_kafka: Any, postgres: Postgres
) -> None:
    async with bench_on(own_kafka.address) as bench:
        outbox = outbox_of(bench, postgres, batch=5)
        rows = await add(outbox, postgres, *(bench.ask(number) for number in range(12)))
        own_kafka.kill()
        assert not await outbox.publish_now(*rows, within_s=0.5)
        assert len(await left(postgres)) == len(rows)
        await let_leases_lapse(postgres)
        async with sweeping(outbox_of(bench, postgres, batch=5, lease_s=2.0, every_s=0.1)):
            await own_kafka.start()
            await eventually(lambda: _empty(postgres), within_s=40)
        # What timed out may have arrived nevertheless: under the id that it has anyway.
        assert list(dict.fromkeys(ids(await records(bench)))) == [row.message_id for row in rows]


@connected
async def test_the_sweeper_goes_on_when_postgresql_is_back(
    bench: Bench, postgres: Postgres, outbox: Outbox, components: Any, fresh_database: Any
) -> None:
    await add(outbox, postgres, bench.ask(1))
    await let_leases_lapse(postgres)
    sweeper = outbox_of(bench, postgres, every_s=0.05)
    async with database_away(components.postgres_admin, fresh_database.name):
        sweep = asyncio.create_task(sweeper.sweep())
        await asyncio.wait([sweep], timeout=1.5)
        assert not sweep.done()
    await eventually(lambda: _ids(bench, 1))
    sweep.cancel()
    with suppress(asyncio.CancelledError):
        await sweep


@connected
async def test_a_message_that_kafka_can_never_take_stays_and_holds_up_no_other(
    bench: Bench, postgres: Postgres, outbox: Outbox
) -> None:
    huge = bench.ask(1, payload=Ask(number=1, note="x" * 1_500_000))
    rows = await add(outbox, postgres, huge, bench.ask(2))
    await outbox.publish_now(*rows)
    assert await left(postgres) == [rows[0].id]
    await outbox.sweep_once()
    assert ids(await records(bench)) == [rows[1].message_id]
    assert await left(postgres) == [rows[0].id]


@connected
async def test_the_remaining_time_is_that_of_the_publish_and_what_has_no_deadline_keeps_none(
    bench: Bench, postgres: Postgres, outbox: Outbox
) -> None:
    lives = {"lapsed": -5.0, "short": 60.0, "none": math.inf}
    await add(outbox, postgres, *(bench.ask(1, key=key, life_s=life_s) for key, life_s in lives.items()))
    async with postgres.transaction() as connection:
        await connection.execute("UPDATE ingest.outbox SET deadline_at = deadline_at - interval '30 s'")
    await let_leases_lapse(postgres)
    await outbox.sweep_once()
    remaining = {record.key: parse(record.headers).remaining_ms for record in await records(bench)}
    assert remaining[b"lapsed"] == 0, "it goes out, so that who asked hears that it expired"
    assert 0 < remaining[b"short"] <= 30_000
    assert remaining[b"none"] == LONGEST_REMAINING_MS


@connected
async def test_the_trace_goes_on_from_whoever_wrote_the_row(bench: Bench, postgres: Postgres, outbox: Outbox) -> None:
    provider = TracerProvider()
    with provider.get_tracer("test").start_as_current_span("accepting"):
        trace_id = current_trace_id()
        await add(outbox, postgres, bench.ask(1))
    assert trace_id is not None
    await let_leases_lapse(postgres)
    with span("sweeping"):
        await outbox.sweep_once()
    (record,) = await records(bench, 1)
    assert trace_id in parse(record.headers).trace["traceparent"]


@pytest.mark.parametrize(("table", "statements_of"), [("outbox", outbox_table), ("feeder_leases", feeder_lease_table)])
def test_services_migrations_have_the_tables_of_common_letter_by_letter(
    table: str, statements_of: Callable[[str], str]
) -> None:
    services = Path(__file__).parents[3] / "services"
    for migration in services.glob("*/src/groundswell/*/migrations/*.sql"):
        statements, schema = migration.read_text(encoding="utf-8"), migration.parts[-3]
        if f"TABLE {schema}.{table} " in statements:
            assert statements_of(schema) in statements, migration.name


@pytest.mark.parametrize("statements", [outbox_table("somewhere"), feeder_lease_table("somewhere")])
def test_every_statement_of_a_table_names_its_schema(statements: str) -> None:
    assert "{" not in statements
    for statement in statements.split(";")[:-1]:
        assert "somewhere." in statement


async def _empty(postgres: Postgres) -> bool:
    assert (rows := await left(postgres)) == [], rows
    return True


async def _ids(bench: Bench, count: int) -> list[str]:
    return ids(await records(bench, count))


@asynccontextmanager
async def database_away(admin: str, name: str) -> AsyncIterator[None]:
    """Nobody is connected to the database or can connect."""
    database = psycopg.sql.Identifier(name)
    async with await psycopg.AsyncConnection.connect(admin, autocommit=True) as server:
        await server.execute(psycopg.sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(database))
        await server.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", [name])
        try:
            yield
        finally:
            await server.execute(psycopg.sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(database))

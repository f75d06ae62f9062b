"""What its topic does not take travels as a claim check: whole, or as a dead letter, or it waits for the store."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from aiokafka import ConsumerRecord
from pydantic import SecretStr

from groundswell.common.blobs import Blobs
from groundswell.common.bus.claims import DATAREF, MOST_BYTES, ROOM_BYTES, Claims
from groundswell.common.bus.connection import Bus
from groundswell.common.bus.consumption import consume, listen, subscribe
from groundswell.common.bus.dead_letters import DeadLetters
from groundswell.common.bus.inspection import records_on
from groundswell.common.bus.messages import Outgoing, Received, follow, reply
from groundswell.common.bus.readers import PartitionReader, read_until_now
from groundswell.common.contracts.knowledge import BlobRef
from groundswell.common.contracts.message import CommandExpired, CommandFailed
from groundswell.common.errors import Misconfigured, Rejected, Unavailable
from groundswell.common.ids import MessageId
from groundswell.common.outbox import Outbox, outbox_table
from groundswell.common.postgres import Postgres
from groundswell.common.testing.bench import SERVICE, Answered, Ask, Bench, Line, Told, answer, bench_on
from groundswell.common.testing.waiting import until
from groundswell.common.tiers import Tier
from groundswell.common.topics import DEAD_LETTER_RETENTION_MS

connected = pytest.mark.connected

LARGE = "x" * 2_000_000
LINE = Line.new()
TOPIC = LINE.event.physical_name
ID = MessageId("6f1c")
KEY = f"claims/{TOPIC}/2026-01-31/{ID}"
HASH = sha256(b"1").hexdigest()


class Store(Blobs):
    """A folder that can be away, or take its time to give."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder.as_uri())
        self.folder = folder
        self.away = False
        self.gives_after_s = 0.0
        self.asked_in_vain = 0

    async def put(self, key: str, content: bytes) -> BlobRef:
        self._require()
        return await super().put(key, content)

    async def get(self, ref: BlobRef) -> bytes:
        self._require()
        await asyncio.sleep(self.gives_after_s)
        return await super().get(ref)

    def files(self) -> list[Path]:
        return sorted(path for path in self.folder.rglob("*") if path.is_file())

    def _require(self) -> None:
        if self.away:
            self.asked_in_vain += 1
            raise Unavailable("the store is away", retry_after_s=0.05)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def claims(store: Store) -> Claims:
    return Claims(store, LINE.topics)


def record(value: bytes | None, *headers: tuple[str, bytes]) -> ConsumerRecord[bytes, bytes]:
    return ConsumerRecord(TOPIC, 0, 0, 0, 0, None, value, None, 0, 0, headers)


async def test_what_fits_stays_as_it_is_and_touches_no_store(claims: Claims, store: Store) -> None:
    value = b"x" * (LINE.event.max_bytes - ROOM_BYTES)
    assert await claims.check_in(TOPIC, ID, value) == (value, [])
    assert store.files() == []
    plain = record(value, ("ce_id", b"1"))
    assert await claims.redeem(plain) is plain


async def test_what_does_not_fit_is_a_reference_of_the_day_and_comes_back_whole(claims: Claims, store: Store) -> None:
    value = b"x" * (LINE.event.max_bytes - ROOM_BYTES + 1)
    reference, headers = await claims.check_in(TOPIC, ID, value)
    assert len(reference) < 500
    (file,) = store.files()
    assert headers == [(DATAREF, str(file.relative_to(store.folder)).encode())]
    assert file.parent.parent.name == TOPIC
    assert (await claims.redeem(record(reference, *headers))).value == value


async def test_without_a_store_nothing_is_checked_in_and_nothing_redeemed(claims: Claims) -> None:
    reference, headers = await claims.check_in(TOPIC, ID, LARGE.encode())
    homeless = Claims(None, LINE.topics)
    assert await homeless.check_in(TOPIC, ID, LARGE.encode()) == (LARGE.encode(), [])
    with pytest.raises(Rejected, match="does not know"):
        await homeless.redeem(record(reference, *headers))


async def test_nothing_is_too_large_for_the_store_but_what_no_memory_should_hold(claims: Claims, store: Store) -> None:
    with pytest.raises(Rejected, match=f"{MOST_BYTES + 1} bytes is too large for {TOPIC}"):
        await claims.check_in(TOPIC, ID, bytes(MOST_BYTES + 1))
    assert store.files() == []


async def test_an_id_that_is_no_name_leads_nowhere(claims: Claims, store: Store) -> None:
    with pytest.raises(Rejected, match="no name"):
        await claims.check_in(TOPIC, MessageId("../../1"), LARGE.encode())
    assert list(store.folder.parent.rglob("1")) == []


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        pytest.param(b"", "is none", id="empty"),
        pytest.param(b"\xff", "is none", id="no-text"),
        pytest.param(b'{"key": 1}', "is none", id="no-reference"),
        pytest.param(b" " * 5000, "is none", id="too-long"),
        pytest.param({"key": "documents/red/1"}, "where none lie", id="another-folder"),
        pytest.param({"key": f"claims/{TOPIC}/2026-01-31/../../../documents/red/1"}, "where none lie", id="traversal"),
        pytest.param({"key": f"claims/../{TOPIC}/2026-01-31/1"}, "where none lie", id="up"),
        pytest.param({"key": f"/{KEY}"}, "where none lie", id="absolute"),
        pytest.param({"size": MOST_BYTES + 1}, "too many", id="too-large"),
        pytest.param({"size": 2}, "not of the size", id="another-size"),
        pytest.param({"sha256": "aa"}, "not the one", id="another-hash"),
        pytest.param({"key": f"{KEY}2"}, "gone", id="gone"),
    ],
)
async def test_a_reference_to_anything_but_the_claim_is_rejected(
    claims: Claims, store: Store, reference: bytes | dict[str, Any], reason: str
) -> None:
    await store.put(KEY, b"1")
    await store.put("documents/red/1", b"1")
    good = {"key": KEY, "size": 1, "sha256": HASH}
    value = reference if isinstance(reference, bytes) else BlobRef(**(good | reference)).model_dump_json().encode()
    with pytest.raises(Rejected, match=reason):
        await claims.redeem(record(value, (DATAREF, KEY.encode())))


async def test_only_what_no_record_or_dead_letter_can_name_is_swept_and_only_by_its_owner(store: Store) -> None:
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    kept = timedelta(milliseconds=LINE.event.retention_ms + DEAD_LETTER_RETENTION_MS)
    theirs = replace(LINE.replies, owner="others")
    claims = Claims(store, (LINE.event, theirs))
    days = [now - kept - timedelta(days=age) for age in (0, 1, 2, 300)]
    for topic in (TOPIC, theirs.physical_name):
        for day in days:
            await store.put(f"claims/{topic}/{day:%Y-%m-%d}/1", b"1")
    await store.put("documents/red/1", b"1")
    assert await claims.sweep_once(SERVICE, now) == 2
    left = sorted(path.parent.name for path in store.files() if path.parent.parent.name == TOPIC)
    assert left == sorted(f"{day:%Y-%m-%d}" for day in days[:2])
    assert len(store.files()) == 2 + 4 + 1


def test_an_address_that_is_no_store_is_a_wrong_setting() -> None:
    with pytest.raises(Misconfigured, match="object store's URL"):
        Blobs("elsewhere")


@pytest.fixture
async def bench(components: Any, store: Store) -> AsyncIterator[Bench]:
    async with bench_on(components.kafka, blobs=store) as made:
        yield made


async def answer_at_length(message: Received[Ask]) -> Sequence[Outgoing]:
    return [reply(message, Answered(number=message.payload.number, note=message.payload.note))]


class Ears:
    def __init__(self) -> None:
        self.heard: list[tuple[int, int]] = []

    async def hear(self, message: Received[Any]) -> Sequence[Outgoing]:
        self.heard.append((message.payload.number, len(message.payload.note)))
        return []

    async def listen(self, message: Received[Any]) -> None:
        await self.hear(message)


def large_ask(bench: Bench, number: int, **changes: Any) -> Outgoing:
    return bench.ask(number, payload=Ask(number=number, note=LARGE), **changes)


async def sizes(bench: Bench, topic: str) -> list[int]:
    return [len(record.value or b"") for record in await records_on(bench.kafka, topic)]


@connected
async def test_two_megabytes_go_through_command_reply_event_and_broadcast(bench: Bench) -> None:
    line, events, everybody, replies = bench.line, Ears(), Ears(), Ears()

    async def spread(message: Received[Ask]) -> Sequence[Outgoing]:
        fact = Told(number=message.payload.number, note=message.payload.note)
        told = [follow(message, event, fact) for event in (line.event, line.broadcast)]
        return [*told, *await answer_at_length(message)]

    async with bench.working(
        consume(line.command, spread), subscribe(line.event, events.hear), listen(line.broadcast, everybody.listen)
    ) as bus:
        reader = PartitionReader([line.replies], replies.listen, bus.context, partition=0)
        await reader.start()
        running = asyncio.create_task(reader.run())
        await bench.publisher.publish(large_ask(bench, 1))
        whole = [(1, len(LARGE))]
        await until(lambda: events.heard == everybody.heard == replies.heard == whole)
        read_again, _ = await read_until_now(
            [line.replies], 0, {line.replies.physical_name: 0}, bus.context, wanted=lambda _: True
        )
        await reader.stop()
        await running
    assert [len(message.payload.note) for message in read_again] == [len(LARGE)]
    for topic in (line.command[Tier.STANDARD], line.replies.physical_name, line.event.physical_name):
        assert max(await sizes(bench, topic)) < 500


async def read_replies(bench: Bench, count: int, *, patience_s: float) -> int:
    """How many of `count` claims among the replies were read."""
    topic = bench.line.replies.physical_name
    for number in range(count):
        payload = Answered(number=number, note=LARGE)
        await bench.publisher.publish(bench.ask(number, topic=topic, payload=payload, reply_to=None))
    context = Bus(bench.kafka, service=SERVICE, claims=bench.claims).context
    found, _ = await read_until_now(
        [bench.line.replies], 0, {topic: 0}, context, wanted=lambda _: True, patience_s=patience_s
    )
    return len(found)


@connected
async def test_reading_what_lies_on_a_partition_may_take_long_as_long_as_it_goes_on(bench: Bench, store: Store) -> None:
    store.gives_after_s = 0.6
    assert await read_replies(bench, 5, patience_s=2.0) == 5, "3 s in all"


@connected
async def test_reading_what_lies_on_a_partition_ends_when_it_does_not_go_on(bench: Bench, store: Store) -> None:
    store.gives_after_s = 20.0
    with pytest.raises(Unavailable, match="Kafka"):
        await read_replies(bench, 1, patience_s=1.0)


@connected
@pytest.mark.parametrize("harm", ["gone", "altered", "truncated"])
async def test_a_claim_that_is_not_there_is_a_dead_letter_that_can_be_redriven_once_it_is(
    bench: Bench, store: Store, harm: str
) -> None:
    topic = bench.command[Tier.STANDARD]
    await bench.publisher.publish(large_ask(bench, 1))
    await bench.asks([2])
    (file,) = store.files()
    value = file.read_bytes()
    file.unlink() if harm == "gone" else file.write_bytes(value[1:] + (b"y" if harm == "altered" else b""))
    async with bench.working(consume(bench.command, answer)):
        await bench.until_committed(topic, 2)
        (dead,) = await records_on(bench.kafka, bench.command.dead_letters(SERVICE))
        failed = [item.payload for item in await bench.outcomes() if isinstance(item.payload, CommandFailed)]
        assert "blob" in failed[0].reason
        file.write_bytes(value)
        headers = [(name, header) for name, header in dead.headers if not name.startswith("dlq_")]
        await bench.publisher.publish_raw(topic, dead.value, headers, key=dead.key)
        await bench.until_answered(1, 2)
    assert (
        dead.value
        == BlobRef(key=str(file.relative_to(store.folder)), size=len(value), sha256=sha256(value).hexdigest())
        .model_dump_json()
        .encode()
    )


@connected
async def test_while_the_store_is_away_a_command_waits_and_holds_up_no_other(bench: Bench, store: Store) -> None:
    topic = bench.command[Tier.STANDARD]
    await bench.publisher.publish(large_ask(bench, 1))
    store.away = True
    await bench.asks([2, 3])
    async with bench.working(consume(bench.command, answer, slots=1)):
        await bench.until_answered(2, 3)
        assert await bench.committed(topic) == 0
        store.away = False
        await bench.until_answered(1, 2, 3)
        await bench.until_committed(topic, 3)
    assert await bench.dead() == []


@connected
async def test_a_command_that_is_expired_is_answered_so_and_its_value_is_not_fetched(
    bench: Bench, store: Store
) -> None:
    await bench.publisher.publish(large_ask(bench, 1, life_s=-1))
    store.away = True
    async with bench.working(consume(bench.command, answer)):
        await bench.until_committed(bench.command[Tier.STANDARD], 1)
    assert store.asked_in_vain == 0
    (outcome,) = await bench.outcomes()
    assert (outcome.payload, outcome.envelope.correlation_id) == (CommandExpired(command="Ask"), "req_1")
    assert await bench.dead() == []


@connected
async def test_a_command_that_expires_while_the_store_is_away_waits_no_longer(bench: Bench, store: Store) -> None:
    await bench.asks([1])
    async with bench.working(consume(bench.command, answer)):
        await bench.until_answered(1)
        await bench.publisher.publish(large_ask(bench, 2, life_s=4))
        store.away = True
        await until(lambda: store.asked_in_vain > 0)
        await bench.until_committed(bench.command[Tier.STANDARD], 2)
    assert [item.payload for item in await bench.outcomes()][1:] == [CommandExpired(command="Ask")]


@connected
async def test_an_outcome_that_the_store_does_not_take_is_sent_once_it_does(bench: Bench, store: Store) -> None:
    await bench.publisher.publish(large_ask(bench, 1))
    tries = 0

    async def lose_the_store_once(message: Received[Ask]) -> Sequence[Outgoing]:
        nonlocal tries
        tries += 1
        store.away = tries == 1
        return await answer_at_length(message)

    async with bench.working(consume(bench.command, lose_the_store_once)):
        await bench.until_answered(1)
    assert tries == 2
    assert await bench.dead() == []


@connected
async def test_while_the_store_is_away_readers_and_subscribers_wait_in_order(bench: Bench, store: Store) -> None:
    line, ears, everybody = bench.line, Ears(), Ears()
    theirs = Store(store.folder)
    async with (
        bench_on(bench.kafka, line=line, blobs=theirs) as hearing,
        hearing.working(subscribe(line.event, ears.hear), listen(line.broadcast, everybody.listen)),
    ):
        theirs.away = True
        for event in (line.event, line.broadcast):
            await bench.publisher.publish(bench.tell(1, event, payload=Told(number=1, note=LARGE)))
            await bench.publisher.publish(bench.tell(2, event))
        await until(lambda: theirs.asked_in_vain > 1)
        assert ears.heard == everybody.heard == []
        theirs.away = False
        await until(lambda: ears.heard == everybody.heard == [(1, len(LARGE)), (2, 0)])
        await bench.until_committed(line.event.physical_name, 2)
        assert await bench.dead(line.event) == []


@connected
async def test_a_reader_that_waits_for_the_store_can_be_stopped_and_does_not_stand_still(
    bench: Bench, store: Store
) -> None:
    bus = Bus(bench.kafka, service=SERVICE, claims=bench.claims)
    ears, topic = Ears(), bench.line.broadcast
    reader = PartitionReader([topic], ears.listen, bus.context, patience_s=0.2)
    await reader.start()
    await bench.publisher.publish(bench.tell(1, topic, payload=Told(number=1, note=LARGE)))
    store.away = True
    running = asyncio.create_task(reader.run())
    await until(lambda: store.asked_in_vain > 3)
    assert not running.done(), "its patience was over long ago"
    running.cancel()
    await reader.stop()
    await bus.stop(0)
    assert ears.heard == []


@connected
async def test_a_process_without_a_store_works_on_and_buries_claims(bench: Bench) -> None:
    await bench.publisher.publish(large_ask(bench, 1))
    await bench.asks([2])
    async with bench_on(bench.kafka, line=bench.line) as homeless:
        with pytest.raises(Rejected, match="too large"):
            await homeless.publisher.publish(large_ask(bench, 3))
        async with homeless.working(consume(bench.command, answer)):
            await homeless.until_answered(2)
            await homeless.until_committed(bench.command[Tier.STANDARD], 2)
        (letter,) = await homeless.dead()
    assert "object store" in letter["dlq_reason"]


@connected
async def test_a_large_message_that_its_sender_gave_up_is_kept(bench: Bench) -> None:
    lost = large_ask(bench, 1)
    await DeadLetters(bench.publisher, service=SERVICE).keep(bench.command, lost, reason="lost", attempts=3)
    (dead,) = await records_on(bench.kafka, bench.command.dead_letters(SERVICE))
    assert (await bench.claims.redeem(dead)).value == lost.payload.model_dump_json().encode()


@connected
async def test_a_row_of_the_outbox_holds_the_reference(bench: Bench, fresh_database: Any) -> None:
    postgres = Postgres(SecretStr(fresh_database.dsns["ingest"]), size=2)
    await postgres.open()
    outbox = Outbox(postgres, "ingest")
    outbox.publish_by(bench.publisher, Bus(bench.kafka, service=SERVICE).context.clock)
    async with postgres.transaction() as connection:
        await connection.execute(outbox_table("ingest").encode())
        row = await outbox.add(connection, large_ask(bench, 1))
    assert len(row.payload) < 500
    await outbox.publish_now(row)
    async with bench.working(consume(bench.command, answer_at_length)):
        await bench.until_answered(1)
    await postgres.close()
    assert [len(item.payload.note) for item in await bench.outcomes() if isinstance(item.payload, Answered)] == [
        len(LARGE)
    ]

"""Requests and keys in the real PostgreSQL."""

import asyncio
import stat
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr, TypeAdapter

from groundswell.common.bus.claims import Claims
from groundswell.common.bus.clock import BrokerClock
from groundswell.common.bus.envelope import parse
from groundswell.common.bus.publisher import Publisher
from groundswell.common.contracts.answers import AnswerEnded, Outcome
from groundswell.common.contracts.generation import ChatMessage
from groundswell.common.errors import Misconfigured, Unavailable
from groundswell.common.ids import KeyId, RequestId, TeamId, new_request_id
from groundswell.common.outbox import Outbox
from groundswell.common.postgres import Postgres
from groundswell.common.tiers import Tier
from groundswell.common.topics import ANSWER_STREAM
from groundswell.orchestrator.adapters.postgres_database import Database
from groundswell.orchestrator.adapters.postgres_keys import PostgresKeys
from groundswell.orchestrator.adapters.postgres_ledger import PostgresLedger
from groundswell.orchestrator.domain.question import Answer, Caller, Question
from groundswell.orchestrator.ports import Orphan, Ownership

pytestmark = pytest.mark.connected

BLUE, GREEN = TeamId("blue"), TeamId("green")
NOW = 1_795_000_000.0


@pytest.fixture
async def postgres(fresh_database: Any) -> AsyncIterator[Postgres]:
    pool = Postgres(SecretStr(fresh_database.dsns["orchestrator"]))
    database = Database(pool)
    await database.open()
    yield pool
    await database.close()


@dataclass
class Broker:
    """What the outbox published; `away`: it takes nothing."""

    events: list[AnswerEnded] = field(default_factory=list)
    keys: list[bytes] = field(default_factory=list)
    away: bool = False
    claims: Claims = field(default_factory=lambda: Claims(None))

    async def publish_raw(self, topic: str, value: bytes, headers: Any, *, key: bytes, **_: Any) -> None:
        if self.away:
            raise Unavailable("Kafka: away")
        assert topic == ANSWER_STREAM.physical_name
        assert parse(headers).remaining_ms > 0
        self.events.append(AnswerEnded.model_validate_json(value))
        self.keys.append(key)


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def outbox(postgres: Postgres, broker: Broker) -> Outbox:
    outbox = Outbox(postgres, "orchestrator")
    outbox.publish_by(cast("Publisher", broker), BrokerClock())
    return outbox


@pytest.fixture
def ledger(postgres: Postgres, outbox: Outbox) -> PostgresLedger:
    return PostgresLedger(postgres, outbox)


@pytest.fixture
def keys(postgres: Postgres) -> PostgresKeys:
    return PostgresKeys(postgres)


def question(said: str = "How?", *, team: TeamId = BLUE, created: float = NOW, lasts_s: float = 60.0) -> Question:
    return Question(
        request_id=new_request_id(),
        caller=Caller(key=KeyId("key_0123456789ab"), team=team, groups=("ops",)),
        model="docs-qa",
        messages=(ChatMessage(role="user", content=said),),
        tier=Tier.STANDARD,
        created=created,
        deadline=created + lasts_s,
        max_tokens=10,
    )


def owned(owner: str = "replica-1", *, epoch: int = 1, partition: int = 0, reply_offset: int = 0) -> Ownership:
    return Ownership(owner=owner, epoch=epoch, partition=partition, reply_offset=reply_offset)


def answer(text: str, outcome: Outcome = Outcome.COMPLETED) -> Answer:
    return Answer(outcome=outcome, text=text, finish_reason="stop", verdicts=({"role": "input", "score": 0.5},))


async def test_an_adopter_gets_what_is_unfinished_on_a_partition_and_its_former_owner_ends_nothing_more(
    ledger: PostgresLedger,
) -> None:
    left, elsewhere, done = question("left"), question("elsewhere"), question("done")
    await ledger.insert(left, owned(partition=3, reply_offset=17))
    await ledger.insert(elsewhere, owned(partition=4))
    await ledger.insert(done, owned(partition=3))
    await ledger.finish(done.request_id, answer("Done."), epoch=1)
    adopter = owned("replica-2", epoch=2, partition=3)
    assert await ledger.adopt(adopter) == [Orphan(left, 17)]
    assert await ledger.adopt(adopter) == [Orphan(left, 17)], "an adoption that broke off is tried again"
    assert await ledger.finish(left.request_id, answer("of the former owner"), epoch=1) is None
    assert await ledger.answer(left.request_id) is None
    assert await ledger.finish(left.request_id, answer("of the adopter"), epoch=2) == answer("of the adopter")
    assert await ledger.finish(left.request_id, answer("too late"), epoch=1) == answer("of the adopter")


async def test_a_question_that_nobody_can_read_ends_with_its_adoption_and_the_others_are_carried_on(
    ledger: PostgresLedger, broker: Broker, postgres: Postgres
) -> None:
    torn, whole = question("torn"), question("whole")
    for one in (torn, whole):
        await ledger.insert(one, owned(partition=3))
    async with postgres.transaction() as connection:
        await connection.execute(
            "UPDATE orchestrator.requests SET question = '{}'::json WHERE id = %s", [torn.request_id]
        )
    adopter = owned("replica-2", epoch=2, partition=3)
    for _ in range(2):
        assert await ledger.adopt(adopter) == [Orphan(whole, 0)]
    [event] = broker.events
    assert (event.request_id, event.epoch, event.outcome) == (torn.request_id, 2, Outcome.FAILED)
    ended = await ledger.answer(torn.request_id)
    assert ended is not None
    assert (ended.outcome, ended.text) == (Outcome.FAILED, "")
    assert ended.reason


async def test_of_many_who_ask_under_one_key_one_is_accepted(ledger: PostgresLedger) -> None:
    asked = replace(question(), fingerprint="f" * 64)
    inserted = await asyncio.gather(
        *(ledger.insert(replace(asked, created=NOW + number), owned(f"replica-{number % 2}")) for number in range(12))
    )
    assert sum(inserted) == 1
    record = await ledger.get(asked.request_id, BLUE)
    assert record is not None
    assert record.fingerprint == asked.fingerprint


async def test_a_request_goes_from_accepted_to_generating_to_its_answer(ledger: PostgresLedger) -> None:
    asked = question()
    await ledger.insert(asked, owned(epoch=3))
    assert await ledger.unfinished_since() == pytest.approx(asked.created)
    accepted = await ledger.get(asked.request_id, BLUE)
    assert accepted is not None
    assert accepted.partition == owned(epoch=3).partition
    assert (accepted.state, accepted.tier, accepted.answer, accepted.ended) == ("accepted", "standard", None, None)
    assert accepted.deadline.timestamp() == asked.deadline
    await ledger.mark_generating(asked.request_id, [{"role": "user", "content": "How?"}])
    generating = await ledger.get(asked.request_id, BLUE)
    assert generating is not None
    assert generating.state == "generating"
    assert await ledger.finish(asked.request_id, answer("So."), epoch=3) == answer("So.")
    ended = await ledger.get(asked.request_id, BLUE)
    assert ended is not None
    assert (ended.state, ended.answer) == ("completed", answer("So."))
    assert ended.ended is not None
    assert await ledger.unfinished_since() is None


async def test_an_insert_that_is_repeated_is_one_request(ledger: PostgresLedger) -> None:
    asked = question()
    assert await ledger.insert(asked, owned(epoch=1))
    assert not await ledger.insert(asked, owned(epoch=1))
    assert len(await ledger.recent(BLUE, 10)) == 1


async def test_of_many_that_finish_at_once_one_wins_and_all_say_the_same(ledger: PostgresLedger) -> None:
    asked = question()
    await ledger.insert(asked, owned(epoch=1))
    said = await asyncio.gather(*(ledger.finish(asked.request_id, answer(f"answer {n}"), epoch=1) for n in range(20)))
    assert len({told.text for told in said if told}) == 1
    record = await ledger.get(asked.request_id, BLUE)
    assert record is not None
    assert record.answer == said[0]


async def test_whoever_ends_a_request_tells_its_stream_once(ledger: PostgresLedger, broker: Broker) -> None:
    asked = question()
    await ledger.insert(asked, owned(epoch=4))
    await asyncio.gather(*(ledger.finish(asked.request_id, answer("So."), epoch=epoch) for epoch in (3, 4, 4, 4)))
    [event] = broker.events
    assert broker.keys == [asked.request_id.encode()]
    assert (event.request_id, event.epoch, event.outcome, event.length) == (
        asked.request_id,
        4,
        Outcome.COMPLETED,
        len("So."),
    )


async def test_an_end_that_kafka_does_not_take_is_recorded_and_told_by_the_sweeper(
    ledger: PostgresLedger, outbox: Outbox, broker: Broker, postgres: Postgres
) -> None:
    asked = question()
    await ledger.insert(asked, owned())
    broker.away = True
    assert await ledger.finish(asked.request_id, answer("So."), epoch=1) == answer("So.")
    assert broker.events == []
    broker.away = False
    async with postgres.transaction() as connection:
        await connection.execute("UPDATE orchestrator.outbox SET leased_until = clock_timestamp() - interval '1 ms'")
    await outbox.sweep_once()
    assert [event.request_id for event in broker.events] == [asked.request_id]


async def test_what_has_ended_never_generates_again(ledger: PostgresLedger) -> None:
    asked = question()
    await ledger.insert(asked, owned(epoch=1))
    await ledger.finish(asked.request_id, answer("", Outcome.CANCELLED), epoch=1)
    await ledger.mark_generating(asked.request_id, [])
    record = await ledger.get(asked.request_id, BLUE)
    assert record is not None
    assert record.state == "cancelled"


async def test_a_request_that_was_never_accepted_cannot_be_finished(ledger: PostgresLedger) -> None:
    with pytest.raises(LookupError):
        await ledger.finish(RequestId("req_none"), answer(""), epoch=1)


async def test_requests_are_seen_by_their_team_alone_the_newest_first(ledger: PostgresLedger) -> None:
    asked = [question(created=NOW + number) for number in range(3)]
    for one in (*asked, question(team=GREEN)):
        await ledger.insert(one, owned(epoch=1))
    recent = await ledger.recent(BLUE, 2)
    assert [record.request_id for record in recent] == [asked[2].request_id, asked[1].request_id]
    assert await ledger.get(asked[0].request_id, GREEN) is None


async def test_overdue_requests_expire_once_and_ended_ones_are_forgotten(
    ledger: PostgresLedger, broker: Broker
) -> None:
    overdue, running = question(created=1000.0), question(created=4_000_000_000.0)
    for one in (overdue, running):
        await ledger.insert(one, owned(epoch=1))
    a_generation_s = 1e9
    assert await ledger.expire_overdue(a_generation_s) == 0, "for that long nobody has seen that the server is there"
    assert await ledger.expire_overdue(0.0) == 1
    assert await ledger.expire_overdue(0.0) == 0
    assert [(event.request_id, event.outcome) for event in broker.events] == [(overdue.request_id, Outcome.EXPIRED)]
    record = await ledger.get(overdue.request_id, BLUE)
    assert record is not None
    assert record.answer is not None
    assert record.answer.outcome is Outcome.EXPIRED
    kept = await ledger.finish(overdue.request_id, answer("late"), epoch=1)
    assert kept is not None
    assert kept.outcome is Outcome.EXPIRED
    assert await ledger.forget_ended(3600.0) == 0
    assert await ledger.forget_ended(-1.0) == 1
    assert await ledger.get(running.request_id, BLUE) is not None


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(said=st.text(max_size=50), told=st.text(max_size=50))
async def test_any_text_that_can_be_said_can_be_kept(ledger: PostgresLedger, said: str, told: str) -> None:
    asked = question(said + "\0")
    await ledger.insert(asked, owned(epoch=1))
    await ledger.mark_generating(asked.request_id, [{"role": "user", "content": said + "\0"}])
    kept = await ledger.finish(asked.request_id, answer(told + "\0"), epoch=1)
    assert kept is not None
    assert kept.text == told + "\0"
    record = await ledger.get(asked.request_id, BLUE)
    assert record is not None
    assert record.answer == answer(told + "\0")


async def test_what_was_asked_can_be_read_back_as_it_was(ledger: PostgresLedger, postgres: Postgres) -> None:
    asked = question("Wie hoch ist die Flut? \U0001f30a")
    await ledger.insert(asked, owned(epoch=7))
    async with postgres.transaction() as connection:
        cursor = await connection.execute("SELECT question::text AS question, owner, epoch FROM orchestrator.requests")
        row = await cursor.fetchone()
    assert row is not None
    assert (row["owner"], row["epoch"]) == ("replica-1", 7)
    assert TypeAdapter(Question).validate_json(row["question"]) == asked


async def test_a_key_is_known_by_its_secret_until_it_is_revoked(keys: PostgresKeys, postgres: Postgres) -> None:
    record, secret = await keys.create(BLUE, ["ops", "dev"], operator=False, name="CI")
    assert secret.startswith("gs_")
    caller = await keys.authenticate(secret)
    assert caller == Caller(key=record.key, team=BLUE, groups=("ops", "dev"))
    assert await keys.authenticate(secret + "x") is None
    async with postgres.transaction() as connection:
        cursor = await connection.execute("SELECT api_keys::text AS stored FROM orchestrator.api_keys")
        rows = await cursor.fetchall()
    assert secret not in str(rows)
    assert await keys.revoke(record.key)
    assert not await keys.revoke(record.key)
    assert await keys.authenticate(secret) is None
    (listed,) = await keys.list(BLUE)
    assert listed.revoked is not None
    assert replace(listed, revoked=None) == record
    assert await keys.list(GREEN) == []


async def test_the_admin_key_is_made_once_for_its_owner_alone(keys: PostgresKeys, tmp_path: Path) -> None:
    file = tmp_path / "secrets" / "admin.key"
    await asyncio.gather(*(keys.ensure_admin_key(file) for _ in range(5)))
    secret = file.read_text(encoding="utf-8").strip()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert [path.name for path in file.parent.iterdir()] == ["admin.key"]
    caller = await keys.authenticate(secret)
    assert caller is not None
    assert (caller.team, caller.operator) == ("default", True)
    await keys.ensure_admin_key(file)
    assert file.read_text(encoding="utf-8").strip() == secret
    assert len(await keys.list(None)) == 1


async def test_a_key_that_only_the_file_knows_is_registered_again(keys: PostgresKeys, tmp_path: Path) -> None:
    file = tmp_path / "admin.key"
    file.write_text("gs-" + "k" * 40 + "\n", encoding="utf-8")
    file.chmod(0o644)
    await keys.ensure_admin_key(file)
    caller = await keys.authenticate("gs-" + "k" * 40)
    assert caller is not None
    assert caller.operator
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


async def test_without_a_file_no_second_operator_is_made(keys: PostgresKeys, tmp_path: Path) -> None:
    await keys.create(BLUE, [], operator=True, name="")
    await keys.ensure_admin_key(tmp_path / "admin.key")
    assert not (tmp_path / "admin.key").exists()


async def test_once_every_operators_key_is_revoked_a_new_one_takes_the_files_place(
    keys: PostgresKeys, tmp_path: Path
) -> None:
    file = tmp_path / "admin.key"
    await keys.ensure_admin_key(file)
    revoked = file.read_text(encoding="utf-8").strip()
    (record,) = await keys.list(None)
    await keys.revoke(record.key)
    await keys.ensure_admin_key(file)
    assert await keys.authenticate(revoked) is None
    assert await keys.authenticate(file.read_text(encoding="utf-8").strip()) is not None


async def test_a_key_file_that_cannot_be_used_stops_the_start(keys: PostgresKeys, tmp_path: Path) -> None:
    short = tmp_path / "short.key"
    short.write_text("secret", encoding="utf-8")
    with pytest.raises(Misconfigured, match="shorter"):
        await keys.ensure_admin_key(short)
    with pytest.raises(Misconfigured):
        await keys.ensure_admin_key(tmp_path)


async def test_without_the_server_everything_is_unavailable_and_nothing_is_lost(unused_tcp_port: int) -> None:
    away = Postgres(SecretStr(f"postgresql://nobody@127.0.0.1:{unused_tcp_port}/none"))
    with pytest.raises(Unavailable):
        await PostgresKeys(away).authenticate("gs_x")
    with pytest.raises(Unavailable):
        await PostgresLedger(away, Outbox(away, "orchestrator")).insert(question(), owned(epoch=1))

"""What is wrong costs itself only: its neighbours finish, and it lies where it can be read and redriven."""

from collections import Counter
from collections.abc import AsyncGenerator, Sequence

import pytest

from groundswell.common.bus.consumption import Batch, consume, consume_batches, consume_stream
from groundswell.common.bus.dead_letters import DeadLetters
from groundswell.common.bus.envelope import ReplyAddress
from groundswell.common.bus.inspection import records_on
from groundswell.common.bus.messages import Outgoing, Received, reply
from groundswell.common.contracts.message import CommandExpired, CommandFailed
from groundswell.common.errors import Overloaded, Rejected
from groundswell.common.testing.bench import SERVICE, Answered, Ask, Bench, answer
from groundswell.common.tiers import Tier

pytestmark = pytest.mark.connected

Headers = list[tuple[str, bytes]]


def headers(**changes: bytes | None) -> Headers:
    """Those of a good Ask, but for `changes`."""
    good: dict[str, bytes | None] = {
        "ce_id": b"id",
        "ce_type": b"Ask",
        "correlation_id": b"req_raw",
        "ce_tenant": b"red",
        "ce_tier": b"standard",
        "ce_remainingms": b"60000",
        "ce_sentms": b"90000000000000",
    }
    return [(name, value) for name, value in (good | changes).items() if value is not None]


UNREADABLE = [
    pytest.param(b"{", headers(), "Ask does not fit its schema: the payload", id="not-json"),
    pytest.param(b'{"number": "x"}', headers(), "Ask does not fit its schema: number", id="wrong-field"),
    pytest.param(None, headers(), "Ask does not fit its schema: the payload", id="tombstone"),
    pytest.param(b'{"number": 1}', headers(ce_type=b"Other"), "type 'Other' does not belong", id="unknown-type"),
    pytest.param(b'{"number": 1}', headers(ce_type=None), "header ce_type is missing", id="no-type"),
    pytest.param(b'{"number": 1}', headers(ce_tenant=b"\xff\xfe"), "header 'ce_tenant' is not UTF-8", id="not-utf8"),
    pytest.param(b'{"number": 1}', headers(ce_schemaversion=b"2"), "schema version 2 is newer", id="too-new"),
    pytest.param(b'{"number": 1}', headers(ce_remainingms=b"9" * 400), "header ce_remainingms is out", id="too-big"),
    pytest.param(b'{"number": 1}', [], "header ce_id is missing", id="no-headers"),
]


async def test_what_cannot_be_read_goes_to_the_dead_letters_raw_and_its_neighbours_finish(bench: Bench) -> None:
    topic = bench.command[Tier.STANDARD]
    await bench.asks([0])
    for case in UNREADABLE:
        value, raw_headers, _reason = case.values
        await bench.raw(topic, value, raw_headers)  # type: ignore[arg-type]
    await bench.asks([1])
    async with bench.working(consume(bench.command, answer)):
        await bench.until_answered(0, 1)
        await bench.until_committed(topic, 2 + len(UNREADABLE))
    dead = {letter["dlq_offset"]: letter for letter in await bench.dead()}
    for offset, case in enumerate(UNREADABLE, start=1):
        value, _headers, reason = case.values
        letter = dead[str(offset)]
        assert str(reason) in letter["dlq_reason"], case.id
        assert letter["value"].encode() == (value or b"")
        assert (letter["dlq_topic"], letter["dlq_partition"], letter["dlq_attempts"]) == (topic, "0", "0")
    assert len(dead) == len(UNREADABLE)


async def test_a_dead_letter_keeps_the_key_and_the_headers_that_are_no_text(bench: Bench) -> None:
    topic = bench.command[Tier.STANDARD]
    await bench.publisher.publish_raw(topic, b"\x80", [("odd", b"\xff")], key=b"\xfe\x01")
    async with bench.working(consume(bench.command, answer)):
        await bench.until_committed(topic, 1)
    (record,) = await records_on(bench.kafka, bench.command.dead_letters("bench"))
    assert (record.key, record.value, dict(record.headers)["odd"]) == (b"\xfe\x01", b"\x80", b"\xff")


async def test_who_sent_a_command_that_cannot_be_read_is_told(bench: Bench) -> None:
    address = {"ce_replytopic": bench.line.replies.physical_name.encode(), "ce_replypartition": b"0"}
    await bench.raw(bench.command[Tier.STANDARD], b"{}", headers(**address))
    async with bench.working(consume(bench.command, answer)):
        await bench.until_committed(bench.command[Tier.STANDARD], 1)
    (outcome,) = await bench.outcomes()
    assert outcome.payload == CommandFailed(command="Ask", reason="Ask does not fit its schema: number")
    assert outcome.envelope.correlation_id == "req_raw"


async def test_a_rejected_command_is_buried_at_once_and_its_sender_told(bench: Bench) -> None:
    tries = Counter[int]()

    async def reject(message: Received[Ask]) -> Sequence[Outgoing]:
        tries[message.payload.number] += 1
        raise Rejected("no such model")

    await bench.asks([0])
    async with bench.working(consume(bench.command, reject)):
        await bench.until_committed(bench.command[Tier.STANDARD], 1)
    assert tries == {0: 1}
    assert [item.payload for item in await bench.outcomes()] == [CommandFailed(command="Ask", reason="no such model")]
    assert [letter["dlq_reason"] for letter in await bench.dead()] == ["no such model"]


async def test_a_bug_is_tried_three_times_then_buried_and_its_sender_told_no_details(bench: Bench) -> None:
    tries = Counter[int]()

    async def stumble(message: Received[Ask]) -> Sequence[Outgoing]:
        tries[message.payload.number] += 1
        if message.payload.number == 0:
            raise ZeroDivisionError("the text of a document")
        return await answer(message)

    await bench.asks([0, 1])
    async with bench.working(consume(bench.command, stumble)):
        await bench.until_answered(1)
        await bench.until_committed(bench.command[Tier.STANDARD], 2)
    assert tries == {0: 3, 1: 1}
    (letter,) = await bench.dead()
    assert (letter["dlq_reason"], letter["dlq_attempts"]) == ("ZeroDivisionError in bench", "3")
    failed = [item.payload for item in await bench.outcomes() if isinstance(item.payload, CommandFailed)]
    assert failed == [CommandFailed(command="Ask", reason="ZeroDivisionError in bench")]


async def test_a_bug_that_passes_costs_nothing_but_a_retry(bench: Bench) -> None:
    tries = Counter[int]()

    async def stumble_once(message: Received[Ask]) -> Sequence[Outgoing]:
        tries[message.payload.number] += 1
        if tries[message.payload.number] == 1:
            raise ZeroDivisionError
        return await answer(message)

    await bench.asks([0])
    async with bench.working(consume(bench.command, stumble_once)):
        await bench.until_answered(0)
    assert await bench.dead() == []


@pytest.mark.parametrize("address", [ReplyAddress("rpl.nowhere.v1"), None])
async def test_a_command_with_a_wrong_reply_address_stops_nobody(bench: Bench, address: ReplyAddress | None) -> None:
    topic = bench.command[Tier.STANDARD]
    await bench.asks([0, 1], reply_to=address, life_s=1)
    await bench.asks([2])
    async with bench.working(consume(bench.command, answer)):
        await bench.until_committed(topic, 3)
    assert await bench.answered() == [2]
    assert len(await bench.dead()) == 2


async def test_a_reply_partition_that_does_not_exist_stops_nobody(bench: Bench) -> None:
    replies = bench.line.replies.physical_name
    await bench.asks([0], reply_to=ReplyAddress(replies, 77))
    await bench.publisher.publish(bench.ask(1, reply_to=ReplyAddress(replies, 77), life_s=-1))
    await bench.asks([2])
    async with bench.working(consume(bench.command, answer)):
        await bench.until_answered(2)
        await bench.until_committed(bench.command[Tier.STANDARD], 3)
    (letter,) = await bench.dead()
    assert letter["dlq_reason"] == f"{replies} has no partition 77"


async def test_an_answer_that_is_too_large_is_buried_and_its_sender_told(bench: Bench) -> None:
    async def flood(message: Received[Ask]) -> Sequence[Outgoing]:
        return [reply(message, Ask(number=0, note="x" * 2_000_000))]

    await bench.asks([0])
    async with bench.working(consume(bench.command, flood)):
        await bench.until_committed(bench.command[Tier.STANDARD], 1)
    (outcome,) = await bench.outcomes()
    assert isinstance(outcome.payload, CommandFailed)
    assert "too large" in outcome.payload.reason


async def test_one_poison_in_a_batch_costs_itself_only(bench: Bench) -> None:
    sizes: list[int] = []

    async def embed(messages: Sequence[Received[Ask]]) -> Sequence[Outgoing]:
        sizes.append(len(messages))
        if any(message.payload.number == 2 for message in messages):
            raise ZeroDivisionError
        return [reply(message, Answered(number=message.payload.number)) for message in messages]

    topic = bench.command[Tier.STANDARD]
    await bench.asks(range(4))
    await bench.raw(topic, b"{", headers())
    async with bench.working(consume_batches(bench.command, embed, batch=Batch(messages=8, wait_s=0.2))):
        await bench.until_answered(0, 1, 3)
        await bench.until_committed(topic, 5)
    assert sizes[0] == 4, "what cannot be read is no part of the batch"
    assert [letter["dlq_offset"] for letter in await bench.dead()] == ["4", "2"]


async def test_a_batch_waits_for_its_messages_and_no_longer_than_it_may(wide_bench: Bench) -> None:
    bench = wide_bench
    sizes: list[int] = []

    async def embed(messages: Sequence[Received[Ask]]) -> Sequence[Outgoing]:
        sizes.append(len(messages))
        return [reply(message, Answered(number=message.payload.number)) for message in messages]

    await bench.asks(range(20))
    async with bench.working(consume_batches(bench.command, embed, batch=Batch(messages=8, wait_s=0.3))):
        await bench.until_answered(*range(20))
    assert sum(sizes) == 20
    assert max(sizes) <= 8
    assert len(sizes) <= 6, "records of all partitions share batches"


async def test_an_overloaded_batch_is_tried_again_as_one(bench: Bench) -> None:
    sizes: list[int] = []

    async def embed(messages: Sequence[Received[Ask]]) -> Sequence[Outgoing]:
        sizes.append(len(messages))
        if len(sizes) == 1:
            raise Overloaded("the index is away", retry_after_s=0.05)
        return [reply(message, Answered(number=message.payload.number)) for message in messages]

    await bench.asks(range(3))
    async with bench.working(consume_batches(bench.command, embed, batch=Batch(messages=3, wait_s=5))):
        await bench.until_answered(0, 1, 2)
    assert sizes == [3, 3]


async def test_a_bug_in_a_stream_after_admission_is_tried_again_and_buried(bench: Bench) -> None:
    async def generate(message: Received[Ask]) -> AsyncGenerator[Outgoing, None]:
        yield reply(message, Answered(number=message.payload.number))
        raise ZeroDivisionError

    await bench.asks([0])
    async with bench.working(consume_stream(bench.command, generate, slots=1)):
        await bench.until_answered(0, 0, 0)
        await bench.until_committed(bench.command[Tier.STANDARD], 1)
    assert [letter["dlq_attempts"] for letter in await bench.dead()] == ["3"]


async def test_expired_and_good_messages_in_one_batch_part(bench: Bench) -> None:
    async def embed(messages: Sequence[Received[Ask]]) -> Sequence[Outgoing]:
        return [reply(message, Answered(number=message.payload.number)) for message in messages]

    await bench.publisher.publish(bench.ask(0, life_s=-1))
    await bench.asks([1, 2])
    async with bench.working(consume_batches(bench.command, embed, batch=Batch(messages=3, wait_s=0.5))):
        await bench.until_answered(1, 2)
    first, *_ = await bench.outcomes()
    assert first.payload == CommandExpired(command="Ask")


async def test_a_message_that_its_sender_gave_up_is_kept_with_its_reason(bench: Bench) -> None:
    letters = DeadLetters(bench.publisher, service=SERVICE)
    lost = bench.ask(7, attempt=3)
    await letters.keep(bench.command, lost, reason="lost three times", attempts=3)
    (letter,) = await bench.dead(bench.command)
    assert (letter["dlq_reason"], letter["dlq_attempts"], letter["dlq_topic"]) == ("lost three times", "3", lost.topic)

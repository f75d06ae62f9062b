"""One among a thousand that nobody can work on, and a dead letter of what only just fitted."""

from collections.abc import Sequence

import pytest

from groundswell.common.bus.consumption import consume
from groundswell.common.bus.dead_letters import MAX_REASON
from groundswell.common.bus.inspection import records_on
from groundswell.common.bus.messages import Outgoing, Received
from groundswell.common.errors import Rejected
from groundswell.common.testing.bench import SERVICE, Ask, Bench, answer
from groundswell.common.testing.waiting import eventually
from groundswell.common.tiers import Tier

pytestmark = pytest.mark.connected

POISON = 500


async def test_poison_among_a_thousand_costs_itself_only(wide_bench: Bench) -> None:
    bench = wide_bench

    async def work(message: Received[Ask]) -> Sequence[Outgoing]:
        if message.payload.number == POISON:
            raise ZeroDivisionError
        return await answer(message)

    await bench.asks(range(1000))
    async with bench.working(consume(bench.command, work)):
        await bench.until_committed(bench.command[Tier.STANDARD], 1000)
    assert await bench.answered() == [number for number in range(1000) if number != POISON]
    (letter,) = await bench.dead()
    assert letter["value"] == bench.ask(POISON).payload.model_dump_json()
    assert (letter["dlq_reason"], letter["dlq_attempts"]) == ("ZeroDivisionError in bench", "3")


async def test_a_record_that_only_just_fitted_fits_among_the_dead_letters(bench: Bench) -> None:
    """With the longest reason there is, a key and a header that are no text."""
    topic, headers = bench.command[Tier.STANDARD], [("odd", b"\xff" * 64)]
    most, least = bench.command.max_bytes, bench.command.max_bytes - 1024
    while most - least > 1:
        size = (most + least) // 2
        try:
            await bench.publisher.publish_raw(topic, b"{" * size, headers, key=b"\xfe" * 64, partition=0)
        except Rejected:
            most = size
        else:
            least = size
    lying = await records_on(bench.kafka, topic)
    assert max(len(record.value or b"") for record in lying) == least

    async def dead() -> bool:
        return len(await records_on(bench.kafka, bench.command.dead_letters(SERVICE))) == len(lying)

    async with bench.working(consume(bench.command, answer)):
        await eventually(dead)
    found = await records_on(bench.kafka, bench.command.dead_letters(SERVICE))
    assert [(record.key, record.value) for record in found] == [(record.key, record.value) for record in lying]
    assert all(dict(record.headers)["odd"] == b"\xff" * 64 for record in found)


async def test_the_longest_reason_leaves_a_dead_letter_that_fits(bench: Bench) -> None:
    async def reject(message: Received[Ask]) -> Sequence[Outgoing]:
        raise Rejected("\N{WAVE DASH}" * MAX_REASON * 2)

    note = "x" * (bench.command.max_bytes - 2048)
    await bench.publisher.publish(bench.ask(1, payload=Ask(number=1, note=note), reply_to=None))
    async with bench.working(consume(bench.command, reject)):
        await bench.until_committed(bench.command[Tier.STANDARD], 1)
    (letter,) = await bench.dead()
    assert letter["dlq_reason"] == "\N{WAVE DASH}" * MAX_REASON
    assert Ask.model_validate_json(letter["value"]).note == note

"""A process that died leaves its consumer groups when its successor starts, not only when its session ends."""

import asyncio
import os
import signal
import sys
from typing import Any

import pytest

from groundswell.common.bus import membership
from groundswell.common.bus.admin import connected_admin
from groundswell.common.bus.consumption import consume
from groundswell.common.bus.membership import client_id, is_of_dead_process, let_the_dead_leave
from groundswell.common.testing.bench import SERVICE, Bench, answer
from groundswell.common.testing.waiting import eventually, until
from groundswell.common.tiers import Tier

SESSION_MS = 60_000
"""Longer than any of these tests waits."""
MEMBER = f"""
import asyncio, sys
from aiokafka import AIOKafkaConsumer
from groundswell.common.bus.membership import client_id

async def main(bootstrap, group, topic, service):
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=bootstrap, group_id=group, client_id=client_id(service),
        session_timeout_ms={SESSION_MS}, max_poll_interval_ms={SESSION_MS},
    )
    await consumer.start()
    while True:
        await consumer.getmany(timeout_ms=100)

asyncio.run(main(*sys.argv[1:]))
"""


async def members(bench: Bench, group: str) -> list[str]:
    """Client ids."""
    async with connected_admin(bench.kafka) as admin:
        responses: list[Any] = await admin.describe_consumer_groups([group])
    return [name for response in responses for described in response.groups for _, name, *_ in described[5]]


async def begun(bench: Bench, service: str) -> asyncio.subprocess.Process:
    """A process that is a member of the group of the bench's standard tier."""
    topic = bench.command[Tier.STANDARD]
    group = f"{SERVICE}.{topic}"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", MEMBER, bench.kafka, group, topic, service)

    async def joined() -> bool:
        return any(f"#{process.pid}#" in name for name in await members(bench, group))

    await eventually(joined, within_s=40)
    return process


async def killed(process: asyncio.subprocess.Process) -> None:
    os.kill(process.pid, signal.SIGKILL)
    await process.wait()


@pytest.mark.connected
async def test_a_process_starts_work_at_once_although_the_one_before_it_died(wide_bench: Bench) -> None:
    bench = wide_bench
    await killed(await begun(bench, SERVICE))
    async with bench.working(consume(bench.command, answer)) as bus:
        await until(lambda: len(bus.partitions(bench.command)[Tier.STANDARD]) == 4)
        await bench.asks(range(8))
        await bench.until_answered(*range(8))


@pytest.mark.connected
async def test_whoever_lives_or_is_of_another_service_stays(wide_bench: Bench) -> None:
    bench = wide_bench
    group = f"{SERVICE}.{bench.command[Tier.STANDARD]}"
    stranger, neighbour = await begun(bench, "stranger"), await begun(bench, SERVICE)
    await killed(stranger)
    try:
        await let_the_dead_leave(bench.kafka, SERVICE, [group])
        assert len(await members(bench, group)) == 2
    finally:
        await killed(neighbour)
    await let_the_dead_leave(bench.kafka, SERVICE, [group])
    assert [name.partition("@")[0] for name in await members(bench, group)] == ["stranger"]


async def test_a_start_is_not_kept_from_going_on_by_a_broker_that_is_away() -> None:
    await let_the_dead_leave("127.0.0.1:9", SERVICE, ["nobody"])


def test_only_a_process_of_this_machine_and_service_that_is_gone_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    owner, pid, token = client_id("a").split("#")
    gone = 2**22 + 1  # above what Linux gives out
    assert not is_of_dead_process(client_id("a"), "a")
    assert is_of_dead_process(f"{owner}#{gone}#{token}", "a")
    assert is_of_dead_process(f"{owner}#{pid}#another", "a"), "the same id in a container that was started again"
    assert not is_of_dead_process(f"{owner}#1#{token}", "a"), "it runs"
    assert not is_of_dead_process(f"{owner}#{gone}#{token}", "b")
    for strange in ("", "a", "aiokafka-0.14", f"{owner}#x#{token}", f"{owner}#{gone}"):
        assert not is_of_dead_process(strange, "a")
    monkeypatch.setattr(membership, "_machine", lambda: "another")
    assert not is_of_dead_process(f"{owner}#{gone}#{token}", "a")

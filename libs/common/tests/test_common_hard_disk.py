"""A broker whose disk is full: who sends is told so, nothing that was taken is lost, and it goes on with more space."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from groundswell.common.bus.consumption import consume
from groundswell.common.errors import Unavailable
from groundswell.common.testing.bench import Answered, Ask, Bench, answer, bench_on
from groundswell.common.testing.waiting import eventually, until

pytestmark = pytest.mark.connected

DISK_BYTES = 48 * 1024 * 1024
LEFT_BYTES = 1024 * 1024
NOTE = "x" * 200_000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Where the broker in `tmp_path` keeps its log: a volume of its own."""
    folder = tmp_path / "kafka" / "log"
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("mounting a small volume needs root and the right to mount")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)  # noqa: S607


async def publish_until_full(bench: Bench) -> list[int]:
    """The numbers that the broker took, until one got Unavailable."""
    taken: list[int] = []
    try:
        while len(taken) * len(NOTE) < DISK_BYTES:
            number = len(taken)
            await bench.publisher.publish(bench.ask(number, payload=Ask(number=number, note=NOTE), life_s=5))
            taken.append(number)
    except Unavailable as error:
        assert "Kafka did not take" in error.reason  # noqa: PT017 - it is known only when it comes
        return taken
    raise AssertionError("the disk was not full")


async def test_a_full_disk_ends_the_broker_and_with_space_again_everything_goes_on(
    small_disk: Path, tmp_path: Path, own_kafka_in: Any
) -> None:
    broker = own_kafka_in(tmp_path)
    await broker.start()
    async with bench_on(broker.address) as bench:
        space = os.statvfs(small_disk)
        filler = small_disk / "filler"
        with filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, space.f_bavail * space.f_frsize - LEFT_BYTES)
        taken = await publish_until_full(bench)
        assert 0 < len(taken) < 10
        await until(lambda: broker.has_ended)
        with pytest.raises(Unavailable):
            await bench.publisher.check()

        filler.unlink()
        broker.kill()
        await broker.start()  # what the supervisor does
        await eventually_checked(bench)
        await bench.asks([1000])
        # What was taken has long expired; it is answered so.
        async with bench.working(consume(bench.command, answer)):

            async def all_answered() -> bool:
                outcomes = await bench.outcomes()
                assert {item.envelope.correlation_id for item in outcomes} >= {
                    f"req_{number}" for number in (*taken, 1000)
                }
                return True

            await eventually(all_answered)
        assert Answered(number=1000) in [item.payload for item in await bench.outcomes()]


async def eventually_checked(bench: Bench) -> None:
    async def answers() -> bool:
        try:
            await bench.publisher.check()
        except Unavailable as error:
            raise AssertionError(error.reason) from None
        return True

    await eventually(answers)

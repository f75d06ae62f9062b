"""A Kafka of the bench's own, as the native stack runs it, and records laid on it."""

import asyncio
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from aiokafka import AIOKafkaProducer

from delivery.line import headers, parcel
from groundswell.common.bus.admin import ensure_topics
from groundswell.common.tiers import Tier
from groundswell.common.topics import Command, physical_topics
from groundswell.native import kafka, ports
from groundswell.native.layout import Home
from measures.own_stack import interruptible, undisturbed

READY_WITHIN_S = 40.0
STOP_WITHIN_S = 20.0
LAID_AT_ONCE = 2_000


@contextmanager
def own_broker() -> Iterator[str]:
    """Its address, with the topics of the catalogue; removed at the end whatever happens.

    Ctrl-C and SIGTERM end the block like an error does.
    """
    kafka.provide()
    with interruptible(), tempfile.TemporaryDirectory(prefix="groundswell-bench-") as folder:
        home = Home.at(Path(folder))
        home.create()
        chosen = ports.claim(home, ("kafka", "kafka_controller"))
        kafka.prepare(home, chosen)
        process = _start(home)
        try:
            _wait(kafka.bootstrap(chosen), process)
            asyncio.run(ensure_topics(kafka.bootstrap(chosen)))
            yield kafka.bootstrap(chosen)
        finally:
            undisturbed(lambda: _stop(process))
            ports.release(home)


def _start(home: Home) -> "subprocess.Popen[bytes]":
    """In a session of its own: Ctrl-C at the terminal is for the bench."""
    program = kafka.program(home)
    with (home.logs / "kafka.log").open("wb") as log:
        return subprocess.Popen(program.command, env=program.env, stdout=log, stderr=log, start_new_session=True)


def _wait(address: str, process: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + READY_WITHIN_S
    while not kafka.is_ready(address):
        if process.poll() is not None or time.monotonic() > until:
            raise TimeoutError(f"Kafka does not answer within {READY_WITHIN_S:.0f} s")
        time.sleep(0.1)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def make_topics(address: str, *commands: Command) -> None:
    asyncio.run(ensure_topics(address, physical_topics(commands)))


def lay(address: str, to: Command, tier: Tier, numbers: Iterable[int]) -> None:
    """Parcels as the bus sends them, only quicker."""
    asyncio.run(_lay(address, to[tier], tier, numbers))


async def _lay(address: str, topic: str, tier: Tier, numbers: Iterable[int]) -> None:
    async with AIOKafkaProducer(bootstrap_servers=address, acks="all", linger_ms=5) as producer:
        sent: list[asyncio.Future[object]] = []
        for number in numbers:
            value, key = parcel(number).model_dump_json().encode(), str(number).encode()
            sent.append(await producer.send(topic, value, key=key, headers=headers(number, tier)))
            if len(sent) >= LAID_AT_ONCE:
                await asyncio.gather(*sent)
                sent.clear()
        await asyncio.gather(*sent)

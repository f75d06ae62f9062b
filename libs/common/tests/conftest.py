"""Benches on the real Kafka, and a broker of the tests' own that they may kill."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from groundswell.common.testing.bench import Bench, bench_on
from groundswell.common.testing.waiting import until
from groundswell.native import kafka
from groundswell.native.layout import Home


@pytest.fixture
async def bench(components: Any) -> AsyncIterator[Bench]:
    """Topics of one partition."""
    async with bench_on(components.kafka) as made:
        yield made


@pytest.fixture
async def wide_bench(components: Any) -> AsyncIterator[Bench]:
    """Topics of four partitions."""
    async with bench_on(components.kafka, partitions=4) as made:
        yield made


class OwnKafka:
    """A broker that a test may stop, kill and start again; it keeps its records."""

    def __init__(self, folder: Path) -> None:
        home = Home.at(folder)
        home.create()
        self._ports = dict(zip(("kafka", "kafka_controller"), _free_ports(2), strict=True))
        kafka.provide()
        kafka.prepare(home, self._ports)
        # A broker that was killed may register again only when its last session is over, by default after 9 s.
        with (home.path / "kafka" / "server.properties").open("a") as settings:
            settings.write("broker.session.timeout.ms=1500\nbroker.heartbeat.interval.ms=300\n")
        self._program = kafka.program(home)
        self._is_ready = kafka.is_ready
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._ports['kafka']}"

    async def start(self) -> None:
        if self._process is None:
            self._process = subprocess.Popen(  # noqa: ASYNC220
                self._program.command, env=self._program.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
        self.go_on()
        await until(lambda: self._is_ready(self.address), within_s=40)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def has_ended(self) -> bool:
        """By itself."""
        return self._process is not None and self._process.poll() is not None

    def stand_still(self) -> None:
        """Every thread of it: the signal alone lets some of them finish what they do."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)
        threads = Path(f"/proc/{self._process.pid}/task")
        while any(_state(thread) != "T" for thread in threads.iterdir()):
            time.sleep(0.01)

    def go_on(self) -> None:
        if self._process is not None:
            os.kill(self._process.pid, signal.SIGCONT)


def _state(thread: Path) -> str:
    return (thread / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.fixture(scope="session")
def _own_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnKafka]:
    broker = OwnKafka(tmp_path_factory.mktemp("own-kafka"))
    yield broker
    broker.kill()


@pytest.fixture
async def own_kafka(_own_broker: OwnKafka) -> OwnKafka:
    """Running at the start of each test."""
    await _own_broker.start()
    return _own_broker


@pytest.fixture
def own_kafka_in() -> Iterator[Callable[[Path], OwnKafka]]:
    """Makes a broker, not running yet, whose state lies in a given folder."""
    made: list[OwnKafka] = []

    def make(folder: Path) -> OwnKafka:
        made.append(OwnKafka(folder))
        return made[-1]

    yield make
    for broker in made:
        broker.kill()


@pytest.fixture
def stopped_kafka(_own_broker: OwnKafka) -> OwnKafka:
    """Not running at the start of each test."""
    _own_broker.kill()
    return _own_broker

"""Does an interactive command wait longer when more bulk work lies on the topic beside it?

Each size has topics of its own. In a block a worker starts on them, bulk work fills its slots, then some interactive
commands come at random times. What the block worked off is laid again before the next one.
"""

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import count

from aiokafka import AIOKafkaProducer

from delivery.broker import lay, make_topics
from delivery.child import Child, child
from delivery.line import command, headers, parcel
from delivery.numbers import Backlog, tail
from delivery.regression import bootstrap_interval, slope
from groundswell.common.tiers import Tier
from measures.measured import Circumstances

SIZES = (0, 1_000, 10_000, 100_000)
PER_BLOCK = 10
SETTLED_AFTER_S = 0.3
MEAN_PAUSE_S = 0.02
UNIT = 10_000
SEED = 20_261

Waits = dict[int, list[list[float]]]
"""Milliseconds by size, one list for each block."""


def measure(
    address: str,
    end: Callable[[], Circumstances],
    tell: Callable[[str], None],
    *,
    commands: int,
    sizes: Sequence[int] = SIZES,
) -> Backlog:
    """`commands` for each size, in blocks whose sizes are shuffled in each round."""
    make_topics(address, *(command(_name(size)) for size in sizes))
    dice = random.Random(SEED)
    waits: Waits = {size: [] for size in sizes}
    missing = {size: size for size in sizes}
    numbers = count()
    rounds = max(1, commands // PER_BLOCK)
    with child("backlog_worker", address) as worker:
        for number in range(rounds):
            for size in dice.sample(sizes, len(sizes)):
                lay(address, command(_name(size)), Tier.BULK, range(missing[size]))
                pauses = [dice.expovariate(1 / MEAN_PAUSE_S) for _ in range(PER_BLOCK)]
                waited, missing[size] = _block(worker, address, size, dict(zip(numbers, pauses, strict=False)))
                waits[size].append(waited)
            tell(f"backlog, round {number + 1} of {rounds}: {_said(waits)}")
    return _together(waits, end())


def _name(size: int) -> str:
    return f"backlog-{size}"


def _block(worker: Child, address: str, size: int, pauses: Mapping[int, float]) -> tuple[list[float], int]:
    """How long each waited, and how much of the backlog was worked off. `pauses`: seconds before each, by number."""
    worker.tell({"name": _name(size), "commands": len(pauses)})
    worker.hear()
    time.sleep(SETTLED_AFTER_S)
    appended_ms = asyncio.run(_send(address, command(_name(size))[Tier.INTERACTIVE], pauses))
    seen = worker.hear()
    started_ms = {int(number): started for number, started in seen["started_ms"].items()}
    return [started_ms[number] - appended_ms[number] for number in pauses], seen["bulk"] if size else 0


async def _send(address: str, topic: str, pauses: Mapping[int, float]) -> dict[int, int]:
    """When the broker appended each, in Unix ms by number."""
    appended_ms = {}
    async with AIOKafkaProducer(bootstrap_servers=address, acks="all", linger_ms=0) as producer:
        for number, pause_s in pauses.items():
            await asyncio.sleep(pause_s)
            value, key = parcel(number).model_dump_json().encode(), str(number).encode()
            appended = await producer.send_and_wait(topic, value, key=key, headers=headers(number, Tier.INTERACTIVE))
            appended_ms[number] = appended.timestamp
    return appended_ms


def _together(waits: Waits, circumstances: Circumstances) -> Backlog:
    by_size = {size / UNIT: blocks for size, blocks in waits.items()}
    low, high = bootstrap_interval(by_size, seed=SEED)
    return Backlog(
        circumstances=circumstances,
        wait_ms={size: tail([wait for block in blocks for wait in block]) for size, blocks in waits.items()},
        slope_ms=round(slope(by_size), 3),
        low_ms=round(low, 3),
        high_ms=round(high, 3),
        seed=SEED,
    )


def _said(waits: Waits) -> str:
    return ", ".join(f"{size:,}: {sum(blocks[-1]) / len(blocks[-1]):.1f} ms" for size, blocks in waits.items())

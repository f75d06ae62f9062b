"""A stack with two generators whose steps take as long as those of a real model."""

import asyncio
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
from aiokafka import ConsumerRecord

from groundswell.common.bus.inspection import records_on
from groundswell.native import kafka, ports
from groundswell.native.status import Record, status
from measures.own_stack import OwnStack, own_stack

STEP_S, ANSWER_S, SLOTS = 0.060, 0.0048, 8
"""A step takes 60 ms and 4.8 ms for each answer in the batch."""
TIMED = {
    "GROUNDSWELL_MODEL": "null",
    "GROUNDSWELL_NULL_TOKEN_DELAY_S": str(STEP_S),
    "GROUNDSWELL_NULL_ANSWER_DELAY_S": str(ANSWER_S),
    "GROUNDSWELL_GENERATOR_SLOTS": str(SLOTS),
}
WORKERS = 2
READY_WITHIN_S = 60.0
_RUNNING = re.compile(r"^groundswell_running_attempts(?:\{.*\})? (\S+)$", re.MULTILINE)


@contextmanager
def timed_stack(checkout: Path) -> Iterator[OwnStack]:
    """It runs, with two generators; removed at the end whatever happens."""
    with own_stack(checkout) as plain:
        stack = replace(plain, env=plain.env | TIMED)
        stack.native("up")
        stack.native("scale", "generator", str(WORKERS))
        until_workers_are_ready(stack)
        yield stack


def generators(stack: OwnStack) -> list[Record]:
    return [record for record in status(stack.home).processes if record.service == "generator"]


def until_workers_are_ready(stack: OwnStack) -> None:
    """Raises TimeoutError."""
    until = time.monotonic() + READY_WITHIN_S
    while sum(record.ready for record in generators(stack)) < WORKERS:
        if time.monotonic() > until:
            raise TimeoutError(f"there are no {WORKERS} generators that are ready")
        time.sleep(0.1)


def running(stack: OwnStack) -> dict[int, int]:
    """How many answers each generator writes, by process id."""
    counts = {}
    for record in generators(stack):
        page = httpx.get(f"http://127.0.0.1:{record.port}/metrics", follow_redirects=True).text
        counts[record.pid] = round(sum(float(value) for value in _RUNNING.findall(page)))
    return counts


def lying_on(stack: OwnStack, topic: str) -> list[ConsumerRecord[bytes, bytes]]:
    address = kafka.bootstrap(ports.read(stack.home))
    return list(asyncio.run(records_on(address, topic)))


def body(words: int, deadline_s: float) -> dict[str, Any]:
    """A streamed question that the null model answers with as many words."""
    question = " ".join(f"word{number}" for number in range(words))
    return {
        "model": "null",
        "messages": [{"role": "user", "content": question}],
        "stream": True,
        "max_tokens": words,
        "groundswell": {"tier": "interactive", "deadline_s": deadline_s},
    }

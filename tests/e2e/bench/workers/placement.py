"""Does anybody wait for a full worker while another one has room? Questions at random times, two workers."""

import asyncio
import json
import random
import time
from collections.abc import Callable, Iterator

import httpx

from groundswell.common.tiers import Tier
from groundswell.common.topics import GENERATE_ANSWER, ORCHESTRATOR_REPLIES, WORKER_PROGRESS
from measures.measured import Circumstances, spread
from measures.own_stack import OwnStack
from workers.misplaced import Admitted, Ended, Happening, Sent, busy_share, found_full, misplaced_s
from workers.numbers import Placement
from workers.timed_stack import ANSWER_S, SLOTS, STEP_S, WORKERS, body, lying_on

LOAD = 0.7
WORDS = (16, 112)
"""Of an answer, uniformly distributed."""
TOKENS_PER_S = WORKERS * SLOTS / (STEP_S + SLOTS * ANSWER_S)
RATE_PER_S = LOAD * TOKENS_PER_S / (sum(WORDS) / 2)
DEADLINE_S = 120.0
TOLD_EVERY_S = 60.0
SEED = 20_262


def measure(
    stack: OwnStack, end: Callable[[], Circumstances], tell: Callable[[str], None], *, seconds: float
) -> Placement:
    """Questions come for `seconds`, by a Poisson process at 70 % of what the workers can do."""
    first_text_s = asyncio.run(_ask_all(stack, tell, seconds))
    happenings, workers = list(_happenings(stack)), set(_workers(stack).values())
    lasted = max(each.at for each in happenings) - min(each.at for each in happenings)
    return Placement(
        circumstances=end(),
        answers=len(first_text_s),
        seconds=round(lasted, 1),
        busy=round(busy_share(happenings, workers, SLOTS), 3),
        waited=found_full(happenings, workers, SLOTS),
        first_text_ms=spread([taken * 1000 for taken in first_text_s]),
        share=round(misplaced_s(happenings, workers, SLOTS) / lasted, 5),
        seed=SEED,
    )


async def _ask_all(stack: OwnStack, tell: Callable[[str], None], seconds: float) -> list[float]:
    dice, began = random.Random(SEED), time.monotonic()
    headers = {"authorization": f"Bearer {stack.admin_key}"}
    told = began
    async with (
        httpx.AsyncClient(base_url=stack.url, headers=headers, timeout=DEADLINE_S) as http,
        asyncio.TaskGroup() as group,
    ):
        asked: list[asyncio.Task[float]] = []
        while time.monotonic() - began < seconds:
            asked.append(group.create_task(_ask(http, dice.randint(*WORDS))))
            await asyncio.sleep(dice.expovariate(RATE_PER_S))
            if time.monotonic() - told > TOLD_EVERY_S:
                told = time.monotonic()
                tell(f"placement: {len(asked)} questions in {told - began:.0f} of {seconds:.0f} s")
    return [task.result() for task in asked]


async def _ask(http: httpx.AsyncClient, words: int) -> float:
    """Seconds until its first text. Raises RuntimeError if it has none."""
    began, first = time.monotonic(), None
    async with http.stream("POST", "/v1/chat/completions", json=body(words, DEADLINE_S)) as response:
        async for line in response.aiter_lines():
            if first is None and '"content":"' in line and '"content":""' not in line:
                first = time.monotonic() - began
    if first is None:
        raise RuntimeError(f"no text: HTTP {response.status_code}")
    return first


def _happenings(stack: OwnStack) -> Iterator[Happening]:
    """What the broker appended, and when."""
    readers = _workers(stack)
    for record in lying_on(stack, GENERATE_ANSWER[Tier.INTERACTIVE]):
        command = json.loads(record.value or b"")
        yield Sent(record.timestamp / 1000, command["request_id"], readers[record.partition])
    for record in lying_on(stack, ORCHESTRATOR_REPLIES.physical_name):
        reply, at = json.loads(record.value or b""), record.timestamp / 1000
        if "prefix_length" in reply:
            yield Admitted(at, reply["request_id"], reply["worker"])
        elif "finish_reason" in reply:
            yield Ended(at, reply["request_id"])


def _workers(stack: OwnStack) -> dict[int, str]:
    """Who reads each interactive partition, as the workers said last."""
    found = {}
    for record in lying_on(stack, WORKER_PROGRESS.physical_name):
        progress = json.loads(record.value or b"")
        found.update(dict.fromkeys(progress["partitions"].get(Tier.INTERACTIVE, ()), progress["worker"]))
    return found

"""A worker process with something wrong: `odd_worker.py KAFKA LINE SKEW_S BLOCK_S`.

Its clock is ahead by SKEW_S from its first line on. At the first command with the number 0 its event loop stands still
for BLOCK_S. It answers with the seconds that are left by its clock, until SIGTERM.
"""

import asyncio
import signal
import sys
import time

SKEW_S = float(sys.argv[3])
BLOCK_S = float(sys.argv[4])
true_time, true_time_ns = time.time, time.time_ns
time.time = lambda: true_time() + SKEW_S
time.time_ns = lambda: true_time_ns() + int(SKEW_S * 1e9)

from collections.abc import Sequence  # noqa: E402 - what is imported from here on sees the wrong clock
from typing import Any  # noqa: E402

from groundswell.common.bus.connection import Bus  # noqa: E402
from groundswell.common.bus.consumption import consume  # noqa: E402
from groundswell.common.bus.messages import Outgoing, Received, reply  # noqa: E402
from groundswell.common.testing.bench import SERVICE, SESSION_S, Answered, Line  # noqa: E402

blocked = False


async def work(message: Received[Any]) -> Sequence[Outgoing]:
    global blocked  # noqa: PLW0603 - one process, one deed
    if BLOCK_S and message.payload.number == 0 and not blocked:
        blocked = True
        time.sleep(BLOCK_S)  # noqa: ASYNC251 - that is the point
    left_s = message.deadline - time.time()
    return [reply(message, Answered(number=message.payload.number, note=str(left_s)))]


async def main() -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    line = Line.new(name=sys.argv[2])
    bus = Bus(sys.argv[1], service=SERVICE, subscriptions=[consume(line.command, work, slots=1)], session_s=SESSION_S)
    await bus.publisher.start()
    tasks = await bus.start()
    ended = asyncio.create_task(stopped.wait())
    await asyncio.wait({ended, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    await bus.stop(5.0)
    for task in tasks:
        if task.done() and not task.cancelled():
            task.result()


asyncio.run(main())

"""How long a client waits for more of its answer when the worker that writes it is killed."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

from measures.measured import Circumstances, spread
from measures.own_stack import OwnStack
from workers.numbers import TakeOver
from workers.timed_stack import body, running, until_workers_are_ready

WORDS = 1_500
DEADLINE_S = 300.0
UNDER_WAY = 5
"""Pieces that have come before the kill."""
ON_ITS_WAY_S = 1.0
"""What was written before the kill has arrived by then."""
WITHIN_S = 60.0


@dataclass
class _Reader:
    """A client that notes when each piece of its answer came."""

    stack: OwnStack
    came: list[float] = field(default_factory=list)
    leaves: threading.Event = field(default_factory=threading.Event)

    def read(self) -> None:
        headers = {"authorization": f"Bearer {self.stack.admin_key}"}
        with (
            httpx.Client(base_url=self.stack.url, headers=headers, timeout=DEADLINE_S) as http,
            http.stream("POST", "/v1/chat/completions", json=body(WORDS, DEADLINE_S)) as response,
        ):
            for line in response.iter_lines():
                if self.leaves.is_set():
                    return
                if '"content":"word' in line or '"content":" word' in line:
                    self.came.append(time.monotonic())

    def first_after(self, moment: float) -> float | None:
        return next((at for at in self.came if at > moment), None)


def measure(stack: OwnStack, end: Callable[[], Circumstances], tell: Callable[[str], None], *, kills: int) -> TakeOver:
    """One client at a time; its worker is killed in the middle of the answer, the other one goes on."""
    seconds = []
    for number in range(1, kills + 1):
        seconds.append(_kill_one(stack))
        tell(f"take-over {number} of {kills}: {seconds[-1]:.2f} s")
        until_workers_are_ready(stack)
    return TakeOver(circumstances=end(), seconds=spread(seconds), longest=round(max(seconds), 2))


def _kill_one(stack: OwnStack) -> float:
    with _reading(stack) as reader:
        _until(lambda: len(reader.came) >= UNDER_WAY, "an answer under way")
        [victim] = [pid for pid, count in running(stack).items() if count]
        os.kill(victim, signal.SIGKILL)
        killed = time.monotonic()
        _until(lambda: reader.first_after(killed + ON_ITS_WAY_S), "the stream goes on")
        goes_on = reader.first_after(killed + ON_ITS_WAY_S)
    assert goes_on is not None
    return goes_on - killed


@contextmanager
def _reading(stack: OwnStack) -> Iterator[_Reader]:
    reader = _Reader(stack)
    thread = threading.Thread(target=reader.read, daemon=True)
    thread.start()
    try:
        yield reader
    finally:
        reader.leaves.set()
        thread.join(WITHIN_S)


def _until(condition: Callable[[], object], what: str) -> None:
    until = time.monotonic() + WITHIN_S
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError(f"not within {WITHIN_S:.0f} s: {what}")
        time.sleep(0.02)

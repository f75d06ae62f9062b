"""A process of a measure and how it talks: JSON, one value a line, on standard input and output."""

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BENCH = Path(__file__).parents[1]
HEARD_WITHIN_S = 60.0
END_WITHIN_S = 20.0


class Child:
    """The parent's end."""

    def __init__(self, module: str, process: "subprocess.Popen[str]") -> None:
        self._module = module
        self._process = process

    def tell(self, value: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{json.dumps(value)}\n")
        self._process.stdin.flush()

    def hear(self, within_s: float = HEARD_WITHIN_S) -> Any:
        """Raises RuntimeError if it ends or says nothing in time; then it is killed."""
        assert self._process.stdout is not None
        too_late = threading.Timer(within_s, self._process.kill)
        too_late.start()
        try:
            line = self._process.stdout.readline()
        finally:
            too_late.cancel()
        if not line:
            raise RuntimeError(f"{self._module} ended or said nothing for {within_s:.0f} s")
        return json.loads(line)

    def end(self) -> None:
        """It ends by itself when nobody can tell it anything any more."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(END_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextmanager
def child(module: str, *arguments: object) -> Iterator[Child]:
    """A Python process that runs `delivery.<module>`, without samples of traces; ended with the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", f"delivery.{module}", *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(BENCH), "OTEL_TRACES_SAMPLER": "always_off"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    made = Child(module, process)
    try:
        yield made
    except BaseException:
        process.kill()
        raise
    finally:
        made.end()


def tell_parent(value: object) -> None:
    sys.stdout.write(f"{json.dumps(value)}\n")
    sys.stdout.flush()


async def hear_parent() -> Any:
    """What the parent says next; None when it says no more."""
    line = await asyncio.to_thread(sys.stdin.readline)
    return json.loads(line) if line else None

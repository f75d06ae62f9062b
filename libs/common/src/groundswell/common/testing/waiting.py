"""Waits on state, bounded, that say what they saw last."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
EVERY_S = 0.05
WITHIN_S = 20.0


async def eventually(look: Callable[[], Awaitable[T]], *, within_s: float = WITHIN_S) -> T:
    """What `look` returns as soon as that is true in a boolean sense; its AssertionError means not yet.

    Raises AssertionError with what was seen last after `within_s`.
    """
    until_s = time.monotonic() + within_s
    while True:
        seen: object
        try:
            found = await look()
            if found:
                return found
            seen = found
        except AssertionError as error:
            seen = error
        if time.monotonic() >= until_s:
            raise AssertionError(f"not within {within_s} s; seen last: {seen!r}")
        await asyncio.sleep(EVERY_S)


async def until(condition: Callable[[], object], *, within_s: float = WITHIN_S) -> None:
    """Wait for a state of this process. Raises AssertionError with what was seen last after `within_s`."""

    async def look() -> object:
        return condition()

    await eventually(look, within_s=within_s)

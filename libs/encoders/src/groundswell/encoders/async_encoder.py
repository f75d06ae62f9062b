"""The text encoder for an event loop: all model work, torch's import included, happens in one thread of its own."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

WARM_UP_TEXTS = ("warm up", "The first pass through a model allocates memory and picks kernels. " * 8)


class Encoder(Protocol):
    """What AsyncTextEncoder runs; TextEncoder is one."""

    dimension: int
    max_tokens: int

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]: ...


class AsyncTextEncoder:
    """Encodes one call at a time, in the order of the calls. A cancelled call that has not begun is not run.

    Use it as an async context manager, or call `close`.
    """

    def __init__(self, encoder: Encoder, thread: ThreadPoolExecutor) -> None:
        self.dimension = encoder.dimension
        self.max_tokens = encoder.max_tokens
        self._encoder = encoder
        self._thread = thread

    @classmethod
    async def load(cls, folder: Path, *, threads: int) -> Self:
        """Open a model folder (`store.locate`) and warm the model up, without blocking the loop meanwhile."""
        return await cls.start(lambda: _load_text_encoder(folder, threads))

    @classmethod
    async def start(cls, load: Callable[[], Encoder]) -> Self:
        """Make the encoder by `load` in the model thread and warm it up. Raises what `load` raises."""
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="text-encoder")
        try:
            encoder = await asyncio.get_running_loop().run_in_executor(thread, load)
            started = cls(encoder, thread)
            await started.encode(WARM_UP_TEXTS)
        except BaseException:
            thread.shutdown(wait=False, cancel_futures=True)
            raise
        return started

    async def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return vectors [len(texts), dimension] of length 1, in the order of `texts`."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._encoder.encode, texts)

    def close(self) -> None:
        """Let the running call end and drop the waiting ones; does not wait itself."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()


def _load_text_encoder(folder: Path, threads: int) -> Encoder:
    from groundswell.encoders.text_encoder import TextEncoder  # noqa: PLC0415 - importing torch takes seconds

    return TextEncoder.load(folder, threads=threads)

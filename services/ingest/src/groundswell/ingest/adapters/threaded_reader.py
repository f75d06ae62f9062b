"""Decoding and cutting in threads of their own, with the embedder's tokenizer."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from groundswell.common.errors import Unavailable
from groundswell.encoders import store
from groundswell.encoders.catalogue import find_model
from groundswell.encoders.errors import ModelMissing
from groundswell.encoders.tokens import TokenCounter
from groundswell.ingest.domain.decoding import Rejection, file_type_of, refuse_size
from groundswell.ingest.domain.limits import ChunkLimits
from groundswell.ingest.domain.reading import Reading, read

R = TypeVar("R")
SPECIAL_TOKENS = 2
"""What an encoder puts around a text: [CLS] and [SEP]."""


class ThreadedReader:
    """At most `threads` files are read at once; the others wait in line."""

    def __init__(self, *, model: str, models: Path, limit_bytes: int, threads: int) -> None:
        self._model = model
        self._models = models
        self._limit_bytes = limit_bytes
        self._chunk_limits = ChunkLimits(limit_tokens=find_model(model).context_tokens - SPECIAL_TOKENS)
        self._threads = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="reader")
        self._counter: TokenCounter | None = None

    async def open(self) -> None:
        try:
            folder = await self._in_thread(partial(store.locate, self._model, models_dir=self._models))
        except ModelMissing as error:
            raise Unavailable(str(error)) from error
        self._counter = await self._in_thread(partial(TokenCounter.load, folder))

    async def check(self) -> None:
        """A tokenizer in memory does not go away."""

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def refuse(self, name: str, size: int) -> Rejection | None:
        file_type = file_type_of(name)
        return file_type if isinstance(file_type, Rejection) else refuse_size(size, limit_bytes=self._limit_bytes)

    async def read(self, name: str, content: bytes) -> Reading | Rejection:
        """Raises Unavailable before the tokenizer is there."""
        if self._counter is None:
            raise Unavailable(f"the tokenizer of {self._model} is not loaded yet")
        work = partial(
            read,
            name,
            content,
            limit_bytes=self._limit_bytes,
            token_offsets=self._counter.offsets,
            chunk_limits=self._chunk_limits,
        )
        return await self._in_thread(work)

    async def _in_thread(self, work: Callable[[], R]) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

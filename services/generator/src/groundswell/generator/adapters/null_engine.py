"""An engine without a model, for tests of everything around it: the same prompt has the same answer."""

import asyncio
import re
import zlib
from collections.abc import AsyncIterator

from groundswell.common.contracts.generation import FinishReason
from groundswell.generator.domain.quoting import first_quote
from groundswell.generator.ports import (
    AttemptKey,
    Cancelled,
    EngineEvent,
    Finished,
    GenerationJob,
    Refused,
    Started,
    Tokens,
)

_WORD = re.compile(r"\s*\S+")


class NullEngine:
    """Quotes the first sentence of the first numbered passage in the prompt; without one, repeats the last message.

    A token is a word with the space before it, its id a checksum. `token_delay_s` passes before each.
    """

    def __init__(self, *, token_delay_s: float = 0.0, context_tokens: int = 8192) -> None:
        self._token_delay_s = token_delay_s
        self._context_tokens = context_tokens
        self._cancelled: dict[AttemptKey, asyncio.Event] = {}
        self._running = False

    @property
    def ready(self) -> bool:
        return self._running

    async def start(self) -> None:
        self._running = True

    async def stop(self) -> None:
        self._running = False

    def cancel(self, key: AttemptKey) -> None:
        if key in self._cancelled:
            self._cancelled[key].set()

    async def run(self, job: GenerationJob) -> AsyncIterator[EngineEvent]:
        prompt_tokens = sum(len(message.content.split()) for message in job.messages)
        if prompt_tokens >= self._context_tokens:
            reason = (
                f"the prompt has {prompt_tokens} tokens, but the model reads and writes {self._context_tokens} in all"
            )
            yield Refused(reason)
            return
        self._cancelled[job.key] = asyncio.Event()
        try:
            async for event in self._answer(job, prompt_tokens):
                yield event
        finally:
            del self._cancelled[job.key]

    async def _answer(self, job: GenerationJob, prompt_tokens: int) -> AsyncIterator[EngineEvent]:
        yield Started(prompt_tokens)
        words = _words(job)
        written = min(len(job.prefix_token_ids), len(words))
        for word in words[written : job.max_tokens]:
            if await self._is_cancelled(job.key):
                yield Cancelled(written)
                return
            written += 1
            yield Tokens((zlib.crc32(word.encode()),), word)
        reason = FinishReason.STOP if written == len(words) else FinishReason.LENGTH
        yield Finished(reason, prompt_tokens, written)

    async def _is_cancelled(self, key: AttemptKey) -> bool:
        cancelled = self._cancelled[key]
        try:
            async with asyncio.timeout(self._token_delay_s):
                await cancelled.wait()
        except TimeoutError:
            return False
        return True


def _words(job: GenerationJob) -> list[str]:
    answer = first_quote(job.messages)
    ends = [at for stop in job.sampling.stop if stop and (at := answer.find(stop)) >= 0]
    return _WORD.findall(answer[: min(ends, default=len(answer))])

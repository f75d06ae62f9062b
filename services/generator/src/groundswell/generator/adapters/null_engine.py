"""An engine without a model, for tests of everything around it: the same prompt has the same answer."""

import asyncio
import re
import zlib
from dataclasses import dataclass

from groundswell.common.contracts.generation import FinishReason
from groundswell.generator.domain.jobs import (
    AttemptKey,
    Cancelled,
    Failed,
    Finished,
    GenerationJob,
    Refused,
    Started,
    Terminal,
    Tokens,
)
from groundswell.generator.domain.quoting import first_quote
from groundswell.generator.ports import Tell

_WORD = re.compile(r"\s*\S+")


@dataclass
class _Answer:
    tell: Tell
    words: list[str]
    written: int
    limit: int
    prompt_tokens: int
    begun: bool = False


class NullEngine:
    """Quotes the first sentence of the first passage in the prompt; without one, repeats the user's last message.

    A token is a word with the space before it, its id a checksum. As in a model that batches, all that runs gets a
    token in each step; a step takes `token_delay_s` and `answer_delay_s` for each answer.
    """

    def __init__(self, *, token_delay_s: float = 0.0, answer_delay_s: float = 0.0, context_tokens: int = 8192) -> None:
        self._token_delay_s = token_delay_s
        self._answer_delay_s = answer_delay_s
        self._context_tokens = context_tokens
        self._running: dict[AttemptKey, _Answer] = {}
        self._steps: asyncio.Task[None] | None = None
        self._started = False

    @property
    def ready(self) -> bool:
        return self._started

    async def start(self) -> None:
        self._started = True

    async def stop(self) -> None:
        self._started = False
        for key in list(self._running):
            self._end(key, Failed("the engine was stopped"))
        if self._steps is not None:
            self._steps.cancel()

    def submit(self, job: GenerationJob, tell: Tell) -> None:
        if job.key in self._running:
            raise ValueError(f"attempt {job.key.attempt} of {job.key.request_id} runs already")
        prompt_tokens = sum(len(message.content.split()) for message in job.messages)
        if prompt_tokens >= self._context_tokens:
            reason = (
                f"the prompt has {prompt_tokens} tokens, but the model reads and writes {self._context_tokens} in all"
            )
            tell(Refused(reason))
            return
        words = _words(job)
        answer = _Answer(tell, words, min(len(job.prefix_token_ids), len(words)), job.max_tokens, prompt_tokens)
        self._running[job.key] = answer
        if self._steps is None or self._steps.done():
            self._steps = asyncio.create_task(self._step_until_idle())

    def cancel(self, key: AttemptKey) -> None:
        if key in self._running:
            self._end(key, Cancelled(self._running[key].written))

    def _end(self, key: AttemptKey, event: Terminal) -> None:
        self._running.pop(key).tell(event)

    async def _step_until_idle(self) -> None:
        while self._running:
            batch = list(self._running.items())
            for _, answer in batch:
                if not answer.begun:
                    answer.begun = True
                    answer.tell(Started(answer.prompt_tokens))
            await asyncio.sleep(self._token_delay_s + self._answer_delay_s * len(batch))
            for key, answer in batch:
                if self._running.get(key) is answer:
                    self._write(key, answer)

    def _write(self, key: AttemptKey, answer: _Answer) -> None:
        if answer.written < min(answer.limit, len(answer.words)):
            word = answer.words[answer.written]
            answer.written += 1
            answer.tell(Tokens((zlib.crc32(word.encode()),), word))
        if answer.written >= min(answer.limit, len(answer.words)):
            reason = FinishReason.STOP if answer.written == len(answer.words) else FinishReason.LENGTH
            self._end(key, Finished(reason, answer.prompt_tokens, answer.written))


def _words(job: GenerationJob) -> list[str]:
    answer = first_quote(job.messages)
    ends = [at for stop in job.sampling.stop if stop and (at := answer.find(stop)) >= 0]
    return _WORD.findall(answer[: min(ends, default=len(answer))])

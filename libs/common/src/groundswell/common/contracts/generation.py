"""To the generator, and what it says while it works.

An attempt is one run of one request in one worker. Every reader takes only the attempt and worker that it bound itself
to, and cuts back to the admitted prefix length.
"""

from enum import StrEnum
from typing import Literal

from pydantic import Field

from groundswell.common.contracts.message import Message
from groundswell.common.ids import RequestId, WorkerId
from groundswell.common.tiers import Tier


class ChatMessage(Message):
    role: Literal["system", "user", "assistant"]
    content: str


class Sampling(Message):
    """OpenAI's meanings and ranges; temperature 0 is greedy."""

    temperature: float = Field(default=0.0, ge=0, le=2)
    top_p: float = Field(default=1.0, gt=0, le=1)
    seed: int | None = None
    stop: tuple[str, ...] = ()


class GenerateAnswer(Message):
    """Continue `messages` after `prefix_token_ids`, up to `max_tokens` in all.

    The prefix is what an earlier attempt generated and the orchestrator already received. `losses`: attempts that were
    lost with their worker; after two it may be the request that kills them.
    """

    request_id: RequestId
    attempt: int = 1
    epoch: int = 0
    model: str
    messages: tuple[ChatMessage, ...] = Field(min_length=1)
    max_tokens: int = Field(ge=1)
    sampling: Sampling = Sampling()
    prefix_token_ids: tuple[int, ...] = ()
    losses: int = 0


class GenerationAdmitted(Message):
    """The worker owns the attempt from here on; the command is committed after this message."""

    request_id: RequestId
    attempt: int
    epoch: int
    worker: WorkerId
    prefix_length: int
    prompt_tokens: int


class TokensGenerated(Message):
    """Tokens `[position, position + len(token_ids))` of the answer.

    `text` is what they add; it never holds half a character.

    `sequence` counts these messages of one attempt from 0.
    """

    request_id: RequestId
    attempt: int
    epoch: int
    worker: WorkerId
    sequence: int
    position: int
    token_ids: tuple[int, ...]
    text: str


class FinishReason(StrEnum):
    STOP = "stop"
    LENGTH = "length"


class AnswerCompleted(Message):
    """The attempt's last message. `sequence` is the number of `TokensGenerated` before it, so that a gap is seen."""

    request_id: RequestId
    attempt: int
    epoch: int
    worker: WorkerId
    sequence: int
    finish_reason: FinishReason
    prompt_tokens: int
    completion_tokens: int


class GenerationRefused(Message):
    """The attempt cannot run as asked (prompt over the context, unknown model); `reason` is fit for the client."""

    request_id: RequestId
    attempt: int
    epoch: int
    reason: str


class GenerationFailed(Message):
    """The attempt broke off after admission."""

    request_id: RequestId
    attempt: int
    epoch: int
    worker: WorkerId
    reason: str


class GenerationStopped(Message):
    """The attempt was cancelled, or handed back by a worker that drains (`handed_back`: it costs no attempt)."""

    request_id: RequestId
    attempt: int
    epoch: int
    worker: WorkerId
    handed_back: bool
    completion_tokens: int


class AttemptCancelled(Message):
    """To every worker: free what runs for this request, up to and including `attempt`.

    `but_of`: the worker that has admitted `attempt` and goes on with it; others may have got it, too.
    """

    request_id: RequestId
    attempt: int
    epoch: int
    but_of: WorkerId | None = None


class RunningAttempt(Message):
    request_id: RequestId
    attempt: int
    completion_tokens: int
    losses: int = 0
    tier: Tier = Tier.INTERACTIVE


class WorkerProgressed(Message):
    """Once a second from every worker, and when what it runs changes: it lives, what it runs, and its room.

    `models`: none while it loads its own. `partitions`: those of the command's topic that it reads, by tier.
    """

    worker: WorkerId
    models: tuple[str, ...]
    slots: int
    running: tuple[RunningAttempt, ...]
    waiting: int
    draining: bool = False
    partitions: dict[Tier, tuple[int, ...]] = Field(default_factory=dict)

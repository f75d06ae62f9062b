"""A job for a language model, and what is heard of it."""

from dataclasses import dataclass, field
from typing import Literal

from groundswell.common.contracts.generation import ChatMessage, FinishReason, Sampling
from groundswell.common.ids import RequestId
from groundswell.common.tiers import Tier


@dataclass(frozen=True)
class AttemptKey:
    """One run of one request, by the owner of the request with `epoch`. An engine runs it at most once at a time."""

    request_id: RequestId
    attempt: int
    epoch: int = 0


@dataclass(frozen=True)
class GenerationJob:
    """Continue `messages` after `prefix_token_ids`, which count towards `max_tokens` and are not emitted again.

    `deadline` is in seconds of this machine's wall clock; it orders waiting jobs and stops nothing.
    """

    key: AttemptKey
    tier: Tier
    deadline: float
    messages: tuple[ChatMessage, ...]
    max_tokens: int
    sampling: Sampling = field(default_factory=Sampling)
    prefix_token_ids: tuple[int, ...] = ()


@dataclass(frozen=True)
class Started:
    """The job is taken, always the first event. `prompt_tokens` are those of the messages, without the prefix."""

    prompt_tokens: int
    kind: Literal["started"] = "started"


@dataclass(frozen=True)
class Tokens:
    """New tokens, and the text that they add: whole characters, and nothing that a stop string could still take back.

    An id comes with the event that ends its text, so ids received so far always make the text received so far.
    """

    token_ids: tuple[int, ...]
    text: str
    kind: Literal["tokens"] = "tokens"


@dataclass(frozen=True)
class Finished:
    """`completion_tokens` are all tokens of the answer, with the prefix and without an end-of-text token."""

    reason: FinishReason
    prompt_tokens: int
    completion_tokens: int
    kind: Literal["finished"] = "finished"


@dataclass(frozen=True)
class Cancelled:
    """The slot is free."""

    completion_tokens: int
    kind: Literal["cancelled"] = "cancelled"


@dataclass(frozen=True)
class Refused:
    """The job cannot run as asked; `reason` is fit for the client. No `Started` came before."""

    reason: str
    kind: Literal["refused"] = "refused"


@dataclass(frozen=True)
class Failed:
    """The engine broke off; the job may run elsewhere. `reason` quotes nothing of the prompt or the answer."""

    reason: str
    kind: Literal["failed"] = "failed"


EngineEvent = Started | Tokens | Finished | Cancelled | Refused | Failed
Terminal = Finished | Cancelled | Refused | Failed
TERMINAL = (Finished, Cancelled, Refused, Failed)

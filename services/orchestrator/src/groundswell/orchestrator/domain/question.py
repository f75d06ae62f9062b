"""What a client asked, checked and complete."""

from dataclasses import dataclass

from groundswell.common.contracts.answers import Outcome
from groundswell.common.contracts.generation import ChatMessage, Sampling
from groundswell.common.contracts.retrieval import PassageFilters
from groundswell.common.ids import KeyId, RequestId, TeamId
from groundswell.common.tiers import Tier


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who asks: a key, its team, its groups, and whether it may operate the platform."""

    key: KeyId
    team: TeamId
    groups: tuple[str, ...] = ()
    operator: bool = False

    @property
    def access(self) -> tuple[str, ...]:
        """The access-list entries that the caller satisfies."""
        return (f"team:{self.team}", "organisation", *(f"group:{group}" for group in self.groups))


@dataclass(frozen=True, kw_only=True)
class Question:
    """An accepted question. Times are wall-clock seconds; `model` names an assistant or a bare model."""

    request_id: RequestId
    caller: Caller
    model: str
    messages: tuple[ChatMessage, ...]
    tier: Tier
    created: float
    deadline: float
    max_tokens: int
    sampling: Sampling = Sampling()
    filters: PassageFilters = PassageFilters()
    resumable: bool = False
    """It goes on when its client goes away."""
    fingerprint: str | None = None
    """What was asked, for a request with an Idempotency-Key."""

    @property
    def text(self) -> str:
        """What the last user message asks."""
        return next((message.content for message in reversed(self.messages) if message.role == "user"), "")


@dataclass(frozen=True, kw_only=True)
class Citation:
    """`quote` is exactly `[start, end)` (code points) of the version's text; `mark` is its number in the answer."""

    mark: int
    document: str
    version: int
    title: str
    name: str
    section: str
    source: str
    updated: str
    start: int
    end: int
    quote: str
    page: int | None = None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The terminal answer, as it is stored and shown. `text` is what was released, marks included."""

    outcome: Outcome
    text: str
    finish_reason: str
    reason: str | None = None
    citations: tuple[Citation, ...] = ()
    confidence: float | None = None
    model: str = ""
    assistant: str | None = None
    model_reasons: tuple[str, ...] = ()
    verdicts: tuple[dict[str, object], ...] = ()
    timings_ms: dict[str, float] | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    passages: int = 0

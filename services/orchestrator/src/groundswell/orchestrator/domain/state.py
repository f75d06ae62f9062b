"""What decides the life of a request: its state, what it hears, what it wants done."""

from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from groundswell.common.contracts.generation import AnswerCompleted, ChatMessage, GenerateAnswer
from groundswell.common.contracts.message import Message
from groundswell.common.contracts.moderation import CheckText, TextBlocked, TextCleared
from groundswell.common.contracts.retrieval import Passage, RetrievePassages
from groundswell.common.ids import RequestId, WorkerId
from groundswell.orchestrator.domain.assistants import Assistant
from groundswell.orchestrator.domain.citing import Citing, without_model_marks
from groundswell.orchestrator.domain.liveness import BoundAttempt
from groundswell.orchestrator.domain.question import Answer, Question
from groundswell.orchestrator.domain.windows import Windows


@dataclass(frozen=True)
class Send:
    """Publish a command of this request."""

    payload: CheckText | RetrievePassages | GenerateAnswer


@dataclass(frozen=True)
class Release:
    """The client may see `text`, which is `[start, start + len(text))` of the answer."""

    start: int
    text: str


@dataclass(frozen=True)
class KeepPrompt:
    """Record that the request is generating, with the prompt that it began with."""

    messages: tuple[ChatMessage, ...]


@dataclass(frozen=True)
class CancelAttempt:
    """Tell the workers to free what runs for this request, up to and including the attempt of the owner with `epoch`.

    None: of this owner, so that all attempts of earlier ones are meant.
    """

    attempt: int
    epoch: int | None = None


@dataclass(frozen=True)
class BindAttempt:
    """The worker has admitted the attempt. `doubled`: perhaps another has, too, which shall let it go."""

    worker: WorkerId
    doubled: bool


@dataclass(frozen=True)
class Bury:
    """Keep the command that nobody could work on, for who looks after it."""

    command: GenerateAnswer
    reason: str
    attempts: int


@dataclass(frozen=True)
class End:
    """The terminal answer."""

    answer: Answer


Effect: TypeAlias = Send | Release | KeepPrompt | CancelAttempt | BindAttempt | Bury | End


@dataclass(frozen=True)
class Began:
    """The request was accepted and recorded."""


@dataclass(frozen=True)
class DeadlinePassed:
    """Nobody waits for the answer any longer."""


@dataclass(frozen=True)
class Abandoned:
    """The client went away from a request that does not go on without it, or not for that long."""

    reason: str


@dataclass(frozen=True)
class WorkerLost:
    """The worker is silent: it died, or nobody will know."""

    worker: WorkerId


@dataclass(frozen=True)
class AttemptLost:
    """The worker lives, but does not run what it admitted."""

    attempt: BoundAttempt


@dataclass(frozen=True)
class Superseded:
    """Another replica carries the request on: this one did not renew its lease in time."""


@dataclass(frozen=True)
class Reply:
    """A message of the reply partition; `attempt` and `epoch` are those of the command that it answers."""

    payload: Message
    attempt: int
    epoch: int


Input: TypeAlias = Message | Reply | Began | DeadlinePassed | Abandoned | WorkerLost | AttemptLost | Superseded
Stage: TypeAlias = Literal["accepted", "generating", "ended"]


@dataclass(frozen=True, kw_only=True)
class RequestState:
    """Everything that decides what comes next."""

    question: Question
    assistant: Assistant
    epoch: int = 0
    stage: Stage = "accepted"
    input_cleared: bool = False
    found: tuple[Passage, ...] = ()
    """Passages that are with the moderator; `judged` says for each whether it may be used."""
    judged: dict[int, bool] = field(default_factory=dict)
    passages: tuple[Passage, ...] | None = None
    """What the prompt quotes and citations stand in; None until it is decided."""
    retrieval_confidence: float = 0.0
    attempt: int = 1
    attempt_epoch: int = 0
    """Of the owner that began the attempt: an adopter goes on with one that runs."""
    losses: int = 0
    """Admitted attempts that were lost with their worker; one that was handed back is none."""
    worker: WorkerId | None = None
    next_sequence: int = 0
    token_ids: tuple[int, ...] = ()
    raw: str = ""
    completed: AnswerCompleted | None = None
    prompt_tokens: int = 0
    windows: Windows = Windows()
    citing: Citing = Citing(())
    verdicts: tuple[dict[str, Any], ...] = ()
    marks: dict[str, float] = field(default_factory=dict)
    """When each stage ended, in wall-clock seconds."""

    @property
    def request_id(self) -> RequestId:
        return self.question.request_id

    @property
    def generated(self) -> str:
        """The model's text so far, as it goes to moderation."""
        if not self.assistant.knowledge:
            return self.raw
        return without_model_marks(self.raw, final=self.completed is not None)


Step: TypeAlias = tuple[RequestState, list[Effect]]


def marked(state: RequestState, stage: str, now: float) -> RequestState:
    """Note when a stage ended; the first time counts."""
    return state if stage in state.marks else replace(state, marks={**state.marks, stage: now})


def noted(state: RequestState, verdict: TextCleared | TextBlocked, **more: str) -> RequestState:
    """Keep a verdict for the answer's explanation."""
    note: dict[str, Any] = {"role": verdict.role.value, "outcome": "cleared"} | more
    if isinstance(verdict, TextBlocked):
        note |= {"outcome": "blocked", "rule": verdict.rule, "category": verdict.category}
    return replace(state, verdicts=(*state.verdicts, note))

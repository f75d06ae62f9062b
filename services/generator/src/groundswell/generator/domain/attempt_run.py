"""One attempt, from the engine's events to the messages about it."""

from dataclasses import dataclass, field
from typing import TypedDict

from groundswell.common.contracts.generation import (
    AnswerCompleted,
    GenerateAnswer,
    GenerationAdmitted,
    GenerationFailed,
    GenerationRefused,
    GenerationStopped,
    TokensGenerated,
)
from groundswell.common.ids import RequestId, WorkerId
from groundswell.common.tiers import Tier
from groundswell.generator.domain.jobs import (
    AttemptKey,
    Cancelled,
    EngineEvent,
    Failed,
    Finished,
    Refused,
    Started,
    Terminal,
    Tokens,
)
from groundswell.generator.domain.pacing import TokenChunk, TokenPacer

Outcome = AnswerCompleted | GenerationRefused | GenerationFailed | GenerationStopped
Report = GenerationAdmitted | TokensGenerated | Outcome


@dataclass(frozen=True)
class HandBack:
    """The worker drains: somebody else shall go on."""


@dataclass(frozen=True)
class Nothing:
    """Time passed."""


Happening = EngineEvent | HandBack | Nothing


@dataclass
class AttemptRun:
    """`advance` says what to publish; `published` is told once it is, so that state never runs ahead of the topic."""

    command: GenerateAnswer
    worker: WorkerId
    tier: Tier
    pacer: TokenPacer
    completion_tokens: int = field(init=False)
    admitted: bool = False
    outcome: Outcome | None = None

    def __post_init__(self) -> None:
        self.completion_tokens = self.pacer.position

    @property
    def key(self) -> AttemptKey:
        return AttemptKey(self.command.request_id, self.command.attempt, self.command.epoch)

    def advance(self, happening: Happening, now: float) -> list[Report]:
        """What to publish now, in order."""
        match happening:
            case Started(prompt_tokens=prompt_tokens):
                return [self._admitted(prompt_tokens)]
            case Tokens(token_ids=token_ids, text=text):
                self.completion_tokens += len(token_ids)
                return self._chunks(self.pacer.add(token_ids, text, now))
            case Nothing():
                return self._chunks(self.pacer.due(now))
            case _:
                return [*self._chunks(self.pacer.flush()), self._ended(happening)]

    def _ended(self, ending: Terminal | HandBack) -> Outcome:
        match ending:
            case Finished():
                return self._completed(ending)
            case Refused(reason=reason):
                return self.refused(reason)
            case Failed(reason=reason):
                return self.failed(reason)
            case Cancelled():
                return self.stopped(handed_back=False)
            case HandBack():
                return self.stopped(handed_back=True)

    def published(self, report: Report) -> None:
        if isinstance(report, GenerationAdmitted):
            self.admitted = True
        elif not isinstance(report, TokensGenerated):
            self.outcome = report

    def refused(self, reason: str) -> GenerationRefused:
        return GenerationRefused(**self._attempt, reason=reason)

    def failed(self, reason: str) -> GenerationFailed:
        return GenerationFailed(**self._attempt, worker=self.worker, reason=reason)

    def due_at(self) -> float | None:
        """When to come back with `Nothing`, if nothing else happens."""
        return self.pacer.due_at()

    @property
    def _attempt(self) -> "_Attempt":
        return {
            "request_id": self.command.request_id,
            "attempt": self.command.attempt,
            "epoch": self.command.epoch,
        }

    def _admitted(self, prompt_tokens: int) -> GenerationAdmitted:
        prefix_length = len(self.command.prefix_token_ids)
        return GenerationAdmitted(
            **self._attempt, worker=self.worker, prefix_length=prefix_length, prompt_tokens=prompt_tokens
        )

    def _chunks(self, chunk: TokenChunk | None) -> list[Report]:
        if chunk is None:
            return []
        return [
            TokensGenerated(
                **self._attempt,
                worker=self.worker,
                sequence=chunk.sequence,
                position=chunk.position,
                token_ids=chunk.token_ids,
                text=chunk.text,
            )
        ]

    def _completed(self, finished: Finished) -> AnswerCompleted:
        return AnswerCompleted(
            **self._attempt,
            worker=self.worker,
            sequence=self.pacer.sequence,
            finish_reason=finished.reason,
            prompt_tokens=finished.prompt_tokens,
            completion_tokens=finished.completion_tokens,
        )

    def stopped(self, *, handed_back: bool) -> GenerationStopped:
        return GenerationStopped(
            **self._attempt, worker=self.worker, handed_back=handed_back, completion_tokens=self.completion_tokens
        )


class _Attempt(TypedDict):
    request_id: RequestId
    attempt: int
    epoch: int

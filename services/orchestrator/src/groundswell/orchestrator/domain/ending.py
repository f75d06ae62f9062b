"""How a request ends: the terminal answer, with what explains it."""

from dataclasses import replace

from groundswell.common.contracts.answers import CancelRequested, Outcome
from groundswell.common.contracts.generation import GenerationStopped
from groundswell.common.contracts.message import CommandExpired, CommandFailed
from groundswell.orchestrator.domain.assistants import Assistant
from groundswell.orchestrator.domain.prompts import TEMPLATE_VERSION
from groundswell.orchestrator.domain.question import Answer
from groundswell.orchestrator.domain.state import (
    Abandoned,
    CancelAttempt,
    DeadlinePassed,
    Effect,
    End,
    RequestState,
    Step,
    marked,
)

CONTENT_FILTER = "content_filter"
"""OpenAI's finish reason for what moderation stopped."""
CANCELLED = "cancelled by the client"
_TOO_LATE = "the deadline passed before the answer was complete"


def end(
    state: RequestState,
    outcome: Outcome,
    now: float,
    *,
    reason: str | None = None,
    finish: str = "error",
) -> Step:
    """The end of the request. What still runs for it in a worker is cancelled."""
    runs_on = state.stage == "generating" and state.completed is None
    effects: list[Effect] = [CancelAttempt(state.attempt)] if runs_on else []
    state = replace(marked(state, "total", now), stage="ended")
    return state, [*effects, End(_answer(state, outcome, reason, finish))]


def expire(state: RequestState, _message: DeadlinePassed | CommandExpired | GenerationStopped, now: float) -> Step:
    return end(state, Outcome.EXPIRED, now, reason=_TOO_LATE)


def abandon(state: RequestState, message: Abandoned, now: float) -> Step:
    return end(state, Outcome.CANCELLED, now, reason=message.reason)


def cancel(state: RequestState, _message: CancelRequested, now: float) -> Step:
    return end(state, Outcome.CANCELLED, now, reason=CANCELLED)


def fail(state: RequestState, message: CommandFailed, now: float) -> Step:
    return end(state, Outcome.FAILED, now, reason=f"{message.command} failed")


def give_up(state: RequestState, reason: str, now: float) -> End:
    """The terminal answer of a request that cannot go on, whatever its stage."""
    return _whatever_the_stage(state, Outcome.FAILED, reason, now)


def expire_anyway(state: RequestState, now: float) -> End:
    """The terminal answer of a request that waited until its deadline for a component, whatever its stage."""
    return _whatever_the_stage(state, Outcome.EXPIRED, _TOO_LATE, now)


def _whatever_the_stage(state: RequestState, outcome: Outcome, reason: str, now: float) -> End:
    state = replace(marked(state, "total", now), stage="ended")
    return End(_answer(state, outcome, reason, "error"))


def timings(state: RequestState) -> dict[str, float]:
    """Milliseconds for each stage that the request went through; `total` from acceptance to the end."""
    marks, created = state.marks, state.question.created
    begun = {
        "input_moderation": created,
        "retrieval": created,
        "passage_moderation": marks.get("retrieval"),
        "queue": marks.get("prompt"),
        "first_token": marks.get("queue", marks.get("prompt")),
        "first_release": marks.get("first_token"),
        "generation": marks.get("first_token"),
        "total": created,
    }
    durations = {
        stage: round((marks[stage] - start) * 1000, 1)
        for stage, start in begun.items()
        if stage in marks and start is not None
    }
    if "first_release" in marks:
        durations["time_to_first_text"] = round((marks["first_release"] - created) * 1000, 1)
    return durations


def _answer(state: RequestState, outcome: Outcome, reason: str | None, finish: str) -> Answer:
    completed = state.completed
    return Answer(
        outcome=outcome,
        text=state.citing.text,
        finish_reason=finish,
        reason=reason,
        citations=state.citing.citations,
        confidence=_confidence(state),
        model=state.assistant.model,
        assistant=None if state.assistant.bare else state.assistant.name,
        model_reasons=(_model_reason(state.assistant),),
        verdicts=state.verdicts,
        timings_ms=timings(state),
        prompt_tokens=completed.prompt_tokens if completed else state.prompt_tokens,
        completion_tokens=completed.completion_tokens if completed else len(state.token_ids),
        passages=len(state.passages or ()),
    )


def _model_reason(assistant: Assistant) -> str:
    if assistant.bare:
        return "named by the request"
    return f"the model of assistant {assistant.name}, prompt {TEMPLATE_VERSION}"


def _confidence(state: RequestState) -> float | None:
    """Retrieval confidence times the share of sentences that a passage supports."""
    if not state.assistant.knowledge:
        return None
    if not state.citing.sentences:
        return 0.0
    return round(state.retrieval_confidence * state.citing.supported / state.citing.sentences, 4)

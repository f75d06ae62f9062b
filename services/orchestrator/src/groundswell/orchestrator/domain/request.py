"""The life of a request: `advance(state, message, now) -> (state, effects)`. Pure: time and ids come in as arguments.

accepted ── input cleared, passages in ──> generating ── last window cleared ──> ended
   │  │                                       │
   │  └ nothing found: an honest answer       ├ blocked: refused, with what was cleared before
   └ input blocked: refused                   └ deadline, cancel, failure: expired, cancelled, failed
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from groundswell.common.contracts.answers import Outcome
from groundswell.common.contracts.generation import (
    AnswerCompleted,
    ChatMessage,
    GenerateAnswer,
    GenerationAdmitted,
    GenerationFailed,
    GenerationRefused,
    GenerationStopped,
    TokensGenerated,
)
from groundswell.common.contracts.message import CommandExpired, CommandFailed, Message
from groundswell.common.contracts.moderation import CheckText, TextBlocked, TextCleared, TextRole
from groundswell.common.contracts.retrieval import NoPassagesFound, Passage, PassagesRetrieved, RetrievePassages
from groundswell.common.ids import WorkerId
from groundswell.orchestrator.domain.assistants import Assistant
from groundswell.orchestrator.domain.citing import Citing, cite, without_model_marks
from groundswell.orchestrator.domain.prompts import TEMPLATE_VERSION, grounded_prompt, plain_prompt, within_budget
from groundswell.orchestrator.domain.question import Answer, Question
from groundswell.orchestrator.domain.windows import Windows, all_cleared, next_window, take_verdict

NOT_FOUND_TEXT = "I could not find an answer to this in these documents."


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
    """Tell the workers to free what runs for this request."""

    attempt: int


@dataclass(frozen=True)
class End:
    """The terminal answer."""

    answer: Answer


Effect: TypeAlias = Send | Release | KeepPrompt | CancelAttempt | End


@dataclass(frozen=True)
class Began:
    """The request was accepted and recorded."""


@dataclass(frozen=True)
class DeadlinePassed:
    """Nobody waits for the answer any longer."""


@dataclass(frozen=True)
class Abandoned:
    """The client cancelled, or went away from a request that is not resumable."""


Input: TypeAlias = Message | Began | DeadlinePassed | Abandoned
Stage: TypeAlias = Literal["accepted", "generating", "ended"]


@dataclass(frozen=True, kw_only=True)
class RequestState:
    """Everything that decides what comes next."""

    question: Question
    assistant: Assistant
    epoch: int = 0
    stage: Stage = "accepted"
    input_cleared: bool = False
    passages: tuple[Passage, ...] | None = None
    retrieval_confidence: float = 0.0
    attempt: int = 1
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
    """When each stage ended, in wall-clock seconds; `timings` makes them durations."""

    @property
    def generated(self) -> str:
        """The model's text so far, as it goes to moderation."""
        if not self.assistant.knowledge:
            return self.raw
        return without_model_marks(self.raw, final=self.completed is not None)


Step: TypeAlias = tuple[RequestState, list[Effect]]


def advance(state: RequestState, message: Input, now: float) -> Step:
    """The next state and what to do. A message that is late, doubled or of another attempt changes nothing."""
    handler = _HANDLERS.get(type(message))
    if state.stage == "ended" or handler is None:
        return state, []
    return handler(state, message, now)


def give_up(state: RequestState, reason: str, now: float) -> End:
    """The terminal answer of a request that cannot go on, whatever its stage."""
    answer = _end(state, Outcome.FAILED, now, reason=reason)[1][-1]
    assert isinstance(answer, End)  # noqa: S101 - the last effect of an end
    return answer


def _begin(state: RequestState, _message: Began, _now: float) -> Step:
    question = state.question
    said = "\n".join(message.content for message in question.messages)
    effects: list[Effect] = [Send(CheckText(request_id=question.request_id, role=TextRole.INPUT, text=said))]
    if not state.assistant.knowledge:
        return replace(state, passages=()), effects
    retrieve = RetrievePassages(
        request_id=question.request_id,
        team=question.caller.team,
        access=question.caller.access,
        query=question.text,
        max_passages=state.assistant.max_passages,
        filters=question.filters,
    )
    return state, [*effects, Send(retrieve)]


def _cleared(state: RequestState, verdict: TextCleared, now: float) -> Step:
    if verdict.role is TextRole.INPUT:
        if state.input_cleared:
            return state, []
        noted = _noted(_marked(state, "input_moderation", now), verdict, "cleared")
        return _generate_when_ready(replace(noted, input_cleared=True), now)
    return _release(replace(state, windows=take_verdict(state.windows, verdict)), now)


def _blocked(state: RequestState, verdict: TextBlocked, now: float) -> Step:
    if verdict.role is TextRole.INPUT:
        noted = _noted(_marked(state, "input_moderation", now), verdict, "blocked")
        return _end(noted, Outcome.REFUSED, now, reason=verdict.reason, finish="content_filter")
    windows = take_verdict(state.windows, verdict)
    if windows.blocked is None:
        return state, []
    state, effects = _release(_noted(replace(state, windows=windows), verdict, "blocked"), now, last=True)
    running = state.completed is None
    ended, ends = _end(state, Outcome.REFUSED, now, reason=verdict.reason, finish="content_filter", cancel=running)
    return ended, [*effects, *ends]


def _retrieved(state: RequestState, found: PassagesRetrieved, now: float) -> Step:
    if state.passages is not None:
        return state, []
    passages = within_budget(found.passages, state.assistant.passage_budget_chars)
    marked = _marked(state, "retrieval", now)
    return _generate_when_ready(replace(marked, passages=passages, retrieval_confidence=found.confidence), now)


def _nothing_found(state: RequestState, _message: NoPassagesFound, now: float) -> Step:
    if state.passages is not None:
        return state, []
    return _generate_when_ready(replace(_marked(state, "retrieval", now), passages=()), now)


def _generate_when_ready(state: RequestState, now: float) -> Step:
    """Moderation and retrieval run side by side; generation starts only once the input is cleared."""
    if not state.input_cleared or state.passages is None or state.stage != "accepted":
        return state, []
    if state.assistant.knowledge and not state.passages:
        told = replace(state, citing=replace(state.citing, text=NOT_FOUND_TEXT))
        ended, ends = _end(told, Outcome.COMPLETED, now, finish="stop")
        return ended, [Release(0, NOT_FOUND_TEXT), *ends]
    messages = _prompt(state)
    generate = GenerateAnswer(
        request_id=state.question.request_id,
        attempt=state.attempt,
        epoch=state.epoch,
        model=state.assistant.model,
        messages=messages,
        max_tokens=state.question.max_tokens,
        sampling=state.question.sampling,
    )
    started = replace(_marked(state, "prompt", now), stage="generating", citing=Citing(state.passages))
    return started, [KeepPrompt(messages), Send(generate)]


def _prompt(state: RequestState) -> tuple[ChatMessage, ...]:
    messages = state.question.messages
    if state.assistant.knowledge:
        return grounded_prompt(state.assistant, messages, state.passages or ())
    return plain_prompt(state.assistant, messages)


def _admitted(state: RequestState, message: GenerationAdmitted, now: float) -> Step:
    """The attempt is bound to the first worker that admitted it."""
    if message.attempt != state.attempt or state.worker is not None:
        return state, []
    return replace(_marked(state, "queue", now), worker=message.worker, prompt_tokens=message.prompt_tokens), []


def _tokens(state: RequestState, message: TokensGenerated, now: float) -> Step:
    if not _of_bound_attempt(state, message) or message.sequence < state.next_sequence:
        return state, []
    if message.sequence > state.next_sequence:
        return _end(state, Outcome.FAILED, now, reason="part of the answer was lost on its way", cancel=True)
    grown = replace(
        _marked(state, "first_token", now),
        next_sequence=message.sequence + 1,
        token_ids=state.token_ids + message.token_ids,
        raw=state.raw + message.text,
    )
    return _send_window(grown)


def _completed(state: RequestState, message: AnswerCompleted, now: float) -> Step:
    if not _of_bound_attempt(state, message) or state.completed is not None:
        return state, []
    if message.sequence != state.next_sequence:
        return _end(state, Outcome.FAILED, now, reason="part of the answer was lost on its way")
    return _release(replace(_marked(state, "generation", now), completed=message), now)


def _send_window(state: RequestState) -> Step:
    windows, window = next_window(
        state.windows, state.question.request_id, state.generated, final=state.completed is not None
    )
    return replace(state, windows=windows), [Send(window)] if window else []


def _release(state: RequestState, now: float, *, last: bool = False) -> Step:
    """Release what is cleared, cited; then send the next window, or end."""
    done = state.completed is not None and all_cleared(state.windows, state.generated)
    citing = cite(state.citing, state.generated, state.windows.cleared, final=done or last)
    before, after = len(state.citing.text), len(citing.text)
    effects: list[Effect] = []
    if after > before:
        state = _marked(state, "first_release", now)
        effects.append(Release(before, citing.text[before:]))
    state = replace(state, citing=citing)
    if last:
        return state, effects
    if done:
        finish = state.completed.finish_reason.value if state.completed else "stop"
        ended, ends = _end(state, Outcome.COMPLETED, now, finish=finish)
        return ended, [*effects, *ends]
    state, windows = _send_window(state)
    return state, [*effects, *windows]


def _refused(state: RequestState, message: GenerationRefused, now: float) -> Step:
    if message.attempt != state.attempt:
        return state, []
    return _end(state, Outcome.REFUSED, now, reason=message.reason, finish="error")


def _generation_failed(state: RequestState, message: GenerationFailed, now: float) -> Step:
    if not _of_bound_attempt(state, message):
        return state, []
    return _end(state, Outcome.FAILED, now, reason="the generator could not finish this answer")


def _generation_stopped(state: RequestState, message: GenerationStopped, now: float) -> Step:
    """A worker that drains hands its attempt back, which costs none: the next one goes on after what was received."""
    if not _of_bound_attempt(state, message):
        return state, []
    if not message.handed_back:
        return _end(state, Outcome.FAILED, now, reason="the generator stopped this answer")
    generate = GenerateAnswer(
        request_id=state.question.request_id,
        attempt=state.attempt + 1,
        epoch=state.epoch,
        model=state.assistant.model,
        messages=_prompt(state),
        max_tokens=state.question.max_tokens,
        sampling=state.question.sampling,
        prefix_token_ids=state.token_ids,
    )
    return replace(state, attempt=state.attempt + 1, worker=None, next_sequence=0), [Send(generate)]


def _command_failed(state: RequestState, message: CommandFailed, now: float) -> Step:
    return _end(state, Outcome.FAILED, now, reason=f"{message.command} failed", cancel=state.stage == "generating")


def _expired(state: RequestState, _message: DeadlinePassed | CommandExpired, now: float) -> Step:
    return _end(
        state,
        Outcome.EXPIRED,
        now,
        reason="the deadline passed before the answer was complete",
        cancel=state.stage == "generating",
    )


def _abandoned(state: RequestState, _message: Abandoned, now: float) -> Step:
    return _end(state, Outcome.CANCELLED, now, reason="cancelled by the client", cancel=state.stage == "generating")


def _of_bound_attempt(state: RequestState, message: Any) -> bool:
    return bool(message.attempt == state.attempt and message.worker == state.worker)


def _end(
    state: RequestState,
    outcome: Outcome,
    now: float,
    *,
    reason: str | None = None,
    finish: str = "error",
    cancel: bool = False,
) -> Step:
    state = replace(_marked(state, "total", now), stage="ended")
    completion = state.completed.completion_tokens if state.completed else len(state.token_ids)
    answer = Answer(
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
        prompt_tokens=state.completed.prompt_tokens if state.completed else state.prompt_tokens,
        completion_tokens=completion,
        passages=len(state.passages or ()),
    )
    effects: list[Effect] = [CancelAttempt(state.attempt)] if cancel else []
    return state, [*effects, End(answer)]


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


def _noted(state: RequestState, verdict: TextCleared | TextBlocked, outcome: str) -> RequestState:
    note: dict[str, Any] = {"role": verdict.role.value, "outcome": outcome}
    if isinstance(verdict, TextBlocked):
        note |= {"rule": verdict.rule, "category": verdict.category}
    return replace(state, verdicts=(*state.verdicts, note))


def _marked(state: RequestState, stage: str, now: float) -> RequestState:
    return state if stage in state.marks else replace(state, marks={**state.marks, stage: now})


def timings(state: RequestState) -> dict[str, float]:
    """Milliseconds for each stage that the request went through; `total` from acceptance to the end."""
    marks, created = state.marks, state.question.created
    begun = {
        "input_moderation": created,
        "retrieval": created,
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


_HANDLERS: dict[type, Callable[[RequestState, Any, float], Step]] = {
    Began: _begin,
    TextCleared: _cleared,
    TextBlocked: _blocked,
    PassagesRetrieved: _retrieved,
    NoPassagesFound: _nothing_found,
    GenerationAdmitted: _admitted,
    TokensGenerated: _tokens,
    AnswerCompleted: _completed,
    GenerationRefused: _refused,
    GenerationFailed: _generation_failed,
    GenerationStopped: _generation_stopped,
    CommandFailed: _command_failed,
    CommandExpired: _expired,
    DeadlinePassed: _expired,
    Abandoned: _abandoned,
}

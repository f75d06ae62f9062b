"""While a worker generates: tokens become windows, verdicts release text, the last window ends the request."""

from dataclasses import replace
from typing import TypeAlias

from groundswell.common.contracts.answers import Outcome
from groundswell.common.contracts.generation import (
    AnswerCompleted,
    GenerationAdmitted,
    GenerationFailed,
    GenerationRefused,
    GenerationStopped,
    TokensGenerated,
)
from groundswell.common.contracts.moderation import TextBlocked, TextCleared
from groundswell.orchestrator.domain.citing import cite
from groundswell.orchestrator.domain.ending import CONTENT_FILTER, end, expire
from groundswell.orchestrator.domain.gathering import generation_command
from groundswell.orchestrator.domain.liveness import BoundAttempt
from groundswell.orchestrator.domain.state import (
    AttemptLost,
    BindAttempt,
    Bury,
    CancelAttempt,
    Effect,
    Release,
    RequestState,
    Send,
    Step,
    WorkerLost,
    marked,
    noted,
)
from groundswell.orchestrator.domain.windows import all_cleared, next_window, take_verdict

MAX_LOSSES = 3
LOST_PART = "part of the answer was lost on its way"

OfWorker: TypeAlias = TokensGenerated | AnswerCompleted | GenerationFailed | GenerationStopped | BoundAttempt
OfAttempt: TypeAlias = OfWorker | GenerationAdmitted | GenerationRefused


def take_admission(state: RequestState, message: GenerationAdmitted, now: float) -> Step:
    """The attempt is bound to the first worker that admitted it."""
    if (message.epoch, message.attempt) < (state.attempt_epoch, state.attempt):
        return state, [CancelAttempt(message.attempt, message.epoch)]  # a copy, or a worker that was only stopped
    if not _of_attempt(state, message):
        return state, []
    if state.worker is not None:
        return state, [BindAttempt(state.worker, doubled=True)] if state.worker != message.worker else []
    if message.prefix_length != len(state.token_ids):
        return state, []
    state = replace(marked(state, "queue", now), worker=message.worker, prompt_tokens=message.prompt_tokens)
    return state, [BindAttempt(message.worker, doubled=False)]


def take_tokens(state: RequestState, message: TokensGenerated, now: float) -> Step:
    if not _of_bound_attempt(state, message) or message.sequence < state.next_sequence:
        return state, []
    if message.sequence > state.next_sequence:
        return end(state, Outcome.FAILED, now, reason=LOST_PART)
    grown = replace(
        marked(state, "first_token", now),
        next_sequence=message.sequence + 1,
        token_ids=state.token_ids + message.token_ids,
        raw=state.raw + message.text,
    )
    return _send_window(grown)


def take_completion(state: RequestState, message: AnswerCompleted, now: float) -> Step:
    if not _of_bound_attempt(state, message) or state.completed is not None:
        return state, []
    if message.sequence != state.next_sequence:
        return end(state, Outcome.FAILED, now, reason=LOST_PART)
    return _go_on(replace(marked(state, "generation", now), completed=message), now)


def take_window_verdict(state: RequestState, verdict: TextCleared | TextBlocked, now: float) -> Step:
    windows = take_verdict(state.windows, verdict)
    if windows is state.windows:
        return state, []
    state = replace(state, windows=windows)
    if windows.blocked is None:
        return _go_on(state, now)
    # What stands before the violation was cleared. Its last sentence is cut off, so it gets no mark.
    state, effects = _release(noted(state, verdict), now, final=False)
    ended, ends = end(state, Outcome.REFUSED, now, reason=windows.blocked.reason, finish=CONTENT_FILTER)
    return ended, [*effects, *ends]


def take_refusal(state: RequestState, message: GenerationRefused, now: float) -> Step:
    """Nobody can run it; but once a worker has admitted the attempt, the refusal is that of a copy."""
    if not _of_attempt(state, message) or state.worker is not None:
        return state, []
    return end(state, Outcome.REFUSED, now, reason=message.reason)


def take_failure(state: RequestState, message: GenerationFailed, now: float) -> Step:
    """The model broke off, perhaps because of another request: it counts as a loss."""
    if not _of_attempt(state, message) or state.worker not in {None, message.worker} or state.completed is not None:
        return state, []
    return _lose(state, now)


def take_stop(state: RequestState, message: GenerationStopped, now: float) -> Step:
    """A worker that drains hands its attempt back: the next one goes on after what was received."""
    if not _of_attempt(state, message) or state.worker not in {None, message.worker}:
        return state, []
    if not message.handed_back and now >= state.question.deadline:
        return expire(state, message, now)
    if not message.handed_back:
        return _lose(state, now)  # nobody here asked for it
    return supersede(state) if state.worker is None else _next_attempt(state)


def take_loss(state: RequestState, message: WorkerLost, now: float) -> Step:
    """Its worker is gone, whatever it did last."""
    if state.worker != message.worker or state.completed is not None:
        return state, []
    return _lose(state, now)


def take_attempt_loss(state: RequestState, message: AttemptLost, now: float) -> Step:
    """Its worker lost it, or could not say how it ended."""
    if not _of_bound_attempt(state, message.attempt) or state.completed is not None:
        return state, []
    return _lose(state, now)


def _lose(state: RequestState, now: float) -> Step:
    """Another worker goes on after what was received; the third attempt that is lost ends the request."""
    state = replace(state, losses=state.losses + 1)
    if state.losses < MAX_LOSSES:
        return supersede(state)
    reason = f"it was lost with its worker {MAX_LOSSES} times"
    buried = Bury(generation_command(state), reason, state.losses)
    state, effects = end(state, Outcome.FAILED, now, reason=reason)
    return state, [buried, *effects]


def supersede(state: RequestState) -> Step:
    """Go on with a new attempt; whoever has the old one shall let it go."""
    superseded = CancelAttempt(state.attempt)
    state, effects = _next_attempt(state)
    return state, [superseded, *effects]


def _next_attempt(state: RequestState) -> Step:
    state = replace(state, attempt=state.attempt + 1, attempt_epoch=state.epoch, worker=None, next_sequence=0)
    return state, [Send(generation_command(state))]


def _go_on(state: RequestState, now: float) -> Step:
    """Release what is cleared, then end if that was all, else send the next window."""
    done = state.completed is not None and all_cleared(state.windows, state.generated)
    state, effects = _release(state, now, final=done)
    if done and state.completed is not None:
        ended, ends = end(state, Outcome.COMPLETED, now, finish=state.completed.finish_reason.value)
        return ended, [*effects, *ends]
    state, windows = _send_window(state)
    return state, [*effects, *windows]


def _release(state: RequestState, now: float, *, final: bool) -> Step:
    citing = cite(state.citing, state.generated, state.windows.cleared, final=final)
    before = len(state.citing.text)
    effects: list[Effect] = []
    if len(citing.text) > before:
        state = marked(state, "first_release", now)
        effects.append(Release(before, citing.text[before:]))
    return replace(state, citing=citing), effects


def _send_window(state: RequestState) -> Step:
    windows, window = next_window(state.windows, state.request_id, state.generated, final=state.completed is not None)
    return replace(state, windows=windows), [Send(window)] if window else []


def _of_attempt(state: RequestState, message: OfAttempt) -> bool:
    return (message.epoch, message.attempt) == (state.attempt_epoch, state.attempt)


def _of_bound_attempt(state: RequestState, message: OfWorker) -> bool:
    return _of_attempt(state, message) and message.worker == state.worker

"""The life of a request: `advance(state, message, now) -> (state, effects)`. Pure: time comes in as an argument.

accepted ── input cleared, passages found and cleared ──> generating ── last window cleared ──> ended
   │  │                                                      │
   │  └ nothing found: an honest answer                      ├ blocked: refused, with what was cleared before
   └ input blocked: refused                                  └ deadline, cancel, failure
"""

from collections.abc import Callable
from typing import Any

from groundswell.common.contracts.answers import CancelRequested
from groundswell.common.contracts.generation import (
    AnswerCompleted,
    GenerateAnswer,
    GenerationAdmitted,
    GenerationFailed,
    GenerationRefused,
    GenerationStopped,
    TokensGenerated,
)
from groundswell.common.contracts.message import CommandExpired, CommandFailed
from groundswell.common.contracts.moderation import TextBlocked, TextCleared, TextRole
from groundswell.common.contracts.retrieval import NoPassagesFound, PassagesRetrieved
from groundswell.orchestrator.domain import ending, gathering, generating
from groundswell.orchestrator.domain.state import (
    Abandoned,
    AttemptLost,
    Began,
    DeadlinePassed,
    Input,
    Reply,
    RequestState,
    Step,
    WorkerLost,
)


def advance(state: RequestState, message: Input, now: float) -> Step:
    """The next state and what to do. A message that is late, doubled or of another attempt changes nothing."""
    if isinstance(message, Reply):
        return advance(state, message.payload, now) if _counts(state, message) else (state, [])
    take = _TAKE.get(type(message))
    if state.stage == "ended" or take is None:
        return state, []
    return take(state, message, now)


def _counts(state: RequestState, reply: Reply) -> bool:
    """A generation command that came to nothing says so of its own attempt only, and once that runs it was a copy."""
    payload = reply.payload
    if not isinstance(payload, CommandFailed | CommandExpired) or payload.command != GenerateAnswer.type_name():
        return True
    return state.worker is None and (reply.epoch, reply.attempt) == (state.attempt_epoch, state.attempt)


def _take_verdict(state: RequestState, verdict: TextCleared | TextBlocked, now: float) -> Step:
    return _VERDICTS[verdict.role](state, verdict, now)


_VERDICTS: dict[TextRole, Callable[[RequestState, TextCleared | TextBlocked, float], Step]] = {
    TextRole.INPUT: gathering.take_input_verdict,
    TextRole.PASSAGE: gathering.take_passage_verdict,
    TextRole.ANSWER: generating.take_window_verdict,
}
_TAKE: dict[type, Callable[[RequestState, Any, float], Step]] = {
    Began: gathering.begin,
    TextCleared: _take_verdict,
    TextBlocked: _take_verdict,
    PassagesRetrieved: gathering.take_passages,
    NoPassagesFound: gathering.nothing_found,
    GenerationAdmitted: generating.take_admission,
    TokensGenerated: generating.take_tokens,
    AnswerCompleted: generating.take_completion,
    GenerationRefused: generating.take_refusal,
    GenerationFailed: generating.take_failure,
    GenerationStopped: generating.take_stop,
    WorkerLost: generating.take_loss,
    AttemptLost: generating.take_attempt_loss,
    CommandFailed: ending.fail,
    CommandExpired: ending.expire,
    DeadlinePassed: ending.expire,
    Abandoned: ending.abandon,
    CancelRequested: ending.cancel,
}

"""The state of a request, made again from what lies on its reply partition: its replica died, or was too slow.

`advance` is a function of what it hears, so the same messages in the same order give the same state and the same text.
What the log does not say is which attempts were given up meanwhile: a later admission of the same owner does.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from groundswell.common.contracts.answers import Outcome, RepliesAdopted
from groundswell.common.contracts.generation import (
    AnswerCompleted,
    GenerationAdmitted,
    GenerationFailed,
    GenerationStopped,
    TokensGenerated,
)
from groundswell.common.contracts.message import Message
from groundswell.common.contracts.retrieval import NoPassagesFound, PassagesRetrieved
from groundswell.orchestrator.domain.assistants import gone
from groundswell.orchestrator.domain.ending import end
from groundswell.orchestrator.domain.gathering import unanswered
from groundswell.orchestrator.domain.generating import supersede
from groundswell.orchestrator.domain.question import Question
from groundswell.orchestrator.domain.request import advance
from groundswell.orchestrator.domain.state import (
    Began,
    BindAttempt,
    Effect,
    End,
    Release,
    Reply,
    RequestState,
    Send,
    Step,
)

AttemptNumber: TypeAlias = tuple[int, int]
"""Epoch and number: they order the attempts of a request."""

GONE = "the model or assistant it asked for is gone"

_FIRST = 0
"""Below every epoch: the first owner's is learnt from the first attempt that was admitted."""


def resume(state: RequestState, replies: Sequence[Reply], now: float) -> Step:
    """The state after `replies`, and what is to be done so that the request goes on from there.

    `state` is that of a request at its beginning. `replies` has a RepliesAdopted for each owner after the first, also
    for this one. All text is released again from 0: it is the same text.
    """
    epoch = state.epoch
    state, effects = advance(replace(state, epoch=_FIRST), Began(), state.question.created)
    for owner, heard in _by_owner(replies):
        if owner is not None:
            state, effects = _take_over(replace(state, epoch=owner))
        state, more = _hear(state, heard, now)
        effects = [*effects, *more]
        if state.stage == "ended":
            break
    text = _released(state, effects)
    # Who ended has nothing left to send; the end itself counts only under the epoch of this owner.
    done = Release | Send if state.stage == "ended" else Release
    return replace(state, epoch=epoch), [
        *([Release(0, text)] if text else []),
        *(effect for effect in effects if not isinstance(effect, done)),
    ]


def end_without_assistant(question: Question, epoch: int, replies: Sequence[Reply], now: float) -> Step:
    """The end of a request whose assistant is gone, under `epoch`, with the text that the first owner released."""
    knowledge = any(isinstance(reply.payload, PassagesRetrieved | NoPassagesFound) for reply in replies)
    assistant = gone(question.model, knowledge=knowledge)
    state, effects = resume(RequestState(question=question, assistant=assistant, epoch=epoch), replies, now)
    if state.stage == "ended":
        return state, effects
    state, ends = end(state, Outcome.FAILED, now, reason=GONE)
    return state, [*(effect for effect in effects if isinstance(effect, Release)), *ends]


def _by_owner(replies: Sequence[Reply]) -> Iterator[tuple[int | None, list[Reply]]]:
    """What each owner heard, with its epoch; that of the first is not known."""
    owner: int | None = None
    heard: list[Reply] = []
    for reply in replies:
        if isinstance(reply.payload, RepliesAdopted):
            yield owner, heard
            owner, heard = reply.payload.epoch, []
        else:
            heard.append(reply)
    yield owner, heard


def _hear(state: RequestState, heard: Sequence[Reply], now: float) -> Step:
    """What one owner heard, as far as it counted: less what came of an attempt after that had been given up."""
    admitted: dict[AttemptNumber, int] = {}
    for reply in heard:
        if isinstance(reply.payload, GenerationAdmitted) and reply.payload.epoch >= state.epoch:
            admitted.setdefault(_number(reply.payload), reply.payload.prefix_length)
    effects: list[Effect] = []
    for reply in heard:
        if not _counted(reply.payload, admitted):
            continue
        state, more = advance(_given_up_before(state, reply.payload), reply, now)
        effects += more
        if state.stage == "ended":
            break
    return state, effects


def _counted(payload: Message, admitted: Mapping[AttemptNumber, int]) -> bool:
    """`admitted`: by attempt, how many tokens had been received when it began."""
    if isinstance(payload, TokensGenerated):
        later = [length for number, length in admitted.items() if number > _number(payload)]
        return payload.position < min(later, default=payload.position + 1)
    if isinstance(payload, AnswerCompleted | GenerationFailed | GenerationStopped):
        given_up = _number(payload) < max(admitted, default=(0, 0))
        return not given_up or (isinstance(payload, GenerationStopped) and payload.handed_back)
    return True


def _given_up_before(state: RequestState, payload: Message) -> RequestState:
    """The owner's admission of a later attempt says that those before it were lost."""
    if not isinstance(payload, GenerationAdmitted) or state.stage != "generating":
        return state
    epoch, attempt = _number(payload)
    if epoch < state.epoch or (epoch, attempt) <= (state.attempt_epoch, state.attempt):
        return state
    losses = state.losses + (state.worker is not None)
    return replace(state, attempt=attempt, attempt_epoch=epoch, worker=None, next_sequence=0, losses=losses)


def _number(
    payload: GenerationAdmitted | TokensGenerated | AnswerCompleted | GenerationFailed | GenerationStopped,
) -> AttemptNumber:
    return payload.epoch, payload.attempt


def _take_over(state: RequestState) -> Step:
    """Send again what has no outcome yet: nobody knows whether it was sent."""
    if state.stage == "accepted":
        return state, unanswered(state)
    window = state.windows.in_flight
    check: list[Effect] = [Send(window)] if window else []
    if state.worker is not None:
        return state, [BindAttempt(state.worker, doubled=True), *check]
    # Whether anybody has the attempt is not known: the next one goes on with what was received.
    state, effects = supersede(state)
    return state, [*effects, *check]


def _released(state: RequestState, ends: Sequence[Effect]) -> str:
    answer = next((effect.answer for effect in ends if isinstance(effect, End)), None)
    return answer.text if answer else state.citing.text

"""The state of a request, made again from what lies on its reply partition: its replica died, or was too slow.

`advance` is a function of what it hears, so the same messages in the same order give the same state and the same text.
What the log does not say is which attempts were given up meanwhile: a later admission does.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from groundswell.common.contracts.generation import (
    AnswerCompleted,
    GenerateAnswer,
    GenerationAdmitted,
    GenerationFailed,
    GenerationStopped,
    TokensGenerated,
)
from groundswell.common.contracts.message import CommandExpired, CommandFailed, Message
from groundswell.orchestrator.domain.gathering import unanswered
from groundswell.orchestrator.domain.generating import supersede
from groundswell.orchestrator.domain.request import advance
from groundswell.orchestrator.domain.state import Began, Effect, End, Release, RequestState, Send, Step

AttemptNumber: TypeAlias = tuple[int, int]
"""Epoch and number: they order the attempts of a request."""


@dataclass(frozen=True)
class Reply:
    """A message of the reply partition; `attempt` and `epoch` are those of the command that it answers."""

    payload: Message
    attempt: int
    epoch: int


def resume(state: RequestState, replies: Sequence[Reply], now: float) -> Step:
    """The state after `replies`, and what is to be done so that the request goes on from there.

    `state` is that of a request at its beginning. All text is released again from 0: it is the same text.
    """
    epoch = state.epoch
    # While it hears of attempts that earlier owners began, none is its own.
    state, _ = advance(replace(state, epoch=0), Began(), state.question.created)
    ends: list[Effect] = []
    for reply in _as_they_counted(replies):
        if is_of_superseded_attempt(state, reply):
            continue
        state = _given_up_before(state, reply.payload)
        state, effects = advance(state, reply.payload, now)
        if state.stage == "ended":
            ends = [effect for effect in effects if not isinstance(effect, Release)]
            break
    state = replace(state, epoch=epoch)
    if state.stage != "ended":
        state, ends = _go_on(state)
    text = _released(state, ends)
    return state, [*([Release(0, text)] if text else []), *ends]


def is_of_superseded_attempt(state: RequestState, reply: Reply) -> bool:
    """A generation command that was given up says nothing of the attempt after it."""
    payload = reply.payload
    return (
        isinstance(payload, CommandFailed | CommandExpired)
        and payload.command == GenerateAnswer.type_name()
        and (reply.epoch, reply.attempt) != (state.attempt_epoch, state.attempt)
    )


def _as_they_counted(replies: Sequence[Reply]) -> Iterator[Reply]:
    """Without what came of an attempt after it had been given up."""
    admitted: dict[AttemptNumber, int] = {}
    for reply in replies:
        if isinstance(reply.payload, GenerationAdmitted):
            admitted.setdefault(_number(reply.payload), reply.payload.prefix_length)
    return (reply for reply in replies if _counted(reply.payload, admitted))


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
    """An admission of a later attempt says that those before it were lost."""
    if not isinstance(payload, GenerationAdmitted) or state.stage != "generating":
        return state
    epoch, attempt = _number(payload)
    if (epoch, attempt) <= (state.attempt_epoch, state.attempt):
        return state
    losses = state.losses + (state.worker is not None)
    return replace(state, attempt=attempt, attempt_epoch=epoch, worker=None, next_sequence=0, losses=losses)


def _number(
    payload: GenerationAdmitted | TokensGenerated | AnswerCompleted | GenerationFailed | GenerationStopped,
) -> AttemptNumber:
    return payload.epoch, payload.attempt


def _go_on(state: RequestState) -> Step:
    """Send again what has no outcome yet: nobody knows whether it was sent."""
    if state.stage == "accepted":
        return state, unanswered(state)
    window = state.windows.in_flight
    check: list[Effect] = [Send(window)] if window else []
    if state.worker is not None:
        return state, check
    # Whether anybody has the attempt is not known: the next one goes on with what was received.
    state, effects = supersede(state)
    return state, [*effects, *check]


def _released(state: RequestState, ends: Sequence[Effect]) -> str:
    answer = next((effect.answer for effect in ends if isinstance(effect, End)), None)
    return answer.text if answer else state.citing.text

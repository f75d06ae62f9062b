"""A worker that runs what nobody wants is told so, but not for each message of it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundswell.common.contracts.generation import AttemptCancelled, ChatMessage, TokensGenerated
from groundswell.common.ids import KeyId, RequestId, TeamId, WorkerId
from groundswell.common.tiers import Tier
from groundswell.orchestrator.domain.assistants import find
from groundswell.orchestrator.domain.liveness import BoundAttempt
from groundswell.orchestrator.domain.question import Caller, Question
from groundswell.orchestrator.domain.state import RequestState
from groundswell.orchestrator.domain.unwanted import TELL_EVERY_S, ToldToEnd, cancel_if_unwanted

REQUEST = RequestId("req_1")
BOUND, OTHER = WorkerId("worker-1"), WorkerId("worker-2")


def attempt(number: int = 1) -> BoundAttempt:
    return BoundAttempt(REQUEST, number, 7, BOUND)


def running(**changes: Any) -> RequestState:
    """The second attempt of the owner with epoch 7."""
    assistant = find("null", "null")
    assert assistant is not None
    question = Question(
        request_id=REQUEST,
        caller=Caller(key=KeyId("key_1"), team=TeamId("blue")),
        model="null",
        messages=(ChatMessage(role="user", content="When do backups run?"),),
        tier=Tier.INTERACTIVE,
        created=0.0,
        deadline=60.0,
        max_tokens=16,
    )
    changes = {"stage": "generating", "attempt": 2, "attempt_epoch": 7, "worker": BOUND, **changes}
    return RequestState(question=question, assistant=assistant, epoch=7, **changes)


def tokens(number: int, epoch: int, worker: WorkerId) -> TokensGenerated:
    return TokensGenerated(
        request_id=REQUEST, attempt=number, epoch=epoch, worker=worker, sequence=0, position=0, token_ids=(1,), text="a"
    )


@pytest.mark.parametrize(
    ("number", "epoch", "worker", "changes", "cancelled"),
    [
        pytest.param(2, 7, BOUND, {}, None, id="the newest attempt, of its worker"),
        pytest.param(2, 7, OTHER, {"worker": None}, None, id="its admission is not taken yet"),
        pytest.param(3, 7, BOUND, {}, None, id="an attempt that is not known yet"),
        pytest.param(1, 8, OTHER, {}, None, id="an attempt of a newer owner"),
        pytest.param(1, 7, OTHER, {}, (1, 7, None), id="an attempt that was given up"),
        pytest.param(9, 6, OTHER, {}, (9, 6, None), id="an attempt of an earlier owner that was given up"),
        pytest.param(2, 7, OTHER, {}, (2, 7, BOUND), id="a copy"),
        pytest.param(2, 7, BOUND, {"stage": "ended"}, (2, 7, None), id="of a request that has ended"),
    ],
)
def test_tokens_that_a_request_does_not_wait_for_are_answered_with_a_cancel(
    number: int, epoch: int, worker: WorkerId, changes: dict[str, Any], cancelled: tuple[int, int, WorkerId] | None
) -> None:
    said = cancel_if_unwanted(running(**changes), tokens(number, epoch, worker))
    if cancelled is None:
        assert said is None
    else:
        told, of, but_of = cancelled
        assert said == AttemptCancelled(request_id=REQUEST, attempt=told, epoch=of, but_of=but_of)


@given(st.lists(st.tuples(st.integers(1, 3), st.floats(0.0, 1.5)), max_size=60))
def test_each_attempt_is_told_at_once_and_then_once_in_a_while(said: list[tuple[int, float]]) -> None:
    told, now, last = ToldToEnd(), 0.0, dict[int, float]()
    for number, later_s in said:
        now += later_s
        is_due = number not in last or now - last[number] >= TELL_EVERY_S
        assert told.is_due(attempt(number), now) is is_due
        if is_due:
            last[number] = now


def test_what_was_told_is_forgotten() -> None:
    told = ToldToEnd(most=5)
    assert all(told.is_due(attempt(number), 0.0) for number in range(20))
    assert len(told) == 5
    told.is_due(attempt(), TELL_EVERY_S)
    assert len(told) == 1

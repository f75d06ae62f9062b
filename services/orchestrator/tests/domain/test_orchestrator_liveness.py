"""A worker is lost when it fell silent while it could have been heard, an attempt when its worker does not run it."""

import math
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from groundswell.common.contracts.generation import RunningAttempt, WorkerProgressed
from groundswell.common.ids import RequestId, WorkerId
from groundswell.orchestrator.domain.liveness import (
    ADMITTED_FOR_S,
    BoundAttempt,
    BoundAttempts,
    SilentWorker,
    WorkerSigns,
)

ONE, TWO = WorkerId("one"), WorkerId("two")
ATTEMPT = BoundAttempt(RequestId("req_1"), 2, 7, ONE)
COUNTS = ADMITTED_FOR_S
"""When a report is sent that counts against what was admitted at 0."""


def listening(now: float = 0.0) -> WorkerSigns:
    signs = WorkerSigns(lost_after_s=5.0)
    signs.listen(now, can_hear=True)
    return signs


def report(*running: BoundAttempt, worker: WorkerId = ONE, draining: bool = False) -> WorkerProgressed:
    named = tuple(
        RunningAttempt(request_id=each.request_id, attempt=each.attempt, completion_tokens=0) for each in running
    )
    return WorkerProgressed(worker=worker, models=("null",), slots=8, running=named, waiting=0, draining=draining)


def silent(signs: WorkerSigns, now: float) -> list[WorkerId]:
    return [each.worker for each in signs.take_silent(now)]


def test_who_speaks_is_not_lost_and_who_fell_silent_is_once() -> None:
    signs = listening()
    signs.hear(ONE, 0.0)
    signs.hear(TWO, 0.0)
    signs.hear(TWO, 4.0)
    assert silent(signs, 4.9) == []
    assert silent(signs, 5.0) == [ONE]
    assert silent(signs, 5.1) == []
    signs.hear(ONE, 6.0)
    assert set(silent(signs, 11.0)) == {ONE, TWO}


def test_who_said_at_last_that_it_drains_and_runs_nothing_had_drained() -> None:
    for last, had_drained in (
        (report(draining=True), True),
        (report(ATTEMPT, draining=True), False),
        (report(draining=False), False),
    ):
        signs = listening()
        signs.hear_progress(report(draining=True), 0.0)
        signs.hear_progress(last, 1.0)
        signs.hear(ONE, 2.0)  # what it said before may come later, from another topic
        assert signs.take_silent(6.9) == []
        assert signs.take_silent(7.0) == [SilentWorker(ONE, had_drained)]
        assert signs.take_silent(99.0) == []


def test_nobody_is_lost_while_kafka_is_away_or_only_just_back() -> None:
    signs = listening()
    signs.hear(ONE, 0.0)
    signs.listen(1.0, can_hear=False)
    assert silent(signs, 100.0) == []
    signs.listen(100.0, can_hear=True)
    assert silent(signs, 104.9) == []
    assert silent(signs, 105.0) == [ONE]


@given(st.lists(st.floats(0.0, 4.9), max_size=30))
def test_a_worker_that_speaks_often_enough_is_never_lost(pauses: list[float]) -> None:
    signs, now = listening(), 0.0
    signs.hear(ONE, now)
    for pause in pauses:
        now += pause
        assert silent(signs, now) == []
        signs.hear(ONE, now)


def missing(bound: BoundAttempts, heard_until: float = math.inf) -> list[BoundAttempt]:
    return list(bound.take_missing(heard_until))


def watching(attempt: BoundAttempt = ATTEMPT) -> BoundAttempts:
    bound = BoundAttempts()
    bound.bind(attempt, 0.0)
    return bound


def test_an_attempt_that_two_reports_do_not_name_is_lost_once_all_replies_before_were_heard() -> None:
    bound = watching()
    bound.hear(report(), sent=COUNTS, heard=100.0)
    assert missing(bound) == []
    bound.hear(report(), sent=COUNTS, heard=100.5)
    bound.hear(report(), sent=COUNTS, heard=101.0)
    assert missing(bound, heard_until=-math.inf) == []
    assert missing(bound, heard_until=100.5) == []
    assert missing(bound, heard_until=100.6) == [ATTEMPT]
    bound.hear(report(), sent=COUNTS, heard=101.0)
    assert missing(bound) == []


def test_what_was_sent_before_the_admission_says_nothing_however_late_it_comes() -> None:
    bound = watching()
    for _ in range(9):
        bound.hear(report(), sent=COUNTS - 0.1, heard=100.0)
    bound.bind(replace(ATTEMPT, attempt=3), 50.0)
    for _ in range(9):
        bound.hear(report(), sent=COUNTS + 49.9, heard=100.0)
    assert missing(bound) == []


def test_an_attempt_that_is_bound_again_is_the_same_and_one_after_it_another() -> None:
    bound, later = watching(), replace(ATTEMPT, attempt=3)
    bound.hear(report(), sent=COUNTS, heard=100.0)
    bound.bind(ATTEMPT, 50.0)
    bound.hear(report(), sent=COUNTS, heard=100.0)
    assert missing(bound) == [ATTEMPT]
    bound.bind(ATTEMPT, 0.0)
    bound.bind(later, 0.0)
    for _ in range(2):
        bound.hear(report(ATTEMPT), sent=COUNTS, heard=100.0)
    assert missing(bound) == [later]


def test_other_workers_and_requests_that_are_forgotten_say_nothing() -> None:
    bound, elsewhere = watching(), replace(ATTEMPT, worker=TWO)
    for _ in range(2):
        bound.hear(report(worker=TWO), sent=COUNTS, heard=100.0)
    bound.bind(elsewhere, 0.0)
    for _ in range(2):
        bound.hear(report(), sent=COUNTS, heard=100.0)
    assert missing(bound) == []
    for _ in range(2):
        bound.hear(report(worker=TWO), sent=COUNTS, heard=100.0)
    bound.forget(ATTEMPT.request_id)
    assert missing(bound) == []


@given(st.lists(st.booleans(), max_size=20))
def test_only_what_the_newest_two_reports_do_not_name_is_lost(named: list[bool]) -> None:
    bound = watching()
    for each in named:
        bound.hear(report(*([ATTEMPT] if each else [])), sent=COUNTS, heard=100.0)
    assert missing(bound) == ([ATTEMPT] if len(named) >= 2 and not any(named[-2:]) else [])

import pytest

from groundswell.common.contracts.generation import (
    AnswerCompleted,
    ChatMessage,
    FinishReason,
    GenerateAnswer,
    GenerationAdmitted,
    GenerationFailed,
    GenerationRefused,
    GenerationStopped,
    TokensGenerated,
)
from groundswell.common.ids import RequestId, WorkerId
from groundswell.common.tiers import Tier
from groundswell.generator.domain.attempt_run import AttemptRun, HandBack, Happening, Nothing, Report
from groundswell.generator.domain.attempts import Attempts, Before
from groundswell.generator.domain.jobs import Cancelled, Failed, Finished, Refused, Started, Tokens
from groundswell.generator.domain.pacing import TokenPacer

WORKER = WorkerId("w1")


def new_run(prefix: tuple[int, ...] = ()) -> AttemptRun:
    command = GenerateAnswer(
        request_id=RequestId("req_1"),
        attempt=2,
        epoch=7,
        model="null",
        messages=(ChatMessage(role="user", content="hi"),),
        max_tokens=9,
        prefix_token_ids=prefix,
    )
    return AttemptRun(command, WORKER, Tier.INTERACTIVE, TokenPacer(position=len(prefix)))


def reports(run: AttemptRun, *happenings: Happening) -> list[Report]:
    said = []
    for happening in happenings:
        for report in run.advance(happening, 0.0):
            run.published(report)
            said.append(report)
    return said


def test_an_answer_is_admitted_streamed_and_completed() -> None:
    run = new_run(prefix=(1, 2))
    finished = Finished(FinishReason.STOP, prompt_tokens=5, completion_tokens=4)
    admitted, first, rest, completed = reports(
        run, Started(5), Tokens((3,), "a"), Tokens((4,), "b"), Nothing(), finished
    )
    assert admitted == GenerationAdmitted(
        request_id=RequestId("req_1"), attempt=2, epoch=7, worker=WORKER, prefix_length=2, prompt_tokens=5
    )
    assert isinstance(first, TokensGenerated)
    assert isinstance(rest, TokensGenerated)
    assert (first.sequence, first.position, first.token_ids, first.text) == (0, 2, (3,), "a")
    assert (rest.sequence, rest.position, rest.token_ids, rest.text) == (1, 3, (4,), "b")
    assert isinstance(completed, AnswerCompleted)
    assert (completed.sequence, completed.completion_tokens, completed.finish_reason) == (2, 4, FinishReason.STOP)
    assert run.outcome == completed


@pytest.mark.parametrize(
    ("ending", "outcome"),
    [
        (Failed("the engine died"), GenerationFailed),
        (HandBack(), GenerationStopped),
        (Cancelled(2), GenerationStopped),
    ],
)
def test_whatever_ends_an_attempt_the_tokens_so_far_go_out_first(ending: Happening, outcome: type[Report]) -> None:
    *_, tokens, last = reports(new_run(), Started(5), Tokens((3,), "a"), Tokens((4,), "b"), ending)
    assert isinstance(tokens, TokensGenerated)
    assert tokens.token_ids == (4,)
    assert isinstance(last, outcome)


def test_a_drained_attempt_is_handed_back_and_a_cancelled_one_is_not() -> None:
    for ending, handed_back in ((HandBack(), True), (Cancelled(0), False)):
        (stopped,) = reports(new_run(), ending)
        assert isinstance(stopped, GenerationStopped)
        assert stopped.handed_back is handed_back


def test_a_refusal_is_the_only_message() -> None:
    assert reports(new_run(), Refused("too long")) == [
        GenerationRefused(request_id=RequestId("req_1"), attempt=2, epoch=7, reason="too long")
    ]


def test_an_attempt_is_admitted_only_once_that_is_published() -> None:
    run = new_run()
    (admission,) = run.advance(Started(5), 0.0)
    assert not run.admitted
    run.published(admission)
    assert run.admitted


def test_progress_counts_the_tokens_of_earlier_attempts() -> None:
    run = new_run(prefix=(1, 2))
    reports(run, Started(5), Tokens((3,), "a"))
    assert run.completion_tokens == 3


def left(*happenings: Happening) -> Before | None:
    attempts, run = Attempts(), new_run()
    attempts.join(run)
    reports(run, *happenings)
    attempts.leave(run)
    return attempts.before(run.key)


def test_a_worker_knows_what_became_of_an_attempt_that_comes_again() -> None:
    assert left(Started(1), Cancelled(0)) is Before.ENDED
    assert left(Started(1), Tokens((1,), "a")) is Before.BROKE_OFF
    assert left() is None


def test_a_running_attempt_is_reported_with_its_tokens() -> None:
    attempts, run = Attempts(), new_run()
    attempts.join(run)
    assert attempts.before(run.key) is Before.RUNS
    assert attempts.waiting() == 1
    reports(run, Started(1), Tokens((1,), "a"))
    assert attempts.waiting() == 0
    assert [(one.attempt, one.completion_tokens) for one in attempts.report()] == [(2, 1)]


def test_a_worker_remembers_a_bounded_number_of_attempts() -> None:
    attempts = Attempts(limit=0)
    run = new_run()
    attempts.join(run)
    reports(run, Started(1), Cancelled(0))
    attempts.leave(run)
    assert attempts.before(run.key) is None

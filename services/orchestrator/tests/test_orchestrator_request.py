"""The state machine of a request, as a table of what each message leads to."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundswell.common.contracts.answers import Outcome
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
from groundswell.common.contracts.message import CommandExpired, CommandFailed
from groundswell.common.contracts.moderation import CheckText, TextBlocked, TextCleared, TextRole
from groundswell.common.contracts.retrieval import (
    NoPassagesFound,
    Passage,
    PassageSection,
    PassagesRetrieved,
    RetrievePassages,
)
from groundswell.common.ids import DocumentId, KeyId, RequestId, TeamId, WorkerId
from groundswell.common.tiers import Tier
from groundswell.orchestrator.domain.assistants import find
from groundswell.orchestrator.domain.gathering import NOT_FOUND_TEXT, _shown
from groundswell.orchestrator.domain.liveness import BoundAttempt
from groundswell.orchestrator.domain.question import Answer, Caller, Question
from groundswell.orchestrator.domain.request import advance
from groundswell.orchestrator.domain.state import (
    Abandoned,
    AttemptLost,
    Began,
    BindAttempt,
    Bury,
    CancelAttempt,
    DeadlinePassed,
    Effect,
    End,
    Input,
    Release,
    Reply,
    RequestState,
    Send,
    WorkerLost,
)
from groundswell.orchestrator.domain.windows import digest

REQUEST = RequestId("req_1")
WORKER = WorkerId("worker-1")
TEXT = "The retention of the audit log is 400 days. Backups run every night at 2:30."


def passage(text: str = TEXT) -> Passage:
    return Passage(
        document=DocumentId("doc_1"),
        version=3,
        title="Operations",
        name="operations.md",
        section="Retention",
        source="handbook",
        updated=datetime(2026, 11, 1, tzinfo=UTC),
        start=100,
        end=100 + len(text),
        text=text,
    )


def begun(model: str = "docs-qa") -> RequestState:
    assistant = find(model, "null")
    assert assistant is not None
    question = Question(
        request_id=REQUEST,
        caller=Caller(key=KeyId("key_1"), team=TeamId("ops"), groups=("sre",)),
        model=model,
        messages=(ChatMessage(role="user", content=QUESTION),),
        tier=Tier.INTERACTIVE,
        created=0.0,
        deadline=60.0,
        max_tokens=64,
    )
    return RequestState(question=question, assistant=assistant)


class Life:
    """Feeds messages to one request and keeps what it did."""

    def __init__(self, model: str = "docs-qa") -> None:
        self.state = begun(model)
        self.effects: list[Effect] = []
        self.now = 0.0

    def hear(self, *messages: Input) -> list[Effect]:
        effects: list[Effect] = []
        for message in messages:
            self.now += 0.5
            self.state, new = advance(self.state, message, self.now)
            effects += new
        self.effects += effects
        return effects

    def until_generating(self) -> None:
        self.hear(Began(), input_cleared(), retrieved(), passage_cleared())

    def moderate(self, until: int | None = None) -> list[Effect]:
        """Clear the window in flight, up to `until` of the whole text."""
        window = self.state.windows.in_flight
        assert window is not None, "no window is with the moderator"
        end = window.start + len(window.text)
        return self.hear(answer_cleared(window, end if until is None else until))

    @property
    def released(self) -> str:
        return "".join(effect.text for effect in self.effects if isinstance(effect, Release))

    @property
    def answer(self) -> Answer:
        ends = [effect.answer for effect in self.effects if isinstance(effect, End)]
        assert len(ends) == 1, f"{len(ends)} terminal answers"
        return ends[0]


QUESTION = "How long is the audit log kept?"


def input_cleared() -> TextCleared:
    return TextCleared(
        request_id=REQUEST, role=TextRole.INPUT, window=0, start=0, cleared_until=31, text_sha256=digest(QUESTION)
    )


def retrieved(*passages: Passage) -> PassagesRetrieved:
    return PassagesRetrieved(request_id=REQUEST, passages=passages or (passage(),), confidence=0.8)


def passage_cleared(number: int = 0, of: Passage | None = None) -> TextCleared:
    judged = digest(_shown(of or passage()))
    return TextCleared(
        request_id=REQUEST, role=TextRole.PASSAGE, window=number, start=0, cleared_until=9, text_sha256=judged
    )


def answer_cleared(window: CheckText, until: int) -> TextCleared:
    return TextCleared(
        request_id=REQUEST,
        role=TextRole.ANSWER,
        window=window.window,
        start=window.start,
        cleared_until=until,
        text_sha256=digest(window.text),
    )


def passage_blocked(of: Passage) -> TextBlocked:
    return blocked(TextRole.PASSAGE).model_copy(update={"text_sha256": digest(_shown(of))})


def blocked(role: TextRole, window: CheckText | None = None, start: int = 0) -> TextBlocked:
    return TextBlocked(
        request_id=REQUEST,
        role=role,
        window=window.window if window else 0,
        start=start,
        end=start + 4,
        rule="secret.key",
        category="secrets",
        reason="it holds a secret",
        text_sha256=digest(window.text if window else QUESTION),
    )


def admitted(attempt: int = 1, worker: WorkerId = WORKER, prefix_length: int = 0) -> GenerationAdmitted:
    return GenerationAdmitted(
        request_id=REQUEST, attempt=attempt, epoch=0, worker=worker, prefix_length=prefix_length, prompt_tokens=50
    )


def tokens(sequence: int, text: str, attempt: int = 1, worker: WorkerId = WORKER) -> TokensGenerated:
    return TokensGenerated(
        request_id=REQUEST,
        attempt=attempt,
        epoch=0,
        worker=worker,
        sequence=sequence,
        position=sequence,
        token_ids=(sequence,),
        text=text,
    )


def completed(sequence: int, finish: FinishReason = FinishReason.STOP) -> AnswerCompleted:
    return AnswerCompleted(
        request_id=REQUEST,
        attempt=1,
        epoch=0,
        worker=WORKER,
        sequence=sequence,
        finish_reason=finish,
        prompt_tokens=50,
        completion_tokens=12,
    )


def attempt_lost(attempt: int = 1, worker: WorkerId = WORKER) -> AttemptLost:
    return AttemptLost(BoundAttempt(REQUEST, attempt, 0, worker))


def sent(effects: list[Effect], kind: type) -> list[object]:
    return [effect.payload for effect in effects if isinstance(effect, Send) and isinstance(effect.payload, kind)]


def test_moderation_and_retrieval_start_side_by_side() -> None:
    life = Life()
    effects = life.hear(Began())
    [retrieve] = sent(effects, RetrievePassages)
    assert isinstance(retrieve, RetrievePassages)
    assert set(retrieve.access) == {"team:ops", "group:sre", "organisation"}
    assert len(sent(effects, CheckText)) == 1


def test_a_bare_model_retrieves_nothing() -> None:
    life = Life("null")
    assert sent(life.hear(Began()), RetrievePassages) == []
    [generate] = sent(life.hear(input_cleared()), GenerateAnswer)
    assert isinstance(generate, GenerateAnswer)
    assert [message.role for message in generate.messages] == ["system", "user"]


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (1, 2, 0)])
def test_generation_starts_only_once_input_and_passages_are_cleared(order: tuple[int, ...]) -> None:
    life = Life()
    life.hear(Began())
    arriving = [input_cleared(), retrieved(), passage_cleared()]
    *early, last = (arriving[number] for number in order)
    assert sent(life.hear(*early), GenerateAnswer) == []
    [generate] = sent(life.hear(last), GenerateAnswer)
    assert isinstance(generate, GenerateAnswer)
    assert TEXT in generate.messages[-1].content


def test_a_passage_that_must_not_leave_reaches_neither_prompt_nor_citations() -> None:
    life = Life()
    secret = passage("The key of the audit log is gs_secret.")
    checks = sent(life.hear(Began(), input_cleared(), retrieved(secret, passage())), CheckText)
    judged = [check.text.splitlines()[-1] for check in checks if isinstance(check, CheckText)]
    assert judged[-2:] == [secret.text, TEXT.splitlines()[-1]]
    [generate] = sent(life.hear(passage_blocked(secret), passage_cleared(1)), GenerateAnswer)
    assert isinstance(generate, GenerateAnswer)
    assert "gs_secret" not in generate.messages[-1].content
    assert life.state.passages == (passage(),)
    assert {"role": "passage", "outcome": "blocked", "rule": "secret.key"}.items() <= life.state.verdicts[-1].items()


def test_whatever_of_a_passage_a_client_may_see_is_judged_with_it() -> None:
    life = Life()
    named = passage().model_copy(
        update={
            "title": "the-title",
            "name": "the-name.md",
            "source": "the-source",
            "section": "the-section",
            "sections": (PassageSection(start=100, section="the-section > its-part"),),
        }
    )
    effects = life.hear(Began(), retrieved(named))
    [judged] = [
        check.text
        for check in sent(effects, CheckText)
        if isinstance(check, CheckText) and check.window == 0 and check.role is TextRole.PASSAGE
    ]
    for shown in ("the-title", "the-name.md", "the-source", "the-section > its-part", TEXT):
        assert shown in judged


def test_only_passages_that_must_not_leave_are_as_good_as_none() -> None:
    life = Life()
    life.hear(Began(), input_cleared(), retrieved(), passage_blocked(passage()))
    assert life.answer.text == NOT_FOUND_TEXT


def test_a_blocked_input_is_refused_and_never_generated() -> None:
    life = Life()
    life.hear(
        Began(), blocked(TextRole.INPUT), PassagesRetrieved(request_id=REQUEST, passages=(passage(),), confidence=1)
    )
    assert life.answer.outcome is Outcome.REFUSED
    assert life.answer.reason == "it holds a secret"
    assert sent(life.effects, GenerateAnswer) == []


def test_nothing_found_is_an_honest_answer_without_generation() -> None:
    life = Life()
    life.hear(Began(), NoPassagesFound(request_id=REQUEST, reason="nothing is near"), input_cleared())
    assert (life.answer.outcome, life.answer.text) == (Outcome.COMPLETED, NOT_FOUND_TEXT)
    assert life.released == NOT_FOUND_TEXT
    assert life.answer.citations == ()


def test_an_answer_is_released_as_it_is_cleared_and_cited() -> None:
    life = Life()
    life.until_generating()
    life.hear(admitted(), tokens(0, "The audit log"), tokens(1, " is kept 400 days."))
    assert life.released == ""
    life.moderate()
    assert life.released == "The audit log"
    life.moderate()
    assert life.released == "The audit log is kept 400 days."
    life.hear(completed(2))
    life.moderate()
    assert life.answer.outcome is Outcome.COMPLETED
    assert life.released == life.answer.text == "The audit log is kept 400 days. [1]"
    [citation] = life.answer.citations
    assert citation.quote == "The retention of the audit log is 400 days."
    assert TEXT[citation.start - 100 : citation.end - 100] == citation.quote
    assert life.answer.confidence == pytest.approx(0.8)


def test_text_that_was_not_cleared_is_not_released() -> None:
    life = Life()
    life.until_generating()
    life.hear(admitted(), tokens(0, "The key is gs_abc"))
    life.moderate(until=11)
    assert life.released == "The key is"
    life.hear(tokens(1, "def"))
    window = life.state.windows.in_flight
    assert window is not None
    life.hear(blocked(TextRole.ANSWER, window, start=11))
    assert life.answer.outcome is Outcome.REFUSED
    assert life.answer.finish_reason == "content_filter"
    assert "gs_" not in life.released
    assert isinstance(life.effects[-1], End)
    assert any(isinstance(effect, CancelAttempt) for effect in life.effects), "the worker goes on for nobody"


@pytest.mark.parametrize(
    ("message", "outcome"),
    [
        (DeadlinePassed(), Outcome.EXPIRED),
        (Abandoned("its client left"), Outcome.CANCELLED),
        (CommandExpired(command="CheckText"), Outcome.EXPIRED),
        (CommandFailed(command="CheckText", reason="bug"), Outcome.FAILED),
    ],
)
def test_every_way_to_break_off_ends_the_request_once(message: Input, outcome: Outcome) -> None:
    life = Life()
    life.until_generating()
    life.hear(admitted(), tokens(0, "The audit log"))
    life.moderate()
    life.hear(message, message, completed(1), DeadlinePassed(), Abandoned("its client left"))
    assert life.answer.outcome is outcome
    assert life.answer.text == life.released == "The audit log"


def refused(attempt: int = 1) -> Reply:
    return Reply(GenerationRefused(request_id=REQUEST, attempt=attempt, epoch=0, reason="too long"), attempt, 0)


def command_failed(attempt: int = 1, command: str = "GenerateAnswer") -> Reply:
    return Reply(CommandFailed(command=command, reason="bug"), attempt, 0)


def command_expired(attempt: int = 1) -> Reply:
    return Reply(CommandExpired(command="GenerateAnswer"), attempt, 0)


@pytest.mark.parametrize(
    ("made", "outcome"),
    [(refused, Outcome.REFUSED), (command_failed, Outcome.FAILED), (command_expired, Outcome.EXPIRED)],
)
class TestAnAttemptThatCameToNothing:
    def test_ends_the_request_if_no_worker_has_admitted_it(
        self, made: Callable[[int], Reply], outcome: Outcome
    ) -> None:
        life = Life()
        life.until_generating()
        life.hear(made(1), made(1))
        assert life.answer.outcome is outcome

    def test_was_a_copy_if_a_worker_runs_it(self, made: Callable[[int], Reply], outcome: Outcome) -> None:
        life = Life()
        life.until_generating()
        life.hear(admitted(), tokens(0, "Yes"))
        assert life.hear(made(1)) == [], outcome
        life.hear(completed(1))
        life.moderate()
        life.moderate()
        assert life.answer.outcome is Outcome.COMPLETED

    def test_says_nothing_of_the_attempt_after_it(self, made: Callable[[int], Reply], outcome: Outcome) -> None:
        life = Life()
        life.until_generating()
        life.hear(admitted(), WorkerLost(WORKER))
        assert life.hear(made(1)) == []
        life.hear(made(2))
        assert life.answer.outcome is outcome


def test_a_check_that_failed_ends_the_request_whatever_runs() -> None:
    life = Life()
    life.until_generating()
    life.hear(admitted(), command_failed(command="CheckText"))
    assert life.answer.outcome is Outcome.FAILED


@pytest.mark.parametrize("message", [DeadlinePassed(), Abandoned("its client left")])
def test_a_running_attempt_nobody_waits_for_is_cancelled(message: Input) -> None:
    life = Life()
    life.until_generating()
    life.hear(admitted())
    assert CancelAttempt(1) in life.hear(message)


def test_a_handed_back_attempt_goes_on_after_what_was_received() -> None:
    life = Life()
    life.until_generating()
    life.hear(admitted(), tokens(0, "The audit log"))
    [again] = sent(
        life.hear(
            GenerationStopped(
                request_id=REQUEST, attempt=1, epoch=0, worker=WORKER, handed_back=True, completion_tokens=1
            ),
        ),
        GenerateAnswer,
    )
    assert isinstance(again, GenerateAnswer)
    assert (again.attempt, again.prefix_token_ids) == (2, (0,))
    other = WorkerId("worker-2")
    life.hear(tokens(1, " LATE"), admitted(2, other, 1), tokens(0, " is kept 400 days.", 2, other))
    assert life.state.raw == "The audit log is kept 400 days."


def test_a_verdict_on_another_text_counts_for_nothing() -> None:
    life = Life()
    life.hear(Began(), retrieved())
    other = digest("something harmless")
    life.hear(
        input_cleared().model_copy(update={"text_sha256": other}),
        passage_cleared().model_copy(update={"text_sha256": other}),
        passage_cleared(number=7),
    )
    assert not life.state.input_cleared
    assert life.state.judged == {}


def test_what_a_worker_stopped_at_the_deadline_has_expired_although_nobody_said_so_in_time() -> None:
    life = Life()
    life.until_generating()
    life.hear(admitted(), tokens(0, "The audit log"))
    life.now = life.state.question.deadline
    life.hear(
        GenerationStopped(
            request_id=REQUEST, attempt=1, epoch=0, worker=WORKER, handed_back=False, completion_tokens=1
        ),
    )
    assert life.answer.outcome is Outcome.EXPIRED


def test_another_worker_goes_on_after_what_a_lost_one_gave() -> None:
    life = Life()
    life.until_generating()
    life.hear(admitted(), tokens(0, "The audit log"))
    effects = life.hear(WorkerLost(WORKER), WorkerLost(WORKER))
    [again] = sent(effects, GenerateAnswer)
    assert isinstance(again, GenerateAnswer)
    assert (again.attempt, again.prefix_token_ids) == (2, (0,))
    assert CancelAttempt(1) in effects, "the lost one may only have been stopped"


def test_the_third_loss_ends_a_request_that_may_be_what_kills_its_workers() -> None:
    life = Life()
    life.until_generating()
    for attempt in (1, 2, 3):
        worker = WorkerId(f"worker-{attempt}")
        life.hear(admitted(attempt, worker), WorkerLost(worker))
    assert life.answer.outcome is Outcome.FAILED
    commands = [command for command in sent(life.effects, GenerateAnswer) if isinstance(command, GenerateAnswer)]
    assert [command.losses for command in commands] == [0, 1, 2]
    [buried] = [effect for effect in life.effects if isinstance(effect, Bury)]
    assert (buried.command.attempt, buried.attempts) == (3, 3)


@pytest.mark.parametrize("was_admitted", [True, False])
def test_another_attempt_goes_on_after_what_a_model_gave_that_broke_off(was_admitted: bool) -> None:
    life = Life()
    life.until_generating()
    if was_admitted:
        life.hear(admitted(), tokens(0, "The audit log"))
    failed = GenerationFailed(request_id=REQUEST, attempt=1, epoch=0, worker=WORKER, reason="its process ended")
    [again] = sent(life.hear(failed, failed), GenerateAnswer)
    assert isinstance(again, GenerateAnswer)
    assert (again.attempt, again.losses, again.prefix_token_ids) == (2, 1, (0,) if was_admitted else ())


def test_the_loss_of_another_worker_or_of_one_that_is_done_changes_nothing() -> None:
    life = Life()
    life.until_generating()
    life.hear(admitted(), tokens(0, "Yes"), WorkerLost(WorkerId("worker-2")), completed(1), WorkerLost(WORKER))
    assert life.state.attempt == 1


def test_another_attempt_goes_on_after_what_a_worker_gave_that_does_not_run_it_any_more() -> None:
    life = Life()
    life.until_generating()
    life.hear(admitted(), tokens(0, "The audit log"))
    effects = life.hear(attempt_lost(), attempt_lost())
    [again] = sent(effects, GenerateAnswer)
    assert isinstance(again, GenerateAnswer)
    assert (again.attempt, again.losses, again.prefix_token_ids) == (2, 1, (0,))
    assert CancelAttempt(1) in effects


def test_the_loss_of_another_attempt_or_of_one_that_has_completed_changes_nothing() -> None:
    life = Life()
    life.until_generating()
    assert life.hear(attempt_lost()) == [], "nobody has admitted it"
    life.hear(admitted(), tokens(0, "Yes"))
    assert life.hear(attempt_lost(2), attempt_lost(worker=WorkerId("worker-2"))) == []
    life.hear(completed(1))
    assert life.hear(attempt_lost()) == []


def test_tokens_of_another_attempt_or_worker_and_doubled_ones_change_nothing() -> None:
    life = Life()
    life.until_generating()
    life.hear(admitted(prefix_length=1), admitted(), admitted(worker=WorkerId("worker-2")), tokens(0, "Yes"))
    before = life.state
    life.hear(tokens(0, "Yes"), tokens(1, "no", attempt=2), tokens(1, "no", worker=WorkerId("worker-2")))
    assert replace(life.state, marks={}) == replace(before, marks={})


def test_who_admits_an_attempt_that_was_superseded_is_told_to_let_it_go() -> None:
    life = Life()
    life.until_generating()
    life.hear(admitted(), WorkerLost(WORKER), admitted(2, WorkerId("worker-2")))
    assert life.hear(admitted(worker=WorkerId("worker-3"))) == [CancelAttempt(1, epoch=0)]
    assert life.state.worker == "worker-2"


def test_an_attempt_that_was_handed_back_before_it_was_admitted_is_taken_from_all() -> None:
    life = Life()
    life.until_generating()
    effects = life.hear(
        GenerationStopped(request_id=REQUEST, attempt=1, epoch=0, worker=WORKER, handed_back=True, completion_tokens=0)
    )
    assert CancelAttempt(1) in effects, "another worker may have got a copy"
    assert len(sent(effects, GenerateAnswer)) == 1


def test_an_attempt_that_a_worker_stopped_unasked_goes_on_elsewhere() -> None:
    life = Life()
    life.until_generating()
    life.hear(admitted(), tokens(0, "The audit log"))
    stopped = GenerationStopped(
        request_id=REQUEST, attempt=1, epoch=0, worker=WORKER, handed_back=False, completion_tokens=1
    )
    [again] = sent(life.hear(stopped), GenerateAnswer)
    assert isinstance(again, GenerateAnswer)
    assert (again.attempt, again.losses, again.prefix_token_ids) == (2, 1, (0,))


def test_a_second_worker_that_admits_the_attempt_is_told_to_let_it_go() -> None:
    life = Life()
    life.until_generating()
    assert life.hear(admitted()) == [BindAttempt(WORKER, doubled=False)]
    assert life.hear(admitted()) == []
    assert life.hear(admitted(worker=WorkerId("worker-2"))) == [BindAttempt(WORKER, doubled=True)]


def test_a_gap_in_the_tokens_fails_the_request_rather_than_its_text() -> None:
    life = Life()
    life.until_generating()
    life.hear(admitted(), tokens(0, "Yes"), tokens(2, "lost"))
    assert life.answer.outcome is Outcome.FAILED


@given(cuts=st.lists(st.integers(0, 60), max_size=8), clear_late=st.booleans())
def test_released_text_is_the_same_however_tokens_and_windows_are_cut(cuts: list[int], *, clear_late: bool) -> None:
    whole = "The audit log is kept 400 days [2]. Backups run at 2:30 every night.\nI like it."
    edges = sorted({0, len(whole), *cuts})
    life = Life()
    life.until_generating()
    life.hear(admitted())
    for sequence, (start, end) in enumerate(pairwise(edges)):
        life.hear(tokens(sequence, whole[start:end]))
        if not clear_late and life.state.windows.in_flight:
            life.moderate()
    life.hear(completed(len(edges) - 1))
    while life.state.windows.in_flight:
        life.moderate()
    assert life.released == life.answer.text
    assert life.answer.text == "The audit log is kept 400 days. [1] Backups run at 2:30 every night. [2]\nI like it."

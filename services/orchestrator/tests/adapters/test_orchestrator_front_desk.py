"""The desk carries each question to one terminal answer, recorded before its client is told, whatever is away."""

import asyncio
import hashlib
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, NoReturn, cast

import pytest

from groundswell.common.bus.envelope import Envelope
from groundswell.common.bus.messages import Origin, Outgoing, Received
from groundswell.common.contracts.answers import (
    AnswerEnded,
    AnswerFollowed,
    AnswerReleased,
    CancelRequested,
    Outcome,
    RepliesAdopted,
    StreamAdopted,
)
from groundswell.common.contracts.generation import (
    AnswerCompleted,
    AttemptCancelled,
    ChatMessage,
    FinishReason,
    GenerateAnswer,
    GenerationAdmitted,
    GenerationFailed,
    RunningAttempt,
    TokensGenerated,
    WorkerProgressed,
)
from groundswell.common.contracts.message import CommandFailed, Message
from groundswell.common.contracts.moderation import CheckText, TextCleared, TextRole
from groundswell.common.contracts.retrieval import NoPassagesFound, RetrievePassages
from groundswell.common.errors import Rejected, Unavailable
from groundswell.common.ids import CorrelationId, KeyId, RequestId, TeamId, WorkerId, new_message_id
from groundswell.common.testing.waiting import until
from groundswell.common.tiers import Tier
from groundswell.common.topics import ANSWER_STREAM, GENERATE_ANSWER, ORCHESTRATOR_REPLIES, Command
from groundswell.orchestrator.adapters import front_desk
from groundswell.orchestrator.adapters.front_desk import Desk
from groundswell.orchestrator.adapters.run import NOBODY_CAME_BACK, ReplyRoute
from groundswell.orchestrator.domain import assistants
from groundswell.orchestrator.domain.ending import CANCELLED
from groundswell.orchestrator.domain.gathering import NOT_FOUND_TEXT
from groundswell.orchestrator.domain.liveness import ADMITTED_FOR_S, BoundAttempts, WorkerSigns
from groundswell.orchestrator.domain.placement import Copy, Placement
from groundswell.orchestrator.domain.question import Answer, Caller, Question
from groundswell.orchestrator.handlers import hear_progress
from groundswell.orchestrator.ports import (
    CLIENT_LEFT,
    AlreadyAccepted,
    Ownership,
    Released,
    RequestLedger,
    RequestRecord,
    StreamItem,
)

REQUEST = RequestId("req_000000000000000000000001")
WORKER = WorkerId("worker-1")
PARTITION = 3
EPOCH = 7
LIFE_S = 60.0
"""How long a message has left when it is sent."""


@dataclass
class Ledger:
    """The rows; `broken` is what `finish` raises, once for each entry."""

    accepted: list[RequestId] = field(default_factory=list)
    ended: dict[RequestId, Answer] = field(default_factory=dict)
    broken: list[Exception] = field(default_factory=list)
    away: bool = False
    epoch: int = 0
    """That of the newest owner."""
    looked_up: int = 0

    async def insert(self, question: Question, ownership: Ownership) -> bool:
        if self.away:
            raise Unavailable("PostgreSQL: away")
        is_new = question.request_id not in self.accepted
        self.accepted.append(question.request_id)
        return is_new

    async def mark_generating(self, request_id: RequestId, prompt: Sequence[dict[str, str]]) -> None:
        if self.away:
            raise Unavailable("PostgreSQL: away")

    async def finish(self, request_id: RequestId, answer: Answer, *, epoch: int) -> Answer | None:
        if self.broken:
            raise self.broken.pop(0)
        if epoch < self.epoch:
            return self.ended.get(request_id)
        return self.ended.setdefault(request_id, answer)

    async def answer(self, request_id: RequestId) -> Answer | None:
        self.looked_up += 1
        return self.ended.get(request_id)


@dataclass
class Publisher:
    """What left the desk; `refuses` decides what a broker does not take. `laid` hears what it took."""

    laid: Callable[[Outgoing], Awaitable[None]]
    sent: list[Outgoing] = field(default_factory=list)
    refuses: dict[type[Message], Exception] = field(default_factory=dict)
    keeps_waiting: tuple[type[Message], ...] = ()

    async def publish(self, message: Outgoing) -> None:
        if isinstance(message.payload, self.keeps_waiting):
            await asyncio.Event().wait()
        refusal = self.refuses.get(type(message.payload))
        if refusal is not None:
            raise refusal
        self.sent.append(message)
        await self.laid(message)

    def payloads(self, kind: type[Message]) -> list[Any]:
        return [message.payload for message in self.sent if isinstance(message.payload, kind)]


@dataclass
class DeadLetters:
    kept: list[tuple[Outgoing, str, int]] = field(default_factory=list)
    refuses: Exception | None = None
    refused: int = 0

    async def keep(self, topic: Command, message: Outgoing, *, reason: str, attempts: int) -> None:
        assert topic is GENERATE_ANSWER
        if self.refuses is not None:
            self.refused += 1
            raise self.refuses
        self.kept.append((message, reason, attempts))


@dataclass
class Context:
    dead_letters: DeadLetters = field(default_factory=DeadLetters)


@dataclass
class Bus:
    publisher: Publisher
    context: Context = field(default_factory=Context)


def received(payload: Message, *, attempt: int = 1) -> Received[Any]:
    envelope = Envelope(
        message_id=new_message_id(),
        type=payload.type_name(),
        source="test",
        correlation_id=CorrelationId(REQUEST),
        tenant=TeamId("blue"),
        tier=Tier.INTERACTIVE,
        remaining_ms=int(LIFE_S * 1000),
        sent_ms=0,
        attempt=attempt,
        epoch=EPOCH,
    )
    return Received(payload, envelope, time.time() + LIFE_S, Origin("rpl", PARTITION, 0))


class WatchedPlacement(Placement):
    """Counts how often an attempt was told to wait."""

    put_off = 0

    def must_wait(self, command: GenerateAnswer, tier: Tier, now: float) -> bool:
        waits = super().must_wait(command, tier, now)
        self.put_off += waits
        return waits


class Bench:
    """A desk that is open, and the services behind it played by the test."""

    def __init__(self, ledger: Ledger | None = None, resumable_for_s: float = 60.0) -> None:
        self.ledger = ledger or Ledger()
        self.publisher = Publisher(self.reads_back)
        self.placement = WatchedPlacement()
        self.workers, self.bound = WorkerSigns(), BoundAttempts()
        self.desk = Desk(
            cast("RequestLedger", self.ledger),
            partial(assistants.find, language_model="null"),
            self.workers,
            self.placement,
            self.bound,
            control_within_s=0.0,
            resumable_for_s=resumable_for_s,
        )
        self.bus = Bus(self.publisher)
        self.desk.open(ReplyRoute(cast("Any", self.bus), PARTITION, EPOCH, "me"))

    async def says(self, payload: Message, *, attempt: int = 1) -> None:
        """A reply arrives."""
        await self.desk.hear_reply(received(payload, attempt=attempt))

    async def reports(self, progress: WorkerProgressed, *, sent_in_s: float = 0.0) -> None:
        """A worker says what it runs."""
        await hear_progress(
            replace(received(progress), deadline=time.time() + sent_in_s + LIFE_S),
            workers=self.workers,
            placement=self.placement,
            bound=self.bound,
            send_copy=self.desk.send_copy,
        )

    async def reads_back(self, message: Outgoing) -> None:
        """What is appended to the answer stream comes back."""
        if message.topic == ANSWER_STREAM.physical_name:
            await self.streams(message.payload)

    async def streams(self, payload: Message) -> None:
        """Somebody appended `payload` to the answer stream."""
        await self.desk.hear_stream(received(payload))

    async def clears(self, role: TextRole) -> None:
        """The moderator clears the newest text of that role."""
        await until(lambda: [check for check in self.publisher.payloads(CheckText) if check.role is role])
        check = [check for check in self.publisher.payloads(CheckText) if check.role is role][-1]
        digest = hashlib.sha256(check.text.encode()).hexdigest()
        cleared = TextCleared(
            request_id=REQUEST,
            role=role,
            window=check.window,
            start=check.start,
            cleared_until=check.start + len(check.text),
            text_sha256=digest,
        )
        await self.says(cleared)

    async def generates(self, text: str) -> None:
        """A worker admits the attempt and writes `text`."""
        await until(lambda: self.publisher.payloads(GenerateAnswer))
        common: dict[str, Any] = {"request_id": REQUEST, "attempt": 1, "epoch": 7, "worker": WORKER}
        await self.says(GenerationAdmitted(**common, prefix_length=0, prompt_tokens=3))
        await self.says(TokensGenerated(**common, sequence=0, position=0, token_ids=(1,), text=text))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def question(model: str = "docs-qa", *, within_s: float = 60.0) -> Question:
    now = time.time()
    return Question(
        request_id=REQUEST,
        caller=Caller(key=KeyId("key_1"), team=TeamId("blue")),
        model=model,
        messages=(ChatMessage(role="user", content="When do backups run?"),),
        tier=Tier.INTERACTIVE,
        created=now,
        deadline=now + within_s,
        max_tokens=16,
    )


def record(**changes: Any) -> RequestRecord:
    """The row of REQUEST, while it runs."""
    now = datetime.now(UTC)
    running = RequestRecord(
        request_id=REQUEST,
        team=TeamId("blue"),
        state="generating",
        model="null",
        tier="interactive",
        created=now,
        deadline=now,
        ended=None,
        answer=None,
        partition=PARTITION,
    )
    return replace(running, **changes)


async def everything(stream: Any) -> list[StreamItem]:
    items: list[StreamItem] = []
    async with asyncio.timeout(10):
        while not (items and isinstance(items[-1], Answer)):
            if (item := stream.take()) is None:
                await stream.wait(1.0)
            else:
                items.append(item)
    return items


async def test_an_accepted_question_goes_to_moderator_and_retriever_and_is_answered(bench: Bench) -> None:
    stream = await bench.desk.accept(question())
    assert bench.ledger.accepted == [REQUEST]
    await bench.clears(TextRole.INPUT)
    await bench.says(NoPassagesFound(request_id=REQUEST, reason="nothing is near"))
    *released, answer = await everything(stream)
    assert released == [Released(0, NOT_FOUND_TEXT)]
    assert isinstance(answer, Answer)
    assert answer == bench.ledger.ended[REQUEST]
    assert len(bench.publisher.payloads(RetrievePassages)) == 1
    assert all(
        message.reply_to is not None and message.reply_to.partition == PARTITION
        for message in bench.publisher.sent
        if isinstance(message.payload, CheckText | RetrievePassages)
    )
    assert [payload.text for payload in bench.publisher.payloads(AnswerReleased)] == [NOT_FOUND_TEXT]
    await until(lambda: bench.desk.running == 0)


async def test_nothing_is_accepted_that_was_not_recorded(bench: Bench) -> None:
    bench.ledger.away = True
    with pytest.raises(Unavailable):
        await bench.desk.accept(question())
    assert bench.desk.running == 0
    assert bench.publisher.sent == []


async def test_the_client_is_told_what_the_ledger_says_when_another_was_first(bench: Bench) -> None:
    first = Answer(outcome=Outcome.EXPIRED, text="", finish_reason="error", reason="another replica ended it")
    stream = await bench.desk.accept(question())
    bench.ledger.ended[REQUEST] = first
    await bench.desk.cancel(record())
    assert await everything(stream) == [first]


async def test_the_terminal_answer_waits_for_a_ledger_that_is_away(bench: Bench) -> None:
    bench.ledger.broken = [Unavailable("PostgreSQL: away")]
    stream = await bench.desk.accept(question())
    await bench.desk.cancel(record())
    [answer] = await everything(stream)
    assert answer == bench.ledger.ended[REQUEST]


@pytest.mark.parametrize("leave", ["cancel", "abandon"])
async def test_a_question_that_nobody_waits_for_frees_its_worker_and_is_cancelled(bench: Bench, leave: str) -> None:
    stream = await bench.desk.accept(question("null"))
    await bench.clears(TextRole.INPUT)
    await bench.generates("Backups run")
    await (bench.desk.cancel(record()) if leave == "cancel" else stream.abandon(CLIENT_LEFT))
    answer = (await everything(stream))[-1]
    assert isinstance(answer, Answer)
    assert answer.outcome is Outcome.CANCELLED
    assert [cancel.attempt for cancel in bench.publisher.payloads(AttemptCancelled)] == [1]


async def test_a_broker_that_is_away_does_not_keep_a_cancelled_question_from_its_end(bench: Bench) -> None:
    bench.publisher.refuses = {AttemptCancelled: Unavailable("Kafka: away")}
    stream = await bench.desk.accept(question("null", within_s=3600))
    await bench.clears(TextRole.INPUT)
    await bench.generates("Backups run")
    await bench.desk.cancel(record())
    answer = (await everything(stream))[-1]
    assert isinstance(answer, Answer)
    assert answer.outcome is Outcome.CANCELLED


async def test_a_broker_that_does_not_answer_does_not_keep_a_cancelled_question_from_its_end(bench: Bench) -> None:
    bench.publisher.keeps_waiting = (AttemptCancelled,)
    stream = await bench.desk.accept(question("null", within_s=3600))
    await bench.clears(TextRole.INPUT)
    await bench.generates("Backups run")
    await bench.desk.cancel(record())
    answer = (await everything(stream))[-1]
    assert isinstance(answer, Answer)
    assert answer.outcome is Outcome.CANCELLED


async def test_a_request_that_was_accepted_before_is_not_begun_again(bench: Bench) -> None:
    await bench.desk.accept(question("null"))
    with pytest.raises(AlreadyAccepted):
        await bench.desk.accept(question("null"))
    await until(lambda: bench.publisher.payloads(CheckText))
    assert bench.desk.running == len(bench.publisher.payloads(CheckText)) == 1


async def test_a_request_that_another_replica_accepted_before_is_not_begun_here(bench: Bench) -> None:
    bench.ledger.accepted = [REQUEST]
    with pytest.raises(AlreadyAccepted):
        await bench.desk.accept(question("null"))
    assert bench.desk.running == 0


async def test_a_question_that_a_broker_does_not_take_until_its_deadline_is_expired(bench: Bench) -> None:
    bench.publisher.refuses = {CheckText: Unavailable("Kafka: away")}
    [answer] = await everything(await bench.desk.accept(question(within_s=0.1)))
    assert isinstance(answer, Answer)
    assert answer.outcome is Outcome.EXPIRED


async def test_the_deadline_ends_a_question_that_no_service_takes(bench: Bench) -> None:
    stream = await bench.desk.accept(question(within_s=0.0))
    [answer] = await everything(stream)
    assert isinstance(answer, Answer)
    assert answer.outcome is Outcome.EXPIRED


async def test_a_command_that_cannot_be_published_fails_its_question(bench: Bench) -> None:
    bench.publisher.refuses = {CheckText: Rejected("too large")}
    [answer] = await everything(await bench.desk.accept(question()))
    assert isinstance(answer, Answer)
    assert answer.outcome is Outcome.FAILED
    assert bench.ledger.ended[REQUEST] == answer


async def test_a_client_is_told_the_end_even_if_it_cannot_be_recorded(bench: Bench) -> None:
    bench.ledger.broken = [LookupError("no such row"), LookupError("no such row")]
    stream = await bench.desk.accept(question())
    await bench.desk.cancel(record())
    [answer] = await everything(stream)
    assert isinstance(answer, Answer)
    assert answer.outcome is Outcome.FAILED
    await until(lambda: bench.desk.running == 0)


async def test_a_draining_desk_takes_nothing_more_and_waits_for_what_runs_and_knows_it_when_asked_again(
    bench: Bench,
) -> None:
    stream = await bench.desk.accept(question())
    draining = asyncio.create_task(bench.desk.drain(30.0))
    await until(lambda: not bench.desk.is_open)
    with pytest.raises(Unavailable):
        await bench.desk.accept(replace(question(), request_id=RequestId("req_000000000000000000000002")))
    with pytest.raises(AlreadyAccepted):
        await bench.desk.accept(question())
    await bench.desk.cancel(record())
    await draining
    assert len(await everything(stream)) == 1


async def test_an_attempt_that_nobody_waits_for_is_ended_in_its_worker(bench: Bench) -> None:
    admitted = GenerationAdmitted(
        request_id=REQUEST, attempt=2, epoch=5, worker=WORKER, prefix_length=0, prompt_tokens=3
    )
    await bench.says(admitted)
    await until(lambda: bench.publisher.payloads(AttemptCancelled))
    [cancelled] = bench.publisher.payloads(AttemptCancelled)
    assert (cancelled.request_id, cancelled.attempt, cancelled.epoch, cancelled.but_of) == (REQUEST, 2, 5, None)
    bench.desk.close()
    await bench.says(admitted)
    assert len(bench.publisher.payloads(AttemptCancelled)) == 1, "who does not own its replies knows nothing of it"


def tokens(sequence: int = 5, **of: Any) -> TokensGenerated:
    of = {"request_id": REQUEST, "attempt": 1, "epoch": EPOCH, "worker": WORKER, **of}
    return TokensGenerated(**of, sequence=sequence, position=sequence, token_ids=(sequence,), text="more")


async def test_a_worker_that_goes_on_although_its_cancel_was_lost_is_told_again(bench: Bench) -> None:
    bench.publisher.refuses = {AttemptCancelled: Unavailable("Kafka: away")}
    stream = await bench.desk.accept(question("null"))
    await bench.clears(TextRole.INPUT)
    await bench.generates("Backups run")
    await bench.desk.cancel(record())
    await everything(stream)
    await until(lambda: bench.desk.running == 0)
    bench.publisher.refuses = {}
    for sequence in (5, 6):
        await bench.says(tokens(sequence))
    await until(lambda: bench.publisher.payloads(AttemptCancelled))
    [cancelled] = bench.publisher.payloads(AttemptCancelled)
    assert (cancelled.request_id, cancelled.attempt, cancelled.epoch, cancelled.but_of) == (REQUEST, 1, EPOCH, None)


async def test_a_worker_that_was_only_silent_is_told_again_to_let_its_attempt_go(bench: Bench) -> None:
    bench.publisher.refuses = {AttemptCancelled: Unavailable("Kafka: away")}
    await bench.desk.accept(question("null"))
    await bench.clears(TextRole.INPUT)
    await bench.generates("Backups run")
    bench.desk.lose(WORKER)
    await until(lambda: len(bench.publisher.payloads(GenerateAnswer)) == 2)
    bench.publisher.refuses = {}
    await bench.says(tokens())
    await until(lambda: bench.publisher.payloads(AttemptCancelled))
    [cancelled] = bench.publisher.payloads(AttemptCancelled)
    assert (cancelled.attempt, cancelled.epoch, cancelled.but_of) == (1, EPOCH, None)


async def test_what_a_newer_owner_of_the_partition_began_is_left_alone(bench: Bench) -> None:
    await bench.says(tokens(epoch=EPOCH + 1))
    await bench.desk.accept(question("null"))
    await bench.clears(TextRole.INPUT)
    await bench.generates("Backups run")
    bench.desk.lose(WORKER)
    await until(lambda: len(bench.publisher.payloads(GenerateAnswer)) == 2)
    [its_own] = bench.publisher.payloads(AttemptCancelled)
    await bench.streams(StreamAdopted(request_id=REQUEST, epoch=EPOCH + 1))
    await bench.says(tokens())
    await until(lambda: bench.ledger.looked_up)
    assert bench.publisher.payloads(AttemptCancelled) == [its_own], "its adopter may go on with the attempt"


async def test_an_orphan_that_cannot_be_carried_on_fails_alone(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> NoReturn:
        raise ValueError("a bug")

    monkeypatch.setattr(front_desk, "resume", broken)
    task = bench.desk.adopt(question("null"), [], ReplyRoute(cast("Any", Bus(bench.publisher)), PARTITION, 9, "me"))
    await task
    assert bench.ledger.ended[REQUEST].outcome is Outcome.FAILED


def heard_of_an_attempt(asked: Question) -> list[Received[Any]]:
    """The replies to a request whose first owner released "Backups run." and died."""
    of: dict[str, Any] = {"request_id": REQUEST, "attempt": 1, "epoch": EPOCH, "worker": WORKER}
    said = "Backups run."

    def cleared(role: TextRole, text: str, until: int) -> TextCleared:
        digest = hashlib.sha256(text.encode()).hexdigest()
        return TextCleared(request_id=REQUEST, role=role, window=0, start=0, cleared_until=until, text_sha256=digest)

    return [
        received(cleared(TextRole.INPUT, asked.text, 0)),
        received(GenerationAdmitted(**of, prefix_length=0, prompt_tokens=3)),
        received(TokensGenerated(**of, sequence=0, position=0, token_ids=(1,), text=said)),
        received(cleared(TextRole.ANSWER, said, len(said))),
        received(RepliesAdopted(epoch=9)),
    ]


async def test_an_orphan_whose_model_is_gone_ends_at_once_with_the_text_that_was_released(bench: Bench) -> None:
    asked = question("a model of the past")
    route = ReplyRoute(cast("Any", Bus(bench.publisher)), PARTITION, 9, "adopter")
    await bench.desk.adopt(asked, heard_of_an_attempt(asked), route)
    ended = bench.ledger.ended[REQUEST]
    assert (ended.outcome, ended.text) == (Outcome.FAILED, "Backups run.")
    assert ended.reason == "the model or assistant it asked for is gone"
    assert [released.text for released in bench.publisher.payloads(AnswerReleased)] == ["Backups run."]
    [cancelled] = bench.publisher.payloads(AttemptCancelled)
    assert (cancelled.attempt, cancelled.epoch, cancelled.but_of) == (1, 9, None)
    assert not bench.publisher.payloads(GenerateAnswer)


async def test_an_orphan_whose_model_is_gone_before_anything_was_heard_ends_at_once(bench: Bench) -> None:
    route = ReplyRoute(cast("Any", Bus(bench.publisher)), PARTITION, 9, "adopter")
    await bench.desk.adopt(question("a model of the past"), [received(RepliesAdopted(epoch=9))], route)
    assert (bench.ledger.ended[REQUEST].outcome, bench.ledger.ended[REQUEST].text) == (Outcome.FAILED, "")
    assert bench.publisher.sent == []


async def test_a_reply_that_nobody_waits_for_is_dropped(bench: Bench) -> None:
    await bench.says(NoPassagesFound(request_id=REQUEST, reason="late"))
    assert bench.desk.running == 0


async def test_a_request_that_runs_elsewhere_is_cancelled_there(bench: Bench) -> None:
    await bench.desk.cancel(record())
    [asked] = bench.publisher.sent
    assert (asked.payload, asked.partition) == (CancelRequested(request_id=REQUEST), PARTITION)
    assert asked.topic == ORCHESTRATOR_REPLIES.physical_name


async def test_a_cancel_from_elsewhere_ends_the_request_and_frees_its_worker(bench: Bench) -> None:
    stream = await bench.desk.accept(question("null"))
    await bench.clears(TextRole.INPUT)
    await bench.generates("Backups run")
    await bench.says(CancelRequested(request_id=REQUEST))
    answer = (await everything(stream))[-1]
    assert isinstance(answer, Answer)
    assert (answer.outcome, answer.reason) == (Outcome.CANCELLED, CANCELLED)
    assert len(bench.publisher.payloads(AttemptCancelled)) == 1


@pytest.mark.parametrize("after", [0, 8, 12, 999])
async def test_who_comes_back_gets_the_rest_from_whichever_replica(bench: Bench, after: int) -> None:
    text = "Backups run. At night."
    elsewhere = Bench(ledger=bench.ledger)
    await bench.desk.accept(question("null"))
    await elsewhere.streams(AnswerReleased(request_id=REQUEST, epoch=EPOCH, start=0, text=text[:12]))
    followed = elsewhere.desk.follow(record(), after)
    here = bench.desk.follow(record(), after)
    for desk in (bench.desk, elsewhere.desk):
        await desk.hear_stream(received(AnswerReleased(request_id=REQUEST, epoch=EPOCH, start=0, text=text[:12])))
        await desk.hear_stream(received(AnswerReleased(request_id=REQUEST, epoch=EPOCH, start=12, text=text[12:])))
    await bench.desk.cancel(record())
    await until(lambda: REQUEST in bench.ledger.ended)
    for stream in (here, followed):
        *released, answer = await everything(stream)
        assert "".join(item.text for item in released if isinstance(item, Released)) == text[after:]
        assert answer == bench.ledger.ended[REQUEST]


async def test_the_end_of_a_request_that_runs_elsewhere_is_looked_up_when_it_is_heard_of(bench: Bench) -> None:
    followed = asyncio.create_task(everything(bench.desk.follow(record())))
    await until(lambda: bench.ledger.looked_up == 1)
    theirs = Answer(outcome=Outcome.COMPLETED, text="So.", finish_reason="stop")
    bench.ledger.ended[REQUEST] = theirs
    assert not followed.done()
    await bench.streams(AnswerEnded(request_id=REQUEST, epoch=1, outcome=theirs.outcome, length=3, answer={}))
    assert await followed == [theirs]
    assert len(bench.desk.released) == 0


async def test_a_text_whose_end_was_never_told_is_forgotten_in_the_end(bench: Bench) -> None:
    await bench.streams(AnswerReleased(request_id=REQUEST, epoch=1, start=0, text="So."))
    bench.desk.released.forget(older_than_s=3600)
    assert len(bench.desk.released) == 1
    bench.desk.released.forget(older_than_s=-1)
    assert len(bench.desk.released) == 0


async def test_its_owner_is_told_that_a_request_is_read_elsewhere(bench: Bench) -> None:
    followed = bench.desk.follow(record())
    for _ in range(3):
        await followed.wait(0.0)
    assert bench.publisher.payloads(AnswerFollowed) == [AnswerFollowed(request_id=REQUEST)]


async def test_a_resumable_request_runs_on_until_nobody_has_come_back_for_too_long() -> None:
    bench = Bench(resumable_for_s=0.2)
    ending = asyncio.create_task(bench.desk.end_forgotten())
    first = await bench.desk.accept(replace(question("null"), resumable=True))
    second = bench.desk.follow(record())
    (run,) = bench.desk._runs.values()
    run.read_at = -math.inf
    assert not run.is_forgotten(0.2), "two read it"
    await first.abandon(CLIENT_LEFT)
    run.read_at = -math.inf
    assert not run.is_forgotten(0.2), "one still does"
    await second.abandon(CLIENT_LEFT)
    run.read_at = -math.inf
    assert run.is_forgotten(0.2)
    await bench.says(AnswerFollowed(request_id=REQUEST))
    assert not run.is_forgotten(60.0), "somebody reads it elsewhere"
    await until(lambda: REQUEST in bench.ledger.ended)
    assert bench.ledger.ended[REQUEST].reason == NOBODY_CAME_BACK
    ending.cancel()


async def test_a_request_with_a_key_waits_for_whoever_asks_again() -> None:
    bench = Bench(resumable_for_s=0.0)
    stream = await bench.desk.accept(replace(question("null"), resumable=True, fingerprint="a"))
    await stream.abandon(CLIENT_LEFT)
    (run,) = bench.desk._runs.values()
    assert not run.is_forgotten(0.0)


async def test_who_only_reads_takes_nothing_along_when_leaving(bench: Bench) -> None:
    await bench.desk.accept(question("null"))
    await bench.desk.follow(record()).abandon(CLIENT_LEFT)
    (run,) = bench.desk._runs.values()
    assert run.readers == 1
    assert run.mailbox.qsize() <= 1, "no more than what began it"


async def test_a_question_whose_worker_is_lost_goes_on_and_hears_no_more_of_the_first_attempt(bench: Bench) -> None:
    stream = await bench.desk.accept(question("null"))
    await bench.clears(TextRole.INPUT)
    await bench.generates("Backups")
    await bench.clears(TextRole.ANSWER)
    assert bench.desk.lose(WorkerId("worker-2")) == 0
    assert bench.desk.lose(WORKER) == 1
    await until(lambda: len(bench.publisher.payloads(GenerateAnswer)) == 2)
    assert bench.publisher.payloads(GenerateAnswer)[1].prefix_token_ids == (1,)
    await bench.says(CommandFailed(command="GenerateAnswer", reason="of the first attempt"), attempt=1)
    await bench.says(CommandFailed(command="GenerateAnswer", reason="of the second attempt"), attempt=2)
    *_, answer = await everything(stream)
    assert isinstance(answer, Answer)
    assert answer.reason == "GenerateAnswer failed"
    await until(lambda: bench.desk.running == 0)


async def test_a_failure_that_lies_behind_the_loss_of_its_worker_does_not_fail_the_attempt_after_it(
    bench: Bench,
) -> None:
    stream = await bench.desk.accept(question("null"))
    await bench.clears(TextRole.INPUT)
    await bench.generates("Backups")
    await bench.clears(TextRole.ANSWER)
    await until(lambda: bench.publisher.payloads(AnswerReleased))
    bench.desk.lose(WORKER)
    await bench.says(CommandFailed(command="GenerateAnswer", reason="of the first attempt"), attempt=1)
    await until(lambda: len(bench.publisher.payloads(GenerateAnswer)) == 2)
    await bench.desk.cancel(record())
    *_, answer = await everything(stream)
    assert isinstance(answer, Answer)
    assert answer.outcome is Outcome.CANCELLED


async def test_a_request_that_another_replica_adopted_is_relayed_and_ends_as_the_ledger_says(bench: Bench) -> None:
    stream = await bench.desk.accept(question("null"))
    await bench.clears(TextRole.INPUT)
    await bench.generates("Backups run. ")
    await bench.clears(TextRole.ANSWER)
    await until(lambda: bench.publisher.payloads(AnswerReleased))
    [mine] = bench.publisher.payloads(AnswerReleased)
    adopted: dict[str, Any] = {"request_id": REQUEST, "epoch": 8}
    await bench.streams(StreamAdopted(**adopted))
    await bench.streams(AnswerReleased(request_id=REQUEST, epoch=7, start=len(mine.text), text="of the former owner"))
    await bench.streams(AnswerReleased(**adopted, start=0, text="Backups run. At night."))
    bench.ledger.epoch = 8
    theirs = Answer(outcome=Outcome.COMPLETED, text="Backups run. At night.", finish_reason="stop")
    await until(lambda: bench.ledger.looked_up)
    assert bench.desk.running == 1
    bench.ledger.ended[REQUEST] = theirs
    *released, answer = await everything(stream)
    assert "".join(piece.text for piece in released if isinstance(piece, Released)) == theirs.text
    assert answer is theirs


async def test_who_ends_a_request_that_was_adopted_meanwhile_waits_for_its_new_owner(bench: Bench) -> None:
    stream = await bench.desk.accept(question("null"))
    bench.ledger.epoch = 8
    await bench.desk.cancel(record())
    await until(lambda: bench.ledger.looked_up)
    theirs = Answer(outcome=Outcome.COMPLETED, text="So.", finish_reason="stop")
    bench.ledger.ended[REQUEST] = theirs
    assert await everything(stream) == [theirs]


async def test_an_adopted_request_goes_on_from_what_lies_on_its_partition(bench: Bench) -> None:
    first = Bench()
    await first.desk.accept(question("null"))
    log: list[Received[Any]] = []

    async def says(payload: Message, *, attempt: int = 1) -> None:
        log.append(received(payload, attempt=attempt))
        await first.desk.hear_reply(log[-1])

    first.says = says  # type: ignore[method-assign]
    await first.clears(TextRole.INPUT)
    await first.generates("Backups run. At")
    await first.clears(TextRole.ANSWER)
    await until(lambda: first.publisher.payloads(AnswerReleased))

    route = ReplyRoute(cast("Any", Bus(bench.publisher)), PARTITION, 9, "adopter")
    bench.desk.adopt(question("null"), [*log, received(RepliesAdopted(epoch=9))], route)
    await until(lambda: bench.publisher.payloads(AnswerReleased))
    assert len(bench.publisher.sent) == 2
    [cancelled] = bench.publisher.payloads(AttemptCancelled)
    assert (cancelled.attempt, cancelled.epoch, cancelled.but_of) == (1, 7, WORKER), "copies that only the dead knew"
    [again] = bench.publisher.payloads(AnswerReleased)
    assert (again.epoch, again.start) == (9, 0)
    assert again.text == "".join(piece.text for piece in first.publisher.payloads(AnswerReleased))

    common: dict[str, Any] = {"request_id": REQUEST, "attempt": 1, "epoch": 7, "worker": WORKER}
    await bench.says(TokensGenerated(**common, sequence=1, position=1, token_ids=(2,), text=" night."))
    await bench.clears(TextRole.ANSWER)
    await bench.says(
        AnswerCompleted(**common, sequence=2, finish_reason=FinishReason.STOP, prompt_tokens=3, completion_tokens=2)
    )
    await until(lambda: bench.publisher.payloads(CheckText)[-1].final)
    await bench.clears(TextRole.ANSWER)
    await until(lambda: REQUEST in bench.ledger.ended)
    assert bench.ledger.ended[REQUEST].text == "Backups run. At night."
    assert bench.ledger.ended[REQUEST].outcome is Outcome.COMPLETED


async def test_an_adopted_request_whose_worker_is_silent_goes_on_elsewhere(bench: Bench) -> None:
    common: dict[str, Any] = {"request_id": REQUEST, "attempt": 1, "epoch": 7, "worker": WORKER}
    asked = question("null")
    said = hashlib.sha256(asked.text.encode()).hexdigest()
    log = [
        received(
            TextCleared(request_id=REQUEST, role=TextRole.INPUT, window=0, start=0, cleared_until=0, text_sha256=said)
        ),
        received(GenerationAdmitted(**common, prefix_length=0, prompt_tokens=3)),
        received(TokensGenerated(**common, sequence=0, position=0, token_ids=(1,), text="Backups")),
    ]
    log.append(received(RepliesAdopted(epoch=9)))
    bench.desk.adopt(asked, log, ReplyRoute(cast("Any", Bus(bench.publisher)), PARTITION, 9, "adopter"))
    await until(lambda: bench.publisher.payloads(CheckText))
    bench.desk.lose(WORKER)
    await until(lambda: bench.publisher.payloads(GenerateAnswer))
    [command] = bench.publisher.payloads(GenerateAnswer)
    assert (command.attempt, command.epoch, command.prefix_token_ids) == (2, 9, (1,))


async def test_an_attempt_goes_to_a_partition_of_a_worker_that_has_room_and_to_no_lost_one(bench: Bench) -> None:
    partitions = {Tier.INTERACTIVE: (2,)}
    report = WorkerProgressed(worker=WORKER, models=("null",), slots=8, running=(), waiting=0, partitions=partitions)
    bench.placement.hear(report, time.monotonic())
    await bench.desk.accept(question("null"))
    await bench.clears(TextRole.INPUT)
    await bench.generates("Backups")
    await bench.clears(TextRole.ANSWER)
    bench.desk.lose(WORKER)
    await until(lambda: len(bench.publisher.payloads(GenerateAnswer)) == 2)
    sent = [message.partition for message in bench.publisher.sent if isinstance(message.payload, GenerateAnswer)]
    assert sent == [2, None]
    assert {message.partition for message in bench.publisher.sent if isinstance(message.payload, CheckText)} == {None}


async def test_whoever_has_room_first_gets_what_waits_and_the_others_are_told(bench: Bench) -> None:
    await bench.desk.accept(question("null"))
    await bench.clears(TextRole.INPUT)
    await until(lambda: bench.publisher.payloads(GenerateAnswer))
    for partition in (2, 3):
        bench.desk.send_copy(Copy(REQUEST, partition))
    await until(lambda: len(bench.publisher.payloads(GenerateAnswer)) == 3)
    sent = [message for message in bench.publisher.sent if isinstance(message.payload, GenerateAnswer)]
    assert [message.partition for message in sent] == [None, 2, 3]
    assert len({message.message_id for message in sent}) == 1
    await bench.generates("Backups")
    await until(lambda: bench.publisher.payloads(AttemptCancelled))
    [cancelled] = bench.publisher.payloads(AttemptCancelled)
    assert (cancelled.attempt, cancelled.epoch, cancelled.but_of) == (1, EPOCH, WORKER)
    bench.desk.send_copy(Copy(REQUEST, 1))
    await bench.clears(TextRole.ANSWER)
    await until(lambda: bench.publisher.payloads(AnswerReleased))
    assert len(bench.publisher.payloads(GenerateAnswer)) == 3, "it runs: nobody else gets it"


async def test_nobody_is_told_of_an_attempt_that_only_its_worker_got(bench: Bench) -> None:
    await bench.desk.accept(question("null"))
    await bench.clears(TextRole.INPUT)
    await bench.generates("Backups")
    await bench.clears(TextRole.ANSWER)
    await until(lambda: bench.publisher.payloads(AnswerReleased))
    assert not bench.publisher.payloads(AttemptCancelled)


def speaks(worker: str, *losses: int) -> WorkerProgressed:
    """A worker that runs attempts which were lost so often."""
    running = tuple(
        RunningAttempt(request_id=RequestId(f"req_{number:024x}"), attempt=1, completion_tokens=0, losses=lost)
        for number, lost in enumerate(losses, start=100)
    )
    return WorkerProgressed(
        worker=WorkerId(worker),
        models=("null",),
        slots=8,
        running=running,
        waiting=0,
        partitions={Tier.INTERACTIVE: (2,)},
    )


async def lose_twice(bench: Bench) -> None:
    await bench.clears(TextRole.INPUT)
    for attempt in (1, 2):
        await until(lambda attempt=attempt: len(bench.publisher.payloads(GenerateAnswer)) == attempt)  # type: ignore[misc]
        of: dict[str, Any] = {"request_id": REQUEST, "attempt": attempt, "epoch": EPOCH, "worker": WORKER}
        await bench.says(GenerationAdmitted(**of, prefix_length=0, prompt_tokens=3), attempt=attempt)
        await bench.says(GenerationFailed(**of, reason="the model's process ended"), attempt=attempt)


async def test_a_request_that_was_lost_twice_waits_for_a_worker_without_another_such_request(bench: Bench) -> None:
    await bench.desk.accept(question("null"))
    bench.placement.hear(speaks("busy", 2), time.monotonic())
    await lose_twice(bench)
    await until(lambda: bench.placement.put_off > 1)
    assert len(bench.publisher.payloads(GenerateAnswer)) == 2
    bench.placement.hear(speaks("busy", 1, 0), time.monotonic())
    await until(lambda: len(bench.publisher.payloads(GenerateAnswer)) == 3)
    assert bench.publisher.sent[-1].partition == 2


async def test_a_request_that_waits_for_a_place_can_be_cancelled(bench: Bench) -> None:
    stream = await bench.desk.accept(question("null"))
    await lose_twice(bench)
    await bench.desk.cancel(record())
    assert [answer.outcome for answer in await everything(stream) if isinstance(answer, Answer)] == [Outcome.CANCELLED]
    bench.placement.hear(speaks("free"), time.monotonic())
    await until(lambda: bench.desk.running == 0)
    assert len(bench.publisher.payloads(GenerateAnswer)) == 2


async def test_what_is_lost_a_third_time_fails_and_its_command_is_kept_as_a_dead_letter(bench: Bench) -> None:
    answer = await lose_three_times(bench)
    assert (answer.outcome, answer.reason) == (Outcome.FAILED, "it was lost with its worker 3 times")
    [(message, reason, attempts)] = bench.bus.context.dead_letters.kept
    assert isinstance(message.payload, GenerateAnswer)
    assert (message.payload.attempt, reason, attempts) == (3, answer.reason, 3)


async def lose_three_times(bench: Bench) -> Answer:
    stream = await bench.desk.accept(question("null"))
    await lose_twice(bench)
    bench.placement.hear(speaks("free"), time.monotonic())
    await until(lambda: len(bench.publisher.payloads(GenerateAnswer)) == 3)
    of: dict[str, Any] = {"request_id": REQUEST, "attempt": 3, "epoch": EPOCH, "worker": WORKER}
    await bench.says(GenerationFailed(**of, reason="the model's process ended"), attempt=3)
    *_, answer = await everything(stream)
    assert isinstance(answer, Answer)
    return answer


async def test_a_dead_letter_is_kept_once_the_broker_is_back_and_its_request_does_not_wait_for_that(
    bench: Bench,
) -> None:
    letters = bench.bus.context.dead_letters
    letters.refuses = Unavailable("Kafka: away", retry_after_s=0.0)
    assert (await lose_three_times(bench)).reason == "it was lost with its worker 3 times"
    await until(lambda: letters.refused)
    assert letters.kept == []
    letters.refuses = None
    await until(lambda: letters.kept)


async def test_a_dead_letter_that_cannot_be_kept_changes_nothing_about_the_end_of_its_request(bench: Bench) -> None:
    bench.bus.context.dead_letters.refuses = Rejected("too large")
    assert (await lose_three_times(bench)).reason == "it was lost with its worker 3 times"


@pytest.mark.parametrize("error", [Rejected("too large"), ValueError("a bug")])
async def test_an_attempt_that_cannot_be_published_fails_its_question(bench: Bench, error: Exception) -> None:
    bench.publisher.refuses = {GenerateAnswer: error}
    stream = await bench.desk.accept(question("null"))
    await bench.clears(TextRole.INPUT)
    *_, answer = await everything(stream)
    assert isinstance(answer, Answer)
    assert answer.outcome is Outcome.FAILED


async def reported_missing(bench: Bench) -> None:
    """The worker says twice that it does not run what it admitted; all replies before that were heard."""
    for _ in range(2):
        await bench.reports(speaks(WORKER), sent_in_s=ADMITTED_FOR_S)
    for attempt in bench.bound.take_missing(math.inf):
        bench.desk.lose_attempt(attempt)


async def test_a_question_whose_living_worker_does_not_run_it_goes_on_elsewhere(bench: Bench) -> None:
    stream = await bench.desk.accept(question("null"))
    await bench.clears(TextRole.INPUT)
    await bench.generates("Backups")
    await bench.clears(TextRole.ANSWER)
    await until(lambda: bench.publisher.payloads(AnswerReleased))
    await reported_missing(bench)
    await until(lambda: len(bench.publisher.payloads(GenerateAnswer)) == 2)
    again = bench.publisher.payloads(GenerateAnswer)[-1]
    assert (again.attempt, again.losses, again.prefix_token_ids) == (2, 1, (1,))
    assert [cancel.attempt for cancel in bench.publisher.payloads(AttemptCancelled)] == [1]
    await reported_missing(bench)
    await bench.desk.cancel(record())
    await everything(stream)
    assert len(bench.publisher.payloads(GenerateAnswer)) == 2, "nobody has admitted the second"


async def test_an_attempt_whose_end_was_heard_is_not_lost_although_its_worker_does_not_run_it(bench: Bench) -> None:
    await bench.desk.accept(question("null"))
    await bench.clears(TextRole.INPUT)
    await bench.generates("Backups")
    await until(lambda: [check for check in bench.publisher.payloads(CheckText) if check.role is TextRole.ANSWER])
    of: dict[str, Any] = {"request_id": REQUEST, "attempt": 1, "epoch": EPOCH, "worker": WORKER}
    await bench.says(
        AnswerCompleted(**of, sequence=1, finish_reason=FinishReason.STOP, prompt_tokens=3, completion_tokens=1)
    )
    await reported_missing(bench)
    await bench.clears(TextRole.ANSWER)
    await until(lambda: bench.publisher.payloads(CheckText)[-1].final)
    await bench.clears(TextRole.ANSWER)
    await until(lambda: REQUEST in bench.ledger.ended)
    assert bench.ledger.ended[REQUEST].outcome is Outcome.COMPLETED
    assert len(bench.publisher.payloads(GenerateAnswer)) == 1


async def test_an_adopted_question_whose_living_worker_does_not_run_it_goes_on_elsewhere(bench: Bench) -> None:
    asked = question("null")
    said = hashlib.sha256(asked.text.encode()).hexdigest()
    common: dict[str, Any] = {"request_id": REQUEST, "attempt": 1, "epoch": 7, "worker": WORKER}
    log = [
        received(
            TextCleared(request_id=REQUEST, role=TextRole.INPUT, window=0, start=0, cleared_until=0, text_sha256=said)
        ),
        received(GenerationAdmitted(**common, prefix_length=0, prompt_tokens=3)),
        received(RepliesAdopted(epoch=9)),
    ]
    bench.desk.adopt(asked, log, ReplyRoute(cast("Any", Bus(bench.publisher)), PARTITION, 9, "adopter"))
    await until(lambda: bench.publisher.payloads(AttemptCancelled))
    await reported_missing(bench)
    await until(lambda: bench.publisher.payloads(GenerateAnswer))
    [command] = bench.publisher.payloads(GenerateAnswer)
    assert (command.attempt, command.epoch) == (2, 9)

"""A request is made again from its replies: the same text, to its end, wherever its first owner died."""

from collections import deque
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from groundswell.common.contracts.answers import Outcome, RepliesAdopted
from groundswell.common.contracts.generation import (
    AnswerCompleted,
    ChatMessage,
    FinishReason,
    GenerateAnswer,
    GenerationAdmitted,
    GenerationFailed,
    GenerationStopped,
    TokensGenerated,
)
from groundswell.common.contracts.message import Message
from groundswell.common.contracts.moderation import CheckText, TextCleared
from groundswell.common.contracts.retrieval import NoPassagesFound, Passage, PassagesRetrieved, RetrievePassages
from groundswell.common.ids import DocumentId, KeyId, RequestId, TeamId, WorkerId
from groundswell.common.tiers import Tier
from groundswell.orchestrator.domain.assistants import find
from groundswell.orchestrator.domain.gathering import NOT_FOUND_TEXT
from groundswell.orchestrator.domain.generating import MAX_LOSSES
from groundswell.orchestrator.domain.question import Answer, Caller, Question
from groundswell.orchestrator.domain.request import advance
from groundswell.orchestrator.domain.resuming import GONE, end_without_assistant, resume
from groundswell.orchestrator.domain.state import (
    Began,
    CancelAttempt,
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
FACT = "The audit log is kept for 400 days. Backups run every night."
WORDS = ("The audit", " log is kept", " for 400", " days.", " Backups run", " every night.")
CITED = "The audit log is kept for 400 days. [1] Backups run every night. [2]"
FOUND = Passage(
    document=DocumentId("doc_1"),
    version=1,
    title="Operations",
    name="operations.md",
    section="",
    source="handbook",
    updated=datetime(2026, 11, 1, tzinfo=UTC),
    start=0,
    end=len(FACT),
    text=FACT,
)


def beginning(epoch: int) -> RequestState:
    assistant = find("docs-qa", "null")
    assert assistant is not None
    question = Question(
        request_id=REQUEST,
        caller=Caller(key=KeyId("key_1"), team=TeamId("ops")),
        model="docs-qa",
        messages=(ChatMessage(role="user", content="How long is the audit log kept?"),),
        tier=Tier.INTERACTIVE,
        created=0.0,
        deadline=60.0,
        max_tokens=40,
    )
    return RequestState(question=question, assistant=assistant, epoch=epoch)


def adopted(epoch: int) -> Reply:
    return Reply(RepliesAdopted(epoch=epoch), 1, epoch)


@dataclass
class World:
    """Services that answer in any order, workers that go on although they were given up, and the log of replies."""

    found: bool = True
    log: list[Reply] = field(default_factory=list)
    queues: list[deque[Reply]] = field(default_factory=list)
    released: str = ""
    answer: Answer | None = None
    workers: int = 0
    cancelled: tuple[int, int] = (-1, 0)

    def perform(self, state: RequestState, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Send):
                self.queues.append(deque(self._outcomes(state, effect.payload)))
            elif isinstance(effect, Release):
                before = self.released[effect.start :]
                assert effect.text.startswith(before) or before.startswith(effect.text), "one text"
                self.released = self.released[: effect.start] + max(before, effect.text, key=len)
            elif isinstance(effect, CancelAttempt):
                self.cancelled = (state.epoch, effect.attempt)
            elif isinstance(effect, End):
                assert self.answer is None, "one end"
                self.answer = effect.answer

    def deliver(self, number: int) -> Reply | None:
        waiting = [queue for queue in self.queues if queue]
        if not waiting:
            return None
        self.log.append(waiting[number % len(waiting)].popleft())
        return self.log[-1]

    def _outcomes(self, state: RequestState, command: Message) -> list[Reply]:
        if isinstance(command, CheckText):
            until = command.start + len(command.text)
            verdict = TextCleared(
                request_id=REQUEST,
                role=command.role,
                window=command.window,
                start=command.start,
                cleared_until=until,
                text_sha256=digest(command.text),
            )
            return [Reply(verdict, 1, state.epoch)]
        if isinstance(command, RetrievePassages):
            if not self.found:
                return [Reply(NoPassagesFound(request_id=REQUEST, reason="nothing is near"), 1, state.epoch)]
            return [Reply(PassagesRetrieved(request_id=REQUEST, passages=(FOUND,), confidence=1.0), 1, state.epoch)]
        assert isinstance(command, GenerateAnswer)
        return [Reply(said, command.attempt, command.epoch) for said in self._generated(command)]

    def _generated(self, command: GenerateAnswer) -> list[Message]:
        if (command.epoch, command.attempt) <= self.cancelled:
            return []
        self.workers += 1
        worker = WorkerId(f"worker-{self.workers}")
        of: dict[str, Any] = {
            "request_id": REQUEST,
            "attempt": command.attempt,
            "epoch": command.epoch,
            "worker": worker,
        }
        begun = len(command.prefix_token_ids)
        assert command.prefix_token_ids == tuple(range(begun))
        tokens: list[Message] = [
            TokensGenerated(**of, sequence=number - begun, position=number, token_ids=(number,), text=WORDS[number])
            for number in range(begun, len(WORDS))
        ]
        ended = AnswerCompleted(
            **of, sequence=len(tokens), finish_reason=FinishReason.STOP, prompt_tokens=9, completion_tokens=len(WORDS)
        )
        return [GenerationAdmitted(**of, prefix_length=begun, prompt_tokens=9), *tokens, ended]

    def break_off(self, state: RequestState, *, failed: bool) -> None:
        """The bound worker drains, or its model dies: its last word instead of what it still had to say."""
        for queue in self.queues:
            if queue and isinstance(queue[0].payload, TokensGenerated) and queue[0].payload.worker == state.worker:
                said = queue[0].payload
                of: dict[str, Any] = {
                    "request_id": REQUEST,
                    "attempt": said.attempt,
                    "epoch": said.epoch,
                    "worker": said.worker,
                }
                last: Message = GenerationStopped(**of, handed_back=True, completion_tokens=said.position)
                if failed:
                    last = GenerationFailed(**of, reason="the model's process ended")
                rest = Reply(last, queue[0].attempt, queue[0].epoch)
                queue.clear()
                queue.append(rest)


def step(state: RequestState, world: World, heard: Input) -> RequestState:
    state, effects = advance(state, heard, 1.0)
    world.perform(state, effects)
    return state


def live(state: RequestState, world: World, choices: list[int]) -> RequestState:
    """Hear replies in the order that `choices` says; some of them lose or drain the worker."""
    for choice in choices:
        if state.stage == "ended":
            break
        if choice % 7 == 5 and state.worker is not None and state.losses < 2:
            state = step(state, world, WorkerLost(state.worker))
        elif choice % 7 == 6:
            world.break_off(state, failed=choice > 10 and state.losses < 2)
        elif (reply := world.deliver(choice)) is not None:
            state = step(state, world, reply.payload)
    return state


def to_the_end(state: RequestState, world: World) -> RequestState:
    for _ in range(200):
        if state.stage == "ended":
            break
        reply = world.deliver(0)
        if reply is not None:
            state = step(state, world, reply.payload)
        else:
            assert state.worker is not None, "somebody has to do something"
            state = step(state, world, WorkerLost(state.worker))
    return state


LIVES = st.lists(st.integers(0, 20), min_size=8, max_size=50)


@given(LIVES, LIVES, st.sets(st.integers(0, 3)), st.booleans())
def test_whoever_adopts_it_and_whenever_it_ends_once_with_its_whole_text(
    first: list[int], second: list[int], dead: set[int], found: bool
) -> None:
    world = World(found)
    state = step(beginning(1), world, Began())
    state = live(state, world, first)
    for epoch, choices in ((2, second), (3, [])):
        if world.answer is not None:
            break
        # Some services died with what they had been asked; workers among them.
        for number, queue in enumerate(world.queues):
            if number % 4 in dead:
                queue.clear()
        world.log.append(adopted(epoch))
        state, effects = resume(beginning(epoch), world.log, 1.0)
        world.perform(state, effects)
        state = live(state, world, choices)
    to_the_end(state, world)
    assert world.answer is not None
    assert world.answer.text == world.released
    if (lost := world.answer.outcome is Outcome.FAILED) and found:
        assert world.answer.reason == f"it was lost with its worker {MAX_LOSSES} times"
        assert CITED.startswith(world.released)
    else:
        assert not lost
        assert world.released == (CITED if found else NOT_FOUND_TEXT)


@given(LIVES)
def test_what_was_heard_gives_the_state_that_its_first_owner_had(choices: list[int]) -> None:
    world = World()
    state = live(step(beginning(1), world, Began()), world, choices)
    assume(state.stage != "generating" or state.worker is not None)
    again, effects = resume(beginning(2), [*world.log, adopted(2)], 1.0)
    # The log does not say when a worker was lost.
    unsaid: dict[str, Any] = {"marks": {}, "losses": 0, "epoch": 0, "attempt_epoch": 0}
    assert replace(again, **unsaid) == replace(state, **unsaid)
    assert "".join(effect.text for effect in effects if isinstance(effect, Release)) == world.released


@given(LIVES)
def test_what_was_released_is_kept_when_its_assistant_is_gone(choices: list[int]) -> None:
    world = World()
    state = live(step(beginning(1), world, Began()), world, choices)
    assume(state.stage == "accepted" or (state.stage == "generating" and state.worker is not None))
    _, effects = end_without_assistant(beginning(2).question, 2, [*world.log, adopted(2)], 1.0)
    [answer] = [effect.answer for effect in effects if isinstance(effect, End)]
    assert (answer.outcome, answer.reason, answer.text) == (Outcome.FAILED, GONE, world.released)
    assert "".join(effect.text for effect in effects if isinstance(effect, Release)) == world.released
    assert not any(isinstance(effect, Send) for effect in effects)


def test_an_end_that_its_owner_heard_and_did_not_record_is_recorded_by_the_adopter() -> None:
    world = World()
    to_the_end(step(beginning(1), world, Began()), world)
    again, effects = resume(beginning(3), [*world.log, adopted(2), adopted(3)], 1.0)
    assert again.epoch == 3, "the end counts only under the epoch of the row"
    assert [effect.answer.text for effect in effects if isinstance(effect, End)] == [CITED]
    assert not any(isinstance(effect, Send) for effect in effects)


def test_an_attempt_of_an_earlier_owner_that_is_admitted_after_an_adoption_does_not_count() -> None:
    world = World()
    state = step(beginning(1), world, Began())
    state = live(state, world, [0, 0, 0, 0, 0])  # input, retrieval, passage, admission, the first token
    assert state.worker is not None
    assert state.token_ids == (0,)
    late = step(state, World(), WorkerLost(state.worker))
    world.log.append(adopted(2))
    admitted: dict[str, Any] = {"request_id": REQUEST, "attempt": late.attempt, "epoch": 1, "worker": WorkerId("late")}
    world.log.append(Reply(GenerationAdmitted(**admitted, prefix_length=1, prompt_tokens=9), late.attempt, 1))
    world.log += [reply for queue in world.queues for reply in queue if isinstance(reply.payload, TokensGenerated)]
    again, _ = resume(beginning(3), [*world.log, adopted(3)], 1.0)
    assert again.worker == state.worker
    assert again.token_ids == tuple(range(len(WORDS)))

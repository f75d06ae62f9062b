import asyncio
import itertools
from collections.abc import AsyncGenerator
from typing import TypeVar

import pytest

from groundswell.common.bus.envelope import Envelope, ReplyAddress
from groundswell.common.bus.messages import Origin, Outgoing, Received
from groundswell.common.contracts.generation import (
    AnswerCompleted,
    AttemptCancelled,
    ChatMessage,
    GenerateAnswer,
    GenerationAdmitted,
    GenerationFailed,
    GenerationRefused,
    GenerationStopped,
    TokensGenerated,
    WorkerProgressed,
)
from groundswell.common.contracts.message import Message
from groundswell.common.errors import Overloaded
from groundswell.common.ids import CorrelationId, MessageId, RequestId, TeamId, WorkerId
from groundswell.common.tiers import Tier
from groundswell.common.topics import WORKER_PROGRESS
from groundswell.generator.adapters.null_engine import NullEngine
from groundswell.generator.domain.jobs import AttemptKey, Failed, GenerationJob
from groundswell.generator.handlers import (
    Generation,
    cancel_attempt,
    generate_answer,
    hand_back,
    report_progress,
    stopped_before_it_ran,
)
from groundswell.generator.ports import Tell

REQUEST = RequestId("req_1")
ANSWER = "one two three four five"
FAR = 3600.0


P = TypeVar("P", bound=Message)


class Clock:
    """Stands still until it is told."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


class Hung(NullEngine):
    """A step of another job hangs: it breaks off before it gets to this one."""

    def submit(self, job: GenerationJob, tell: Tell) -> None:
        tell(Failed("a step of the model took longer than 60 s"))


async def generation(*, token_delay_s: float = 0.0) -> Generation:
    engine = NullEngine(token_delay_s=token_delay_s)
    await engine.start()
    return Generation(engine=engine, model="null", worker=WorkerId("w1"), slots=2, now=Clock())


def command(content: str = ANSWER, **changes: object) -> GenerateAnswer:
    fields: dict[str, object] = {
        "request_id": REQUEST,
        "model": "null",
        "messages": (ChatMessage(role="user", content=content),),
        "max_tokens": 50,
    }
    return GenerateAnswer.model_validate(fields | changes)


def received(payload: P, *, tier: Tier = Tier.INTERACTIVE, remaining_s: float = FAR) -> Received[P]:
    envelope = Envelope(
        message_id=MessageId("m1"),
        type=payload.type_name(),
        source="test",
        correlation_id=CorrelationId(REQUEST),
        tenant=TeamId("blue"),
        tier=tier,
        remaining_ms=0,
        sent_ms=0,
        reply_to=ReplyAddress("rpl.test.v1", 3),
    )
    return Received(payload, envelope, Clock().seconds + remaining_s, Origin("cmd.test", 0, 0), key=REQUEST)


async def all_of(stream: AsyncGenerator[Outgoing, None]) -> list[Message]:
    return [outgoing.payload async for outgoing in stream]


async def answer(deps: Generation, payload: GenerateAnswer, tier: Tier = Tier.INTERACTIVE) -> list[Message]:
    return await all_of(generate_answer(received(payload, tier=tier), deps=deps))


async def begun(
    deps: Generation, payload: GenerateAnswer, *, tokens: int = 0
) -> tuple[AsyncGenerator[Outgoing, None], list[Message]]:
    """An attempt of which the admission and so many token messages are published, and those messages."""
    stream = generate_answer(received(payload), deps=deps)
    return stream, [(await anext(stream)).payload for _ in range(1 + tokens)]


def cancel(attempt: int = 1, epoch: int = 0, but_of: WorkerId | None = None) -> Received[AttemptCancelled]:
    return received(AttemptCancelled(request_id=REQUEST, attempt=attempt, epoch=epoch, but_of=but_of))


async def test_admission_comes_first_then_tokens_then_the_outcome() -> None:
    admitted, *tokens, completed = await answer(await generation(), command(attempt=2, epoch=5))
    assert admitted == GenerationAdmitted(
        request_id=REQUEST, attempt=2, epoch=5, worker=WorkerId("w1"), prefix_length=0, prompt_tokens=5
    )
    pieces = [piece for piece in tokens if isinstance(piece, TokensGenerated)]
    assert len(pieces) == len(tokens)
    assert [piece.sequence for piece in pieces] == list(range(len(pieces)))
    assert len(pieces[0].token_ids) == 1
    assert "".join(piece.text for piece in pieces) == ANSWER
    assert isinstance(completed, AnswerCompleted)
    assert (completed.sequence, completed.completion_tokens) == (len(pieces), 5)


async def test_replies_go_where_the_command_asked_for_them() -> None:
    stream = generate_answer(received(command()), deps=await generation())
    async for outgoing in stream:
        assert (outgoing.topic, outgoing.partition, outgoing.key) == ("rpl.test.v1", 3, REQUEST)
        assert (outgoing.tenant, outgoing.causation_id) == ("blue", "m1")


async def test_bulk_work_sends_its_tokens_once() -> None:
    _, tokens, _ = await answer(await generation(), command(), Tier.BULK)
    assert isinstance(tokens, TokensGenerated)
    assert tokens.text == ANSWER


async def test_an_attempt_goes_on_after_its_prefix() -> None:
    admitted, first, *_ = await answer(await generation(), command(prefix_token_ids=(1, 2)))
    assert isinstance(admitted, GenerationAdmitted)
    assert admitted.prefix_length == 2
    assert isinstance(first, TokensGenerated)
    assert (first.position, first.text) == (2, " three")


async def test_an_unknown_model_is_refused_by_name() -> None:
    (refused,) = await answer(await generation(), command(model="gpt-9"))
    assert isinstance(refused, GenerationRefused)
    assert refused.reason == "model gpt-9 does not run here; null does"


async def test_a_prompt_over_the_context_is_refused_before_admission() -> None:
    (refused,) = await answer(await generation(), command("word " * 9000))
    assert isinstance(refused, GenerationRefused)
    assert "9000 tokens" in refused.reason


async def test_without_a_loaded_model_the_attempt_stays_on_the_topic() -> None:
    deps = await generation()
    await deps.engine.stop()
    with pytest.raises(Overloaded, match="not loaded"):
        await answer(deps, command())
    assert not deps.inboxes


async def test_a_cancelled_attempt_stops_and_frees_its_slot() -> None:
    deps = await generation(token_delay_s=FAR)
    stream, _ = await begun(deps, command())
    await cancel_attempt(cancel(), deps=deps)
    (stopped,) = await all_of(stream)
    assert isinstance(stopped, GenerationStopped)
    assert not stopped.handed_back
    assert not deps.inboxes
    assert not deps.attempts.running()


async def test_a_cancel_of_a_superseded_owner_or_attempt_changes_nothing() -> None:
    deps = await generation()
    stream, _ = await begun(deps, command(attempt=2, epoch=4))
    await cancel_attempt(cancel(attempt=9, epoch=3), deps=deps)
    await cancel_attempt(cancel(attempt=1, epoch=4), deps=deps)
    assert isinstance((await all_of(stream))[-1], AnswerCompleted)


async def test_who_admitted_an_attempt_goes_on_with_it_and_others_let_it_go() -> None:
    owner, other = await generation(token_delay_s=FAR), await generation()
    other.worker = WorkerId("w2")
    await begun(owner, command(attempt=2))
    for worker in (owner, other):
        await cancel_attempt(cancel(attempt=2, but_of=owner.worker), deps=worker)
    assert [run.outcome for run in owner.attempts.running()] == [None]
    assert stopped_before_it_ran(received(command(attempt=1)), deps=owner), "what came before is over"
    assert stopped_before_it_ran(received(command(attempt=2)), deps=other)


async def test_a_cancel_that_came_before_its_command_holds() -> None:
    deps = await generation()
    assert stopped_before_it_ran(received(command(attempt=2)), deps=deps) is None
    await cancel_attempt(cancel(attempt=2), deps=deps)
    stopped = stopped_before_it_ran(received(command(attempt=2, prefix_token_ids=(1, 2))), deps=deps)
    assert stopped == GenerationStopped(
        request_id=REQUEST, attempt=2, epoch=0, worker=WorkerId("w1"), handed_back=False, completion_tokens=2
    )
    assert stopped_before_it_ran(received(command(attempt=3)), deps=deps) is None


async def test_a_cancelled_attempt_that_ran_and_comes_again_has_no_second_outcome() -> None:
    deps = await generation()
    stream, _ = await begun(deps, command())
    await cancel_attempt(cancel(), deps=deps)
    assert stopped_before_it_ran(received(command()), deps=deps) is None, "it runs"
    await all_of(stream)
    assert stopped_before_it_ran(received(command()), deps=deps) is None, "it ended"


async def test_after_its_deadline_nobody_wants_more() -> None:
    deps = await generation(token_delay_s=FAR)
    stream = generate_answer(received(command(), remaining_s=0.0), deps=deps)
    (stopped,) = await all_of(stream)
    assert isinstance(stopped, GenerationStopped)
    assert not deps.inboxes


async def test_draining_hands_back_what_runs_with_the_tokens_so_far() -> None:
    deps = await generation(token_delay_s=0.001)
    stream, _ = await begun(deps, command("word " * 500), tokens=2)
    hand_back(deps)
    *tokens, stopped = await all_of(stream)
    assert isinstance(stopped, GenerationStopped)
    assert stopped.handed_back
    published = 3 + sum(len(piece.token_ids) for piece in tokens if isinstance(piece, TokensGenerated))
    assert stopped.completion_tokens == published


async def test_a_command_that_comes_twice_runs_once() -> None:
    deps = await generation()
    stream, _ = await begun(deps, command())
    assert await answer(deps, command()) == []
    await all_of(stream)
    assert await answer(deps, command()) == []


async def test_an_attempt_whose_stream_broke_off_fails_when_it_is_tried_again() -> None:
    deps = await generation()
    stream, _ = await begun(deps, command(), tokens=1)
    await anext(stream)
    await stream.aclose()
    assert not deps.inboxes
    (failed,) = await answer(deps, command())
    assert isinstance(failed, GenerationFailed)


async def test_an_attempt_whose_admission_was_not_published_is_simply_tried_again() -> None:
    deps = await generation()
    stream, _ = await begun(deps, command())
    await stream.aclose()
    assert isinstance((await answer(deps, command()))[-1], AnswerCompleted)


async def test_an_engine_that_dies_fails_the_attempt() -> None:
    deps = await generation(token_delay_s=FAR)
    stream, _ = await begun(deps, command())
    await deps.engine.stop()
    assert [type(payload) for payload in await all_of(stream)] == [GenerationFailed]


async def test_an_attempt_that_waited_behind_the_one_that_killed_the_engine_is_not_lost_but_tried_again() -> None:
    deps = await generation()
    engine, deps.engine = deps.engine, Hung()
    await deps.engine.start()
    with pytest.raises(Overloaded, match="broke off before its turn: a step of the model took longer than 60 s"):
        await answer(deps, command())
    assert not deps.inboxes
    deps.engine = engine
    assert isinstance((await answer(deps, command()))[-1], AnswerCompleted)


async def test_what_begins_and_what_ends_is_news() -> None:
    deps = await generation()
    stream = generate_answer(received(command()), deps=deps)
    await anext(stream)
    assert deps.changed.is_set()
    deps.changed.clear()
    await stream.aclose()
    assert deps.changed.is_set()


async def test_progress_names_what_runs() -> None:
    deps = await generation(token_delay_s=FAR)
    stream, _ = await begun(deps, command(prefix_token_ids=(1, 2)))
    pending = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    outgoing = report_progress(deps, {Tier.BULK: (1, 3)})
    assert (outgoing.topic, outgoing.key) == (WORKER_PROGRESS.physical_name, "w1")
    progress = outgoing.payload
    assert isinstance(progress, WorkerProgressed)
    assert (progress.models, progress.slots, progress.waiting, progress.draining) == (("null",), 2, 0, False)
    assert [(one.request_id, one.attempt, one.completion_tokens) for one in progress.running] == [(REQUEST, 1, 2)]
    assert progress.partitions == {Tier.BULK: (1, 3)}
    deps.engine.cancel(AttemptKey(REQUEST, 1))
    await pending
    await stream.aclose()


async def test_a_worker_offers_no_model_while_it_is_not_loaded() -> None:
    deps = await generation()

    def offered() -> tuple[str, ...]:
        progress = report_progress(deps, {Tier.BULK: (1,)}).payload
        assert isinstance(progress, WorkerProgressed)
        return progress.models

    assert offered() == ("null",)
    await deps.engine.stop()
    assert offered() == ()
    await deps.engine.start()
    assert offered() == ("null",)


async def test_attempts_of_many_requests_do_not_mix() -> None:
    deps = await generation()
    prompts = [f"answer number {number}" for number in range(20)]
    payloads = [command(prompt, request_id=RequestId(f"req_{number}")) for number, prompt in enumerate(prompts)]
    answers = await asyncio.gather(*(answer(deps, payload) for payload in payloads))
    for prompt, payload, said in zip(prompts, payloads, answers, strict=True):
        assert "".join(piece.text for piece in said if isinstance(piece, TokensGenerated)) == prompt
        assert {getattr(piece, "request_id", None) for piece in said} == {payload.request_id}
    assert len(list(itertools.chain.from_iterable(answers))) >= 60

"""Runs accepted questions: one task and one mailbox each, around the pure state machine.

The terminal state is in PostgreSQL before anyone is told. A client is sent what was read back from the answer stream:
so it gets one text, also when another replica adopted the request meanwhile.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import structlog

from groundswell.common.bus.connection import Bus
from groundswell.common.bus.messages import Outgoing, Received
from groundswell.common.contracts.answers import AnswerReleased, StreamAdopted
from groundswell.common.contracts.generation import GenerateAnswer, GenerationAdmitted, TokensGenerated
from groundswell.common.contracts.message import CommandFailed, Message
from groundswell.common.errors import Overloaded, Rejected, Unavailable
from groundswell.common.ids import RequestId, WorkerId
from groundswell.common.telemetry import names
from groundswell.common.telemetry.logs import log_context
from groundswell.common.telemetry.tracing import current_carrier, span
from groundswell.common.tiers import Tier
from groundswell.common.topics import GENERATE_ANSWER
from groundswell.orchestrator import handlers
from groundswell.orchestrator.domain.assistants import Assistant
from groundswell.orchestrator.domain.ending import expire_anyway, give_up
from groundswell.orchestrator.domain.liveness import WorkerSigns
from groundswell.orchestrator.domain.placement import Placement
from groundswell.orchestrator.domain.question import Answer, Question
from groundswell.orchestrator.domain.request import advance
from groundswell.orchestrator.domain.resuming import Reply, is_of_superseded_attempt, resume
from groundswell.orchestrator.domain.state import (
    Abandoned,
    Began,
    Bury,
    CancelAttempt,
    DeadlinePassed,
    Effect,
    End,
    Input,
    KeepPrompt,
    Release,
    RequestState,
    Send,
    Superseded,
    WorkerLost,
)
from groundswell.orchestrator.domain.stream_view import StreamView
from groundswell.orchestrator.ports import AlreadyAccepted, Ownership, Released, RequestLedger, StreamItem

STORE_RETRY_S = 0.5
FOLLOW_EVERY_S = 0.25
CONTROL_WITHIN_S = 5.0
"""How long an end waits for a broker that is away, to send its cancels."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class ReplyRoute:
    """Where replies arrive, and the epoch under which this replica owns that partition.

    `offset`: from where on replies to a request of a tier that is accepted now will lie.
    """

    bus: Bus
    partition: int
    epoch: int
    owner: str
    offset: Callable[[Tier], int] = lambda _tier: 0

    def ownership(self, tier: Tier) -> Ownership:
        return Ownership(owner=self.owner, epoch=self.epoch, partition=self.partition, reply_offset=self.offset(tier))


@dataclass(eq=False)
class _Run:
    state: RequestState
    view: StreamView
    mailbox: asyncio.Queue[tuple[Input, dict[str, str]]] = field(default_factory=asyncio.Queue)
    items: asyncio.Queue[StreamItem] = field(default_factory=asyncio.Queue)
    task: asyncio.Task[None] = field(init=False)
    generating: asyncio.Task[None] | None = None
    """Sends the newest attempt, perhaps only when there is a place for it."""

    def begins(self, attempt: Coroutine[Any, Any, None] | None) -> None:
        """What was on its way before is not sent any more."""
        if self.generating is not None:
            self.generating.cancel()
        self.generating = asyncio.create_task(attempt) if attempt else None


class _Stream:
    """The client's side of a run."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self.request_id = run.state.question.request_id

    async def __aiter__(self) -> AsyncIterator[StreamItem]:
        while True:
            item = await self._run.items.get()
            yield item
            if isinstance(item, Answer):
                return

    async def abandon(self) -> None:
        if not self._run.state.question.resumable:
            self._run.mailbox.put_nowait((Abandoned(), current_carrier()))


class Desk:
    """The FrontDesk of one replica. Takes questions once `opened` with a reply route."""

    def __init__(
        self,
        ledger: RequestLedger,
        find_assistant: Callable[[str], Assistant | None],
        workers: WorkerSigns,
        placement: Placement,
        *,
        control_within_s: float = CONTROL_WITHIN_S,
    ) -> None:
        self._ledger = ledger
        self._find_assistant = find_assistant
        self._workers = workers
        self._placement = placement
        self._control_within_s = control_within_s
        self._route: ReplyRoute | None = None
        self._runs: dict[RequestId, _Run] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def running(self) -> int:
        return len(self._runs)

    @property
    def is_open(self) -> bool:
        return self._route is not None

    def open(self, route: ReplyRoute) -> None:
        self._route = route

    def close(self) -> None:
        """Take no more questions; what runs goes on."""
        self._route = None

    async def accept(self, question: Question) -> _Stream:
        """See FrontDesk.accept."""
        route, assistant = self._route, self._find_assistant(question.model)
        if route is None:
            raise Unavailable("the platform is starting or stopping", retry_after_s=2.0)
        if assistant is None:
            raise ValueError(f"no assistant or model is called {question.model!r}")
        if not await self._ledger.insert(question, route.ownership(question.tier)):
            raise AlreadyAccepted(question.request_id)
        run = self._begin(RequestState(question=question, assistant=assistant, epoch=route.epoch), route)
        run.mailbox.put_nowait((Began(), current_carrier()))
        return _Stream(run)

    def adopt(
        self, question: Question, replies: Sequence[Received[Message]], route: ReplyRoute
    ) -> asyncio.Task[None] | None:
        """Carry a request on whose replica is gone; `replies` is all that lies on its reply partition for it.

        None if its assistant is gone, too: then it expires.
        """
        assistant = self._find_assistant(question.model)
        if assistant is None:
            log.warning("request of an assistant that is gone", request_id=question.request_id)
            return None
        state = RequestState(question=question, assistant=assistant, epoch=route.epoch)
        heard = [_reply(message) for message in replies]
        state, effects = resume(state, heard, time.time())
        if state.worker is not None:
            self._workers.hear(state.worker, time.monotonic())  # from now on its silence counts
        return self._begin(state, route, effects).task

    def _begin(self, state: RequestState, route: ReplyRoute, effects: Sequence[Effect] | None = None) -> _Run:
        """`effects`: what an adopted request is to do first."""
        run = _Run(state, StreamView(state.epoch))
        self._runs[state.request_id] = run
        run.task = asyncio.create_task(self._carry(run, route, effects))
        self._tasks.add(run.task)
        run.task.add_done_callback(self._tasks.discard)
        return run

    async def cancel(self, request_id: RequestId) -> bool:
        """See FrontDesk.cancel."""
        run = self._runs.get(request_id)
        if run is None:
            return False
        run.mailbox.put_nowait((Abandoned(), current_carrier()))
        return True

    async def hear_reply(self, message: Received[Message]) -> None:
        """Hand a reply to the request that it belongs to; one that nobody waits for is dropped."""
        payload = message.payload
        if isinstance(payload, GenerationAdmitted | TokensGenerated):
            self._workers.hear(payload.worker, time.monotonic())
        run = self._runs.get(RequestId(message.envelope.correlation_id))
        if run is not None and not is_of_superseded_attempt(run.state, _reply(message)):
            run.mailbox.put_nowait((payload, current_carrier()))

    async def hear_stream(self, message: Received[Message]) -> None:
        """What the answer stream says of a request that runs here, be it by this replica or by its adopter."""
        event = message.payload
        run = self._runs.get(RequestId(message.envelope.correlation_id))
        if run is None:
            return
        if isinstance(event, StreamAdopted):
            if run.view.adopt(event):
                run.mailbox.put_nowait((Superseded(), current_carrier()))
        elif isinstance(event, AnswerReleased):
            start = run.view.position
            if text := run.view.take(event):
                run.items.put_nowait(Released(start, text))

    def lose(self, worker: WorkerId) -> None:
        """Let every request that the worker runs go on elsewhere."""
        self._placement.lose(worker)
        for run in self._runs.values():
            if run.state.worker == worker:
                run.mailbox.put_nowait((WorkerLost(worker), current_carrier()))

    async def drain(self, seconds: float) -> None:
        """Take no more questions and wait for those that run."""
        self.close()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)

    async def _carry(self, run: _Run, route: ReplyRoute, effects: Sequence[Effect] | None) -> None:
        question = run.state.question
        with log_context(request_id=question.request_id, tenant=question.caller.team):
            try:
                if effects is not None:
                    await self._take_over(run, effects, route)
                await self._until_ended(run, route)
            except Unavailable as error:
                log.warning("deadline passed while waiting", reason=error.reason)
                await self._break_off(run, expire_anyway(run.state, time.time()))
            except Exception:
                log.exception("request broke off")
                end = give_up(run.state, "an internal error ended this request", time.time())
                await self._break_off(run, end)
            finally:
                run.begins(None)
                self._placement.forget(question.request_id)
                if self._runs.get(question.request_id) is run:
                    del self._runs[question.request_id]

    async def _break_off(self, run: _Run, end: End) -> None:
        try:
            await self._end(run, end)
        except Exception:
            # The sweep ends the row at its deadline; the client must not wait for that.
            log.exception("terminal state not recorded")
            run.items.put_nowait(end.answer)

    async def _take_over(self, run: _Run, effects: Sequence[Effect], route: ReplyRoute) -> None:
        log.info("request adopted", stage=run.state.stage, epoch=route.epoch)
        for effect in effects:
            await self._perform(run, effect, route)

    async def _until_ended(self, run: _Run, route: ReplyRoute) -> None:
        while run.state.stage != "ended":
            message, carrier = await self._next(run)
            if isinstance(message, Superseded):
                run.items.put_nowait(await self._ended_elsewhere(run.state.request_id))
                return
            with span("advance request", carrier=carrier):
                run.state, effects = advance(run.state, message, time.time())
                for effect in effects:
                    await self._perform(run, effect, route)

    async def _next(self, run: _Run) -> tuple[Input, dict[str, str]]:
        try:
            async with asyncio.timeout(max(0.0, run.state.question.deadline - time.time())):
                return await run.mailbox.get()
        except TimeoutError:
            return DeadlinePassed(), current_carrier()

    async def _perform(self, run: _Run, effect: Effect, route: ReplyRoute) -> None:
        publish = partial(self._publish, route, run.state.question.deadline)
        if isinstance(effect, Send) and isinstance(effect.payload, GenerateAnswer):
            run.begins(self._generate(run, effect.payload, route))
        elif isinstance(effect, Send):
            await publish(handlers.command(run.state, effect.payload, route.partition))
        elif isinstance(effect, Release):
            await publish(handlers.released(run.state, effect.start, effect.text))
            self._first_text(run.state, effect)
        elif isinstance(effect, KeepPrompt):
            await self._keep_prompt(run.state, effect)
        elif isinstance(effect, CancelAttempt):
            run.begins(None)
            await self._control(route, handlers.cancelled(run.state, effect.attempt))
        elif isinstance(effect, Bury):
            await self._bury(run.state, effect, route)
        else:
            await self._end(run, effect)

    async def _generate(self, run: _Run, command: GenerateAnswer, route: ReplyRoute) -> None:
        """Send the attempt to where there is room; one that may kill its worker to where no other such one is."""
        tier, until = run.state.question.tier, run.state.question.deadline
        while self._placement.must_wait(command, tier, time.monotonic()):  # noqa: ASYNC110 - time changes it, too
            await asyncio.sleep(FOLLOW_EVERY_S)
        partition = self._placement.place(command, tier, time.monotonic())
        try:
            await self._publish(route, until, handlers.command(run.state, command, route.partition, partition))
        except Unavailable:
            return  # its deadline has passed: the request ends with that
        except Rejected as rejection:
            failed = CommandFailed(command=command.type_name(), reason=rejection.reason)
            run.mailbox.put_nowait((failed, current_carrier()))

    async def _bury(self, state: RequestState, effect: Bury, route: ReplyRoute) -> None:
        message = handlers.command(state, effect.command, route.partition)
        try:
            async with asyncio.timeout(self._control_within_s):
                await route.bus.context.dead_letters.keep(
                    GENERATE_ANSWER, message, reason=effect.reason, attempts=effect.attempts
                )
        except (Overloaded, TimeoutError):
            log.warning("dead letter not kept", message=effect.command.type_name())

    async def _publish(self, route: ReplyRoute, until: float, outgoing: Outgoing) -> None:
        """Publish, through an outage of the broker until the request's deadline. Raises Unavailable then."""
        while True:
            try:
                return await route.bus.publisher.publish(outgoing)
            except Unavailable:
                if time.time() >= until:
                    raise
                await asyncio.sleep(STORE_RETRY_S)

    async def _control(self, route: ReplyRoute, outgoing: Outgoing) -> None:
        """Publish what the end of a request does not depend on: a broker that is away costs a few seconds at most."""
        try:
            async with asyncio.timeout(self._control_within_s):
                await self._publish(route, outgoing.deadline, outgoing)
        except (Unavailable, TimeoutError):
            log.warning("not published in time", message=outgoing.payload.type_name())

    async def _keep_prompt(self, state: RequestState, effect: KeepPrompt) -> None:
        prompt = [{"role": message.role, "content": message.content} for message in effect.messages]
        try:
            await self._ledger.mark_generating(state.question.request_id, prompt)
        except Unavailable as error:
            # A running request goes on while PostgreSQL is away; only its terminal state waits for it.
            log.warning("prompt not recorded", reason=error.reason)

    async def _end(self, run: _Run, effect: End) -> None:
        recorded = await self._recorded(run.state, effect.answer)
        names.REQUESTS_ENDED.labels(run.state.question.tier.value, recorded.outcome.value).inc()
        for stage, milliseconds in (recorded.timings_ms or {}).items():
            names.REQUEST_STAGE_SECONDS.labels(stage).observe(milliseconds / 1000)
        log.info("request ended", outcome=recorded.outcome.value, tokens=recorded.completion_tokens)
        run.items.put_nowait(recorded)

    async def _recorded(self, state: RequestState, answer: Answer) -> Answer:
        """The terminal answer that the ledger holds: ours, or that of who was first."""
        while True:
            try:
                recorded = await self._ledger.finish(state.request_id, answer, epoch=state.epoch)
                return recorded or await self._ended_elsewhere(state.request_id)
            except Unavailable as error:
                log.warning("terminal state not recorded yet", reason=error.reason)
                await asyncio.sleep(STORE_RETRY_S)

    async def _ended_elsewhere(self, request_id: RequestId) -> Answer:
        """The terminal answer of a request that another replica carries on."""
        while True:
            try:
                if (answer := await self._ledger.answer(request_id)) is not None:
                    return answer
            except Unavailable as error:
                log.warning("answer not looked up yet", reason=error.reason)
            await asyncio.sleep(FOLLOW_EVERY_S)

    def _first_text(self, state: RequestState, effect: Release) -> None:
        if effect.start == 0:
            names.TIME_TO_FIRST_TOKEN_SECONDS.labels(state.question.tier.value).observe(
                time.time() - state.question.created,
            )


def _reply(message: Received[Message]) -> Reply:
    return Reply(message.payload, message.envelope.attempt, message.envelope.epoch)

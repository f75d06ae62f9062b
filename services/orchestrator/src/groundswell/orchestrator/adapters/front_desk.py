"""Runs accepted questions: one task and one mailbox each, around the pure state machine.

The terminal state is in PostgreSQL before anyone is told. A client is sent what was read back from the answer stream:
so it gets one text, also when another replica adopted the request meanwhile.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial

import structlog

from groundswell.common.bus.messages import Received
from groundswell.common.contracts.answers import AnswerFollowed, CancelRequested, StreamAdopted
from groundswell.common.contracts.generation import AttemptCancelled, GenerationAdmitted, TokensGenerated
from groundswell.common.contracts.message import Message
from groundswell.common.errors import Unavailable
from groundswell.common.ids import RequestId, WorkerId
from groundswell.common.telemetry.tracing import current_carrier
from groundswell.orchestrator import handlers
from groundswell.orchestrator.adapters.carrier import CONTROL_WITHIN_S, Carrier
from groundswell.orchestrator.adapters.released_texts import Following, ReleasedTexts
from groundswell.orchestrator.adapters.run import NOBODY_CAME_BACK, ReplyRoute, Run, RunStream
from groundswell.orchestrator.domain import unwanted
from groundswell.orchestrator.domain.assistants import Assistant, gone
from groundswell.orchestrator.domain.ending import give_up
from groundswell.orchestrator.domain.liveness import BoundAttempt, BoundAttempts, WorkerSigns
from groundswell.orchestrator.domain.placement import Copy, Placement
from groundswell.orchestrator.domain.question import Question
from groundswell.orchestrator.domain.resuming import end_without_assistant, resume
from groundswell.orchestrator.domain.state import (
    AttemptLost,
    Began,
    Effect,
    Reply,
    RequestState,
    Step,
    Superseded,
    WorkerLost,
)
from groundswell.orchestrator.ports import AlreadyAccepted, AnswerStream, RequestLedger, RequestRecord

RESUMABLE_FOR_S = 30.0
LOOK_EVERY_S = 1.0

log = structlog.get_logger(__name__)


class Desk:
    """The FrontDesk of one replica. Takes questions once `opened` with a reply route."""

    def __init__(
        self,
        ledger: RequestLedger,
        find_assistant: Callable[[str], Assistant | None],
        workers: WorkerSigns,
        placement: Placement,
        bound: BoundAttempts,
        *,
        control_within_s: float = CONTROL_WITHIN_S,
        resumable_for_s: float = RESUMABLE_FOR_S,
    ) -> None:
        self._carrier = Carrier(ledger, placement, bound, control_within_s)
        self._ledger = ledger
        self._find_assistant = find_assistant
        self._workers = workers
        self._placement = placement
        self._route: ReplyRoute | None = None
        self._epochs: dict[int, int] = {}
        """Of reply partitions that this replica owned last, by partition: newer attempts there are of others."""
        self._told_to_end = unwanted.ToldToEnd()
        self._resumable_for_s = resumable_for_s
        self.released = ReleasedTexts()
        self.opened = asyncio.Event()
        self._runs: dict[RequestId, Run] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def running(self) -> int:
        return len(self._runs)

    @property
    def is_open(self) -> bool:
        return self._route is not None

    def open(self, route: ReplyRoute) -> None:
        self._route = route
        self._epochs[route.partition] = route.epoch
        self.opened.set()

    def close(self) -> None:
        """Take no more questions; what runs goes on."""
        self._route = None

    async def accept(self, question: Question) -> RunStream:
        """See FrontDesk.accept."""
        if question.request_id in self._runs:  # asked again, perhaps of a desk that takes nothing new
            raise AlreadyAccepted(question.request_id)
        route, assistant = self._route, self._find_assistant(question.model)
        if route is None:
            raise Unavailable("the platform is starting or stopping", retry_after_s=2.0)
        if assistant is None:
            raise ValueError(f"no assistant or model is called {question.model!r}")
        if not await self._ledger.insert(question, route.ownership(question.tier)):
            raise AlreadyAccepted(question.request_id)
        run = self._begin(RequestState(question=question, assistant=assistant, epoch=route.epoch), route)
        run.mailbox.put_nowait((Began(), current_carrier()))
        return RunStream(run, asked=True)

    def follow(self, record: RequestRecord, after: int = 0) -> AnswerStream:
        """See FrontDesk.follow."""
        run = self._runs.get(record.request_id)
        if run is not None:
            return RunStream(run, asked=False, after=after)
        released = self.released.of(record.request_id)
        if record.answer is not None:
            released.finish(record.answer)
        return Following(
            record.request_id, released, self._ledger, after=after, show=partial(self._show_that_it_is_read, record)
        )

    def adopt(self, question: Question, replies: Sequence[Received[Message]], route: ReplyRoute) -> asyncio.Task[None]:
        """Carry a request on whose replica is gone; `replies` is all that lies on its reply partition for it.

        If its assistant is gone, too, it ends.
        """
        self._epochs[route.partition] = route.epoch
        state, effects = self._resumed(question, [_reply(message) for message in replies], route.epoch)
        if state.worker is not None:
            self._workers.hear(state.worker, time.monotonic())  # from now on its silence counts
        return self._begin(state, route, effects).task

    def _resumed(self, question: Question, replies: Sequence[Reply], epoch: int) -> Step:
        now = time.time()
        assistant = self._find_assistant(question.model)
        try:
            if assistant is not None:
                return resume(RequestState(question=question, assistant=assistant, epoch=epoch), replies, now)
            log.warning("request of an assistant that is gone", request_id=question.request_id)
            return end_without_assistant(question, epoch, replies, now)
        except Exception:
            # One that cannot be carried on must not keep the others from it.
            log.exception("request cannot be carried on", request_id=question.request_id)
            assistant = assistant or gone(question.model, knowledge=False)
            state = RequestState(question=question, assistant=assistant, epoch=epoch, stage="ended")
            return state, [give_up(state, "an internal error ended this request", now)]

    def _begin(self, state: RequestState, route: ReplyRoute, effects: Sequence[Effect] | None = None) -> Run:
        """`effects`: what an adopted request is to do first."""
        run = Run(state, self.released.of(state.request_id))
        self._runs[state.request_id] = run
        run.task = asyncio.create_task(self._carry(run, route, effects))
        self._keep(run.task)
        return run

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def cancel(self, record: RequestRecord) -> None:
        """See FrontDesk.cancel."""
        run, wish = self._runs.get(record.request_id), CancelRequested(request_id=record.request_id)
        if run is not None:
            run.mailbox.put_nowait((wish, current_carrier()))
        else:
            await self._tell_owner(record, wish)

    async def _show_that_it_is_read(self, record: RequestRecord) -> None:
        try:
            await self._tell_owner(record, AnswerFollowed(request_id=record.request_id))
        except Unavailable as error:
            log.info("its owner does not know that it is read here", reason=error.reason)

    async def _tell_owner(self, record: RequestRecord, payload: CancelRequested | AnswerFollowed) -> None:
        if self._route is None:
            raise Unavailable("the platform is starting or stopping", retry_after_s=2.0)
        await self._route.bus.publisher.publish(handlers.to_owner(record, payload))

    async def end_forgotten(self) -> None:
        """End requests that ran on for a client that did not come back; until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            for run in self._runs.values():
                if run.is_forgotten(self._resumable_for_s):
                    run.abandon(NOBODY_CAME_BACK)

    async def hear_reply(self, message: Received[Message]) -> None:
        """Hand a reply to its request. What nobody waits for is dropped, and its attempt ended."""
        payload = message.payload
        run = self._runs.get(RequestId(message.envelope.correlation_id))
        if isinstance(payload, GenerationAdmitted | TokensGenerated):
            self._workers.hear(payload.worker, time.monotonic())
            self._end_unwanted(run, payload, message)
        if run is not None and isinstance(payload, AnswerFollowed):
            run.read_at = time.monotonic()
        elif run is not None:
            run.mailbox.put_nowait((_reply(message), current_carrier()))

    def _end_unwanted(
        self, run: Run | None, said: GenerationAdmitted | TokensGenerated, message: Received[Message]
    ) -> None:
        """Tell a worker to let go what nobody here wants, again and again while it goes on with it."""
        if self._route is None or said.epoch > self._epochs.get(message.origin.partition, -1):
            return  # who does not own its replies, or no longer, knows nothing of it
        if run is None:
            cancel: AttemptCancelled | None = unwanted.cancel(said)
        elif run.released.epoch > run.state.epoch or isinstance(said, GenerationAdmitted):
            return  # its adopter decides, or the request itself
        else:
            cancel = unwanted.cancel_if_unwanted(run.state, said)
        attempt = BoundAttempt(said.request_id, said.attempt, said.epoch, said.worker)
        if cancel is not None and self._told_to_end.is_due(attempt, time.monotonic()):
            outgoing = handlers.unwanted(cancel, message.envelope)
            self._keep(asyncio.create_task(self._carrier.control(self._route, outgoing)))

    async def hear_stream(self, message: Received[Message]) -> None:
        """What the answer stream says of a request, whoever carries it."""
        event, request_id = message.payload, RequestId(message.envelope.correlation_id)
        self.released.hear(request_id, event)
        run = self._runs.get(request_id)
        if run is not None and isinstance(event, StreamAdopted) and event.epoch > run.state.epoch:
            run.mailbox.put_nowait((Superseded(), current_carrier()))

    def send_copy(self, copy: Copy) -> None:
        """Let the newest attempt of a request go to another partition, too."""
        if copy.request_id in self._runs:
            self._runs[copy.request_id].copies.put_nowait(copy.partition)

    def lose(self, worker: WorkerId) -> int:
        """Let every request that the worker runs go on elsewhere; returns how many are known."""
        self._placement.lose(worker)
        for run in self._runs.values():
            # To all: its admission may lie in a mailbox.
            run.mailbox.put_nowait((WorkerLost(worker), current_carrier()))
        states = [run.state for run in self._runs.values()]
        return sum(state.worker == worker and state.completed is None for state in states)

    def lose_attempt(self, attempt: BoundAttempt) -> None:
        """Let a request go on elsewhere whose worker does not run it any more."""
        run = self._runs.get(attempt.request_id)
        if run is not None:
            run.mailbox.put_nowait((AttemptLost(attempt), current_carrier()))

    async def drain(self, seconds: float) -> None:
        """Take no more questions and wait for those that run."""
        self.close()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)

    async def _carry(self, run: Run, route: ReplyRoute, effects: Sequence[Effect] | None) -> None:
        try:
            await self._carrier.carry(run, route, effects)
        finally:
            if self._runs.get(run.state.request_id) is run:
                del self._runs[run.state.request_id]


def _reply(message: Received[Message]) -> Reply:
    return Reply(message.payload, message.envelope.attempt, message.envelope.epoch)

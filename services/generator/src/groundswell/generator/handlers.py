"""What the generator does with each message."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field

from groundswell.common.bus.messages import Outgoing, Received, reply
from groundswell.common.contracts.generation import (
    AttemptCancelled,
    GenerateAnswer,
    GenerationStopped,
    WorkerProgressed,
)
from groundswell.common.errors import Overloaded
from groundswell.common.ids import SHARED_TEAM, CorrelationId, WorkerId
from groundswell.common.telemetry import names
from groundswell.common.tiers import Tier
from groundswell.common.topics import WORKER_PROGRESS
from groundswell.generator.domain.attempt_run import AttemptRun, HandBack, Happening, Nothing, Report
from groundswell.generator.domain.attempts import Attempts, Before
from groundswell.generator.domain.cancellations import Cancellation, RecentCancellations
from groundswell.generator.domain.jobs import AttemptKey, Cancelled, Failed, GenerationJob
from groundswell.generator.domain.pacing import TokenPacer, pace_of
from groundswell.generator.ports import Engine

PROGRESS_LIFE_S = 5.0

Inbox = asyncio.Queue[Happening]


@dataclass
class Generation:
    """What the handlers share in one worker. `now` is the wall clock in seconds."""

    engine: Engine
    model: str
    worker: WorkerId
    slots: int
    now: Callable[[], float] = time.time
    attempts: Attempts = field(default_factory=Attempts)
    cancellations: RecentCancellations = field(default_factory=RecentCancellations)
    inboxes: dict[AttemptKey, Inbox] = field(default_factory=dict)
    draining: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """What it runs, or whether its model is loaded, is not what it said last."""

    def join(self, run: AttemptRun) -> Inbox:
        self.attempts.join(run)
        self.inboxes[run.key] = inbox = Inbox()
        self._measure()
        return inbox

    def leave(self, run: AttemptRun) -> None:
        """Also when the run broke off: its slot in the engine is freed."""
        self.engine.cancel(run.key)
        self.attempts.leave(run)
        del self.inboxes[run.key]
        self._measure()
        outcome = type(run.outcome).__name__ if run.outcome else "BrokeOff"
        names.GENERATIONS_ENDED.labels(self.model, outcome).inc()
        names.TOKENS_GENERATED.labels(self.model).inc(run.completion_tokens - len(run.command.prefix_token_ids))

    def _measure(self) -> None:
        self.changed.set()
        names.RUNNING_ATTEMPTS.labels(self.model).set(len(self.inboxes))


async def generate_answer(message: Received[GenerateAnswer], *, deps: Generation) -> AsyncGenerator[Outgoing, None]:
    """Admission, tokens, outcome. Raises Overloaded while nobody has admitted the attempt and no model is loaded.

    What was cancelled before its turn does not come here, see `stopped_before_it_ran`.
    """
    run = _run_of(message, deps)
    if (instead := _instead(run, deps)) is not None:
        for report in instead:
            yield reply(message, report)
        return
    inbox = deps.join(run)
    try:
        deps.engine.submit(_job(message), inbox.put_nowait)
        while run.outcome is None:
            happening = await _next(inbox, run, message.deadline, deps.now)
            if isinstance(happening, Failed) and not run.admitted:
                # no loss: an engine admits before it works on a job, so this one has no part in what broke it
                raise Overloaded(f"the model broke off before its turn: {happening.reason}")
            for report in run.advance(happening, deps.now()):
                yield reply(message, report)
                run.published(report)
    finally:
        deps.leave(run)


def stopped_before_it_ran(message: Received[GenerateAnswer], *, deps: Generation) -> GenerationStopped | None:
    """The outcome of an attempt that was cancelled before it came to its turn; None: it was not, or it ran here."""
    command = message.payload
    run = _run_of(message, deps)
    if deps.attempts.before(run.key) is None and deps.cancellations.covers(
        command.request_id, epoch=command.epoch, attempt=command.attempt, now=deps.now()
    ):
        return run.stopped(handed_back=False)
    return None


async def cancel_attempt(message: Received[AttemptCancelled], *, deps: Generation) -> None:
    """Free what runs for the request; what is still to come ends in `stopped_before_it_ran`."""
    cancelled = message.payload
    goes_on = cancelled.but_of == deps.worker
    cancellation = Cancellation(cancelled.epoch, cancelled.attempt - 1 if goes_on else cancelled.attempt)
    deps.cancellations.add(cancelled.request_id, cancellation, deps.now())
    for run in deps.attempts.running():
        command = run.command
        if command.request_id == cancelled.request_id and cancellation.covers(command.epoch, command.attempt):
            deps.engine.cancel(run.key)


def report_progress(deps: Generation, partitions: Mapping[Tier, tuple[int, ...]]) -> Outgoing:
    """What the worker runs and its room; its sign of life. `partitions`: those of the command that it reads.

    While its model is not loaded it offers none: it looks idle, and would draw what it cannot run.
    """
    progress = WorkerProgressed(
        worker=deps.worker,
        models=(deps.model,) if deps.engine.ready else (),
        slots=deps.slots,
        running=deps.attempts.report(),
        waiting=deps.attempts.waiting(),
        draining=deps.draining,
        partitions=dict(partitions),
    )
    return Outgoing(
        topic=WORKER_PROGRESS.physical_name,
        payload=progress,
        key=deps.worker,
        correlation_id=CorrelationId(deps.worker),
        tenant=SHARED_TEAM,
        tier=Tier.INTERACTIVE,
        deadline=deps.now() + PROGRESS_LIFE_S,
    )


def hand_back(deps: Generation) -> None:
    """End every attempt that runs, so that another worker goes on with it."""
    for inbox in deps.inboxes.values():
        inbox.put_nowait(HandBack())


def _instead(run: AttemptRun, deps: Generation) -> list[Report] | None:
    """What to say instead of running the attempt; None: run it."""
    command = run.command
    match deps.attempts.before(run.key):
        case Before.RUNS | Before.ENDED:
            return []
        case Before.BROKE_OFF:
            return [run.failed("the worker could not publish what it generated")]
    if command.model != deps.model:
        return [run.refused(f"model {command.model} does not run here; {deps.model} does")]
    if not deps.engine.ready:
        raise Overloaded("the model is not loaded")
    return None


def _run_of(message: Received[GenerateAnswer], deps: Generation) -> AttemptRun:
    command, tier = message.payload, message.envelope.tier
    pacer = TokenPacer(pace_of(tier), position=len(command.prefix_token_ids))
    return AttemptRun(command, deps.worker, tier, pacer)


def _job(message: Received[GenerateAnswer]) -> GenerationJob:
    command = message.payload
    return GenerationJob(
        key=AttemptKey(command.request_id, command.attempt, command.epoch),
        tier=message.envelope.tier,
        deadline=message.deadline,
        messages=command.messages,
        max_tokens=command.max_tokens,
        sampling=command.sampling,
        prefix_token_ids=command.prefix_token_ids,
    )


async def _next(inbox: Inbox, run: AttemptRun, deadline: float, now: Callable[[], float]) -> Happening:
    """What happens next: an event, time to publish what is gathered, or the deadline, after which nobody wants more."""
    until = min(deadline, run.due_at() or deadline)
    try:
        async with asyncio.timeout(max(0.0, until - now())):
            return await inbox.get()
    except TimeoutError:
        return Cancelled(run.completion_tokens) if now() >= deadline else Nothing()

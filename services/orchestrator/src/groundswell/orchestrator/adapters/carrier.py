"""Does what the pure state machine of a request wants done, from its acceptance or adoption to its end.

The terminal state is in PostgreSQL before anyone is told.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import structlog

from groundswell.common.bus.messages import Outgoing
from groundswell.common.bus.work import backoff_s, until_done
from groundswell.common.contracts.generation import GenerateAnswer
from groundswell.common.contracts.message import CommandFailed
from groundswell.common.errors import Rejected, Unavailable
from groundswell.common.telemetry import names
from groundswell.common.telemetry.logs import log_context
from groundswell.common.telemetry.tracing import current_carrier, span
from groundswell.common.topics import GENERATE_ANSWER
from groundswell.orchestrator import handlers
from groundswell.orchestrator.adapters.following import ended_elsewhere
from groundswell.orchestrator.adapters.run import ReplyRoute, Run
from groundswell.orchestrator.domain.ending import expire_anyway, give_up
from groundswell.orchestrator.domain.liveness import BoundAttempt, BoundAttempts
from groundswell.orchestrator.domain.placement import Placement
from groundswell.orchestrator.domain.question import Answer
from groundswell.orchestrator.domain.request import advance
from groundswell.orchestrator.domain.state import (
    BindAttempt,
    Bury,
    CancelAttempt,
    DeadlinePassed,
    Effect,
    End,
    Input,
    KeepPrompt,
    Release,
    Reply,
    RequestState,
    Send,
    Superseded,
)
from groundswell.orchestrator.ports import RequestLedger

LOOK_EVERY_S = 0.25
CONTROL_WITHIN_S = 5.0
"""How long an end waits for a broker that is away, to send its cancels."""

log = structlog.get_logger(__name__)


class Carrier:
    """Carries requests of one replica, each in a task of its own."""

    def __init__(
        self, ledger: RequestLedger, placement: Placement, bound: BoundAttempts, control_within_s: float
    ) -> None:
        self._ledger = ledger
        self._placement = placement
        self._bound = bound
        self._control_within_s = control_within_s
        self._burials: set[asyncio.Task[None]] = set()

    async def carry(self, run: Run, route: ReplyRoute, effects: Sequence[Effect] | None) -> None:
        """To the end. `effects`: what an adopted request is to do first."""
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
                self._let_go(run)

    async def _break_off(self, run: Run, end: End) -> None:
        try:
            await self._end(run, end)
        except Exception:
            # The sweep ends the row at its deadline; the client must not wait for that.
            log.exception("terminal state not recorded")
            run.released.finish(end.answer)

    async def _take_over(self, run: Run, effects: Sequence[Effect], route: ReplyRoute) -> None:
        log.info("request adopted", stage=run.state.stage, epoch=route.epoch)
        for effect in effects:
            await self._perform(run, effect, route)

    async def _until_ended(self, run: Run, route: ReplyRoute) -> None:
        while run.state.stage != "ended":
            message, carrier = await self._next(run)
            if isinstance(message, Superseded):
                run.released.finish(await ended_elsewhere(self._ledger, run.state.request_id))
                return
            with span("advance request", carrier=carrier):
                run.state, effects = advance(run.state, message, time.time())
                for effect in effects:
                    await self._perform(run, effect, route)

    async def _next(self, run: Run) -> tuple[Input, dict[str, str]]:
        try:
            async with asyncio.timeout(max(0.0, run.state.question.deadline - time.time())):
                return await run.mailbox.get()
        except TimeoutError:
            return DeadlinePassed(), current_carrier()

    async def _perform(self, run: Run, effect: Effect, route: ReplyRoute) -> None:
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
            if effect.epoch is None:
                self._let_go(run)
            await self.control(route, handlers.cancelled(run.state, effect))
        elif isinstance(effect, BindAttempt):
            await self._bind(run, effect, route)
        elif isinstance(effect, Bury):
            await self._bury(run.state, effect, route)
        else:
            await self._end(run, effect)

    async def _generate(self, run: Run, command: GenerateAnswer, route: ReplyRoute) -> None:
        """Send the attempt to where there is room; one that may kill its worker to where no other such one is."""
        tier, until = run.state.question.tier, run.state.question.deadline
        while self._placement.must_wait(command, tier, time.monotonic()):  # noqa: ASYNC110 - time changes it, too
            await asyncio.sleep(LOOK_EVERY_S)
        partition = self._placement.place(command, tier, time.monotonic(), deadline=until)
        message = handlers.command(run.state, command, route.partition, partition)
        try:
            await self._publish(route, until, message)
            while True:  # until somebody has admitted it
                partition = await run.copies.get()
                run.copied = True
                await self._publish(route, until, replace(message, partition=partition))
        except Unavailable:
            return  # its deadline has passed: the request ends with that
        except Rejected as rejection:
            self._not_sent(run, command, rejection.reason)
        except Exception:
            log.exception("attempt not sent")  # the request must not wait for its deadline
            self._not_sent(run, command, "an internal error")

    def _not_sent(self, run: Run, command: GenerateAnswer, reason: str) -> None:
        failed = CommandFailed(command=command.type_name(), reason=reason)
        run.mailbox.put_nowait((Reply(failed, command.attempt, command.epoch), current_carrier()))

    async def _bind(self, run: Run, effect: BindAttempt, route: ReplyRoute) -> None:
        doubled = run.copied or effect.doubled
        run.begins(None)
        state = run.state
        self._placement.bind(state.request_id, effect.worker)
        self._bound.bind(BoundAttempt(state.request_id, state.attempt, state.attempt_epoch, effect.worker), time.time())
        if doubled:
            await self.control(route, handlers.bound(state, effect.worker))

    def _let_go(self, run: Run) -> None:
        """Nobody is to run its newest attempt."""
        run.begins(None)
        self._placement.forget(run.state.request_id)
        self._bound.forget(run.state.request_id)

    async def _bury(self, state: RequestState, effect: Bury, route: ReplyRoute) -> None:
        """Keep the command. A broker that is away delays the end of its request a little; this replica tries on."""
        message = handlers.command(state, effect.command, route.partition)
        burial = asyncio.create_task(self._keep(message, effect, route))
        self._burials.add(burial)
        burial.add_done_callback(self._burials.discard)
        await asyncio.wait({burial}, timeout=self._control_within_s)

    async def _keep(self, message: Outgoing, effect: Bury, route: ReplyRoute) -> None:
        keep = route.bus.context.dead_letters.keep
        try:
            await until_done(lambda: keep(GENERATE_ANSWER, message, reason=effect.reason, attempts=effect.attempts))
        except Exception:
            log.exception("dead letter not kept", message=effect.command.type_name())  # its request ends all the same

    async def _publish(self, route: ReplyRoute, until: float, outgoing: Outgoing) -> None:
        """Publish, through an outage of the broker until the request's deadline. Raises Unavailable then."""
        failures = 0
        while True:
            try:
                return await route.bus.publisher.publish(outgoing)
            except Unavailable:
                if (left_s := until - time.time()) <= 0:
                    raise
                failures += 1
                await asyncio.sleep(min(backoff_s(failures), left_s))

    async def control(self, route: ReplyRoute, outgoing: Outgoing) -> None:
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

    async def _end(self, run: Run, effect: End) -> None:
        recorded = await self._recorded(run.state, effect.answer)
        names.REQUESTS_ENDED.labels(run.state.question.tier.value, recorded.outcome.value).inc()
        for stage, milliseconds in (recorded.timings_ms or {}).items():
            names.REQUEST_STAGE_SECONDS.labels(stage).observe(milliseconds / 1000)
        log.info("request ended", outcome=recorded.outcome.value, tokens=recorded.completion_tokens)
        run.released.finish(recorded)

    async def _recorded(self, state: RequestState, answer: Answer) -> Answer:
        """The terminal answer that the ledger holds: ours, or that of who was first."""
        failures = 0
        while True:
            try:
                recorded = await self._ledger.finish(state.request_id, answer, epoch=state.epoch)
                return recorded or await ended_elsewhere(self._ledger, state.request_id)
            except Unavailable as error:
                log.warning("terminal state not recorded yet", reason=error.reason)
                failures += 1
                await asyncio.sleep(backoff_s(failures))

    def _first_text(self, state: RequestState, effect: Release) -> None:
        if effect.start == 0:
            names.TIME_TO_FIRST_TOKEN_SECONDS.labels(state.question.tier.value).observe(
                time.time() - state.question.created,
            )

"""From a text to its verdict."""

import asyncio
import hashlib
from collections.abc import Mapping

import structlog

from groundswell.common.bus.messages import Outgoing, Received, reply
from groundswell.common.contracts.moderation import CheckText, TextBlocked, TextCleared
from groundswell.common.errors import Rejected
from groundswell.common.telemetry.names import VERDICTS
from groundswell.moderator.domain.policy import Blocked, Policy, Verdict, decide

SHORT_TEXT = 16_384
"""Code points that are judged within milliseconds; a longer text is judged off the event loop."""

log = structlog.get_logger(__name__)


async def check_text(message: Received[CheckText], *, policies: Mapping[str, Policy]) -> list[Outgoing]:
    """Judge the text. Raises Rejected if it cannot be judged: what nobody judged is never cleared."""
    command = message.payload
    policy = policies.get(command.policy)
    if policy is None:
        raise Rejected(f"no moderation policy is called {command.policy!r}")
    if not 0 <= command.overlap <= len(command.text) or command.start < 0:
        raise Rejected("a window's start and overlap must lie within its text")
    verdict = await _judge(command, policy)
    _record(verdict)
    return [reply(message, _outcome(command, verdict))]


async def _judge(command: CheckText, policy: Policy) -> Verdict:
    rules = policy.of(command.role)
    if len(command.text) <= SHORT_TEXT:
        return decide(command.text, rules, overlap=command.overlap, final=command.final)
    return await asyncio.to_thread(decide, command.text, rules, overlap=command.overlap, final=command.final)


def _outcome(command: CheckText, verdict: Verdict) -> TextCleared | TextBlocked:
    judged = hashlib.sha256(command.text.encode()).hexdigest()
    if isinstance(verdict, Blocked):
        return TextBlocked(
            request_id=command.request_id,
            role=command.role,
            window=command.window,
            start=command.start + verdict.start,
            end=command.start + verdict.end,
            rule=verdict.rule.name,
            category=verdict.rule.category,
            reason=verdict.rule.reason,
            text_sha256=judged,
        )
    return TextCleared(
        request_id=command.request_id,
        role=command.role,
        window=command.window,
        start=command.start,
        cleared_until=command.start + verdict.until,
        text_sha256=judged,
    )


def _record(verdict: Verdict) -> None:
    if isinstance(verdict, Blocked):
        VERDICTS.labels(outcome="blocked", rule=verdict.rule.name).inc()
        log.info("blocked", rule=verdict.rule.name, category=verdict.rule.category)
    else:
        VERDICTS.labels(outcome="cleared", rule="").inc()

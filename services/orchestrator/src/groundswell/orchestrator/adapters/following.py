"""The answer of a request that another replica carries, or another client asked for."""

import asyncio

import structlog

from groundswell.common.errors import Unavailable
from groundswell.common.ids import RequestId
from groundswell.orchestrator.domain.question import Answer
from groundswell.orchestrator.ports import RequestLedger

LOOK_EVERY_S = 0.25

log = structlog.get_logger(__name__)


async def ended_elsewhere(ledger: RequestLedger, request_id: RequestId) -> Answer:
    """The terminal answer, once the ledger has it; goes on through PostgreSQL's absence."""
    while True:
        try:
            if (answer := await ledger.answer(request_id)) is not None:
                return answer
        except Unavailable as error:
            log.info("answer not looked up yet", reason=error.reason)
        await asyncio.sleep(LOOK_EVERY_S)

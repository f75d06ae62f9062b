"""`Idempotency-Key`: who asks again with the same key gets the answer to the request that runs or ran."""

import re

from fastapi import Request

from groundswell.common.errors import Unavailable
from groundswell.orchestrator.adapters.http_errors import ApiError, bad_request
from groundswell.orchestrator.domain.question import Question
from groundswell.orchestrator.ports import RequestLedger, RequestRecord

HEADER = "idempotency-key"
REPLAYED = "idempotent-replayed"
_KEY = re.compile(r"[\x21-\x7e]{1,255}")


def key_of(request: Request) -> str | None:
    """Raises ApiError 400 for a key that cannot be one."""
    key = request.headers.get(HEADER)
    if key is not None and not _KEY.fullmatch(key):
        raise bad_request("Idempotency-Key: use 1 to 255 visible ASCII characters, such as a UUID.", code="invalid_key")
    return key


async def accepted_before(ledger: RequestLedger, question: Question) -> RequestRecord:
    """The request that the key stands for.

    Raises ApiError 422 if the key was used for another question, Unavailable while the ledger cannot be read.
    """
    record = await ledger.get(question.request_id, question.caller.team)
    if record is None:
        raise Unavailable("the request was forgotten meanwhile")
    if record.fingerprint != question.fingerprint:
        raise ApiError(
            422,
            "Idempotency-Key: this key was used for another question. Use a new key for each question.",
            code="idempotency_key_reused",
        )
    return record

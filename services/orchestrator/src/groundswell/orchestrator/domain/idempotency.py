"""The same Idempotency-Key is the same request: its id follows from the key, so that any replica finds it."""

import hashlib
import json
from collections.abc import Mapping

from groundswell.common.ids import RequestId, TeamId

_HOW_IT_IS_SENT = frozenset({"stream", "stream_options"})
"""A client whose stream broke may ask for the whole answer."""


def request_id_of(team: TeamId, key: str) -> RequestId:
    """The request that `key` stands for among the requests of `team`."""
    return RequestId(f"req_{hashlib.sha256(json.dumps([team, key]).encode()).hexdigest()[:24]}")


def fingerprint_of(body: Mapping[str, object]) -> str:
    """What the question is, whatever the order of its fields and however the answer is sent."""
    asked = {name: value for name, value in body.items() if name not in _HOW_IT_IS_SENT}
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()

"""What clients were told: the answer stream of each request, written by the orchestrator alone before it sends."""

from enum import StrEnum
from typing import Any

from groundswell.common.contracts.message import Message
from groundswell.common.ids import RequestId


class Outcome(StrEnum):
    """The terminal states of a request."""

    COMPLETED = "completed"
    REFUSED = "refused"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class StreamAdopted(Message):
    """The owner with `epoch` goes on from here; what lower epochs append later does not count."""

    request_id: RequestId
    epoch: int


class RepliesAdopted(Message):
    """On a reply partition: what lies before it was for earlier owners, from here on the owner with `epoch` hears."""

    epoch: int


class ReplyProbe(Message):
    """On a reply partition, once a second, from its owner to itself: read back, it shows that replies are heard.

    `sent_s` is a time of the owner's own clock.
    """

    owner: str
    sent_s: float


class CancelRequested(Message):
    """From another replica to the owner of a request: its client wants it to end."""

    request_id: RequestId


class AnswerFollowed(Message):
    """From another replica to the owner of a request, now and then: somebody reads its answer there."""

    request_id: RequestId


class AnswerReleased(Message):
    """`text` is `[start, start + len(text))` (code points) of the released answer."""

    request_id: RequestId
    epoch: int
    start: int
    text: str


class AnswerEnded(Message):
    """The final event: how it ended, and the answer object as `GET /v1/requests/{id}` shows it, less the text."""

    request_id: RequestId
    epoch: int
    outcome: Outcome
    length: int
    answer: dict[str, Any]

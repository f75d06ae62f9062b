"""What the orchestrator needs from outside, named for the need."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from groundswell.common.ids import DocumentId, KeyId, RequestId, TeamId
from groundswell.orchestrator.domain.question import Answer, Caller, Question


@dataclass(frozen=True)
class Released:
    """`text` is `[start, start + len(text))` (code points) of the answer."""

    start: int
    text: str


StreamItem = Released | Answer
"""Released pieces in order, then the answer once."""


class AnswerStream(Protocol):
    """One client's view of one running request."""

    request_id: RequestId

    def __aiter__(self) -> AsyncIterator[StreamItem]: ...

    async def abandon(self) -> None:
        """The client went away: unless the request is resumable its work is cancelled."""


class FrontDesk(Protocol):
    """Where accepted questions go."""

    async def accept(self, question: Question) -> AnswerStream:
        """Record the question, then work on it. Raises Unavailable if it was not recorded: then it was not accepted."""

    async def cancel(self, request_id: RequestId) -> bool:
        """Cancel a request that runs here; False if none does."""


@dataclass(frozen=True)
class RequestRecord:
    """A row of the request ledger. `answer` is set once `state` is terminal."""

    request_id: RequestId
    team: TeamId
    state: str
    model: str
    tier: str
    created: datetime
    deadline: datetime
    ended: datetime | None
    answer: Answer | None


class RequestLedger(Protocol):
    """The record of requests; a terminal state is written once and never changes."""

    async def insert(self, question: Question, *, owner: str, epoch: int) -> None: ...

    async def mark_generating(self, request_id: RequestId, prompt: Sequence[dict[str, str]]) -> None: ...

    async def finish(self, request_id: RequestId, answer: Answer) -> Answer:
        """Compare and set the terminal state; returns what the row says, which may be another's answer."""

    async def get(self, request_id: RequestId, team: TeamId) -> RequestRecord | None: ...

    async def recent(self, team: TeamId, limit: int) -> list[RequestRecord]: ...

    async def expire_overdue(self, grace_s: float) -> int:
        """End requests that are past their deadline and that nobody ended; returns how many."""


@dataclass(frozen=True)
class KeyRecord:
    key: KeyId
    team: TeamId
    groups: tuple[str, ...]
    operator: bool
    name: str
    created: datetime
    revoked: datetime | None


class Keys(Protocol):
    """API keys, stored hashed."""

    async def authenticate(self, secret: str) -> Caller | None: ...

    async def create(self, team: TeamId, groups: Sequence[str], *, operator: bool, name: str) -> tuple[KeyRecord, str]:
        """Make a key, and its team if missing; the second value is the secret, shown this once."""

    async def list(self, team: TeamId | None) -> list[KeyRecord]: ...

    async def revoke(self, key: KeyId) -> bool: ...


@dataclass(frozen=True)
class DocumentRecord:
    """A document as ingest's view `ingest.documents_overview` shows it."""

    document_id: DocumentId
    team: TeamId
    name: str
    source: str
    title: str
    state: str
    version: int | None
    revision: int
    chunks: int
    bytes: int
    sha256: str | None
    failure: str | None
    updated: datetime


class Library(Protocol):
    """Documents of a team: reading is ingest's view, writing goes through its commands."""

    async def documents(
        self, team: TeamId, *, source: str | None, state: str | None, limit: int, after: str | None
    ) -> list[DocumentRecord]: ...

    async def document(self, team: TeamId, document: DocumentId) -> DocumentRecord | None: ...

    async def text(self, team: TeamId, document: DocumentId) -> str | None: ...

    async def upload(
        self, caller: Caller, *, source: str, name: str, content: bytes, modified: datetime | None
    ) -> dict[str, Any]:
        """Keep the bytes and send them to ingest; returns document id and revision. Raises Unavailable."""

    async def remove(self, caller: Caller, document: DocumentId) -> bool: ...

"""What the orchestrator needs from outside, named for the need."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from groundswell.common.contracts.knowledge import BlobRef
from groundswell.common.ids import DocumentId, KeyId, RequestId, TeamId
from groundswell.orchestrator.domain.question import Answer, Caller, Question


@dataclass(frozen=True)
class Released:
    """`text` is `[start, start + len(text))` (code points) of the answer."""

    start: int
    text: str


CLIENT_LEFT = "its client went away"

StreamItem = Released | Answer
"""Released pieces in order, then the answer once."""


class AnswerStream(Protocol):
    """One client's view of one running request."""

    @property
    def request_id(self) -> RequestId: ...

    def take(self) -> StreamItem | None:
        """What has come since it was asked last, text before the answer; None if nothing has.

        Once it gave the answer it gives nothing else.
        """

    async def wait(self, seconds: float) -> None:
        """Until there may be something to take, for at most about `seconds`."""

    async def abandon(self, reason: str) -> None:
        """This client went away. Who asked first takes its request with it, unless that is resumable."""


class AlreadyAccepted(Exception):
    """A request with that id was accepted before: it runs or ran, here or on another replica."""


class FrontDesk(Protocol):
    """Where accepted questions go."""

    async def accept(self, question: Question) -> AnswerStream:
        """Record the question, then work on it.

        Raises Unavailable if it was not recorded: then it was not accepted. Raises AlreadyAccepted.
        """

    def follow(self, record: "RequestRecord", after: int = 0) -> AnswerStream:
        """The answer of an accepted request, wherever it runs, from code point `after` on; also of one that ended."""

    async def cancel(self, record: "RequestRecord") -> None:
        """Cancel a request, wherever it runs. Raises Unavailable if its replica cannot be told."""


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
    partition: int | None
    """Where its owner hears replies."""
    fingerprint: str | None = None


@dataclass(frozen=True, kw_only=True)
class Ownership:
    """Which replica carries a request, and where the replies to it arrive: on `partition`, from `reply_offset` on.

    `epoch` orders the owners of a partition.
    """

    owner: str
    epoch: int
    partition: int
    reply_offset: int = 0


@dataclass(frozen=True)
class Orphan:
    """An unfinished request whose replica is gone."""

    question: Question
    reply_offset: int


class RequestLedger(Protocol):
    """The record of requests; a terminal state is written once and never changes."""

    async def insert(self, question: Question, ownership: Ownership) -> bool:
        """False if a request with that id was accepted before."""

    async def mark_generating(self, request_id: RequestId, prompt: Sequence[dict[str, str]]) -> None: ...

    async def finish(self, request_id: RequestId, answer: Answer, *, epoch: int) -> Answer | None:
        """Compare and set the terminal state; returns what the row says, which may be another's answer.

        None: a newer owner carries the request on.
        """

    async def answer(self, request_id: RequestId) -> Answer | None:
        """The terminal answer, if there is one."""

    async def adopt(self, ownership: Ownership) -> list[Orphan]:
        """Make unfinished requests of the partition those of its new owner, before that takes any of its own.

        One whose question cannot be read ends as failed, and is not among them.
        """

    async def get(self, request_id: RequestId, team: TeamId) -> RequestRecord | None: ...

    async def unfinished_since(self) -> float | None:
        """When the oldest request that has not ended was created, in Unix seconds."""

    async def recent(self, team: TeamId, limit: int) -> list[RequestRecord]: ...

    async def expire_overdue(self, grace_s: float) -> int:
        """End requests that are past their deadline and that nobody ended; returns how many."""

    async def forget_ended(self, keep_s: float) -> int:
        """Delete requests that ended longer ago than `keep_s`; returns how many."""


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

    async def list(self, team: TeamId | None) -> list[KeyRecord]:
        """Keys of a team or of all, revoked ones too, oldest first."""

    async def revoke(self, key: KeyId) -> bool:
        """Refuse the key from now on; False if there is none that is not revoked yet."""


@dataclass(frozen=True)
class DocumentRecord:
    """A document as ingest shows it. `state`: pending, live or failed.

    `version` is the live one. A failed document with a version is still answered from that version.
    """

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
    file_type: str | None
    failure: str | None
    created: datetime
    updated: datetime


@dataclass(frozen=True)
class SourceRecord:
    """Where documents of a team come from, counted over what is there now."""

    name: str
    documents: int
    failed: int
    updated: datetime


class BlobStore(Protocol):
    """The object store."""

    async def put(self, key: str, content: bytes) -> BlobRef: ...

    async def delete(self, key: str) -> None: ...


@dataclass(frozen=True)
class Submission:
    """A document on its way to ingest. `revision` orders what happens to it."""

    document_id: DocumentId
    revision: int


class Library(Protocol):
    """Documents that a caller may read: ingest's views, and what was just sent there. Writing is by its commands.

    Each method raises Unavailable if what it needs is away.
    """

    async def documents(
        self, caller: Caller, *, source: str | None, states: Sequence[str], limit: int, after: str | None
    ) -> list[DocumentRecord]:
        """Documents of the caller's team by ascending id, those after id `after`; no `states` are all states."""

    async def document(self, caller: Caller, document: DocumentId) -> DocumentRecord | None:
        """None also if the caller may not read it: of the own team or shared, and by its access list."""

    async def text(self, caller: Caller, document: DocumentId, version: int | None = None) -> str | None:
        """The text of the live version, or of an earlier one that is still kept."""

    async def sources(self, caller: Caller) -> list[SourceRecord]: ...

    async def upload(
        self, caller: Caller, *, source: str, name: str, content: bytes, modified: datetime | None
    ) -> Submission:
        """Keep the bytes, to be sent to ingest. A document of that name in that source gets a new revision.

        Once this returns, ingest gets it, also if Kafka is away now or this process dies. Raises Unavailable if the
        bytes cannot be kept; then nothing is, unless PostgreSQL went away so that nobody could say what it kept.
        """

    async def remove(self, caller: Caller, document: DocumentId) -> bool:
        """False if the caller's team has no such document.

        Once this returns, it is not shown any more, and ingest removes it, also if Kafka is away now or this process
        dies. Raises Unavailable if that cannot be noted.
        """


class Uploads(Protocol):
    """Bytes that were sent to ingest."""

    async def drop_older(self, document: DocumentId, revision: int) -> None:
        """Delete what was kept of revisions before `revision`, bytes too. Raises Unavailable: to be called again."""

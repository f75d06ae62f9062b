"""The ports behind the front door, as fakes that remember, and the app in front of them."""

import asyncio
import hashlib
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from groundswell.common.contracts.answers import Outcome
from groundswell.common.errors import Overloaded
from groundswell.common.ids import DocumentId, KeyId, RequestId, TeamId, document_id
from groundswell.common.serving import HttpServer
from groundswell.common.tiers import Tier
from groundswell.orchestrator.adapters.http_app import create_app
from groundswell.orchestrator.adapters.released_texts import Following, ReleasedText
from groundswell.orchestrator.domain.assistants import listed
from groundswell.orchestrator.domain.limits import Limits
from groundswell.orchestrator.domain.question import Answer, Caller, Citation, Question
from groundswell.orchestrator.ports import (
    DocumentRecord,
    KeyRecord,
    Orphan,
    Ownership,
    Released,
    RequestRecord,
    SourceRecord,
    StreamItem,
    Submission,
)

NOW = 1_795_000_000.0
MOMENT = datetime.fromtimestamp(NOW, UTC)
KEY, OPERATOR_KEY, OTHER_KEY = "gs_blue", "gs_operator", "gs_green"
CALLERS = {
    KEY: Caller(key=KeyId("key_0000000000b1"), team=TeamId("blue"), groups=("ops",)),
    OPERATOR_KEY: Caller(key=KeyId("key_0000000000a0"), team=TeamId("default"), operator=True),
    OTHER_KEY: Caller(key=KeyId("key_0000000000c3"), team=TeamId("green")),
}
TEXT = "Backups run at 02:30. [1]"
CITATION = Citation(
    mark=1,
    document="doc_0123456789abcdef01234567",
    version=3,
    title="Handbook",
    name="handbook.md",
    section="Backups",
    source="docs",
    updated="2026-11-01T00:00:00+00:00",
    start=10,
    end=31,
    quote="Backups run at 02:30.",
)
ANSWER = Answer(
    outcome=Outcome.COMPLETED,
    text=TEXT,
    finish_reason="stop",
    citations=(CITATION,),
    confidence=0.9,
    model="null",
    assistant="docs-qa",
    model_reasons=("the model of assistant docs-qa",),
    verdicts=({"role": "input", "outcome": "cleared"},),
    timings_ms={"total": 12.5},
    prompt_tokens=100,
    completion_tokens=9,
    passages=2,
)


class FakeStream:
    """Brings what the desk was told to; `held` keeps it from going on."""

    def __init__(self, request_id: RequestId, desk: "FakeDesk") -> None:
        self.request_id = request_id
        self._desk = desk

        self._taken = 0

    def take(self) -> StreamItem | None:
        if self._is_held:
            return None
        self._taken += 1
        return self._desk.items[self._taken - 1]

    async def wait(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._desk.let_go.wait()

    async def abandon(self, reason: str) -> None:
        self._desk.left_because = reason
        self._desk.abandoned.set()

    @property
    def _is_held(self) -> bool:
        return self._taken == self._desk.hold_before and not self._desk.let_go.is_set()


@dataclass
class FakeDesk:
    items: list[StreamItem] = field(default_factory=lambda: [*pieces(TEXT), ANSWER])
    questions: list[Question] = field(default_factory=list)
    error: Exception | None = None
    hold_before: int | None = None
    let_go: asyncio.Event = field(default_factory=asyncio.Event)
    abandoned: asyncio.Event = field(default_factory=asyncio.Event)
    accepted: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: list[RequestId] = field(default_factory=list)
    cancels: Callable[[RequestRecord], None] = lambda _record: None
    ledger: "FakeLedger | None" = None
    left_because: str = ""

    async def accept(self, question: Question) -> FakeStream:
        if self.error is not None:
            raise self.error
        self.questions.append(question)
        self.accepted.set()
        return FakeStream(question.request_id, self)

    def follow(self, record: RequestRecord, after: int = 0) -> Following:
        assert self.ledger is not None
        released = ReleasedText()
        if record.answer is not None:
            released.finish(record.answer)
        return Following(record.request_id, released, self.ledger, after=after, show=self._shown)

    async def _shown(self) -> None:
        """Nobody else needs to know."""

    async def cancel(self, record: RequestRecord) -> None:
        self.cancelled.append(record.request_id)
        self.cancels(record)


@dataclass
class FakeLedger:
    records: dict[RequestId, RequestRecord] = field(default_factory=dict)
    looked_up: int = 0

    async def insert(self, question: Question, ownership: Ownership) -> bool:
        raise AssertionError("the front door does not write requests")

    async def mark_generating(self, request_id: RequestId, prompt: Sequence[dict[str, str]]) -> None:
        raise AssertionError("the front door does not write requests")

    async def finish(self, request_id: RequestId, answer: Answer, *, epoch: int) -> Answer | None:
        raise AssertionError("the front door does not write requests")

    async def answer(self, request_id: RequestId) -> Answer | None:
        self.looked_up += 1
        return self.records[request_id].answer

    async def adopt(self, ownership: Ownership) -> list[Orphan]:
        raise AssertionError("the front door does not write requests")

    async def get(self, request_id: RequestId, team: TeamId) -> RequestRecord | None:
        self.looked_up += 1
        record = self.records.get(request_id)
        return record if record and record.team == team else None

    async def unfinished_since(self) -> float | None:
        return None

    async def recent(self, team: TeamId, limit: int) -> list[RequestRecord]:
        return [record for record in self.records.values() if record.team == team][:limit]

    async def expire_overdue(self, grace_s: float) -> int:
        return 0

    async def forget_ended(self, keep_s: float) -> int:
        return 0


@dataclass
class FakeKeys:
    made: list[KeyRecord] = field(default_factory=list)
    error: Exception | None = None

    async def authenticate(self, secret: str) -> Caller | None:
        if self.error is not None:
            raise self.error
        return CALLERS.get(secret)

    async def create(self, team: TeamId, groups: Sequence[str], *, operator: bool, name: str) -> tuple[KeyRecord, str]:
        key = KeyId(f"key_{len(self.made):012x}")
        self.made.append(KeyRecord(key, team, tuple(groups), operator, name, MOMENT, None))
        return self.made[-1], "gs_new"

    async def list(self, team: TeamId | None) -> list[KeyRecord]:
        return [record for record in self.made if team in (None, record.team)]

    async def revoke(self, key: KeyId) -> bool:
        for number, record in enumerate(self.made):
            if record.key == key and record.revoked is None:
                self.made[number] = replace(record, revoked=MOMENT)
                return True
        return False


@dataclass
class FakeLibrary:
    """Documents are live at once, and read as UTF-8."""

    records: dict[DocumentId, DocumentRecord] = field(default_factory=dict)
    contents: dict[DocumentId, bytes] = field(default_factory=dict)
    modified: list[datetime | None] = field(default_factory=list)
    revision: int = 0

    async def documents(
        self, caller: Caller, *, source: str | None, states: Sequence[str], limit: int, after: str | None
    ) -> list[DocumentRecord]:
        found = [
            record
            for record in sorted(self.records.values(), key=lambda record: record.document_id)
            if record.team == caller.team
            and source in (None, record.source)
            and (not states or record.state in states)
            and (after is None or record.document_id > after)
        ]
        return found[:limit]

    async def document(self, caller: Caller, document: DocumentId) -> DocumentRecord | None:
        record = self.records.get(document)
        return record if record and record.team == caller.team else None

    async def text(self, caller: Caller, document: DocumentId, version: int | None = None) -> str | None:
        record = self.records[document]
        return self.contents[document].decode() if version in (None, record.version) else None

    async def sources(self, caller: Caller) -> list[SourceRecord]:
        names = sorted({record.source for record in self.records.values() if record.team == caller.team})
        return [SourceRecord(name, 1, 0, MOMENT) for name in names]

    async def upload(
        self, caller: Caller, *, source: str, name: str, content: bytes, modified: datetime | None
    ) -> Submission:
        document = document_id(caller.team, source, name)
        self.revision += 1
        self.contents[document] = content
        self.modified.append(modified)
        self.records[document] = document_record(
            document_id=document,
            team=caller.team,
            source=source,
            name=name,
            revision=self.revision,
            bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
        )
        return Submission(document, self.revision)

    async def remove(self, caller: Caller, document: DocumentId) -> bool:
        if await self.document(caller, document) is None:
            return False
        del self.records[document]
        return True


def pieces(text: str, size: int = 7) -> list[Released]:
    return [Released(start, text[start : start + size]) for start in range(0, len(text), size)]


def document_record(**changes: Any) -> DocumentRecord:
    record = DocumentRecord(
        document_id=DocumentId("doc_0123456789abcdef01234567"),
        team=TeamId("blue"),
        name="handbook.md",
        source="docs",
        title="Handbook",
        state="live",
        version=1,
        revision=1,
        chunks=2,
        bytes=10,
        sha256="ab",
        file_type="markdown",
        failure=None,
        created=MOMENT,
        updated=MOMENT,
    )
    return replace(record, **changes)


def request_record(**changes: Any) -> RequestRecord:
    record = RequestRecord(
        request_id=RequestId("req_0123456789abcdef01234567"),
        team=TeamId("blue"),
        state="completed",
        model="docs-qa",
        tier="interactive",
        created=MOMENT,
        deadline=MOMENT + timedelta(seconds=120),
        ended=MOMENT + timedelta(seconds=2),
        answer=ANSWER,
        partition=3,
    )
    return replace(record, **changes)


@dataclass
class FrontDoorFakes:
    """Everything behind one app."""

    desk: FakeDesk = field(default_factory=FakeDesk)
    ledger: FakeLedger = field(default_factory=FakeLedger)
    keys: FakeKeys = field(default_factory=FakeKeys)
    library: FakeLibrary = field(default_factory=FakeLibrary)
    missing: dict[str, str] = field(default_factory=dict)
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    limits: Limits = field(
        default_factory=lambda: Limits(
            question_chars=1000,
            messages=20,
            answer_tokens=500,
            deadline_s={Tier.INTERACTIVE: 120.0, Tier.STANDARD: 600.0, Tier.BULK: 3600.0},
            body_bytes=20_000,
            file_bytes=5_000,
        )
    )

    def __post_init__(self) -> None:
        self.desk.ledger = self.ledger
        self.opened.set()

    def app(self) -> FastAPI:
        return create_app(
            desk=self.desk,
            ledger=self.ledger,
            keys=self.keys,
            library=self.library,
            assistants=listed("null"),
            readiness=lambda: self.missing,
            clock=lambda: NOW,
            limits=self.limits,
            opened=self.opened,
        )

    def client(self, key: str | None = KEY) -> httpx.AsyncClient:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        transport = httpx.ASGITransport(self.app(), raise_app_exceptions=True)
        return httpx.AsyncClient(transport=transport, base_url="http://front-door", headers=headers)


@pytest.fixture
def fakes() -> FrontDoorFakes:
    return FrontDoorFakes()


@pytest.fixture
async def client(fakes: FrontDoorFakes) -> AsyncIterator[httpx.AsyncClient]:
    async with fakes.client() as connected:
        yield connected


@pytest.fixture
async def operator(fakes: FrontDoorFakes) -> AsyncIterator[httpx.AsyncClient]:
    async with fakes.client(OPERATOR_KEY) as connected:
        yield connected


@pytest.fixture
async def stranger(fakes: FrontDoorFakes) -> AsyncIterator[httpx.AsyncClient]:
    async with fakes.client(OTHER_KEY) as connected:
        yield connected


@pytest.fixture
async def served(fakes: FrontDoorFakes) -> AsyncIterator[str]:
    """The app behind a real server on a free port; the address."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = HttpServer(fakes.app(), listening)
    await server.start()
    yield f"http://127.0.0.1:{server.port}"
    await server.stop(grace_s=1.0)


@pytest.fixture
def make_request_record() -> Callable[..., RequestRecord]:
    return request_record


@pytest.fixture
def overloaded() -> Overloaded:
    return Overloaded("no room", retry_after_s=1.5)

"""The whole process on real Kafka and PostgreSQL, with the test as orchestrator and embedder."""

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from groundswell.common.blobs import Blobs
from groundswell.common.bus.admin import ensure_topics
from groundswell.common.bus.connection import Bus
from groundswell.common.bus.consumption import consume
from groundswell.common.bus.envelope import ReplyAddress
from groundswell.common.bus.messages import Outgoing, Received, reply
from groundswell.common.bus.readers import PartitionReader
from groundswell.common.contracts.knowledge import (
    ChunksEmbedded,
    DocumentEvent,
    DocumentRejected,
    DocumentRemoved,
    DocumentUnchanged,
    DocumentVersionCommitted,
    EmbedChunks,
    IngestDocument,
    RemoveDocument,
)
from groundswell.common.ids import CorrelationId, TeamId, document_id
from groundswell.common.tiers import Tier
from groundswell.common.topics import (
    DOCUMENT_LIFECYCLE,
    EMBED_CHUNKS,
    INGEST_DOCUMENT,
    INGEST_REPLIES,
    REMOVE_DOCUMENT,
    Command,
)

pytestmark = [pytest.mark.connected, pytest.mark.models, pytest.mark.timeout(180)]

WITHIN_S = 60.0
TEXT = "# Guide\n\nThe first words.\n\n## Use\n\nThe second words.\n"


class Surroundings:
    """Everything around the ingest process: who sends to it, and who answers what it asks."""

    def __init__(self, kafka: str, environment: dict[str, str], blobs: Blobs) -> None:
        self.team = TeamId(f"team-{uuid4().hex[:8]}")
        self.document = document_id(self.team, "docs", "guide.md")
        self.bus = Bus(kafka, service="embedder", subscriptions=[consume(EMBED_CHUNKS, self._embed)])
        self.lost = 0
        self.asked: list[EmbedChunks] = []
        self.was_asked = asyncio.Event()
        self._environment = environment
        self._blobs = blobs
        self._events: asyncio.Queue[DocumentEvent] = asyncio.Queue()

    async def hear(self, message: Received[DocumentEvent]) -> None:
        if message.payload.document_id == self.document:
            self._events.put_nowait(message.payload)

    async def _embed(self, message: Received[EmbedChunks]) -> Sequence[Outgoing]:
        asked = message.payload
        if asked.document_id != self.document:
            return []
        self.asked.append(asked)
        self.was_asked.set()
        if self.lost:
            self.lost -= 1
            return []
        hashes = tuple(chunk.content_hash for chunk in asked.chunks)
        outcome = ChunksEmbedded.model_validate(asked.model_dump() | {"content_hashes": hashes})
        return [reply(message, outcome)]

    async def upload(self, content: bytes, revision: int, name: str = "guide.md") -> None:
        blob = await self._blobs.put(uuid4().hex, content)
        command = IngestDocument(
            document_id=self.document,
            team=self.team,
            source="docs",
            name=name,
            revision=revision,
            blob=blob,
            access=(),
        )
        await self._send(INGEST_DOCUMENT, command)

    async def remove(self, revision: int) -> None:
        await self._send(REMOVE_DOCUMENT, RemoveDocument(document_id=self.document, team=self.team, revision=revision))

    async def next_event(self) -> DocumentEvent:
        async with asyncio.timeout(WITHIN_S):
            return await self._events.get()

    async def _send(self, topic: Command, payload: IngestDocument | RemoveDocument) -> None:
        await self.bus.publisher.publish(
            Outgoing(
                topic=topic[Tier.STANDARD],
                payload=payload,
                key=self.document,
                correlation_id=CorrelationId(self.document),
                tenant=self.team,
                tier=Tier.STANDARD,
                deadline=time.time() + 300,
                epoch=payload.revision,
                reply_to=ReplyAddress(INGEST_REPLIES.physical_name),
            )
        )

    @asynccontextmanager
    async def ingest(self) -> AsyncIterator[Process]:
        """The process; it must drain and exit 0 unless the test ended it."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "groundswell.ingest", env=self._environment, stdout=DEVNULL, stderr=DEVNULL
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
            code = await asyncio.wait_for(process.wait(), WITHIN_S)
        assert code in {0, -signal.SIGKILL}


@pytest.fixture
async def around(components: Any, fresh_database: Any, tmp_path: Path) -> AsyncIterator[Surroundings]:
    await ensure_topics(components.kafka)
    store = f"file://{tmp_path}/blobs"
    environment = os.environ | {
        "GROUNDSWELL_HOME": str(tmp_path),
        "GROUNDSWELL_KAFKA": components.kafka,
        "GROUNDSWELL_POSTGRES_URL": fresh_database.dsns["ingest"],
        "GROUNDSWELL_OBJECT_STORE_URL": store,
        "GROUNDSWELL_INGEST_STRANDED_AFTER_S": "1",
        "GROUNDSWELL_INGEST_SWEEP_EVERY_S": "0.5",
    }
    surroundings = Surroundings(components.kafka, environment, Blobs(store))
    await surroundings.bus.connect()
    reader = PartitionReader([DOCUMENT_LIFECYCLE], surroundings.hear, surroundings.bus.context)
    await reader.start()
    tasks = [*await surroundings.bus.start(), asyncio.create_task(reader.run())]
    yield surroundings
    await reader.stop()
    await surroundings.bus.stop(5.0)
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_document_is_made_edited_kept_refused_and_removed(around: Surroundings) -> None:
    async with around.ingest():
        await around.upload(TEXT.encode(), 1)
        first = await around.next_event()
        await around.upload(TEXT.encode(), 2)
        same = await around.next_event()
        await around.upload(TEXT.replace("second", "other").encode(), 3)
        edited = await around.next_event()
        await around.upload(b"\xff", 4)
        refused = await around.next_event()
        await around.remove(5)
        removed = await around.next_event()
    assert [type(event) for event in (first, same, edited, refused, removed)] == [
        DocumentVersionCommitted,
        DocumentUnchanged,
        DocumentVersionCommitted,
        DocumentRejected,
        DocumentRemoved,
    ]
    assert [event.revision for event in (first, same, edited, refused, removed)] == [1, 2, 3, 4, 5]


async def test_a_command_that_goes_to_the_dead_letters_is_a_failed_document(around: Surroundings) -> None:
    async with around.ingest():
        await around.upload(TEXT.encode(), 1, name="guide\0.md")
        event = await around.next_event()
    assert isinstance(event, DocumentRejected)
    assert (event.code, event.revision) == ("unreadable", 1)
    assert event.reason == (
        "The file could not be read: the name of a document or source holds a NUL character. Send it again."
    )


async def test_commands_that_get_lost_are_sent_again(around: Surroundings) -> None:
    around.lost = 1
    async with around.ingest():
        await around.upload(TEXT.encode(), 1)
        event = await around.next_event()
    assert isinstance(event, DocumentVersionCommitted)
    assert len(around.asked) == 2


async def test_a_process_that_is_killed_is_taken_up_by_the_next(around: Surroundings) -> None:
    around.lost = 1
    async with around.ingest() as process:
        await around.upload(TEXT.encode(), 1)
        async with asyncio.timeout(WITHIN_S):
            await around.was_asked.wait()
        process.kill()
    async with around.ingest():
        event = await around.next_event()
    assert isinstance(event, DocumentVersionCommitted)
    assert event.version == 1

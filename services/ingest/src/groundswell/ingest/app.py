"""What ingest listens to, and what it is made of."""

import asyncio
import time
from functools import partial

import structlog

from groundswell.common.blobs import Blobs
from groundswell.common.bus.connection import Bus
from groundswell.common.bus.consumption import consume
from groundswell.common.bus.publisher import Publisher
from groundswell.common.errors import Overloaded
from groundswell.common.postgres import Postgres, heed_cancel
from groundswell.common.runtime import Service
from groundswell.common.topics import INGEST_DOCUMENT, INGEST_REPLIES, REMOVE_DOCUMENT
from groundswell.ingest.adapters.postgres_documents import PostgresDocuments
from groundswell.ingest.adapters.threaded_reader import ThreadedReader
from groundswell.ingest.handlers import Deps, ingest_document, remove_document, resume_stranded, take_outcome
from groundswell.ingest.settings import Settings

log = structlog.get_logger(__name__)


def build() -> Service:
    """Raises Misconfigured if a setting is missing or wrong."""
    settings = Settings.load("ingest")
    documents = PostgresDocuments(Postgres(settings.postgres_url))
    reader = ThreadedReader(
        model=settings.embedding_model,
        models=settings.models,
        limit_bytes=settings.ingest_limit_bytes,
        threads=settings.ingest_readers,
    )
    blobs = Blobs(settings.object_store_url)
    deps = Deps(documents=documents, blobs=blobs, reader=reader, clock=time.time, model=settings.embedding_model)
    sweep = Sweep(deps, silent_s=settings.ingest_stranded_after_s, every_s=settings.ingest_sweep_every_s)
    return Service(
        name="ingest",
        settings=settings,
        subscriptions=[
            consume(INGEST_DOCUMENT, partial(ingest_document, deps=deps), slots=settings.ingest_slots),
            consume(REMOVE_DOCUMENT, partial(remove_document, deps=deps)),
            consume(INGEST_REPLIES, partial(take_outcome, deps=deps)),
        ],
        resources={"postgres": documents, "tokenizer": reader},
        background=[sweep.run],
        on_bus=sweep.publish_by,
    )


class Sweep:
    """At the start and every `every_s`: `resume_stranded`."""

    def __init__(self, deps: Deps, *, silent_s: float, every_s: float) -> None:
        self._deps = deps
        self._silent_s = silent_s
        self._every_s = every_s
        self._publisher: Publisher | None = None

    async def publish_by(self, bus: Bus) -> None:
        self._publisher = bus.publisher

    async def run(self) -> None:
        while True:
            heed_cancel()
            try:
                await self._sweep()
            except Overloaded as error:
                log.info("sweep put off", reason=error.reason)
            await asyncio.sleep(self._every_s)

    async def _sweep(self) -> None:
        assert self._publisher is not None  # noqa: S101 - the runtime gives the bus before it runs the background
        await self._publisher.publish_all(await resume_stranded(deps=self._deps, silent_s=self._silent_s))

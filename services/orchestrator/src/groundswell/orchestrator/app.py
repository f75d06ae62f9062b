"""What the orchestrator listens to, and what it is made of."""

import asyncio
import os
import secrets
import socket
import time
from functools import partial

import structlog

from groundswell.common.blobs import Blobs
from groundswell.common.bus.connection import Bus
from groundswell.common.bus.consumption import listen, subscribe
from groundswell.common.bus.readers import PartitionReader
from groundswell.common.errors import Unavailable
from groundswell.common.outbox import Outbox
from groundswell.common.postgres import Postgres, heed_cancel
from groundswell.common.runtime import Service
from groundswell.common.topics import (
    ANSWER_STREAM,
    DOCUMENT_LIFECYCLE,
    ORCHESTRATOR_BULK_REPLIES,
    ORCHESTRATOR_REPLIES,
    WORKER_PROGRESS,
)
from groundswell.orchestrator.adapters.adoption import Adoption
from groundswell.orchestrator.adapters.answer_readiness import AnswerReadiness
from groundswell.orchestrator.adapters.front_desk import Desk
from groundswell.orchestrator.adapters.hearing import Hearing
from groundswell.orchestrator.adapters.http_app import create_app
from groundswell.orchestrator.adapters.http_server import PublicHttp
from groundswell.orchestrator.adapters.postgres_database import Database
from groundswell.orchestrator.adapters.postgres_keys import PostgresKeys
from groundswell.orchestrator.adapters.postgres_ledger import PostgresLedger
from groundswell.orchestrator.adapters.postgres_library import PostgresLibrary
from groundswell.orchestrator.adapters.reply_lease import LeaseLost, ReplyLease
from groundswell.orchestrator.adapters.run import ReplyRoute
from groundswell.orchestrator.domain import assistants
from groundswell.orchestrator.domain.liveness import BoundAttempts, WorkerSigns
from groundswell.orchestrator.domain.placement import Placement
from groundswell.orchestrator.handlers import drop_older_uploads, hear_progress
from groundswell.orchestrator.settings import Settings

SWEEP_EVERY_S = 5.0
OVERDUE_GRACE_S = 30.0
"""Longer than an adoption takes: who carries a request on ends it with the text that was released."""
CLOCKS_DIFFER_S = 300.0
"""At most, those of replicas and broker."""
LOOK_EVERY_S = 0.25
STALL_S = 1.0

log = structlog.get_logger(__name__)


def build() -> Service:
    """Raises Misconfigured if a setting is missing or wrong."""
    settings = Settings.load("orchestrator")
    postgres = Postgres(settings.postgres_url)
    outbox = Outbox(postgres, "orchestrator")
    keys, ledger = PostgresKeys(postgres), PostgresLedger(postgres, outbox)
    library = PostgresLibrary(postgres, Blobs(settings.object_store_url), outbox)
    lease = ReplyLease(postgres, owner=_owner(), partitions=ORCHESTRATOR_REPLIES.partitions)
    workers = WorkerSigns()
    placement = Placement()
    bound = BoundAttempts()
    desk = Desk(ledger, partial(assistants.find, language_model=settings.model), workers, placement, bound)
    hearing = Hearing()
    adoption = Adoption(desk, ledger, lease, hearing, replies=(ORCHESTRATOR_REPLIES, ORCHESTRATOR_BULK_REPLIES))
    readiness = AnswerReadiness(settings.kafka, lambda: desk.is_open, postgres.check)
    app = create_app(
        desk=desk,
        ledger=ledger,
        keys=keys,
        library=library,
        assistants=assistants.listed(settings.model),
        readiness=readiness.missing,
        clock=time.time,
        limits=settings.limits,
        opened=desk.opened,
    )
    http = PublicHttp(app, host=settings.http_host, port=settings.http_port, fd=settings.http_fd)
    replica = Replica(settings, desk=desk, ledger=ledger, outbox=outbox, keys=keys, adoption=adoption, http=http)
    return Service(
        name="orchestrator",
        settings=settings,
        subscriptions=[
            subscribe(DOCUMENT_LIFECYCLE, partial(drop_older_uploads, uploads=library)),
            listen(
                WORKER_PROGRESS,
                partial(hear_progress, workers=workers, placement=placement, bound=bound, send_copy=desk.send_copy),
            ),
        ],
        resources={"http": http, "postgres": Database(postgres), "reply partition": lease},
        on_bus=replica.open,
        background=[
            replica.hear_replies,
            replica.hear_streams,
            replica.sweep,
            desk.end_forgotten,
            outbox.sweep,
            adoption.run,
            partial(replica.keep_lease, lease),
            partial(replica.watch_workers, workers, bound, hearing),
            readiness.watch,
        ],
        before_drain=replica.drain,
        api_port=http.own_port,
    )


class Replica:
    """The life of one orchestrator process: opens the desk on its reply partition, sweeps, drains."""

    def __init__(
        self,
        settings: Settings,
        *,
        desk: Desk,
        ledger: PostgresLedger,
        outbox: Outbox,
        keys: PostgresKeys,
        adoption: Adoption,
        http: PublicHttp,
    ) -> None:
        self._settings = settings
        self._desk = desk
        self._ledger = ledger
        self._outbox = outbox
        self._keys = keys
        self._adoption = adoption
        self._http = http
        self._replies: tuple[PartitionReader, ReplyRoute] | None = None
        self._streams: PartitionReader | None = None

    async def open(self, bus: Bus) -> None:
        """Positions on the reply topics are settled before the first question is taken."""
        await self._keys.ensure_admin_key(self._settings.admin_key_path)
        self._outbox.publish_by(bus.publisher, bus.context.clock)
        if self._streams is None:  # else this is another try
            # All text of what runs now: whoever comes back to it may come here.
            began = await self._ledger.unfinished_since()
            since_s = 0.0 if began is None else time.time() - began + CLOCKS_DIFFER_S
            streams = PartitionReader([ANSWER_STREAM], self._desk.hear_stream, bus.context, since_s=since_s)
            await streams.start()
            self._streams = streams
        self._replies = await self._adoption.open_own(bus)

    async def hear_replies(self) -> None:
        assert self._replies is not None  # noqa: S101 - the runtime opens before it runs the background
        reader, route = self._replies
        self._desk.open(route)
        await self._adoption.hear_own(reader, route)

    async def hear_streams(self) -> None:
        assert self._streams is not None  # noqa: S101 - the runtime opens before it runs the background
        await self._streams.run()

    async def keep_lease(self, lease: ReplyLease) -> None:
        """Raises LeaseLost, once the clients here have got the answers of what others carry on."""
        try:
            await lease.keep()
        except LeaseLost:
            log.warning("reply partition lost; what runs here is carried on elsewhere")
            self._http.refuse_new()
            await self._desk.drain(self._settings.drain_s)
            raise

    async def sweep(self) -> None:
        """End what nobody ended, forget what ended long ago."""
        while True:
            heed_cancel()
            try:
                overdue = await self._ledger.expire_overdue(OVERDUE_GRACE_S)
                if overdue:
                    log.warning("overdue requests ended", count=overdue)
                await self._ledger.forget_ended(self._settings.requests_kept_s)
                self._desk.released.forget(self._settings.longest_deadline_s)
            except Unavailable as error:
                log.info("sweep put off", reason=error.reason)
            await asyncio.sleep(SWEEP_EVERY_S)

    async def watch_workers(self, workers: WorkerSigns, bound: BoundAttempts, hearing: Hearing) -> None:
        """Requests of a worker that fell silent, or lost them, go on elsewhere."""
        looked = time.monotonic()
        while True:
            now = time.monotonic()
            # Who did not look could not hear either: what lies unread may hold the sign of life.
            stalled = now - looked > LOOK_EVERY_S + STALL_S
            workers.listen(now, can_hear=hearing.can_hear(now) and not stalled)
            looked = now
            for silent in workers.take_silent(now):
                lost = self._desk.lose(silent.worker)
                if lost or not silent.had_drained:
                    log.warning("worker lost", worker=silent.worker, requests=lost)
            for attempt in bound.take_missing(hearing.heard_until()):
                log.warning("attempt lost", request_id=attempt.request_id, worker=attempt.worker)
                self._desk.lose_attempt(attempt)
            await asyncio.sleep(LOOK_EVERY_S)

    async def drain(self) -> None:
        """Leave new questions to the other replicas, finish what runs, then stop listening."""
        self._http.refuse_new()
        await self._desk.drain(self._settings.drain_s * 0.8)
        for reader in (self._replies and self._replies[0], self._streams):
            if reader is not None:
                await reader.stop()


def _owner() -> str:
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"

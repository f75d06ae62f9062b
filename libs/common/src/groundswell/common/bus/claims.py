"""Claim checks: a value that its topic does not take lies in the object store, and the record names it.

CloudEvents' extension `dataref` marks such a record; its value is a BlobRef. Dead letters keep the reference.
"""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import structlog
from aiokafka import ConsumerRecord
from pydantic import ValidationError

from groundswell.common.blobs import Blobs
from groundswell.common.bus.envelope import RawHeaders
from groundswell.common.contracts.knowledge import BlobRef
from groundswell.common.errors import Rejected, Unavailable
from groundswell.common.ids import MessageId
from groundswell.common.topics import CATALOGUE, DEAD_LETTER_RETENTION_MS, Topic, physical_topics

DATAREF = "ce_dataref"
MOST_BYTES = 64 * 1024 * 1024
"""Of a value: both sides hold it in memory, the reader once for each message that it prefetches."""
ROOM_BYTES = 16 * 1024
"""Of a topic's limit: key, headers and framing count too."""
STORE_WITHIN_S = 30.0
SWEEP_EVERY_S = 3600.0

_KEY = re.compile(r"claims/[a-z0-9.-]+/\d{4}-\d{2}-\d{2}/[A-Za-z0-9_-]+")
_REFERENCE_BYTES = 4096

log = structlog.get_logger(__name__)


def is_claim(record: ConsumerRecord[bytes, bytes]) -> bool:
    """Whether the value of `record` is a BlobRef in place of what it is about."""
    return DATAREF in dict(record.headers)


class Claims:
    """`blobs` None: nothing is checked in, and what others checked in is rejected."""

    def __init__(self, blobs: Blobs | None, catalogue: Sequence[Topic] = CATALOGUE) -> None:
        self._blobs = blobs
        self._catalogue = tuple(catalogue)
        self._limits = {
            topic.name: int(topic.configs["max.message.bytes"]) - ROOM_BYTES
            for topic in physical_topics(self._catalogue)
        }

    async def check_in(
        self, topic: str, message_id: MessageId, value: bytes, *, within_s: float = STORE_WITHIN_S
    ) -> tuple[bytes, RawHeaders]:
        """What to publish on `topic` instead of `value`, and the header that says so; `value` itself if it fits.

        The same message checked in again on the same day replaces itself. Raises Rejected if the value is larger than
        any may be, Unavailable if the store does not take it within `within_s`.
        """
        if self._blobs is None or len(value) <= self._limits.get(topic, len(value)):
            return value, []
        if len(value) > MOST_BYTES:
            raise Rejected(f"a message of {len(value)} bytes is too large for {topic}")
        key = f"claims/{topic}/{datetime.now(UTC):%Y-%m-%d}/{message_id}"
        if not _KEY.fullmatch(key):
            raise Rejected("the id of a message that is too large for its topic is no name")
        try:
            async with asyncio.timeout(min(within_s, STORE_WITHIN_S)):
                ref = await self._blobs.put(key, value)
        except TimeoutError:
            raise Unavailable("object store: no answer in time") from None
        return ref.model_dump_json().encode(), [(DATAREF, key.encode())]

    async def redeem(self, record: ConsumerRecord[bytes, bytes]) -> ConsumerRecord[bytes, bytes]:
        """`record` with the value that it names; a record that carries its value as it is.

        Raises Rejected if the reference is none, or what it names is gone, is another, or is too large; Unavailable
        without the store.
        """
        if not is_claim(record):
            return record
        ref = _reference(record.value or b"")
        if self._blobs is None:
            raise Rejected("the value lies in an object store that this process does not know")
        try:
            async with asyncio.timeout(STORE_WITHIN_S):
                return replace(record, value=await self._blobs.get(ref))
        except TimeoutError:
            raise Unavailable("object store: no answer in time") from None

    async def sweep(self, owner: str) -> None:
        """Remove what nobody can ask for any more on the topics of `owner`, every hour until cancelled."""
        while self._blobs is not None:
            try:
                await self.sweep_once(owner, datetime.now(UTC))
            except Unavailable as error:
                log.info("claims not swept", reason=error.reason)
            await asyncio.sleep(SWEEP_EVERY_S)

    async def sweep_once(self, owner: str, now: datetime) -> int:
        """How many claims it removed. Raises Unavailable."""
        if self._blobs is None:
            return 0
        old = [
            key
            for topic in self._catalogue
            if topic.owner == owner
            for physical in physical_topics((topic,))
            for key in await self._blobs.keys(f"claims/{physical.name}/")
            if _day(key) < f"{now - _kept(topic):%Y-%m-%d}"
        ]
        for key in old:
            await self._blobs.delete(key)
        return len(old)


def _day(key: str) -> str:
    return key.split("/")[2]


def _kept(topic: Topic) -> timedelta:
    """A record may be buried at the end of its retention; a day more, as keys name no hour."""
    return timedelta(milliseconds=topic.retention_ms + DEAD_LETTER_RETENTION_MS, days=1)


def _reference(value: bytes) -> BlobRef:
    if len(value) > _REFERENCE_BYTES:
        raise Rejected("the claim check is none")
    try:
        ref = BlobRef.model_validate_json(value)
    except ValidationError:
        raise Rejected("the claim check is none") from None
    if not _KEY.fullmatch(ref.key):
        raise Rejected("the claim check names a place where none lie")
    if ref.size > MOST_BYTES:
        raise Rejected(f"the claim check is of {ref.size} bytes, which is too many")
    return ref

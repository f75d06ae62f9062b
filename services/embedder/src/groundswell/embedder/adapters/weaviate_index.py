"""The index on Weaviate: a multi-tenant collection whose objects are read back after every write."""

from collections.abc import Iterator, Mapping, Sequence
from uuid import UUID

import structlog
from weaviate.classes.config import Configure, DataType, Property, Tokenization
from weaviate.classes.data import DataObject
from weaviate.classes.query import Filter
from weaviate.collections.classes.types import WeaviateField
from weaviate.exceptions import UnexpectedStatusCodeError, WeaviateBatchError, WeaviateInsertManyAllFailedError

from groundswell.common.ids import TeamId
from groundswell.common.index_schema import ChunkProperty
from groundswell.common.weaviate_connection import Weaviate
from groundswell.embedder.domain.chunk_objects import ChunkObject
from groundswell.embedder.ports import ChunksNotStored

OBJECTS_PER_INSERT = 200
"""A request of about a megabyte: far below the limit of gRPC, large enough that its overhead does not count."""
INSERT_WITHIN_S = 30.0
SCHEMA_WITHIN_S = 10.0

_NO_OBJECT = UUID(int=0)

log = structlog.get_logger(__name__)


class WeaviateIndex:
    """One collection. Makes the collection and the tenants that are missing, also those that were removed meanwhile."""

    def __init__(self, weaviate: Weaviate, collection: str) -> None:
        self._weaviate = weaviate
        self._collection = collection
        self._tenants: set[TeamId] = set()

    async def open(self) -> None:
        await self._weaviate.open()
        await self._ensure_collection()

    async def check(self) -> None:
        await self._weaviate.check()

    async def close(self) -> None:
        await self._weaviate.close()

    async def store(self, team: TeamId, objects: Sequence[ChunkObject]) -> None:
        for start in range(0, len(objects), OBJECTS_PER_INSERT):
            await self._store_part(team, objects[start : start + OBJECTS_PER_INSERT])

    async def _store_part(self, team: TeamId, objects: Sequence[ChunkObject]) -> None:
        await self._ensure_tenant(team)
        refused = await self._insert(team, objects)
        if refused:
            # The tenant or the whole collection may be gone since it was last seen.
            self._tenants.discard(team)
            await self._ensure_collection()
            await self._ensure_tenant(team)
            refused = await self._insert(team, objects)
        missing = refused or await self._missing(team, objects)
        if missing:
            log.error("chunks not stored", refused=refused, missing=missing, given=len(objects))
            raise ChunksNotStored(missing, len(objects))
        await self._flush(team)

    async def _flush(self, team: TeamId) -> None:
        """Have the vectors written that were inserted before.

        Weaviate 1.39 flushes the log of its vector index before an insert's vectors are in it: up to 32 KiB of them
        stay in memory, and after a kill they would be missing from every search while their objects are there. A batch
        delete flushes at its end, also one that deletes nothing.
        """
        async with self._weaviate.calling("flush", INSERT_WITHIN_S):
            await self._weaviate.tenant(self._collection, team).data.delete_many(Filter.by_id().equal(_NO_OBJECT))

    async def _insert(self, team: TeamId, objects: Sequence[ChunkObject]) -> int:
        """Write; returns how many the index refused."""
        data = self._weaviate.tenant(self._collection, team).data
        async with self._weaviate.calling("insert", INSERT_WITHIN_S):
            try:
                outcome = await data.insert_many([_data_object(chunk) for chunk in objects])
            except (WeaviateInsertManyAllFailedError, WeaviateBatchError) as error:
                if isinstance(error, WeaviateInsertManyAllFailedError) or "not find class" in error.message:
                    return len(objects)
                raise
        return len(outcome.errors)

    async def _missing(self, team: TeamId, objects: Sequence[ChunkObject]) -> int:
        """How many of the objects cannot be read: a success that stored nothing has been seen to happen."""
        wanted = {UUID(chunk.id) for chunk in objects}
        query = self._weaviate.tenant(self._collection, team).query
        async with self._weaviate.calling("read back", INSERT_WITHIN_S):
            found = await query.fetch_objects_by_ids(wanted, limit=len(wanted), return_properties=[])
        return len(wanted - {UUID(str(found_object.uuid)) for found_object in found.objects})

    async def _ensure_collection(self) -> None:
        collections = self._weaviate.client.collections
        async with self._weaviate.calling("collection", SCHEMA_WITHIN_S):
            if await collections.exists(self._collection):
                return
            self._tenants.clear()
            try:
                await collections.create(
                    self._collection,
                    multi_tenancy_config=Configure.multi_tenancy(enabled=True),
                    vector_config=Configure.Vectors.self_provided(),
                    properties=list(_schema()),
                )
            except UnexpectedStatusCodeError:
                if not await collections.exists(self._collection):  # else another replica was quicker
                    raise

    async def _ensure_tenant(self, team: TeamId) -> None:
        if team in self._tenants:
            return
        async with self._weaviate.calling("tenant", SCHEMA_WITHIN_S):
            await self._weaviate.client.collections.use(self._collection).tenants.create([team])
        self._tenants.add(team)


def _data_object(chunk: ChunkObject) -> DataObject[Mapping[str, WeaviateField], None]:
    return DataObject(properties=chunk.properties, uuid=UUID(chunk.id), vector=chunk.vector.tolist())


def _schema() -> Iterator[Property]:
    """BM25 searches the lexemes alone; what filters ask for is indexed whole; the text is carried, not indexed."""
    yield _text(ChunkProperty.TEXT, filterable=False)
    yield Property(
        name=ChunkProperty.LEXEMES,
        data_type=DataType.TEXT,
        tokenization=Tokenization.WHITESPACE,
        index_searchable=True,
        index_filterable=False,
    )
    yield _text(ChunkProperty.TITLE, filterable=False)
    for name in (
        ChunkProperty.DOCUMENT_ID,
        ChunkProperty.CONTENT_HASH,
        ChunkProperty.SOURCE,
        ChunkProperty.NAME,
        ChunkProperty.FILE_TYPE,
    ):
        yield _text(name)
    yield _text(ChunkProperty.ACCESS, data_type=DataType.TEXT_ARRAY)
    yield Property(name=ChunkProperty.UPDATED, data_type=DataType.DATE, index_filterable=True, index_range_filters=True)


def _text(name: str, *, data_type: DataType = DataType.TEXT, filterable: bool = True) -> Property:
    return Property(
        name=name,
        data_type=data_type,
        tokenization=Tokenization.FIELD,
        index_searchable=False,
        index_filterable=filterable,
    )

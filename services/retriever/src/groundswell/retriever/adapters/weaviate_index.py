"""The two searches on Weaviate, filtered inside the query."""

from collections.abc import Awaitable, Iterator, Sequence
from typing import Any

from weaviate.classes.query import Filter, MetadataQuery
from weaviate.collections.classes.filters import FilterReturn
from weaviate.collections.classes.internal import Object, QueryReturn
from weaviate.exceptions import WeaviateQueryError

from groundswell.common.contracts.retrieval import PassageFilters
from groundswell.common.errors import Unavailable
from groundswell.common.ids import ChunkId
from groundswell.common.index_schema import ChunkProperty
from groundswell.common.weaviate_connection import Weaviate
from groundswell.retriever.domain.candidates import Hit
from groundswell.retriever.ports import Scope, Vector

_NOT_THERE_YET = ("tenant not found", "could not find class")


class WeaviateIndex:
    """One collection, named and never by an alias: its vectors are those of one model."""

    def __init__(self, weaviate: Weaviate, collection: str, *, within_s: float) -> None:
        self._weaviate = weaviate
        self._collection = collection
        self._within_s = within_s

    async def open(self) -> None:
        await self._weaviate.open()

    async def check(self) -> None:
        await self._weaviate.check()

    async def close(self) -> None:
        await self._weaviate.close()

    async def search_lexemes(self, lexemes: Sequence[str], scope: Scope, limit: int) -> list[Hit]:
        query = self._weaviate.tenant(self._collection, scope.tenant).query
        found = await self._found(
            query.bm25(
                " ".join(lexemes),
                query_properties=[ChunkProperty.LEXEMES],
                filters=_conditions(scope),
                limit=limit,
                return_metadata=MetadataQuery(score=True),
                return_properties=[],
            ),
        )
        return [Hit(ChunkId(str(item.uuid)), item.metadata.score or 0.0) for item in found]

    async def search_vector(self, vector: Vector, scope: Scope, limit: int) -> list[Hit]:
        query = self._weaviate.tenant(self._collection, scope.tenant).query
        found = await self._found(
            query.near_vector(
                vector.tolist(),
                filters=_conditions(scope),
                limit=limit,
                return_metadata=MetadataQuery(distance=True),
                return_properties=[],
            ),
        )
        return [Hit(ChunkId(str(item.uuid)), 1 - (item.metadata.distance or 0.0)) for item in found]

    async def _found(self, query: Awaitable[QueryReturn[Any, Any]]) -> Sequence[Object[Any, Any]]:
        try:
            async with self._weaviate.calling("search", self._within_s):
                return (await query).objects
        except WeaviateQueryError as error:
            if any(reason in error.message for reason in _NOT_THERE_YET):
                return []
            # The query is well formed by construction, so a refusal says that the index is in trouble.
            raise Unavailable(f"Weaviate: search: {type(error).__name__}") from error


def _conditions(scope: Scope) -> FilterReturn:
    """Access first and always: without an entry there is nothing to search."""
    if not scope.access:
        raise ValueError("a search without access entries must not be made")
    return Filter.all_of(
        [Filter.by_property(ChunkProperty.ACCESS).contains_any(list(scope.access)), *_asked(scope.filters)]
    )


def _asked(filters: PassageFilters) -> Iterator[FilterReturn]:
    """What a document keeps for life. When it was updated is asked of its current version: unchanged chunks keep the
    time with which they were embedded, and would be missed.
    """
    for name, values in (
        (ChunkProperty.SOURCE, filters.sources),
        (ChunkProperty.DOCUMENT_ID, filters.documents),
        (ChunkProperty.FILE_TYPE, filters.file_types),
    ):
        if values:
            yield Filter.by_property(name).contains_any(list(values))

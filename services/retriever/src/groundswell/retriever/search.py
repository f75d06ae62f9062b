"""Both searches, in the team's tenant and in the shared one: at the same time, each retried and missed on its own."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

import structlog

from groundswell.common.contracts.retrieval import RetrievePassages
from groundswell.common.errors import Unavailable
from groundswell.common.ids import SHARED_TEAM
from groundswell.common.telemetry import names
from groundswell.retriever.domain.candidates import Hit
from groundswell.retriever.domain.query import Query
from groundswell.retriever.ports import PassageIndex, QueryEncoder, Scope, Vector

ATTEMPTS = 2

log = structlog.get_logger(__name__)


class Method(StrEnum):
    LEXICAL = "lexical"
    DENSE = "dense"


@dataclass(frozen=True, slots=True)
class Found:
    """Hits of both tenants per method. `is_all`: a deeper search would find nothing more."""

    lexical: tuple[Hit, ...]
    dense: tuple[Hit, ...]
    is_all: bool


class Search:
    """The searches for one command; the query is encoded once, however deep it goes."""

    def __init__(self, command: RetrievePassages, query: Query, *, encoder: QueryEncoder, index: PassageIndex) -> None:
        tenants = dict.fromkeys((command.team, SHARED_TEAM))
        self._scopes = [Scope(tenant, command.access, command.filters) for tenant in tenants]
        self._query = query
        self._encoder = encoder
        self._index = index
        self._vector: Vector | None = None

    async def look(self, limit: int) -> Found:
        """The `limit` best of each method and tenant. Raises Unavailable if neither method answered for a tenant."""
        lexical, dense = await asyncio.gather(self._lexical(limit), self._dense(limit))
        if any(by_lexemes is None and by_vector is None for by_lexemes, by_vector in zip(lexical, dense, strict=True)):
            raise Unavailable("Weaviate: no search answered")
        lists = [hits for hits in (*lexical, *dense) if hits is not None]
        return Found(_pooled(lexical), _pooled(dense), is_all=all(len(hits) < limit for hits in lists))

    async def _lexical(self, limit: int) -> Sequence[list[Hit] | None]:
        if not self._query.lexemes:
            return [None] * len(self._scopes)
        lexemes = self._query.lexemes
        return await asyncio.gather(
            *(
                _tried(Method.LEXICAL, partial(self._index.search_lexemes, lexemes, scope, limit))
                for scope in self._scopes
            )
        )

    async def _dense(self, limit: int) -> Sequence[list[Hit] | None]:
        if self._vector is None:
            self._vector = (await self._encoder.encode([self._query.text]))[0]
        vector = self._vector
        return await asyncio.gather(
            *(_tried(Method.DENSE, partial(self._index.search_vector, vector, scope, limit)) for scope in self._scopes)
        )


async def _tried(method: Method, search: Callable[[], Awaitable[list[Hit]]]) -> list[Hit] | None:
    """None after the last attempt: the other method may still answer."""
    for _ in range(ATTEMPTS):
        try:
            with names.SEARCH_SECONDS.labels(method.value).time():
                return await search()
        except Unavailable as away:
            log.warning("search failed", method=method.value, reason=away.reason)
    names.SEARCH_FAILURES.labels(method.value).inc()
    return None


def _pooled(lists: Sequence[list[Hit] | None]) -> tuple[Hit, ...]:
    return tuple(hit for hits in lists if hits for hit in hits)

"""The searches against the real Weaviate, in a collection of its own per test."""

import uuid
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest
from pydantic import SecretStr
from weaviate.classes.config import Configure, DataType, Property, Tokenization
from weaviate.classes.data import DataObject

from groundswell.common.contracts.retrieval import PassageFilters
from groundswell.common.errors import Unavailable
from groundswell.common.ids import ChunkId, DocumentId, TeamId
from groundswell.common.index_schema import ChunkProperty
from groundswell.common.lexemes import analyse
from groundswell.common.weaviate_connection import Weaviate
from groundswell.retriever.adapters.weaviate_index import WeaviateIndex
from groundswell.retriever.domain.candidates import Hit
from groundswell.retriever.ports import Scope

if TYPE_CHECKING:
    from groundswell.native.components import Addresses

pytestmark = pytest.mark.connected
BLUE = TeamId("blue")
EVERYONE = Scope(BLUE, ("team:blue",))
NORTH, EAST = np.array([1, 0], dtype=np.float32), np.array([0, 1], dtype=np.float32)
FIELDS = (ChunkProperty.DOCUMENT_ID, ChunkProperty.SOURCE, ChunkProperty.FILE_TYPE)


def _text(
    name: str, *, data_type: DataType = DataType.TEXT, tokenization: Tokenization = Tokenization.FIELD
) -> Property:
    return Property(name=name, data_type=data_type, tokenization=tokenization)


class Collection:
    """Writes chunks the way the embedder does."""

    def __init__(self, weaviate: Weaviate, name: str) -> None:
        self.name = name
        self._weaviate = weaviate

    async def create(self) -> None:
        await self._weaviate.client.collections.create(
            self.name,
            multi_tenancy_config=Configure.multi_tenancy(enabled=True),
            vector_config=Configure.Vectors.self_provided(),
            properties=[
                _text(ChunkProperty.LEXEMES, tokenization=Tokenization.WHITESPACE),
                *(_text(name) for name in FIELDS),
                _text(ChunkProperty.ACCESS, data_type=DataType.TEXT_ARRAY),
                Property(name=ChunkProperty.UPDATED, data_type=DataType.DATE),
            ],
        )

    async def add(self, text: str, *, vector: object = NORTH, team: str = "blue", **changes: object) -> ChunkId:
        properties: dict[str, object] = {
            ChunkProperty.LEXEMES: analyse(text),
            ChunkProperty.DOCUMENT_ID: "doc_1",
            ChunkProperty.SOURCE: "docs",
            ChunkProperty.FILE_TYPE: "markdown",
            ChunkProperty.ACCESS: [f"team:{team}"],
            ChunkProperty.UPDATED: datetime(2026, 11, 1, tzinfo=UTC),
        }
        collection = self._weaviate.client.collections.use(self.name)
        await collection.tenants.create([team])
        item = DataObject(properties=properties | changes, uuid=uuid.uuid4(), vector=np.asarray(vector).tolist())
        await collection.with_tenant(team).data.insert_many([item])  # type: ignore[list-item]
        return ChunkId(str(item.uuid))


@pytest.fixture
async def weaviate(components: "Addresses") -> AsyncIterator[Weaviate]:
    connection = Weaviate(
        components.weaviate_url, components.weaviate_grpc_port, SecretStr(components.weaviate_api_key)
    )
    await connection.open()
    yield connection
    await connection.close()


@pytest.fixture
async def collection(weaviate: Weaviate) -> AsyncIterator[Collection]:
    collection = Collection(weaviate, f"Chunks_test_{uuid.uuid4().hex}")
    await collection.create()
    yield collection
    await weaviate.client.collections.delete(collection.name)


@pytest.fixture
async def index(weaviate: Weaviate, collection: Collection) -> WeaviateIndex:
    index = WeaviateIndex(weaviate, collection.name, within_s=5)
    await index.check()
    return index


def _ids(hits: list[Hit]) -> list[ChunkId]:
    return [hit.chunk_id for hit in hits]


async def test_lexemes_find_stems_and_whole_identifiers_best_first(
    index: WeaviateIndex, collection: Collection
) -> None:
    record = await collection.add("Records of ERR_4711 are recorded twice")
    other = await collection.add("A record among many other words about tides and the sea and the moon")
    hits = await index.search_lexemes(analyse("recording").split(), EVERYONE, 10)
    assert _ids(hits) == [record, other]
    assert hits[0].score > hits[1].score > 0
    assert _ids(await index.search_lexemes(["err_4711"], EVERYONE, 10)) == [record]


async def test_a_vector_finds_the_nearest_with_its_cosine(index: WeaviateIndex, collection: Collection) -> None:
    north, east = await collection.add("n", vector=NORTH), await collection.add("e", vector=EAST)
    hits = await index.search_vector(np.array([0.8, 0.6], dtype=np.float32), EVERYONE, 10)
    assert _ids(hits) == [north, east]
    assert [hit.score for hit in hits] == pytest.approx([0.8, 0.6], abs=1e-5)


async def test_the_limit_is_kept(index: WeaviateIndex, collection: Collection) -> None:
    for _ in range(3):
        await collection.add("same words")
    assert len(await index.search_lexemes(["same"], EVERYONE, 2)) == 2
    assert len(await index.search_vector(NORTH, EVERYONE, 2)) == 2


async def test_a_tenant_or_collection_that_does_not_exist_is_empty(index: WeaviateIndex, weaviate: Weaviate) -> None:
    nowhere = WeaviateIndex(weaviate, "Chunks_of_nobody", within_s=5)
    for searched in (index, nowhere):
        assert await searched.search_lexemes(["word"], EVERYONE, 5) == []
        assert await searched.search_vector(NORTH, EVERYONE, 5) == []


@pytest.mark.parametrize(
    ("access", "seen"),
    [
        (("team:blue",), False),
        (("group:ops",), True),
        (("team:blue", "group:ops", "organisation"), True),
        (("group:op",), False),
        (("GROUP:OPS",), False),
        (("group:ops organisation",), False),
        (("*", "%", "group:*"), False),
    ],
)
async def test_access_is_matched_entry_by_entry(
    index: WeaviateIndex, collection: Collection, access: tuple[str, ...], *, seen: bool
) -> None:
    await collection.add("secret", access=["group:ops", "group:lead"])
    scope = Scope(BLUE, access)
    assert bool(await index.search_lexemes(["secret"], scope, 5)) is seen
    assert bool(await index.search_vector(NORTH, scope, 5)) is seen


async def test_an_object_without_access_is_seen_by_nobody(index: WeaviateIndex, collection: Collection) -> None:
    await collection.add("orphan", access=[])
    assert await index.search_lexemes(["orphan"], EVERYONE, 5) == []


async def test_a_search_without_access_entries_is_not_made(index: WeaviateIndex) -> None:
    with pytest.raises(ValueError, match="access"):
        await index.search_lexemes(["word"], Scope(BLUE, ()), 5)


async def test_other_tenants_are_out_of_reach_whatever_their_access(
    index: WeaviateIndex, collection: Collection
) -> None:
    await collection.add("word", team="green", access=["team:blue"])
    await collection.add("other", team="blue")
    assert await index.search_lexemes(["word"], EVERYONE, 5) == []


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        (PassageFilters(), 2),
        (PassageFilters(sources=("wiki",)), 1),
        (PassageFilters(sources=("wiki", "docs")), 2),
        (PassageFilters(sources=("wik",)), 0),
        (PassageFilters(documents=(DocumentId("doc_2"),)), 1),
        (PassageFilters(file_types=("text",)), 1),
        (PassageFilters(file_types=("text",), sources=("docs",)), 0),
        (PassageFilters(sources=('docs" OR true', "x\0y")), 0),
    ],
)
async def test_filters_hold_in_both_searches(
    index: WeaviateIndex, collection: Collection, filters: PassageFilters, found: int
) -> None:
    await collection.add("word one")
    await collection.add("word two", source="wiki", document_id="doc_2", file_type="text")
    scope = Scope(BLUE, ("team:blue",), filters)
    assert len(await index.search_lexemes(["word"], scope, 5)) == found
    assert len(await index.search_vector(NORTH, scope, 5)) == found


@pytest.mark.parametrize(
    "filters",
    [
        PassageFilters(updated_after=datetime(2026, 11, 5, tzinfo=UTC)),
        PassageFilters(updated_before=datetime(2026, 10, 1, tzinfo=UTC)),
    ],
)
async def test_the_time_of_a_chunk_shuts_nothing_out_for_its_document_may_have_changed_elsewhere(
    index: WeaviateIndex, collection: Collection, filters: PassageFilters
) -> None:
    unchanged = await collection.add("word", updated=datetime(2026, 11, 1, tzinfo=UTC))
    scope = Scope(BLUE, ("team:blue",), filters)
    assert _ids(await index.search_lexemes(["word"], scope, 5)) == [unchanged]
    assert _ids(await index.search_vector(NORTH, scope, 5)) == [unchanged]


async def test_a_refused_search_is_unavailable_and_quotes_nothing(index: WeaviateIndex, collection: Collection) -> None:
    await collection.add("word")
    with pytest.raises(Unavailable, match="search") as refused:
        await index.search_vector(np.ones(7, dtype=np.float32), EVERYONE, 5)
    assert "7" not in refused.value.reason


async def test_an_index_that_is_away_is_unavailable(unused_tcp_port_factory: Callable[[], int]) -> None:
    rest, grpc = unused_tcp_port_factory(), unused_tcp_port_factory()
    away = WeaviateIndex(Weaviate(f"http://127.0.0.1:{rest}", grpc, SecretStr("key")), "Chunks_test", within_s=1)
    with pytest.raises(Unavailable):
        await away.open()
    with pytest.raises(Unavailable):
        await away.search_lexemes(["word"], EVERYONE, 5)

"""The index adapter against the real Weaviate, in a collection of its own per test."""

import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import numpy as np
import pytest
from pydantic import SecretStr
from weaviate.classes.query import Filter, MetadataQuery

from groundswell.common.contracts.knowledge import EmbedChunks
from groundswell.common.errors import Unavailable
from groundswell.common.ids import TeamId
from groundswell.common.weaviate_connection import Weaviate
from groundswell.embedder.adapters.weaviate_index import WeaviateIndex
from groundswell.embedder.domain.chunk_objects import ChunkObject, objects_by_team
from groundswell.embedder.domain.texts import distinct_texts
from groundswell.embedder.ports import ChunksNotStored

if TYPE_CHECKING:
    from groundswell.native.components import Addresses
    from services.embedder.tests.conftest import MakeCommand

pytestmark = pytest.mark.connected
BLUE = TeamId("blue")


@pytest.fixture
async def weaviate(components: "Addresses") -> AsyncIterator[Weaviate]:
    connection = Weaviate(
        components.weaviate_url, components.weaviate_grpc_port, SecretStr(components.weaviate_api_key)
    )
    await connection.open()
    yield connection
    await connection.close()


@pytest.fixture
async def collection(weaviate: Weaviate) -> AsyncIterator[str]:
    name = f"Chunks_test_{uuid.uuid4().hex}"
    yield name
    await weaviate.client.collections.delete(name)


@pytest.fixture
async def index(components: "Addresses", collection: str) -> AsyncIterator[WeaviateIndex]:
    connection = Weaviate(
        components.weaviate_url, components.weaviate_grpc_port, SecretStr(components.weaviate_api_key)
    )
    index = WeaviateIndex(connection, collection)
    await index.open()
    await index.check()
    yield index
    await index.close()


def _objects(command: EmbedChunks) -> list[ChunkObject]:
    texts = distinct_texts([command])
    rows = np.random.default_rng(3).normal(size=(len(texts), 8)).astype(np.float32)
    return objects_by_team([command], dict(zip(texts, rows, strict=True)))[command.team]


async def test_what_is_stored_is_found_by_lexemes_by_vector_and_by_filter(
    index: WeaviateIndex, weaviate: Weaviate, collection: str, make_command: "MakeCommand"
) -> None:
    objects = _objects(make_command("The broker keeps records", "Tides rise and fall"))
    await index.store(BLUE, objects)
    query = weaviate.tenant(collection, "blue").query
    filters = Filter.by_property("access").contains_any(["team:blue"]) & Filter.by_property("source").equal("docs")
    by_lexemes = await query.bm25("record", query_properties=["lexemes"], filters=filters)
    assert [str(found.uuid) for found in by_lexemes.objects] == [objects[0].id]
    by_vector = await query.near_vector(
        objects[1].vector.tolist(), limit=1, filters=filters, return_metadata=MetadataQuery(distance=True)
    )
    assert str(by_vector.objects[0].uuid) == objects[1].id
    assert by_vector.objects[0].metadata.distance == pytest.approx(0, abs=1e-5)


async def test_nothing_that_is_stored_waits_in_memory_for_a_kill(
    index: WeaviateIndex, weaviate: Weaviate, collection: str, components: "Addresses", make_command: "MakeCommand"
) -> None:
    await index.store(BLUE, _objects(make_command(*(f"passage {number}" for number in range(60)))))
    stored = _vector_log_bytes(components, collection)
    await weaviate.tenant(collection, "blue").data.delete_many(Filter.by_id().equal(uuid.uuid4()))  # flushes
    assert stored == _vector_log_bytes(components, collection) > 0


def _vector_log_bytes(components: "Addresses", collection: str) -> int:
    home = Path(urlsplit(components.object_store_url).path).parent
    logs = list((home / "weaviate" / collection.lower() / "blue").glob("*.commitlog.d/*"))
    assert logs, "no log of the vector index"
    return sum(log.stat().st_size for log in logs)


async def test_storing_again_overwrites_the_properties(
    index: WeaviateIndex, weaviate: Weaviate, collection: str, make_command: "MakeCommand"
) -> None:
    await index.store(BLUE, _objects(make_command("text", access=("team:blue",))))
    await index.store(BLUE, _objects(make_command("text", access=("group:ops",))))
    found = await weaviate.tenant(collection, "blue").query.fetch_objects()
    assert [item.properties["access"] for item in found.objects] == [["group:ops"]]


async def test_teams_are_tenants_of_their_own(
    index: WeaviateIndex, weaviate: Weaviate, collection: str, make_command: "MakeCommand"
) -> None:
    await index.store(BLUE, _objects(make_command("blue text")))
    await index.store(TeamId("green"), _objects(make_command("green text", team="green")))
    for team in ("blue", "green"):
        found = await weaviate.tenant(collection, team).query.fetch_objects()
        assert [item.properties["text"] for item in found.objects] == [f"{team} text"]


async def test_a_collection_that_was_removed_meanwhile_is_made_again(
    index: WeaviateIndex, weaviate: Weaviate, collection: str, make_command: "MakeCommand"
) -> None:
    objects = _objects(make_command("one", "two"))
    await index.store(BLUE, objects)
    await weaviate.client.collections.delete(collection)
    await index.store(BLUE, objects)
    found = await weaviate.tenant(collection, "blue").query.fetch_objects()
    assert len(found.objects) == 2


async def test_a_tenant_that_was_removed_meanwhile_is_made_again(
    index: WeaviateIndex, weaviate: Weaviate, collection: str, make_command: "MakeCommand"
) -> None:
    objects = _objects(make_command("one", "two"))
    await index.store(BLUE, objects)
    await weaviate.client.collections.use(collection).tenants.remove(["blue"])
    await index.store(BLUE, objects)
    found = await weaviate.tenant(collection, "blue").query.fetch_objects()
    assert len(found.objects) == 2


async def test_two_replicas_make_the_same_collection(
    index: WeaviateIndex, components: "Addresses", collection: str
) -> None:
    second = WeaviateIndex(
        Weaviate(components.weaviate_url, components.weaviate_grpc_port, SecretStr(components.weaviate_api_key)),
        collection,
    )
    await second.open()
    await second.close()


async def test_an_object_that_the_index_refuses_is_noticed(index: WeaviateIndex, make_command: "MakeCommand") -> None:
    objects = _objects(make_command("good", "of another dimension"))
    await index.store(BLUE, objects[:1])
    wrong = replace(objects[1], vector=np.ones(5, dtype=np.float32))
    with pytest.raises(ChunksNotStored, match="1 of 2"):
        await index.store(BLUE, [objects[0], wrong])


async def test_an_index_that_is_away_is_unavailable(
    unused_tcp_port_factory: Callable[[], int], make_command: "MakeCommand"
) -> None:
    rest, grpc = unused_tcp_port_factory(), unused_tcp_port_factory()
    away = Weaviate(f"http://127.0.0.1:{rest}", grpc, SecretStr("key"))
    index = WeaviateIndex(away, "Chunks_test_away")
    with pytest.raises(Unavailable, match="Weaviate"):
        await index.open()
    with pytest.raises(Unavailable, match="not connected"):
        await index.store(BLUE, _objects(make_command("text")))


async def test_a_wrong_key_is_unavailable_and_stays_out_of_the_reason(components: "Addresses") -> None:
    connection = Weaviate(components.weaviate_url, components.weaviate_grpc_port, SecretStr("wrong-key"))
    with pytest.raises(Unavailable) as refused:
        await connection.open()
    assert "wrong-key" not in refused.value.reason

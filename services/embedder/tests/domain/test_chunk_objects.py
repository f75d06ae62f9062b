"""What the index stores of a chunk."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from groundswell.common.contracts.knowledge import EmbedChunks
from groundswell.common.index_schema import ChunkProperty
from groundswell.common.lexemes import analyse
from groundswell.embedder.domain.chunk_objects import ChunkObject, objects_by_team
from groundswell.embedder.domain.texts import distinct_texts

if TYPE_CHECKING:
    from services.embedder.tests.conftest import MakeCommand


def _objects(*commands: EmbedChunks) -> list[ChunkObject]:
    vectors = {key: np.ones(2, dtype=np.float32) for key in distinct_texts(commands)}
    return objects_by_team(commands, vectors)[commands[0].team]


def test_an_object_has_every_property_of_the_schema_and_the_id_of_its_chunk(make_command: "MakeCommand") -> None:
    command = make_command("Set HTTP_PORT before starting")
    (stored,) = _objects(command)
    assert stored.id == command.chunks[0].chunk_id
    assert set(stored.properties) == set(ChunkProperty)
    assert stored.properties[ChunkProperty.LEXEMES] == analyse("Set HTTP_PORT before starting")


def test_access_is_stored_once_each(make_command: "MakeCommand") -> None:
    (stored,) = _objects(make_command("text", access=("team:blue", "group:ops", "team:blue")))
    assert stored.properties[ChunkProperty.ACCESS] == ["group:ops", "team:blue"]


def test_a_time_without_a_zone_counts_as_utc(make_command: "MakeCommand") -> None:
    naive = datetime(2026, 1, 2, tzinfo=UTC).replace(tzinfo=None)
    (stored,) = _objects(make_command("text", updated=naive))
    assert stored.properties[ChunkProperty.UPDATED] == datetime(2026, 1, 2, tzinfo=UTC)


def test_a_chunk_named_twice_in_a_command_is_one_object(make_command: "MakeCommand") -> None:
    assert len(_objects(make_command("twice", "twice"))) == 1

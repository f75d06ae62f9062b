"""What the index stores of a chunk."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from groundswell.common.contracts.knowledge import ChunkToEmbed, EmbedChunks
from groundswell.common.ids import ChunkId, TeamId
from groundswell.common.index_schema import ChunkProperty
from groundswell.common.lexemes import analyse
from groundswell.embedder.domain.texts import TextKey

PropertyValue = str | datetime | list[str]
Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class ChunkObject:
    """An object of the index: `id` is the chunk's, `vector` [dimension] of length 1, `properties` by ChunkProperty."""

    id: ChunkId
    vector: Vector
    properties: Mapping[str, PropertyValue]


def objects_by_team(
    commands: Iterable[EmbedChunks], vectors: Mapping[TextKey, Vector]
) -> dict[TeamId, list[ChunkObject]]:
    """The objects to store, each id once: of two commands for one chunk the newer revision decides its properties."""
    teams: dict[TeamId, dict[ChunkId, ChunkObject]] = {}
    for command in sorted(commands, key=lambda command: command.revision):
        objects = teams.setdefault(command.team, {})
        for chunk in command.chunks:
            vector = vectors[TextKey(command.team, chunk.content_hash)]
            objects[chunk.chunk_id] = ChunkObject(chunk.chunk_id, vector, _properties(command, chunk))
    return {team: list(objects.values()) for team, objects in teams.items()}


def _properties(command: EmbedChunks, chunk: ChunkToEmbed) -> dict[str, PropertyValue]:
    return {
        ChunkProperty.TEXT: chunk.text,
        ChunkProperty.LEXEMES: analyse(chunk.text),
        ChunkProperty.DOCUMENT_ID: command.document_id,
        ChunkProperty.CONTENT_HASH: chunk.content_hash,
        ChunkProperty.SOURCE: command.source,
        ChunkProperty.NAME: command.name,
        ChunkProperty.TITLE: command.title,
        ChunkProperty.FILE_TYPE: command.file_type,
        ChunkProperty.ACCESS: sorted(set(command.access)),
        ChunkProperty.UPDATED: _with_zone(command.updated),
    }


def _with_zone(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

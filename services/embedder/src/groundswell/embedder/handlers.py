"""From commands to objects in the index and replies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from groundswell.common.bus.messages import Outgoing, Received, reply
from groundswell.common.contracts.knowledge import ChunksEmbedded, EmbedChunks
from groundswell.common.errors import Rejected
from groundswell.common.telemetry import names
from groundswell.embedder.domain.chunk_objects import Vector, objects_by_team
from groundswell.embedder.domain.commands import fault
from groundswell.embedder.domain.texts import TextKey, calls, distinct_texts
from groundswell.embedder.ports import ChunkIndex, Encoder


@dataclass(frozen=True)
class Deps:
    """What the handlers work with."""

    encoder: Encoder
    index: ChunkIndex


async def embed_chunks(messages: Sequence[Received[EmbedChunks]], *, deps: Deps) -> Sequence[Outgoing]:
    """Embed what the messages bring, each text once, store it, and answer each message.

    Raises Rejected for a message that is not what it says; the bus then tries the others one by one.
    """
    for message in messages:
        reason = fault(message.payload, tenant=message.envelope.tenant, model=deps.encoder.model)
        if reason:
            raise Rejected(reason)
    commands = [message.payload for message in messages]
    vectors = await _vectors(distinct_texts(commands), deps.encoder)
    for team, objects in objects_by_team(commands, vectors).items():
        await deps.index.store(team, objects)
        names.CHUNKS_EMBEDDED.inc(len(objects))
    return [reply(message, _embedded(message.payload)) for message in messages]


async def _vectors(texts: Mapping[TextKey, str], encoder: Encoder) -> dict[TextKey, Vector]:
    encoded = []
    for call in calls(list(texts.values())):
        names.EMBED_BATCH_CHUNKS.observe(len(call))
        encoded.append(await encoder.encode(call))
    return dict(zip(texts, np.concatenate(encoded), strict=True))


def _embedded(command: EmbedChunks) -> ChunksEmbedded:
    return ChunksEmbedded(
        document_id=command.document_id,
        team=command.team,
        version=command.version,
        revision=command.revision,
        part=command.part,
        content_hashes=tuple(dict.fromkeys(chunk.content_hash for chunk in command.chunks)),
    )

"""Typed ids. Append only: a type that was here once keeps its meaning."""

import hashlib
import secrets
import uuid
from typing import NewType

TeamId = NewType("TeamId", str)
"""A tenant: lower-case letters, digits and hyphens."""

RequestId = NewType("RequestId", str)
"""One accepted question: `req_` and 24 hex digits."""

MessageId = NewType("MessageId", str)
"""One published message: UUID4 as text; a duplicate of a message keeps it."""

CorrelationId = NewType("CorrelationId", str)
"""What a chain of messages belongs to: a request id or a document id."""

DocumentId = NewType("DocumentId", str)
"""Stable over versions: `doc_` and 24 hex digits, derived from team, source and name."""

SourceId = NewType("SourceId", str)
"""Where documents of a team come from: `src_` and 24 hex digits."""

ChunkId = NewType("ChunkId", str)
"""UUID5 over document id and content hash; also the object id in the index."""

KeyId = NewType("KeyId", str)
"""An API key's public name: `key_` and 12 hex digits; never the secret."""

WorkerId = NewType("WorkerId", str)
"""One generator process life: host, pid and a random part."""

SHARED_TEAM = TeamId("shared")
"""The index tenant of organisation-wide knowledge."""

_CHUNKS = uuid.UUID("6c5b0f7e-2f0d-5f0c-9a55-6d1f3c1b7a10")


def new_request_id() -> RequestId:
    return RequestId(f"req_{secrets.token_hex(12)}")


def new_message_id() -> MessageId:
    return MessageId(str(uuid.uuid4()))


def document_id(team: TeamId, source: str, name: str) -> DocumentId:
    """The id of the document called `name` in `source` of `team`: the same for every version."""
    return DocumentId(f"doc_{_digest(team, source, name)}")


def source_id(team: TeamId, name: str) -> SourceId:
    return SourceId(f"src_{_digest(team, name)}")


def chunk_id(document: DocumentId, content_hash: str) -> ChunkId:
    return ChunkId(str(uuid.uuid5(_CHUNKS, f"{document}\0{content_hash}")))


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]

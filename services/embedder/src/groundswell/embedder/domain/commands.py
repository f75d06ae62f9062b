"""Whether a command can be trusted to name what it carries."""

import hashlib
import re

from groundswell.common.contracts.knowledge import ChunkToEmbed, EmbedChunks
from groundswell.common.ids import DocumentId, TeamId, chunk_id

_TENANT = re.compile(r"[A-Za-z0-9_-]{1,64}")


def fault(command: EmbedChunks, *, tenant: TeamId, model: str) -> str | None:
    """Why `command`, which came for `tenant`, must not be carried out by an embedder of `model`; None if it may be."""
    if command.team != tenant:
        return "the team of the chunks is not the tenant of the message"
    if not _TENANT.fullmatch(command.team):
        return "the team cannot be a tenant of the index"
    if command.model != model:
        return f"this embedder writes vectors of {model}, not of another model"
    wrong = sum(not _is_what_it_says(chunk, command.document_id) for chunk in command.chunks)
    return f"{wrong} of {len(command.chunks)} chunks differ from their hash or id" if wrong else None


def _is_what_it_says(chunk: ChunkToEmbed, document: DocumentId) -> bool:
    try:
        digest = hashlib.sha256(chunk.text.encode()).hexdigest()
    except UnicodeEncodeError:
        return False
    return chunk.content_hash == digest and chunk.chunk_id == chunk_id(document, digest)

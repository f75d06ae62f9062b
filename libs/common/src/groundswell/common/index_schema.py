"""The chunk collection of an index generation: names that the embedder writes and the retriever reads."""

from enum import StrEnum


class ChunkProperty(StrEnum):
    """Properties of a chunk object.

    BM25 searches `LEXEMES` alone; the others are for filters and may lag behind PostgreSQL.
    """

    TEXT = "text"
    LEXEMES = "lexemes"
    DOCUMENT_ID = "document_id"
    CONTENT_HASH = "content_hash"
    SOURCE = "source"
    NAME = "name"
    TITLE = "title"
    FILE_TYPE = "file_type"
    ACCESS = "access"
    UPDATED = "updated"


DEFAULT_EMBEDDING_MODEL = "minilm"


def collection_name(model: str) -> str:
    """The collection of the generation made with `model`."""
    return f"Chunks_{model.replace('-', '_').replace('.', '_')}"

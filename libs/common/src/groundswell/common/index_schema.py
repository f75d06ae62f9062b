"""The chunk collection of an index generation: names that the embedder writes and the retriever reads."""

from enum import StrEnum


class ChunkProperty(StrEnum):
    """Properties of a chunk object.

    BM25 searches `LEXEMES` alone. `SOURCE`, `DOCUMENT_ID` and `FILE_TYPE` never change and may be filtered by; so may
    `ACCESS`: with another list every chunk is sent again, and until then a wider one finds too little, never too much,
    for PostgreSQL decides. `NAME`, `TITLE` and `UPDATED` are those of the version that last sent the chunk.
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

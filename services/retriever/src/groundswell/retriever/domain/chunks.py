"""A chunk as the current version of its document has it."""

from dataclasses import dataclass
from datetime import datetime

from groundswell.common.contracts.retrieval import PassageFilters
from groundswell.common.ids import ChunkId, DocumentId, TeamId
from groundswell.retriever.domain.candidates import Candidate
from groundswell.retriever.domain.moments import with_zone


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentChunk:
    """`text` is the core: `[start, end)`, in code points, of the version's text. `heading` is the path to it."""

    chunk_id: ChunkId
    document_id: DocumentId
    team: TeamId
    content_hash: str
    version: int
    ordinal: int
    start: int
    end: int
    heading: tuple[str, ...]
    title: str
    source: str
    name: str
    file_type: str
    updated: datetime
    text: str
    page: int | None = None

    def follows(self, other: "CurrentChunk") -> bool:
        """Whether this one begins in the same text where `other` ends."""
        return (self.document_id, self.version, self.ordinal, self.start) == (
            other.document_id,
            other.version,
            other.ordinal + 1,
            other.end,
        )


@dataclass(frozen=True, slots=True)
class RankedChunk:
    """A chunk that may be answered from, and how it came to its rank."""

    chunk: CurrentChunk
    candidate: Candidate


def fits(chunk: CurrentChunk, filters: PassageFilters) -> bool:
    """Whether the current facts of the chunk satisfy `filters`: those in the index, which the search used, may lag."""
    return (
        (not filters.sources or chunk.source in filters.sources)
        and (not filters.documents or chunk.document_id in filters.documents)
        and (not filters.file_types or chunk.file_type in filters.file_types)
        and (filters.updated_after is None or chunk.updated >= with_zone(filters.updated_after))
        and (filters.updated_before is None or chunk.updated <= with_zone(filters.updated_before))
    )

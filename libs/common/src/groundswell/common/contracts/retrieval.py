"""To the retriever, and its outcomes."""

from datetime import datetime

from pydantic import Field

from groundswell.common.contracts.message import Message
from groundswell.common.ids import DocumentId, RequestId, TeamId


class PassageFilters(Message):
    """What the passages must be of; an empty tuple or None is no condition."""

    sources: tuple[str, ...] = ()
    documents: tuple[DocumentId, ...] = ()
    file_types: tuple[str, ...] = ()
    updated_after: datetime | None = None
    updated_before: datetime | None = None


class RetrievePassages(Message):
    """Find passages that answer `query` among what `access` may read.

    `access` holds access-list entries (`team:<id>`, `group:<name>`, `organisation`); none of them: nothing is found.
    """

    request_id: RequestId
    team: TeamId
    access: tuple[str, ...]
    query: str
    max_passages: int = Field(default=5, ge=1, le=50)
    filters: PassageFilters = PassageFilters()


class PassageScores(Message):
    """How a passage came to its rank. `lexical` is BM25, `dense` a cosine, `fused` what it was ordered by."""

    lexical: float | None = None
    dense: float | None = None
    fused: float = 0.0


class PassageSection(Message):
    """From `start` (code points of the document's text) on, the heading path is `section`."""

    start: int
    section: str


class Passage(Message):
    """Chunks of one document version, merged. `text` is exactly `[start, end)` (code points) of that version's text.

    `section` is what all of it lies under; `sections` says it for each part, in order, from `start` on.
    """

    document: DocumentId
    version: int
    title: str
    name: str
    section: str
    source: str
    updated: datetime
    start: int
    end: int
    text: str
    page: int | None = None
    scores: PassageScores = PassageScores()
    sections: tuple[PassageSection, ...] = ()

    def section_at(self, offset: int) -> str:
        """The heading path at `offset` of the document's text."""
        return next((part.section for part in reversed(self.sections) if part.start <= offset), self.section)


class PassagesRetrieved(Message):
    """Best first, at least one."""

    request_id: RequestId
    passages: tuple[Passage, ...] = Field(min_length=1)
    confidence: float = Field(ge=0, le=1)


class NoPassagesFound(Message):
    """Nothing that the caller may read is near the query."""

    request_id: RequestId
    reason: str

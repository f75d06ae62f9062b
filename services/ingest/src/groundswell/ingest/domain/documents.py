"""What is known of a document, and what becomes of a revision that arrives."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from groundswell.common.ids import SHARED_TEAM, DocumentId, TeamId
from groundswell.common.tiers import Tier

GAVE_UP = "gave_up"
"""The code of a failure that is the service's, not the file's: the same revision may be sent again."""


class VersionState(StrEnum):
    PENDING = "pending"
    LIVE = "live"
    SUPERSEDED = "superseded"
    FAILED = "failed"


class Verdict(StrEnum):
    NEW_VERSION = "new_version"
    SAME_CONTENT = "same_content"
    REPEATED = "repeated"
    OUTDATED = "outdated"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a revision did not become a version, or its version not live. `reason` says what to do and quotes nothing."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One text of a document. `updated` is when the text changed, as far as its source can tell."""

    number: int
    revision: int
    content_sha256: str
    state: VersionState
    title: str
    file_type: str
    updated: datetime
    tier: Tier
    chunks: int
    chunks_to_embed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A document's row with its newest version and the failure of its newest revision, if any.

    `newest_revision` is None until the first revision has been read. `versions` is the number of the newest version
    that ever was.
    """

    id: DocumentId
    team: TeamId
    source: str
    name: str
    access: tuple[str, ...]
    newest_revision: int | None
    is_deleted: bool
    versions: int = 0
    newest: Version | None = None
    failure: Failure | None = None

    @property
    def is_given_up(self) -> bool:
        """Whether the command of the newest revision went to the dead letters or expired: redriven, it counts."""
        return self.failure is not None and self.failure.code == GAVE_UP

    def is_past(self, revision: int) -> bool:
        """Whether what belongs to `revision` was done already, or comes too late."""
        if self.newest_revision is None or revision > self.newest_revision:
            return False
        return revision < self.newest_revision or not self.is_given_up

    def is_open(self, revision: int) -> bool:
        """Whether `revision` can still come to nothing."""
        is_pending = self.newest is not None and self.newest.state is VersionState.PENDING
        return not self.is_past(revision) or (revision == self.newest_revision and is_pending)

    def judge(self, revision: int, content_sha256: str, access: tuple[str, ...]) -> Verdict:
        """What becomes of `revision`, which brings bytes with this hash. Other rights make a version of their own: the
        index must learn them of every chunk.
        """
        if self.newest_revision is None:
            return Verdict.NEW_VERSION
        if revision < self.newest_revision:
            return Verdict.OUTDATED
        if revision == self.newest_revision and not self.is_given_up:
            return Verdict.REPEATED
        is_same = self.newest is not None and self.newest.content_sha256 == content_sha256 and self.access == access
        return Verdict.SAME_CONTENT if is_same and not self.is_deleted else Verdict.NEW_VERSION


def access_or_default(team: TeamId, access: tuple[str, ...]) -> tuple[str, ...]:
    """Without a list of its own a document is for its team; in the shared team, for the organisation."""
    return access or (("organisation",) if team == SHARED_TEAM else (f"team:{team}",))

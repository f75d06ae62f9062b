"""What becomes of a revision that arrives."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from groundswell.common.ids import SHARED_TEAM, DocumentId, TeamId
from groundswell.common.tiers import Tier
from groundswell.ingest.domain.documents import (
    GAVE_UP,
    Document,
    Failure,
    Verdict,
    Version,
    VersionState,
    access_or_default,
)

GIVEN_UP = Failure(GAVE_UP, "it broke")
VERSION = Version(
    number=1,
    revision=5,
    content_sha256="old",
    state=VersionState.LIVE,
    title="T",
    file_type="markdown",
    updated=datetime(2026, 1, 1, tzinfo=UTC),
    tier=Tier.STANDARD,
    chunks=1,
    chunks_to_embed=1,
)


def document(
    newest_revision: int | None = 5,
    *,
    is_deleted: bool = False,
    newest: Version | None = VERSION,
    failure: Failure | None = None,
) -> Document:
    return Document(
        id=DocumentId("doc_1"),
        team=TeamId("red"),
        source="docs",
        name="a.md",
        access=("team:red",),
        newest_revision=newest_revision,
        is_deleted=is_deleted,
        versions=1,
        newest=newest,
        failure=failure,
    )


@pytest.mark.parametrize(
    ("known", "revision", "content", "verdict"),
    [
        (document(None, newest=None), 1, "new", Verdict.NEW_VERSION),
        (document(), 6, "new", Verdict.NEW_VERSION),
        (document(), 6, "old", Verdict.SAME_CONTENT),
        (document(), 5, "old", Verdict.REPEATED),
        (document(), 5, "new", Verdict.REPEATED),
        (document(), 4, "new", Verdict.OUTDATED),
        (document(is_deleted=True, newest=None), 6, "old", Verdict.NEW_VERSION),
        (document(is_deleted=True), 6, "old", Verdict.NEW_VERSION),
        (document(is_deleted=True, newest=None), 4, "old", Verdict.OUTDATED),
        (document(newest=None), 6, "old", Verdict.NEW_VERSION),
        (document(failure=GIVEN_UP), 5, "new", Verdict.NEW_VERSION),
        (document(failure=GIVEN_UP), 5, "old", Verdict.SAME_CONTENT),
        (document(failure=GIVEN_UP), 4, "new", Verdict.OUTDATED),
        (document(failure=Failure("binary", "")), 5, "new", Verdict.REPEATED),
    ],
)
def test_revisions_are_judged_by_order_and_content(
    known: Document, revision: int, content: str, verdict: Verdict
) -> None:
    assert known.judge(revision, content, ("team:red",)) is verdict


def test_the_same_content_under_other_rights_is_a_version_of_its_own() -> None:
    assert document().judge(6, "old", ("organisation",)) is Verdict.NEW_VERSION
    assert document().judge(5, "old", ("organisation",)) is Verdict.REPEATED


@pytest.mark.parametrize(
    ("known", "revision", "open_"),
    [
        (document(None, newest=None), 1, True),
        (document(), 6, True),
        (document(), 5, False),
        (document(), 4, False),
        (document(newest=replace(VERSION, state=VersionState.PENDING)), 5, True),
        (document(newest=replace(VERSION, state=VersionState.FAILED)), 5, False),
        (document(failure=GIVEN_UP), 5, True),
        (document(is_deleted=True, newest=None), 5, False),
    ],
)
def test_only_what_is_not_settled_can_be_given_up(known: Document, revision: int, *, open_: bool) -> None:
    assert known.is_open(revision) is open_


def test_a_document_without_a_list_is_for_its_team_or_in_the_shared_team_for_all() -> None:
    assert access_or_default(TeamId("red"), ()) == ("team:red",)
    assert access_or_default(SHARED_TEAM, ()) == ("organisation",)
    assert access_or_default(TeamId("red"), ("group:x",)) == ("group:x",)

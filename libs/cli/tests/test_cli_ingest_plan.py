"""The difference between a folder and a source."""

from dataclasses import replace
from pathlib import PurePosixPath

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundswell.cli.api import Api
from groundswell.cli.errors import CommandFailedError
from groundswell.cli.folders import LocalSource
from groundswell.cli.ingest_plan import RemoteDocument, doing, plan, progress
from groundswell.cli.ingesting import CHUNK_S, STALLED_S, ingest
from groundswell.cli.readable import is_readable
from groundswell.ingest.domain.decoding import Rejection, file_type_of

NAMES = st.sampled_from(["a.md", "b.md", "c.md", "d.md"])
LOCAL = st.dictionaries(NAMES, st.sampled_from(["1", "2"]))
STATES = st.sampled_from(["pending", "reading", "live", "failed"])


@st.composite
def remotes(draw: st.DrawFn) -> dict[str, RemoteDocument]:
    digests = draw(st.dictionaries(NAMES, st.sampled_from(["1", "2", None])))
    return {
        name: RemoteDocument(f"doc_{name}", name, digest, draw(STATES), draw(st.integers(1, 3)))
        for name, digest in digests.items()
    }


@given(LOCAL, remotes())
def test_after_a_plan_both_sides_are_the_same(local: dict[str, str], remote: dict[str, RemoteDocument]) -> None:
    todo = plan(local, remote, complete=True)
    there = {name: document.sha256 for name, document in remote.items()}
    for document in todo.remove:
        del there[document.name]
    assert there | {name: local[name] for name in todo.upload} == local
    assert set(todo.upload) | set(todo.unchanged) == set(local)
    assert plan(local, {name: remote[name] for name in todo.unchanged}, complete=True).remove == ()


@given(LOCAL, remotes())
def test_a_part_of_a_source_removes_nothing(local: dict[str, str], remote: dict[str, RemoteDocument]) -> None:
    assert plan(local, remote, complete=False).remove == ()


@given(LOCAL)
def test_what_is_there_already_makes_an_empty_plan(local: dict[str, str]) -> None:
    remote = {name: RemoteDocument("doc", name, digest, "live", 1) for name, digest in local.items()}
    todo = plan(local, remote, complete=True)
    assert (todo.upload, todo.remove) == ((), ())


def test_waiting_ends_when_the_revision_that_was_sent_is_decided() -> None:
    old = {"a.md": RemoteDocument("doc_a", "a.md", "1", "live", 1)}
    assert progress({"a.md": 2}, frozenset(), frozenset(), old).waiting == {"a.md"}
    reading = {"a.md": RemoteDocument("doc_a", "a.md", "2", "reading", 2)}
    assert progress({"a.md": 2}, frozenset(), frozenset(), reading).waiting == {"a.md"}
    live = {"a.md": RemoteDocument("doc_a", "a.md", "2", "live", 2)}
    assert progress({"a.md": 2}, frozenset(), frozenset(), live).waiting == set()


def test_waiting_is_for_what_was_not_seen_yet_and_what_is_not_gone_yet() -> None:
    there = {"b.md": RemoteDocument("doc_b", "b.md", "1", "live", 1)}
    assert progress({"a.md": 1}, frozenset({"b.md"}), frozenset(), there).waiting == {"a.md", "b.md"}


def test_a_failure_says_why_also_if_it_is_an_old_one() -> None:
    there = {"a.md": RemoteDocument("doc_a", "a.md", "1", "failed", 1, "Not UTF-8.")}
    assert progress({}, frozenset(), frozenset({"a.md"}), there).failed == {"a.md": "Not UTF-8."}


def test_of_one_document_it_is_told_whether_it_is_read_or_embedded() -> None:
    new = RemoteDocument("doc_a", "a.md", "1", "pending", 1)
    assert doing([new]) == "reading a.md"
    assert doing([replace(new, chunks=2034)]) == "embedding a.md (2034 chunks)"


def test_of_several_or_unknown_ones_it_is_told_what_goes_on_in_general() -> None:
    new = RemoteDocument("doc_a", "a.md", "1", "pending", 1)
    leaving = replace(new, state="live")
    assert {doing(waiting) for waiting in ([new, new], [None], [leaving], [])} == {"reading and embedding"}


def test_an_ingest_waits_longer_for_a_document_of_many_chunks() -> None:
    clock = PassingClock()
    with (
        httpx.Client(transport=httpx.MockTransport(_embedding), base_url="http://test") as http,
        pytest.raises(CommandFailedError, match="nothing moved for 3300 s"),
    ):
        ingest(Api(http, clock), LocalSource("docs", complete=True), wait=True)
    assert clock.time >= STALLED_S + 6000 * CHUNK_S


class PassingClock:
    """Time passes only by sleeping."""

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


def _always_pending(request: httpx.Request) -> httpx.Response:
    document = {"id": "doc_a", "name": "a.md", "sha256": "1", "state": "pending", "revision": 1}
    return httpx.Response(200, json={"data": [] if request.method == "POST" else [document], "has_more": False})


def _embedding(request: httpx.Request) -> httpx.Response:
    documents = _always_pending(request).json()["data"]
    return httpx.Response(200, json={"data": [one | {"chunks": 6000} for one in documents], "has_more": False})


def test_an_ingest_that_stands_still_ends_with_advice() -> None:
    clock = PassingClock()
    with httpx.Client(transport=httpx.MockTransport(_always_pending), base_url="http://test") as http:
        source = LocalSource("docs", complete=False)
        waits = Api(http, clock)
        # Something that somebody else sent is pending, and stays so.
        unseen = LocalSource("docs", complete=True)
        with pytest.raises(CommandFailedError, match="groundswell status"):
            ingest(waits, unseen, wait=True)
        assert ingest(waits, source, wait=True).waiting == []
    assert clock.time >= STALLED_S


@given(
    st.sampled_from(["a", "readme", "Makefile", "LICENSE"]), st.sampled_from(["", ".md", ".RST", ".png", ".py", ".so"])
)
def test_the_client_sends_what_ingest_reads(stem: str, suffix: str) -> None:
    name = f"folder/{stem}{suffix}"
    assert is_readable(name) == (not isinstance(file_type_of(name), Rejection))


def test_every_kind_that_ingest_reads_is_sent() -> None:
    from groundswell.cli import readable  # noqa: PLC0415 - the tables themselves
    from groundswell.ingest.domain import decoding  # noqa: PLC0415

    known = decoding._MARKDOWN | decoding._RESTRUCTURED_TEXT | decoding._PLAIN_TEXT | decoding._SOURCE_CODE
    assert known == readable._SUFFIXES
    assert all(is_readable(str(PurePosixPath("x", name))) for name in decoding._READ_WITHOUT_SUFFIX)
    assert all(is_readable(name) for name in decoding._CODE_WITHOUT_SUFFIX)

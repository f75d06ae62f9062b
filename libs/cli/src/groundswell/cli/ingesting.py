"""`groundswell ingest`: bring the team's documents to what the given paths hold."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field

from groundswell.cli.api import Api, Json
from groundswell.cli.bar import Bar, shown_bar
from groundswell.cli.errors import CommandFailedError, RefusedError
from groundswell.cli.folders import LocalFile, LocalSource
from groundswell.cli.ingest_plan import Plan, RemoteDocument, doing, plan, progress
from groundswell.cli.invocation import hint

UPLOADS_AT_ONCE = 4
STALLED_S = 300.0
CHUNK_S = 0.5
"""More patience for each chunk of what is waited for: a document moves only when its last one is embedded."""
ASK_EVERY_S = (0.1, 2.0)
"""First and last pause between two looks at the server."""


@dataclass
class Result:
    """What became of one source; `failed` says why by name."""

    source: str
    sent: dict[str, int] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    waiting: list[str] = field(default_factory=list)

    def as_json(self) -> Json:
        return {
            "source": self.source,
            "uploaded": sorted(self.sent),
            "removed": self.removed,
            "unchanged": len(self.unchanged),
            "failed": self.failed,
            "skipped": self.skipped,
            "waiting": self.waiting,
        }


def ingest(api: Api, source: LocalSource, *, wait: bool) -> Result:
    """Upload what changed, remove what is gone, and see it through unless `wait` is False."""
    digests, unreadable = _digests(source.files.values())
    remote = remote_documents(api, source.name)
    todo = plan(digests, remote, complete=source.complete)
    result = Result(source.name, unchanged=list(todo.unchanged), skipped=source.skipped, failed=unreadable)
    # A file that cannot be read now is not gone.
    removals = [document for document in todo.remove if document.name not in unreadable]
    with shown_bar() as bar:
        _send(api, source, todo, result, bar)
        _remove(api, removals, result)
        if wait:
            _see_through(api, result, bar)
    return result


def remote_documents(api: Api, source: str) -> dict[str, RemoteDocument]:
    """What the team has in that source, by name."""
    listed = (_remote(item) for item in api.pages("/v1/documents", source=source))
    return {document.name: document for document in listed if document.state != "removed"}


def _remote(item: Json) -> RemoteDocument:
    return RemoteDocument(
        document=item["id"],
        name=item["name"],
        sha256=item.get("sha256"),
        state=item["state"],
        revision=item["revision"],
        failure=item.get("failure"),
        chunks=item.get("chunks") or 0,
    )


def _digests(files: Iterable[LocalFile]) -> tuple[dict[str, str], dict[str, str]]:
    digests: dict[str, str] = {}
    unreadable: dict[str, str] = {}
    for file in files:
        try:
            digests[file.name] = file.sha256()
        except OSError as error:
            unreadable[file.name] = f"cannot be opened ({error.strerror})"
    return digests, unreadable


def _send(api: Api, source: LocalSource, todo: Plan, result: Result, bar: Bar) -> None:
    bar.expect(len(todo.upload), "uploading")
    with ThreadPoolExecutor(UPLOADS_AT_ONCE) as pool:
        uploads = {pool.submit(_upload, api, source.name, source.files[name]): name for name in todo.upload}
        try:
            for upload in as_completed(uploads):
                name = uploads[upload]
                try:
                    result.sent[name] = upload.result()
                except RefusedError as refused:
                    result.failed[name] = str(refused)
                bar.advance()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _upload(api: Api, source: str, file: LocalFile) -> int:
    """Returns the revision that the server gave it. Raises RefusedError if this file is not taken."""
    try:
        content, modified = file.content(), file.modified()
    except OSError as error:
        raise RefusedError(f"cannot be opened ({error.strerror})") from None
    answer = api.post(
        "/v1/files",
        files={"file": (file.path.name, content, "application/octet-stream")},
        data={
            "purpose": "assistants",
            "groundswell_source": source,
            "groundswell_name": file.name,
            "groundswell_modified": modified,
        },
    )
    return int(answer["groundswell"]["revision"])


def _remove(api: Api, documents: list[RemoteDocument], result: Result) -> None:
    for document in documents:
        api.delete(f"/v1/documents/{document.document}")
        result.removed.append(document.name)


def _see_through(api: Api, result: Result, bar: Bar) -> None:
    """Wait until nothing is undecided. Raises CommandFailedError if nothing moves for long."""
    refused = dict(result.failed)
    total = len(result.sent) + len(result.removed) + len(result.unchanged)
    bar.expect(total, "reading and embedding")
    pause, waiting = ASK_EVERY_S[0], total + 1
    moved = api.clock.now()
    while True:
        remote = remote_documents(api, result.source)
        now = progress(result.sent, frozenset(result.removed), frozenset(result.unchanged), remote)
        result.failed, result.waiting = {**refused, **now.failed}, sorted(now.waiting)
        undecided = [remote.get(name) for name in result.waiting]
        bar.reach(total - len(undecided), doing(undecided))
        if not now.waiting:
            return
        if len(now.waiting) < waiting:
            waiting, moved = len(now.waiting), api.clock.now()
        elif api.clock.now() - moved > _patience_s(undecided):
            raise CommandFailedError(
                f"{waiting} documents are still not answerable and nothing moved for {_patience_s(undecided):.0f} s: "
                f"look at {hint('status')} and {hint('documents ls')}"
            )
        api.clock.sleep(pause)
        pause = min(pause * 1.5, ASK_EVERY_S[1])


def _patience_s(undecided: list[RemoteDocument | None]) -> float:
    return STALLED_S + CHUNK_S * sum(document.chunks for document in undecided if document is not None)

"""What an ingest has to do: the difference between the files here and the documents there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WORKING = frozenset({"reading", "pending", "uploaded"})


@dataclass(frozen=True)
class RemoteDocument:
    """A document as the server lists it; `sha256` is of the bytes of its newest revision.

    `chunks` is 0 until its text was read for the first time.
    """

    document: str
    name: str
    sha256: str | None
    state: str
    revision: int
    failure: str | None = None
    chunks: int = 0

    def holds(self, digest: str) -> bool:
        """Whether it is, or is about to be, answered from the bytes of this sha256."""
        return self.sha256 == digest and self.state != "failed"


@dataclass(frozen=True)
class Plan:
    """Names to upload; documents that are gone here; names that stand there as they are here."""

    upload: tuple[str, ...]
    remove: tuple[RemoteDocument, ...]
    unchanged: tuple[str, ...]


def plan(local: Mapping[str, str], remote: Mapping[str, RemoteDocument], *, complete: bool) -> Plan:
    """`local` is sha256 by name. Only if `local` is `complete` may what it lacks be removed.

    What failed there is sent again also when it is the same: the reason may be gone.
    """
    same = {name for name, digest in local.items() if name in remote and remote[name].holds(digest)}
    gone = [remote[name] for name in sorted(remote.keys() - local.keys())] if complete else []
    return Plan(
        upload=tuple(sorted(local.keys() - same)),
        remove=tuple(gone),
        unchanged=tuple(sorted(same)),
    )


def doing(waiting: Sequence[RemoteDocument | None]) -> str:
    """What the server does with what is waited for; None is one that it does not list."""
    only = waiting[0] if len(waiting) == 1 else None
    if only is None or only.state not in WORKING:
        return "reading and embedding"
    return f"embedding {only.name} ({only.chunks} chunks)" if only.chunks else f"reading {only.name}"


@dataclass(frozen=True)
class Progress:
    """How far the server is with what was sent: `waiting` names what is not decided, `failed` says why."""

    waiting: frozenset[str]
    failed: Mapping[str, str]


def progress(
    sent: Mapping[str, int], removed: frozenset[str], unchanged: frozenset[str], remote: Mapping[str, RemoteDocument]
) -> Progress:
    """`sent` is the revision by name. Waiting is over once each is answerable, refused, or gone."""
    waiting = {name for name in removed if name in remote}
    failed: dict[str, str] = {}
    for name in sent.keys() | unchanged:
        document = remote.get(name)
        if document is None or document.revision < sent.get(name, 0) or document.state in WORKING:
            waiting.add(name)
        elif document.state == "failed":
            failed[name] = document.failure or "it cannot be read"
    return Progress(frozenset(waiting), failed)

"""`/v1/documents` and `/v1/sources`: what a team's answers are made of."""

import re
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import PlainTextResponse, Response

from groundswell.common.ids import DocumentId
from groundswell.orchestrator.adapters.http_door import AnyCaller, Door, FrontDoor
from groundswell.orchestrator.adapters.http_errors import JsonResponse, bad_request, not_found
from groundswell.orchestrator.domain.openai_shapes import Json
from groundswell.orchestrator.domain.question import Caller
from groundswell.orchestrator.ports import DocumentRecord

STATES = ("live", "pending", "failed")
NEWEST_VERSION = 2**31 - 1
_DOCUMENT_ID = re.compile(r"doc_[0-9a-f]{24}")
_PRINTABLE = r"^[^\x00-\x1f\x7f]*$"

Limit = Annotated[int, Query(ge=1, le=1000)]
Filter = Annotated[str | None, Query(max_length=1024, pattern=_PRINTABLE)]

router = APIRouter(prefix="/v1")


@router.get("/documents")
async def list_documents(
    caller: AnyCaller,
    door: FrontDoor,
    source: Filter = None,
    state: Filter = None,
    limit: Limit = 100,
    after: Filter = None,
) -> Response:
    """By ascending id; `after` is the last id of the page before."""
    records = await door.library.documents(
        caller, source=source, states=_states(state), limit=limit + 1, after=checked_id(after, "after")
    )
    return JsonResponse(page([document_object(record) for record in records], limit))


@router.get("/documents/{document_id}")
async def get_document(document_id: str, caller: AnyCaller, door: FrontDoor) -> Response:
    return JsonResponse(document_object(await require_document(document_id, caller, door)))


@router.get("/documents/{document_id}/text")
async def get_document_text(
    document_id: str,
    caller: AnyCaller,
    door: FrontDoor,
    version: Annotated[int | None, Query(ge=1, le=NEWEST_VERSION)] = None,
) -> Response:
    """What citations point into: of the live version, or of the one asked for."""
    return await text_response(document_id, caller, door, version)


@router.delete("/documents/{document_id}")
async def delete_document(document_id: str, caller: AnyCaller, door: FrontDoor) -> Response:
    await remove_document(document_id, caller, door)
    return JsonResponse({"id": document_id, "object": "document", "deleted": True})


@router.get("/sources")
async def list_sources(caller: AnyCaller, door: FrontDoor) -> Response:
    shown = [
        {
            "name": source.name,
            "object": "source",
            "documents": source.documents,
            "failed": source.failed,
            "updated_at": source.updated,
        }
        for source in await door.library.sources(caller)
    ]
    return JsonResponse({"object": "list", "data": shown})


async def require_document(document_id: str, caller: Caller, door: Door) -> DocumentRecord:
    """Raises ApiError 404 also for a document that the caller may not read."""
    known = _DOCUMENT_ID.fullmatch(document_id)
    record = await door.library.document(caller, DocumentId(document_id)) if known else None
    if record is None:
        raise _no_document()
    return record


async def remove_document(document_id: str, caller: Caller, door: Door) -> None:
    """Raises ApiError 404 if the caller's team has no such document."""
    known = _DOCUMENT_ID.fullmatch(document_id)
    if not known or not await door.library.remove(caller, DocumentId(document_id)):
        raise _no_document()


async def text_response(document_id: str, caller: Caller, door: Door, version: int | None = None) -> Response:
    """Raises ApiError 404 if there is no such document, or no such text of it."""
    record = await require_document(document_id, caller, door)
    text = await door.library.text(caller, record.document_id, version)
    if text is None:
        raise not_found("This document has no such text: it is not read yet, cannot be read, or the version is gone.")
    return PlainTextResponse(text)


def checked_id(value: str | None, param: str) -> str | None:
    """Raises ApiError unless it looks like a document's id, or is none."""
    if value is not None and not _DOCUMENT_ID.fullmatch(value):
        raise bad_request(f"{param}: name the last id of the page before.", param=param)
    return value


def page(objects: list[Json], limit: int) -> Json:
    """A list of at most `limit`; the caller asked for one more to know whether there are more."""
    shown = objects[:limit]
    ends = {"first_id": shown[0]["id"], "last_id": shown[-1]["id"]} if shown else {"first_id": None, "last_id": None}
    return {"object": "list", "data": shown, "has_more": len(objects) > limit, **ends}


def document_object(record: DocumentRecord) -> Json:
    return {
        "id": record.document_id,
        "object": "document",
        "name": record.name,
        "source": record.source,
        "title": record.title,
        "file_type": record.file_type,
        "state": record.state,
        "version": record.version,
        "revision": record.revision,
        "chunks": record.chunks,
        "bytes": record.bytes,
        "sha256": record.sha256,
        "failure": record.failure,
        "updated_at": record.updated,
    }


def _states(value: str | None) -> tuple[str, ...]:
    states = tuple(part.strip() for part in (value or "").split(",") if part.strip())
    if any(state not in STATES for state in states):
        raise bad_request(f"state: use one or more of {', '.join(STATES)}.", param="state")
    return states


def _no_document() -> Exception:
    return not_found("There is no such document that you may read.", "id")

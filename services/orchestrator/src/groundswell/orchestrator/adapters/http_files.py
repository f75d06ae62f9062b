"""`/v1/files`: documents as OpenAI's file objects. The same name in the same source is the same file."""

import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.responses import Response

from groundswell.orchestrator.adapters.http_bodies import in_time, read_pieces
from groundswell.orchestrator.adapters.http_documents import page, remove_document, require_document, text_response
from groundswell.orchestrator.adapters.http_door import AnyCaller, FrontDoor
from groundswell.orchestrator.adapters.http_errors import ApiError, JsonResponse, bad_request, not_found
from groundswell.orchestrator.domain.limits import Limits
from groundswell.orchestrator.domain.openai_shapes import Json, file_id
from groundswell.orchestrator.ports import DocumentRecord

DEFAULT_SOURCE = "uploads"
FORM_ROOM_BYTES = 64 * 1024
"""For the form around the file."""
MOST_FIELDS = 16
LONGEST_NAME = 1024
LONGEST_SOURCE = 256
_FILE_ID = re.compile(r"file-[0-9a-f]{24}")
_STATUSES = {"live": "processed", "failed": "error"}

router = APIRouter(prefix="/v1")


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A form that was checked. `modified` is aware."""

    source: str
    name: str
    content: bytes
    modified: datetime | None


@router.post("/files")
async def post_file(request: Request, caller: AnyCaller, door: FrontDoor) -> Response:
    """Keep a file and send it to be read; its `status` tells when answers come from it."""
    upload = await _read_upload(request, door.limits)
    submitted = await door.library.upload(
        caller, source=upload.source, name=upload.name, content=upload.content, modified=upload.modified
    )
    return JsonResponse(file_object(await require_document(submitted.document_id, caller, door)))


@router.get("/files")
async def list_files(
    caller: AnyCaller,
    door: FrontDoor,
    purpose: str | None = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
    after: str | None = None,
) -> Response:
    if purpose not in (None, "assistants"):
        return JsonResponse(page([], limit))
    position = None if after is None else _document_id(after, bad_request("after: name a file's id.", "after"))
    records = await door.library.documents(caller, source=None, states=(), limit=limit + 1, after=position)
    return JsonResponse(page([file_object(record) for record in records], limit))


@router.get("/files/{name}")
async def get_file(name: str, caller: AnyCaller, door: FrontDoor) -> Response:
    return JsonResponse(file_object(await require_document(_document_id(name, _no_file()), caller, door)))


@router.delete("/files/{name}")
async def delete_file(name: str, caller: AnyCaller, door: FrontDoor) -> Response:
    await remove_document(_document_id(name, _no_file()), caller, door)
    return JsonResponse({"id": name, "object": "file", "deleted": True})


@router.get("/files/{name}/content")
async def get_file_content(name: str, caller: AnyCaller, door: FrontDoor) -> Response:
    """The text that answers are made of."""
    return await text_response(_document_id(name, _no_file()), caller, door)


def file_object(record: DocumentRecord) -> Json:
    about = {
        "document": record.document_id,
        "revision": record.revision,
        "version": record.version,
        "source": record.source,
        "title": record.title,
        "chunks": record.chunks,
        "sha256": record.sha256,
    }
    return {
        "id": file_id(record.document_id),
        "object": "file",
        "bytes": record.bytes,
        "created_at": int(record.created.timestamp()),
        "filename": record.name,
        "purpose": "assistants",
        "status": _STATUSES.get(record.state, "uploaded"),
        "status_details": record.failure,
        "groundswell": about,
    }


def checked_name(value: str, param: str, longest: int) -> str:
    """In one Unicode form, so that two systems mean the same file. Raises ApiError for a name that cannot be."""
    name = unicodedata.normalize("NFC", value.strip())
    if not name or len(name) > longest:
        raise bad_request(f"{param}: use a name of 1 to {longest} characters.", param)
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
        raise bad_request(f"{param}: a name has no control characters.", param)
    return name


async def _read_upload(request: Request, limits: Limits) -> Upload:
    form = await _read_form(request, limits.file_bytes + FORM_ROOM_BYTES)
    try:
        return await _checked(form, limits)
    finally:
        await form.close()


async def _read_form(request: Request, limit_bytes: int) -> FormData:
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise bad_request("Send the file as multipart/form-data with the fields 'file' and 'purpose'.")
    parser = MultiPartParser(
        request.headers,
        read_pieces(request, limit_bytes),
        max_files=1,
        max_fields=MOST_FIELDS,
        max_part_size=FORM_ROOM_BYTES,
    )
    try:
        async with in_time():
            return await parser.parse()
    except MultiPartException:
        raise bad_request(
            f"The form cannot be read. Send one file and at most {MOST_FIELDS} fields as multipart/form-data."
        ) from None


async def _checked(form: FormData, limits: Limits) -> Upload:
    _require_purpose(form.get("purpose"))
    if any(name.startswith("expires_after") for name in form):
        raise bad_request("expires_after: files do not expire here. Leave it out.", "expires_after")
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise bad_request("file: send the file's bytes, with its name.", "file")
    if (file.size or 0) > limits.file_bytes:
        message = f"The file has {file.size} bytes; at most {limits.file_bytes} are taken here."
        raise ApiError(413, message, param="file", code="file_too_large")
    content = await file.read()
    if not content:
        raise bad_request("file: the file is empty.", "file", code="empty_file")
    return Upload(
        source=checked_name(_text(form, "groundswell_source") or DEFAULT_SOURCE, "groundswell_source", LONGEST_SOURCE),
        name=_name(_text(form, "groundswell_name"), file.filename),
        content=content,
        modified=_moment(_text(form, "groundswell_modified")),
    )


def _require_purpose(purpose: object) -> None:
    if purpose == "batch":
        raise bad_request("purpose: batch is not available yet. Use assistants.", "purpose", code="not_available_yet")
    if purpose != "assistants":
        raise bad_request("purpose: say what the file is for: assistants.", "purpose")


def _text(form: FormData, field: str) -> str | None:
    value = form.get(field)
    return value if isinstance(value, str) and value else None


def _name(given: str | None, filename: str | None) -> str:
    """A path inside the source, by default the file's own name."""
    if given is None:
        return checked_name(PurePosixPath((filename or "").replace("\\", "/")).name, "file", LONGEST_NAME)
    name = checked_name(given, "groundswell_name", LONGEST_NAME)
    if name.startswith("/") or ".." in name.split("/"):
        raise bad_request("groundswell_name: use a path inside the source, without '..'.", "groundswell_name")
    return name


def _moment(value: str | None) -> datetime | None:
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise bad_request(
            "groundswell_modified: use ISO 8601, as in 2026-11-25T08:30:00Z.", "groundswell_modified"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _document_id(name: str, otherwise: ApiError) -> str:
    if not _FILE_ID.fullmatch(name):
        raise otherwise
    return f"doc_{name.removeprefix('file-')}"


def _no_file() -> ApiError:
    return not_found("There is no such file that you may read.", "id")

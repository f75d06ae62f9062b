"""`/v1/files`, `/v1/documents` and `/v1/sources` over fakes."""

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

CONTENT = b"# FAQ\n\nThe wifi password changes on Mondays.\n"


async def upload(client: httpx.AsyncClient, content: bytes = CONTENT, name: str = "faq.md", **fields: str) -> Any:
    form = {"purpose": "assistants", **fields}
    return await client.post("/v1/files", files={"file": (name, content)}, data=form)


async def test_an_upload_becomes_a_file_object(client: httpx.AsyncClient, fakes: Any) -> None:
    file = (await upload(client, groundswell_modified="2026-11-01T10:00:00Z")).json()
    assert file["id"].startswith("file-")
    assert file["object"] == "file"
    assert file["filename"] == "faq.md"
    assert file["bytes"] == len(CONTENT)
    assert file["purpose"] == "assistants"
    assert file["status"] == "processed"
    assert file["groundswell"]["source"] == "uploads"
    assert file["groundswell"]["document"] == file["id"].replace("file-", "doc_")
    assert fakes.library.modified == [datetime(2026, 11, 1, 10, tzinfo=UTC)]


async def test_the_same_name_in_the_same_source_is_the_same_file(client: httpx.AsyncClient) -> None:
    first = (await upload(client)).json()
    again = (await upload(client, b"other")).json()
    elsewhere = (await upload(client, groundswell_source="wiki")).json()
    assert first["id"] == again["id"] != elsewhere["id"]
    assert again["groundswell"]["revision"] > first["groundswell"]["revision"]


async def test_names_are_paths_inside_their_source_in_one_unicode_form(client: httpx.AsyncClient) -> None:
    assert (await upload(client, groundswell_name="guides/faq.md")).json()["filename"] == "guides/faq.md"
    assert (await upload(client, name="C:\\docs\\faq.md")).json()["filename"] == "faq.md"
    composed = (await upload(client, groundswell_name="f\u00f6hr.md")).json()
    decomposed = (await upload(client, groundswell_name="fo\u0308hr.md")).json()
    assert composed["id"] == decomposed["id"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"purpose": "batch"}, "purpose"),
        ({"purpose": "fine-tune"}, "purpose"),
        ({"groundswell_name": "../etc/passwd"}, "groundswell_name"),
        ({"groundswell_name": "/etc/passwd"}, "groundswell_name"),
        ({"groundswell_name": "a\u0000b"}, "groundswell_name"),
        ({"groundswell_name": "x" * 1025}, "groundswell_name"),
        ({"groundswell_source": "x" * 257}, "groundswell_source"),
        ({"groundswell_modified": "yesterday"}, "groundswell_modified"),
        ({"expires_after[anchor]": "created_at"}, "expires_after"),
    ],
)
async def test_a_form_field_that_is_wrong_is_named(
    client: httpx.AsyncClient, fakes: Any, fields: dict[str, str], param: str
) -> None:
    form = {"purpose": "assistants", **fields}
    response = await client.post("/v1/files", files={"file": ("faq.md", CONTENT)}, data=form)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param
    assert fakes.library.records == {}


async def test_empty_and_missing_files_are_refused(client: httpx.AsyncClient) -> None:
    assert (await upload(client, b"")).json()["error"]["code"] == "empty_file"
    missing = await client.post("/v1/files", files={"other": ("a.md", b"x")}, data={"purpose": "assistants"})
    assert missing.json()["error"]["param"] == "file"
    as_text = await client.post("/v1/files", data={"purpose": "assistants", "file": "text"})
    assert as_text.status_code == 400
    two = [("file", ("a.md", b"x")), ("file", ("b.md", b"x"))]
    assert (await client.post("/v1/files", files=two, data={"purpose": "assistants"})).status_code == 400


async def test_files_over_the_limit_are_413_with_both_numbers(client: httpx.AsyncClient) -> None:
    just_over = await upload(client, b"x" * 5001)
    far_over = await upload(client, b"x" * 200_000)
    for response in (just_over, far_over):
        assert response.status_code == 413
    assert "5001" in just_over.json()["error"]["message"]
    assert "5000" in just_over.json()["error"]["message"]


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=", b"x"),
        ("multipart/form-data; boundary=a", b"not a form"),
        ("multipart/form-data; boundary=a", b"--a\r\nnonsense\r\n\r\n--a--"),
        ("multipart/form-data; boundary=a", b"--a\r\ncontent-disposition: form-data\r\n\r\nx\r\n--a--"),
        ("multipart/form-data; boundary=" + "a" * 300, b"x"),
        ("application/json", b"{}"),
    ],
)
async def test_forms_that_are_none_are_told_so(client: httpx.AsyncClient, content_type: str, body: bytes) -> None:
    response = await client.post("/v1/files", content=body, headers={"content-type": content_type})
    assert response.status_code == 400
    assert response.json()["error"]["message"]


async def test_a_file_is_found_read_and_deleted(client: httpx.AsyncClient) -> None:
    file = (await upload(client)).json()
    assert (await client.get(f"/v1/files/{file['id']}")).json() == file
    content = await client.get(f"/v1/files/{file['id']}/content")
    assert content.content == CONTENT
    assert content.headers["content-type"] == "text/plain; charset=utf-8"
    assert (await client.delete(f"/v1/files/{file['id']}")).json() == {
        "id": file["id"],
        "object": "file",
        "deleted": True,
    }
    assert (await client.get(f"/v1/files/{file['id']}")).status_code == 404


async def test_pages_follow_each_other_without_gaps(client: httpx.AsyncClient) -> None:
    for number in range(5):
        await upload(client, name=f"{number}.md")
    for path in ("files", "documents"):
        seen: list[str] = []
        page: dict[str, Any] = {"has_more": True}
        while page["has_more"]:
            after = {"after": seen[-1]} if seen else {}
            page = (await client.get(f"/v1/{path}", params={"limit": "2", **after})).json()
            seen += [item["id"] for item in page["data"]]
        assert len(seen) == len(set(seen)) == 5
    assert (await client.get("/v1/files", params={"purpose": "batch"})).json()["data"] == []


async def test_documents_are_listed_by_source_and_state_and_show_their_text(client: httpx.AsyncClient) -> None:
    document = (await upload(client, groundswell_source="wiki")).json()["groundswell"]["document"]
    await upload(client)
    listed = (await client.get("/v1/documents", params={"source": "wiki", "state": "live,pending"})).json()["data"]
    assert [item["id"] for item in listed] == [document]
    assert listed[0]["state"] == "live"
    assert (await client.get("/v1/documents", params={"state": "failed"})).json()["data"] == []
    assert (await client.get(f"/v1/documents/{document}")).json() == listed[0]
    assert (await client.get(f"/v1/documents/{document}/text")).content == CONTENT
    assert (await client.get(f"/v1/documents/{document}/text", params={"version": 9})).status_code == 404
    assert [item["name"] for item in (await client.get("/v1/sources")).json()["data"]] == ["uploads", "wiki"]
    assert (await client.delete(f"/v1/documents/{document}")).json()["deleted"] is True


async def test_another_teams_document_is_not_there(client: httpx.AsyncClient, stranger: httpx.AsyncClient) -> None:
    file = (await upload(client)).json()
    document = file["groundswell"]["document"]
    assert (await stranger.get("/v1/documents")).json()["data"] == []
    for path in (f"documents/{document}", f"documents/{document}/text", f"files/{file['id']}"):
        assert (await stranger.get(f"/v1/{path}")).status_code == 404
    assert (await stranger.delete(f"/v1/documents/{document}")).status_code == 404
    assert (await client.get(f"/v1/documents/{document}")).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/v1/documents?limit=0",
        "/v1/documents?limit=1001",
        "/v1/documents?limit=many",
        "/v1/documents?state=gone",
        "/v1/documents?after=doc_1",
        "/v1/documents?source=a%00b",
        "/v1/files?after=file-1",
        "/v1/requests?limit=101",
        "/v1/documents/doc_0123456789abcdef01234567/text?version=0",
    ],
)
async def test_query_parameters_that_are_wrong_are_named(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(path)
    assert response.status_code == 400
    assert response.json()["error"]["param"] in path


@pytest.mark.parametrize("name", ["doc_1", "file-1", "%00", "..%2f..", "doc_0123456789abcdef0123456Z"])
async def test_ids_that_cannot_be_are_not_there(client: httpx.AsyncClient, name: str) -> None:
    for path in (f"/v1/documents/{name}", f"/v1/files/{name}", f"/v1/requests/{name}"):
        assert (await client.get(path)).status_code == 404

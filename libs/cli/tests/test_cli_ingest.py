"""`groundswell ingest`: what changed is sent, what is gone is removed, and a second run has nothing to do."""

from pathlib import Path
from typing import Any

import pytest

FILES = {"readme.md": "# One", "guide/setup.rst": "Setup\n=====", "notes.txt": "notes", "logo.png": "x"}


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    root = tmp_path / "docs"
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (root / ".git").mkdir()
    (root / ".git" / "config.txt").write_text("hidden", encoding="utf-8")
    return root


def names(platform: Any) -> set[str]:
    return {document["name"] for document in platform.documents.values()}


def test_a_folder_becomes_a_source_and_unknown_types_are_told(platform: Any, groundswell: Any, docs: Path) -> None:
    ran = groundswell("ingest", str(docs))
    assert (ran.status, ran.err) == (0, "")
    assert ran.out == f"{docs}: 3 uploaded\n  skipped 1 (files of type .png): logo.png\n"
    assert names(platform) == {"readme.md", "guide/setup.rst", "notes.txt"}
    assert {document["source"] for document in platform.documents.values()} == {str(docs)}
    assert {document["state"] for document in platform.documents.values()} == {"live"}


def test_a_second_run_has_nothing_to_do(platform: Any, groundswell: Any, docs: Path) -> None:
    groundswell("ingest", str(docs))
    platform.asked.clear()
    ran = groundswell("ingest", str(docs))
    assert ran.out.startswith(f"{docs}: nothing to do, 3 unchanged\n")
    assert platform.sent("POST") == platform.sent("DELETE") == []


def test_what_changed_is_sent_and_what_is_gone_is_removed(platform: Any, groundswell: Any, docs: Path) -> None:
    groundswell("ingest", str(docs))
    (docs / "readme.md").write_text("# Two", encoding="utf-8")
    (docs / "notes.txt").unlink()
    platform.asked.clear()
    ran = groundswell("ingest", str(docs), "--json")
    (source,) = ran.json["sources"]
    assert (source["uploaded"], source["removed"], source["unchanged"]) == (["readme.md"], ["notes.txt"], 1)
    assert len(platform.sent("POST")) == len(platform.sent("DELETE")) == 1
    assert names(platform) == {"readme.md", "guide/setup.rst"}


def test_a_file_alone_joins_the_source_of_its_folder_and_removes_nothing(
    platform: Any, groundswell: Any, docs: Path
) -> None:
    groundswell("ingest", str(docs))
    (docs / "readme.md").write_text("# Two", encoding="utf-8")
    ran = groundswell("ingest", str(docs / "readme.md"))
    assert ran.out == f"{docs}: 1 uploaded\n"
    assert len(platform.documents) == 3


def test_an_upload_says_what_the_file_is(platform: Any, groundswell: Any, docs: Path) -> None:
    groundswell("ingest", str(docs / "readme.md"), "--source", "handbook")
    form = platform.sent("POST")[0].form()
    assert form["file"] == ("readme.md", b"# One")
    assert form["purpose"][1] == b"assistants"
    assert form["groundswell_source"][1] == b"handbook"
    assert form["groundswell_modified"][1].endswith(b"+00:00")


def test_a_file_that_fails_is_told_with_its_reason_and_the_others_go_on(
    platform: Any, groundswell: Any, docs: Path
) -> None:
    (docs / "broken.md").write_bytes(b"\xff\xfe")
    (docs / "empty.md").write_bytes(b"")
    ran = groundswell("ingest", str(docs))
    assert ran.status == 1
    assert ran.err == "error: broken.md: Not UTF-8.\nerror: empty.md: file: the file is empty\n"
    assert ran.out.startswith(f"{docs}: 3 uploaded, 2 failed\n")
    again = groundswell("ingest", str(docs))
    assert again.status == 1
    assert "broken.md: Not UTF-8." in again.err
    assert again.out.startswith(f"{docs}: 3 unchanged, 2 failed\n")


def test_what_failed_is_sent_again_although_the_file_is_the_same(platform: Any, groundswell: Any, docs: Path) -> None:
    groundswell("ingest", str(docs))
    failed = next(document for document in platform.documents.values() if document["name"] == "readme.md")
    failed |= {"state": "failed", "failure": "Embedding failed: it is away. Send the file again."}
    again = groundswell("ingest", str(docs))
    assert again.status == 0
    assert again.out.startswith(f"{docs}: 1 uploaded, 2 unchanged\n")


def test_no_wait_returns_before_the_documents_are_read(platform: Any, groundswell: Any, docs: Path) -> None:
    ran = groundswell("ingest", str(docs), "--no-wait")
    assert ran.status == 0
    assert {document["state"] for document in platform.documents.values()} == {"pending"}


def test_a_long_list_of_documents_is_read_page_by_page(platform: Any, groundswell: Any, docs: Path) -> None:
    platform.page_size = 1
    groundswell("ingest", str(docs))
    assert groundswell("ingest", str(docs)).out.startswith(f"{docs}: nothing to do")


def test_a_busy_server_is_asked_again(platform: Any, groundswell: Any, docs: Path) -> None:
    turned_away: list[Any] = []

    def busy_once(asked: Any) -> Any:
        if not turned_away:
            turned_away.append(asked)
            return platform.refusal(503, "Try again.", retry_after="0")
        return platform._upload(asked)

    platform.on("POST", "/v1/files", busy_once)
    assert groundswell("ingest", str(docs)).status == 0
    assert len(platform.documents) == 3


def test_a_link_out_of_the_folder_is_not_followed(platform: Any, groundswell: Any, docs: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("secret", encoding="utf-8")
    (docs / "link.txt").symlink_to(secret)
    ran = groundswell("ingest", str(docs))
    assert "links that lead out of the folder" in ran.out
    assert "link.txt" not in names(platform)


def test_a_name_that_is_not_utf8_is_skipped(platform: Any, groundswell: Any, docs: Path) -> None:
    Path(str(docs) + "/bad\udcff.md").write_text("text", encoding="utf-8")
    ran = groundswell("ingest", str(docs))
    assert ran.status == 0
    assert "names that are not UTF-8" in ran.out


def test_names_have_one_unicode_form(platform: Any, groundswell: Any, docs: Path) -> None:
    (docs / "cafe\u0301.md").write_text("text", encoding="utf-8")
    groundswell("ingest", str(docs))
    assert "caf\u00e9.md" in names(platform)
    assert groundswell("ingest", str(docs)).out.startswith(f"{docs}: nothing to do")


def test_a_key_that_is_revoked_meanwhile_stops_the_run(platform: Any, groundswell: Any, docs: Path) -> None:
    platform.on("POST", "/v1/files", platform.refusal(401, "This API key is not known here."))
    ran = groundswell("ingest", str(docs))
    assert ran.status == 1
    assert ran.err.startswith("error: This API key is not known here: set GROUNDSWELL_API_KEY")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "does not exist"),
        (["docs/logo.png"], "files of type .png are not read"),
        (["docs", "docs/guide", "--source", "x"], "one folder"),
        (["docs", "--source", "x" * 257], "1 to 256 characters"),
        (["docs", "--source", ""], "1 to 256 characters"),
    ],
)
def test_a_path_that_cannot_be_ingested_is_told_before_anything_is_sent(
    platform: Any, groundswell: Any, docs: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(docs.parent)
    ran = groundswell("ingest", *arguments)
    assert ran.status == 1
    assert said in ran.err
    assert platform.asked == []

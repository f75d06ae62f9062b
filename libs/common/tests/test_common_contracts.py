"""Payloads are frozen when written, and readers ignore what they do not know."""

import inspect
from datetime import UTC, datetime
from types import ModuleType

import pytest
from pydantic import ValidationError

from groundswell.common.contracts import answers, generation, knowledge, message, moderation, retrieval
from groundswell.common.contracts.knowledge import BlobRef, ChunkToEmbed, EmbedChunks, IngestDocument
from groundswell.common.contracts.message import Message
from groundswell.common.ids import TeamId, chunk_id, document_id, new_message_id, new_request_id, source_id

MODULES: list[ModuleType] = [answers, generation, knowledge, message, moderation, retrieval]
CLASSES = sorted(
    {
        found
        for module in MODULES
        for _, found in inspect.getmembers(module, inspect.isclass)
        if issubclass(found, Message)
    },
    key=lambda found: found.__name__,
)


@pytest.mark.parametrize("model", CLASSES)
def test_every_contract_is_frozen_and_ignores_later_fields(model: type[Message]) -> None:
    assert model.model_config["frozen"] is True
    assert model.model_config["extra"] == "ignore"


@pytest.mark.parametrize("model", CLASSES)
def test_every_contract_has_a_schema_of_its_own(model: type[Message]) -> None:
    assert model.model_json_schema()["title"] == model.type_name()


@pytest.mark.parametrize("model", CLASSES)
def test_no_contract_holds_what_can_be_changed_under_a_reader(model: type[Message]) -> None:
    lists = [name for name, field in model.model_fields.items() if "list[" in str(field.annotation)]
    assert lists == []


def test_a_contract_comes_back_as_it_was_written() -> None:
    team = TeamId("red")
    document = document_id(team, "src_1", "guide.md")
    written = EmbedChunks(
        document_id=document,
        team=team,
        version=2,
        revision=9,
        source="src_1",
        name="guide.md",
        title="Über \u2028 <b>",
        file_type="md",
        access=("team:red",),
        updated=datetime(2026, 11, 25, tzinfo=UTC),
        model="minilm",
        chunks=(ChunkToEmbed(chunk_id=chunk_id(document, "aa"), content_hash="aa", text="a\x00b"),),
    )
    assert EmbedChunks.model_validate_json(written.model_dump_json()) == written


def test_a_frozen_payload_cannot_be_changed() -> None:
    blob = BlobRef(key="k", size=1, sha256="aa")
    with pytest.raises(ValidationError, match="frozen"):
        blob.size = 2  # type: ignore[misc]


def test_bounds_of_a_contract_hold() -> None:
    with pytest.raises(ValidationError):
        BlobRef(key="k", size=-1, sha256="aa")
    with pytest.raises(ValidationError):
        IngestDocument.model_validate({"name": "x"})


def test_a_documents_id_is_the_same_for_every_version_and_another_for_every_other_document() -> None:
    red, blue = TeamId("red"), TeamId("blue")
    found = document_id(red, "src_1", "guide.md")
    assert found == document_id(red, "src_1", "guide.md")
    assert found.startswith("doc_")
    assert len({found, document_id(blue, "src_1", "guide.md"), document_id(red, "src_2", "guide.md")}) == 3
    assert document_id(red, "a", "bc") != document_id(red, "ab", "c")


def test_a_chunks_id_follows_its_document_and_its_text() -> None:
    one, other = document_id(TeamId("red"), "s", "a"), document_id(TeamId("red"), "s", "b")
    assert chunk_id(one, "aa") == chunk_id(one, "aa")
    assert len({chunk_id(one, "aa"), chunk_id(one, "ab"), chunk_id(other, "aa")}) == 3


def test_new_ids_are_new() -> None:
    assert len({new_request_id() for _ in range(100)}) == 100
    assert new_request_id().startswith("req_")
    assert new_message_id() != new_message_id()
    assert source_id(TeamId("red"), "docs").startswith("src_")

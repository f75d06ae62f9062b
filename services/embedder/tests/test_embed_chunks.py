"""The handler, in messages."""

from typing import TYPE_CHECKING

import pytest

from groundswell.common.contracts.knowledge import ChunksEmbedded
from groundswell.common.errors import Rejected
from groundswell.common.topics import INGEST_REPLIES
from groundswell.embedder.handlers import Deps, embed_chunks
from groundswell.embedder.ports import ChunksNotStored

if TYPE_CHECKING:
    from services.embedder.tests.conftest import FakeEncoder, FakeIndex, MakeCommand, MakeMessage


async def test_every_message_is_answered_with_the_hashes_that_it_brought(
    make_command: "MakeCommand", make_message: "MakeMessage", deps: Deps
) -> None:
    first, second = make_command("one", "two"), make_command("three", name="other.md", part=4)
    replies = await embed_chunks([make_message(first), make_message(second)], deps=deps)
    assert [message.topic for message in replies] == [INGEST_REPLIES.physical_name] * 2
    outcome = replies[1].payload
    assert isinstance(outcome, ChunksEmbedded)
    assert outcome.content_hashes == tuple(chunk.content_hash for chunk in second.chunks)
    assert (outcome.document_id, outcome.version, outcome.part) == (second.document_id, 1, 4)


async def test_a_text_that_comes_in_several_messages_of_a_team_is_embedded_once(
    make_command: "MakeCommand", make_message: "MakeMessage", deps: Deps, encoder: "FakeEncoder", index: "FakeIndex"
) -> None:
    commands = [make_command("same", "other"), make_command("same", name="copy.md")]
    await embed_chunks([make_message(command) for command in commands], deps=deps)
    assert encoder.calls == [["same", "other"]]
    assert len(index.objects[commands[0].team]) == 3


async def test_teams_share_no_vectors_and_no_tenant(
    make_command: "MakeCommand", make_message: "MakeMessage", deps: Deps, encoder: "FakeEncoder", index: "FakeIndex"
) -> None:
    commands = [make_command("same", team="blue"), make_command("same", team="green")]
    await embed_chunks([make_message(command) for command in commands], deps=deps)
    assert encoder.calls == [["same", "same"]]
    assert {team: len(objects) for team, objects in index.objects.items()} == {"blue": 1, "green": 1}


async def test_each_object_has_the_vector_of_its_own_text(
    make_command: "MakeCommand", make_message: "MakeMessage", deps: Deps, index: "FakeIndex"
) -> None:
    await embed_chunks([make_message(make_command("a", "four", "ninechars"))], deps=deps)
    stored = {chunk.properties["text"]: chunk.vector[0] for chunk in index.objects[make_command("a").team].values()}
    assert stored == {"a": 1, "four": 4, "ninechars": 9}


async def test_embedding_again_overwrites_the_properties_and_adds_nothing(
    make_command: "MakeCommand", make_message: "MakeMessage", deps: Deps, index: "FakeIndex"
) -> None:
    await embed_chunks([make_message(make_command("text", title="Old"))], deps=deps)
    again = make_command("text", title="New", revision=2)
    await embed_chunks([make_message(again)], deps=deps)
    assert [chunk.properties["title"] for chunk in index.objects[again.team].values()] == ["New"]


async def test_of_two_revisions_in_one_batch_the_newer_decides(
    make_command: "MakeCommand", make_message: "MakeMessage", deps: Deps, index: "FakeIndex"
) -> None:
    newer, older = make_command("text", title="New", revision=2), make_command("text", title="Old", revision=1)
    await embed_chunks([make_message(newer), make_message(older)], deps=deps)
    assert [chunk.properties["title"] for chunk in index.objects[newer.team].values()] == ["New"]


async def test_nothing_is_answered_when_the_index_lost_a_chunk(
    make_command: "MakeCommand", make_message: "MakeMessage", deps: Deps, index: "FakeIndex"
) -> None:
    index.loses.add("gone")
    with pytest.raises(ChunksNotStored, match="1 of 2"):
        await embed_chunks([make_message(make_command("kept", "gone"))], deps=deps)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model": "another"}, "another model"),
        ({"team": "green"}, "tenant"),
        ({"chunks": ({"chunk_id": "x", "content_hash": "0", "text": "t"},)}, "1 of 1 chunks differ"),
    ],
)
async def test_a_command_that_is_not_what_it_says_is_rejected_before_it_costs_anything(
    make_command: "MakeCommand",
    make_message: "MakeMessage",
    deps: Deps,
    encoder: "FakeEncoder",
    changes: dict[str, object],
    reason: str,
) -> None:
    good, bad = make_message(make_command("good")), make_message(make_command("bad", **changes), tenant="blue")
    with pytest.raises(Rejected, match=reason):
        await embed_chunks([good, bad], deps=deps)
    assert encoder.calls == []


async def test_a_team_that_cannot_be_a_tenant_is_rejected(
    make_command: "MakeCommand", make_message: "MakeMessage", deps: Deps
) -> None:
    with pytest.raises(Rejected, match="cannot be a tenant"):
        await embed_chunks([make_message(make_command("text", team="../other"))], deps=deps)


async def test_a_message_without_a_reply_address_is_rejected(
    make_command: "MakeCommand", make_message: "MakeMessage", deps: Deps
) -> None:
    with pytest.raises(Rejected, match="reply address"):
        await embed_chunks([make_message(make_command("text"), reply=False)], deps=deps)

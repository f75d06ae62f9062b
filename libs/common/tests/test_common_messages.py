"""Outgoing messages: outcomes go where they were asked for, and what follows inherits."""

import pytest

from groundswell.common.bus.envelope import Envelope, ReplyAddress
from groundswell.common.bus.messages import Origin, Received, follow, reply
from groundswell.common.contracts.message import CommandFailed
from groundswell.common.contracts.moderation import CheckText, TextRole
from groundswell.common.errors import Rejected
from groundswell.common.ids import CorrelationId, MessageId, RequestId, TeamId
from groundswell.common.tiers import Tier
from groundswell.common.topics import CHECK_TEXT, DOCUMENT_LIFECYCLE

PAYLOAD = CheckText(request_id=RequestId("req_1"), role=TextRole.INPUT, text="x")
FAILED = CommandFailed(command="CheckText", reason="x")


def received(reply_to: ReplyAddress | None, key: str = "req_1") -> Received[CheckText]:
    envelope = Envelope(
        message_id=MessageId("m1"),
        type="CheckText",
        source="groundswell/orchestrator",
        correlation_id=CorrelationId("c1"),
        tenant=TeamId("red"),
        tier=Tier.BULK,
        remaining_ms=1000,
        sent_ms=1,
        attempt=2,
        epoch=3,
        reply_to=reply_to,
    )
    return Received(PAYLOAD, envelope, 123.0, Origin("t", 0, 0), key)


def test_an_outcome_goes_where_it_was_asked_for() -> None:
    outcome = reply(received(ReplyAddress("rpl.x.v1", 5)), FAILED)
    assert (outcome.topic, outcome.partition, outcome.key) == ("rpl.x.v1", 5, "req_1")
    assert (outcome.correlation_id, outcome.causation_id) == ("c1", "m1")
    assert (outcome.tenant, outcome.tier, outcome.deadline) == ("red", Tier.BULK, 123.0)
    assert (outcome.attempt, outcome.epoch) == (2, 3)


def test_an_outcome_without_a_key_is_keyed_by_its_correlation() -> None:
    assert reply(received(ReplyAddress("rpl.x.v1"), key=""), FAILED).key == "c1"


def test_a_command_that_names_no_reply_address_is_rejected() -> None:
    with pytest.raises(Rejected, match="CheckText needs a reply address"):
        reply(received(None), FAILED)


def test_what_follows_inherits_tier_tenant_key_deadline_and_cause() -> None:
    command = follow(received(None), CHECK_TEXT, PAYLOAD)
    assert command.topic == CHECK_TEXT[Tier.BULK]
    assert (command.key, command.tier, command.tenant, command.deadline) == ("req_1", Tier.BULK, "red", 123.0)
    assert (command.correlation_id, command.causation_id) == ("c1", "m1")
    assert (command.attempt, command.reply_to) == (1, None)


def test_what_follows_may_differ() -> None:
    event = follow(received(None), DOCUMENT_LIFECYCLE, PAYLOAD, key="doc_1", deadline=9.0)
    assert (event.topic, event.key, event.deadline) == ("evt.document-lifecycle.v1", "doc_1", 9.0)


def test_every_message_has_an_id_of_its_own() -> None:
    address = ReplyAddress("rpl.x.v1")
    assert reply(received(address), FAILED).message_id != reply(received(address), FAILED).message_id

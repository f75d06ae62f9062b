"""Headers: what is written is read again, and what is wrong is rejected by name."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundswell.common.bus.envelope import LATEST_MS, LONGEST_REMAINING_MS, Envelope, ReplyAddress, parse
from groundswell.common.errors import Rejected
from groundswell.common.ids import CorrelationId, MessageId, TeamId
from groundswell.common.tiers import Tier

TEXT = st.text(min_size=1, max_size=40).filter(lambda text: text.encode("utf-8", "ignore").decode() == text)
COUNT = st.integers(0, 2**31 - 1)
TRACE = st.dictionaries(st.sampled_from(["traceparent", "tracestate", "baggage"]), TEXT)

ENVELOPES = st.builds(
    Envelope,
    message_id=TEXT.map(MessageId),
    type=TEXT,
    source=TEXT,
    correlation_id=TEXT.map(CorrelationId),
    tenant=TEXT.map(TeamId),
    tier=st.sampled_from(Tier),
    remaining_ms=st.integers(0, LONGEST_REMAINING_MS),
    sent_ms=st.integers(0, LATEST_MS),
    causation_id=st.none() | TEXT.map(MessageId),
    attempt=COUNT,
    epoch=COUNT,
    reply_to=st.none() | st.builds(ReplyAddress, TEXT, st.none() | COUNT),
    schema_version=st.integers(0, 1),
    trace=TRACE,
)

GOOD: dict[str, bytes | None] = {
    "ce_id": b"id",
    "ce_type": b"Ask",
    "correlation_id": b"req_1",
    "ce_tenant": b"red",
    "ce_tier": b"bulk",
    "ce_remainingms": b"1000",
    "ce_sentms": b"5000",
}


def headers(**changes: bytes | None) -> list[tuple[str, bytes | None]]:
    return list((GOOD | changes).items())


@given(ENVELOPES)
def test_what_is_written_is_read_again(envelope: Envelope) -> None:
    raw = envelope.to_headers()
    assert all(isinstance(value, bytes) for _, value in raw)
    assert parse(raw) == envelope


def test_headers_are_cloud_events_beside_those_of_faststream() -> None:
    written = dict(parse(headers()).to_headers())
    assert {"correlation_id", "content-type", "ce_specversion", "ce_id", "ce_type", "ce_source"} <= written.keys()
    assert written["ce_specversion"] == b"1.0"


def test_what_is_optional_may_be_missing() -> None:
    envelope = parse(headers())
    assert (envelope.attempt, envelope.epoch, envelope.schema_version) == (1, 0, 1)
    assert envelope.reply_to is None
    assert envelope.causation_id is None
    assert envelope.trace == {}


def test_unknown_headers_are_ignored() -> None:
    assert parse([*headers(), ("x-later", b"1")]) == parse(headers())


def test_a_reply_address_may_name_no_partition() -> None:
    assert parse(headers(ce_replytopic=b"rpl.x.v1")).reply_to == ReplyAddress("rpl.x.v1")


@pytest.mark.parametrize("name", sorted(GOOD))
@pytest.mark.parametrize("value", [None, b""])
def test_a_header_that_must_be_there_is_named_when_it_is_missing(name: str, value: bytes | None) -> None:
    wrong = [(key, value if key == name else content) for key, content in GOOD.items() if key != name or value == b""]
    with pytest.raises(Rejected, match=f"^header {name} is missing$"):
        parse(wrong)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("ce_tier", b"urgent", "header ce_tier has a value that cannot be"),
        ("ce_remainingms", b"soon", "header ce_remainingms has a value that cannot be"),
        ("ce_remainingms", b"1e3", "header ce_remainingms has a value that cannot be"),
        ("ce_remainingms", b"-1", "header ce_remainingms is out of range"),
        ("ce_remainingms", b"9" * 400, "header ce_remainingms is out of range"),
        ("ce_remainingms", b"9" * 5000, "header ce_remainingms has a value that cannot be"),
        ("ce_sentms", b"9" * 30, "header ce_sentms is out of range"),
        ("ce_attempt", b"two", "header ce_attempt has a value that cannot be"),
        ("ce_epoch", b"-3", "header ce_epoch is out of range"),
        ("ce_schemaversion", b"2", "schema version 2 is newer than 1, which this process reads"),
        ("ce_schemaversion", b"x", "header ce_schemaversion has a value that cannot be"),
        ("ce_tenant", b"\xff\xfe", "header 'ce_tenant' is not UTF-8"),
        ("x-other", b"\x00\x00\x00\xff", "header 'x-other' is not UTF-8"),
    ],
)
def test_a_header_that_is_wrong_is_named_and_its_value_is_not(name: str, value: bytes, reason: str) -> None:
    with pytest.raises(Rejected) as caught:
        parse(headers(**{name: value}))
    assert caught.value.reason == reason


@pytest.mark.parametrize("partition", [b"-1", b"one", b"9999999999", b""])
def test_a_reply_partition_that_cannot_be_is_rejected(partition: bytes) -> None:
    with pytest.raises(Rejected, match="header ce_replypartition"):
        parse(headers(ce_replytopic=b"rpl.x.v1", ce_replypartition=partition))


@given(st.lists(st.tuples(st.text(max_size=20) | st.sampled_from(sorted(GOOD)), st.none() | st.binary(max_size=30))))
def test_any_headers_are_read_or_rejected(raw: list[tuple[str, bytes | None]]) -> None:
    with contextlib.suppress(Rejected):
        assert isinstance(parse([*headers(), *raw]), Envelope)

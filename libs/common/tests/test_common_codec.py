"""Records to messages: everything that can lie on a topic is read or rejected, nothing else happens."""

import contextlib
import json
from typing import Any

import pytest
from aiokafka import ConsumerRecord
from hypothesis import given
from hypothesis import strategies as st
from pydantic import field_validator

from groundswell.common.bus.clock import BrokerClock
from groundswell.common.bus.codec import decode
from groundswell.common.bus.messages import Received
from groundswell.common.contracts.message import Message
from groundswell.common.errors import Rejected

SENT_MS = 1_700_000_000_000


class Inner(Message):
    code: int


class Ask(Message):
    number: int
    inner: Inner | None = None


class Fragile(Message):
    number: int

    @field_validator("number")
    @classmethod
    def _breaks(cls, value: int) -> int:
        return value // 0


def record(value: bytes | None, *, key: bytes | None = b"key", timestamp: int = SENT_MS, **headers: bytes) -> Any:
    good = {
        "ce_id": b"id",
        "ce_type": b"Ask",
        "correlation_id": b"req_1",
        "ce_tenant": b"red",
        "ce_tier": b"bulk",
        "ce_remainingms": b"2000",
        "ce_sentms": str(SENT_MS).encode(),
    }
    return ConsumerRecord("t", 3, 17, timestamp, 1, key, value, None, 0, 0, tuple((good | headers).items()))


def read(raw: Any, clock: BrokerClock | None = None) -> Received[Message]:
    return decode(raw, {"Ask": Ask, "Fragile": Fragile}, clock or BrokerClock())


def test_a_good_record_is_a_message_that_knows_where_it_lay() -> None:
    message = read(record(b'{"number": 4}'))
    assert message.payload == Ask(number=4)
    assert (message.origin.topic, message.origin.partition, message.origin.offset, message.key) == ("t", 3, 17, "key")


def test_a_key_that_is_no_text_is_no_reason_to_reject() -> None:
    assert read(record(b'{"number": 4}', key=b"\xff")).key == "\ufffd"
    assert read(record(b'{"number": 4}', key=None)).key == ""


def test_fields_of_later_versions_are_ignored() -> None:
    assert read(record(b'{"number": 4, "later": {"x": 1}}')).payload == Ask(number=4)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "Ask does not fit its schema: the payload"),
        (None, "Ask does not fit its schema: the payload"),
        (b"{", "Ask does not fit its schema: the payload"),
        (b"\xff", "Ask does not fit its schema: the payload"),
        (b"[]", "Ask does not fit its schema: the payload"),
        (b"{}", "Ask does not fit its schema: number"),
        (b'{"number": "secret"}', "Ask does not fit its schema: number"),
        (b'{"number": 1, "inner": {"code": "secret"}}', "Ask does not fit its schema: inner.code"),
        (b'{"number": ' + b"[" * 100_000, "Ask does not fit its schema: the payload"),
    ],
)
def test_a_value_that_does_not_fit_is_rejected_by_field_and_never_quoted(value: bytes | None, reason: str) -> None:
    with pytest.raises(Rejected) as caught:
        read(record(value))
    assert caught.value.reason == reason


def test_a_type_that_is_not_of_the_topic_is_rejected() -> None:
    with pytest.raises(Rejected, match="type 'Tell' does not belong on this topic"):
        read(record(b"{}", ce_type=b"Tell"))


def test_a_mistake_in_a_validator_rejects_the_record() -> None:
    with pytest.raises(Rejected, match="Fragile cannot be read: ZeroDivisionError"):
        read(record(b'{"number": 4}', ce_type=b"Fragile"))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_rejected(value: bytes) -> None:
    with contextlib.suppress(Rejected):
        assert isinstance(read(record(value)).payload, Ask)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=10))
def test_any_json_is_read_or_rejected(number: object) -> None:
    with contextlib.suppress(Rejected):
        assert isinstance(read(record(json.dumps({"number": number}).encode())).payload, Ask)


@pytest.mark.parametrize(
    ("appended_ms", "expected_s"),
    [
        (SENT_MS, 1_700_000_002.0),
        (SENT_MS + 700, 1_700_000_002.0),
        (SENT_MS - 700, 1_700_000_001.3),
    ],
)
def test_the_deadline_counts_from_the_earlier_of_sending_and_appending(appended_ms: int, expected_s: float) -> None:
    assert read(record(b'{"number": 4}', timestamp=appended_ms)).deadline == pytest.approx(expected_s)


def test_a_deadline_is_in_the_local_clock_however_wrong_that_is() -> None:
    clock = BrokerClock()
    local_s = SENT_MS / 1000 - 300  # five minutes behind the broker
    clock.observe(local_s, local_s + 0.002, SENT_MS + 1)
    assert read(record(b'{"number": 4}'), clock).deadline == pytest.approx(local_s + 2, abs=0.01)


@given(remaining=st.integers(0, 366 * 24 * 3_600_000), sent=st.integers(0, 10**14))
def test_every_deadline_that_headers_can_say_is_a_number(remaining: int, sent: int) -> None:
    headers: dict[str, Any] = {"ce_remainingms": str(remaining).encode(), "ce_sentms": str(sent).encode()}
    assert read(record(b'{"number": 4}', **headers)).deadline < 10**12

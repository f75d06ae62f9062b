"""CheckText in, one verdict out, in the offsets of the whole text."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from groundswell.common.bus.envelope import Envelope, ReplyAddress
from groundswell.common.bus.messages import Origin, Outgoing, Received
from groundswell.common.contracts.moderation import CheckText, TextBlocked, TextCleared, TextRole
from groundswell.common.errors import Misconfigured, Rejected
from groundswell.common.ids import CorrelationId, MessageId, RequestId, TeamId
from groundswell.common.tiers import Tier
from groundswell.common.topics import CHECK_TEXT, ORCHESTRATOR_REPLIES
from groundswell.moderator.app import compose
from groundswell.moderator.domain.standard_policy import standard_policy
from groundswell.moderator.handlers import SHORT_TEXT, check_text
from groundswell.moderator.settings import Settings, read_forbidden_strings

POLICIES = {"default": standard_policy(["Project Nightingale"])}
REQUEST = RequestId("req_000000000000000000000001")


def received(text: str, role: TextRole = TextRole.ANSWER, **fields: Any) -> Received[CheckText]:
    command = CheckText.model_validate({"request_id": REQUEST, "role": role, "text": text} | fields)
    envelope = Envelope(
        message_id=MessageId("m1"),
        type="CheckText",
        source="orchestrator",
        correlation_id=CorrelationId(REQUEST),
        tenant=TeamId("blue"),
        tier=Tier.INTERACTIVE,
        remaining_ms=1000,
        sent_ms=0,
        reply_to=ReplyAddress(ORCHESTRATOR_REPLIES.physical_name, 3),
    )
    return Received(command, envelope, 1.0, Origin(CHECK_TEXT[Tier.INTERACTIVE], 0, 0), REQUEST)


async def verdict(message: Received[CheckText]) -> TextCleared | TextBlocked:
    outgoing = await check_text(message, policies=POLICIES)
    assert [type(each) for each in outgoing] == [Outgoing]
    assert (outgoing[0].topic, outgoing[0].partition) == (ORCHESTRATOR_REPLIES.physical_name, 3)
    assert isinstance(outgoing[0].payload, TextCleared | TextBlocked)
    return outgoing[0].payload


async def test_a_harmless_question_is_cleared_whole() -> None:
    text = "What does the retriever do?"
    outcome = await verdict(received(text, TextRole.INPUT))
    assert outcome == TextCleared(
        request_id=REQUEST,
        role=TextRole.INPUT,
        window=0,
        start=0,
        cleared_until=len(text),
        text_sha256=hashlib.sha256(text.encode()).hexdigest(),
    )


async def test_offsets_are_those_of_the_whole_text() -> None:
    window = received("end. The project ", start=100, overlap=4, window=7, final=False)
    outcome = await verdict(window)
    assert isinstance(outcome, TextCleared)
    assert (outcome.window, outcome.start, outcome.cleared_until) == (7, 100, 109)


async def test_a_violation_says_where_which_rule_and_why_without_a_quote() -> None:
    outcome = await verdict(received("The project nightingale.", start=50))
    assert isinstance(outcome, TextBlocked)
    assert (outcome.start, outcome.end) == (54, 73)
    assert (outcome.rule, outcome.category) == ("forbidden-string", "organisation")
    assert "nightingale" not in outcome.reason.lower()


async def test_a_long_text_is_judged_like_a_short_one() -> None:
    outcome = await verdict(received("words " * SHORT_TEXT + "project nightingale"))
    assert isinstance(outcome, TextBlocked)
    assert outcome.start == 6 * SHORT_TEXT


async def test_an_empty_final_window_is_cleared() -> None:
    outcome = await verdict(received("", start=12))
    assert isinstance(outcome, TextCleared)
    assert outcome.cleared_until == 12


@pytest.mark.parametrize("fields", [{"policy": "unknown"}, {"overlap": 5}, {"overlap": -1}, {"start": -1}])
async def test_what_cannot_be_judged_is_rejected(fields: dict[str, Any]) -> None:
    with pytest.raises(Rejected):
        await check_text(received("text", **fields), policies=POLICIES)


def test_the_operators_strings_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "strings.txt"
    path.write_text("# internal names\nProject Nightingale\n\n  Blue Heron \n", encoding="utf-8")
    assert read_forbidden_strings(path) == ("Project Nightingale", "Blue Heron")
    assert read_forbidden_strings(None) == ()


@pytest.mark.parametrize("content", [None, b"\xff\xfe", "\u200b\n".encode()])
def test_a_file_that_does_not_say_what_is_forbidden_stops_the_start(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "strings.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Misconfigured, match="GROUNDSWELL_FORBIDDEN_STRINGS"):
        compose(Settings(home=tmp_path, forbidden_strings=path))

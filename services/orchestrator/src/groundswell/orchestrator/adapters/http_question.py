"""From the body of a chat completion to a question that can be accepted."""

import unicodedata
from datetime import UTC, datetime

from groundswell.common.contracts.generation import ChatMessage, Sampling
from groundswell.common.contracts.retrieval import PassageFilters
from groundswell.common.ids import DocumentId, new_request_id
from groundswell.common.tiers import Tier
from groundswell.orchestrator.adapters.http_chat_body import ChatBody, WireFilters, message_text
from groundswell.orchestrator.adapters.http_door import Door
from groundswell.orchestrator.adapters.http_errors import ApiError, bad_request, not_found
from groundswell.orchestrator.domain.assistants import Assistant
from groundswell.orchestrator.domain.idempotency import fingerprint_of, request_id_of
from groundswell.orchestrator.domain.limits import Limits
from groundswell.orchestrator.domain.question import Caller, Question

LEAST_TOP_P = 1e-6
"""OpenAI takes 0, which means the likeliest token alone."""
MOST_STOPS = 4
_TIERS = {"priority": Tier.INTERACTIVE, "flex": Tier.BULK}
_VISIBLE = frozenset("LNPS")


def question_from(body: ChatBody, caller: Caller, key: str | None, door: Door) -> Question:
    """The question, complete; the same request for the same `key`. Raises ApiError naming what is wrong with it."""
    assistant = _assistant(body, door)
    messages = _messages(body, door.limits)
    tier = _tier(body, assistant)
    now = door.clock()
    return Question(
        request_id=request_id_of(caller.team, key) if key else new_request_id(),
        caller=caller,
        model=assistant.name,
        messages=messages,
        tier=tier,
        created=now,
        deadline=now + _deadline_s(body, tier, door.limits),
        max_tokens=_max_tokens(body, assistant, door.limits),
        sampling=_sampling(body),
        filters=_filters(body.groundswell.filters if body.groundswell else None),
        resumable=key is not None or bool(body.groundswell and body.groundswell.resumable),
        fingerprint=fingerprint_of(body.model_dump(mode="json", exclude_unset=True)) if key else None,
    )


def unknown_model(door: Door) -> ApiError:
    available = ", ".join(assistant.name for assistant in door.assistants)
    return not_found(f"There is no such model. Available: {available}.", param="model", code="model_not_found")


def is_blank(text: str) -> bool:
    """Nothing in it can be seen: white space, control and format characters only."""
    return not any(unicodedata.category(character)[0] in _VISIBLE for character in text)


def _assistant(body: ChatBody, door: Door) -> Assistant:
    assistant = door.assistant(body.model)
    if assistant is None:
        raise unknown_model(door)
    return assistant


def _messages(body: ChatBody, limits: Limits) -> tuple[ChatMessage, ...]:
    if len(body.messages) > limits.messages:
        raise bad_request(
            f"messages: {len(body.messages)} messages; at most {limits.messages} are taken.", param="messages"
        )
    messages = tuple(
        ChatMessage(
            role="system" if message.role == "developer" else message.role, content=message_text(message, number)
        )
        for number, message in enumerate(body.messages)
    )
    asked = next((message.content for message in reversed(messages) if message.role == "user"), "")
    if is_blank(asked):
        raise bad_request("messages: the last user message is empty. Ask something.", param="messages")
    size = sum(len(message.content) for message in messages)
    if size > limits.question_chars:
        raise bad_request(
            f"messages: {size} characters in all; at most {limits.question_chars} are taken. Shorten them.",
            param="messages",
            code="context_length_exceeded",
        )
    return messages


def _tier(body: ChatBody, assistant: Assistant) -> Tier:
    if body.groundswell and body.groundswell.tier:
        return body.groundswell.tier
    if body.service_tier in (None, "auto", "default"):
        return assistant.tier
    tier = _TIERS.get(body.service_tier)
    if tier is None:
        raise bad_request(
            "service_tier: use auto, default, priority or flex.", param="service_tier", code="unsupported_value"
        )
    return tier


def _deadline_s(body: ChatBody, tier: Tier, limits: Limits) -> float:
    asked = body.groundswell.deadline_s if body.groundswell else None
    if asked is None:
        return limits.deadline_s[tier]
    if asked > limits.longest_deadline_s:
        param = "groundswell.deadline_s"
        raise bad_request(f"{param}: at most {limits.longest_deadline_s:g} seconds are possible.", param=param)
    return asked


def _max_tokens(body: ChatBody, assistant: Assistant, limits: Limits) -> int:
    newer = body.max_completion_tokens
    asked, param = (newer, "max_completion_tokens") if newer is not None else (body.max_tokens, "max_tokens")
    if asked is None:
        return min(assistant.max_tokens, limits.answer_tokens)
    if asked > limits.answer_tokens:
        raise bad_request(f"{param}: {asked} tokens; at most {limits.answer_tokens} are possible.", param=param)
    return asked


def _sampling(body: ChatBody) -> Sampling:
    stops = (body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ())
    if len(stops) > MOST_STOPS or any(not 0 < len(stop) <= 256 for stop in stops):  # noqa: PLR2004
        raise bad_request(f"stop: at most {MOST_STOPS} strings of 1 to 256 characters are taken.", param="stop")
    return Sampling(
        temperature=body.temperature or 0.0,
        top_p=1.0 if body.top_p is None else max(body.top_p, LEAST_TOP_P),
        seed=body.seed,
        stop=stops,
    )


def _filters(wire: WireFilters | None) -> PassageFilters:
    if wire is None:
        return PassageFilters()
    return PassageFilters(
        sources=tuple(wire.sources),
        documents=tuple(DocumentId(f"doc_{name[-24:]}") for name in wire.documents),
        file_types=tuple(wire.file_types),
        updated_after=_aware(wire.updated_after),
        updated_before=_aware(wire.updated_before),
    )


def _aware(moment: datetime | None) -> datetime | None:
    """A time without a zone is UTC."""
    return moment if moment is None or moment.tzinfo else moment.replace(tzinfo=UTC)

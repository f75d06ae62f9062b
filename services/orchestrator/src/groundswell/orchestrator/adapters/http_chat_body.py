"""The body of `POST /v1/chat/completions`, as OpenAI's clients send it."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from groundswell.common.tiers import Tier
from groundswell.orchestrator.adapters.http_errors import ApiError, bad_request, invalid_body

Name = Annotated[str, StringConstraints(min_length=1, max_length=1024, pattern=r"^[^\x00-\x1f\x7f]+$")]
_MOST_NAMES = 1000


class TextPart(BaseModel):
    model_config = ConfigDict(strict=True)

    type: str
    text: str | None = None


class WireMessage(BaseModel):
    model_config = ConfigDict(strict=True)

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]


class StreamOptions(BaseModel):
    model_config = ConfigDict(strict=True)

    include_usage: bool | None = None


class WireFilters(BaseModel):
    """Which documents may answer; a field that is absent is no condition."""

    model_config = ConfigDict(strict=True, extra="forbid")

    sources: list[Name] = Field(default=[], max_length=_MOST_NAMES)
    documents: list[Annotated[str, StringConstraints(pattern=r"^(doc_|file-)[0-9a-f]{24}$")]] = Field(
        default=[], max_length=_MOST_NAMES
    )
    file_types: list[Name] = Field(default=[], max_length=_MOST_NAMES)
    updated_after: datetime | None = None
    updated_before: datetime | None = None


class VendorFields(BaseModel):
    """The `groundswell` object of a request."""

    model_config = ConfigDict(strict=True, extra="forbid")

    filters: WireFilters | None = None
    tier: Annotated[Tier, Field(strict=False)] | None = None
    deadline_s: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    resumable: bool | None = None
    cache: bool | None = None


class ChatBody(BaseModel):
    """What is asked. Fields that are not named here and change nothing are ignored, as OpenAI does."""

    model_config = ConfigDict(strict=True)

    model: str
    messages: list[WireMessage] = Field(min_length=1)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2, allow_inf_nan=False)
    top_p: float | None = Field(default=None, ge=0, le=1, allow_inf_nan=False)
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    stop: str | list[str] | None = None
    service_tier: str | None = None
    groundswell: VendorFields | None = None

    n: Any = None
    tools: Any = None
    tool_choice: Any = None
    parallel_tool_calls: Any = None
    functions: Any = None
    function_call: Any = None
    response_format: Any = None
    logprobs: Any = None
    top_logprobs: Any = None
    logit_bias: Any = None
    frequency_penalty: Any = None
    presence_penalty: Any = None
    modalities: Any = None
    audio: Any = None
    prediction: Any = None
    web_search_options: Any = None
    moderation: Any = None


def parse_chat_body(body: bytes) -> ChatBody:
    """Raises ApiError naming the parameter that is wrong or not supported."""
    try:
        parsed = ChatBody.model_validate_json(body)
    except ValidationError as error:
        raise invalid_body(error) from None
    for name, (is_harmless, supported) in _NOT_SUPPORTED.items():
        value = getattr(parsed, name)
        if value is not None and not is_harmless(value):
            raise _not_supported(name, supported)
    return parsed


def message_text(message: WireMessage, number: int) -> str:
    """The text of a message; parts are joined. Raises ApiError for a part that is no text."""
    if isinstance(message.content, str):
        return message.content
    for index, part in enumerate(message.content):
        if part.type != "text" or part.text is None:
            param = f"messages[{number}].content[{index}].type"
            raise bad_request(f"{param}: only text is supported here.", param=param, code="unsupported_value")
    return "".join(part.text or "" for part in message.content)


def _not_supported(name: str, supported: str) -> ApiError:
    return bad_request(
        f"{name}: this deployment does not support it{supported}. Leave it out.",
        param=name,
        code="unsupported_parameter",
    )


def _is(*harmless: object) -> Callable[[Any], bool]:
    return lambda value: any(type(value) is type(known) and value == known for known in harmless)


_NOT_SUPPORTED: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "n": (_is(1), " with another value than 1"),
    "tools": (_is([]), ""),
    "tool_choice": (_is("none", "auto"), " with another value than none or auto"),
    "parallel_tool_calls": (_is(True, False), " with a value that is no boolean"),
    "functions": (_is([]), ""),
    "function_call": (_is("none", "auto"), " with another value than none or auto"),
    "response_format": (_is({"type": "text"}), ' with another value than {"type": "text"}'),
    "logprobs": (_is(False), ""),
    "top_logprobs": (_is(0), ""),
    "logit_bias": (_is({}), ""),
    "frequency_penalty": (_is(0, 0.0), " with another value than 0"),
    "presence_penalty": (_is(0, 0.0), " with another value than 0"),
    "modalities": (_is(["text"]), ' with another value than ["text"]'),
    "audio": (_is(), ""),
    "prediction": (_is(), ""),
    "web_search_options": (_is(), ""),
    "moderation": (_is(), ""),
}

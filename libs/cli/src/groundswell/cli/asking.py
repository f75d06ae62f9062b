"""`groundswell ask`: the answer as it comes, then where it stands written."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from httpx_sse import EventSource, SSEError

from groundswell.cli.api import Api, Json
from groundswell.cli.errors import CommandFailedError
from groundswell.cli.invocation import hint
from groundswell.cli.terminal import one_line, say, waiting, write

QUOTE_CHARACTERS = 240
WHOLE_ANSWER_S = 6 * 3600.0 + 60
"""Without a stream nothing comes until the end, and the server ends every request at its deadline: this is later."""
_STAGES = {
    "input_moderation": "input check",
    "retrieval": "retrieval",
    "passage_moderation": "passage check",
    "queue": "queue",
    "first_token": "first token",
    "first_release": "first check",
    "generation": "generation",
    "time_to_first_text": "first text after",
    "total": "total",
}


@dataclass
class Heard:
    """What a stream has brought so far. `about` is the `groundswell` object of its last chunk."""

    text: str = ""
    refusal: str = ""
    finish: str | None = None
    about: Json = field(default_factory=dict)
    usage: Json = field(default_factory=dict)


def request_body(text: str, assistant: str, tier: str | None, *, stream: bool) -> Json:
    body: Json = {"model": assistant, "messages": [{"role": "user", "content": text}], "stream": stream}
    if stream:
        body["stream_options"] = {"include_usage": True}
    if tier is not None:
        body["groundswell"] = {"tier": tier}
    return body


def ask_whole(api: Api, body: Json) -> Json:
    """The answer object, once it is complete. Raises CommandFailedError unless it was answered."""
    answer = api.post("/v1/chat/completions", json=body, patience_s=0, timeout=WHOLE_ANSWER_S)
    choice = answer["choices"][0]
    if choice.get("finish_reason") == "content_filter":
        raise CommandFailedError(_refused(choice["message"].get("refusal") or "", answer.get("groundswell") or {}))
    return answer


def ask_streaming(api: Api, body: Json, *, explain: bool) -> None:
    """Print the answer while it comes. Raises CommandFailedError if it ended otherwise than complete."""
    heard = Heard()
    try:
        with waiting(_waiting()) as come, api.stream("/v1/chat/completions", body) as response:
            for chunk in _chunks(EventSource(response)):
                if text := _hear(heard, chunk):
                    come()
                    write(text)
    finally:
        if heard.text and not heard.text.endswith("\n"):
            say()
    if heard.finish == "content_filter":
        raise CommandFailedError(_refused(heard.refusal, heard.about))
    if heard.finish is None:
        raise CommandFailedError(f"the answer broke off: look at {hint('requests ls')}, then ask again")
    show_sources(heard.about.get("citations") or [])
    say()
    say(costs(heard.usage, heard.about.get("timings_ms") or {}))
    if explain:
        _explain(heard.about)


def _waiting() -> str:
    return f"waiting for the first text (if it takes long: {hint('status')}; Ctrl-C gives up)"


def _chunks(events: EventSource) -> Iterator[Json]:
    try:
        for event in events.iter_sse():
            if event.data == "[DONE]":
                return
            if not event.data:
                continue  # a heartbeat: some proxies end its line like an event's
            yield json.loads(event.data)
    except (SSEError, ValueError):
        raise CommandFailedError("the server does not stream as this API does: check GROUNDSWELL_URL") from None


def _hear(heard: Heard, chunk: Json) -> str:
    """Take a chunk in; returns the text it brought."""
    if "error" in chunk:
        raise CommandFailedError(str(chunk["error"].get("message") or "the answer failed").rstrip("."))
    heard.usage = chunk.get("usage") or heard.usage
    heard.about = chunk.get("groundswell") or heard.about
    text = ""
    for choice in chunk.get("choices") or ():
        delta = choice.get("delta") or {}
        text += delta.get("content") or ""
        heard.refusal += delta.get("refusal") or ""
        heard.finish = choice.get("finish_reason") or heard.finish
    heard.text += text
    return text


def _refused(refusal: str, about: Json) -> str:
    reason = one_line(refusal) or "a rule of this organisation does not allow it"
    request = f" (request {about['request_id']})" if about.get("request_id") else ""
    return f"refused: {reason.rstrip('.')}{request}"


def show_sources(citations: list[Json]) -> None:
    if not citations:
        return
    say("\nSources")
    for number, citation in enumerate(citations, start=1):
        say(citation_line(number, citation))
        say(f"    “{_shortened(citation.get('quote') or '')}”")


def citation_line(number: int, citation: Json) -> str:
    """The mark, then document, version and section."""
    title, name = one_line(citation.get("title") or ""), one_line(citation.get("name") or "")
    document = title if name in {"", title} else f"{title} ({name})" if title else name
    page = f", page {citation['page']}" if citation.get("page") else ""
    section = f" · {one_line(citation['section'])}" if citation.get("section") else ""
    mark = citation.get("mark") or number
    return f"[{mark}] {document or citation['document']}, version {citation['version']}{page}{section}"


def _shortened(quote: str) -> str:
    line = one_line(quote)
    return line if len(line) <= QUOTE_CHARACTERS else f"{line[: QUOTE_CHARACTERS - 1].rstrip()}…"


def costs(usage: Json, timings_ms: dict[str, float]) -> str:
    """Tokens, and where the time went."""
    tokens = f"{usage.get('prompt_tokens', '?')} tokens in, {usage.get('completion_tokens', '?')} out"
    stages = [
        f"{_STAGES.get(stage, stage.replace('_', ' '))} {_duration(value)}"
        for stage, value in sorted(timings_ms.items(), key=_stage_order)
    ]
    return f"{tokens} · {', '.join(stages)}" if stages else tokens


def _stage_order(timing: tuple[str, float]) -> tuple[int, str]:
    known = list(_STAGES)
    return (known.index(timing[0]) if timing[0] in known else len(known) - 1, timing[0])


def _duration(milliseconds: float) -> str:
    return f"{milliseconds / 1000:.1f} s" if milliseconds >= 1000 else f"{milliseconds:.0f} ms"  # noqa: PLR2004


def _explain(about: Json) -> None:
    model: dict[str, Any] = about.get("model") or {}
    reasons = "; ".join(one_line(str(reason)) for reason in model.get("reasons") or ())
    confidence = about.get("confidence")
    say()
    say(f"request     {about.get('request_id', '?')}")
    say(f"model       {model.get('name', '?')}{f': {reasons}' if reasons else ''}")
    if "retrieval" in (about.get("timings_ms") or {}):
        say(f"passages    {about.get('passages') or 'none was close enough to the question'}")
    say(f"confidence  {'not judged' if confidence is None else f'{confidence:.2f}'}")
    for verdict in about.get("verdicts") or ():
        why = f" by rule {verdict['rule']} ({verdict.get('category', '?')})" if verdict.get("rule") else ""
        say(f"checked     {verdict.get('role', '?')}: {verdict.get('outcome', '?')}{why}")
    for number, citation in enumerate(about.get("citations") or (), start=1):
        where = f"{citation['document']} [{citation['start']}, {citation['end']})"
        updated = f", updated {one_line(str(citation['updated']))}" if citation.get("updated") else ""
        source = f", source {one_line(citation['source'])}" if citation.get("source") else ""
        say(f"cited [{citation.get('mark') or number}]   {where}{source}{updated}")

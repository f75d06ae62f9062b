"""Answers in OpenAI's shapes: one place for the stream, the plain answer and `GET /v1/requests/{id}`.

Vendor fields stand only inside one object named `groundswell`. Every index counts code points.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from groundswell.common.contracts.answers import Outcome
from groundswell.common.ids import DocumentId, RequestId
from groundswell.common.tiers import Tier
from groundswell.orchestrator.domain.question import Answer, Citation

_MARK = re.compile(r"\[(\d{1,3})\]")
_SERVICE_TIERS = {Tier.INTERACTIVE: "priority", Tier.STANDARD: "default", Tier.BULK: "flex"}

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why an accepted request has no answer to show. `status` is for a client that was not told 200 yet."""

    status: int
    type: str
    code: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What of the request its answer repeats. `created` in Unix seconds."""

    request_id: RequestId
    created: float
    model: str
    tier: Tier

    @property
    def envelope(self) -> Json:
        """The fields that a completion and every chunk of its stream share."""
        return {
            "id": f"chatcmpl-{self.request_id.removeprefix('req_')}",
            "created": int(self.created),
            "model": self.model,
            "service_tier": _SERVICE_TIERS[self.tier],
        }


def completion(asked: Asked, answer: Answer) -> Json:
    """A `chat.completion`."""
    refusal = refusal_of(answer)
    message = {
        "role": "assistant",
        "content": None if refusal and not answer.text else answer.text,
        "refusal": refusal,
        "annotations": annotations(answer.text, answer.citations),
    }
    return {
        **asked.envelope,
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": answer.finish_reason, "logprobs": None}],
        "usage": usage(answer),
        "groundswell": vendor_object(asked.request_id, answer),
    }


def first_chunk(asked: Asked) -> Json:
    return _chunk(asked, [_choice({"role": "assistant", "content": ""})])


def text_chunk(asked: Asked, text: str) -> Json:
    return _chunk(asked, [_choice({"content": text})])


def last_chunk(asked: Asked, answer: Answer) -> Json:
    """Carries the finish reason, the annotations of the whole text, and the `groundswell` object, with the usage.

    OpenAI's own usage is a chunk that comes only if it was asked for.
    """
    delta: Json = {"annotations": annotations(answer.text, answer.citations)}
    if refusal := refusal_of(answer):
        delta["refusal"] = refusal
    chunk = _chunk(asked, [_choice(delta, answer.finish_reason)])
    return chunk | {"groundswell": vendor_object(asked.request_id, answer) | {"usage": usage(answer)}}


def usage_chunk(asked: Asked, answer: Answer) -> Json:
    return _chunk(asked, []) | {"usage": usage(answer)}


def vendor_object(request_id: RequestId, answer: Answer) -> Json:
    """The `groundswell` object of an answer."""
    return {"request_id": request_id, **_vendor_fields(answer)}


def answer_object(answer: Answer) -> Json:
    """What the answer stream's final event carries: everything that a reader of the stream needs besides the text."""
    return {
        "finish_reason": answer.finish_reason,
        "reason": answer.reason,
        "usage": usage(answer),
        "groundswell": _vendor_fields(answer),
    }


def usage(answer: Answer) -> Json:
    return {
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.completion_tokens,
        "total_tokens": answer.prompt_tokens + answer.completion_tokens,
    }


def refusal_of(answer: Answer) -> str | None:
    """What moderation said, if it stopped the answer."""
    if answer.outcome is not Outcome.REFUSED or answer.finish_reason != "content_filter":
        return None
    return answer.reason or "A safety rule does not allow this."


def annotations(text: str, citations: Sequence[Citation]) -> list[Json]:
    """One `file_citation` for each mark that stands in `text`; its `index` is the place in `groundswell.citations`."""
    places = {citation.mark: place for place, citation in enumerate(citations)}
    return [
        _annotation(places[number], citations[places[number]], mark.span())
        for mark in _MARK.finditer(text)
        if (number := int(mark[1])) in places
    ]


def failure_of(answer: Answer) -> Failure | None:
    """None for an answer that is one: completed, or refused by moderation with a reason to show."""
    if answer.outcome is Outcome.COMPLETED or refusal_of(answer):
        return None
    status, kind, code, advice = _FAILURES[answer.outcome]
    reason = answer.reason or "no reason was recorded"
    return Failure(status=status, type=kind, code=code, message=f"{reason[:1].upper()}{reason[1:]}. {advice}")


def failure_object(failure: Failure, request_id: RequestId, answer: Answer) -> Json:
    """The error as a body, and as an event in a stream."""
    error = {"message": failure.message, "type": failure.type, "param": None, "code": failure.code}
    return {"error": error, "groundswell": vendor_object(request_id, answer) | {"usage": usage(answer)}}


def file_id(document: DocumentId | str) -> str:
    """A document as a file: `file-` for `doc_`."""
    return f"file-{document.removeprefix('doc_')}"


_FAILURES: Mapping[Outcome, tuple[int, str, str, str]] = {
    Outcome.REFUSED: (400, "invalid_request_error", "request_refused", "Change the request and ask again."),
    Outcome.FAILED: (502, "generation_failed", "generation_failed", "Ask again; if it stays, tell your operator."),
    Outcome.EXPIRED: (
        408,
        "deadline_exceeded",
        "deadline_exceeded",
        "Ask again, with a longer groundswell.deadline_s or a more urgent tier.",
    ),
    Outcome.CANCELLED: (409, "request_cancelled", "request_cancelled", "Ask again if you still need the answer."),
}


def _vendor_fields(answer: Answer) -> Json:
    return {
        "outcome": answer.outcome.value,
        "citations": [_citation(citation) for citation in answer.citations],
        "confidence": answer.confidence,
        "model": {"name": answer.model, "assistant": answer.assistant, "reasons": list(answer.model_reasons)},
        "timings_ms": answer.timings_ms or {},
        "verdicts": list(answer.verdicts),
        "passages": answer.passages,
    }


def _citation(citation: Citation) -> Json:
    shown = {
        "mark": citation.mark,
        "document": citation.document,
        "version": citation.version,
        "title": citation.title,
        "name": citation.name,
        "section": citation.section,
        "source": citation.source,
        "updated": citation.updated,
        "start": citation.start,
        "end": citation.end,
        "quote": citation.quote,
    }
    return shown if citation.page is None else shown | {"page": citation.page}


def _annotation(place: int, citation: Citation, span: tuple[int, int]) -> Json:
    cited = {
        "file_id": file_id(citation.document),
        "filename": citation.name,
        "index": place,
        "quote": citation.quote,
        "start_index": span[0],
        "end_index": span[1],
    }
    return {"type": "file_citation", "file_citation": cited}


def _chunk(asked: Asked, choices: list[Json]) -> Json:
    return {**asked.envelope, "object": "chat.completion.chunk", "choices": choices}


def _choice(delta: Json, finish_reason: str | None = None) -> Json:
    return {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}

"""Fifty questions about the demo's documents, one after the other, by OpenAI's client as a person's program would."""

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openai import APIError, OpenAI

from measures.circumstances import beginning
from measures.measured import Spread, spread
from measures.own_stack import OwnStack
from measures.results import Questions

ASSISTANT = "docs-qa"
PATIENCE_S = 120.0
CITED, UNCITED = "answered with citations", "answered without"
UNKNOWN, NOT_FOUND = "passages found, the model does not know", "not found"
REFUSED, FAILED = "refused", "failed"
_DOES_NOT_KNOW = re.compile(r"\bdo(n.t| not) know\b", re.IGNORECASE)


@dataclass(frozen=True)
class Question:
    text: str
    in_documents: bool


@dataclass
class Answered:
    """What one answer brought. `about` is the `groundswell` object, `first_text_s` None for an answer without text."""

    first_text_s: float | None = None
    total_s: float = 0.0
    failed: bool = False
    text: str = ""
    about: dict[str, Any] = field(default_factory=dict)
    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def stages_ms(self) -> dict[str, float]:
        return dict(self.about.get("timings_ms") or {})

    @property
    def end(self) -> str:
        if self.failed or self.about.get("outcome") not in ("completed", "refused"):
            return FAILED
        if self.about["outcome"] == "refused":
            return REFUSED
        if not self.about.get("passages"):
            return NOT_FOUND
        if self.about.get("citations"):
            return CITED
        return UNKNOWN if _DOES_NOT_KNOW.search(self.text) else UNCITED


def read_questions(path: Path) -> list[Question]:
    """Two sections with a title each: those that the documents answer, then those that they do not."""
    sections: list[list[str]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            sections.append([])
        elif line.strip():
            sections[-1].append(line.strip())
    answered, unanswered = sections
    return [Question(text, in_documents=text in answered) for text in (*answered, *unanswered)]


def ask_all(stack: OwnStack, questions: Sequence[Question], tell: Callable[[str], None]) -> Questions:
    """One question at a time; the first is asked once more beforehand, so that nothing is new to anybody."""
    client = OpenAI(base_url=f"{stack.url}/v1", api_key=stack.admin_key, max_retries=0, timeout=PATIENCE_S)
    with client:
        ask(client, questions[0].text)
        end = beginning(stack.checkout)
        answers = list(_each(client, questions, tell))
        circumstances = end()
    return Questions(circumstances=circumstances, **summary(questions, answers))


def _each(client: OpenAI, questions: Sequence[Question], tell: Callable[[str], None]) -> Iterator[Answered]:
    for number, question in enumerate(questions, start=1):
        answer = ask(client, question.text)
        tell(f"{number} of {len(questions)}: {answer.total_s:.1f} s, {answer.end}: {question.text}")
        yield answer


def ask(client: OpenAI, text: str) -> Answered:
    answer, started = Answered(), time.monotonic()
    try:
        for chunk in client.chat.completions.create(
            model=ASSISTANT,
            messages=[{"role": "user", "content": text}],
            stream=True,
            stream_options={"include_usage": True},
        ):
            _hear(answer, chunk, time.monotonic() - started)
    except APIError:
        answer.failed = True
    answer.total_s = time.monotonic() - started
    return answer


def _hear(answer: Answered, chunk: Any, elapsed_s: float) -> None:
    answer.text += "".join(choice.delta.content or "" for choice in chunk.choices)
    if answer.first_text_s is None and answer.text:
        answer.first_text_s = elapsed_s
    answer.about = (chunk.model_extra or {}).get("groundswell") or answer.about
    if chunk.usage is not None:
        answer.prompt_tokens, answer.completion_tokens = chunk.usage.prompt_tokens, chunk.usage.completion_tokens


def summary(questions: Sequence[Question], answers: Sequence[Answered]) -> dict[str, Any]:
    """Tokens and stages are those of generated answers; what was not found has neither."""
    generated = [answer for answer in answers if answer.completion_tokens]
    return {
        "asked": len(answers),
        "shares": dict(Counter(answer.end for answer in answers)),
        "unexpected": dict(_unexpected(questions, answers)),
        "client_first_text_ms": spread([a.first_text_s * 1000 for a in generated if a.first_text_s is not None]),
        "client_total_ms": spread([answer.total_s * 1000 for answer in generated]),
        "stages_ms": _stages(generated),
        "prompt_tokens": spread([answer.prompt_tokens for answer in generated]),
        "completion_tokens": spread([answer.completion_tokens for answer in generated]),
        "tokens_per_s": spread([rate for answer in generated if (rate := _tokens_per_s(answer))]),
    }


def _unexpected(questions: Sequence[Question], answers: Sequence[Answered]) -> Iterator[tuple[str, str]]:
    for question, answer in zip(questions, answers, strict=True):
        wanted = {CITED, UNCITED} if question.in_documents else {NOT_FOUND, UNKNOWN}
        if answer.end not in wanted:
            yield question.text, answer.end


def _stages(answers: Sequence[Answered]) -> dict[str, Spread]:
    names = dict.fromkeys(name for answer in answers for name in answer.stages_ms)
    return {name: spread([a.stages_ms[name] for a in answers if name in a.stages_ms]) for name in names}


def _tokens_per_s(answer: Answered) -> float | None:
    """Decoding alone: the first token is counted in its own stage."""
    generation_ms = answer.stages_ms.get("generation")
    return (answer.completion_tokens - 1) * 1000 / generation_ms if generation_ms else None

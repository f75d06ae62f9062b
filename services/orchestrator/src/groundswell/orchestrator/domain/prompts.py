"""The prompt: instructions, marked passages with source and age, the question. Passages are data, not instructions."""

from collections.abc import Sequence

from groundswell.common.contracts.generation import ChatMessage
from groundswell.common.contracts.retrieval import Passage
from groundswell.orchestrator.domain.assistants import Assistant

TEMPLATE_VERSION = "docs-qa/1"
_OPEN, _CLOSE = "<passage", "</passage>"


def within_budget(passages: Sequence[Passage], budget_chars: int) -> tuple[Passage, ...]:
    """The best passages that fit; the first is cut to fit rather than left out."""
    kept: list[Passage] = []
    left = budget_chars
    for passage in passages:
        if len(passage.text) <= left:
            kept.append(passage)
            left -= len(passage.text)
        elif not kept:
            kept.append(_cut(passage, left))
            left = 0
    return tuple(kept)


def grounded_prompt(
    assistant: Assistant, conversation: Sequence[ChatMessage], passages: Sequence[Passage]
) -> tuple[ChatMessage, ...]:
    """Messages for the model: ours first, the other turns, then the passages with what the user asked last."""
    asked = max(number for number, message in enumerate(conversation) if message.role == "user")
    others = [*conversation[:asked], *conversation[asked + 1 :]]
    quoted = "\n\n".join(_quoted(number, passage) for number, passage in enumerate(passages, start=1))
    question = f"Passages:\n\n{quoted}\n\nQuestion: {conversation[asked].content}"
    return (
        ChatMessage(role="system", content=assistant.instructions),
        *(message for message in others if message.role != "system"),
        ChatMessage(role="user", content=question),
    )


def plain_prompt(assistant: Assistant, conversation: Sequence[ChatMessage]) -> tuple[ChatMessage, ...]:
    """The conversation as it is; our instructions only where the client gave none."""
    if any(message.role == "system" for message in conversation):
        return tuple(conversation)
    return (ChatMessage(role="system", content=assistant.instructions), *conversation)


def _quoted(number: int, passage: Passage) -> str:
    section = f" | {passage.section}" if passage.section else ""
    header = (
        f'{_OPEN} id="{number}" source="{_attribute(passage.title + section)}" updated="{passage.updated:%Y-%m-%d}">'
    )
    # A document that closes our mark would speak outside of it.
    return f"{header}\n{passage.text.strip().replace(_CLOSE, '</ passage>')}\n{_CLOSE}"


def _attribute(text: str) -> str:
    return " ".join(text.replace('"', "'").replace("<", "(").replace(">", ")").split())[:120]


def _cut(passage: Passage, length: int) -> Passage:
    return passage.model_copy(update={"text": passage.text[:length], "end": passage.start + length})

"""What the engine without a model says."""

import re
from collections.abc import Sequence

from groundswell.common.contracts.generation import ChatMessage

_PASSAGE = re.compile(r"<passage\b[^>]*>(.*?)</passage>", re.DOTALL)
_SENTENCE = re.compile(r".*?[.!?](?=\s|\Z)")
_NO_PROSE = re.compile(r"[#`|<>=~-]")


def first_quote(messages: Sequence[ChatMessage]) -> str:
    """The first sentence of the first passage; without a passage, the user's last message."""
    for message in messages:
        for passage in _PASSAGE.findall(message.content):
            if sentence := _first_sentence(passage):
                return sentence
    return next((message.content for message in reversed(messages) if message.role == "user"), "")


def _first_sentence(passage: str) -> str:
    """The first line of prose that ends a sentence, cut there; else the first line of prose, else of anything."""
    lines = [line.strip() for line in passage.splitlines() if line.strip()]
    prose = [line for line in lines if not _NO_PROSE.match(line)]
    sentences = [found[0] for line in prose if (found := _SENTENCE.match(line))]
    return next(iter([*sentences, *prose, *lines]), "")

"""What the engine without a model says."""

import re
from collections.abc import Sequence

from groundswell.common.contracts.generation import ChatMessage

_PASSAGE = re.compile(r"^\[(\d+)\](.*?)(?=^\[\d+\]|\Z)", re.MULTILINE | re.DOTALL)
_METADATA = re.compile(r"Source\b|.*\| Updated\b|[<#`]")
_SENTENCE = re.compile(r".*?[.!?](?=\s|\Z)", re.DOTALL)


def first_quote(messages: Sequence[ChatMessage]) -> str:
    """The first sentence of the first numbered passage, with its mark; without a passage, the user's last message."""
    for message in messages:
        for passage in _PASSAGE.finditer(message.content):
            if sentence := _first_sentence(passage[2]):
                return f"{sentence} [{passage[1]}]"
    return next((message.content for message in reversed(messages) if message.role == "user"), "")


def _first_sentence(passage: str) -> str:
    """The first line that ends a sentence, cut there; else the first line of text."""
    header, _, body = passage.strip().partition("\n")
    lines = [line.strip() for line in (body or header).splitlines()]
    lines = [line for line in lines if line and not _METADATA.match(line)]
    sentences = [found[0] for line in lines if (found := _SENTENCE.match(line))]
    return next(iter([*sentences, *lines]), "")

"""Which texts go to the model, and in how many calls."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from groundswell.common.contracts.knowledge import EmbedChunks
from groundswell.common.ids import TeamId

CALL_BUDGET_CHARACTERS = 64_000
"""About 16,000 tokens, two seconds of one core: how long an urgent text waits behind a call that runs already."""


class TextKey(NamedTuple):
    """What makes two texts the same one. Teams share no vectors: a copy must not show by its speed."""

    team: TeamId
    content_hash: str


def distinct_texts(commands: Iterable[EmbedChunks]) -> dict[TextKey, str]:
    """Every text once, in the order in which it first comes."""
    texts: dict[TextKey, str] = {}
    for command in commands:
        for chunk in command.chunks:
            texts.setdefault(TextKey(command.team, chunk.content_hash), chunk.text)
    return texts


def calls(texts: Sequence[str], *, budget_characters: int = CALL_BUDGET_CHARACTERS) -> list[Sequence[str]]:
    """Split `texts` in order into calls of the encoder of at most `budget_characters` each; a longer text goes alone.

    Inside a call the encoder sorts by length and batches by tokens itself.
    """
    ends: list[int] = []
    room = budget_characters
    for number, text in enumerate(texts):
        if len(text) > room and number > (ends[-1] if ends else 0):
            ends.append(number)
            room = budget_characters
        room -= len(text)
    return [texts[start:end] for start, end in zip([0, *ends], [*ends, len(texts)], strict=True) if start < end]

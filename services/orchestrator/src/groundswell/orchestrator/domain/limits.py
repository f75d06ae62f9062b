"""How much a client may send and ask for."""

from collections.abc import Mapping
from dataclasses import dataclass

from groundswell.common.tiers import Tier


@dataclass(frozen=True, kw_only=True)
class Limits:
    """`question_chars` counts the code points of all messages of a request together."""

    question_chars: int = 32_000
    messages: int = 256
    answer_tokens: int = 2048
    deadline_s: Mapping[Tier, float]
    """For requests that name none."""
    longest_deadline_s: float = 6 * 3600.0
    body_bytes: int = 4 * 1024 * 1024
    file_bytes: int = 20 * 1024 * 1024

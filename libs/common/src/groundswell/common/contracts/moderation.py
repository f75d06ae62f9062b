"""To the moderator, and its outcomes. All offsets are code points of the whole text that is being judged in windows."""

from enum import StrEnum

from groundswell.common.contracts.message import Message
from groundswell.common.ids import RequestId


class TextRole(StrEnum):
    """What the text is; the rules differ."""

    INPUT = "input"
    ANSWER = "answer"
    PASSAGE = "passage"
    """Quoted from a document, into the prompt and perhaps to the client; its window numbers the passage."""


class CheckText(Message):
    """Judge `text`, which is `[start, start + len(text))` of the whole.

    The first `overlap` code points were released before and are there for patterns that began in them. `final`: no
    more follows.
    `window` numbers the windows of one text from 0; an input is one final window.
    """

    request_id: RequestId
    role: TextRole
    text: str
    window: int = 0
    start: int = 0
    overlap: int = 0
    final: bool = True
    policy: str = "default"


class TextCleared(Message):
    """`[start, cleared_until)` may be released.

    `cleared_until` is the start of the longest suffix that could still become forbidden.
    """

    request_id: RequestId
    role: TextRole
    window: int
    start: int
    cleared_until: int
    text_sha256: str


class TextBlocked(Message):
    """A rule forbids `[start, end)`; text before `start` may be released.

    `reason` is fit for the client and quotes nothing.
    """

    request_id: RequestId
    role: TextRole
    window: int
    start: int
    end: int
    rule: str
    category: str
    reason: str
    text_sha256: str

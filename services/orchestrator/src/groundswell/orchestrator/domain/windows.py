"""Windows of an answer on their way through moderation: only what was cleared is released."""

import hashlib
from dataclasses import dataclass, replace

from groundswell.common.contracts.moderation import CheckText, TextBlocked, TextCleared, TextRole
from groundswell.common.ids import RequestId

OVERLAP = 256
"""Released code points that go along as context. No forbidden pattern begins in them: what could still become one was
never cleared, so this needs not be as long as the longest pattern.
"""


@dataclass(frozen=True)
class Windows:
    """At most one window is with the moderator. `cleared` counts code points of the generated text."""

    cleared: int = 0
    number: int = 0
    in_flight: CheckText | None = None
    judged: int = 0
    final_judged: bool = False
    blocked: TextBlocked | None = None


def next_window(windows: Windows, request_id: RequestId, text: str, *, final: bool) -> tuple[Windows, CheckText | None]:
    """The window to send now, if there is something new to judge and none is on its way."""
    news = len(text) > windows.judged or (final and not windows.final_judged)
    if windows.in_flight or windows.blocked or not news:
        return windows, None
    start = max(0, windows.cleared - OVERLAP)
    window = CheckText(
        request_id=request_id,
        role=TextRole.ANSWER,
        text=text[start:],
        window=windows.number,
        start=start,
        overlap=windows.cleared - start,
        final=final,
    )
    return replace(windows, number=windows.number + 1, in_flight=window, judged=len(text)), window


def take_verdict(windows: Windows, verdict: TextCleared | TextBlocked) -> Windows:
    """Apply the verdict on the window in flight; any other verdict (late, doubled, on another text) changes nothing."""
    window = windows.in_flight
    if window is None or verdict.window != window.window or verdict.text_sha256 != digest(window.text):
        return windows
    landed = replace(windows, in_flight=None, final_judged=window.final)
    if isinstance(verdict, TextBlocked):
        return replace(landed, blocked=verdict, cleared=max(windows.cleared, verdict.start))
    end = window.start + len(window.text)
    return replace(landed, cleared=max(windows.cleared, min(verdict.cleared_until, end)))


def all_cleared(windows: Windows, text: str) -> bool:
    return windows.final_judged and windows.in_flight is None and windows.cleared >= len(text)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

"""What a long step says while it runs: one line rewritten in place on a terminal, a line now and then elsewhere."""

import os
import sys
import time
from types import TracebackType
from typing import Self, TextIO

REPEAT_S = 5.0
SHOW_AFTER_S = 0.5
USUAL_COLUMNS = 80


class Step:
    """One long action: `with Step("Kafka") as step: step.update("12 of 46 jars")`."""

    def __init__(self, title: str, stream: TextIO | None = None) -> None:
        self.title = title
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._started = self._written = time.monotonic()
        self._waits_for = ""

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._started

    def update(self, detail: str) -> None:
        """How far it is: each new detail on a terminal, one now and then elsewhere."""
        now = time.monotonic()
        if self._terminal:
            self._rewrite(detail)
        elif now - self._written >= REPEAT_S:
            self._written = now
            self._say(f"{self.title}: {detail} ({self.elapsed_s:.0f} s)")

    def wait_for(self, what: str) -> None:
        """What it waits for: a line for each change of it where there is no terminal."""
        if self._terminal:
            self._rewrite(f"waiting for {what}")
        elif what != self._waits_for:
            self._say(f"{self.title}: waiting for {what}")
        self._waits_for = what

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._terminal:
            self._stream.write("\r\033[K")
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            self._say(f"{self.title}: interrupted after {self.elapsed_s:.0f} s; the next run goes on from here")
        elif kind is None and self.elapsed_s >= SHOW_AFTER_S:
            self._say(f"{self.title}: done ({self.elapsed_s:.1f} s)")

    def _rewrite(self, detail: str) -> None:
        since = f" ({self.elapsed_s:.0f} s)"
        # a line that wraps cannot be rewritten: what stands above its last row would stay
        room = _columns(self._stream) - len(since) - 1
        line = f"{self.title}: {detail}"
        shown = line if len(line) <= room else f"{line[: room - 1]}…"
        self._stream.write(f"\r\033[K{shown}{since}")
        self._stream.flush()

    def _say(self, line: str) -> None:
        self._stream.write(f"{line}\n")
        self._stream.flush()


def _columns(terminal: TextIO) -> int:
    try:
        return os.get_terminal_size(terminal.fileno()).columns or USUAL_COLUMNS
    except OSError:
        return USUAL_COLUMNS

"""How far a long step is: a bar with its rate on a terminal, a line now and then where nobody looks at one."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from groundswell.cli.terminal import error_console, one_line, remark

REPEAT_S = 5.0


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.1f}/s")


class Bar:
    """One line that is reused for each stretch of work."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._stretch: TaskID | None = None
        self._began = self._said = time.monotonic()

    def expect(self, total: int, what: str) -> None:
        """A new stretch begins."""
        if self._stretch is not None:
            self._progress.remove_task(self._stretch)
        self._stretch = self._progress.add_task(what, total=total) if total else None
        self._began = time.monotonic()

    def reach(self, done: int, what: str) -> None:
        """`what` goes on now: the name of a file may be part of it."""
        if self._stretch is not None:
            self._progress.update(self._stretch, completed=done, description=one_line(what))
            self._say_now_and_then()

    def advance(self) -> None:
        if self._stretch is not None:
            self._progress.advance(self._stretch)
            self._say_now_and_then()

    def _say_now_and_then(self) -> None:
        now = time.monotonic()
        if self._progress.disable and now - self._said >= REPEAT_S:
            self._said = now
            (stretch,) = self._progress.tasks
            done = f"{stretch.completed:.0f} of {stretch.total:.0f}"
            remark(f"{stretch.description}: {done} ({now - self._began:.0f} s)")


@contextmanager
def shown_bar() -> Iterator[Bar]:
    text = TextColumn("{task.description}", markup=False)
    columns = (text, BarColumn(), MofNCompleteColumn(), _Rate(), TimeElapsedColumn())
    console = error_console()
    with Progress(*columns, console=console, transient=True, disable=console.quiet) as progress:
        yield Bar(progress)

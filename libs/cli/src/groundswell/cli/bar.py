"""A progress bar with its rate, for a person who waits; nothing where standard error is no terminal."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from groundswell.cli.terminal import error_console


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.1f}/s")


class Bar:
    """One line that is reused for each stretch of work."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._stretch: TaskID | None = None

    def expect(self, total: int, what: str) -> None:
        """A new stretch begins."""
        if self._stretch is not None:
            self._progress.remove_task(self._stretch)
        self._stretch = self._progress.add_task(what, total=total) if total else None

    def reach(self, done: int) -> None:
        if self._stretch is not None:
            self._progress.update(self._stretch, completed=done)

    def advance(self) -> None:
        if self._stretch is not None:
            self._progress.advance(self._stretch)


@contextmanager
def shown_bar() -> Iterator[Bar]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate())
    console = error_console()
    with Progress(*columns, console=console, transient=True, disable=console.quiet) as progress:
        yield Bar(progress)

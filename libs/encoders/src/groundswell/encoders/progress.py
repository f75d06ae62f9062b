"""How a pull says what it does and how far it is."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn


class PullProgress(Protocol):
    """Told by the store about every step; a step ends when the next begins."""

    def step(self, title: str, total_bytes: int = 0) -> None:
        """A new step begins; `total_bytes` is 0 where bytes do not measure it."""

    def reached(self, done_bytes: int) -> None:
        """The current step has done so many bytes in all."""


class SilentProgress:
    """For callers that show nothing."""

    def step(self, title: str, total_bytes: int = 0) -> None: ...

    def reached(self, done_bytes: int) -> None: ...


class LineProgress:
    """One line per step, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def step(self, title: str, total_bytes: int = 0) -> None:
        size = f" ({total_bytes / 1e6:.1f} MB)" if total_bytes else ""
        self._console.print(f"{title}{size}", highlight=False)

    def reached(self, done_bytes: int) -> None: ...


class BarProgress:
    """One bar per step, for a terminal; without bytes to count it shows that time passes."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._total_bytes = 0

    def step(self, title: str, total_bytes: int = 0) -> None:
        self.finish()
        self._total_bytes = total_bytes
        self._bars.add_task(title, total=total_bytes or None, size="")

    def reached(self, done_bytes: int) -> None:
        size = f"{done_bytes / 1e6:.1f}/{self._total_bytes / 1e6:.1f} MB"
        self._bars.update(self._bars.tasks[-1].id, completed=done_bytes, size=size)

    def finish(self) -> None:
        """Mark the current step, if there is one, as done."""
        for task in self._bars.tasks[-1:]:
            whole = task.total or 1
            self._bars.update(task.id, total=whole, completed=whole)


@contextmanager
def shown_progress(console: Console) -> Iterator[PullProgress]:
    """Bars on a terminal, lines elsewhere."""
    if not console.is_terminal:
        yield LineProgress(console)
        return
    columns = (TextColumn("{task.description}"), BarColumn(20), TextColumn("{task.fields[size]}"), TimeElapsedColumn())
    with Progress(*columns, console=console) as bars:
        progress = BarProgress(bars)
        yield progress
        progress.finish()

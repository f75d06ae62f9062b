"""How a pull says what it does and how far it is."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


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
    """One bar per step, for a terminal."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._current = bars.add_task("starting", total=None)

    def step(self, title: str, total_bytes: int = 0) -> None:
        self._finish()
        self._current = self._bars.add_task(title, total=total_bytes or None)

    def reached(self, done_bytes: int) -> None:
        self._bars.update(self._current, completed=done_bytes)

    def _finish(self) -> None:
        task = self._bars.tasks[-1]
        if task.description == "starting":
            self._bars.remove_task(task.id)
        else:
            self._bars.update(task.id, total=task.total or 1, completed=task.total or 1)


@contextmanager
def shown_progress(console: Console) -> Iterator[PullProgress]:
    """Bars on a terminal, lines elsewhere."""
    if not console.is_terminal:
        yield LineProgress(console)
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bars:
        yield BarProgress(bars)

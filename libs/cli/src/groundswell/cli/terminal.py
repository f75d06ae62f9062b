"""What reaches the terminal. Answers and documents are strangers' text: their control characters stay out."""

import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""All but tab and line feed: escape sequences, and overrides of the writing direction."""

_WHOLE = frozenset({"id", "created", "ended", "updated", "revoked"})
_UNBOUNDED = 10_000
"""Columns for whatever reads the other end of a pipe."""


def harmless(text: str) -> str:
    """The text without what a terminal would obey."""
    return _CONTROLS.sub("", text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    return " ".join(harmless(text).split())


def write(text: str) -> None:
    """Show text as it comes, at once."""
    sys.stdout.write(harmless(text))
    sys.stdout.flush()


def say(line: str = "") -> None:
    write(f"{line}\n")


def remark(line: str) -> None:
    """A line for the person only: it goes to standard error."""
    sys.stderr.write(f"{harmless(line)}\n")
    sys.stderr.flush()


def write_json(document: object) -> None:
    """The one document that a command prints with --json; escapes keep it safe on a terminal."""
    sys.stdout.write(json.dumps(document, indent=2) + "\n")


def moment(value: object) -> str:
    """A time of the API, which is Unix seconds or ISO 8601, as a local one."""
    if value is None:
        return ""
    time = datetime.fromtimestamp(value, UTC) if isinstance(value, int | float) else datetime.fromisoformat(str(value))
    return time.astimezone().isoformat(" ", "seconds")[:19]


def table(headings: list[str], rows: list[list[object]]) -> None:
    """Columns of plain text; ids, times and numbers stay whole, the rest is folded to the width of a terminal."""
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for number, heading in enumerate(headings):
        is_count = bool(rows) and all(isinstance(row[number], int | float) for row in rows)
        whole = is_count or heading in _WHOLE
        grid.add_column(heading, justify="right" if is_count else "left", no_wrap=whole, overflow="fold")
    for row in rows:
        grid.add_row(*(Text(one_line("" if cell is None else str(cell))) for cell in row))
    Console(width=None if sys.stdout.isatty() else _UNBOUNDED, highlight=False).print(grid)


def error_console() -> Console:
    """For progress; silent where standard error is no terminal."""
    return Console(stderr=True, highlight=False, quiet=not sys.stderr.isatty())


@contextmanager
def waiting(what: str) -> Iterator[Callable[[], None]]:
    """A moving line on a terminal until what it waits for has come: call what the block gets, or leave it."""
    shown = error_console().status(what)
    with shown:
        yield shown.stop

"""Blocks with code point offsets, made of spans of lines."""

import re
from bisect import bisect_right
from dataclasses import dataclass
from enum import StrEnum

LONGEST_HEADING = 200
"""Code points kept of a heading's text."""

_NEWLINE = re.compile(r"\r\n?|\n")


class BlockKind(StrEnum):
    FRONT_MATTER = "front_matter"
    HEADING = "heading"
    PARAGRAPH = "paragraph"
    LIST_ITEM = "list_item"
    CODE = "code"
    TABLE = "table"
    MARKUP = "markup"

    @property
    def is_prose(self) -> bool:
        """Prose is made of sentences, everything else of lines."""
        return self in {BlockKind.PARAGRAPH, BlockKind.LIST_ITEM}


_BEFORE_THE_TITLE = frozenset({BlockKind.FRONT_MATTER, BlockKind.MARKUP})


@dataclass(frozen=True, slots=True)
class Block:
    """`[start, end)` in code points; `heading_path` from the outermost heading inwards, its own text included."""

    kind: BlockKind
    start: int
    end: int
    heading_path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outline:
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class LineSpan:
    """Lines `[first, end)`. A heading has a level from 1 (outermost) and its text without markup."""

    kind: BlockKind
    first: int
    end: int
    level: int = 0
    heading: str = ""


def line_starts(text: str) -> list[int]:
    """Where each line starts, and, last, where the text ends. Only \\n, \\r\\n and \\r end a line."""
    starts = [0, *(match.end() for match in _NEWLINE.finditer(text))]
    if starts[-1] != len(text):
        starts.append(len(text))
    return starts


def line_at(starts: list[int], offset: int) -> int:
    return bisect_right(starts, offset) - 1


class OutlineBuilder:
    """Makes a partition of spans that come in order and do not overlap.

    Blank lines go to the block before them; other lines between two spans are a paragraph of their own.
    """

    def __init__(self, text: str, starts: list[int]) -> None:
        self._text = text
        self._starts = starts
        self._blocks: list[Block] = []
        self._open: list[tuple[int, str]] = []
        self._next_line = 0
        self._has_begun = False
        self._opening_heading = ""
        self._outermost_heading = ""

    @property
    def title(self) -> str:
        """The first heading of the outermost level, else the one that the text opens with, else nothing."""
        return self._outermost_heading or self._opening_heading

    def add(self, span: LineSpan) -> None:
        if not self._text[self._starts[span.first] : self._starts[span.end]].strip():
            return
        self._cover_gap(span.first)
        if span.kind is BlockKind.HEADING:
            self._open_heading(span)
        self._append(span.kind, span.first, span.end)
        self._next_line = span.end

    def finish(self) -> tuple[Block, ...]:
        self._cover_gap(len(self._starts) - 1)
        self._stretch(len(self._text))
        return tuple(self._blocks)

    def _cover_gap(self, line: int) -> None:
        if self._text[self._starts[self._next_line] : self._starts[line]].strip():
            self._append(BlockKind.PARAGRAPH, self._next_line, line)

    def _open_heading(self, span: LineSpan) -> None:
        self._open = [entry for entry in self._open if entry[0] < span.level]
        heading = span.heading[:LONGEST_HEADING].strip()
        if heading:
            self._open.append((span.level, heading))
            if span.level == 1:
                self._outermost_heading = self._outermost_heading or heading
            if not self._has_begun:
                self._opening_heading = heading

    def _append(self, kind: BlockKind, first: int, end: int) -> None:
        self._has_begun = self._has_begun or kind not in _BEFORE_THE_TITLE
        start = self._starts[first] if self._blocks else 0
        self._stretch(start)
        self._blocks.append(Block(kind, start, self._starts[end], tuple(heading for _, heading in self._open)))

    def _stretch(self, offset: int) -> None:
        """The last block ends where the next one starts."""
        if self._blocks:
            last = self._blocks[-1]
            self._blocks[-1] = Block(last.kind, last.start, offset, last.heading_path)
        elif offset:
            self._blocks.append(Block(BlockKind.PARAGRAPH, 0, offset, ()))

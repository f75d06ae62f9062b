"""reStructuredText to spans of lines, read line by line: no directive is executed.

Rules: the reStructuredText Markup Specification of docutils, "Sections", "Literal Blocks", "Explicit Markup Blocks" and
"Tables".
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property
from itertools import pairwise

from groundswell.ingest.domain.blocks import LONGEST_HEADING, BlockKind, LineSpan

_ADORNMENT = re.compile(r"([!-/:-@\[-`{-~])\1*\Z")
_GRID_BORDER = re.compile(r"\+(?:-+\+)+\Z")
_SIMPLE_BORDER = re.compile(r"=+(?:[ ]+=+)+\Z")
_ITEM = re.compile(r"\s*(?:[-*+\u2022\u2023\u2043]|\(?(?:\d{1,9}|[A-Za-z]|#)[.)])(?:\s+\S|\Z)")
_DIRECTIVE = re.compile(r"\s*\.\.[ ]+(?:\|[^|]+\|[ ]+)?([\w:+.-]+?)::(?:\s|\Z)")
_EXPLICIT = re.compile(r"\s*\.\.(?:\s|\Z)")
_INLINE_MARKUP = re.compile(
    r":[\w:.+-]+:(?=`)|``|\*\*|(?<!\w)\*(?=\S)|(?<=\S)\*(?!\w)|`(?:\s*<[^<>`]*>`)?_{0,2}|\s*<[^<>`]*>(?=`)"
)
_CODE_DIRECTIVES = frozenset(
    {
        "code",
        "code-block",
        "sourcecode",
        "highlight",
        "parsed-literal",
        "literalinclude",
        "math",
        "prompt",
        "doctest",
        "testcode",
        "raw",
    }
)
_TABLE_DIRECTIVES = frozenset({"table", "csv-table", "list-table", "flat-table"})
_SHORTEST_LOOSE_ADORNMENT = 4
"""An adornment this long may be shorter than its title (docutils warns and accepts)."""


def rst_spans(text: str, starts: list[int]) -> Iterator[LineSpan]:
    lines = [text[start:end].rstrip() for start, end in pairwise(starts)]
    return _RstReader(lines).spans()


class _RstReader:
    """Reads forwards only; `_at` is the next line."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self._at = 0
        self._styles: list[tuple[str, bool]] = []
        self._literal_follows = False
        self._outer_indent = 0

    def spans(self) -> Iterator[LineSpan]:
        while self._at < len(self._lines):
            if self._lines[self._at]:
                yield self._next_span()
            else:
                self._at += 1

    def _next_span(self) -> LineSpan:
        if self._literal_follows:
            self._literal_follows = False
            if _indent(self._lines[self._at]) > self._outer_indent:
                return self._take(BlockKind.CODE, self._indented_until(self._at, self._outer_indent))
        return self._title() or self._explicit_markup() or self._table() or self._paragraph()

    def _take(self, kind: BlockKind, end: int, level: int = 0, heading: str = "") -> LineSpan:
        first, self._at = self._at, end
        return LineSpan(kind, first, end, level, heading)

    def _line(self, line: int) -> str:
        return self._lines[line] if line < len(self._lines) else ""

    def _title(self) -> LineSpan | None:
        first, second, third = (self._line(self._at + ahead) for ahead in range(3))
        over = _ADORNMENT.match(first)
        if over and second and first == third and len(first) >= min(len(second.strip()), _SHORTEST_LOOSE_ADORNMENT):
            return self._take(
                BlockKind.HEADING, self._at + 3, self._level(over[1], overlined=True), _plain_title(second)
            )
        under = _ADORNMENT.match(second)
        if under and not over and not first[0].isspace() and len(second) >= min(len(first), _SHORTEST_LOOSE_ADORNMENT):
            return self._take(
                BlockKind.HEADING, self._at + 2, self._level(under[1], overlined=False), _plain_title(first)
            )
        return None

    def _level(self, character: str, *, overlined: bool) -> int:
        """Levels come in the order in which their styles are first seen."""
        style = (character, overlined)
        if style not in self._styles:
            self._styles.append(style)
        return self._styles.index(style) + 1

    def _explicit_markup(self) -> LineSpan | None:
        line = self._lines[self._at]
        if not _EXPLICIT.match(line):
            return None
        directive = _DIRECTIVE.match(line)
        name = directive[1].rpartition(":")[2] if directive else ""
        end = self._indented_until(self._at + 1, _indent(line))
        if name in _CODE_DIRECTIVES:
            return self._take(BlockKind.CODE, end)
        if name in _TABLE_DIRECTIVES:
            return self._take(BlockKind.TABLE, end)
        return self._take(BlockKind.PARAGRAPH if directive else BlockKind.MARKUP, end)

    def _indented_until(self, line: int, indent: int) -> int:
        """The line after the last one that is indented deeper than `indent`, blank lines between them included."""
        end = line
        while line < len(self._lines) and (not self._lines[line] or _indent(self._lines[line]) > indent):
            line += 1
            if self._lines[line - 1]:
                end = line
        return end

    def _table(self) -> LineSpan | None:
        line = self._lines[self._at].lstrip()
        if _GRID_BORDER.match(line):
            end = self._at + 1
            while self._line(end).lstrip()[:1] in {"+", "|"}:
                end += 1
            return self._take(BlockKind.TABLE, end)
        if _SIMPLE_BORDER.match(line):
            following = bisect_right(self._closing_borders, self._at)
            if following < len(self._closing_borders):
                return self._take(BlockKind.TABLE, self._closing_borders[following] + 1)
        return None

    @cached_property
    def _closing_borders(self) -> list[int]:
        """A simple table ends with the border that a blank line follows; blank lines may stand inside it."""
        return [
            number
            for number, line in enumerate(self._lines)
            if line.lstrip()[:1] == "=" and not self._line(number + 1) and _SIMPLE_BORDER.match(line.lstrip())
        ]

    def _paragraph(self) -> LineSpan:
        """Up to a blank line, the next list item or the next title."""
        first = self._at
        is_item = bool(_ITEM.match(self._lines[first]))
        end = first + 1
        while self._line(end) and not (is_item and _ITEM.match(self._lines[end])):
            end += 1
        self._literal_follows = self._lines[end - 1].endswith("::")
        self._outer_indent = _indent(self._lines[first])
        return self._take(BlockKind.LIST_ITEM if is_item else BlockKind.PARAGRAPH, end)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _plain_title(title: str) -> str:
    return " ".join(_INLINE_MARKUP.sub("", title[: 4 * LONGEST_HEADING]).replace("\\", "").split())

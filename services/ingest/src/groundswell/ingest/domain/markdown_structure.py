"""Markdown (CommonMark with tables) to spans of lines; lists and quotes are taken apart into what they hold."""

import re
from collections.abc import Iterator

from markdown_it import MarkdownIt
from markdown_it.token import Token

from groundswell.ingest.domain.blocks import LONGEST_HEADING, BlockKind, LineSpan, line_at

_BLOCKS = MarkdownIt("commonmark").enable("table").disable(["inline", "text_join"], ignoreInvalid=True)
_INLINE = MarkdownIt("commonmark")

_LEAVES = {
    "paragraph_open": BlockKind.PARAGRAPH,
    "heading_open": BlockKind.HEADING,
    "fence": BlockKind.CODE,
    "code_block": BlockKind.CODE,
    "table_open": BlockKind.TABLE,
    "html_block": BlockKind.MARKUP,
    "hr": BlockKind.MARKUP,
}
# A document may also start with a thematic break, so the first line inside must name a key.
_FRONT_MATTER = re.compile(
    r"(---|\+\+\+)[ \t]*\r?\n(?=[#\w\"'][^\r\n:=]*[:=]|\[)(.*?)^(?:\1|\.\.\.)[ \t]*(?:\r?\n|\Z)",
    re.DOTALL | re.MULTILINE,
)
_STATED_TITLE = re.compile(r"""^title[ \t]*[:=][ \t]*(["']?)([^\r\n]+?)\1[ \t]*\r?$""", re.MULTILINE | re.IGNORECASE)
_ANCHOR = re.compile(r"\s*\{[ \t]*[#.:][^{}]*\}\s*$")


def markdown_spans(text: str, starts: list[int]) -> Iterator[LineSpan]:
    """Front matter first, then the leaves of the block tree. A heading inside a list or quote opens no section."""
    shift = 0
    front_matter = _FRONT_MATTER.match(text)
    if front_matter:
        shift = line_at(starts, front_matter.end() - 1) + 1
        yield LineSpan(BlockKind.FRONT_MATTER, 0, shift)
    body = text[starts[shift] :]
    next_line = shift
    for span in _leaves(_BLOCKS.parse(body), shift):
        # Two leaves may share a line ("- - a"): the outer one has it.
        if span.first >= next_line and span.end > span.first:
            next_line = span.end
            yield span


def front_matter_title(text: str) -> str | None:
    front_matter = _FRONT_MATTER.match(text)
    stated = _STATED_TITLE.search(front_matter.group(2)) if front_matter else None
    return stated.group(2).strip()[:LONGEST_HEADING] or None if stated else None


def _leaves(tokens: list[Token], shift: int) -> Iterator[LineSpan]:
    items = 0
    for index, token in enumerate(tokens):
        if token.type == "list_item_open":
            items += 1
        elif token.type == "list_item_close":
            items -= 1
        kind = _LEAVES.get(token.type)
        if kind is None or token.map is None:
            continue
        first, end = token.map[0] + shift, token.map[1] + shift
        if kind is BlockKind.HEADING and token.level == 0:
            yield LineSpan(kind, first, end, int(token.tag[1:]), _plain_heading(tokens[index + 1].content))
        elif kind is BlockKind.HEADING or (kind is BlockKind.PARAGRAPH and items):
            yield LineSpan(BlockKind.LIST_ITEM if items else BlockKind.PARAGRAPH, first, end)
        else:
            yield LineSpan(kind, first, end)


def _plain_heading(source: str) -> str:
    """A heading as it is read: no markup, no image, no anchor attribute."""
    children = _INLINE.parseInline(source[: 4 * LONGEST_HEADING])[0].children or []
    words = (
        " " if child.type.endswith("break") else child.content for child in children if child.type in _READ_IN_HEADINGS
    )
    return " ".join(_ANCHOR.sub("", "".join(words)).split())


_READ_IN_HEADINGS = frozenset({"text", "code_inline", "softbreak", "hardbreak"})

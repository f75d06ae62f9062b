"""Plain text is paragraphs; source code is what stands between blank lines at the outermost indentation."""

from collections.abc import Iterator

from groundswell.ingest.domain.blocks import BlockKind, LineSpan


def paragraph_spans(text: str, starts: list[int]) -> Iterator[LineSpan]:
    """One span for each run of lines that are not blank."""
    first: int | None = None
    for line in range(len(starts) - 1):
        blank = text[starts[line] : starts[line + 1]].isspace()
        if blank and first is not None:
            yield LineSpan(BlockKind.PARAGRAPH, first, line)
            first = None
        elif not blank and first is None:
            first = line
    if first is not None:
        yield LineSpan(BlockKind.PARAGRAPH, first, len(starts) - 1)


def code_spans(text: str, starts: list[int]) -> Iterator[LineSpan]:
    """One span for each part that starts, after a blank line, with a line that is not indented."""
    first, after_blank = 0, False
    for line in range(len(starts) - 1):
        content = text[starts[line] : starts[line + 1]]
        if content.isspace():
            after_blank = True
            continue
        if after_blank and not content[0].isspace() and line > first:
            yield LineSpan(BlockKind.CODE, first, line)
            first = line
        after_blank = False
    if len(starts) > 1:
        yield LineSpan(BlockKind.CODE, first, len(starts) - 1)

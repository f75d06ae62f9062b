"""From text to blocks: what a document is made of, and under which headings each part stands."""

from groundswell.ingest.domain.blocks import BlockKind, Outline, OutlineBuilder, line_starts
from groundswell.ingest.domain.decoding import FileType
from groundswell.ingest.domain.markdown_structure import front_matter_title, markdown_spans
from groundswell.ingest.domain.plain_structure import code_spans, paragraph_spans
from groundswell.ingest.domain.rst_structure import rst_spans

__all__ = ["BlockKind", "Outline", "outline"]

_READERS = {
    FileType.MARKDOWN: markdown_spans,
    FileType.RESTRUCTURED_TEXT: rst_spans,
    FileType.PLAIN_TEXT: paragraph_spans,
    FileType.SOURCE_CODE: code_spans,
}


def outline(text: str, file_type: FileType, name: str) -> Outline:
    """Blocks that partition `text`, and a title: the front matter's, else the title heading, else the file's name.

    Linear in the length of the text for any input.
    """
    starts = line_starts(text)
    builder = OutlineBuilder(text, starts)
    for span in _READERS[file_type](text, starts):
        builder.add(span)
    blocks = builder.finish()
    stated = front_matter_title(text) if file_type is FileType.MARKDOWN else None
    return Outline(stated or builder.title or name.replace("\\", "/").rsplit("/", 1)[-1], blocks)

"""Blocks partition the text; headings, code and tables are found where they are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundswell.ingest.domain.blocks import LONGEST_HEADING, Block, BlockKind
from groundswell.ingest.domain.decoding import FileType
from groundswell.ingest.domain.structure import outline

FRAGMENTS = [
    *(
        "# One\n",
        "## Two\n",
        "### Three `code` #\n",
        "Title\n=====\n",
        "Sub\n---\n",
        "text",
        " ",
        "\n",
        "\n\n",
        "\r\n",
        "\r",
    ),
    *("```py\nx = 1\n", "```\n", "~~~\n", "| a | b |\n|---|---|\n| 1 | 2 |\n", "- item\n", "  - inner\n", "1. first\n"),
    *(
        "    indented\n",
        "---\n",
        "---\ntitle: T\n---\n",
        "<div>\n",
        "[a]: http://x\n",
        "=====\nOver\n=====\n",
        "~~~~~\n",
    ),
    *(
        ".. note::\n   inside\n",
        ".. code-block:: py\n\n   x = 1\n",
        "+--+\n| a|\n+--+\n",
        "== ==\na  b\n== ==\n",
        "para::\n\n",
    ),
    *(
        "\u2028",
        "\x0b",
        "\x0c",
        "\u00e4\U0001f600",
        "def f():\n    pass\n",
        "*",
        "`",
        "|",
        "+++\n",
        ".. comment\n",
        "> quote\n",
    ),
]
documents = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=8), max_size=40).map("".join)


def blocks_of(text: str, file_type: FileType = FileType.MARKDOWN) -> tuple[Block, ...]:
    return outline(text, file_type, "file").blocks


def shape(text: str, file_type: FileType = FileType.MARKDOWN) -> list[tuple[str, str]]:
    return [(block.kind.value, text[block.start : block.end].strip()) for block in blocks_of(text, file_type)]


def paths(text: str, file_type: FileType = FileType.MARKDOWN) -> list[tuple[str, ...]]:
    return [block.heading_path for block in blocks_of(text, file_type) if block.kind is not BlockKind.HEADING]


@given(documents, st.sampled_from(FileType))
def test_blocks_partition_every_text(text: str, file_type: FileType) -> None:
    blocks = blocks_of(text, file_type)
    assert "".join(text[block.start : block.end] for block in blocks) == text
    assert all(block.start < block.end for block in blocks)
    assert [block.start for block in blocks[1:]] == [block.end for block in blocks[:-1]]


@given(documents, st.sampled_from(FileType))
def test_no_block_is_only_white_space_unless_the_text_is(text: str, file_type: FileType) -> None:
    if text.strip():
        assert all(text[block.start : block.end].strip() for block in blocks_of(text, file_type))


@given(documents, st.sampled_from(FileType))
def test_outlines_are_deterministic_and_always_have_a_title(text: str, file_type: FileType) -> None:
    assert outline(text, file_type, "file") == outline(text, file_type, "file")
    assert outline(text, file_type, "file").title


class TestMarkdown:
    def test_headings_of_both_kinds_nest(self) -> None:
        text = "intro\n\nTop\n===\na\n\nSub\n---\nb\n\n### Deep ###\nc\n\n# Other\nd\n"
        assert paths(text) == [(), ("Top",), ("Top", "Sub"), ("Top", "Sub", "Deep"), ("Other",)]

    def test_a_skipped_level_does_not_matter(self) -> None:
        assert paths("# A\n\n### C\nx\n\n## B\ny\n") == [("A", "C"), ("A", "B")]

    def test_a_heading_is_read_without_markup(self) -> None:
        text = "# The `run()` **method** of [Service](http://x/y_z) ![logo](l.png) { #the-run }\nx"
        assert outline(text, FileType.MARKDOWN, "f").title == "The run() method of Service"

    def test_a_comment_in_code_is_no_heading(self) -> None:
        text = "# A\n\n```sh\n# not a heading\n\nmore\n```\n\nafter\n"
        assert shape(text) == [
            ("heading", "# A"),
            ("code", "```sh\n# not a heading\n\nmore\n```"),
            ("paragraph", "after"),
        ]
        assert paths(text) == [("A",), ("A",)]

    def test_a_fence_that_is_never_closed_lasts_to_the_end(self) -> None:
        assert shape("a\n\n```\nb\n\n# c\n") == [("paragraph", "a"), ("code", "```\nb\n\n# c")]

    def test_tables_items_quotes_and_html_are_blocks(self) -> None:
        table, items = "| a | b |\n|---|---|\n| 1 | 2 |\n", "- one\n- two\n\n      code in two\n"
        text = f"{table}\n{items}\n> said\n\n<div>\nraw\n</div>\n\n***\n"
        assert [kind for kind, _ in shape(text)] == [
            "table",
            "list_item",
            "list_item",
            "code",
            "paragraph",
            "markup",
            "markup",
        ]

    def test_a_heading_inside_a_list_or_quote_opens_no_section(self) -> None:
        assert paths("# A\n\n> ## quoted\n\n- ## listed\n\nx\n") == [("A",), ("A",), ("A",)]

    def test_reference_definitions_are_covered(self) -> None:
        assert shape("see [a]\n\n[a]: http://x\n[b]: http://y\n\n# B\n") == [
            ("paragraph", "see [a]"),
            ("paragraph", "[a]: http://x\n[b]: http://y"),
            ("heading", "# B"),
        ]

    def test_front_matter_is_one_block_and_names_the_title(self) -> None:
        text = '---\ntitle: "How it works"\ntags: [a]\n---\n# Heading\ntext\n'
        outlined = outline(text, FileType.MARKDOWN, "f.md")
        assert outlined.title == "How it works"
        assert [block.kind for block in outlined.blocks] == [
            BlockKind.FRONT_MATTER,
            BlockKind.HEADING,
            BlockKind.PARAGRAPH,
        ]

    def test_a_thematic_break_at_the_start_is_no_front_matter(self) -> None:
        assert shape("---\n\n# A\n\n---\n")[0] == ("markup", "---")

    @pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
    def test_every_kind_of_newline_ends_a_line(self, newline: str) -> None:
        text = newline.join(["# A", "", "one", "two", "", "## B", "three"])
        assert paths(text) == [("A",), ("A", "B")]

    def test_an_endless_heading_is_kept_short(self) -> None:
        text = "# " + "word " * 10_000 + "\ntext\n"
        assert len(blocks_of(text)[-1].heading_path[0]) <= LONGEST_HEADING


class TestTitle:
    @pytest.mark.parametrize(
        ("text", "title"),
        [
            ("text\n\n## Part\n\n# Title\n\n# Other\n", "Title"),
            ("<img>\n\n## Opening\n\n## Other\n", "Opening"),
            ("text\n\n## Usage\n", "c.md"),
            ("no heading\n", "c.md"),
            ("#\n\ntext", "c.md"),
            ("---\ntitle:\n---\n# H\n", "H"),
        ],
    )
    def test_the_outermost_or_opening_heading_or_else_the_file_name(self, text: str, title: str) -> None:
        assert outline(text, FileType.MARKDOWN, "a/b/c.md").title == title


class TestRestructuredText:
    def test_levels_come_in_the_order_of_their_styles(self) -> None:
        text = "=====\nTitle\n=====\n\nintro\n\nOne\n===\n\na\n\nOne A\n-----\n\nb\n\nTwo\n===\n\nc\n"
        assert paths(text, FileType.RESTRUCTURED_TEXT) == [
            ("Title",),
            ("Title", "One"),
            ("Title", "One", "One A"),
            ("Title", "Two"),
        ]

    def test_a_title_is_read_without_markup(self) -> None:
        text = "The :func:`run` of ``x`` and `docs <http://y>`_\n===============================================\n"
        assert outline(text, FileType.RESTRUCTURED_TEXT, "f").title == "The run of x and docs"

    def test_literal_blocks_and_directives_are_code(self) -> None:
        text = (
            "Run this::\n\n    $ make\n\n    $ make test\n\nThen:\n\n"
            ".. code-block:: python\n   :linenos:\n\n   x = 1\n\n   y = 2\n\nafter\n"
        )
        assert shape(text, FileType.RESTRUCTURED_TEXT) == [
            ("paragraph", "Run this::"),
            ("code", "$ make\n\n    $ make test"),
            ("paragraph", "Then:"),
            ("code", ".. code-block:: python\n   :linenos:\n\n   x = 1\n\n   y = 2"),
            ("paragraph", "after"),
        ]

    def test_an_underline_inside_literal_text_is_no_title(self) -> None:
        text = "A\n=\n\nlike this::\n\n   Not a title\n   ===========\n\nx\n"
        assert paths(text, FileType.RESTRUCTURED_TEXT) == [("A",)] * 3

    def test_tables_stay_whole(self) -> None:
        grid = "+---+---+\n| a | b |\n+===+===+\n| 1 | 2 |\n+---+---+"
        simple = "===  ===\na    b\n===  ===\n1    2\n\n3    4\n===  ==="
        text = f"{grid}\n\n{simple}\n\n.. list-table::\n\n   * - a\n     - b\n\nend\n"
        assert [kind for kind, _ in shape(text, FileType.RESTRUCTURED_TEXT)] == ["table", "table", "table", "paragraph"]

    def test_items_notes_and_comments(self) -> None:
        text = "- one\n  more\n- two\n\n#. three\n\n.. note::\n   Mind the gap.\n\n.. a comment\n   goes on\n"
        assert [kind for kind, _ in shape(text, FileType.RESTRUCTURED_TEXT)] == [
            "list_item",
            "list_item",
            "list_item",
            "paragraph",
            "markup",
        ]

    def test_a_transition_is_no_title(self) -> None:
        assert paths("A\n=\n\none\n\n----\n\ntwo\n", FileType.RESTRUCTURED_TEXT) == [("A",)] * 3


class TestPlainTextAndCode:
    def test_paragraphs_are_split_by_blank_lines(self) -> None:
        assert shape("\n\none\ntwo\n \t\n# three\n", FileType.PLAIN_TEXT) == [
            ("paragraph", "one\ntwo"),
            ("paragraph", "# three"),
        ]

    def test_code_is_split_before_its_outermost_lines(self) -> None:
        text = "import a\nimport b\n\n\ndef f():\n    x = 1\n\n    return x\n\ndef g(): ...\n"
        assert shape(text, FileType.SOURCE_CODE) == [
            ("code", "import a\nimport b"),
            ("code", "def f():\n    x = 1\n\n    return x"),
            ("code", "def g(): ..."),
        ]


@pytest.mark.parametrize("file_type", FileType)
@pytest.mark.parametrize(
    "unit",
    [
        "# a\n",
        "a\n=\n",
        "> > - a\n",
        "|a|b|\n|-|-|\n",
        "[a]: <\n",
        "```\n",
        ".. a::\n\n",
        "== ==\n",
        "a::\n\n",
        " ",
        "`",
        "+-+\n",
        "\n",
    ],
)
def test_a_long_run_of_anything_is_outlined_within_the_timeout(unit: str, file_type: FileType) -> None:
    text = unit * (30_000 // len(unit))
    assert blocks_of(text, file_type)[-1].end == len(text)

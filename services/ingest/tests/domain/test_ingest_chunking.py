"""Cores partition the text, the embedded text keeps to the limit, and the structure shows."""

import hashlib
import re
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundswell.ingest.domain.blocks import Block, BlockKind
from groundswell.ingest.domain.chunking import Chunk, cut
from groundswell.ingest.domain.decoding import FileType
from groundswell.ingest.domain.limits import ChunkLimits
from groundswell.ingest.domain.structure import outline
from groundswell.ingest.domain.tokens import TokenOffsets

SMALL = ChunkLimits(
    limit_tokens=25, core_tokens=16, small_tokens=4, overlap_tokens=6, core_characters=200, overlap_characters=60
)
WORD = re.compile(r"\w+|[^\w\s]")


def words(text: str) -> list[tuple[int, int]]:
    return [match.span() for match in WORD.finditer(text)]


def word_pieces(text: str) -> list[tuple[int, int]]:
    """As WordPiece does it: pieces of up to four characters, but a word of over 30 is one unknown token."""
    pieces = []
    for start, end in words(text):
        if end - start > 30:
            pieces.append((start, end))
        else:
            pieces += [(at, min(at + 4, end)) for at in range(start, end, 4)]
    return pieces


def characters(text: str) -> list[tuple[int, int]]:
    return [(at, at + 1) for at in range(len(text))]


TOKENIZERS = [words, word_pieces, characters]
FRAGMENTS = [
    *(
        "# One\n\n",
        "## Two\n\n",
        "### Three\n\n",
        "A sentence here. ",
        "Another one, longer than the first! ",
        "word ",
        "\n\n",
    ),
    *(
        "```\nx = 1\ny = 2\n```\n\n",
        "| a | b |\n|---|---|\n| 1 | 2 |\n\n",
        "- item one\n",
        "- item two\n",
        "> quoted text\n\n",
    ),
    *(
        "a" * 70,
        "\u4e2d\u6587\u3002",
        "\U0001f468\u200d\U0001f469\u200d\U0001f467",
        "e\u0301",
        " ",
        "\t",
        "\r\n",
        "-" * 40,
        "    code\n",
    ),
]
documents = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=6), max_size=60).map("".join)
file_types = st.sampled_from(FileType)
tokenizers = st.sampled_from(TOKENIZERS)


def chunks_of(
    text: str,
    file_type: FileType = FileType.MARKDOWN,
    token_offsets: TokenOffsets = words,
    limits: ChunkLimits = SMALL,
) -> Sequence[Chunk]:
    return cut(text, outline(text, file_type, "file").blocks, token_offsets, limits)


def cores(text: str, file_type: FileType = FileType.MARKDOWN, limits: ChunkLimits = SMALL) -> list[str]:
    return [text[chunk.start : chunk.end] for chunk in chunks_of(text, file_type, limits=limits)]


class TestEveryText:
    @given(documents, file_types, tokenizers)
    def test_cores_partition_it(self, text: str, file_type: FileType, tokenizer: TokenOffsets) -> None:
        chunks = chunks_of(text, file_type, tokenizer)
        assert "".join(text[chunk.start : chunk.end] for chunk in chunks) == text
        assert [chunk.ordinal for chunk in chunks] == list(range(len(chunks)))
        assert all(chunk.start < chunk.end for chunk in chunks)

    @given(documents, file_types, tokenizers)
    def test_the_embedded_text_keeps_to_the_limit(
        self, text: str, file_type: FileType, tokenizer: TokenOffsets
    ) -> None:
        for chunk in chunks_of(text, file_type, tokenizer):
            embedded = text[chunk.overlap_start : chunk.end]
            assert len(tokenizer(embedded)) <= SMALL.limit_tokens or len(embedded.strip()) <= 1

    @given(documents, file_types, tokenizers)
    def test_the_overlap_lies_in_the_core_before(self, text: str, file_type: FileType, tokenizer: TokenOffsets) -> None:
        chunks = chunks_of(text, file_type, tokenizer)
        for before, chunk in pairwise(chunks):
            assert before.start <= chunk.overlap_start <= chunk.start
            assert len(tokenizer(text[chunk.overlap_start : chunk.start])) <= SMALL.limit_tokens
        assert not chunks or chunks[0].overlap_start == 0

    @given(documents, file_types, tokenizers)
    def test_the_hash_is_of_overlap_and_core(self, text: str, file_type: FileType, tokenizer: TokenOffsets) -> None:
        for chunk in chunks_of(text, file_type, tokenizer):
            embedded = text[chunk.overlap_start : chunk.end].encode()
            assert chunk.content_hash == hashlib.sha256(embedded).hexdigest()

    @given(documents, file_types, tokenizers)
    def test_no_core_is_only_white_space(self, text: str, file_type: FileType, tokenizer: TokenOffsets) -> None:
        if text.strip():
            assert all(text[chunk.start : chunk.end].strip() for chunk in chunks_of(text, file_type, tokenizer))

    @given(documents, file_types)
    def test_cutting_is_deterministic(self, text: str, file_type: FileType) -> None:
        assert chunks_of(text, file_type) == chunks_of(text, file_type)

    @given(documents, file_types)
    def test_characters_are_bounded_but_for_blanks(self, text: str, file_type: FileType) -> None:
        for chunk in chunks_of(text, file_type):
            longest_gap = max((len(gap) for gap in re.findall(r"\s+", text)), default=0)
            assert len(text[chunk.start : chunk.end].strip()) <= SMALL.core_characters + longest_gap

    @given(documents, file_types)
    def test_the_heading_path_holds_for_all_text_of_the_core(self, text: str, file_type: FileType) -> None:
        blocks = [block for block in outline(text, file_type, "f").blocks if block.kind is not BlockKind.HEADING]
        for chunk in chunks_of(text, file_type):
            inside = [block for block in blocks if block.start < chunk.end and block.end > chunk.start]
            assert all(block.heading_path[: len(chunk.heading_path)] == chunk.heading_path for block in inside)

    @given(documents)
    @settings(max_examples=200)
    def test_a_block_that_fits_is_never_cut(self, text: str) -> None:
        inner_cuts = {chunk.start for chunk in chunks_of(text)}
        for block in outline(text, FileType.MARKDOWN, "f").blocks:
            fits = len(words(text[block.start : block.end])) <= SMALL.limit_tokens * 0.9
            if fits and block.end - block.start <= SMALL.core_characters:
                assert not any(block.start < offset < block.end for offset in inner_cuts)


class TestStructure:
    def test_a_section_is_a_chunk_with_its_path(self) -> None:
        install, use = "## Install\n\nRun the setup now please.\n", "## Use\n\nCall it from code, always.\n"
        text = f"# Guide\n\nIntro of some words here.\n\n{install}\n{use}"
        assert [
            (chunk.heading_path, text[chunk.start : chunk.end].partition("\n")[0]) for chunk in chunks_of(text)
        ] == [
            (("Guide",), "# Guide"),
            (("Guide", "Install"), "## Install"),
            (("Guide", "Use"), "## Use"),
        ]

    def test_a_title_alone_stays_with_the_first_section(self) -> None:
        text = "# Guide\n\n## Install\n\nRun the setup now please.\n"
        assert [chunk.heading_path for chunk in chunks_of(text)] == [("Guide", "Install")]

    def test_every_section_is_a_chunk_of_its_own_however_small(self) -> None:
        text = "# Names\n\n## a\n\nx\n\n## b\n\ny\n\n## c\n\nz\n"
        assert [chunk.heading_path for chunk in chunks_of(text, limits=ChunkLimits())] == [
            ("Names", "a"),
            ("Names", "b"),
            ("Names", "c"),
        ]

    def test_a_fence_with_blank_lines_is_kept_whole(self) -> None:
        fence = "```py\na = 1\n\nb = 2\n\nc = 3\n```\n"
        text = (
            f"Some words that come before it, ten or more of them.\n\n{fence}\nAnd some words after it, quite a few.\n"
        )
        assert any(fence in core for core in cores(text))

    def test_a_long_fence_is_cut_between_lines(self) -> None:
        lines = "".join(f"value_{number} = {number}\n" for number in range(40))
        for core in cores(f"```py\n{lines}```\n"):
            assert core.endswith("\n")

    def test_a_long_paragraph_is_cut_between_sentences(self) -> None:
        text = " ".join(f"Sentence number {number} is here." for number in range(20))
        assert all(core.rstrip().endswith(".") and core.startswith("Sentence") for core in cores(text))

    def test_the_overlap_is_whole_sentences(self) -> None:
        text = " ".join(f"Number {number} is here." for number in range(20))
        overlaps = [text[chunk.overlap_start : chunk.start] for chunk in chunks_of(text)][1:]
        assert overlaps
        assert all(re.fullmatch(r"(Number \d+ is here\. )+", overlap) for overlap in overlaps)

    def test_nothing_overlaps_across_a_heading(self) -> None:
        text = "# A\n\nSome words of the first section.\n\n# B\n\nSome words of the second section.\n"
        assert all(chunk.overlap_start == chunk.start for chunk in chunks_of(text))

    def test_a_small_rest_joins_the_core_before(self) -> None:
        text = "".join(f"Paragraph of six words number {number}.\n\n" for number in range(2)) + "End.\n\n# Next\n\nx\n"
        assert "End." in cores(text)[0]

    def test_renaming_a_heading_changes_only_the_chunk_that_holds_its_text(self) -> None:
        body = "\n\n".join(
            f"This is paragraph number {number} of the section, it has some words." for number in range(8)
        )
        before, after = (chunks_of(f"# {title}\n\n{body}\n") for title in ("Old", "New"))
        changed = {chunk.content_hash for chunk in after} - {chunk.content_hash for chunk in before}
        assert len(changed) == 1


class TestTextWithoutBreaks:
    def test_an_endless_word_is_cut_by_characters(self) -> None:
        assert {len(core) for core in cores("a" * 1_000)} == {SMALL.core_characters}

    def test_combined_characters_stay_together(self) -> None:
        for unit in ("e\u0301", "\U0001f468\u200d\U0001f469\u200d\U0001f467"):
            assert all(core.startswith(unit[0]) for core in cores("x" + unit * 300)[1:])

    def test_scripts_without_spaces_are_cut_at_sentences(self) -> None:
        text = "\u6587\u5b57\u304c\u3042\u308b\u3002" * 60
        ends = [core[-1] for core in (text[c.start : c.end] for c in chunks_of(text, token_offsets=characters))]
        assert set(ends) == {"\u3002"}

    def test_a_huge_line_is_cut_after_blanks(self) -> None:
        assert all(core.endswith((" ", "word")) for core in cores("word " * 500 + "word"))


@pytest.mark.parametrize("file_type", FileType)
@pytest.mark.parametrize(
    "unit",
    [
        "word ",
        "a",
        "Sentence here. ",
        "\n\n\n\n\n\n\n\nx",
        "# h\n\nt\n\n",
        "```\n",
        "`",
        "- a\n",
        "\u3042",
        "a" * 99 + " ",
        "\u0301",
    ],
)
def test_a_long_text_of_anything_is_cut_within_the_timeout(unit: str, file_type: FileType) -> None:
    text = unit * (40_000 // len(unit))
    chunks = chunks_of(text, file_type, word_pieces, ChunkLimits())
    assert chunks[-1].end == len(text)


@pytest.mark.parametrize("unit", ["a", "Sentence here. "])
def test_a_megabyte_without_structure_is_cut_within_the_timeout(unit: str) -> None:
    text = unit * (1_000_000 // len(unit))
    assert chunks_of(text, FileType.PLAIN_TEXT, words, ChunkLimits())[-1].end == len(text)


def test_work_grows_with_the_text_and_no_faster() -> None:
    """Counted in characters given to the tokenizer, which no load of the machine changes."""

    def tokenised(repeats: int) -> int:
        seen = 0

        def counting(text: str) -> list[tuple[int, int]]:
            nonlocal seen
            seen += len(text)
            return words(text)

        chunks_of(
            "# Part\n\n" + "A sentence of some words. " * 30 * repeats, FileType.MARKDOWN, counting, ChunkLimits()
        )
        return seen

    assert tokenised(80) <= 2.2 * tokenised(40)


def test_blocks_that_do_not_start_at_zero_are_no_problem() -> None:
    text = "a b c"
    blocks = (Block(BlockKind.PARAGRAPH, 0, 2, ()), Block(BlockKind.PARAGRAPH, 2, 5, ()))
    assert [chunk.end for chunk in cut(text, blocks, words, SMALL)] == [5]

"""Chunks: cores that partition a text along its structure, each with an overlap from the core before."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from groundswell.ingest.domain.blocks import Block, BlockKind
from groundswell.ingest.domain.cores import Core, pack
from groundswell.ingest.domain.limits import ChunkLimits
from groundswell.ingest.domain.pieces import divide, ends_of_pieces
from groundswell.ingest.domain.tokens import TokenOffsets, TokenStarts

_NEAR_THE_LIMIT = 0.9


@dataclass(frozen=True, slots=True)
class Chunk:
    """The core is `[start, end)` and what is embedded `[overlap_start, end)`, in code points of the document's text.

    `content_hash` is the sha256 (hex) of the embedded text in UTF-8. The heading path is no part of it.
    """

    ordinal: int
    start: int
    end: int
    overlap_start: int
    heading_path: tuple[str, ...]
    content_hash: str


def cut(text: str, blocks: Sequence[Block], token_offsets: TokenOffsets, limits: ChunkLimits) -> tuple[Chunk, ...]:
    """The chunks of `text`, whose blocks partition it. Deterministic, and linear in the length of the text.

    Counts of parts are taken from one pass over the whole; where a cut inside a word or a count near the limit makes
    them doubtful, the part is tokenised again, so that `limit_tokens` holds for what is embedded.
    """
    return _Cutter(text, token_offsets, limits).chunks(blocks)


class _Cutter:
    def __init__(self, text: str, token_offsets: TokenOffsets, limits: ChunkLimits) -> None:
        self._text = text
        self._token_offsets = token_offsets
        self._limits = limits
        self._tokens = TokenStarts(text, token_offsets)

    def chunks(self, blocks: Sequence[Block]) -> tuple[Chunk, ...]:
        chunks: list[Chunk] = []
        before: Core | None = None
        for packed in pack(self._text, blocks, self._tokens, self._limits):
            for core in self._within_limit(packed):
                overlap_start = self._overlap_start(before, core)
                embedded = self._text[overlap_start : core.end].encode()
                content_hash = hashlib.sha256(embedded).hexdigest()
                chunks.append(Chunk(len(chunks), core.start, core.end, overlap_start, core.heading_path, content_hash))
                before = core
        return tuple(chunks)

    def _within_limit(self, core: Core) -> Iterator[Core]:
        if not self._exceeds(core.start, core.end):
            yield core
            return
        parts = self._halves(core)
        if len(parts) == 1:
            yield core
            return
        for part in parts:
            yield from self._within_limit(part)

    def _halves(self, core: Core) -> list[Core]:
        most_characters = max(1, (core.end - core.start) // 2)
        ends = divide(
            self._text,
            core.start,
            core.end,
            self._tokens,
            most_tokens=max(1, core.tokens // 2),
            most_characters=most_characters,
        )
        halves: list[Core] = []
        start = core.start
        for end in ends:
            tail = core.tail if core.tail.start < end else Block(BlockKind.CODE, start, core.end, core.heading_path)
            opens = core.opens_section and not halves
            halves.append(
                replace(
                    core, start=start, end=end, tokens=self._tokens.count(start, end), opens_section=opens, tail=tail
                )
            )
            start = end
        return halves

    def _exceeds(self, start: int, end: int) -> bool:
        """Whether `[start, end)` is certain to be over the limit; tokenises it only where the count is in doubt."""
        estimate = self._tokens.count(start, end)
        if (
            estimate <= self._limits.limit_tokens * _NEAR_THE_LIMIT
            and self._between_words(start)
            and self._between_words(end)
        ):
            return False
        return len(self._token_offsets(self._text[start:end])) > self._limits.limit_tokens

    def _between_words(self, offset: int) -> bool:
        return offset in {0, len(self._text)} or self._text[offset - 1].isspace() or self._text[offset].isspace()

    def _overlap_start(self, before: Core | None, core: Core) -> int:
        """Where the whole sentences (of code or a table: lines) start that are repeated; none are across a heading."""
        if before is None or core.opens_section:
            return core.start
        tail = before.tail
        is_cut = tail.end > core.start
        if not (is_cut or tail.kind.is_prose or tail.kind is BlockKind.HEADING):
            return core.start
        start = self._furthest_piece(tail.kind, max(before.start, tail.start), core)
        return core.start if start < core.start and self._exceeds(start, core.end) else start

    def _furthest_piece(self, kind: BlockKind, region_start: int, core: Core) -> int:
        room = min(self._limits.overlap_tokens, self._limits.limit_tokens - core.tokens)
        earliest = core.start - self._limits.overlap_characters
        pieces = [region_start, *ends_of_pieces(self._text, kind, region_start, core.start)]
        for start in pieces:
            if start >= earliest and self._tokens.count(start, core.start) <= room:
                return start
        return core.start

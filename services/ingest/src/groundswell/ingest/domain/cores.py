"""Packing blocks into cores."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil

from groundswell.ingest.domain.blocks import Block, BlockKind
from groundswell.ingest.domain.limits import ChunkLimits
from groundswell.ingest.domain.pieces import divide, ends_of_pieces
from groundswell.ingest.domain.tokens import TokenStarts


@dataclass(frozen=True, slots=True)
class Core:
    """`[start, end)`; `heading_path` is what the paths of its text have in common; its end lies in the block `tail`."""

    start: int
    end: int
    tokens: int
    heading_path: tuple[str, ...]
    opens_section: bool
    has_text: bool
    tail: Block


def pack(text: str, blocks: Sequence[Block], tokens: TokenStarts, limits: ChunkLimits) -> list[Core]:
    """Cores that partition the blocks.

    A heading starts a core, so that each core lies in one section and a citation names it exactly; it stays with what
    follows it where there is room. A block that fits into `limit_tokens` is never cut.
    """
    packer = _Packer(text, tokens, limits)
    for block in blocks:
        packer.add(block)
    return packer.finish()


class _Packer:
    def __init__(self, text: str, tokens: TokenStarts, limits: ChunkLimits) -> None:
        self._text = text
        self._tokens = tokens
        self._limits = limits
        self._cores: list[Core] = []
        self._open: Core | None = None

    def add(self, block: Block) -> None:
        count = self._tokens.count(block.start, block.end)
        if self._closes_before(block, count):
            self._close()
        if self._has_room(block.start, block.end, count, self._limits.limit_tokens):
            self._extend(block, block.start, block.end, count)
        else:
            self._add_in_pieces(block, count)

    def finish(self) -> list[Core]:
        self._close()
        return self._cores

    def _closes_before(self, block: Block, count: int) -> bool:
        core, limits = self._open, self._limits
        if core is None:
            return False
        is_small = core.tokens < limits.small_tokens
        if core.has_text and block.kind is BlockKind.HEADING:
            return True
        most_tokens = limits.limit_tokens if is_small or not core.has_text else limits.core_tokens
        if self._has_room(block.start, block.end, count, most_tokens):
            return False
        fits_alone = count <= limits.limit_tokens and block.end - block.start <= limits.core_characters
        return fits_alone or (core.has_text and not is_small)

    def _has_room(self, start: int, end: int, count: int, most_tokens: int) -> bool:
        start, used = (self._open.start, self._open.tokens) if self._open else (start, 0)
        return used + count <= most_tokens and end - start <= self._limits.core_characters

    def _add_in_pieces(self, block: Block, count: int) -> None:
        total = count + (self._open.tokens if self._open else 0)
        goal = ceil(total / ceil(total / self._limits.core_tokens)) if total else 1
        start = block.start
        for end in self._pieces(block, goal):
            count = self._tokens.count(start, end)
            roomy = self._open is not None and not self._open.has_text
            if self._open and not self._has_room(start, end, count, self._limits.limit_tokens if roomy else goal):
                self._close()
            self._extend(block, start, end, count)
            start = end

    def _pieces(self, block: Block, goal: int) -> Iterator[int]:
        start, limits = block.start, self._limits
        for end in ends_of_pieces(self._text, block.kind, block.start, block.end):
            if self._tokens.count(start, end) <= goal and end - start <= limits.core_characters:
                yield end
            else:
                yield from divide(
                    self._text, start, end, self._tokens, most_tokens=goal, most_characters=limits.core_characters
                )
            start = end

    def _extend(self, block: Block, start: int, end: int, count: int) -> None:
        is_heading, core = block.kind is BlockKind.HEADING, self._open
        if core is None:
            self._open = Core(start, end, count, block.heading_path, is_heading, not is_heading, block)
            return
        path = block.heading_path
        if core.has_text:
            # A heading at the end names what is not in the core yet.
            path = core.heading_path if is_heading else _common(core.heading_path, path)
        self._open = replace(
            core,
            end=end,
            tokens=core.tokens + count,
            heading_path=path,
            has_text=core.has_text or not is_heading,
            tail=block,
        )

    def _close(self) -> None:
        core, self._open = self._open, None
        if core is None:
            return
        before = self._mergeable(core)
        if before is None:
            self._cores.append(core)
        else:
            self._cores[-1] = replace(before, end=core.end, tokens=before.tokens + core.tokens, tail=core.tail)

    def _mergeable(self, core: Core) -> Core | None:
        """The core before, where it is of the same section and has room for a small rest."""
        before = self._cores[-1] if self._cores else None
        if (
            before is None
            or core.tokens >= self._limits.small_tokens
            or core.opens_section
            or before.heading_path != core.heading_path
        ):
            return None
        fits = (
            before.tokens + core.tokens <= self._limits.limit_tokens
            and core.end - before.start <= self._limits.core_characters
        )
        return before if fits else None


def _common(left: tuple[str, ...], right: tuple[str, ...]) -> tuple[str, ...]:
    length = 0
    for one, other in zip(left, right, strict=False):
        if one != other:
            break
        length += 1
    return left[:length]

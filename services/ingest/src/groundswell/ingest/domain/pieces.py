"""Parts of a block that may end a core: sentences or lines, and parts of those that are too long."""

import re
import unicodedata
from collections.abc import Iterator

from groundswell.ingest.domain.blocks import BlockKind
from groundswell.ingest.domain.sentences import sentence_ends
from groundswell.ingest.domain.tokens import TokenStarts

_LINE_END = re.compile(r"(?:\r\n?|\n)(?:[^\S\r\n]*+(?:\r\n?|\n))*+")
_BLANKS = re.compile(r"\s+")
_LONGEST_CLUSTER = 32
_ATTACHED = frozenset({"Mn", "Mc", "Me", "Cf", "Sk"})
_ZERO_WIDTH_JOINER = "\u200d"


def ends_of_pieces(text: str, kind: BlockKind, start: int, end: int) -> Iterator[int]:
    """The ends of the sentences (prose) or lines (all else) that partition `text[start:end]`.

    No piece is only white space, unless the whole is.
    """
    ink = first_ink(text, start, end)
    last_ink = start + len(text[start:end].rstrip())
    for piece_end in sentence_ends(text, ink, end) if kind.is_prose else _line_ends(text, ink, end):
        if piece_end >= last_ink:
            break
        yield piece_end
    if start < end:
        yield end


def divide(
    text: str, start: int, end: int, tokens: TokenStarts, *, most_tokens: int, most_characters: int
) -> Iterator[int]:
    """The ends of parts of `text[start:end]` that keep to both limits, cut after white space where there is some.

    White space around a part belongs to it and does not count.
    """
    while start < end:
        ink = first_ink(text, start, end)
        stop = tokens.end_of(start, most_tokens, min(end, ink + most_characters))
        start = end if stop >= end else _cut(text, ink, max(stop, ink + 1), end)
        yield start


def first_ink(text: str, start: int, end: int) -> int:
    """Where the white space that `text[start:end]` starts with ends."""
    blanks = _BLANKS.match(text, start, end)
    return blanks.end() if blanks else start


def _line_ends(text: str, start: int, end: int) -> Iterator[int]:
    return (match.end() for match in _LINE_END.finditer(text, start, end))


def _cut(text: str, ink: int, stop: int, end: int) -> int:
    """Where to cut in the second half of `[ink, stop)`: after white space, else between characters as they are seen."""
    if text[stop].isspace() or text[stop - 1].isspace():
        return first_ink(text, stop, end)
    middle = ink + (stop - ink) // 2
    for match in reversed(list(_BLANKS.finditer(text, middle, stop))):
        if match.end() > ink:
            return match.end()
    for offset in range(stop, max(ink, stop - _LONGEST_CLUSTER), -1):
        if unicodedata.category(text[offset]) not in _ATTACHED and text[offset - 1] != _ZERO_WIDTH_JOINER:
            return offset
    return stop

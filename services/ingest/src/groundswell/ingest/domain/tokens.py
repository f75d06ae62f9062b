"""Token counts of any part of a text, after tokenising it once."""

import re
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence

TokenOffsets = Callable[[str], Sequence[tuple[int, int]]]
"""The `[start, end)` of every token of a text in code points, special tokens left out, in the order of the text."""

_WINDOW = 65_536
_BLANKS = re.compile(r"\s+")


class TokenStarts:
    """Where tokens start in a text. Counts are exact between white space and near enough inside words.

    The text is tokenised in windows that end after white space, so that memory stays flat and no word is cut.
    """

    def __init__(self, text: str, token_offsets: TokenOffsets) -> None:
        self._starts = array("q")
        for first, end in _windows(text):
            self._starts.extend(first + start for start, _ in token_offsets(text[first:end]))

    def count(self, start: int, end: int) -> int:
        return bisect_left(self._starts, end) - bisect_left(self._starts, start)

    def end_of(self, start: int, tokens: int, limit: int) -> int:
        """The furthest offset up to `limit` such that `[start, offset)` holds at most `tokens` tokens."""
        index = bisect_left(self._starts, start) + tokens
        return min(limit, self._starts[index]) if index < len(self._starts) else limit


def _windows(text: str) -> Iterator[tuple[int, int]]:
    first = 0
    while first < len(text):
        end = first + _WINDOW
        blank = _BLANKS.search(text, end) if end < len(text) else None
        end = blank.end() if blank else len(text)
        yield first, end
        first = end

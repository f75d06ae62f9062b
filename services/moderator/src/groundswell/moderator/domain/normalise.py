"""A copy of a text in which disguises are gone, with the way back to the code points of the original."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from groundswell.moderator.domain.lookalikes import LOOKALIKES

_ONE_TO_ONE = "\u3400-\u4dbf\u4e00-\u9fff\ue000-\uf8ff\U00020000-\U0002f7ff\U0002fa20-\U000dffff\U000f0000-\U0010ffff"
"""Ideographs, private and unassigned planes fold to themselves, and are too many for the cache of folded characters."""
_PIECES = re.compile(rf"(?P<plain>[!-~{_ONE_TO_ONE}]+)|\s+|.", re.DOTALL)
_CACHED_CHARACTERS = 2**18
_LONGEST_FOLD = 4
"""One code point can stand for 18 (a whole phrase): no disguise, but a way to make a small text large."""
_INVISIBLE_LETTERS = frozenset("\u115f\u1160\u3164\uffa0\u2800")
_LATIN_MARKS = ((0x0300, 0x036F), (0x1AB0, 0x1AFF), (0x1DC0, 0x1DFF), (0x20D0, 0x20FF), (0xFE20, 0xFE2F))
_VARIATION_SELECTORS = ((0x180B, 0x180F), (0xFE00, 0xFE0F), (0xE0100, 0xE01EF))


@dataclass(frozen=True)
class Normalised:
    """`text[i]` came from `source[positions[i]]`; what is not in `text` is invisible or repeated white space."""

    source: str
    text: str
    positions: tuple[int, ...]

    def start_in_source(self, index: int) -> int:
        """Where `text[index:]` begins in the source; the source's end for the end."""
        return self.positions[index] if index < len(self.text) else len(self.source)

    def end_in_source(self, index: int) -> int:
        """Where `text[:index]` ends in the source."""
        return self.positions[index - 1] + 1 if index else 0

    def visible(self, start: int, end: int) -> str:
        """The characters of the source behind `text[start:end]`, in their own case."""
        return "".join(self.source[position] for position in self.positions[start:end])


def normalise(text: str) -> Normalised:
    """Fold case, compatibility forms, accents of Latin letters, digits of all scripts and look-alikes; drop controls
    and invisible characters; collapse white space to one space.

    Each code point is folded on its own, unlike in NFKC, so that a window folds as it would inside the whole text.
    Linear in the length of the text.
    """
    pieces: list[str] = []
    positions: list[int] = []
    after_space = False
    for match in _PIECES.finditer(text):
        piece = match.group()
        if match["plain"]:
            pieces.append(piece.lower())
            positions.extend(range(match.start(), match.end()))
            after_space = False
            continue
        for char in " " if piece.isspace() else fold(piece):
            if char != " " or not after_space:
                pieces.append(char)
                positions.append(match.start())
            after_space = char == " "
    return Normalised(text, "".join(pieces), tuple(positions))


@lru_cache(maxsize=_CACHED_CHARACTERS)
def fold(char: str) -> str:
    """What one code point stands for: nothing, one character or several."""
    folded = "".join(_fold_once(char))
    if len(folded) > _LONGEST_FOLD:
        return char
    return folded if folded == char else "".join(fold(each) for each in folded)


def _fold_once(char: str) -> Iterable[str]:
    for part in unicodedata.normalize("NFKD", LOOKALIKES.get(char, char)).casefold():
        if part.isspace():
            yield " "
        elif (digit := unicodedata.digit(part, None)) is not None:
            yield str(digit)
        elif not _is_invisible(part):
            yield LOOKALIKES.get(part, part)


def _is_invisible(char: str) -> bool:
    code = ord(char)
    return (
        unicodedata.category(char) in {"Cc", "Cf", "Cs", "Me"}
        or char in _INVISIBLE_LETTERS
        or any(first <= code <= last for first, last in (*_LATIN_MARKS, *_VARIATION_SELECTORS))
    )

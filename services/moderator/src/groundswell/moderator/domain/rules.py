"""What a rule is: a category, whom it concerns, what the client is told, and a finder of forbidden spans."""

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import regex

from groundswell.common.contracts.moderation import TextRole
from groundswell.moderator.domain.normalise import Normalised, normalise

BOTH = frozenset(TextRole)
INPUT = frozenset({TextRole.INPUT})
ANSWER = frozenset({TextRole.ANSWER, TextRole.PASSAGE})
"""What a client may see: generated, or quoted from a document."""

_NEVER = "\ufdd0"
"""A noncharacter that no text ends with by chance: an expression that demands it next can only match in part."""

Accept = Callable[[Normalised, int, int], bool]
"""Whether the span of the normalised text that an expression matched is really what the rule means."""


@dataclass(frozen=True, order=True)
class Span:
    """`[start, end)` of a normalised text."""

    start: int
    end: int


class Finder(Protocol):
    """Finds forbidden spans of a normalised text, all of them no longer than `longest` characters."""

    @property
    def longest(self) -> int: ...

    def spans(self, text: Normalised) -> Iterator[Span]:
        """Forbidden spans by ascending start."""

    def open_from(self, text: Normalised) -> int:
        """The start of the longest suffix that could become, or turn out to be, a forbidden span if more text follows.

        `len(text.text)` if there is none.
        """


@dataclass(frozen=True)
class Rule:
    """`reason` is shown to the client: it says what to do and quotes nothing of the text."""

    name: str
    category: str
    roles: frozenset[TextRole]
    reason: str
    finder: Finder

    @property
    def longest(self) -> int:
        """Its longest match, in normalised characters."""
        return self.finder.longest


def always(_text: Normalised, _start: int, _end: int) -> bool:
    return True


@dataclass(frozen=True)
class Expression:
    """A bounded regular expression over normalised (so lower-case) text; `longest` states its widest match.

    Linear: no attempt at a start looks at more than `longest` characters. After its match an expression looks ahead one
    character at most.
    """

    pattern: str
    longest: int
    accept: Accept = always

    def spans(self, text: Normalised) -> Iterator[Span]:
        match = self._whole.search(text.text)
        while match is not None:
            if self.accept(text, match.start(), match.end()):
                yield Span(match.start(), match.end())
            match = self._whole.search(text.text, pos=match.start() + 1)

    def open_from(self, text: Normalised) -> int:
        tail = max(0, len(text.text) - self.longest)
        match = self._unfinished.search(text.text, pos=tail, partial=True)
        return match.start() if match else len(text.text)

    @cached_property
    def _whole(self) -> "regex.Pattern[str]":
        return regex.compile(self.pattern)

    @cached_property
    def _unfinished(self) -> "regex.Pattern[str]":
        return regex.compile(f"(?:{self.pattern}){_NEVER}")


@dataclass(frozen=True)
class Phrases:
    """Literal strings, forbidden wherever they stand, however they are written; each must normalise to something."""

    strings: tuple[str, ...]
    _folded: tuple[str, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        folded = tuple(dict.fromkeys(normalise(string.strip()).text for string in self.strings))
        if not all(folded):
            raise ValueError("a forbidden string is empty once invisible characters are gone")
        object.__setattr__(self, "_folded", folded)

    @property
    def longest(self) -> int:
        return max(map(len, self._folded), default=0)

    def spans(self, text: Normalised) -> Iterator[Span]:
        yield from heapq.merge(*(_places(text.text, string) for string in self._folded))

    def open_from(self, text: Normalised) -> int:
        known = min(len(text.text), self.longest - 1)
        beginnings = (len(text.text) - size for size in range(known, 0, -1) if text.text[-size:] in self._beginnings)
        return next(beginnings, len(text.text))

    @cached_property
    def _beginnings(self) -> frozenset[str]:
        return frozenset(string[:size] for string in self._folded for size in range(1, len(string)))


def _places(text: str, string: str) -> Iterator[Span]:
    place = text.find(string)
    while place >= 0:
        yield Span(place, place + len(string))
        place = text.find(string, place + 1)

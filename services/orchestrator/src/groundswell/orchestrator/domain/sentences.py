"""Sentences of running text, as code point ranges."""

import re

_ABBREVIATIONS = ("e.g", "i.e", "etc", "vs", "cf", "Dr", "Mr", "Mrs", "Ms", "Prof", "St", "No", "Fig", "Eq", "Sec")
_NOT_AFTER = "".join(rf"(?<!\b{re.escape(word)})" for word in _ABBREVIATIONS)
_FINAL = r".!?\u3002\uff01\uff1f"  # with the full-width marks of Chinese and Japanese
_CLOSING = r"\"'\u201d\u2019)\]`*_"
_END = re.compile(rf"{_NOT_AFTER}[{_FINAL}]+[{_CLOSING}]*(?=\s)|(?<=\S)(?=\s*\n)")


def sentence_ends(text: str, start: int = 0) -> list[int]:
    """Where sentences end after `start`: before the white space behind their final mark. A line break ends one too."""
    return [match.end() for match in _END.finditer(text, start) if match.end() > start]


def sentence_ranges(text: str) -> list[tuple[int, int]]:
    """The sentences of `text` without surrounding white space; what has no end mark is one too."""
    ranges = []
    start = 0
    for end in [*sentence_ends(text), len(text)]:
        first = start + len(text[start:end]) - len(text[start:end].lstrip())
        last = start + len(text[start:end].rstrip())
        if last > first:
            ranges.append((first, last))
        start = max(start, end)
    return ranges

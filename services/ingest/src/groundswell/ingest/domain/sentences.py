"""Where sentences end in technical prose: rules that know abbreviations, decimals, versions and inline code."""

import re
from collections.abc import Iterator

# The look-behinds and possessive quantifiers keep runs of dots or blanks linear.
_BOUNDARY = re.compile(
    r"""(?<![.!?\u2026])(?P<mark>[.!?\u2026]++)["'\u201d\u2019\u00bb)\]*_`]*+\s++"""
    r"|(?P<wide>[\u3002\uff01\uff1f\uff61]++[\u300d\u300f\u201d\u2019\uff09]*+\s*+)"
    r"|\r?\n[ \t]*+\r?\n\s*+"
)
_PARAGRAPH_END = re.compile(r"\n[ \t]*+\r?\n")
_LONGEST_ABBREVIATION = 12
_OPENERS = "([{\"'\u201c\u2018\u00ab*_"
_ABBREVIATION_NAMES = """
al approx apr assoc aug bros ca cf ch co corp dec dept dr ed eds eq est etc ex feb fig figs gen gov hon inc incl jan jr
jul jun ltd mar max min mr mrs ms mt nov no nos nr oct p pp pt prof ref refs rev sec sect sen sep sept sr st vol vs viz
e.g i.e a.m p.m u.s u.k u.s.a ph.d n.b w.r.t a.k.a z.b d.h
"""
_ABBREVIATIONS = frozenset(_ABBREVIATION_NAMES.split())


def sentence_ends(text: str, start: int, end: int) -> Iterator[int]:
    """The ends of the sentences that partition `text[start:end]`; white space belongs to the sentence before it."""
    inside_code, counted = False, start
    for match in _BOUNDARY.finditer(text, start, end):
        if match.end() >= end:
            break
        if text.count("`", counted, match.start()) % 2:
            inside_code = not inside_code
        counted = match.start()
        if _PARAGRAPH_END.search(match[0]):
            inside_code = False
            yield match.end()
        elif not inside_code and (match["wide"] or _ends_here(text, start, match)):
            yield match.end()
    if start < end:
        yield end


def _ends_here(text: str, start: int, match: re.Match[str]) -> bool:
    following = text[match.end() : match.end() + 3].lstrip(_OPENERS)[:1]
    if following.islower():
        return False
    if match["mark"] != ".":
        return True
    before = text[max(start, match.start() - _LONGEST_ABBREVIATION) : match.start()]
    word = re.split(r"[\s(\[\"'\u201c\u2018]", before)[-1]
    if word.isdecimal():
        return not _opens_line(text, start, match.start() - len(word))
    is_initial = len(word) == 1 and word.isupper() and word != "I"
    return not is_initial and word.lower() not in _ABBREVIATIONS


def _opens_line(text: str, start: int, offset: int) -> bool:
    """Whether only blanks stand before `offset` on its line: the number of a list item is no sentence."""
    before = text[max(start, offset - _LONGEST_ABBREVIATION) : offset]
    return not before.rpartition("\n")[2].strip()

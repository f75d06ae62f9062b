"""How much of a window may be released."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from groundswell.common.contracts.moderation import TextRole
from groundswell.moderator.domain.normalise import Normalised, normalise
from groundswell.moderator.domain.rules import Rule, Span


@dataclass(frozen=True)
class Cleared:
    """`[0, until)` of the window may be released."""

    until: int


@dataclass(frozen=True)
class Blocked:
    """`rule` forbids `[start, end)` of the window; what stands before `start` may be released."""

    start: int
    end: int
    rule: Rule


Verdict = Cleared | Blocked


@dataclass(frozen=True)
class Policy:
    """An ordered set of rules; of two that forbid from the same place on, the first is named."""

    rules: tuple[Rule, ...]

    def of(self, role: TextRole) -> tuple[Rule, ...]:
        return tuple(rule for rule in self.rules if role in rule.roles)

    def longest(self, role: TextRole) -> int:
        """The longest forbidden pattern for `role`, in normalised characters: so much may be held back at most."""
        return max((rule.longest for rule in self.of(role)), default=0)


def decide(text: str, rules: Sequence[Rule], *, overlap: int = 0, final: bool) -> Verdict:
    """Judge a window whose first `overlap` code points were released before.

    The verdict on a text does not depend on how it is cut into windows, as long as each window starts within what was
    cleared, with a few code points of overlap: a violation is named once nothing that began before it is open.
    `final` says that no more text follows. Linear in the length of the text.
    """
    copy = normalise(text)
    opened = len(copy.text) if final else min((rule.finder.open_from(copy) for rule in rules), default=len(copy.text))
    first = _first_violation(copy, rules, overlap)
    if first is not None and (final or first[0].start < opened):
        span, rule = first
        return Blocked(copy.start_in_source(span.start), copy.end_in_source(span.end), rule)
    return Cleared(max(overlap, copy.start_in_source(opened)))


def _first_violation(copy: Normalised, rules: Sequence[Rule], overlap: int) -> tuple[Span, Rule] | None:
    first: tuple[Span, Rule] | None = None
    for rule in rules:
        span = next(_unreleased(rule.finder.spans(copy), copy, overlap), None)
        if span is not None and (first is None or span.start < first[0].start):
            first = span, rule
    return first


def _unreleased(spans: Iterator[Span], copy: Normalised, overlap: int) -> Iterator[Span]:
    """Spans that reach past the overlap. Nothing that was cleared can begin one: what begins at the very edge of the
    window only seems to, because what stands before it, which a rule may look at, is not in the window.
    """
    at_edge = 1 if overlap else 0
    return (
        span for span in spans if copy.end_in_source(span.end) > overlap and copy.start_in_source(span.start) >= at_edge
    )

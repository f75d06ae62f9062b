"""Whose line goes onto the topic next: round robin over tenants, within a bound for each and one for all."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import zip_longest

from groundswell.common.ids import TeamId


@dataclass(frozen=True, slots=True)
class Standing:
    """One tenant's lines: how many are accepted and not done, and the first of those that wait, oldest first."""

    tenant: TeamId
    accepted: int
    waiting: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many lines may be accepted and not done."""

    per_tenant: int
    in_all: int


@dataclass(frozen=True, slots=True)
class Choice:
    tenant: TeamId
    line: str


def choose(standings: Iterable[Standing], bounds: Bounds, after: TeamId | None = None) -> list[Choice]:
    """The lines to accept now, in this order; `after` is the tenant of the line that was accepted last.

    Each tenant's oldest first, and turn by turn: a tenant that has a line waiting and room within its bound gets its
    turn before any other gets two, so at most (tenants - 1) lines of others pass it by.
    """
    known = sorted(standings, key=lambda standing: standing.tenant)
    # The ring begins behind the tenant that was served last.
    ring = sorted(known, key=lambda standing: after is not None and standing.tenant <= after)
    offers = [
        [Choice(standing.tenant, line) for line in standing.waiting[: max(0, bounds.per_tenant - standing.accepted)]]
        for standing in ring
    ]
    in_turn = [choice for turn in zip_longest(*offers) for choice in turn if choice is not None]
    room = bounds.in_all - sum(standing.accepted for standing in known)
    return in_turn[: max(0, room)]

"""The three priority tiers, and what each may claim."""

from enum import StrEnum


class Tier(StrEnum):
    """Most urgent first."""

    INTERACTIVE = "interactive"
    STANDARD = "standard"
    BULK = "bulk"


WEIGHTS: dict[Tier, int] = {Tier.INTERACTIVE: 8, Tier.STANDARD: 3, Tier.BULK: 1}
"""Shares of the turns while all tiers wait."""

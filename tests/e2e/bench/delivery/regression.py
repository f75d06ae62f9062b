"""A least-squares slope, and how sure it is, from values that came in blocks. Pure."""

import random
from collections.abc import Mapping, Sequence
from statistics import linear_regression, quantiles

RESAMPLES = 2_000

Blocks = Mapping[float, Sequence[Sequence[float]]]
"""Values by x, one inner list for each block; at least two different x."""


def slope(blocks: Blocks) -> float:
    """How much a value grows when x grows by 1. Raises StatisticsError for less than two different x."""
    points = [(x, value) for x, those in blocks.items() for block in those for value in block]
    return linear_regression(*zip(*points, strict=True)).slope


def bootstrap_interval(blocks: Blocks, *, seed: int, resamples: int = RESAMPLES) -> tuple[float, float]:
    """95 % of the slopes of samples drawn again lie inside (percentile bootstrap; Efron and Tibshirani, 1993).

    Whole blocks are drawn, for each x as many as there are: values of a block share its circumstances.
    """
    dice = random.Random(seed)
    slopes = [slope({x: dice.choices(those, k=len(those)) for x, those in blocks.items()}) for _ in range(resamples)]
    cuts = quantiles(slopes, n=40, method="inclusive")
    return cuts[0], cuts[-1]

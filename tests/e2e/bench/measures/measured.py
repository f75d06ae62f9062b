"""What the numbers of every part share: frozen models, circumstances, percentiles, and how they are kept."""

from collections.abc import Sequence
from pathlib import Path
from statistics import quantiles
from typing import TypeVar

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Circumstances(Frozen):
    """When, on what and beside what a measure was taken. Load averages are those of one minute."""

    date: str
    commit: str
    machine: str
    versions: dict[str, str]
    load_before: float
    load_after: float


class Spread(Frozen):
    """Median and 95th percentile of `count` values, in the unit of the values."""

    p50: float
    p95: float
    count: int


R = TypeVar("R", bound=Frozen)


def read(path: Path, kind: type[R]) -> R:
    """Nothing was measured yet where there is no file: the fields of `kind` have defaults."""
    return kind.model_validate_json(path.read_bytes()) if path.exists() else kind()


def write(path: Path, results: Frozen) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(results.model_dump_json(indent=1) + "\n", encoding="utf-8")


def spread(values: Sequence[float]) -> Spread:
    """Raises ValueError without a value."""
    return Spread(p50=round(percentile(values, 50), 1), p95=round(percentile(values, 95), 1), count=len(values))


def percentile(values: Sequence[float], percent: int) -> float:
    """Between 1 and 99; interpolates between neighbours. Raises ValueError without a value."""
    if not values:
        raise ValueError("there are no percentiles of no values")
    return quantiles(values, n=100, method="inclusive")[percent - 1] if len(values) > 1 else values[0]

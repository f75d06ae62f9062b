"""The numbers of one part of the project, as docs/bench keeps them, each measure with its circumstances."""

from collections.abc import Sequence
from pathlib import Path
from statistics import quantiles

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


class DemoRun(Frozen):
    """One `make demo`. `stages_s` adds up to `total_s`; `provided_s` is what the stage `provide` consists of."""

    total_s: float
    stages_s: dict[str, float]
    provided_s: dict[str, float]


class Demo(Frozen):
    circumstances: Circumstances
    runs: dict[str, DemoRun]


class ProcessMeasures(Frozen):
    """PSS counts a page that n processes share as 1/n for each of them; child processes are included.

    `rest_percent` is the share of one core that a process takes while nobody asks anything.
    """

    pss_ready_mb: float
    pss_asked_mb: float
    rest_percent: float
    start_s: tuple[float, ...] = ()


class Processes(Frozen):
    circumstances: Circumstances
    stack_start_s: tuple[float, ...]
    by_name: dict[str, ProcessMeasures]


class Questions(Frozen):
    circumstances: Circumstances
    asked: int
    shares: dict[str, int]
    """How many ended in which way."""
    unexpected: dict[str, str]
    """Questions with another end than their section of the file of questions promises."""
    client_first_text_ms: Spread
    client_total_ms: Spread
    stages_ms: dict[str, Spread]
    prompt_tokens: Spread
    completion_tokens: Spread
    tokens_per_s: Spread


class Results(Frozen):
    """A measure that is not taken again keeps its old numbers and circumstances."""

    first_demo: Demo | None = None
    demo: Demo | None = None
    processes: Processes | None = None
    questions: Questions | None = None


def read(path: Path) -> Results:
    return Results.model_validate_json(path.read_bytes()) if path.exists() else Results()


def write(path: Path, results: Results) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(results.model_dump_json(indent=1) + "\n", encoding="utf-8")


def spread(values: Sequence[float]) -> Spread:
    """Percentiles interpolate between neighbours. Raises ValueError without a value."""
    if not values:
        raise ValueError("there is no spread of no values")
    cuts = quantiles(values, n=20, method="inclusive") if len(values) > 1 else [values[0]] * 19
    return Spread(p50=round(cuts[9], 1), p95=round(cuts[18], 1), count=len(values))

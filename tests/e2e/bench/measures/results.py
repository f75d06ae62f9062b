"""The numbers of part 1 of the project, as docs/bench keeps them, each measure with its circumstances."""

from measures.measured import Circumstances, Frozen, Spread


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

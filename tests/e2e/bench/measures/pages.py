"""The page that shows the numbers: tables, and one picture of where the time of a question goes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import median

from measures.markdown import kept, machine_section, table, taken_at
from measures.measured import Spread
from measures.results import Demo, Processes, Questions, Results

BAR_CHARACTERS = 50
MEMORY_LIMIT_MB = 5000
START_LIMIT_S = 30
WORTH_SPLITTING_S = 10
_HEAD = """\
# Measurements

`make bench` takes them and writes this page and [part-1.json](part-1.json); `make bench FIRST=1` also takes the first
`make demo` on empty caches, which lasts minutes and downloads about 4 GB. They use a stack of their own in a temporary
folder and remove it. One measure alone: `.venv/bin/python tests/e2e/bench/run.py --only questions`. A measure that was
not taken again keeps its numbers and its date. Use a machine that has nothing else to do: the load is noted for each.

What the way over Kafka costs, and what depends on how much waits there: [delivery.md](delivery.md).
"""
_PARTS = {
    "environment": "environment",
    "provide": "Kafka, Weaviate, models",
    "start": "start",
    "ingest": "ingest",
    "answer": "answer",
}
_STAGES = {
    "input_moderation": "input checked",
    "retrieval": "passages retrieved (beside it)",
    "passage_moderation": "passages checked",
    "queue": "admitted by a generator",
    "first_token": "first token (prefill)",
    "first_release": "first window checked",
    "generation": "further tokens (decode)",
    "time_to_first_text": "first text released",
    "total": "whole answer",
}
_BARS = ("retrieval", "passage_moderation", "queue", "first_token", "generation")


def page(results: Results) -> str:
    """Markdown; what was never measured is left out."""
    sections = [
        _demo_section(results),
        _process_section(results.processes) if results.processes else "",
        _question_section(results.questions) if results.questions else "",
        _machine_section(results),
    ]
    return "\n".join([_HEAD, *filter(None, sections)])


def _demo_section(results: Results) -> str:
    demos = [demo for demo in (results.first_demo, results.demo) if demo is not None]
    if not demos:
        return ""
    rows = [
        (name, *(f"{run.stages_s[part]:.1f}" for part in _PARTS), f"**{run.total_s:.1f}**")
        for demo in demos
        for name, run in demo.runs.items()
    ]
    provided = [
        f"Provided by `{name}`: " + ", ".join(f"{what} {taken:.0f} s" for what, taken in run.provided_s.items()) + "."
        for demo in demos
        for name, run in demo.runs.items()
        if run.stages_s["provide"] >= WORTH_SPLITTING_S
    ]
    lines = ["## Time of `make demo`, in seconds\n", *table(("", *_PARTS.values(), "all"), rows), ""]
    remarks = [*provided, *(f"{name}: {taken_at(demo.circumstances)}" for name, demo in _demos(results))]
    return "\n".join([*lines, *(f"{remark}\n" for remark in remarks)])


def _demos(results: Results) -> Iterator[tuple[str, Demo]]:
    if results.first_demo:
        yield "The first", results.first_demo
    if results.demo:
        yield "The others" if results.first_demo else "All of them", results.demo


def _process_section(measured: Processes) -> str:
    rows: list[tuple[str, ...]] = [
        (name, f"{of.pss_ready_mb:.0f}", f"{of.pss_asked_mb:.0f}", f"{of.rest_percent:.1f}", _starts(of.start_s))
        for name, of in measured.by_name.items()
    ]
    ready_mb = sum(of.pss_ready_mb for of in measured.by_name.values())
    asked_mb = sum(of.pss_asked_mb for of in measured.by_name.values())
    start_s = median(measured.stack_start_s)
    rest = sum(of.rest_percent for of in measured.by_name.values())
    whole = ("whole stack", f"{ready_mb:.0f}", f"{asked_mb:.0f}", f"{rest:.0f}", f"{start_s:.1f}")
    rows.append(tuple(f"**{cell}**" for cell in whole))
    count = len(measured.stack_start_s)
    memory = _verdict(max(ready_mb, asked_mb), MEMORY_LIMIT_MB, "MB")
    return "\n".join(
        [
            "## Memory and start of each process\n",
            *table(("", "MB when ready", "MB after the questions", "% of a core at rest", "s to ready"), rows),
            "",
            "MB is PSS (10^6 bytes) with child processes. A process starts from exec to its `/readyz`, alone while",
            f"the others run; the whole stack by `up` after `down`; medians of {count}, page cache warm.\n",
            f"Limits: memory {memory}, start {_verdict(start_s, START_LIMIT_S, 's')}.\n",
            taken_at(measured.circumstances),
            "",
        ]
    )


def _starts(taken_s: Sequence[float]) -> str:
    return f"{median(taken_s):.2f}" if taken_s else ""


def _verdict(value: float, limit: float, unit: str) -> str:
    return f"{value:.0f} {unit} of {limit:.0f} {unit} ({kept(value < limit)})"


def _question_section(measured: Questions) -> str:
    client = {
        "client: first text": measured.client_first_text_ms,
        "client: whole answer": measured.client_total_ms,
    }
    known = {_STAGES.get(name, name): measured.stages_ms[name] for name in _in_order(measured.stages_ms)}
    tokens = {
        "tokens of the prompt": measured.prompt_tokens,
        "tokens of the answer": measured.completion_tokens,
        "tokens per second after the first": measured.tokens_per_s,
    }
    ends = ", ".join(f"{count} {end}" for end, count in sorted(measured.shares.items(), key=lambda end: -end[1]))
    return "\n".join(
        [
            f"## {measured.asked} questions about the demo's documents\n",
            "Qwen2.5 0.5B, one question at a time, streamed to OpenAI's client. Stages as in `groundswell.timings_ms`,",
            "of the questions for which an answer was generated.\n",
            *table(("milliseconds", "p50", "p95", "questions"), _spreads(client | known, digits=0)),
            "",
            *table(("", "p50", "p95", "questions"), _spreads(tokens, digits=1)),
            "",
            f"Ends: {ends}.\n",
            _unexpected(measured.unexpected) + "\n",
            taken_at(measured.circumstances),
            "",
            "### Where the time of a question goes\n",
            "```",
            *_bars({name: measured.stages_ms[name].p50 for name in _BARS if name in measured.stages_ms}),
            "```",
            "Medians of the stages that follow each other; checks of later windows run beside the decoding.",
            "",
        ]
    )


def _unexpected(ends: Mapping[str, str]) -> str:
    if not ends:
        return "Each ended as its section of `questions.txt` promises."
    return "Otherwise than `questions.txt` promises: " + "; ".join(f"{text} ({end})" for text, end in ends.items())


def _in_order(stages: Iterable[str]) -> list[str]:
    known = list(_STAGES)
    return sorted(stages, key=lambda name: known.index(name) if name in known else len(known))


def _spreads(named: Mapping[str, Spread], digits: int) -> list[tuple[str, ...]]:
    return [(name, f"{of.p50:,.{digits}f}", f"{of.p95:,.{digits}f}", str(of.count)) for name, of in named.items()]


def _bars(milliseconds: Mapping[str, float]) -> Iterator[str]:
    """One bar a stage, each beginning where the one before ends."""
    total, begun = sum(milliseconds.values()) or 1.0, 0.0
    width = max(len(_STAGES[name]) for name in milliseconds)
    for name, taken in milliseconds.items():
        left = round(begun / total * BAR_CHARACTERS)
        length = max(1, round((begun + taken) / total * BAR_CHARACTERS) - left)
        bar = (" " * min(left, BAR_CHARACTERS - 1) + "█" * length).ljust(BAR_CHARACTERS)
        yield f"{_STAGES[name]:<{width}}  {bar}  {taken:6,.0f} ms {taken / total:5.0%}"
        begun += taken


def _machine_section(results: Results) -> str:
    measured = (results.first_demo, results.demo, results.processes, results.questions)
    return machine_section(each.circumstances for each in measured if each is not None)

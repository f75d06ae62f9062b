"""The page that shows the numbers of part 2."""

from statistics import median

from delivery.line import BYTES
from delivery.numbers import Backlog, Cost, Hops, Memory, Part2
from measures.markdown import kept, machine_section, table, taken_at
from workers.page import placement_section, takeover_section

HOPS_LIMIT, HOPS_AIM = 1.5, 1.2
COST_LIMIT, COST_AIM = 3.0, 2.0
SLOPE_LIMIT_MS = 1.0
MEMORY_LIMIT = 1.05
_HEAD = f"""\
# Delivery: what the way over Kafka costs, and what a killed or a full worker does to a client

`make bench` takes these measures and writes this page and [part-2.json](part-2.json), on a broker of their own in a
temporary folder. One of them alone, without the stack: `.venv/bin/python tests/e2e/bench/run.py --only hops` (or
`cost`, `backlog`, `memory`); `placement` and `takeover` bring a stack of their own.

Payloads are JSON of {BYTES} bytes, topics have 4 partitions, spans are not sampled, metrics and log context are on. Raw
is aiokafka: `getone` and `send_and_wait`, acks=all, linger 0, a commit every 100 ms.
"""


def page(results: Part2) -> str:
    """Markdown; what was never measured is left out."""
    measured = (results.hops, results.cost, results.backlog, results.memory, results.placement, results.takeover)
    sections = [
        _hops(results.hops) if results.hops else "",
        _cost(results.cost) if results.cost else "",
        _backlog(results.backlog) if results.backlog else "",
        _memory(results.memory) if results.memory else "",
        placement_section(results.placement) if results.placement else "",
        takeover_section(results.takeover) if results.takeover else "",
        machine_section(each.circumstances for each in measured if each is not None),
    ]
    return "\n".join([_HEAD, *filter(None, sections)])


def _hops(measured: Hops) -> str:
    rows: list[tuple[str, ...]] = []
    for in_flight, beside in measured.by_in_flight.items():
        both = (beside.product, beside.raw)
        rows += [
            (f"p50, {in_flight} in flight", *(f"{each.p50:.2f}" for each in both), _times(beside.p50_ratio)),
            (f"p99, {in_flight} in flight", *(f"{each.p99:.2f}" for each in both), _times(beside.p99_ratio)),
        ]
    worst = max(max(each.p50_ratio, each.p99_ratio) for each in measured.by_in_flight.values())
    return "\n".join(
        [
            "## Five hops\n",
            *table(("milliseconds", "product", "raw", "ratio"), rows),
            "",
            "A driver publishes, four forwarders pass on, the driver receives: five processes. A hop is one message,",
            "from the publish call of a process to the handler of the next; the time is that of all five. Handlers do",
            f"nothing else. {measured.messages:,} messages of each, in blocks that alternate.\n",
            f"Largest ratio: {_limited(worst, HOPS_LIMIT, HOPS_AIM)}.\n",
            taken_at(measured.circumstances),
            "",
        ]
    )


def _cost(measured: Cost) -> str:
    rows = [
        (name, f"{median(each):.0f}", f"{min(each):.0f}", f"{max(each):.0f}")
        for name, each in (("product", measured.product_us), ("raw", measured.raw_us))
    ]
    return "\n".join(
        [
            "## Processor time of a message\n",
            *table(("microseconds", "median", "least", "most"), rows),
            "",
            "User and system time of a process that takes a message and publishes another one, eight at once. Raw",
            "validates the same model and sends the same headers on, by hand. Blocks of",
            f"{measured.messages:,} messages that lay there before, alternating.\n",
            f"Ratio: {_limited(measured.ratio, COST_LIMIT, COST_AIM)}.\n",
            taken_at(measured.circumstances),
            "",
        ]
    )


def _backlog(measured: Backlog) -> str:
    rows = [
        (f"{size:,} bulk", f"{wait.p50:.1f}", f"{wait.p99:.1f}", str(wait.count))
        for size, wait in measured.wait_ms.items()
    ]
    interval = f"{measured.low_ms:.3f} to {measured.high_ms:.3f}"
    is_kept = measured.low_ms <= 0 <= measured.high_ms < SLOPE_LIMIT_MS
    return "\n".join(
        [
            "## An interactive command beside a backlog of bulk\n",
            *table(("milliseconds", "p50", "p99", "commands"), rows),
            "",
            "From LogAppendTime (whole milliseconds) to the start of the handler. A bulk handler takes 10 ms, eight",
            "slots for all tiers, one for interactive work only. Sizes are shuffled in blocks of ten commands.\n",
            f"Slope: {measured.slope_ms:.3f} ms for 10,000 more, 95 % interval {interval} (bootstrap over blocks, seed",
            f"{measured.seed}); limit: includes 0, upper end under {SLOPE_LIMIT_MS:.0f} ms ({kept(is_kept)}).\n",
            taken_at(measured.circumstances),
            "",
        ]
    )


def _memory(measured: Memory) -> str:
    rows = [(f"{messages:,}", f"{resident:.1f}") for messages, resident in measured.resident_mb.items()]
    return "\n".join(
        [
            "## Memory of a consumer\n",
            *table(("messages handled", "MB resident"), rows),
            "",
            "One process that takes messages and publishes others, after `gc.collect()` and `malloc_trim(0)`.\n",
            f"Last beside first: {_limited(measured.ratio, MEMORY_LIMIT)}.\n",
            taken_at(measured.circumstances),
            "",
        ]
    )


def _limited(ratio: float, limit: float, aim: float | None = None) -> str:
    aimed = f", aim {_times(aim)}" if aim else ""
    return f"{_times(ratio)} of {_times(limit)} ({kept(ratio <= limit)}{aimed})"


def _times(ratio: float) -> str:
    return f"{ratio:.2f}x"

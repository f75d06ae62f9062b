"""`make bench`: takes the measures of the project, and writes docs/bench.

Each kind of measure brings what it needs: the bus a broker, the workers a stack whose model only takes time, the demo
and the questions a whole stack.
"""

import argparse
import sys
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from delivery import taking as delivery
from delivery.numbers import Part2
from delivery.page import page as delivery_page
from measures import demo_runs, pages, processes, results
from measures.circumstances import beginning
from measures.measured import Frozen, read, write
from measures.own_stack import OwnStack, forget_other_stacks, own_stack
from measures.questions import ask_all, read_questions
from workers import taking as workers

CHECKOUT = Path(__file__).parents[3]
FOLDER = CHECKOUT / "docs" / "bench"
NUMBERS, DELIVERY_NUMBERS = FOLDER / "part-1.json", FOLDER / "part-2.json"
DEMO, PROCESSES, QUESTIONS = "demo", "processes", "questions"
ON_A_STACK = (DEMO, PROCESSES, QUESTIONS)
ON_A_BROKER = delivery.MEASURES
ON_A_TIMED_STACK = workers.MEASURES
MEASURES = (*ON_A_STACK, *ON_A_BROKER, *ON_A_TIMED_STACK)


def main() -> int:
    options = _options()
    if options.page:
        _keep()
        _keep_delivery()
        return 0
    forget_other_stacks()
    wanted = options.only or MEASURES
    try:
        if options.first:
            _keep(first_demo=_first_demo())
        if options.quick:
            _show_delivery(wanted)
            return 0
        for name, numbers in _delivery(wanted, quick=False):
            _keep_delivery(**{name: numbers})
        if on_a_stack := _among(ON_A_STACK, wanted):
            with own_stack(CHECKOUT) as stack:
                _measure(stack, on_a_stack)
    except KeyboardInterrupt:
        tell("interrupted; what was measured completely is kept")
        return 130
    tell(f"written: {FOLDER.relative_to(CHECKOUT)}")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", action="store_true", help="also the first make demo, on empty caches")
    parser.add_argument(
        "--page", action="store_true", help="only write the pages again, from the numbers that are there"
    )
    parser.add_argument(
        "--quick", action="store_true", help="delivery alone, with few messages: the page is shown and nothing written"
    )
    parser.add_argument("--only", action="append", choices=MEASURES, help="this measure alone; may be repeated")
    return parser.parse_args()


def _among(measures: Collection[str], wanted: Collection[str]) -> tuple[str, ...]:
    return tuple(name for name in measures if name in wanted)


def _delivery(wanted: Collection[str], *, quick: bool) -> Iterator[tuple[str, Frozen]]:
    extent = delivery.QUICK if quick else delivery.Extent()
    yield from delivery.take(_among(ON_A_BROKER, wanted), extent, CHECKOUT, tell)
    timed = workers.QUICK if quick else workers.Extent()
    yield from workers.take(_among(ON_A_TIMED_STACK, wanted), timed, CHECKOUT, tell)


def _show_delivery(wanted: Collection[str]) -> None:
    taken = Part2()
    for name, numbers in _delivery(wanted, quick=True):
        taken = taken.model_copy(update={name: numbers})
    sys.stdout.write(delivery_page(taken))


def _first_demo() -> results.Demo:
    tell("the first make demo: a fresh clone, empty caches")
    end = beginning(CHECKOUT)
    run = demo_runs.first_demo(CHECKOUT)
    return results.Demo(circumstances=end(), runs={"first, caches empty": run})


def _measure(stack: OwnStack, wanted: Collection[str]) -> None:
    demo = _demo(stack, again=DEMO in wanted)
    if DEMO in wanted:
        _keep(demo=demo)
    if PROCESSES in wanted:
        _keep(processes=_processes(stack))
    elif QUESTIONS in wanted:
        _keep(questions=_questions(stack))


def _demo(stack: OwnStack, *, again: bool) -> results.Demo:
    """The first run also ingests what the other measures ask about."""
    end = beginning(CHECKOUT)
    runs = {"caches there, new state": demo_runs.demo_of(stack)}
    if again:
        stack.native("down")
        runs["second, after `make down`"] = demo_runs.demo_of(stack)
        runs["again, the stack running"] = demo_runs.demo_of(stack)
    return results.Demo(circumstances=end(), runs=runs)


def _processes(stack: OwnStack) -> results.Processes:
    """Asks the questions in between, for the memory afterwards."""
    end = beginning(CHECKOUT)
    stack_start_s = processes.stack_starts_s(stack, tell)
    tell("memory, and processor time while nobody asks")
    ready, rest = processes.pss_mb(stack.home), processes.rest_percent(stack.home)
    _keep(questions=_questions(stack))
    asked = processes.pss_mb(stack.home)
    starts = processes.restarts_s(stack, tell)
    by_name = processes.together(ready, asked, rest, starts)
    return results.Processes(circumstances=end(), stack_start_s=stack_start_s, by_name=by_name)


def _questions(stack: OwnStack) -> results.Questions:
    stack.wait_until_complete()
    return ask_all(stack, read_questions(Path(__file__).with_name("questions.txt")), tell)


def _keep(**taken: Frozen) -> None:
    """Written after each measure, so that an interruption costs only the one that runs."""
    together = read(NUMBERS, results.Results).model_copy(update=taken)
    write(NUMBERS, together)
    (FOLDER / "README.md").write_text(pages.page(together), encoding="utf-8")


def _keep_delivery(**taken: Frozen) -> None:
    together = read(DELIVERY_NUMBERS, Part2).model_copy(update=taken)
    write(DELIVERY_NUMBERS, together)
    (FOLDER / "delivery.md").write_text(delivery_page(together), encoding="utf-8")


def tell(line: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {line}\n")


if __name__ == "__main__":
    sys.exit(main())

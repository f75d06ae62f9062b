"""`make bench`: takes the measures of the project on a stack of its own, and writes docs/bench."""

import argparse
import sys
import time
from collections.abc import Collection
from pathlib import Path

from measures import demo_runs, pages, processes, results
from measures.circumstances import beginning
from measures.own_stack import OwnStack, forget_other_stacks, own_stack
from measures.questions import ask_all, read_questions

CHECKOUT = Path(__file__).parents[3]
FOLDER = CHECKOUT / "docs" / "bench"
NUMBERS = FOLDER / "part-1.json"
DEMO, PROCESSES, QUESTIONS = "demo", "processes", "questions"
MEASURES = (DEMO, PROCESSES, QUESTIONS)


def main() -> int:
    options = _options()
    if options.page:
        _keep()
        return 0
    forget_other_stacks()
    try:
        if options.first:
            _keep(first_demo=_first_demo())
        with own_stack(CHECKOUT) as stack:
            _measure(stack, options.only or MEASURES)
    except KeyboardInterrupt:
        tell("interrupted; what was measured completely is kept")
        return 130
    tell(f"written: {NUMBERS.relative_to(CHECKOUT)} and {FOLDER.relative_to(CHECKOUT)}/README.md")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", action="store_true", help="also the first make demo, on empty caches")
    parser.add_argument(
        "--page", action="store_true", help="only write the page again, from the numbers that are there"
    )
    parser.add_argument("--only", action="append", choices=MEASURES, help="this measure alone; may be repeated")
    return parser.parse_args()


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


def _keep(**taken: results.Frozen) -> None:
    """Written after each measure, so that an interruption costs only the one that runs."""
    together = results.read(NUMBERS).model_copy(update=taken)
    results.write(NUMBERS, together)
    (FOLDER / "README.md").write_text(pages.page(together), encoding="utf-8")


def tell(line: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {line}\n")


if __name__ == "__main__":
    sys.exit(main())
